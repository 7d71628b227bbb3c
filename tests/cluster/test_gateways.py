"""Gateways that share requests out by what replicas have cached, from PyPI, unmodified."""
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import subprocess
import threading

import pytest

from asking import Asking, completion, judge, openai, whole_text
from conftest import BATCH, ROOT, Replicas
from load import run_all
from models import slow
from service import FULL, LIMIT, own_port, poll

FOLDER = pathlib.Path(os.environ.get("SMALLMIND_GATEWAYS", ROOT / "build" / "venv-cluster"))
# As modules: two of the packages have a script of the same name.
COMMANDS = {"smg": ["smg", "launch"],
            "sglang-router": ["sglang_router.launch_router"],
            "vllm-router": ["vllm_router.launch_router"]}
# What docs/SCALING.md names, so that a replica that drains for 5 s is left in time.
HEALTH = ["--health-check-interval-secs", "1", "--health-failure-threshold", "2",
          "--health-success-threshold", "1", "--worker-startup-check-interval", "1"]
# A replica with so many more than another gets no more of what begins alike: the batch.
BALANCE = ["--balance-abs-threshold", str(BATCH)]
# They look for tokenizers on the web when they start, and do without.
OFFLINE = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}


class Gateway(Asking):
    def __init__(self, name, folder, ports, policy="cache_aware"):
        module = COMMANDS[name][0].split(".")[0]
        if not list(FOLDER.glob(f"lib/python3*/site-packages/{module}")):
            pytest.skip(f"{name} is not installed in {FOLDER} (make test-cluster does it)")
        super().__init__(own_port())
        self.name, self.model = name, None
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        command = [str(FOLDER / "bin" / "python"), "-m", *COMMANDS[name], "--host", "127.0.0.1",
                   "--port", str(self.port), "--policy", policy, *HEALTH, *BALANCE,
                   "--worker-urls", *urls, "--prometheus-port", str(own_port())]
        self.log_path = folder / f"{name}-{policy}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log,
                                            env={**os.environ, **OFFLINE})
        try:
            poll("the gateway's workers", lambda: self.n_workers() == len(ports), 3 * LIMIT)
            self.model = json.loads(self.request("GET", "/v1/models")[1])["data"][0]["id"]
        except BaseException:
            self.close()
            raise

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=4 * LIMIT)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()

    def workers(self):
        assert self.process.poll() is None, self.log_path.read_text()[-2000:]
        try:
            status, body = self.request("GET", "/workers")
        except (OSError, http.client.HTTPException):
            return []
        return json.loads(body)["workers"] if status == 200 else []

    def n_workers(self):
        """Those that it takes for healthy."""
        return sum(bool(worker["is_healthy"]) for worker in self.workers())

    def close(self):
        self.process.kill()
        self.process.wait()


class Cluster:
    """Replicas and a gateway, which the tests of a module leave as they found them."""

    def __init__(self, name, folder, **kind):
        self.replicas = Replicas(**kind)
        try:
            self.gateway = Gateway(name, folder, self.replicas.ports)
        except BaseException:
            self.replicas.close()
            raise

    def revive(self, i):
        self.replicas.revive(i)
        poll("the gateway sees it again", lambda: self.gateway.n_workers() == 3, 3 * LIMIT)

    def close(self):
        self.gateway.close()
        self.replicas.close()


@pytest.fixture(scope="module", params=COMMANDS)
def cluster(request, tmp_path_factory):
    with contextlib.closing(Cluster(request.param, tmp_path_factory.mktemp("gateway"))) as one:
        yield one


@pytest.fixture(scope="module", params=COMMANDS)
def slow_cluster(request, tmp_path_factory):
    """Of replicas with two places, and answers that last as long as the test wants."""
    folder = tmp_path_factory.mktemp("gateway")
    with contextlib.closing(Cluster(request.param, folder, batch=1, queue=1, model=slow())) as one:
        yield one


def test_the_model_is_known(cluster):
    assert cluster.gateway.model == "smallmind-tiny"
    known = {worker["model_id"] for worker in cluster.gateway.workers()}
    # vLLM's router knows models by names only where it is told of several.
    unnamed = cluster.gateway.name == "vllm-router"
    assert known == {"unknown" if unnamed else "smallmind-tiny"}


def test_chats_come_through(cluster):
    def chat(i, **fields):
        messages = [{"role": "system", "content": "You tell stories."},
                    {"role": "user", "content": f"Story {i}"}]
        return dict({"model": "smallmind-tiny", "messages": messages, "seed": i,
                     "max_tokens": 24}, **fields)

    chats = cluster.gateway.client.chat.completions
    for i in range(4):
        whole = cluster.replicas.services[0].post("/v1/chat/completions", chat(i)).json()
        text = whole["choices"][0]["message"]["content"]
        assert chats.create(**chat(i)).choices[0].message.content == text
        with chats.create(**chat(i, stream=True)) as stream:
            events = [event.choices[0] for event in stream]
        assert "".join(event.delta.content or "" for event in events) == text
        assert events[-1].finish_reason == whole["choices"][0]["finish_reason"]


