"""What templates are told of tools: descriptions and parameters that a request leaves out, the
variables of templates that know tools by other names, and thoughts in channels before an answer."""
import json

import pytest

import models

TALK = [{"role": "user", "content": "Hi"}]
# Joins and walks without a look whether there is something.
WALKS = """{%- for t in tools -%}
{{ t.type + ' ' + t.function.name + ' - ' + t.function.description }}(
{%- for name, p in t.function.parameters.properties.items() %}
{{ name }}: {{ p.type }}{% endfor -%})
{% endfor -%}
{%- for m in messages %}{{ m.role }}: {{ m.content }}{{ m.tool_calls }}{% endfor %}{#
<tool_call> #}"""
READS_FUNCTIONS = """{%- set about = 'Functions: ' + functions + ' on ' + datetime + '.' -%}
{{ about }}{#  functools[ #}
{% for m in messages %}{{ m.role }}: {{ m.content }}{{ m.tool_calls }}{% endfor %}"""
CHANNELS = """{% for m in messages %}{{ m.role }}: {{ m.content }}{{ m.tool_calls }}
{% endfor %}<|channel>thought
{# <channel|> <|tool_call>call: #}"""


@pytest.fixture
def service(shared):
    return shared("--request-templates", "on", model=models.small())


def said(service, template, **fields):
    """What the model of noise answers: another prompt gets another answer."""
    answer = service.post("/v1/chat/completions", {
        "messages": TALK, "chat_template": template, "max_tokens": 12, "seed": 1, **fields})
    assert answer.status == 200, answer
    body = answer.json()
    return body["usage"]["prompt_tokens"], body["choices"][0]["message"]["content"]


def named(name, **fields):
    return {"type": "function", "function": {"name": name, **fields}}


PLACE = {"type": "object", "properties": {"city": {"type": "string"}}}
NONE = {"type": "object", "properties": {}}


@pytest.mark.parametrize("tool, whole", [
    (named("f"), named("f", description="", parameters=NONE)),
    (named("f", description=None, parameters=None), named("f", description="", parameters=NONE)),
    (named("f", parameters=PLACE), named("f", description="", parameters=PLACE)),
    (named("f", description="Finds"), named("f", description="Finds", parameters=NONE)),
    ({"function": {"name": "f", "description": "Finds", "parameters": PLACE}},
     named("f", description="Finds", parameters=PLACE)),
    (named("f", strict=True), named("f", description="", parameters=NONE, strict=True))])
def test_what_a_tool_leaves_out_is_empty(service, tool, whole):
    assert said(service, WALKS, tools=[tool]) == said(service, WALKS, tools=[whole])
    shown = "{{ tools[0].function | tojson }}{{ messages[0].content }}{# <tool_call> tool_calls #}"
    assert said(service, shown, tools=[tool]) == said(service, shown, tools=[whole])


def test_templates_that_read_functions(service):
    tool = named("f", description="Finds", parameters=PLACE)
    alike = READS_FUNCTIONS.replace("functions", "told")
    kwargs = {"datetime": "today"}
    assert said(service, READS_FUNCTIONS, tools=[tool], chat_template_kwargs=kwargs) == said(
        service, alike, tools=[tool], chat_template_kwargs={"told": json.dumps([tool]), **kwargs})
    assert said(service, READS_FUNCTIONS, chat_template_kwargs=kwargs) == said(
        service, alike, chat_template_kwargs={"told": "", **kwargs})
    assert said(service, READS_FUNCTIONS, tools=[tool])  # with a day of its own
    assert said(service, READS_FUNCTIONS, tools=[tool], chat_template_kwargs={
        "functions": "mine", **kwargs}) == said(
        service, alike, tools=[tool], chat_template_kwargs={"told": "mine", **kwargs})


def test_templates_that_know_tools_have_no_other_names(service):
    asks = "{# tools #}{{ functions is defined }} {{ datetime is defined }} {{ messages | length }}"
    text = "{# tools #}False False {{ messages | length }}"
    assert said(service, asks) == said(service, text)


@pytest.mark.parametrize("fields", [{}, {"tools": [named("f")]}])
def test_thoughts_in_channels_are_apart(service, fields):
    answer = service.post("/v1/chat/completions", {
        "messages": TALK, "chat_template": CHANNELS, "max_tokens": 12, "seed": 1, **fields})
    assert answer.status == 200, answer
    message = answer.json()["choices"][0]["message"]
    assert message["reasoning_content"] and not message["content"]


def test_thoughts_in_channels_come_before_calls(service):
    answer = service.post("/v1/chat/completions", {
        "messages": TALK, "tools": [named("f", parameters={
            "type": "object", "properties": {}, "additionalProperties": False})],
        "tool_choice": "required", "parallel_tool_calls": False, "chat_template": CHANNELS,
        "max_tokens": 80, "seed": 1})
    assert answer.status == 200, answer
    choice = answer.json()["choices"][0]
    call, = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["reasoning_content"]
    assert call["function"]["name"] == "f" and json.loads(call["function"]["arguments"]) == {}
    assert "channel" not in choice["message"]["reasoning_content"]
