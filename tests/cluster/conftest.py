"""Three replicas on this machine and a load balancer before them, as deploy/ says.

SMALLMIND_FULL=1: the whole counts instead of a short form. Needs Debian's haproxy and node; run by
`make test-cluster`.
"""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from service import LIMIT, Service, own_port, poll  # noqa: E402

HAPROXY = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
ADDRESSES = ("10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080")
BATCH, QUEUE = 8, 32


class Replicas:
    def __init__(self, n=3, batch=BATCH, queue=QUEUE, model="builtin"):
        self.batch, self.queue, self.model = batch, queue, model
        self.ports = [own_port() for _ in range(n)]
        self.services = [self.start(i) for i in range(n)]

    def start(self, i):
        return Service("--port", self.ports[i], "--max-batch", self.batch, "--max-queue",
                       self.queue, "--allow-host", "llm.example", "--threads", 1,
                       "--drain-delay", 5, "--chat-template", "chatml", model=self.model)

    def total(self, name, **labels):
        """A metric's sum over those that run."""
        return sum(one.metrics().value(name, **labels) for one in self.services
                   if one.is_running())

    def answered(self, route):
        """How often each has answered there with 200."""
        return [one.metrics().value("smallmind_requests_total", route=route, code="200")
                for one in self.services]

    def running(self):
        """Requests that run at each."""
        return [one.metrics().value("smallmind_requests_running") for one in self.services]

    def kill(self, i):
        self.services[i].process.kill()
        self.services[i].process.wait()

    def terminate(self, i):
        """SIGTERM, and its end."""
        self.services[i].process.terminate()
        assert self.services[i].process.wait(timeout=LIMIT) == 0, self.services[i].log()

    def revive(self, i):
        """A new one in the place of one that has ended."""
        self.services[i].folder.cleanup()
        self.services[i] = self.start(i)

    def restart(self, i):
        """As a roll-out does it."""
        self.terminate(i)
        self.revive(i)

    def close(self):
        for one in self.services:
            if one.is_running():
                one.process.kill()
                one.process.wait()
            one.folder.cleanup()


class Balancer:
    """HAProxy with deploy/haproxy/haproxy.cfg, its addresses replaced by those of this machine."""

    def __init__(self, folder, ports, maxconn=None):
        text = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
        self.port = own_port()
        for address, port in zip(ADDRESSES, ports):
            assert address in text
            text = text.replace(address, f"127.0.0.1:{port}")
        assert "bind :80\n" in text
        text = text.replace("bind :80\n", f"bind 127.0.0.1:{self.port}\n")
        if maxconn is not None:
            assert f"maxconn {BATCH + QUEUE}\n" in text
            text = text.replace(f"maxconn {BATCH + QUEUE}\n", f"maxconn {maxconn}\n")
        self.log_path = folder / "haproxy.log"
        (folder / "haproxy.cfg").write_text(text)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [HAPROXY, "-db", "-f", str(folder / "haproxy.cfg")], stdout=log, stderr=log)
        self.url = f"http://127.0.0.1:{self.port}"
        poll("the balancer", self.is_ready)

    def is_ready(self):
        assert self.process.poll() is None, self.log_path.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True
        return False

    def close(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def replicas():
    three = Replicas()
    yield three
    three.close()


@pytest.fixture
def balancer(replicas, tmp_path):
    if HAPROXY is None:
        pytest.skip("haproxy is not installed (apt-get install haproxy)")
    one = Balancer(tmp_path, replicas.ports)
    yield one
    one.close()
