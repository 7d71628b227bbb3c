/* prompt.js - a prompt and its continuations, token by token (POST /generate).
 *
 * A continuation is a branch; taking an alternative of a token makes another one, which keeps what
 * stands before that token. A branch's tokens: [id, text, logprob, [[id, text, logprob], ...]].
 */
const prompter = (() => {
  const PATH = "/generate", SHOWN = 5, SHOWN_MOST = 20, BRANCHES = 100, STOPPED = "Stopped.";
  let one = null, run = null, ends = new Map(), ids = { prompt: null, list: null };

  const fresh = () => ({ id: store.newId(), kind: "prompt", title: "", created: Date.now(),
    changed: Date.now(), prompt: "", branches: [], current: 0 });
  const isEmpty = () => one.branches.length === 0;
  const branch = () => one.branches[one.current];

  const nameOf = token => ends.get(token[0]) || `token ${token[0]}`;

  const alternatives = () => {
    const n = Number(at("alternatives").value);
    return Number.isInteger(n) && n >= 0 && n <= SHOWN_MOST ? n : SHOWN;
  };

  const request = () => ({ path: PATH,
    body: { prompt: at("prompt").value || "Once upon a time", stream: true,
      ...sampling.fields("native") } });

  /* --- what is shown --- */

  const show = (conversation = null) => {
    if (run) run.stop();
    run = null;
    one = conversation || fresh();
    at("prompt").value = one.prompt;
    showBranch();
  };

  const showBranch = () => {
    const tokens = isEmpty() ? [] : branch().tokens;
    tokenView.show(at("tokens"), tokens, isEmpty() ? null : branch().fork);
    update();
  };

  const textOf = list => list.map(token => token[1]).join("");

  const update = () => {
    const n = one.branches.length, note = n > 0 && !run ? branch().note : "";
    at("prompt-empty").hidden = n > 0;
    at("continuation").hidden = n === 0;
    at("branches").hidden = n < 2;
    at("branch-name").textContent = `Branch ${one.current + 1} of ${n}`;
    at("branch-before").disabled = one.current === 0 || run !== null;
    at("branch-after").disabled = one.current >= n - 1 || run !== null;
    at("generate").hidden = run !== null;
    at("prompt-stop").hidden = run === null;
    at("go-on").disabled = run !== null || n === 0 || branch().stats?.finish === "stop";
    at("prompt-note").hidden = !note;
    at("prompt-note").textContent = note;
    at("prompt-note").classList.toggle("soft", note === STOPPED);
    at("prompt-status").textContent = run ? run.status() : n > 0 ? statsText(branch().stats) : "";
  };

  /* --- generating --- */

  /* The text of tokens whose bytes may be parts of characters: one ends where a character does. */
  const pieces = decoder => entry => Array.isArray(entry.bytes)
    ? decoder.decode(new Uint8Array(entry.bytes), { stream: true }) : String(entry.text);

  const tokenOf = (entry, text) => [entry.id, text, entry.logprob,
    (entry.top || []).map(one => [one.id, one.text, one.logprob])];

  const take = (mine, target, decode, told, event) => {
    const entries = event.logprobs || (event.tokens || []).map((id, i) =>
      ({ id, text: i === event.tokens.length - 1 ? event.text : "", logprob: null, top: [] }));
    const from = target.tokens.length;
    for (const entry of entries) target.tokens.push(tokenOf(entry, decode(entry)));
    if (target === branch() && entries.length > 0)
      tokenView.add(at("tokens"), from, target.fork);
    if (event.seed !== undefined) target.seed = told.seed = event.seed;
    if (event.finish_reason) told.finish = event.finish_reason;
    if (event.timings && event.timings.tokens_per_second > 0) {
      told.rate = event.timings.tokens_per_second;
      told.first = event.timings.first_token_ms / 1000;
    }
    mine.count(entries.length);
  };

  /* The ids of the prompt as the server reads it: what a branch is put behind. */
  const promptIds = async signal => {
    if (ids.prompt !== one.prompt) {
      const body = { text: one.prompt, add_special: true };
      const response = await api.post("/tokenize", body, { signal });
      ids = { prompt: one.prompt, list: (await response.json()).tokens };
    }
    return ids.list;
  };

  /* Generates behind what the branch has. */
  const generate = async target => {
    const conversation = one, mine = run = new Run(() => { if (run === mine) update(); });
    const body = { ...sampling.fields("native"), stream: true, logprobs: alternatives() };
    const told = {}, before = target.tokens.length;
    if (target.seed !== null) body.seed = target.seed;
    if (before > 0) delete body.format; /* it would begin anew in the middle of the text */
    target.note = "";
    update();
    let why;
    try {
      body.prompt = before === 0 ? one.prompt
        : [...await promptIds(mine.abort.signal), ...target.tokens.map(token => token[0])];
      const decode = pieces(new TextDecoder());
      why = await mine.go(PATH, body, event => take(mine, target, decode, told, event));
    } catch (error) {
      clearInterval(mine.clock);
      if (!mine.abort.signal.aborted && !(error instanceof Refusal)) throw error;
      why = mine.abort.signal.aborted ? null : error.message;
    }
    if (run === mine) run = null;
    target.note = why === null ? STOPPED : why || (target.tokens.length > before ? ""
      : "The model ended the text at once.");
    target.stats = mine.result(told);
    if (one === conversation) update();
    announce(target.note || `Text complete, ${plural(target.stats.tokens, "token")}: ${
      textOf(target.tokens.slice(before)).slice(0, 1000)}`);
    await store.put(conversation);
  };

  const addBranch = (tokens, fork, seed) => {
    if (one.branches.length >= BRANCHES) one.branches.shift();
    one.branches.push({ tokens, fork, seed, note: "", stats: null });
    one.current = one.branches.length - 1;
    showBranch();
    return branch();
  };

  const start = () => {
    if (run) return;
    const text = at("prompt").value;
    if (text === "") {
      at("prompt").focus();
      return;
    }
    if (text !== one.prompt) { /* what was made from another text is another conversation */
      if (!isEmpty()) one = fresh();
      one.prompt = text;
      one.title = store.titleOf(text);
    }
    generate(addBranch([], null, null));
  };

  const choose = (index, alternative) => {
    if (run) run.stop();
    const kept = branch().tokens.slice(0, index), seed = branch().seed;
    const target = addBranch([...kept, [...alternative.slice(0, 3), branch().tokens[index][3]]],
      index, seed);
    at("tokens").querySelector(`[data-index="${index}"]`)?.focus();
    tokenView.hide();
    if (ends.has(alternative[0])) {
      target.stats = { tokens: target.tokens.length, rate: null, first: null, finish: "stop",
        seed };
      update();
      store.put(one);
      return;
    }
    generate(target);
  };

  const move = step => {
    one.current += step;
    showBranch();
    announce(at("branch-name").textContent);
    store.put(one);
  };

  const stop = () => {
    if (!run) return false;
    run.stop();
    at("prompt").focus();
    return true;
  };

  const wire = () => {
    tokenView.start(at("tokens"), { box: at("alternatives-box"), nameOf, choose });
    at("alternatives").value = store.setting.get("alternatives", SHOWN);
    at("alternatives").addEventListener("change", () =>
      store.setting.set("alternatives", alternatives()));
    at("prompt-form").addEventListener("submit", event => {
      event.preventDefault();
      start();
    });
    at("prompt").addEventListener("keydown", event => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      start();
    });
    at("prompt-stop").addEventListener("click", stop);
    at("go-on").addEventListener("click", () => generate(branch()));
    at("copy-text").addEventListener("click", event =>
      copyText(one.prompt + textOf(branch().tokens), event.currentTarget));
    at("branch-before").addEventListener("click", () => move(-1));
    at("branch-after").addEventListener("click", () => move(1));
    show();
  };

  return { start: wire, show, stop, request, isEmpty, id: () => one.id,
    focus: () => at("prompt").focus(),
    setEnds: list => { ends = new Map(list.map(end => [end.id, end.text])); } };
})();
