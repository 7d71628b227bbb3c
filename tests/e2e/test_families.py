"""Ids of many families' tokenizers, as Hugging Face's `tokenizers` gave them: a stored sample, so
that it needs no package (`make test-tokenizers` compares with the package itself)."""
import json
import struct
import subprocess

import gguf_edit
import pytest
from service import BINARY, ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "tokenizers"
ANSWERS = json.loads((FIXTURES / "answers.json").read_text())
PROGRAM = BINARY.parent / "tokenize_texts"
BOOL, STRING = 7, 8


def with_keys(path, changes):
    """The vocabulary with other values of some keys; those that it has are at its beginning."""
    data = bytearray(path.read_bytes())
    for name, value in changes.items():
        key = gguf_edit.encode("tokenizer.ggml." + name)
        at = data.find(key)
        if at >= 0:
            value_at = at + len(key) + 4
            end = gguf_edit.skip_value(data, value_at, STRING)
            data[value_at:end] = gguf_edit.encode(value)
        else:
            data += key + struct.pack("<I?", BOOL, value)
            struct.pack_into("<Q", data, 16, struct.unpack_from("<Q", data, 16)[0] + 1)
    return bytes(data)


def name_of(row):
    return "-".join([row["vocabulary"], *map(str, row["changes"].values())])


@pytest.mark.parametrize("row", ANSWERS["families"], ids=name_of)
def test_ids_of_a_family(tmp_path, row):
    path = tmp_path / "vocabulary.gguf"
    path.write_bytes(with_keys(FIXTURES / f"{row['vocabulary']}.gguf", row["changes"]))
    texts = b"".join(text.encode() + b"\0" for text in ANSWERS["texts"])
    done = subprocess.run([PROGRAM, path, "2" if row["vocabulary"] == "t5" else "0"], input=texts,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == row["ids"]
