"""Ray Serve with deploy/ray/smallmind_serve.py: three replicas, and a fourth when many wait."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading

import pytest

import http1
from asking import Asking, completion, judge, whole_text
from conftest import BATCH, ROOT
from exposition import Metrics
from load import run_all
from models import slow
from service import BINARY, FULL, LIMIT, Service, clean_environment, own_port, poll

FOLDER = pathlib.Path(os.environ.get("SMALLMIND_RAY", ROOT / "build" / "venv-ray"))


# What Ray says when its own processes were too slow for it; its limit cannot be set.
LATE = "The current node timed out during startup"


class Late(Exception):
    pass


class Ray(Asking):
    def __init__(self, folder, model):
        """folder: short, as sockets lie in it."""
        super().__init__(own_port())
        self.folder = pathlib.Path(folder)
        self.log_path = self.folder / "log"
        # Keys and sockets stay in the folder; nothing is reported anywhere; a busy machine is slow.
        environment = clean_environment({
            "HOME": folder, "TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_agent_register_timeout_ms": "120000"})
        command = [FOLDER / "bin" / "python", ROOT / "tests" / "cluster" / "ray_driver.py",
                   str(self.port), folder, f"binary={BINARY}", f"model={model}", "min_replicas=3",
                   "max_replicas=4"]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE,
                                            stdout=log, stderr=log)
        try:
            poll("Ray", self.is_ready, 8 * LIMIT)
        except BaseException:
            self.close()
            raise

    def is_ready(self):
        log = self.log_path.read_text(errors="replace")
        if self.process.poll() is not None:
            raise Late(log[-3000:]) if LATE in log else AssertionError(log[-3000:])
        return "\nready\n" in log

    def services(self):
        """The sockets of those that run, by process."""
        found = {}
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if arguments[0] == str(BINARY).encode() and b"--unix" in arguments:
                    socket = os.fsdecode(arguments[arguments.index(b"--unix") + 1])
                    if socket.startswith(str(self.folder)):
                        found[int(entry.name)] = socket
        return found

    def metrics(self):
        texts = []
        for socket in self.services().values():
            with http1.Connection(socket, LIMIT) as connection:
                connection.send(http1.build_request("GET", "/metrics", host="localhost"))
                texts.append(Metrics(connection.read_response("GET").body.decode("utf-8")))
        return texts

    def total(self, name, **labels):
        return sum(one.value(name, **labels) for one in self.metrics())

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=4 * LIMIT)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(4 * LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def ray():
    if not (FOLDER / "bin" / "ray").is_file():
        pytest.skip(f"Ray is not installed in {FOLDER} (make test-cluster tries)")
    with contextlib.ExitStack() as stack:
        one = start(stack)
        yield one
        one.close()
        poll("no service is left", lambda: not one.services(), 2 * LIMIT)


def start(stack):
    for _ in range(3):
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True))
        with contextlib.suppress(Late):
            return Ray(folder, slow())
    pytest.skip(f"three times Ray said \"{LATE}\": the machine is too busy for it")


@pytest.fixture(scope="module")
def alone():
    one = Service("--threads", 1, model=slow())
    yield one
    one.kill()


def test_answers_come_through_as_they_are(ray, alone):
    body = '{"prompt": "Once", "max_tokens": 4, "seed": 1}'
    status, headers, data = ray.request("POST", "/generate?x=1", body,
                                        {"X-Request-Id": "mine", "Host": "llm.example"})
    assert (status, headers["x-request-id"], headers["x-seed"]) == (200, "mine", "1"), data
    assert json.loads(data)["text"] == alone.answer(prompt="Once", max_tokens=4, seed=1)["text"]
    status, headers, data = ray.request("POST", "/generate", '{"promptt": "Once"}')
    assert status == 400 and b"did you mean 'prompt'?" in data
    assert headers["content-type"] == "application/json"
    assert ray.request("GET", "/nothing")[0] == 404
    assert "POST" in ray.request("GET", "/generate")[1]["allow"]
    models = [model.id for model in ray.client.models.list()]
    assert models == [alone.info()["model"]["name"]]


def test_a_stream_comes_as_it_is_made_and_ends_with_its_client(ray):
    body = completion(1, model="any", max_tokens=1900, stream=True,
                      extra_body={"ignore_eos": True})
    before = ray.total("smallmind_requests_cancelled_total", phase="decode")
    with ray.client.completions.create(**body) as stream:
        assert next(stream).choices[0].finish_reason is None
        assert ray.total("smallmind_requests_running") == 1
    poll("it is cancelled", lambda: ray.total("smallmind_requests_cancelled_total",
                                              phase="decode") == before + 1)


def test_answers_outlive_a_killed_service(ray, alone):
    """Every second one is a stream; the process is started again by its replica."""
    many = [completion(i, model="any", stream=i % 2 == 0) for i in range(1000 if FULL else 200)]
    texts = run_all(lambda body: whole_text(alone, body), many, BATCH)
    before = ray.services()

    def kill():
        os.kill(min(before), signal.SIGKILL)

    judge(run_all(ray.complete, many, 16, (40, kill)), texts)
    poll("it is there again", lambda: len(ray.services()) == len(before))
    assert min(before) not in ray.services()


def test_a_service_is_added_while_many_wait(ray):
    """For as long as forty streams run or wait at three services with eight places each."""
    done = threading.Event()

    def wait_for_more(i):
        while not done.is_set():
            body = completion(i, model="any", max_tokens=1900, stream=True,
                              extra_body={"ignore_eos": True})
            with ray.client.completions.create(**body) as stream:
                for _ in stream:
                    if done.is_set():
                        break

    def see():
        try:
            poll("a fourth", lambda: len(ray.services()) == 4, 6 * LIMIT)
        finally:
            done.set()

    assert run_all(wait_for_more, range(40), 40, (0, see)) == [None] * 40
    poll("all are cancelled", lambda: ray.total("smallmind_requests_running") == 0)
