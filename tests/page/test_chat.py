"""The chat: an answer as it comes, its stop, and what is said when the server does not answer."""
import json

import pytest

from fake import CUT, Fake, Gate, Refuse, chat_event
from service import poll

CHAT = "/v1/chat/completions"


def test_an_answer_is_shown_while_it_comes(page, fake):
    gate = Gate()
    fake.chat("**Bold** and", gate, " `code`")
    page.visit(fake)
    page.ask("Hello!")
    page.wait("document.querySelector('.message.assistant strong')")
    assert page.text(".message.assistant .body") == "Bold and"
    assert page.seen("chat-stop") and not page.seen("send")
    assert page.text(".message.user .body") == "Hello!"
    gate.opened.set()
    page.wait_for_answer()
    assert page.text(".message.assistant .body") == "Bold and code"
    assert page.count(".message.assistant .body code") == 1
    body = fake.sent(CHAT)[0]
    assert body["messages"] == [{"role": "user", "content": "Hello!"}]
    assert body["stream"] is True


def test_a_second_message_sends_the_whole_conversation(page, fake):
    fake.chat("One.")
    page.visit(fake)
    page.value("document.getElementById('system-box').open = true")
    page.fill("system", "Be brief.")
    page.ask("First")
    page.wait_for_answer()
    fake.chat("Two.")
    page.ask("Second")
    page.wait("document.querySelectorAll('.message.assistant .foot').length === 2")
    page.wait_for_answer()
    assert [(m["role"], m["content"]) for m in fake.sent(CHAT)[1]["messages"]] == [
        ("system", "Be brief."),
        ("user", "First"),
        ("assistant", "One."),
        ("user", "Second"),
    ]


def test_stop_keeps_the_text_and_ends_the_work(page, fake):
    gate = Gate()
    fake.chat("What there is so far", gate, " and never this")
    page.visit(fake)
    page.ask("Go")
    page.wait("document.querySelector('.message.assistant .body').innerText.includes('so far')")
    page.push("chat-stop")
    page.wait_for_answer()
    poll("the client to leave", gate.left.is_set)
    assert page.text(".message.assistant .body") == "What there is so far"
    assert page.text(".message.assistant .note") == "Stopped."
    assert page.focused() == "question"


def test_escape_stops_too(page, fake):
    gate = Gate()
    fake.chat(gate, "never")
    page.visit(fake)
    page.ask("Go")
    poll("the request", gate.reached.is_set)
    page.press("Escape")
    poll("the client to leave", gate.left.is_set)
    page.wait_for_answer()


def test_a_slow_server_is_waited_for_and_said_to_be_slow(page, fake):
    gate = Gate()
    fake.chat(gate, "At last.")
    page.visit(fake)
    page.ask("Go")
    page.wait("/first token, \\d+ s/.test(document.getElementById('chat-status').textContent)")
    assert page.value("document.querySelector('[aria-busy=true]') !== null")
    gate.opened.set()
    page.wait_for_answer()
    assert page.text(".message.assistant .body") == "At last."
    assert page.count("[aria-busy]") == 0


@pytest.mark.parametrize("script", [
    ["Half an", CUT], ["Half an"], ["Half an", b"data: {\"choi", CUT],
])  # fmt: skip
def test_a_cut_stream_keeps_what_came_and_says_so(page, fake, script):
    fake.chat(*script, done=False)
    page.visit(fake)
    page.ask("Go")
    page.wait_for_answer()
    assert page.text(".message.assistant .body") == "Half an"
    assert "cut" in page.text(".message.assistant .note")
    fake.chat("Whole.")
    page.click("document.querySelector('[aria-label=\"Answer again\"]')")
    page.wait("document.querySelector('.message.assistant .body')?.innerText === 'Whole.'")
    page.wait_for_answer()
    assert page.count(".message.assistant") == 1


def test_an_error_in_mid_stream_is_shown(page, fake):
    fake.chat("Some", {"error": {"code": "kv", "message": "a key was too large for F16"}},
              done=False)  # fmt: skip
    page.visit(fake)
    page.ask("Go")
    page.wait_for_answer()
    assert page.text(".message.assistant .body") == "Some"
    assert "too large for F16" in page.text(".message.assistant .note")


@pytest.mark.parametrize("junk", [b"data: nonsense\n\n", b"data: 5\n\n", b"data: null\n\n"])
def test_events_that_are_none_are_an_error_of_the_server(page, fake, junk):
    fake.chat("Some", junk)
    page.visit(fake)
    page.ask("Go")
    page.wait_for_answer()
    assert "The server sent" in page.text(".message.assistant .note")


