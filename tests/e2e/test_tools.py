"""Tools in OpenAI's chats: a model of noise must give valid calls in every syntax that templates
have for them, whole and in events, and what is wrong about tools is refused by name."""
import json

import pytest

import http1
import models

SCHEMA = {"type": "object", "properties": {
    "city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 0,
                                                          "maximum": 99},
    "unit": {"enum": ["C", "F"]}, "exact": {"type": "boolean"},
    "places": {"type": "array", "items": {"type": "number"}, "maxItems": 2}},
    "required": ["city", "unit"], "additionalProperties": False}
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather", "parameters": SCHEMA}}
PING = {"type": "function", "function": {
    "name": "ping", "description": "Nothing", "parameters": {
        "type": "object", "properties": {}, "additionalProperties": False}}}
TALK = [{"role": "user", "content": "How is the weather?"}]
# What templates write, each enough to be known by; the calls of earlier turns are OpenAI's.
TEMPLATES = {
    "hermes": "<tool_call>", "qwen3-coder": "<tool_call> <function= <parameter=",
    "glm": "<arg_key> <arg_value>", "minimax-m2": '<minimax:tool_call> <invoke name=',
    "llama-3": '<|start_header_id|> {"name": "parameters": x}', "pythonic": "[func_name1(x)]",
    "lfm2": "<|tool_call_start|>", "mistral-list": "[TOOL_CALLS]",
    "mistral-names": "[TOOL_CALLS] [ARGS]", "mistral-ids": "[TOOL_CALLS] [CALL_ID] [ARGS]",
    "gemma-4": "<|tool_call>call:", "functiongemma": "<start_function_call>",
    "granite-3": "<|tool_call|>", "apertus": "<|tools_prefix|>",
    "kimi-k2": "<|tool_calls_section_begin|>", "gpt-oss": "<|channel|> <|message|> functions",
    "deepseek-v3.1": "<｜tool▁calls▁begin｜> <｜tool▁sep｜>",
    "deepseek-r1": "<｜tool▁calls▁begin｜> <｜tool▁sep｜> ```json",
    "command-r7b": "<|START_ACTION|>", "plain": "",
}


def template(text):
    """A template that only shows the syntax, and in which messages are one a line."""
    return ("{#" + text + "#}{{ tools | length if tools else 0 }}\n{% for m in messages %}"
            "{{ m.role }}: {{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}\n{% endfor %}"
            + ("{{ 'tool_calls' }}" if text else "") + "assistant: ")


@pytest.fixture
def tools(shared):
    return shared("--request-templates", "on", model=models.small())


def chat(service, status=200, **fields):
    response = service.post("/v1/chat/completions", {"messages": TALK, "seed": 1, **fields})
    assert response.status == status, response
    return response.json() if status == 200 else response.error()


def check_call(call):
    """Arguments are what the schema says."""
    assert call["type"] == "function" and call["id"]
    arguments = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "ping":
        assert arguments == {}
        return
    assert call["function"]["name"] == "get_weather"
    assert isinstance(arguments["city"], str) and arguments["unit"] in ("C", "F")
    assert set(arguments) <= set(SCHEMA["properties"])
    assert 0 <= arguments.get("days", 0) <= 99
    assert isinstance(arguments.get("exact", True), bool)
    assert len(arguments.get("places", [])) <= 2


def collect(service, **fields):
    """A stream's message as clients make it of deltas, and its ending."""
    body = {"messages": TALK, "seed": 1, "stream": True, **fields}
    message, calls, finish = {"content": None}, [], None
    request = service.build("POST", "/v1/chat/completions", body)
    with http1.Stream(service.connect(), request) as stream:
        assert stream.status == 200
        while stream.next() is not None:
            pass
        assert stream.done
    for chunk in stream.events:
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            delta = choice["delta"]
            for name in ("content", "reasoning_content"):
                if delta.get(name):
                    message[name] = (message.get(name) or "") + delta[name]
            for part in delta.get("tool_calls", []):
                if "id" in part:  # the name first, without arguments
                    assert part["index"] == len(calls) and part["type"] == "function"
                    assert part["function"]["arguments"] == ""
                    calls.append({key: part[key] for key in ("id", "type")}
                                 | {"function": dict(part["function"])})
                else:
                    calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    return message, calls, finish


