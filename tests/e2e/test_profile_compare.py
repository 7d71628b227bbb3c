"""`smallmind profile --compare`: what two reports say of each other, and what is no report."""
import json
import random
import re

import pytest

from profile_runs import columns_of, on_terminal
from service import run_verb


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
    ({"sessions": ["x", None]}, "sessions[0] is not an object"),
    ({"machine": {}}, "machine.cpu is missing"), ({"workload": {"source": "live"}}, "live report"),
    ({"version": None}, "version is not a text")])
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
def test_other_work_is_not_compared_and_other_settings_are_named(
        report, write, section, key, value, name):
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
