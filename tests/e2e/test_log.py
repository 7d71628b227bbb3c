"""The log: it makes no one wait, says what it lost, and keeps its form to the last line."""
import fcntl
import json
import os
import pty
import re
import signal
import socket
import subprocess
import termios

import pytest

from service import BINARY, LIMIT, clean_environment, poll, run_verb

DROPPED = "smallmind_log_lines_dropped_total"
NOTICE = re.compile(r"(\d+) log lines? (?:was|were) dropped")


class Sink:
    """A place for the log whose reader does not read until it is told to."""

    def __init__(self, kind, folder):
        self.flags, self.stderr = [], None
        if kind in ("pipe", "shared pipe"):
            self.reader, self.stderr = os.pipe()
            fcntl.fcntl(self.stderr, fcntl.F_SETPIPE_SZ, 4096)
            os.set_blocking(self.stderr, kind == "pipe")  # others may have set their flag on it
        elif kind == "socket":
            ours, theirs = socket.socketpair()
            self.reader, self.stderr = ours.detach(), theirs.detach()
        elif kind in ("terminal", "stopped terminal"):
            self.reader, self.stderr = pty.openpty()
            if kind == "stopped terminal":
                termios.tcflow(self.stderr, termios.TCOOFF)
        elif kind == "fifo":
            path = folder / "log"
            os.mkfifo(path)
            self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            self.flags = ["--log-file", path]
        self.kind = kind

    def read_until(self, pattern):
        """Reads on as a reader would that has come back."""
        os.set_blocking(self.reader, False)
        if self.kind == "stopped terminal":
            termios.tcflow(self.stderr, termios.TCOON)
        text = b""

        def found():
            nonlocal text
            try:
                text += os.read(self.reader, 65536)
            except BlockingIOError:
                pass
            return pattern.search(text.decode("utf-8", "replace"))
        return poll("the log goes on", found)

    def close(self):
        os.close(self.reader)
        if self.stderr is not None:
            os.close(self.stderr)


