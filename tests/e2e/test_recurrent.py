"""A model with recurrent layers: its states are memory like KV pages, and prefixes are found again
where a state was kept, with the same bits."""
import random
from concurrent.futures import ThreadPoolExecutor

import models

NAMES = ("text", "tokens", "logprobs", "finish_reason")


def ids(seed, n):
    return random.Random(seed).choices(range(1, 500), k=n)


def model():
    return models.random_model("tiny-qwen35", "--type", "Q8_0")


def with_memory(serve, n):
    """A service whose KV memory is that of n sequences."""
    first = serve("--model", model())
    n_bytes = n * first.info()["kv"]["sequence_bytes"]
    first.stop()
    return serve("--model", model(), "--kv-memory", n_bytes, "--workers", "1")


def same(a, b):
    return all(a[name] == b[name] for name in NAMES)


def test_info_counts_states_within_the_budget(serve):
    service = with_memory(serve, 3)
    kv = service.info()["kv"]
    assert kv["states"] >= 3 and kv["state_bytes"] > 0 and kv["windows"] == 0
    assert kv["bytes"] == kv["pages"] * kv["page_bytes"] + kv["states"] * kv["state_bytes"]
    assert kv["bytes"] <= 3 * kv["sequence_bytes"]
    metrics = service.metrics()
    assert metrics.value("smallmind_kv_states", state="used") == 0
    assert metrics.value("smallmind_kv_states", state="free") == kv["states"]


def test_without_a_free_state_requests_wait(serve):
    """One state: of six requests at once five wait, and every answer is as it is alone."""
    service = with_memory(serve, 1)
    assert service.info()["kv"]["states"] == 1
    asked = [dict(prompt=ids(i, 40 + 9 * i), max_tokens=24, seed=i, logprobs=3) for i in range(6)]
    alone = [service.answer(**body) for body in asked]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda body: service.answer(**body), asked))
    assert all(map(same, alone, together))


def test_a_conversation_goes_on_from_its_last_turn(serve):
    services = [serve("--model", model(), "--prefix-cache", on) for on in ("on", "off")]
    prompt, answers = ids(1, 100), []
    for turn in range(3):
        body = dict(prompt=prompt, max_tokens=40, temperature=0, ignore_eos=True, logprobs=2)
        answers = [service.answer(**body) for service in services]
        assert same(*answers)
        assert answers[1]["usage"]["cached_tokens"] == 0
        if turn > 0:  # all but the last page of what the turn before had
            assert answers[0]["usage"]["cached_tokens"] >= before - 33
        before = len(prompt) + 40
        prompt = prompt + answers[0]["tokens"] + ids(turn + 9, 11)
    assert services[0].metrics().value("smallmind_kv_states", state="cached") > 0
    assert services[1].metrics().value("smallmind_kv_states", state="cached") == 0


def test_a_system_prompt_is_kept_when_it_is_first_met(serve):
    """The second conversation with it begins there; both answers are as without a cache."""
    services = [serve("--model", model(), "--workers", "1", "--chat-template", "chatml",
                      "--prefix-cache", on) for on in ("on", "off")]
    system = {"role": "system", "content": "Answer in one short sentence, and be kind. " * 6}
    seen = []
    for question in ("Why is the sky blue?", "How deep is the sea where it is deepest of all?"):
        body = {"messages": [system, {"role": "user", "content": question}], "max_tokens": 12,
                "temperature": 0, "logprobs": True}
        answers = [s.post("/v1/chat/completions", body).json() for s in services]
        assert answers[0]["choices"] == answers[1]["choices"]
        seen.append(answers[0]["usage"]["prompt_tokens_details"]["cached_tokens"])
    assert seen[0] == 0 and seen[1] > 64


def test_a_common_beginning_is_kept_once_it_has_been_met_twice(serve):
    service = serve("--model", model(), "--workers", "1")
    system = ids(2, 200)
    cached = [service.answer(prompt=system + ids(seed, 50), max_tokens=2)["usage"]["cached_tokens"]
              for seed in (3, 4, 5)]
    assert cached == [0, 0, 192]
