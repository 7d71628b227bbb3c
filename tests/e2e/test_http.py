"""Routes, methods, headers, and HTTP as clients speak it."""
import json
import os
import re
import socket

import pytest

from service import ROOT
from test_generate import STORY

GET_ROUTES = ["/livez", "/readyz", "/health", "/info", "/metrics", "/openapi.yaml"]
POST_ROUTES = {"/generate": {"prompt": STORY, "max_tokens": 2}, "/tokenize": {"text": "x"},
               "/detokenize": {"tokens": [1]}}


@pytest.mark.parametrize("path", GET_ROUTES)
def test_get_routes_answer_and_name_the_request(service, path):
    response = service.get(path)
    assert response.status == 200 and response.version == "HTTP/1.1"
    assert response.header("X-Request-Id") and response.header("Server-Timing") is not None
    assert response.header("Content-Type")


def test_health_info_and_openapi_are_what_they_say(service):
    assert isinstance(service.get("/health").json(), dict)
    info = service.info()
    text = json.dumps(info)
    for word in ("model", "context", "version", "kernels", "threads", "workers", "kv"):
        assert word in text, word
    served = service.get("/openapi.yaml").body
    assert served == (ROOT / "openapi.yaml").read_bytes()


@pytest.mark.parametrize("path", GET_ROUTES)
def test_head_is_get_without_a_body(service, path):
    with service.connect() as connection:
        for _ in range(2):
            connection.send(service.build("HEAD", path))
            assert connection.read_response("HEAD").status == 200
        connection.send(service.build("GET", "/livez"))
        assert connection.read_response().status == 200


DOCUMENTED = re.findall(r"^  (/\S*):$", (ROOT / "openapi.yaml").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTED + ["/nothing", "/debug/profile?seconds=0.1"])
def test_an_answer_to_head_is_a_head_alone(service, path):
    """One byte more, and it is taken for the beginning of the next answer."""
    path = path.replace("{id}", "unknown")
    with service.connect() as connection:
        connection.send(service.build("HEAD", path) + service.build("GET", "/livez"))
        head = connection.read_head()
        if head.header("Connection") == "close":
            assert connection.read_to_end() == b""
        else:
            assert head.header("Content-Length") is not None
            assert connection.read_response().body == b"ok\n"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT",
                                    "post", "FOO"])
@pytest.mark.parametrize("path", POST_ROUTES)
def test_other_methods_of_post_routes_are_405_with_allow(service, method, path):
    response = service.request(method, path)
    assert response.status == 405
    assert "POST" in response.header("Allow").replace(" ", "").split(",")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_of_get_routes_are_405_with_allow(service, method):
    for path in GET_ROUTES:
        response = service.request(method, path, body="{}")
        assert response.status == 405
        assert "GET" in response.header("Allow").replace(" ", "").split(",")


def test_options_says_what_is_allowed(service):
    for path in ("/generate", "/livez"):
        response = service.request("OPTIONS", path)
        assert response.status in (200, 204, 405)
        method = "POST" if path == "/generate" else "GET"
        assert method in response.header("Allow").replace(" ", "").split(",")


@pytest.mark.parametrize("path", ["/nowhere", "/generate/", "/generatex", "/Generate", "//generate",
                                  "/generate%2f", "/%67enerate", "/livez%00", "/../livez", "/v2/x"])
def test_unknown_paths_are_404(service, path):
    response = service.get(path)
    assert response.status == 404
    response.error()


def test_a_query_does_not_change_the_route(service):
    assert service.get("/livez?x=1&y").status == 200
    assert service.post("/generate?x=1", POST_ROUTES["/generate"]).status == 200


def test_errors_are_json_objects_of_one_shape(service):
    for response in (service.get("/nowhere"), service.get("/generate"),
                     service.post("/generate", "{"), service.generate(prompt=5)):
        assert response.header("Content-Type").split(";")[0] == "application/json"
        error = response.error()
        assert isinstance(error["code"], str) and isinstance(error["type"], str)
        assert error["param"] is None or isinstance(error["param"], str)


def test_a_post_without_length_is_411(service):
    request = service.build("POST", "/generate", headers={"Content-Type": "application/json"})
    assert service.send_raw(request).status == 411


