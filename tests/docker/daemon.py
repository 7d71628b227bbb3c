"""A Docker daemon of the test's own, and its client.

dockerd is started without bridge and without iptables, so that it needs nothing of the network
and changes nothing there: containers are on the host's network. Its images are kept below
build/docker-test for the next run.
"""
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
LIMIT = 120  # seconds that anything but a build may take


def wait_for(what, condition, limit=LIMIT):
    end = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(0.05)
    return value


class Daemon:
    def __init__(self):
        PLACE.mkdir(parents=True, exist_ok=True)
        # A socket's path is short, and the build folder's may be long.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="smallmind-docker-"))
        self.socket = self.folder / "sock"
        self.log = PLACE / "dockerd.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--host", f"unix://{self.socket}", "--data-root", str(PLACE / "data"),
                 "--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid"),
                 "--iptables=false", "--ip6tables=false", "--bridge=none"],
                stdout=log, stderr=log, start_new_session=True)
        wait_for("dockerd", self.answers)

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

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT)
        shutil.rmtree(self.folder, ignore_errors=True)


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

    def remove(self):
        self.daemon.run("rm", "--force", "--volumes", self.name)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
