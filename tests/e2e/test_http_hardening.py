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
    "an empty name": (POST + HOST + b": x\r\n" + length(0) + b"\r\n" + INNER, {400}),
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


GOOD = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
GET = b"GET /livez HTTP/1.1\r\n"
HIDDEN = {  # what libmicrohttpd's parser forgives, and does not show
    "an empty name first": GET + b": x\r\n" + HOST + b"\r\n" + INNER,
    "an empty name last": GET + HOST + b": x\r\n\r\n" + INNER,
    "a colon alone": GET + HOST + b":\r\n" + INNER,
    "an empty name before a length": POST + HOST + b":\r\n" + length(len(INNER)) + b"\r\n" + INNER,
    "a NUL in Host": GET + b"Host: localhost\0.evil\r\n\r\n" + INNER,
    "a NUL before a value": GET + HOST + b"X-A: \0\r\n\r\n" + INNER,
    "a NUL in a name": GET + HOST + b"X\0A: b\r\n\r\n" + INNER,
    "a NUL for a line": GET + HOST + b"\0\r\n\r\n" + INNER,
    "a NUL in the target": b"GET /livez\0.evil HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "a NUL in the query": b"GET /livez?a=\0b HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "a NUL in the method": b"GE\0T /livez HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "a NUL in the version": b"GET /livez HTTP/1.1\0\r\n" + HOST + b"\r\n" + INNER,
    "a tab in the target": b"GET /li\tvez HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "a high byte in the target": b"GET /li\xffvez HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "an empty target": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "two spaces in the request line": b"GET  /livez HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "a space after the version": b"GET /livez HTTP/1.1 \r\n" + HOST + b"\r\n" + INNER,
    "a tab between": b"GET\t/livez HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "a space before the method": b" GET /livez HTTP/1.1\r\n" + HOST + b"\r\n" + INNER,
    "LF after the request line": b"GET /livez HTTP/1.1\n" + HOST + b"\r\n" + INNER,
    "LF after a field": GET + b"Host: 127.0.0.1\n\r\n" + INNER,
    "LF for the empty line": GET + HOST + b"\n" + INNER,
    "LF alone in a value": GET + HOST + b"X-A: a\nX-B: b\r\n\r\n" + INNER,
    "CR alone in a value": GET + HOST + b"X-A: a\rX-B: b\r\n\r\n" + INNER,
    "CR for the empty line": GET + HOST + b"\rX-A: b\r\n\r\n" + INNER,
    "two CRs": GET + b"Host: 127.0.0.1\r\r\n\r\n" + INNER,
    "a folded field": GET + HOST + b"X-A: b\r\n  c\r\n\r\n" + INNER,
    "a field folded with a tab": GET + HOST + b"X-A: b\r\n\tc\r\n\r\n" + INNER,
    "a folded length": POST + HOST + b"Content-Length:\r\n 12\r\n\r\n" + BODY + INNER,
    "a blank line of blanks": GET + HOST + b" \r\n\r\n" + INNER,
    "blanks before the first field": GET + b" Host: 127.0.0.1\r\n\r\n" + INNER,
    "blanks after a length": POST + HOST + b"Content-Length: 12 \r\n\r\n" + BODY + INNER,
    "blanks after a coding":
        POST + HOST + b"Transfer-Encoding: chunked \t\r\n\r\n0\r\n\r\n" + INNER,
    "a tab after a coding":
        POST + HOST + b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n" + INNER,
    "a DEL in a value": GET + HOST + b"X-A: a\x7fb\r\n\r\n" + INNER,
    "a vertical tab in a value": GET + HOST + b"X-A: a\x0bb\r\n\r\n" + INNER,
    "a high byte in a name": GET + HOST + b"X-\xc3\xa4: b\r\n\r\n" + INNER,
    "a no-break space before the colon": GET + HOST + b"X-A\xa0: b\r\n\r\n" + INNER,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) + INNER,
    "SOCKS": b"\x05\x01\x00" + INNER,
    "two empty lines before a request": b"\r\n\r\n" + GOOD + INNER,
    "an LF before a request": b"\n" + GOOD + INNER,
    "an empty name among the trailers":
        POST + HOST + CHUNKED + b"\r\nc\r\n" + BODY + b"\r\n0\r\n: x\r\n\r\n" + INNER,
    "a folded trailer":
        POST + HOST + CHUNKED + b"\r\nc\r\n" + BODY + b"\r\n0\r\nX: y\r\n z\r\n\r\n" + INNER,
    "LF after a chunk's size":
        POST + HOST + CHUNKED + b"\r\nc\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "LF after a chunk": POST + HOST + CHUNKED + b"\r\nc\r\n" + BODY + b"\n0\r\n\r\n" + INNER,
    "a blank before a chunk's size":
        POST + HOST + CHUNKED + b"\r\n c\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "a chunk's size in 0x":
        POST + HOST + CHUNKED + b"\r\n0xc\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "a chunk without a size":
        POST + HOST + CHUNKED + b"\r\n;x\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "a NUL in a chunk's extension":
        POST + HOST + CHUNKED + b"\r\nc;\0\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "an LF in a chunk's extension":
        POST + HOST + CHUNKED + b"\r\nc;\nx\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
}


