/* api.js - requests to this server: the key, refusals as sentences, streams of events.
 *
 * The key lives in sessionStorage and in the Authorization header, nowhere else.
 */
class Refusal extends Error { /* what went wrong, as one sentence for the reader */
  constructor(message, status = 0, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const api = (() => {
  const KEY = "smallmind.key", EVENT_MAX = 16 << 20;
  let needsKey = false, asking = null, held = "";

  /* A browser without storage keeps it as long as the page lives. */
  const key = () => {
    try { return sessionStorage.getItem(KEY) || ""; } catch { return held; }
  };
  const setKey = value => {
    held = value;
    try {
      if (value) sessionStorage.setItem(KEY, value);
      else sessionStorage.removeItem(KEY);
    } catch { /* held */ }
  };

  /* Asks once, however many requests wait for it. True: there is a key to try. */
  const askForKey = why => {
    asking = asking || askKey(why).then(value => {
      asking = null;
      if (value !== null) setKey(value);
      return value !== null;
    });
    return asking;
  };

  const send = async (path, options) => {
    const headers = { ...options.headers };
    if (options.body !== undefined) headers["Content-Type"] = "application/json";
    if (key()) headers.Authorization = `Bearer ${key()}`;
    try {
      return await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal("The server cannot be reached: it has stopped, or the network is down.");
    }
  };

  const refusalOf = async response => {
    let message = "", code = "";
    try {
      const { error } = JSON.parse(await response.text());
      message = typeof error === "string" ? error : String(error.message || "");
      code = String(error.code || "");
    } catch { /* not one of the server's own answers */ }
    if (!message) message = `The server answered ${response.status}.`;
    message = sentence(message);
    const wait = Number(response.headers.get("Retry-After"));
    if (wait > 0 && (response.status === 429 || response.status === 503))
      message = `${message} Try again in ${duration(wait)}.`;
    return new Refusal(message, response.status, code);
  };

  /* options.silent: a request in the background, which must not ask for a key. */
  const request = async (path, options = {}) => {
    const { silent, ...rest } = options;
    for (;;) {
      const sent = key(), response = await send(path, rest);
      if (response.ok) return response;
      if (response.status !== 401) throw await refusalOf(response);
      needsKey = true;
      const why = sent ? "The server does not take this key." : "This server needs an API key.";
      if (silent || (sent === key() && !await askForKey(why)))
        throw new Refusal("An API key is needed: see Key at the top.", 401);
    }
  };

  const post = (path, body, options = {}) =>
    request(path, { ...options, method: "POST", body: JSON.stringify(body) });

  /* The data of each event. Throws when the stream ends before [DONE]. */
  async function* events(response) {
    const reader = response.body.getReader(), decoder = new TextDecoder();
    let rest = "", data = [], size = 0;
    try {
      for (;;) {
        let part;
        try {
          part = await reader.read();
        } catch (error) {
          if (error.name === "AbortError") throw error;
          part = { done: true };
        }
        if (part.done)
          throw new Refusal("The connection was cut before the answer was complete.");
        const lines = (rest + decoder.decode(part.value, { stream: true })).split(/\r\n|\n/);
        rest = lines.pop();
        if (rest.length + size > EVENT_MAX)
          throw new Refusal("The server sent an event that is too long.");
        for (const line of lines) {
          if (line.startsWith("data:")) {
            data.push(line.slice(line[5] === " " ? 6 : 5));
            size += line.length;
          } else if (line === "" && data.length > 0) {
            const text = data.join("\n");
            data = [];
            size = 0;
            if (text === "[DONE]") return;
            yield parse(text);
          }
        }
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  const parse = text => {
    let event;
    try {
      event = JSON.parse(text);
    } catch {
      throw new Refusal("The server sent an event that is not JSON.");
    }
    if (event === null || typeof event !== "object")
      throw new Refusal("The server sent an event that is not an object.");
    if (event.error)
      throw new Refusal(sentence(String(event.error.message || "the server ended the answer")), 0,
        String(event.error.code || ""));
    return event;
  };

  return {
    post, events, key, setKey, askForKey,
    needsKey: () => needsKey || key() !== "",
    json: async (path, options) => (await request(path, options)).json(),
    text: async (path, options) => (await request(path, options)).text(),
  };
})();
