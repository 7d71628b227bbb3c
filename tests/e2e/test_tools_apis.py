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
