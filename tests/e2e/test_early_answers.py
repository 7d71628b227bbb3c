"""Answers to clients that are still sending: they are read whole, and no send fails."""
import shutil
import subprocess

import pytest

BIG = 20 << 20  # bytes: beyond what is read and dropped before an answer
HEADS = {
    "too_large": ("POST /tokenize", {"Content-Length": BIG}, 413),
    "no_such_path": ("POST /nowhere", {"Content-Length": BIG}, 404),
    "wrong_method": ("PUT /tokenize", {"Content-Length": BIG}, 405),
    "body_of_a_get": ("GET /livez", {"Content-Length": BIG}, 413),
    "encoded": ("POST /tokenize", {"Content-Length": BIG, "Content-Encoding": "gzip"}, 415),
    "foreign": ("POST /tokenize", {"Content-Length": BIG, "Origin": "http://evil.test"}, 403),
    "two_framings": ("POST /tokenize", {"Content-Length": BIG, "Transfer-Encoding": "chunked"},
                     400),
    "expectation": ("POST /tokenize", {"Content-Length": BIG, "Expect": "a miracle"}, 417),
    "not_waiting": ("POST /tokenize", {"Content-Length": BIG, "Expect": "100-continue"}, 413),
    "bad_header": ("POST /tokenize", {"Content-Length": BIG, "Bad ": "x"}, 400),
    "long_header": ("POST /tokenize", {"Content-Length": BIG, "Long": "x" * (1 << 20)}, 431),
    "bad_chunk": ("POST /tokenize", {"Transfer-Encoding": "chunked"}, 400),
}


def head(service, line, headers):
    lines = [f"{line} HTTP/1.1", f"Host: {service.host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def send_whole(service, data):
    """Sends all of it before a byte of the answer is read, as many clients do."""
    with service.connect() as connection:
        connection.send(data)
        response = connection.read_response()
        assert connection.sock.recv(1) == b""
        return response


@pytest.mark.parametrize("name", sorted(HEADS))
def test_a_refusal_reaches_a_client_that_sends_all_before_it_reads(service, name):
    line, headers, status = HEADS[name]
    response = send_whole(service, head(service, line, headers) + b"x" * BIG)
    assert response.status == status
    assert response.header("Connection") == "close" and response.header("Date")


def test_a_chunked_body_beyond_the_limit_is_read_and_dropped(serve):
    service = serve("--allow-origin", "http://page.test")
    start = head(service, "POST /tokenize", {"Transfer-Encoding": "chunked",
                                             "Origin": "http://page.test"})
    response = send_whole(service, start + b"%x\r\n" % BIG + b"x" * BIG)
    assert response.status == 413 and response.error()["code"]
    assert response.header("Access-Control-Allow-Origin") == "http://page.test"
    assert response.header("Vary") == "Origin"


def test_a_full_budget_of_bodies_is_told_to_a_client_in_mid_send(serve):
    service = serve("--max-body-memory", "64M", "--max-body-bytes", "40M")
    held = []
    for _ in range(2):
        connection = service.connect()
        connection.send(head(service, "POST /tokenize", {"Content-Length": 30 << 20,
                                                         "Expect": "100-continue"}))
        assert connection.take_line() == b"HTTP/1.1 100 Continue"
        connection.take_line()
        connection.send(b"x" * (29 << 20))
        held.append(connection)
    with service.connect() as connection:
        connection.send(head(service, "POST /tokenize", {"Transfer-Encoding": "chunked"})
                        + b"%x\r\n" % (60 << 20) + b"x" * (60 << 20))
        response = connection.read_response()
        assert response.status == 503 and int(response.header("Retry-After")) >= 1
    for connection in held:
        connection.close()


def test_what_follows_a_request_that_closes_is_dropped_in_peace(service):
    last = service.build("GET", "/livez", headers={"Connection": "close"})
    with service.connect() as connection:
        connection.send(service.build("GET", "/livez") + last + last * 40000)
        assert [connection.read_response().status for _ in range(2)] == [200, 200]
        assert connection.sock.recv(1) == b""


def test_requests_after_a_refusal_that_was_read_whole_are_served(service):
    refused = service.build("POST", "/nowhere", "x" * (1 << 20))
    with service.connect() as connection:
        connection.send((refused + service.build("GET", "/livez")) * 3)
        assert [connection.read_response().status for _ in range(6)] == [404, 200] * 3


def test_over_a_unix_socket(serve, tmp_path):
    service = serve(unix=str(tmp_path / "socket"))
    line, headers, status = HEADS["too_large"]
    assert send_whole(service, head(service, line, headers) + b"x" * BIG).status == status


def test_clients_that_do_not_leave_give_way_to_new_ones(serve):
    """The answer is followed by our end, and their place is free when another needs it."""
    service = serve("--max-connections", 2)
    last = service.build("GET", "/livez", headers={"Connection": "close"})
    staying = []
    for _ in range(40):
        connection = service.connect()
        connection.send(last)
        assert connection.read_response().status == 200
        assert connection.sock.recv(1) == b""
        staying.append(connection)
    assert service.get("/livez").status == 200
    for connection in staying:
        connection.close()


def test_a_client_that_does_not_leave_holds_up_no_end(serve):
    service = serve()
    connection = service.connect()
    connection.send(service.build("GET", "/livez", headers={"Connection": "close"}))
    assert connection.read_response().status == 200
    service.stop()
    connection.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_curl_shows_the_refusal_of_a_large_file(service, tmp_path, expect):
    (tmp_path / "body").write_bytes(b"x" * BIG)
    done = subprocess.run(["curl", "-sS", "-o", tmp_path / "answer", "-w", "%{http_code}",
                           "-H", expect, "--data-binary", f"@{tmp_path}/body",
                           f"http://{service.host}/tokenize"], capture_output=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"413", b"")
    assert b"--max-body-bytes" in (tmp_path / "answer").read_bytes()
