"""Markdown as elements: what each construct becomes, and that a text which grows ends as it would
have come whole. The scripts run alone here, in an empty page."""
import json

import pytest

from service import ROOT

SOURCES = ["dom.js", "inline.js", "markdown.js"]

# Turns the elements into one line that can be compared: names, texts, and few attributes.
HELPERS = """
const shape = node => {
  if (node.nodeType === 3) return node.data.replaceAll('\\n', '~');
  const inner = [...node.childNodes].map(shape).join('');
  if (node.localName === 'figure')
    return `<code ${node.querySelector('figcaption span').textContent}>${
      node.querySelector('code').textContent.replaceAll('\\n', '~')}</code>`;
  const start = node.getAttribute('start');
  const more = node.href ? ` ${node.getAttribute('href')}` : start ? ` ${start}` : '';
  return `<${node.localName}${more}>${inner}</${node.localName}>`;
};
const whole = text => {
  const parent = document.createElement('div');
  markdown.fill(parent, text);
  return [...parent.childNodes].map(shape).join('');
};
const grown = pieces => {
  const parent = document.createElement('div'), stream = new markdown.Stream(parent);
  for (const piece of pieces) { stream.add(piece); stream.render(); }
  stream.finish();
  return [...parent.childNodes].map(shape).join('');
};
"""


@pytest.fixture(scope="module")
def alone(the_browser):
    the_browser.forget()
    the_browser.value("document.documentElement.replaceChildren()")
    text = "\n".join((ROOT / "web" / "page" / name).read_text() for name in SOURCES)
    the_browser.value(text + HELPERS + ";0")
    return the_browser


CASES = [
    ("a", "<p>a</p>"),
    ("a\nb", "<p>a~b</p>"),
    ("a  \nb", "<p>a<br></br>b</p>"),
    ("a\\\nb", "<p>a<br></br>b</p>"),
    ("a<br>b<br/>c", "<p>a<br></br>b<br></br>c</p>"),
    ("a\n\nb", "<p>a</p><p>b</p>"),
    ("# a", "<h3>a</h3>"),
    ("### a ###", "<h3>a</h3>"),
    ("# a\n## b\n# c", "<h3>a</h3><h4>b</h4><h3>c</h3>"),
    ("# a\n###### b\n### c", "<h3>a</h3><h4>b</h4><h4>c</h4>"),
    ("#a", "<p>#a</p>"),
    ("####### a", "<p>####### a</p>"),
    ("a\n===", "<h3>a</h3>"),
    ("---", "<hr></hr>"),
    ("* * *", "<hr></hr>"),
    ("**a** *b* ***c***",
     "<p><strong>a</strong> <em>b</em> <em><strong>c</strong></em></p>"),
    ("__a__ _b_ a_b_c", "<p><strong>a</strong> <em>b</em> a_b_c</p>"),
    ("*a **b** c*", "<p><em>a <strong>b</strong> c</em></p>"),
    ("**a *b** c*", "<p><em><em>a <em>b</em></em> c</em></p>"),
    ("* a*", "<ul><li>a*</li></ul>"),
    ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
    ("**a", "<p>**a</p>"),
    ("a*b*c", "<p>a<em>b</em>c</p>"),
    ("~~a~~ ~b~", "<p><del>a</del> <del>b</del></p>"),
    ("\\*a\\*", "<p>*a*</p>"),
    ("`a` ``b`c`` ` d", "<p><code>a</code> <code>b`c</code> ` d</p>"),
    ("`*a*`", "<p><code>*a*</code></p>"),
    ("` a `", "<p><code>a</code></p>"),
    ("&amp; &lt; &#65; &#x42; &nope;", "<p>& < A B &nope;</p>"),
    ("<b>a</b>", "<p><b>a</b></p>"),
    ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
    ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
    ("3) a", "<ol 3><li>a</li></ol>"),
    ("- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"),
    ("- a\n  - b\n    1. c\n- d",
     "<ul><li>a<ul><li>b<ol><li>c</li></ol></li></ul></li><li>d</li></ul>"),
    ("- a\n- b\n\ntext", "<ul><li>a</li><li>b</li></ul><p>text</p>"),
    ("- a\n  b\nc", "<ul><li>a~b~c</li></ul>"),
    ("- a\n* b", "<ul><li>a</li></ul><ul><li>b</li></ul>"),
    ("- [ ] a\n- [x] b",
     "<ul><li><span>☐</span> a</li><li><span>☑</span> b</li></ul>"),
    ("- a\n  ```\n  b\n  ```", "<ul><li>a<code text>b</code></li></ul>"),
    ("a\n- b", "<p>a</p><ul><li>b</li></ul>"),
    ("a\n2. b", "<p>a~2. b</p>"),
    ("> a\n> b\n\nc", "<blockquote><p>a~b</p></blockquote><p>c</p>"),
    ("> - a\n> # b", "<blockquote><ul><li>a</li></ul><h3>b</h3></blockquote>"),
    ("```py\na = 1\n\nb\n```\nc", "<code py>a = 1~~b</code><p>c</p>"),
    ("~~~\na\n```\n~~~", "<code text>a~```</code>"),
    ("```\na", "<code text>a</code>"),
    ("````\n```\n````", "<code text>```</code>"),
    ("    a\n    b", "<code text>a~b</code>"),
    ("a|b\n-|-\nc|d",
     "<div><table><thead><tr><th>a</th><th>b</th></tr></thead>"
     "<tbody><tr><td>c</td><td>d</td></tr></tbody></table></div>"),
    ("| a |\n|:-:|\n| `x\\|y` |",
     "<div><table><thead><tr><th>a</th></tr></thead>"
     "<tbody><tr><td><code>x|y</code></td></tr></tbody></table></div>"),
    ("a|b\n-|-|-", "<p>a|b~-|-|-</p>"),
    ("[a](https://x.example/)",
     "<p><a https://x.example/>a<span> (https://x.example/)</span></a></p>"),
    ("[*a*](https://x.example/ \"t\")",
     "<p><a https://x.example/><em>a</em><span> (https://x.example/)</span></a></p>"),
    ("[a](https://x.example/(b))",
     "<p><a https://x.example/(b)>a<span> (https://x.example/(b))</span></a></p>"),
    ("[a](nowhere)", "<p>[a](nowhere)</p>"),
    ("[a]", "<p>[a]</p>"),
    ("[a [b](https://x.example/) c](https://y.example/)",
     "<p>[a <a https://x.example/>b<span> (https://x.example/)</span></a> c]("
     "<a https://y.example/>https://y.example/</a>)</p>"),
    ("see https://x.example/a_b_c, ok",
     "<p>see <a https://x.example/a_b_c>https://x.example/a_b_c</a>, ok</p>"),
    ("(https://x.example/)", "<p>(<a https://x.example/>https://x.example/</a>)</p>"),
    ("xhttps://x.example/", "<p>xhttps://x.example/</p>"),
    ("**a https://x.example/**",
     "<p><strong>a <a https://x.example/>https://x.example/</a></strong></p>"),
    ("a\r\nb\r\n\r\nc", "<p>a~b</p><p>c</p>"),
]  # fmt: skip


