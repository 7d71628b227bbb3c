"""A prompt that was seen before costs its last page alone, and the answer is the same bits."""
import random

import pytest

from service import FULL

# The built-in model's positions, layers, K and V, heads, width, F16.
PAGE_BYTES = 32 * 6 * 2 * 2 * 32 * 2


def ids(seed, n):
    return random.Random(seed).choices(range(1, 2048), k=n)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_400_tokens_twice_are_found_in_the_cache(serve, workers):
    service = serve("--workers", workers, "--threads", 2)
    prompt = ids(1, 400)
    first = service.answer(prompt=prompt, max_tokens=16, seed=5, logprobs=5)
    second = service.answer(prompt=prompt, max_tokens=16, seed=5, logprobs=5)
    assert first["usage"]["cached_tokens"] == 0
    assert 352 <= second["usage"]["cached_tokens"] < 400
    for name in ("text", "tokens", "logprobs", "finish_reason"):
        assert first[name] == second[name]
    if FULL:
        assert second["timings"]["prefill_ms"] <= first["timings"]["prefill_ms"] / 4
    metrics = service.metrics()
    cached = second["usage"]["cached_tokens"]
    assert metrics.value("smallmind_prompt_tokens_total", source="cached") == cached
    assert metrics.value("smallmind_prompt_tokens_total", source="computed") == 800 - cached
    assert metrics.value("smallmind_prefix_cache_hit_tokens_total") == cached
    assert metrics.value("smallmind_prefix_cache_query_tokens_total") == 800
    assert metrics.value("smallmind_kv_pages", state="cached") >= 12


def test_off_means_off(serve):
    service = serve("--prefix-cache", "off")
    for _ in range(2):
        assert service.answer(prompt=ids(2, 200), max_tokens=2)["usage"]["cached_tokens"] == 0
    assert service.metrics().value("smallmind_kv_pages", state="cached") == 0


def test_generated_text_is_shared_like_a_prompt(service):
    prompt = ids(3, 100)
    answer = service.answer(prompt=prompt, max_tokens=100, temperature=0, ignore_eos=True)
    turn = prompt + answer["tokens"] + ids(4, 20)
    assert service.answer(prompt=turn, max_tokens=2)["usage"]["cached_tokens"] >= 192


def test_only_whole_equal_pages_are_shared(service):
    prompt = ids(5, 200)
    service.answer(prompt=prompt, max_tokens=2)
    other = prompt[:100] + [prompt[100] % 2000 + 1] + prompt[101:]
    assert service.answer(prompt=other, max_tokens=2)["usage"]["cached_tokens"] == 96
    shifted = prompt[1:]
    assert service.answer(prompt=shifted, max_tokens=2)["usage"]["cached_tokens"] == 0


def test_a_prompt_of_whole_pages_still_computes_its_last_token(service):
    prompt = ids(6, 128)
    first = service.answer(prompt=prompt, max_tokens=8, seed=1, logprobs=2)
    second = service.answer(prompt=prompt, max_tokens=8, seed=1, logprobs=2)
    assert second["usage"]["cached_tokens"] in (96, 127)
    assert first["logprobs"] == second["logprobs"]


def test_keys_do_not_share_prefixes(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alpha-key-000000000000\nbeta-key-0000000000000\n")
    service = serve("--api-key-file", keys)
    found = []
    for key in ("alpha-key-000000000000", "beta-key-0000000000000", "alpha-key-000000000000"):
        response = service.generate({"X-Api-Key": key}, prompt=ids(7, 200), max_tokens=2)
        found.append(response.json()["usage"]["cached_tokens"])
    assert found[0] == found[1] == 0 and found[2] >= 160


def test_when_memory_runs_out_old_prefixes_go_first_and_answers_stay_right(serve):
    """A cache that holds little more than one context: every request evicts another's pages."""
    small = serve("--workers", 1, "--kv-memory", PAGE_BYTES * 18)
    prompts = [ids(100 + k, 300) for k in range(4)]
    before = [small.answer(prompt=p, max_tokens=8, seed=1)["tokens"] for p in prompts]
    after = [small.answer(prompt=p, max_tokens=8, seed=1) for p in prompts]
    assert [a["tokens"] for a in after] == before
    again = small.answer(prompt=prompts[-1], max_tokens=8, seed=1)
    assert again["usage"]["cached_tokens"] >= 256, "the newest prefix is still there"
