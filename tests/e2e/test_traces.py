"""Spans over OTLP: each sampled request is one tree at the endpoint, below its caller's span, and
no endpoint, however it behaves, keeps a request waiting."""
import json
import pathlib
import secrets

import pytest

import models
import otlp_server
from otlp_server import Endpoint, Tree, cut, refuse, reject
from service import Service, own_port, poll, run_verb, sanitizer

PHASES = ["queue", "prefill", "decode"]


@pytest.fixture(scope="module")
def endpoint():
    with Endpoint() as made:
        yield made


@pytest.fixture(scope="module")
def traced(endpoint):
    service = Service("--otlp-endpoint", endpoint.url, "--chat-template", "chatml",
                      "--served-model-name", "stories", "--log-format", "json")
    yield service
    service.stop()


class Parent:
    """A caller's span."""

    def __init__(self, flags="01"):
        self.trace, self.span = secrets.token_hex(16), secrets.token_hex(8)
        self.headers = {"traceparent": f"00-{self.trace}-{self.span}-{flags}"}


MESSAGES = [{"role": "user", "content": "Hi"}]
REQUESTS = {
    "generate": ("/generate", {"prompt": "Once", "max_tokens": 3}, "text_completion"),
    "stream": ("/generate", {"prompt": "Once", "max_tokens": 3, "stream": True},
               "text_completion"),
    "chat": ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 3}, "chat"),
    "chat-stream": ("/v1/chat/completions",
                    {"messages": MESSAGES, "max_tokens": 3, "stream": True}, "chat"),
    "responses": ("/v1/responses", {"input": "Hi", "max_output_tokens": 3}, "chat"),
    "messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 3, "model": "m"}, "chat"),
    "responses-stream": ("/v1/responses", {"input": "Hi", "max_output_tokens": 3, "stream": True},
                         "chat"),
    "messages-stream": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 3, "model": "m",
                                         "stream": True}, "chat"),
    "completions": ("/v1/completions", {"prompt": "Once", "max_tokens": 3}, "text_completion"),
    "ollama": ("/api/chat", {"messages": MESSAGES, "model": "stories"}, "chat"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_one_tree_below_its_callers_span(traced, endpoint, name):
    path, body, operation = REQUESTS[name]
    parent = Parent()
    response = traced.request("POST", path, body, parent.headers)
    assert response.status == 200, response
    tree = endpoint.tree(parent.trace)
    root = tree.root
    assert (root.parent, root.name, root.kind) == (parent.span, f"POST {path}", 2)
    assert response.header("traceresponse") == f"00-{parent.trace}-{root.id}-01"
    assert tree.names() == PHASES
    assert root["gen_ai.operation.name"] == operation
    assert root["http.response.status_code"] == 200 and root["http.route"] == path
    assert root["server.port"] == traced.address[1]
    assert root["gen_ai.usage.output_tokens"] > 0 and root["gen_ai.usage.input_tokens"] > 0
    assert root["gen_ai.response.finish_reasons"] in (["length"], ["stop"])
    assert "error.type" not in root.attributes and root.status == {}
    begins = [span.begin for span in tree.below(root)]
    assert begins == sorted(begins) and root.begin <= begins[0]
    assert root.end >= max(span.end for span in tree.spans)
    assert {span.flags & 1 for span in tree.spans} == {1}
    assert root.resource["service.name"] == "smallmind"


def test_what_was_asked_for_is_told_but_for_texts(traced, endpoint):
    parent = Parent()
    body = {"messages": [{"role": "user", "content": "SECRET"}], "model": "other", "seed": 7,
            "max_completion_tokens": 2, "temperature": 0.8, "top_p": 0.9, "stop": ["SECRET"],
            "presence_penalty": 0.5, "frequency_penalty": -0.5, "top_k": 40, "stream": True}
    assert traced.request("POST", "/v1/chat/completions", body, parent.headers).status == 200
    root = endpoint.tree(parent.trace).root
    asked = {name.removeprefix("gen_ai.request."): value
             for name, value in root.attributes.items() if name.startswith("gen_ai.request.")}
    assert asked == {"model": "other", "seed": 7, "max_tokens": 2, "temperature": 0.8,
                     "top_p": 0.9, "top_k": 40, "presence_penalty": 0.5, "stream": True,
                     "frequency_penalty": -0.5}
    assert root["gen_ai.response.model"] == "stories"
    assert 0 < root["gen_ai.response.time_to_first_chunk"] < (root.end - root.begin) * 1e-9
    assert not any(b"SECRET" in body for _, _, body in endpoint.asked)


def test_several_answers_are_several_subtrees(traced, endpoint):
    parent = Parent()
    body = {"prompt": ["Once", "Twice"], "n": 3, "max_tokens": 2}
    assert traced.request("POST", "/v1/completions", body, parent.headers).status == 200
    tree = endpoint.tree(parent.trace)
    assert tree.names() == ["choice"] * 6
    for span in tree.below(tree.root):
        assert tree.names(span) == PHASES
    assert sorted(span["smallmind.choice"] for span in tree.below(tree.root)) == [*range(6)]
    assert tree.root["gen_ai.request.choice.count"] == 6
    assert len(tree.root["gen_ai.response.finish_reasons"]) == 6


@pytest.mark.parametrize("path, body, status", [
    ("/generate", {"prompt": 1}, 400), ("/v1/chat/completions", {"messages": 1}, 400),
    ("/v1/messages", {"max_tokens": 0}, 400), ("/v1/responses", {}, 400), ("/nothing", {}, 404),
    ("/metrics", {}, 405)])
def test_a_refused_request_is_one_span(traced, endpoint, path, body, status):
    parent = Parent()
    assert traced.request("POST", path, body, parent.headers).status == status
    tree = endpoint.tree(parent.trace)
    assert tree.names() == [] and tree.root.parent == parent.span
    assert tree.root["http.response.status_code"] == status
    assert tree.root["error.type"] and tree.root.status == {}
    assert tree.root.name == ("POST" if status == 404 else f"POST {path}")


def test_other_work_is_one_span(traced, endpoint):
    parent = Parent()
    response = traced.request("POST", "/tokenize", {"text": "Once"},
                              {**parent.headers, "X-Request-Id": "mine"})
    assert response.status == 200
    tree = endpoint.tree(parent.trace)
    assert tree.names() == [] and "gen_ai.operation.name" not in tree.root.attributes
    assert tree.root["http.response.header.x-request-id"] == ["mine"]
    assert tree.root["client.address"] == "127.0.0.1"


def test_texts_that_become_vectors_are_read_as_one(endpoint, serve):
    service = serve("--otlp-endpoint", endpoint.url, "--pooling", "mean")
    parent = Parent()
    response = service.request("POST", "/v1/embeddings", {"input": ["a", "b", "c"]},
                               parent.headers)
    assert response.status == 200
    tree = endpoint.tree(parent.trace)
    assert tree.names() == ["queue", "prefill"]
    assert tree.root["gen_ai.operation.name"] == "embeddings"
    assert tree.root["gen_ai.usage.input_tokens"] == response.json()["usage"]["prompt_tokens"]


@pytest.fixture(scope="module")
def narrow(endpoint):
    """Where a stream takes all there is, and one more may wait."""
    service = Service("--otlp-endpoint", endpoint.url, "--workers", "1", "--max-batch", "1",
                      "--max-queue", "1", model=models.slow())
    yield service
    service.stop()


def wait_for_queued(service, n):
    poll(f"{n} that wait", lambda: service.metrics().value("smallmind_requests_queued") == n)


def test_one_that_finds_no_room_says_so(narrow, endpoint):
    parent = Parent()
    narrow.wait_until_idle()
    with narrow.busy(), narrow.stream(prompt=[5], max_tokens=1):
        wait_for_queued(narrow, 1)
        response = narrow.generate(parent.headers, prompt=[5], max_tokens=1)
    assert response.status == 429
    tree = endpoint.tree(parent.trace)
    assert tree.names() == [] and tree.root.parent == parent.span
    assert tree.root["error.type"] == response.error()["code"]
    assert tree.root["gen_ai.operation.name"] == "text_completion"


def test_one_whose_client_leaves_was_cancelled(narrow, endpoint):
    running, queued = Parent(), Parent()
    narrow.wait_until_idle()
    with narrow.busy(running.headers):
        with narrow.stream(queued.headers, prompt=[5], max_tokens=1):
            wait_for_queued(narrow, 1)
        wait_for_queued(narrow, 0)  # it has been seen to go, and was never taken
    for parent, phases in ((running, PHASES), (queued, ["queue"])):
        tree = endpoint.tree(parent.trace)
        assert tree.names() == phases
        assert tree.root["error.type"] == "cancelled" and tree.root.status == {}
        assert tree.root["http.response.status_code"] == 499
        assert tree.root["gen_ai.response.finish_reasons"] == ["cancelled"]
        assert tree.root.end >= max(span.end for span in tree.spans)


def test_one_that_the_service_ends_is_an_error_of_its_own(serve):
    parent = Parent()
    with Endpoint() as endpoint:
        service = serve("--otlp-endpoint", endpoint.url, "--drain-seconds", "0",
                        model=models.slow())
        with service.busy(parent.headers):
            service.signal()
            service.wait()
        tree = Tree(endpoint.of(parent.trace))  # delivered before the end
        assert tree.names() == PHASES
        assert tree.root["gen_ai.response.finish_reasons"] == ["error"]
        assert tree.root.status["code"] == 2 and tree.root.status["message"]
        assert tree.root["error.type"] not in ("", "cancelled")


# --- who is traced ---

def test_a_parent_that_is_not_sampled_has_no_spans(traced, endpoint):
    unsampled, later = Parent("00"), Parent()
    for parent in (unsampled, later):
        assert traced.generate(parent.headers, prompt="Once", max_tokens=1).status == 200
    endpoint.tree(later.trace)  # spans come in the order of their requests' ends
    assert endpoint.of(unsampled.trace) == []


def test_a_request_without_a_parent_begins_a_trace(traced, endpoint):
    response = traced.generate({"X-Request-Id": "alone"}, prompt="Once", max_tokens=1)
    _, trace, span, flags = response.header("traceresponse").split("-")
    root = endpoint.tree(trace).root
    assert (root.id, root.parent, flags) == (span, "", "03")
    line = json.loads(traced.logged('"alone"')[0])
    assert (line["trace_id"], line["span_id"]) == (trace, span)
    assert "parent_span_id" not in line


def test_the_part_sampled_is_of_those_without_a_parent(endpoint, serve):
    service = serve("--otlp-endpoint", endpoint.url, "--otlp-sample", "0")
    parent = Parent()
    assert service.generate(prompt="Once", max_tokens=1).header("traceresponse") is None
    assert service.generate(parent.headers, prompt="Once", max_tokens=1).status == 200
    instance = endpoint.tree(parent.trace).root.resource["service.instance.id"]
    assert {span.trace for span in endpoint.spans
            if span.resource["service.instance.id"] == instance} == {parent.trace}


def test_probes_begin_no_trace(traced, endpoint):
    for path in ("/livez", "/readyz", "/metrics"):
        assert traced.get(path).header("traceresponse") is None
    assert traced.get("/info").header("traceresponse") is not None
    parent = Parent()
    assert traced.get("/readyz", parent.headers).header("traceresponse") is not None
    assert endpoint.tree(parent.trace).root["http.route"] == "/readyz"


# --- endpoints that do not do as they should ---

# Where the test says how long an answer takes, and no time-out does.
PATIENT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "600000"}


