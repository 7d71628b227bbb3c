"""Model files: of tests/fixtures, of the shared folder, and random ones written on demand."""
import functools
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from service import ROOT, sanitizer

FIXTURES = ROOT / "tests" / "fixtures"
SHARED = pathlib.Path(os.environ.get("SMALLMIND_SHARED", ROOT.parent / "shared"))
TOOL = ROOT / "tests" / "tools" / "make_gguf.py"


@functools.lru_cache
def cache():
    """Where random models of this run are written."""
    return pathlib.Path(tempfile.mkdtemp(prefix="smallmind-models-"))


def remove_cache():
    if cache.cache_info().currsize:
        shutil.rmtree(cache(), ignore_errors=True)


def fixture(name):
    """A file of tests/fixtures or of the shared folder; the test is skipped where both lack it."""
    for folder in (FIXTURES, SHARED / "fixtures", SHARED / "fixtures" / "tokenizers"):
        if (folder / name).is_file():
            return folder / name
    pytest.skip(f"{name} is neither in tests/fixtures nor in {SHARED}/fixtures")


@functools.lru_cache
def random_model(*args):
    """A model of the tool's, written once a run."""
    path = cache() / ("-".join(args).replace("/", "_") + ".gguf")
    python = sys.executable if importlib.util.find_spec("numpy") else "/usr/bin/python3"
    done = subprocess.run([python, str(TOOL), args[0], str(path), *args[1:]], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return path


def small():
    """Fast, with room for long texts; text is noise."""
    return random_model("long", "--context", "4096")


def slow():
    """Slow enough that a request can be met in every phase: some milliseconds a token, a second
    for a prompt of a thousand. Under the thread sanitizer every model is slow."""
    layers = "3" if sanitizer() == "thread" else "8"
    return random_model("custom", "--arch", "llama", "--dim", "512", "--layers", layers,
                        "--heads", "8", "--kv", "4", "--ffn", "1536", "--context", "2048",
                        "--vocab", "512", "--type", "Q8_0")


def smol135():
    """The shape of SmolLM2-135M in Q4_0."""
    return random_model("smol135", "--type", "Q4_0")
