"""How the page looks and is reached: axe-core in every view and both themes, no overflow at 1280
and 390 px, everything by the keyboard alone."""
import pytest

from fake import Gate, Refuse, chat_event, token

MARKDOWN = """# One

Text with *emphasis*, `code`, a [link](https://a.example/) and https://b.example/.

### Three

- a list
  1. inside
- [x] done

> a quote

| a | b |
|---|--:|
| 1 | 2 |

```python
print("a line that is much longer than a telephone is wide, so that it has to scroll sideways")
```

---

###### Six
"""
THEMES, WIDTHS = ["light", "dark"], [1280, 390]


def chat_is_empty(page, fake):
    pass


def chat_has_an_answer(page, fake):
    fake.chat(chat_event({"reasoning_content": "Hm."}), MARKDOWN)
    page.ask("A question")
    page.wait_for_answer()
    page.value("document.querySelectorAll('details').forEach(e => { e.open = true; })")


def chat_is_streaming(page, fake):
    fake.gate = Gate()
    fake.chat("So far", fake.gate)
    page.ask("A question")
    page.wait("document.querySelector('.message.assistant .body').innerText === 'So far'")


def chat_waits(page, fake):
    fake.gate = Gate()
    fake.scripts["/v1/chat/completions"] = [fake.gate]
    page.ask("A question")
    page.wait("document.querySelector('[aria-busy]')")


def chat_is_refused(page, fake):
    fake.scripts["/v1/chat/completions"] = Refuse(429, "the queue is full", Retry_After="9")
    page.ask("A question")
    page.wait_for_answer()


def a_message_is_edited(page, fake):
    chat_has_an_answer(page, fake)
    page.value("document.querySelector('[aria-label=\"Edit message\"]').click()")


def prompt_is_empty(page, fake):
    page.push("tab-prompt")


def prompt_has_tokens(page, fake):
    top = [(9, " a", -0.05), (8, "\n", -1.0), (7, "", -3.0), (6, " very long alternative", -9.0)]
    pieces = [" a", "\n", "\n", " b", ",", " unbelievable"] * 12
    fake.continuation(*[
        token(i, text, logprob=-(i % 5), top=top) for i, text in enumerate(pieces)
    ])  # fmt: skip
    page.generate("Once upon a time")


def alternatives_are_open(page, fake):
    prompt_has_tokens(page, fake)
    page.value("document.querySelectorAll('#tokens .token')[20].focus()")
    assert page.seen("alternatives-box")


def a_fork_is_shown(page, fake):
    alternatives_are_open(page, fake)
    page.press("ArrowDown")
    page.press("Enter")
    page.wait("document.getElementById('branch-name').textContent === 'Branch 2 of 2'")
    page.wait_for_tokens()


def prompt_is_refused(page, fake):
    page.push("tab-prompt")
    fake.scripts["/generate"] = Refuse(503, "the model is being loaded", Retry_After="1")
    page.fill("prompt", "x")
    page.push("generate")
    page.wait("document.getElementById('prompt-note').textContent")


def the_server_is_shown(page, fake):
    page.push("tab-server")
    page.wait("document.querySelector('.chart path')")


def controls_are_wrong(page, fake):
    page.value("document.querySelector('#sampling details').open = true")
    page.fill("sampling-temperature", "99")
    open_panel(page)


def open_panel(page):
    if page.seen("panel-open"):
        page.push("panel-open")


def the_controls_are_open(page, fake):
    page.value("document.querySelector('#sampling details').open = true")
    open_panel(page)


def the_list_is_open(page, fake):
    chat_has_an_answer(page, fake)
    page.wait("document.querySelector('#list li')")
    if page.seen("sidebar-open"):
        page.push("sidebar-open")


def dialog(id, opener):
    def show(page, fake):
        page.value(f"document.getElementById({opener!r}).click()")
        page.wait(f"document.getElementById({id!r}).open")

    show.__name__ = id
    return show


def a_question_is_asked(page, fake):
    the_list_is_open(page, fake)
    page.value("document.querySelector('#list [aria-label^=Delete]').click()")
    page.wait("document.getElementById('confirm-dialog').open")


def a_notice_is_shown(page, fake):
    page.value(
        "document.getElementById('notice').hidden = false;"
        "document.getElementById('notice-text').textContent = 'A sentence of some length.'"
    )


VIEWS = [
    chat_is_empty, chat_has_an_answer, chat_is_streaming, chat_waits, chat_is_refused,
    a_message_is_edited, prompt_is_empty, prompt_has_tokens, alternatives_are_open,
    a_fork_is_shown, prompt_is_refused, the_server_is_shown, controls_are_wrong,
    the_controls_are_open, the_list_is_open, a_question_is_asked, a_notice_is_shown,
    dialog("key-dialog", "key-open"), dialog("code-dialog", "code-open"),
    dialog("help-dialog", "help-open"),
]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", VIEWS, ids=lambda one: one.__name__)
def test_every_view_is_reached_by_all_and_nothing_is_cut_off(page, fake, view, width):
    page.visit(fake, width)
    fake.gate = None
    view(page, fake)
    try:
        for theme in THEMES:
            page.theme(theme)
            assert page.violations() == [], theme
        assert page.overflow() == []
    finally:
        if fake.gate:
            fake.gate.opened.set()


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_is_chosen_and_kept(page, fake, theme):
    other = THEMES[1 - THEMES.index(theme)]
    page.theme(other)
    page.visit(fake)
    ground = "getComputedStyle(document.body).backgroundColor"
    system = page.value(ground)
    page.value(
        f"(e => {{ e.value = '{theme}'; e.dispatchEvent(new Event('change')); }})"
        "(document.getElementById('theme'))"
    )
    assert page.value(ground) != system
    chosen = page.value(ground)
    page.visit(fake)
    assert page.value(ground) == chosen
    page.theme(theme)
    assert page.value(ground) == chosen


