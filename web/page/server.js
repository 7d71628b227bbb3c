/* server.js - the server's state: figures in the head, charts and facts in the Server tab.
 *
 * Looks at GET /metrics while the page is seen, and never asks for a key by itself.
 */
const server = (() => {
  const EVERY_MS = 2000, MOST = 120;
  const FIRST = "gen_ai_server_time_to_first_token_seconds";
  const history = []; /* {tokens, running, queued, median, slow, memory, kv} */
  let charts = [], before = null, timer = null, failed = "";

  const count = value => value === 0 ? "0" : digits(value);

  const chartsIn = parent => [
    [["tokens"], new chart.Chart(parent, { title: "Tokens", lines: [{ name: "a second" }],
      format: count, top: 1, about: "Generated for all clients." })],
    [["running", "queued"], new chart.Chart(parent, { title: "Requests",
      lines: [{ name: "running" }, { name: "waiting" }], format: count, top: 1,
      about: "Generations alone." })],
    [["median", "slow"], new chart.Chart(parent, { title: "Time to the first token",
      lines: [{ name: "median" }, { name: "95 of 100 within" }], format: duration,
      about: "Of the requests between two looks." })],
    [["memory"], new chart.Chart(parent, { title: "Memory", lines: [{ name: "resident" }],
      format: bytesText, about: "Of the server's process." })],
    [["kv"], new chart.Chart(parent, { title: "KV cache", lines: [{ name: "in use" }],
      format: percent, top: 1,
      about: "By running requests; what is kept for reuse is not in it." })],
  ];

  const take = sample => {
    const { value, rate, quantile } = metrics;
    const seconds = before ? (sample.at - before.at) / 1000 : 0;
    const old = before ? before.values : new Map(), now = sample.values;
    if (before)
      history.push({
        tokens: rate(old, now, "smallmind_generated_tokens_total", seconds),
        running: value(now, "smallmind_requests_running"),
        queued: value(now, "smallmind_requests_queued"),
        median: quantile(old, now, FIRST, 0.5), slow: quantile(old, now, FIRST, 0.95),
        memory: value(now, "process_resident_memory_bytes"),
        kv: value(now, "smallmind_kv_usage_ratio"),
      });
    if (history.length > MOST) history.shift();
    before = sample;
  };

  const draw = () => {
    const last = history[history.length - 1];
    at("live").replaceChildren(...failed || !last ? [] : [`${count(last.tokens)} tokens/s`,
      make("span", { class: "more" },
        ` · ${last.running} running${last.queued ? ` · ${last.queued} waiting` : ""}`)]);
    at("server-note").textContent = failed || (last ? "" : "The first figures come in a moment.");
    at("server-note").hidden = at("server-note").textContent === "";
    if (at("server").hidden || !last) return;
    for (const [names, one] of charts)
      one.draw(names.map(name => history.map(entry => entry[name])), MOST, MOST * EVERY_MS / 1000);
  };

  const look = async () => {
    clearTimeout(timer);
    timer = null;
    if (document.hidden) return;
    try {
      const text = await api.text("/metrics", { silent: true });
      take({ at: performance.now(), values: metrics.parse(text) });
      failed = "";
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      failed = error.message;
      before = null;
    } finally {
      draw();
      timer = timer ?? setTimeout(look, EVERY_MS);
    }
  };

  const fact = (name, text) => text === null || text === undefined || text === ""
    ? [] : [make("div", {}, make("dt", {}, name), make("dd", {}, String(text)))];

  /* info: what GET /info says */
  const showFacts = info => {
    const { model, kv } = info;
    at("facts").replaceChildren(
      ...fact("Model", model.title || model.name),
      ...fact("Architecture",
        `${model.architecture}, ${digits(model.parameters / 1e6)} M parameters`),
      ...fact("Weights", `${model.weights}, ${bytesText(model.bytes)}`),
      ...fact("Context", `${info.context.toLocaleString("en")} tokens`),
      ...fact("KV cache", `${kv.type}, ${bytesText(kv.bytes)}`),
      ...fact("Kernels", info.kernels), ...fact("Processor", info.cpu),
      ...fact("Threads", info.threads_why), ...fact("Version", info.version));
  };

  const start = () => {
    charts = chartsIn(at("charts"));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && !timer) look();
    });
    addEventListener("resize", draw);
    look();
  };

  return { start, draw, showFacts };
})();
