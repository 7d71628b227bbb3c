"""openai's Python client: responses, their streams, and its own classes of errors."""
import openai
import pytest

from service import poll

INPUT = "Hello! Tell me of a dog."
ASK = dict(model="tiny", max_output_tokens=16, input=INPUT)


def client_of(service):
    """Answers that its types do not describe are errors."""
    return openai.OpenAI(base_url=f"http://{service.host}/v1", api_key="none", max_retries=0,
                         _strict_response_validation=True)


@pytest.fixture
def client(service):
    return client_of(service)


def test_a_response(client):
    response = client.responses.create(
        **ASK, instructions="You tell stories.", temperature=0.5, top_p=0.9, store=False,
        metadata={"a": "b"}, text={"format": {"type": "text"}}, user="x", truncation="disabled",
        reasoning={"effort": "low"}, include=["reasoning.encrypted_content"], tool_choice="none")
    assert response.status in ("completed", "incomplete") and response.error is None
    assert response.output_text == response.output[0].content[0].text
    assert response.metadata == {"a": "b"} and response.instructions == "You tell stories."
    assert response.usage.total_tokens \
        == response.usage.input_tokens + response.usage.output_tokens
    assert response._request_id and response.id == f"resp_{response._request_id}"


def test_a_conversation_goes_on(client):
    first = client.responses.create(**ASK)
    talk = [{"role": "user", "content": INPUT}, *first.output, {"role": "user", "content": "On"}]
    second = client.responses.create(**{**ASK, "input": talk})
    assert second.usage.input_tokens_details.cached_tokens > 0


def test_events(client):
    fields = dict(**{**ASK, "max_output_tokens": 40}, temperature=0)
    whole = client.responses.create(**fields)
    text, number = "", 0
    for event in client.responses.create(**fields, stream=True):
        assert event.sequence_number == number
        number += 1
        if event.type == "response.output_text.delta":
            text += event.delta
        last = event
    assert last.type == f"response.{whole.status}"
    assert text == whole.output_text == last.response.output_text
    assert last.response.usage.output_tokens == whole.usage.output_tokens


def test_the_helper_for_streams(client):
    fields = dict(**{**ASK, "max_output_tokens": 200}, temperature=0)
    whole = client.responses.create(**fields)
    snapshot = ""
    with client.responses.stream(**fields) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                snapshot = event.snapshot
        if whole.status == "completed":
            assert stream.get_final_response().output_text == whole.output_text
    assert snapshot == whole.output_text


def test_log_probabilities(client):
    response = client.responses.create(**ASK, top_logprobs=3,
                                       include=["message.output_text.logprobs"])
    entries = response.output[0].content[0].logprobs
    assert entries and all(len(entry.top_logprobs) == 3 for entry in entries)
    streamed = []
    for event in client.responses.create(**ASK, top_logprobs=2, temperature=0, stream=True):
        if event.type == "response.output_text.delta":
            streamed += event.logprobs
    assert len(streamed) <= 16 and all(len(entry.top_logprobs) == 2 for entry in streamed)


@pytest.mark.parametrize("fields, kind", [
    (dict(model="other"), openai.NotFoundError),
    (dict(temperature=9), openai.BadRequestError),
    (dict(max_output_tokens=100000), openai.BadRequestError),
    (dict(input=[]), openai.BadRequestError),
    (dict(previous_response_id="resp_1"), openai.BadRequestError),
    (dict(background=True), openai.BadRequestError),
    (dict(conversation="conv_1"), openai.BadRequestError),
    (dict(tools=[{"type": "web_search"}]), openai.BadRequestError),
    (dict(input=[{"role": "user", "content": [{"type": "input_image", "detail": "auto",
                                              "image_url": "data:,"}]}]), openai.BadRequestError)])
def test_errors_are_of_the_clients_classes(client, fields, kind):
    for stream in (False, True):
        with pytest.raises(kind) as caught:
            client.responses.create(**{**ASK, "stream": stream, **fields})
        assert caught.value.code and caught.value.type and caught.value.body["message"]


def test_a_cancel_in_the_middle_ends_the_work(slow_service):
    service, client = slow_service, client_of(slow_service)
    before = service.wait_until_idle().value("smallmind_requests_cancelled_total", phase="decode")
    stream = client.responses.create(model="tiny", input=INPUT, stream=True,
                                     extra_body={"ignore_eos": True})
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    stream.close()
    poll("it is cancelled", lambda: service.metrics().value(
        "smallmind_requests_cancelled_total", phase="decode") == before + 1)
