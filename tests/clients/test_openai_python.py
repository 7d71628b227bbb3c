"""openai's Python client: completions, chats, streams, models, and its own classes of errors."""
import asyncio

import openai
import pytest

import models
from service import poll

CHAT = [{"role": "system", "content": "You tell stories."}, {"role": "user", "content": "Hello!"}]


def client_of(service):
    return openai.OpenAI(base_url=f"http://{service.host}/v1", api_key="none", max_retries=0)


@pytest.fixture
def client(service):
    return client_of(service)


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tiny", "gpt-4o-mini", "tiny:latest"]
    assert client.models.retrieve("tiny").owned_by == "smallmind"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_completions(client):
    answer = client.completions.create(model="tiny", prompt="Once upon a time", max_tokens=8,
                                       n=2, seed=1, logprobs=2, echo=True, stop=["zzz"])
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert choice.text.startswith("Once upon a time") and choice.finish_reason == "length"
        logprobs = choice.logprobs
        assert logprobs.token_logprobs[0] is None and len(logprobs.tokens) == \
            len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(logprobs.text_offset)
    assert answer.usage.completion_tokens == 16
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0


def test_a_stream_of_completions(client):
    fields = dict(model="tiny", prompt=["Once", "The dog"], max_tokens=12, seed=4)
    whole = client.completions.create(**fields)
    texts = ["", ""]
    usage = None
    for chunk in client.completions.create(**fields, stream=True,
                                           stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert usage.total_tokens == whole.usage.total_tokens


def test_chats(client):
    fields = dict(model="tiny", messages=CHAT, seed=3, n=2, logprobs=True, top_logprobs=3,
                  max_completion_tokens=10, frequency_penalty=0.5, user="someone",
                  logit_bias={"7": -100}, response_format={"type": "text"})
    answer = client.chat.completions.create(**fields)
    assert answer.object == "chat.completion" and answer.system_fingerprint
    for choice in answer.choices:
        assert choice.message.role == "assistant" and choice.message.refusal is None
        tokens = choice.logprobs.content
        assert all(len(token.top_logprobs) == 3 for token in tokens)
        assert b"".join(bytes(t.bytes) for t in tokens).decode("utf-8", "replace") \
            .startswith(choice.message.content[:3])
    contents, roles, finishes = ["", ""], [[], []], [None, None]
    for chunk in client.chat.completions.create(**fields, stream=True):
        for choice in chunk.choices:
            contents[choice.index] += choice.delta.content or ""
            roles[choice.index].append(choice.delta.role)
            finishes[choice.index] = choice.finish_reason
    assert contents == [choice.message.content for choice in answer.choices]
    assert finishes == [choice.finish_reason for choice in answer.choices]
    assert all(r[0] == "assistant" and not any(r[1:]) for r in roles)


def test_parts_of_text_are_one_content(client):
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo!"}]
    fields = dict(model="tiny", seed=3, max_tokens=6, temperature=0)
    joined = [CHAT[0], {"role": "user", "content": "Hel\nlo!"}]  # as other servers join them
    one = client.chat.completions.create(messages=joined, **fields)
    two = client.chat.completions.create(messages=[CHAT[0], {"role": "user", "content": parts}],
                                         **fields)
    assert two.choices[0].message.content == one.choices[0].message.content
    assert two.usage.prompt_tokens == one.usage.prompt_tokens


def test_a_chat_without_a_limit_may_take_the_whole_context(client, service):
    answer = client.chat.completions.create(model="tiny", messages=CHAT, temperature=0,
                                            extra_body={"ignore_eos": True})
    assert answer.usage.total_tokens == service.info()["context"]


@pytest.mark.parametrize("fields, kind", [
    (dict(model="other"), openai.NotFoundError),
    (dict(model="tiny", temperature=9), openai.BadRequestError),
    (dict(model="tiny", max_tokens=100000), openai.BadRequestError),
    (dict(model="tiny", messages="hello"), openai.BadRequestError),
    (dict(model="tiny", messages=[{"role": "user"}, 3]), openai.BadRequestError),
    (dict(model="tiny", tools=[{"type": "function", "function": {}}]),
     openai.BadRequestError),
    (dict(model="tiny", messages=[{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:,"}}]}]), openai.BadRequestError)])
def test_errors_are_of_the_clients_classes(client, fields, kind):
    for stream in (False, True):
        with pytest.raises(kind) as caught:
            client.chat.completions.create(**{"messages": CHAT, "stream": stream, **fields})
        assert caught.value.code and caught.value.type and caught.value.body["message"]


def test_keys(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("right\n")
    service = serve("--api-key-file", str(keys))
    fields = dict(model="any", prompt="a", max_tokens=2)
    for key, kind in (("wrong", openai.AuthenticationError), ("right", None)):
        client = openai.OpenAI(base_url=f"http://{service.host}/v1", api_key=key, max_retries=0)
        if kind is None:
            assert client.completions.create(**fields).choices
            continue
        with pytest.raises(kind):
            client.completions.create(**fields)


def test_a_full_queue_is_a_rate_limit(serve):
    service = serve("--max-batch", 1, "--workers", 1, "--max-queue", 1, model=models.slow())
    client = client_of(service)
    fields = dict(model="any", prompt="Once", max_tokens=1900, extra_body={"ignore_eos": True})
    first = client.completions.create(**fields, stream=True)
    next(iter(first))
    second = client.completions.create(**fields, stream=True)
    with pytest.raises(openai.RateLimitError) as caught:
        client.completions.create(**fields)
    assert int(caught.value.response.headers["retry-after"]) >= 1
    second.close()
    first.close()


def test_a_cancel_in_the_middle_ends_the_work(slow_service):
    service, client = slow_service, client_of(slow_service)
    before = service.wait_until_idle().value("smallmind_requests_cancelled_total", phase="decode")
    stream = client.chat.completions.create(model="tiny", messages=CHAT, stream=True,
                                            extra_body={"ignore_eos": True})
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    stream.close()
    poll("it is cancelled", lambda: service.metrics().value(
        "smallmind_requests_cancelled_total", phase="decode") == before + 1)


def test_a_model_without_a_template_says_so(serve):
    """And is not asked again, though it is a 5xx and the client would try twice more."""
    service = serve()
    client = openai.OpenAI(base_url=f"http://{service.host}/v1", api_key="none", max_retries=2)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="any", messages=CHAT)
    assert caught.value.status_code == 501 and "template" in str(caught.value)
    assert service.metrics().value("smallmind_requests_total", route="/v1/chat/completions",
                                   code="501") == 1


def test_raw_and_streamed_bodies(client):
    fields = dict(model="tiny", messages=CHAT, max_tokens=6, temperature=0)
    raw = client.chat.completions.with_raw_response.create(**fields)
    answer = raw.parse()
    assert raw.headers["x-request-id"] == raw.request_id == answer._request_id
    with client.chat.completions.with_streaming_response.create(**fields) as body:
        assert body.parse().choices[0].message.content == answer.choices[0].message.content
    with client.chat.completions.with_streaming_response.create(**fields, stream=True) as body:
        text = "".join(choice.delta.content or "" for chunk in body.parse()
                       for choice in chunk.choices)
    assert text == answer.choices[0].message.content


def test_a_task_that_is_cancelled_ends_the_work(serve):
    service = serve("--chat-template", "chatml", model=models.slow())

    async def run():
        async with openai.AsyncOpenAI(base_url=f"http://{service.host}/v1", api_key="none",
                                      max_retries=0) as client:
            begun = asyncio.Event()

            async def read():
                stream = await client.chat.completions.create(
                    model="tiny", messages=CHAT, stream=True, extra_body={"ignore_eos": True})
                async with stream:
                    async for chunk in stream:
                        if chunk.choices and chunk.choices[0].delta.content:
                            begun.set()
            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    asyncio.run(run())
    poll("it is cancelled", lambda: service.metrics().value(
        "smallmind_requests_cancelled_total", phase="decode") == 1)


@pytest.mark.parametrize("ask", [
    lambda client: client.chat.completions.parse(
        model="tiny", messages=CHAT, response_format={"type": "xml"}),
    lambda client: client.responses.create(model="tiny", input="a", previous_response_id="resp_1"),
    lambda client: client.completions.create(model="tiny", prompt="a", suffix="b")])
def test_what_cannot_be_honoured_is_refused_by_name(client, ask):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client)
    assert caught.value.param in ("response_format", "previous_response_id", "suffix")
    assert caught.value.param in caught.value.message


def test_embeddings(serve):
    url = f"http://{serve('--pooling', 'mean').host}/v1"
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    texts = ["Once upon a time", "The dog"]
    # The client asks for base64 and unpacks it; "float" is what the service writes itself.
    packed = client.embeddings.create(model="tiny", input=texts)
    plain = client.embeddings.create(model="tiny", input=texts, encoding_format="float")
    assert [one.index for one in packed.data] == [0, 1] and packed.usage.total_tokens > 2
    for one, other in zip(packed.data, plain.data):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-8)
    short = client.embeddings.create(model="tiny", input=texts[0], dimensions=4)
    assert len(short.data[0].embedding) == 4


def test_a_model_without_embeddings_says_so(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.embeddings.create(model="tiny", input="a")
    assert caught.value.status_code == 501 and "--pooling" in str(caught.value)
