"""The clients for JavaScript: each file of js/ by node, with the packages that make has put into
build/clients-js."""
import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = HERE.parents[1] / "build" / "clients-js"


@pytest.mark.skipif(not (PACKAGES / "node_modules").is_dir(), reason="no packages there")
@pytest.mark.parametrize("name", sorted(file.name for file in (HERE / "js").glob("*.test.js")))
def test_javascript(url, name):
    shutil.copy(HERE / "js" / name, PACKAGES / name)  # beside the packages, where node looks
    done = subprocess.run(["node", "--test", name], cwd=PACKAGES, capture_output=True, text=True,
                          env={**os.environ, "BASE_URL": url}, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
