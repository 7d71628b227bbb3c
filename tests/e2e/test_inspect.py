"""`inspect`: what a file holds, for people and as JSON, or why it is refused."""
import json
import struct

import pytest

import models
from gguf_edit import vocabulary_of, weights_of, with_token
from service import ROOT, run_verb
from terminal import run_on_terminal

SECTIONS = ["shape", "weights", "memory", "tokenizer", "unusual", "tensors"]


def text_of(*args):
    done = run_verb("inspect", *args)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout.decode()


def json_of(*args):
    done = run_verb("inspect", "--json", *args)
    assert done.returncode == 0 and not done.stderr, done
    return json.loads(done.stdout)


def row(text, label):
    """The text after a label."""
    for line in text.splitlines():
        if line.strip().startswith(label + " "):
            return line.strip()[len(label):].strip()
    raise AssertionError(f"no line {label}:\n{text}")


def patched(tmp_path, name, *changes):
    """A fixture with bytes of its header exchanged."""
    data = models.fixture(name).read_bytes()
    for old, new in changes:
        assert data.count(old) == 1 and len(old) == len(new)
        data = data.replace(old, new)
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_it_says_what_a_file_holds():
    text = text_of(models.fixture("llama256.Q4_0.gguf"))
    for section in SECTIONS:
        assert f"\n{section}" in text, section
    assert row(text, "architecture") == "llama"
    assert row(text, "layers") == "2" and row(text, "width") == "256"
    assert row(text, "heads") == "4 of 64" and row(text, "keys and values for") == "2 heads"
    assert row(text, "vocabulary") == "512" and "256 positions" in row(text, "context")
    assert "RoPE" in row(text, "positions") and row(text, "head") == "a matrix of its own"
    assert "SentencePiece" in row(text, "kind") and '1 "<s>", added' == row(text, "BOS")
    assert row(text, "chat template") == "none"
    assert row(text, "Q4_0").startswith("16 ") and "4.5" in text
    assert "blk.*.ffn_down.weight" in text and "blk.1.ffn_down.weight" not in text


def test_tensors_lists_every_one():
    text = text_of("--tensors", models.fixture("llama256.Q4_0.gguf"))
    known = json_of("--tensors", models.fixture("llama256.Q4_0.gguf"))["tensor_list"]
    assert len(known) == 21
    for tensor in known:
        shape = " x ".join(map(str, tensor["shape"]))
        assert row(text, tensor["name"]).split(None, 1) == [tensor["type"], shape]


def test_the_built_in_model():
    text = text_of("builtin")
    assert row(text, "head") == "the embedding (tied)" and "2.76 M parameters" in text
    assert "BOS and EOS are the same token" in text


def test_json_says_the_same_in_numbers():
    path = models.fixture("llama256.Q8_0.gguf")
    known = json_of(path)
    assert known["file"] == str(path) and known["bytes"] == path.stat().st_size
    assert known["architecture"] == "llama" and known["tensors"] == 21
    shape = known["shape"]
    assert [shape[k] for k in ("layers", "embedding", "heads", "kv_heads", "head_size",
                               "feed_forward", "vocabulary", "context")] == \
        [2, 256, 4, 2, 64, 256, 512, 256]
    assert shape["rope"] == {"order": "interleaved", "dimensions": 64, "base": 10000,
                             "scaling": "none", "factor": 1} and shape["tied_head"] is False
    assert known["parameters"] == sum(w["parameters"] for w in known["weights"]) == 1049856
    assert known["bits_per_weight"] == pytest.approx(
        8 * sum(w["bytes"] for w in known["weights"]) / known["parameters"], abs=1e-3)
    kv = known["memory"]["kv"]
    values = 2 * 2 * 2 * 64  # layers, keys and values, heads, head size
    assert kv["f32"]["bytes_per_1000_positions"] == 1000 * values * 4
    assert kv["f16"]["bytes_per_1000_positions"] == 1000 * values * 2
    assert kv["q8"]["bytes_per_1000_positions"] < 0.6 * kv["f16"]["bytes_per_1000_positions"]
    assert kv["f16"]["bytes_per_sequence"] == 256 * values * 2
    assert known["tokenizer"]["bos"] == {"id": 1, "text": "<s>"}
    assert known["tokenizer"]["chat_template"] is False and "tensor_list" not in known


def test_the_memory_it_names_is_what_the_service_takes(serve):
    path = models.fixture("llama256.Q8_0.gguf")
    known = json_of("--context", 128, path)["memory"]
    info = serve("--context", 128, "--max-batch", 1, "--workers", 1, model=path).get("/info").json()
    assert known["context"] == 128
    assert str(known["kv"]["f16"]["bytes_per_sequence"]) in json.dumps(info)


@pytest.mark.parametrize("name, words", [
    ("gpt256.Q4_K_M.gguf", ["2 types", "7 in Q4_K", "3 in Q6_K"]),
    ("stories260K.gguf", []),
])
def test_what_is_unusual(name, words):
    unusual = " ".join(json_of(models.fixture(name))["unusual"])
    assert all(word in unusual for word in words) and bool(unusual) == bool(words)


