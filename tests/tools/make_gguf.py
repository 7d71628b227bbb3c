#!/usr/bin/env python3
"""Writes GGUF models with random weights, for tests and benchmarks.

    make_gguf.py SHAPE OUT.gguf [options]

SHAPE is one of the names below, or `custom` with all of --arch --dim --layers --heads --ffn.
Quantized weights are written as random blocks, not as rounded numbers, so that a model of any size
takes seconds. Weights are scaled so that activations and logits stay near 1: text is noise, and
never one token for ever. The vocabulary is made here too: byte-level BPE or SentencePiece, merges
learned from a handful of words and then made up, every byte a token, BOS and EOS set. The same
arguments give the same bytes.

Needs numpy (Debian: python3-numpy). For a test in Python: import make_gguf; make_gguf.make(path,
shape="tiny", type="Q4_0").
"""
import argparse
import collections
import math
import pathlib
import random
import struct
import sys
import zlib

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import gguf_archs  # noqa: E402

FIELDS = "arch dim layers heads kv ffn context vocab eps rope tied more"
Shape = collections.namedtuple("Shape", FIELDS, defaults=[{}])  # more: see gguf_archs.py
MORE = gguf_archs.MORE
SHAPES = {
    # A few milliseconds to load and run; widths that blocks of 32 divide.
    "tiny": Shape("llama", 64, 2, 4, 2, 128, 256, 512, 1e-5, 10000.0, False),
    "tiny-gpt2": Shape("gpt2", 64, 2, 4, 4, 128, 256, 512, 1e-5, None, False),
    "tiny-qwen2": Shape("qwen2", 64, 2, 4, 2, 128, 256, 512, 1e-6, 1000000.0, True),
    "tiny-qwen3": Shape("qwen3", 64, 2, 4, 2, 128, 256, 512, 1e-6, 1000000.0, True),
    "tiny-qwen35": Shape(
        "qwen35", 64, 4, 4, 2, 128, 1024, 512, 1e-6, 1e6, True, MORE["tiny-qwen35"]
    ),
    "windowed": Shape("gemma3", 64, 6, 4, 2, 128, 4096, 512, 1e-6, 1e6, True, MORE["windowed"]),
    # The same with room for long texts.
    "long": Shape("llama", 64, 2, 4, 2, 128, 8192, 512, 1e-5, 10000.0, False),
    # Widths that blocks of 256 divide.
    "small": Shape("llama", 256, 4, 8, 4, 768, 2048, 2048, 1e-5, 10000.0, False),
    "small-gpt2": Shape("gpt2", 256, 4, 8, 8, 1024, 1024, 2048, 1e-5, None, True),
    # The model of the first benchmark of this kind of service: as large as a demonstration.
    "seed": Shape("gpt2", 256, 4, 8, 8, 1024, 128, 512, 1e-5, None, False),
    # Shapes of real models.
    "gpt2": Shape("gpt2", 768, 12, 12, 12, 3072, 1024, 50257, 1e-5, None, True),
    "smol135": Shape("llama", 576, 30, 9, 3, 1536, 2048, 49152, 1e-5, 100000.0, True),
    "smol360": Shape("llama", 960, 32, 15, 5, 2560, 2048, 49152, 1e-5, 100000.0, True),
    "qwen05": Shape("qwen2", 896, 24, 14, 2, 4864, 4096, 151936, 1e-6, 1000000.0, True),
    "tiny1b": Shape("llama", 2048, 22, 32, 4, 5632, 2048, 32000, 1e-5, 10000.0, False),
    "moe1b": Shape(
        "qwen3moe", 1024, 12, 16, 2, 3072, 4096, 49152, 1e-6, 1e6, False, MORE["moe1b"]
    ),
    "gemma270": Shape(
        "gemma3", 640, 18, 4, 1, 2048, 8192, 262144, 1e-6, 1e6, True, MORE["gemma270"]
    ),
    "qwen35s": Shape(
        "qwen35", 1024, 24, 8, 2, 3584, 8192, 151936, 1e-6, 1e7, True, MORE["qwen35s"]
    ),
}

