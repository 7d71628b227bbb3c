"""`smallmind profile`: its report adds up in every form, and two of them can be compared."""
import json
import os
import pty
import random
import re
import subprocess

import pytest

import browser
import models
from schema import Schema
from service import BINARY, EXTRA, LIMIT, ROOT, clean_environment, poll, run_verb

SCHEMA = Schema(ROOT / "docs" / "profile.schema.json")
LAYER = ["attention_norm", "qkv", "rope", "attention", "output", "ffn_norm", "ffn_gate_up",
         "ffn_activation", "ffn_down"]


def profile(*args):
    done = run_verb("profile", *EXTRA, *args, timeout=6 * LIMIT)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8")


@pytest.fixture(scope="module")
def report():
    """The default workload."""
    return json.loads(profile("--json"))


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
            # In all but a prompt's last step, the last layer ends behind its keys and values.
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


def on_terminal(*args, env=None):
    """What a verb writes to a terminal."""
    main, terminal = pty.openpty()
    env = clean_environment({"TERM": "xterm", "NO_COLOR": "", **(env or {})})
    process = subprocess.Popen([str(BINARY), "profile", *map(str, args)], stdout=terminal,
                               stderr=subprocess.DEVNULL, env=env)
    os.close(terminal)
    text = b""
    try:
        while part := os.read(main, 65536):
            text += part
    except OSError:  # all of its other end is closed
        pass
    os.close(main)
    assert process.wait(2 * LIMIT) == 0
    return text.decode().replace("\r\n", "\n")


