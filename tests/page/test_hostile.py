"""A model's text is hostile: nothing of it runs, is fetched, hides or hangs the page."""
import pytest

SCRIPTS = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<svg onload=\"document.title='owned'\"></svg>",
    "<iframe src=\"javascript:document.title='owned'\"></iframe>",
    "<a href=\"javascript:document.title='owned'\">x</a>",
    "<style>body{display:none}</style>",
    "<base href=\"http://evil.example/\">",
    "<meta http-equiv=refresh content=\"0;url=http://evil.example\">",
    "<form action=\"http://evil.example\"><button>x</button></form>",
    "`</code><script>document.title='owned'</script>`",
    "```html\n</code></pre><script>document.title='owned'</script>\n```",
    "```\"onmouseover=\"document.title='owned'\nx\n```",
    "| <img src=x onerror=alert(1)> |\n|---|\n| <script>alert(1)</script> |",
    "# <script>alert(1)</script>",
    "- <iframe srcdoc='<script>parent.document.title=1</script>'>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62;",
]
LINKS = [
    "javascript:document.title='owned'",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:http://x/y",
    "//evil.example/x",
    "/debug/profile",
    "?x=1",
    "#chat",
    "https://good.example@evil.example/",
    "https://user:secret@evil.example/",
    "http://",
    "https:evil.example",
    "javascript&colon;alert(1)",
    "&#106;avascript:alert(1)",
]
ALLOWED = {
    "a", "b", "blockquote", "br", "button", "code", "del", "div", "em", "figcaption", "figure",
    "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "span", "strong", "table", "tbody",
    "td", "th", "thead", "tr", "ul",
}  # fmt: skip


def answer(page, fake, *texts):
    fake.chat(*texts)
    page.visit(fake)
    page.ask("Go")
    page.wait_for_answer()


def made(page):
    """The kinds of elements that an answer became."""
    return set(
        page.value(
            "[...new Set([...document.querySelectorAll('.message.assistant .body *')]"
            ".map(e => e.localName))]"
        )
    )


def attributes(page):
    return set(
        page.value(
            "[...new Set([...document.querySelectorAll('.message.assistant .body *')]"
            ".flatMap(e => e.getAttributeNames()))]"
        )
    )


@pytest.mark.parametrize("text", SCRIPTS, ids=range(len(SCRIPTS)))
def test_html_stays_text(page, fake, text):
    answer(page, fake, text)
    assert page.value("document.title") == "SmallMind"
    assert made(page) <= ALLOWED
    assert attributes(page) <= {
        "aria-label", "class", "dir", "href", "rel", "role", "tabindex", "target", "type",
    }  # fmt: skip
    if not text.startswith("```\""):  # there the tag stands where a language is named
        assert "<" in page.text(".message.assistant .body")


@pytest.mark.parametrize("kept", ["imported", "stored", "question"])
def test_html_stays_text_wherever_it_comes_from(page, fake, kept):
    fake.chat("ok")
    page.visit(fake)
    page.ask("".join(SCRIPTS[:8]))
    page.wait_for_answer()
    assert page.value("document.title") == "SmallMind"
    assert page.count(".message.user .body *") == 0
    assert page.count("#list script, #list img, #list svg") == 0


@pytest.mark.parametrize("form", ["[x]({})", "![x]({})", "<{}>", "[x](<{}>)", "{}"])
def test_links_that_lead_elsewhere_are_none(page, fake, form):
    answer(page, fake, *[form.format(address) + "\n\n" for address in LINKS])
    found = page.value("[...document.querySelectorAll('.body a')].map(a => a.href)")
    assert all(one.startswith(("http://", "https://")) and "@" not in one for one in found), found
    assert page.value("document.title") == "SmallMind"


@pytest.mark.parametrize("text, address, shown", [
    ("[click](https://evil.example/a?b=c)", "https://evil.example/a?b=c",
     "click (https://evil.example/a?b=c)"),
    ("[https://good.example](https://evil.example/)", "https://evil.example/",
     "https://good.example (https://evil.example/)"),
    ("[ ](https://evil.example/)", "https://evil.example/", "https://evil.example/"),
    ("[](https://evil.example/)", "https://evil.example/", "https://evil.example/"),
    ("<https://plain.example/>", "https://plain.example/", "https://plain.example/"),
    ("see https://plain.example/x.", "https://plain.example/x", "https://plain.example/x"),
    ("[gооd](https://gооd.example/)", "https://xn--gd-jbca.example/", None),
    ("![tracker](https://evil.example/pixel.gif?secret)",
     "https://evil.example/pixel.gif?secret",
     "Image: tracker (https://evil.example/pixel.gif?secret)"),
    ("[mail](mailto:a@b.example)", "mailto:a@b.example", "mail (mailto:a@b.example)"),
])  # fmt: skip
def test_a_link_shows_where_it_goes(page, fake, text, address, shown):
    answer(page, fake, text)
    link = "document.querySelector('.body a')"
    if shown is not None:
        assert page.value(f"{link}.href") == address
        assert page.value(f"{link}.textContent") == shown
    else:
        assert "xn--" in page.value(f"{link}.textContent")
    assert page.value(f"{link}.rel") == "noopener noreferrer"
    assert page.value(f"{link}.target") == "_blank"


