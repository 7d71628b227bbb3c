"""Encoders against llama.cpp, one arithmetic over HTTP, and what an encoder does not do."""
import json

import pytest

import models
from service import run_verb

NAMES = ["bert.f32.gguf", "nomic-bert.f32.gguf"]


@pytest.fixture(params=NAMES)
def encoder(request, shared):
    return shared(model=models.fixture(f"architectures/{request.param}"))


@pytest.fixture
def reference(encoder):
    data = json.loads(models.fixture("architectures/reference.json").read_text())
    family = encoder.info()["model"]["architecture"]
    return data["prompt_tokens"], data["models"][f"{family}.f32.gguf"]


def embed(service, inputs, **fields):
    response = service.post("/v1/embeddings", dict(fields, input=inputs))
    assert response.status == 200, response
    return [item["embedding"] for item in response.json()["data"]]


def distance(a, b):
    """The largest difference of a number, relative to those of a vector of this length."""
    length = sum(y * y for y in b) ** 0.5
    return max(abs(x - y) for x, y in zip(a, b)) / length * len(b) ** 0.5


def test_vectors_are_the_references(encoder, reference):
    """llama.cpp looks GELU up in a table of F16, which moves a vector by 0.01."""
    prompt, expected = reference
    whole, part = embed(encoder, [prompt, prompt[:23]], normalize=False)
    limit = 0.02 if encoder.info()["model"]["architecture"] == "bert" else 0.001
    assert distance(whole, expected["embedding"]) <= limit
    assert distance(part, expected["embedding_of_23"]) <= limit


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flags", [("--threads", 1), ("--threads", 2, "--workers", 1),
                                   ("--cpu", "ref"), ("--step-tokens", 7)])
def test_no_bit_depends_on_how_it_is_computed(shared, name, flags):
    path = models.fixture(f"architectures/{name}")
    texts = [list(range(3, 3 + n)) for n in (1, 5, 33, 64, 200, 2, 33)]
    plain = [embed(shared(model=path), text, encoding_format="base64")[0] for text in texts]
    assert embed(shared(*flags, model=path), texts, encoding_format="base64") == plain


@pytest.mark.parametrize("path, body", [
    ("/generate", {"prompt": "a"}), ("/v1/completions", {"prompt": "a"}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 4}),
    ("/v1/responses", {"input": "a"}), ("/api/generate", {"prompt": "a"}),
    ("/api/chat", {"messages": [{"role": "user", "content": "a"}]}), ("/", {"inputs": "a"}),
    ("/generate_stream", {"inputs": "a"}), ("/completion", {"prompt": "a"})])
def test_an_encoder_writes_no_text(encoder, path, body):
    response = encoder.post(path, body)
    assert response.status == 501 and b"/v1/embeddings" in response.body


@pytest.mark.parametrize("verb", [("generate", "Once"), ("bench", "--quick"), ("profile",)])
def test_verbs_that_write_refuse_an_encoder(verb):
    path = models.fixture("architectures/bert.f32.gguf")
    done = run_verb(*verb, "--model", path)
    assert done.returncode == 1 and b"/v1/embeddings" in done.stderr


def test_a_text_beyond_the_context_is_refused_or_cut(encoder):
    ids = list(range(3, 303))
    response = encoder.post("/v1/embeddings", {"input": ids})
    assert response.status == 400 and response.error()["code"] == "context_length_exceeded"
    cut, = encoder.post("/embed", {"inputs": [ids]}).json()
    assert cut == embed(encoder, ids[:256])[0]


def test_an_encoder_says_what_it_is(encoder):
    info = encoder.info()
    assert info["model"]["embeddings"] is True and info["model"]["generates"] is False
    assert info["model"]["pooling"] in ("cls", "mean")
    show = encoder.post("/api/show", {"model": info["model"]["name"]}).json()
    assert show["capabilities"] == ["embedding"]
    assert encoder.get("/model_info").json()["is_embedding"] is True
    assert encoder.get("/model_info").json()["is_generation"] is False
