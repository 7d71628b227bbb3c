"""Fields of /generate: ranges, types, names; a refusal names the field and what is right."""
import json

import pytest

from test_generate import STORY

GOOD = {  # the ends of each range, and a value inside
    "max_tokens": [1, 5],
    "temperature": [0, 0.8, 5, 5.0],
    "top_k": [0, 1, 2048],
    "top_p": [0, 0.5, 1],
    "min_p": [0, 0.5, 1],
    "typical_p": [0.1, 0.5, 1],
    "repetition_penalty": [0.1, 1, 10],
    "repetition_window": [0, 64, 512],
    "presence_penalty": [-2, 0, 2],
    "frequency_penalty": [-2, 0.5, 2],
    "logit_bias": [{}, {"5": -100, "6": 100}, {"7": False}, {"0": 0.5}],
    "seed": [0, 2**53, "0", str(2**64 - 1)],
    "stop": [[], "x", ["x"], ["%d-" % i for i in range(16)], "\u2603"],
    "min_tokens": [0, 1],
    "ignore_eos": [True, False],
    "logprobs": [None, 0, 20],
    "stream": [False],
    "profile": [False, True],
    "parse_special": [True, False],
    "add_special": [True, False],
    "stop_token_ids": [[], [5], list(range(32))],
    "model": ["anything", "", None],
    "deadline_ms": [600000],
    "prompt": ["x", [0], [1, 2, 2047], "\u2603 \U0001f999", "\t\n"],
}
BAD = {
    "max_tokens": [0, -1, 1.5, "5", True, [5], 1e300],
    "temperature": [-0.1, 5.1, "1", True, [1], {}],
    "top_k": [-1, 2049, 1.5, "4", 2**53],
    "top_p": [-0.01, 1.01, "1", False],
    "min_p": [-0.01, 1.01, "1"],
    "typical_p": [-0.01, 1.01, "1"],
    "repetition_penalty": [0, 0.09, 10.1, "1"],
    "repetition_window": [-1, 513, 0.5, "64"],
    "presence_penalty": [-2.1, 2.1, "0"],
    "frequency_penalty": [-2.1, 2.1, "0"],
    "logit_bias": [{"2048": 1}, {"-1": 1}, {"x": 1}, {"5": 101}, {"5": -101}, {"5": "1"},
                   {"5": True}, {"5": None}, [[5, 1]], "5", {"5.0": 1}, {"": 1}],
    "seed": [-1, 2**53 + 2, 1.5, "x", "", "-1", str(2**64), "1.0", True, [1]],
    "stop": [5, [5], "", [""], ["x%d" % i for i in range(17)], {"x": 1}, [["x"]]],
    "min_tokens": [-1, 1.5, "1"],
    "ignore_eos": [0, 1, "true", []],
    "logprobs": [-1, 21, 1.5, "5", True],
    "stream": [1, "true", []],
    "profile": [1, "true"],
    "parse_special": [1, "false"],
    "add_special": [1, "true"],
    "stop_token_ids": [5, [2048], [-1], ["x"], list(range(33)), {}, [1.5]],
    "model": [5, True, {}, ["x"]],
    "deadline_ms": [-1, "100", 1.5],
    "prompt": [5, True, {}, [], [2048], [-1], [1.5], ["x"], [[1]], [None], None],
}


def cases(table):
    return [pytest.param(name, value, id=f"{name}-{i}")
            for name, values in table.items() for i, value in enumerate(values)]


@pytest.mark.parametrize("name, value", cases(GOOD))
def test_a_value_in_range_is_served(service, name, value):
    fields = {"prompt": STORY, "max_tokens": 2, name: value}
    response = service.generate(**fields)
    assert response.status == 200, response


@pytest.mark.parametrize("name, value", cases(BAD))
def test_a_wrong_value_is_refused_by_name(service, name, value):
    fields = {"prompt": STORY, "max_tokens": 2, name: value}
    error = service.refusal(400, **fields)
    assert error["type"] == "invalid_request_error"
    assert error["param"] and error["param"].split(".")[0].split("[")[0] == name, error
    assert name in error["message"]


