#!/usr/bin/env python3
"""Write a sentence-transformers folder of a BERT model (config.json, model.safetensors,
tokenizer.json, 1_Pooling/config.json) as a GGUF file: architecture bert, weights as they are, the
WordPiece vocabulary inside.

    bert_gguf.py FOLDER MODEL.gguf --name NAME [--license LICENSE]

Keys and tensors are called as llama.cpp's converter calls them.
"""
import argparse
import json
import pathlib
import struct

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5  # types of values
TYPES = {"F32": 0, "F16": 1, "BF16": 30}  # of tensors
TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_UNUSED = 1, 2, 3, 5
ALIGNMENT = 32
POOLINGS = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2,
            "pooling_mode_lasttoken": 3}
MODEL_NAMES = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
LAYER_NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
WORD_BEGINS = "\u2581"


def string(text):
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        element, items = content
        return struct.pack("<IQ", element, len(items)) + b"".join(
            value(element, item) for item in items)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], content)


def read_safetensors(path):
    """{name: (type, shape, bytes)}; integers (the positions) are left out."""
    data = path.read_bytes()
    n_header, = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8:8 + n_header]).items():
        if name == "__metadata__" or entry["dtype"] not in TYPES:
            continue
        begin, end = (8 + n_header + offset for offset in entry["data_offsets"])
        tensors[name.removeprefix("bert.")] = \
            TYPES[entry["dtype"]], entry["shape"], data[begin:end]
    return tensors


def gguf_name(name):
    """A tensor's name in the file; None: it has no part in a vector (the pooler)."""
    if name in MODEL_NAMES:
        return MODEL_NAMES[name]
    stem, _, kind = name.rpartition(".")
    if stem in MODEL_NAMES:
        return f"{MODEL_NAMES[stem]}.{kind}"
    parts = stem.split(".", 3)
    if parts[:2] == ["encoder", "layer"] and parts[3] in LAYER_NAMES:
        return f"blk.{parts[2]}.{LAYER_NAMES[parts[3]]}.{kind}"
    return None


def vocabulary(tokenizer, n_vocab):
    """Entries and their kinds; where BERT writes "##" before what goes on, a GGUF writes U+2581
    before what begins."""
    ids = tokenizer["model"]["vocab"]
    special = {token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    tokens, kinds = [f"[PAD{i}]" for i in range(n_vocab)], [TOKEN_UNUSED] * n_vocab
    for text, i in ids.items():
        kinds[i] = TOKEN_CONTROL if i in special else TOKEN_NORMAL
        if i in special:
            tokens[i] = text
        else:
            tokens[i] = text[2:] if text.startswith("##") else WORD_BEGINS + text
    kinds[ids["[UNK]"]] = TOKEN_UNKNOWN
    return tokens, kinds


def pooling(folder):
    path = folder / "1_Pooling" / "config.json"
    modes = json.loads(path.read_text()) if path.is_file() else {}
    found = [number for name, number in POOLINGS.items() if modes.get(name)]
    return found[0] if found else 0


def keys(folder, config, tokenizer, name, license_name):
    tokens, kinds = vocabulary(tokenizer, config["vocab_size"])
    ids = tokenizer["model"]["vocab"]
    return [
        ("general.architecture", STRING, "bert"),
        ("general.type", STRING, "model"),
        ("general.name", STRING, name),
        ("general.license", STRING, license_name),
        ("general.file_type", U32, 0),
        ("general.quantization_version", U32, 2),
        ("bert.context_length", U32, config["max_position_embeddings"]),
        ("bert.embedding_length", U32, config["hidden_size"]),
        ("bert.block_count", U32, config["num_hidden_layers"]),
        ("bert.feed_forward_length", U32, config["intermediate_size"]),
        ("bert.attention.head_count", U32, config["num_attention_heads"]),
        ("bert.attention.layer_norm_epsilon", F32, config["layer_norm_eps"]),
        ("bert.attention.causal", BOOL, False),
        ("bert.pooling_type", U32, pooling(folder)),
        ("tokenizer.ggml.model", STRING, "bert"),
        ("tokenizer.ggml.pre", STRING, "default"),
        ("tokenizer.ggml.token_type_count", U32, config["type_vocab_size"]),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        ("tokenizer.ggml.token_type", ARRAY, (I32, kinds)),
        ("tokenizer.ggml.bos_token_id", U32, ids["[CLS]"]),
        ("tokenizer.ggml.eos_token_id", U32, ids["[SEP]"]),
        ("tokenizer.ggml.unknown_token_id", U32, ids["[UNK]"]),
        ("tokenizer.ggml.seperator_token_id", U32, ids["[SEP]"]),
        ("tokenizer.ggml.padding_token_id", U32, ids["[PAD]"]),
        ("tokenizer.ggml.cls_token_id", U32, ids["[CLS]"]),
        ("tokenizer.ggml.mask_token_id", U32, ids["[MASK]"]),
    ]


def write(path, values, tensors):
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)))
    for key, kind, content in values:
        out += string(key) + struct.pack("<I", kind) + value(kind, content)
    offset = 0
    for name, (kind, shape, data) in tensors.items():
        out += string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        out += struct.pack("<IQ", kind, offset)
        offset += -(-len(data) // ALIGNMENT) * ALIGNMENT
    with open(path, "wb") as file:
        file.write(out + bytes(-len(out) % ALIGNMENT))
        for _, _, data in tensors.values():
            file.write(data + bytes(-len(data) % ALIGNMENT))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--license", default="apache-2.0")
    args = parser.parse_args()
    config = json.loads((args.folder / "config.json").read_text())
    tokenizer = json.loads((args.folder / "tokenizer.json").read_text())
    if config["model_type"] != "bert" or config.get("hidden_act", "gelu") != "gelu":
        parser.error("only BERT models with GELU are written")
    tensors = {known: tensor
               for name, tensor in read_safetensors(args.folder / "model.safetensors").items()
               if (known := gguf_name(name)) is not None}
    write(args.out, keys(args.folder, config, tokenizer, args.name, args.license), tensors)


if __name__ == "__main__":
    main()
