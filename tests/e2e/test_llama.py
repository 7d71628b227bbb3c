"""The API of llama.cpp's server over raw sockets: its own completions, whole and as events, what it
says of itself, and the same text as the native API's."""
import http1
import pytest

import models
from service import poll
from test_allocations import LIBRARY, Counted

PROMPT = "Once upon a time"


def ask(service, path="/completion", status=200, **fields):
    response = service.post(path, fields)
    assert response.status == status, response
    assert response.header("Content-Type") == "application/json"
    return response.json()


def refusal(service, path="/completion", status=400, **fields):
    error = ask(service, path, status, **fields)["error"]
    assert error["code"] == status and error["message"]
    return error


def stream(service, **fields):
    body = dict(fields, stream=True)
    return http1.Stream(service.connect(), service.build("POST", "/completion", body))


def events(service, **fields):
    with stream(service, **fields) as one:
        found = [one.next()]
        while not found[-1]["stop"]:
            found.append(one.next())
    return found


# --- texts ---

@pytest.mark.parametrize("fields", [{}, {"temperature": 0}, {"temperature": 1.3, "top_k": 0,
                                                              "presence_penalty": 0.5}])
def test_a_text_is_the_native_one(service, fields):
    body = ask(service, prompt=PROMPT, seed=7, n_predict=20, return_tokens=True, **fields)
    right = service.answer(prompt=PROMPT, max_tokens=20, seed=7, **fields)
    assert body["content"] == right["text"]
    assert body["tokens"] == right["tokens"]
    assert body["tokens_predicted"] == 20 == body["timings"]["predicted_n"]
    assert body["tokens_evaluated"] == right["usage"]["prompt_tokens"]
    assert body["stop_type"] == "limit" and body["truncated"] is False
    assert body["generation_settings"]["seed"] == 7
    assert body["timings"]["prompt_n"] + body["timings"]["cache_n"] == body["tokens_evaluated"]


def test_the_alias_answers_alike(service):
    fields = dict(prompt=PROMPT, seed=7, n_predict=20)
    assert ask(service, "/completions", **fields)["content"] == ask(service, **fields)["content"]


def test_a_stream_has_one_event_for_each_token(service):
    fields = dict(prompt=PROMPT, seed=11, n_predict=40)
    whole = ask(service, return_tokens=True, **fields)
    found = events(service, **fields)
    assert all(len(event["tokens"]) == 1 for event in found[:-1])
    assert [event["tokens"][0] for event in found[:-1]] == whole["tokens"]
    assert "".join(event["content"] for event in found) == whole["content"]
    assert [event["tokens_predicted"] for event in found] == [*range(1, 41), 40]
    assert found[-1]["tokens"] == [] and found[-1]["prompt"] == whole["prompt"]


def test_stop_strings_and_ends_are_told_apart(service):
    text = ask(service, prompt=PROMPT, seed=5, n_predict=30)["content"]
    word = text[8:12]
    body = ask(service, prompt=PROMPT, seed=5, n_predict=30, stop=["never there", word])
    assert body["content"] == text[:text.index(word)]
    assert (body["stop_type"], body["stopping_word"]) == ("word", word)
    ids = ask(service, prompt=PROMPT, seed=5, n_predict=30, ignore_eos=True, stop=[])
    assert all(entry["bias"] is None for entry in ids["generation_settings"]["logit_bias"])
    assert ids["stop_type"] == "limit"


def test_several_prompts_are_several_answers(service):
    tokens = service.post("/tokenize", {"content": PROMPT, "add_special": True}).json()["tokens"]
    prompts = [PROMPT, tokens, {"prompt_string": PROMPT}]
    bodies = ask(service, prompt=prompts, seed=3, n_predict=12)
    assert [body["index"] for body in bodies] == [0, 1, 2]
    assert len({body["content"] for body in bodies}) == 1
    streamed = {}
    with stream(service, prompt=prompts, seed=3, n_predict=12) as one:
        n_ended = 0
        while n_ended < 3:
            event = one.next()
            streamed[event["index"]] = streamed.get(event["index"], "") + event["content"]
            n_ended += event["stop"]
    assert set(streamed.values()) == {bodies[0]["content"]} and len(streamed) == 3


def test_nothing_may_be_asked_for_but_the_prompt(service):
    body = ask(service, prompt=PROMPT, n_predict=0)
    assert body["content"] == "" and body["tokens_predicted"] == 0
    assert body["tokens_evaluated"] > 0


