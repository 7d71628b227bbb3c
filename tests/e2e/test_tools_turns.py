"""Tools beside shapes, strictness and several calls, and what conversations tell of earlier calls
in each API: content parts, errors, names."""
import json

import pytest

import models
from test_tools import PING, SCHEMA, TALK, WEATHER, chat, check_call, collect, template
from test_tools_apis import ANTHROPIC, RESPONSES, all_events, check_events, message, respond

HERMES = template("<tool_call>")
# Shows calls and results of earlier turns, so that answers depend on all that is told of them.
SHOWS = ("{# <tool_call> #}{{ tools | length if tools else 0 }}{% for m in messages %}"
         "{{ m.role }}: {{ m.content }} {{ m.tool_calls | tojson if m.tool_calls }}\n"
         "{% endfor %}assistant: ")
ANSWER = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": {
    "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
    "additionalProperties": False}}}
NAMED = {"type": "function", "function": {"name": "ping"}}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("templates") / "template.jinja"
    path.write_text(SHOWS)
    return path


@pytest.fixture
def tools(shared, path):
    return shared("--request-templates", "on", "--chat-template", path, model=models.small())


# --- shapes beside tools ---

@pytest.mark.parametrize("seed", range(6))
def test_an_answer_is_a_call_or_has_the_shape(tools, seed):
    fields = dict(tools=[PING], response_format=ANSWER, chat_template=HERMES, seed=seed,
                  max_tokens=200)
    choice = chat(tools, **fields)["choices"][0]
    told, calls, finish = collect(tools, **fields)
    assert finish == choice["finish_reason"]
    if finish == "tool_calls":
        assert [c["function"]["name"] for c in calls] == ["ping"] * len(calls)
    else:
        assert finish == "stop" and not calls
        assert told["content"] == choice["message"]["content"]
        assert isinstance(json.loads(told["content"])["ok"], bool)


@pytest.mark.parametrize("choice, ends", [("none", "stop"), ("required", "tool_calls"),
                                          (NAMED, "tool_calls")])
def test_choices_rule_over_shapes(tools, choice, ends):
    answer = chat(tools, tools=[PING], response_format=ANSWER, chat_template=HERMES,
                  tool_choice=choice, max_tokens=300, parallel_tool_calls=False)["choices"][0]
    assert answer["finish_reason"] == ends, answer
    if ends == "stop":
        assert list(json.loads(answer["message"]["content"])) == ["ok"]
    else:
        call, = answer["message"]["tool_calls"]
        check_call(call)


@pytest.mark.parametrize("strict", [True, False, None])
def test_arguments_are_the_schemas_strict_or_not(tools, strict):
    tool = {"type": "function", "function": {"name": "get_weather", "strict": strict,
                                             "parameters": SCHEMA}}
    fields = dict(tools=[tool], tool_choice="required", parallel_tool_calls=False,
                  chat_template=HERMES, max_tokens=600)
    call, = chat(tools, **fields)["choices"][0]["message"]["tool_calls"]
    check_call(call)
    _, calls, finish = collect(tools, **fields)
    assert finish == "tool_calls" and calls[0]["function"] == call["function"]


def test_one_answer_has_several_calls(tools):
    """The list of calls goes on by the model's will: some seed must have two."""
    for seed in range(40):
        fields = dict(tools=[PING], tool_choice="required", max_tokens=400, seed=seed,
                      chat_template=template("[TOOL_CALLS]"))
        choice = chat(tools, **fields)["choices"][0]
        if len(choice["message"]["tool_calls"]) > 1 and choice["finish_reason"] == "tool_calls":
            break
    calls = choice["message"]["tool_calls"]
    assert len(calls) > 1 and len({c["id"] for c in calls}) == len(calls)
    for call in calls:
        check_call(call)
    _, streamed, _ = collect(tools, **fields)  # in the order of their indices, each id once
    assert [c["function"] for c in streamed] == [c["function"] for c in calls]
    alone = chat(tools, **fields, parallel_tool_calls=False)["choices"][0]
    assert len(alone["message"]["tool_calls"]) == 1


# --- earlier turns ---

