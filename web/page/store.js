/* store.js - what this browser keeps: conversations in IndexedDB, settings in localStorage.
 *
 * A conversation is a plain object; check() is the one place that says what it may hold, for what
 * is imported as for what was stored. Bounded in number and size: the oldest go first. Where the
 * browser keeps nothing, all lives as long as the page.
 */
const store = (() => {
  const NAME = "smallmind", TABLE = "conversations", MOST = 300;
  const ALL_CHARS = 48e6, ONE_CHARS = 12e6, TITLE = 80;
  const FORMAT = "smallmind-conversations", OPEN_MS = 5000;
  const kept = new Map(), sizes = new Map();
  const channel = "BroadcastChannel" in self ? new BroadcastChannel(NAME) : null;
  let base = null, changed = () => {}, complain = () => {};

  /* --- what a conversation may hold --- */

  const text = (value, most = ONE_CHARS) => typeof value === "string" ? value.slice(0, most) : "";
  const number = (value, least = -Infinity, most = Infinity) =>
    typeof value === "number" && value >= least && value <= most ? value : null;
  const list = (value, most) => Array.isArray(value) ? value.slice(0, most) : [];
  const object = value => value !== null && typeof value === "object" && !Array.isArray(value);
  const seed = value => typeof value === "string" && /^\d{1,20}$/.test(value) ? value
    : number(value, 0, 2 ** 53);

  const checkStats = value => object(value) ? {
    tokens: number(value.tokens, 0), rate: number(value.rate, 0), first: number(value.first, 0),
    finish: text(value.finish, 40), seed: seed(value.seed),
  } : null;

  const checkMessage = value => {
    if (!object(value) || !["user", "assistant"].includes(value.role)) return null;
    return { role: value.role, text: text(value.text), reasoning: text(value.reasoning),
      note: text(value.note, 1000), stats: checkStats(value.stats) };
  };

  /* [id, text, logprob, [[id, text, logprob], ...]] */
  const checkToken = value => {
    const [id, piece, logprob, top] = list(value, 4);
    if (number(id, 0, 2 ** 31) === null || typeof piece !== "string") return null;
    return [id, piece.slice(0, 1000), number(logprob), list(top, 21).map(one => list(one, 3))
      .filter(one => number(one[0], 0, 2 ** 31) !== null && typeof one[1] === "string")
      .map(one => [one[0], one[1].slice(0, 1000), number(one[2])])];
  };

  const checkBranch = value => object(value) ? {
    tokens: list(value.tokens, 1e5).map(checkToken).filter(Boolean),
    fork: number(value.fork, 0, 1e5), seed: seed(value.seed), note: text(value.note, 1000),
    stats: checkStats(value.stats),
  } : null;

  const check = value => {
    if (!object(value) || !["chat", "prompt"].includes(value.kind)) return null;
    const now = Date.now();
    const one = {
      id: /^[\w-]{1,64}$/.test(text(value.id)) ? value.id : newId(), kind: value.kind,
      title: text(value.title, TITLE), created: number(value.created, 0, 1e14) ?? now,
      changed: number(value.changed, 0, 1e14) ?? now,
    };
    if (one.kind === "chat") {
      one.system = text(value.system, 1e6);
      one.messages = list(value.messages, 1e4).map(checkMessage).filter(Boolean);
    } else {
      one.prompt = text(value.prompt);
      one.branches = list(value.branches, 100).map(checkBranch).filter(Boolean);
      one.current = Math.min(number(value.current, 0) ?? 0, Math.max(0, one.branches.length - 1));
    }
    return one;
  };

  const newId = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    return [...bytes].map(byte => byte.toString(16).padStart(2, "0")).join("");
  };

  /* --- the database --- */

  const done = request => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

  const table = mode => base.transaction(TABLE, mode).objectStore(TABLE);

  const load = async () => {
    const all = await done(table("readonly").getAll());
    kept.clear();
    sizes.clear();
    for (const one of all.map(check).filter(Boolean)) keep(one);
  };

  const keep = one => {
    kept.set(one.id, one);
    sizes.set(one.id, JSON.stringify(one).length);
  };

  const connect = async () => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE, { keyPath: "id" });
    const database = await done(request);
    database.onversionchange = () => database.close();
    return database;
  };

  /* Some browsers never answer where they should refuse; nothing waits for them longer. */
  const inTime = promise => new Promise((resolve, reject) => {
    setTimeout(reject, OPEN_MS, new Error("no answer"));
    promise.then(resolve, reject);
  });

  const open = async () => {
    try {
      base = await inTime(connect());
      await load();
    } catch {
      base = null;
      complain("This browser keeps no data: conversations are lost when the page is closed.");
    }
  };

  const tell = () => {
    if (channel) channel.postMessage("changed");
    changed();
  };
  if (channel)
    channel.onmessage = async () => {
      if (!base) return;
      await load().catch(() => {});
      changed();
    };

  const write = async f => {
    if (!base) return;
    try {
      try {
        await done(f(table("readwrite")));
      } catch (error) {
        if (error.name !== "InvalidStateError") throw error;
        base = await connect(); /* the browser had closed it */
        await done(f(table("readwrite")));
      }
    } catch (error) {
      complain(error.name === "QuotaExceededError"
        ? "This browser has no room left for conversations: export and delete some."
        : `This browser could not keep a conversation (${error.name}): export it.`);
    }
  };

  const all = () => [...kept.values()].sort((a, b) => b.changed - a.changed);

  const drop = async id => {
    kept.delete(id);
    sizes.delete(id);
    await write(t => t.delete(id));
  };

  /* Gives up the oldest until the rest is within the bounds. */
  const prune = async except => {
    const oldest = all().reverse();
    let chars = [...sizes.values()].reduce((a, b) => a + b, 0), n = oldest.length, gone = 0;
    for (const one of oldest) {
      if (n <= MOST && chars <= ALL_CHARS) break;
      if (one.id === except) continue;
      chars -= sizes.get(one.id);
      n--;
      gone++;
      await drop(one.id);
    }
    if (gone > 0) complain(`Room was made: ${plural(gone, "old conversation")} deleted.`);
  };

  const put = async one => {
    one.changed = Date.now();
    const copy = check(JSON.parse(JSON.stringify(one)));
    keep(copy);
    if (sizes.get(one.id) > ONE_CHARS) {
      await drop(one.id);
      complain("This conversation is too long to be kept: export it, or begin a new one.");
    } else {
      await write(t => t.put(copy));
      await prune(one.id);
    }
    tell();
  };

  const remove = async id => {
    await drop(id);
    tell();
  };

  /* --- files --- */

  const exportText = () =>
    JSON.stringify({ format: FORMAT, version: 1, conversations: all().reverse() }, null, 1);

  /* Returns how many came in; one that is there already, in whatever state, stays beside it. */
  const importText = async source => {
    let file;
    try {
      file = JSON.parse(source);
    } catch {
      throw new Error("This file is not JSON.");
    }
    if (!object(file) || file.format !== FORMAT || !Array.isArray(file.conversations))
      throw new Error("This is not a file of exported conversations.");
    if (file.version !== 1)
      throw new Error("This file was exported by another version of the page.");
    const found = file.conversations.slice(0, MOST).map(check).filter(Boolean);
    if (found.length < file.conversations.length && found.length === 0)
      throw new Error("Nothing in this file is a conversation.");
    let n = 0;
    for (const one of found) {
      const there = kept.get(one.id);
      if (there && JSON.stringify(there) === JSON.stringify(one)) continue;
      if (there) one.id = newId();
      keep(one);
      await write(t => t.put(one));
      n++;
    }
    await prune(null);
    tell();
    return n;
  };

  /* --- settings: small, by name --- */

  const setting = {
    get(name, initial) {
      try {
        return JSON.parse(localStorage.getItem(`${NAME}.${name}`)) ?? initial;
      } catch {
        return initial;
      }
    },
    set(name, value) {
      try {
        localStorage.setItem(`${NAME}.${name}`, JSON.stringify(value));
      } catch { /* it holds for this page alone */ }
    },
  };

  const copyOf = id => kept.has(id) ? JSON.parse(JSON.stringify(kept.get(id))) : null;
  return {
    open, all, put, remove, newId, exportText, importText, setting, get: copyOf,
    onChange: f => { changed = f; }, onTrouble: f => { complain = f; },
    titleOf: words => {
      const line = words.trim().replace(/\s+/g, " ");
      return line.length > TITLE - 20 ? `${line.slice(0, TITLE - 20)}…` : line;
    },
  };
})();
