/* dom.js - making elements, telling a screen reader, copying, numbers as text.
 *
 * Elements come to be by make() alone: text is set as text, never read as HTML.
 */
const at = id => document.getElementById(id);

/* make("button", {class: "quiet", type: "button", on: {click: f}}, "text", node, ...) */
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, f] of Object.entries(value)) element.addEventListener(event, f);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
};

const button = (text, click, attributes = {}) =>
  make("button", { type: "button", ...attributes, on: { click } }, text);

/* Says a sentence to a screen reader. Each is an element of its own, so that none is cut short by
 * the next; old ones go. */
const announce = sentence => {
  const region = at("announcer");
  while (region.childElementCount >= 20) region.firstElementChild.remove();
  region.append(make("p", {}, sentence));
};

/* The clipboard where the browser has one (secure pages and localhost), else by a selection. */
const copyText = async (text, from) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
    field.value = text;
    (from.closest("dialog") || document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    from.focus();
  }
  const before = from.textContent;
  from.textContent = "Copied";
  announce("Copied");
  setTimeout(() => { if (from.textContent === "Copied") from.textContent = before; }, 1500);
};

/* A message of the server as a sentence. */
const sentence = message => {
  const text = message.trim();
  const end = /[.!?]$/.test(text) ? "" : ".";
  return text === "" ? "" : text[0].toUpperCase() + text.slice(1) + end;
};

const plural = (n, one, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/* Three digits: 0.00123, 1.23, 12.3, 123, 1,230 */
const digits = value =>
  Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en")
    : String(Number(value.toPrecision(3)));

const duration = seconds =>
  seconds < 0.9995 ? `${digits(seconds * 1000)} ms`
    : seconds < 60 ? `${digits(seconds)} s`
      : `${Math.floor(seconds / 60)} min${
        Math.round(seconds % 60) ? ` ${Math.round(seconds % 60)} s` : ""}`;

const bytesText = bytes => {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
    if (bytes >= 0.9995 * size) return `${digits(bytes / size)} ${unit}`;
  return `${bytes} B`;
};

const percent = share =>
  share >= 0.9995 ? "100%" : share >= 0.0995 ? `${(100 * share).toFixed(0)}%`
    : share >= 0.00095 ? `${(100 * share).toFixed(1)}%` : "<0.1%";
