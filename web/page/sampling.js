/* sampling.js - the controls of how tokens are drawn, and their fields in a request.
 *
 * One table: a field's name, range and default in the native API and in OpenAI's. A request carries
 * what differs from the default of the API that it goes to, so that copied code stays short.
 */
const sampling = (() => {
  const FIELDS = [
    { name: "max_tokens", label: "Longest answer", min: 1, max: 1e9, step: 1, initial: null,
      about: "In tokens. Empty: 128 for a prompt, what the context leaves for a chat." },
    { name: "temperature", label: "Temperature", min: 0, max: 5, step: 0.05, slider: 2,
      initial: 0.8, openai: 1, about: "0 takes the likeliest token each time." },
    { name: "top_p", label: "Top p", min: 0, max: 1, step: 0.01, slider: 1, initial: 0.95,
      openai: 1, about: "The likeliest tokens that together have this probability." },
    { name: "top_k", label: "Top k", min: 0, max: 1e9, step: 1, slider: 100, initial: 40,
      openai: 0, about: "So many of the likeliest tokens; 0 is all." },
    { name: "min_p", label: "Min p", min: 0, max: 1, step: 0.01, slider: 1, initial: 0.05,
      openai: 0, about: "Tokens with at least this part of the likeliest one's probability." },
    { name: "typical_p", label: "Typical p", min: 0, max: 1, step: 0.01, initial: 1, openai: 1,
      more: true },
    { name: "repetition_penalty", label: "Repetition penalty", min: 0.1, max: 10, step: 0.05,
      initial: 1, openai: 1, more: true },
    { name: "presence_penalty", label: "Presence penalty", min: -2, max: 2, step: 0.1, initial: 0,
      openai: 0, more: true },
    { name: "frequency_penalty", label: "Frequency penalty", min: -2, max: 2, step: 0.1,
      initial: 0, openai: 0, more: true },
    { name: "seed", label: "Seed", min: 0, max: 2 ** 53, step: 1, initial: null, more: true,
      about: "The same seed gives the same text. Empty: another one each time." },
  ];
  const STOPS = 16;
  const values = store.setting.get("sampling", {});
  const inputs = new Map();
  let changed = () => {}, checkSchema = () => {};

  const valueOf = field => {
    const value = values[field.name];
    const fits = typeof value === "number" && value >= field.min && value <= field.max &&
      (field.step !== 1 || Number.isInteger(value));
    return fits ? value : field.initial;
  };

  const save = () => {
    store.setting.set("sampling", values);
    changed();
  };

  const set = (field, value) => {
    if (value === null) delete values[field.name];
    else values[field.name] = value;
    save();
  };

  const stops = () => (Array.isArray(values.stop) ? values.stop : [])
    .filter(text => typeof text === "string" && text !== "").slice(0, STOPS);

  const fault = (field, input) => {
    if (input.validity.badInput) return "A number, please.";
    if (input.value === "") return "";
    const value = Number(input.value);
    if (value < field.min || value > field.max) return `From ${field.min} to ${field.max}.`;
    return field.step === 1 && !Number.isInteger(value) ? "A whole number, please." : "";
  };

  const controlOf = field => {
    const id = `sampling-${field.name}`, value = valueOf(field);
    const input = make("input", { type: "number", id, min: field.min, max: field.max,
      step: field.step === 1 ? 1 : "any", inputmode: "decimal", placeholder: "default",
      "aria-describedby": `${id}-about` });
    input.value = value ?? "";
    const slider = field.slider ? make("input", { type: "range", min: field.min,
      max: field.slider, step: field.step, tabindex: "-1", "aria-hidden": "true" }) : null;
    const about = make("p", { class: "about", id: `${id}-about` }, field.about || "");
    const update = () => {
      const why = fault(field, input);
      about.textContent = why || field.about || "";
      about.classList.toggle("wrong", why !== "");
      input.setAttribute("aria-invalid", why !== "");
      if (why === "") set(field, input.value === "" ? null : Number(input.value));
      if (slider && why === "") slider.value = valueOf(field) ?? 0;
    };
    input.addEventListener("input", update);
    if (slider) {
      slider.value = value ?? 0;
      slider.addEventListener("input", () => {
        input.value = slider.value;
        update();
      });
    }
    inputs.set(field, { input, update });
    return make("div", { class: "control" },
      make("label", { for: id }, field.label), input, slider, about);
  };

  const stopControl = () => {
    const field = make("textarea", { id: "sampling-stop", rows: "2", spellcheck: "false",
      "aria-describedby": "sampling-stop-about" });
    field.value = stops().join("\n");
    field.addEventListener("input", () => {
      values.stop = field.value.split("\n").filter(line => line !== "").slice(0, STOPS);
      save();
    });
    return make("div", { class: "control wide" },
      make("label", { for: "sampling-stop" }, "Stop strings"), field,
      make("p", { class: "about", id: "sampling-stop-about" },
        "One on each line: the text ends where one would begin."));
  };

  /* --- the answer's shape --- */

  const SCHEMA_ABOUT = "The answer is JSON that is valid by it. Empty: any text.";

  /* The schema, or why the text is none; neither where it is empty. */
  const readSchema = () => {
    const text = typeof values.schema === "string" ? values.schema.trim() : "";
    if (text === "") return {};
    try {
      const schema = JSON.parse(text);
      const fits = typeof schema === "boolean" ||
        (typeof schema === "object" && schema !== null && !Array.isArray(schema));
      return fits ? { schema } : { why: "A JSON Schema is an object." };
    } catch (error) {
      return { why: `Not JSON yet, and not sent: ${error.message}` };
    }
  };

  const schemaControl = () => {
    const field = make("textarea", { id: "sampling-schema", rows: "6", spellcheck: "false",
      placeholder: '{"type": "object", "properties": {"name": {"type": "string"}}}',
      "aria-describedby": "sampling-schema-about" });
    const about = make("p", { class: "about", id: "sampling-schema-about" });
    const check = () => {
      const { why = "" } = readSchema();
      about.textContent = why || SCHEMA_ABOUT;
      about.classList.toggle("wrong", why !== "");
      field.setAttribute("aria-invalid", why !== "");
    };
    field.value = typeof values.schema === "string" ? values.schema : "";
    field.addEventListener("input", () => {
      values.schema = field.value;
      save();
      check();
    });
    checkSchema = check;
    check();
    return make("div", { class: "control wide" },
      make("label", { for: "sampling-schema" }, "JSON Schema of the answer"), field, about);
  };

  const show = parent => {
    parent.append(...FIELDS.filter(field => !field.more).map(controlOf),
      make("details", {}, make("summary", {}, "More"),
        ...FIELDS.filter(field => field.more).map(controlOf), stopControl()),
      make("details", { id: "shape-box" }, make("summary", {}, "Shape"), schemaControl()),
      button("Defaults", reset, { class: "quiet" }));
  };

  const reset = () => {
    for (const name of Object.keys(values)) delete values[name];
    at("sampling-stop").value = at("sampling-schema").value = "";
    checkSchema();
    for (const [field, { input, update }] of inputs) {
      input.value = field.initial ?? "";
      update();
    }
    save();
    announce("All sampling controls have their defaults.");
  };

  /* The fields that a request carries. api: "native" or "openai". */
  const fields = kind => {
    const out = {};
    for (const field of FIELDS) {
      const value = valueOf(field), initial = kind === "openai" ? field.openai : field.initial;
      if (value !== null && value !== (initial ?? null)) out[field.name] = value;
    }
    if (stops().length > 0) out.stop = stops();
    const { schema } = readSchema();
    if (schema !== undefined && kind === "native") out.format = { json_schema: schema };
    else if (schema !== undefined)
      out.response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
    return out;
  };

  return { show, fields, onChange: f => { changed = f; } };
})();
