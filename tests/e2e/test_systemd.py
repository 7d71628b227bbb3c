"""Under systemd: notifications, the watchdog, sockets that outlive the service, the unit files."""
import collections
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

import http1
import models
from service import FULL, LIMIT, ROOT, poll, run_verb
from supervised import Notifications, listening, start

UNIT = ROOT / "deploy" / "systemd" / "smallmind.service"
STATUS = re.compile(r"ok: \d+ running, \d+ queued, \d+\.\d tokens/s")


def ask(address, method="GET", path="/readyz", body=None, timeout=LIMIT):
    with http1.Connection(address, timeout) as connection:
        connection.send(http1.build_request(method, path, body, host="localhost"))
        return connection.read_response(method)


def end(process, expected=0):
    process.send_signal(signal.SIGTERM)
    assert process.wait(2 * LIMIT) == expected


# --- notifications ---

@pytest.mark.parametrize("abstract", [False, True])
def test_ready_reloading_and_stopping_are_told(serve, abstract):
    with Notifications(abstract) as told:
        service = serve("--drain-seconds", 7, env={"NOTIFY_SOCKET": told.name})
        ready = told.until("READY")[-1]
        assert ready["READY"] == "1" and STATUS.fullmatch(ready["STATUS"])
        service.signal(signal.SIGHUP)
        reloading = told.until("RELOADING")[-1]
        assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0
        assert told.next()["READY"] == "1"
        service.signal()
        stopping = told.until("STOPPING")[-1]
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) >= 7_000_000
        assert service.wait() == 0


def test_signs_of_life_come_with_the_status(serve):
    with Notifications() as told:
        service = serve(env={"NOTIFY_SOCKET": told.name, "WATCHDOG_USEC": "100000"})
        told.until("READY")
        service.answer(prompt="Once", max_tokens=8)

        def rate():
            """In the messages up to the next sign of life."""
            statuses = [m["STATUS"] for m in told.until("WATCHDOG") if "STATUS" in m]
            assert all(STATUS.fullmatch(status) for status in statuses)
            return any(not status.endswith(" 0.0 tokens/s") for status in statuses)
        poll("a rate in the status", rate)


def test_a_watchdog_of_another_process_is_not_fed(serve):
    with Notifications() as told:
        service = serve(env={"NOTIFY_SOCKET": told.name, "WATCHDOG_USEC": "1000",
                             "WATCHDOG_PID": "1"})
        told.until("READY")
        service.signal()
        assert not any("WATCHDOG" in message for message in told.until("STOPPING"))
        assert service.wait() == 0


def test_a_supervisor_that_is_not_there_does_not_matter(serve, tmp_path):
    for name in (str(tmp_path / "none"), "relative", "/" + "x" * 200, "@"):
        service = serve(env={"NOTIFY_SOCKET": name})
        assert service.answer(prompt="Once", max_tokens=2)["text"]
        service.signal(signal.SIGHUP)
        service.stop()


# --- sockets of a supervisor's ---

def test_sockets_are_taken_and_left_as_they_are(tmp_path):
    path, port_file = str(tmp_path / "socket"), tmp_path / "port"
    with listening() as tcp, listening(socket.AF_UNIX, path) as local:
        process = start([local, tcp], "--port-file", port_file)
        for address in (tcp.getsockname(), path):
            assert ask(address).status == 200
            assert ask(address, "POST", "/generate", {"prompt": "Once", "max_tokens": 2}).json()
        assert int(port_file.read_text()) == tcp.getsockname()[1]
        end(process)
        assert os.path.exists(path) and not port_file.exists()


def test_a_client_that_comes_while_the_model_is_loaded_is_served():
    with listening() as port:
        clients = [http1.Connection(port.getsockname(), LIMIT) for _ in range(8)]
        for client in clients:
            client.send(http1.build_request("POST", "/generate", {"prompt": "A", "max_tokens": 2}))
        process = start([port])
        assert [client.read_response().status for client in clients] == [200] * 8
        for client in clients:
            client.close()
        end(process)


