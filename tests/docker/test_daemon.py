"""A run of these tests leaves nothing in the system, however it ends. As root."""
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from daemon import Daemon, Traces, wait_for

RUN = """
import pathlib, signal
import pytest
from daemon import Daemon
from test_daemon import PLACE_FILE, start_sleeper

@pytest.fixture
def daemon():
    daemon = Daemon(pathlib.Path({place!r}))
    yield daemon
    daemon.stop()

def test_one_that_ends_early(daemon):
    start_sleeper(daemon)
    pathlib.Path({place!r}, PLACE_FILE).write_text(str(daemon.folder))
    {then}
"""
PLACE_FILE = "folder"


def start_sleeper(daemon):
    """A container that does nothing for long, of an image that holds no more than that needs."""
    found = subprocess.run(["ldd", "/bin/sleep"], check=True, stdout=subprocess.PIPE, text=True)
    files = ["bin/sleep", *(word[1:] for word in found.stdout.split() if word.startswith("/"))]
    with subprocess.Popen(["tar", "-C", "/", "-ch", *files], stdout=subprocess.PIPE) as tar:
        daemon.run("import", "-", "sleeper", stdin=tar.stdout)
    return daemon.run("run", "--detach", "--network", "host", "--volume", "/kept", "sleeper",
                      "/bin/sleep", "86400").strip()


@pytest.fixture
def place(tmp_path):
    assert os.geteuid() == 0, "dockerd needs root"
    return tmp_path


def test_what_runs_is_seen_and_then_gone(place):
    daemon = Daemon(place)
    try:
        start_sleeper(daemon)
        seen = daemon.traces.all()
        assert len(seen["processes"]) > 2 and seen["groups"] and seen["files"]
    finally:
        daemon.stop()
    assert daemon.traces.all() == {}
    daemon.stop()  # and again, as after a failure


def test_one_that_was_killed_leaves_nothing(place):
    daemon = Daemon(place)
    try:
        start_sleeper(daemon)
        daemon.process.kill()
        daemon.process.wait()
        assert daemon.traces.processes(), "a container outlives its daemon"
    finally:
        daemon.stop()
    assert daemon.traces.all() == {}


def test_one_that_does_not_start_leaves_nothing(place, monkeypatch):
    (place / "data").write_text("no folder")
    folders = []
    stop = Daemon.stop
    monkeypatch.setattr(Daemon, "stop", lambda self: (folders.append(self), stop(self)))
    with pytest.raises(AssertionError):
        Daemon(place)
    assert [daemon.traces.all() for daemon in folders] == [{}]


@pytest.fixture
def run_of(place):
    """A run of a test in a process of its own: (the process, its daemon's traces)."""
    started = []

    def run_of(then):
        file = place / "test_run.py"
        file.write_text(RUN.format(place=str(place), then=then))
        here = str(pathlib.Path(__file__).parent)
        started.append(subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest",
             "--rootdir", str(place), "-c", "/dev/null", str(file)], cwd=place,
            env={**os.environ, "PYTHONPATH": here}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True))
        told = place / PLACE_FILE
        wait_for("its daemon", lambda: started[0].poll() is not None
                 or (told.exists() and told.read_text()))
        return started[0], Traces(pathlib.Path(told.read_text()), place / "data")
    yield run_of
    for process in started:
        process.kill()
        process.wait()


def test_one_that_fails_leaves_nothing(run_of):
    process, traces = run_of("assert False")
    assert process.wait() == 1
    assert traces.all() == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_that_is_interrupted_leaves_nothing(run_of, number):
    process, traces = run_of("signal.pause()")
    process.send_signal(number)
    assert process.wait() != 0
    assert traces.all() == {}


def test_one_that_is_killed_takes_its_processes_and_mounts_along(run_of):
    process, traces = run_of("signal.pause()")
    process.kill()
    process.wait()
    wait_for("the end of dockerd", lambda: not traces.processes())
    assert not traces.mounts()
    traces.remove()