# --- weight types: GGML id, values and bytes of a block, and how random ones are made ---


def scale_bytes(rng, n, std, spread):
    """n F16 scales; times values of the deviation spread they have about the deviation std."""
    return (rng.uniform(0.6, 1.4, n) * (std / spread)).astype("<f2").view(np.uint8).reshape(n, 2)


def blocks_q8_0(rng, n, std):
    b = rng.integers(0, 256, (n, 34), dtype=np.uint8)
    b[:, 0:2] = scale_bytes(rng, n, std, 73.9)
    return b


def blocks_q4_0(rng, n, std):
    b = rng.integers(0, 256, (n, 18), dtype=np.uint8)
    b[:, 0:2] = scale_bytes(rng, n, std, 4.64)
    return b


def blocks_q4_k(rng, n, std):
    b = rng.integers(0, 256, (n, 144), dtype=np.uint8)
    d = (rng.uniform(0.6, 1.4, n) * (std / (4.61 * 36.4))).astype("<f2")
    b[:, 0:2] = d.view(np.uint8).reshape(n, 2)
    b[:, 2:4] = (d * np.float16(7.5)).astype("<f2").view(np.uint8).reshape(n, 2)
    # Each sub-block's minimum equals its scale, so that the values lie around 0: d * s * (q - 7.5).
    s = rng.integers(1, 64, (n, 8), dtype=np.uint8)
    b[:, 4:8] = (s[:, 0:4] & 63) | (s[:, 4:8] >> 4) << 6
    b[:, 8:12] = (s[:, 0:4] & 63) | (s[:, 4:8] >> 4) << 6
    b[:, 12:16] = (s[:, 4:8] & 15) | (s[:, 4:8] & 15) << 4
    return b


def blocks_q6_k(rng, n, std):
    b = rng.integers(0, 256, (n, 210), dtype=np.uint8)
    b[:, 192:208] = rng.integers(-96, 97, (n, 16)).astype(np.int8).view(np.uint8)
    b[:, 208:210] = scale_bytes(rng, n, std, 18.5 * 56.0)
    return b


def blocks_f32(rng, n, std):
    return (
        (rng.standard_normal(n, dtype=np.float32) * np.float32(std))
        .astype("<f4")
        .view(np.uint8)
        .reshape(n, 4)
    )


def blocks_f16(rng, n, std):
    return (
        (rng.standard_normal(n, dtype=np.float32) * np.float32(std))
        .astype("<f2")
        .view(np.uint8)
        .reshape(n, 2)
    )


TYPES = {
    "F32": (0, 1, 4, blocks_f32),
    "F16": (1, 1, 2, blocks_f16),
    "Q8_0": (8, 32, 34, blocks_q8_0),
    "Q4_0": (2, 32, 18, blocks_q4_0),
    "Q4_K": (12, 256, 144, blocks_q4_k),
    "Q6_K": (14, 256, 210, blocks_q6_k),
}


def fitting_type(name, width):
    """The type of a tensor whose rows the asked type's blocks do not divide, as others choose."""
    for choice in (name, "Q8_0", "F16"):
        if width % TYPES[choice][1] == 0:
            return choice


# --- the vocabulary ---

WORDS = """the of and to in a is that it was for on are as with his they at be this from have or by
one had not but what all were when we there can an your which their said if do will each about how
up out them then she many some so these would other into has more her two like him see time could no
make than first been its who now people my made over did down only way find use may water long
little very after words called just where most know get through back much before go good new write
our used me man too any day same right look think also around another came come work three word must
because does part even place well such here take why things help put years different away again off
went old number great tell men say small every found still between name should home big give air
line set own under read last never us left end along while might next sound below saw something
thought both few those always looked show large often together asked house world going want school
important until form food keep children feet land side without boy once animals life enough took
sometimes four head above kind began almost live page got earth need far hand high year mother light
parts country father let night following picture being study second eyes soon times story boys since
white days ever paper hard near sentence better best across during today others however sure means
knew try told young miles sun ways thing whole hear example heard several change answer room sea
against top turned learn point city play toward five using himself usually upon a time there was
happy friend girl loved tree flower bird cat dog smiled laughed""".split()


