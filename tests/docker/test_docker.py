"""The image, built and run by a real Docker: `make test-docker`, as root."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import threading
import time

import pytest

from asking import ask, metric, ready
from daemon import PLACE, wait_for
from images import BASE, IMAGE, LOCKED

MOST_BYTES = 40_000_000  # above the base
SHELLS = [word for path in ("/usr/bin/sh", "/usr/bin/dash", "/usr/bin/bash")
          for word in ("--volume", f"/dev/null:{path}:ro")]
SBOM = "/usr/share/doc/smallmind/sbom.spdx.json"


def test_it_adds_little_to_its_base(docker, image):
    added = docker.inspect(image)["Size"] - docker.inspect(BASE)["Size"]
    print(f"{added / 1e6:.1f} MB above the base")
    assert 0 < added < MOST_BYTES


def test_it_runs_as_a_user_without_rights(docker, image):
    config = docker.inspect(image)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["/usr/local/bin/smallmind"] and config["Cmd"] == ["serve"]
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_locked_up_it_answers(docker, start):
    container = start(*LOCKED, *SHELLS)
    wait_for("ready", lambda: ready(container))
    status, text = ask(container, "/generate", {"prompt": "Once upon a time", "max_tokens": 16})
    assert status == 200 and len(json.loads(text)["tokens"]) == 16
    wait_for("healthy", container.healthy)
    metrics = ask(container, "/metrics")[1]
    assert metric(metrics, "smallmind_cpu_limit_cores") == 0.5
    assert metric(metrics, "smallmind_memory_limit_bytes") == 512 << 20
    held = pathlib.Path(f"/proc/{container.state()['Pid']}/status").read_text()
    assert re.search(r"^CapEff:\s+0+$", held, re.MULTILINE)
    assert re.search(r"^Uid:\s+10001\s+10001", held, re.MULTILINE)
    assert docker.try_run("exec", container.name, "sh", "-c", "true").returncode != 0
    assert "Read-only file system" in docker.try_run(
        "exec", container.name, "touch", "/file").stderr.decode()


def test_a_service_that_is_not_ready_is_not_healthy(start):
    container = start("--health-interval", "1s", "--health-start-period", "0s", "-e",
                      "SMALLMIND_DRAIN_DELAY=60")
    wait_for("healthy", container.healthy)
    container.daemon.run("kill", "--signal", "TERM", container.name)  # drains, for a minute
    wait_for("unhealthy", lambda: container.state()["Health"]["Status"] == "unhealthy")
    container.daemon.run("kill", "--signal", "TERM", container.name)


def test_stop_lets_streams_end(docker, start):
    container = start("--cpus", "0.1", "--memory", "512m", "--read-only", "--cap-drop", "ALL")
    wait_for("ready", lambda: ready(container))
    streams = []
    for seed in range(8):
        connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=120)
        connection.request("POST", "/generate", json.dumps(
            {"prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True, "stream": True,
             "seed": seed}))
        streams.append((connection, connection.getresponse()))
    for _, answer in streams:
        assert answer.status == 200 and answer.readline()
    docker.run("kill", "--signal", "TERM", container.name)
    for connection, answer in streams:
        rest = answer.read().decode()
        connection.close()
        assert re.search(r'"finish_reason": ?"length"', rest), rest[-500:]
    wait_for("the end", lambda: not container.state()["Running"])
    assert container.state()["ExitCode"] == 0, container.logs()


@contextlib.contextmanager
def load(container):
    """More clients than there are processors, who ask until the end; then each has an answer."""
    ended, statuses = threading.Event(), []

    def client():
        while not ended.is_set():
            statuses.append(ask(container, "/generate", {
                "prompt": "Once upon a time", "max_tokens": 64, "ignore_eos": True})[0])

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in clients:
            thread.join()
    assert set(statuses) == {200}, {status: statuses.count(status) for status in set(statuses)}


def give(container, cores):
    """Another quota while it runs; threads follow."""
    def sees():
        text = ask(container, "/metrics")[1]
        return (metric(text, "smallmind_cpu_limit_cores") == cores
                and metric(text, "smallmind_threads") == max(1, cores))
    container.daemon.run("update", "--cpus", cores, container.name)
    wait_for(f"{cores} processors", sees)


def test_a_halved_quota_is_followed_and_no_request_lost(start):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor has no whole half")
    container = start("--cpus", "2", *LOCKED[2:])
    wait_for("ready", lambda: ready(container))
    with load(container):
        for cores in (2, 1, 0.5, 2):
            give(container, cores)


class Used:
    """What some intervals took of the clock and of processors, and what they made."""

    def __init__(self):
        self.wall = self.cpu = self.tokens = self.n = 0

    def measure(self, container, cpu_seconds):
        """Until so much of processors is used, however long that takes."""
        begin, used = time.monotonic(), container.cpu_seconds()
        made = metric(ask(container, "/metrics")[1], "smallmind_generated_tokens_total")
        wait_for(f"{cpu_seconds} s of processors",
                 lambda: container.cpu_seconds() - used >= cpu_seconds)
        text = ask(container, "/metrics")[1]
        self.tokens += metric(text, "smallmind_generated_tokens_total") - made
        self.cpu += container.cpu_seconds() - used
        self.wall += time.monotonic() - begin
        self.n += 1

    def __str__(self):
        return (f"{self.tokens / self.wall:.0f} tokens/s, {self.cpu / self.wall:.2f} processors, "
                f"{self.tokens / self.cpu:.0f} tokens per second of a processor")


def test_half_the_quota_gives_half_the_rate(start):
    """Half of the processors' time, and in each second of it as many tokens as with all of it: by
    the kernel's account, so that what else runs here makes no difference. The quotas take turns."""
    container = start("--cpus", "1", *LOCKED[2:])
    wait_for("ready", lambda: ready(container))
    used = {1: Used(), 0.5: Used()}
    with load(container):
        for _ in range(4):
            for cores, one in used.items():
                give(container, cores)
                one.measure(container, 1)
    for cores, one in used.items():
        print(f"{cores} of a processor: {one}")
        # The quota of a period may be spent at each end of an interval.
        assert one.cpu <= 1.1 * cores * (one.wall + 0.2 * one.n), str(one)
        assert one.tokens > 0
    ratio = used[0.5].tokens / used[0.5].cpu / (used[1].tokens / used[1].cpu)
    assert 0.4 < ratio < 2.5, ratio


