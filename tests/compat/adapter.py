"""Has the black-box tests of llama.cpp's server start smallmind in its place: a pytest plugin.

The suite runs as it is; what is replaced is how it starts a server. Its options are mapped to ours,
and where they stand for a default of every request (--seed, --temp, --reasoning) they are added to
the requests that name none. Its metrics are ours by other names. No model is fetched: local files
stand for those it would download.

SMALLMIND_BIN       the program
SMALLMIND_SHARED    the folder with fixtures/stories260K.gguf, the suite's own small model
COMPAT_REPORT       file that gets a line for each test: its id and how it ended
"""
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SMALLMIND_BIN", str(ROOT / "build" / "smallmind"))
SHARED = pathlib.Path(os.environ.get("SMALLMIND_SHARED", ROOT.parent / "shared"))
STORIES = SHARED / "fixtures" / "stories260K.gguf"
STORIES_CONTEXT = 512  # positions that it was trained for
NO_MODEL = "its model would have to be downloaded"

# Their metrics' names here; a pair is a quotient. Those that we do not count have no row.
METRICS = {
    "prompt_tokens_total": ("counter", 'smallmind_prompt_tokens_total{source="computed"}'),
    "prompt_tokens_cached_total": ("counter", 'smallmind_prompt_tokens_total{source="cached"}'),
    "tokens_predicted_total": ("counter", "smallmind_generated_tokens_total"),
    "n_decode_total": ("counter", "smallmind_step_seconds_count"),
    "prompt_tokens_seconds": ("gauge", "smallmind_prompt_tokens_per_second"),
    "predicted_tokens_seconds": ("gauge", "smallmind_generated_tokens_per_second"),
    "requests_processing": ("gauge", "smallmind_requests_running"),
    "requests_deferred": ("gauge", "smallmind_requests_queued"),
}

sys.modules.setdefault("wget", types.ModuleType("wget"))  # its only use would be a download


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def write(folder, name, text):
    path = pathlib.Path(folder) / name
    path.write_text(text, encoding="utf-8")
    return path


def model_of(server, folder):
    """The local file that stands for the one that the suite would fetch."""
    if server.model_file:
        return server.model_file
    if server.models_dir or server.models_preset or not server.model_hf_repo:
        pytest.skip(NO_MODEL)
    if server.model_hf_repo != "ggml-org/test-model-stories260K":
        pytest.skip(NO_MODEL)
    if not STORIES.is_file():
        pytest.skip(f"{STORIES} is missing")
    if (server.n_ctx or 0) <= STORIES_CONTEXT * (server.n_slots or 1):
        return STORIES
    # There a context may be longer than what the model was trained for: here its file must say so.
    key, data = b"llama.context_length\4\0\0\0", STORIES.read_bytes()
    at = data.index(key) + len(key)
    assert int.from_bytes(data[at:at + 4], "little") == STORIES_CONTEXT
    path = pathlib.Path(folder) / "longer.gguf"
    path.write_bytes(data[:at] + server.n_ctx.to_bytes(4, "little") + data[at + 4:])
    return path


def template_of(server, folder):
    """A model without a template is served with ChatML there."""
    if server.chat_template_file:
        return server.chat_template_file
    name = server.chat_template or "chatml"
    return name if re.fullmatch(r"[\w.-]+", name) else write(folder, "template.jinja", name)


def flags_of(server, folder):
    """Our flags for the options that it was given."""
    flags = ["--model", model_of(server, folder), "--port", server.server_port, "--threads", 2,
             "--host", server.server_host, "--served-model-name", server.model_alias or "tiny",
             "--chat-template", template_of(server, folder), "--log-level", "warn"]
    if server.n_slots:
        flags += ["--workers", 1, "--max-batch", server.n_slots]
    if server.n_ctx:
        shared = server.kv_unified or not server.n_slots
        context = server.n_ctx if shared else server.n_ctx // server.n_slots
        flags += ["--context", context]
    if server.n_batch:
        flags += ["--step-tokens", server.n_batch]
    if server.api_key:
        flags += ["--api-key-file", write(folder, "keys", server.api_key + "\n")]
    if server.cors_origins:
        for origin in server.cors_origins.split(","):
            flags += ["--allow-origin", origin.strip()]
    if server.reasoning_format == "none":
        flags += ["--reasoning", "off"]
    return [str(flag) for flag in flags]


def start(server, timeout_seconds=60):
    import utils
    server.server_port = free_port()
    server.folder = tempfile.TemporaryDirectory(prefix="compat-")
    command = [BINARY, "serve", *flags_of(server, server.folder.name)]
    print("starting", " ".join(command))
    env = {key: value for key, value in os.environ.items() if not key.startswith("SMALLMIND_")}
    server.process = subprocess.Popen(command, env=env)
    utils.server_instances.add(server)
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended with {server.process.returncode}")
        try:
            if server.make_request("GET", "/health").status_code == 200:
                return
        except Exception:  # it does not listen yet
            pass
        time.sleep(0.01)
    raise TimeoutError("the server did not start")


def with_defaults(server, path, data):
    """Defaults of every request that its options hold, and that are asked for here."""
    if not isinstance(data, dict):
        return data
    data = dict(data)
    if path.endswith("completion") or path.endswith("completions"):
        data.setdefault("seed", server.seed)
        data.setdefault("temperature", server.temperature)
        if server.debug:
            data.setdefault("verbose", True)
    if path == "/apply-template":  # reasoning is on there unless it is turned off
        data.setdefault("chat_template_kwargs", {"enable_thinking": server.reasoning != "off"})
    return data


def renamed(text):
    """Our metrics in their names, each with its lines of help and type."""
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    lines = []
    for name, (kind, ours) in METRICS.items():
        lines += [f"# HELP llamacpp:{name} {ours}", f"# TYPE llamacpp:{name} {kind}",
                  f"llamacpp:{name} {found[ours]}"]
    return "\n".join(lines) + "\n", found["process_start_time_seconds"]


def patch(utils):
    ask, stream = utils.ServerProcess.make_request, utils.ServerProcess.make_stream_request

    def make_request(self, method, path, data=None, *args, **kwargs):
        response = ask(self, method, path, with_defaults(self, path, data), *args, **kwargs)
        if path == "/metrics" and response.status_code == 200:
            response.body, begun = renamed(response.body)
            response.headers["Process-Start-Time-Unix"] = begun
        return response

    def make_stream_request(self, method, path, data=None, *args, **kwargs):
        return stream(self, method, path, with_defaults(self, path, data), *args, **kwargs)

    utils.ServerProcess.start = start
    utils.ServerProcess.make_request = make_request
    utils.ServerProcess.make_stream_request = make_stream_request
    utils.ServerPreset.load_all = staticmethod(lambda: None)  # it would download


# --- the plugin ---

def pytest_sessionstart(session):
    sys.path.insert(0, os.getcwd())  # the suite's folder
    import utils
    patch(utils)


REPORTS = {}


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        if REPORTS.get(report.nodeid) != "failed":
            REPORTS[report.nodeid] = report.outcome


def pytest_sessionfinish(session):
    path = os.environ.get("COMPAT_REPORT")
    if path:
        lines = [f"{outcome} {test}\n" for test, outcome in sorted(REPORTS.items())]
        pathlib.Path(path).write_text("".join(lines), encoding="utf-8")
