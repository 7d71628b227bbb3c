"""anthropic's Python client: messages, streams, counts, and its own classes of errors."""
import asyncio

import anthropic
import pytest

import models
from service import poll

TALK = [{"role": "user", "content": "Hello! Tell me of a dog."}]
ASK = dict(model="tiny", max_tokens=12, messages=TALK)


def client_of(service, **options):
    """Answers that its types do not describe are errors."""
    return anthropic.Anthropic(base_url=f"http://{service.host}", max_retries=0,
                               _strict_response_validation=True,
                               **{"api_key": "none", **options})


@pytest.fixture
def client(service):
    return client_of(service)


def test_a_message(client):
    message = client.messages.create(
        **ASK, system="You tell stories.", stop_sequences=["zzz"], metadata={"user_id": "x"},
        service_tier="auto", thinking={"type": "enabled", "budget_tokens": 1024},
        tool_choice={"type": "none"}, extra_body={"temperature": 0.5, "top_k": 40, "top_p": 0.9})
    assert message.type == "message" and message.role == "assistant" and message.model == "tiny"
    assert [block.type for block in message.content] == ["text"]
    assert message.stop_reason in ("max_tokens", "end_turn") and message.stop_sequence is None
    assert message.usage.output_tokens == 12 and message.usage.cache_read_input_tokens >= 0
    assert message._request_id and message.id == f"msg_{message._request_id}"


def test_a_conversation_goes_on(client):
    first = client.messages.create(**ASK)
    talk = [*TALK, first.to_param(), {"role": "user", "content": [{"type": "text", "text": "On"}]}]
    second = client.messages.create(**{**ASK, "messages": talk})
    assert second.usage.cache_read_input_tokens > 0
    with_blocks = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]
    assert client.messages.create(**ASK, system=with_blocks).content[0].text


def test_raw_events(client):
    fields = dict(extra_body={"temperature": 0}, **{**ASK, "max_tokens": 30})
    whole = client.messages.create(**fields)
    text, names = "", []
    for event in client.messages.create(stream=True, **fields):
        names.append(event.type)
        if event.type == "content_block_delta":
            text += event.delta.text
        if event.type == "message_delta":
            assert event.delta.stop_reason == whole.stop_reason
            assert event.usage.output_tokens == whole.usage.output_tokens
    assert text == whole.content[0].text
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_the_helper_for_streams(client):
    fields = dict(extra_body={"temperature": 0}, **{**ASK, "max_tokens": 30})
    whole = client.messages.create(**fields)
    with client.messages.stream(**fields) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens + final.usage.cache_read_input_tokens \
        == whole.usage.input_tokens + whole.usage.cache_read_input_tokens


def test_a_stop_sequence(client):
    fields = dict(extra_body={"temperature": 0}, **{**ASK, "max_tokens": 40})
    text = client.messages.create(**fields).content[0].text
    word = text[5:9]
    message = client.messages.create(**fields, stop_sequences=[word])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", word)
    with client.messages.stream(**fields, stop_sequences=[word]) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", word)
    assert final.content[0].text == message.content[0].text == text[:text.index(word)]


def test_counts(client):
    counted = client.messages.count_tokens(model="tiny", messages=TALK, system="You tell stories.")
    usage = client.messages.create(**ASK, system="You tell stories.").usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tiny", "gpt-4o-mini", "tiny:latest"]
    model = client.models.retrieve("tiny")
    assert model.type == "model" and model.created_at.year >= 2024 and model.max_input_tokens > 0


def test_the_beta_path_is_the_same(client):
    message = client.beta.messages.create(**ASK, betas=["interleaved-thinking-2025-05-14"])
    assert message.content[0].type == "text"
    with client.beta.messages.stream(**ASK) as stream:
        assert stream.get_final_message().content[0].text
    assert client.beta.messages.count_tokens(model="tiny", messages=TALK).input_tokens > 0


