"""Text Generation Inference's API over raw sockets: shapes, one token an event, refusals in its own
words, and the same text as the native API's; what routers ask."""
import json

import pytest

import http1
import models
from service import poll

PROMPT = "Once upon a time"
# Its defaults in our words, for requests that draw.
NATIVE = dict(temperature=1, top_k=0, top_p=1, min_p=0)


def ask(service, path="/generate", status=200, inputs=PROMPT, **parameters):
    response = service.post(path, {"inputs": inputs, "parameters": parameters})
    assert response.status == status, response
    return response.json()


def refusal(service, path="/generate", status=400, kind="validation", **fields):
    response = service.post(path, fields)
    assert response.status == status, response
    body = response.json()
    assert set(body) == {"error", "error_type"} and body["error_type"] == kind, body
    return body["error"]


class Events:
    """A stream of `data:{...}` without a space, as that server writes it."""

    def __init__(self, service, path="/generate_stream", inputs=PROMPT, more=None, **parameters):
        self.connection = service.connect()
        body = {"inputs": inputs, "parameters": parameters, **(more or {})}
        self.connection.send(service.build("POST", path, body))
        self.head = self.connection.read_head()
        self.parts = self.connection.body_parts(self.head)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def __iter__(self):
        return self

    def __next__(self):
        while b"\n\n" not in self.pending:
            self.pending += next(self.parts)
        event, self.pending = self.pending.split(b"\n\n", 1)
        assert event.startswith(b"data:{"), event
        return json.loads(event[5:])


def streamed(service, **fields):
    with Events(service, **fields) as events:
        assert events.head.status == 200
        assert events.head.header("Content-Type").startswith("text/event-stream")
        found = list(events)
    assert [e["index"] for e in found] == list(range(1, len(found) + 1))
    assert all(e["generated_text"] is None and e["details"] is None for e in found[:-1])
    text = "".join(e["token"]["text"] for e in found if not e["token"]["special"])
    assert found[-1]["generated_text"] == text
    return found


# --- texts ---

def test_without_a_wish_for_draws_it_is_greedy(service):
    right = service.answer(prompt=PROMPT, max_tokens=30, temperature=0)["text"]
    for parameters in ({}, {"do_sample": False}, {"seed": 5}, {"do_sample": False,
                                                              "temperature": 0.7}):
        assert ask(service, max_new_tokens=30, **parameters) == {"generated_text": right}


@pytest.mark.parametrize("parameters, ours", [
    ({"do_sample": True}, {}), ({"temperature": 0.7}, {"temperature": 0.7}),
    ({"top_k": 5}, {"top_k": 5}), ({"top_p": 0.6}, {"top_p": 0.6}),
    ({"typical_p": 0.4}, {"typical_p": 0.4}),
    ({"do_sample": True, "repetition_penalty": 1.4},
     {"repetition_penalty": 1.4, "repetition_window": 512}),
    ({"do_sample": True, "frequency_penalty": 1.5},
     {"frequency_penalty": 1.5, "repetition_window": 512})])
def test_parameters_mean_what_they_mean_natively(service, parameters, ours):
    right = service.answer(prompt=PROMPT, max_tokens=25, seed=9, **{**NATIVE, **ours})["text"]
    assert ask(service, max_new_tokens=25, seed=9, **parameters)["generated_text"] == right


def test_the_root_answers_with_a_list(service):
    right = ask(service, max_new_tokens=8)
    assert ask(service, "/", max_new_tokens=8) == [right]
    with Events(service, "/", more={"stream": True}, max_new_tokens=8) as events:
        assert list(events)[-1]["generated_text"] == right["generated_text"]
    assert service.get("/").header("Content-Type").startswith("text/html")


def test_a_hundred_tokens_where_none_are_named(service):
    details = ask(service, details=True, do_sample=True, seed=1)["details"]
    assert details["generated_tokens"] <= 100
    assert details["finish_reason"] == "length" or details["generated_tokens"] < 100


def test_the_prompt_comes_too_where_it_is_asked_for(service):
    text = ask(service, max_new_tokens=6)["generated_text"]
    assert ask(service, max_new_tokens=6, return_full_text=True)["generated_text"] == PROMPT + text
    with Events(service, max_new_tokens=6, return_full_text=True) as events:
        last = list(events)[-1]
    assert last["generated_text"] == PROMPT + text and last["token"]["text"] != PROMPT


def test_a_stop_sequence_is_part_of_the_text(service):
    text = ask(service, max_new_tokens=40)["generated_text"]
    stop = text[10:16]
    right = text[:text.index(stop) + len(stop)]
    for given in ([stop], [stop, "never there"]):
        body = ask(service, max_new_tokens=40, stop=given, details=True)
        assert body["generated_text"] == right
        assert body["details"]["finish_reason"] == "stop_sequence"
        last = streamed(service, max_new_tokens=40, stop=given, details=True)[-1]
        assert last["generated_text"] == right
        assert last["details"]["finish_reason"] == "stop_sequence"


