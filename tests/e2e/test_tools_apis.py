"""Tools in the APIs of Anthropic and Ollama and in Responses: valid calls from a model of noise,
whole and in events alike, and what is wrong about tools is refused by name."""
import json

import pytest

import models
from named_events import all_events
from test_ollama import Lines
from test_tools import PING, TALK, WEATHER, check_call, template

FUNCTIONS = [PING["function"], WEATHER["function"]]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("templates") / "template.jinja"
    path.write_text(template("<tool_call>"))
    return path


@pytest.fixture
def tools(shared, path):
    return shared("--chat-template", path, model=models.small())


def check_input(name, value):
    check_call({"type": "function", "id": "x",
                "function": {"name": name, "arguments": json.dumps(value)}})


# --- Anthropic ---

ANTHROPIC = [{"name": f["name"], "description": f["description"],
              "input_schema": f["parameters"]} for f in FUNCTIONS]


def message(service, status=200, **fields):
    response = service.post("/v1/messages", {
        "messages": TALK, "max_tokens": 900, "seed": 1, "tools": ANTHROPIC, **fields})
    assert response.status == status, response
    return response.json()


def blocks_of(service, **fields):
    """The content and ending that a client makes of a stream's events."""
    body = {"messages": TALK, "max_tokens": 900, "seed": 1, "tools": ANTHROPIC, **fields}
    blocks, stop = [], None
    for name, data in all_events(service, "/v1/messages", body):
        if name == "content_block_start":
            assert data["index"] == len(blocks)
            blocks.append(dict(data["content_block"]))
            if blocks[-1]["type"] == "tool_use":
                assert blocks[-1]["input"] == {}
                blocks[-1]["input"] = ""
        elif name == "content_block_delta":
            delta = data["delta"]
            key = {"input_json_delta": "partial_json", "text_delta": "text"}[delta["type"]]
            blocks[-1]["input" if key == "partial_json" else "text"] += delta[key]
        elif name == "message_delta":
            stop = data["delta"]["stop_reason"]
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"])
    return blocks, stop


def test_anthropics_messages_call_tools(tools):
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"},
                   {"type": "any", "disable_parallel_tool_use": True}):
        body = message(tools, tool_choice=choice)
        assert body["stop_reason"] == "tool_use" and body["content"]
        for block in body["content"]:
            assert block["type"] == "tool_use" and block["id"].startswith("toolu_")
            check_input(block["name"], block["input"])
        if "disable_parallel_tool_use" in choice:
            assert len(body["content"]) == 1
        blocks, stop = blocks_of(tools, tool_choice=choice)
        assert stop == "tool_use"
        assert [(b["name"], b["input"]) for b in blocks] == [
            (b["name"], b["input"]) for b in body["content"]]


def test_anthropics_text_and_cuts(tools):
    body = message(tools, max_tokens=12)
    assert [b["type"] for b in body["content"]] == ["text"]
    blocks, stop = blocks_of(tools, max_tokens=12)
    assert blocks == body["content"] and stop == body["stop_reason"]
    cut = message(tools, max_tokens=3, tool_choice={"type": "any"})
    assert cut["stop_reason"] == "max_tokens"


