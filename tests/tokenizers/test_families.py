"""Ids of random texts, each family's own pipeline in Hugging Face's `tokenizers` against ours."""
import pathlib
import subprocess

import pytest

import families
import make_vocabularies
import texts
import vocabulary

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "tokenize_texts"
FIXTURES = ROOT / "tests" / "fixtures" / "tokenizers"
SHARED = ROOT.parent / "shared" / "fixtures" / "tokenizers"
PARSE_SPECIAL = 2
N_TEXTS = 500
LARGE = ("qwen2", "qwen35", "gpt-4o", "deepseek-v3", "kimi-k2")


def ours(path, samples, flags=0):
    done = subprocess.run([PROGRAM, path, str(flags)], capture_output=True, check=False,
                          input=b"".join(text.encode() + b"\0" for text in samples))
    assert done.returncode == 0, done.stderr.decode()
    return [[int(one) for one in line.split()] for line in done.stdout.decode().splitlines()]


def compare(tmp_path, keys, pipeline, seed, flags=0):
    path = tmp_path / "vocabulary.gguf"
    vocabulary.write(path, keys)
    samples = texts.texts(N_TEXTS, seed)
    found = ours(path, samples, flags)
    assert len(found) == len(samples)
    for text, ids in zip(samples, found):
        right = pipeline.encode(text, add_special_tokens=False).ids
        assert ids == right, (ascii(text), pipeline.decode(right), pipeline.decode(ids))


@pytest.fixture(scope="module", params=["small", "gpt-2", "qwen35"])
def byte_keys(request):
    if request.param == "small":
        return vocabulary.read(FIXTURES / "bytes.gguf")
    path = SHARED / f"ggml-vocab-{request.param}.gguf"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    keys = vocabulary.read(path)
    return {"model": "gpt2", "tokens": keys["tokens"], "merges": keys["merges"],
            "token_type": [vocabulary.NORMAL] * len(keys["tokens"])}


@pytest.mark.parametrize("family", families.BYTE_LEVEL)
def test_byte_level_families(tmp_path, byte_keys, family):
    if len(byte_keys["tokens"]) > 100000 and family not in LARGE:
        pytest.skip("of the large vocabulary a few families are enough")
    keys = {**byte_keys, "pre": family}
    compare(tmp_path, keys, families.byte_level_pipeline(keys, family), seed=11)


def test_gemma4(tmp_path):
    keys = vocabulary.read(FIXTURES / "gemma4.gguf")
    compare(tmp_path, keys, families.gemma4_pipeline(keys), seed=12)


def bert_files():
    return [FIXTURES / "bert.gguf", SHARED / "ggml-vocab-bert-bge.gguf"]


@pytest.mark.parametrize("path", bert_files(), ids=["small", "bge"])
@pytest.mark.parametrize("lowercase, strip", [(True, None), (False, None), (True, False),
                                              (False, True)])
def test_bert(tmp_path, path, lowercase, strip):
    if not path.exists():
        pytest.skip(f"{path} is not there")
    keys = {**vocabulary.read(path), "normalizer.lowercase": lowercase}
    if strip is not None:
        keys["normalizer.strip_accents"] = strip
    compare(tmp_path, keys, families.bert_pipeline(keys, lowercase, strip), seed=13)


@pytest.mark.parametrize("bytes_too", [False, True])
def test_unigram_with_sentencepieces_own_map(tmp_path, bytes_too):
    keys = make_vocabularies.unigram_vocabulary(make_vocabularies.training_texts(), bytes_too)
    compare(tmp_path, keys, families.t5_pipeline(keys), seed=14, flags=PARSE_SPECIAL)


def test_every_character_by_itself_and_between_letters(tmp_path):
    """For the two kinds whose tables are of the package: nothing is left to the texts' chance."""
    chars = [chr(cp) for cp in range(1, 0x30000) if not 0xD800 <= cp < 0xE000]
    samples = [f"a{char}b {char}" for char in chars]
    keys = vocabulary.read(FIXTURES / "bert.gguf")
    keys["normalizer.lowercase"] = False
    path = tmp_path / "vocabulary.gguf"
    vocabulary.write(path, keys)
    pipeline = families.bert_pipeline(keys, False)
    right = [one.ids for one in pipeline.encode_batch(samples, add_special_tokens=False)]
    assert ours(path, samples) == right
