"""What a transformer of each family computes, in NumPy and double precision: written from the
families' papers and converters, in the plainest way, to be compared with.

A model is a pair of dictionaries, keys (as a GGUF file names them) and tensors ([rows, columns], in
the reverse of the file's order). FAMILIES says what each architecture has; `Net(keys,
tensors).logits(ids)` computes it. Nothing is read from the program's sources.
"""
import collections
import math

import numpy as np

Family = collections.namedtuple(
    "Family",
    "pairs layer_norm act before ffn_norm post qk root window pattern window_base plain"
    " still only_of bert delta router raw oai",
    defaults=[
        False,  # pairs: RoPE turns neighbours, else the two halves of a head
        False,  # layer_norm: with a mean and a bias, else RMS
        "silu",  # act: silu and gelu with a gate; "gelu up" without
        True,  # before: norms before attention and FFN
        "ffn_norm",  # its name before the FFN
        False,  # post: norms of what joins the residual
        None,  # qk: norms of queries and keys: "head", "row" (all heads), "turned" (after RoPE)
        False,  # root: embeddings times sqrt(d)
        0,  # window: where the file says none
        0,  # pattern: the last of so many layers sees all
        None,  # window_base: of the RoPE of windowed layers
        False,  # plain: their RoPE has no scaling
        0,  # still: every n-th layer does not turn
        0,  # only_of: layers of the one size that has windows; its full layers are still
        False,  # bert: norms of the residual itself, after each half
        False,  # delta: layers that are gated delta nets
        "softmax",  # router
        False,  # raw: weights of experts are not renormalised
        False,  # oai: gpt-oss's clamped activation
    ],
)
GEMMA = Family(act="gelu", post=True, root=True)
QWEN35 = Family(qk="head", ffn_norm="post_attention_norm", delta=True)
BERT = Family(layer_norm=True, before=False, bert=True)
PLAIN, NEOX = Family(pairs=True), Family()
FAMILIES = {
    "llama": PLAIN,
    "mistral3": PLAIN,
    "granite": PLAIN,
    "granitemoe": PLAIN,
    "ernie4_5": PLAIN,
    "ernie4_5-moe": PLAIN,
    "smollm3": PLAIN._replace(still=4),
    "glm4": PLAIN._replace(post=True),
    "qwen2": NEOX,
    "qwen2moe": NEOX._replace(raw=True),
    "phi3": NEOX,
    "qwen3": NEOX._replace(qk="head"),
    "qwen3vl": NEOX._replace(qk="head"),
    "qwen3moe": NEOX._replace(qk="head"),
    "qwen35": QWEN35,
    "qwen35moe": QWEN35,
    "hunyuan-dense": NEOX._replace(qk="turned"),
    "hunyuan-moe": NEOX._replace(qk="turned"),
    "olmoe": NEOX._replace(qk="row", raw=True),
    "olmo2": NEOX._replace(qk="row", before=False, post=True, pattern=4, plain=True),
    "exaone4": NEOX._replace(
        qk="head", before=False, post=True, window=4096, pattern=4, only_of=64
    ),
    "gemma2": GEMMA._replace(window=4096, pattern=2),
    "gemma3": GEMMA._replace(qk="head", pattern=6, window_base=1e4, plain=True),
    "gemma-embedding": GEMMA._replace(qk="head", pattern=6, window_base=1e4, plain=True),
    "gpt-oss": NEOX._replace(
        ffn_norm="post_attention_norm", pattern=2, router="chosen", oai=True
    ),
    "starcoder2": NEOX._replace(layer_norm=True, act="gelu up"),
    "gpt2": NEOX._replace(layer_norm=True, act="gelu up"),
    "bert": BERT._replace(act="gelu up"),
    "nomic-bert": BERT,
}
ENCODERS = ("bert", "nomic-bert", "gemma-embedding")
LEAST_SUM = 2.0**-14


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softplus(x):
    return np.logaddexp(0, x)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Rope:
    """cos and sin [n, turned / 2] of one way of turning."""

    def __init__(self, net, windowed, n):
        get, family = net.get, net.family
        self.dim = get("rope.dimension_count", net.head)
        base = get("rope.freq_base", 1e4)
        if windowed:
            base = get("rope.freq_base_swa", family.window_base or base)
        if net.arch.startswith("hunyuan") and get("rope.scaling.alpha", 0) > 0:
            base *= get("rope.scaling.alpha") ** (self.dim / (self.dim - 2))
        turns = base ** (-2.0 * np.arange(self.dim // 2) / self.dim)
        size = get("rope.scaling.attn_factor", 1.0)
        if not (windowed and family.plain):
            factors = net.factors()
            turns = turns / factors if factors is not None else turns
            turns, size = self.scaled(net, turns, base, size)
        else:
            size = 1.0
        angles = np.arange(n)[:, None] * turns
        self.cos, self.sin = np.cos(angles) * size, np.sin(angles) * size

    def scaled(self, net, turns, base, size):
        kind, factor = net.get("rope.scaling.type", "linear"), net.get("rope.scaling.factor", 0)
        factor = factor or net.get("rope.scale_linear", 0) or 1.0
        if kind in ("none", "longrope"):
            return turns, size
        if kind == "linear":
            return turns / factor, size
        length = net.get("rope.scaling.original_context_length", net.get("context_length"))

        def pair(n_turns):
            return self.dim * math.log(length / (n_turns * 2 * math.pi)) / (2 * math.log(base))

        low = max(0, math.floor(pair(net.get("rope.scaling.yarn_beta_fast", 32.0))))
        high = math.ceil(pair(net.get("rope.scaling.yarn_beta_slow", 1.0)))
        high = min(self.dim - 1, high)
        ramp = (np.arange(self.dim // 2) - low) / max(0.001, high - low)
        kept = 1 - np.clip(ramp, 0, 1)
        size *= 1 + 0.1 * math.log(factor)
        multiplier = net.get("rope.scaling.yarn_log_multiplier", 0)
        size /= 1 + 0.1 * multiplier * math.log(factor)
        return turns / factor * (1 - kept) + turns * kept, size

    def turn(self, x, pairs):
        """x [n, heads, head]."""
        half, y = self.dim // 2, x.copy()
        a = slice(0, self.dim, 2) if pairs else slice(0, half)
        b = slice(1, self.dim, 2) if pairs else slice(half, self.dim)
        cos, sin = self.cos[:, None], self.sin[:, None]
        y[..., a] = x[..., a] * cos - x[..., b] * sin
        y[..., b] = x[..., a] * sin + x[..., b] * cos
        return y


class Net:
    def __init__(self, keys, tensors, n_context=0):
        """n_context: positions served, which longrope goes by; 0: as many as the model has."""
        self.keys, self.t = keys, tensors
        self.arch = keys["general.architecture"]
        self.family = FAMILIES[self.arch]
        self.d, self.heads = self.get("embedding_length"), self.get("attention.head_count")
        self.layers = self.get("block_count") - self.get("nextn_predict_layers", 0)
        kv = self.get("attention.head_count_kv", self.heads)
        self.kv = kv[0] if isinstance(kv, list) else kv
        self.head = self.get("attention.key_length", self.d // self.heads)
        rms = not self.family.layer_norm
        self.eps = self.get(f"attention.layer_norm_{'rms_' if rms else ''}epsilon")
        self.n_context = n_context or self.get("context_length")

    def get(self, suffix, default=None):
        return self.keys.get(f"{self.arch}.{suffix}", default)

    # --- parts ---

    def factors(self):
        length = self.get("rope.scaling.original_context_length", self.get("context_length"))
        name = "long" if self.n_context > length else "short"
        return self.t.get(f"rope_factors_{name}.weight", self.t.get("rope_freqs.weight"))

    def rms(self, x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * weight

    def norm(self, x, name):
        weight = self.t[name + ".weight"]
        if not self.family.layer_norm:
            return self.rms(x, weight)
        return self.rms(x - x.mean(-1, keepdims=True), weight) + self.t[name + ".bias"]

    def linear(self, x, name):
        return x @ self.t[name + ".weight"].T + self.t.get(name + ".bias", 0)

    def windows(self):
        """Of each layer; 0: it sees all."""
        f, n = self.family, self.layers
        window = self.get("attention.sliding_window", f.window)
        pattern = self.get("attention.sliding_window_pattern", f.pattern)
        if f.only_of and n != f.only_of or not window or not f.pattern:
            return [0] * n
        if isinstance(pattern, list):
            return [window if x else 0 for x in pattern[:n]]
        return [window if i % pattern < pattern - 1 else 0 for i in range(n)]

    def is_still(self, i):
        f = self.family
        if f.only_of == self.layers and not self.window[i]:
            return True
        if self.arch.startswith("granite") and not self.get("rope.scaling.finetuned", True):
            return True
        return self.arch in ("bert", "gpt2") or f.still > 0 and (i + 1) % f.still == 0

    def is_recurrent(self, i):
        if not self.family.delta:
            return False
        listed = self.get("attention.recurrent_layers")
        return listed[i] if listed else (i + 1) % self.get("full_attention_interval", 4) != 0

    # --- attention ---

    def scale(self):
        root = {"gemma2": 46, "gemma3": 62}.get(self.arch) == self.layers
        usual = 1 / math.sqrt(self.d / self.heads if root else self.head)
        return self.get("attention.scale", 0) or usual

    def attend(self, q, k, v, window, sinks):
        """q [n, heads, head]; k and v [n, kv, head]."""
        n = len(q)
        away = np.arange(n)[:, None] - np.arange(n)
        if self.arch in ENCODERS:
            seen = abs(away) <= (window // 2 if window else n)
        else:
            seen = (away >= 0) & (away < (window or n))
        cap = self.get("attn_logit_softcapping", 50.0) if self.arch == "gemma2" else 0
        out = np.empty_like(q)
        for h in range(self.heads):
            of = h // (self.heads // self.kv)
            scores = q[:, h] @ k[:, of].T * self.scale()
            scores = cap * np.tanh(scores / cap) if cap else scores
            scores = np.where(seen, scores, -np.inf)
            if sinks is not None:
                scores = np.concatenate([scores, np.full((n, 1), sinks[h])], 1)
            out[:, h] = softmax(scores)[:, :n] @ v[:, of]
        return out

    def query_key_value(self, x, p):
        q, kv = self.heads * self.head, self.kv * self.head
        wide = 2 * q if self.family.delta else q
        if p + "attn_qkv.weight" in self.t:
            parts = np.split(self.linear(x, p + "attn_qkv"), [wide, wide + kv], -1)
        else:
            parts = [self.linear(x, p + "attn_" + name) for name in "qkv"]
        return [part.reshape(len(x), -1, self.head) for part in parts]

    def attention(self, x, p, i):
        f, n = self.family, len(x)
        q, k, v = self.query_key_value(x, p)
        gate = None
        if f.delta:  # each head's queries, then its gates
            q, gate = q[:, 0::2], q[:, 1::2]
        norms = [self.t.get(f"{p}attn_{name}_norm.weight") for name in "qk"]
        if f.qk == "row":
            q, k = (self.rms(a.reshape(n, -1), w).reshape(a.shape) for a, w in zip((q, k), norms))
        if f.qk == "head":
            q, k = (self.rms(a, w) for a, w in zip((q, k), norms))
        if not self.is_still(i):
            rope = self.ropes[self.window[i] > 0]
            q, k = rope.turn(q, f.pairs), rope.turn(k, f.pairs)
        if f.qk == "turned":
            q, k = (self.rms(a, w) for a, w in zip((q, k), norms))
        if self.get("attention.temperature_scale", 0):
            stretch = np.arange(n) // self.get("rope.scaling.original_context_length") + 1
            q = q * (1 + self.get("attention.temperature_scale") * np.log(stretch))[:, None, None]
        y = self.attend(q, k, v, self.window[i], self.t.get(p + "attn_sinks.weight"))
        y = y * sigmoid(gate) if gate is not None else y
        return self.linear(y.reshape(n, -1), p + "attn_output")

    def delta(self, x, p):
        """Each value head's state [value][key] decays, is corrected by what it lacks, is asked."""
        t, n, size = self.t, len(x), self.get("ssm.state_size")
        n_keys, n_values = self.get("ssm.group_count"), self.get("ssm.time_step_rank")
        mixed, taps = self.linear(x, p + "attn_qkv"), t[p + "ssm_conv1d.weight"]
        n_taps = taps.shape[1]
        padded = np.concatenate([np.zeros((n_taps - 1, mixed.shape[1])), mixed])
        mixed = silu(sum(padded[j : j + n] * taps[:, j] for j in range(n_taps)))
        q, k, v = np.split(mixed, [n_keys * size, 2 * n_keys * size], -1)
        q, k, v = (a.reshape(n, -1, size) for a in (q, k, v))
        q, k = (a / np.sqrt((a * a).sum(-1, keepdims=True) + self.eps) for a in (q, k))
        q, k = (np.tile(a, (1, n_values // n_keys, 1)) for a in (q / math.sqrt(size), k))
        taken = sigmoid(self.linear(x, p + "ssm_beta"))
        kept = softplus(self.linear(x, p + "ssm_alpha") + t[p + "ssm_dt.bias"]) * t[p + "ssm_a"]
        state, out = np.zeros((n_values, size, size)), np.empty_like(v)
        for i in range(n):
            state *= np.exp(kept[i])[:, None, None]
            lacks = v[i] - np.einsum("hvk,hk->hv", state, k[i])
            state += np.einsum("hv,hk->hvk", taken[i][:, None] * lacks, k[i])
            out[i] = np.einsum("hvk,hk->hv", state, q[i])
        gate = self.linear(x, p + "attn_gate").reshape(out.shape)
        out = self.rms(out, t[p + "ssm_norm.weight"]) * silu(gate)
        return self.linear(out.reshape(n, -1), p + "ssm_out")

    # --- feed-forward ---

    def ffn(self, x, p):
        up, act = self.linear(x, p + "ffn_up"), self.family.act
        if act == "gelu up":
            return self.linear(gelu(up), p + "ffn_down")
        if p + "ffn_gate.weight" in self.t:
            gate = self.linear(x, p + "ffn_gate")
        else:
            gate, up = np.split(up, 2, -1)
        return self.linear((gelu if act == "gelu" else silu)(gate) * up, p + "ffn_down")

    def expert(self, x, p, e):
        t = self.t

        def one(name, y):
            return t[f"{p}ffn_{name}_exps.weight"][e] @ y + t.get(
                f"{p}ffn_{name}_exps.bias", [0] * (e + 1)
            )[e]

        if p + "ffn_gate_up_exps.weight" in t:
            gate, up = np.split(one("gate_up", x), 2)
        else:
            gate, up = one("gate", x), one("up", x)
        if not self.family.oai:
            return one("down", silu(gate) * up)
        gate, up = np.minimum(gate, 7), np.clip(up, -7, 7)
        return one("down", gate * sigmoid(1.702 * gate) * (up + 1))

    def experts(self, x, p):
        f, logits = self.family, self.linear(x, p + "ffn_gate_inp")
        n_used = self.get("expert_used_count")
        n_used = n_used[0] if isinstance(n_used, list) else n_used
        scores = logits if f.router == "chosen" else softmax(logits)
        wish = scores + self.t.get(p + "exp_probs_b.bias", 0)
        out = np.zeros_like(x)
        for i in range(len(x)):
            chosen = np.argsort(-wish[i], kind="stable")[:n_used]
            weights = scores[i, chosen]
            if f.router == "chosen":
                weights = softmax(weights)
            elif not f.raw and self.get("expert_weights_norm", True):
                weights = weights / max(weights.sum(), LEAST_SUM)
            weights = weights * (self.get("expert_weights_scale", 0) or 1)
            out[i] = sum(w * self.expert(x[i], p, e) for e, w in zip(chosen, weights))
        if p + "ffn_up_shexp.weight" not in self.t:
            return out
        y = silu(self.linear(x, p + "ffn_gate_shexp")) * self.linear(x, p + "ffn_up_shexp")
        y = self.linear(y, p + "ffn_down_shexp")
        weight = self.t.get(p + "ffn_gate_inp_shexp.weight")
        return out + (y if weight is None else y * sigmoid(x @ weight.reshape(-1, 1)))

    # --- the whole ---

    def embed(self, ids):
        x = self.t["token_embd.weight"][ids]
        x = x * (math.sqrt(self.d) if self.family.root else self.get("embedding_scale", 0) or 1)
        if self.family.bert:
            x = x + self.t["token_types.weight"][0]
        if "position_embd.weight" in self.t:
            x = x + self.t["position_embd.weight"][: len(ids)]
        return self.norm(x, "token_embd_norm") if self.family.bert else x

    def hidden(self, ids):
        f, x = self.family, self.embed(ids)
        self.window = self.windows()
        self.ropes = [Rope(self, windowed, len(ids)) for windowed in (False, True)]
        residual = self.get("residual_scale", 0) or 1
        for i in range(self.layers):
            p = f"blk.{i}."
            h = self.norm(x, p + "attn_norm") if f.before else x
            y = self.delta(h, p) if self.is_recurrent(i) else self.attention(h, p, i)
            y = self.norm(y, p + "post_attention_norm") if f.post else y
            x = x + residual * y
            x = self.norm(x, p + "attn_output_norm") if f.bert else x
            h = self.norm(x, p + f.ffn_norm) if f.before else x
            y = self.experts(h, p) if p + "ffn_gate_inp.weight" in self.t else self.ffn(h, p)
            y = self.norm(y, p + "post_ffw_norm") if f.post else y
            x = x + residual * y
            x = self.norm(x, p + "layer_output_norm") if f.bert else x
        return x if f.bert else self.norm(x, "output_norm")

    def logits(self, ids):
        head = self.t.get("output.weight", self.t["token_embd.weight"])
        z = self.hidden(ids) @ head.T / (self.get("logit_scale", 0) or 1)
        cap = self.get("final_logit_softcapping", 30.0 if self.arch == "gemma2" else 0)
        return cap * np.tanh(z / cap) if cap else z


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))