def test_a_truncated_prompt_is_its_last_tokens(service):
    ids = service.post("/tokenize", {"text": PROMPT, "add_special": True}).json()["tokens"]
    right = service.answer(prompt=ids[-3:], max_tokens=10, temperature=0)
    body = ask(service, max_new_tokens=10, truncate=3, details=True, decoder_input_details=True)
    assert body["generated_text"] == right["text"]
    assert [t["id"] for t in body["details"]["prefill"]] == ids[-3:]
    assert ask(service, max_new_tokens=10, truncate=500) == ask(service, max_new_tokens=10)


# --- details ---

@pytest.mark.parametrize("sampling", [{}, {"do_sample": True, "seed": 11}])
def test_details_tell_each_token(service, sampling):
    ours = {**NATIVE, "seed": 11} if sampling else {"temperature": 0}
    right = service.answer(prompt=PROMPT, max_tokens=20, logprobs=2, **ours)
    body = ask(service, max_new_tokens=20, details=True, top_n_tokens=2,
               decoder_input_details=True, **sampling)
    details = body["details"]
    assert [t["id"] for t in details["tokens"]] == right["tokens"]
    assert [t["logprob"] for t in details["tokens"]] == [e["logprob"] for e in right["logprobs"]]
    assert "".join(t["text"] for t in details["tokens"]) == body["generated_text"]
    for top, entry in zip(details["top_tokens"], right["logprobs"]):
        assert [t["id"] for t in top] == [t["id"] for t in entry["top"]]
    assert details["generated_tokens"] == 20 and details["finish_reason"] == "length"
    assert details["seed"] == (11 if sampling else None)
    prefill = details["prefill"]
    assert len(prefill) == right["usage"]["prompt_tokens"]
    assert prefill[0]["logprob"] is None and all(t["logprob"] <= 0 for t in prefill[1:])


@pytest.mark.parametrize("prompt", [PROMPT, "Lily", "café 😀"])
def test_an_event_carries_one_token(service, prompt):
    fields = dict(inputs=prompt, max_new_tokens=30, do_sample=True, seed=4, top_n_tokens=3)
    whole = ask(service, details=True, **fields)
    events = streamed(service, details=True, **fields)
    assert [e["token"] for e in events] == whole["details"]["tokens"]
    tops = [e["top_tokens"] for e in events if "top_tokens" in e]
    assert tops == whole["details"]["top_tokens"]
    last = events[-1]["details"]
    assert last["input_length"] > 0
    for name in ("finish_reason", "generated_tokens", "seed"):
        assert last[name] == whole["details"][name]
    assert streamed(service, **fields)[-1]["details"] is None


def test_the_end_of_a_text_is_a_token(service):
    """An end that comes by itself is told as one more token, a special one without a text."""
    for seed in range(30):
        fields = dict(max_new_tokens=400, temperature=1.3, seed=seed, details=True)
        whole = ask(service, **fields)
        if whole["details"]["finish_reason"] == "eos_token":
            break
    details = whole["details"]
    assert details["finish_reason"] == "eos_token"
    assert details["tokens"][-1]["special"] and not details["tokens"][-2]["special"]
    assert len(details["tokens"]) == details["generated_tokens"]
    ids = [token["id"] for token in details["tokens"]]
    prompt = ask(service, **fields, decoder_input_details=True)["details"]["prefill"]
    echoed = service.post("/v1/completions", dict(
        prompt=[token["id"] for token in prompt] + ids, echo=True, max_tokens=0, logprobs=0)).json()
    of_tokens = [token["logprob"] for token in details["tokens"]]
    assert echoed["choices"][0]["logprobs"]["token_logprobs"][-len(ids):] == of_tokens
    events = streamed(service, **fields)
    assert [e["token"] for e in events] == details["tokens"]
    assert events[-1]["details"]["finish_reason"] == "eos_token"


def test_special_tokens_in_inputs_are_text(service):
    text = "One<|endoftext|> upon<|im_end|>"
    ids = service.post("/tokenize", {"text": text, "add_special": True}).json()["tokens"]
    body = ask(service, inputs=text, max_new_tokens=1, details=True, decoder_input_details=True)
    assert [t["id"] for t in body["details"]["prefill"]] == ids
    assert ids.count(0) == 1


# --- refusals, and what is let be ---

