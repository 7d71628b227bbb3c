"""Tool loops of the official Python clients of OpenAI, Anthropic and Ollama, unmodified: a call is
made, its result is sent back, the conversation goes on; whole and in events."""
import json

import pytest

anthropic = pytest.importorskip("anthropic")
ollama = pytest.importorskip("ollama")
openai = pytest.importorskip("openai")

import models  # noqa: E402 (of tests/e2e)

TEMPLATE = ("{# <tool_call> #}{{ tools | length if tools else 0 }}\n{% for m in messages %}"
            "{{ m.role }}: {{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}\n"
            "{% endfor %}assistant: ")
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20},
                                               "days": {"type": "integer"}},
              "required": ["city"], "additionalProperties": False}
FUNCTION = {"name": "get_weather", "description": "The weather", "parameters": PARAMETERS}
QUESTION = {"role": "user", "content": "How is the weather?"}


@pytest.fixture
def url(serve, tmp_path):
    path = tmp_path / "template.jinja"
    path.write_text(TEMPLATE)
    return f"http://{serve('--chat-template', path, model=models.small()).host}"


def check(arguments):
    assert isinstance(arguments["city"], str) and set(arguments) <= {"city", "days"}


def test_openais_chats(url):
    client = openai.OpenAI(base_url=url + "/v1", api_key="none")
    asked = dict(model="any", tools=[{"type": "function", "function": FUNCTION}], seed=1)
    talk = [QUESTION]
    first = client.chat.completions.create(messages=talk, tool_choice="required", max_tokens=400,
                                           parallel_tool_calls=False, **asked)
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    call = choice.message.tool_calls[0]
    check(json.loads(call.function.arguments))
    talk += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny"}]
    second = client.chat.completions.create(messages=talk, tool_choice="none", max_tokens=8,
                                            **asked)
    assert second.choices[0].message.content and not second.choices[0].message.tool_calls
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            messages=[QUESTION, {"role": "tool", "tool_call_id": "x", "content": "y"}], **asked)


def test_openais_streams(url):
    client = openai.OpenAI(base_url=url + "/v1", api_key="none")
    strict = {"type": "function", "function": {**FUNCTION, "strict": True}}
    done = []
    with client.chat.completions.stream(
            model="any", messages=[QUESTION], tools=[strict], tool_choice="required", seed=1,
            max_tokens=400, parallel_tool_calls=False) as stream:
        for event in stream:
            if event.type == "tool_calls.function.arguments.done":
                done.append(event)
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert [e.name for e in done] == ["get_weather"] == [call.function.name]
    check(call.function.parsed_arguments)
    assert done[0].arguments == call.function.arguments


def test_openais_responses(url):
    client = openai.OpenAI(base_url=url + "/v1", api_key="none")
    asked = dict(model="any", tools=[{"type": "function", **FUNCTION}], extra_body={"seed": 1})
    first = client.responses.create(input=[QUESTION], tool_choice="required",
                                    max_output_tokens=400, parallel_tool_calls=False, **asked)
    call = first.output[0]
    assert call.type == "function_call" and call.name == "get_weather"
    check(json.loads(call.arguments))
    talk = [QUESTION, *first.output,
            {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}]
    second = client.responses.create(input=talk, max_output_tokens=8, tool_choice="none", **asked)
    assert second.output_text
    with client.responses.stream(input=[QUESTION], tool_choice="required", max_output_tokens=400,
                                 parallel_tool_calls=False, **asked) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output[0].arguments == call.arguments


def test_anthropics_messages(url):
    client = anthropic.Anthropic(base_url=url, api_key="none")
    asked = dict(model="any", extra_body={"seed": 1},
                 tools=[{"name": "get_weather", "description": "The weather",
                         "input_schema": PARAMETERS}])
    some = {"type": "any", "disable_parallel_tool_use": True}
    first = client.messages.create(messages=[QUESTION], max_tokens=400, tool_choice=some, **asked)
    assert first.stop_reason == "tool_use"
    use = first.content[0]
    check(use.input)
    talk = [QUESTION, {"role": "assistant", "content": first.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id,
                                          "content": "Sunny"}]}]
    second = client.messages.create(messages=talk, max_tokens=8, tool_choice={"type": "none"},
                                    **asked)
    assert second.content[0].type == "text"
    with client.messages.stream(messages=[QUESTION], max_tokens=400, tool_choice=some,
                                **asked) as stream:
        final = stream.get_final_message()
    assert final.content[0].input == use.input and final.stop_reason == "tool_use"


def test_ollamas_chats(url):
    def get_weather(city: str, days: int = 1) -> str:
        """The weather.

        Args:
            city: Where.
            days: How long.
        """
        return f"Sunny in {city} for {days}"

    client = ollama.Client(host=url)
    asked = dict(model="any", tools=[get_weather], options={"num_predict": 40, "seed": 1})
    first = client.chat(messages=[QUESTION], **asked)
    assert first.message.content or first.message.tool_calls
    text = "".join(part.message.content for part in client.chat(messages=[QUESTION], stream=True,
                                                                **asked))
    assert text == first.message.content
    call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    talk = [QUESTION, {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_name": "get_weather", "content": "Sunny"}]
    assert client.chat(messages=talk, **asked).message.content
