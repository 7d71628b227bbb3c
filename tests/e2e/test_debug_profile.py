"""GET /debug/profile: the report of `profile`, over the next seconds of live traffic."""
import json
import socket

import pytest

import browser
import models
from schema import Schema
from service import LIMIT, ROOT, poll

SCHEMA = Schema(ROOT / "docs" / "profile.schema.json")
PATH = "/debug/profile"
TRACE = "application/vnd.chrome.trace+json"
LONG = dict(prompt=[5, 6, 7, 8], max_tokens=1900, ignore_eos=True)


def ask(service, seconds, accept=None, headers=None):
    headers = dict(headers or {})
    if accept:
        headers["Accept"] = accept
    return service.get(f"{PATH}?seconds={seconds}", headers)


def report(service, seconds=0.3):
    response = ask(service, seconds)
    assert response.status == 200, response
    assert response.header("Content-Type") == "application/json"
    got = response.json()
    assert list(SCHEMA.faults(got)) == []
    return got


def begin(service, seconds=60):
    """A profile under way: what was sent after it has been answered twice."""
    connection = service.connect()
    connection.send(service.build("GET", f"{PATH}?seconds={seconds}"))
    for _ in range(2):
        assert service.get("/livez").status == 200
    assert ask(service, 0.1).status == 429
    return connection


@pytest.fixture
def busy(serve):
    """A service with three streams at work."""
    service = serve("--workers", 1, model=models.slow())
    streams = [service.stream(**LONG) for _ in range(3)]
    for stream in streams:
        stream.read_tokens(1)
    yield service
    for stream in streams:
        stream.connection.close()


def test_live_traffic_is_told_apart(busy):
    got = report(busy, 0.5)
    assert got["workload"]["source"] == "live" and got["workload"]["seconds"] >= 0.5
    decode = next(s for s in got["steps"] if s["kind"] == "decode")
    assert decode["recorded"] > 0 and decode["sequences"] == 3 * decode["seen"]
    assert got["tokens_per_second"] > 0 and got["bytes_per_token"] == 0
    assert {"qkv", "attention", "ffn_down", "head"} <= {p["scope"] for p in got["hot_paths"]}
    assert got["method"]["attributed"] >= 0.95
    assert got["sessions"] == [] and got["kernels"] == []
    limits = got["limits"]
    assert limits["read_gb_s"] > 0 and limits["beside_work"] is True
    assert "beside running requests" in limits["note"]


def test_limits_are_measured_again_once_the_engine_is_idle(serve):
    service = serve("--workers", 1, model=models.slow())
    with service.stream(**LONG) as stream:
        stream.read_tokens(1)
        assert report(service)["limits"]["beside_work"] is True
    service.wait_until_idle()
    first = report(service)["limits"]
    assert first["beside_work"] is False and "idle" in first["note"]
    with service.stream(**LONG) as stream:
        stream.read_tokens(1)
        again = report(service)["limits"]
    assert again["beside_work"] is False and again["read_gb_s"] == first["read_gb_s"]


def test_an_idle_service_has_an_empty_report(service):
    service.wait_until_idle()
    got = report(service, 0.1)
    assert got["steps"] == [] and got["hot_paths"] == [] and got["tokens_per_second"] == 0
    assert got["tree"]["children"] == [] and got["workload"]["seconds"] >= 0.1


def test_each_profile_begins_anew(serve):
    """One thread in the pool: recording has begun there before it decodes a later request."""
    service = serve(env={"UV_THREADPOOL_SIZE": "1"})
    service.answer(prompt="Once", max_tokens=20, seed=1, ignore_eos=True)
    assert report(service, 0.1)["steps"] == [], "what came before was not recorded"
    with begin(service, 2) as running:
        service.answer(prompt="Once", max_tokens=20, seed=1, ignore_eos=True)
        first = running.read_response()
    assert sum(s["sampled"] for s in first.json()["steps"]) == 20
    service.answer(prompt="Once", max_tokens=20, seed=1, ignore_eos=True)
    assert report(service, 0.1)["steps"] == []


def test_a_profile_changes_no_byte(serve):
    service = serve()
    fields = dict(prompt="Once upon a time", max_tokens=60, seed=3, temperature=1)
    before = service.answer(**fields)
    with begin(service, 2) as running:
        during = service.answer(**fields)
        assert running.read_response().status == 200
    assert during["text"] == before["text"] and during["tokens"] == before["tokens"]


def test_several_workers_are_in_one_report(serve):
    service = serve("--workers", 2, "--threads", 2, model=models.slow())
    streams = [service.stream(**dict(LONG, prompt=[20 + k] * 6)).read_tokens(1) for k in range(4)]
    got = report(service, 0.4)
    assert got["machine"]["workers"] == 2
    decode = next(s for s in got["steps"] if s["kind"] == "decode")
    assert decode["recorded"] > 0
    events = ask(service, 0.3, TRACE).json()
    assert {e["pid"] for e in events if e["ph"] == "X"} == {1, 2}
    for stream in streams:
        stream.connection.close()


def test_the_trace_is_events(busy):
    response = ask(busy, 0.3, TRACE)
    assert response.status == 200 and response.header("Content-Type") == TRACE
    events = response.json()
    spans = [e for e in events if e["ph"] == "X"]
    assert {"QKV", "attention", "step: decode"} <= {e["name"] for e in spans}
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in spans)


@pytest.mark.parametrize("accept, kind", [
    (None, "application/json"), ("*/*", "application/json"),
    ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
    (f"{TRACE}, application/json;q=0.5", TRACE), ("image/png", "application/json")])
def test_accept_decides_the_form(service, accept, kind):
    assert ask(service, 0.1, accept).header("Content-Type") == kind
    head = service.request("HEAD", PATH, headers={"Accept": accept} if accept else {})
    assert head.status == 200 and head.header("Content-Type") == kind
    assert head.header("Content-Length") is None


