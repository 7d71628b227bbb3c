"""Gateways that share requests out by what replicas have cached, from PyPI, unmodified."""
import http.client
import json
import os
import pathlib
import subprocess

import pytest

from conftest import ROOT
from service import LIMIT, own_port, poll
from test_haproxy import run_all

FOLDER = pathlib.Path(os.environ.get("SMALLMIND_GATEWAYS", ROOT / "build" / "venv-cluster"))
COMMANDS = {"smg": ["smg", "launch"]}


class Gateway:
    def __init__(self, name, folder, ports):
        self.port = own_port()
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        program, *rest = COMMANDS[name]
        command = [str(FOLDER / "bin" / program), *rest, "--host", "127.0.0.1", "--port",
                   str(self.port), "--worker-urls", *urls, "--policy", "cache_aware",
                   "--prometheus-port", str(own_port())]
        self.log_path = folder / "gateway.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        poll("the gateway's workers", lambda: self.n_workers() == len(ports), 3 * LIMIT)

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=4 * LIMIT)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def n_workers(self):
        """Those that it takes for healthy, and whose model it knows."""
        assert self.process.poll() is None, self.log_path.read_text()[-2000:]
        try:
            status, body = self.request("GET", "/workers")
        except (OSError, http.client.HTTPException):
            return 0
        workers = json.loads(body)["workers"] if status == 200 else []
        return sum(bool(w["is_healthy"] and w["model_id"] == "smallmind-tiny") for w in workers)

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=COMMANDS)
def gateway(request, replicas, tmp_path):
    if not (FOLDER / "bin" / COMMANDS[request.param][0]).is_file():
        pytest.skip(f"{request.param} is not installed in {FOLDER} (make test-cluster does it)")
    one = Gateway(request.param, tmp_path, replicas.ports)
    yield one
    one.close()


def completion(i, **fields):
    return dict({"model": "smallmind-tiny", "prompt": f"Once upon a time, number {i % 20}",
                 "seed": i, "max_tokens": 24, "temperature": 0.8}, **fields)


def read_text(answer):
    return json.loads(answer[1])["choices"][0]["text"] if answer[0] == 200 else answer


def test_answers_outlive_a_killed_replica(replicas, gateway):
    many = [completion(i) for i in range(200)]
    texts = [replicas.services[0].post("/v1/completions", body).json()["choices"][0]["text"]
             for body in many]
    results = run_all(lambda body: read_text(gateway.request("POST", "/v1/completions", body)),
                      many, 16, (40, lambda: replicas.kill(0)))
    wrong = [(i, r) for i, (r, text) in enumerate(zip(results, texts)) if r != text]
    assert not wrong, f"{len(wrong)} of {len(many)}: {wrong[:2]}"


def test_streams_come_through_and_what_is_cached_is_found(replicas, gateway):
    def hits():
        return sum(one.metrics().value("smallmind_prefix_cache_hit_tokens_total")
                   for one in replicas.services)

    many = [completion(i, prompt="The sea was calm. " * 12 + str(i)) for i in range(6)]
    texts, before = [], hits()
    for body in many:
        status, data = gateway.request("POST", "/v1/completions", dict(body, stream=True))
        assert status == 200
        events = [block[6:] for block in data.decode("utf-8").split("\n\n") if block]
        assert events[-1] == "[DONE]"
        texts.append("".join(json.loads(e)["choices"][0]["text"] for e in events[:-1]))
    assert hits() > before
    for body, text in zip(many, texts):
        whole = replicas.services[0].post("/v1/completions", body).json()
        assert text == whole["choices"][0]["text"]
