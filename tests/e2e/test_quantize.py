"""`quantize IN OUT TYPE`: files that serve, and what is refused."""
import json
import re
import signal
import subprocess

import pytest

import models
from service import BINARY, LIMIT, clean_environment, run_verb
from terminal import run_on_terminal

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K",
         "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_S",
         "Q5_K_M"]


def types_of(path):
    done = run_verb("inspect", "--json", "--tensors", path)
    assert done.returncode == 0, done
    return {t["name"]: t["type"] for t in json.loads(done.stdout)["tensor_list"]}


@pytest.mark.parametrize("wanted", TYPES)
def test_every_type_is_written_and_generates(tmp_path, wanted):
    out = tmp_path / "out.gguf"
    done = run_verb("quantize", models.fixture("llama256.F16.gguf"), out, wanted)
    assert done.returncode == 0 and done.stderr == b"" and wanted in done.stdout.decode()
    assert [p.name for p in tmp_path.iterdir()] == ["out.gguf"]
    found = types_of(out)
    base = wanted[:4] if wanted.endswith(("_M", "_S")) else wanted
    assert found["blk.0.attn_q.weight"] == base
    assert found["output.weight"] == (wanted if base == wanted else "Q6_K")
    assert found["output_norm.weight"] == "F32"
    done = run_verb("generate", "--model", out, "--max-tokens", 3, "--temperature", 0, "Once")
    assert done.returncode == 0, done


@pytest.mark.parametrize("args", [[], ["in.gguf"], ["in.gguf", "out.gguf"],
                                  ["in.gguf", "out.gguf", "Q4_0", "more"],
                                  ["in.gguf", "out.gguf", "Q4_9"]])
def test_wrong_usage_is_exit_2(tmp_path, args):
    done = run_verb("quantize", *args, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == b"" and done.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_is_overwritten_only_with_force(tmp_path):
    source, out = models.fixture("llama256.F16.gguf"), tmp_path / "out.gguf"
    out.write_bytes(b"mine")
    done = run_verb("quantize", source, out, "Q8_0")
    assert done.returncode == 1 and b"--force" in done.stderr and out.read_bytes() == b"mine"
    done = run_verb("quantize", "--force", source, out, "Q8_0")
    assert done.returncode == 0 and types_of(out)["output.weight"] == "Q8_0"
    assert run_verb("quantize", "--force", out, out, "Q4_0").returncode == 1
    assert types_of(out)["output.weight"] == "Q8_0"
    assert [p.name for p in tmp_path.iterdir()] == ["out.gguf"]


def test_a_broken_source_leaves_nothing(tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(models.fixture("llama256.F16.gguf").read_bytes()[:100000])
    done = run_verb("quantize", cut, tmp_path / "out.gguf", "Q8_0")
    assert done.returncode == 1 and done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["cut.gguf"]


def test_killed_in_the_middle_it_leaves_nothing(tmp_path):
    """K-quants search for their scales, so there is time to be killed in; done before is fine."""
    out = tmp_path / "out.gguf"
    process = subprocess.Popen([str(BINARY), "quantize", "--threads", "1", str(models.slow()),
                                str(out), "Q2_K"], env=clean_environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LIMIT)
    assert [p.name for p in tmp_path.iterdir()] in ([], ["out.gguf"])


@pytest.mark.parametrize("source, wanted, word", [
    ("llama256.Q4_0.gguf", "Q8_0", "nothing is gained"),
    ("llama256.Q4_0.gguf", "F16", "nothing is gained"),
    ("llama256.Q8_0.gguf", "q4_k_m", "loses more"),
    ("llama256.Q4_K_M.gguf", "Q4_K_S", "nothing is gained"),
    ("llama256.Q6_K.gguf", "Q4_0", "loses more"), ("llama256.F16.gguf", "Q8_0", None)])
def test_a_source_that_is_rounded_already_is_told(tmp_path, source, wanted, word):
    done = run_verb("quantize", models.fixture(source), tmp_path / "out.gguf", wanted)
    text = done.stderr.decode()
    assert done.returncode == 0
    if word is None:
        assert text == ""
    else:
        assert text.count("\n") == 1 and "already rounded" in text and word in text


def test_the_result_has_units(tmp_path):
    done = run_verb("quantize", models.fixture("llama256.F16.gguf"), tmp_path / "out.gguf", "Q8_0")
    sizes = re.search(r"; ([\d.]+) ([KMG]iB), from ([\d.]+) ([KMG]iB)\n$", done.stdout.decode())
    assert sizes, done.stdout


def test_a_bar_on_a_terminal(tmp_path):
    """Long enough that a bar is drawn: the largest model, into the type that takes longest."""
    seen = run_on_terminal("quantize", models.smol135(), tmp_path / "out.gguf", "Q3_K",
                           "--threads", 1)
    bars = [line for line in seen.drawn if line.startswith("quantizing: ")]
    assert seen.returncode == 0 and bars
    assert all(re.match(r"quantizing: \[#*\.*\] +\d+ % \d+ of \d+ MiB", bar) for bar in bars)
    assert max(map(len, bars)) < 80
    assert any("MiB/s" in bar and "left" in bar for bar in bars)
    assert "tensors rounded to Q3_K" in seen.lines[-1]
