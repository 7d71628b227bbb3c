"""`check`: exit 0 where a service takes work, 1 where it does not."""
import socket

import pytest

import models
from service import poll, run_verb


def said(done):
    return done.returncode, done.stdout.decode().strip(), done.stderr.decode().strip()


def test_one_that_is_ready(serve):
    service = serve()
    port = service.address[1]
    for args, env in (([f"http://127.0.0.1:{port}"], {}), ([f"http://localhost:{port}/"], {}),
                      ([f"127.0.0.1:{port}/livez"], {}), (["--port", port], {}),
                      ([], {"SMALLMIND_PORT": str(port), "SMALLMIND_HOST": "0.0.0.0"}),
                      ([], {"SMALLMIND_PORT": str(port), "http_proxy": "http://127.0.0.1:1"})):
        assert said(run_verb("check", *args, env=env)) == (0, "ok", ""), (args, env)


def test_a_unix_socket(serve, tmp_path):
    path = str(tmp_path / "socket")
    serve(unix=path)
    assert said(run_verb("check", f"unix:{path}")) == (0, "ok", "")
    assert said(run_verb("check", "--unix", path)) == (0, "ok", "")


def test_a_key_is_not_needed(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("secret-key-of-some-length\n")
    service = serve("--api-key-file", keys)
    assert run_verb("check", "--port", service.address[1]).returncode == 0


def test_one_that_drains_is_not_ready(serve):
    service = serve("--workers", 1, model=models.slow())
    with service.busy():
        service.signal()
        poll("draining", lambda: service.get("/readyz").status == 503)
        code, out, error = said(run_verb("check", "--port", service.address[1]))
        assert (code, out) == (1, "") and error.endswith("/readyz: 503 draining")
    assert service.wait() == 0


def test_nothing_is_there(tmp_path):
    with socket.socket() as taken:  # bound, and nothing listens
        taken.bind(("127.0.0.1", 0))
        code, out, error = said(run_verb("check", "--port", taken.getsockname()[1]))
    assert (code, out) == (1, "") and error.startswith("smallmind: http://")
    assert run_verb("check", f"unix:{tmp_path}/none").returncode == 1


@pytest.mark.parametrize("args", [["--port", "0"], ["http://" + "x" * 600], ["a", "b"], [""]])
def test_wrong_usage(args):
    done = run_verb("check", *args)
    assert done.returncode == 2 and done.stderr
