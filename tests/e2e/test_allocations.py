"""A token costs no heap call: counted from outside, by a library preloaded into the service."""
import struct
from pathlib import Path

import pytest

import models
from service import BINARY, FULL, sanitizer

LIBRARY = BINARY.parent / "tests" / "libmalloc_count.so"

pytestmark = pytest.mark.skipif(sanitizer() is not None, reason="a sanitizer owns malloc here")


def read_counts(path):
    """{thread id: calls}"""
    counts = {}
    with open(path, "rb") as file:
        for thread, calls in struct.iter_unpack("<QQ", file.read()):
            if thread:
                counts[thread] = calls
    return counts


def thread_names(service):
    return service.of_threads(
        lambda thread: Path(f"/proc/{service.pid}/task/{thread}/comm").read_text().strip())


class Counted:
    def __init__(self, service, path):
        self.service, self.path = service, path
        service.wait_for_fingerprint()  # by a thread that then ends
        names = thread_names(service)
        self.loop = service.pid
        self.compute = [thread for thread, name in names.items()
                        if name.startswith("sm-") and thread != service.pid]
        assert len(self.compute) >= 2, names

    def calls_of(self, action):
        """Heap calls while action() ran: on the loop thread the least of three runs, since a
        buffer grows once, such as that of a longer /metrics; on compute threads the most."""
        runs = [self.calls_once(action) for _ in range(3)]
        return min(loop for loop, _ in runs), max(compute for _, compute in runs)

    def calls_once(self, action):
        before = read_counts(self.path)
        action()
        self.service.wait_until_idle()
        after = read_counts(self.path)
        rise = {thread: after[thread] - before.get(thread, 0) for thread in after}
        return rise[self.loop], sum(rise.get(thread, 0) for thread in self.compute)


@pytest.fixture
def counting(serve, tmp_path):
    def start(*flags):
        if not LIBRARY.is_file():
            pytest.skip(f"{LIBRARY} is missing: build the tests")
        path = tmp_path / "counts"
        service = serve("--threads", 2, "--workers", 1, "--log-level", "warn",
                        "--chat-template", "chatml", *flags, model=models.small(),
                        env={"MALLOC_COUNT_FILE": str(path)}, preload=LIBRARY)
        return Counted(service, path)
    return start


@pytest.fixture
def counted(counting):
    return counting()


def stream(service, **fields):
    def run():
        with service.stream(prompt=[5] * 40, ignore_eos=True, **fields) as one:
            assert one.finish()["usage"]["completion_tokens"] == fields["max_tokens"]
    return run


def whole(service, **fields):
    return lambda: service.answer(prompt=[5] * 40, ignore_eos=True, **fields)


@pytest.mark.parametrize("form", [stream, whole])
@pytest.mark.parametrize("fields", [
    dict(seed=100000), dict(seed=100000, logprobs=20, stop=["never there"], repetition_penalty=1.5,
                            logit_bias={"7": -1})])
def test_1000_tokens_cost_the_loop_what_100_cost_and_compute_threads_nothing(counted, form, fields):
    service = counted.service
    for n in (100, 1000):  # whatever is made once
        form(service, max_tokens=n, **fields)()
    few, compute_few = counted.calls_of(form(service, max_tokens=100, **fields))
    many, compute_many = counted.calls_of(form(service, max_tokens=1000, **fields))
    assert few == many
    assert compute_few == compute_many == 0
    assert service.metrics().value("smallmind_engine_allocations_total") == 0


def test_a_traced_token_costs_the_loop_nothing_either(counting):
    counted = counting("--otlp-endpoint", "http://127.0.0.1:9")  # where nothing listens
    for n in (100, 1000):
        stream(counted.service, max_tokens=n, seed=100000)()
    few, compute_few = counted.calls_of(stream(counted.service, max_tokens=100, seed=100000))
    many, compute_many = counted.calls_of(stream(counted.service, max_tokens=1000, seed=100000))
    assert few == many
    assert compute_few == compute_many == 0


CHAT = dict(messages=[{"role": "user", "content": "Tell me of a dog."}])
LONG = dict(ignore_eos=True, temperature=1)
# Each: the path, and the body of a stream of n tokens.
DIALECTS = {
    "completions": lambda n, seed: ("/v1/completions", dict(
        LONG, prompt="Once", max_tokens=n, seed=seed, logprobs=3, n=2)),
    "chat": lambda n, seed: ("/v1/chat/completions", dict(
        LONG, **CHAT, max_tokens=n, seed=seed, logprobs=True, top_logprobs=4)),
    "responses": lambda n, seed: ("/v1/responses", dict(
        LONG, input="Tell me of a dog.", max_output_tokens=n, seed=seed)),
    "messages": lambda n, seed: ("/v1/messages", dict(
        LONG, **CHAT, model="any", max_tokens=n, seed=seed)),
    "ollama": lambda n, seed: ("/api/generate", dict(
        model="any", prompt="Once", options=dict(temperature=1, num_predict=n, seed=seed))),
    "ollama chat": lambda n, seed: ("/api/chat", dict(
        CHAT, model="any", options=dict(temperature=1, num_predict=n, seed=seed))),
    "tgi": lambda n, seed: ("/generate_stream", dict(inputs="Once", parameters=dict(
        max_new_tokens=n, seed=seed, do_sample=True, top_n_tokens=3))),
    "llama": lambda n, seed: ("/completion", dict(
        LONG, prompt="Once", n_predict=n, seed=seed, n_probs=3, timings_per_token=True)),
    "llama chat": lambda n, seed: ("/chat/completions", dict(
        LONG, **CHAT, max_tokens=n, seed=seed)),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_token_costs_the_loop_nothing_in_any_dialect(counted, name):
    service = counted.service

    def run(n, seed):
        """Tokens made in each answer: not all dialects can ban the end."""
        path, body = DIALECTS[name](n, seed)
        before = service.metrics().value("smallmind_generated_tokens_total")
        response = service.post(path, dict(body, stream=True))
        assert response.status == 200, response
        made = service.wait_until_idle().value("smallmind_generated_tokens_total") - before
        return made / body.get("n", 1)
    seed = next(seed for seed in range(1, 400) if run(500, seed) == 500)
    run(50, seed)  # whatever is made once
    few, compute_few = counted.calls_of(lambda: run(50, seed))
    many, compute_many = counted.calls_of(lambda: run(500, seed))
    assert few == many
    assert compute_few == compute_many == 0


def test_prefill_and_many_at_once_cost_compute_threads_nothing(counted):
    def crowd():
        streams = [counted.service.stream(prompt=[9 + k] * 300, max_tokens=50) for k in range(12)]
        for one in streams:
            one.finish()
            one.connection.close()
    _, compute = counted.calls_of(crowd)
    assert compute == 0
    assert counted.service.metrics().value("smallmind_engine_allocations_total") == 0


def test_resident_memory_is_flat_over_20000_tokens(serve):
    service = serve("--workers", 1, "--prefix-cache", "off", model=models.small())
    run = stream(service, max_tokens=1000)
    run()
    run()
    before = service.resident_kib()
    for _ in range(20 if FULL else 6):
        run()
    assert service.resident_kib() - before <= 512
