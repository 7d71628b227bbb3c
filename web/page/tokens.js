/* tokens.js - a generated text token by token: probabilities, alternatives, the choice of one.
 *
 * Each token is a part of the flowing text that takes the focus; its alternatives stand in a box
 * beside it. Arrows move between tokens, Down goes into the box, Enter takes an alternative.
 */
const tokenView = (() => {
  const LEAVE_MS = 300;
  /* Names of probabilities, for the style sheet: the less likely, the stronger. */
  const levelOf = p => p >= 0.8 ? 5 : p >= 0.5 ? 4 : p >= 0.2 ? 3 : p >= 0.05 ? 2 : 1;
  const probability = logprob => logprob === null ? null : Math.min(1, Math.exp(logprob));

  /* A token's text with its spaces and line ends to be seen. */
  const visible = text => text === "" ? "(no text)"
    : text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ | $/g, "␣");
  const spoken = text => text.trim() === "" ? text === "" ? "no text"
    : text.includes("\n") ? "line end" : "space" : text.trim();

  let box, list, nameOf, choose, shown = null, timer = null;

  const elementOf = (token, index, forked) => {
    const [, text, logprob] = token, p = probability(logprob);
    const label = `${spoken(text)}${p === null ? "" : `, ${percent(p)}`}`;
    const element = make("span", { role: "button", tabindex: index === 0 ? "0" : "-1",
      class: `token${p === null ? "" : ` p${levelOf(p)}`}${forked ? " forked" : ""}`,
      "data-index": index, "aria-label": label, "aria-haspopup": "dialog",
      "aria-expanded": "false" });
    if (text.includes("\n"))
      element.append(make("span", { class: "end", "aria-hidden": "true" }, "⏎"));
    inline.addText(element, text);
    if (text === "") element.append(make("span", { class: "control" }, nameOf(token)));
    return element;
  };

  const hide = () => {
    clearTimeout(timer);
    if (!shown) return;
    shown.setAttribute("aria-expanded", "false");
    box.hidden = true;
    shown = null;
  };
  const hideSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (!box.contains(document.activeElement) && document.activeElement !== shown) hide();
    }, LEAVE_MS);
  };

  const place = element => {
    const rects = element.getClientRects();
    const r = rects[rects.length - 1] || element.getBoundingClientRect();
    const width = box.offsetWidth, height = box.offsetHeight;
    const left = Math.max(8, Math.min(r.left, innerWidth - width - 8));
    const below = r.bottom + 4 + height <= innerHeight;
    box.style.left = `${left}px`;
    box.style.top = `${below ? r.bottom + 4 : Math.max(8, r.top - height - 4)}px`;
  };

  /* The alternatives, the token itself among them, the likeliest first. */
  const alternatives = token => {
    const top = token[3].some(one => one[0] === token[0]) ? token[3] : [...token[3], token];
    return [...top].sort((a, b) => (b[2] ?? -1e9) - (a[2] ?? -1e9));
  };

  const row = (one, token, index) => {
    const p = probability(one[2]), taken = one[0] === token[0];
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--part", p === null ? 0 : p);
    const name = make("span", { class: "name", dir: "auto" });
    inline.addText(name, one[1] === "" ? nameOf(one) : visible(one[1]));
    return make("button", { type: "button", class: taken ? "taken" : null,
      "aria-current": taken ? "true" : null,
      on: { click: () => { hide(); choose(index, one); } } },
    name, bar, make("span", { class: "value" }, p === null ? "" : percent(p)),
    make("span", { class: "unseen" }, taken ? " in the text" : " go on from here"));
  };

  const open = element => {
    const index = Number(element.dataset.index), token = list[index];
    clearTimeout(timer);
    if (!token || shown === element) return;
    hide();
    shown = element;
    element.setAttribute("aria-expanded", "true");
    const rows = alternatives(token).map(one => row(one, token, index));
    box.replaceChildren(
      make("p", { class: "soft" }, `Token ${index + 1}, id ${token[0]}`),
      ...token[3].length ? rows : [make("p", {}, "No alternatives were asked for.")]);
    box.hidden = false;
    place(element);
  };

  const focusToken = (parent, index) => {
    const next = parent.querySelector(`[data-index="${index}"]`);
    if (!next) return;
    for (const other of parent.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  };

  const onKey = event => {
    const parent = event.currentTarget, here = event.target.closest(".token");
    if (!here) return;
    const index = Number(here.dataset.index);
    const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0,
      End: list.length - 1 }[event.key];
    if (to !== undefined) focusToken(parent, to);
    else if (["ArrowDown", "Enter", " "].includes(event.key)) {
      open(here);
      (box.querySelector("button:not(.taken)") || box.querySelector("button"))?.focus();
    } else if (event.key === "Escape" && shown) hide();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const onBoxKey = event => {
    const rows = [...box.querySelectorAll("button")], i = rows.indexOf(document.activeElement);
    if (event.key === "ArrowDown") rows[(i + 1) % rows.length]?.focus();
    else if (event.key === "ArrowUp") rows[(i - 1 + rows.length) % rows.length]?.focus();
    else if (event.key === "Escape" || event.key === "ArrowLeft" || event.key === "Tab") {
      const back = shown;
      back?.focus();
      if (event.key === "Escape") hide();
      if (event.key === "Tab") return;
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  /* options: box, the element of the alternatives; nameOf(token), of one without text;
   * choose(index, alternative) */
  const start = (parent, options) => {
    ({ box, nameOf, choose } = options);
    list = [];
    const over = event => {
      const element = event.target.closest(".token");
      if (element) open(element);
    };
    parent.addEventListener("pointerover", event => {
      if (event.pointerType === "mouse") over(event);
    });
    parent.addEventListener("pointerleave", hideSoon);
    parent.addEventListener("focusin", event => {
      over(event);
      for (const other of parent.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
      event.target.tabIndex = 0;
    });
    parent.addEventListener("focusout", hideSoon);
    parent.addEventListener("click", over);
    parent.addEventListener("keydown", onKey);
    box.addEventListener("pointerenter", () => clearTimeout(timer));
    box.addEventListener("pointerleave", hideSoon);
    box.addEventListener("focusout", hideSoon);
    box.addEventListener("keydown", onBoxKey);
    const follow = () => { if (shown) place(shown); };
    addEventListener("scroll", follow, { capture: true, passive: true });
    addEventListener("resize", hide);
  };

  const show = (parent, tokens, fork) => {
    hide();
    list = tokens;
    parent.replaceChildren(...tokens.map((token, i) => elementOf(token, i, i === fork)));
  };
  /* Tokens that came to the list since `from`. */
  const add = (parent, from, fork) => parent.append(...list.slice(from).map((token, i) =>
    elementOf(token, from + i, from + i === fork)));

  return { start, show, add, hide };
})();