def test_anthropics_results_are_read(tools):
    use = {"type": "tool_use", "id": "toolu_1", "name": "ping", "input": {"a": 1}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "pong"}
    talk = [*TALK, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    assert message(tools, messages=talk, max_tokens=4)["content"]
    result["tool_use_id"] = "toolu_2"
    error = message(tools, 400, messages=talk)["error"]
    assert error["details"]["param"] == "messages.2.content.0"


@pytest.mark.parametrize("fields, param", [
    (dict(tools=[{"name": "a"}, {"name": "a"}]), "tools.1"),
    (dict(tools=[{"name": "a", "description": ["x"]}]), "tools.0"),
    (dict(tools=[], tool_choice={"type": "any"}), "tool_choice"),
    (dict(tool_choice={"type": "tool", "name": "x"}), "tool_choice.name"),
    (dict(tool_choice={"type": "perhaps"}), "tool_choice.type")])
def test_anthropics_refusals(tools, fields, param):
    assert message(tools, 400, **fields)["error"]["details"]["param"] == param


# --- Ollama ---

def ollama(service, status=200, **fields):
    response = service.post("/api/chat", {
        "model": "any", "messages": TALK, "stream": False, "tools": [PING, WEATHER],
        "options": {"num_predict": 60, "seed": 1}, **fields})
    assert response.status == status, response
    return response.json()


def test_ollamas_chats_know_tools(tools):
    whole = ollama(tools)
    with Lines(tools, "/api/chat", messages=TALK, tools=[PING, WEATHER],
               options={"num_predict": 60, "seed": 1}) as lines:
        found = list(lines)
    assert "".join(line["message"]["content"] for line in found) == whole["message"]["content"]
    assert "another" in ollama(tools, 400, tools=[PING, PING])["error"]
    assert "tools" in ollama(tools, 400, tools=[5])["error"]
    wrong = {"type": "function", "function": {"name": "f", "description": {}}}
    assert "tools[0].function.description" in ollama(tools, 400, tools=[wrong])["error"]


def test_ollamas_calls_are_whole(shared, tmp_path):
    """A grammar of text that must call cannot be asked for here: a template whose thoughts end in a
    call's beginning does it."""
    path = tmp_path / "calls.jinja"
    path.write_text(template("<tool_call>") + "<think>{# </think> #}")
    service = shared("--chat-template", path, model=models.small())
    body = {"messages": TALK, "tools": [PING, WEATHER],
            "options": {"num_predict": 300, "seed": 1}}
    whole = ollama(service, **body)
    with Lines(service, "/api/chat", **body) as lines:
        found = list(lines)
    calls = [call for line in found for call in line["message"].get("tool_calls", [])]
    assert [c["function"] for c in calls] == [
        c["function"] for c in whole["message"].get("tool_calls", [])]
    for call in calls:
        check_input(call["function"]["name"], call["function"]["arguments"])
    thought = "".join(line["message"].get("thinking", "") for line in found)
    assert thought == whole["message"].get("thinking", "")


# --- Responses ---

RESPONSES = [{"type": "function", **f} for f in FUNCTIONS]


def respond(service, status=200, **fields):
    response = service.post("/v1/responses", {
        "input": "How is the weather?", "max_output_tokens": 900, "seed": 1, "tools": RESPONSES,
        **fields})
    assert response.status == status, response
    return response.json()


def check_events(service, **fields):
    """The last response of a stream whose events tell of each item, its growth and its end."""
    body = {"input": "How is the weather?", "max_output_tokens": 900, "seed": 1,
            "tools": RESPONSES, **fields}
    events = all_events(service, "/v1/responses", body)
    items, grown = [], ""
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    for name, data in events:
        if name == "response.output_item.added":
            assert data["output_index"] == len(items) and data["item"]["status"] == "in_progress"
            items.append(data["item"])
            grown = ""
        elif name.endswith(".delta"):
            assert data["item_id"] == items[-1]["id"]
            grown += data["delta"]
        elif name == "response.function_call_arguments.done":
            assert data["arguments"] == grown and data["name"] == items[-1]["name"]
        elif name == "response.output_text.done":
            assert data["text"] == grown
        elif name == "response.output_item.done":
            items[-1] = data["item"]
    last = events[-1][1]["response"]
    assert last["output"] == items
    return last


def without_ids(output):
    return [{k: v for k, v in item.items() if k not in ("id", "call_id")} for item in output]


def test_responses_call_functions(tools):
    for choice in ("required", {"type": "function", "name": "get_weather"}):
        body = respond(tools, tool_choice=choice)
        assert body["status"] == "completed" and body["output"]
        assert body["tools"] == RESPONSES and body["tool_choice"] == choice
        for item in body["output"]:
            assert item["type"] == "function_call" and item["status"] == "completed"
            check_call({"type": "function", "id": item["call_id"], "function": item})
        last = check_events(tools, tool_choice=choice)
        assert without_ids(last["output"]) == without_ids(body["output"])
        assert last["status"] == "completed"
    alone = respond(tools, tool_choice="required", parallel_tool_calls=False)
    assert len(alone["output"]) == 1 and alone["parallel_tool_calls"] is False


def test_responses_text_and_cuts(tools):
    body = respond(tools, max_output_tokens=20)
    last = check_events(tools, max_output_tokens=20)
    assert without_ids(last["output"]) == without_ids(body["output"])
    assert [item["type"] for item in body["output"]] == ["message"]
    cut = respond(tools, tool_choice="required", max_output_tokens=3)
    assert cut["status"] == "incomplete"
    assert check_events(tools, tool_choice="required", max_output_tokens=3)["status"] \
        == "incomplete"


def test_responses_outputs_are_read(tools):
    call = {"type": "function_call", "call_id": "call_1", "name": "ping", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "call_1", "output": "pong"}
    talk = [{"role": "user", "content": "x"}, call, result]
    assert respond(tools, input=talk, max_output_tokens=4)["output"]
    error = respond(tools, 400, input=[*talk, dict(result, call_id="call_2")])["error"]
    assert error["param"] == "input[3].call_id"


@pytest.mark.parametrize("fields, param", [
    (dict(tools=[RESPONSES[0], RESPONSES[0]]), "tools[1]"),
    (dict(tools=[{**RESPONSES[0], "description": 7}]), "tools[0]"),
    (dict(tools=[], tool_choice="required"), "tool_choice"),
    (dict(tool_choice={"type": "function", "name": "x"}), "tool_choice")])
def test_responses_refusals(tools, fields, param):
    assert respond(tools, 400, **fields)["error"]["param"] == param


def parts_of(response):
    return [part for item in response["output"] if item["type"] == "message"
            for part in item["content"]]


def test_responses_text_has_logprobs_beside_tools(tools):
    wanted = dict(include=["message.output_text.logprobs"], top_logprobs=2)
    body = respond(tools, max_output_tokens=20, **wanted)
    plain = respond(tools, max_output_tokens=20)
    part, = parts_of(body)
    assert part["text"] == parts_of(plain)[0]["text"] and parts_of(plain)[0]["logprobs"] == []
    assert "".join(e["token"] for e in part["logprobs"]) == part["text"]
    assert all(len(e["top_logprobs"]) == 2 and e["logprob"] <= 0 for e in part["logprobs"])
    events = all_events(tools, "/v1/responses", {
        "input": "How is the weather?", "max_output_tokens": 20, "seed": 1, "tools": RESPONSES,
        **wanted})
    told = [e for name, data in events if name == "response.output_text.delta"
            for e in data["logprobs"]]
    ended, = [data for name, data in events if name == "response.output_text.done"]
    assert told == ended["logprobs"] == part["logprobs"]
    assert parts_of(events[-1][1]["response"])[0]["logprobs"] == part["logprobs"]


def test_responses_calls_have_no_logprobs(tools):
    body = respond(tools, tool_choice="required", parallel_tool_calls=False, top_logprobs=1)
    call, = body["output"]
    assert call["type"] == "function_call" and "logprobs" not in call
    last = check_events(tools, tool_choice="required", parallel_tool_calls=False, top_logprobs=1)
    assert without_ids(last["output"]) == without_ids(body["output"])