def statuses(data):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def send_split(connection, data, step):
    """In pieces; what comes after the service has closed does not matter."""
    try:
        for k in range(0, len(data), step):
            connection.send(data[k:k + step])
    except OSError:
        pass


@pytest.mark.parametrize("step", [100000, 7, 1])
@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_lines_that_the_library_hides_are_refused_once(service, ahead, step):
    """Whole, in pieces and byte by byte; alone and pipelined after good requests."""
    for name, data in HIDDEN.items():
        with service.connect() as connection:
            send_split(connection, ahead * GOOD + data, step)
            assert statuses(connection.read_to_end()) == ahead * [200] + [400], name
    assert service.get("/livez").status == 200


def test_any_cut_of_a_bad_request_is_refused_alike(service):
    data = GOOD + HIDDEN["an empty name before a length"]
    for cut in range(1, len(data)):
        with service.connect() as connection:
            send_split(connection, data[:cut], len(data))
            send_split(connection, data[cut:], len(data))
            assert statuses(connection.read_to_end()) == [200, 400], cut


@pytest.mark.parametrize("step", [100000, 1])
def test_what_the_grammar_allows_is_served(service, step):
    chunked = POST + HOST + b"transfer-encoding: Chunked\r\n\r\n"
    for name, data in {
            "one empty line before a request": b"\r\n" + GOOD + b"\r\n" + GOOD,
            "a tab, two blanks and none before a value":
                GET + b"Host:\t127.0.0.1\r\nX:  y \t\r\nZ:z\r\nEmpty:\r\n\r\n" + GOOD,
            "high bytes in a value": GET + HOST + b"X: \xc3\xa4\xff\r\n\r\n" + GOOD,
            "an extension and trailers":
                chunked + b"00C;a=\"b\"\r\n" + BODY + b"\r\n0;x\r\nT: u\r\n\r\n" + GOOD,
            "two bodies": 2 * (POST + HOST + length(12) + b"\r\n" + BODY),
            "a body of lines": POST + HOST + length(14) + b"\r\n" + b" : \r" + BODY[:10] + GOOD,
            "HTTP/1.0 kept alive":
                b"GET /livez HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" + GOOD}.items():
        with service.connect() as connection:
            send_split(connection, data, step)
            connection.sock.settimeout(service.timeout)
            first, second = connection.read_response(), connection.read_response()
            right = 400 if name == "a body of lines" else 200  # no JSON, but a message
            assert (first.status, second.status) == (right, 200), name


def test_nothing_is_answered_after_a_request_that_closes(service):
    for head in (b"Connection: x , CLOSE\r\n", b"Connection: x\r\nConnection: close\r\n"):
        with service.connect() as connection:
            send_split(connection, GET + HOST + head + b"\r\n" + GOOD + b": x\r\n", 100000)
            assert statuses(connection.read_to_end()) == [200]


def test_refusals_of_what_is_no_request_are_counted_and_logged(serve):
    service = serve()
    for data, status in ((HIDDEN["TLS"], 400), (HIDDEN["a colon alone"], 400),
                         (b"GET /livez HTTP/1.9\r\n" + HOST + b"\r\n", 505),
                         (GET + b"X: " + b"y" * 20000 + b"\r\n\r\n", 431),
                         (GET + HOST + 129 * b"X: y\r\n" + b"\r\n", 431),
                         (b"GET /livez?" + 200 * b"a&" + b" HTTP/1.1\r\n", 431)):
        metrics, lines = service.metrics(), len(service.log_lines(f"status={status}"))
        before = metrics.sum("smallmind_requests_total", route="other", code=str(status))
        with service.connect() as connection:
            send_split(connection, data, 100000)
            assert statuses(connection.read_to_end()) == [status]
        metrics = service.metrics()
        assert metrics.sum("smallmind_requests_total", route="other",
                           code=str(status)) == before + 1
        assert len(service.logged(f"status={status}", lines + 1)) == lines + 1


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_closed_and_nothing_smuggled(service, name):
    data, right = REFUSED[name]
    before = service.metrics().sum("smallmind_requests_total", route="other", code="404")
    with service.connect() as connection:
        connection.send(data)
        received = connection.read_to_end()  # the service closes: what follows cannot be trusted
    told = statuses(received)
    assert len(told) == 1 and told[0] in right, received
    assert b"<html>" not in received
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
