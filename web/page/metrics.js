/* metrics.js - what GET /metrics says, and what happened between two looks at it. Pure. */
const metrics = (() => {
  const LINE = /^([\w:]+)(?:\{([^}]*)\})? (\S+)$/;

  /* {"name{labels}": number} of Prometheus' text form */
  const parse = text => {
    const found = new Map();
    for (const line of text.split("\n")) {
      const match = line.startsWith("#") ? null : LINE.exec(line);
      if (match) found.set(match[2] ? `${match[1]}{${match[2]}}` : match[1], Number(match[3]));
    }
    return found;
  };

  const value = (sample, name) => sample.get(name) ?? 0;

  /* What a counter gained a second; a restart begins it anew. */
  const rate = (before, now, name, seconds) => {
    const gain = value(now, name) - value(before, name);
    return seconds > 0 ? (gain >= 0 ? gain : value(now, name)) / seconds : 0;
  };

  /* The upper bounds of a histogram's buckets and what each counts, cumulative. */
  const buckets = (sample, name) => {
    const begin = `${name}_bucket{le="`, found = [];
    for (const [key, count] of sample)
      if (key.startsWith(begin)) found.push([Number(key.slice(begin.length, -2).replace("+Inf",
        "Infinity")), count]);
    return found.sort((a, b) => a[0] - b[0]);
  };

  /* A quantile of what was observed between two samples, by straight lines inside a bucket; null:
   * nothing was observed. */
  const quantile = (before, now, name, q) => {
    const old = new Map(buckets(before, name)), all = buckets(now, name);
    const restarted = all.some(([bound, count]) => count < (old.get(bound) || 0));
    const gained = all.map(([bound, count]) =>
      [bound, count - (restarted ? 0 : old.get(bound) || 0)]);
    const total = gained.length ? gained[gained.length - 1][1] : 0;
    if (total === 0) return null;
    let low = 0, below = 0;
    for (const [bound, count] of gained) {
      if (count >= q * total) {
        const part = (q * total - below) / (count - below);
        return bound === Infinity ? low : low + (bound - low) * part;
      }
      low = bound;
      below = count;
    }
    return low;
  };

  return { parse, value, rate, quantile };
})();
