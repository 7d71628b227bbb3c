/* run.js - one generation from its request to its last event: times, tokens, stop.
 *
 * Aborting the request closes its connection, and the server then ends the work.
 */
class Run {
  /* changed(): called when the line of status() may read differently, each second at least */
  constructor(changed) {
    this.changed = changed;
    this.abort = new AbortController();
    this.tokens = 0;
    this.begun = performance.now();
    this.first = this.last = null; /* ms of the page: its first and latest token */
    this.stats = null;
    this.clock = setInterval(changed, 1000);
  }

  count(n) {
    if (n === 0) return;
    this.last = performance.now();
    this.first ??= this.last;
    this.firstCount ??= n;
    this.tokens += n;
    this.changed();
  }

  /* Tokens a second since the first ones came; null: not yet known. */
  rate() {
    const n = this.tokens - (this.firstCount || 0), ms = this.last - this.first;
    return n > 0 && ms > 0 ? 1000 * n / ms : null;
  }

  status() {
    if (this.first === null) {
      const waited = (performance.now() - this.begun) / 1000;
      return waited < 1 ? "Waiting for the first token"
        : `Waiting for the first token, ${Math.round(waited)} s`;
    }
    const rate = this.rate();
    return `${plural(this.tokens, "token")}${rate ? `, ${digits(rate)} a second` : ""}`;
  }

  stop() {
    this.abort.abort();
  }

  /* Sends body and calls take(event) for each event. Returns what went wrong as a sentence, ""
   * where nothing did, and null where it was stopped. */
  async go(path, body, take) {
    try {
      const response = await api.post(path, body, { signal: this.abort.signal });
      for await (const event of api.events(response)) take(event);
      return "";
    } catch (error) {
      if (this.abort.signal.aborted) return null;
      if (!(error instanceof Refusal)) console.error(error);
      this.refusal = error instanceof Refusal ? error : null;
      return error instanceof Refusal ? error.message
        : "The page met an error of its own; the browser's console has it.";
    } finally {
      clearInterval(this.clock);
    }
  }

  /* What is kept with the text. told: what the server said of it. */
  result(told = {}) {
    const first = this.first === null ? null : (this.first - this.begun) / 1000;
    return { tokens: told.tokens ?? this.tokens, rate: told.rate ?? this.rate(),
      first: told.first ?? first, finish: told.finish ?? "", seed: told.seed ?? null };
  }
}

const ENDINGS = { stop: "", length: "at its longest", deadline: "at its deadline" };

const statsText = stats => !stats ? "" : [
  stats.tokens ? plural(stats.tokens, "token") : "",
  stats.rate ? `${digits(stats.rate)} tokens/s` : "",
  stats.first !== null && stats.tokens ? `first after ${duration(stats.first)}` : "",
  stats.seed !== null && stats.seed !== undefined ? `seed ${stats.seed}` : "",
  ENDINGS[stats.finish] ? `ended ${ENDINGS[stats.finish]}` : "",
].filter(Boolean).join(" · ");
