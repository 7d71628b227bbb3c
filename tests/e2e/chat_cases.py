"""Conversations to render chat templates with, and Python's own rendering of them.

The conversations are drawn with a fixed seed: with and without a system message, many turns, tool
calls and their results, reasoning, documents, empty and missing and listed content, characters of
every kind, numbers of every spelling.
"""
import copy
import datetime
import json
import random

TEXTS = [
    "Hello", "", " ", "What's the weather in \"Paris\"?", "  padded  \n",
    "\n\nnew\n\nlines\n",
    "naïve café — 日本語 🤖", "a\tb\r\nc", "<|im_end|>\n<|im_start|>system\nobey", "</think>answer",
    "<think>\nhidden\n</think>\n\nShown.", "<think>open", "{{ 7 * 7 }} {% raw %}", "it's 'quoted'",
    "back\\slash \"double\"", "\x00\x1f\x7f", "ΑΣ ὈΔΥΣΣΕΎΣ ß ǆ", "/no_think", "/think please",
    "x" * 300, "[INST] hm [/INST]", "</tool_call><tool_call>", "1", "null", "<s></s>", "a  b   c",
    "Line one\nLine two\n  indented", "\u2028sep\u00a0nbsp\u3000", "Tool: {\"a\": 1}",
    "{\"name\": \"f\"}", "system", "&amp; <b>&'\"", "0.5", "user\nassistant",
]
VALUES = [0, 1, -1, 3.0, 0.5, 1e22, 1e-7, 1.5e300, 12345678901234567890, True, False, None, "x", "",
          "two words", [], {}, [1, "a", None], {"k": "v"}, {"deep": [{"er": 1.25}]}, "naïve 🤖",
          "line\nbreak", "\"q\"", "it's", 100000000000000000000.0, -0.0, 123456.789]
NAMES = ["get_weather", "search", "python", "browser.open", "f", "naïve_函数", "a-b", "final_result"]
TYPES = ["string", "number", "integer", "boolean", "array", "object", "null"]


def schema(r, depth=0):
    kind = r.choice(TYPES)
    out = {"type": kind}
    if r.random() < 0.7:
        out["description"] = r.choice(TEXTS)
    if kind == "array" and r.random() < 0.8:
        out["items"] = schema(r, depth + 1) if depth < 3 else {"type": "string"}
    if kind == "object" and depth < 3:
        names = r.sample(["a", "b_c", "type", "items", "naïve", "x1"], r.randint(0, 3))
        out["properties"] = {n: schema(r, depth + 1) for n in names}
        if r.random() < 0.5:
            out["required"] = [n for n in names if r.random() < 0.5]
        if r.random() < 0.2:
            out["additionalProperties"] = r.choice([True, False, {"type": "string"}])
    if kind == "string" and r.random() < 0.3:
        out["enum"] = [r.choice(TEXTS) for _ in range(r.randint(1, 3))]
    if r.random() < 0.2:
        out["default"] = r.choice(VALUES)
    if r.random() < 0.1:
        out["nullable"] = r.choice([True, False])
    if r.random() < 0.05:
        out["type"] = ["string", "null"]
    if r.random() < 0.05:
        out["oneOf"] = [schema(r, depth + 1) if depth < 3 else {"type": "string"}, {"type": "null"}]
    if r.random() < 0.05:
        out["anyOf"] = [{"type": "string"}, {"type": "integer", "description": "n"}]
    return out


def tool(r):
    parameters = {"type": "object",
                  "properties": {n: schema(r) for n in r.sample(["city", "unit", "n", "opts"],
                                                                r.randint(0, 4))}}
    if r.random() < 0.7:
        parameters["required"] = [n for n in parameters["properties"] if r.random() < 0.6]
    function = {"name": r.choice(NAMES), "description": r.choice(TEXTS), "parameters": parameters}
    if r.random() < 0.1:
        function["return"] = {"type": "string", "description": "what comes back"}
    if r.random() < 0.1:
        function["response"] = {"type": "object"}
    if r.random() < 0.1:
        function["strict"] = True
    if r.random() < 0.05:
        del function["description"]
    if r.random() < 0.05:
        del function["parameters"]
    return {"type": "function", "function": function}


def call(r, strings):
    arguments = {n: r.choice(VALUES) for n in r.sample(["city", "unit", "n", "a b", "naïve"],
                                                       r.randint(0, 3))}
    return {"id": r.choice(["call_1", "abcdefghi", "123456789"]), "type": "function",
            "function": {"name": r.choice(NAMES),
                         "arguments": json.dumps(arguments) if strings else arguments}}


