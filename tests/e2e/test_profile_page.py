"""A profile's page in a browser, and its trace."""
import json
import re

import pytest

import browser
from profile_runs import profile
from schema import Schema
from service import LIMIT, ROOT, poll

SCHEMA = Schema(ROOT / "docs" / "profile.schema.json")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """All three forms of one profile."""
    name = tmp_path_factory.mktemp("profile") / "run"
    profile("--json", "--html", "--trace", "--sessions", "1", "--tokens", "10", name)
    return name


def test_the_trace_is_events(files):
    events = json.loads(files.with_suffix(".trace.json").read_text())
    spans = [e for e in events if e["ph"] == "X"]
    assert {e["name"] for e in events if e["ph"] == "M"} == {
        "process_name",
        "process_labels",
        "thread_name",
    }
    assert all(e["dur"] >= 0 and e["ts"] >= 0 and e["pid"] >= 1 and e["tid"] >= 0 for e in spans)
    assert {"QKV", "attention", "FFN down", "sampler"} <= {e["name"] for e in spans}
    steps = [e for e in spans if e["name"].startswith("step")]
    inner = [e for e in spans if e["name"] == "QKV"]
    assert all(
        any(s["ts"] <= e["ts"] and e["ts"] + e["dur"] <= s["ts"] + s["dur"] + 1 for s in steps)
        for e in inner
    )
    for one, next_one in zip(steps, steps[1:]):
        assert one["ts"] + one["dur"] <= next_one["ts"] + 0.002, "steps lie one after the other"


def test_the_page_holds_everything_itself(files):
    page = files.with_suffix(".html").read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "@import" not in page and "fetch(" not in page
    data = re.search(r'id="data">(.*?)</script>', page, re.S).group(1)
    assert list(SCHEMA.faults(json.loads(data)["report"])) == []


@pytest.fixture(scope="module")
def page(files):
    if browser.PATH is None:
        pytest.skip("no Chromium here (Debian's package is chromium)")
    one = browser.Browser(2 * LIMIT)
    yield one, files.with_suffix(".html").as_uri()
    one.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_flame_graph_answers_a_click(page, width):
    one, url = page
    one.open(url, width)
    assert one.errors == []
    focus = "document.getElementById('flame').dataset.focus"
    frame = "[...document.querySelectorAll('.frame')].find(f => f.dataset.path === '%s')"
    assert one.value(focus) == "engine"
    path = "engine/step (decode)/layer 1"
    narrow = one.value(f"({frame % path}).getBoundingClientRect().width")
    one.click(frame % path)
    assert one.value(focus) == path
    wide = one.value(f"({frame % path}).getBoundingClientRect().width")
    assert wide > 2 * narrow, "the part that was clicked takes the page's width"
    assert "layer 1" in one.value("document.getElementById('flame-detail').textContent")
    one.click("document.getElementById('up')")
    assert one.value(focus) == "engine/step (decode)"
    one.click("document.getElementById('reset')")
    assert one.value(focus) == "engine"
    one.click("document.getElementById('merge')")
    assert one.value(f"!!({frame % 'engine/step (decode)/4 layers'})")
    wider = one.value("document.documentElement.scrollWidth")
    assert wider <= width, "nothing sticks out of the page"


def test_the_timeline_moves(page):
    one, url = page
    one.open(url)
    view = "document.getElementById('timeline').dataset.view"
    before = one.value(view)
    one.click("document.getElementById('in')")
    assert one.value(view) != before
    one.click("document.getElementById('later')")
    assert "Step 1 of" in one.value("document.getElementById('timeline-detail').textContent")
    assert "10 steps" in one.value("document.getElementById('timeline-note').textContent")
    assert one.errors == []


def wheel(one, expression, modifiers=0):
    """A turn of the wheel, downwards, over what the expression finds."""
    one.value(f"({expression}).scrollIntoView({{block: 'center'}})")
    x, y = one.value(
        f"(() => {{ const r = ({expression}).getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    one.call(
        "Input.dispatchMouseEvent",
        type="mouseWheel",
        x=x,
        y=y,
        deltaX=0,
        deltaY=120,
        modifiers=modifiers,
    )


def test_the_wheel_over_the_timeline_of_the_page_is_the_page_s(page):
    one, url = page
    one.open(url, height=700)
    canvas = "document.getElementById('timeline')"
    view = one.value(canvas + ".dataset.view")
    one.value(canvas + ".scrollIntoView({block: 'center'})")
    before = one.value("scrollY")
    wheel(one, canvas)
    poll("the page moves", lambda: one.value("scrollY") > before)
    assert one.value(canvas + ".dataset.view") == view
    wheel(one, canvas, modifiers=2)  # Ctrl
    poll("the timeline is drawn anew", lambda: one.value(canvas + ".dataset.view") != view)