@pytest.mark.parametrize("text, expected", CASES, ids=[ascii(text)[:40] for text, _ in CASES])
def test_what_a_text_becomes(alone, text, expected):
    assert alone.value(f"whole({json.dumps(text)})") == expected


@pytest.mark.parametrize("text", [text for text, _ in CASES], ids=range(len(CASES)))
def test_a_text_that_grows_letter_by_letter_ends_the_same(alone, text):
    text = f"{text}\n\nbetween\n\n{text}"
    assert alone.value(f"grown([...{json.dumps(text)}]) === whole({json.dumps(text)})")


FUZZ = """
(() => {
  const parts = ['a', 'b ', ' ', '  ', '\\n', '\\n\\n', '*', '**', '_', '`', '```', '~~', '~~~',
    '#', '## ', '- ', '1. ', '> ', '|', '|-|\\n', '-', '---', '[', ']', '(', ')', '![',
    '](https://x.y/)',
    'https://x.y/', '<', '>', '&lt;', '\\\\', '    ', '\\t', '[x] ', '\\u202e', '=', '!', '.', ':'];
  let state = SEED;
  const draw = n => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 4294967296 * n);
  };
  for (let i = 0; i < 400; i++) {
    const pieces = [...Array(1 + draw(60))].map(() => parts[draw(parts.length)]);
    const text = pieces.join('');
    if (grown(pieces) !== whole(text)) return JSON.stringify(pieces);
    const kept = document.createElement('div');
    markdown.fill(kept, text);
    if (kept.querySelector('script, img, b, i')) return JSON.stringify(text);
  }
  return '';
})()
"""


@pytest.mark.parametrize("seed", range(1, 11))
def test_any_text_that_grows_ends_as_it_would_have_come_whole(alone, seed):
    assert alone.value(FUZZ.replace("SEED", str(seed * 7919))) == ""
