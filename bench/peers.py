#!/usr/bin/env python3
"""SmallMind and llama.cpp side by side: the same files, the same threads, in turns (A B A B),
median and best.

    peers.py [--cells "decode http/smol135.Q4_0"] [--rounds 3] [--quick] [--only ours|peer]
    peers.py --list
    peers.py --render docs/SPEED.md
    peers.py --before older/build/smallmind   our own speed before and after a change, in turns

A cell is named KIND/MODEL or KIND/MODEL/N; --cells takes names, beginnings of names up to a "/",
and * patterns. Results are merged into one JSON file, cell by cell, so that a table can be made in
many short runs; --render writes the table into a Markdown file, between its two marks, and the
picture beside it. `make bench-peers` builds what this needs. Each sample says how much of the
machine others took while it was made (the host's other guests: steal; other programs). One with
more than --steal or --others percent is made again, twice at most. Needs nothing but Python;
models.py needs numpy.
"""
import argparse
import collections
import copy
import datetime
import fnmatch
import json
import os
import pathlib
import resource
import signal
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import models  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
TINY = {
    "seed.F32",
    "seed.Q8_0",
    "stories260K",
    "builtin",
}  # more threads may slow the peer down: the better count is taken
CONTEXT = 256  # positions of each of the peer's slots; what a cell uses, and some

Cell = collections.namedtuple("Cell", "name kind model n")


def cells():
    def of(kind, n, *names):
        return [Cell(f"{kind}/{m}" + (f"/{n}" if n else ""), kind, m, n) for m in names]

    return [
        *of(
            "decode",
            0,
            "smol135.Q8_0",
            "smol135.Q4_0",
            "smol135.Q4_K_M",
            "qwen05.Q8_0",
            "qwen05.Q4_0",
            "tiny1b.Q8_0",
            "tiny1b.Q4_0",
            "tiny1b.Q4_K_M",
            "seed.F32",
            "seed.Q8_0",
            "stories260K",
            "moe1b.Q4_0",
            "gemma270.Q8_0",
            "qwen35s.Q4_0",
        ),
        *(c for n in (1, 4) for c in of("crowded", n, "smol135.Q4_0")),
        *of("batch", 8, "smol135.Q4_0", "qwen05.Q4_0", "tiny1b.Q4_K_M"),
        *of("prefill", 256, "smol135.Q4_0", "smol135.Q8_0", "qwen05.Q4_0", "tiny1b.Q4_K_M"),
        *of("prefill", 256, "moe1b.Q4_0", "gemma270.Q8_0", "qwen35s.Q4_0"),
        *(c for n in (1, 8, 32) for c in of("http", n, "stories260K", "smol135.Q4_0")),
        *of("http", 8, "qwen05.Q4_0"),
        *of("sessions", 3, "seed.F32", "seed.Q8_0"),
        *of("start", 0, "builtin", "smol135.Q8_0", "tiny1b.Q4_0"),
        *of("memory", 32, "smol135.Q4_0"),
    ]


def chosen(words):
    names = words.split()

    def wanted(cell):
        return any(
            cell.name == w or cell.name.startswith(w + "/") or fnmatch.fnmatchcase(cell.name, w)
            for w in names
        )

    found = [c for c in cells() if not names or wanted(c)]
    if not found:
        sys.exit(f"no cell is called so: {words}; --list shows them all")
    return found


# --- what else the machine does ---


def machine_ticks():
    """(all, idle, steal) hundredths of seconds of all processors."""
    v = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(v), v[3] + v[4], v[7]


