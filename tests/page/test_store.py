"""The browser's storage: conversations over a reload, as a file and back, within bounds."""
import json

import pytest

from fake import Refuse


def export(page, folder):
    return page.download("export", folder)


def import_file(page, path):
    page.value("document.getElementById('notice').hidden = true")
    page.choose_file("import-file", path)
    page.wait("!document.getElementById('notice').hidden")
    return page.text("#notice-text")


def test_conversations_outlive_a_reload(page, fake):
    fake.chat("An *answer*.")
    page.visit(fake)
    page.ask("The question")
    page.wait_for_answer()
    page.push("new-chat")
    assert page.count(".message") == 0
    page.ask("Another one")
    page.wait_for_answer()
    page.visit(fake)
    page.wait("document.querySelectorAll('#list li').length === 2")
    assert page.texts("#list .words") == ["Another one", "The question"]
    page.click("document.querySelectorAll('#list .title')[1]")
    assert page.texts(".message .body") == ["The question", "An answer."]
    assert page.count(".message em") == 1
    fake.chat("More.")
    page.ask("And then?")
    page.wait("document.querySelectorAll('.message.assistant .foot').length === 2")
    page.wait_for_answer()
    assert len(fake.sent("/v1/chat/completions")[-1]["messages"]) == 3


def test_a_prompt_is_kept_with_its_branches(page, service):
    page.visit(service)
    page.fill("sampling-max_tokens", "8")
    page.generate("Once upon a time")
    page.value("document.querySelectorAll('#tokens .token')[2].focus()")
    page.press("ArrowDown")
    page.press("Enter")
    page.wait("document.getElementById('branch-name').textContent === 'Branch 2 of 2'")
    page.wait_for_tokens()
    before = page.texts("#tokens .token")
    page.visit(service)
    page.wait("document.querySelectorAll('#list li').length === 1")
    page.click("document.querySelector('#list .title')")
    assert page.texts("#tokens .token") == before
    assert page.text("#branch-name") == "Branch 2 of 2"
    page.value("document.querySelectorAll('#tokens .token')[1].focus()")
    assert page.count("#alternatives-box button") >= 5


def test_one_is_deleted_after_a_question(page, fake):
    fake.chat("ok")
    page.visit(fake)
    page.ask("To be deleted")
    page.wait_for_answer()
    page.wait("document.querySelectorAll('#list li').length === 1")
    delete = "document.querySelector('#list [aria-label^=Delete]')"
    page.value(f"{delete}.click()")
    page.wait("document.getElementById('confirm-dialog').open")
    page.press("Escape")
    assert page.count("#list li") == 1
    page.value(f"{delete}.click()")
    page.wait("document.getElementById('confirm-dialog').open")
    page.push("confirm-yes")
    page.wait("document.querySelectorAll('#list li').length === 0")
    page.visit(fake)
    assert page.count("#list li") == 0 and page.count(".message") == 0


def test_export_and_import_are_a_round_trip(page, fake, service, tmp_path):
    fake.chat("An *answer* of the model, é 😀 \u202e.")
    page.visit(fake)
    page.ask("A question")
    page.wait_for_answer()
    page.push("new-prompt")
    fake.scripts["/generate"] = Refuse(400, "no")
    page.fill("prompt", "A prompt")
    page.push("generate")
    page.wait("document.querySelectorAll('#list li').length === 2")
    path = export(page, tmp_path)
    before = json.loads(path.read_text())
    assert [one["kind"] for one in before["conversations"]] == ["chat", "prompt"]
    assert import_file(page, path) == "All of it was here already."
    page.forget()
    page.visit(fake)
    assert import_file(page, path) == "2 conversations imported."
    again = tmp_path / "again"
    again.mkdir()
    assert json.loads(export(page, again).read_text()) == before


def test_what_was_changed_here_is_not_overwritten(page, fake, tmp_path):
    fake.chat("One.")
    page.visit(fake)
    page.ask("A question")
    page.wait_for_answer()
    page.wait("document.querySelectorAll('#list li').length === 1")
    path = export(page, tmp_path)
    fake.chat("Two.")
    page.ask("Another")
    page.wait("document.querySelectorAll('.message.assistant .foot').length === 2")
    page.wait_for_answer()
    assert import_file(page, path) == "1 conversation imported."
    assert page.count("#list li") == 2


@pytest.mark.parametrize("text", [
    "", "nothing", "[]", "5", "null", "{}", '{"format":"smallmind-conversations"}',
    '{"format":"smallmind-conversations","version":2,"conversations":[]}',
    '{"format":"other","version":1,"conversations":[]}',
    '{"format":"smallmind-conversations","version":1,"conversations":{"length":1}}',
    '{"format":"smallmind-conversations","version":1,"conversations":[5,null,"x",[]]}',
    "\0\1\2", "{" * 100000,
])  # fmt: skip
def test_a_file_that_is_none_is_refused_in_a_sentence(page, service, tmp_path, text):
    path = tmp_path / "file.json"
    path.write_text(text)
    page.visit(service)
    said = import_file(page, path)
    assert said.startswith(("This ", "Nothing ")), said
    assert page.count("#list li") == 0


