"""Small random models of every family, with shapes and keys as different as files may have them.

VARIANTS: (name, architecture, options of `draft`). `draft` gives a model's keys and tensors for
arch_reference.Net, `write` the file. The same name gives the same bytes. Needs numpy.
"""
import struct
import zlib

import numpy as np
from arch_reference import FAMILIES, Net
from make_gguf import ARR, BOOL, F32, I32, STR, U32, bpe_vocabulary, encode, encode_string

U8, I64, U64 = 0, 11, 10
OTHER_FORMATS = {U8: "<B", I64: "<q", U64: "<Q"}
DEFAULTS = {
    "d": 96, "layers": 2, "heads": 4, "kv": 2, "head": None, "ff": 80, "vocab": 301,
    "context": 128, "tied": False, "biases": "", "fused": False, "fused_up": False,
    "experts": None, "fused_experts": False, "shared": 0, "lead": 0, "step": 1, "choice": False,
    "factors": None, "skipped": 0, "states": (2, 4, 32), "taps": 4, "every": 4, "window": 0,
    "keys": {},
}  # fmt: skip


class Typed:
    """A key's value with the type it has in the file."""

    def __init__(self, kind, value):
        self.kind, self.value = kind, value


class Draft:
    def __init__(self, name, arch, options):
        self.o = {**DEFAULTS, **options}
        self.arch, self.family = arch, FAMILIES[arch]
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.keys, self.t = {"general.architecture": arch, "general.name": name}, {}
        self.head = self.o["head"] or self.o["d"] // self.o["heads"]

    # --- keys ---

    def add(self, **keys):
        for suffix, value in keys.items():
            self.keys[f"{self.arch}.{suffix.replace('__', '.')}"] = value

    def make_keys(self):
        o = self.o
        rms = "" if self.family.layer_norm else "rms_"
        self.add(context_length=o["context"], embedding_length=o["d"])
        self.add(block_count=o["layers"] + o["skipped"], attention__head_count=o["heads"])
        self.add(feed_forward_length=o["ff"], attention__head_count_kv=o["kv"])
        eps = 1e-12 if self.family.bert else 1e-5
        self.add(**{f"attention__layer_norm_{rms}epsilon": float(np.float32(eps))})
        if o["head"]:
            self.add(attention__key_length=o["head"], attention__value_length=o["head"])
        if o["skipped"]:
            self.add(nextn_predict_layers=o["skipped"])
        if o["window"]:
            self.add(attention__sliding_window=o["window"])
        if o["experts"]:
            n, used, width = o["experts"]
            self.add(expert_count=n, expert_used_count=used, expert_feed_forward_length=width)
        if o["shared"]:
            self.add(expert_shared_feed_forward_length=o["shared"])
        if o["lead"] or o["step"] > 1:
            self.add(leading_dense_block_count=o["lead"], interleave_moe_layer_step=o["step"])
        if self.family.delta:
            keys, values, size = o["states"]
            self.add(ssm__conv_kernel=o["taps"], ssm__inner_size=values * size)
            self.add(ssm__state_size=size, ssm__group_count=keys, ssm__time_step_rank=values)
            self.add(full_attention_interval=o["every"])
        if self.family.bert:
            self.keys["tokenizer.ggml.token_type_count"] = 2
        for suffix, value in o["keys"].items():
            if value is None:
                del self.keys[f"{self.arch}.{suffix}"]
            else:
                self.keys[f"{self.arch}.{suffix}"] = value

    # --- tensors ---

    def random(self, *shape):
        return self.rng.standard_normal(shape, dtype=np.float32)

    def matrix(self, name, *shape, std=1.2):
        self.t[name + ".weight"] = self.random(*shape) * np.float32(std / shape[-1] ** 0.5)

    def bias(self, name, *shape):
        self.t[name + ".bias"] = self.random(*shape) * np.float32(0.3)

    def norm(self, name, n, size=1.0):
        self.t[name + ".weight"] = (1 + np.float32(0.25) * self.random(n)) * np.float32(size)
        if self.family.layer_norm:
            self.bias(name, n)

    def qk_norms(self, p):
        o = self.o
        row = self.family.qk == "row"
        for part, n_heads in (("q", o["heads"]), ("k", o["kv"])):
            n = n_heads * self.head if row else self.head
            self.t[f"{p}attn_{part}_norm.weight"] = 1.4 * (1 + np.float32(0.25) * self.random(n))

    def attention(self, p):
        o, d = self.o, self.o["d"]
        q, kv = o["heads"] * self.head, o["kv"] * self.head
        wide = 2 * q if self.family.delta else q
        if o["fused"]:
            self.matrix(p + "attn_qkv", wide + 2 * kv, d)
            if "q" in o["biases"]:
                self.bias(p + "attn_qkv", wide + 2 * kv)
        else:
            for part, n in (("q", wide), ("k", kv), ("v", kv)):
                self.matrix(p + "attn_" + part, n, d)
                if part in o["biases"]:
                    self.bias(p + "attn_" + part, n)
        self.matrix(p + "attn_output", d, q)
        if "o" in o["biases"]:
            self.bias(p + "attn_output", d)
        if self.family.qk:
            self.qk_norms(p)
        if self.arch == "gpt-oss":
            self.t[p + "attn_sinks.weight"] = 1 + self.random(o["heads"])

    def delta(self, p):
        d = self.o["d"]
        n_keys, n_values, size = self.o["states"]
        inner, width = n_values * size, (2 * n_keys + n_values) * size
        self.matrix(p + "attn_qkv", width, d)
        self.matrix(p + "attn_gate", inner, d)
        self.t[p + "ssm_conv1d.weight"] = self.random(width, self.o["taps"]) * np.float32(0.5)
        self.bias(p + "ssm_dt", n_values)
        self.t[p + "ssm_a"] = -np.exp(self.random(n_values) * np.float32(0.7) - np.float32(1.5))
        self.matrix(p + "ssm_beta", n_values, d)
        self.matrix(p + "ssm_alpha", n_values, d)
        self.norm(p + "ssm_norm", size)
        self.matrix(p + "ssm_out", d, inner)

    def ffn(self, p):
        o, d, n = self.o, self.o["d"], self.o["ff"]
        gated = self.family.act != "gelu up"
        if gated and not o["fused_up"]:
            self.matrix(p + "ffn_gate", n, d)
            if "g" in o["biases"]:
                self.bias(p + "ffn_gate", n)
        wide = 2 * n if gated and o["fused_up"] else n
        self.matrix(p + "ffn_up", wide, d)
        self.matrix(p + "ffn_down", d, n)
        for part, width in (("up", wide), ("down", d)):
            if part[0] in o["biases"]:
                self.bias(p + "ffn_" + part, width)

    def experts(self, p):
        o, d = self.o, self.o["d"]
        n, _, width = o["experts"]
        self.matrix(p + "ffn_gate_inp", n, d, std=2.5)
        if o["choice"]:
            self.bias(p + "exp_probs_b", n)
        parts = {"gate_up": (2 * width, d)} if o["fused_experts"] else {
            "gate": (width, d), "up": (width, d)
        }  # fmt: skip
        for part, shape in {**parts, "down": (d, width)}.items():
            std = 3.0 if self.family.oai and part != "down" else 1.2
            self.matrix(f"{p}ffn_{part}_exps", n, *shape, std=std)
            if self.family.oai:
                self.bias(f"{p}ffn_{part}_exps", n, shape[0])
        if self.family.oai:
            self.bias(p + "ffn_gate_inp", n)
        if o["shared"]:
            self.matrix(p + "ffn_gate_shexp", o["shared"], d)
            self.matrix(p + "ffn_up_shexp", o["shared"], d)
            self.matrix(p + "ffn_down_shexp", d, o["shared"])
            if self.arch in ("qwen2moe", "qwen35moe"):
                weight = self.random(d) * np.float32(1.5 / d**0.5)
                self.t[p + "ffn_gate_inp_shexp.weight"] = weight

    def layer(self, net, i):
        o, d, f, p = self.o, self.o["d"], self.family, f"blk.{i}."
        if f.before:
            self.norm(p + "attn_norm", d)
            self.norm(p + f.ffn_norm, d)
        if f.post:
            self.norm(p + "post_attention_norm", d)
            self.norm(p + "post_ffw_norm", d)
        if f.bert:
            self.norm(p + "attn_output_norm", d)
            self.norm(p + "layer_output_norm", d)
        if net.is_recurrent(i):
            self.delta(p)
        else:
            self.attention(p)
        if o["experts"] and i >= o["lead"] and (i + 1) % o["step"] == 0:
            self.experts(p)
        else:
            self.ffn(p)

    def skip(self, i):
        """A block that only speculation needs."""
        d, p = self.o["d"], f"blk.{i}."
        self.attention(p)
        self.ffn(p)
        self.matrix(p + "nextn.eh_proj", d, 2 * d)
        norms = ["attn_norm", self.family.ffn_norm] if self.family.before else []
        norms += ["post_attention_norm", "post_ffw_norm"] if self.family.post else []
        for name in (*norms, "nextn.enorm", "nextn.hnorm"):
            self.norm(p + name, d)

    def make_factors(self):
        n = self.keys.get(f"{self.arch}.rope.dimension_count", self.head) // 2
        if self.o["factors"] == "still":  # as some files have it: half of the pairs do not turn
            factors = np.where(np.arange(n) < n // 2, 1.0, 1e30)
            self.t["rope_freqs.weight"] = factors.astype(np.float32)
        elif self.o["factors"] == "llama":
            self.t["rope_freqs.weight"] = np.linspace(1, 8, n, dtype=np.float32)
        elif self.o["factors"] == "long":
            self.t["rope_factors_long.weight"] = np.linspace(1, 20, n, dtype=np.float32)
            self.t["rope_factors_short.weight"] = np.linspace(1, 2.5, n, dtype=np.float32)

    def make_tensors(self):
        o, d, f = self.o, self.o["d"], self.family
        net = Net(plain(self.keys), self.t)
        size = 0.04 if f.root else 0.5
        self.t["token_embd.weight"] = self.random(o["vocab"], d) * np.float32(size)
        if f.bert:
            self.t["token_types.weight"] = self.random(2, d) * np.float32(0.2)
            self.norm("token_embd_norm", d)
        if self.arch in ("bert", "gpt2"):
            self.t["position_embd.weight"] = self.random(o["context"], d) * np.float32(0.2)
        self.make_factors()
        for i in range(o["layers"]):
            self.layer(net, i)
        for i in range(o["skipped"]):
            self.skip(o["layers"] + i)
        if not f.bert:
            self.norm("output_norm", d)
        if not o["tied"] and not f.bert:
            self.matrix("output", o["vocab"], d, std=2.0)


def plain(keys):
    return {name: v.value if isinstance(v, Typed) else v for name, v in keys.items()}


def draft(name, arch, **options):
    """A model's keys, as the file has them, and its tensors."""
    d = Draft(name, arch, options)
    d.make_keys()
    d.make_tensors()
    return d.keys, d.t


# --- the file ---


def encode_value(v):
    """The type's number and the value's bytes."""
    if isinstance(v, Typed) and v.kind in OTHER_FORMATS:
        return struct.pack("<I", v.kind) + struct.pack(OTHER_FORMATS[v.kind], v.value)
    if isinstance(v, list):
        kind = BOOL if isinstance(v[0], bool) else I32
        return struct.pack("<I", ARR) + encode(ARR, (kind, v))
    kind = {bool: BOOL, int: U32, float: F32, str: STR}[type(v)]
    return struct.pack("<I", kind) + encode(kind, v)


def write(path, keys, tensors):
    n_vocab = len(tensors["token_embd.weight"])
    vocabulary = [
        encode_string(key) + struct.pack("<I", kind) + encode(kind, value)
        for key, kind, value in bpe_vocabulary(n_vocab, 1, False)
    ]
    head, data = [encode_string(k) + encode_value(v) for k, v in keys.items()] + vocabulary, b""
    n_keys = len(head)
    for name, values in tensors.items():
        shape = values.shape[::-1]
        head.append(encode_string(name) + struct.pack("<I", len(shape)))
        head.append(struct.pack(f"<{len(shape)}QIQ", *shape, 0, len(data)))
        data += values.astype("<f4").tobytes()
        data += b"\0" * (-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), n_keys) + b"".join(head)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)


