#!/usr/bin/env python3
"""Write a trained model as a GGUF v3 file: matrices as Q8_0 (or F32), norms as F32, the vocabulary
inside.

    export_gguf.py OUT.pt FOLDER/tokenizer.json MODEL.gguf --name my-model

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Needs the Python packages
torch and numpy.
"""
import argparse
import json
import pathlib
import struct

import numpy as np

import model as models

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # types of values
TYPE_F32, TYPE_Q8_0 = 0, 8  # types of tensors
TOKEN_NORMAL, TOKEN_CONTROL = 1, 3
ALIGNMENT = 32


def string(text):
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        element, items = content
        return struct.pack("<IQ", element, len(items)) + b"".join(
            value(element, item) for item in items
        )
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], content)


def q8_0(matrix):
    """[rows][columns] float32 to blocks of 32 values: a float16 scale and 32 int8."""
    blocks = matrix.reshape(-1, 32)
    scale = np.abs(blocks).max(1, keepdims=True) / 127
    quants = np.where(scale > 0, np.rint(blocks / np.where(scale > 0, scale, 1)), 0)
    out = np.zeros(len(blocks), dtype=[("scale", "<f2"), ("quants", "i1", 32)])
    out["scale"], out["quants"] = scale[:, 0].astype(np.float16), quants.astype(np.int8)
    return out.tobytes()


def keys(shape, tokenizer, name, license_name, all_f32):
    vocabulary = tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    special = {t["id"] for t in tokenizer["added_tokens"]}
    end = min(special)
    return [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, name),
        ("general.license", STRING, license_name),
        ("general.alignment", U32, ALIGNMENT),
        ("general.file_type", U32, 0 if all_f32 else 7),
        ("llama.context_length", U32, shape.context),
        ("llama.embedding_length", U32, shape.n_embd),
        ("llama.block_count", U32, shape.n_layer),
        ("llama.feed_forward_length", U32, shape.n_ff),
        ("llama.vocab_size", U32, shape.n_vocab),
        ("llama.attention.head_count", U32, shape.n_head),
        ("llama.attention.head_count_kv", U32, shape.n_head_kv),
        ("llama.attention.layer_norm_rms_epsilon", F32, shape.norm_eps),
        ("llama.rope.dimension_count", U32, shape.head_dim),
        ("llama.rope.freq_base", F32, shape.rope_base),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "gpt-2"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        (
            "tokenizer.ggml.token_type",
            ARRAY,
            (I32, [TOKEN_CONTROL if i in special else TOKEN_NORMAL for i in range(len(tokens))]),
        ),
        ("tokenizer.ggml.merges", ARRAY, (STRING, merges)),
        ("tokenizer.ggml.bos_token_id", U32, end),
        ("tokenizer.ggml.eos_token_id", U32, end),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
    ]


def tensors(shape, weights):
    """(name in the file, array), the rows that the model stacks taken apart."""
    yield "token_embd.weight", weights["embed.weight"]
    yield "output_norm.weight", weights["norm.weight"]
    n_q, n_kv = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
    for i in range(shape.n_layer):

        def part(name):
            return weights[f"layers.{i}.{name}.weight"]

        q, k, v = np.split(part("qkv"), [n_q, n_q + n_kv])
        gate, up = np.split(part("gate_up"), 2)
        for name, array in (
            ("attn_norm", part("attn_norm")),
            ("attn_q", q),
            ("attn_k", k),
            ("attn_v", v),
            ("attn_output", part("out")),
            ("ffn_norm", part("ffn_norm")),
            ("ffn_gate", gate),
            ("ffn_up", up),
            ("ffn_down", part("down")),
        ):
            yield f"blk.{i}.{name}.weight", array


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=pathlib.Path, metavar="OUT.pt")
    parser.add_argument("tokenizer", type=pathlib.Path, metavar="tokenizer.json")
    parser.add_argument("out", type=pathlib.Path, metavar="MODEL.gguf")
    parser.add_argument("--f32", action="store_true", help="keep the matrices as they are")
    parser.add_argument("--name", default="my-model")
    parser.add_argument("--license", default="unknown", help="an SPDX identifier")
    args = parser.parse_args()

    model = models.load(args.checkpoint)
    shape = model.shape
    weights = {name: p.detach().float().numpy() for name, p in model.state_dict().items()}
    tokenizer = json.loads(args.tokenizer.read_text(encoding="utf-8"))
    if len(tokenizer["model"]["vocab"]) != shape.n_vocab:
        parser.error(
            f"{args.tokenizer} has {len(tokenizer['model']['vocab'])} tokens, "
            f"and the model {shape.n_vocab}"
        )

    infos, data, n_tensors = b"", b"", 0
    for name, array in tensors(shape, weights):
        packed = array.ndim == 2 and not args.f32
        infos += (
            string(name)
            + struct.pack("<I", array.ndim)
            + b"".join(struct.pack("<Q", n) for n in reversed(array.shape))
        )
        infos += struct.pack("<IQ", TYPE_Q8_0 if packed else TYPE_F32, len(data))
        data += q8_0(array) if packed else array.astype("<f4").tobytes()
        data += bytes(-len(data) % ALIGNMENT)
        n_tensors += 1
    entries = keys(shape, tokenizer, args.name, args.license, args.f32)
    header = b"GGUF" + struct.pack("<IQQ", 3, n_tensors, len(entries))
    header += (
        b"".join(
            string(key) + struct.pack("<I", kind) + value(kind, content)
            for key, kind, content in entries
        )
        + infos
    )
    args.out.write_bytes(header + bytes(-len(header) % ALIGNMENT) + data)
    print(f"{args.out}: {n_tensors} tensors, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
