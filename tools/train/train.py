#!/usr/bin/env python3
"""Train a small Llama-architecture model on the ids that tokenize_corpus.py wrote. Float32, CPU or
CUDA.

    train.py FOLDER OUT.pt --minutes 100

Windows of half the context are drawn from the text at random, whole ones in the last fifth of the
time. The learning rate warms up, holds, and falls linearly to nothing over the second half. One
fiftieth of the ids (the last ones) is held out; the loss on it is printed every 500 steps, when
OUT.pt is written too.

Needs the Python packages torch and numpy.
"""
import argparse
import json
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import model as models


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal (Muon; K. Jordan et al., 2024)."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                average = self.state[p].setdefault("momentum", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["momentum"])
                x = p.grad.lerp(average, group["momentum"])
                tall = x.shape[0] > x.shape[1]
                x = x.T if tall else x
                x = x / (x.norm() + 1e-7)
                for _ in range(5):  # Newton-Schulz steps towards the nearest orthogonal matrix
                    a = x @ x.T
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = x.T if tall else x
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(x, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


class Data:
    def __init__(self, path, batch_tokens, device):
        ids = torch.from_numpy(np.fromfile(path, dtype=np.uint16).astype(np.int32))
        n_held_out = min(len(ids) // 50, 200_000)
        self.train, self.held_out = ids[:-n_held_out], ids[-n_held_out:]
        self.batch_tokens, self.device = batch_tokens, device

    def batch(self, ids, n_window):
        """Random windows as (inputs, what follows each of them)."""
        if len(ids) <= n_window + 1:
            raise SystemExit(
                f"{len(ids)} tokens are too few for windows of {n_window}: "
                "give more text or a smaller --context"
            )
        starts = torch.randint(len(ids) - n_window - 1, (max(1, self.batch_tokens // n_window),))
        windows = torch.stack([ids[i : i + n_window + 1] for i in starts]).long().to(self.device)
        return windows[:, :-1], windows[:, 1:]


def loss_of(model, batch):
    inputs, targets = batch
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def held_out_loss(model, data, n_window):
    """The mean of the same 8 batches each time; leaves the generator of the training alone."""
    state = torch.random.get_rng_state()
    torch.manual_seed(7)
    with torch.no_grad():
        loss = sum(loss_of(model, data.batch(data.held_out, n_window)).item() for _ in range(8)) / 8
    torch.random.set_rng_state(state)
    return loss


def train(model, data, args):
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    optimizers = [
        (Muon(matrices, lr=0), 5 * args.lr),
        (torch.optim.AdamW(rest, lr=0, betas=(0.9, 0.95), weight_decay=0.0), args.lr),
    ]
    whole, half = model.shape.context, max(2, model.shape.context // 2)
    start = last = time.time()
    step = 0
    while (done := (time.time() - start) / (args.minutes * 60)) < 1:
        scale = min(1, (step + 1) / 100) * min(1, (1 - done) / 0.5 + 0.01)
        for optimizer, lr in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr * scale
        loss = loss_of(model, data.batch(data.train, whole if done > 0.8 else half))
        model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
        step += 1
        if step % 50 == 0:
            rate = 50 * data.batch_tokens / (time.time() - last)
            print(
                f"step {step}, {step * data.batch_tokens / 1e6:.2f} M tokens, "
                f"loss {loss.item():.3f}, "
                f"rate x{scale:.3f}, {rate:.0f} tokens/s",
                flush=True,
            )
            last = time.time()
        if step % 500 == 0:
            print(f"  held-out loss {held_out_loss(model, data, half):.4f}", flush=True)
            models.save(model, args.out)
    models.save(model, args.out)
    print(
        f"done: {step} steps, {step * data.batch_tokens / 1e6:.1f} M tokens, "
        f"held-out loss {held_out_loss(model, data, half):.4f} nats a token",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path, help="with tokenizer.json and tokens.bin")
    parser.add_argument("out", type=pathlib.Path, metavar="OUT.pt")
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument(
        "--resume", type=pathlib.Path, metavar="OUT.pt", help="go on from there; its shape is taken"
    )
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument(
        "--lr", type=float, default=4e-3, help="of embedding and norms; matrices get 5 times it"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    shape = models.Shape()
    for name, value, text in (
        ("width", shape.n_embd, "multiple of 32"),
        ("layers", shape.n_layer, ""),
        ("heads", shape.n_head, ""),
        ("kv-heads", shape.n_head_kv, "divides --heads"),
        ("ff", shape.n_ff, "multiple of 32"),
        ("context", shape.context, "positions"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=value, help=f"{text} (default {value})".strip()
        )
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    n_vocab = len(
        json.loads((args.folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    )
    if args.resume:
        model = models.load(args.resume, device)
    else:
        model = models.Model(
            models.Shape(
                n_vocab, args.width, args.layers, args.heads, args.kv_heads, args.ff, args.context
            ).check()
        ).to(device)
    if model.shape.n_vocab != n_vocab:
        parser.error(f"{args.resume} has {model.shape.n_vocab} tokens and tokenizer.json {n_vocab}")
    data = Data(args.folder / "tokens.bin", args.batch_tokens, device)
    print(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, "
        f"{len(data.train) / 1e6:.2f} M tokens, "
        f"{device}",
        flush=True,
    )
    train(model, data, args)


if __name__ == "__main__":
    main()
