"""Documents ranked by a model's own head, in the words of Jina and Text Embeddings Inference."""
import math

import pytest

import gguf_edit
import models

QUERY = "What is a dog?"
DOCUMENTS = ["The dog ran.", "Once upon a time", "a", "The dog ran.", "Two men pushed carts"]
RANK = 4  # pooling_type


@pytest.fixture(scope="module")
def ranker(all_shared, tmp_path_factory):
    """The encoder of the fixtures with a head of one score."""
    folder = tmp_path_factory.mktemp("ranks")
    source = models.fixture("architectures/bert.f32.gguf")
    plain = gguf_edit.with_u32(source, folder / "plain.gguf", "bert.pooling_type", RANK)
    weights = [math.sin(i * 1.7) for i in range(96)]
    path = gguf_edit.with_floats(plain, folder / "ranker.gguf", {
        "cls.output.weight": ((96, 1), weights), "cls.output.bias": ((1,), [0.25])})
    return all_shared.get(model=path)


def ask(service, path="/rerank", status=200, **fields):
    response = service.post(path, fields)
    assert response.status == status, response
    return response.json()


def scores(service, documents=None):
    answer = ask(service, query=QUERY, documents=documents or DOCUMENTS)
    return {one["index"]: one["relevance_score"] for one in answer["results"]}


@pytest.mark.parametrize("path", ["/rerank", "/reranking", "/v1/rerank", "/v1/reranking"])
def test_the_best_come_first(ranker, path):
    answer = ask(ranker, path, model="any", query=QUERY, documents=DOCUMENTS)
    assert answer["object"] == "list" and answer["model"]
    usage = answer["usage"]
    assert usage["prompt_tokens"] == usage["total_tokens"] > 5 * len(DOCUMENTS)
    found = answer["results"]
    assert sorted(one["index"] for one in found) == [0, 1, 2, 3, 4]
    assert all("document" not in one for one in found)
    order = [(-one["relevance_score"], one["index"]) for one in found]
    assert order == sorted(order) and len({score for score, _ in order}) == 4


def test_a_document_alone_is_the_document_among_others(ranker):
    together = scores(ranker)
    assert together[0] == together[3]
    for i, document in enumerate(DOCUMENTS):
        assert scores(ranker, [document]) == {0: together[i]}


def test_a_few_of_the_best_with_their_texts(ranker):
    whole = ask(ranker, query=QUERY, documents=DOCUMENTS)["results"]
    few = ask(ranker, query=QUERY, documents=[{"text": text} for text in DOCUMENTS], top_n=2,
              return_documents=True)["results"]
    assert [one["index"] for one in few] == [one["index"] for one in whole[:2]]
    for one in few:
        assert one["document"] == {"text": DOCUMENTS[one["index"]]}


def test_in_the_words_of_text_embeddings_inference(ranker):
    logits = scores(ranker)
    found = ask(ranker, query=QUERY, texts=DOCUMENTS, return_text=True)
    assert [one["index"] for one in found] == \
        sorted(logits, key=lambda index: (-logits[index], index))
    for one in found:
        assert one["score"] == pytest.approx(1 / (1 + math.exp(-logits[one["index"]])), rel=1e-5)
        assert one["text"] == DOCUMENTS[one["index"]]
    for one in ask(ranker, query=QUERY, texts=DOCUMENTS, raw_scores=True):
        assert one == {"index": one["index"], "score": logits[one["index"]]}


def test_what_is_too_long_is_cut_or_refused(ranker):
    long = "word " * 1000
    assert len(ask(ranker, query=QUERY, texts=[long, "a"])) == 2
    ask(ranker, query=QUERY, documents=[long, "a"], status=400)
    assert len(ask(ranker, query=QUERY, documents=[long], truncate=True)["results"]) == 1


@pytest.mark.parametrize("fields", [
    {}, {"query": "a"}, {"documents": ["a"]}, {"query": 5, "documents": ["a"]},
    {"query": "a", "documents": []}, {"query": "a", "documents": "b"},
    {"query": "a", "documents": [5]}, {"query": "a", "documents": [{"title": "b"}]},
    {"query": "a", "documents": ["b"], "top_n": 0}])
def test_what_cannot_be(ranker, fields):
    assert ranker.post("/rerank", fields).status == 400


def test_it_makes_no_embeddings(ranker):
    for path in ("/v1/embeddings", "/embed", "/api/embed"):
        response = ranker.post(path, {"input": "a", "inputs": "a"})
        assert response.status == 501 and b"/rerank" in response.body
    assert ranker.info()["model"]["ranks"] is True


def test_a_file_without_a_head_ranks_nothing(serve, tmp_path):
    source = models.fixture("architectures/bert.f32.gguf")
    plain = gguf_edit.with_u32(source, tmp_path / "plain.gguf", "bert.pooling_type", RANK)
    assert serve(model=plain).post("/rerank", {"query": "a", "documents": ["b"]}).status == 501
