"""Split models (NAME-00001-of-0000N.gguf): the parts together answer as the whole file does."""
import json

import pytest

import gguf_edit
import models
from service import run_verb


def text_of(model):
    done = run_verb("generate", "--model", model, "--temperature", 0, "--max-tokens", 24,
                    "Once upon a time")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("file", ["llama256.Q4_K_M.gguf", "gpt256.Q8_0.gguf"])
@pytest.mark.parametrize("n_parts, first_empty", [(2, False), (5, False), (3, True)])
def test_the_parts_answer_as_the_whole_does(tmp_path, file, n_parts, first_empty):
    whole = models.fixture(file)
    parts = gguf_edit.split(whole, tmp_path, "cut", n_parts, first_empty)
    assert len(parts) == n_parts
    assert text_of(parts[0]) == text_of(whole)


def test_a_split_model_serves(tmp_path, serve):
    whole = models.fixture("llama256.Q8_0.gguf")
    parts = gguf_edit.split(whole, tmp_path, "cut", 3)
    service, other = serve(model=parts[0]), serve(model=whole)
    ask = {"prompt": "The cat", "temperature": 0, "max_tokens": 12}
    assert service.answer(**ask)["text"] == other.answer(**ask)["text"]


def test_inspect_shows_all_of_it(tmp_path):
    whole = models.fixture("llama256.Q4_0.gguf")
    first = gguf_edit.split(whole, tmp_path, "cut", 3)[0]
    one, all_parts = (json.loads(run_verb("inspect", "--json", path).stdout)
                      for path in (whole, first))
    assert (one["files"], all_parts["files"]) == (1, 3)
    assert all_parts["tensors"] == one["tensors"]
    assert b"in 3 files" in run_verb("inspect", first).stdout


def test_a_part_that_is_missing_is_named(tmp_path):
    parts = gguf_edit.split(models.fixture("llama256.Q4_0.gguf"), tmp_path, "cut", 3)
    parts[1].unlink()
    for verb in (["inspect", parts[0]], ["generate", "--model", parts[0], "Hi"]):
        done = run_verb(*verb)
        assert done.returncode == 1 and parts[1].name.encode() in done.stderr
    done = run_verb("inspect", parts[2])
    assert done.returncode == 1 and parts[0].name.encode() in done.stderr


def test_quantizing_it_gives_one_file(tmp_path):
    whole = models.fixture("llama256.F16.gguf")
    first = gguf_edit.split(whole, tmp_path, "cut", 4)[0]
    for source, out in ((whole, "a.gguf"), (first, "b.gguf")):
        assert run_verb("quantize", source, tmp_path / out, "Q8_0").returncode == 0
    assert text_of(tmp_path / "b.gguf") == text_of(tmp_path / "a.gguf")
    found = json.loads(run_verb("inspect", "--json", tmp_path / "b.gguf").stdout)
    assert found["files"] == 1
