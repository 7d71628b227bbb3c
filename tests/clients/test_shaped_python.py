"""Answers with a shape, as the documentation of each client has them asked for: OpenAI's parse with
a pydantic model, Anthropic's output format, Ollama's format, Hugging Face's grammar, langchain's
with_structured_output, outlines, and instructor, which stands on the first."""
import enum
import json
from typing import Literal

import anthropic
import ollama
import openai
import pytest
from huggingface_hub import InferenceClient
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

CHAT = [{"role": "user", "content": "Ann is 7 years old and has a dog."}]


class Animal(str, enum.Enum):
    dog = "dog"
    cat = "cat"


class Person(BaseModel):
    """A person of a story."""
    name: str = Field(max_length=20, description="As it stands in the text.")
    age: int = Field(ge=0, le=120)
    animals: list[Animal] = Field(max_length=3)
    mood: Literal["glad", "sad"] | None = None


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as one:
        yield one


def test_openai_parses_a_chat(client):
    answer = client.chat.completions.parse(model="tiny", messages=CHAT, response_format=Person,
                                           max_tokens=300, seed=1)
    person = answer.choices[0].message.parsed
    assert isinstance(person, Person) and 0 <= person.age <= 120


def test_openai_parses_a_streamed_chat(client):
    with client.chat.completions.stream(model="tiny", messages=CHAT, response_format=Person,
                                        max_tokens=300, seed=1) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "content.delta" in kinds and "content.done" in kinds
    whole = client.chat.completions.parse(model="tiny", messages=CHAT, response_format=Person,
                                          max_tokens=300, seed=1)
    assert final.choices[0].message.parsed == whole.choices[0].message.parsed


def test_openai_says_that_a_text_was_cut(client):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="tiny", messages=CHAT, response_format=Person,
                                      max_tokens=4, seed=1)


def test_openai_parses_a_response(client):
    answer = client.responses.parse(model="tiny", input=CHAT, text_format=Person,
                                    max_output_tokens=300)
    assert isinstance(answer.output_parsed, Person)


def test_openai_json_mode_and_what_servers_add(client):
    chat = dict(model="tiny", messages=CHAT, max_tokens=300, seed=3)
    plain = client.chat.completions.create(response_format={"type": "json_object"}, **chat)
    text = plain.choices[0].message.content
    assert text.lstrip().startswith("{")
    picked = client.chat.completions.create(
        extra_body={"structured_outputs": {"choice": ["yes", "no"]}}, **chat)
    assert picked.choices[0].message.content in ("yes", "no")
    digits = client.completions.create(model="tiny", prompt="x", max_tokens=50,
                                       extra_body={"guided_regex": "[0-9]{4}"})
    assert digits.choices[0].text.isdigit()


def test_a_refused_schema_is_a_bad_request(client):
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "no-such"}},
              "not": {"required": ["a"], "minProperties": 2}, "contentSchema": {}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="tiny", messages=CHAT, max_tokens=20, response_format={
                "type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert caught.value.param == "response_format"


def test_anthropic(url):
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        answer = client.messages.create(
            model="tiny", max_tokens=300, messages=CHAT, output_config={
                "format": {"type": "json_schema", "schema": Person.model_json_schema()}})
    assert answer.stop_reason == "end_turn"
    Person.model_validate_json(answer.content[0].text)


def test_ollama(url):
    client = ollama.Client(url)
    answer = client.chat("tiny", messages=CHAT, format=Person.model_json_schema(),
                         options={"num_predict": 300, "seed": 1})
    Person.model_validate_json(answer.message.content)
    made = client.generate("tiny", prompt="x", format="json", options={"num_predict": 100})
    assert made.response.lstrip().startswith("{")


def test_hugging_face(url):
    client = InferenceClient(url)
    text = client.text_generation("x", max_new_tokens=300, seed=1, do_sample=True, grammar={
        "type": "json", "value": Person.model_json_schema()})
    Person.model_validate_json(text)
    text = client.text_generation("x", grammar={"type": "regex", "value": "[a-c]{3}"})
    assert len(text) == 3 and set(text) <= set("abc")


@pytest.mark.parametrize("way", ["json_schema", "json_mode"])
def test_langchain(url, way):
    model = ChatOpenAI(model="tiny", base_url=f"{url}/v1", api_key="none", max_retries=0,
                       max_tokens=300, seed=5)
    if way == "json_mode":
        answer = model.with_structured_output(None, method=way, include_raw=True).invoke(CHAT)
        assert answer["raw"].content.lstrip().startswith("{")
    else:
        assert isinstance(model.with_structured_output(Person, method=way).invoke(CHAT), Person)


def test_outlines(client):
    outlines = pytest.importorskip("outlines")
    model = outlines.from_openai(client, "tiny")
    text = model("Ann is 7.", Person, max_tokens=300)
    assert set(json.loads(text)) >= {"name", "age", "animals"}


def test_outlines_of_vllm(client):
    outlines = pytest.importorskip("outlines")
    model = outlines.from_vllm(client, "tiny")
    assert model("A word?", Literal["yes", "no"], max_tokens=20) in ("yes", "no")
    assert model("Year?", outlines.regex("[0-9]{4}"), max_tokens=20).isdigit()
    Person.model_validate_json(model("Who?", Person, max_tokens=300))


@pytest.mark.parametrize("mode", ["JSON_SCHEMA", "JSON"])
def test_instructor(client, mode):
    instructor = pytest.importorskip("instructor")
    one = instructor.from_openai(client, mode=instructor.Mode[mode])
    if mode == "JSON":  # any object: the model was not told which
        class Any(BaseModel):
            pass
        made = one.create(model="tiny", messages=CHAT, max_tokens=200, seed=2, max_retries=0,
                          response_model=Any)
        assert isinstance(made, Any)
    else:
        person = one.create(model="tiny", messages=CHAT, response_model=Person, max_tokens=300,
                            seed=1, max_retries=0)
        assert isinstance(person, Person)
