"""The built-in model's vocabulary as a Hugging Face tokenizer file, for clients that count."""
import json
import struct

from gguf_edit import SIZES, STRING, skip_string, skip_value
from service import ROOT

MODEL = ROOT / "models" / "smallmind-tiny.gguf"
PRE = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def strings_of(data, key):
    """The value of a GGUF key that is a list of strings."""
    at = 24
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        name_end = skip_string(data, at)
        kind = struct.unpack_from("<I", data, name_end)[0]
        if bytes(data[at + 8:name_end]).decode() == key:
            assert kind not in SIZES and kind != STRING
            n = struct.unpack_from("<Q", data, name_end + 8)[0]
            at, found = name_end + 16, []
            for _ in range(n):
                end = skip_string(data, at)
                found.append(bytes(data[at + 8:end]).decode())
                at = end
            return found
        at = skip_value(data, name_end + 4, kind)
    raise KeyError(key)


def write_tokenizer(folder):
    """The model's vocabulary as transformers reads one."""
    data = MODEL.read_bytes()
    tokens, merges = (strings_of(data, f"tokenizer.ggml.{key}") for key in ("tokens", "merges"))
    split = {"type": "Split", "pattern": {"Regex": PRE}, "behavior": "Isolated", "invert": False}
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                  "use_regex": False}
    special = {"id": 0, "content": tokens[0], "single_word": False, "lstrip": False,
               "rstrip": False, "normalized": False, "special": True}
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special],
        "normalizer": None, "post_processor": None, "decoder": {**bytes_only, "type": "ByteLevel"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes_only]},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "fuse_unk": False,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "byte_fallback": False, "vocab": {text: i for i, text in enumerate(tokens)},
                  "merges": [merge.split(" ") for merge in merges]}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": tokens[0],
        "eos_token": tokens[0]}))
    return folder