def test_the_asynchronous_client(service):
    async def run():
        async with anthropic.AsyncAnthropic(base_url=f"http://{service.host}", api_key="none",
                                            max_retries=0) as client:
            async with client.messages.stream(**ASK) as stream:
                text = "".join([part async for part in stream.text_stream])
            assert text == (await stream.get_final_message()).content[0].text
            many = await asyncio.gather(*[client.messages.create(**ASK, extra_body={"seed": 1})
                                          for _ in range(8)])
            assert len({message.content[0].text for message in many}) == 1
    asyncio.run(run())


@pytest.mark.parametrize("fields, kind, type_", [
    (dict(model="other"), anthropic.NotFoundError, "not_found_error"),
    (dict(max_tokens=-1), anthropic.BadRequestError, "invalid_request_error"),
    (dict(messages=[]), anthropic.BadRequestError, "invalid_request_error"),
    (dict(messages=[{"role": "user", "content": "a" * 9000}]), anthropic.BadRequestError,
     "invalid_request_error"),
    (dict(extra_body={"temperature": 3}), anthropic.BadRequestError, "invalid_request_error"),
    (dict(tools=2 * [{"name": "f", "input_schema": {"type": "object"}}]),
     anthropic.BadRequestError, "invalid_request_error"),
    (dict(messages=[{"role": "user", "content": [{"type": "image", "source": {
        "type": "url", "url": "https://example.com/x.png"}}]}]), anthropic.BadRequestError,
     "invalid_request_error")])
def test_errors_are_of_the_clients_classes(client, fields, kind, type_):
    for stream in (False, True):
        with pytest.raises(kind) as caught:
            client.messages.create(**{**ASK, **fields, "stream": stream})
        error = caught.value
        assert error.type == type_ and error.error_code and error.request_id and error.api_message


def test_keys(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("right\n")
    service = serve("--api-key-file", str(keys), "--chat-template", "chatml")
    for options in (dict(api_key="right"), dict(api_key=None, auth_token="right")):
        assert client_of(service, **options).messages.create(**ASK).content
    with pytest.raises(anthropic.AuthenticationError) as caught:
        client_of(service, api_key="wrong").messages.create(**ASK)
    assert caught.value.type == "authentication_error"


def test_a_full_queue_is_a_rate_limit(serve):
    service = serve("--max-batch", 1, "--workers", 1, "--max-queue", 1, "--chat-template", "chatml",
                    model=models.slow())
    client = client_of(service)
    fields = dict(**{**ASK, "max_tokens": 1900}, extra_body={"ignore_eos": True})
    first = client.messages.create(**fields, stream=True)
    next(iter(first))
    second = client.messages.create(**fields, stream=True)
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(**fields)
    assert caught.value.type == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    second.close()
    first.close()


def test_a_server_that_stops_is_unavailable(serve):
    service = serve("--workers", 1, "--chat-template", "chatml", model=models.slow())
    client = client_of(service)
    fields = dict(**{**ASK, "max_tokens": 1900}, extra_body={"ignore_eos": True})
    first = client.messages.create(**fields, stream=True)
    next(iter(first))
    service.signal()
    poll("it drains", lambda: service.get("/readyz").status == 503)
    with pytest.raises(anthropic.ServiceUnavailableError) as caught:
        client.messages.create(**ASK)
    assert caught.value.type == "overloaded_error"
    first.close()


def test_a_cancel_in_the_middle_ends_the_work(slow_service):
    service, client = slow_service, client_of(slow_service)
    before = service.wait_until_idle().value("smallmind_requests_cancelled_total", phase="decode")
    fields = dict(**{**ASK, "max_tokens": 1900}, extra_body={"ignore_eos": True})
    with client.messages.stream(**fields) as stream:
        for _ in stream.text_stream:
            break
    poll("it is cancelled", lambda: service.metrics().value(
        "smallmind_requests_cancelled_total", phase="decode") == before + 1)


def test_a_model_without_a_template_says_so(serve):
    client = client_of(serve())
    with pytest.raises(anthropic.InternalServerError) as caught:
        client.messages.create(**ASK)
    assert caught.value.status_code == 501 and "template" in caught.value.api_message
