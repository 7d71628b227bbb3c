/* markdown.js - Markdown as DOM nodes, while it is still being written.
 *
 * The text comes from a model, so it is hostile: it becomes text, and elements of the few kinds
 * that are made here. HTML stays text, images become links, links go to http, https and mailto alone
 * and show where they go. Depth and columns are bounded, and so is what is formatted at all: the
 * rest of a very long text is shown as it is. Inline parts are in inline.js.
 */
const markdown = (() => {
  const DEPTH = 10, COLUMNS = 50, MARK_MAX = 200;
  const FORMATTED = 200000, PIECE = 10000; /* characters: formatted, and in one plain piece */
  const FENCE = /^( {0,3})(`{3,}|~{3,})(.*)$/;
  const ITEM = /^( {0,3})([-+*]|\d{1,9}[.)])(?:( {1,4})(?=[^ ])|$| )/;
  const QUOTE = /^ {0,3}> ?/;
  const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
  const HEADING = /^ {0,3}(#{1,6})(?: +|$)/;

  const isBlank = line => line.trim() === "";
  const short = line => line.length <= MARK_MAX;
  const indentOf = line => line.length - line.trimStart().length;
  const isRule = line => short(line) && RULE.test(line);
  const fenceOf = line => {
    const match = FENCE.exec(line);
    return match && !(match[2][0] === "`" && match[3].includes("`")) ? match : null;
  };
  const itemOf = line => (isRule(line) ? null : ITEM.exec(line));

  const cells = line => {
    const parts = line.trim().replace(/^\|/, "").split(/(?<!\\)\|/, COLUMNS + 1);
    if (parts.length > 1 && parts[parts.length - 1].trim() === "") parts.pop();
    return parts.slice(0, COLUMNS).map(part => part.trim().replaceAll("\\|", "|"));
  };
  /* The alignments of the row below a table's heads; null: it is none. */
  const alignments = (head, line) => {
    if (line === undefined || !short(line) || !head.includes("|") || !/^[\s|:-]+$/.test(line))
      return null;
    if (indentOf(head) >= 4) return null;
    const marks = cells(line);
    if (!line.includes("-") || marks.length !== cells(head).length) return null;
    if (!marks.every(mark => /^:?-+:?$/.test(mark))) return null;
    return marks.map(mark => mark.endsWith(":") ? (mark.startsWith(":") ? "center" : "end") : "");
  };
  /* A line that ends a paragraph by beginning something else. */
  const interrupts = line => {
    if (QUOTE.test(line) || fenceOf(line) || HEADING.test(line) || isRule(line)) return true;
    const item = itemOf(line);
    return item !== null && line.length > item[0].length && !/^(?!1[.)])\d/.test(item[2]);
  };

  /* --- where the blocks are: [from, to) in lines, and what each is --- */

  const takeFence = (lines, from) => {
    const [, indent, mark, info] = fenceOf(lines[from]);
    let to = from + 1;
    const ends = line => {
      const text = line.trim();
      return indentOf(line) < 4 && text.length >= mark.length &&
        text === mark[0].repeat(text.length);
    };
    while (to < lines.length && !ends(lines[to])) to++;
    return { kind: "code", from, to: Math.min(to + 1, lines.length), info: info.trim(),
      text: lines.slice(from + 1, to).map(line =>
        line.slice(Math.min(indent.length, indentOf(line)))) };
  };

  const takeQuote = (lines, from) => {
    let to = from;
    while (to < lines.length && QUOTE.test(lines[to])) to++;
    return { kind: "quote", from, to,
      lines: lines.slice(from, to).map(line => line.replace(QUOTE, "")) };
  };

  const takeList = (lines, from) => {
    const [, , mark] = itemOf(lines[from]), ordered = /\d/.test(mark), items = [];
    const sameList = found => found && (ordered ? /\d/.test(found[2]) &&
      found[2].slice(-1) === mark.slice(-1) : found[2] === mark);
    let to = from, loose = false, width = 0, blank = false;
    while (to < lines.length) {
      const line = lines[to], found = indentOf(line) < Math.max(width, 1) || items.length === 0
        ? itemOf(line) : null;
      if (sameList(found)) {
        width = found[1].length + found[2].length + (found[3] || " ").length;
        loose = loose || blank && items.length > 0;
        items.push([line.slice(found[0].length === line.length ? line.length : width)]);
        blank = false;
      } else if (isBlank(line)) {
        if (items[items.length - 1].length === 1 && isBlank(items[items.length - 1][0])) break;
        items[items.length - 1].push("");
        blank = true;
      } else if (indentOf(line) >= width) {
        loose = loose || blank && indentOf(line) === width && !itemOf(line.slice(width));
        items[items.length - 1].push(line.slice(width));
        blank = false;
      } else if (!blank && !found && !interrupts(line)) {
        items[items.length - 1].push(line.trimStart());
      } else {
        break;
      }
      to++;
    }
    return { kind: "list", from, to, ordered, start: parseInt(mark, 10), loose, items };
  };

  const takeTable = (lines, from, aligns) => {
    let to = from + 2;
    while (to < lines.length && !isBlank(lines[to]) && !interrupts(lines[to])) to++;
    return { kind: "table", from, to, aligns, head: cells(lines[from]),
      rows: lines.slice(from + 2, to).map(cells) };
  };

  const takeIndented = (lines, from) => {
    let to = from, last = from;
    for (; to < lines.length && (isBlank(lines[to]) || indentOf(lines[to]) >= 4); to++)
      if (!isBlank(lines[to])) last = to;
    return { kind: "code", from, to, info: "",
      text: lines.slice(from, last + 1).map(line => line.slice(4)) };
  };

  const takeParagraph = (lines, from) => {
    let to = from + 1;
    for (; to < lines.length && !isBlank(lines[to]); to++) {
      if (short(lines[to]) && /^ {0,3}(=+|-{2,}) *$/.test(lines[to]))
        return { kind: "heading", from, to: to + 1, level: lines[to].includes("=") ? 1 : 2,
          text: lines.slice(from, to).join("\n").trim() };
      if (interrupts(lines[to]) || alignments(lines[to], lines[to + 1])) break;
    }
    return { kind: "paragraph", from, to, text: lines.slice(from, to).map(line =>
      line.trimStart()).join("\n") };
  };

  const takeHeading = (lines, from) => {
    const match = HEADING.exec(lines[from]);
    let text = lines[from].slice(match[0].length).trim(), end = text.length;
    while (end > 0 && text[end - 1] === "#") end--;
    if (end === 0 || text[end - 1] === " ") text = text.slice(0, end).trimEnd();
    return { kind: "heading", from, to: from + 1, level: match[1].length, text };
  };

  const take = (lines, from) => {
    const line = lines[from];
    if (fenceOf(line)) return takeFence(lines, from);
    if (indentOf(line) >= 4) return takeIndented(lines, from);
    if (HEADING.test(line)) return takeHeading(lines, from);
    if (isRule(line)) return { kind: "rule", from, to: from + 1 };
    if (QUOTE.test(line)) return takeQuote(lines, from);
    if (itemOf(line)) return takeList(lines, from);
    const aligns = alignments(line, lines[from + 1]);
    return aligns ? takeTable(lines, from, aligns) : takeParagraph(lines, from);
  };

  const blocksOf = lines => {
    const blocks = [];
    for (let i = 0; i < lines.length;) {
      if (isBlank(lines[i])) {
        i++;
        continue;
      }
      blocks.push(take(lines, i));
      i = blocks[blocks.length - 1].to;
    }
    return blocks;
  };

  /* --- blocks as elements --- */

  const codeOf = block => {
    const text = block.text.join("\n"), language = /^[\w+#.-]{0,30}/.exec(block.info)[0];
    const code = make("code");
    inline.addText(code, text);
    return make("figure", { class: "code" },
      make("figcaption", {}, make("span", { dir: "auto" }, language || "text"),
        button("Copy", event => copyText(text, event.currentTarget),
          { "aria-label": "Copy code" })),
      make("pre", { tabindex: "0", "aria-label": "Code", role: "region" }, code));
  };

  const tableOf = block => {
    const row = (tag, texts) => make("tr", {}, ...block.head.map((_, i) => {
      const cell = make(tag, { class: block.aligns[i] || null, dir: "auto" });
      inline.fill(cell, texts[i] || "");
      return cell;
    }));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
      make("table", {}, make("thead", {}, row("th", block.head)),
        make("tbody", {}, ...block.rows.map(texts => row("td", texts)))));
  };

  const listOf = (block, state, depth) => {
    const items = block.items.map(lines => {
      const item = make("li", { dir: "auto" }), task = /^\[([ xX])\] /.exec(lines[0]);
      if (task) {
        item.className = "task";
        item.append(make("span", { class: "box" }, task[1] === " " ? "☐" : "☑"), " ");
        lines = [lines[0].slice(4), ...lines.slice(1)];
      }
      for (const inner of blocksOf(lines)) {
        if (inner.kind === "paragraph" && !block.loose) inline.fill(item, inner.text);
        else item.append(elementOf(inner, state, depth + 1));
      }
      return item;
    });
    return make(block.ordered ? "ol" : "ul",
      { start: block.ordered && block.start !== 1 ? block.start : null }, ...items);
  };

  /* Levels without gaps below the message's own heading, whatever the text has. */
  const headingOf = (block, state) => {
    while (state.levels.length > 0 && state.levels[state.levels.length - 1] >= block.level)
      state.levels.pop();
    state.levels.push(block.level);
    const element = make(`h${Math.min(6, 2 + state.levels.length)}`,
      { class: `size${block.level}`, dir: "auto" });
    inline.fill(element, block.text || " ");
    return element;
  };

  const elementOf = (block, state, depth) => {
    if (depth >= DEPTH && (block.kind === "quote" || block.kind === "list")) {
      const text = (block.lines || block.items.flat()).join("\n");
      block = { kind: "paragraph", text };
    }
    switch (block.kind) {
    case "code": return codeOf(block);
    case "table": return tableOf(block);
    case "list": return listOf(block, state, depth);
    case "heading": return headingOf(block, state);
    case "rule": return make("hr");
    case "quote": return make("blockquote", { dir: "auto" },
      ...blocksOf(block.lines).map(inner => elementOf(inner, state, depth + 1)));
    default: {
      const element = make("p", { dir: "auto" });
      inline.fill(element, block.text);
      return element;
    }
    }
  };

  const linesOf = text => text.replaceAll("\r", "").split("\n").map(line =>
    line.includes("\t") ? line.replace(/^[ \t]+/, space => space.replaceAll("\t", "    ")) : line);

  /* A text that grows. Blocks that can change no more stay as they are; only the last one is made
   * again, and seldom enough to leave the browser most of its time. */
  class Stream {
    constructor(parent, settled = () => {}) {
      this.parent = parent;
      this.settled = settled; /* called with each element that changes no more */
      this.tail = "";
      this.open = []; /* what the tail has become */
      this.levels = [];
      this.timer = null;
      this.next = 0;
      this.room = FORMATTED;
      this.piece = null; /* the last plain one */
    }

    add(text) {
      const now = text.slice(0, this.room);
      this.room -= now.length;
      this.tail += now.replaceAll("\r", "");
      if (now.length < text.length) this.addPlain(text.slice(now.length));
      else if (this.timer === null)
        this.timer = setTimeout(() => this.render(), Math.max(16, this.next - performance.now()));
    }

    /* What goes beyond the bound, in pieces of a length that the browser sets quickly. */
    addPlain(text) {
      if (this.piece === null) this.render(true);
      for (let from = 0; from < text.length;) {
        if (this.piece === null || this.piece.room === 0) {
          this.piece = { room: PIECE, element: make("div", { class: "plain", dir: "auto" }) };
          this.parent.append(this.piece.element);
        }
        const part = text.slice(from, from + this.piece.room);
        inline.addText(this.piece.element, part);
        this.piece.room -= part.length;
        from += part.length;
      }
    }

    render(last = false) {
      const begin = performance.now(), lines = linesOf(this.tail), blocks = blocksOf(lines);
      clearTimeout(this.timer);
      this.timer = null;
      for (const element of this.open) element.remove();
      this.open = [];
      const state = { levels: [...this.levels] };
      /* Settled: what is followed by the beginning of another block, in lines that are whole. */
      const begins = block => block.kind === "table" ? block.from + 1 : block.from;
      let n = last ? blocks.length : Math.max(0, blocks.length - 1);
      if (!last && n > 0 && begins(blocks[n]) === lines.length - 1) n--;
      blocks.forEach((block, i) => {
        const element = elementOf(block, state, 0);
        this.parent.append(element);
        if (i < n) {
          this.levels = [...state.levels];
          this.settled(element);
        } else {
          this.open.push(element);
        }
      });
      if (last) this.tail = "";
      else if (n > 0) this.tail = lines.slice(blocks[n].from).join("\n");
      const now = performance.now();
      this.next = now + 4 * (now - begin);
    }

    finish() {
      if (this.piece === null) this.render(true);
    }
  }

  const fill = (parent, text) => {
    const stream = new Stream(parent);
    stream.add(text);
    stream.finish();
  };

  return { Stream, fill };
})();