def read_value(data, at, kind):
    """A value and where the next thing begins."""
    if kind == STR:
        n = struct.unpack_from("<Q", data, at)[0]
        return data[at + 8 : at + 8 + n].decode(errors="replace"), at + 8 + n
    if kind == ARR:
        kind, n = struct.unpack_from("<IQ", data, at)
        values, at = [], at + 12
        for _ in range(n):
            value, at = read_value(data, at, kind)
            values.append(value)
        return values, at
    form = "<" + "BbHhIif?__QqdF"[kind]
    return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)


def read_f32(path, n_context):
    """The Net of a file whose tensors are all F32, served with so many positions."""
    data, keys, infos, at = path.read_bytes(), {}, [], 24
    n_tensors, n_keys = struct.unpack_from("<QQ", data, 8)
    for _ in range(n_keys):
        name, at = read_value(data, at, STR)
        keys[name], at = read_value(data, at + 4, struct.unpack_from("<I", data, at)[0])
    for _ in range(n_tensors):
        name, at = read_value(data, at, STR)
        n_dims = struct.unpack_from("<I", data, at)[0]
        *shape, kind, offset = struct.unpack_from(f"<{n_dims}QIQ", data, at + 4)
        at += 16 + 8 * n_dims
        assert kind == 0, f"{name} is not F32"
        infos.append((name, shape[::-1], offset))
    at += -at % 32
    tensors = {
        name: np.frombuffer(data, "<f4", int(np.prod(shape)), at + offset).reshape(shape)
        for name, shape, offset in infos
    }
    return Net(keys, tensors, n_context)