HOSTILE = {
    "format": "smallmind-conversations",
    "version": 1,
    "conversations": [
        {"kind": "chat", "id": "../../x", "title": "<img src=x onerror=alert(1)>" * 50,
         "created": "x", "changed": 1e300, "system": {"a": 1}, "__proto__": {"polluted": 1},
         "messages": [
             {"role": "system", "text": "dropped"},
             {"role": "user", "text": "<script>document.title='owned'</script>"},
             {"role": "assistant", "text": "[x](javascript:alert(1)) <b>b</b>", "reasoning": 5,
              "note": "<img src=x onerror=alert(1)>", "stats": {"tokens": "<b>", "rate": -1,
              "seed": "<b>", "finish": "<b>"}},
             None, 5, {"role": "assistant"}]},
        {"kind": "prompt", "id": 5, "title": None, "prompt": "p", "current": 99, "branches": [
            {"tokens": [[1, "<b>x</b>", "y", [[2, "<i>", -1], "x", [None, None, None]]], "x",
                        [-1, "n", 0, []], [3, "\u202ehidden", -0.5, None]],
             "fork": "1", "seed": "1; drop", "note": 5, "stats": 5}]},
        {"kind": "other"}, {"kind": "chat"}, {"kind": "prompt", "branches": "x"},
    ],
}  # fmt: skip


def test_a_hostile_file_brings_text_alone(page, fake, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(HOSTILE))
    page.visit(fake)
    assert import_file(page, path) == "4 conversations imported."
    n = page.count("#list li")
    assert n == 4
    for i in range(n):
        page.click(f"document.querySelectorAll('#list .title')[{i}]")
        for element in ("script", "img", "b", "i"):
            assert page.count(f".message {element}, #tokens {element}, #list {element}") == 0
        page.value("document.querySelector('#tokens .token')?.focus()")
    assert page.value("document.title") == "SmallMind"
    assert page.value("({}).polluted === undefined")
    assert all(len(title) <= 80 for title in page.texts("#list .words"))


def test_the_oldest_make_room(page, service, tmp_path):
    conversations = [
        {"kind": "chat", "id": f"c{i}", "title": f"number {i}", "created": i, "changed": i,
         "messages": [{"role": "user", "text": "x"}]}
        for i in range(300)
    ]  # fmt: skip
    path = tmp_path / "file.json"
    file = {"format": "smallmind-conversations", "version": 1, "conversations": conversations}
    path.write_text(json.dumps(file))
    page.visit(service)
    assert import_file(page, path) == "300 conversations imported."
    file["conversations"] = [dict(conversations[0], id="new", title="newest", changed=10**12)]
    path.write_text(json.dumps(file))
    import_file(page, path)
    assert page.count("#list li") == 300
    titles = page.texts("#list .words")
    assert titles[0] == "newest" and "number 0" not in titles and "number 1" in titles


def test_two_tabs_see_the_same_list(page, fake):
    fake.chat("ok")
    page.visit(fake)
    page.run(
        """new Promise(done => {
          const open = indexedDB.open('smallmind');
          open.onsuccess = () => {
            const put = open.result.transaction('conversations', 'readwrite')
              .objectStore('conversations').put({id: 'other', kind: 'chat', title: 'From there',
                created: 1, changed: 1, system: '', messages: []});
            put.onsuccess = () => { new BroadcastChannel('smallmind').postMessage('changed');
                                    open.result.close(); done(); };
          };
        })"""
    )
    page.wait("document.querySelectorAll('#list li').length === 1")
    assert page.texts("#list .words") == ["From there"]


NO_STORE = {
    "refuses": """Object.defineProperty(self, 'indexedDB', {get() { throw new Error('no'); }});
        for (const name of ['localStorage', 'sessionStorage'])
          Object.defineProperty(self, name, {get() { throw new Error('no'); }});""",
    "never answers": """Object.defineProperty(self, 'indexedDB', {value: {open() { return {}; }}});
        self.setTimeout = (after => (f, ms, ...rest) => after(f, Math.min(ms, 100), ...rest))(
          self.setTimeout);""",
}


@pytest.mark.parametrize("how", NO_STORE)
def test_a_browser_that_keeps_nothing_is_said_to(page, fake, how):
    number = page.call("Page.addScriptToEvaluateOnNewDocument", source=NO_STORE[how])["identifier"]
    try:
        fake.chat("Still.")
        page.visit(fake)
        page.wait("!document.getElementById('notice').hidden")
        assert "keeps no data" in page.text("#notice-text")
        page.ask("Does it work?")
        page.wait_for_answer()
        assert page.text(".message.assistant .body") == "Still."
        assert page.count("#list li") == 1
    finally:
        page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=number)