class Watch:
    """How much of the machine others took, in percent, between its making and `stop`."""

    def __init__(self, servers):
        self.servers = servers
        self.before, self.own = machine_ticks(), self.own_ticks()

    def own_ticks(self):
        usage = [
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        ticks = 100 * sum(u.ru_utime + u.ru_stime for u in usage)
        for server in self.servers:
            stat = (
                pathlib.Path(f"/proc/{server.process.pid}/stat")
                .read_text()
                .rsplit(")", 1)[1]
                .split()
            )
            ticks += int(stat[11]) + int(stat[12])
        return ticks

    def stop(self):
        total, idle, steal = (a - b for a, b in zip(machine_ticks(), self.before))
        others = total - idle - steal - (self.own_ticks() - self.own)
        return {
            "steal": 100 * steal / max(total, 1),
            "others": max(0.0, 100 * others / max(total, 1)),
        }


# --- the cells: each side is a function that gives one sample, (value, details) ---


def bench_sides(cell, path, o):
    name = {
        "decode": "decode at 0",
        "crowded": "decode at 0",
        "batch": f"batch {cell.n}",
        "prefill": f"prefill {cell.n}",
    }[cell.kind]
    large = path.stat().st_size > 300e6
    tokens = 24 if o.quick or large else 96

    def ours():
        rate, limit = programs.our_bench(o.ours, path, name, o.threads)
        return (
            rate,
            {"limit": limit} if cell.kind != "crowded" else {},
        )  # measured in the same crowd

    def peer(threads):
        if cell.kind == "batch":
            return programs.llama_batched_bench(o.peers, path, threads, cell.n, tokens // 2), {}
        prompt, n = (cell.n, 0) if cell.kind == "prefill" else (0, tokens)
        return programs.llama_bench(o.peers, path, threads, prompt, n, 1 if o.quick else 2), {}

    def beside(sample, *args):
        with programs.busy(cell.n if cell.kind == "crowded" else 0):
            return sample(*args)

    return (
        lambda: beside(ours),
        [lambda t=t: beside(peer, t) for t in o.peer_threads(cell.model)],
        [],
    )


def http_sides(cell, path, o):
    """Both servers stay up: the one that is not asked has nothing to do."""
    tokens, ids = (50, 32) if cell.kind == "sessions" else (64, 0)
    seconds, warm = (2, 0.5) if o.quick else (5, 1)
    servers = []

    def start(make):
        servers.append(make())
        return servers[-1]

    def sample(server):
        found = programs.load(o.http_load, server, cell.n, tokens, seconds, warm, ids)
        details = {"first_token_ms": found["first_token_ms_p50"]}
        if not server.openai:
            details["allocations"], details["made"] = programs.our_allocations(server)
        return found["tokens_per_second"], details

    try:
        ours = (
            start(lambda: programs.our_server(o.ours, path, o.threads))
            if o.only != "peer"
            else None
        )
        room = min(CONTEXT, 128) if cell.kind == "sessions" else CONTEXT
        peers = [
            start(lambda t=t: programs.llama_server(o.peers, path, t, cell.n, room))
            for t in (o.peer_threads(cell.model) if o.only != "ours" else [])
        ]
    except BaseException:
        for server in servers:
            server.stop()
        raise
    return lambda: sample(ours), [lambda p=p: sample(p) for p in peers], servers


def start_sides(cell, path, o):
    path.read_bytes()  # into the page cache

    def sample(make):
        server = make()
        server.stop()
        return server.seconds, {}

    return (
        lambda: sample(lambda: programs.our_server(o.ours, path, o.threads)),
        [lambda: sample(lambda: programs.llama_server(o.peers, path, o.n_threads, 32, CONTEXT))],
        [],
    )


def memory_sides(cell, path, o):
    def sample(make, overhead):
        server = make()
        try:
            programs.load(o.http_load, server, cell.n, 64, 2 if o.quick else 5, 0)
            return overhead(server, path) * 1e-6, {}
        finally:
            server.stop()

    return (
        lambda: sample(lambda: programs.our_server(o.ours, path, o.threads), programs.our_overhead),
        [
            lambda: sample(
                lambda: programs.llama_server(
                    o.peers, path, o.n_threads, cell.n, CONTEXT, ["-lv", 4]
                ),
                programs.llama_overhead,
            )
        ],
        [],
    )


SIDES = {
    "decode": bench_sides,
    "crowded": bench_sides,
    "batch": bench_sides,
    "prefill": bench_sides,
    "http": http_sides,
    "sessions": http_sides,
    "start": start_sides,
    "memory": memory_sides,
}


# --- measuring ---


def wait_for_quiet(servers, o):
    """Until other programs take little of the machine, or `--patience` seconds have passed."""
    end = time.monotonic() + o.patience
    while time.monotonic() < end:
        watch = Watch(servers)
        time.sleep(0.25)
        if watch.stop()["others"] <= 2 * o.others:
            return


def is_noisy(sample, o):
    return sample["steal"] > o.steal or sample["others"] > o.others


def take(side, servers, o, label):
    """Samples until one is quiet, three at most: again when others took too much of the machine."""
    taken = []
    for attempt in range(3):
        wait_for_quiet(servers, o)
        watch = Watch(servers)
        value, details = side()
        sample = {"value": value, **details, **watch.stop()}
        noisy = is_noisy(sample, o)
        taken.append(sample)
        print(
            f"    {label:12s} {value:10.2f}   steal {sample['steal']:.1f} %,"
            f" other programs {sample['others']:.1f} %"
            + ("  (again)" if noisy and attempt < 2 else ""),
            flush=True,
        )
        if not noisy:
            break
    return taken


def summary(samples, lower, o):
    """Over the quiet samples; where there is none, over all."""
    samples = [s for s in samples if not is_noisy(s, o)] or samples
    values = [s["value"] for s in samples]
    out = {
        "best": min(values) if lower else max(values),
        "median": statistics.median(values),
        "samples": samples,
        "noisy": any(is_noisy(s, o) for s in samples),
        "steal": max(s["steal"] for s in samples),
        "others": max(s["others"] for s in samples),
    }
    limits = [s["limit"] for s in samples if "limit" in s]
    return {**out, "limit": max(limits)} if limits else out


def sides_of(cell, path, o):
    """One function that gives a sample of ours, those of the peers, and the servers they use."""
    if o.before is None:
        return SIDES[cell.kind](cell, path, o)
    now, earlier = copy.copy(o), copy.copy(o)
    now.only = earlier.only = "ours"
    earlier.ours = o.before
    ours, _, servers = SIDES[cell.kind](cell, path, now)
    before, _, more = SIDES[cell.kind](cell, path, earlier)
    return ours, [before], servers + more


def measure(cell, o):
    path = models.model(cell.model, o.models, o.ours)
    if path is None:
        print(f"{cell.name}: skipped, nobody has the model {cell.model}")
        return None
    unit, lower = report.UNITS[cell.kind]
    print(f"{cell.name} ({unit})", flush=True)
    ours, peers, servers = sides_of(cell, path, o)
    samples = {"ours": [], **{f"peer {i}": [] for i in range(len(peers))}}
    try:
        for _ in range(o.rounds):
            if o.only != "peer":
                samples["ours"].extend(take(ours, servers, o, "ours"))
            for i, peer in enumerate(peers if o.only != "ours" else []):
                time.sleep(0.2)  # a server's threads go on spinning for a moment
                samples[f"peer {i}"].extend(
                    take(peer, servers, o, f"peer {i + 1}" if len(peers) > 1 else "peer")
                )
    finally:
        for server in servers:
            server.stop()
    found = {"unit": unit, "lower_is_better": lower}
    if samples["ours"]:
        found["ours"] = summary(samples["ours"], lower, o)
    sides = [summary(s, lower, o) for name, s in samples.items() if name != "ours" and s]
    if sides:
        found["peer"] = (min if lower else max)(sides, key=lambda s: s["median"])
    for side in ("ours", "peer"):
        if side in found:
            found[side]["date"] = datetime.date.today().isoformat()
    return found


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def merge(path, found, o):
    """Into the results file; a side that was not measured now keeps its earlier figures."""
    results = json.loads(path.read_text()) if path.is_file() else {"cells": {}}
    version = o.peers.parent / "VERSION"
    results.update(cpu=cpu_name(), threads=o.n_threads, date=datetime.date.today().isoformat())
    if version.is_file():
        results["peer"] = version.read_text().strip()
    for name, cell in found.items():
        results["cells"].setdefault(name, {}).update(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    return results


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", default="", help="names, beginnings, patterns; none: all")
    parser.add_argument("--list", action="store_true", help="print the cells' names")
    parser.add_argument("--rounds", type=int, default=3, help="samples of each side")
    parser.add_argument("--quick", action="store_true", help="shorter samples, two rounds")
    parser.add_argument("--only", choices=["ours", "peer"])
    parser.add_argument(
        "--before",
        type=pathlib.Path,
        help="an earlier build of ours in the peer's place; the results file stays as it is",
    )
    parser.add_argument(
        "--threads", type=int, help="of both sides; by default all that may be used"
    )
    parser.add_argument(
        "--steal", type=float, default=3.0, help="percent beyond which a sample is made again"
    )
    parser.add_argument(
        "--others", type=float, default=5.0, help="percent that other programs may take, likewise"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=10.0,
        help="seconds to wait for a quiet machine before each sample",
    )
    parser.add_argument("--ours", type=pathlib.Path, default=ROOT / "build" / "smallmind")
    parser.add_argument("--http-load", type=pathlib.Path, help="beside --ours by default")
    parser.add_argument("--peers", type=pathlib.Path, default=ROOT / "build" / "peers" / "bin")
    parser.add_argument("--models", type=pathlib.Path, default=models.FOLDER)
    parser.add_argument(
        "--results", type=pathlib.Path, default=ROOT / "build" / "bench" / "results.json"
    )
    parser.add_argument(
        "--render", type=pathlib.Path, help="write the table into this file, and measure nothing"
    )
    o = parser.parse_args()
    o.http_load = o.http_load or o.ours.parent / "http_load"
    o.n_threads = o.threads or len(os.sched_getaffinity(0))
    o.peer_threads = lambda model: sorted({1, o.n_threads}) if model in TINY else [o.n_threads]
    if o.quick:
        o.rounds = min(o.rounds, 2)
    return o


def main():
    o = options()
    if o.list:
        print("\n".join(c.name for c in cells()))
        return
    if o.render:
        report.render(json.loads(o.results.read_text()), [c.name for c in cells()], o.render)
        return
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("ended")
    )  # through every finally: no server is left behind
    failed = False
    for cell in chosen(o.cells):
        try:
            result = measure(cell, o)
        except programs.Failure as failure:
            print(f"    failed: {failure}", flush=True)
            failed = True
            continue
        if result:
            if o.before is None:
                result = merge(o.results, {cell.name: result}, o)["cells"][cell.name]
            print("  " + report.line(result), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