def test_what_is_cached_is_found_more_often_than_in_turn(cluster, tmp_path):
    """Seven beginnings, six requests with each, one after the other: sent around in turn, every
    replica computes each beginning."""
    def computed(gateway, policy):
        before = cluster.replicas.total("smallmind_prompt_tokens_total", source="computed")
        for i, j in itertools.product(range(6), range(7)):
            prompt = f"{j} {policy} " + f"The sea was calm on day {j}. " * 12 + str(i)
            gateway.complete(completion(i, prompt=prompt, max_tokens=1))
        return cluster.replicas.total("smallmind_prompt_tokens_total", source="computed") - before

    name = cluster.gateway.name
    by_cache = computed(cluster.gateway, "cache_aware")
    other = Gateway(name, tmp_path, cluster.replicas.ports, "round_robin")
    with contextlib.closing(other):
        in_turn = computed(other, "round_robin")
    print(f"\n{name}: prompt tokens computed, in turn {in_turn:.0f}, by cache {by_cache:.0f}")
    assert by_cache < 0.75 * in_turn


def test_a_popular_beginning_fills_no_replica(cluster):
    """Of 100 requests at once that begin alike, one replica would hold 40."""
    many = [completion(i, prompt="The same " * 40 + str(i), max_tokens=16) for i in range(100)]
    texts = [whole_text(cluster.replicas.services[0], body) for body in many]
    judge(run_all(cluster.gateway.complete, many, 100), texts)
    assert cluster.replicas.total("smallmind_requests_rejected_total", reason="queue_full") == 0


def test_answers_outlive_a_killed_replica(cluster):
    """Every second one is a stream."""
    many = [completion(i, stream=i % 2 == 0) for i in range(1000 if FULL else 200)]
    texts = [whole_text(cluster.replicas.services[0], body) for body in many]
    try:
        judge(run_all(cluster.gateway.complete, many, 16,
                      (40, lambda: cluster.replicas.kill(0))), texts)
    finally:
        cluster.revive(0)


def test_a_drained_replica_loses_nothing(cluster):
    """Clients ask from before its SIGTERM until its successor is known to be healthy."""
    few = [completion(i, max_tokens=8, stream=i % 4 == 0) for i in range(100)]
    texts = [whole_text(cluster.replicas.services[0], body) for body in few]
    done, begun, wrong, numbers = threading.Event(), threading.Event(), [], itertools.count()

    def client():
        while not done.is_set():
            i = next(numbers)
            if i > 32:
                begun.set()
            try:
                text = cluster.gateway.complete(few[i % len(few)])
            except Exception as error:  # a request that is lost
                text = error
            if text != texts[i % len(few)]:
                wrong.append((i, text))

    threads = [threading.Thread(target=client) for _ in range(16)]
    for thread in threads:
        thread.start()
    try:
        assert begun.wait(4 * LIMIT)
        for i in range(3) if FULL else (1,):
            cluster.replicas.terminate(i)
            cluster.revive(i)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong, f"{len(wrong)} of {next(numbers)}: {wrong[:3]}"


def test_a_full_replica_is_passed_by_or_said_to_be_full(slow_cluster):
    """What others keep full is refused there. SGLang's gateways try again, where their choice may
    be the same; what a client sees of it is a 429, and no other error."""
    full, gateway = slow_cluster.replicas.services[0], slow_cluster.gateway
    endless = {"prompt": [5] * 8, "max_tokens": 1900, "ignore_eos": True}

    def refused():
        return full.metrics().value("smallmind_requests_rejected_total", reason="queue_full")

    def ask(i):
        body = completion(i, model=gateway.model, prompt=f"{i} {'animal ' * (i % 40)}",
                          max_tokens=2)
        try:
            return gateway.client.completions.create(**body).choices[0].finish_reason is not None
        except openai.RateLimitError as error:
            return "the queue is full" in str(error)

    with full.stream(**endless) as running:
        running.read_tokens(1)
        with full.stream(**endless):
            poll("one waits", lambda: full.metrics().value("smallmind_requests_queued") == 1)
            for i in range(0, 300, 30):
                assert run_all(ask, range(i, i + 30), 3) == [True] * 30
                if refused() > 0:
                    break
            assert refused() > 0, "nothing was sent to the full replica: the test shows nothing"
    poll("it is empty", lambda: full.metrics().value("smallmind_requests_running") == 0)


def test_a_stream_comes_as_it_is_made_and_ends_with_its_client(slow_cluster):
    def cancelled():
        return slow_cluster.replicas.total("smallmind_requests_cancelled_total", phase="decode")

    body = completion(1, model=slow_cluster.gateway.model, max_tokens=1900, stream=True,
                      extra_body={"ignore_eos": True})
    before = cancelled()
    with slow_cluster.gateway.client.completions.create(**body) as stream:
        assert next(stream).choices[0].finish_reason is None
        assert slow_cluster.replicas.total("smallmind_requests_running") == 1
    poll("it is cancelled", lambda: cancelled() == before + 1)
