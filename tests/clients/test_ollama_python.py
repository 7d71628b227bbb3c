"""ollama's Python client, and the calls that Open WebUI makes one after the other."""
import json

import httpx
import ollama
import pytest

import models
from service import poll

CHAT = [{"role": "system", "content": "You tell stories."}, {"role": "user", "content": "Hello!"}]
PROMPT = "Once upon a time"
GREEDY = {"temperature": 0, "num_predict": 12}


@pytest.fixture
def client(url):
    return ollama.Client(host=url)


def test_models(client, service):
    models = client.list().models
    assert {model.model for model in models} == {"tiny:latest", "gpt-4o-mini:latest"}
    info = service.info()["model"]
    for model in models:
        assert model.size == info["bytes"] and len(model.digest) == 64 and model.modified_at
        assert model.details.format == "gguf" and model.details.families == [info["architecture"]]
    shown = client.show("tiny")
    assert shown.modelinfo["general.architecture"] == info["architecture"]
    assert shown.details == models[0].details and shown.template and shown.modified_at
    assert shown.capabilities == ["completion"]
    running = client.ps().models
    assert [model.model for model in running] == ["tiny:latest"]
    assert running[0].context_length == service.info()["context"]


@pytest.mark.parametrize("name", ["tiny", "tiny:latest", "gpt-4o-mini:latest"])
def test_texts(client, service, name):
    answer = client.generate(model=name, prompt=PROMPT, raw=True, options=GREEDY)
    right = service.answer(prompt=PROMPT, temperature=0, max_tokens=12)
    assert answer.response == right["text"] and answer.done and answer.done_reason == "length"
    assert answer.eval_count == 12 and answer.prompt_eval_count == right["usage"]["prompt_tokens"]
    assert answer.total_duration >= answer.eval_duration > 0
    parts = list(client.generate(model=name, prompt=PROMPT, raw=True, options=GREEDY, stream=True))
    assert "".join(part.response for part in parts) == right["text"]
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_options_of_the_clients_own_class(client, service):
    options = ollama.Options(seed=5, num_predict=20, temperature=1.1, top_k=9, top_p=0.8,
                             repeat_penalty=1.2, repeat_last_n=32, num_ctx=256, num_thread=2,
                             stop=["never there"])
    right = service.answer(prompt=PROMPT, seed=5, max_tokens=20, temperature=1.1, top_k=9,
                           top_p=0.8, min_p=0, repetition_penalty=1.2, repetition_window=32)
    answer = client.generate(model="tiny", prompt=PROMPT, raw=True, options=options)
    assert answer.response == right["text"]


def test_chats(client):
    answer = client.chat(model="tiny", messages=CHAT, options=GREEDY)
    assert answer.message.role == "assistant" and answer.message.content
    assert answer["message"]["content"] == answer.message.content and answer.eval_count == 12
    parts = list(client.chat(model="tiny", messages=CHAT, options=GREEDY, stream=True))
    assert "".join(part.message.content for part in parts) == answer.message.content
    assert parts[-1].done_reason == "length"
    again = client.chat(model="tiny", options=GREEDY, keep_alive="10m",
                        messages=[ollama.Message(**message) for message in CHAT])
    assert again.message.content == answer.message.content


def test_stop(client):
    text = client.chat(model="tiny", messages=CHAT, options={**GREEDY, "num_predict": 40})
    stop = text.message.content[12:16]
    for stream in (False, True):
        answer = client.chat(model="tiny", messages=CHAT, stream=stream,
                             options={**GREEDY, "num_predict": 40, "stop": [stop]})
        parts = list(answer) if stream else [answer]
        content = "".join(part.message.content for part in parts)
        assert content == text.message.content[:text.message.content.index(stop)]
        assert parts[-1].done_reason == "stop"


def test_logprobs(client):
    answer = client.chat(model="tiny", messages=CHAT, options=GREEDY, logprobs=True,
                         top_logprobs=2)
    assert len(answer.logprobs) == 12
    assert all(len(token.top_logprobs) == 2 for token in answer.logprobs)
    assert answer.logprobs[0].logprob == answer.logprobs[0].top_logprobs[0].logprob


def test_loading_a_model(client):
    assert client.generate(model="tiny", prompt="", keep_alive=-1).done_reason == "load"
    assert client.chat(model="tiny").done_reason == "load"


