"""POST /generate: what one answer says."""
import pytest

import models

EOS = 0  # of the built-in model; its BOS too
STORY = "Once upon a time"
WILD = dict(temperature=5, top_k=0, top_p=1, min_p=0, ignore_eos=True)  # any token may come


def tokenize(service, text, **fields):
    return service.post("/tokenize", {"text": text, **fields}).json()["tokens"]


def test_the_json_answer_has_the_promised_fields_and_no_others(service):
    answer = service.answer(prompt=STORY, max_tokens=5)
    assert set(answer) == {"id", "model", "created", "text", "tokens", "finish_reason", "seed",
                           "usage", "timings"}
    assert set(answer["usage"]) == {"prompt_tokens", "cached_tokens", "completion_tokens",
                                    "total_tokens"}
    assert set(answer["timings"]) == {"queue_ms", "prefill_ms", "decode_ms", "first_token_ms",
                                      "tokens_per_second"}
    assert isinstance(answer["created"], int) and answer["model"]


def test_text_is_english_continuing_the_prompt(service):
    text = service.answer(prompt=STORY, max_tokens=60, temperature=0)["text"]
    common = sum(text.count(f" {word} ") for word in ("a", "the", "was", "and", "to", "there"))
    assert common >= 5, text


def test_usage_adds_up(service):
    answer = service.answer(prompt=STORY, max_tokens=17, ignore_eos=True)
    usage = answer["usage"]
    assert usage["prompt_tokens"] == len(tokenize(service, STORY, add_special=True))
    assert usage["completion_tokens"] == 17 == len(answer["tokens"])
    assert usage["total_tokens"] == usage["prompt_tokens"] + 17
    assert answer["finish_reason"] == "length"


def test_timings_fit_together(service):
    timings = service.answer(prompt=STORY, max_tokens=30, ignore_eos=True)["timings"]
    assert all(value >= 0 for value in timings.values())
    first = timings["queue_ms"] + timings["prefill_ms"]
    assert timings["first_token_ms"] == pytest.approx(first, abs=0.01)
    rate = 29 / (timings["decode_ms"] / 1000)
    assert timings["tokens_per_second"] == pytest.approx(rate, rel=0.02)


def test_one_token_has_rate_zero(service):
    timings = service.answer(prompt=STORY, max_tokens=1)["timings"]
    assert timings["tokens_per_second"] == 0 and timings["decode_ms"] == 0


def test_the_same_seed_gives_the_same_answer_and_another_another(service):
    first, again, other = (service.answer(prompt=STORY, max_tokens=40, seed=seed)["tokens"]
                           for seed in (11, 11, 12))
    assert first == again != other


def test_a_drawn_seed_is_told_and_repeats_the_answer(service):
    first = service.answer(prompt=STORY, max_tokens=30)
    assert 0 <= first["seed"] < 2**53
    again = service.answer(prompt=STORY, max_tokens=30, seed=first["seed"])
    assert again["text"] == first["text"] and again["seed"] == first["seed"]
    assert service.answer(prompt=STORY, max_tokens=1)["seed"] != first["seed"]


@pytest.mark.parametrize("given, told", [
    (0, 0), (2**53, 2**53), ("7", 7), (str(2**53), 2**53),
    (str(2**53 + 1), str(2**53 + 1)), (str(2**64 - 1), str(2**64 - 1))])
def test_seeds_come_back_as_number_up_to_2_53_and_as_string_beyond(service, given, told):
    assert service.answer(prompt=STORY, max_tokens=1, seed=given)["seed"] == told


def test_large_seeds_are_told_apart(service):
    texts = {service.answer(prompt=STORY, max_tokens=20, seed=str(2**64 - k), **WILD)["text"]
             for k in range(1, 5)}
    assert len(texts) == 4


def test_greedy_ignores_the_seed(service):
    texts = {service.answer(prompt=STORY, max_tokens=20, temperature=0, seed=seed)["text"]
             for seed in (1, 2, 3)}
    assert len(texts) == 1


def test_top_k_1_is_greedy(service):
    greedy = service.answer(prompt=STORY, max_tokens=20, temperature=0)["text"]
    assert service.answer(prompt=STORY, max_tokens=20, top_k=1, seed=5)["text"] == greedy


# --- prompt and length ---

def test_ids_are_used_exactly_as_given(service):
    ids = tokenize(service, STORY, add_special=True)
    assert ids[0] == EOS
    by_text = service.answer(prompt=STORY, max_tokens=20, temperature=0)
    by_ids = service.answer(prompt=ids, max_tokens=20, temperature=0)
    assert by_ids["tokens"] == by_text["tokens"]
    bare = service.answer(prompt=ids[1:], max_tokens=20, temperature=0)
    assert bare["usage"]["prompt_tokens"] == len(ids) - 1


