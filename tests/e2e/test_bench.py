"""The bench verb: what it reports, and what it compares. No speed is asserted."""
import json
import math

import models
import pytest
from service import EXTRA, run_verb
from terminal import run_on_terminal

KINDS = {"prefill", "decode", "batch", "kernel"}


def bench(*args):
    done = run_verb("bench", *args, *EXTRA)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def quick():
    """The report of one quick run with a tiny model."""
    model = models.random_model("tiny", "--type", "Q8_0")
    return json.loads(bench("--quick", "--json", "--model", model))


def positive(value):
    return math.isfinite(value) and value > 0


def test_the_report_names_the_machine_and_the_model(quick):
    assert {"version", "machine", "model", "results"} <= quick.keys()
    machine = quick["machine"]
    assert machine["cpu"] and machine["kernels"] and machine["threads"] >= 1
    for name in ("dram_gb_s", "cache_gb_s", "fma_gflop_s", "int8_gmac_s"):
        assert positive(machine[name]), name
    assert quick["model"] == {"name": "tiny", "weights": "Q8_0", "bytes": quick["model"]["bytes"]}
    assert quick["model"]["bytes"] == models.random_model("tiny", "--type", "Q8_0").stat().st_size
    assert 0 <= quick["conditions"]["steal_percent"] <= 100


def test_every_cell_comes_with_its_limit_of_the_same_run(quick):
    assert {cell["kind"] for cell in quick["results"]} == KINDS
    for cell in quick["results"]:
        unit = "tokens_per_second"
        if cell["kind"] == "kernel":
            unit = "gmac_s" if "gmac_s" in cell else "gb_s"
            assert cell["shape"]
        assert cell["name"] and cell["threads"] >= 1
        assert {"tokens", "batch", "context"} <= cell.keys()
        assert positive(cell[unit]) and positive(cell[f"limit_{unit}"]), cell
        if cell["kind"] != "kernel":  # the best of some rounds, and the one in their middle
            assert 0 < cell[f"median_{unit}"] <= cell[unit], cell
        assert cell["bound"] in ("bandwidth", "arithmetic")
        fraction = cell[unit] / cell[f"limit_{unit}"]
        assert cell["fraction"] == pytest.approx(fraction, rel=0.01, abs=1e-3)


def test_kernels_of_each_sort_are_measured(quick):
    names = {cell["name"].split()[0] for cell in quick["results"] if cell["kind"] == "kernel"}
    assert names == {"matmul", "softmax", "gelu", "silu", "attend", "delta"}


def test_contexts_go_as_far_as_the_model(tmp_path):
    model = models.random_model("tiny", "--context", "400")
    cells = "decode,prefill 256,prefill 512,batch 6"
    report = json.loads(bench("--json", "--cells", cells, "--model", model))
    names = [cell["name"] for cell in report["results"]]
    assert names == ["prefill 256", "decode at 0", "decode at 240", "batch 6"]
    assert [cell["context"] for cell in report["results"]] == [0, 0, 240, 0]


def test_long_cells_are_measured_when_they_are_named(tmp_path):
    model = models.random_model("long")
    cells = "prefill 1024,prefill 2048,decode at 4096,batch 12"
    report = json.loads(
        bench("--json", "--quick", "--context", "4400", "--cells", cells, "--model", model))
    assert [cell["name"] for cell in report["results"]] == cells.split(",")
    report = json.loads(bench("--json", "--quick", "--cells", "prefill", "--model", model))
    assert [cell["name"] for cell in report["results"]] == ["prefill 16", "prefill 64"]


def test_without_json_it_is_a_table():
    out = bench("--quick", "--cells", "decode,softmax")
    assert "tokens/s" in out and "decode at 0" in out and "limit" in out and "steal" in out
    assert "prefill" not in out


def test_two_reports_are_compared_cell_by_cell(tmp_path):
    base = {"version": "1", "machine": {"cpu": "some"}, "model": {"name": "m", "weights": "Q8_0"}}
    for name, rate in (("a", 100), ("b", 250)):
        cell = {"kind": "decode", "name": "decode at 0", "tokens_per_second": rate,
                "limit_tokens_per_second": 500}
        kernel = {"kind": "kernel", "name": "softmax", "shape": "128", "gb_s": 5}
        extra = [kernel] if name == "b" else []
        (tmp_path / f"{name}.json").write_text(json.dumps({**base, "results": [cell, *extra]}))
    out = bench("--compare", tmp_path / "a.json", tmp_path / "b.json")
    assert "2.500" in out and "20.0 %" in out and "50.0 %" in out
    assert "only in A: 0 cells, only in B: 1" in out


@pytest.mark.parametrize("args", [["--compare", "one.json"], ["a.json"],
                                  ["--compare", "--json", "a", "b"],
                                  ["--compare", "a", "b", "c"], ["--port", "1"], ["--quik"],
                                  ["--workers", "3", "--threads", "2"],
                                  ["--context", "100000"], ["--cpu", "z80"]])
def test_wrong_usage_is_exit_2(args):
    done = run_verb("bench", *args)
    assert done.returncode == 2 and done.stderr and done.stdout == b""


def test_what_is_no_report_is_named(tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"version": 1}')
    done = run_verb("bench", "--compare", bad, bad)
    assert done.returncode == 1 and b"bad.json" in done.stderr
    done = run_verb("bench", "--compare", tmp_path / "none.json", bad)
    assert done.returncode == 1 and b"none.json" in done.stderr
    done = run_verb("bench", "--model", tmp_path / "none.gguf")
    assert done.returncode == 1 and b"none.gguf" in done.stderr


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(columns):
    seen = run_on_terminal("bench", "--quick", "--cells", "decode,matmul,softmax", *EXTRA,
                           columns=columns)
    assert seen.returncode == 0 and max(map(len, seen.lines)) <= columns
    rows = [line for line in seen.lines if line.startswith(("decode", "matmul", "softmax"))]
    assert len(rows) > 5 and all(row.endswith(("tokens/s", "GMAC/s", "GB/s")) for row in rows)


def test_a_cell_that_only_this_model_lacks_is_told(tmp_path):
    done = run_verb("bench", "--quick", "--cells", "softmax,prefill 7777", *EXTRA)
    assert done.returncode == 0 and b"softmax" in done.stdout
    assert b'no "prefill 7777"' in done.stderr
    done = run_verb("bench", "--quick", "--cells", "prefill 7777", *EXTRA)
    assert done.returncode == 2 and done.stdout == b"" and b"prefill 16" in done.stderr