@pytest.mark.parametrize("family", TEMPLATES)
def test_noise_calls_tools_in_every_syntax(tools, family):
    fields = dict(tools=[WEATHER, PING], tool_choice="required", max_tokens=1500,
                  chat_template=template(TEMPLATES[family]))
    choice = chat(tools, **fields)["choices"][0]
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls" and message["content"] is None, choice
    assert message["tool_calls"]
    for call in message["tool_calls"]:
        check_call(call)
    streamed, calls, finish = collect(tools, **fields)
    for call, other in zip(calls, message["tool_calls"], strict=True):
        assert call["function"] == other["function"]
    assert finish == "tool_calls" and not streamed["content"]


def test_choices_are_kept(tools):
    hermes = template("<tool_call>")
    fields = dict(tools=[WEATHER, PING], chat_template=hermes, max_tokens=600)
    named = {"type": "function", "function": {"name": "ping"}}
    for seed in range(4):
        answer = chat(tools, **fields, tool_choice=named, parallel_tool_calls=False, seed=seed)
        calls = answer["choices"][0]["message"]["tool_calls"]
        assert [c["function"]["name"] for c in calls] == ["ping"]
    allowed = {"type": "allowed_tools", "allowed_tools": {
        "mode": "required", "tools": [{"type": "function", "name": "ping"}]}}
    answer = chat(tools, **fields, tool_choice=allowed)
    calls = answer["choices"][0]["message"]["tool_calls"]
    assert {c["function"]["name"] for c in calls} == {"ping"}
    answer = chat(tools, tools=[PING], chat_template=hermes, tool_choice="none", max_tokens=30)
    assert "tool_calls" not in answer["choices"][0]["message"]


def test_several_answers_have_calls_of_their_own(tools):
    answer = chat(tools, tools=[WEATHER], tool_choice="required", n=3, max_tokens=800,
                  parallel_tool_calls=False, chat_template=template("[TOOL_CALLS] [ARGS]"))
    calls = [c["message"]["tool_calls"] for c in answer["choices"]]
    assert [len(c) for c in calls] == [1, 1, 1]
    assert len({c[0]["id"] for c in calls}) == 3
    assert all(len(c[0]["id"]) == 9 for c in calls)  # as that template wants them


def test_logprobs_are_those_of_all_tokens(tools):
    fields = dict(tools=[PING], tool_choice="required", max_tokens=200, logprobs=True,
                  chat_template=template("<tool_call>"), parallel_tool_calls=False)
    answer = chat(tools, **fields)
    n = answer["usage"]["completion_tokens"]
    assert n - 1 <= len(answer["choices"][0]["logprobs"]["content"]) <= n
    request = tools.build("POST", "/v1/chat/completions",
                          {"messages": TALK, "seed": 1, "stream": True, **fields})
    with http1.Stream(tools.connect(), request) as stream:
        while stream.next() is not None:
            pass
    told = [entry for e in stream.events for c in e["choices"] if c["logprobs"]
            for entry in c["logprobs"]["content"]]
    assert [e["token"] for e in told] == [
        e["token"] for e in answer["choices"][0]["logprobs"]["content"]]


def test_a_call_that_is_cut_says_so(tools):
    text = template("<tool_call>")
    fields = dict(tools=[WEATHER], tool_choice="required", chat_template=text)
    choice = chat(tools, **fields, max_tokens=3)["choices"][0]
    assert choice["finish_reason"] == "length"
    message, calls, finish = collect(tools, **fields, max_tokens=3)
    assert finish == "length" and len(calls) <= 1