def test_special_tokens_in_a_prompt_stay_text_unless_asked(service):
    text = "One.<|endoftext|>Two."
    stays = service.answer(prompt=text, max_tokens=1)["usage"]["prompt_tokens"]
    parsed = service.answer(prompt=text, max_tokens=1, parse_special=True)
    ids = tokenize(service, text, add_special=True, parse_special=True)
    assert ids.count(EOS) == 2
    assert parsed["usage"]["prompt_tokens"] == len(ids) < stays


def test_max_tokens_is_128_when_absent(service):
    answer = service.answer(prompt=STORY, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 128 and answer["finish_reason"] == "length"


def test_absent_max_tokens_is_what_the_context_leaves(service):
    context = service.info()["context"]
    limit = context if isinstance(context, int) else 512
    answer = service.answer(prompt=[5] * (limit - 12), ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 12


def test_a_prompt_and_max_tokens_that_fill_the_context_are_served(service):
    answer = service.answer(prompt=[5] * 500, max_tokens=12, ignore_eos=True)
    assert answer["usage"]["total_tokens"] == 512


@pytest.mark.parametrize("fields", [
    dict(prompt=[5] * 500, max_tokens=13), dict(prompt=[5] * 512), dict(prompt=[5] * 513),
    dict(prompt=STORY, max_tokens=512), dict(prompt="word " * 2000)])
def test_beyond_the_context_is_refused_never_cut(service, fields):
    assert service.refusal(400, **fields)["code"] == "context_length_exceeded"


# --- the end ---

def test_an_eos_that_ends_the_text_counts_but_is_not_a_token(service):
    answer = service.answer(prompt=STORY, logit_bias={str(EOS): 100}, max_tokens=9)
    assert answer["finish_reason"] == "stop"
    assert answer["tokens"] == [] and answer["text"] == ""
    assert answer["usage"]["completion_tokens"] == 1


def test_ignore_eos_never_samples_it(service):
    answer = service.answer(prompt=STORY, logit_bias={str(EOS): 100}, max_tokens=9,
                            ignore_eos=True)
    assert answer["finish_reason"] == "length" and EOS not in answer["tokens"]
    assert len(answer["tokens"]) == 9


def test_min_tokens_keeps_eos_away_until_then(service):
    answer = service.answer(prompt=STORY, logit_bias={str(EOS): 100}, max_tokens=9, min_tokens=5)
    assert answer["finish_reason"] == "stop"
    assert len(answer["tokens"]) == 5 and answer["usage"]["completion_tokens"] == 6


def test_a_stop_string_is_found_across_tokens_and_never_leaked(service):
    whole = service.answer(prompt=STORY, max_tokens=60, temperature=0, ignore_eos=True)
    text = whole["text"]
    for start, length in ((20, 9), (33, 4), (50, 14)):
        stop = text[start:start + length]
        cut = service.answer(prompt=STORY, max_tokens=60, temperature=0, ignore_eos=True,
                             stop=stop)
        assert cut["text"] == text[:text.find(stop)]
        assert cut["finish_reason"] == "stop"
        n = len(cut["tokens"])
        assert cut["tokens"] == whole["tokens"][:n] and cut["usage"]["completion_tokens"] == n
        joined = service.post("/detokenize", {"tokens": cut["tokens"]}).json()["text"]
        assert stop in joined, "the tokens eaten by the stop string are in tokens"


def test_the_first_of_several_stops_ends_the_text(service):
    text = service.answer(prompt=STORY, max_tokens=60, temperature=0, ignore_eos=True)["text"]
    stops = [text[40:46], text[15:21], "never there"]
    cut = service.answer(prompt=STORY, max_tokens=60, temperature=0, ignore_eos=True, stop=stops)
    assert cut["text"] == text[:min(text.find(s) for s in stops[:2])]


def test_a_stop_that_never_comes_changes_nothing(service):
    plain = service.answer(prompt=STORY, max_tokens=40, temperature=0, ignore_eos=True)
    held = service.answer(prompt=STORY, max_tokens=40, temperature=0, ignore_eos=True,
                          stop=["\u2603", plain["text"][-4:] + "@"])
    assert held["text"] == plain["text"] and held["finish_reason"] == "length"


# --- sampling fields ---

def test_logit_bias_forces_and_bans(service):
    forced = service.answer(prompt=STORY, max_tokens=6, logit_bias={"300": 100}, temperature=0)
    assert forced["tokens"] == [300] * 6
    plain = service.answer(prompt=STORY, max_tokens=6, temperature=0)["tokens"]
    for ban in (-100, False):
        banned = service.answer(prompt=STORY, max_tokens=6, temperature=0,
                                logit_bias={str(plain[0]): ban})["tokens"]
        assert plain[0] not in banned


def test_penalties_keep_a_greedy_text_from_repeating(service):
    prompt = " cat" * 40
    fields = dict(prompt=prompt, max_tokens=20, temperature=0, ignore_eos=True)
    plain = service.answer(**fields)["tokens"]
    for penalty in (dict(repetition_penalty=10), dict(presence_penalty=2, frequency_penalty=2)):
        other = service.answer(**fields, **penalty)["tokens"]
        assert len(set(other)) > len(set(plain)) or other != plain
        assert len(set(other)) >= 15


def test_each_filter_can_narrow_to_greedy(service):
    greedy = service.answer(prompt=STORY, max_tokens=15, temperature=0)["tokens"]
    for narrow in (dict(top_k=1), dict(top_p=0), dict(min_p=1)):
        wide = dict(top_k=0, top_p=1, min_p=0, typical_p=1)
        wide.update(narrow)
        got = service.answer(prompt=STORY, max_tokens=15, temperature=2, seed=3, **wide)
        assert got["tokens"] == greedy, narrow


# --- logprobs ---

def test_logprobs_are_one_entry_a_token_sorted_and_of_the_models_own_distribution(service):
    answer = service.answer(prompt=STORY, max_tokens=12, logprobs=7, temperature=0)
    assert len(answer["logprobs"]) == len(answer["tokens"])
    for token, entry in zip(answer["tokens"], answer["logprobs"]):
        assert set(entry) == {"id", "text", "bytes", "logprob", "top"}
        assert entry["id"] == token == entry["top"][0]["id"]
        assert entry["logprob"] == entry["top"][0]["logprob"]
        values = [top["logprob"] for top in entry["top"]]
        assert len(values) == 7 and values == sorted(values, reverse=True) and values[0] <= 0
        assert all(set(top) == {"id", "text", "bytes", "logprob"} for top in entry["top"])
        assert bytes(entry["bytes"]).decode("utf-8", "replace") == entry["text"]
    assert "".join(entry["text"] for entry in answer["logprobs"]) == answer["text"]


def test_logprobs_do_not_feel_bias_penalties_or_temperature(service):
    plain = service.answer(prompt=STORY, max_tokens=1, logprobs=20, temperature=0)["logprobs"][0]
    bent = service.answer(prompt=STORY, max_tokens=1, logprobs=20, temperature=3, seed=4,
                          logit_bias={"300": 100}, repetition_penalty=5, top_k=3)["logprobs"][0]
    assert bent["id"] == 300 and bent["top"] == plain["top"]
    assert bent["logprob"] < plain["top"][0]["logprob"]


def test_logprobs_0_gives_the_tokens_own_alone(service):
    entry = service.answer(prompt=STORY, max_tokens=1, logprobs=0)["logprobs"][0]
    assert entry["top"] == [] and entry["logprob"] <= 0


def test_no_logprobs_unless_asked(service):
    assert "logprobs" not in service.answer(prompt=STORY, max_tokens=1, logprobs=None)


# --- the body ---

def test_a_json_body_is_read_whatever_its_content_type(service):
    for kind in ("application/x-www-form-urlencoded", "application/json", "text/plain", None):
        response = service.post("/generate", {"prompt": STORY, "max_tokens": 3, "seed": 1},
                                {"Content-Type": kind})
        assert response.status == 200 and len(response.json()["tokens"]) == 3, kind


def test_a_text_body_is_the_prompt_itself(service):
    response = service.post("/generate", STORY, {"Content-Type": "text/plain; charset=utf-8"})
    assert response.status == 200
    expected = len(tokenize(service, STORY, add_special=True))
    assert response.json()["usage"]["prompt_tokens"] == expected


def test_a_text_body_with_a_brace_in_front_is_json(service):
    response = service.post("/generate", '{"prompt": 5', {"Content-Type": "text/plain"})
    assert response.status == 400


def test_other_bodies_are_never_taken_for_a_prompt(service):
    for kind in (None, "application/json", "application/x-www-form-urlencoded", "text/html"):
        assert service.post("/generate", STORY, {"Content-Type": kind}).status == 400, kind


# --- deadline ---

def test_a_deadline_ends_the_answer_with_the_text_so_far(shared):
    slow = shared("--workers", 1, model=models.slow())
    answer = slow.answer(prompt=[7] * 8, max_tokens=1900, ignore_eos=True, deadline_ms=1000)
    assert answer["finish_reason"] == "deadline"
    assert 0 < len(answer["tokens"]) < 1900
    assert answer["usage"]["completion_tokens"] == len(answer["tokens"])


def test_a_deadline_that_cannot_be_met_is_429_at_once(shared):
    slow = shared("--workers", 1, model=models.slow())
    slow.answer(prompt=[7] * 8, max_tokens=8)  # rates are known from here on
    before = slow.metrics().value("smallmind_requests_rejected_total", reason="deadline")
    response = slow.generate(prompt=list(range(3, 260)) * 7, max_tokens=8, deadline_ms=1)
    assert response.status == 429, response
    assert int(response.header("Retry-After")) >= 1
    after = slow.metrics().value("smallmind_requests_rejected_total", reason="deadline")
    assert after == before + 1


def test_a_deadline_far_away_changes_nothing(service):
    fields = dict(prompt=STORY, max_tokens=20, seed=9)
    assert service.answer(deadline_ms=600000, **fields)["text"] == service.answer(**fields)["text"]