def columns_of(text):
    """Where each table's bars stand in its lines, without colours."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    for table in re.findall(r"(?:^\|.*\n)+", plain, re.MULTILINE):
        yield {tuple(m.start() for m in re.finditer(r"\|", line)) for line in table.splitlines()}


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
    assert not re.search(r"\b1 (sessions|tokens|threads|calls)\b", text)


def test_what_decoded_nothing_moved_nothing():
    summary = profile("--sessions", "1", "--tokens", "1").split("## Summary")[1].split("##")[0]
    assert "allocated per token**.\n" in summary and "moved" not in summary
    assert "moved" in profile("--sessions", "1", "--tokens", "2").split("## Hot")[0]


def test_a_kernels_rates_are_those_of_its_mean():
    units = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
    text = profile("--sessions", "1", "--tokens", "1")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| matmul | 512x512")]
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


# --- two reports ---

def scaled(report, factor, noise):
    """The same sessions, slower by a factor; each a little different."""
    copy = json.loads(json.dumps(report))
    base = copy["sessions"][0]
    copy["sessions"] = []
    for i in range(8):
        wobble = factor * (1 + noise * ((i * 5) % 8 - 3.5))
        session = json.loads(json.dumps(base))
        for key in ("wall_ms", "prompt_ms", "decode_ms"):
            session[key] *= wobble
        for scope in session["scopes_per_token_ms"]:
            session["scopes_per_token_ms"][scope] *= wobble
        copy["sessions"].append(session)
    return copy


@pytest.fixture
def write(tmp_path):
    def write(name, report):
        path = tmp_path / name
        path.write_text(json.dumps(report))
        return path
    return write


def compare(*args):
    return run_verb("profile", "--compare", *args)


def test_a_slowdown_beyond_the_noise_is_found(report, write):
    a, b = write("a.json", scaled(report, 1, 0.002)), write("b.json", scaled(report, 1.2, 0.002))
    done = compare(a, b, "--fail-on-regression", "5")
    text = done.stdout.decode()
    assert done.returncode == 1
    assert re.search(r"\| a session .*\+20\.0%.*slower \|", text)
    assert "beyond the noise: more than the 5% allowed" in text
    assert "bootstrap" in text and "Mann-Whitney" in text
    assert compare(b, a, "--fail-on-regression", "5").returncode == 0, "faster is no regression"
    assert compare(a, b, "--fail-on-regression", "30").returncode == 0
    assert compare(a, b).returncode == 0, "nothing was said to fail on"


def test_noise_is_no_change(report, write):
    a, b = write("a.json", scaled(report, 1, 0.05)), write("b.json", scaled(report, 1.03, 0.05))
    done = compare(a, b, "--fail-on-regression", "1")
    assert done.returncode == 0
    assert re.search(r"\| a session .*within the noise \|", done.stdout.decode())


def rows_of(text, heading):
    """The table below a heading: name to its other cells."""
    part = text.split(f"## {heading}")[1].split("\n\n")[1]
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in part.splitlines()]
    return {cells[0]: dict(zip(lines[0], cells)) for cells in lines[2:]}


def drawn(report, seed, n=8, slower=None, factor=1.0, noise=0.02):
    """n sessions whose scopes each have a noise of their own; one of them slower by a factor."""
    random_numbers = random.Random(seed)
    copy = json.loads(json.dumps(report))
    base, copy["sessions"] = copy["sessions"][0], []
    for _ in range(n):
        session = json.loads(json.dumps(base))
        scopes = session["scopes_per_token_ms"]
        for scope in scopes:
            scopes[scope] *= random_numbers.gauss(1, noise) * (factor if scope == slower else 1)
        for key in ("wall_ms", "prompt_ms", "decode_ms"):
            session[key] *= random_numbers.gauss(1, noise)
        copy["sessions"].append(session)
    return copy


def test_one_scope_alone_is_found_among_many(report, write):
    a, b = write("a.json", drawn(report, 1)), \
        write("b.json", drawn(report, 2, slower="ffn_down", factor=1.5))
    done = compare(a, b, "--fail-on-regression", "3")
    text = done.stdout.decode()
    scopes = rows_of(text, "Scopes, a generated token")
    assert [name for name, row in scopes.items() if row["verdict"] == "slower"] == ["FFN down"]
    row = scopes["FFN down"]
    assert float(row["adjusted p"]) < 0.05 and float(row["adjusted p"]) >= float(row["p"])
    assert "Benjamini and Hochberg" in text and f"{len(scopes)} scopes" in text
    # The whole's times were drawn without it, as where another part makes up for a slowdown.
    assert all(r["verdict"] == "within the noise" for r in rows_of(text, "The whole").values())
    assert done.returncode == 1
    assert re.search(r"FFN down adds \d+\.\d% to a generated token", text)
    assert compare(a, b, "--fail-on-regression", "90").returncode == 0


@pytest.mark.parametrize("n", (2, 3, 8))
def test_chance_alone_is_seldom_called_a_change(report, write, n):
    """Some twenty rows in each of forty tables in which nothing has changed: unadjusted, one in
    twenty rows is beyond the noise; adjusted, one table in twenty has any such row."""
    unadjusted, tables = 0, {"Scopes, a generated token": 0, "The whole": 0}
    for seed in range(40):
        text = compare(write("a.json", drawn(report, 2 * seed, n)),
                       write("b.json", drawn(report, 2 * seed + 1, n))).stdout.decode()
        for heading in tables:
            rows = rows_of(text, heading).values()
            unadjusted += sum(float(row["p"]) < 0.05 for row in rows)
            tables[heading] += any(row["verdict"] != "within the noise" for row in rows)
    assert unadjusted > 10, "the draws are noisy enough to be taken for changes"
    assert max(tables.values()) <= 5


def test_three_sessions_tell_what_is_large(report, write):
    a, b = write("a.json", drawn(report, 1, n=3)), \
        write("b.json", drawn(report, 2, n=3, slower="qkv", factor=3))
    done = compare(a, b, "--fail-on-regression", "1")
    scopes = rows_of(done.stdout.decode(), "Scopes, a generated token")
    assert [name for name, row in scopes.items() if row["verdict"] != "within the noise"] == ["QKV"]
    assert done.returncode == 1
    assert "too few for ranks" in done.stdout.decode()


def test_what_came_and_what_went_is_named(report, write):
    before, after = scaled(report, 1, 0.001), scaled(report, 1, 0.001)
    for session in before["sessions"]:
        del session["scopes_per_token_ms"]["ffn_activation"]
    for session in after["sessions"]:
        del session["scopes_per_token_ms"]["rope"]
    text = compare(write("a.json", before), write("b.json", after)).stdout.decode()
    assert "In B only: activation. In A only: RoPE" in text


def test_what_is_no_report_is_refused(report, write, tmp_path):
    good = write("a.json", scaled(report, 1, 0.001))
    (tmp_path / "text").write_text("no JSON")
    few = dict(report, sessions=report["sessions"][:1])
    for bad in (tmp_path / "text", tmp_path / "missing", write("x.json", {"a": 1}),
                write("few.json", few)):
        done = compare(good, bad)
        assert done.returncode == 1 and str(bad).encode() in done.stderr


@pytest.mark.parametrize("change, word", [
    ({"format": 2}, "format 2"), ({"sessions": [{}, {}]}, "sessions[0].prompt_tokens is missing"),
    ({"sessions": ["x", None]}, "sessions[0] is no object"),
    ({"machine": {}}, "machine.cpu is missing"), ({"workload": {"source": "live"}}, "live report"),
    ({"version": None}, "version is no text")])
def test_what_no_run_can_have_written_is_refused_by_its_place(report, write, change, word):
    good, bad = write("a.json", scaled(report, 1, 0.001)), write("b.json", dict(report, **change))
    for args in ((good, bad), (bad, good)):
        done = compare(*args)
        assert done.returncode == 1 and done.stdout == b""
        assert word in done.stderr.decode() and "b.json" in done.stderr.decode()


def test_a_comparison_is_json_too(report, write):
    before, after = drawn(report, 1), drawn(report, 2, slower="ffn_down", factor=1.5)
    after["version"] = "99.0.0"
    a, b = write("a.json", before), write("b.json", after)
    done = compare(a, b, "--json", "--fail-on-regression", "3")
    got = json.loads(done.stdout)
    assert done.returncode == 1 and got["failed"] is True
    assert got["allowed"] == pytest.approx(0.03) and got["regressions"] == ["ffn_down"]
    assert got["differences"] == ["version"] and got["comparable"] is True
    assert (got["a"]["file"], got["b"]["version"]) == (str(a), "99.0.0")
    assert got["a"]["sessions"] == 8 and got["came"] == [] and got["gone"] == []
    names = [row["name"] for row in got["whole"]["rows"]]
    assert names == ["session", "prompt_token", "generated_token"]
    assert got["whole"]["test"] == got["scopes"]["test"] == "Mann-Whitney"
    markdown = rows_of(compare(a, b).stdout.decode(), "Scopes, a generated token")
    assert len(markdown) == len(got["scopes"]["rows"])
    for row in got["scopes"]["rows"]:
        assert row["interval"][0] <= row["change"] <= row["interval"][1]
        assert row["change"] == pytest.approx(row["after_ms"] / row["before_ms"] - 1, abs=1e-2)
        assert row["p"] <= row["adjusted_p"] <= 1
        assert (row["verdict"] == "slower") == (row["name"] == "ffn_down") == row["regression"]
    got = json.loads(compare(a, b, "--json").stdout)
    assert got["failed"] is False and got["allowed"] is None and got["regressions"] == []


def test_settings_of_runs_may_stand_in_the_environment(report, write):
    a = write("a.json", scaled(report, 1, 0.001))
    env = {"SMALLMIND_MODEL": "x.gguf", "SMALLMIND_FAIL_ON_REGRESSION": "5"}
    assert run_verb("profile", "--compare", a, a, env=env).returncode == 0


def test_nothing_beyond_the_noise_may_be_allowed(report, write):
    a, b = write("a.json", scaled(report, 1, 0.0002)), write("b.json", scaled(report, 1.01, 0.0002))
    assert compare(a, b).returncode == 0
    assert compare(a, b, "--fail-on-regression", "0").returncode == 1
    assert compare(a, a, "--fail-on-regression", "0").returncode == 0
    assert compare(a, b, "--fail-on-regression", "2").returncode == 0


@pytest.mark.parametrize("section, key, value, name", [
    ("model", "name", "another", "model"), ("model", "parameters", 7, "model"),
    ("model", "weights", "Q4_0", "weights"), ("model", "kv_type", "q8", "KV type"),
    ("model", "context", 64, "context"), ("machine", "threads", 7, "threads"),
    ("machine", "kernels", "neon", "kernels"), ("workload", "tokens", 49, "tokens"),
    ("workload", "prompt", 31, "prompt"), ("workload", "batch", 2, "batch"),
    ("workload", "temperature", 0, "temperature"), ("machine", "cpu", "another", "processor")])
def test_other_work_is_not_compared_and_other_settings_are_named(report, write, section, key, value, name):
    after = scaled(report, 1.2, 0.002)
    after[section][key] = value
    a, b = write("a.json", scaled(report, 1, 0.002)), write("b.json", after)
    assert f"**They differ in {name}.**" in compare(a, b).stdout.decode()
    done = compare(a, b, "--fail-on-regression", "5")
    assert done.returncode == 1
    other_work = name in ("model", "tokens", "prompt", "batch")
    assert ("Not comparable" in done.stdout.decode()) == other_work
    assert ("more than the 5% allowed" in done.stdout.decode()) == (not other_work)
    assert compare(b, a, "--fail-on-regression", "5").returncode == other_work


def test_the_head_says_what_is_compared(report, write):
    before, after = scaled(report, 1, 0.002), scaled(report, 1, 0.002)
    before["machine"]["threads"] = after["machine"]["threads"] = 1
    before["version"], after["version"] = "7.0.0", "7.1.0"
    after["workload"]["batch"] = 4
    text = compare(write("a.json", before), write("b.json", after)).stdout.decode()
    assert "smallmind 7.0.0, " in text and "smallmind 7.1.0, " in text
    assert "8 sessions of 50 tokens after a prompt of 32, 1 thread," in text
    assert "8 groups of 4 requests of 50 tokens after a prompt of 32, 1 thread," in text
    assert "They differ in version, batch." in text
    before["workload"]["batch"] = 4
    text = compare(write("a.json", before), write("b.json", after)).stdout.decode()
    assert "| a group |" in text


def test_a_scope_of_another_version_is_named_or_compared(report, write):
    before, after = scaled(report, 1, 0.001), scaled(report, 1, 0.001)
    for session in after["sessions"]:
        session["scopes_per_token_ms"]["brandnew"] = 0.5
    a, b = write("a.json", before), write("b.json", after)
    assert "In B only: brandnew. In A only: nothing." in compare(a, b).stdout.decode()
    assert "In B only: nothing. In A only: brandnew." in compare(b, a).stdout.decode()
    text = compare(b, b).stdout.decode()
    assert "In B only: nothing. In A only: nothing." in text
    assert rows_of(text, "Scopes, a generated token")["brandnew"]["A"] == "0.5000 ms"


def test_what_the_statistics_cannot_see_comes_first(report, write):
    a = write("a.json", scaled(report, 1, 0.001))
    text = compare(a, a).stdout.decode()
    method = text.split("In A only: nothing.\n")[1].strip()
    assert method.startswith("**Two runs of the same code differ as a whole")
    assert "Repeat both in turns" in method
    assert method.index("each pair") < method.index("bootstrap")


def test_a_comparison_on_a_terminal_is_aligned(report, write):
    a, b = write("a.json", scaled(report, 1, 0.002)), write("b.json", scaled(report, 1.2, 0.002))
    text = on_terminal("--compare", a, b)
    assert "\x1b[31m" in text
    assert [len(places) for places in columns_of(text)] == [1, 1]
    assert "\x1b" not in on_terminal("--compare", a, b, env={"NO_COLOR": "1"})


# --- the page and the trace ---

@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """All three forms of one profile."""
    name = tmp_path_factory.mktemp("profile") / "run"
    profile("--json", "--html", "--trace", "--sessions", "1", "--tokens", "10", name)
    return name


def test_the_trace_is_events(files):
    events = json.loads(files.with_suffix(".trace.json").read_text())
    spans = [e for e in events if e["ph"] == "X"]
    assert {e["name"] for e in events if e["ph"] == "M"} == {"process_name", "process_labels",
                                                             "thread_name"}
    assert all(e["dur"] >= 0 and e["ts"] >= 0 and e["pid"] >= 1 and e["tid"] >= 0 for e in spans)
    assert {"QKV", "attention", "FFN down", "sampler"} <= {e["name"] for e in spans}
    steps = [e for e in spans if e["name"].startswith("step")]
    inner = [e for e in spans if e["name"] == "QKV"]
    assert all(any(s["ts"] <= e["ts"] and e["ts"] + e["dur"] <= s["ts"] + s["dur"] + 1
                   for s in steps) for e in inner)
    for one, next_one in zip(steps, steps[1:]):
        assert one["ts"] + one["dur"] <= next_one["ts"] + 0.002, "steps lie one behind the other"


def test_the_page_holds_everything_itself(files):
    page = files.with_suffix(".html").read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "@import" not in page and "fetch(" not in page
    data = re.search(r'id="data">(.*?)</script>', page, re.S).group(1)
    assert list(SCHEMA.faults(json.loads(data)["report"])) == []


@pytest.fixture(scope="module")
def page(files):
    if browser.PATH is None:
        pytest.skip("no Chromium here (Debian's package is chromium)")
    one = browser.Browser(2 * LIMIT)
    yield one, files.with_suffix(".html").as_uri()
    one.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_flame_graph_answers_a_click(page, width):
    one, url = page
    one.open(url, width)
    assert one.errors == []
    focus = "document.getElementById('flame').dataset.focus"
    frame = "[...document.querySelectorAll('.frame')].find(f => f.dataset.path === '%s')"
    assert one.value(focus) == "engine"
    path = "engine/step (decode)/layer 1"
    narrow = one.value(f"({frame % path}).getBoundingClientRect().width")
    one.click(frame % path)
    assert one.value(focus) == path
    wide = one.value(f"({frame % path}).getBoundingClientRect().width")
    assert wide > 2 * narrow, "the part that was clicked takes the page's width"
    assert "layer 1" in one.value("document.getElementById('flame-detail').textContent")
    one.click("document.getElementById('up')")
    assert one.value(focus) == "engine/step (decode)"
    one.click("document.getElementById('reset')")
    assert one.value(focus) == "engine"
    one.click("document.getElementById('merge')")
    assert one.value(f"!!({frame % 'engine/step (decode)/4 layers'})")
    wider = one.value("document.documentElement.scrollWidth")
    assert wider <= width, "nothing sticks out of the page"


def test_the_timeline_moves(page):
    one, url = page
    one.open(url)
    view = "document.getElementById('timeline').dataset.view"
    before = one.value(view)
    one.click("document.getElementById('in')")
    assert one.value(view) != before
    one.click("document.getElementById('later')")
    assert "Step 1 of" in one.value("document.getElementById('timeline-detail').textContent")
    assert "10 steps" in one.value("document.getElementById('timeline-note').textContent")
    assert one.errors == []


def wheel(one, expression, modifiers=0):
    """A turn of the wheel, downwards, over what the expression finds."""
    one.value(f"({expression}).scrollIntoView({{block: 'center'}})")
    x, y = one.value(f"(() => {{ const r = ({expression}).getBoundingClientRect();"
                     "return [r.x + r.width / 2, r.y + r.height / 2]; })()")
    one.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=120,
             modifiers=modifiers)


def test_the_wheel_over_the_timeline_of_the_page_is_the_page_s(page):
    one, url = page
    one.open(url, height=700)
    canvas = "document.getElementById('timeline')"
    view = one.value(canvas + ".dataset.view")
    one.value(canvas + ".scrollIntoView({block: 'center'})")
    before = one.value("scrollY")
    wheel(one, canvas)
    poll("the page moves", lambda: one.value("scrollY") > before)
    assert one.value(canvas + ".dataset.view") == view
    wheel(one, canvas, modifiers=2)  # Ctrl
    poll("the timeline is drawn anew", lambda: one.value(canvas + ".dataset.view") != view)


def press(one, key, code):
    for kind in ("rawKeyDown", "keyUp"):
        one.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def test_the_flame_graph_answers_keys(page):
    one, url = page
    one.open(url)
    held = "document.activeElement.dataset.path"
    one.value("document.querySelector('.frame').focus()")
    press(one, "ArrowDown", 40)
    step = one.value(held)
    assert step.startswith("engine/step")
    assert re.fullmatch(r"step \(\w+\): [\d.]+ [nµm]?s, [\d.]+%",
                        one.value("document.activeElement.getAttribute('aria-label')"))
    press(one, "Enter", 13)
    assert one.value("document.getElementById('flame').dataset.focus") == step
    assert one.value(held) == step, "the frame that was widened keeps the keys"
    press(one, "ArrowUp", 38)
    assert one.value(held) == "engine"
    assert one.value("document.querySelectorAll('.frame[tabindex=\"0\"]').length") == 1


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_on_the_page_is_cut_off(page, width):
    one, url = page
    one.open(url, width)
    out = one.value("""[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') &&
        e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 0.5).length""")
    assert out == 0
    tables = one.value("""[...document.querySelectorAll('.scroll')].map(e =>
        [e.firstChild.id, e.scrollWidth > e.clientWidth + 1, e.classList.contains('more')])""")
    for name, scrolls, says in tables:
        assert scrolls == says, name
        assert width < 600 or not scrolls, f"{name} is wider than its card"
    if width < 600:
        low = one.value("""[...document.querySelectorAll('button')].filter(e =>
            e.getClientRects().length && e.getBoundingClientRect().height < 40).length""")
        assert low == 0, "a finger needs more"


ROOF = """(() => {
  const frame = document.querySelector('#roof svg').getBoundingClientRect();
  const box = e => { const r = e.getBoundingClientRect(); return [e.textContent, r.x, r.y, r.right, r.bottom]; };
  return { frame: [frame.x, frame.y, frame.right, frame.bottom],
           names: [...document.querySelectorAll('#roof text')].map(box),
           shapes: [...document.querySelectorAll('#roof circle, #roof line')].map(box),
           size: Math.min(...[...document.querySelectorAll('svg text')].map(e => parseFloat(getComputedStyle(e).fontSize))),
           scaled: !!document.querySelector('svg[viewBox]') };
})()"""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_roofline_of_the_page_is_legible(page, width):
    one, url = page
    one.open(url, width)
    roof = one.value(ROOF)
    left, top, right, bottom = roof["frame"]
    for name, x0, y0, x1, y1 in roof["names"] + roof["shapes"]:
        assert x0 >= left - 0.5 and y0 >= top - 0.5, name
        assert x1 <= right + 0.5 and y1 <= bottom + 0.5, name
    for i, (a, x0, y0, x1, y1) in enumerate(roof["names"]):
        for b, u0, v0, u1, v1 in roof["names"][:i]:
            assert x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0, f"{a} lies on {b}"
    assert roof["size"] >= 11 and not roof["scaled"]


# What each text that shows has of contrast with what lies below it; the least ones first.
CONTRAST = """(() => {
  const c = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = colour => { c.clearRect(0, 0, 1, 1); c.fillStyle = colour; c.fillRect(0, 0, 1, 1);
    const d = c.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = p => { const [r, g, b] = p.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const below = e => e ? over(rgba(getComputedStyle(e).backgroundColor), below(e.parentElement)) : [255, 255, 255, 1];
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), ground = below(e), ink = rgba(e.ownerSVGElement ? style.fill : style.color);
    const stripe = style.backgroundImage.match(/rgba\\([^)]*[1-9]\\)/);
    const grounds = stripe ? [ground, over(rgba(stripe[0]), ground)] : [ground];
    for (const g of grounds) found.push([ratio(over(ink, g), g), e.className.baseVal || e.className || e.tagName, e.textContent.slice(0, 30)]);
  }
  const style = getComputedStyle(document.documentElement), v = n => rgba(style.getPropertyValue(n));
  for (const [name, colour] of Object.entries(colours)) found.push([ratio(v('--ink'), rgba(colour)), 'timeline', name]);
  for (const ground of ['--line', '--card']) found.push([ratio(v('--soft'), v(ground)), 'timeline', ground]);
  return found.sort((a, b) => a[0] - b[0]).slice(0, 5);
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_the_page_has_contrast(page, scheme):
    one, url = page
    one.call("Emulation.setEmulatedMedia",
             features=[{"name": "prefers-color-scheme", "value": scheme}])
    one.open(url)
    assert one.value(CONTRAST)[0][0] >= 4.5, one.value(CONTRAST)
    one.click("[...document.querySelectorAll('.frame')].find(f => f.textContent === 'layer 1')")
    assert one.value(CONTRAST)[0][0] >= 4.5, one.value(CONTRAST)
    one.call("Emulation.setEmulatedMedia", features=[])


def test_the_page_of_live_traffic_says_what_it_does_not_know(page, files, tmp_path):
    one, _ = page
    text = files.with_suffix(".html").read_text()
    before, data, after = re.split(r'(?<=id="data">)(.*?)(?=</script>)', text, maxsplit=1, flags=re.S)
    data = json.loads(data)
    report = data["report"]
    report.update(workload={"source": "live", "seconds": 1.5}, prompt_tokens_per_second=None)
    report["method"].update(overhead=None, one_step_in_max=4)
    report["machine"].update(threads=1, workers=1)
    assert list(SCHEMA.faults(report)) == []
    path = tmp_path / "live.html"
    path.write_text(before + json.dumps(data).replace("<", "\\u003c") + after)
    one.open(path.as_uri())
    assert one.errors == []
    figures = dict(reversed(f) for f in one.value(
        "[...document.querySelectorAll('.figure')].map(f => [...f.children].map(e => e.textContent))"))
    assert figures["prompt tokens a second"] == "-"
    assert "a worker's time a token" in figures
    assert "1 thread in 1 worker," in one.value("document.querySelector('header').textContent")
    method = one.value("document.getElementById('method').textContent")
    assert "does not measure what recording costs" in method and "scaled up to all" in method