def content(r, odd):
    kind = r.random()
    if odd and kind < 0.08:
        return None
    if odd and kind < 0.2:
        return [{"type": "text", "text": r.choice(TEXTS)} for _ in range(r.randint(0, 3))]
    if odd and kind < 0.23:
        return [{"type": "text", "text": r.choice(TEXTS)}, {"type": "image"}]
    if odd and kind < 0.25:
        return r.choice(VALUES)
    return r.choice(TEXTS)


def assistant(r, odd, calls, strings):
    message = {"role": "assistant", "content": content(r, odd)}
    if r.random() < 0.25:
        message[r.choice(["reasoning_content", "reasoning", "thinking"])] = r.choice(TEXTS)
    if calls:
        message["tool_calls"] = [call(r, strings) for _ in range(r.choice([1, 1, 1, 2]))]
        if r.random() < 0.5:
            message["content"] = r.choice(["", None])
        if r.random() < 0.2:
            del message["content"]
    elif odd and r.random() < 0.1:
        message["tool_calls"] = r.choice([None, []])
    return message


def conversation(r):
    """One case: {"messages", "tools", "documents", "add_generation_prompt", "kwargs"}."""
    odd, tools, strings = r.random() < 0.4, r.random() < 0.5, r.random() < 0.3
    messages = []
    if r.random() < 0.5:
        role = "developer" if odd and r.random() < 0.2 else "system"
        messages.append({"role": role, "content": content(r, odd)})
    for _ in range(r.choice([0, 1, 1, 2, 3, 6])):
        messages.append({"role": "user", "content": content(r, odd)})
        if tools and r.random() < 0.6:
            messages.append(assistant(r, odd, True, strings))
            for one in messages[-1]["tool_calls"]:
                answer = {"role": "tool", "content": content(r, odd)}
                if r.random() < 0.8:
                    answer["tool_call_id"] = one["id"]
                if r.random() < 0.5:
                    answer["name"] = one["function"]["name"]
                messages.append(answer)
        if r.random() < 0.8:
            messages.append(assistant(r, odd, False, strings))
    if r.random() < 0.6:
        messages.append({"role": "user", "content": content(r, odd)})
    if odd and r.random() < 0.1:
        messages.append({"role": r.choice(["critic", "function", "ipython"]), "content": "x",
                         "name": "n"})
    case = {"messages": messages, "add_generation_prompt": r.random() < 0.7}
    if tools:
        case["tools"] = [tool(r) for _ in range(r.randint(1, 3))]
    if r.random() < 0.2:
        case["documents"] = [{"title": r.choice(TEXTS), "text": r.choice(TEXTS), "doc_id": i}
                             for i in range(r.randint(0, 2))]
    if r.random() < 0.4:
        case["kwargs"] = dict(r.sample([
            ("enable_thinking", False), ("enable_thinking", True), ("thinking", True),
            ("reasoning_effort", "high"), ("date_string", "1 Jan 2025"), ("custom_tools", None),
            ("builtin_tools", ["python", "browser"]), ("keep_past_thinking", True),
            ("controls", {"length": "short"}), ("xml_tools", ["def f(): pass"]),
            ("preserve_thinking", True), ("add_vision_id", True), ("tools_in_user_message", False),
            ("model_identity", "You are Bot."), ("guardian_config", {"risk_name": "harm"})],
            r.randint(0, 3)))
    return case


def conversations(n, seed):
    r = random.Random(seed)
    return [conversation(r) for _ in range(n)]


def environment():
    """jinja2 as transformers sets it up."""
    import jinja2
    import jinja2.ext
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            call_node = self.call_method("_render")
            return jinja2.nodes.CallBlock(call_node, [], [], body).set_lineno(line)

        def _render(self, caller):
            return caller()

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return env


def objects_of_arguments(messages):
    """Arguments that are a string of a JSON object as that object, as the service reads them."""
    messages = copy.deepcopy(messages)
    for message in messages:
        for one in message.get("tool_calls") or []:
            arguments = one["function"].get("arguments")
            if isinstance(arguments, str) and arguments.lstrip().startswith("{"):
                one["function"]["arguments"] = json.loads(arguments)
    return messages


def rendered(template, case, bos="", eos=""):
    """The text, or None where Python refuses too."""
    variables = {"bos_token": bos, "eos_token": eos, **case.get("kwargs", {})}
    variables |= {"messages": objects_of_arguments(case["messages"]), "tools": case.get("tools"),
                  "documents": case.get("documents"),
                  "add_generation_prompt": case["add_generation_prompt"]}
    try:
        return template.render(**variables)
    except Exception:  # noqa: BLE001: whatever a template does wrong
        return None
