"""Connections at their limit, after a pause of the process, and the memory that bodies take."""
import json
import signal

import pytest

import models
from http1 import Closed
from service import poll

PROBES = ("/livez", "/readyz", "/health")


def busy_service(serve, *flags):
    """Every place is taken by a stream that goes on for long."""
    service = serve("--max-connections", 4, "--max-queue", 64, *flags, model=models.slow())
    streams = [service.stream(prompt=[5 + k] * 8, max_tokens=400, ignore_eos=True)
               for k in range(4)]
    for stream in streams:
        assert stream.status == 200
    return service, streams


def reply(service, path):
    response = service.get(path)
    return response.status, response.header("Connection")


def test_probes_are_answered_when_every_place_is_taken(serve):
    service, streams = busy_service(serve)
    for _ in range(5):
        for path in PROBES:
            assert reply(service, path) == (200, "close"), path
    response = service.get("/info")
    assert response.status == 503 and response.error()["code"] == "too_many_connections"
    assert int(response.header("Retry-After")) >= 1
    for stream in streams:
        assert stream.read_tokens(1)
        stream.connection.close()


def test_probes_are_answered_among_silent_connections(serve):
    """Far more than the places and their reserve: the oldest of those without a request give
    way, running streams never."""
    service, streams = busy_service(serve)
    silent = []
    for k in range(300):
        silent.append(service.connect())
        if k % 3 == 1:
            silent[-1].send(b"GET /livez HTTP/1.1\r\nHo")
        if k % 60 == 59:
            for path in PROBES:
                assert service.get(path).status == 200, (k, path)
    assert silent[0].is_ended()
    assert all(stream.read_tokens(1) for stream in streams)
    for connection in [*silent, *(stream.connection for stream in streams)]:
        connection.close()
    poll("served again", lambda: served(service))


def served(service):
    try:
        return service.get("/info").status == 200
    except (Closed, ConnectionError):
        return False


def test_an_idle_connection_gives_way_to_a_new_one(serve):
    service = serve("--max-connections", 3)
    held = []
    for _ in range(3):
        held.append(service.connect())
        held[-1].send(service.build("GET", "/livez"))
        assert held[-1].read_response().status == 200
    held[0].send(service.build("GET", "/livez"))  # now the second is the one idle for longest
    assert held[0].read_response().status == 200
    with service.connect() as newest:
        newest.send(service.build("GET", "/openapi.yaml"))
        assert newest.read_response().status == 200
        assert held[1].is_ended()
        for connection in (held[0], held[2]):
            connection.send(service.build("GET", "/livez"))
            assert connection.read_response().status == 200


def test_the_limit_is_told_once_when_it_is_reached_and_once_when_it_is_left(serve):
    service, streams = busy_service(serve)
    for _ in range(3):
        assert service.get("/livez").status == 200
    poll("the line", lambda: service.log_lines("connections are taken"))
    assert len(service.log_lines("connections are taken")) == 1
    assert not service.log_lines("below their limit")
    for stream in streams:
        stream.connection.close()
    poll("room again", lambda: service.log_lines("below their limit"))
    metrics = service.metrics()
    assert metrics.value("smallmind_connections", state="limit") == 4
    assert metrics.value("smallmind_connections", state="open") >= 1
    assert len(service.log_lines("connections are taken")) == 1
    assert len(service.log_lines("below their limit")) == 1


# --- a pause ---

def pass_time(connection, seconds):
    """Nothing comes from a stopped process."""
    connection.sock.settimeout(seconds)
    with pytest.raises(TimeoutError):
        connection.fill()
    connection.sock.settimeout(30)


def test_a_pause_longer_than_the_time_limits_cuts_nobody(serve):
    service = serve("--request-seconds", 3, "--idle-seconds", 3, "--stall-seconds", 3)
    whole, part, body, idle, fresh = (service.connect() for _ in range(5))
    request = service.build("POST", "/tokenize", {"text": "x"})
    for connection in (whole, idle):
        connection.send(request)
        assert connection.read_response().status == 200
    part.send(request[:20])
    body.send(request[:-3])
    poll("they are seen", lambda: service.metrics().value("smallmind_connections",
                                                          state="open") >= 6)
    service.signal(signal.SIGSTOP)
    whole.send(request)
    part.send(request[20:])
    body.send(request[-3:])
    late = service.connect()
    late.send(request)
    pass_time(late, 8)
    service.signal(signal.SIGCONT)
    for connection in (whole, part, body, late):
        assert connection.read_response().status == 200
    for connection in (idle, fresh):  # they have the rest of their time
        connection.send(request)
        assert connection.read_response().status == 200


def test_a_pause_amid_streams_ends_none(serve):
    service = serve("--stall-seconds", 1, "--request-seconds", 1, "--idle-seconds", 1,
                    model=models.slow())
    stream = service.stream(prompt=[5] * 8, max_tokens=40, ignore_eos=True).read_tokens(1)
    with service.connect() as other:
        other.send(service.build("GET", "/livez"))
        assert other.read_response().status == 200
        service.signal(signal.SIGSTOP)
        pass_time(other, 4)
        service.signal(signal.SIGCONT)
    assert stream.finish()["finish_reason"] == "length"


# --- bodies ---

def open_body(service, n_bytes, n_sent):
    """A body under way, which counts in the budget as it is read."""
    connection = service.connect()
    connection.send(service.build("POST", "/tokenize", headers={"Content-Length": str(n_bytes),
                                                                "Expect": "100-continue"}))
    assert connection.take_line() == b"HTTP/1.1 100 Continue" and connection.take_line() == b""
    connection.send(b'{"text":"' + b"x" * (n_sent - 9))
    return connection


def rejected(service):
    return service.metrics().value("smallmind_requests_rejected_total", reason="body_memory")


def test_bodies_share_one_budget(serve):
    n = 1 << 18
    service = serve("--max-body-memory", 4 * n, "--max-body-bytes", 2 * n)
    held = [open_body(service, n, n - 100) for _ in range(4)]
    body = json.dumps({"text": "x " * (n // 4)})
    poll("all are held", lambda: service.metrics().value("smallmind_body_bytes",
                                                         state="held") == 4 * n)
    response = service.post("/tokenize", body)
    assert response.status == 503 and response.error()["code"] == "body_memory_full"
    assert int(response.header("Retry-After")) >= 1
    assert rejected(service) >= 1
    assert service.post("/tokenize", {"text": "x"}).status in (200, 503)
    chunked = (b"POST /tokenize HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
               + b"%x\r\n" % len(body) + body.encode() + b"\r\n0\r\n\r\n")
    assert service.send_raw(chunked).status == 503
    expecting = service.build("POST", "/tokenize", headers={"Content-Length": str(n),
                                                            "Expect": "100-continue"})
    assert service.send_raw(expecting).status == 503  # before anything of it was sent
    held[0].send(b"x" * 98 + b'"}')
    assert held[0].read_response().status == 200
    held[1].close()
    poll("room again", lambda: service.post("/tokenize", body).status == 200)
    for connection in held[2:]:
        connection.close()
    for _ in range(8):  # nothing of what was refused or decoded is still held
        assert service.post("/tokenize", body).status == 200


def test_a_body_beyond_the_whole_budget_is_413(serve):
    service = serve("--max-body-memory", "64K")
    assert service.post("/tokenize", {"text": "x" * 70000}).status == 413
    assert service.post("/tokenize", {"text": "x " * 20000}).status == 200
    assert service.answer(prompt="x " * 100, max_tokens=2)["tokens"]
