#!/usr/bin/env python3
"""How much a replica serves, and how many of them serve more: measured, and simulated from that.

    scaling.py [--parts "sizes points curve losses"] [--render docs/SCALING.md]
    scaling.py --rates bench.json --replicas 1,10,100 [--routing "prefix hash"] [--load 0.7]

The first form measures models on one core (sizes), plays the same requests to real replicas after
HAProxy and to simulated ones (points), simulates up to a thousand replicas (curve) and the loss of
one (losses), with the rates that the points were measured with; all of it joins one JSON file.
`make scaling` runs it whole. The second form simulates your own set-up from a report of
`smallmind bench --json`, and prints a table. Standard library only; the same options and rates give
the same figures.
"""
import argparse
import copy
import dataclasses
import datetime
import json
import multiprocessing
import os
import pathlib
import signal
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]
import cluster  # noqa: E402
import models  # noqa: E402
import programs  # noqa: E402
import rates as rates_of  # noqa: E402
import routing  # noqa: E402
import shares  # noqa: E402
import simulate  # noqa: E402
import sizes  # noqa: E402
import tables  # noqa: E402
from mix import Mix, Request, requests  # noqa: E402

ROOT = FOLDER.parents[1]
PARTS = ("sizes", "points", "curve", "losses")
SIZED = ("builtin", "smol135.Q4_0", "tiny1b.Q4_0")
CURVE = (1, 3, 10, 30, 100, 300, 1000)
LOSSES = (3, 10, 100)
HIT = 0.7  # of the shared beginnings, assumed where a load is chosen
LOST_FOR = 30.0  # seconds


# --- the curve ---


def mix_of(o, n):
    """More replicas have more clients, and these more beginnings."""
    return dataclasses.replace(o.mix, prefixes=o.mix.prefixes * n)


def simulated(rates, o, n, way, **more):
    """Of n replicas, the later part of the requests: the caches are as full as they get."""
    mix = mix_of(o, n)
    rate = o.rate * n if o.rate else o.load * n * rates.workers * rates.capacity(
        o.mix, o.max_batch, HIT)
    asked = requests(mix, mix.prefixes + max(o.requests * n, 1000), rate, o.seed, each_once=True)
    setup = simulate.Setup(replicas=n, routing=way, max_batch=o.max_batch, max_queue=o.max_queue,
                           kv_tokens=o.kv_tokens, overhead=o.overhead, patience=o.patience, **more)
    begin, last = asked[mix.prefixes].arrival, asked[-1].arrival
    if not more:
        return simulate.run(rates, setup, asked, begin, last, o.seed)
    half = (begin + last) / 2
    setup = dataclasses.replace(setup, lose_at=half)
    return simulate.run(rates, setup, asked, half, min(last, half + setup.lose_for), o.seed)


def one_of_curve(job):
    rates, o, n, way, more = job
    found = simulated(rates_of.from_dict(rates), o, n, way, **more)
    return {"replicas": n, "routing": way, **found}


def many(rates, o, replicas, ways, **more):
    """All of them, the long ones first, on all processors."""
    jobs = [(rates.as_dict(), o, n, way, more) for n in sorted(replicas, reverse=True)
            for way in ways]
    with multiprocessing.Pool(min(len(jobs), len(os.sched_getaffinity(0)))) as pool:
        found = pool.map(one_of_curve, jobs, chunksize=1)
    return sorted(found, key=lambda c: (c["replicas"], ways.index(c["routing"])))


def losses(rates, o):
    lost = many(rates, o, LOSSES, list(routing.ROUTERS), lose=1, lose_for=LOST_FOR)
    calm = many(rates, o, LOSSES, list(routing.ROUTERS), lose=0, lose_for=LOST_FOR)
    for a, b in zip(lost, calm):
        a["calm_p99"] = b["first_p99"]
    return lost


# --- the points ---


def alike(asked):
    """The same requests, for the simulation: with the lengths that the real ones turned out to
    have."""
    return [Request(r.number, r.arrival, r.group, r.shared, r.prompt, r.answer) for r in asked]


def plan_points(rates, o):
    """(name, requests, clients): at the curve's load, at a higher one, and with full batches."""
    mix, places = mix_of(o, o.n), o.n * o.max_batch
    full = o.n * rates.workers * rates.capacity(o.mix, o.max_batch, HIT)
    points = []
    for load in (o.load, 0.9):
        n = mix.prefixes + max(20, round(o.seconds * load * full))
        points.append((f"{100 * load:.0f} % load",
                       requests(mix, n, load * full, o.seed, each_once=True), 0))
    n = mix.prefixes + 4 * round(o.seconds * full)
    points.append((f"{places} clients without a pause",
                   requests(mix, n, None, o.seed, each_once=True), places))
    return points