@pytest.mark.parametrize("wrong, right", [
    ("max_token", "max_tokens"), ("maxtokens", "max_tokens"), ("temprature", "temperature"),
    ("Prompt", "prompt"), ("top-k", "top_k"), ("topp", "top_p"), ("stops", "stop"),
    ("log_probs", "logprobs"), ("streams", "stream")])
def test_a_misspelt_field_is_refused_with_the_nearest_name(service, wrong, right):
    error = service.refusal(400, **{"prompt": STORY, "max_tokens": 2, wrong: 1})
    assert wrong in error["message"] and f"{right}" in error["message"], error
    assert error["param"] == wrong


def test_a_field_without_a_neighbour_is_refused_too(service):
    error = service.refusal(400, prompt=STORY, zzzzqqqq=1)
    assert "zzzzqqqq" in error["message"]


@pytest.mark.parametrize("name", ["prompt", "max_tokens", "seed"])
def test_a_field_twice_is_refused(service, name):
    body = json.dumps({"prompt": STORY, "max_tokens": 2, "seed": 1})[:-1]
    extra = json.dumps({name: {"prompt": "x", "max_tokens": 2, "seed": 1}[name]})[1:]
    response = service.post("/generate", f"{body}, {extra}")
    assert response.status == 400 and response.error()["param"] == name


def test_an_escaped_name_is_the_same_field(service):
    body = r'{"prompt": "x", "max\u005ftokens": 2, "max_tokens": 2}'
    assert service.post("/generate", body).status == 400
    body = r'{"prompt": "x", "max\u005ftokens": 2}'
    assert service.post("/generate", body).status == 200


def test_an_id_twice_in_logit_bias_is_refused(service):
    assert service.post("/generate", '{"prompt":"x","logit_bias":{"5":1,"5":2}}').status == 400


def test_a_missing_prompt_is_named(service):
    assert service.refusal(400, max_tokens=2)["param"] == "prompt"


@pytest.mark.parametrize("body", [
    r'{"prompt": "a\u0000b"}', r'{"a\u0000": 1, "prompt": "x"}', '{"prompt": "a\0b"}',
    '{"prompt": "x"} x', '{"prompt": "x"}{}', '{"prompt": "x",}', "{'prompt': 'x'}",
    '{"prompt": "x", "seed": 01}', '{"prompt": "x", "seed": 1.}', '{"prompt": "x", "seed": +1}',
    '{"prompt": "x", "temperature": 1e400}', '{"prompt": "x", "temperature": NaN}',
    '{"prompt": "a\nb"}', '{"prompt": "\\ud800"}', '{"prompt": "\\udc00\\ud800"}',
    '{"prompt": "\\x41"}', '{"prompt": "\\u00g0"}', '{"prompt": "x"', '"prompt"', '["prompt"]',
    '5', 'null', '', ' ', '\ufeff{"prompt": "x"}', '{"prompt": "x" /* no */}', '{prompt: "x"}'])
def test_what_is_no_json_object_is_refused(service, body):
    response = service.post("/generate", body)
    assert response.status == 400, response
    assert response.error()["type"] == "invalid_request_error"


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
                                 b"\xe2\x98", b"\x80"])
def test_what_is_no_utf8_is_refused(service, bad):
    assert service.post("/generate", b'{"prompt": "' + bad + b'"}').status == 400
    plain = service.post("/generate", b"text " + bad, {"Content-Type": "text/plain"})
    assert plain.status == 400


def test_depth_and_node_limits_are_refusals_not_crashes(service):
    deep = '{"prompt": ' + "[" * 100000 + "]" * 100000 + "}"
    assert service.post("/generate", deep).status in (400, 413)
    wide = '{"prompt": [' + ",".join(["1"] * 400000) + "]}"
    assert service.post("/generate", wide).status in (400, 413)
    assert service.get("/livez").status == 200


def test_surrogate_pairs_are_one_character(service):
    escaped = service.post("/tokenize", r'{"text": "\ud83e\udd99"}').json()
    assert escaped == service.post("/tokenize", {"text": "\U0001f999"}).json()