def spans_of(service, **outcomes):
    metrics = service.metrics()
    return {name: metrics.value("smallmind_spans_total", outcome=name) for name in outcomes} \
        == outcomes


def ask(service, n=1):
    traces = [Parent() for _ in range(n)]
    for parent in traces:
        assert service.generate(parent.headers, prompt="Once", max_tokens=2).status == 200
    return traces


def test_an_endpoint_that_answers_nothing_delays_and_loses_nothing(serve):
    with Endpoint() as slow:
        slow.script = [slow.hold] * 2
        service = serve("--otlp-endpoint", slow.url, env=PATIENT)
        first = ask(service)
        poll("a request that is held", lambda: slow.asked)
        others = ask(service, 20)  # all answered while the endpoint answers nothing
        assert slow.spans == []
        slow.released.set()
        for parent in (*first, *others):
            assert slow.tree(parent.trace).names() == PHASES
        poll("all counted", lambda: spans_of(service, sent=21 * 4, failed=0, dropped=0))


def test_an_endpoint_that_fails_for_a_while_gets_all_in_the_end(serve):
    with Endpoint([refuse(503), cut, refuse(429, Retry_After="1"), refuse(502)]) as failing:
        service = serve("--otlp-endpoint", failing.url)
        parents = ask(service, 3)
        for parent in parents:
            assert failing.tree(parent.trace).names() == PHASES
        poll("all counted", lambda: spans_of(service, sent=3 * 4, failed=0, dropped=0))
        # A kept connection that is cut may have been tried again below, unseen.
        assert service.metrics().value("smallmind_span_export_failures_total") in (3, 4)
        assert len(service.logged("traces: spans cannot be delivered")) == 1
        assert len(service.logged("delivered to " + failing.url + "/v1/traces again")) == 1


