"""OpenAI's completions over raw sockets: shapes, several answers, streams, echo, refusals, and the
same text as the native API's."""
import json

import pytest

import http1
import models
from service import poll

PROMPT = "Once upon a time"


def complete(service, status=200, path="/v1/completions", **fields):
    response = service.post(path, fields)
    assert response.status == status, response
    return response.json() if status == 200 else response.error()


def chunks_of(service, **fields):
    """The events of a stream that ends with [DONE]."""
    body = dict(fields, stream=True)
    request = service.build("POST", "/v1/completions", body)
    with http1.Stream(service.connect(), request) as stream:
        assert stream.status == 200
        while stream.next() is not None:
            pass
        assert stream.done
        return stream.events


def joined(chunks, index):
    texts, finishes = [], []
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"] == index:
                texts.append(choice["text"])
                finishes.append(choice["finish_reason"])
    assert finishes[-1] and not any(finishes[:-1])  # said once, at the end
    return "".join(texts), finishes[-1]


def native(service, **fields):
    """The same request in our own words: OpenAI's defaults differ."""
    plain = dict(temperature=1, top_k=0, top_p=1, min_p=0)
    return service.answer(**{**plain, **fields})


# --- shapes and texts ---

def test_a_completion_is_the_native_text(service):
    body = complete(service, prompt=PROMPT, max_tokens=20, seed=7)
    right = native(service, prompt=PROMPT, max_tokens=20, seed=7)
    assert body["object"] == "text_completion" and body["id"].startswith("cmpl-")
    assert [c["text"] for c in body["choices"]] == [right["text"]]
    assert body["choices"][0]["logprobs"] is None
    usage = body["usage"]
    assert usage["prompt_tokens"] == right["usage"]["prompt_tokens"]
    assert usage["completion_tokens"] == right["usage"]["completion_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_sixteen_tokens_where_none_are_named(service):
    body = complete(service, prompt=PROMPT, ignore_eos=True)
    assert body["usage"]["completion_tokens"] == 16
    assert body["choices"][0]["finish_reason"] == "length"


def test_each_of_n_answers_has_draws_of_its_own(service):
    fields = dict(prompt=PROMPT, max_tokens=24, seed=3)
    body = complete(service, n=4, **fields)
    texts = [c["text"] for c in body["choices"]]
    assert [c["index"] for c in body["choices"]] == [0, 1, 2, 3]
    assert texts[0] == complete(service, **fields)["choices"][0]["text"]
    assert len(set(texts)) > 1
    assert texts == [c["text"] for c in complete(service, n=4, **fields)["choices"]]
    assert texts[:2] == [c["text"] for c in complete(service, n=2, **fields)["choices"]]
    usage = body["usage"]  # the prompt counts once
    assert usage["prompt_tokens"] == complete(service, **fields)["usage"]["prompt_tokens"]


def test_a_seed_is_any_integer_of_64_bits(service):
    fields = dict(prompt=PROMPT, max_tokens=8)
    for seed, same in ((-5, 2**64 - 5), (-2**63, 2**63), (2**63 - 1, str(2**63 - 1)),
                       (2**64 - 1, str(2**64 - 1))):
        assert complete(service, seed=seed, **fields)["choices"] == \
            complete(service, seed=same, **fields)["choices"], seed
    for seed in (2**64, -2**63 - 1, 0.5):
        error = complete(service, 400, seed=seed, **fields)
        assert error["param"] == "seed" and "64 bits" in error["message"], error
    assert complete(service, seed=-1, **fields)["choices"]  # drawn


def test_several_prompts_are_answered_each_as_alone(service):
    prompts = [PROMPT, "The dog", [1, 5, 9], "A"]
    fields = dict(max_tokens=12, seed=11, n=2)
    body = complete(service, prompt=prompts, **fields)
    alone = [complete(service, prompt=prompt, **fields) for prompt in prompts]
    assert [c["text"] for c in body["choices"]] == \
        [c["text"] for one in alone for c in one["choices"]]
    for name in ("prompt_tokens", "completion_tokens"):
        assert body["usage"][name] == sum(one["usage"][name] for one in alone)


@pytest.mark.parametrize("logprobs", [None, 0, 3])
def test_a_stream_tells_the_same(service, logprobs):
    fields = dict(prompt=[PROMPT, "Lily"], max_tokens=15, seed=5, n=2, echo=True)
    if logprobs is not None:
        fields["logprobs"] = logprobs
    whole = complete(service, **fields)
    chunks = chunks_of(service, stream_options={"include_usage": True}, **fields)
    for choice in whole["choices"]:
        assert joined(chunks, choice["index"]) == (choice["text"], choice["finish_reason"])
        if logprobs is None:
            continue
        lists = {name: [] for name in choice["logprobs"]}
        for chunk in chunks:
            for part in chunk["choices"]:
                if part["index"] == choice["index"] and part["logprobs"]:
                    for name in lists:
                        lists[name] += part["logprobs"][name]
        assert lists == choice["logprobs"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    last, right = chunks[-1]["usage"], whole["usage"]
    assert chunks[-1]["choices"] == [] and last["total_tokens"] == right["total_tokens"]
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_without_include_usage_no_chunk_has_it(service):
    assert all("usage" not in chunk for chunk in chunks_of(service, prompt="a", max_tokens=3))


# --- log-probabilities, echo ---

def test_logprobs_are_the_natural_ones(service):
    body = complete(service, prompt=PROMPT, max_tokens=10, seed=2, logprobs=4)
    right = native(service, prompt=PROMPT, max_tokens=10, seed=2, logprobs=4)
    found = body["choices"][0]["logprobs"]
    assert found["token_logprobs"] == [entry["logprob"] for entry in right["logprobs"]]
    for top, entry in zip(found["top_logprobs"], right["logprobs"]):
        assert {t["logprob"] for t in entry["top"]} <= set(top.values())
        assert entry["logprob"] in top.values()
    text = body["choices"][0]["text"]
    for token, offset in zip(found["tokens"], found["text_offset"]):
        assert text[offset:].startswith(token)


def test_the_prompt_echoed_has_logprobs_too(service):
    made = complete(service, prompt=PROMPT, max_tokens=12, temperature=0, logprobs=2)["choices"][0]
    text = PROMPT + made["text"]
    body = complete(service, prompt=text, max_tokens=0, echo=True, logprobs=2)
    choice = body["choices"][0]
    assert choice["text"] == text and choice["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 0
    found, n = choice["logprobs"], len(made["logprobs"]["tokens"])
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    assert found["tokens"][-n:] == made["logprobs"]["tokens"]
    assert found["token_logprobs"][-n:] == made["logprobs"]["token_logprobs"]
    assert found["top_logprobs"][-n:] == made["logprobs"]["top_logprobs"]
    again = complete(service, prompt=text, max_tokens=1, echo=True, logprobs=2)["choices"][0]
    assert again["logprobs"]["token_logprobs"][:-1] == found["token_logprobs"]


@pytest.mark.parametrize("stream", [False, True])
def test_all_answers_of_a_prompt_share_its_logprobs(service, stream):
    body = dict(prompt=[PROMPT, PROMPT + " a"], max_tokens=3, echo=True, logprobs=1, seed=7)
    alone = [complete(service, **dict(body, prompt=prompt))["choices"][0]["logprobs"]
             for prompt in body["prompt"]]
    found = [{} for _ in range(6)]
    if stream:
        for chunk in chunks_of(service, **body, n=3):
            for choice in chunk["choices"]:
                for key, values in (choice["logprobs"] or {}).items():
                    found[choice["index"]].setdefault(key, []).extend(values)
    else:
        for choice in complete(service, **body, n=3)["choices"]:
            found[choice["index"]] = choice["logprobs"]
    for i, one in enumerate(found):
        want = alone[i // 3]
        n = len(want["tokens"]) - 3
        for key in want:
            assert one[key][:n] == want[key][:n], (i, key)
    for n in [2, 3]:
        none = complete(service, **dict(body, max_tokens=0, logprobs=None), n=n)["choices"]
        scored = complete(service, **dict(body, max_tokens=0), n=n)["choices"]
        assert [one["text"] for one in none] == [one["text"] for one in scored]
        assert all(one["logprobs"]["token_logprobs"][1:] for one in scored)


def test_ids_are_echoed_as_text(service):
    ids = service.post("/tokenize", {"text": "café über", "add_special": True}).json()["tokens"]
    body = complete(service, prompt=ids, max_tokens=0, echo=True)
    assert body["choices"][0]["text"] == "café über"


def test_penalties_look_at_the_answer_alone(service):
    text = ", there was a little girl named Lily. "
    fields = dict(prompt=PROMPT + text + PROMPT, max_tokens=16, temperature=0,
                  frequency_penalty=2)
    ours = native(service, **fields)["text"]
    assert complete(service, **fields)["choices"][0]["text"] != ours


def test_stop_strings_may_stay(service):
    fields = dict(prompt=PROMPT, max_tokens=40, temperature=0)
    text = complete(service, **fields)["choices"][0]["text"]
    stop = text[10:14]
    cut = complete(service, stop=[stop], **fields)["choices"][0]
    kept = complete(service, stop=stop, include_stop_str_in_output=True, **fields)["choices"][0]
    assert cut["finish_reason"] == kept["finish_reason"] == "stop"
    assert kept["text"] == cut["text"] + stop == text[:text.index(stop) + len(stop)]


# --- refusals, and what is let be ---

@pytest.mark.parametrize("fields, param", [
    ({"suffix": "end"}, "suffix"), ({"best_of": 3}, "best_of"), ({"n": 0}, "n"),
    ({"n": 65}, "n"), ({"prompt": ["a"] * 65}, "n"), ({"prompt": []}, "prompt"),
    ({"prompt": ["a", {}]}, "prompt"), ({"prompt": {}}, "prompt"), ({"prompt": None}, "prompt"),
    ({"logprobs": 21}, "logprobs"), ({"temperature": 6}, "temperature"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"response_format": {"type": "xml"}}, "response_format"),
    ({"guided_json": {"type": "objects"}}, "guided_json"), ({"mirostat": 2}, "mirostat"),
    ({"max_tokens": 100000}, "max_tokens"), ({"top_p": 1.5}, "top_p")])
def test_refusals_name_the_field(service, fields, param):
    error = complete(service, 400, **{"prompt": "a", "max_tokens": 1, **fields})
    assert error["param"] == param and error["message"]


def test_a_prompt_that_is_too_long_is_said_in_words_that_clients_look_for(service):
    """Frameworks make a class of their own of these texts."""
    message = complete(service, 400, prompt=[5] * 600)["message"]
    assert "prompt is too long" in message
    assert "this model's maximum context length is 512" in message
    message = complete(service, 400, prompt=[5] * 500, max_tokens=20)["message"]
    assert "this model's maximum context length is 512" in message and "12 are left" in message


def test_a_chat_needs_a_message(shared):
    service = shared("--chat-template", "chatml")
    for messages in ([], {}, "hello", None):
        error = complete(service, 400, path="/v1/chat/completions", messages=messages)
        assert error["param"] == "messages", error


def test_what_asks_for_nothing_is_let_be(service):
    nothing = {"suffix": None, "best_of": None, "logit_bias": None, "user": "u", "stop": None,
               "response_format": {"type": "text"}, "mirostat": 0, "guided_json": None,
               "router_field": {"a": [1]}, "top_k": -1, "use_beam_search": False, "echo": False,
               "stream_options": None, "metadata": {"a": "b"}, "max_tokens": 4}
    fields = dict(prompt=PROMPT, seed=1)
    assert complete(service, **fields, **nothing)["choices"][0]["text"] == \
        complete(service, **fields, max_tokens=4)["choices"][0]["text"]


def test_more_answers_than_there_are_places_are_refused_whole(serve):
    service = serve("--max-batch", 1, "--workers", 1, "--max-queue", 2,
                    model=models.slow())
    error = complete(service, 400, prompt="a", n=4, max_tokens=4)
    assert error["param"] == "n"
    with service.busy():
        response = service.post("/v1/completions", {"prompt": "a", "n": 3, "max_tokens": 4})
        assert response.status == 429 and int(response.header("Retry-After")) >= 1
        assert service.metrics().value("smallmind_requests_queued") == 0
    service.wait_until_idle()
    assert len(complete(service, prompt="a", n=3, max_tokens=4)["choices"]) == 3


def test_a_client_that_leaves_ends_all_its_answers(serve):
    service = serve("--max-batch", 2, "--workers", 1, model=models.slow())
    body = {"prompt": PROMPT, "n": 4, "max_tokens": 1900, "ignore_eos": True, "stream": True}
    with http1.Stream(service.connect(), service.build("POST", "/v1/completions", body)) as stream:
        assert stream.next() is not None
    metrics = service.wait_until_idle()
    assert metrics.value("smallmind_generated_tokens_total") < 4 * 1900
    phases = ("queued", "prefill", "decode")
    cancelled = sum(metrics.value("smallmind_requests_cancelled_total", phase=p) for p in phases)
    assert cancelled == 4


def test_models(service):
    listed = service.get("/v1/models").json()
    name = listed["data"][0]["id"]
    assert listed["object"] == "list" and listed["data"][0]["object"] == "model"
    assert service.get(f"/v1/models/{name}").json()["id"] == name
    facts = listed["data"][0]["meta"]
    about = service.get("/info").json()["model"]
    assert facts["size"] > 0 and facts["n_params"] == about["parameters"]
    response = service.get("/v1/models/other")
    assert response.status == 404 and response.error()["code"] == "model_not_found"
    assert service.get("/v1/models/").status == 404


def test_errors_in_a_stream_end_it(serve):
    """A drain that has no more time ends the stream with an error event."""
    service = serve("--drain-seconds", 0, model=models.slow())
    body = {"prompt": PROMPT, "max_tokens": 1900, "ignore_eos": True, "stream": True}
    stream = http1.Stream(service.connect(), service.build("POST", "/v1/completions", body))
    with stream:
        assert stream.next() is not None
        service.signal()
        events = list(iter(stream.next, None))
    assert events and "error" in events[-1] and not stream.done, json.dumps(events[-1])
    poll("its end", lambda: not service.is_running())
    service.stop(expected=1)
