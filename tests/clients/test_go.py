"""The clients for Go: each folder of go/, built by make into build/clients-go. OpenAI's module
needs a newer Go than Debian 12 has, and Go's module proxy."""
import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE.parents[1] / "build" / "clients-go"


@pytest.mark.parametrize("name", sorted(folder.name for folder in (HERE / "go").iterdir()))
def test_go(url, name):
    program = PROGRAMS / f"{name}.test"
    if not program.is_file():
        pytest.skip(f"{program.name} was not built: no Go, too old a one, or no modules")
    done = subprocess.run([str(program), "-test.v", "-test.timeout=100s"], capture_output=True,
                          text=True, env={**os.environ, "BASE_URL": url}, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