def test_a_request_on_an_open_connection_is_answered_after_sigterm():
    """The last one there: its answer ends the connection."""
    with listening() as port:
        process = start([port], "--model", models.slow(), "--workers", 1)
        body = {"prompt": [5] * 8, "max_tokens": 100, "ignore_eos": True, "stream": True}

        def begin(n):
            request = http1.build_request("POST", "/generate", {**body, "max_tokens": n},
                                          host="localhost")
            return http1.Stream(http1.Connection(port.getsockname(), LIMIT), request)
        stream = begin(100).read_tokens(1)
        with begin(1900).read_tokens(1), http1.Connection(port.getsockname(), LIMIT) as held:
            held.send(http1.build_request("GET", "/readyz", host="localhost"))
            assert held.read_response().status == 200
            process.send_signal(signal.SIGTERM)

            def ask_again():
                held.send(http1.build_request("GET", "/readyz", host="localhost"))
                return held.read_response()
            last = ask_again()
            while last.status == 200:  # the signal has not come yet
                last = ask_again()
            assert last.status == 503 and last.header("Connection") == "close"
        assert stream.finish()["finish_reason"] == "length"
        assert process.wait(2 * LIMIT) == 0


def test_other_processes_sockets_are_left_alone(serve):
    service = serve(env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert service.get("/readyz").status == 200


def test_what_cannot_be_listened_on_is_refused():
    with socket.socket() as closed, socket.socket(type=socket.SOCK_DGRAM) as datagrams, \
            open(os.devnull, "rb") as file:
        for wrong in (closed, datagrams, file):
            process = start([wrong], log=subprocess.PIPE)
            said = process.communicate(timeout=2 * LIMIT)[1]
            assert process.returncode == 1 and b"LISTEN_FDS: descriptor 3" in said, said


class Restarted:
    """A service on one socket that is started again whenever it has ended, as systemd does."""

    def __init__(self, port):
        self.port = port
        self.process = start([port], "--max-queue", 1000)
        self.codes = []

    def restart(self):
        self.process.send_signal(signal.SIGTERM)
        self.codes.append(self.process.wait(2 * LIMIT))
        self.process = start([self.port], "--max-queue", 1000)


def load(address, n_requests, n_clients, progress):
    """Requests by turns on connections of their own and on one that is kept. Their outcomes."""
    outcomes = collections.Counter()
    left = iter(range(n_requests))
    lock = threading.Lock()

    def one(kept, i):
        body = {"prompt": f"Once {i}", "max_tokens": 4, "seed": i, "ignore_eos": True}
        request = http1.build_request("POST", "/generate", body, host="localhost")
        connection = kept or http1.Connection(address, 4 * LIMIT)
        connection.send(request)
        answer = connection.read_response()
        keep = i % 4 != 0 and answer.header("Connection") != "close"
        if not keep:
            connection.close()
        ok = answer.status == 200 and len(answer.json()["tokens"]) == 4
        return ("whole" if ok else answer.status), connection if keep else None

    def client():
        kept = None
        while True:
            with lock:
                i = next(left, None)
                progress(i)
            if i is None:
                break
            try:
                outcome, kept = one(kept, i)
            except (OSError, http1.Closed) as error:
                outcome, kept = repr(error), None
            with lock:
                outcomes[outcome] += 1
        if kept:
            kept.close()

    threads = [threading.Thread(target=client) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    return threads, outcomes


def test_restarts_under_load_lose_no_request():
    n, n_restarts = (1000, 5) if FULL else (240, 2)
    reached = [threading.Event() for _ in range(n_restarts)]

    def progress(i):
        for k, event in enumerate(reached, 1):
            if i is None or i >= n * k // (n_restarts + 1):
                event.set()

    with listening() as port:
        service = Restarted(port)
        threads, outcomes = load(port.getsockname(), n, 16, progress)
        for event in reached:
            assert event.wait(4 * LIMIT)
            service.restart()
        for thread in threads:
            thread.join(4 * LIMIT)
        end(service.process)
    assert outcomes == {"whole": n} and service.codes == [0] * n_restarts


# --- the unit files ---

@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_the_unit_exposes_little():
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", str(UNIT)],
                          capture_output=True, text=True, timeout=LIMIT)
    level = re.search(r"Overall exposure level for smallmind.service: ([0-9.]+)", done.stdout)
    assert level and float(level[1]) <= 2.0, done.stdout + done.stderr


def test_the_unit_starts_what_the_program_takes(tmp_path):
    command = re.search(r"^ExecStart=/usr/bin/smallmind (.*)$", UNIT.read_text(), re.MULTILINE)
    settings = tmp_path / "smallmind.ini"
    shutil.copy(ROOT / "config" / "smallmind.ini", settings)
    flags = command[1].replace("/etc/smallmind/smallmind.ini", str(settings)).split()
    assert run_verb(*flags, "--print-config").returncode == 0
