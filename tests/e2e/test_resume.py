"""A stream that goes on at another replica: every token of it, byte for byte, nothing twice."""
import json

import pytest

from test_generate import STORY, WILD

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
KINDS = {
    "plain": dict(seed=1),
    "greedy": dict(temperature=0),
    "wild": dict(seed=2, **WILD),
    "stop": dict(seed=3, stop=[" there was a", "e w", "zzz"]),
    "kept": dict(seed=4, stop=["." * 3, "the very"], ignore_eos=True),
    "penalties": dict(seed=5, repetition_penalty=1.4, presence_penalty=0.7, frequency_penalty=0.3),
    "logprobs": dict(seed=6, logprobs=2),
    "schema": dict(seed=7, format={"json_schema": PERSON}, max_tokens=60),
    "regex": dict(seed=8, format={"regex": "(one|two|three|é)( and (one|two|three|é)){4}"}),
    "biased": dict(seed="18446744073709551615", min_tokens=20, stop_token_ids=[13, 46],
                   logit_bias={"262": 3, "300": -100}),
}
OTHER = ("--threads", "2", "--workers", "1", "--cpu", "ref", "--max-batch", "3",
         "--prefix-cache", "off", "--step-tokens", "7")


@pytest.fixture(scope="module")
def replicas():
    from service import Service

    both = [Service("--threads", "1"), Service(*OTHER)]
    yield both
    for one in both:
        one.stop()


def whole(service, **fields):
    with service.stream(**fields) as stream:
        answer = stream.finish()
        assert stream.status == 200 and stream.done
        return answer, stream


def go_on(service, n, fields, tokens=None):
    given = {} if tokens is None else {"resume_tokens": tokens[:n]}
    with service.stream({"Last-Event-ID": str(n)}, **fields, **given) as stream:
        assert stream.status == 200, stream.head.body
        answer = stream.finish()
        assert stream.done
        return answer, stream


def texts_at(service, fields, tokens):
    """The text of the first n tokens, for each n at which an event of a stream ended."""
    with service.stream(**fields) as stream:
        stream.finish()
        text, found = "", {0: ""}
        for number, event in zip(stream.ids, stream.events):
            text += event["text"]
            found[number] = text
    assert max(found) == len(tokens)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_goes_on_at_every_token(replicas, kind):
    first, other = replicas
    fields = dict(dict(prompt=STORY, max_tokens=24), **KINDS[kind])
    answer, _ = whole(first, **fields)
    tokens, text = answer["tokens"], answer["text"]
    rests = {}
    for n in range(len(tokens) + 1):
        for given in (None, tokens):
            rest, stream = go_on(other, n, fields, given)
            assert rest["tokens"] == tokens[n:], (n, given)
            assert text.endswith(rest["text"]), (n, given)
            assert rests.setdefault(n, rest["text"]) == rest["text"], n
            assert rest["finish_reason"] == answer["finish_reason"]
            if "seed" in fields:
                assert str(rest["seed"]) == str(fields["seed"])
            assert rest["usage"]["completion_tokens"] == answer["usage"]["completion_tokens"]
            assert rest["usage"]["prompt_tokens"] == answer["usage"]["prompt_tokens"]
            if "logprobs" in answer:
                assert rest["logprobs"] == answer["logprobs"][n:]
            assert stream.ids[-1] == len(tokens)
    for n, before in texts_at(first, fields, tokens).items():
        assert before + rests[n] == text, n
    if len(tokens) < fields["max_tokens"]:
        error = refusal(other, str(len(tokens) + 1), fields)
        assert error["param"] == "Last-Event-ID" and "beyond" in error["message"]


def refusal(service, number, fields, status=400):
    headers = {} if number is None else {"Last-Event-ID": number}
    body = dict({"prompt": STORY, "stream": True, "max_tokens": 8}, **fields)
    response = service.post("/generate", body, headers)
    assert response.status == status, response
    return response.error()


def test_a_drawn_seed_is_told_with_the_first_event_and_before_it(service):
    with service.stream(prompt=STORY, max_tokens=12, ignore_eos=True) as stream:
        seed = int(stream.head.header("X-Seed"))
        answer = stream.finish()
        assert stream.events[0]["seed"] == stream.events[-1]["seed"] == seed
        assert all("seed" not in event for event in stream.events[1:-1])
    fields = dict(prompt=STORY, max_tokens=12, seed=seed, ignore_eos=True)
    rest, _ = go_on(service, 5, fields)
    assert rest["tokens"] == answer["tokens"][5:]
    head = service.generate(prompt=STORY, max_tokens=1, seed=77)
    assert head.header("X-Seed") == "77"


