"""A real collector takes the spans: each request is one tree there, below its caller's span. Built
by make of the modules in collector/, or any other that SMALLMIND_OTELCOL names, if it has the
receiver otlp and the exporter file."""
import json
import os
import pathlib
import secrets
import subprocess

import pytest

from otlp_server import Tree, spans_in
from service import ROOT, own_port, poll

COLLECTOR = pathlib.Path(os.environ.get("SMALLMIND_OTELCOL", ROOT / "build" / "otelcol"))
CONFIG = """
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{port}
exporters:
  file:
    path: {out}
    flush_interval: 100ms
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [file]
"""
MESSAGES = [{"role": "user", "content": "Hi"}]
REQUESTS = [
    ("/generate", {"prompt": "Once", "max_tokens": 3}),
    ("/generate", {"prompt": "Once", "max_tokens": 3, "stream": True}),
    ("/generate", {"prompt": 1}),
    ("/v1/completions", {"prompt": "Once", "max_tokens": 3, "n": 4}),
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 3}),
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 3, "stream": True, "n": 2}),
    ("/v1/responses", {"input": "Hi", "max_output_tokens": 3}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 3, "model": "m"}),
    ("/api/chat", {"messages": MESSAGES, "model": "m"}),
    ("/tokenize", {"text": "Once"}),
]


class Collector:
    def __init__(self, folder):
        self.port, self.out = own_port(), folder / "traces.json"
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(port=self.port, out=self.out))
        self.log = open(folder / "log", "w+b")
        self.process = subprocess.Popen([COLLECTOR, "--config", config], stdout=self.log,
                                        stderr=self.log)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def lines(self):
        return self.out.read_text().splitlines() if self.out.exists() else []

    def trees(self):
        """{trace: its tree}; the exporter writes OTLP's JSON, without what is zero."""
        found = {}
        for line in self.lines():
            try:
                body = json.loads(line)
            except ValueError:  # the rest of the line is still to come
                continue
            for span in spans_in(body):
                found.setdefault(span.trace, []).append(span)
        return {trace: Tree(spans) for trace, spans in found.items()}


@pytest.fixture
def collector(tmp_path):
    if not COLLECTOR.is_file():
        pytest.skip(f"{COLLECTOR} was not built: no Go, too old a one, or no modules")
    one = Collector(tmp_path)
    yield one
    one.stop()


def test_a_collector_has_one_tree_for_each_request(serve, collector):
    service = serve("--otlp-endpoint", f"http://127.0.0.1:{collector.port}",
                    "--chat-template", "chatml")
    parents = {}
    for path, body in REQUESTS * 5:
        trace, span = secrets.token_hex(16), secrets.token_hex(8)
        response = service.request("POST", path, body,
                                   {"traceparent": f"00-{trace}-{span}-01"})
        parents[trace] = (span, path, body, response)
    trees = poll("all trees", lambda: (
        found if len(found := collector.trees()) == len(parents) else None))
    assert trees.keys() == parents.keys()
    for trace, (span, path, body, response) in parents.items():
        tree = trees[trace]
        assert (tree.root.parent, tree.root.name) == (span, f"POST {path}")
        assert tree.root["http.response.status_code"] == response.status
        n_answers = 0 if response.status == 400 or path == "/tokenize" else body.get("n", 1)
        assert len(tree.names()) == (n_answers if n_answers > 1 else 3 * n_answers)
    n_spans = sum(len(tree.spans) for tree in trees.values())
    metrics = service.metrics()
    assert metrics.value("smallmind_spans_total", outcome="sent") == n_spans
    assert metrics.value("smallmind_span_export_failures_total") <= 5  # until it listened