def test_probabilities_are_the_native_ones(service):
    fields = dict(prompt=PROMPT, seed=2, temperature=0)
    body = ask(service, n_predict=6, n_probs=4, **fields)
    right = service.answer(max_tokens=6, logprobs=4, **fields)
    for ours, native in zip(body["completion_probabilities"], right["logprobs"], strict=True):
        assert (ours["id"], ours["logprob"]) == (native["id"], native["logprob"])
        assert [top["id"] for top in ours["top_logprobs"]] == [t["id"] for t in native["top"]]
    for event, right in zip(events(service, n_predict=6, n_probs=4, **fields),
                            body["completion_probabilities"]):
        assert event["completion_probabilities"] == [right]


def test_probabilities_that_were_drawn_from(service):
    fields = dict(prompt=PROMPT, seed=2, n_predict=8, n_probs=20, post_sampling_probs=True)
    for filters, most in (({"top_k": 5, "top_p": 1, "min_p": 0}, 5), ({"temperature": 0}, 1),
                          ({"top_k": 0, "top_p": 1, "min_p": 0, "temperature": 0.5}, 20),
                          ({"top_k": 0, "top_p": 1, "min_p": 0.2}, 5)):
        for token in ask(service, **fields, **filters)["completion_probabilities"]:
            probs = [top["prob"] for top in token["top_probs"]]
            assert 0 < len(probs) <= most and probs == sorted(probs, reverse=True)
            assert 0 < token["prob"] <= 1 and min(probs) > 0
            assert most == 20 or abs(sum(probs) - 1) < 1e-5
            if len(probs) < 20:
                assert token["id"] in [top["id"] for top in token["top_probs"]]


def test_members_can_be_chosen(service):
    fields = ["content", "generation_settings/n_predict", "timings/cache_n", "no such"]
    body = ask(service, prompt=PROMPT, n_predict=3, response_fields=fields)
    assert set(body) == set(fields[:3]) and body["generation_settings/n_predict"] == 3


def test_biases_by_text_and_by_number(service):
    text = ask(service, prompt=PROMPT, temperature=0, n_predict=1)["content"]
    for biases in ([[text, False]], {text: False}):
        body = ask(service, prompt=PROMPT, temperature=0, n_predict=1, logit_bias=biases)
        assert body["content"] != text


def test_how_far_a_prompt_is_read_is_told(serve):
    service = serve("--step-tokens", 64, "--threads", 1, model=models.small())
    found = events(service, prompt=[7] * 500, n_predict=4, return_progress=True,
                   timings_per_token=True, cache_prompt=False, ignore_eos=True)
    told = [event["prompt_progress"] for event in found if "prompt_progress" in event]
    assert [one["processed"] for one in told] == [*range(0, 500, 64), 500]
    assert all(one["cache"] == 0 and one["total"] == 500 for one in told)
    assert found[0]["timings"]["prompt_n"] == 0 == found[0]["timings"]["prompt_ms"]
    assert [event["timings"]["predicted_n"] for event in found[-5:]] == [1, 2, 3, 4, 4]
    assert all(value >= 0 for event in found for value in event["timings"].values())


def test_a_client_that_leaves_ends_the_work(serve):
    service = serve(model=models.slow())
    with stream(service, prompt=PROMPT, ignore_eos=True) as one:
        one.next()
        assert any(slot["is_processing"] for slot in service.get("/slots").json())
        one.connection.reset()
    service.wait_until_idle()
    poll("free slots", lambda: not any(
        slot["is_processing"] for slot in service.get("/slots").json()))


@pytest.mark.skipif(not LIBRARY.is_file(), reason="the counting library is not built")
def test_a_token_costs_no_heap_call(serve, tmp_path):
    path = tmp_path / "counts"
    service = serve("--threads", 2, "--workers", 1, "--log-level", "warn", model=models.small(),
                    env={"MALLOC_COUNT_FILE": str(path)}, preload=LIBRARY)
    counted = Counted(service, path)

    def run(n):
        return lambda: events(service, prompt=[5] * 40, ignore_eos=True, n_predict=n, n_probs=5,
                              seed=1, timings_per_token=True)
    for n in (100, 1000):  # whatever is made once
        run(n)()
    few, many = counted.calls_of(run(100)), counted.calls_of(run(1000))
    assert few[0] == many[0] and few[1] == many[1] == 0


# --- refusals ---

@pytest.mark.parametrize("fields,param", [
    ({}, "prompt"), ({"prompt": [[]]}, "prompt"), ({"prompt": PROMPT, "grammar": "x"}, "grammar"),
    ({"prompt": PROMPT, "n_probs": 21}, "n_probs"), ({"prompt": PROMPT, "stream": 1}, "stream"),
    ({"prompt": PROMPT, "mirostat": 2}, "mirostat")])
