"""GET /metrics: each promised name from the start; counters add up to what clients counted."""
import json
import os
import shutil
import subprocess

import pytest

from service import ROOT, poll
from test_generate import STORY

ROUTES = ["/generate", "/tokenize", "/detokenize", "/livez", "/readyz", "/health", "/info",
          "/metrics", "/openapi.yaml", "/debug/profile"]
SCALARS = {
    "smallmind_generated_tokens_total": "counter",
    "smallmind_generated_tokens_per_second": "gauge",
    "smallmind_prompt_tokens_per_second": "gauge",
    "smallmind_requests_running": "gauge",
    "smallmind_requests_queued": "gauge",
    "smallmind_queue_limit": "gauge",
    "smallmind_prefix_cache_hit_tokens_total": "counter",
    "smallmind_prefix_cache_query_tokens_total": "counter",
    "smallmind_engine_allocations_total": "counter",
    "smallmind_span_export_failures_total": "counter",
    "smallmind_grammar_compiles_total": "counter",
    "smallmind_grammar_cache_hits_total": "counter",
    "smallmind_grammar_cache_bytes": "gauge",
    "smallmind_threads": "gauge",
    "smallmind_cpu_limit_cores": "gauge",
    "smallmind_cpu_periods_total": "counter",
    "smallmind_cpu_throttled_periods_total": "counter",
    "smallmind_cpu_throttled_seconds_total": "counter",
    "smallmind_memory_limit_bytes": "gauge",
    "smallmind_memory_used_bytes": "gauge",
    "smallmind_kv_given_back_bytes_total": "counter",
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "smallmind_kv_usage_ratio": "gauge",
    "smallmind_kv_pages_total": "gauge",
    "smallmind_kv_page_positions": "gauge",
    "process_start_time_seconds": "gauge",
}
LABELLED = {
    "smallmind_prompt_tokens_total": ("counter", "source", ["computed", "cached"]),
    "smallmind_requests_rejected_total":
        ("counter", "reason", ["queue_full", "deadline", "draining", "too_large",
                               "body_memory"]),
    "smallmind_connections": ("gauge", "state", ["open", "limit"]),
    "smallmind_body_bytes": ("gauge", "state", ["held", "limit"]),
    "smallmind_requests_cancelled_total": ("counter", "phase", ["queued", "prefill", "decode"]),
    "smallmind_kv_pages": ("gauge", "state", ["used", "cached", "free"]),
    "smallmind_spans_total": ("counter", "outcome", ["sent", "failed", "dropped"]),
    "smallmind_kv_states": ("gauge", "state", ["used", "cached", "free"]),
}
HISTOGRAMS = ["smallmind_step_seconds", "smallmind_step_sequences",
              "smallmind_request_queue_seconds", "gen_ai_server_request_duration_seconds",
              "gen_ai_server_time_to_first_token_seconds",
              "gen_ai_server_time_per_output_token_seconds"]


def test_all_series_exist_from_the_start(serve):
    metrics = serve().metrics()
    for name, kind in SCALARS.items():
        assert metrics.types[name] == kind and metrics.value(name) >= 0
    for name, (kind, label, values) in LABELLED.items():
        assert metrics.types[name] == kind
        for value in values:
            assert metrics.value(name, **{label: value}) >= 0
    for name in HISTOGRAMS:
        assert metrics.types[name] == "histogram"
        assert metrics.value(name + "_count") == 0 == metrics.value(name + "_sum")
    assert metrics.types["smallmind_requests_total"] == "counter"
    for route in [*ROUTES, "other"]:
        assert metrics.value("smallmind_requests_total", route=route, code="200") >= 0
    assert metrics.value("smallmind_queue_limit") == 128
    assert metrics.sum("smallmind_build_info") == 1 == metrics.sum("smallmind_model_info")
    assert metrics.sum("smallmind_generated_tokens_total") == 0, "warm-up counts nowhere"
    assert metrics.sum("smallmind_prompt_tokens_total") == 0


def test_info_metrics_have_the_promised_labels(service):
    metrics = service.metrics()
    labels = {name: dict(pairs) for name, pairs in metrics.samples if name.endswith("_info")}
    assert set(labels["smallmind_build_info"]) == {"version", "kernels"}
    assert set(labels["smallmind_model_info"]) == {"model", "architecture", "weights"}
    assert labels["smallmind_model_info"]["architecture"] == "llama"


def test_no_labels_but_those_named(service):
    service.generate(prompt=STORY, max_tokens=2)
    allowed = {"smallmind_requests_total": {"route", "code"},
               "smallmind_build_info": {"version", "kernels"},
               "smallmind_model_info": {"model", "architecture", "weights"}}
    allowed.update({name: {label} for name, (_, label, _) in LABELLED.items()})
    allowed.update({name + "_bucket": {"le"} for name in HISTOGRAMS})
    for name, pairs in service.metrics().samples:
        assert {label for label, _ in pairs} == allowed.get(name, set()), name


def test_every_name_has_help_and_type(service):
    metrics = service.metrics()
    for name in metrics.names():
        base = name
        for suffix in ("_bucket", "_sum", "_count"):
            if name.endswith(suffix) and name[:-len(suffix)] in HISTOGRAMS:
                base = name[:-len(suffix)]
        assert base in metrics.types and metrics.help.get(base), name


