"""`smallmind profile`: its report adds up in every form."""
import json
import re

import pytest

import models
from profile_runs import columns_of, on_terminal, profile
from schema import Schema
from service import EXTRA, ROOT, run_verb
from terminal import run_on_terminal

SCHEMA = Schema(ROOT / "docs" / "profile.schema.json")
LAYER = ["attention_norm", "qkv", "rope", "attention", "output", "ffn_norm", "ffn_gate_up",
         "ffn_activation", "ffn_down"]


def nodes(tree, path=()):
    yield path, tree
    for child in tree["children"]:
        yield from nodes(child, (*path, tree))


def test_the_json_is_what_its_schema_says(report):
    assert list(SCHEMA.faults(report)) == []


def test_the_default_workload_is_the_one_that_is_promised(report):
    workload, model = report["workload"], report["model"]
    assert (workload["sessions"], workload["tokens"], workload["prompt"]) == (3, 50, 32)
    assert workload["temperature"] == pytest.approx(0.8)
    assert (model["vocabulary"], model["context"], model["embedding"], model["layers"],
            model["heads"]) == (512, 128, 256, 4, 8)
    assert len(report["sessions"]) == 3
    assert all(s["tokens"] == 50 and s["prompt_tokens"] == 32 for s in report["sessions"])
    kernels = {(k["name"], k["size"]) for k in report["kernels"]}
    assert kernels == {(n, s) for n in ("matmul", "softmax", "gelu") for s in (128, 256, 512)}
    assert all(k["iterations"] == 3 for k in report["kernels"])


def test_children_add_up_to_their_parents(report):
    for _, node in nodes(report["tree"]):
        children = sum(c["total_ms"] for c in node["children"])
        assert children <= node["total_ms"] * 1.0001 + 1e-4
        assert node["self_ms"] + children == pytest.approx(node["total_ms"], rel=1e-4, abs=1e-4)


def test_a_step_is_attributed(report):
    assert report["method"]["attributed"] >= 0.95
    for _, node in nodes(report["tree"]):
        if node["name"] in ("step", "layer"):
            children = sum(c["total_ms"] for c in node["children"])
            assert children >= 0.95 * node["total_ms"]


def test_the_tree_has_every_part(report):
    steps = {n["kind"]: n for n in report["tree"]["children"]}
    assert {"decode", "prefill"} <= set(steps)
    for step in steps.values():
        names = [c["name"] for c in step["children"]]
        assert names.count("layer") == 4
        assert {"schedule", "embed", "head", "sample", "text", "publish", "record"} <= set(names)
        for layer in (c for c in step["children"] if c["name"] == "layer"):
            assert set(LAYER) <= {c["name"] for c in layer["children"]}


def test_calls_are_layers_times_steps(report):
    steps = {s["kind"]: s for s in report["steps"]}
    assert steps["decode"]["seen"] == 3 * 49
    for path, node in nodes(report["tree"]):
        if node["name"] in LAYER:
            kind = path[1]["kind"]
            most = steps[kind]["recorded"]
            # In all but a prompt's last step, the last layer ends after its keys and values.
            assert node["calls"] == most or (kind != "decode" and node["calls"] < most)
    paths = {p["scope"]: p for p in report["hot_paths"]}
    recorded = sum(s["recorded"] for s in report["steps"])
    assert paths["qkv"]["calls"] == 4 * recorded
    if report["method"]["one_step_in_max"] == 1:
        assert all(s["recorded"] == s["seen"] for s in report["steps"])


def test_hot_paths_are_in_order_and_whole(report):
    totals = [p["total_ms"] for p in report["hot_paths"]]
    assert totals == sorted(totals, reverse=True)
    assert sum(p["share"] for p in report["hot_paths"]) == pytest.approx(1, abs=1e-3)
    for p in report["hot_paths"]:
        assert p["min_us"] <= p["mean_us"] * 1.001 <= p["max_us"] * 1.002
        assert p["self_ms"] <= p["total_ms"] * 1.0001
        assert p["p50_us"] <= p["p95_us"]


def test_no_token_costs_memory(report):
    assert report["bytes_per_token"] == 0
    steady = [a for a in report["allocators"] if a["when"] == "steady"]
    assert steady and all(a["bytes"] == 0 and a["calls"] == 0 for a in steady)
    assert {"model weights", "KV pages", "activations"} <= {a["name"] for a in report["allocators"]}


def test_a_decoding_step_moves_its_weights(report):
    decode = next(s for s in report["steps"] if s["kind"] == "decode")
    model = report["model"]
    weights = 4 * model["parameters"]  # F32; positions and the embedding's rows are not all read
    assert 0.9 * weights < decode["weight_bytes"] / decode["recorded"] <= 1.05 * weights
    assert decode["gb_s"] > 0 and decode["fraction"] > 0
    assert decode["bound"] in ("memory", "compute")
    assert report["limits"]["read_gb_s"] > 0
    assert report["limits"]["weights_gop_s"]["F32"] > 0


def test_the_method_tells_its_own_cost(report):
    overhead = report["method"]["overhead"]
    assert overhead["pairs"] >= 16
    assert overhead["low"] <= overhead["fraction"] <= overhead["high"]


def test_insights_are_computed(report):
    names = {i["name"] for i in report["insights"]}
    assert "hottest" in names and "allocations" in names
    gains = [i["gain"] for i in report["insights"]]
    assert gains == sorted(gains, reverse=True)
    hottest = next(i for i in report["insights"] if i["name"] == "hottest")
    assert report["hot_paths"][0]["label"] in hottest["text"]


