"""Shapes with experts, windows and states, for make_gguf.py: the keys and tensors that are not
llama's.

A shape's `more` names its family and holds what only that one has. Tensors are (name, columns,
rows, deviation, mean) as in make_gguf.py; rows may be a pair, (rows, experts).
"""

# Read in F32 whatever the file's type is.
EXACT = ("ffn_gate_inp.weight", "ssm_conv1d.weight")
STATE, CONV = 128, 4  # of a linear layer: values of a head, and positions of its convolution

INT32, ARRAY = 5, 9  # of GGUF
MORE = {
    "tiny-qwen35": {"head": 16, "rotated": 8, "interval": 4, "groups": 1, "states": 2},
    "windowed": {"head": 16, "window": 512},
    # A quarter of Qwen3-30B-A3B's layers, half as wide: 8 of 64 experts for each token.
    "moe1b": {"head": 64, "experts": 64, "used": 8, "expert_ffn": 384},
    # Gemma 3 270M: five layers of six see 512 positions.
    "gemma270": {"head": 256, "window": 512},
    # Qwen3.5-0.8B: three layers of four keep a state instead of keys and values.
    "qwen35s": {"head": 256, "rotated": 64, "interval": 4, "groups": 16, "states": 16},
}


def sections(n):
    """The pairs that turn by time, height and width, in text all alike; the fourth has none."""
    return [n - 2 * (n // 3), n // 3, n // 3, 0]


def keys(s, u32, f32):
    """The keys beyond those that every architecture has."""
    more, arch = s.more, s.arch
    found = [
        (f"{arch}.attention.key_length", u32, more["head"]),
        (f"{arch}.attention.value_length", u32, more["head"]),
    ]
    if "experts" in more:
        found += [
            (f"{arch}.expert_count", u32, more["experts"]),
            (f"{arch}.expert_used_count", u32, more["used"]),
            (f"{arch}.expert_feed_forward_length", u32, more["expert_ffn"]),
        ]
    if "window" in more:
        found += [(f"{arch}.attention.sliding_window", u32, more["window"])]
    if "interval" in more:
        found += [
            (f"{arch}.rope.dimension_count", u32, more["rotated"]),
            (f"{arch}.rope.dimension_sections", ARRAY, (INT32, sections(more["rotated"] // 2))),
            (f"{arch}.full_attention_interval", u32, more["interval"]),
            (f"{arch}.ssm.conv_kernel", u32, CONV),
            (f"{arch}.ssm.inner_size", u32, more["states"] * STATE),
            (f"{arch}.ssm.state_size", u32, STATE),
            (f"{arch}.ssm.time_step_rank", u32, more["states"]),
            (f"{arch}.ssm.group_count", u32, more["groups"]),
        ]
    return found


def matrix(name, rows, cols, std=None):
    return name + ".weight", cols, rows, std or 1.2 / cols**0.5, 0.0


def vector(name, n, mean=1.0):
    return name, n, 0, 0.02, mean


def attention(s, p, gated):
    """With a norm of each head; gated: a gate lies beside each head's query."""
    head = s.more["head"]
    yield matrix(p + "attn_q", s.heads * head * (2 if gated else 1), s.dim)
    yield matrix(p + "attn_k", s.kv * head, s.dim)
    yield matrix(p + "attn_v", s.kv * head, s.dim)
    yield matrix(p + "attn_output", s.dim, s.heads * head)
    yield vector(p + "attn_q_norm.weight", head)
    yield vector(p + "attn_k_norm.weight", head)


def linear_attention(s, p):
    inner = s.more["states"] * STATE
    width = 2 * s.more["groups"] * STATE + inner
    yield matrix(p + "attn_qkv", width, s.dim)
    yield matrix(p + "attn_gate", inner, s.dim)
    yield matrix(p + "ssm_conv1d", width, CONV, 0.5)
    yield vector(p + "ssm_dt.bias", s.more["states"], 0.0)
    yield vector(p + "ssm_a", s.more["states"], -0.3)
    yield matrix(p + "ssm_beta", s.more["states"], s.dim)
    yield matrix(p + "ssm_alpha", s.more["states"], s.dim)
    yield vector(p + "ssm_norm.weight", STATE)
    yield matrix(p + "ssm_out", s.dim, inner)


def feed_forward(s, p):
    if "experts" not in s.more:
        yield matrix(p + "ffn_gate", s.ffn, s.dim)
        yield matrix(p + "ffn_up", s.ffn, s.dim)
        yield matrix(p + "ffn_down", s.dim, s.ffn)
        return
    n, width = s.more["experts"], s.more["expert_ffn"]
    yield matrix(p + "ffn_gate_inp", n, s.dim, 2.5 / s.dim**0.5)
    yield matrix(p + "ffn_gate_exps", (width, n), s.dim)
    yield matrix(p + "ffn_up_exps", (width, n), s.dim)
    yield matrix(p + "ffn_down_exps", (s.dim, n), width)


def tensors(s):
    yield matrix("token_embd", s.vocab, s.dim, 1.2 / s.dim**0.5 if s.tied else 0.3)
    for layer in range(s.layers):
        p = f"blk.{layer}."
        linear = "interval" in s.more and (layer + 1) % s.more["interval"] != 0
        yield vector(p + "attn_norm.weight", s.dim)
        yield from linear_attention(s, p) if linear else attention(s, p, "interval" in s.more)
        # Gemma norms what attention gives; Qwen3.5 calls the norm before the FFN so.
        if "experts" not in s.more:
            yield vector(p + "post_attention_norm.weight", s.dim)
        if "interval" not in s.more:
            yield vector(p + "ffn_norm.weight", s.dim)
        yield from feed_forward(s, p)
        if "window" in s.more:
            yield vector(p + "post_ffw_norm.weight", s.dim)
    yield vector("output_norm.weight", s.dim)
    if not s.tied:
        yield matrix("output", s.vocab, s.dim)
