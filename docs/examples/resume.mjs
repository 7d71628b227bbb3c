// A stream of POST /generate that survives its server: node resume.mjs URL PROMPT
//
// Nothing but fetch. When the connection breaks, the same body is sent again with the id of the last
// event and the tokens that came; any replica of the same model goes on after them.
const TRIES = 20; // one after the other without a new token
const BUSY = [429, 502, 503, 504];

async function* events(response) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of response.body) {
    const blocks = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = /^data: (?!\[DONE\])(.*)$/m.exec(block);
      if (data) yield JSON.parse(data[1]);
    }
  }
}

// Texts as they come; each token's once.
export async function* generate(url, asked) {
  const body = { ...asked, stream: true };
  const tokens = [];
  for (let failed = 1; failed <= TRIES; failed++) {
    const headers = { "Content-Type": "application/json" };
    if (body.seed !== undefined && body.fingerprint) {
      headers["Last-Event-ID"] = String(tokens.length);
      body.resume_tokens = tokens;
    }
    try {
      const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
      if (!response.ok) {
        const message = await response.text();
        if (!BUSY.includes(response.status)) throw new RangeError(message);
        throw new Error(message);
      }
      const kind = response.headers.get("X-Model-Fingerprint") ?? "";
      body.seed ??= response.headers.get("X-Seed");
      body.fingerprint ??= Object.fromEntries(
        [...kind.matchAll(/(\w+)="(\w+)"/g)].map(([, name, value]) => [name, value]));
      for await (const event of events(response)) {
        if (event.error) throw new Error(event.error.message);
        tokens.push(...event.tokens);
        failed = 0;
        yield event.text;
        if (event.finish_reason) return;
      }
    } catch (error) {
      if (error instanceof RangeError || failed === TRIES) throw error;
    }
    await new Promise((done) => setTimeout(done, Math.min(100 * failed, 2000)));
  }
  throw new Error("the stream was cut, again and again");
}

if (process.argv[1] === new URL(import.meta.url).pathname)
  for await (const text of generate(process.argv[2] + "/generate",
    { prompt: process.argv[3], max_tokens: 400 })) process.stdout.write(text);