def test_a_long_context_and_unknown_keys_are_unusual(tmp_path):
    context = b"llama.context_length" + struct.pack("<I", 4)
    path = patched(tmp_path, "llama256.Q4_0.gguf",
                   (context + struct.pack("<I", 256), context + struct.pack("<I", 8192)),
                   (b"general.name", b"another.name"))
    unusual = " ".join(json_of(path)["unusual"])
    assert "another.name" in unusual and "unknown here" in unusual
    assert "4096 positions are served" in unusual
    assert text_of(path).splitlines()[0] == "llama"


@pytest.mark.parametrize("content, word", [
    (b"no GGUF at all, but long enough to be read" * 100, "GGUF"),
    (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 40), "header")])
def test_a_refused_file_says_why(tmp_path, content, word):
    path = tmp_path / "refused.gguf"
    path.write_bytes(content)
    done = run_verb("inspect", path)
    assert done.returncode == 1 and done.stdout == b""
    assert str(path) in done.stderr.decode() and word in done.stderr.decode()
    done = run_verb("inspect", "--json", path)
    assert done.returncode == 1 and str(path) in done.stderr.decode()
    known = json.loads(done.stdout)
    assert known["file"] == str(path) and word in known["refused"]["message"]


def test_a_refusal_names_the_key_at_fault(tmp_path):
    path = patched(tmp_path, "llama256.Q4_0.gguf",
                   (b"general.architecture" + struct.pack("<IQ", 8, 5) + b"llama",
                    b"general.architecture" + struct.pack("<IQ", 8, 5) + b"gemma"))
    done = run_verb("inspect", "--json", path)
    assert done.returncode == 1
    refused = json.loads(done.stdout)["refused"]
    assert refused["param"] == "general.architecture" and "llama gpt2" in refused["message"]


def test_a_context_beyond_the_models_is_wrong_usage():
    done = run_verb("inspect", "--context", 100000, models.fixture("llama256.Q4_0.gguf"))
    assert done.returncode == 2 and b"256" in done.stderr


@pytest.mark.parametrize("args", [["--json"], ["--tensors", "--json"], ["--colour", "builtin"]])
def test_wrong_usage_is_exit_2(args):
    assert run_verb("inspect", *args).returncode == 2


@pytest.mark.parametrize("architecture", ["llama", "gemma", "zzzzz"])
def test_a_vocabulary_alone_is_shown_as_far_as_it_goes(tmp_path, architecture):
    """A file that `tokenize` takes is not refused here, whatever its architecture."""
    builtin = ROOT / "models" / "smallmind-tiny.gguf"
    path = vocabulary_of(builtin, tmp_path / "vocab.gguf", architecture)
    assert run_verb("tokenize", "--model", path, stdin=b"Once").returncode == 0
    done = run_verb("inspect", path)
    text = done.stdout.decode()
    assert done.returncode == 0 and "vocabulary alone" in text and architecture in text
    assert "2048 entries" in text and "EOS" in text and "weights:" not in text
    found = json.loads(run_verb("inspect", "--json", path).stdout)
    assert found["vocabulary_only"] is True and found["architecture"] == architecture
    assert found["tokenizer"]["entries"] == 2048 and "shape" not in found and "memory" not in found


@pytest.mark.parametrize("text", ["<end_of_turn>", "<|EOT|>", "<|file_sep|>"])
def test_an_end_known_by_its_text_alone_is_shown_and_logged(tmp_path, serve, text):
    path = with_token(models.fixture("llama256.Q4_0.gguf"), tmp_path / "chat.gguf", 300, text)
    assert f'300 "{text}", by its text' == row(text_of(path), "ends a text too")
    end = {"id": 300, "text": text, "by_text": True}
    assert json_of(path)["tokenizer"]["further_ends"] == [end]
    service = serve(model=path)
    eos = {"id": 2, "text": "</s>", "by_text": False}
    assert service.info()["model"]["end_tokens"] == [eos, end]
    assert [f"300 {text}" in line for line in service.logged("no key names")] == [True]


@pytest.mark.parametrize("bits", [b"\x00\x7c", b"\x01\xfe"])
def test_a_scale_that_is_not_finite_is_refused_by_tensor_and_row(tmp_path, bits):
    source = models.fixture("llama256.Q8_0.gguf")
    data = bytearray(source.read_bytes())
    begin, name, columns, rows = weights_of(data, 8)
    at = begin + (rows - 3) * (columns // 32) * 34
    data[at:at + 2] = bits
    path = tmp_path / "spoiled.gguf"
    path.write_bytes(data)
    words = f"tensor '{name}': row {rows - 3} holds a value that is not a finite number"
    done = run_verb("inspect", "--json", path)
    assert done.returncode == 1
    refused = json.loads(done.stdout)["refused"]
    assert refused["param"] == name and words in refused["message"]
    assert words in run_verb("inspect", path).stderr.decode()
    assert run_verb("inspect", "--header-only", path).returncode == 0
    done = run_verb("generate", "--model", path, "Once")
    assert done.returncode == 1 and words in done.stderr.decode()


def test_a_whole_model_is_not_called_a_vocabulary():
    found = json.loads(run_verb("inspect", "--json", "builtin").stdout)
    assert found["vocabulary_only"] is False and found["shape"]["layers"] == 6


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(columns):
    seen = run_on_terminal("inspect", "builtin", "--tensors", columns=columns)
    assert seen.returncode == 0 and max(map(len, seen.lines)) <= columns
