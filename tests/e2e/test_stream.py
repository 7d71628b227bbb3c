"""The three forms of an answer: the same text, byte for byte, and what each adds."""
import itertools

import pytest

from service import poll
from test_generate import STORY, WILD

FORMS = ("json", "sse", "text")


def read(service, form, **fields):
    """The answer's text in one form."""
    if form == "json":
        return service.answer(**fields)["text"]
    if form == "sse":
        with service.stream(**fields) as stream:
            return stream.finish()["text"]
    response = service.post("/generate", fields, {"Accept": "text/plain"})
    assert response.status == 200, response
    return response.body.decode("utf-8")


def test_the_joined_text_is_the_same_in_all_three_forms(service):
    for seed in range(4):
        texts = {read(service, form, prompt=STORY, max_tokens=60, seed=seed) for form in FORMS}
        assert len(texts) == 1


def test_bytes_that_are_no_utf8_become_the_same_marks_in_all_three_forms(service):
    marks = 0
    for seed in range(6):
        fields = dict(prompt=STORY, max_tokens=100, seed=seed, **WILD)
        texts = {read(service, form, **fields) for form in FORMS}
        assert len(texts) == 1
        marks += texts.pop().count("\ufffd")
    assert marks > 0, "no seed gave an ill-formed byte: the test shows nothing"


