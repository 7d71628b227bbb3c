"""`pull` through a proxy, as the usual variables name one, and onto a disk that is full."""
import functools
import http.server
import resource
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from pull_server import File, Server
from pull_store import PATH, REF, Store, model, server, store  # noqa: F401 (fixtures)
from service import BINARY, clean_environment

HUB = "hub.test"  # a name that only the proxy can resolve


class Proxy(http.server.BaseHTTPRequestHandler):
    """CONNECT to HUB alone, which is the hub's port here; what was asked is kept."""

    def log_message(self, *args):
        pass

    def do_CONNECT(self):
        self.server.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        if self.path != f"{HUB}:443" or self.server.refuses:
            self.send_error(403)
            return
        with socket.create_connection(("127.0.0.1", self.server.hub)) as hub:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=copy, args=(hub, self.connection))
            back.start()
            copy(self.connection, hub)
            back.join()
        self.close_connection = True

    def do_GET(self):
        self.server.asked.append((self.path, None))
        self.send_error(403)


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(key and certificate, in one file) of HUB, which vouches for itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes a certificate, is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    key, own = folder / "key.pem", folder / "own.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", own,
                    "-days", "2", "-subj", f"/CN={HUB}", "-addext", f"subjectAltName=DNS:{HUB}"],
                   check=True, capture_output=True)
    return key, own


@pytest.fixture
def hub(certificate):
    one = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    one.httpd.socket = context.wrap_socket(one.httpd.socket, server_side=True,
                                           do_handshake_on_connect=False)
    yield one
    one.close()


@pytest.fixture
def proxy(hub):
    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    one.daemon_threads = True
    one.asked, one.hub, one.refuses = [], hub.port, False
    thread = threading.Thread(target=functools.partial(one.serve_forever, poll_interval=0.05))
    thread.start()
    yield one
    one.shutdown()
    one.server_close()
    thread.join()


@pytest.fixture
def beyond(tmp_path, hub, proxy, certificate):
    """A store whose hub can be reached through the proxy alone."""
    one = Store(tmp_path, hub)
    one.env.update(HF_ENDPOINT=f"https://{HUB}", CURL_CA_BUNDLE=str(certificate[1]),
                   HTTPS_PROXY=f"http://user:word@127.0.0.1:{proxy.server_address[1]}")
    return one


def test_a_hub_beyond_a_proxy(beyond, hub, proxy, model):
    hub.put_hub(PATH, File(model, linked=True))
    beyond.got(model, HF_TOKEN="hf_secret")
    assert proxy.asked and {path for path, _ in proxy.asked} == {f"{HUB}:443"}
    assert proxy.asked[0][1] == "Basic dXNlcjp3b3Jk"
    asked = [headers for path, headers in hub.asked if path.endswith(PATH)]
    assert asked[0]["Authorization"] == "Bearer hf_secret"
    assert not any("Proxy-Authorization" in headers for _, headers in hub.asked)


def test_a_proxy_that_refuses_is_said(beyond, proxy):
    proxy.refuses = True
    assert "word" not in beyond.refused(REF, "403")


def test_a_host_that_needs_no_proxy_is_asked_itself(beyond, proxy):
    beyond.refused(REF, HUB, NO_PROXY=HUB)
    assert proxy.asked == []


def test_this_machine_is_never_asked_through_a_proxy(server, store, proxy, model):
    server.put_hub(PATH, File(model))
    url = f"http://127.0.0.1:{proxy.server_address[1]}"
    store.got(model, http_proxy=url, HTTP_PROXY=url, ALL_PROXY=url)
    assert proxy.asked == []


def test_a_certificate_that_none_vouches_for_is_refused(beyond, hub, model):
    hub.put_hub(PATH, File(model))
    beyond.refused(REF, "certificate", CURL_CA_BUNDLE="/etc/ssl/certs/ca-certificates.crt")
    assert hub.asked == []


def test_a_disk_that_fills_is_said_and_the_part_goes_on(server, store, model):
    """A limit on the file's size takes the disk's place: writing fails in the middle."""
    server.put_hub(PATH, File(model))
    half = len(model) // 2

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (half, half))
    done = subprocess.run([BINARY, "pull", REF], env=clean_environment(store.env),
                          preexec_fn=limit, capture_output=True, check=False)
    assert done.returncode == 1 and b"File too large" in done.stderr, done
    assert [file for file in store.files() if file.endswith(".gguf")] == []
    store.got(model)