def test_nothing_is_fetched_for_an_answer(page, fake):
    before = "https://evil.example/"
    answer(page, fake, f"![a]({before}a.png) <img src='{before}b.png'> [c]({before}c) "
           f"<link rel=prefetch href='{before}d'> {before}e\n\n"
           f"<video src='{before}f'></video>")  # fmt: skip
    assert page.count(".body img, .body link, .body video") == 0
    assert not [one for one in page.requests if "evil" in one["url"]]


HIDDEN = {
    "\x1b[31mred\x1b[0m": "␛[31mred␛[0m",
    "a\x00b\x07c\x08d": "a␀b␇c␈d",
    "safe\u202egpj.exe": "safeU+202Egpj.exe",
    "a\u2066b\u2069c": "aU+2066bU+2069c",
    "x\x9b31my": "xU+009B31my",
    "a\u2028b": "aU+2028b",
    "tag\U000e0041\U000e0042": "tagU+E0041U+E0042",
    "b\ufeffom": "bU+FEFFom",
}


@pytest.mark.parametrize("form", ["{}", "`{}`", "```\n{}\n```", "**{}**", "- {}", "> {}", "# {}"])
def test_what_hides_or_reorders_text_is_shown_by_name(page, fake, form):
    answer(page, fake, *[form.format(text) + "\n\n" for text in HIDDEN])
    seen = page.value("document.querySelector('.message.assistant .body').textContent")
    for text, shown in HIDDEN.items():
        assert shown in seen, ascii(text)
    assert not set(seen) & set("\x00\x07\x08\x1b\x9b\u202e\u2066\u2069\u2028\ufeff")


def test_text_from_right_to_left_is_set_so_and_stays_in_its_place(page, fake):
    answer(page, fake, "שלום עולם\n\nleft to right\n\n```\nx = 'שלום'\n```")
    rows = "[...document.querySelectorAll('.body > p')].map(e => getComputedStyle(e).direction)"
    assert page.value(rows) == ["rtl", "ltr"]
    assert page.value("getComputedStyle(document.querySelector('.body pre')).direction") == "ltr"


NESTED = {
    "quotes": "> " * 3000 + "x",
    "lists": "".join("  " * i + "- x\n" for i in range(400)),
    "one line of lists": "- " * 3000 + "x",
    "emphasis": "*_" * 3000 + "x" + "_*" * 3000,
    "strong": "**a" * 3000 + "b**" * 3000,
    "brackets": "[" * 20000 + "x" + "](https://a.example)" * 500,
    "images": "![" * 10000,
    "backticks": "".join("`" * (1 + i % 300) + "x" for i in range(500)),
    "table": "|" * 5000 + "\n" + "|-" * 5000 + "|\n" + "|x" * 5000,
    "fences": "```\n~~~\n" * 2000,
    "entities": "&#60;" * 20000,
    "openers": "*a " * 20000,
    "pairs": "**a *b " * 10000,
    "tildes": "~~a ~b " * 10000,
    "links": "[a](https://a.example) " * 2000,
    "addresses": "https://a.example/" * 2000,
    "half a link": "[a](" * 10000,
    "spaces": "#" + " " * 40000 + "x" + " " * 40000 + "#",
    "rules": ("- " * 90 + "\n") * 500,
    "headings": "".join("#" * (1 + i % 7) + " x\n" for i in range(2000)),
    "rows of a table": "a|b\n-|-\n" + "c|d\n" * 5000,
    "breaks": "a  \n" * 5000,
    "tabs": "\t" * 5000 + "x",
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED)
def test_huge_nesting_neither_hangs_nor_breaks_the_page(page, fake, text):
    answer(page, fake, *[text[i : i + 4000] for i in range(0, len(text), 4000)])
    depth = page.value(
        """(() => { let most = 0;
          for (const e of document.querySelectorAll('.body *')) {
            let n = 0; for (let up = e; up; up = up.parentElement) n++; most = Math.max(most, n); }
          return most; })()"""
    )
    assert depth < 100
    page.fill("question", "The page still takes text.")
    assert page.value("document.getElementById('question').value").startswith("The page")


@pytest.mark.parametrize(
    "piece", ["word ", "line\n", "para\n\n", "- item\n", "x", "```\ncode\n```\n", "**b** `c` "]
)
def test_a_megabyte_of_text_comes_through(page, fake, piece):
    text = piece * (1_000_000 // len(piece))
    answer(page, fake, *[text[i : i + 20000] for i in range(0, len(text), 20000)])
    seen = page.value("document.querySelector('.message.assistant .body').textContent.length")
    assert seen > 0
    assert page.value("document.documentElement.scrollWidth <= innerWidth")
    page.press("Tab")
    assert page.value("document.activeElement !== document.body")


def test_a_long_word_does_not_widen_the_page(page, fake):
    fake.chat("w" * 5000 + " " + "https://a.example/" + "x" * 1500 + "\n\n`" + "c" * 5000 + "`")
    for width in (390, 1280):
        page.visit(fake, width)
        page.ask("q" * 3000)
        page.wait_for_answer()
        assert page.overflow() == []