@pytest.mark.parametrize("query, param", [
    ("seconds=0", "seconds"), ("seconds=-1", "seconds"), ("seconds=61", "seconds"),
    ("seconds=", "seconds"), ("seconds", "seconds"), ("seconds=x", "seconds"),
    ("seconds=1e1", "seconds"), ("seconds=inf", "seconds"), ("seconds=nan", "seconds"),
    ("seconds=0x5", "seconds"), ("seconds=%201", "seconds"), ("seconds=0.01", "seconds"),
    ("seconds=1.", "seconds"), ("seconds=99999999999999999999", "seconds"),
    ("seconds=1&seconds=1", "seconds"), ("second=1", "second"), ("seconds=1&x=2", "x")])
def test_wrong_seconds_are_refused_by_name(service, query, param):
    response = service.get(f"{PATH}?{query}")
    assert response.status == 400, response
    error = response.error()
    assert error["code"] == "invalid_value" and error["param"] == param


def test_a_second_at_the_same_time_is_429(serve):
    service = serve()
    with begin(service) as first:
        second = ask(service, 1)
        assert second.status == 429 and second.error()["code"] == "profile_running"
        assert 1 <= int(second.header("Retry-After")) <= 62
        assert service.metrics().value("smallmind_requests_total", route=PATH, code="429") == 2
        first.close()
    poll("the place is free", lambda: ask(service, 0.1).status == 200)


@pytest.mark.parametrize("way", ["close", "reset", "half_close"])
def test_a_client_that_leaves_stops_it(serve, way):
    service = serve()
    report(service, 0.1)
    fds = service.count_fds()
    connection = begin(service)
    getattr(connection, way)()
    poll("the next one", lambda: ask(service, 0.1).status == 200)
    poll("it is counted", lambda: service.metrics().value("smallmind_requests_total", route=PATH,
                                                          code="499") == 1)
    connection.close()
    poll("descriptors are back", lambda: service.count_fds() <= fds)


def test_sigterm_ends_it_with_what_there_is(serve):
    service = serve("--workers", 1, model=models.slow())
    report(service, 0.1)  # the limits are known: recording begins at once
    stream = service.stream(prompt=[5] * 8, max_tokens=300, ignore_eos=True).read_tokens(1)
    with begin(service) as running:
        stream.read_tokens(150)
        service.signal()
        response = running.read_response()
    assert response.status == 200
    got = response.json()
    assert list(SCHEMA.faults(got)) == [] and got["workload"]["seconds"] < 60
    assert sum(s["recorded"] for s in got["steps"]) > 0
    assert stream.finish()["finish_reason"] == "length"
    assert service.wait() == 0


def test_while_draining_there_are_none(serve):
    service = serve("--workers", 1, model=models.slow())
    with service.busy():
        service.signal()
        poll("draining", lambda: service.get("/readyz").status == 503)
        response = ask(service, 1)
        assert response.status == 503 and response.error()["code"] == "draining"
    assert service.wait() == 0


def test_a_drain_without_time_ends_it_too(serve):
    service = serve("--workers", 1, "--drain-seconds", 1, model=models.slow())
    streams = [service.stream(**LONG).read_tokens(1) for _ in range(2)]
    with begin(service) as running:
        service.signal()
        assert running.read_response().status == 200
    assert service.wait() == 1, "the streams were not whole"
    assert all(not stream.finish().get("finish_reason") for stream in streams)


# --- who may ask ---

def test_it_needs_a_key_where_there_are_keys(shared, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alpha-key-0123456789\n")
    locked = shared("--api-key-file", keys)
    assert ask(locked, 0.1).status == 401
    assert ask(locked, 0.1, headers={"X-Api-Key": "wrong"}).status == 401
    assert ask(locked, 0.1, headers={"X-Api-Key": "alpha-key-0123456789"}).status == 200


def own_address():
    """An address of this machine that is not loopback; None: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return None
        address = one.getsockname()[0]
    return None if address.startswith("127.") else address


def test_without_keys_it_is_for_this_machine_alone(serve):
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    service = serve(host="0.0.0.0")
    port = service.address[1]
    service.address = ("127.0.0.1", port)
    assert ask(service, 0.1).status == 200
    service.address = (address, port)
    response = ask(service, 0.1)
    assert response.status == 403 and response.error()["code"] == "local_only"
    assert service.get("/info").status == 200


def test_a_unix_socket_is_local(serve, tmp_path):
    assert ask(serve(unix=str(tmp_path / "socket")), 0.1).status == 200


# --- the page ---

@pytest.fixture(scope="module")
def one():
    if browser.PATH is None:
        pytest.skip("no Chromium here (Debian's package is chromium)")
    one = browser.Browser(2 * LIMIT)
    yield one
    one.close()


def url(service, seconds):
    return f"http://127.0.0.1:{service.address[1]}{PATH}?seconds={seconds}"


def test_a_browser_sees_live_traffic(busy, one):
    one.open(url(busy, 0.5))
    assert one.errors == []
    focus = "document.getElementById('flame').dataset.focus"
    frame = "[...document.querySelectorAll('.frame')].find(f => f.dataset.path === '%s')"
    assert one.value(focus) == "engine"
    one.click(frame % "engine/step (decode)")
    assert one.value(focus) == "engine/step (decode)"
    data = json.loads(one.value("document.getElementById('data').textContent"))
    assert list(SCHEMA.faults(data["report"])) == []
    assert data["report"]["workload"]["source"] == "live"


def test_an_idle_page_has_no_fault(serve, one):
    one.open(url(serve(), 0.1))
    assert one.errors == []
    assert "0" in one.value("document.body.innerText")
