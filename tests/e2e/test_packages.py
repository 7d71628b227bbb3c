"""tools/packages.sh, which make runs first, where something is missing and cannot be installed."""
import os
import subprocess

import pytest

from service import ROOT


def missing_packages(folder, user, **env):
    """A run for the purpose of building, on a Debian that has nothing but a shell and apt-get."""
    commands = {"id": f"echo {user}", "apt-get": 'echo "installs: $*"',
                "env": 'shift; exec "$@"'}
    for name, text in commands.items():
        file = folder / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    return subprocess.run(["/bin/sh", str(ROOT / "tools" / "packages.sh"), "build"],
                          capture_output=True, text=True, env={"PATH": str(folder), **env})


pytestmark = pytest.mark.skipif(not os.path.exists("/etc/debian_version"),
                                reason="it is Debian that has apt-get")


def test_sudo_that_is_not_there_is_named_before_anything_runs(tmp_path):
    for words in ("sudo", "doas -n"):
        done = missing_packages(tmp_path, 1000, SUDO=words)
        assert done.returncode == 2 and "installs" not in done.stdout
        assert f"no command {words.split()[0]} " in done.stderr and "apt-get install" in done.stdout


def test_without_sudo_the_line_is_printed_and_nothing_runs(tmp_path):
    done = missing_packages(tmp_path, 1000)
    assert done.returncode == 1 and "installs" not in done.stdout
    assert "SUDO=sudo" in done.stderr and "apt-get install" in done.stdout


def test_root_needs_no_sudo(tmp_path):
    done = missing_packages(tmp_path, 0, SUDO="sudo")
    assert "installs: install -y" in done.stdout and "there is no command" not in done.stderr
