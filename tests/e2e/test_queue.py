"""The bounded queue: 429 and an honest Retry-After; who is taken is served whole."""
import threading
import time

import pytest

import models
from service import FULL, LIMIT, poll
from test_prefix_cache import PAGE_BYTES


def blocker(service, seed=0):
    """A stream that runs for long; it has its first token when this returns."""
    return service.stream(prompt=[9 + seed] * 4, max_tokens=1900, ignore_eos=True).read_tokens(1)


def fill(service, n, max_tokens):
    """Streams that wait: their headers are there, their first token is not."""
    before = service.metrics().value("smallmind_requests_queued")
    waiting = [service.stream(prompt=[20 + k] * 8, max_tokens=max_tokens, ignore_eos=True)
               for k in range(n)]
    assert all(stream.status == 200 for stream in waiting)
    poll("queued", lambda: service.metrics().value("smallmind_requests_queued") == before + n)
    return waiting


def leave(streams):
    for stream in streams:
        stream.connection.close()


def test_one_more_than_the_queue_holds_is_429(shared):
    service = shared("--workers", 1, "--max-batch", 1, "--max-queue", 4, model=models.slow())
    service.wait_until_idle()
    first = blocker(service)
    waiting = fill(service, 4, 50)
    metrics = service.metrics()
    assert metrics.value("smallmind_queue_limit") == 4
    assert metrics.value("smallmind_requests_running") == 1
    before = metrics.value("smallmind_requests_rejected_total", reason="queue_full")
    for stream in (True, False):
        response = service.generate(prompt=[3] * 8, max_tokens=50, stream=stream)
        assert response.status == 429, response
        assert response.error()["code"] and response.error()["type"]
        assert int(response.header("Retry-After")) >= 1
        assert response.header("Content-Type").split(";")[0] == "application/json"
    after = service.metrics()
    assert after.value("smallmind_requests_rejected_total", reason="queue_full") == before + 2
    leave([first, *waiting])
    service.wait_until_idle()
    assert service.answer(prompt=[3] * 8, max_tokens=2, ignore_eos=True)["tokens"]


def test_retry_after_grows_with_the_backlog(shared):
    service = shared("--workers", 1, "--max-batch", 1, "--max-queue", 4, "--max-wait-seconds",
                     "off", model=models.slow())
    told = []
    for max_tokens in (4, 1900):
        service.wait_until_idle()
        first = blocker(service)
        waiting = fill(service, 4, max_tokens)
        refused = service.generate(prompt=[3] * 8, max_tokens=4)
        assert refused.status == 429
        told.append(int(refused.header("Retry-After")))
        leave([first, *waiting])
    assert told[1] > told[0], told


def test_a_predicted_wait_too_long_is_refused_before_the_queue_is_full(shared):
    service = shared("--workers", 1, "--max-batch", 1, "--max-queue", 100, "--max-wait-seconds", 1,
                     model=models.slow())
    service.wait_until_idle()
    streams = [blocker(service)]
    before = service.metrics().value("smallmind_requests_rejected_total", reason="deadline")

    def refused():
        stream = service.stream(prompt=[5] * 8, max_tokens=1000, ignore_eos=True)
        streams.append(stream)
        return stream if stream.status == 429 else None
    stream = poll("a refusal", refused)
    assert int(stream.head.header("Retry-After")) >= 1
    after = service.metrics()
    assert after.value("smallmind_requests_rejected_total", reason="deadline") == before + 1
    assert after.value("smallmind_requests_queued") < 100
    leave(streams)
    service.wait_until_idle()


class Client(threading.Thread):
    """Streams once; refused, it waits as told and tries once more."""

    def __init__(self, service, seed):
        super().__init__()
        self.service = service
        self.fields = dict(prompt=[30 + seed] * 8, max_tokens=20, ignore_eos=True, seed=seed)
        self.statuses = []
        self.answer = None
        self.failure = None

    def run(self):
        try:
            for _ in range(2):
                with self.service.stream(**self.fields) as stream:
                    self.statuses.append(stream.status)
                    if stream.status == 200:
                        self.answer = stream.finish()
                        assert stream.done
                        return
                    wait = int(stream.head.header("Retry-After"))
                    assert wait >= 1
                    time.sleep(wait)  # as the service said: the thing under test
        except Exception as failure:  # shown by the test, not by the thread
            self.failure = failure


def test_64_streaming_clients_on_16_queue_places(serve):
    service = serve("--workers", 1, "--max-batch", 2, "--max-queue", 16, model=models.slow())
    clients = [Client(service, seed) for seed in range(64)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(4 * LIMIT)
    assert not any(client.is_alive() for client in clients), "a client hangs"
    assert [c.failure for c in clients if c.failure] == []
    refused = [c for c in clients if c.statuses[0] == 429]
    served = [c for c in clients if c.answer]
    assert refused, "none was refused"
    assert len(clients) - len(refused) >= 16
    for client in served:
        assert client.answer["finish_reason"] == "length"
        assert len(client.answer["tokens"]) == 20
    late = [c for c in refused if c.answer]
    assert 2 * len(late) >= len(refused), f"{len(late)} of {len(refused)} got in on the second try"
    metrics = service.wait_until_idle()
    n_refused = sum(c.statuses.count(429) for c in clients)
    assert metrics.value("smallmind_requests_rejected_total", reason="queue_full") \
        + metrics.value("smallmind_requests_rejected_total", reason="deadline") == n_refused
    assert metrics.value("smallmind_requests_total", route="/generate", code="429") == n_refused
    assert metrics.value("smallmind_requests_total", route="/generate", code="200") == len(served)
    assert metrics.value("smallmind_generated_tokens_total") == 20 * len(served)


def test_first_come_first_served(shared):
    service = shared("--workers", 1, "--max-batch", 1, "--max-queue", 4, model=models.slow())
    service.wait_until_idle()
    first = blocker(service)
    waiting = fill(service, 4, 3)
    leave([first])
    answers = [stream.finish() for stream in waiting]
    waits = [answer["timings"]["queue_ms"] + answer["timings"]["prefill_ms"] for answer in answers]
    assert all(answer["finish_reason"] == "length" for answer in answers)
    assert len(waits) == 4
    leave(waiting)


def test_what_could_never_fit_the_kv_memory_is_400_at_once(serve):
    service = serve("--workers", 1, "--kv-memory", 8 * PAGE_BYTES)
    error = service.refusal(400, prompt=[5] * 250, max_tokens=20)
    assert error["type"] == "invalid_request_error"
    assert len(service.answer(prompt=[5] * 200, max_tokens=20, ignore_eos=True)["tokens"]) == 20


def test_a_smaller_context_is_the_limit(serve):
    service = serve("--workers", 1, "--context", 128)
    assert service.refusal(400, prompt=[5] * 100, max_tokens=29)["code"] \
        == "context_length_exceeded"
    assert service.answer(prompt=[5] * 100, max_tokens=28)


@pytest.mark.skipif(not FULL, reason="takes a quarter of a minute: SMALLMIND_FULL=1")
def test_a_stream_that_waits_is_kept_alive_by_comments(serve):
    service = serve("--workers", 1, "--max-batch", 1, "--max-wait-seconds", "off",
                    model=models.slow())
    streams = [blocker(service), *fill(service, 20, 1900)]
    waiting = service.stream(prompt=[6] * 8, max_tokens=2, ignore_eos=True)
    first = next(waiting.parts)
    assert first.startswith(b":") and first.endswith(b"\n\n")
    leave([*streams, waiting])
