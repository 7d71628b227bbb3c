"""Requests that two readers could understand differently: refused, closed, nothing smuggled."""
import re
import resource

import pytest

import models
from http1 import Closed
from service import poll

INNER = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BODY = b'{"text":"x"}'
POST = b"POST /tokenize HTTP/1.1\r\n"
HOST = b"Host: 127.0.0.1\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def length(n):
    return b"Content-Length: %d\r\n" % n


REFUSED = {  # name: (bytes, the statuses that are right); INNER must never be taken for a request
    "two lengths that differ":
        (POST + HOST + length(0) + length(len(INNER)) + b"\r\n" + INNER, {400}),
    "two lengths that agree":
        (POST + HOST + length(12) + length(12) + b"\r\n" + BODY + INNER, {400}),
    "a list of lengths":
        (POST + HOST + b"Content-Length: 12, 12\r\n\r\n" + BODY + INNER, {400}),
    "a negative length": (POST + HOST + b"Content-Length: -1\r\n\r\n" + INNER, {400}),
    "a signed length": (POST + HOST + b"Content-Length: +12\r\n\r\n" + BODY + INNER, {400}),
    "a hexadecimal length": (POST + HOST + b"Content-Length: 0xc\r\n\r\n" + BODY + INNER, {400}),
    "a length beyond 64 bits":
        (POST + HOST + b"Content-Length: 18446744073709551628\r\n\r\n" + BODY + INNER,
         {400, 413}),
    "an empty length": (POST + HOST + b"Content-Length: \r\n\r\n" + INNER, {400, 411}),
    "length and chunks":
        (POST + HOST + length(5) + CHUNKED + b"\r\n0\r\n\r\n" + INNER, {400}),
    "chunks and length":
        (POST + HOST + CHUNKED + length(5) + b"\r\n0\r\n\r\n" + INNER, {400}),
    "two codings":
        (POST + HOST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n" + INNER, {400}),
    "an unknown coding":
        (POST + HOST + b"Transfer-Encoding: gzip\r\n\r\n" + INNER, {400, 501}),
    "a coding before chunked":
        (POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + INNER, {400, 501}),
    "chunked and something":
        (POST + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + INNER,
         {400, 501}),
    "chunked misspelt":
        (POST + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER, {400, 501}),
    "chunked with a control byte":
        (POST + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + INNER, {400, 501}),
    "chunks in HTTP/1.0":
        (b"POST /tokenize HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n" + INNER, {400}),
    "a space before the colon":
        (POST + HOST + b"Content-Length : 12\r\n\r\n" + BODY + INNER, {400}),
    "a tab before the colon":
        (POST + HOST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + INNER, {400}),
    "a line without a colon": (POST + HOST + b"Nonsense\r\n" + length(0) + b"\r\n" + INNER, {400}),
    "an empty name":  # libmicrohttpd takes it for the end of the headers
        (POST + HOST + b": x\r\n" + length(0) + b"\r\n" + INNER, {400, 411}),
    "a name that is no token":
        (POST + HOST + b"X(y): x\r\n" + length(0) + b"\r\n" + INNER, {400}),
    "a bare CR in a value":
        (POST + HOST + b"X-A: a\rContent-Length: 5\r\n" + length(0) + b"\r\n" + INNER, {400}),
    "a control byte in a value":
        (POST + HOST + b"X-A: a\x01b\r\n" + length(0) + b"\r\n" + INNER, {400}),
    "no Host": (b"GET /livez HTTP/1.1\r\n\r\n" + INNER, {400}),
    "two Hosts": (b"GET /livez HTTP/1.1\r\n" + HOST + HOST + b"\r\n" + INNER, {400}),
    "two Hosts that differ":
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n" + INNER, {400}),
    "HTTP/1.2": (b"GET /livez HTTP/1.2\r\n" + HOST + b"\r\n" + INNER, {505}),
    "HTTP/2.0": (b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n" + INNER, {505}),
    "HTTP/9.9": (b"GET /livez HTTP/9.9\r\n" + HOST + b"\r\n" + INNER, {400, 505}),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER, {400, 505}),
    "a version in small letters": (b"GET /livez http/1.1\r\n" + HOST + b"\r\n" + INNER, {400, 505}),
    "no version": (b"GET /livez\r\n" + HOST + b"\r\n" + INNER, {400, 505}),
    "a space in the path": (b"GET /livez x HTTP/1.1\r\n" + HOST + b"\r\n" + INNER, {400}),
    "a chunk size that is no number":
        (POST + HOST + CHUNKED + b"\r\nzz\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER, {400}),
    "a chunk size beyond 64 bits":
        (POST + HOST + CHUNKED + b"\r\nfffffffffffffffff\r\n" + BODY + INNER, {400, 413}),
    "a negative chunk size":
        (POST + HOST + CHUNKED + b"\r\n-c\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER, {400}),
    "a chunk without its end":
        (POST + HOST + CHUNKED + b"\r\nc\r\n" + BODY + b"0\r\n\r\n" + INNER, {400}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_closed_and_nothing_smuggled(service, name):
    """What libmicrohttpd refuses by itself has its head twice; the connection closes as well."""
    data, statuses = REFUSED[name]
    before = service.metrics().sum("smallmind_requests_total", route="other", code="404")
    with service.connect() as connection:
        connection.send(data)
        received = connection.read_to_end()  # the service closes: what follows cannot be trusted
    told = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
    assert told and set(told) <= statuses and len(told) <= 2, received
    assert len(told) == 1 or b"<html>" in received
    assert service.metrics().sum("smallmind_requests_total", route="other", code="404") == before
    assert service.get("/livez").status == 200


@pytest.mark.parametrize("data", [
    b"", b"\r\n", b"\0", b"\xff" * 100, b"GET", b"GET /", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    b"GET / HTTP/1.1\r\n\0\0\0\0: \0\r\n\r\n", b"A" * 100000, b"GET " + b"/" * 100000,
    b"GET / HTTP/1.1\r\n" + b"X" * 100000, b"POST /generate HTTP/1.1\r\nHost: x\r\n" * 3])
def test_noise_is_answered_or_closed_and_harms_nobody(service, data):
    with service.connect() as connection:
        try:
            connection.send(data)
            connection.half_close()
        except OSError:  # closed by the service before it was all sent
            pass
        received = connection.read_to_end()
    assert received == b"" or received.startswith(b"HTTP/1.")
    assert b" 200 " not in received[:20]
    assert service.get("/livez").status == 200


def test_a_header_block_over_the_limit_is_431(service):
    for n in (17000, 30000):
        response = service.get("/livez", {"X-Long": "x" * n})
        assert response.status == 431, n
    assert service.get("/livez", {"X-Long": "x" * 8000}).status == 200
    many = {f"X-{k}": "y" * 20 for k in range(1000)}
    assert service.get("/livez", many).status == 431


def test_a_path_over_the_limit_is_414_or_431(service):
    for n in (17000, 31000):
        assert service.get("/" + "x" * n).status in (414, 431)


def test_an_absolute_form_is_its_path_or_refused(service):
    request = service.build("GET", f"http://{service.host}/livez")
    assert service.send_raw(request).status in (200, 400)
    foreign = service.build("GET", "http://evil.example/livez")
    assert service.send_raw(foreign).status in (200, 400, 403, 404)


def test_control_bytes_in_an_echoed_header_never_come_back(service):
    with service.connect() as connection:
        connection.send(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: a\x7fb\r\n\r\n")
        head = connection.read_head()
    assert "\x7f" not in str(head.headers)


def test_a_client_that_never_finishes_its_request_is_closed(serve):
    service = serve("--request-seconds", 1, "--idle-seconds", 60)
    for start in (b"", b"GET /li",
                  b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"):
        with service.connect() as connection:
            connection.send(start)
            received = connection.read_to_end()
            assert b" 200 " not in received


def test_one_byte_now_and_then_does_not_keep_a_request_alive(serve):
    service = serve("--request-seconds", 1, "--idle-seconds", 60)
    with service.connect() as connection:
        request = iter(service.build("GET", "/livez", headers={"X-Slow": "x" * 5000}))
        connection.sock.settimeout(0.1)

        def is_closed():
            try:
                connection.send(bytes([next(request)]))
                return connection.is_ended()
            except TimeoutError:
                return False
            except (Closed, ConnectionError):
                return True
        poll("closed", is_closed)


def test_an_idle_connection_is_closed_in_time(serve):
    service = serve("--idle-seconds", 1)
    with service.connect() as connection:
        connection.send(service.build("GET", "/livez"))
        assert connection.read_response().status == 200
        assert connection.is_ended()


def test_streams_outlive_the_limits_on_requests(serve):
    """Time limits on requests are no limits on answers: a waiting stream is alive."""
    service = serve("--workers", 1, "--max-batch", 1, "--request-seconds", 1, "--idle-seconds", 1,
                    model=models.slow())
    first = service.stream(prompt=[5] * 8, max_tokens=400, ignore_eos=True).read_tokens(1)
    waiting = service.stream(prompt=[6] * 8, max_tokens=4, ignore_eos=True)
    assert first.finish()["finish_reason"] == "length"
    assert waiting.finish()["finish_reason"] == "length"


def test_more_connections_than_allowed_wait_or_are_refused_and_nobody_hangs(serve):
    service = serve("--max-connections", 8)
    held = []
    for _ in range(8):
        connection = service.connect()
        connection.send(service.build("GET", "/livez"))
        held.append(connection)
    extra = service.connect()
    extra.send(service.build("GET", "/livez"))
    for connection in held:
        connection.close()
    try:
        assert extra.read_response().status in (200, 503)
    except (Closed, ConnectionResetError):
        pass
    extra.close()
    poll("served again", lambda: is_live(service))


def is_live(service):
    try:
        return service.get("/livez").status == 200
    except (Closed, ConnectionError):
        return False


def test_running_out_of_descriptors_is_survived(serve):
    service = serve()
    limits = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    n = service.count_fds() + 6
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (n, limits[1]))
    held = [service.connect() for _ in range(30)]
    for connection in held:
        connection.send(service.build("GET", "/livez"))
    assert held[0].read_response().status == 200
    for connection in held:
        connection.close()
    poll("served again", lambda: is_live(service))
    for _ in range(3):
        assert service.answer(prompt="Once", max_tokens=2)["tokens"]