def flood(service, n=1800):
    """Requests whose lines fill any ring and buffer; each is answered."""
    with service.connect() as connection:
        one = service.build("GET", "/nothing", headers={"X-Request-Id": "x" * 64})
        for _ in range(n // 100):
            connection.send(one * 100)
            for _ in range(100):
                assert connection.read_response().status == 404


KINDS = ["pipe", "shared pipe", "socket", "terminal", "stopped terminal", "fifo"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_that_is_not_read_holds_nothing(serve, tmp_path, kind):
    sink = Sink(kind, tmp_path)
    service = serve(*sink.flags, stderr=sink.stderr)

    def dropped():
        flood(service)
        return service.metrics().value(DROPPED)
    n_dropped = poll("lines are dropped", dropped)
    assert service.answer(prompt="Once", max_tokens=2)["text"]
    if sink.stderr is not None and kind != "shared pipe":
        assert os.get_blocking(sink.stderr)  # its flags belong to others too
    assert int(sink.read_until(NOTICE)[1]) >= n_dropped
    service.signal()
    assert service.wait() == 0
    sink.close()


@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_ends_a_service_whose_log_is_not_read(serve, tmp_path, kind):
    sink = Sink(kind, tmp_path)
    service = serve(*sink.flags, stderr=sink.stderr)
    poll("lines are dropped", lambda: flood(service) or service.metrics().value(DROPPED))
    service.signal()
    assert service.wait() == 0
    sink.close()


def full_disk():
    return os.open("/dev/full", os.O_WRONLY)


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def read_only():
    return os.open("/dev/null", os.O_RDONLY)


@pytest.mark.parametrize("place", [full_disk, closed_pipe, read_only])
def test_a_log_that_cannot_be_written_is_counted(serve, place):
    fd = place()
    service = serve(stderr=fd)
    os.close(fd)
    flood(service, 100)
    poll("lines are counted", lambda: service.metrics().value(DROPPED) >= 100)
    service.signal()
    assert service.wait() == 0


def test_a_file_that_may_not_grow_goes_on_when_it_is_exchanged(serve, tmp_path):
    path = tmp_path / "log"

    def limit():
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    service = serve("--log-file", path, preexec_fn=limit)
    poll("lines are dropped", lambda: flood(service, 100) or service.metrics().value(DROPPED))
    assert path.stat().st_size == 4096
    service.signal()
    assert service.wait() == 0


def test_a_log_that_is_read_loses_nothing(serve, tmp_path):
    path = tmp_path / "log"
    service = serve("--log-file", path)
    flood(service, 400)
    service.signal()
    assert service.wait() == 0
    text = path.read_text()
    assert text.count("route=other") == 400 and text.endswith("stopped\n")
    assert "listening on" in text and not NOTICE.search(text)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_log_file_that_cannot_be_opened_is_said_and_ends_it(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "log"):
        done = run_verb("serve", "--port", 0, "--log-file", path)
        assert done.returncode == 1 and str(path).encode() in done.stderr, done


# --- its form ---

def lines_of(done):
    return [json.loads(line) for line in done.stderr.decode().splitlines()]


@pytest.mark.parametrize("args, env, code", [
    (["serve", "--log-format", "json", "--model", "/nonexistent.gguf"], {}, 1),
    (["--log-format=json", "--host", "not an address"], {}, 1),
    (["serve", "--log-format", "json", "--api-key-file", "/nonexistent"], {}, 1),
    (["serve", "--max-queue", "none"], {"SMALLMIND_LOG_FORMAT": "json"}, 2),
    (["--no-such-option", "--log-format", "json"], {}, 2),
    (["serve", "surplus", "--log-format=json"], {}, 2),
    (["serve", "--log-format", "json", "--threads", "1", "--workers", "2"], {}, 2),
])
def test_json_to_the_last_line(args, env, code):
    done = run_verb(*args, env={"SMALLMIND_PORT": "0", **env})
    assert done.returncode == code, done
    last = lines_of(done)[-1]
    assert last["level"] == "error" and last["message"] and last["time"]


def test_the_form_in_a_file_counts_too(tmp_path):
    config = tmp_path / "a.ini"
    config.write_text("[log]\nlog_format = json\n[x]\nno_such = 1\n")
    done = run_verb("serve", "--config", config)
    assert done.returncode == 2 and "no_such" in lines_of(done)[-1]["message"]


def test_other_verbs_say_it_in_words():
    done = run_verb("inspect", "/nonexistent.gguf", env={"SMALLMIND_LOG_FORMAT": "json"})
    assert done.returncode == 1 and done.stderr.startswith(b"smallmind: ")
    done = run_verb("inspect", env={"SMALLMIND_LOG_FORMAT": "json"})
    assert done.returncode == 2 and done.stderr.startswith(b"smallmind: ")


# --- descriptors ---

@pytest.mark.parametrize("closed", range(8))
def test_closed_standard_descriptors_are_no_matter(closed, tmp_path):
    port_file = tmp_path / "port"
    close = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in range(3) if closed >> fd & 1)
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {close}', "sh", str(BINARY), "serve", "--port", "0",
         "--port-file", str(port_file)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=clean_environment())
    try:
        poll("the port", lambda: port_file.exists() and port_file.read_text())
        for fd in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{fd}") == "/dev/null"
        with socket.create_connection(("127.0.0.1", int(port_file.read_text())), LIMIT) as client:
            client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            assert b" 200 " in client.recv(4096)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.wait()


def test_a_verb_whose_output_is_closed_says_so():
    done = subprocess.run(["sh", "-c", f'exec "{BINARY}" version >&-'], capture_output=True,
                          env=clean_environment(), timeout=LIMIT)
    assert done.returncode == 1 and b"standard output" in done.stderr
    done = subprocess.run(["sh", "-c", f'exec "{BINARY}" tokenize <&-'], capture_output=True,
                          env=clean_environment(), timeout=LIMIT)
    assert done.returncode == 1 and done.stderr
