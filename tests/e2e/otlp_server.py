"""An endpoint for traces on loopback that takes OTLP over HTTP as JSON, keeps what it was sent, and
behaves as badly as a test tells it to.

Each body is held against the protocol: names, types and lengths here, and all of it strictly by
the official messages of opentelemetry-proto where that package is installed.
"""
import base64
import http.server
import json
import re
import threading

from service import poll

try:
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
except ImportError:
    trace_service_pb2 = None

VALUES = {"stringValue": str, "intValue": str, "doubleValue": (int, float), "boolValue": bool,
          "arrayValue": dict}
SPAN = {"traceId", "spanId", "parentSpanId", "flags", "name", "kind", "startTimeUnixNano",
        "endTimeUnixNano", "attributes", "status"}


def value_of(value):
    (kind, inner), = value.items()
    assert isinstance(inner, VALUES[kind]), value
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        assert set(inner) == {"values"}, value
        return [value_of(item) for item in inner["values"]]
    return inner


def attributes_of(holder):
    found = {}
    for attribute in holder.get("attributes", []):
        assert set(attribute) == {"key", "value"} and attribute["key"] not in found, attribute
        found[attribute["key"]] = value_of(attribute["value"])
    return found


class Span:
    def __init__(self, data, resource):
        assert set(data) <= SPAN, data
        self.trace, self.id = data["traceId"], data["spanId"]
        self.parent = data.get("parentSpanId", "")
        assert re.fullmatch("[0-9a-f]{32}", self.trace) and re.fullmatch("[0-9a-f]{16}", self.id)
        assert re.fullmatch("[0-9a-f]{16}|", self.parent)
        self.name, self.kind, self.flags = data["name"], data["kind"], data["flags"]
        assert isinstance(data["startTimeUnixNano"], str)
        self.begin, self.end = int(data["startTimeUnixNano"]), int(data["endTimeUnixNano"])
        assert 0 < self.begin <= self.end, data
        self.attributes, self.status = attributes_of(data), data.get("status", {})
        self.resource = resource

    def __repr__(self):
        return f"<{self.name} {self.id} in {self.parent} {self.attributes}>"

    def __getitem__(self, name):
        return self.attributes[name]


class Tree:
    """The spans that a request left in a trace: one of them has the others below it."""

    def __init__(self, spans):
        ids = {span.id for span in spans}
        assert len(ids) == len(spans), spans
        self.root, = (span for span in spans if span.parent not in ids)
        self.spans = spans
        reached, more = set(), [self.root]
        while more:
            span = more.pop()
            reached.add(span.id)
            more += self.below(span)
        assert reached == ids, spans

    def below(self, span):
        return sorted((each for each in self.spans if each.parent == span.id),
                      key=lambda each: each.begin)

    def names(self, span=None):
        return [each.name for each in self.below(span or self.root)]


def spans_in(body):
    """Of one request's body, which is all checked."""
    assert set(body) == {"resourceSpans"}
    found = []
    for of_resource in body["resourceSpans"]:
        assert set(of_resource) == {"resource", "scopeSpans"}
        resource = attributes_of(of_resource["resource"])
        for of_scope in of_resource["scopeSpans"]:
            assert set(of_scope["scope"]) == {"name", "version"}
            found += [Span(span, resource) for span in of_scope["spans"]]
    return found


def check_by_protobuf(body):
    """OTLP's JSON is protobuf's but for IDs, which are hexadecimal and not base64."""
    body = json.loads(json.dumps(body))
    for of_resource in body["resourceSpans"]:
        for of_scope in of_resource["scopeSpans"]:
            for span in of_scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    message = json_format.ParseDict(body, trace_service_pb2.ExportTraceServiceRequest())
    for of_resource in message.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                assert (len(span.trace_id), len(span.span_id)) == (16, 8)
                assert span.end_time_unix_nano >= span.start_time_unix_nano > 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with owner.lock:
            owner.asked.append((self.path, dict(self.headers), body))
            behave = owner.script.pop(0) if owner.script else take
        try:
            behave(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def say(self, status, body=b"{}", **headers):
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        headers.setdefault("Content_Type", "application/json")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


# --- ways to behave: in a script, each for one request ---

def take(handler, body):
    owner = handler.server.owner
    try:
        body = json.loads(body)
        found = spans_in(body)
        if trace_service_pb2 is not None:
            check_by_protobuf(body)
    except Exception as error:  # for the test, which fails of it
        owner.faults.append(repr(error))
        raise
    with owner.lock:
        owner.spans += found
    handler.say(200)


def refuse(status, **headers):
    return lambda handler, body: handler.say(status, **headers)


def cut(handler, body):
    """Neither an answer nor a farewell."""
    handler.close_connection = True
    handler.connection.shutdown(2)


def reject(n, why):
    def behave(handler, body):
        partial = {"rejectedSpans": str(n), "errorMessage": why}
        handler.say(200, json.dumps({"partialSuccess": partial}).encode())
    return behave


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class Endpoint:
    """script: how to behave, one entry for each request; then all is taken."""

    def __init__(self, script=(), port=0):
        self.lock = threading.Lock()
        self.script, self.asked, self.spans, self.faults = list(script), [], [], []
        self.released = threading.Event()
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.owner = self
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def hold(self, handler, body):
        """Behaves as one who answers nothing until the test lets it."""
        self.released.wait()
        take(handler, body)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        assert self.faults == []

    def of(self, trace):
        with self.lock:
            return [span for span in self.spans if span.trace == trace]

    def tree(self, trace):
        """Once it is there: a request's spans come in one piece."""
        return Tree(poll(f"spans of {trace}", lambda: self.of(trace)))