def check_profile(profile, n_tokens):
    decode, prefill = profile["decode"], profile["prefill"]
    assert decode["steps"] == n_tokens - 1 and prefill["steps"] >= 1
    assert 0 < decode["recorded_steps"] <= decode["steps"]
    assert prefill["recorded_steps"] == prefill["steps"]
    for share in (decode, prefill):
        parts = share["attention_ms"] + sum(share["matmul_ms"].values()) + share["sampling_ms"] \
            + share["other_ms"]
        assert parts <= share["total_ms"] * 1.01 + 0.01
        assert share["recorded_steps"] == 0 or parts >= share["total_ms"] * 0.9 - 0.01
        assert share["bytes"] >= 0 and share["gb_s"] >= 0
        assert share["fraction"] > 0
    assert set(decode["matmul_ms"]) == {"Q8_0"} and decode["mean_sequences"] >= 1
    assert decode["bytes"] > 0 and decode["fraction"] > 0
    assert decode["gb_s"] == pytest.approx(decode["bytes"] / decode["total_ms"] * 1e-6, rel=0.01)
    limits = profile["limits"]
    assert limits["read_gb_s"] > 0 and limits["measuring_ms"] >= 0
    # The limits count, of all that is moved, weights, keys and values: most of it.
    assert decode["bound"] == "memory"
    assert 0.5 < decode["fraction"] / (decode["gb_s"] / limits["read_gb_s"]) < 1.02
    assert profile["tokenize_ms"] > 0 and profile["write_ms"] > 0 and profile["queue_ms"] >= 0


def test_a_request_has_its_own_profile(service):
    fields = dict(prompt=STORY, max_tokens=20, seed=4, ignore_eos=True)
    plain, profiled = service.answer(**fields), service.answer(**fields, profile=True)
    assert "profile" not in plain
    assert profiled["text"] == plain["text"], "a profile changes no byte"
    check_profile(profiled["profile"], 20)
    with service.stream(**fields, profile=True) as stream:
        stream.finish()
    check_profile(stream.events[-1]["profile"], 20)
    assert stream.events[-1]["profile"]["limits"]["measuring_ms"] == 0, "the first had to wait"


def test_who_asks_first_waits_for_the_limits_and_is_told(serve):
    service = serve()
    fields = dict(prompt=STORY, max_tokens=8, seed=4, ignore_eos=True, profile=True)
    response = service.generate(**fields)
    limits = response.json()["profile"]["limits"]
    assert limits["measuring_ms"] > 0 and limits["beside_work"] is False
    timing = response.header("Server-Timing")
    names = [part.split(";")[0].strip() for part in timing.split(",")]
    assert names == ["tokenize", "measure", "queue", "prefill", "decode", "write", "total"]
    queue = response.json()["timings"]["queue_ms"]
    assert queue < limits["measuring_ms"], "the measuring is no part of the queue's time"
    again = service.generate(**fields)
    assert "measure" not in again.header("Server-Timing")
    assert again.json()["profile"]["limits"]["read_gb_s"] == limits["read_gb_s"]


def test_a_deadline_waits_for_no_limits(serve):
    got = serve().answer(prompt=STORY, max_tokens=8, profile=True, deadline_ms=600000)
    assert got["profile"]["limits"] is None and got["profile"]["decode"]["fraction"] is None
    assert got["profile"]["decode"]["gb_s"] > 0


def test_every_answer_times_its_tokenizing_and_writing(service):
    timing = service.generate(prompt=STORY, max_tokens=2).header("Server-Timing")
    names = [part.split(";")[0].strip() for part in timing.split(",")]
    assert names == ["tokenize", "queue", "prefill", "decode", "write", "total"]
    with service.stream(prompt=STORY, max_tokens=2) as stream:
        timing = stream.head.header("Server-Timing")
        stream.finish()
    assert [part.split(";")[0].strip() for part in timing.split(",")] == \
        ["parse", "tokenize", "total"]