def test_the_stream_has_events_a_last_one_and_done(service):
    with service.stream(prompt=STORY, max_tokens=25, seed=1) as stream:
        answer = stream.finish()
        events = stream.events
        assert stream.done
    for event in events[:-1]:
        assert set(event) == {"text", "tokens"} and event["tokens"]
    numbers = itertools.accumulate(len(event["tokens"]) for event in events)
    assert stream.ids == list(numbers)
    assert set(events[-1]) == {"text", "tokens", "finish_reason", "seed", "usage", "timings"}
    whole = service.answer(prompt=STORY, max_tokens=25, seed=1)
    for name in ("text", "tokens", "finish_reason", "seed"):
        assert answer[name] == whole[name], name
    assert answer["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


def test_logprobs_stream_with_the_tokens_they_belong_to(service):
    fields = dict(prompt=STORY, max_tokens=25, seed=1, logprobs=3)
    with service.stream(**fields) as stream:
        answer = stream.finish()
        for event in stream.events:
            assert [entry["id"] for entry in event["logprobs"]] == event["tokens"]
    assert answer["logprobs"] == service.answer(**fields)["logprobs"]


def test_each_events_text_is_that_of_its_tokens(service):
    with service.stream(prompt=STORY, max_tokens=60, seed=2, **WILD) as stream:
        stream.finish()
        for event in stream.events:
            if "\ufffd" not in event["text"] and event["tokens"]:
                got = service.post("/detokenize", {"tokens": event["tokens"]}).json()["text"]
                assert got == event["text"]


def test_no_event_shows_any_part_of_a_stop_string(service):
    text = read(service, "json", prompt=STORY, max_tokens=60, temperature=0, ignore_eos=True)
    stop = text[37:52]
    with service.stream(prompt=STORY, max_tokens=60, temperature=0, ignore_eos=True,
                        stop=stop) as stream:
        answer = stream.finish()
    assert answer["text"] == text[:37] and answer["finish_reason"] == "stop"


def test_headers_of_a_stream(service):
    with service.stream(prompt=STORY, max_tokens=3) as stream:
        head = stream.head
        assert head.header("Content-Type") == "text/event-stream; charset=utf-8"
        assert head.header("Cache-Control") == "no-store"
        assert head.header("X-Accel-Buffering") == "no"
        assert head.header("X-Request-Id") and head.header("Server-Timing") is not None
        stream.finish()


def test_the_connection_lives_on_after_a_stream(service):
    with service.connect() as connection:
        for _ in range(3):
            connection.send(service.build("POST", "/generate", {
                "prompt": STORY, "max_tokens": 5, "stream": True}))
            assert connection.read_response().body.endswith(b"data: [DONE]\n\n")
        connection.send(service.build("GET", "/livez"))
        assert connection.read_response().status == 200


@pytest.mark.parametrize("accept, kind", [
    (None, "application/json"),
    ("*/*", "application/json"),
    ("application/json", "application/json"),
    ("application/json, text/event-stream", "application/json"),
    ("application/json, text/plain, */*", "application/json"),
    ("text/event-stream;q=0.5, application/json", "application/json"),
    ("text/html, */*;q=0.8", "application/json"),
    ("text/event-stream;q=0", "application/json"),
    ("text/event-stream", "text/event-stream"),
    ("TEXT/Event-Stream", "text/event-stream"),
    ("text/event-stream, application/json;q=0.9", "text/event-stream"),
    ("application/json;q=0.5, text/plain;q=0.4, text/event-stream", "text/event-stream"),
    ("text/event-stream, */*;q=0.1", "text/event-stream"),
    ("text/plain", "text/plain"),
    ("text/plain; charset=utf-8", "text/plain"),
    ("text/plain, application/json;q=0.9", "text/plain"),
    ("text/plain;q=0.2, application/json;q=0.1", "text/plain"),
])
def test_accept_decides_when_it_prefers(service, accept, kind):
    response = service.post("/generate", {"prompt": STORY, "max_tokens": 2}, {"Accept": accept})
    assert response.status == 200
    assert response.header("Content-Type").split(";")[0] == kind


def test_stream_true_wins_over_accept(service):
    for accept in ("application/json", "text/plain"):
        with service.stream({"Accept": accept}, prompt=STORY, max_tokens=2,
                            ignore_eos=True) as stream:
            assert stream.finish()["usage"]["completion_tokens"] == 2


def test_a_refusal_is_a_status_and_json_in_every_form(service):
    for headers in ({"Accept": "text/event-stream"}, {"Accept": "text/plain"}, {}):
        for stream in (True, False):
            response = service.post("/generate", {"prompt": STORY, "max_tokens": 0,
                                                  "stream": stream}, headers)
            assert response.status == 400
            assert response.header("Content-Type").split(";")[0] == "application/json"
            response.error()


def test_plain_text_comes_in_pieces_and_says_its_charset(service):
    with service.connect() as connection:
        connection.send(service.build("POST", "/generate", {
            "prompt": STORY, "max_tokens": 100, "ignore_eos": True}, {"Accept": "text/plain"}))
        head = connection.read_head()
        assert head.header("Content-Type") == "text/plain; charset=utf-8"
        assert head.header("Transfer-Encoding") == "chunked"
        for part in connection.body_parts(head):
            part.decode("utf-8")  # no piece ends inside a character


def test_http_1_0_streams_until_the_connection_closes(service):
    fields = {"prompt": STORY, "max_tokens": 10, "seed": 3, "stream": True}
    with service.connect() as connection:
        connection.send(service.build("POST", "/generate", fields, version="1.0"))
        response = connection.read_response()
        assert response.header("Transfer-Encoding") is None
        assert response.body.endswith(b"data: [DONE]\n\n")
        assert connection.is_ended()


def test_request_id_is_the_clients_when_well_formed(service):
    good = "A-z_0.9" + "x" * 57
    with service.stream({"X-Request-Id": good}, prompt=STORY, max_tokens=1) as stream:
        assert stream.head.header("X-Request-Id") == good
        stream.finish()
    response = service.generate({"X-Request-Id": good}, prompt=STORY, max_tokens=1)
    assert response.header("X-Request-Id") == good == response.json()["id"]
    assert poll("the log line", lambda: service.log_lines(good))
    for bad in ("", "x" * 65, "a b", "a/b", "caf\u00e9", "a\tb"):
        told = service.generate({"X-Request-Id": bad}, prompt=STORY, max_tokens=1)
        assert told.status == 200
        assert told.header("X-Request-Id") not in (bad, None)


def test_drawn_request_ids_differ(service):
    ids = {service.get("/livez").header("X-Request-Id") for _ in range(20)}
    assert len(ids) == 20 and None not in ids


def test_the_log_has_one_line_a_request_and_never_the_prompt(service):
    secret = "xylophone zebra quince"
    response = service.generate({"X-Request-Id": "log-line-1"}, prompt=secret, max_tokens=4)
    assert response.status == 200
    lines = poll("the log line", lambda: service.log_lines("log-line-1"))
    assert len(lines) == 1 and "200" in lines[0]
    assert "xylophone" not in service.log()
