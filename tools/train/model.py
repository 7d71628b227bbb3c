"""The Llama architecture in PyTorch, as small as it gets: what train.py trains and export_gguf.py
writes.

Letters: B sequences, T positions, H heads, D head size.
"""
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Shape:
    n_vocab: int = 2048
    n_embd: int = 192
    n_layer: int = 6
    n_head: int = 6
    n_head_kv: int = 2
    n_ff: int = 512
    context: int = 512
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self):
        return self.n_embd // self.n_head

    def check(self):
        """Refuses what no model file could hold: Q8_0 rows are blocks of 32, heads share K, V."""
        for name in ("n_embd", "n_ff"):
            if getattr(self, name) % 32:
                raise SystemExit(f"{name} must be a multiple of 32, not {getattr(self, name)}")
        if self.n_embd % self.n_head or self.head_dim % 2:
            raise SystemExit("n_embd must be n_head times an even head size")
        if self.n_head % self.n_head_kv:
            raise SystemExit("n_head must be a multiple of n_head_kv")
        return self


def rotate(x, cos, sin):
    """RoPE (Su et al., 2021) on x [B][H][T][D]: neighbouring pairs, as GGUF's "llama" models."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class RMSNorm(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.eps = shape.norm_eps
        self.weight = nn.Parameter(torch.ones(shape.n_embd))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = s = shape
        self.attn_norm, self.ffn_norm = RMSNorm(s), RMSNorm(s)
        self.qkv = nn.Linear(s.n_embd, (s.n_head + 2 * s.n_head_kv) * s.head_dim, bias=False)
        self.out = nn.Linear(s.n_embd, s.n_embd, bias=False)
        self.gate_up = nn.Linear(s.n_embd, 2 * s.n_ff, bias=False)
        self.down = nn.Linear(s.n_ff, s.n_embd, bias=False)

    def forward(self, x, cos, sin, mask):
        s = self.shape
        B, T, _ = x.shape
        qkv = (
            self.qkv(self.attn_norm(x))
            .view(B, T, s.n_head + 2 * s.n_head_kv, s.head_dim)
            .transpose(1, 2)
        )
        q, k, v = qkv.split((s.n_head, s.n_head_kv, s.n_head_kv), dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (t.repeat_interleave(s.n_head // s.n_head_kv, dim=1) for t in (k, v))
        scores = (q @ k.transpose(-1, -2)) * s.head_dim**-0.5 + mask
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, s.n_embd))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.n_vocab, shape.n_embd)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.n_layer))
        self.norm = RMSNorm(shape)
        # What is added to the residual stream starts small, the deeper the model the smaller.
        residual = 0.02 / math.sqrt(2 * shape.n_layer)
        for name, p in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(p, std=residual)
            elif "embed" in name:
                nn.init.normal_(p, std=0.02)
            elif p.dim() == 2:
                nn.init.normal_(p, std=0.7 * shape.n_embd**-0.5)

    def forward(self, ids):
        """Ids [B][T] to logits [B][T][n_vocab]; the head is the embedding."""
        s, T = self.shape, ids.shape[1]
        powers = torch.arange(0, s.head_dim, 2, device=ids.device) / s.head_dim
        angle = torch.arange(T, device=ids.device)[:, None] * s.rope_base**-powers
        mask = torch.full((T, T), float("-inf"), device=ids.device).triu(1)
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, angle.cos(), angle.sin(), mask)
        return self.norm(x) @ self.embed.weight.T


def save(model, path):
    torch.save({"shape": dataclasses.asdict(model.shape), "weights": model.state_dict()}, path)


def load(path, device="cpu"):
    """A model from what save() wrote."""
    found = torch.load(path, map_location=device)
    model = Model(Shape(**found["shape"])).to(device)
    model.load_state_dict(found["weights"])
    return model
