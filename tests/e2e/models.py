"""Model files: those in tests/fixtures, those in the shared folder, and random ones written on demand."""
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from service import ROOT

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
