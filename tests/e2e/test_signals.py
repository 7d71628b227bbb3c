"""Signals: reload, drain with a delay, drain when the terminal closes, and what is ignored."""
import os
import pty
import signal

import pytest

import models
from service import BINARY, clean_environment, poll

IGNORED = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF,
           signal.SIGIO, signal.SIGPWR, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGRTMIN,
           signal.SIGRTMAX]


def test_strays_are_ignored(serve):
    service = serve()
    for number in IGNORED:
        service.signal(number)
    assert service.get("/livez").status == 200
    assert service.answer(prompt="Once", max_tokens=2)["text"]


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGXCPU])
def test_others_drain_as_sigterm_does(serve, number):
    service = serve("--workers", 1, model=models.slow())
    stream = service.stream(prompt=[6] * 8, max_tokens=100, ignore_eos=True).read_tokens(1)
    with service.busy():
        service.signal(number)
        poll("draining", lambda: service.get("/readyz").status == 503)
    assert stream.finish()["finish_reason"] == "length"
    assert service.wait() == 0
    assert service.logged(number.name)


def test_signals_that_the_parent_blocked_are_let_through(serve):
    every = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT}
    service = serve(preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, every))
    service.signal()
    assert service.wait() == 0


# --- SIGHUP ---

def with_key(service, key):
    return service.get("/info", headers={"X-Api-Key": key}).status


def test_sighup_reads_the_keys_again(serve, tmp_path):
    path = tmp_path / "keys"
    path.write_text("alpha\n")
    service = serve("--api-key-file", path)
    assert (with_key(service, "alpha"), with_key(service, "beta")) == (200, 401)
    path.write_text("beta\ngamma\n")
    service.signal(signal.SIGHUP)
    poll("the new keys", lambda: with_key(service, "beta") == 200)
    assert (with_key(service, "alpha"), with_key(service, "gamma")) == (401, 200)
    assert service.logged("2 API keys read from")


@pytest.mark.parametrize("text", ["", "# none\n", "a key with blanks\n", None])
def test_a_bad_key_file_leaves_the_keys_in_use(serve, tmp_path, text):
    path = tmp_path / "keys"
    path.write_text("alpha\n")
    service = serve("--api-key-file", path)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    service.signal(signal.SIGHUP)
    line = poll("the error", lambda: service.log_lines("SIGHUP"))[0]
    assert " error " in line and str(path) in line and "1 API keys in use stay" in line
    assert (with_key(service, "alpha"), with_key(service, "")) == (200, 401)


def test_keys_that_came_through_a_pipe_are_not_waited_for(serve, tmp_path):
    path = tmp_path / "keys"
    os.mkfifo(path)
    writer = os.fork()
    if writer == 0:
        path.write_text("alpha\n")
        os._exit(0)
    service = serve("--api-key-file", path)
    os.waitpid(writer, 0)
    service.signal(signal.SIGHUP)
    poll("the error", lambda: service.log_lines("cannot be read again"))
    assert with_key(service, "alpha") == 200


def test_a_stream_goes_on_over_a_reload(serve, tmp_path):
    path = tmp_path / "keys"
    path.write_text("alpha\n")
    service = serve("--api-key-file", path, "--workers", 1, model=models.slow())
    stream = service.stream(prompt=[5] * 8, max_tokens=60, ignore_eos=True,
                            headers={"X-Api-Key": "alpha"}).read_tokens(1)
    path.write_text("beta\n")
    service.signal(signal.SIGHUP)
    poll("the new keys", lambda: with_key(service, "beta") == 200)
    assert stream.finish()["finish_reason"] == "length"


def test_sighup_opens_the_log_file_anew(serve, tmp_path):
    path, moved = tmp_path / "log", tmp_path / "log.1"
    service = serve("--log-file", path)
    assert service.get("/nothing").status == 404
    poll("the line", lambda: "route=other" in path.read_text())
    path.rename(moved)
    service.signal(signal.SIGHUP)
    poll("the new file", path.exists)
    poll("it says so", lambda: "opened anew" in path.read_text())
    before = moved.read_text()
    assert service.get("/nothing").status == 404
    poll("the line", lambda: "route=other" in path.read_text())
    assert moved.read_text() == before and before.count("route=other") == 1


def test_a_log_file_that_cannot_be_opened_anew_stays(serve, tmp_path):
    path, moved = tmp_path / "log", tmp_path / "log.1"
    service = serve("--log-file", path)
    path.rename(moved)
    path.mkdir()
    service.signal(signal.SIGHUP)
    poll("it says so", lambda: "the open file stays in use" in moved.read_text())
    assert service.get("/livez").status == 200