def test_events_of_other_shapes_do_no_harm(page, fake):
    odd = [{}, {"choices": None}, {"choices": []}, {"choices": [None]}, {"choices": [{}]},
           {"choices": [{"delta": None}]}, {"choices": [{"delta": {"content": 5}}]},
           {"choices": [{"delta": {"content": {"a": 1}}}]}, {"usage": None}, {"usage": 5},
           {"choices": [{"delta": {}, "logprobs": {"content": "x"}}]}]  # fmt: skip
    fake.chat("a", *odd, b": a comment\n\n", b"event: x\nid: 7\n\n", "b")
    page.visit(fake)
    page.ask("Go")
    page.wait_for_answer()
    assert page.text(".message.assistant .body") == "ab"
    assert page.count(".message.assistant .note") == 0


def test_events_may_be_cut_anywhere_and_end_in_any_way(page, fake):
    text = "é😀" * 3
    event = json.dumps(chat_event({"content": text}), ensure_ascii=False)
    raw = f"data: {event}\r\n\r\n".encode()
    fake.chat(*[raw[i : i + 1] for i in range(len(raw))])
    page.visit(fake)
    page.ask("Go")
    page.wait_for_answer()
    assert page.text(".message.assistant .body") == text


@pytest.mark.parametrize(
    "refusal, words",
    [
        (Refuse(429, "the queue is full", Retry_After="3"), ["queue is full", "3 s"]),
        (Refuse(503, "the model is being loaded", Retry_After="1"), ["being loaded", "1 s"]),
        (Refuse(500, "out of memory"), ["out of memory"]),
        (Refuse(400, "the prompt is too long"), ["too long"]),
        (Refuse(501, "this model has no chat template"), ["no chat template", "Prompt tab"]),
        (Refuse(404, "there is nothing here"), ["no chat", "Prompt tab"]),
    ],
    ids=lambda one: str(getattr(one, "status", "")),
)
def test_a_refusal_is_said_in_the_servers_words(page, fake, refusal, words):
    fake.scripts[CHAT] = refusal
    page.visit(fake)
    page.ask("Go")
    page.wait_for_answer()
    note = page.text(".message.assistant .note")
    assert note[0].isupper()
    assert all(word.lower() in note.lower() for word in words), note
    fake.chat("Now.")
    page.click("document.querySelector('[aria-label=\"Try again\"]')")
    page.wait("document.querySelector('.message.assistant .body').innerText === 'Now.'")
    page.wait_for_answer()


def test_a_refusal_that_is_not_json_is_said_too(page, fake):
    refusal = Refuse(502, "")
    refusal.body = "<html><script>alert(1)</script>Bad gateway</html>"
    fake.scripts[CHAT] = refusal
    page.visit(fake)
    page.ask("Go")
    page.wait_for_answer()
    assert "502" in page.text(".message.assistant .note")


def test_a_server_that_is_gone_is_said_to_be(page, service):
    gone = Fake(service)
    page.visit(gone)
    gone.stop()
    page.ask("Go")
    page.wait_for_answer()
    assert "cannot be reached" in page.text(".message.assistant .note")


def test_a_server_that_is_still_loading_is_asked_again(page, fake):
    fake.refused["/info"] = Refuse(503, "the model is being loaded", Retry_After="1")
    page.visit(fake, ready=False)
    page.wait("document.getElementById('notice-text').textContent.includes('being loaded')")
    del fake.refused["/info"]
    page.wait("document.getElementById('model').textContent")
    assert not page.seen("notice")


def test_figures_that_do_not_come_are_said_and_come_again(page, fake):
    page.visit(fake)
    page.push("tab-server")
    page.wait("document.querySelector('.chart path')")
    fake.refused["/metrics"] = Refuse(500, "no figures")
    page.wait("document.getElementById('server-note').textContent.includes('No figures')")
    del fake.refused["/metrics"]
    page.wait("document.getElementById('server-note').textContent === ''")


def test_reasoning_stands_apart(page, fake):
    fake.chat(chat_event({"reasoning_content": "Let me *think*."}), "The answer.")
    page.visit(fake)
    page.ask("Why?")
    page.wait_for_answer()
    assert page.text(".message.assistant .body") == "The answer."
    assert page.value("document.querySelector('.reasoning .text').textContent") == "Let me think."
    fake.chat("More.")
    page.ask("And?")
    page.wait("document.querySelectorAll('.message.assistant .foot').length === 2")
    page.wait_for_answer()
    assert fake.sent(CHAT)[1]["messages"][1] == {"role": "assistant", "content": "The answer."}


