"""SIGTERM: refuse what is new, finish what was taken, exit 0."""
import re
import signal
import socket

import models
from service import LIMIT, Service, own_port, poll


def open_streams(service, n, max_tokens):
    streams = [service.stream(prompt=[10 + k] * 8, max_tokens=max_tokens, ignore_eos=True)
               for k in range(n)]
    assert all(stream.status == 200 for stream in streams)
    return streams


def test_20_streams_end_whole_queued_ones_too(serve):
    service = serve("--workers", 1, "--max-batch", 8, model=models.slow())
    streams = open_streams(service, 20, 30)
    streams[0].read_tokens(1)
    service.signal()
    for stream in streams:
        answer = stream.finish()
        assert stream.done and answer["finish_reason"] == "length"
        assert len(answer["tokens"]) == 30
    assert service.wait() == 0


def test_while_draining_new_work_is_503_and_the_socket_goes_on_listening(serve):
    service = serve("--workers", 1, model=models.slow())
    stream = service.stream(prompt=[6] * 8, max_tokens=200, ignore_eos=True).read_tokens(1)
    before = service.metrics().value("smallmind_requests_rejected_total", reason="draining")
    with service.busy():
        service.signal()
        ready = poll("draining", lambda: (r := service.get("/readyz")).status == 503 and r)
        assert ready.header("Connection") == "close"
        assert int(ready.header("Retry-After")) >= 1
        assert service.get("/health").status == 503
        assert service.get("/livez").status == 200
        for fields in ({"stream": True}, {"stream": False}):
            refused = service.generate(prompt=[5] * 8, max_tokens=2, **fields)
            assert refused.status == 503, refused
            assert refused.header("Connection") == "close"
            assert int(refused.header("Retry-After")) >= 1
            refused.error()
        after = service.metrics().value("smallmind_requests_rejected_total", reason="draining")
        assert after == before + 2
    assert stream.finish()["finish_reason"] == "length"
    assert service.wait() == 0


def test_an_idle_service_and_an_idle_connection_do_not_hold_it(serve):
    service = serve()
    with service.connect() as held:
        held.send(service.build("GET", "/livez"))
        assert held.read_response().status == 200
        service.signal()
        assert service.wait() == 0
        assert held.is_ended()


def test_sigint_is_the_same(serve):
    service = serve()
    service.signal(signal.SIGINT)
    assert service.wait() == 0


def test_after_drain_seconds_what_is_left_gets_an_error_event_and_exit_1(serve):
    service = serve("--workers", 1, "--drain-seconds", 1, model=models.slow())
    streams = open_streams(service, 4, 1900)
    whole = service.connect()
    whole.send(service.build("POST", "/generate", dict(prompt=[4] * 8, max_tokens=1900,
                                                       ignore_eos=True)))
    for stream in streams:
        stream.read_tokens(1)
    service.signal()
    for stream in streams:
        last = stream.finish()
        assert set(last["error"]) == {"code", "type", "message", "param"}
        assert not stream.done
    assert whole.read_response().status in (500, 503)
    assert service.wait() == 1


def test_a_second_signal_ends_at_once_with_1(serve):
    service = serve("--workers", 1, model=models.slow())
    stream = service.stream(prompt=[5] * 8, max_tokens=1900, ignore_eos=True).read_tokens(1)
    service.signal()
    poll("draining", lambda: service.get("/readyz").status == 503)
    service.signal()
    assert service.wait() == 1
    assert stream.connection.read_to_end() is not None


def test_a_client_that_leaves_while_draining_does_not_hold_it(serve):
    service = serve("--workers", 1, model=models.slow())
    stream = service.stream(prompt=[5] * 8, max_tokens=1900, ignore_eos=True).read_tokens(1)
    service.signal()
    poll("draining", lambda: service.get("/readyz").status == 503)
    stream.connection.reset()
    assert service.wait() == 0


def test_the_port_can_be_taken_again_at_once(serve):
    port = own_port()
    service = serve("--port", port)
    for _ in range(3):
        with service.stream(prompt="Once", max_tokens=3) as stream:
            stream.finish()
    service.signal()
    assert service.wait() == 0
    again = serve("--port", port)
    assert again.address[1] == port and again.get("/livez").status == 200


def test_drain_seconds_0_does_not_wait(serve):
    service = serve("--workers", 1, "--drain-seconds", 0, model=models.slow())
    stream = service.stream(prompt=[5] * 8, max_tokens=1900, ignore_eos=True).read_tokens(1)
    service.signal()
    assert "error" in stream.finish()
    assert service.wait() == 1


def test_a_slow_sender_does_not_hold_the_drain(serve):
    """Half a request is no work that was taken."""
    service = serve("--drain-seconds", 20)
    with service.connect() as connection:
        connection.send(b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Le")
        service.get("/livez")
        service.signal()
        assert service.wait() == 0
