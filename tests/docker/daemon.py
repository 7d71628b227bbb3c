"""A Docker daemon of the test's own, and its client.

dockerd is started without bridge and without iptables, so that it needs nothing of the network
and changes nothing there: containers are on the host's network. Its images are kept below
build/docker-test for the next run. All else ends with it, however the run ends: its mounts are in a
namespace of its own, its containers in a control group of its own, and a run that is killed takes
it along.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "docker-test"
GROUPS = pathlib.Path("/sys/fs/cgroup")
LIMIT = 300  # seconds that anything but a build may take
ALONE = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private"]


def wait_for(what, condition, limit=LIMIT):
    end = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(0.05)
    return value


class Traces:
    """What there is of a daemon in the system, beside its data: by its folder, whose name is in
    the words that all of its processes were started with."""

    def __init__(self, folder, data):
        self.folder, self.data = folder, data

    def groups(self):
        """The folders of its containers' control groups, the innermost first."""
        tops = [*GROUPS.glob(self.folder.name), *GROUPS.glob(f"*/{self.folder.name}")]
        return [pathlib.Path(folder) for top in tops
                for folder, _, _ in os.walk(top, topdown=False)]

    def processes(self):
        """Whatever runs in its containers, or for it."""
        found = set()
        for group in self.groups():
            with contextlib.suppress(OSError):
                found.update(map(int, (group / "cgroup.procs").read_text().split()))
        mark = str(self.folder).encode()
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
        return sorted(found - {os.getpid()})

    def mounts(self):
        lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        places = (f"{self.folder}/", f"{self.data}/")
        return [where for line in lines if (where := line.split()[4]).startswith(places)]

    def all(self):
        return {kind: found for kind, found in {
            "processes": self.processes(), "mounts": self.mounts(), "groups": self.groups(),
            "files": [self.folder] * self.folder.exists()}.items() if found}

    def no_process(self):
        for number in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return not self.processes()

    def no_group(self):
        for group in self.groups():
            with contextlib.suppress(OSError):  # busy for a moment after its last process
                group.rmdir()
        return not self.groups()

    def remove(self):
        wait_for("the end of dockerd's processes", self.no_process)
        wait_for("the end of their control groups", self.no_group)
        if self.folder.exists():
            shutil.rmtree(self.folder)


class Daemon:
    def __init__(self, place=PLACE):
        place.mkdir(parents=True, exist_ok=True)
        # A socket's path is short, and the build folder's may be long.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="smallmind-docker-"))
        self.socket = self.folder / "sock"
        self.log = place / "dockerd.log"
        self.traces = Traces(self.folder, place / "data")
        self.process = None
        try:
            with open(self.log, "wb") as log:
                self.process = subprocess.Popen(
                    [*ALONE, "dockerd", "--host", f"unix://{self.socket}",
                     "--data-root", str(place / "data"), "--exec-root", str(self.folder / "exec"),
                     "--pidfile", str(self.folder / "pid"),
                     "--cgroup-parent", f"/{self.folder.name}",
                     "--iptables=false", "--ip6tables=false", "--bridge=none"],
                    stdout=log, stderr=log, start_new_session=True)
            wait_for("dockerd", self.answers)
        except BaseException:
            self.stop()
            raise

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return self.socket.exists() and self.try_run("version").returncode == 0

    def try_run(self, *words, timeout=LIMIT, **more):
        # Debian's client, whatever else is first in PATH: the newest ask for another builder.
        client = "/usr/bin/docker" if pathlib.Path("/usr/bin/docker").exists() else "docker"
        environment = {**os.environ, "DOCKER_BUILDKIT": "0",
                       "DOCKER_CONFIG": str(self.folder / "config")}
        return subprocess.run([client, "--host", f"unix://{self.socket}", *map(str, words)],
                              env=environment, capture_output=True, timeout=timeout, **more)

    def run(self, *words, **more):
        done = self.try_run(*words, **more)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, f"docker {' '.join(map(str, words))}\n{said[-4000:]}"
        return done.stdout.decode()

    def inspect(self, name):
        return json.loads(self.run("inspect", name))[0]

    def end_process(self):
        try:
            if self.process.poll() is None and self.socket.exists():
                # What a test or a build that was interrupted has left.
                names = self.try_run("ps", "--all", "--quiet").stdout.decode().split()
                self.try_run("rm", "--force", "--volumes", *names)
            self.process.terminate()
            self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(LIMIT)

    def stop(self):
        """Leaves its data and nothing else, whatever has happened to it."""
        try:
            if self.process is not None:
                self.end_process()
        finally:
            self.traces.remove()


class Container:
    """One run of an image, on the host's network at a port of its own choice."""

    def __init__(self, daemon, image, *options, flags=()):
        self.daemon = daemon
        port = self.port = free_port()
        self.name = daemon.run("run", "--detach", "--network", "host", "-e",
                               f"SMALLMIND_PORT={port}", "-e", "SMALLMIND_HOST=127.0.0.1",
                               *options, image, *flags).strip()

    def state(self):
        return self.daemon.inspect(self.name)["State"]

    def healthy(self):
        state = self.state()
        assert state["Running"], self.logs()
        return state["Health"]["Status"] == "healthy"

    def logs(self):
        done = self.daemon.try_run("logs", self.name)
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def cpu_seconds(self):
        """The processor time of all of it, by the kernel's own account."""
        for group in self.daemon.traces.groups():
            if group.name == self.name and (file := group / "cpuacct.usage").exists():
                return int(file.read_text()) / 1e9
            if group.name == self.name and "usage_usec" in (text := read(group / "cpu.stat")):
                return int(text.split()[text.split().index("usage_usec") + 1]) / 1e6
        raise AssertionError(f"no control group counts the time of {self.name}")

    def remove(self):
        self.daemon.run("rm", "--force", "--volumes", self.name)


def read(file):
    return file.read_text() if file.exists() else ""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