def test_flags_come_after_the_image(docker, start):
    container = start(flags=["--max-queue", "7"])
    wait_for("ready", lambda: ready(container))
    assert metric(ask(container, "/metrics")[1], "smallmind_queue_limit") == 7


def test_it_has_a_place_for_models(docker, start):
    container = start(*LOCKED, "--volume", "/var/cache/smallmind", "--entrypoint",
                      "/usr/bin/touch", flags=["/var/cache/smallmind/model"])
    wait_for("the end", lambda: not container.state()["Running"])
    assert container.state()["ExitCode"] == 0, container.logs()


def test_everything_in_the_image_is_listed(docker, start):
    container = start()
    target = PLACE / "sbom.spdx.json"
    docker.run("cp", f"{container.name}:{SBOM}", target)
    document = json.loads(target.read_text())
    assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
    packages = {p["SPDXID"]: p for p in document["packages"]}
    names = {p["name"] for p in packages.values()}
    assert {"smallmind", "smallmind-tiny", "libuv1", "libmicrohttpd12", "libc6",
            "base-files", "ca-certificates"} <= names
    own = [r["relatedSpdxElement"] for r in document["relationships"]
           if r["relationshipType"] == "DEPENDS_ON"]
    assert {"libuv1", "libc6"} <= {packages[key]["name"] for key in own}
    for relation in document["relationships"]:
        ends = {relation["spdxElementId"], relation["relatedSpdxElement"]}
        assert ends <= set(packages) | {"SPDXRef-DOCUMENT"}
    installed = docker.run("run", "--rm", "--network", "none", "--entrypoint",
                           "/usr/bin/dpkg-query", IMAGE, "-W", "-f",
                           "${Package} ${Version}\n").split("\n")
    listed = {f"{p['name']} {p['versionInfo']}" for p in packages.values()}
    assert set(filter(None, installed)) <= listed
    digest = subprocess.run(["sha256sum"], capture_output=True, check=True, input=subprocess.run(
        ["tar", "-xO"], capture_output=True, check=True, input=docker.try_run(
            "cp", f"{container.name}:/usr/local/bin/smallmind", "-").stdout).stdout).stdout
    program = next(p for p in packages.values() if p["name"] == "smallmind")
    assert digest.decode().split()[0] == program["checksums"][0]["checksumValue"]