def test_what_cannot_be_honoured_is_named(service, fields, param):
    error = refusal(service, **fields)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_a_prompt_beyond_the_context(service):
    error = refusal(service, prompt="word " * 5000)
    assert error["type"] == "exceed_context_size_error"


@pytest.mark.parametrize("path", ["/embedding", "/v1/embeddings", "/rerank", "/infill",
                                  "/slots/0"])
def test_what_this_server_does_not_do(service, path):
    response = service.post(path, {"input": "x", "content": "x"})
    assert response.status == 501 and response.json()["error"]["message"]


# --- what the server says of itself ---

def test_props_and_slots_show_no_prompt(service):
    ask(service, prompt="a secret prompt", n_predict=2)
    props, slots = service.get("/props"), service.get("/slots")
    assert b"secret" not in props.body + slots.body
    info = service.info()
    assert props.json()["total_slots"] == len(slots.json()) > 0
    context = info["context"]
    assert props.json()["default_generation_settings"]["n_ctx"] == context
    assert all(slot["n_ctx"] == context for slot in slots.json())
    assert service.post("/props", {}).status == 405


def test_aliases_of_other_routes(service):
    assert service.get("/models").json()["data"] == service.get("/v1/models").json()["data"]
    assert service.get("/v1/health").json()["status"] == "ok"


def test_pieces_of_tokens(service):
    body = ask(service, "/tokenize", content="Once upon é", with_pieces=True)
    ids = ask(service, "/tokenize", content="Once upon é")["tokens"]
    assert [token["id"] for token in body["tokens"]] == ids
    text = b"".join(token["piece"].encode() if isinstance(token["piece"], str)
                    else bytes(token["piece"]) for token in body["tokens"])
    assert text.decode().strip() == "Once upon é"


# --- chats ---

CHAT = ("--chat-template", "chatml")
MESSAGES = [{"role": "user", "content": "Tell me a story"}]


def chunks(service, **fields):
    body = dict(fields, stream=True)
    request = service.build("POST", "/chat/completions", body)
    with http1.Stream(service.connect(), request) as one:
        found = [one.next()]
        while not (found[-1]["choices"] and found[-1]["choices"][0]["finish_reason"]):
            found.append(one.next())
    return found


def test_a_chat_has_timings_and_what_was_made_of_it(shared):
    service = shared(*CHAT)
    body = ask(service, "/chat/completions", messages=MESSAGES, max_tokens=5, seed=1, verbose=True)
    rendered = ask(service, "/apply-template", messages=MESSAGES)["prompt"]
    assert body["timings"]["predicted_n"] == 5
    assert rendered in body["__verbose"]["prompt"]
    assert body["__verbose"]["content"] == body["choices"][0]["message"]["content"]
    plain = ask(service, "/chat/completions", messages=MESSAGES, max_tokens=5, seed=1)
    assert "__verbose" not in plain and plain["choices"] == body["choices"]
    count = ask(service, "/chat/completions/input_tokens", messages=MESSAGES)
    assert count == {"input_tokens": body["usage"]["prompt_tokens"]}


def test_a_chats_stream_tells_progress_and_timings(shared):
    service = shared(*CHAT)
    found = chunks(service, messages=MESSAGES, max_tokens=5, seed=1, return_progress=True,
                   timings_per_token=True, cache_prompt=False)
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert "timings" not in found[0]
    told = [chunk["prompt_progress"] for chunk in found if "prompt_progress" in chunk]
    assert told[0]["processed"] == told[0]["cache"] and told[-1]["processed"] == told[-1]["total"]
    assert all("timings" in chunk for chunk in found[1:])
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in found)
    whole = ask(service, "/chat/completions", messages=MESSAGES, max_tokens=5, seed=1)
    assert text == whole["choices"][0]["message"]["content"]


def test_the_assistants_last_message_is_gone_on_with(shared):
    service = shared(*CHAT)
    begun = [*MESSAGES, {"role": "assistant", "content": "There was"}]
    body = ask(service, "/chat/completions", messages=begun, max_tokens=1, verbose=True)
    assert body["__verbose"]["prompt"].endswith("There was")
    error = refusal(service, "/chat/completions", messages=[*begun, begun[-1]], max_tokens=1)
    assert error["param"] == "messages"
    error = refusal(service, "/chat/completions", messages=begun, add_generation_prompt=True,
                    continue_final_message=True)
    assert error["param"] == "continue_final_message"


def test_a_chat_beyond_the_context_says_by_how_much(shared):
    service = shared(*CHAT)
    error = refusal(service, "/chat/completions",
                    messages=[{"role": "user", "content": "word " * 5000}])
    assert error["type"] == "exceed_context_size_error"
    assert error["n_ctx"] == service.info()["context"] < error["n_prompt_tokens"]