def test_an_endpoint_that_comes_later_gets_what_waited(serve):
    port = own_port()
    service = serve("--otlp-endpoint", f"http://127.0.0.1:{port}")
    parent, = ask(service)
    service.logged("traces: spans cannot be delivered")
    with Endpoint(port=port) as late:
        assert late.tree(parent.trace).names() == PHASES


def test_what_an_endpoint_refuses_is_counted_and_not_sent_again(serve):
    with Endpoint([refuse(400), reject(1, "one is wrong")]) as strict:
        service = serve("--otlp-endpoint", strict.url)
        ask(service)
        poll("the refusal", lambda: spans_of(service, sent=0, failed=4))
        ask(service)
        poll("a part", lambda: spans_of(service, sent=3, failed=5))
        parent, = ask(service)
        assert strict.tree(parent.trace).names() == PHASES
        assert len(strict.asked) == 3


def test_what_finds_no_room_is_dropped_and_memory_stays_bounded(serve):
    with Endpoint() as slow:
        slow.script = [slow.hold]
        service = serve("--otlp-endpoint", slow.url, "--log-level", "warn", env=PATIENT)
        body = service.build("POST", "/tokenize", {"text": "Once"})

        def crowd(n):
            with service.connect() as connection:
                for _ in range(n):
                    connection.send(body)
                    assert connection.read_response().status == 200
        crowd(2700)  # 512 of them under way, 2048 waiting
        before = service.resident_kib()
        crowd(1300)
        assert sanitizer() is not None or service.resident_kib() - before <= 4096
        dropped = service.metrics().value("smallmind_spans_total", outcome="dropped")
        assert dropped >= 4000 - 2048 - 2 * 512
        slow.released.set()
        poll("the others", lambda: spans_of(service, sent=4000 - dropped, dropped=dropped))


