"""What one core and one GB serve of a model: measured by `smallmind bench` and an idle service,
the rest by the arithmetic that docs/SCALING.md explains.
"""
import dataclasses
import json
import pathlib

import programs
import rates
import shares
import simulate
from mix import requests

CELLS = ("prefill 16,prefill 32,prefill 64,prefill 128,prefill 256,prefill 512,decode at 0,"
         "decode at 512,batch 2,batch 4,batch 8,batch 16,batch 32,batch 64")
GB = 1e9
MOST = 64  # sequences in a batch


def measure(program, model):
    """Of one core: the report, and what the service takes."""
    share = shares.whole()
    try:
        report = json.loads(programs.run(share.command(
            [program, "bench", "--json", "--threads", 1, "--model", model, "--cells", CELLS]),
            timeout=600))
    finally:
        share.remove()
    server = programs.Server([program, "serve", "--model", model, "--threads", 1, "--max-batch",
                              MOST, "--kv-memory", "256M", "--log-level", "warn"], "/readyz", False)
    try:
        info = json.loads(server.get("/info")[1])
        resident = server.resident()
    finally:
        server.stop()
    kv = info["kv"]
    # The KV memory is taken in steps: an idle service has taken the first one.
    first = min(kv["bytes"], max(kv["sequence_bytes"], 0), 64 << 20)
    weights = info["model"]["bytes"]
    return {"report": report, "weights": weights, "per_token": kv["page_bytes"]
            / kv["page_positions"], "context": info["context"],
            "other": max(0, resident - weights - first),
            "kernels": info["kernels"], "file": pathlib.Path(model).name}


def row(found, mix, hit, pace):
    """The arithmetic: clients that read `pace` tokens a second without a pause, at once."""
    r = rates.from_bench(found["report"])
    prompt = min(mix.prompt_tokens, found["context"] - mix.answer_tokens)
    scale = prompt / mix.prompt_tokens
    new = (mix.prompt_tokens - hit * mix.prefix_tokens) * scale
    read = r.read(max(1, round(new)))
    answer, context = mix.answer_tokens, prompt + mix.answer_tokens / 2

    def each(n):  # tokens a second that each of n clients gets, the others' prompts beside it
        return answer / (answer * r.decode(n, n * context) + n * read)

    n = max([k for k in range(1, MOST + 1) if each(k) >= pace], default=0)
    batch = max(n, 1)
    # Every position that a client holds by itself, and once what they share.
    shared = mix.prefixes * mix.prefix_tokens * scale if hit else 0
    positions = batch * (new + answer) + shared
    memory = found["weights"] + found["other"] + positions * found["per_token"]
    return {
        "weights": found["weights"], "per_token": found["per_token"], "other": found["other"],
        "read_rate": 256 / r.read(256), "step_1": r.decode(1), "step_8": r.decode(8),
        "prompt": prompt, "new": round(new), "answer": answer, "read": read, "clients": n,
        "most": MOST, "step": r.decode(batch, batch * context), "each": each(batch),
        "answers": batch * each(batch) / answer, "positions": round(positions), "memory": memory,
        "per_gb": GB / found["per_token"], **simulated(r, mix, batch, found["context"]),
    }


def simulated(r, mix, n, context, seed=1):
    """The same clients, simulated: tokens a second that one of them gets, and its first token."""
    longest = mix.prompt_tokens + mix.answer_tokens
    if context < longest:
        mix = dataclasses.replace(mix, prefix_tokens=max(0, mix.prefix_tokens - longest + context))
    setup = simulate.Setup(replicas=1, max_batch=MOST, kv_tokens=10 ** 7, clients=n)
    asked = requests(dataclasses.replace(mix, fixed=True), 40 * n, None, seed)
    simulate.Simulation(r, setup, asked, seed).run()
    late = asked[20 * n:]
    return {"pace": simulate.share([q.answer / (q.end - q.arrival) for q in late], 0.5),
            "first": simulate.share([q.first - q.arrival for q in late], 0.5)}