# --- what there may be ---

YARN = {
    "rope.scaling.type": "yarn", "rope.scaling.factor": 8.0,
    "rope.scaling.original_context_length": 32,
}  # fmt: skip
LINEAR = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
SCALES = {
    "attention.scale": 0.09, "embedding_scale": 6.0, "residual_scale": 0.4, "logit_scale": 3.0,
}  # fmt: skip
QWEN3_EXPERTS = {"experts": (6, 2, 48), "keys": {"rope.freq_base": 1e6}}
VARIANTS = [
    ("llama", "llama", {"head": 24, "heads": 5, "kv": 1, "d": 90, "ff": 70}),
    ("llama factors", "llama", {"head": 20, "factors": "llama", "biases": "qkvogud"}),
    ("llama that partly does not turn", "llama", {"head": 32, "factors": "still", "tied": True}),
    ("llama linear", "llama", {"fused": True, "biases": "q", "keys": LINEAR}),
    ("llama yarn", "llama",
     {"heads": 6, "kv": 6, "keys": {**YARN, "rope.scaling.attn_factor": 1.3}}),
    ("llama no keys", "llama",
     {"heads": 3, "kv": 3, "keys": {"attention.head_count_kv": None,
                                    "rope.scaling.type": "none", "rope.scaling.factor": 4.0}}),
    ("llama types", "llama",
     {"keys": {"block_count": Typed(U8, 2), "embedding_length": Typed(U64, 96),
               "attention.head_count": Typed(I64, 4), "feed_forward_length": [80, 80],
               "attention.head_count_kv": [2, 2], "rope.dimension_count": 12}}),
    ("mixtral", "llama", {"experts": (5, 2, 40), "d": 64, "head": 12, "heads": 8,
                          "kv": 4, "ff": 40, "keys": {"expert_feed_forward_length": None}}),
    ("mixtral of one", "llama", {"experts": (1, 1, 72), "ff": 72}),
    ("mixtral of all", "llama",
     {"experts": (7, 7, 33), "ff": 33, "fused_experts": True,
      "keys": {"expert_weights_scale": 1.7, "expert_used_count": [7, 7]}}),
    ("llama with a scale", "llama", {"keys": {"attention.scale": 0.2, "rope.freq_base": 5e5}}),
    ("gpt2", "gpt2", {"fused": True, "biases": "qkvoud", "heads": 6, "kv": 6, "ff": 200}),
    ("gpt2 tied", "gpt2", {"fused": True, "biases": "qkvoud", "kv": 4, "tied": True}),
    ("qwen2", "qwen2", {"biases": "qkv", "heads": 6, "kv": 1, "tied": True}),
    ("qwen2 yarn", "qwen2", {"biases": "qkv", "fused": True, "head": 40, "keys": YARN}),
    ("qwen2 no biases", "qwen2", {"head": 16, "kv": 4}),
    ("qwen3", "qwen3", {"head": 48, "heads": 6, "kv": 3, "tied": True,
                        "keys": {"rope.freq_base": 1e6}}),
    ("qwen3 yarn", "qwen3", {"head": 16, "fused": True, "keys": YARN}),
    ("qwen3vl", "qwen3vl", {"head": 32, "keys": {"rope.dimension_sections": [6, 5, 5, 0],
                                                 "n_deepstack_layers": 3}}),
    ("longrope, short", "phi3", {"fused": True, "fused_up": True, "factors": "long", "tied": True,
                            "keys": {"rope.scaling.original_context_length": 4096,
                                     "rope.dimension_count": 18, "context_length": 8192,
                                     "rope.scaling.attn_factor": 1.19,
                                     "attention.sliding_window": 40}}),
    ("longrope, long", "phi3", {"fused": True, "fused_up": True, "factors": "long", "kv": 4,
                           "keys": {"rope.scaling.original_context_length": 64,
                                    "rope.scaling.type": "longrope",
                                    "rope.scaling.attn_factor": 1.25}}),
    ("mini in parts", "phi3", {"head": 22, "biases": "qkv"}),
    ("mini linear", "phi3", {"fused": True, "fused_up": True, "keys": LINEAR}),
    ("smollm3", "smollm3", {"layers": 9, "kv": 1, "tied": True,
                            "keys": {"rope.freq_base": 5e6}}),
    ("smollm3 yarn", "smollm3", {"layers": 4, "heads": 8, "kv": 8, "keys": YARN}),
    ("granite", "granite", {"keys": SCALES, "tied": True, "heads": 3, "kv": 1}),
    ("granite still", "granite",
     {"keys": {"rope.scaling.finetuned": False, "logit_scale": 3.0}}),
    ("granite no scales", "granite",
     {"head": 10, "keys": {"rope.scaling.finetuned": True, "logit_scale": 1.0}}),
    ("granitemoe", "granitemoe", {"experts": (9, 4, 40), "ff": 40, "keys": SCALES}),
    ("granitemoe shared", "granitemoe",
     {"experts": (4, 1, 24), "ff": 24, "shared": 56, "keys": SCALES}),
    ("mistral3", "mistral3",
     {"head": 20, "keys": {**YARN, "rope.scaling.yarn_log_multiplier": 1.0,
                           "rope.scaling.original_context_length": 16,
                           "rope.scaling.yarn_beta_fast": 16.0,
                           "rope.scaling.yarn_beta_slow": 2.0,
                           "attention.temperature_scale": 0.3}}),
    ("mistral3 experts", "mistral3",
     {"experts": (4, 2, 40), "ff": 40, "keys": {**YARN, "rope.scaling.yarn_log_multiplier": 0.7}}),
    ("ernie4_5", "ernie4_5", {"heads": 8, "kv": 1, "tied": True, "biases": "qkvo"}),
    ("ernie4_5-moe", "ernie4_5-moe",
     {"layers": 3, "experts": (6, 3, 32), "shared": 64, "lead": 1, "choice": True}),
    ("ernie4_5-moe steps", "ernie4_5-moe",
     {"layers": 5, "experts": (5, 1, 24), "shared": 48, "lead": 2, "step": 2, "choice": True,
      "keys": {"expert_shared_count": 2}}),
    ("ernie4_5-moe alone", "ernie4_5-moe",
     {"experts": (5, 2, 24), "tied": True, "keys": {"interleave_moe_layer_step": 1}}),
    ("hunyuan", "hunyuan-dense", {"head": 48, "tied": True, "keys": {"rope.freq_base": 1.1e7}}),
    ("hunyuan alpha", "hunyuan-dense",
     {"heads": 6, "kv": 3, "keys": {"rope.scaling.alpha": 50.0, "rope.scaling.type": "none",
                                    "rope.scaling.factor": 1.0}}),
    ("hunyuan experts", "hunyuan-moe", {"experts": (4, 2, 40), "ff": 40, "shared": 40}),
    ("qwen2moe", "qwen2moe", {"experts": (6, 3, 40), "shared": 56, "biases": "qkv"}),
    ("qwen3moe", "qwen3moe",
     {**QWEN3_EXPERTS, "head": 40, "keys": {"feed_forward_length": None}}),
    ("qwen3moe fused", "qwen3moe",
     {"experts": (16, 8, 24), "fused_experts": True, "head": 8, "heads": 8, "kv": 1,
      "tied": True, "keys": YARN}),
    ("olmoe", "olmoe", {"experts": (8, 4, 40), "ff": 40, "kv": 4}),
    ("olmoe groups", "olmoe",
     {"experts": (5, 1, 64), "head": 20, "keys": {"expert_feed_forward_length": None,
                                                  "feed_forward_length": 64}}),
    ("gpt-oss", "gpt-oss", {"experts": (5, 2, 48), "biases": "qkvo", "layers": 3, "window": 24,
                            "head": 32, "keys": YARN}),
    ("gpt-oss fused", "gpt-oss",
     {"experts": (8, 4, 40), "biases": "qkvo", "layers": 4, "window": 9, "head": 16,
      "heads": 8, "kv": 1, "fused_experts": True, "fused": True,
      "keys": {**YARN, "rope.scaling.factor": 32.0, "rope.freq_base": 150000.0}}),
    ("starcoder2", "starcoder2", {"biases": "qkvoud", "heads": 6, "kv": 1, "tied": True}),
    ("starcoder2 linear", "starcoder2",
     {"biases": "qkvoud", "fused": True, "keys": {**LINEAR, "rope.freq_base": 1e6}}),
    ("gemma2", "gemma2",
     {"layers": 3, "kv": 1, "head": 40, "window": 13, "tied": True,
      "keys": {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 8.0}}),
    ("gemma2 defaults", "gemma2", {"layers": 4, "head": 16, "kv": 4, "tied": True}),
    ("gemma2 27B", "gemma2",
     {"layers": 46, "d": 32, "ff": 24, "heads": 2, "kv": 1, "head": 24, "window": 5,
      "tied": True}),
    ("gemma3", "gemma3",
     {"layers": 7, "kv": 1, "head": 24, "window": 17, "tied": True,
      "keys": {**LINEAR, "rope.freq_base": 1e6}}),
    ("gemma3 cap", "gemma3",
     {"layers": 5, "window": 40, "heads": 8, "kv": 4, "head": 32, "tied": True,
      "keys": {"final_logit_softcapping": 5.0, "attention.sliding_window_pattern": 2,
               "rope.freq_base_swa": 300.0}}),
    ("gemma3 no windows", "gemma3", {"layers": 3, "tied": True, "keys": LINEAR}),
    ("gemma3 27B", "gemma3",
     {"layers": 62, "d": 32, "ff": 24, "heads": 2, "kv": 1, "head": 24, "window": 9,
      "tied": True}),
    ("olmo2", "olmo2", {"kv": 4, "layers": 3}),
    ("olmo3", "olmo2",
     {"layers": 5, "heads": 6, "kv": 2, "window": 19, "tied": True,
      "keys": {**YARN, "rope.scaling.yarn_attn_factor": 1.2,
               "attention.sliding_window_pattern": [True, True, False, True, True]}}),
    ("olmo3 factors", "olmo2",
     {"layers": 4, "window": 11, "factors": "llama", "keys": {"rope.freq_base": 1e6}}),
    ("exaone4", "exaone4", {"layers": 3, "factors": "llama", "tied": True, "skipped": 1}),
    ("exaone4 32B", "exaone4",
     {"layers": 64, "d": 32, "ff": 24, "heads": 2, "kv": 1, "factors": "llama", "window": 7,
      "keys": {"attention.sliding_window_pattern": 4}}),
    ("exaone4 scaled", "exaone4", {"heads": 6, "kv": 1, "head": 16, "keys": LINEAR}),
    ("glm4", "glm4", {"biases": "qkv", "fused_up": True, "keys": {"rope.dimension_count": 12}}),
    ("glm4 no biases", "glm4",
     {"fused_up": True, "heads": 6, "kv": 1, "head": 32, "tied": True,
      "keys": {"rope.dimension_count": 16}}),
    ("qwen35", "qwen35", {"layers": 5, "skipped": 1, "head": 32, "tied": True,
                          "keys": {"rope.dimension_count": 8,
                                   "rope.dimension_sections": [2, 1, 1, 0]}}),
    ("qwen35 listed", "qwen35",
     {"layers": 4, "head": 16, "skipped": 2, "states": (3, 6, 20), "taps": 3, "every": 3,
      "keys": {"attention.recurrent_layers": [True, False, True, True, False, False],
               "rope.dimension_count": 16, "rope.dimension_sections": [3, 3, 2, 0]}}),
    ("qwen35 fused", "qwen35",
     {"layers": 2, "every": 2, "head": 24, "fused": True, "states": (1, 3, 64),
      "keys": {"rope.dimension_sections": [4, 4, 4, 0]}}),
    ("qwen35moe", "qwen35moe",
     {"layers": 4, "head": 32, "experts": (6, 2, 40), "shared": 56, "states": (2, 2, 16),
      "keys": {"rope.dimension_count": 16, "feed_forward_length": None,
               "rope.dimension_sections": [3, 3, 2, 0]}}),
    ("qwen35moe fused", "qwen35moe",
     {"layers": 3, "every": 1, "head": 32, "experts": (6, 6, 24), "shared": 24,
      "fused_experts": True,
      "keys": {"feed_forward_length": None, "rope.dimension_sections": [6, 5, 5, 0]}}),
    ("bert", "bert", {"biases": "qkvoud", "heads": 6, "kv": 6,
                      "keys": {"attention.causal": False, "pooling_type": 1}}),
    ("bert fused", "bert", {"biases": "qkvoud", "fused": True, "heads": 4, "kv": 4, "ff": 130,
                            "keys": {"attention.causal": False, "pooling_type": 2}}),
    ("nomic-bert", "nomic-bert",
     {"fused": True, "heads": 3, "kv": 3, "keys": {"attention.causal": False,
                                                   "rope.freq_base": 1000.0}}),
    ("nomic-bert parts", "nomic-bert",
     {"heads": 6, "kv": 6, "biases": "qkvo",
      "keys": {"attention.causal": False, "rope.dimension_count": 8}}),
    ("gemma-embedding", "gemma-embedding",
     {"layers": 7, "kv": 1, "head": 24, "window": 13, "tied": True,
      "keys": {"rope.freq_base": 1e6, "pooling_type": 1}}),
    ("gemma-embedding wide", "gemma-embedding",
     {"layers": 6, "window": 20, "head": 32, "tied": True,
      "keys": {"attention.causal": False, "attention.sliding_window_pattern": 3}}),
]  # fmt: skip
