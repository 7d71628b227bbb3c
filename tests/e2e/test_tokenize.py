"""Tokenizing and back: the verbs on vocabulary files, the routes on the built-in model."""
import concurrent.futures
import unicodedata

import pytest

import models
from service import run_verb

BYTE_LEVEL = ["gpt-2", "refact"]
VOCABULARIES = ["llama-spm", "phi-3", *BYTE_LEVEL]
TEXTS = ["", " ", "  ", "a", " a", "a ", "Once upon a time", "\n", "\n\n\t \n", "caf\u00e9",
         "\u2603\ufe0f \U0001f999\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u00a0\u2028x",
         "don't WON'T I'll", "3.14159 1,000,000", "\u65e5\u672c\u8a9e\u306e\u6587",
         "<|endoftext|>", "</s><s><unk>", "a" * 300, " " * 100, "=" * 99 + "\r\n", "\x01\x7f",
         "\u0430\u0431\u0432 \u05e9\u05dc\u05d5\u05dd"]
MARK = "\u2581x\u2581"  # SentencePiece writes spaces with this sign and cannot tell the two apart


def tokenize(vocabulary, text, *flags):
    """The verb's ids for a text of bytes."""
    done = run_verb("tokenize", "--model", vocabulary, *flags, stdin=text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\n") <= 1
    return done.stdout.split()


def detokenize(vocabulary, ids):
    done = run_verb("detokenize", "--model", vocabulary, stdin=b" ".join(ids))
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_parallel(function, items):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


@pytest.mark.parametrize("name", VOCABULARIES)
def test_known_texts_become_known_ids_and_come_back(name):
    path = models.fixture(f"ggml-vocab-{name}.gguf")
    texts = models.fixture(f"ggml-vocab-{name}.gguf.inp").read_bytes() \
        .split(b"\n__ggml_vocab_test__\n")[:-1]
    expected = [line.split() for line in
                models.fixture(f"ggml-vocab-{name}.gguf.out").read_bytes().splitlines()]
    assert len(texts) == len(expected) > 40
    ids = in_parallel(lambda text: tokenize(path, text), texts)
    for text, got, right in zip(texts, ids, expected):
        assert got == right, text
    assert in_parallel(lambda one: detokenize(path, one), ids) == texts


@pytest.mark.parametrize("name", VOCABULARIES)
def test_any_text_comes_back_byte_for_byte(name):
    path = models.fixture(f"ggml-vocab-{name}.gguf")
    texts = [text.encode() for text in TEXTS + ([MARK] if name in BYTE_LEVEL else [])]
    assert in_parallel(lambda text: detokenize(path, tokenize(path, text)), texts) == texts


def test_the_built_in_vocabulary_gives_every_text_back():
    texts = [text.encode() for text in TEXTS]
    assert in_parallel(
        lambda text: detokenize("builtin", tokenize("builtin", text)), texts) == texts


def test_decomposed_text_gets_the_ids_of_composed_text_unless_asked_not_to():
    path = models.ROOT / "tests" / "fixtures" / "tokenizers" / "bytes.gguf"  # of the Qwen family
    composed = "ti\u1ebfng Vi\u1ec7t \ud55c\uad6d\uc5b4".encode()
    decomposed = unicodedata.normalize("NFD", composed.decode()).encode()
    ids, as_it_is = tokenize(path, decomposed), tokenize(path, decomposed, "--no-normalize")
    assert decomposed != composed and ids == tokenize(path, composed) != as_it_is
    assert detokenize(path, ids) == composed
    assert detokenize(path, as_it_is) == decomposed
    assert tokenize(path, composed, "--no-normalize") == ids


def test_the_route_can_leave_a_text_as_it_is(service):
    body = {"text": "e\u0301", "normalize": False}
    assert service.post("/tokenize", body).json() == service.post("/tokenize", body).json()
    assert service.post("/tokenize", {**body, "normalize": 0}).status == 400


def test_ids_stand_on_one_line_and_nothing_is_added():
    assert run_verb("tokenize", stdin=b"").stdout.strip() == b""
    with_newline, without = tokenize("builtin", b"Hello\n"), tokenize("builtin", b"Hello")
    assert len(with_newline) == len(without) + 1
    assert detokenize("builtin", without) == b"Hello"


def test_flags_of_the_verb():
    text = b"Hi<|endoftext|>"
    plain = tokenize("builtin", text)
    special = tokenize("builtin", text, "--special")
    added = tokenize("builtin", text, "--add-special")
    assert b"0" not in plain and special[-1] == b"0" and len(special) < len(plain)
    assert added == [b"0", *plain]
    assert detokenize("builtin", special) == text


def test_text_that_is_no_utf8_is_exit_1():
    for bad in (b"\xff", b"abc\xc0\x80", b"\xe2\x98", b"\xed\xa0\x80"):
        done = run_verb("tokenize", stdin=bad)
        assert done.returncode == 1 and done.stderr and done.stdout == b""


def test_detokenize_refuses_what_is_no_id():
    for bad in (b"x", b"5 -1", b"99999999", b"1.5", b"5,6", b"99999999999999999999"):
        done = run_verb("detokenize", stdin=bad)
        assert done.returncode == 1 and done.stderr, bad


def test_the_routes_agree_with_the_verbs_and_give_the_text_back(service):
    for text in TEXTS:
        ids = service.post("/tokenize", {"text": text}).json()
        assert set(ids) == {"tokens"}
        assert [str(one).encode() for one in ids["tokens"]] == \
            tokenize("builtin", text.encode()), text
        back = service.post("/detokenize", ids).json()
        assert back == {"text": text, "content": text}


def test_content_is_another_name_for_text(service):
    assert service.post("/tokenize", {"content": "Hi"}).json() == \
        service.post("/tokenize", {"text": "Hi"}).json()
    assert service.post("/tokenize", {"content": "Hi", "text": "Hi"}).status == 400
    assert service.post("/tokenize", {}).status == 400


def test_special_tokens_of_the_routes(service):
    text = "Hi<|endoftext|>"
    plain = service.post("/tokenize", {"text": text}).json()["tokens"]
    special = service.post("/tokenize", {"text": text, "parse_special": True}).json()["tokens"]
    added = service.post("/tokenize", {"text": text, "add_special": True}).json()["tokens"]
    assert 0 not in plain and special[-1] == 0 and added == [0, *plain]
    assert service.post("/detokenize", {"tokens": special}).json()["text"] == text


@pytest.mark.parametrize("body", [
    {"text": 5}, {"text": None}, {"text": "x", "add_special": 1}, {"text": "x", "txt": "y"}])
def test_bad_bodies_of_tokenize_are_refused(service, body):
    response = service.post("/tokenize", body)
    assert response.status == 400 and response.error()["param"]


@pytest.mark.parametrize("body", [
    {}, {"tokens": "5"}, {"tokens": [2048]}, {"tokens": [-1]}, {"tokens": [1.5]},
    {"tokens": ["5"]}, {"tokens": [1], "x": 1}])
def test_bad_bodies_of_detokenize_are_refused(service, body):
    response = service.post("/detokenize", body)
    assert response.status == 400 and response.error()["param"]


def test_half_a_character_becomes_a_mark(service):
    ids = service.post("/tokenize", {"text": "\U0001f999"}).json()["tokens"]
    assert len(ids) > 1, "the vocabulary has this emoji whole: choose another"
    back = service.post("/detokenize", {"tokens": ids[:-1]})
    assert back.status == 200 and "\ufffd" in back.json()["text"]
