#!/usr/bin/env python3
"""SmallMind, llama.cpp and OpenVINO GenAI side by side: the same files, the same threads, in turns
(A B C A B C), median and spread.

    peers.py [--cells "decode http/smol135.Q4_0"] [--rounds 3] [--quick] [--only ours|peer|NAME]
    peers.py --budget 1500     at most so many seconds, the most important cells first
    peers.py --list
    peers.py --render docs/SPEED.md
    peers.py --before older/build/smallmind   our own speed before and after a change, in turns

A cell is named KIND/MODEL or KIND/MODEL/N, or KIND@avx2/MODEL/N where both programs are kept to
that instruction set; --cells takes names, beginnings of names up to a "/", and * patterns. What a
budget does not reach is said at the end; making models does not count. Samples are written to a
file of JSON lines as they come, and results merged into one JSON file, so that a run may be
interrupted and a table made in many short ones; --render writes the table into a Markdown file,
between its two marks, and the picture beside it. `make bench-peers` builds what this needs. Each
sample says how much of the machine others took while it was made (the host's other guests: steal;
other programs). One with more than --steal or --others percent is made again, --again times at
most. Needs nothing but Python; models.py needs numpy.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import resource
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import cells  # noqa: E402
import models  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import sides  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]


class OutOfTime(Exception):
    """The budget is spent."""


class NoRoom(OutOfTime):
    """One more sample would outlast the budget; what takes less time may still fit."""


@contextlib.contextmanager
def whole():
    """The budget's end waits until this is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
            path = pathlib.Path(f"/proc/{server.process.pid}/stat")
            if server.process.poll() is None:
                stat = path.read_text().rsplit(")", 1)[1].split()
                ticks += int(stat[11]) + int(stat[12])
        return ticks

    def stop(self):
        total, idle, steal = (a - b for a, b in zip(machine_ticks(), self.before))
        others = total - idle - steal - (self.own_ticks() - self.own)
        return {
            "steal": 100 * steal / max(total, 1),
            "others": max(0.0, 100 * others / max(total, 1)),
        }


# --- measuring ---


def wait_for_quiet(servers, o):
    """Until other programs take little of the machine, or `--patience` seconds have passed."""
    end = time.monotonic() + o.patience
    while time.monotonic() < end:
        watch = Watch(servers)
        time.sleep(0.25)
        if watch.stop()["others"] <= 2 * o.most["others"]:
            return


def show(side, found, noise, again):
    label = " ".join(filter(None, (side.name, side.variant and f"({side.variant})")))
    values = " ".join(report.number(f["value"]) for f in found.values())
    print(
        f"    {label:24s} {values}   steal {noise['steal']:.1f} %,"
        f" other programs {noise['others']:.1f} %" + ("  (again)" if again else ""),
        flush=True,
    )


def take(side, servers, o, keep):
    """Samples until one is quiet, --again more at most."""
    for attempt in range(o.again + 1):
        wait_for_quiet(servers, o)
        watch = Watch(servers)
        found = side.sample()
        noise = watch.stop()
        noisy = results.is_noisy(noise, o.most)
        for name, sample in found.items():
            keep(name, side, {**sample, **noise})
        show(side, found, noise, noisy and attempt < o.again)
        if not noisy:
            break


class Run:
    """One group being measured: samples of each cell and side as they come, and on disk."""

    def __init__(self, group, o):
        self.group, self.o = group, o
        self.taken = {c.name: {} for c in group.cells}
        self.refusals = []

    def keep(self, name, side, sample):
        self.taken[name].setdefault((side.name, side.variant), []).append(sample)
        line = {"time": datetime.datetime.now().isoformat(timespec="seconds"), "cell": name}
        line.update(side=side.name, variant=side.variant, **sample, **self.o.stamp)
        with whole():
            results.append(self.o.samples, line)

    def found(self):
        """Each cell that has samples, as the results hold it."""
        out = {}
        for cell in self.group.cells:
            unit, lower = report.UNITS[cell.kind]
            taken = self.taken[cell.name]
            if taken:
                out[cell.name] = results.cell_result(
                    unit, lower, taken, self.o.most, self.refusals
                )
        return out

    def measure(self, made):
        """Turn by turn; a peer that fails is left out of the turns that follow, and told."""
        self.refusals, took, active = made.refusals, {}, list(made.sides)
        for side, _, reason in made.refusals:
            print(f"    {side}: {reason}", flush=True)
        for _ in range(self.o.rounds):
            for side in list(active):
                if self.o.left() < took.get(side, 0):
                    raise NoRoom
                time.sleep(0 if self.o.quick else 0.2)  # a server's threads spin for a moment
                begin = time.monotonic()
                try:
                    take(side, made.servers, self.o, self.keep)
                except programs.Failure as failure:
                    if side.name == results.OURS:
                        raise
                    active.remove(side)
                    self.refusals.append((side.name, side.variant, str(failure)))
                    print(f"    {side.name}: {failure}", flush=True)
                took[side] = time.monotonic() - begin


