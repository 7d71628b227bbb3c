/* main.js - the frame: tabs, drawers, dialogs, the list of conversations, the theme. Begins all. */
const narrow = matchMedia("(max-width: 999px)");

/* --- tabs --- */

const tabs = (() => {
  const NAMES = ["chat", "prompt", "server"];
  let current = "chat";

  const open = (name, focus = true) => {
    current = name;
    for (const other of NAMES) {
      const tab = at(`tab-${other}`), is = other === name;
      tab.setAttribute("aria-selected", is);
      tab.tabIndex = is ? 0 : -1;
      at(other === "prompt" ? "prompt-view" : other).hidden = !is;
    }
    document.body.dataset.tab = name;
    at("panel-open").hidden = name === "server";
    if (focus && name === "chat") chat.focus();
    if (focus && name === "prompt") prompter.focus();
    tokenView.hide();
    conversations.draw();
    server.draw();
  };

  const start = () => {
    for (const name of NAMES) at(`tab-${name}`).addEventListener("click", () => open(name, false));
    at("tabs").addEventListener("keydown", event => {
      const i = NAMES.indexOf(current), n = NAMES.length;
      const to = { ArrowLeft: (i + n - 1) % n, ArrowRight: (i + 1) % n, Home: 0,
        End: n - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      open(NAMES[to], false);
      at(`tab-${NAMES[to]}`).focus();
    });
    open("chat", false);
  };

  return { open, start, current: () => current };
})();

/* --- drawers: on a narrow page the two side columns lie over the rest --- */

const drawers = (() => {
  let shown = null, back = null;

  const close = () => {
    if (!shown) return false;
    document.body.removeAttribute("data-drawer");
    for (const id of ["header", "main"]) at(id).inert = false;
    shown = null;
    back.focus();
    return true;
  };
  const open = (id, from) => {
    close();
    shown = id;
    back = from;
    document.body.dataset.drawer = id;
    for (const other of ["header", "main"]) at(other).inert = true;
    at(`${id}-close`).focus();
  };

  const start = () => {
    for (const id of ["sidebar", "panel"]) {
      at(`${id}-open`).addEventListener("click", event => open(id, event.currentTarget));
      at(`${id}-close`).addEventListener("click", close);
    }
    at("shade").addEventListener("click", close);
    narrow.addEventListener("change", close);
  };

  return { start, close };
})();

/* --- the list of conversations --- */

const conversations = (() => {
  const view = kind => kind === "chat" ? chat : prompter;

  const open = one => {
    view(one.kind).show(store.get(one.id));
    drawers.close();
    tabs.open(one.kind);
  };
  const create = kind => {
    view(kind).show();
    drawers.close();
    tabs.open(kind);
  };

  const rowOf = one => {
    const here = tabs.current() === one.kind && view(one.kind).id() === one.id;
    const title = one.title || "Untitled";
    const name = make("button", { type: "button", class: "title",
      "aria-current": here ? "true" : null, on: { click: () => open(one) } },
    make("span", { class: "kind" }, one.kind === "chat" ? "Chat" : "Prompt"),
    make("span", { class: "words", dir: "auto" }, title));
    const remove = button("Delete", () => ask(one), { class: "quiet small",
      "aria-label": `Delete ${title}` });
    return make("li", {}, name, remove);
  };

  const ask = async one => {
    if (!await confirmDialog(`Delete “${one.title || "Untitled"}”?`, "Delete")) return;
    if (view(one.kind).id() === one.id) view(one.kind).show();
    await store.remove(one.id);
    announce("Deleted.");
    at("new-chat").focus();
  };

  const draw = () => {
    const all = store.all();
    at("list").replaceChildren(...all.map(rowOf));
    at("list-empty").hidden = all.length > 0;
    at("export").disabled = all.length === 0;
  };

  const exportFile = () => {
    const url = URL.createObjectURL(new Blob([store.exportText()], { type: "application/json" }));
    const link = make("a", { href: url, download: "smallmind-conversations.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    announce("Exported.");
  };

  const importFile = async event => {
    const file = event.target.files[0];
    event.target.value = "";
    if (!file) return;
    try {
      if (file.size > 200e6) throw new Error("This file is too large.");
      const n = await store.importText(await file.text());
      notice(n === 0 ? "All of it was here already." : `${plural(n, "conversation")} imported.`);
    } catch (error) {
      notice(error.message);
    }
  };

  const start = () => {
    store.onChange(draw);
    at("new-chat").addEventListener("click", () => create("chat"));
    at("new-prompt").addEventListener("click", () => create("prompt"));
    at("export").addEventListener("click", exportFile);
    at("import").addEventListener("click", () => at("import-file").click());
    at("import-file").addEventListener("change", importFile);
  };

  return { start, draw };
})();

/* --- sentences and dialogs --- */

const notice = sentence => {
  at("notice").hidden = false;
  at("notice-text").textContent = sentence;
};

/* Opens a dialog; resolves with the value of the button that closed it, "" for Escape. The same one
 * is opened again only after its last closing has been heard of. */
const dialog = (() => {
  const last = new Map();
  const open = element => new Promise(resolve => {
    element.returnValue = "";
    element.addEventListener("close", () => resolve(element.returnValue), { once: true });
    element.showModal();
  });
  return id => {
    const next = (last.get(id) || Promise.resolve()).then(() => open(at(id)));
    last.set(id, next);
    return next;
  };
})();

const confirmDialog = async (question, verb) => {
  at("confirm-text").textContent = question;
  at("confirm-yes").textContent = verb;
  return await dialog("confirm-dialog") === "yes";
};

/* The key, "" to forget it, null where it was not given. */
const askKey = async why => {
  at("key-why").textContent = why;
  at("key-forget").hidden = api.key() === "";
  at("key-field").value = "";
  const closed = await dialog("key-dialog"), value = at("key-field").value.trim();
  at("key-field").value = "";
  if (closed === "forget") return "";
  return closed === "use" && value ? value : null;
};

const codeDialog = (() => {
  let texts = {};
  const show = name => {
    at("code-text").textContent = texts[name];
    for (const other of ["curl", "python", "javascript"])
      at(`code-${other}`).setAttribute("aria-pressed", other === name);
    at("code-copy").onclick = event => copyText(texts[name], event.currentTarget);
  };
  const open = () => {
    const { path, body } = (tabs.current() === "prompt" ? prompter : chat).request();
    texts = code.all(path, body, api.needsKey());
    at("code-key").hidden = !api.needsKey();
    show("curl");
    dialog("code-dialog");
  };
  const start = () => {
    for (const name of ["curl", "python", "javascript"])
      at(`code-${name}`).addEventListener("click", () => show(name));
    at("code-open").addEventListener("click", open);
  };
  return { start };
})();

/* --- the theme: the system's, or one that was chosen --- */

const theme = (() => {
  const NAMES = ["system", "light", "dark"];
  const set = name => {
    if (name === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = name;
    at("theme").value = name;
  };
  const start = () => {
    const kept = store.setting.get("theme", "system");
    set(NAMES.includes(kept) ? kept : "system");
    at("theme").addEventListener("change", event => {
      set(event.target.value);
      store.setting.set("theme", event.target.value);
    });
  };
  return { start };
})();

/* --- the model, and all together --- */

/* Asked again until the server answers: it may still be loading the model, or be away. */
const loadInfo = async (said = "") => {
  const AGAIN_MS = 2000;
  try {
    const info = await api.json("/info");
    if (said !== "" && at("notice-text").textContent === said) at("notice").hidden = true;
    at("model").textContent = info.model.name;
    prompter.setEnds(info.model.end_tokens || []);
    server.showFacts(info);
    if (info.chat_template && !info.chat_template.usable) {
      chat.cannot(info.chat_template.fault);
      if (tabs.current() === "chat" && chat.isEmpty() && at("question").value === "")
        tabs.open("prompt", false);
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.message !== said) notice(error.message);
    if (error.status === 0 || error.status === 503)
      setTimeout(loadInfo, AGAIN_MS, error.message);
  }
};

const start = async () => {
  store.onTrouble(notice);
  theme.start();
  sampling.show(at("sampling"));
  chat.start();
  prompter.start();
  conversations.start();
  tabs.start();
  drawers.start();
  codeDialog.start();
  at("notice-close").addEventListener("click", () => { at("notice").hidden = true; });
  at("key-open").addEventListener("click", async () => {
    if (await api.askForKey("A key goes with each request of this tab, and is forgotten with it."))
      loadInfo();
  });
  at("help-open").addEventListener("click", () => dialog("help-dialog"));
  document.addEventListener("keydown", event => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (drawers.close() || (tabs.current() === "prompt" ? prompter : chat).stop())
      event.preventDefault();
  });
  await store.open();
  conversations.draw();
  await loadInfo();
  server.start();
};
start();