def press(one, key, code):
    for kind in ("rawKeyDown", "keyUp"):
        one.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def test_the_flame_graph_answers_keys(page):
    one, url = page
    one.open(url)
    held = "document.activeElement.dataset.path"
    one.value("document.querySelector('.frame').focus()")
    press(one, "ArrowDown", 40)
    step = one.value(held)
    assert step.startswith("engine/step")
    assert re.fullmatch(
        r"step \(\w+\): [\d.]+ [nµm]?s, [\d.]+%",
        one.value("document.activeElement.getAttribute('aria-label')"),
    )
    press(one, "Enter", 13)
    assert one.value("document.getElementById('flame').dataset.focus") == step
    assert one.value(held) == step, "the frame that was widened keeps the keys"
    press(one, "ArrowUp", 38)
    assert one.value(held) == "engine"
    assert one.value("document.querySelectorAll('.frame[tabindex=\"0\"]').length") == 1


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_on_the_page_is_cut_off(page, width):
    one, url = page
    one.open(url, width)
    out = one.value(
        """[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') &&
        e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 0.5).length"""
    )
    assert out == 0
    tables = one.value(
        """[...document.querySelectorAll('.scroll')].map(e =>
        [e.firstChild.id, e.scrollWidth > e.clientWidth + 1, e.classList.contains('more')])"""
    )
    for name, scrolls, says in tables:
        assert scrolls == says, name
        assert width < 600 or not scrolls, f"{name} is wider than its card"
    if width < 600:
        low = one.value(
            """[...document.querySelectorAll('button')].filter(e =>
            e.getClientRects().length && e.getBoundingClientRect().height < 40).length"""
        )
        assert low == 0, "a finger needs more"


ROOF = """(() => {
  const frame = document.querySelector('#roof svg').getBoundingClientRect();
  const box = e => {
    const r = e.getBoundingClientRect();
    return [e.textContent, r.x, r.y, r.right, r.bottom];
  };
  return { frame: [frame.x, frame.y, frame.right, frame.bottom],
           names: [...document.querySelectorAll('#roof text')].map(box),
           shapes: [...document.querySelectorAll('#roof circle, #roof line')].map(box),
           size: Math.min(...[...document.querySelectorAll('svg text')].map(
             e => parseFloat(getComputedStyle(e).fontSize))),
           scaled: !!document.querySelector('svg[viewBox]') };
})()"""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_roofline_of_the_page_is_legible(page, width):
    one, url = page
    one.open(url, width)
    roof = one.value(ROOF)
    left, top, right, bottom = roof["frame"]
    for name, x0, y0, x1, y1 in roof["names"] + roof["shapes"]:
        assert x0 >= left - 0.5 and y0 >= top - 0.5, name
        assert x1 <= right + 0.5 and y1 <= bottom + 0.5, name
    for i, (a, x0, y0, x1, y1) in enumerate(roof["names"]):
        for b, u0, v0, u1, v1 in roof["names"][:i]:
            assert x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0, f"{a} lies on {b}"
    assert roof["size"] >= 11 and not roof["scaled"]


# The contrast of each visible text with its background; the least first.
CONTRAST = """(() => {
  const c = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = colour => { c.clearRect(0, 0, 1, 1); c.fillStyle = colour; c.fillRect(0, 0, 1, 1);
    const d = c.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = p => {
    const [r, g, b] = p.map(v => v / 255).map(
      v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const below = e => e
    ? over(rgba(getComputedStyle(e).backgroundColor), below(e.parentElement)) : [255, 255, 255, 1];
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
        || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), ground = below(e);
    const ink = rgba(e.ownerSVGElement ? style.fill : style.color);
    const stripe = style.backgroundImage.match(/rgba\\([^)]*[1-9]\\)/);
    const grounds = stripe ? [ground, over(rgba(stripe[0]), ground)] : [ground];
    for (const g of grounds) found.push(
      [ratio(over(ink, g), g), e.className.baseVal || e.className || e.tagName,
       e.textContent.slice(0, 30)]);
  }
  const style = getComputedStyle(document.documentElement);
  const v = n => rgba(style.getPropertyValue(n));
  for (const [name, colour] of Object.entries(colours))
    found.push([ratio(v('--ink'), rgba(colour)), 'timeline', name]);
  for (const ground of ['--line', '--card'])
    found.push([ratio(v('--soft'), v(ground)), 'timeline', ground]);
  return found.sort((a, b) => a[0] - b[0]).slice(0, 5);
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_the_page_has_contrast(page, scheme):
    one, url = page
    one.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    one.open(url)
    assert one.value(CONTRAST)[0][0] >= 4.5, one.value(CONTRAST)
    one.click("[...document.querySelectorAll('.frame')].find(f => /layer 1$/.test(f.dataset.path))")
    assert one.value(CONTRAST)[0][0] >= 4.5, one.value(CONTRAST)
    one.call("Emulation.setEmulatedMedia", features=[])


def test_the_page_of_live_traffic_says_what_it_does_not_know(page, files, tmp_path):
    one, _ = page
    text = files.with_suffix(".html").read_text()
    before, data, after = re.split(
        r'(?<=id="data">)(.*?)(?=</script>)', text, maxsplit=1, flags=re.S
    )
    data = json.loads(data)
    report = data["report"]
    report.update(workload={"source": "live", "seconds": 1.5}, prompt_tokens_per_second=None)
    report["method"].update(overhead=None, one_step_in_max=4)
    report["machine"].update(threads=1, workers=1)
    assert list(SCHEMA.faults(report)) == []
    path = tmp_path / "live.html"
    path.write_text(before + json.dumps(data).replace("<", "\\u003c") + after)
    one.open(path.as_uri())
    assert one.errors == []
    figures = dict(
        reversed(f)
        for f in one.value(
            "[...document.querySelectorAll('.figure')].map("
            "f => [...f.children].map(e => e.textContent))"
        )
    )
    assert figures["prompt tokens a second"] == "-"
    assert "a worker's time a token" in figures
    assert "1 thread in 1 worker," in one.value("document.querySelector('header').textContent")
    method = one.value("document.getElementById('method').textContent")
    assert "does not measure what recording costs" in method and "scaled up to all" in method
