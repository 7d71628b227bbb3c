"""The image, built and run by a real Docker: `make test-docker`, as root.

The base is a folder made by debootstrap (kept in build/docker-test), so that no registry is asked
for images. SMALLMIND_SUITE: the release, such as bookworm.
"""
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest

from daemon import PLACE, ROOT, Container, Daemon, wait_for

SUITE = os.environ.get("SMALLMIND_SUITE", "bookworm")
IMAGE, BASE = "smallmind:test", f"smallmind-base:{SUITE}"
MOST_BYTES = 40_000_000  # above the base
LOCKED = ["--cpus", "0.5", "--memory", "512m", "--read-only", "--cap-drop", "ALL",
          "--security-opt", "no-new-privileges"]
SHELLS = [word for path in ("/usr/bin/sh", "/usr/bin/dash", "/usr/bin/bash")
          for word in ("--volume", f"/dev/null:{path}:ro")]
SBOM = "/usr/share/doc/smallmind/sbom.spdx.json"


@pytest.fixture(scope="module")
def docker():
    assert os.geteuid() == 0, "dockerd and debootstrap need root"
    daemon = Daemon()
    yield daemon
    daemon.stop()


def make_base(docker):
    if docker.try_run("image", "inspect", BASE).returncode == 0:
        return
    folder = PLACE / f"{SUITE}.made"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["debootstrap", "--variant=minbase", SUITE, str(folder)], check=True,
                   capture_output=True, timeout=1200)
    with subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE) as tar:
        docker.run("import", "-", BASE, stdin=tar.stdout)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(docker):
    make_base(docker)
    docker.run("build", "--network", "host", "--build-arg", f"BASE={BASE}", "--build-arg",
               f"BUILD_BASE={BASE}", "--file", ROOT / "docker" / "Dockerfile", "--tag", IMAGE,
               ROOT, timeout=3600)
    return IMAGE


@pytest.fixture
def start(docker, image):
    started = []

    def start(*options, flags=()):
        started.append(Container(docker, image, *options, flags=flags))
        return started[-1]
    yield start
    for container in started:
        container.remove()


def ask(container, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=60)
    try:
        connection.request("POST" if body else "GET", path, body and json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def ready(container):
    assert container.state()["Running"], container.logs()
    return ask(container, "/readyz")[0] == 200


def metric(text, name):
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


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


def test_a_halved_quota_is_followed_and_no_request_lost(docker, start):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor has no whole half")
    container = start("--cpus", "2", *LOCKED[2:])
    wait_for("ready", lambda: ready(container))
    ended, statuses = threading.Event(), []

    def client():
        while not ended.is_set():
            statuses.append(ask(container, "/generate", {
                "prompt": "Once upon a time", "max_tokens": 64, "ignore_eos": True})[0])

    def sees(cores, threads):
        text = ask(container, "/metrics")[1]
        return (metric(text, "smallmind_cpu_limit_cores") == cores
                and metric(text, "smallmind_threads") == threads)

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    try:
        for cores in (2, 1, 0.5, 2):
            docker.run("update", "--cpus", cores, container.name)
            wait_for(f"{cores} processors", lambda n=cores: sees(n, max(1, n)))
    finally:
        ended.set()
        for thread in clients:
            thread.join()
    assert set(statuses) == {200}, {status: statuses.count(status) for status in set(statuses)}


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