def plan_rate(rates, o):
    """Requests a second of the first point, for each replica."""
    return o.load * rates.workers * rates.capacity(o.mix, o.max_batch, HIT)


def measured_point(real, name, asked, clients, o):
    texts = real.prompts(asked, o.seed)
    sent = copy.deepcopy(asked)
    before = real.work()
    seconds = o.seconds + 15  # clients read the beginnings first
    done = real.play(sent, texts, clients, seconds)
    begin = 15.0 if clients else asked[o.n * o.mix.prefixes].arrival
    end = seconds if clients else asked[-1].arrival
    found = simulate.figures(done, begin, end)
    done_work = [b - a for a, b in zip(before, real.work())]
    found.update(simulate.work(*done_work, o.n * max(r.end for r in done)))
    print(f"  {name}: {found['tokens_per_second']:.1f} tokens/s, first token p50 "
          f"{1e3 * found['first_p50']:.0f} ms, {len(done)} requests", flush=True)
    return found, begin, end


def points(o):
    """Real replicas and simulated ones, the same requests; the rates are measured before and after
    each point, as the machine's other guests come and go."""
    model, load_average = models.model(o.model, o.models, o.ours), os.getloadavg()[0]
    real = cluster.Cluster(o.ours, model, o.n, o.max_batch, o.max_queue)
    try:
        print(f"measuring the model in {o.n} shares: {real.how}", flush=True)
        reports = real.bench()
        rough = rates_of.from_bench(reports)
        out, overheads = [], []
        for name, asked, clients in plan_points(rough, o):
            before = reports[-o.n:]
            real.start()
            kv = real.info["kv"]
            o.kv_tokens = kv["pages"] * kv["page_positions"]
            overheads.append(real.overhead(rates_of.from_bench(before)))
            found, begin, end = measured_point(real, name, asked, clients, o)
            real.stop()
            reports += real.bench()
            setup = simulate.Setup(
                replicas=o.n, routing="prefix hash", max_batch=o.max_batch, max_queue=o.max_queue,
                kv_tokens=o.kv_tokens, overhead=overheads[-1], clients=clients, seconds=end,
                keys=real.keys)
            out.append({"name": name, "replicas": o.n, "measured": found, "simulated": simulate.run(
                rates_of.from_bench(before + reports[-o.n:]), setup, alike(asked), begin, end,
                o.seed)})
    finally:
        real.close()
    return {"replicas": o.n, "model": o.model, "how": real.how, "kv_tokens": o.kv_tokens,
            "overhead": min(overheads), "rates": rates_of.from_bench(reports).as_dict(),
            "points": out, "rate": plan_rate(rough, o), "machine": reports[0]["machine"],
            "load_average": load_average, "date": datetime.date.today().isoformat()}


def print_points(found):
    for p in found["points"]:
        a, b = p["measured"], p["simulated"]
        for key in ("tokens_per_second", "first_p50", "first_p99", "hit", "utilization",
                    "step", "batch"):
            off = f"{100 * (b[key] / a[key] - 1):+.1f} %" if a[key] else "-"
            print(f"  {p['name']:30s} {key:18s} {a[key]:9.3f} simulated {b[key]:9.3f}  {off}")


# --- the command ---