def measure(group, o):
    """What was found is in the results however this ends."""
    if o.left() <= 0:
        raise OutOfTime
    path = models.model(group.model, o.models, o.ours)
    if path is None:
        print(f"{group.cells[0].name}: skipped, there is no model {group.model}")
        return
    names = " ".join(c.name for c in group.cells)
    print(f"{names} ({report.UNITS[group.cells[0].kind][0]})", flush=True)
    run = Run(group, o)
    try:
        made = sides.of_group(group, path, o)
        try:
            run.measure(made)
        finally:
            with whole():
                made.close()
    finally:
        with whole():
            finish(run.found(), o)


def finish(found, o):
    """Into the results file, and onto the terminal."""
    merged = results.merged(results.read(o.results), found)
    version = o.peers.parent / "VERSION"
    merged.update(cpu=cpu_name(), threads=o.n_threads, date=datetime.date.today().isoformat())
    if version.is_file():
        merged["peer"] = version.read_text().strip()
    if sides.OPENVINO in o.facts:
        merged["openvino"] = o.facts[sides.OPENVINO]
    if o.before is None and found:
        results.write(o.results, merged)
    for name, cell in found.items():
        shown = cell if o.before else merged["cells"][name]
        print(f"  {name}: {report.line(shown)}", flush=True)


def measure_all(groups, o):
    """True when all went well. What the budget does not reach is named."""
    well, short = True, []
    for i, group in enumerate(groups):
        try:
            measure(group, o)
        except NoRoom:
            short.append(group)
        except OutOfTime:
            short += groups[i:]
            break
        except programs.Failure as failure:
            print(f"    failed: {failure}", flush=True)
            well = False
    if short:
        names = [c.name for g in short for c in g.cells]
        print(f"the budget is spent; not, or not wholly, measured: {' '.join(names)}")
    return well


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def can_run(group):
    """Has the processor what the group is kept to?"""
    flag = {"": "", "avx512": "avx512f"}.get(group.cpu, group.cpu)
    found = flag in pathlib.Path("/proc/cpuinfo").read_text().split() if flag else True
    if not found:
        print(f"{group.cells[0].name}: skipped, this processor has no {group.cpu}")
    return found


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    bench = ROOT / "build" / "bench"
    add("--cells", default="", help="names, beginnings, patterns; none: all")
    add("--list", action="store_true", help="print the cells' names")
    add("--budget", type=float, help="seconds that all may take, the most important cells first")
    add("--rounds", type=int, default=3, help="samples of each side")
    add("--quick", action="store_true", help="shorter samples, two rounds")
    add("--only", choices=[results.OURS, "peer", sides.LLAMA, sides.OPENVINO])
    add(
        "--before",
        type=pathlib.Path,
        help="an earlier build of ours in the peers' place; the results file stays as it is",
    )
    add("--threads", type=int, help="of all sides; by default all that may be used")
    add("--steal", type=float, default=3.0, help="percent beyond which a sample is made again")
    add("--others", type=float, default=5.0, help="that other programs may take, likewise")
    add("--again", type=int, default=2, help="how often at most")
    add("--patience", type=float, default=10.0, help="seconds to wait for a quiet machine")
    add("--ours", type=pathlib.Path, default=ROOT / "build" / "smallmind")
    add("--http-load", type=pathlib.Path, help="beside --ours by default")
    add("--peers", type=pathlib.Path, default=ROOT / "build" / "peers" / "bin")
    add("--openvino", type=pathlib.Path, default=ROOT / "build/venv-openvino/bin/python")
    add("--models", type=pathlib.Path, default=models.FOLDER)
    add("--results", type=pathlib.Path, default=bench / "results.json")
    add("--samples", type=pathlib.Path, help="beside --results by default: samples.jsonl")
    add("--render", type=pathlib.Path, help="write the table into this file; measures nothing")
    o = parser.parse_args()
    o.http_load = o.http_load or o.ours.parent / "http_load"
    o.samples = o.samples or o.results.with_name("samples.jsonl")
    o.n_threads = o.threads or len(os.sched_getaffinity(0))
    o.rounds = min(o.rounds, 2) if o.quick else o.rounds
    return o


def prepare(o):
    """What the measuring asks of the options besides what was given."""
    begin = time.monotonic()
    o.most = {"steal": o.steal, "others": o.others}
    o.left = lambda: o.budget - (time.monotonic() - begin) if o.budget else float("inf")
    o.drivers, o.facts = sides.Drivers(o.openvino, o.n_threads), {}
    o.stamp = {"threads": o.n_threads, "cpu": cpu_name()}


def spent(*_):
    raise OutOfTime


def main():
    o = options()
    if o.list:
        print("\n".join(c.name for c in cells.cells()))
        return
    if o.render:
        report.render(json.loads(o.results.read_text()), cells.cells(), o.render)
        return
    try:
        groups = cells.groups(cells.chosen(o.cells))
    except ValueError as error:
        sys.exit(str(error))
    groups = [g for g in groups if can_run(g)]
    if o.budget:  # models are made before the clock runs
        for group in groups:
            models.model(group.model, o.models, o.ours)
    prepare(o)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("ended")
    )  # through every finally: no server is left
    if o.budget:
        signal.signal(signal.SIGALRM, spent)
        signal.setitimer(signal.ITIMER_REAL, max(1.0, o.budget - 3))  # stopping takes a moment
    try:
        well = measure_all(groups, o)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        programs.stop_all()
    sys.exit(not well)


if __name__ == "__main__":
    main()
