/* chart.js - a small chart of values over time, in SVG: one or two lines, the latest value as text.
 *
 * Redrawn whole; a value that is not known leaves a gap. A screen reader hears the title and the
 * latest values.
 */
const chart = (() => {
  const NS = "http://www.w3.org/2000/svg", HEIGHT = 132, TOP = 8, LEFT = 4, RIGHT = 4, BOTTOM = 18;
  let number = 0;

  const shape = (tag, attributes, text) => {
    const element = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };

  /* The next of 1, 2, 5, 10, ... at or above a value. */
  const round = value => {
    if (!(value > 0)) return 1;
    const ten = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].find(n => n * ten >= value * 0.999999) * ten;
  };

  /* options: title, about, lines: [{name}], format(value), top: the least height of the scale */
  class Chart {
    constructor(parent, options) {
      this.options = options;
      const id = `chart-${number++}`;
      this.values = make("p", { class: "values" });
      this.svg = shape("svg", { role: "img", "aria-labelledby": `${id}-title ${id}-values` });
      this.values.id = `${id}-values`;
      parent.append(make("figure", { class: "chart" },
        make("h3", { id: `${id}-title` }, options.title), this.values, this.svg,
        make("figcaption", { class: "soft" }, options.about)));
    }

    path(points, x, y) {
      let text = "", open = false;
      points.forEach((value, i) => {
        if (value === null) open = false;
        else {
          text += `${open ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
          open = true;
        }
      });
      return text;
    }

    /* series: [line][time], the same number of times each, of `most` at the full width */
    draw(series, most, seconds) {
      const { lines, format, top = 0 } = this.options;
      const width = Math.max(120, this.svg.clientWidth), inner = HEIGHT - TOP - BOTTOM;
      const scale = round(Math.max(top, ...series.flat().filter(value => value !== null)));
      const step = (width - LEFT - RIGHT) / (most - 1);
      const x = i => width - RIGHT - (series[0].length - 1 - i) * step;
      const y = value => TOP + inner * (1 - Math.min(1, value / scale));
      this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      this.svg.replaceChildren(
        ...[0, 0.5, 1].map(part => shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT,
          y1: y(part * scale), y2: y(part * scale) })),
        shape("text", { x: LEFT, y: y(scale) + 14 }, format(scale)),
        shape("text", { x: LEFT, y: HEIGHT - 4 }, `${duration(seconds)} ago`),
        shape("text", { x: width - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, "now"),
        ...series.map((points, i) =>
          shape("path", { class: `line${i}`, d: this.path(points, x, y) })),
        ...series.flatMap((points, i) => points.flatMap((value, j) =>
          value !== null && (points[j - 1] ?? null) === null && (points[j + 1] ?? null) === null
            ? [shape("circle", { class: `line${i}`, cx: x(j), cy: y(value), r: 2 })] : [])));
      this.values.replaceChildren(...lines.map((line, i) => {
        const last = series[i].findLast(value => value !== null);
        return make("span", { class: `line${i}` },
          make("b", {}, last === undefined ? "–" : format(last)), ` ${line.name}`);
      }));
    }
  }

  return { Chart };
})();
