"""Figures of bench/peers.py: samples become medians, sides become cells, runs are merged.

Pure but for the two files: one line of JSON for each sample as it comes, so that an interrupted run
keeps what it had, and the merged results that the table is made of.
"""
import datetime
import json
import statistics

OURS = "ours"


def is_noisy(sample, most):
    """most: percent of the machine that others may take, {"steal": ..., "others": ...}."""
    return any(sample[what] > most[what] for what in ("steal", "others"))


def spread(values):
    """Half of what lies between the least and the most, as a share of the median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / 2 / middle if middle else 0.0


def summary(samples, lower, most):
    """Over the quiet samples; where there is none, over all."""
    samples = [s for s in samples if not is_noisy(s, most)] or samples
    values = [s["value"] for s in samples]
    shares = [s["value"] / s["limit"] for s in samples if s.get("limit")]
    out = {
        "best": min(values) if lower else max(values),
        "median": statistics.median(values),
        "spread": spread(values),
        "samples": samples,
        "noisy": any(is_noisy(s, most) for s in samples),
        "steal": max(s["steal"] for s in samples),
        "others": max(s["others"] for s in samples),
        "date": datetime.date.today().isoformat(),
    }
    if shares:
        # Each sample's limit was measured in its own run.
        out.update(share=statistics.median(shares), limit=max(s["limit"] for s in samples))
        out["bound"] = samples[-1].get("bound", "")
    return out


def cell_result(unit, lower, taken, most, refusals=()):
    """One cell of the results: ours, and each peer with the best of its variants.

    taken: {(side, variant): samples}; refusals: (side, variant, reason) of peers that cannot.
    """
    found = {"unit": unit, "lower_is_better": lower}
    peers = {side: {"cannot": reason} for side, _, reason in refusals}
    for (side, variant), samples in taken.items():
        if not samples:
            continue
        made = {**summary(samples, lower, most), **({"variant": variant} if variant else {})}
        if side == OURS:
            found[OURS] = made
        elif "median" not in peers.get(side, {}) or is_better(made, peers[side], lower):
            peers[side] = made
    return {**found, "peers": peers} if peers else found


def is_better(a, b, lower):
    return a["median"] < b["median"] if lower else a["median"] > b["median"]


def best_peer(cell):
    """(name, figures) of the best of the peers that were measured; None without one."""
    measured = [(n, p) for n, p in cell.get("peers", {}).items() if "median" in p]
    if not measured:
        return None
    pick = min if cell["lower_is_better"] else max
    return pick(measured, key=lambda pair: pair[1]["median"])


def ratio(cell, peer=None):
    """How many times better ours is than that peer, by default the best; None: not both."""
    pair = (peer, cell.get("peers", {}).get(peer, {})) if peer else best_peer(cell)
    if OURS not in cell or pair is None or "median" not in pair[1]:
        return None
    ours, theirs = cell[OURS]["median"], pair[1]["median"]
    if cell["lower_is_better"]:
        ours, theirs = theirs, ours
    return ours / theirs if ours > 0 and theirs > 0 else None


def append(path, line):
    """A sample, on disk before the next one is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def merged(results, found):
    """The results with these cells; a side that was not measured now keeps its earlier figures."""
    cells = dict(results.get("cells", {}))
    for name, cell in found.items():
        before = cells.get(name, {})
        peers = {**before.get("peers", {}), **cell.get("peers", {})}
        cells[name] = {**before, **cell, **({"peers": peers} if peers else {})}
    return {**results, "cells": cells}


def read(path):
    return json.loads(path.read_text()) if path.is_file() else {"cells": {}}


def write(path, results):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1) + "\n")
    part.replace(path)
