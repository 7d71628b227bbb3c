/* inline.js - the inline part of Markdown: emphasis, code, links, breaks; and how any text of a
 * model becomes visible.
 *
 * Characters that would hide or reorder what is read are shown by name. Bounded: a text that is too
 * long is shown as it is, and emphasis nests only so deep.
 */
const inline = (() => {
  const LONGEST = 50000, DEPTH = 12, ADDRESS_MAX = 2000;
  /* Controls, marks that reorder text, line separators, invisible tags. */
  const HIDDEN =
    /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]|\udb40[\udc00-\udc7f]/g;
  /* (<address> "title"), or (address "title") where parentheses in the address are pairs */
  const DESTINATION = new RegExp(
    String.raw`^\(\s*(?:<([^<>\n]*)>|([^\s()<]*(?:\([^\s()]*\)[^\s()]*)*))` +
    String.raw`(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)`);
  const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
  const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: "\"", apos: "'", nbsp: "\u00a0" };

  const nameOf = mark => {
    const code = mark.codePointAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  };

  /* Text as text, with what is hidden in it made visible. */
  const addText = (parent, text) => {
    let from = 0;
    for (const match of text.matchAll(HIDDEN)) {
      if (match.index > from) parent.append(text.slice(from, match.index));
      parent.append(make("span", { class: "control" }, nameOf(match[0])));
      from = match.index + match[0].length;
    }
    if (from < text.length) parent.append(text.slice(from));
  };

  /* Where a link may go; null: nowhere. One with a name and password shows another host than it
   * goes to. */
  const addressOf = text => {
    if (text.length > ADDRESS_MAX || /[\0-\x20]/.test(text)) return null;
    if (!/^(https?:\/\/|mailto:)/i.test(text)) return null;
    try {
      const url = new URL(text);
      return url.username || url.password ? null : url.href;
    } catch {
      return null;
    }
  };

  const linkTo = (address, content) => {
    const shown = address.length > 80 ? `${address.slice(0, 79)}…` : address;
    const link = make("a", { href: address, target: "_blank", rel: "noopener noreferrer" });
    link.append(content);
    const plain = link.textContent.trim();
    if (plain === "") link.replaceChildren(shown);
    const same = text => text.replace(/^(https?:\/\/|mailto:)/i, "").replace(/\/$/, "");
    if (plain !== "" && same(plain) !== same(shown))
      link.append(make("span", { class: "address" }, ` (${shown})`));
    return link;
  };

  /* ](address "title") from the parenthesis on; null: it is no such thing. */
  const destination = (text, from) => {
    const part = text.slice(from, from + ADDRESS_MAX + 300);
    const match = DESTINATION.exec(part);
    return match && { address: match[1] ?? match[2], to: from + match[0].length };
  };

  /* For each place where backticks begin, where as many of them come next. */
  const codeSpans = text => {
    const runs = [...text.matchAll(/`+/g)], next = new Map(), seen = new Map();
    for (let i = runs.length - 1; i >= 0; i--) {
      const n = runs[i][0].length;
      next.set(runs[i].index, { n, close: seen.get(n) });
      seen.set(n, runs[i].index);
    }
    return next;
  };

  const isSpace = c => c === "" || /\s/.test(c);

  /* How a run of *, _ or ~ may open and close (CommonMark's left and right flanking). */
  const flanks = (text, from, to) => {
    const before = text.slice(Math.max(0, from - 1), from), after = text.slice(to, to + 1);
    const left = !isSpace(after) && (!PUNCTUATION.test(after) || isSpace(before) ||
      PUNCTUATION.test(before));
    const right = !isSpace(before) && (!PUNCTUATION.test(before) || isSpace(after) ||
      PUNCTUATION.test(after));
    if (text[from] !== "_") return { opens: left, closes: right };
    return { opens: left && (!right || PUNCTUATION.test(before)),
      closes: right && (!left || PUNCTUATION.test(after)) };
  };

  class Reader {
    constructor(text) {
      this.text = text;
      this.out = document.createDocumentFragment();
      this.marks = [];    /* runs of *, _ and ~ that may become emphasis */
      this.brackets = []; /* [ that may begin a link */
      this.heights = new Map();
      this.spans = codeSpans(text);
      this.plain = "";
    }

    flush() {
      if (this.plain) addText(this.out, this.plain);
      this.plain = "";
    }

    append(node) {
      this.flush();
      this.out.append(node);
      return node;
    }

    code(at) {
      const { n, close } = this.spans.get(at) || { n: 1 };
      if (close === undefined) {
        this.plain += this.text.slice(at, at + n);
        return at + n;
      }
      let inner = this.text.slice(at + n, close).replaceAll("\n", " ");
      if (inner.startsWith(" ") && inner.endsWith(" ") && inner.trim()) inner = inner.slice(1, -1);
      addText(this.append(make("code")), inner);
      return close + n;
    }

    run(at) {
      const c = this.text[at];
      let to = at + 1;
      while (this.text[to] === c) to++;
      const how = flanks(this.text, at, to), n = to - at;
      if ((how.opens || how.closes) && (c !== "~" || n <= 2)) {
        const node = this.append(document.createTextNode(this.text.slice(at, to)));
        this.marks.push({ node, c, n, all: n, ...how });
      } else {
        this.plain += this.text.slice(at, to);
      }
      return to;
    }

    open(at, image) {
      const mark = image ? "![" : "[";
      const node = this.append(document.createTextNode(mark));
      this.brackets.push({ node, image, marks: this.marks.length, live: true });
      return at + mark.length;
    }

    close(at) {
      const bracket = this.brackets.pop();
      const found = bracket && bracket.live && this.text[at + 1] === "("
        ? destination(this.text, at + 1) : null;
      const address = found && addressOf(found.address);
      if (!address) {
        this.plain += "]";
        return at + 1;
      }
      this.flush();
      this.emphasize(bracket.marks);
      const content = document.createDocumentFragment();
      if (bracket.image) content.append("Image: ");
      while (bracket.node.nextSibling) content.append(bracket.node.nextSibling);
      if (bracket.image && content.childNodes.length === 1) content.append("without a name");
      bracket.node.remove();
      this.append(linkTo(address, content));
      for (const other of this.brackets) other.live = other.live && other.image;
      return found.to;
    }

    /* A bare address; what closes a sentence is not part of it. */
    bare(at) {
      const before = this.text[at - 1];
      if (before !== undefined && /[\w/]/.test(before)) return at;
      const rest = /^https?:\/\/[^\s<>"'`\\]+/i.exec(this.text.slice(at, at + ADDRESS_MAX + 1));
      let found = rest ? rest[0] : "";
      for (;;) {
        const last = found.slice(-1);
        const opening = { ")": "(", "]": "[" }[last];
        const unopened = opening !== undefined && !found.includes(opening);
        if (!last || !(unopened || ".,;:!?*_~".includes(last))) break;
        found = found.slice(0, -1);
      }
      const address = addressOf(found);
      if (!address) return at;
      this.append(linkTo(address, document.createTextNode(found)));
      return at + found.length;
    }

    angle(at) {
      const part = this.text.slice(at, at + ADDRESS_MAX + 2);
      const shown = /^<((?:https?:\/\/|mailto:)[^<>\s]*)>/i.exec(part);
      const address = shown && addressOf(shown[1]);
      if (address) {
        this.append(linkTo(address, document.createTextNode(shown[1])));
        return at + shown[0].length;
      }
      const rest = /^<br\s{0,3}\/?>/i.exec(part);
      if (!rest) return at;
      this.append(make("br"));
      return at + rest[0].length;
    }

    entity(at) {
      const match = /^&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w{2,6}));/
        .exec(this.text.slice(at, at + 12));
      if (!match) return at;
      const code = match[1] ? Number(match[1]) : parseInt(match[2], 16);
      const text = match[3] ? ENTITIES[match[3]] : code > 0 && code <= 0x10ffff
        ? String.fromCodePoint(code) : undefined;
      if (text === undefined) return at;
      this.plain += text;
      return at + match[0].length;
    }

    newline(at) {
      const hard = /(?: {2,}|\\)$/.test(this.plain.slice(-4));
      this.plain = this.plain.replace(/\\$/, "").trimEnd();
      if (hard) this.append(make("br"));
      else this.plain += "\n";
      return at + 1;
    }

    /* What stands at `at`, if it is anything but itself; returns where it ends. */
    step(at) {
      const c = this.text[at];
      switch (c) {
      case "\\":
        if (!/[!-/:-@[-`{-~]/.test(this.text[at + 1] || "")) return at;
        this.plain += this.text[at + 1];
        return at + 2;
      case "`": return this.code(at);
      case "*": case "_": case "~": return this.run(at);
      case "[": return this.open(at, false);
      case "!": return this.text[at + 1] === "[" ? this.open(at, true) : at;
      case "]": return this.close(at);
      case "<": return this.angle(at);
      case "&": return this.entity(at);
      case "\n": return this.newline(at);
      case "h": case "H": return this.bare(at);
      default: return at;
      }
    }

    read() {
      const special = /[\\`*_~[\]!<&\n]|https?:\/\//gi;
      for (let at = 0; at < this.text.length;) {
        special.lastIndex = at;
        const match = special.exec(this.text), to = match ? match.index : this.text.length;
        this.plain += this.text.slice(at, to);
        at = to;
        if (at >= this.text.length) break;
        const after = this.step(at);
        if (after === at) this.plain += this.text[at++];
        else at = after;
      }
      this.flush();
      this.emphasize(0);
      return this.out;
    }

    /* Wraps what lies between two runs; false: it would nest too deep. */
    wrap(tag, opener, closer) {
      let height = 0, n = 0;
      for (let node = opener.node.nextSibling; node !== closer.node; node = node.nextSibling) {
        height = Math.max(height, this.heights.get(node) || 0);
        n++;
      }
      if (height >= DEPTH) return false;
      const element = make(tag);
      for (; n > 0; n--) element.append(opener.node.nextSibling);
      this.heights.set(element, height + 1);
      closer.node.before(element);
      return true;
    }

    /* Pairs the runs from marks[bottom] on, CommonMark's way; then they are text. */
    emphasize(bottom) {
      const marks = this.marks.splice(bottom), stack = [], floors = new Map();
      for (const closer of marks) {
        while (closer.closes && closer.n > 0) {
          const width = closer.c === "~" ? closer.n : "";
          const sort = `${closer.c}${closer.opens}${closer.all % 3}${width}`;
          const floor = floors.get(sort) || 0;
          let i = stack.length - 1;
          for (; i >= floor; i--) {
            const opener = stack[i];
            const odd = (opener.closes || closer.opens) && closer.c !== "~" &&
              (opener.all + closer.all) % 3 === 0 && (opener.all % 3 || closer.all % 3);
            if (opener.c === closer.c && !odd && (closer.c !== "~" || opener.n === closer.n)) break;
          }
          if (i < floor) {
            floors.set(sort, stack.length);
            break;
          }
          const opener = stack[i], n = closer.c === "~" ? closer.n
            : Math.min(2, opener.n, closer.n);
          stack.length = i + 1;
          for (const [name, value] of floors) floors.set(name, Math.min(value, i));
          if (!this.wrap(closer.c === "~" ? "del" : n === 2 ? "strong" : "em", opener, closer)) {
            stack.length = 0;
            break;
          }
          for (const side of [opener, closer]) {
            side.n -= n;
            side.node.data = side.c.repeat(side.n);
          }
          if (opener.n === 0) stack.pop();
        }
        if (closer.opens && closer.n > 0) stack.push(closer);
      }
    }
  }

  const fill = (parent, text) => {
    if (text.length > LONGEST) addText(parent, text);
    else parent.append(new Reader(text).read());
  };

  return { fill, addText };
})();