def byte_characters():
    """GPT-2's way to show each byte as a printable character."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in shown:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


def learn_merges(words, n, known, seed):
    """Up to n merges (left, right): byte-pair encoding of the words, then made-up pairs."""
    merges, seen = [], set(known)
    texts = {tuple(w): 1 + len(words) // (rank + 4) for rank, w in enumerate(words)}
    while len(merges) < n:
        counts = collections.Counter()
        for text, weight in texts.items():
            for pair in zip(text, text[1:]):
                counts[pair] += weight
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merged = {}
        for text, weight in texts.items():
            out, i = [], 0
            while i < len(text):
                step = 2 if text[i : i + 2] == best else 1
                out.append("".join(text[i : i + step]))
                i += step
            merged[tuple(out)] = merged.get(tuple(out), 0) + weight
        texts = merged
        if "".join(best) not in seen:
            seen.add("".join(best))
            merges.append(best)
    rng = random.Random(seed)
    pieces = [p for p in [*known, *map("".join, merges)] if all(c.isalpha() for c in p)]
    while len(merges) < n:
        left, right = rng.choice(pieces), rng.choice(pieces)
        if right[0] in "\u0120\u2581" or len(left + right) > 14 or left + right in seen:
            continue
        seen.add(left + right)
        merges.append((left, right))
        pieces.append(left + right)
    return merges


def bpe_vocabulary(n, seed, add_bos):
    specials = ["<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"]
    shown = byte_characters()
    singles = [shown[b] for b in range(256)]
    if n < len(specials) + 256:
        sys.exit(f"a byte-level vocabulary needs at least {len(specials) + 256} tokens")
    merges = learn_merges([shown[32] + w for w in WORDS], n - len(specials) - 256, singles, seed)
    tokens = [*specials, *singles, *map("".join, merges)]
    types = [3] * len(specials) + [1] * (n - len(specials))
    return [
        ("tokenizer.ggml.model", STR, "gpt2"),
        ("tokenizer.ggml.pre", STR, "gpt-2"),
        ("tokenizer.ggml.tokens", ARR, (STR, tokens)),
        ("tokenizer.ggml.token_type", ARR, (I32, types)),
        ("tokenizer.ggml.merges", ARR, (STR, [f"{a} {b}" for a, b in merges])),
        ("tokenizer.ggml.bos_token_id", U32, 0),
        ("tokenizer.ggml.eos_token_id", U32, 1),
        ("tokenizer.ggml.add_bos_token", BOOL, add_bos),
    ]


def spm_vocabulary(n, seed, add_bos):
    space = "\u2581"
    specials = ["<unk>", "<s>", "</s>"]
    singles = [space, *(chr(c) for c in range(33, 127))]
    n_fixed = len(specials) + 256 + len(singles)
    if n < n_fixed:
        sys.exit(f"a SentencePiece vocabulary needs at least {n_fixed} tokens")
    merges = learn_merges([space + w for w in WORDS], n - n_fixed, singles, seed)
    pieces = ["".join(m) for m in merges]
    tokens = [*specials, *(f"<0x{b:02X}>" for b in range(256)), *pieces, *singles]
    scores = [0.0] * (len(specials) + 256) + [-float(i) for i in range(len(pieces) + len(singles))]
    types = [2, 3, 3] + [6] * 256 + [1] * (len(pieces) + len(singles))
    return [
        ("tokenizer.ggml.model", STR, "llama"),
        ("tokenizer.ggml.pre", STR, "default"),
        ("tokenizer.ggml.tokens", ARR, (STR, tokens)),
        ("tokenizer.ggml.scores", ARR, (F32, scores)),
        ("tokenizer.ggml.token_type", ARR, (I32, types)),
        ("tokenizer.ggml.bos_token_id", U32, 1),
        ("tokenizer.ggml.eos_token_id", U32, 2),
        ("tokenizer.ggml.unknown_token_id", U32, 0),
        ("tokenizer.ggml.add_bos_token", BOOL, add_bos),
    ]


# --- the model ---


def model_keys(name, s):
    kv = [
        ("general.architecture", STR, s.arch),
        ("general.name", STR, name),
        ("general.alignment", U32, 32),
        ("general.quantization_version", U32, 2),
        (f"{s.arch}.context_length", U32, s.context),
        (f"{s.arch}.embedding_length", U32, s.dim),
        (f"{s.arch}.block_count", U32, s.layers),
        (f"{s.arch}.feed_forward_length", U32, s.ffn),
        (f"{s.arch}.attention.head_count", U32, s.heads),
        (f"{s.arch}.vocab_size", U32, s.vocab),
    ]
    if s.arch == "gpt2":
        return kv + [("gpt2.attention.layer_norm_epsilon", F32, s.eps)]
    kv += [
        (f"{s.arch}.attention.head_count_kv", U32, s.kv),
        (f"{s.arch}.attention.layer_norm_rms_epsilon", F32, s.eps),
        (f"{s.arch}.rope.freq_base", F32, s.rope),
    ]
    if s.more:
        return kv + gguf_archs.keys(s, U32, F32)
    return kv + [(f"{s.arch}.rope.dimension_count", U32, s.dim // s.heads)]


def model_tensors(s):
    """(name, columns, rows or 0 for a vector, deviation, mean); vectors and positions are F32."""
    if s.more:
        yield from gguf_archs.tensors(s)
        return
    head = s.dim // s.heads
    q, kv = s.heads * head, s.kv * head

    def matrix(name, rows, cols, std=None):
        return name + ".weight", cols, rows, std or 1.2 / cols**0.5, 0.0

    def vector(name, n, mean=0.0):
        return name, n, 0, 0.02, mean

    # A tied embedding must be small beside what the layers add, or every token would predict
    # itself.
    yield matrix("token_embd", s.vocab, s.dim, 1.2 / s.dim**0.5 if s.tied else 0.3)
    if s.arch == "gpt2":
        yield matrix("position_embd", s.context, s.dim, 0.1)
    for layer in range(s.layers):
        p = f"blk.{layer}."
        yield vector(p + "attn_norm.weight", s.dim, 1.0)
        if s.arch == "gpt2":
            yield vector(p + "attn_norm.bias", s.dim)
            yield matrix(p + "attn_qkv", q + 2 * kv, s.dim)
            yield vector(p + "attn_qkv.bias", q + 2 * kv)
        else:
            for part, rows in (("attn_q", q), ("attn_k", kv), ("attn_v", kv)):
                yield matrix(p + part, rows, s.dim)
                if s.arch == "qwen2":
                    yield vector(p + part + ".bias", rows)
            if s.arch == "qwen3":
                yield vector(p + "attn_q_norm.weight", head, 1.0)
                yield vector(p + "attn_k_norm.weight", head, 1.0)
        yield matrix(p + "attn_output", s.dim, q)
        yield vector(p + "ffn_norm.weight", s.dim, 1.0)
        if s.arch == "gpt2":
            yield vector(p + "attn_output.bias", s.dim)
            yield vector(p + "ffn_norm.bias", s.dim)
            yield vector(p + "ffn_up.bias", s.ffn)
            yield vector(p + "ffn_down.bias", s.dim)
        else:
            yield matrix(p + "ffn_gate", s.ffn, s.dim)
        yield matrix(p + "ffn_up", s.ffn, s.dim)
        yield matrix(p + "ffn_down", s.dim, s.ffn)
    yield vector("output_norm.weight", s.dim, 1.0)
    if s.arch == "gpt2":
        yield vector("output_norm.bias", s.dim)
    if not s.tied:
        yield matrix("output", s.vocab, s.dim)


# --- the file ---

U32, I32, F32, BOOL, STR, ARR = 4, 5, 6, 7, 8, 9
FORMATS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}


def encode_string(s):
    s = s.encode()
    return struct.pack("<Q", len(s)) + s


def encode(t, v):
    if t == STR:
        return encode_string(v)
    if t == ARR:
        return struct.pack("<IQ", v[0], len(v[1])) + b"".join(encode(v[0], x) for x in v[1])
    return struct.pack(FORMATS[t], v)


def tensor_bytes(seed, name, kind, n, std, mean):
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    _, values, _, blocks = TYPES[kind]
    data = blocks(rng, n // values, std)
    if mean:
        data = (data.reshape(-1).view("<f4") + np.float32(mean)).view(np.uint8)
    return data


def make(
    path, shape="tiny", type="F32", seed=1, vocab_kind="bpe", add_bos=True, name=None, **changes
):
    """Writes a model; changes replace the shape's fields (layers=...). Returns its parameters."""
    s = SHAPES[shape]._replace(**changes) if isinstance(shape, str) else shape
    vocabulary = {"bpe": bpe_vocabulary, "spm": spm_vocabulary}[vocab_kind]
    kv = model_keys(name or (shape if isinstance(shape, str) else "custom"), s) + vocabulary(
        s.vocab, seed, add_bos
    )
    plan, offset, n_params = [], 0, 0
    for tensor, cols, rows, std, mean in model_tensors(s):
        exact = rows == 0 or tensor.endswith(("position_embd.weight", *gguf_archs.EXACT))
        kind = "F32" if exact else fitting_type(type, cols)
        dims = (cols, *(rows if isinstance(rows, tuple) else (rows,) if rows else ()))
        n = math.prod(dims)
        plan.append((tensor, dims, kind, n, std, mean, offset))
        offset += -(-n // TYPES[kind][1] * TYPES[kind][2] // 32) * 32
        n_params += n
    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, len(plan), len(kv)))
        for key, t, v in kv:
            f.write(encode_string(key) + struct.pack("<I", t) + encode(t, v))
        for tensor, dims, kind, _, _, _, offset in plan:
            f.write(
                encode_string(tensor)
                + struct.pack("<I", len(dims))
                + b"".join(struct.pack("<Q", d) for d in dims)
            )
            f.write(struct.pack("<IQ", TYPES[kind][0], offset))
        f.write(b"\0" * (-f.tell() % 32))
        for tensor, _, kind, n, std, mean, _ in plan:
            data = tensor_bytes(seed, tensor, kind, n, std, mean)
            data.tofile(f)
            f.write(b"\0" * (-data.nbytes % 32))
    return n_params


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", choices=[*SHAPES, "custom"])
    parser.add_argument("out")
    parser.add_argument("--type", default="F32", choices=TYPES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vocab-kind", default="bpe", choices=["bpe", "spm"])
    parser.add_argument(
        "--no-bos", action="store_true", help="the vocabulary does not ask for BOS in front"
    )
    parser.add_argument("--name")
    parser.add_argument("--arch", choices=["llama", "gpt2", "qwen2", "qwen3"])
    for field in ("dim", "layers", "heads", "kv", "ffn", "context", "vocab"):
        parser.add_argument(f"--{field}", type=int)
    parser.add_argument("--eps", type=float)
    parser.add_argument("--rope", type=float)
    parser.add_argument("--tied", action=argparse.BooleanOptionalAction)
    args = parser.parse_args()
    changes = {f: getattr(args, f) for f in Shape._fields if getattr(args, f, None) is not None}
    base = "tiny" if args.shape == "custom" else args.shape
    if args.shape == "custom":
        missing = [f for f in ("arch", "dim", "layers", "heads", "ffn") if f not in changes]
        if missing:
            parser.error("custom needs " + " ".join(f"--{f}" for f in missing))
        changes.setdefault("kv", changes["heads"])
    n = make(
        args.out,
        base,
        args.type,
        args.seed,
        args.vocab_kind,
        not args.no_bos,
        args.name or args.shape,
        **changes,
    )
    print(f"{args.out}: {n} parameters")


if __name__ == "__main__":
    main()