def test_promtool_finds_nothing(service):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (package prometheus)")
    service.generate(prompt=STORY, max_tokens=2)
    text = service.get("/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    said = (done.stderr + done.stdout).decode().splitlines()
    # How many pages there are is a gauge whose name users rely on.
    faults = [line for line in said if not line.startswith("smallmind_kv_pages_total ")]
    assert not faults and done.returncode == (3 if said else 0), said


def test_the_content_type_is_prometheus_text(service):
    kind = service.get("/metrics").header("Content-Type")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"


def test_histograms_are_cumulative_and_end_with_their_count(service):
    service.generate(prompt=STORY, max_tokens=5)
    metrics = service.wait_until_idle()
    for name in HISTOGRAMS:
        buckets = sorted((float(dict(pairs)["le"]), value)
                         for (one, pairs), value in metrics.samples.items()
                         if one == name + "_bucket")
        counts = [value for _, value in buckets]
        assert counts == sorted(counts) and buckets[-1][0] == float("inf")
        assert counts[-1] == metrics.value(name + "_count") > 0, name
        if name.startswith("gen_ai"):
            assert buckets[0][0] <= 5e-5 and buckets[-2][0] >= 2560


def test_the_counters_add_up_to_what_the_clients_counted(serve):
    service = serve("--workers", 1)
    prompt_tokens = completion = cached = first_ms = 0
    for k in range(6):
        answer = service.answer(prompt=f"{STORY} number {k % 3} " * 8, max_tokens=5 + k, seed=k)
        prompt_tokens += answer["usage"]["prompt_tokens"]
        cached += answer["usage"]["cached_tokens"]
        completion += answer["usage"]["completion_tokens"]
        first_ms += answer["timings"]["first_token_ms"]
        metrics = service.metrics()  # counted before the last byte is sent
        assert metrics.value("smallmind_generated_tokens_total") == completion
        assert metrics.value("smallmind_requests_total", route="/generate", code="200") == k + 1
    for _ in range(3):
        assert service.generate(prompt=STORY, max_tokens=0).status == 400
    assert service.get("/nowhere").status == 404 == service.get("/nowhere2").status
    metrics = service.metrics()
    value = metrics.value
    assert value("smallmind_prompt_tokens_total", source="cached") == cached > 0
    assert value("smallmind_prompt_tokens_total", source="computed") == prompt_tokens - cached
    assert value("smallmind_requests_total", route="/generate", code="400") == 3
    assert value("smallmind_requests_total", route="other", code="404") == 2
    for name in ("gen_ai_server_request_duration_seconds", "smallmind_request_queue_seconds",
                 "gen_ai_server_time_to_first_token_seconds"):
        assert value(name + "_count") == 6, name
    got = value("gen_ai_server_time_to_first_token_seconds_sum")
    assert got == pytest.approx(first_ms / 1000, rel=0.05, abs=0.001)
    assert value("smallmind_engine_allocations_total") == 0
    assert value("smallmind_step_sequences_count") == value("smallmind_step_seconds_count") > 0
    assert value("smallmind_kv_pages", state="used") == 0
    assert value("smallmind_kv_pages", state="cached") > 0


def test_a_scrape_resets_nothing(service):
    service.generate(prompt=STORY, max_tokens=30, ignore_eos=True)
    rates = [service.metrics().value("smallmind_generated_tokens_per_second") for _ in range(3)]
    assert all(rate > 0 for rate in rates)


def test_metrics_scraped_at_every_step_stay_consistent(service):
    with service.stream(prompt=STORY, max_tokens=60, ignore_eos=True) as stream:
        seen = 0
        while stream.next():
            metrics = service.metrics()
            now = metrics.value("smallmind_generated_tokens_total")
            assert now >= seen
            seen = now


def test_running_and_open_files_follow_the_truth(service):
    service.wait_until_idle()
    assert service.metrics().value("process_open_fds") == pytest.approx(service.count_fds(), abs=2)
    rss = service.metrics().value("process_resident_memory_bytes") / 1024
    assert rss == pytest.approx(service.resident_kib(), rel=0.2)


def test_too_large_is_counted(serve):
    service = serve("--max-body-bytes", 4096)
    assert service.post("/generate", "x" * 5000).status == 413
    poll("counted", lambda: service.metrics().value(
        "smallmind_requests_rejected_total", reason="too_large") == 1)


def test_a_models_file_may_have_any_name(serve, tmp_path):
    """Bytes that are no text, quotes and line ends: every answer about it is UTF-8 all the same."""
    name = os.fsdecode(b"\xff\"\\\n\xe2\x82{}.gguf")
    os.symlink(ROOT / "models" / "smallmind-tiny.gguf", tmp_path / name)
    service = serve("--log-format", "json", model=tmp_path / name)
    assert len(service.metrics().types) > 20
    for path in ("/v1/models", "/info", "/health"):
        assert service.get(path).json()
    assert service.answer(prompt="x", max_tokens=1)["model"].startswith("\ufffd\"\\\n\ufffd")
    for line in service.log().splitlines():
        assert json.loads(line)["message"]