@pytest.mark.parametrize("path", ["/generate", "/generate_stream", "/"])
@pytest.mark.parametrize("parameters, word", [
    ({"temperature": 6}, "temperature"), ({"top_p": 2}, "top_p"), ({"top_k": -1}, "top_k"),
    ({"best_of": 2}, "best_of"), ({"watermark": True}, "watermark"),
    ({"grammar": {"type": "json", "value": 5}}, "grammar"), ({"adapter_id": "a"}, "adapter_id"),
    ({"max_new_tokens": 0}, "max_new_tokens"), ({"max_new_tokens": 100000}, "max_new_tokens"),
    ({"truncate": 0}, "truncate"), ({"top_n_tokens": 21}, "top_n_tokens"),
    ({"seed": -1}, "seed"), ({"stop": [""]}, "stop"), ({"stop": 3}, "stop"),
    ({"do_sample": "yes"}, "do_sample"), ({"repetition_penalty": 0}, "repetition_penalty")])
def test_refusals_name_the_parameter(service, path, parameters, word):
    assert word in refusal(service, path, inputs="a", parameters=parameters)


def test_bodies_that_say_nothing_are_refused(service):
    for path in ("/", "/generate_stream"):
        assert "inputs" in refusal(service, path, parameters={})
        assert "inputs" in refusal(service, path, inputs=["a", "b"])
    assert "inputs" in refusal(service, inputs=3)
    assert "parameters" in refusal(service, inputs="a", parameters=[1])
    assert "stream" in refusal(service, "/generate_stream", inputs="a",
                               parameters={"decoder_input_details": True})


def test_generate_speaks_one_of_two_languages(service):
    error = service.refusal(400, prompt="a", inputs="b")
    assert error["param"] == "inputs"
    error = service.refusal(400, prompt="a", parameters={})
    assert error["param"] == "parameters"
    assert service.post("/generate", '{"inputs": "a", ').status == 400
    assert service.answer(prompt='say "inputs"', max_tokens=1)["tokens"]


def test_what_asks_for_nothing_is_let_be(service):
    nothing = dict(best_of=1, watermark=False, grammar=None, adapter_id=None, truncate=None,
                   stop=[], top_n_tokens=0, typical_p=None, return_full_text=False,
                   new_field=[1], details=False, decoder_input_details=False, temperature=None)
    assert ask(service, max_new_tokens=5, **nothing) == ask(service, max_new_tokens=5)
    body = service.post("/generate", {"inputs": PROMPT}).json()
    assert body["generated_text"].startswith(ask(service, max_new_tokens=5)["generated_text"])


def test_a_full_queue_is_overloaded(serve):
    service = serve("--max-batch", 1, "--workers", 1, "--max-queue", 1, model=models.slow())
    with service.busy():
        with service.stream(prompt=PROMPT, max_tokens=1900, ignore_eos=True) as second:
            assert second.status == 200
            refusal(service, "/", 429, "overloaded", inputs="a")
            loads = service.get("/v1/loads").json()["loads"][0]
            assert loads["num_running_reqs"] == 1 and loads["num_waiting_reqs"] == 1
            assert loads["num_used_tokens"] > 0 and loads["max_running_requests"] == 1


def test_a_client_that_leaves_ends_its_text(serve):
    service = serve("--workers", 1, model=models.slow())
    with Events(service, max_new_tokens=450) as events:
        assert next(events)["index"] == 1
    metrics = service.wait_until_idle()
    assert metrics.value("smallmind_requests_cancelled_total", phase="decode") == 1


def test_an_error_in_a_stream_is_its_last_event(serve):
    service = serve("--drain-seconds", 0, model=models.slow())
    with Events(service, max_new_tokens=450) as events:
        next(events)
        service.signal()
        last = list(events)[-1]
    assert set(last) == {"error", "error_type"} and last["error_type"] == "overloaded"
    poll("its end", lambda: not service.is_running())
    service.stop(expected=1)


# --- pages of other sites ---

def test_a_form_of_another_site_opens_the_page_and_posts_nothing(service):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert service.get("/", headers).status == 200
    response = service.post("/", {"inputs": "a"}, headers)
    assert response.status == 403
    assert set(response.json()) == {"error"}


