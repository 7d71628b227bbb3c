"""The schema box: what is written there shapes chats and prompts, and what is no schema is not
sent."""
import json

CHAT = "/v1/chat/completions"
SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9},
                                           "age": {"type": "integer"}},
          "required": ["name", "age"], "additionalProperties": False}


def write(page, text):
    page.value("document.getElementById('shape-box').open = true")
    page.fill("sampling-schema", text)


def test_a_chat_asks_for_the_schema(page, fake):
    fake.chat('{"name": "Ann"}')
    page.visit(fake)
    write(page, json.dumps(SCHEMA, indent=2))
    page.ask("Who?")
    page.wait_for_answer()
    assert fake.sent(CHAT)[0]["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


def test_a_prompt_is_continued_in_the_shape(page, service):
    page.visit(service)
    page.fill("sampling-max_tokens", "200")
    page.fill("sampling-temperature", "0")
    write(page, json.dumps(SCHEMA))
    page.generate("Once upon a time")
    tokens = page.value(
        "[...document.querySelectorAll('#tokens .token')].map(e => e.textContent)")
    answer = service.answer(prompt="Once upon a time", max_tokens=200, temperature=0,
                            logprobs=5, format={"json_schema": SCHEMA})
    assert set(json.loads(answer["text"])) == {"name", "age"}
    assert "".join(tokens).replace("⏎", "") == answer["text"]


def test_what_is_no_schema_is_said_and_not_sent(page, fake):
    fake.chat("Free.")
    page.visit(fake)
    write(page, '{"type": "object"')
    assert "Not JSON" in page.text("#sampling-schema-about")
    assert page.value("document.getElementById('sampling-schema').ariaInvalid") == "true"
    page.ask("Who?")
    page.wait_for_answer()
    assert "response_format" not in fake.sent(CHAT)[0]
    page.fill("sampling-schema", "[]")
    assert "object" in page.text("#sampling-schema-about")
    page.fill("sampling-schema", "")
    assert "any text" in page.text("#sampling-schema-about")
    assert page.violations() == []
