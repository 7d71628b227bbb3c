"""The prompt: tokens with their probabilities, forks, branches, against the real program."""
import json

import pytest

from fake import CUT, Gate, Refuse, token
from service import poll

PROMPT = "Once upon a time"


def tokens(page):
    return page.value("[...document.querySelectorAll('#tokens .token')].map(e => e.textContent)")


def start(page, service, max_tokens=24):
    page.visit(service)
    page.fill("sampling-temperature", "0")
    page.fill("sampling-max_tokens", str(max_tokens))
    page.generate(PROMPT)


def test_the_tokens_are_those_that_the_server_gives(page, service):
    start(page, service)
    answer = service.answer(prompt=PROMPT, max_tokens=24, temperature=0, logprobs=5)
    assert "".join(tokens(page)).replace("⏎", "") == answer["text"]
    assert len(tokens(page)) == len(answer["tokens"])
    assert "24 tokens" in page.text("#prompt-status")


def test_alternatives_come_with_the_focus_and_the_mouse(page, service):
    start(page, service)
    first = service.answer(prompt=PROMPT, max_tokens=1, temperature=0, logprobs=5)["logprobs"][0]
    page.value("document.querySelector('#tokens .token').focus()")
    assert page.seen("alternatives-box")
    assert page.count("#alternatives-box button") == len(first["top"])
    assert page.count("#alternatives-box .taken") == 1
    page.press("Escape")
    assert not page.seen("alternatives-box")
    box = page.value(
        "(() => { const r = document.querySelectorAll('#tokens .token')[5]"
        ".getBoundingClientRect(); return [r.x + 3, r.y + 8]; })()"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    page.wait("document.getElementById('alternatives-box').getClientRects().length")
    assert "Token 6" in page.text("#alternatives-box")


def test_another_token_forks_the_text_there(page, service):
    start(page, service)
    before = tokens(page)
    page.value("document.querySelectorAll('#tokens .token')[3].focus()")
    page.press("ArrowDown")
    chosen = page.value("document.activeElement.querySelector('.name').textContent")
    page.press("Enter")
    page.wait("document.getElementById('branch-name').textContent === 'Branch 2 of 2'")
    page.wait_for_tokens()
    after = tokens(page)
    assert after[:3] == before[:3] and after[3] != before[3]
    assert after[3].strip() == chosen.replace("␣", "").strip()
    assert page.count("#tokens .forked") == 1
    ids = service.post("/tokenize", {"text": PROMPT, "add_special": True}).json()["tokens"]
    branch = json.loads(page.run(STORED))[0]["branches"][1]
    ids += [one[0] for one in branch["tokens"][:4]]
    expected = service.answer(prompt=ids, max_tokens=24, temperature=0)
    assert [one[0] for one in branch["tokens"][4:]] == expected["tokens"]
    page.push("branch-before")
    assert tokens(page) == before


STORED = """new Promise(done => {
  const open = indexedDB.open('smallmind');
  open.onsuccess = () => {
    const all = open.result.transaction('conversations').objectStore('conversations').getAll();
    all.onsuccess = () => { done(JSON.stringify(all.result)); open.result.close(); };
  };
})"""


def test_going_on_is_as_if_it_had_not_ended(page, service):
    start(page, service, max_tokens=10)
    page.push("go-on")
    page.wait("document.querySelectorAll('#tokens .token').length === 20")
    page.wait_for_tokens()
    whole = service.answer(prompt=PROMPT, max_tokens=20, temperature=0)
    assert "".join(tokens(page)).replace("⏎", "") == whole["text"]
    assert not page.seen("branches")


def test_stop_ends_the_work_at_the_server(page, serve):
    service = serve("--context", "512")
    page.visit(service)
    page.fill("sampling-max_tokens", "500")
    page.push("tab-prompt")
    for _ in range(20):  # the model is fast: it may be done before the stop
        page.fill("prompt", PROMPT)
        page.press("Enter", "ctrl")
        page.press("Escape")
        page.wait("!document.getElementById('generate').hidden")
        metrics = service.wait_until_idle()
        if metrics.sum("smallmind_requests_cancelled_total"):
            break
    else:
        pytest.fail("no generation was cancelled")
    assert page.text("#prompt-note") == "Stopped."


def test_a_slow_server_can_be_stopped(page, fake):
    gate = Gate()
    fake.continuation(token(5, " one"), gate, token(6, " two"))
    page.visit(fake)
    page.push("tab-prompt")
    page.fill("prompt", PROMPT)
    page.push("generate")
    page.wait("document.querySelectorAll('#tokens .token').length === 1")
    assert page.seen("prompt-stop")
    page.push("prompt-stop")
    poll("the client to leave", gate.left.is_set)
    page.wait_for_tokens()
    assert tokens(page) == [" one"] and page.text("#prompt-note") == "Stopped."


@pytest.mark.parametrize("script, words", [
    ([token(5, " one"), CUT], "cut"),
    (Refuse(429, "the queue is full", Retry_After="2"), "2 s"),
    (Refuse(501, "not yet"), "Not yet."),
])  # fmt: skip
def test_what_goes_wrong_is_said(page, fake, script, words):
    if isinstance(script, list):
        fake.continuation(*script)
    else:
        fake.scripts["/generate"] = script
    page.visit(fake)
    page.push("tab-prompt")
    page.fill("prompt", PROMPT)
    page.push("generate")
    page.wait("document.getElementById('prompt-note').textContent")
    assert words in page.text("#prompt-note")


def test_parts_of_characters_make_one(page, fake):
    whole = "é".encode()
    first = {"id": 3, "text": "\ufffd", "bytes": [whole[0]], "logprob": -1, "top": []}
    second = {"id": 4, "text": "\ufffd", "bytes": [whole[1]], "logprob": -1, "top": []}
    event = {"text": "é", "tokens": [3, 4], "logprobs": [first, second]}
    fake.continuation()
    fake.scripts["/generate"].insert(0, event)
    page.visit(fake)
    page.generate(PROMPT)
    assert page.value("document.getElementById('tokens').textContent").endswith("é")


def test_a_token_that_hides_its_text_is_shown_by_name(page, fake):
    fake.continuation(token(3, "\u202e\x1b[1m"), token(4, "<img src=x onerror=alert(1)>"),
                      token(5, ""), token(6, "\n"))  # fmt: skip
    page.visit(fake)
    page.generate(PROMPT)
    assert "U+202E" in tokens(page)[0] and "␛" in tokens(page)[0]
    assert tokens(page)[1] == "<img src=x onerror=alert(1)>"
    assert page.count("#tokens img") == 0
    for i in range(4):
        page.value(f"document.querySelectorAll('#tokens .token')[{i}].focus()")
        assert page.count("#alternatives-box img") == 0


def test_an_ending_that_is_chosen_ends_the_text(page, fake, service):
    end = service.info()["model"]["end_tokens"][0]
    top = [(6, " two", -0.1), (end["id"], "", -3.0)]
    fake.continuation(token(5, " one"), token(6, " two", top=top), token(7, " three"))
    page.visit(fake)
    page.generate(PROMPT)
    page.value("document.querySelectorAll('#tokens .token')[1].focus()")
    assert end["text"] in page.text("#alternatives-box")
    page.press("ArrowDown")
    page.press("Enter")
    assert page.text("#branch-name") == "Branch 2 of 2"
    assert tokens(page) == [" one", end["text"]]
    assert page.value("document.getElementById('go-on').disabled")
    assert len(fake.sent("/generate")) == 1


def test_a_text_that_ends_at_once_is_said_to(page, fake):
    fake.continuation(finish="stop")
    page.visit(fake)
    page.push("tab-prompt")
    page.fill("prompt", PROMPT)
    page.push("generate")
    page.wait("document.getElementById('prompt-note').textContent")
    assert "at once" in page.text("#prompt-note")
