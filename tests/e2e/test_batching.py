"""Sequences are computed together: one pass over the weights for all who decode."""
import threading
import time

import models
from service import FULL, sanitizer


def stream_all(service, n, max_tokens):
    """n clients at once; tokens and seconds from the first one's start to the last one's end."""
    done = []

    def one(k):
        with service.stream(prompt=[50 + k] * 16, max_tokens=max_tokens, ignore_eos=True,
                            seed=k) as stream:
            done.append(len(stream.finish()["tokens"]))

    threads = [threading.Thread(target=one, args=(k,)) for k in range(n)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [max_tokens] * n
    return n * max_tokens, time.monotonic() - start


def test_8_streaming_clients_share_their_steps(serve):
    model = models.smol135() if sanitizer() is None else models.slow()
    service = serve("--workers", 1, "--context", 512, model=model)
    if FULL:
        tokens, seconds = stream_all(service, 1, 100)
        alone = tokens / seconds
    before = service.metrics()
    tokens, seconds = stream_all(service, 8, 100)
    after = service.metrics()
    name = "smallmind_step_sequences"
    steps = after.value(name + "_count") - before.value(name + "_count")
    rows = after.value(name + "_sum") - before.value(name + "_sum")
    print(f"mean of step sequences {rows / steps:.2f}, {tokens / seconds:.1f} tokens/s")
    assert rows / steps >= 6
    if FULL:
        print(f"alone {alone:.1f} tokens/s: {tokens / seconds / alone:.2f} times")
        assert tokens / seconds >= 3 * alone


def test_a_sequence_joins_while_others_run(shared):
    service = shared("--workers", 1, model=models.slow())
    first = service.stream(prompt=[5] * 8, max_tokens=1000, ignore_eos=True).read_tokens(1)
    second = service.answer(prompt=[6] * 8, max_tokens=5, ignore_eos=True)
    assert len(second["tokens"]) == 5
    assert not first.done, "the second was served while the first still ran"
    first.read_tokens(len(first.events) + 1)
    first.connection.close()
    service.wait_until_idle()


def test_a_long_prompt_does_not_freeze_who_is_decoding(serve):
    """The other's prompt is read in many steps, and the first has a token out of each."""
    service = serve("--workers", 1, "--step-tokens", 16, model=models.slow())

    def steps_of_two():
        metrics = service.metrics()
        return (metrics.value("smallmind_step_sequences_bucket", le="2")
                - metrics.value("smallmind_step_sequences_bucket", le="1"))

    first = service.stream(prompt=[5] * 8, max_tokens=1900, ignore_eos=True).read_tokens(3)
    before = steps_of_two()
    # 247 tokens beside one that decodes: 15 a step at most, and none but a prompt's steps hold two.
    answer = service.answer(prompt=list(range(3, 250)), max_tokens=1, ignore_eos=True)
    assert answer["finish_reason"] == "length"
    assert steps_of_two() - before >= 16
    first.connection.close()
    service.wait_until_idle()
