"""KV memory is held for what is there: chats without limits share what few of them could fill, the
youngest give way to the oldest and go on later, and every answer is the one it is alone."""
import concurrent.futures
import random

import pytest

from service import sanitizer

N = 16 if sanitizer() else 64
CONTEXT, CONTEXTS = 512, 8
PAGE = 32  # positions
PAGE_BYTES = PAGE * 6 * 2 * 2 * 32 * 2  # positions, layers, K and V, heads, width, F16
SEEN = ("text", "tokens", "logprobs", "finish_reason", "seed", "usage")


def chats(n):
    """As clients without a limit send them: each may fill the context; some have stop strings."""
    draw = random.Random(711)
    for k in range(n):
        prompt = [draw.randrange(1, 2000) for _ in range(draw.choice([2, 9, 30, 70, 150]))]
        fields = dict(
            prompt=prompt,
            max_tokens=CONTEXT - len(prompt),
            seed=k,
            ignore_eos=k % 4 != 3,
            temperature=draw.choice([0.3, 0.8, 1.2]),
            logprobs=3 if k % 5 == 0 else 0,
        )
        if k % 8 == 1:
            fields.update(stop=["zq", "the th"], repetition_penalty=1.3)
        if k % 8 == 5:
            fields.update(min_tokens=200, frequency_penalty=0.3)
        yield fields


def seen(answer):
    known = {name: answer[name] for name in SEEN if name in answer}
    known["usage"] = {
        name: value for name, value in answer["usage"].items() if "cached" not in name
    }
    return known


@pytest.fixture(scope="module")
def alone(all_shared):
    """Each by itself, in memory that never runs out."""
    service = all_shared.get(
        "--workers", 1, "--threads", 1, "--prefix-cache", "off", "--max-batch", 4
    )
    made = list(chats(N))
    return made, [seen(service.answer(**fields)) for fields in made]


@pytest.mark.parametrize("workers, cache, step", [(1, "on", 512), (1, "off", 16), (2, "on", 512)])
def test_chats_without_limits_in_memory_for_a_few(serve, alone, workers, cache, step):
    made, expected = alone
    service = serve(
        "--workers",
        workers,
        "--threads",
        2,
        "--prefix-cache",
        cache,
        "--kv-memory",
        CONTEXTS * CONTEXT // PAGE * PAGE_BYTES,
        "--step-tokens",
        step,
        "--max-batch",
        32,
        "--max-queue",
        256,
        "--max-wait-seconds",
        "off",
    )
    service.timeout *= 8

    def ask(k):
        if k % 2:
            return seen(service.answer(**made[k]))
        with service.stream(**made[k]) as stream:
            return seen(stream.finish())

    with concurrent.futures.ThreadPoolExecutor(N) as pool:
        for k, got in enumerate(pool.map(ask, range(N))):
            assert got == expected[k], f"request {k}: {made[k]}"
    metrics = service.wait_until_idle()
    assert metrics.value("smallmind_preemptions_total") > 0
    assert metrics.value("smallmind_recomputed_tokens_total") > 0
    assert metrics.value("smallmind_generated_tokens_total") == sum(
        answer["usage"]["completion_tokens"] for answer in expected
    )
    assert metrics.value("smallmind_prompt_tokens_total", source="computed") + metrics.value(
        "smallmind_prompt_tokens_total", source="cached"
    ) == sum(len(fields["prompt"]) for fields in made)
    assert metrics.value("smallmind_engine_allocations_total") == 0
    assert metrics.value("smallmind_kv_pages", state="used") == 0
    assert service.get("/livez").status == 200


def test_a_client_that_leaves_while_its_generation_waits_to_go_on(serve):
    """Its place in the line is given up at once; the others are served."""
    service = serve(
        "--workers",
        1,
        "--threads",
        1,
        "--prefix-cache",
        "off",
        "--kv-memory",
        (CONTEXT // PAGE + 2) * PAGE_BYTES,
        "--max-wait-seconds",
        "off",
    )
    service.timeout *= 8
    streams = [
        service.stream(prompt=[5 + k] * 4, max_tokens=CONTEXT - 4, ignore_eos=True, seed=k)
        for k in range(4)
    ]
    oldest = streams[0].finish()
    assert len(oldest["tokens"]) == CONTEXT - 4
    metrics = service.metrics()
    assert metrics.value("smallmind_preemptions_total") > 0
    for stream in streams[1:]:
        stream.connection.close()
    metrics = service.wait_until_idle()
    assert metrics.value("smallmind_kv_pages", state="used") == 0
    assert len(service.answer(prompt=[3, 4], max_tokens=5, ignore_eos=True)["tokens"]) == 5