@pytest.mark.parametrize("ask, status", [
    (lambda c: c.generate(model="other", prompt="a"), 404),
    (lambda c: c.chat(model="other:7b", messages=CHAT), 404),
    (lambda c: c.show("other"), 404),
    (lambda c: c.generate(model="tiny", prompt="a", options={"temperature": 9}), 400),
    (lambda c: c.generate(model="tiny", prompt="a", suffix="b"), 400),
    (lambda c: c.generate(model="tiny", prompt="a", format={"type": "xml"}), 400),
    (lambda c: c.generate(model="tiny", prompt="a", context=[1, 2]), 400),
    (lambda c: c.generate(model="tiny", prompt="a", options={"num_ctx": 100000}), 400),
    (lambda c: c.chat(model="tiny", messages=CHAT, think=True), 400),
    (lambda c: c.chat(model="tiny", messages=CHAT, tools=2 * [{"type": "function", "function": {
        "name": "f", "description": "g"}}]), 400),
    (lambda c: c.embed(model="tiny", input="a"), 501),
    (lambda c: c.embeddings(model="tiny", prompt="a"), 501),
    (lambda c: c.pull("tiny"), 501), (lambda c: c.push("tiny"), 501),
    (lambda c: c.copy("tiny", "other"), 501), (lambda c: c.delete("tiny"), 501),
    (lambda c: c.create(model="mine", from_="tiny"), 501)])
def test_errors_are_the_clients_own(client, ask, status):
    with pytest.raises(ollama.ResponseError) as caught:
        ask(client)
    assert caught.value.status_code == status
    assert len(caught.value.error) > 20 and "{" not in caught.value.error


def test_errors_of_streams_come_before_them(client):
    with pytest.raises(ollama.ResponseError) as caught:
        next(client.chat(model="other", messages=CHAT, stream=True))
    assert caught.value.status_code == 404


def test_keys_and_a_full_queue(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("right\n")
    service = serve("--api-key-file", keys, "--max-batch", 1, "--workers", 1, "--max-queue", 1,
                    model=models.slow())
    url, right = f"http://{service.host}", {"Authorization": "Bearer right"}
    with pytest.raises(ollama.ResponseError) as caught:
        ollama.Client(host=url, headers={"Authorization": "Bearer wrong"}).list()
    assert caught.value.status_code == 401
    client = ollama.Client(host=url, headers=right)
    with service.busy(right):
        with service.stream(right, prompt=PROMPT, max_tokens=1900, ignore_eos=True):
            with pytest.raises(ollama.ResponseError) as caught:
                client.generate(model="any", prompt=PROMPT)
    assert caught.value.status_code == 429


def test_a_drain_is_503(serve):
    service = serve("--max-batch", 1, "--workers", 1, model=models.slow())
    client = ollama.Client(host=f"http://{service.host}")
    with service.busy():
        service.signal()
        poll("it drains", lambda: service.get("/readyz").status == 503)
        with pytest.raises(ollama.ResponseError) as caught:
            client.generate(model="any", prompt=PROMPT)
    assert caught.value.status_code == 503


def test_a_cancel_in_the_middle_ends_the_work(slow_service):
    service, client = slow_service, ollama.Client(host=f"http://{slow_service.host}")
    before = service.wait_until_idle().value("smallmind_requests_cancelled_total", phase="decode")
    stream = client.generate(model="tiny", prompt=PROMPT, raw=True, stream=True,
                             options={"temperature": 0})
    assert next(stream).response
    stream.close()
    poll("it is cancelled", lambda: service.metrics().value(
        "smallmind_requests_cancelled_total", phase="decode") == before + 1)


def test_what_open_webui_asks_one_after_the_other(url):
    """Version, models, what runs, facts, a chat as lines, a title: over one connection."""
    with httpx.Client(base_url=url, headers={"User-Agent": "Open WebUI"}) as web:
        assert web.head("/").status_code == 200
        version = web.get("/api/version").json()["version"]
        assert tuple(int(part) for part in version.split("."))
        model = web.get("/api/tags").json()["models"][0]
        assert web.get("/api/ps").json()["models"][0]["model"] == model["model"]
        shown = web.post("/api/show", json={"model": model["model"]}).json()
        assert shown["details"] == model["details"]
        body = {"model": model["model"], "messages": CHAT, "stream": True, "options": GREEDY,
                "keep_alive": None, "think": None, "format": None}
        with web.stream("POST", "/api/chat", json=body) as answer:
            assert answer.headers["Content-Type"] == "application/x-ndjson"
            lines = [json.loads(line) for line in answer.iter_lines() if line]
        assert lines[-1]["done"] and lines[-1]["eval_count"] == 12
        title = web.post("/api/chat", json={**body, "stream": False}).json()
        assert title["message"]["content"] == \
            "".join(line["message"]["content"] for line in lines)


def test_embeddings(serve):
    client = ollama.Client(f"http://{serve('--pooling', 'mean').host}")
    answer = client.embed("tiny", input=["Once upon a time", "The dog"])
    assert len(answer.embeddings) == 2 and answer.prompt_eval_count > 2
    for vector in answer.embeddings:
        assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-5)
    old = client.embeddings("tiny", prompt="The dog").embedding
    length = sum(x * x for x in old) ** 0.5
    assert [x / length for x in old] == pytest.approx(list(answer.embeddings[1]), abs=1e-6)
    assert list(client.embed("tiny", input="The dog", dimensions=3).embeddings[0]) != old[:3]
