"""KV memory: what is chosen, what is taken, and numbers that its type cannot hold."""
import json
import struct
import threading

import pytest

import gguf_edit
import models
from service import run_verb, sanitizer

PROMPT = "Once upon a time"


def test_the_default_holds_eight_contexts_however_many_workers_there_are(serve):
    seen = []
    for args in [(), ("--workers", 1), ("--workers", 2, "--threads", 2)]:
        service = serve(*args)
        info = service.info()
        seen.append((info["kv"]["bytes"], info["kv"]["pages"], info["kv"]["sequence_pages"]))
        assert "8 whole contexts" in info["kv"]["why"]
        measured = info["calibration"]
        assert measured is None or (measured["alone_ns"] > 0 and measured["team_ns"] > 0
                                    and measured["rounds"] >= 2)
        service.stop()
    assert len(set(seen)) == 1
    assert seen[0][1] == 8 * seen[0][2]


def test_a_batch_that_is_asked_for_gets_its_contexts(serve):
    kv = serve("--max-batch", 12).info()["kv"]
    assert kv["pages"] == 12 * kv["sequence_pages"]


@pytest.mark.skipif(sanitizer() is not None, reason="a sanitizer's memory is its own")
def test_memory_is_taken_as_it_is_needed_and_not_by_compute_threads(serve):
    service = serve("--kv-memory", "900M", model=models.small())
    assert service.info()["kv"]["bytes"] > 890 << 20
    assert service.metrics().value("process_resident_memory_bytes") < 400 << 20
    answers = [None] * 24

    def ask(i):
        answers[i] = service.answer(prompt=f"{i} " + PROMPT * 40, max_tokens=200, seed=i,
                                    ignore_eos=True)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(answers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer["finish_reason"] == "length" for answer in answers)
    assert service.metrics().value("smallmind_engine_allocations_total") == 0


def huge_values(path, out):
    """The model with the first layer's attention norm a million times as large."""
    data = bytearray(path.read_bytes())
    name = gguf_edit.encode("blk.0.attn_norm.weight")
    at = data.index(name) + len(name)
    n_dims, n, kind, offset = struct.unpack_from("<IQIQ", data, at)
    assert (n_dims, kind) == (1, 0)
    begin = gguf_edit.layout(data)[2] + offset
    for place in range(begin, begin + 4 * n, 4):
        struct.pack_into("<f", data, place, struct.unpack_from("<f", data, place)[0] * 1e6)
    out.write_bytes(data)
    return out


def test_numbers_beyond_f16_get_another_type_or_an_error_that_names_it(serve, tmp_path):
    path = str(huge_values(models.small(), tmp_path / "huge.gguf"))
    service = serve(model=path)
    kv = service.info()["kv"]
    assert kv["type"] == "f32" and "F32" in kv["why"]
    assert service.answer(prompt=PROMPT, max_tokens=5, ignore_eos=True)["finish_reason"] == "length"
    service.stop()
    asked = serve("--kv-type", "f16", model=path)
    assert asked.info()["kv"]["type"] == "f16"
    assert "--kv-type" in asked.refusal(500, prompt=PROMPT, max_tokens=5)["message"]
    asked.stop()
    assert run_verb("generate", "--model", path, "--max-tokens", "3", "--ignore-eos",
                    PROMPT).returncode == 0
