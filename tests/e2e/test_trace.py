"""W3C Trace Context: a request with a traceparent joins that trace, and its answer and its line in
the log say as which span; any other request is left alone."""
import json

import pytest

from service import poll

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def logged(shared):
    return shared("--log-format", "json", "--chat-template", "chatml")


def line_of(service, name):
    return json.loads(poll("the line", lambda: service.log_lines(f'"{name}"'))[0])


def place_of(response, line, flags):
    """The request's span, as the answer and the log agree on it."""
    version, trace, span, sent_flags = response.header("traceresponse").split("-")
    assert (version, trace, sent_flags) == ("00", TRACE, flags)
    assert (line["trace_id"], line["span_id"], line["parent_span_id"]) == (trace, span, PARENT)
    assert len(span) == 16 and span not in (PARENT, "0" * 16)
    return span


@pytest.mark.parametrize("name, path, body, status", [
    ("whole", "/generate", {"prompt": "Once", "max_tokens": 2}, 200),
    ("stream", "/generate", {"prompt": "Once", "max_tokens": 2, "stream": True}, 200),
    ("chat", "/v1/chat/completions",
     {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}, 200),
    ("choices", "/v1/completions", {"prompt": "Once", "max_tokens": 2, "n": 3}, 200),
    ("refused", "/generate", {"prompt": 1}, 400),
    ("unknown", "/nothing", {}, 404),
])
def test_a_request_joins_its_clients_trace(logged, name, path, body, status):
    spans = set()
    for flags in ("00", "01"):
        asked = f"trace-{name}-{flags}"
        response = logged.request("POST", path, body, {
            "X-Request-Id": asked, "traceparent": f"00-{TRACE}-{PARENT}-{flags}"})
        assert response.status == status
        spans.add(place_of(response, line_of(logged, asked), flags))
    assert len(spans) == 2


@pytest.mark.parametrize("name, value", [
    ("none", None), ("zeros", f"00-{'0' * 32}-{PARENT}-01"), ("capitals", f"00-{TRACE.upper()}-1"),
    ("ff", f"ff-{TRACE}-{PARENT}-01"), ("long", f"00-{TRACE}-{PARENT}-01-x"), ("empty", "")])
def test_what_names_no_trace_changes_nothing(logged, name, value):
    headers = {"X-Request-Id": f"no-trace-{name}"}
    if value is not None:
        headers["traceparent"] = value
    response = logged.request("POST", "/generate", {"prompt": "Once", "max_tokens": 1}, headers)
    assert response.status == 200 and response.header("traceresponse") is None
    line = line_of(logged, headers["X-Request-Id"])
    assert not {"trace_id", "span_id", "parent_span_id"} & line.keys()


def test_two_parents_are_none(logged):
    parent = f"traceparent: 00-{TRACE}-{PARENT}-01\r\n".encode()
    asked = logged.build("GET", "/info", headers={"X-Request-Id": "two-parents"})
    with logged.connect() as connection:
        connection.send(asked.replace(b"\r\n\r\n", b"\r\n" + parent + parent + b"\r\n", 1))
        response = connection.read_response("GET")
    assert response.status == 200 and response.header("traceresponse") is None
    assert "trace_id" not in line_of(logged, "two-parents")


def test_one_whose_client_leaves_has_its_place_in_the_log(logged):
    with logged.connect() as connection:
        connection.send(logged.build("POST", "/generate", {"prompt": "Once", "max_tokens": 64}, {
            "X-Request-Id": "left", "traceparent": f"00-{TRACE}-{PARENT}-01"}))
    line = line_of(logged, "left")
    assert (line["trace_id"], line["parent_span_id"]) == (TRACE, PARENT)
