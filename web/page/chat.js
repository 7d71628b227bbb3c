/* chat.js - the chat: messages, the text field, an answer as it comes (POST /v1/chat/completions).
 *
 * Shows one conversation, which it changes and hands to the store. One answer is made at a time.
 */
const chat = (() => {
  const PATH = "/v1/chat/completions", STOPPED = "Stopped.", SPOKEN = 4000;
  let one = null, run = null, editing = null, following = true;

  const fresh = () => ({ id: store.newId(), kind: "chat", title: "", created: Date.now(),
    changed: Date.now(), system: "", messages: [] });
  const isEmpty = () => one.messages.length === 0 && one.system === "";
  const keep = () => store.put(one);

  /* --- what is sent --- */

  const requestOf = (messages, question) => {
    const sent = messages.filter(message => message.text !== "")
      .map(message => ({ role: message.role, content: message.text }));
    if (question) sent.push({ role: "user", content: question });
    if (one.system.trim()) sent.unshift({ role: "system", content: one.system });
    return { messages: sent, stream: true, ...sampling.fields("openai") };
  };

  /* For the copied code: what the next Send would send. */
  const request = () => {
    const before = editing === null ? one.messages : one.messages.slice(0, editing);
    return { path: PATH, body: requestOf(before, at("question").value.trim() ||
      (before.length === 0 ? "Hello!" : "")) };
  };

  /* --- messages as elements --- */

  const isAtEnd = () => {
    const view = at("messages-view");
    return view.scrollHeight - view.scrollTop - view.clientHeight < 60;
  };
  const toEnd = () => {
    const view = at("messages-view");
    view.scrollTop = view.scrollHeight;
    following = true;
  };

  const footOf = (message, i) => {
    const foot = make("div", { class: "foot" });
    if (message.role === "assistant") {
      if (message.text)
        foot.append(button("Copy", event => copyText(message.text, event.currentTarget),
          { class: "quiet", "aria-label": "Copy answer" }));
      if (i === one.messages.length - 1 && !run)
        foot.append(button(message.text ? "Again" : "Try again", again, { class: "quiet",
          "aria-label": message.text ? "Answer again" : "Try again" }));
      foot.append(make("span", { class: "soft" }, statsText(message.stats)));
    } else {
      foot.append(button("Edit", () => edit(i), { class: "quiet", "aria-label": "Edit message" }));
    }
    return foot;
  };

  const reasoningOf = () => make("details", { class: "reasoning" },
    make("summary", {}, "Reasoning"), make("div", { class: "text" }));

  const noteOf = message => make("p", { class: message.note === STOPPED ? "note soft" : "note" },
    message.note);

  const elementOf = (message, i) => {
    const mine = message.role === "user";
    const element = make("li", { class: `message ${message.role}` },
      make("h2", { class: "unseen" }, mine ? "You" : "Answer"));
    if (message.reasoning) {
      const reasoning = reasoningOf();
      markdown.fill(reasoning.lastChild, message.reasoning);
      element.append(reasoning);
    }
    const body = make("div", { class: "body", dir: "auto" });
    if (mine) inline.addText(body, message.text);
    else markdown.fill(body, message.text);
    element.append(body);
    if (message.note) element.append(noteOf(message));
    element.append(footOf(message, i));
    return element;
  };

  const show = (conversation = null) => {
    if (run) run.stop();
    run = null;
    one = conversation || fresh();
    setEditing(null);
    at("system").value = one.system;
    at("system-box").open = one.system !== "";
    at("messages").replaceChildren(...one.messages.map(elementOf));
    update();
    toEnd();
  };

  /* The parts that depend on whether there are messages and an answer is being made. */
  const update = () => {
    const empty = one.messages.length === 0;
    at("chat-empty").hidden = !empty;
    at("messages").hidden = empty;
    at("send").hidden = run !== null;
    at("chat-stop").hidden = run === null;
    at("chat-status").textContent = run ? run.status() : "";
  };

  const redrawFeet = () => [...at("messages").children].forEach((element, i) =>
    element.querySelector(":scope > .foot").replaceWith(footOf(one.messages[i], i)));

  /* --- editing what was asked before --- */

  const setEditing = i => {
    editing = i;
    at("editing").hidden = i === null;
  };

  const edit = i => {
    setEditing(i);
    const field = at("question");
    field.value = one.messages[i].text;
    field.focus();
    fit(field);
  };

  /* --- an answer --- */

  const INSTEAD = "The Prompt tab continues plain text with any model.";

  const explain = refusal => {
    if (refusal && refusal.status === 501)
      return `${refusal.message} ${INSTEAD}`;
    return refusal && refusal.status === 404 ? `This server has no chat. ${INSTEAD}` : null;
  };

  /* The message that is being made, its elements, and what the server says of it in the end. */
  const begin = () => {
    const message = { role: "assistant", text: "", reasoning: "", note: "", stats: null };
    const body = make("div", { class: "body" });
    const element = make("li", { class: "message assistant", "aria-busy": "true" },
      make("h2", { class: "unseen" }, "Answer"), body);
    at("messages").append(element);
    let spoken = 0; /* characters; nobody listens to a book */
    const speak = part => {
      if (spoken < SPOKEN) announce(part.textContent.slice(0, SPOKEN - spoken));
      spoken += part.textContent.length;
    };
    return { message, element, body, told: {}, reasoning: null,
      text: new markdown.Stream(body, speak) };
  };

  const takeDelta = (answer, delta) => {
    const thought = typeof delta.reasoning_content === "string" ? delta.reasoning_content : "";
    if (thought) {
      if (!answer.reasoning) {
        const element = reasoningOf();
        answer.body.before(element);
        answer.reasoning = new markdown.Stream(element.lastChild);
      }
      answer.message.reasoning += thought;
      answer.reasoning.add(thought);
    }
    if (typeof delta.content === "string" && delta.content) {
      answer.message.text += delta.content;
      answer.text.add(delta.content);
    }
    return thought !== "" || Boolean(delta.content);
  };

  const take = (answer, event, mine) => {
    const choice = Array.isArray(event.choices) ? event.choices[0] : null;
    if (choice) {
      const said = takeDelta(answer, choice.delta || {});
      const tokens = choice.logprobs && choice.logprobs.content;
      mine.count(Array.isArray(tokens) ? tokens.length : said ? 1 : 0);
      if (typeof choice.finish_reason === "string") answer.told.finish = choice.finish_reason;
    }
    if (event.usage) answer.told.tokens = event.usage.completion_tokens;
    if (event.seed !== undefined) answer.told.seed = event.seed;
    if (event.timings && event.timings.tokens_per_second > 0) {
      answer.told.rate = event.timings.tokens_per_second;
      answer.told.first = event.timings.first_token_ms / 1000;
    }
  };

  const finish = (answer, why, mine) => {
    const { message, element } = answer;
    if (answer.reasoning) answer.reasoning.finish();
    answer.text.finish();
    message.note = why === null ? STOPPED : why || (message.text || message.reasoning ? ""
      : "The model ended its answer at once.");
    message.stats = mine.result(answer.told);
    element.removeAttribute("aria-busy");
    if (message.note) element.append(noteOf(message));
    element.append(footOf(message, one.messages.length - 1));
    announce(message.note || `Answer complete, ${plural(message.stats.tokens, "token")}.`);
  };

  const answer = async () => {
    const conversation = one, mine = run = new Run(() => { if (run === mine) update(); });
    const body = { ...requestOf(one.messages), logprobs: true,
      stream_options: { include_usage: true } };
    redrawFeet(); /* none of them is the last any more */
    const made = begin();
    conversation.messages.push(made.message);
    update();
    toEnd();
    const why = await mine.go(PATH, body, event => take(made, event, mine));
    if (run === mine) run = null;
    finish(made, why && explain(mine.refusal) || why, mine);
    if (one === conversation) update();
    await store.put(conversation);
  };

  const again = () => {
    if (run) return;
    if (one.messages[one.messages.length - 1].role === "assistant") {
      one.messages.pop();
      at("messages").lastElementChild.remove();
    }
    answer();
    at("question").focus();
  };

  const send = () => {
    const field = at("question"), text = field.value.trim();
    if (run || !text) return;
    if (editing !== null) {
      one.messages.length = editing;
      while (at("messages").childElementCount > editing) at("messages").lastElementChild.remove();
      setEditing(null);
    }
    if (!one.title) one.title = store.titleOf(text);
    one.messages.push({ role: "user", text, reasoning: "", note: "", stats: null });
    at("messages").append(elementOf(one.messages[one.messages.length - 1],
      one.messages.length - 1));
    field.value = "";
    fit(field);
    keep();
    answer();
  };

  const stop = () => {
    if (!run) return false;
    run.stop();
    at("question").focus();
    return true;
  };

  /* As high as its text, within the style sheet's bounds. */
  const fit = field => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };

  const start = () => {
    const field = at("question"), view = at("messages-view");
    /* The view stays at the end while its text grows, until a reader goes elsewhere. */
    view.addEventListener("scroll", () => { following = isAtEnd(); }, { passive: true });
    new ResizeObserver(() => { if (following) toEnd(); }).observe(at("messages"));
    field.addEventListener("input", () => fit(field));
    field.addEventListener("keydown", event => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      send();
    });
    at("composer").addEventListener("submit", event => {
      event.preventDefault();
      send();
    });
    at("chat-stop").addEventListener("click", stop);
    at("editing-cancel").addEventListener("click", () => {
      setEditing(null);
      field.value = "";
      fit(field);
      field.focus();
    });
    at("system").addEventListener("change", () => {
      one.system = at("system").value;
      if (one.messages.length > 0) keep();
    });
    /* A tab that goes may not come back. */
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && run) store.put(one);
    });
    at("to-prompt").addEventListener("click", () => tabs.open("prompt"));
    show();
  };

  /* The model has no chat template that can be used: said before anything is asked. */
  const cannot = why => {
    at("chat-title").textContent = "This model cannot chat";
    at("chat-about").textContent = sentence(why);
  };

  return { start, show, stop, request, isEmpty, cannot, id: () => one.id,
    focus: () => at("question").focus() };
})();