def test_the_end_sends_what_is_left_at_once(serve):
    with Endpoint() as endpoint:
        service = serve("--otlp-endpoint", endpoint.url)
        parents = ask(service, 5)
        service.stop()
        assert {span.trace for span in endpoint.spans} >= {parent.trace for parent in parents}


@pytest.mark.parametrize("behave", ["hold", "refuse", "nobody"])
def test_the_end_does_not_wait_for_an_endpoint_for_long(serve, behave):
    with Endpoint() as endpoint:
        endpoint.script = {"hold": [endpoint.hold] * 9, "refuse": [refuse(503)] * 99,
                           "nobody": []}[behave]
        url = f"http://127.0.0.1:{own_port()}" if behave == "nobody" else endpoint.url
        service = serve("--otlp-endpoint", url, env=PATIENT)
        ask(service, 3)
        service.signal()
        assert service.wait() == 0
        assert "spans could not be delivered" in service.log()


# --- settings ---

def test_keys_are_sent_and_never_shown(serve):
    for settings in (dict(flags=("--otlp-headers", "x-key=SECRET%20KEY,x-other=b")),
                     dict(env={"OTEL_EXPORTER_OTLP_HEADERS": "x-key=SECRET%20KEY,x-other=b"}),
                     dict(env={"SMALLMIND_OTLP_HEADERS": "x-key=SECRET%20KEY,x-other=b"})):
        with Endpoint([refuse(401)]) as endpoint:
            flags = ("--otlp-endpoint", endpoint.url, *settings.get("flags", ()))
            service = serve(*flags, "--log-level", "debug", env=settings.get("env"))
            ask(service)
            service.logged("it answers 401")
            parent, = ask(service)
            endpoint.tree(parent.trace)
            for path, headers, _ in endpoint.asked:
                assert (headers["x-key"], headers["x-other"]) == ("SECRET KEY", "b")
                assert (path, headers["Content-Type"]) == ("/v1/traces", "application/json")
            assert "SECRET" not in service.log()
            printed = run_verb("serve", *flags, "--print-config", env=settings.get("env"))
            assert printed.returncode == 0 and b"SECRET" not in printed.stdout + printed.stderr
            service.stop()