def options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--parts", default=" ".join(PARTS), help="of: " + " ".join(PARTS))
    add("--rates", type=pathlib.Path, help="a report of smallmind bench --json: simulate that")
    add("--replicas", default="", help="how many: 1,10,100 (with --rates); of the points: 3")
    add("--routing", default="", help="with --rates, one of: " + ", ".join(routing.ROUTERS))
    add("--load", type=float, default=0.7, help="of what the replicas can do")
    add("--rate", type=float, help="requests a second for each replica, instead of --load")
    add("--requests", type=int, default=60, help="to simulate for each replica")
    mix = Mix(prefix_tokens=256, own_tokens=32, answer_tokens=48)
    for field in dataclasses.fields(Mix):
        if field.name not in ("fixed", "longest"):
            add("--" + field.name.replace("_", "-"), type=type(field.default),
                default=getattr(mix, field.name),
                help={"prefixes": "different beginnings of prompts for each replica",
                      "skew": "of their popularity: 0 none"}.get(field.name, "of a request"))
    add("--fixed", action="store_true", help="lengths are all alike")
    add("--max-batch", type=int, default=8)
    add("--max-queue", type=int, default=32)
    add("--kv-tokens", type=int, default=16384, help="positions of a worker's KV memory")
    add("--overhead", type=float, default=0.002, help="seconds of proxy and HTTP")
    add("--patience", type=float, default=120.0, help="seconds that the balancer lets wait")
    add("--lose", type=int, default=0, help="replicas that die half way (with --rates)")
    add("--seed", type=int, default=1)
    add("--model", default="smol135.Q4_0", help="of the points (bench/models.py)")
    add("--seconds", type=float, default=60.0, help="of each point")
    add("--pace", type=float, default=10.0, help="tokens a second that a reader wants (sizes)")
    add("--quick", action="store_true", help="short points, a short curve")
    add("--ours", type=pathlib.Path, default=ROOT / "build" / "smallmind")
    add("--models", type=pathlib.Path, default=models.FOLDER)
    add("--results", type=pathlib.Path, default=ROOT / "build" / "bench" / "scaling.json")
    add("--render", type=pathlib.Path, help="write tables and picture into this file and beside it")
    o = parser.parse_args()
    o.mix = Mix(**{f.name: getattr(o, f.name) for f in dataclasses.fields(Mix)
                   if f.name != "longest"})
    if unknown := [p for p in o.parts.split() if p not in PARTS]:
        parser.error(f"--parts: {' '.join(unknown)}; there are {' '.join(PARTS)}")
    if o.routing and o.routing not in routing.ROUTERS:
        parser.error(f"--routing: one of {', '.join(routing.ROUTERS)}")
    o.numbers = [int(n) for n in o.replicas.split(",")] if o.replicas else []
    o.n = o.numbers[0] if o.numbers and o.rates is None else 3
    if o.quick:
        o.seconds, o.requests = min(o.seconds, 10.0), min(o.requests, 30)
    return o


def simulate_own(o):
    rates = rates_of.load(o.rates)
    ways = [o.routing] if o.routing else list(routing.ROUTERS)
    more = {"lose": o.lose} if o.lose else {}
    print(tables.curve(many(rates, o, o.numbers or [1, 3, 10], ways, **more)))


def measure_sizes(o):
    rows = {}
    for name in SIZED:
        print(f"measuring {name} on one core", flush=True)
        found = sizes.measure(o.ours, models.model(name, o.models, o.ours))
        rows[name] = sizes.row(found, o.mix, 1.0, o.pace)
    return {"pace": o.pace, "rows": rows}


def merge(o, **parts):
    results = json.loads(o.results.read_text()) if o.results.is_file() else {}
    results.update(parts)
    o.results.parent.mkdir(parents=True, exist_ok=True)
    o.results.write_text(json.dumps(results, indent=1) + "\n")
    return results


def render(results, o):
    parts = {}
    if "sizes" in results:
        parts["sizes"] = tables.sizes(results["sizes"])
    p = results.get("points")
    if p:
        parts["points"] = tables.measured(p)
    if "curve" in results:
        parts["curve"] = tables.curve([c for c in results["curve"]
                                       if c["replicas"] in (1, 3, 10, 100, 1000)])
        title = (f"{p['model']}, {p['how']}; {100 * results['load']:.0f} % load"
                 if p else "Simulated replicas")
        o.render.with_name("scaling.svg").write_text(
            tables.svg(results["curve"], p["points"][0] if p else None, title))
    if "losses" in results:
        parts["losses"] = tables.losses(results["losses"])
    tables.fill(o.render, parts)


def main():
    o = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    if o.rates is not None:
        simulate_own(o)
        return
    wanted, results = o.parts.split(), merge(o)
    if "sizes" in wanted:
        results = merge(o, sizes=measure_sizes(o))
    if "points" in wanted:
        found = points(o)
        print_points(found)
        results = merge(o, points=found)
    if "points" in results:
        o.kv_tokens, o.overhead = results["points"]["kv_tokens"], results["points"]["overhead"]
        o.rate = o.rate or results["points"].get("rate")  # so that the first point is on the curve
        rates = rates_of.from_dict(results["points"]["rates"])
        counts = [n for n in CURVE if n <= 30] if o.quick else CURVE
        if "curve" in wanted:
            print("simulating", flush=True)
            results = merge(o, load=o.load, curve=many(rates, o, counts, list(routing.ROUTERS)))
        if "losses" in wanted:
            results = merge(o, losses=losses(rates, o))
    if o.render:
        render(results, o)


if __name__ == "__main__":
    try:
        main()
    except (programs.Failure, shares.Unavailable, ValueError, OSError) as failure:
        sys.exit(f"scaling: {failure}")