def test_text_stays_text(tools):
    fields = dict(tools=[PING], chat_template=template("<tool_call>"), max_tokens=20)
    plain = chat(tools, **fields)["choices"][0]
    assert plain["finish_reason"] in ("length", "stop") and plain["message"]["content"]
    message, calls, _ = collect(tools, **fields)
    assert message["content"] == plain["message"]["content"] and not calls


def test_stop_strings_end_text(tools):
    fields = dict(tools=[PING], chat_template=template("<tool_call>"), max_tokens=40)
    whole = chat(tools, **fields)["choices"][0]["message"]["content"]
    stop = whole[len(whole) // 2:][:2]
    cut = chat(tools, **fields, stop=stop)["choices"][0]
    assert cut["message"]["content"] == whole[:whole.index(stop)]
    assert cut["finish_reason"] == "stop"
    message, _, finish = collect(tools, **fields, stop=stop)
    assert message["content"] == cut["message"]["content"] and finish == "stop"


def test_stop_strings_do_not_cut_calls(tools):
    fields = dict(tools=[WEATHER], tool_choice="required", max_tokens=600,
                  parallel_tool_calls=False, chat_template=template("<tool_call>"))
    whole = chat(tools, **fields)["choices"][0]["message"]["tool_calls"][0]["function"]
    for stop in (["city"], ["}"], ["arguments", "C"]):
        cut = chat(tools, **fields, stop=stop)["choices"][0]["message"]["tool_calls"][0]
        assert cut["function"] == whole


@pytest.mark.parametrize("fields, param", [
    (dict(tool_choice="required"), "tool_choice"),
    (dict(tools=[], tool_choice={"type": "function", "function": {"name": "ping"}}),
     "tool_choice"),
    (dict(tools=[PING], tool_choice={"type": "function", "function": {"name": "x"}}),
     "tool_choice"),
    (dict(tools=[PING], tool_choice="some"), "tool_choice"),
    (dict(tools=[PING, PING]), "tools[1].function"),
    (dict(tools={"a": 1}), "tools"),
    (dict(tools=[{"type": "function", "function": {"name": ""}}]), "tools[0].function"),
    (dict(tools=[{"type": "retrieval"}]), "tools[0]"),
    (dict(tools=[{"type": "function", "function": {"name": "f", "description": 7}}]),
     "tools[0].function"),
    (dict(tools=[{"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {"x": {"$ref": "https://example.com/x.json"}}}}}]),
     "tools"),
    (dict(functions=[{"name": "f"}]), "functions"),
    (dict(messages=[*TALK, {"role": "tool", "tool_call_id": "c1", "content": "x"}]),
     "messages[1].tool_call_id"),
    (dict(messages=[*TALK, {"role": "assistant", "tool_calls": [{"id": "c1"}]}]),
     "messages[1].tool_calls[0]")])
def test_what_is_wrong_is_refused_by_name(tools, fields, param):
    error = chat(tools, 400, **{"chat_template": template("<tool_call>"), **fields})
    assert error["param"] == param, error


def test_calls_and_results_of_earlier_turns_are_told(tools):
    call = {"id": "c1", "type": "function",
            "function": {"name": "ping", "arguments": "{\"a\": \"b \\\"q\\\"\"}"}}
    talk = [*TALK, {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "pong"}]
    answer = chat(tools, messages=talk, tools=[PING], max_tokens=8,
                  chat_template=template("<tool_call>"))
    assert answer["choices"][0]["finish_reason"] in ("length", "stop")
    plain = chat(tools, messages=talk, tools=[PING], max_tokens=8, chat_template=template(""))
    assert plain["usage"]["prompt_tokens"] > answer["usage"]["prompt_tokens"]


def test_alone_and_in_company_calls_are_the_same(tools):
    fields = dict(tools=[WEATHER, PING], tool_choice="required", max_tokens=300,
                  chat_template=template("<tool_call>"), parallel_tool_calls=False)
    alone = chat(tools, **fields)["choices"][0]["message"]["tool_calls"]
    together = chat(tools, **fields, n=4)["choices"]
    assert together[0]["message"]["tool_calls"][0]["function"] == alone[0]["function"]
