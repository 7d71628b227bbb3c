"""The basis of `make test-compat`, without its network: the list of the suite's tests, the page
that is made of it, and an adapter whose flags the program takes."""
import importlib.util
import sys
import tempfile
import types

import pytest

from service import ROOT, Service

COMPAT = ROOT / "tests" / "compat"


def load(name):
    """A module of tests/compat, beside none of ours."""
    spec = importlib.util.spec_from_file_location(f"compat_{name}", COMPAT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


runner, adapter = load("run"), load("adapter")
sys.modules.pop("wget", None)  # the adapter's, for the suite alone


def test_the_page_is_what_the_list_says():
    text, percent = runner.page(runner.read_list())
    assert text == runner.DOCS.read_text(encoding="utf-8"), "tests/compat/run.py --docs writes it"
    assert percent >= 85


def test_what_is_not_as_listed_is_an_error():
    expected = {"a": ("pass", ""), "b": ("fail", "why"), "c": ("never", "why"), "d": ("pass", ""),
                "e": ("either", "why")}
    right = {"a": "passed", "b": "failed", "c": "skipped", "d": "passed", "e": "failed"}
    assert list(runner.compare(expected, right)) == []
    wrong = {"a": "failed", "b": "passed", "c": "passed", "x": "passed", "e": "passed"}
    assert len(list(runner.compare(expected, wrong))) == 5


@pytest.mark.parametrize("options", [
    {}, {"n_slots": 2, "n_ctx": 512, "n_batch": 32}, {"n_slots": 4, "n_ctx": 256,
                                                      "kv_unified": True},
    {"api_key": "secret"}, {"chat_template": "llama3"}, {"cors_origins": "http://a.b, http://c.d"},
    {"chat_template": "{{ messages[0].content }} as a template", "reasoning_format": "none"}])
def test_the_adapters_flags_are_taken(options):
    names = ("n_slots", "n_ctx", "n_batch", "kv_unified", "api_key", "chat_template", "model_alias",
             "chat_template_file", "cors_origins", "reasoning_format")
    server = types.SimpleNamespace(**{name: options.get(name) for name in names},
                                   model_file="builtin", server_port=0, server_host="127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        flags = adapter.flags_of(server, folder)
        at = flags.index("--port")
        service = Service(*flags[2:at], *flags[at + 2:])  # it names a model and a port itself
        try:
            assert service.get("/health").status == 200
            headers = {"Authorization": f"Bearer {server.api_key}"}
            text = service.get("/metrics", headers).body.decode()
            assert adapter.renamed(text)[0].count("# TYPE") == len(adapter.METRICS)
        finally:
            service.stop()
