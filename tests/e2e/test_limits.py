"""Sizes that would stop a careless tokenizer or parser: a megabyte of one thing."""
import json
import random

import pytest

import models
from service import run_verb

MIB = 1 << 20
LLAMA = "\U0001f999"
MEGABYTES = {"spaces": " " * MIB, "a": "a" * MIB, "emoji": LLAMA * (MIB // 4),
             "newlines": "\n" * MIB, "digits": "7" * MIB, "mixed": " a\n7" * (MIB // 4)}


@pytest.mark.parametrize("name", MEGABYTES)
def test_a_megabyte_is_tokenized_and_refused_for_its_length(service, name):
    error = service.refusal(400, prompt=MEGABYTES[name], max_tokens=2)
    assert error["code"] == "context_length_exceeded" and error["param"] == "prompt"


@pytest.mark.parametrize("name", MEGABYTES)
def test_a_megabyte_comes_back_through_the_verbs(name):
    text = MEGABYTES[name].encode()
    ids = run_verb("tokenize", stdin=text)
    assert ids.returncode == 0
    assert run_verb("detokenize", stdin=ids.stdout).stdout == text


@pytest.mark.parametrize("name", MEGABYTES)
def test_a_megabyte_through_a_sentencepiece_vocabulary(name):
    path = models.fixture("ggml-vocab-llama-spm.gguf")
    text = MEGABYTES[name].encode()
    ids = run_verb("tokenize", "--model", path, stdin=text)
    assert ids.returncode == 0
    assert run_verb("detokenize", "--model", path, stdin=ids.stdout).stdout == text


def test_the_service_answers_others_while_a_megabyte_is_tokenized(service):
    with service.connect() as big:
        big.send(service.build("POST", "/tokenize", {"text": MEGABYTES["emoji"]}))
        for _ in range(20):
            assert service.get("/livez").status == 200
        assert len(big.read_response().json()["tokens"]) > 1000


def test_random_text_comes_back(service):
    draw = random.Random(5)
    for _ in range(20):
        text = "".join(chr(draw.choice([draw.randrange(1, 128), draw.randrange(0xa0, 0xd7ff),
                                        draw.randrange(0x10000, 0x10ffff)])) for _ in range(500))
        ids = service.post("/tokenize", {"text": text}).json()["tokens"]
        assert service.post("/detokenize", {"tokens": ids}).json()["text"] == text


def test_the_largest_bodies_in_every_shape(service):
    """Each is refused or served; none takes the service down or keeps its memory."""
    def shapes():
        yield json.dumps({"prompt": [1] * 400000})
        yield json.dumps({"prompt": "x", "stop": ["y" * 100000] * 16})
        yield json.dumps({"prompt": "x", "logit_bias": {str(k): 1 for k in range(2048)}})
        yield json.dumps({"prompt": "x", "k" * 1000000: 1})
        yield json.dumps({str(k): 1 for k in range(100000)})
        yield '{"prompt":"' + "\\u0041" * 600000 + '"}'
        yield '{"seed":' + "1" * 1000000 + "}"
        yield '{"temperature":0.' + "0" * 1000000 + "1}"
    for body in shapes():
        assert service.post("/generate", body).status in (200, 400, 413)
        assert service.get("/livez").status == 200


def test_a_long_unknown_name_is_cut_in_the_message(service):
    response = service.generate(**{"prompt": "x", "k" * 5000: 1})
    assert response.status == 400
    assert len(response.error()["message"]) < 2000
