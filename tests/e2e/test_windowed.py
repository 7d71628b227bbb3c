"""A model of which five layers of six see the last 512 of 4,096 positions: what its KV memory is,
and that a text much longer than the window needs no more."""
import random

import models

CONTEXT, WINDOW, PAGE = 4096, 512, 32
LAYERS, HEADS, HEAD, F16 = 6, 2, 16, 2
BLOCK = PAGE * HEADS * 2 * HEAD * F16  # keys and values of one layer in a page


def model():
    return models.random_model("windowed", "--type", "Q8_0")


def ids(seed, n):
    return random.Random(seed).choices(range(1, 500), k=n)


def test_info_counts_windows_and_not_the_context(serve):
    kv = serve("--kv-type", "f16", "--workers", "1", model=model()).info()["kv"]
    assert (kv["page_positions"], kv["sequence_pages"]) == (PAGE, CONTEXT // PAGE)
    assert kv["page_bytes"] == BLOCK  # the one layer that sees all
    assert kv["window_bytes"] == (LAYERS - 1) * BLOCK
    assert kv["bytes"] == kv["pages"] * kv["page_bytes"] + kv["windows"] * kv["window_bytes"]
    # A window touches one page more than it fills; some are taken ahead while a prompt is read.
    windows, rest = divmod(kv["sequence_bytes"] - CONTEXT // PAGE * BLOCK, kv["window_bytes"])
    assert rest == 0 and WINDOW // PAGE + 1 <= windows <= WINDOW // PAGE + 9
    assert kv["sequence_bytes"] < CONTEXT // PAGE * LAYERS * BLOCK / 2.5


def test_the_memory_of_one_sequence_holds_a_whole_context(serve):
    wide = serve("--kv-type", "f16", "--workers", "1", model=model())
    n_bytes = wide.info()["kv"]["sequence_bytes"]
    tight = serve("--kv-type", "f16", "--workers", "1", "--kv-memory", n_bytes, model=model())
    assert tight.info()["kv"]["bytes"] <= n_bytes
    body = dict(prompt=ids(1, CONTEXT - 40), max_tokens=39, ignore_eos=True, temperature=0,
                logprobs=2)
    answers = [service.answer(**body) for service in (wide, tight)]
    assert answers[0]["tokens"] == answers[1]["tokens"]
    assert answers[0]["logprobs"] == answers[1]["logprobs"]