def test_opentelemetrys_variables_are_honoured(serve):
    with Endpoint() as endpoint:
        service = serve(env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.url, "OTEL_SERVICE_NAME": "stories",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=pro%64,service.name=no"})
        parent, = ask(service)
        resource = endpoint.tree(parent.trace).root.resource
        assert resource["service.name"] == "stories"
        assert resource["deployment.environment.name"] == "prod"
        assert endpoint.asked[0][0] == "/v1/traces"


@pytest.mark.parametrize("flags, said", [
    (("--otlp-endpoint", "collector:4318"), b"--otlp-endpoint must be a URL"),
    (("--otlp-endpoint", "http://user:SECRET@collector"), b"--otlp-endpoint must be a URL"),
    (("--otlp-endpoint", "http://collector", "--otlp-headers", "SECRET"),
     b"--otlp-headers must be NAME=VALUE"),
    (("--otlp-sample", "1.5"), b"a number from 0 to 1")])
def test_wrong_settings_are_refused_at_start(flags, said):
    done = run_verb("serve", "--port", "0", *flags)
    assert done.returncode == 2 and said in done.stderr and b"SECRET" not in done.stderr


def test_without_an_endpoint_nothing_runs_for_traces(serve, endpoint):
    def names(service):
        return set(service.of_threads(lambda thread: pathlib.Path(
            f"/proc/{service.pid}/task/{thread}/comm").read_text().strip()).values())
    silent = serve()
    assert silent.generate(prompt="Once", max_tokens=1).header("traceresponse") is None
    assert "traces" not in names(silent)
    assert "traces" in names(serve("--otlp-endpoint", endpoint.url))


def test_the_official_messages_parse_what_is_sent(traced, endpoint):
    if otlp_server.trace_service_pb2 is None:
        pytest.skip("opentelemetry-proto is not installed")
    parent, = ask(traced)
    endpoint.tree(parent.trace)
    for _, _, body in endpoint.asked:
        otlp_server.check_by_protobuf(json.loads(body))
