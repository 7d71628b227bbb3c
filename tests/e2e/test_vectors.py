"""Texts become vectors, in the words of OpenAI, Ollama, Text Embeddings Inference and llama.cpp's
server: one text's vector is the same in each, and what a model cannot do is said."""
import base64
import struct

import pytest

TEXTS = ["Once upon a time", "The dog", "Once upon a midnight dreary", "a"]


@pytest.fixture
def vectors(shared):
    return shared("--pooling", "mean", "--max-inputs", 8, "--context", 256)


def ask(service, path="/v1/embeddings", status=200, **fields):
    response = service.post(path, fields)
    assert response.status == status, response
    return response.json()


def embed(service, texts, **fields):
    return [item["embedding"] for item in ask(service, input=texts, **fields)["data"]]


def length(vector):
    return sum(x * x for x in vector) ** 0.5


def scaled(vector):
    return pytest.approx([x / length(vector) for x in vector], abs=1e-6)


def test_openais_shape(vectors):
    answer = ask(vectors, input=TEXTS, model="any", user="someone")
    assert answer["object"] == "list" and answer["model"]
    assert [item["index"] for item in answer["data"]] == [0, 1, 2, 3]
    assert {item["object"] for item in answer["data"]} == {"embedding"}
    for item in answer["data"]:
        assert length(item["embedding"]) == pytest.approx(1, abs=1e-6)
    usage = answer["usage"]
    assert usage["prompt_tokens"] == usage["total_tokens"] > len(TEXTS)


def test_a_text_alone_is_the_text_among_others(vectors):
    together = embed(vectors, TEXTS)
    for text, vector in zip(TEXTS, together):
        assert embed(vectors, text) == [vector]
    assert len({tuple(vector) for vector in together}) == len(TEXTS)


def test_base64_has_the_same_floats(vectors):
    numbers = embed(vectors, TEXTS)
    for vector, text in zip(numbers, embed(vectors, TEXTS, encoding_format="base64")):
        raw = base64.b64decode(text, validate=True)
        assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == pytest.approx(vector, abs=1e-8)
        packed = struct.pack(f"<{len(vector)}f", *vector)
        assert packed == raw


def test_ids_are_used_as_they_are(vectors):
    ids = vectors.post("/tokenize", {"text": TEXTS[0], "add_special": True}).json()["tokens"]
    assert embed(vectors, ids) == embed(vectors, TEXTS[0])
    assert embed(vectors, [ids, ids[:2]])[0] == embed(vectors, TEXTS[0])[0]


def test_fewer_dimensions_are_the_first_ones(vectors):
    whole, = embed(vectors, TEXTS[0])
    few, = embed(vectors, TEXTS[0], dimensions=5)
    assert few == scaled(whole[:5])
    assert ask(vectors, status=400, input="a", dimensions=100000)["error"]["param"] == "dimensions"


def test_other_words_for_the_same(vectors):
    right = embed(vectors, TEXTS)
    ollama = ask(vectors, "/api/embed", model="any", input=TEXTS, options={"num_ctx": 9})
    assert ollama["embeddings"] == right
    assert ollama["prompt_eval_count"] > 0 and ollama["total_duration"] > 0
    one = ask(vectors, "/api/embeddings", model="any", prompt=TEXTS[0])["embedding"]
    assert right[0] == scaled(one) and length(one) != pytest.approx(1, abs=1e-3)
    assert ask(vectors, "/embed", inputs=TEXTS) == right
    assert ask(vectors, "/embed", inputs=TEXTS[0]) == right[:1]
    assert ask(vectors, "/embed", inputs=TEXTS[0], normalize=False)[0] == one
    llama = ask(vectors, "/embedding", content=TEXTS)
    assert [item["embedding"] for item in llama] == [[vector] for vector in right]
    assert ask(vectors, "/embeddings", input=TEXTS[0], embd_normalize=-1) == \
        [{"index": 0, "embedding": [one]}]
    most = ask(vectors, "/embeddings", input=TEXTS[0], embd_normalize=0)[0]["embedding"][0]
    assert max(abs(x) for x in most) == pytest.approx(32760, rel=1e-6)
    assert sum(abs(x) for x in ask(vectors, "/embeddings", input="a", embd_normalize=1)[0]
               ["embedding"][0]) == pytest.approx(1, rel=1e-5)


def test_llamas_texts_of_ids_and_strings(vectors):
    tokenize = vectors.post("/tokenize", {"text": "dog", "add_special": False}).json()["tokens"]
    mixed = ask(vectors, "/embedding", input=[5, "dog", 7])
    assert mixed == ask(vectors, "/embedding", input=[[5, *tokenize, 7]])
    assert len(ask(vectors, "/embedding", input=["a", [5, 6], [5, "b", 6]])) == 3


def test_texts_that_are_too_long(vectors):
    text = "word " * 400
    error = ask(vectors, status=400, input=["a", text])["error"]
    assert error["code"] == "context_length_exceeded" and error["param"] == "input"
    cut = ask(vectors, input=text, truncate_prompt_tokens=-1)
    assert cut["usage"]["prompt_tokens"] == 256
    assert ask(vectors, input=text, truncate_prompt_tokens=9)["usage"]["prompt_tokens"] == 9
    assert ask(vectors, "/embed", inputs=text) == [cut["data"][0]["embedding"]]
    assert ask(vectors, "/api/embed", input=text)["prompt_eval_count"] == 256
    ask(vectors, "/embed", status=400, inputs=text, truncate=False)
    ask(vectors, "/api/embed", status=400, input=text, truncate=False)


@pytest.mark.parametrize("fields, param", [
    ({}, "input"), ({"input": []}, "input"), ({"input": ""}, None), ({"input": 5}, "input"),
    ({"input": {"a": 1}}, "input"), ({"input": ["a", 5]}, "input"), ({"input": [-1]}, "input"),
    ({"input": [10 ** 9]}, "input"), ({"input": ["a"] * 9}, "input"),
    ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ({"input": "a", "dimensions": 0}, "dimensions"), ({"input": "a", "model": 5}, "model")])
def test_what_cannot_be(vectors, fields, param):
    response = vectors.post("/v1/embeddings", fields)
    if param is None:  # this vocabulary puts a token of its own in front
        assert response.status == 200
        return
    assert response.status == 400 and response.json()["error"]["param"] == param


def test_what_clients_ask_to_see_whether_it_is_there(vectors):
    assert ask(vectors, "/api/embed", model="any", input="")["embeddings"] == []
    assert ask(vectors, "/api/embed", model="any")["embeddings"] == []
    assert ask(vectors, "/api/embeddings", model="any", prompt="") == {"embedding": []}


@pytest.mark.parametrize("path", ["/embed_sparse", "/embed_all", "/rerank", "/v1/rerank"])
def test_what_this_model_does_not_do(vectors, path):
    response = vectors.post(path, {"inputs": "a", "query": "a", "documents": ["b"]})
    assert response.status == 501 and len(response.body) > 40


def test_it_writes_texts_all_the_same(vectors):
    assert vectors.post("/generate", {"prompt": "Once", "max_tokens": 4}).json()["tokens"]


@pytest.mark.parametrize("path, body", [
    ("/v1/embeddings", {"input": "a"}), ("/api/embed", {"input": "a"}),
    ("/api/embeddings", {"prompt": "a"}), ("/embed", {"inputs": "a"}),
    ("/embedding", {"content": "a"}), ("/rerank", {"query": "a", "documents": ["b"]})])
def test_without_a_kind_of_pooling(service, path, body):
    response = service.post(path, body)
    assert response.status == 501
    assert b"--pooling" in response.body or path == "/rerank"