def test_an_edited_message_replaces_what_follows(page, fake):
    fake.chat("One.")
    page.visit(fake)
    page.ask("First")
    page.wait_for_answer()
    page.click("document.querySelector('[aria-label=\"Edit message\"]')")
    assert page.focused() == "question" and page.seen("editing")
    assert page.value("document.getElementById('question').value") == "First"
    page.push("editing-cancel")
    assert page.count(".message") == 2 and not page.seen("editing")
    page.click("document.querySelector('[aria-label=\"Edit message\"]')")
    fake.chat("Two.")
    page.ask("Better")
    page.wait("document.querySelector('.message.assistant .body').innerText === 'Two.'")
    page.wait_for_answer()
    assert page.texts(".message .body") == ["Better", "Two."]
    assert fake.sent(CHAT)[-1]["messages"] == [{"role": "user", "content": "Better"}]


def test_shift_enter_is_a_new_line(page, fake):
    fake.chat("ok")
    page.visit(fake)
    page.fill("question", "a")
    page.press("Enter", "shift")
    page.write("b")
    page.press("Enter")
    page.wait_for_answer()
    assert fake.sent(CHAT)[0]["messages"][0]["content"] == "a\nb"


def test_sampling_goes_with_the_request(page, fake):
    fake.chat("ok")
    page.visit(fake)
    page.fill("sampling-temperature", "0.25")
    page.fill("sampling-max_tokens", "17")
    page.value("document.querySelector('#sampling details').open = true")
    page.fill("sampling-seed", "42")
    page.fill("sampling-stop", "END")
    page.ask("Go")
    page.wait_for_answer()
    body = fake.sent(CHAT)[0]
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.25, 17, 42)
    assert body["stop"] == ["END"] and body["top_k"] == 40


def test_a_value_out_of_range_is_said_and_not_sent(page, fake):
    fake.chat("ok")
    page.visit(fake)
    for value in ("9", "-1"):
        page.fill("sampling-temperature", value)
        assert page.value("document.getElementById('sampling-temperature').ariaInvalid") == "true"
        assert "From 0 to 5" in page.text("#sampling-temperature-about")
    page.ask("Go")
    page.wait_for_answer()
    assert fake.sent(CHAT)[0].get("temperature", 1) <= 5


def test_a_model_without_a_template_says_so_and_begins_with_a_prompt(page, serve):
    page.visit(serve())
    page.wait("document.getElementById('prompt').checkVisibility()")
    page.push("tab-chat")
    assert "no chat template" in page.text("#chat-about")
    page.ask("Hello")
    page.wait_for_answer()
    assert "Prompt tab" in page.text(".message.assistant .note")


def test_the_real_server_answers(page, service):
    page.visit(service)
    page.fill("sampling-temperature", "0")
    page.fill("sampling-max_tokens", "30")
    for i, question in enumerate(("Tell me a story.", "And then?")):
        page.ask(question)
        page.wait(f"document.querySelectorAll('.message.assistant .foot').length === {i + 1}")
    page.wait_for_answer()
    assert page.count(".note") == page.count("#prompt-note")
    kept = page.run(STORED)[0]["messages"]
    messages = [{"role": one["role"], "content": one["text"]} for one in kept]
    for n in (1, 3):
        body = {"messages": messages[:n], "temperature": 0, "max_tokens": 30}
        body.update(top_p=0.95, top_k=40, min_p=0.05)
        answer = service.post(CHAT, body).json()
        assert answer["choices"][0]["message"]["content"] == messages[n]["content"]
        assert kept[n]["stats"]["tokens"] == answer["usage"]["completion_tokens"]


STORED = """new Promise(done => {
  const open = indexedDB.open('smallmind');
  open.onsuccess = () => {
    const all = open.result.transaction('conversations').objectStore('conversations').getAll();
    all.onsuccess = () => { done(all.result); open.result.close(); };
  };
})"""


def test_stop_ends_the_work_at_the_real_server(page, service):
    page.visit(service)
    before = service.metrics().sum("smallmind_requests_cancelled_total")
    for _ in range(20):  # the model is fast: it may be done before the stop
        page.ask("Tell me a story.")
        page.press("Escape")
        page.wait_for_answer()
        if service.wait_until_idle().sum("smallmind_requests_cancelled_total") > before:
            break
    else:
        pytest.fail("no generation was cancelled")
    assert page.texts(".message.assistant .note")[-1] == "Stopped."