def test_sighup_with_nothing_to_reload_says_so(serve):
    service = serve()
    service.signal(signal.SIGHUP)
    poll("it says so", lambda: service.log_lines("nothing to reload"))
    assert service.get("/livez").status == 200


def in_terminal(tmp_path, command):
    """The log's path of a service in a terminal of its own, its pid, and the terminal."""
    log, port = tmp_path / "log", tmp_path / "port"
    serve = f'"{BINARY}" serve --port 0 --port-file "{port}" --log-file "{log}"'
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve("/bin/sh", ["sh", "-c", command.format(serve=serve)], clean_environment())
    poll("ready", lambda: log.exists() and "ready after" in log.read_text())
    return pid, terminal, log


def is_gone(pid):
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


@pytest.mark.parametrize("command", ["exec {serve}", "{serve} & wait", "{serve}; true"])
def test_a_terminal_that_closes_drains(tmp_path, command):
    pid, terminal, log = in_terminal(tmp_path, command)
    os.close(terminal)
    poll("drained", lambda: log.read_text().endswith("stopped\n"))
    assert "the terminal was closed" in log.read_text()
    poll("gone", lambda: is_gone(pid))
    assert not (tmp_path / "port").exists()


def test_in_a_terminal_that_stays_sighup_reloads(tmp_path):
    pid, terminal, log = in_terminal(tmp_path, "exec {serve}")
    os.kill(pid, signal.SIGHUP)
    poll("it says so", lambda: "opened anew" in log.read_text())
    os.kill(pid, signal.SIGTERM)
    poll("gone", lambda: is_gone(pid))
    os.close(terminal)


def test_nohup_outlives_its_terminal(tmp_path):
    pid, terminal, log = in_terminal(tmp_path, "trap '' HUP; exec {serve}")
    os.close(terminal)
    os.kill(pid, signal.SIGHUP)
    poll("it says so", lambda: "opened anew" in log.read_text())
    os.kill(pid, signal.SIGTERM)
    poll("gone", lambda: is_gone(pid))
    assert "the terminal was closed" not in log.read_text()


# --- --drain-delay ---

def test_in_the_delay_it_is_not_ready_and_works(serve):
    service = serve("--drain-delay", 86400)
    service.signal()
    ready = poll("not ready", lambda: (r := service.get("/readyz")).status == 503 and r)
    assert int(ready.header("Retry-After")) >= 1
    assert service.get("/health").status == 503 and service.get("/livez").status == 200
    assert service.get("/health").json()["status"] == "draining"
    with service.connect() as connection:  # clients that keep theirs are to come elsewhere
        body = {"prompt": "Once", "max_tokens": 3}
        connection.send(service.build("POST", "/generate", body))
        answer = connection.read_response()
        assert answer.status == 200 and answer.json()["text"]
        assert answer.header("Connection") == "close"
        assert connection.is_ended()
    with service.stream(prompt="Once", max_tokens=3) as stream:
        assert stream.finish()["finish_reason"] in ("length", "stop")
    assert service.is_running()
    service.signal()
    assert service.wait() == 1


def test_after_the_delay_it_drains(serve):
    service = serve("--drain-delay", 1, "--workers", 1, model=models.slow())
    service.signal()
    poll("not ready", lambda: service.get("/readyz").status == 503)
    stream = service.stream(prompt=[5] * 8, max_tokens=1900, ignore_eos=True).read_tokens(1)
    poll("draining", lambda: service.generate(prompt="x", max_tokens=1).status == 503)
    stream.read_tokens(1)
    stream.connection.reset()
    assert service.wait() == 0


def test_an_idle_service_waits_for_the_delay(serve):
    service = serve("--drain-delay", 1)
    service.signal()
    poll("not ready", lambda: service.get("/readyz").status == 503)
    assert service.wait() == 0
    assert service.logged("new work is taken for 1 s") and service.logged("finishing what")


def test_a_second_signal_in_the_delay_ends_it_at_once_but_not_a_sighup(serve):
    service = serve("--drain-delay", 86400, "--drain-seconds", 86400)
    service.signal(signal.SIGINT)
    poll("not ready", lambda: service.get("/readyz").status == 503)
    service.signal(signal.SIGHUP)
    poll("a reload", lambda: service.log_lines("nothing to reload"))
    assert service.get("/livez").status == 200
    service.signal(signal.SIGQUIT)
    assert service.wait() == 1
