"""A request's bytes depend on itself alone: not on its neighbours, the cutting of prompts, the
cache, threads, workers or kernels."""
import concurrent.futures
import itertools
import random

import pytest

import models
from service import EXTRA, FULL, sanitizer

N = 200 if FULL else 12 if sanitizer() == "thread" else 40
SEEN = ("text", "tokens", "logprobs", "finish_reason", "seed")


def requests(n, context, vocabulary):
    """Mixed lengths, seeds, temperatures and fields; some share beginnings."""
    draw = random.Random(20261)
    shared = [draw.randrange(1, vocabulary) for _ in range(context // 2)]
    made = []
    for k in range(n):
        own = [draw.randrange(1, vocabulary) for _ in range(draw.choice([1, 3, 20, 60, 150]))]
        prompt = shared[:draw.choice([0, 0, 31, 64, 100])] + own
        fields = dict(prompt=prompt[:context - 30], max_tokens=draw.choice([1, 5, 12, 30]), seed=k,
                      temperature=draw.choice([0, 0.5, 1, 2]), logprobs=draw.choice([0, 3, 20]))
        if k % 5 == 0:
            fields.update(repetition_penalty=1.3, frequency_penalty=0.2, top_k=0)
        if k % 7 == 0:
            fields.update(typical_p=0.9, top_p=1, min_p=0)
        made.append(fields)
    return made


def seen(answer):
    return {name: answer[name] for name in SEEN}


def ask_all(service, made):
    """All at once, each as a JSON answer or a stream."""
    def ask(k):
        if k % 2:
            return seen(service.answer(**made[k]))
        with service.stream(**made[k]) as stream:
            return seen(stream.finish())
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        return list(pool.map(ask, range(len(made))))


MODELS = {"builtin": (lambda: "builtin", 512, 2048)}
for _name in ("llama256.Q4_0.gguf", "llama256.Q4_K_M.gguf", "gpt256.Q8_0.gguf",
              "llama256.F16.gguf", "llama256.Q6_K.gguf"):
    MODELS[_name] = (lambda name=_name: models.fixture(name), 256, 512)

REDUCED = [  # every value of every setting, and the pairs that share code
    ("builtin", 1, 1, "auto", 16, "on"), ("builtin", 2, 2, "auto", 512, "on"),
    ("builtin", 1, 2, "ref", 16, "off"), ("llama256.Q4_0.gguf", 1, 2, "auto", 16, "on"),
    ("llama256.Q4_K_M.gguf", 2, 2, "auto", 16, "off"), ("gpt256.Q8_0.gguf", 1, 2, "ref", 512, "on"),
    ("llama256.F16.gguf", 1, 1, "auto", 512, "off"),
    ("llama256.Q6_K.gguf", 1, 2, "auto", 512, "on")]
WHOLE = [(model, workers, threads, cpu, step, cache)
         for model, workers, threads, cpu, step, cache in itertools.product(
             MODELS, (1, 2), (1, 2), ("ref", "auto"), (16, 512), ("on", "off"))
         if threads >= workers]


@pytest.fixture(scope="module")
def alone(all_shared):
    """Each model's answers one by one: one thread, nothing cached, no neighbours."""
    known = {}

    def of(name, kv_type="f16"):
        if (name, kv_type) not in known:
            path, context, vocabulary = MODELS[name]
            service = all_shared.get("--workers", 1, "--threads", 1, "--prefix-cache", "off",
                                     "--max-batch", 4, "--kv-type", kv_type, model=path())
            made = requests(N, context, vocabulary)
            known[name, kv_type] = made, [seen(service.answer(**fields)) for fields in made]
        return known[name, kv_type]
    return of


@pytest.mark.parametrize("name, workers, threads, cpu, step, cache", WHOLE if FULL else REDUCED)
def test_in_a_crowd_as_alone(serve, alone, name, workers, threads, cpu, step, cache):
    made, expected = alone(name)
    if cpu == "ref":  # some twenty times slower
        made = made[:N // 4]
    cpu_flags = [] if EXTRA and cpu == "auto" else ["--cpu", cpu]
    service = serve("--workers", workers, "--threads", threads, "--step-tokens", step,
                    "--prefix-cache", cache, "--max-queue", 256, "--max-wait-seconds", "off",
                    *cpu_flags, model=MODELS[name][0]())
    service.timeout *= 8
    for temperature in ("cold", "warm"):
        for k, (got, right) in enumerate(zip(ask_all(service, made), expected)):
            assert got == right, f"{temperature}, request {k}: {made[k]}"
    if cache == "on":
        assert service.metrics().value("smallmind_prefix_cache_hit_tokens_total") > 0
    assert service.metrics().value("smallmind_engine_allocations_total") == 0


@pytest.mark.parametrize("cpu", ["auto", "ref"])
def test_q8_keys_and_values_in_a_crowd_as_alone(serve, alone, cpu):
    """Rounded coarsely, and still the same for everyone; /info says what they take."""
    made, expected = alone("builtin", "q8")
    if cpu == "ref":
        made = made[:N // 4]
    cpu_flags = [] if EXTRA and cpu == "auto" else ["--cpu", cpu]
    service = serve("--workers", 1, "--threads", 2, "--kv-type", "q8", "--max-queue", 256,
                    "--max-wait-seconds", "off", *cpu_flags)
    service.timeout *= 8
    for temperature in ("cold", "warm"):
        for k, (got, right) in enumerate(zip(ask_all(service, made), expected)):
            assert got == right, f"{temperature}, request {k}: {made[k]}"
    assert service.metrics().value("smallmind_prefix_cache_hit_tokens_total") > 0
    _, f16 = alone("builtin")
    assert expected != f16
    kv = service.info()["kv"]
    assert kv["type"] == "q8"
    assert kv["page_bytes"] == 32 * 6 * 2 * 2 * 34  # positions, layers, K and V, heads, 32 + scale
    assert kv["bytes"] == kv["pages"] * kv["page_bytes"]


def test_a_small_kv_memory_makes_requests_wait_and_changes_nothing(serve, alone):
    """Room for little more than one context: sequences come and go, pages are evicted."""
    made, expected = alone("builtin")
    page_bytes = 32 * 6 * 2 * 2 * 32 * 2  # positions, layers, K and V, heads, width, F16
    small = serve("--workers", 1, "--kv-memory", page_bytes * 20, "--max-queue", 256,
                  "--max-wait-seconds", "off")
    small.timeout *= 8
    for got, right in zip(ask_all(small, made), expected):
        assert got == right