def tab_to(page, id, *modifiers):
    """Tab after Tab, as a person without a mouse goes."""
    for _ in range(80):
        if page.value("document.activeElement.id") == id:
            return
        page.press("Tab", *modifiers)
    raise AssertionError(f"{id} is not reached by the Tab key")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_chat_by_keys_alone(page, fake, width):
    fake.chat("An answer.")
    page.visit(fake, width)
    tab_to(page, "question")
    page.write("Hello")
    page.press("Enter")
    page.wait_for_answer()
    assert page.focused() == "question"
    gate = Gate()
    fake.chat("More", gate)
    page.write("Again")
    page.press("Enter")
    page.wait("document.querySelectorAll('.message.assistant').length === 2")
    page.press("Escape")
    page.wait("document.querySelector('.message:last-child .note')")


def test_a_fork_by_keys_alone(page, service):
    page.visit(service)
    page.value("document.getElementById('tab-chat').focus()")
    page.press("ArrowRight")
    assert page.focused() == "tab-prompt" and page.seen("prompt")
    tab_to(page, "prompt")
    page.write("Once upon a time")
    page.press("Enter", "ctrl")
    page.wait_for_tokens()
    for _ in range(40):
        if page.value("document.activeElement.classList.contains('token')"):
            break
        page.press("Tab")
    page.press("ArrowRight", times=4)
    assert page.value("document.activeElement.dataset.index") == "4"
    page.press("ArrowDown")
    assert page.value("document.activeElement.closest('#alternatives-box') !== null")
    page.press("Escape")
    assert page.value("document.activeElement.dataset.index") == "4"
    page.press("Enter")
    page.press("ArrowDown")
    page.press("Enter")
    page.wait("document.getElementById('branch-name').textContent === 'Branch 2 of 2'")
    assert page.value("document.activeElement.dataset.index") == "4"
    page.wait_for_tokens()


@pytest.mark.parametrize("id", ["sidebar", "panel"])
def test_a_drawer_by_keys_alone(page, fake, id):
    page.visit(fake, 390)
    assert not page.seen(id)
    page.value(f"document.getElementById('{id}-open').focus()")
    page.press("Enter")
    assert page.seen(id) and page.focused() == f"{id}-close"
    for _ in range(60):
        page.press("Tab")
        inside = page.value(
            f"document.getElementById('{id}').contains(document.activeElement)"
            " || document.activeElement === document.body"
        )
        assert inside, page.focused()
    page.press("Escape")
    assert not page.seen(id) and page.focused() == f"{id}-open"


def test_everything_that_can_be_pushed_is_reached_by_tab(page, fake):
    fake.chat(MARKDOWN)
    page.visit(fake)
    page.ask("A question")
    page.wait_for_answer()
    page.value("document.activeElement.blur()")
    wanted = page.value(
        """(() => {
          let n = 0;
          const all = 'button, a[href], input, textarea, select, summary';
          for (const e of document.querySelectorAll(all))
            if (e.checkVisibility({visibilityProperty: false}) && !e.disabled
                && e.getAttribute('aria-hidden') !== 'true' && e.getAttribute('role') !== 'tab'
                && e.type !== 'file' && !e.closest('dialog')) { e.dataset.wanted = n++; }
          return n; })()"""
    )
    met = set()
    for _ in range(wanted + 40):
        page.press("Tab")
        met.add(page.value("document.activeElement.dataset.wanted ?? ''"))
    missing = [
        page.value(f"document.querySelector('[data-wanted=\"{i}\"]').outerHTML.slice(0, 120)")
        for i in range(wanted)
        if str(i) not in met
    ]
    assert missing == []


def test_a_finger_finds_room_on_a_telephone(page, fake):
    fake.chat("An answer.")
    page.visit(fake, 390)
    page.ask("A question")
    page.wait_for_answer()
    small = page.value(
        "[...document.querySelectorAll('button, select, input, summary')].filter(e => "
        "e.checkVisibility() && e.getAttribute('aria-hidden') !== 'true')"
        ".filter(e => Math.min(e.offsetHeight, e.offsetWidth) < 24)"
        ".map(e => e.outerHTML.slice(0, 100))"
    )
    assert small == []


def test_what_comes_is_said_to_a_screen_reader(page, fake):
    fake.chat("The first part.\n\nThe second part.")
    page.visit(fake)
    page.ask("A question")
    page.wait_for_answer()
    said = page.texts("#announcer p")
    assert said[:2] == ["The first part.", "The second part."]
    assert said[-1].startswith("Answer complete")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_follows_an_answer_but_not_a_reader(page, fake, width):
    gate, second = Gate(), Gate()
    fake.chat(*["line\n\n"] * 80, gate, *["more\n\n"] * 40, second)
    page.visit(fake, width)
    page.ask("A question")
    view = "document.getElementById('messages-view')"
    page.wait(f"document.querySelectorAll('.body p').length >= 79")
    page.wait(f"{view}.scrollHeight - {view}.scrollTop - {view}.clientHeight < 60")
    page.value(f"{view}.scrollTop = 10")
    gate.opened.set()
    page.wait("document.querySelectorAll('.body p').length >= 119")
    assert page.value(f"{view}.scrollTop") == 10
    second.opened.set()
    page.wait_for_answer()