@pytest.mark.parametrize("number,fields,param", [
    ("3", dict(), "seed"),
    ("-1", dict(seed=1), "Last-Event-ID"),
    ("1e3", dict(seed=1), "Last-Event-ID"),
    ("99999999999999999999", dict(seed=1), "Last-Event-ID"),
    ("9", dict(seed=1), "Last-Event-ID"),
    ("3", dict(seed=1, stream=False), "Last-Event-ID"),
    (None, dict(seed=1, resume_tokens=[262]), "resume_tokens"),
    ("2", dict(seed=1, resume_tokens=[262]), "resume_tokens"),
    ("9", dict(seed=1, resume_tokens=[262] * 9), "resume_tokens"),
    ("1", dict(seed=1, resume_tokens=[-1]), "resume_tokens"),
    ("1", dict(seed=1, resume_tokens=[10**6]), "resume_tokens"),
    ("1", dict(seed=1, resume_tokens=["a"]), "resume_tokens"),
    ("1", dict(seed=1, resume_tokens="a"), "resume_tokens"),
    ("1", dict(seed=1, resume_tokens=[262], logit_bias={"262": -100}), "resume_tokens"),
    ("1", dict(seed=1, resume_tokens=[262], stop_token_ids=[262]), "resume_tokens"),
    ("2", dict(seed=1, resume_tokens=[262, 262], format={"regex": "[0-9]{9}"}), "resume_tokens"),
    (None, dict(fingerprint="x"), "fingerprint"),
    (None, dict(fingerprint={"file": "x"}), "fingerprint"),
    (None, dict(fingerprint={"model": 3}), "fingerprint"),
])
def test_what_cannot_go_on_is_refused_by_name(service, number, fields, param):
    assert refusal(service, number, fields)["param"] == param


def test_tokens_that_are_not_the_requests_are_found_out(service):
    fields = dict(prompt=STORY, max_tokens=8, seed=1)
    tokens = service.answer(**fields)["tokens"]
    for n in range(1, 9):
        given = tokens[:n - 1] + [tokens[n - 1] + 1 if tokens[n - 1] < 300 else 262]
        error = refusal(service, str(n), dict(fields, resume_tokens=given))
        assert error["param"] == "resume_tokens", error
        assert f"resume_tokens[{n - 1}]" in error["message"]


@pytest.mark.parametrize("kind", ["plain", "greedy", "penalties", "schema"])
def test_a_changed_token_is_found_wherever_it_stands(replicas, kind):
    first, other = replicas
    fields = dict(dict(prompt=STORY, max_tokens=24), **KINDS[kind])
    tokens = whole(first, **fields)[0]["tokens"]
    n_drawn = 0
    for i, token in enumerate(tokens):
        given = tokens[:i] + [token + 1 if token < 300 else 262] + tokens[i + 1:]
        for replica in replicas:  # the first one's cache has the right ones
            error = refusal(replica, str(len(tokens)), dict(fields, resume_tokens=given))
            assert error["param"] == "resume_tokens"
            # A form may show a token after it that cannot follow any more.
            place = int(error["message"].split("[")[1].split("]")[0])
            assert place == i or (kind == "schema" and place > i), error
            n_drawn += "this request's answer has" in error["message"]
    assert n_drawn == 2 * len(tokens) or kind == "schema"


def test_another_model_or_arithmetic_is_409(serve):
    service, other = serve(), serve("--kv-type", "f32")
    print_of = service.wait_for_fingerprint()
    assert print_of["model"] == other.wait_for_fingerprint()["model"]
    assert print_of["arithmetic"] != other.info()["fingerprint"]["arithmetic"]
    response = service.generate(prompt=STORY, max_tokens=2, seed=1, fingerprint=print_of)
    assert response.status == 200
    told = response.header("X-Model-Fingerprint")
    assert told == 'model="{model}", arithmetic="{arithmetic}"'.format(**print_of)
    for demanded in (print_of, {"arithmetic": print_of["arithmetic"]}, {"model": "0" * 64}):
        error = refusal(other, None, dict(seed=1, fingerprint=demanded), 409)
        assert (error["code"], error["param"]) == ("fingerprint_mismatch", "fingerprint")


def test_a_header_of_other_apis_says_nothing(service):
    body = json.dumps({"prompt": STORY, "max_tokens": 2})
    assert service.post("/v1/completions", body, {"Last-Event-ID": "x"}).status == 200
