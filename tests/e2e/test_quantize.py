"""`quantize IN OUT TYPE`: files that serve, and what is refused."""
import json
import signal
import subprocess

import pytest

import models
from service import BINARY, LIMIT, clean_environment, run_verb

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K",
         "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M"]


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