def test_an_empty_body_is_400(service):
    assert service.post("/generate", "").status == 400


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity, gzip"])
def test_a_coded_body_is_415(service, coding):
    response = service.post("/generate", POST_ROUTES["/generate"], {"Content-Encoding": coding})
    assert response.status == 415
    response.error()


def test_a_body_over_the_limit_is_413(serve):
    service = serve("--max-body-bytes", 8192)
    fits = {"text": "x" * 8000}
    assert service.post("/tokenize", fits).status == 200
    assert service.post("/tokenize", {"text": "x" * 8200}).status == 413
    with service.connect() as connection:  # chunked: no length is told
        connection.send(service.build("POST", "/tokenize", headers={
            "Transfer-Encoding": "chunked"}) + b"1000\r\n" + b" " * 4096 + b"\r\n")
        connection.send((b"1000\r\n" + b" " * 4096 + b"\r\n") * 3 + b"0\r\n\r\n")
        assert connection.read_response().status == 413


def test_expect_100_continue_asks_first(service):
    body = json.dumps(POST_ROUTES["/generate"]).encode()
    headers = {"Expect": "100-continue", "Content-Length": str(len(body))}
    with service.connect() as connection:
        connection.send(service.build("POST", "/generate", headers=headers))
        assert connection.read_head().status == 100
        connection.send(body)
        assert connection.read_response().status == 200
    with service.connect() as connection:
        headers["Content-Length"] = str(2**40)
        connection.send(service.build("POST", "/generate", headers=headers))
        assert connection.read_response().status == 413


def test_a_chunked_body_is_a_body(service):
    body = json.dumps(POST_ROUTES["/generate"]).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7])
                      for i in range(0, len(body), 7))
    request = service.build("POST", "/generate", headers={"Transfer-Encoding": "chunked"})
    assert service.send_raw(request + chunks + b"0\r\n\r\n").status == 200


def test_keep_alive_serves_many_requests_in_order(service):
    with service.connect() as connection:
        paths = ["/livez", "/info", "/nowhere", "/health"] * 5
        connection.send(b"".join(service.build("GET", path) for path in paths))
        statuses = [connection.read_response().status for _ in paths]
    assert statuses == [200, 200, 404, 200] * 5


def test_a_stream_and_what_is_pipelined_behind_it(service):
    stream = service.build("POST", "/generate", {"prompt": STORY, "max_tokens": 5, "stream": True})
    with service.connect() as connection:
        connection.send(stream + service.build("GET", "/livez") + stream)
        first, second, third = (connection.read_response() for _ in range(3))
    assert first.body.endswith(b"[DONE]\n\n") and second.status == 200
    assert third.body.endswith(b"[DONE]\n\n")


def test_connection_close_is_honoured(service):
    for version, headers in (("1.1", {"Connection": "close"}), ("1.0", {})):
        with service.connect() as connection:
            connection.send(service.build("GET", "/livez", headers=headers, version=version))
            assert connection.read_response().status == 200
            assert connection.is_ended()


def test_http_1_0_without_host_is_served(service):
    assert service.send_raw(b"GET /livez HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize("fields", [{"stream": False}, {"stream": True}])
def test_a_request_split_at_every_byte(service, fields):
    body = dict(POST_ROUTES["/generate"], seed=1, **fields)
    request = service.build("POST", "/generate", body)
    whole = service.send_raw(request)
    for cut in range(1, len(request)):
        with service.connect() as connection:
            connection.send(request[:cut])
            connection.send(request[cut:])
            response = connection.read_response()
            assert response.status == 200, cut
            if fields["stream"]:
                assert response.body.split(b'"usage"')[0] and response.body[-8:] == b"[DONE]\n\n"
            else:
                assert response.json()["text"] == whole.json()["text"]


def test_a_request_one_byte_at_a_time(service):
    request = service.build("POST", "/generate", POST_ROUTES["/generate"])
    with service.connect() as connection:
        for i in range(len(request)):
            connection.send(request[i:i + 1])
        assert connection.read_response().status == 200


def test_ipv6(serve):
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    service = serve(host="::1")
    assert service.get("/livez", {"Host": f"[::1]:{service.address[1]}"}).status == 200