def test_anthropics_results_have_parts_and_errors(tools):
    use = {"type": "tool_use", "id": "toolu_1", "name": "ping", "input": {"a": 1}}

    def told(**result):
        talk = [*TALK, {"role": "assistant", "content": [{"type": "text", "text": "So"}, use]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", **result}]}]
        return message(tools, messages=talk, max_tokens=12)
    text = told(content="pong")
    assert told(content=[{"type": "text", "text": "pong"}])["content"] == text["content"]
    assert told(content="pong", is_error=False)["content"] == text["content"]
    assert told(content="pang")["content"] != text["content"]
    assert told(content="pong", is_error=True)["stop_reason"]
    assert told()["stop_reason"]


def test_anthropic_calls_the_one_by_name(tools):
    body = message(tools, tool_choice={"type": "tool", "name": "ping",
                                       "disable_parallel_tool_use": True})
    block, = body["content"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "ping", {})
    assert body["stop_reason"] == "tool_use"
    error = message(tools, 400, tool_choice={"type": "tool", "name": "pong"})["error"]
    assert "pong" in error["message"]


def test_anthropics_inputs_are_a_json_text_in_pieces(tools):
    events = all_events(tools, "/v1/messages", {
        "messages": TALK, "max_tokens": 900, "seed": 1, "tools": ANTHROPIC,
        "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}})
    kinds = [name for name, _ in events if name != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    pieces = [data["delta"] for name, data in events if name == "content_block_delta"]
    assert {piece["type"] for piece in pieces} == {"input_json_delta"}
    check_call({"type": "function", "id": "x", "function": {
        "name": "get_weather", "arguments": "".join(p["partial_json"] for p in pieces)}})


def ollama(service, **fields):
    response = service.post("/api/chat", {"stream": False, "options": {
        "num_predict": 12, "seed": 1}, **fields})
    assert response.status == 200, response
    return response.json()["message"]


def test_ollamas_turns_have_objects_and_names(tools):
    def told(arguments, **result):
        call = {"function": {"name": "ping", "arguments": arguments}}
        return ollama(tools, tools=[PING], messages=[
            *TALK, {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "pong", **result}])["content"]
    whole = told({"a": "b"}, tool_name="ping")
    assert whole == told({"a": "b"}, tool_name="ping")
    assert whole != told({"a": "c"}, tool_name="ping")
    assert told({}) is not None  # results need no name


def test_responses_call_the_one_by_name(tools):
    choice = {"type": "function", "name": "ping"}
    body = respond(tools, tool_choice=choice, parallel_tool_calls=False)
    item, = body["output"]
    assert (item["type"], item["name"]) == ("function_call", "ping")
    assert json.loads(item["arguments"]) == {}
    last = check_events(tools, tool_choice=choice, parallel_tool_calls=False)
    assert last["output"][0]["arguments"] == item["arguments"]


def test_responses_go_on_with_their_own_output(tools):
    body = respond(tools, tool_choice="required", parallel_tool_calls=False)
    call, = body["output"]
    talk = [{"role": "user", "content": "How is the weather?"}, call,
            {"type": "function_call_output", "call_id": call["call_id"], "output": [
                {"type": "input_text", "text": "sunny"}]}]
    after = respond(tools, input=talk, max_output_tokens=12)
    assert after["output"][0]["type"] == "message"
    talk[-1]["output"] = "sunny"
    same = respond(tools, input=talk, max_output_tokens=12)
    assert same["output"][0]["content"] == after["output"][0]["content"]


@pytest.mark.parametrize("tool", [PING, WEATHER])
def test_a_stream_tells_the_name_before_arguments(tools, tool):
    name = tool["function"]["name"]
    events = all_events(tools, "/v1/responses", {
        "input": "x", "max_output_tokens": 900, "seed": 1, "tools": RESPONSES,
        "parallel_tool_calls": False, "tool_choice": {"type": "function", "name": name}})
    kinds = [kind for kind, _ in events]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert events[2][1]["item"]["name"] == name and events[2][1]["item"]["arguments"] == ""
    assert set(kinds[3:-3]) == {"response.function_call_arguments.delta"}
    assert kinds[-3:] == ["response.function_call_arguments.done", "response.output_item.done",
                          "response.completed"]
