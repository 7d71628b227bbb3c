"""The proxies' recipes in docs/OPERATIONS.md, run as they stand but for ports and folders."""
import re
import shutil
import subprocess

import pytest

import http1
import models
from service import LIMIT, ROOT, own_port, poll

NAME = "llm.example"
LANGUAGES = {"nginx": "nginx", "haproxy": "haproxy", "caddy": "caddyfile"}


def recipe(proxy):
    text = (ROOT / "docs" / "OPERATIONS.md").read_text()
    blocks = re.findall(rf"^```{LANGUAGES[proxy]}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"one recipe for {proxy}"
    return blocks[0]


def replaced(text, old, new):
    assert text.count(old) == 1, f"{old!r} must stand once in the recipe"
    return text.replace(old, new)


def nginx_files(text, port, folder):
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = replaced(text, "listen 80;", f"listen 127.0.0.1:{port};")
    config = (f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\n"
              f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n")
    return config, ["-p", str(folder), "-e", "stderr", "-c"]


def haproxy_files(text, port, _):
    return replaced(text, "bind :80", f"bind 127.0.0.1:{port}"), ["-db", "-f"]


def caddy_files(text, port, folder):
    text = replaced(text, f"{NAME} {{", f"http://{NAME}:{port} {{")
    head = f"{{\nadmin off\nauto_https off\nstorage file_system {folder}\n}}\n"
    return head + text, ["run", "--adapter", "caddyfile", "--config"]


FILES = {"nginx": nginx_files, "haproxy": haproxy_files, "caddy": caddy_files}


class Proxy:
    """One proxy before one service; requests through it carry its public name."""

    def __init__(self, name, service, folder):
        self.port = own_port()
        text = replaced(recipe(name), "127.0.0.1:8080", f"127.0.0.1:{service.address[1]}")
        config, flags = FILES[name](text, self.port, folder)
        path = folder / "config"
        path.write_text(config)
        self.log = folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([shutil.which(name), *flags, path], stdout=log,
                                            stderr=log, cwd=folder,
                                            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"})
        try:
            poll(f"{name} answers", self.is_ready)
        except BaseException:
            self.stop()
            raise

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.request("GET", "/readyz").status == 200
        except (ConnectionError, http1.Closed):
            return False

    def connect(self):
        return http1.Connection(("127.0.0.1", self.port), LIMIT)

    def request(self, method, path, body=None, headers=None):
        with self.connect() as connection:
            connection.send(http1.build_request(method, path, body, headers, host=NAME))
            return connection.read_response(method)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def slow_model():
    return models.slow()


@pytest.fixture(params=LANGUAGES)
def proxied(request, serve, slow_model, tmp_path):
    """(proxy, service)"""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    service = serve("--allow-host", NAME, model=slow_model)
    proxy = Proxy(request.param, service, tmp_path)
    yield proxy, service
    proxy.stop()


def cancelled(service):
    metrics = service.metrics()
    return sum(metrics.value("smallmind_requests_cancelled_total", phase=phase)
               for phase in ("queued", "prefill", "decode"))


LONG = {"prompt": [5] * 8, "max_tokens": 2000, "ignore_eos": True}


def test_requests_pass(proxied):
    proxy, _ = proxied
    answer = proxy.request("POST", "/generate", {"prompt": [5] * 8, "max_tokens": 3})
    assert answer.status == 200 and answer.json()["usage"]["completion_tokens"] >= 1
    assert proxy.request("OPTIONS", "/").status == 204
    assert proxy.request("GET", "/nothing").status == 404
    home = proxy.request("GET", "/info", headers={"Origin": f"http://{NAME}"})
    assert home.status == 200  # a page that the proxy itself serves
    assert proxy.request("GET", "/info", headers={"Origin": "http://evil.test"}).status == 403
    with proxy.connect() as connection:  # many on one connection
        for _ in range(20):
            connection.send(http1.build_request("GET", "/readyz", host=NAME))
            assert connection.read_response().status == 200


def test_events_arrive_as_they_are_made(proxied):
    proxy, service = proxied
    body = dict(LONG, stream=True)
    with http1.Stream(proxy.connect(), http1.build_request("POST", "/generate", body,
                                                           host=NAME)) as stream:
        assert stream.status == 200
        stream.next()
        assert service.metrics().value("smallmind_requests_running") == 1
    poll("its client's leaving is noticed", lambda: cancelled(service) == 1)


def test_a_client_that_leaves_in_silence_is_noticed(proxied):
    """Nothing has been answered yet that could fail to be written."""
    proxy, service = proxied
    with proxy.connect() as connection:
        connection.send(http1.build_request("POST", "/generate", LONG, host=NAME))
        poll("it runs", lambda: service.metrics().value("smallmind_requests_running") == 1)
    poll("its client's leaving is noticed", lambda: cancelled(service) == 1)
    service.wait_until_idle()
