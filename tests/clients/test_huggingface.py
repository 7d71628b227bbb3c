"""huggingface_hub's client: texts as Text Generation Inference makes them, and chats."""
import asyncio

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError, OverloadedError, ValidationError

import models
from service import poll

PROMPT = "Once upon a time"
CHAT = [{"role": "user", "content": "Hello!"}]


@pytest.fixture
def client(url):
    return InferenceClient(base_url=url)


def test_a_text(client, service):
    right = service.answer(prompt=PROMPT, temperature=0, max_tokens=15)["text"]
    assert client.text_generation(PROMPT, max_new_tokens=15) == right
    assert "".join(client.text_generation(PROMPT, max_new_tokens=15, stream=True)) == right
    assert client.text_generation(PROMPT, max_new_tokens=15, return_full_text=True) == \
        PROMPT + right


def test_details(client):
    fields = dict(max_new_tokens=12, details=True, top_n_tokens=2, do_sample=True, seed=3)
    answer = client.text_generation(PROMPT, decoder_input_details=True, **fields)
    details = answer.details
    assert details.finish_reason == "length" and details.generated_tokens == 12
    assert details.seed == 3 and len(details.tokens) == len(details.top_tokens) == 12
    assert all(len(top) == 2 for top in details.top_tokens)
    assert "".join(token.text for token in details.tokens) == answer.generated_text
    assert details.prefill[0].logprob is None and details.prefill[1].logprob <= 0
    outputs = list(client.text_generation(PROMPT, stream=True, **fields))
    assert [(output.token.id, output.token.text, output.token.logprob) for output in outputs] == \
        [(token.id, token.text, token.logprob) for token in details.tokens]
    assert [output.index for output in outputs] == list(range(1, 13))
    assert outputs[-1].generated_text == answer.generated_text
    assert outputs[-1].details.finish_reason == "length" and outputs[-1].details.seed == 3
    assert outputs[-1].details.input_length == len(details.prefill)
    assert all(output.details is None for output in outputs[:-1])


def test_a_stop_sequence_stays(client):
    text = client.text_generation(PROMPT, max_new_tokens=40)
    stop = text[10:15]
    answer = client.text_generation(PROMPT, max_new_tokens=40, stop=[stop], details=True)
    assert answer.generated_text == text[:text.index(stop) + len(stop)]
    assert answer.details.finish_reason == "stop_sequence"


def test_every_parameter_that_can_be_honoured(client, service):
    text = client.text_generation(PROMPT, max_new_tokens=20, do_sample=True, seed=8, top_k=20,
                                  temperature=0.9, top_p=0.9, typical_p=0.95, best_of=1,
                                  repetition_penalty=1.2, frequency_penalty=0.1, truncate=400,
                                  watermark=False)
    right = service.answer(prompt=PROMPT, max_tokens=20, seed=8, top_k=20, temperature=0.9,
                           top_p=0.9, typical_p=0.95, min_p=0, repetition_penalty=1.2,
                           frequency_penalty=0.1, repetition_window=service.info()["context"])
    assert text == right["text"]


def test_chats(client):
    answer = client.chat_completion(CHAT, model="tiny", max_tokens=8, temperature=0)
    content = answer.choices[0].message.content
    assert content and answer.usage.completion_tokens == 8
    chunks = client.chat_completion(CHAT, model="tiny", max_tokens=8, temperature=0, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == content


@pytest.mark.parametrize("fields, word", [
    (dict(temperature=9), "temperature"), (dict(watermark=True), "watermark"),
    (dict(best_of=2), "best_of"), (dict(adapter_id="a"), "adapter_id"),
    (dict(max_new_tokens=100000), "max_new_tokens"),
    (dict(grammar={"type": "regex", "value": "("}), "grammar")])
def test_refusals_are_validation_errors(client, fields, word):
    for stream in (False, True):
        with pytest.raises(ValidationError) as caught:
            list(client.text_generation(PROMPT, stream=stream, **fields))
        assert word in str(caught.value)


def test_a_wrong_key_and_a_full_queue(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("right\n")
    service = serve("--api-key-file", keys, "--max-batch", 1, "--workers", 1, "--max-queue", 1,
                    model=models.slow())
    url, right = f"http://{service.host}", {"Authorization": "Bearer right"}
    for stream in (False, True):
        with pytest.raises(HfHubHTTPError) as caught:
            list(InferenceClient(base_url=url, api_key="wrong").text_generation(
                PROMPT, stream=stream))
        assert caught.value.response.status_code == 401
    client = InferenceClient(base_url=url, api_key="right")
    assert client.text_generation(PROMPT, max_new_tokens=1)
    with service.busy(right):
        with service.stream(right, prompt=PROMPT, max_tokens=1900, ignore_eos=True):
            with pytest.raises(OverloadedError):
                client.text_generation(PROMPT)


def test_a_cancel_in_the_middle_ends_the_work(slow_service):
    service, client = slow_service, InferenceClient(base_url=f"http://{slow_service.host}")
    before = service.wait_until_idle().value("smallmind_requests_cancelled_total", phase="decode")
    stream = client.text_generation(PROMPT, max_new_tokens=450, stream=True)
    assert next(stream)
    stream.close()
    client.close()
    poll("it is cancelled", lambda: service.metrics().value(
        "smallmind_requests_cancelled_total", phase="decode") == before + 1)


def test_without_waiting(url):
    async def ask():
        client = AsyncInferenceClient(base_url=url)
        stream = await client.text_generation(PROMPT, max_new_tokens=6, stream=True)
        return [part async for part in stream], \
            await client.text_generation(PROMPT, max_new_tokens=6)

    parts, text = asyncio.run(ask())
    assert "".join(parts) == text and len(parts) == 6