def test_posts_need_a_key_where_the_page_does_not(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    service = serve("--api-key-file", keys)
    assert service.get("/").status == 200
    assert service.post("/", {"inputs": "a"}).status == 401
    body = {"inputs": "a", "parameters": {"max_new_tokens": 1}}
    assert service.post("/", body, {"Authorization": "Bearer secret"}).status == 200
    for path in ("/ping", "/v1/health"):
        assert service.get(path).status == 200
    assert service.get("/server_info").status == 401


def test_both_methods_of_a_path_are_told_and_counted(service):
    response = service.request("PUT", "/")
    assert response.status == 405
    assert set(response.header("Allow").split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}
    before = service.metrics()
    ask(service, "/", max_new_tokens=1)
    after = service.metrics()
    for route, more in (("/", 0), ("/ (POST)", 1)):
        name = "smallmind_requests_total"
        assert after.value(name, route=route, code="200") == \
            before.value(name, route=route, code="200") + more


# --- what routers ask ---

def test_what_is_served_has_the_names_that_routers_read(service):
    info = service.info()
    name = info["model"]["name"]
    for path in ("/model_info", "/get_model_info", "/server_info", "/get_server_info"):
        body = service.get(path).json()
        assert body["model_path"] == body["tokenizer_path"] == body["served_model_name"] == name
        assert body["is_generation"] is True
        assert body["context_length"] == body["max_model_len"] == info["context"]
    body = service.get("/server_info").json()
    assert body["page_size"] == info["kv"]["page_positions"]
    assert body["max_total_num_tokens"] == info["kv"]["pages"] * body["page_size"]
    assert body["max_req_input_len"] == info["max_input_tokens"] == info["context"] - 1
    assert body["num_running_reqs"] == body["num_waiting_reqs"] == 0
    assert body["version"] == info["version"] == service.get("/version").json()["version"]


def test_loads_are_sums_over_one(service):
    for path in ("/v1/loads", "/loads"):
        body = service.get(path).json()
        assert body["dp_rank_count"] == len(body["loads"]) == 1
        one, all_of_them = body["loads"][0], body["aggregate"]
        assert one["num_total_reqs"] == one["num_running_reqs"] + one["num_waiting_reqs"]
        assert all_of_them["total_running_reqs"] == one["num_running_reqs"]
        assert all_of_them["total_reqs"] == one["num_total_reqs"]
        assert 0 <= one["token_usage"] <= 1 and 0 <= one["cache_hit_rate"] <= 1


def test_one_load_counts_what_runs_and_waits(service, shared):
    service.wait_until_idle()
    idle = service.get("/get_load").json()
    assert idle == [{"dp_rank": 0, "num_reqs": 0, "num_waiting_reqs": 0, "num_tokens": 0}]
    other = shared("--workers", 1, "--max-batch", 1, "--max-queue", 4, model=models.slow())
    with other.busy(), other.stream(prompt=[5] * 8, max_tokens=1):
        def load():
            one, = other.get("/get_load").json()
            return one if one["num_waiting_reqs"] == 1 else None
        one = poll("one waits", load)
        assert one["num_reqs"] == 2 and one["num_tokens"] > 0


def test_health_has_the_name_that_sglang_has(service):
    assert service.get("/health_generate").json()["status"] == "ok"


def test_rendered_prompts_are_what_is_computed(service):
    """For routers that follow prompts by their tokens: vLLM's words, and any body of the route."""
    ids = service.post("/tokenize", {"text": "Once upon", "add_special": True}).json()["tokens"]

    def render(prompt, **fields):
        body = dict({"model": "any", "prompt": prompt, "max_tokens": 4}, **fields)
        answer = service.post("/v1/completions/render", body)
        assert answer.status == 200, answer
        return answer.json()

    assert render("Once upon") == render("Once upon", stream=True, n=3) == [{"token_ids": ids}]
    both = render(["Once upon", ids[1:]], n=2, unknown_field=1)
    assert both == [{"token_ids": ids}, {"token_ids": ids[1:]}]
    assert service.metrics().value("smallmind_requests_running") == 0
    for body in ({"prompt": 3}, {"prompt": [5] * (service.info()["context"] + 1)}):
        refused = service.post("/v1/completions/render", body)
        assert refused.status == 400 and refused.error()["message"]


def test_a_rendered_chat_is_what_is_computed(shared):
    service = shared("--chat-template", "chatml")
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    rendered = service.post("/v1/chat/completions/render", body).json()
    prompt = service.post("/apply-template", {"messages": body["messages"]}).json()["prompt"]
    ids = service.post("/tokenize", {"text": prompt, "add_special": True,
                                     "parse_special": True}).json()["tokens"]
    assert rendered == {"token_ids": ids}
    usage = service.post("/v1/chat/completions", body).json()["usage"]
    assert usage["prompt_tokens"] == len(ids)


def test_info_has_the_keys_of_text_generation_inference(service):
    info = service.info()
    assert info["model_id"] == info["model"]["name"]
    assert info["max_total_tokens"] == info["context"]
    assert info["model_pipeline_tag"] == "text-generation" and info["max_best_of"] == 1


def test_while_loading_probes_answer_and_questions_wait(service):
    """Once it serves, the probes of other servers say so in one way."""
    assert service.get("/ping").status == 200
    assert service.get("/v1/health").json()["status"] == "ok"
    with service.connect() as connection:
        connection.send(http1.build_request("HEAD", "/ping", host=service.host))
        assert connection.read_response("HEAD").status == 200