def test_markdown_is_plain_in_a_pipe():
    text = profile("--sessions", "1", "--tokens", "8")
    assert "\x1b" not in text
    for heading in ("Summary", "Hot paths", "Call tree", "Layers", "Memory", "Kernels by size",
                    "Distribution of steps", "Roofline", "What this says", "Method"):
        assert f"\n## {heading}\n" in text, heading
    assert re.search(r"\*\*[\d.]+ tokens/s\*\*", text)
    assert "Overhead: recording a step adds" in text


def test_a_terminal_gets_colour_and_columns():
    args = [*EXTRA, "--sessions", "1", "--tokens", "4"]
    text = on_terminal(*args)
    assert "\x1b[" in text and "\u2588" in text
    tables = list(columns_of(text))
    assert len(tables) >= 5 and all(len(places) == 1 for places in tables)
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        text = on_terminal(*args, env=env)
        assert "\x1b" not in text and "\u2588" not in text
        assert all(len(places) == 1 for places in columns_of(text))


def test_one_is_not_many():
    text = profile("--sessions", "1", "--tokens", "1", "--threads", "1")
    assert "\n1 session of 1 token after" in text and "; 1 thread in 1 worker" in text
    assert "Measured with 1 thread:" in text and "1 call\n" in text
    # not "12.1 tokens/s"
    assert not re.search(r"(?<![.,\d])1 (sessions|tokens|threads|calls)\b(?!/s)", text)


def test_what_decoded_nothing_moved_nothing():
    summary = profile("--sessions", "1", "--tokens", "1").split("## Summary")[1].split("##")[0]
    assert "allocated per token**.\n" in summary and "moved" not in summary
    assert "moved" in profile("--sessions", "1", "--tokens", "2").split("## Hot")[0]


def test_a_kernels_rates_are_those_of_its_mean():
    units = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
    text = profile("--sessions", "1", "--tokens", "1")
    rows = [line.split(" | ") for line in text.splitlines()
            if line.startswith("| matmul | 512x512")]
    assert len(rows) == 1
    number, unit = rows[0][3].split()
    rate = 2 * 512**3 / (float(number) * units[unit])
    assert float(rows[0][6]) == pytest.approx(rate, rel=0.02)


def test_any_model_batches_and_types():
    path = models.fixture("llama256.Q4_K_M.gguf")
    got = json.loads(profile("--json", "--model", path, "--sessions", "4", "--tokens", "12",
                             "--prompt", "20", "--batch", "4"))
    assert list(SCHEMA.faults(got)) == []
    assert got["model"]["architecture"] == "llama" and len(got["sessions"]) == 1
    assert got["sessions"][0]["tokens"] == 48
    decode = next(s for s in got["steps"] if s["kind"] == "decode")
    assert decode["sequences"] > decode["seen"], "sequences share their steps"
    assert "Q4_K" in got["limits"]["weights_gop_s"]


def test_the_built_in_model_is_profiled_by_name():
    got = json.loads(profile("--json", "--model", "builtin", "--sessions", "1", "--tokens", "5"))
    assert got["model"]["name"] == "smallmind-tiny"


def test_several_sizes_stand_in_a_table():
    got = json.loads(profile("--json", "--sizes", "--sessions", "1", "--tokens", "6"))
    assert list(SCHEMA.faults(got)) == []
    parameters = [s["parameters"] for s in got["sizes"]]
    assert len(parameters) >= 4 and parameters == sorted(parameters)
    moved = [s["moved_bytes_per_token"] for s in got["sizes"]]
    assert moved == sorted(moved)


@pytest.mark.parametrize("args, word", [
    (["x.json"], "--json"), (["--json", "--html"], "name"), (["--tokens", "100000"], "context"),
    (["--compare"], "two"), (["a", "b"], "--compare"), (["--context", "4096"], "128"),
    (["--sessions", "2", "--batch", "3"], "batch"),
    (["--sessions", "0"], "sessions"), (["--json", ""], "empty"),
    (["--fail-on-regression", "0"], "--compare"),
    (["--sizes", "--prompt", "400"], "context of 128"),
    (["--sizes", "--model", "builtin", "--context", "256"], "context of 128"),
    *[(["--compare", "a", "b", *option], option[0]) for option in (
        ["--html"], ["--trace"], ["--sizes"], ["--sessions", "3"], ["--tokens", "3"],
        ["--prompt", "3"], ["--batch", "3"], ["--model", "builtin"], ["--threads", "1"])]])
def test_wrong_usage_is_exit_2(args, word, tmp_path):
    done = run_verb("profile", *args, cwd=tmp_path)
    assert done.returncode == 2 and word in done.stderr.decode()


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal(columns):
    seen = run_on_terminal("profile", *EXTRA, "--sessions", 1, "--tokens", 4, columns=columns)
    assert seen.returncode == 0 and max(map(len, seen.lines)) <= columns
    for heading in ("| path ", "p95", "allocated", "of the limit"):  # in parts, but all of it
        assert any(heading in line for line in seen.lines), heading


def test_a_batch_is_filled():
    """More at once than the default number of sessions: as many sessions as it takes."""
    found = json.loads(profile("--batch", "5", "--tokens", "2", "--json"))["workload"]
    assert found["batch"] == 5 and found["sessions"] == 5
