"""Spans over OTLP: each sampled request is one tree at the endpoint, below its caller's span, and
no endpoint, however it behaves, keeps a request waiting."""
import secrets

import pytest

import otlp_server
from otlp_server import Endpoint
from service import Service, poll

PHASES = ["queue", "prefill", "decode"]


@pytest.fixture(scope="module")
def endpoint():
    with Endpoint() as made:
        yield made


@pytest.fixture(scope="module")
def traced(endpoint):
    service = Service("--otlp-endpoint", endpoint.url, "--chat-template", "chatml",
                      "--served-model-name", "stories", "--log-format", "json",
                      "--max-batch", "1", "--workers", "1", "--max-queue", "4")
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
