"""GET / without a browser: one file, its headers, a policy that its own script and style fit."""
import base64
import hashlib
import re

import pytest

POLICY = [
    "default-src 'none'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
]


@pytest.fixture
def page(service):
    response = service.get("/")
    assert response.status == 200
    return response


def policy_of(page):
    return [part.strip() for part in page.header("Content-Security-Policy").split(";")]


def inside(page, tag):
    """The content of the page's one tag of this name."""
    found = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", page.body.decode(), re.S)
    assert len(found) == 1, f"{len(found)} {tag} tags"
    return found[0]


def test_the_page_says_what_it_is(page):
    assert page.header("Content-Type") == "text/html; charset=utf-8"
    assert page.header("X-Content-Type-Options") == "nosniff"
    assert page.header("Referrer-Policy") == "no-referrer"
    assert page.header("Cache-Control") == "no-cache"
    assert page.body.startswith(b"<!doctype html>") and page.body.endswith(b"</html>\n")


def test_the_policy_lets_nothing_in(page):
    policy = policy_of(page)
    assert set(POLICY) <= set(policy)
    assert "unsafe" not in page.header("Content-Security-Policy")


@pytest.mark.parametrize("tag", ["script", "style"])
def test_the_policy_has_the_hash_of_what_stands_in_the_page(page, tag):
    digest = hashlib.sha256(inside(page, tag).encode()).digest()
    expected = f"{tag}-src 'sha256-{base64.b64encode(digest).decode()}'"
    assert [part for part in policy_of(page) if part.startswith(f"{tag}-src")] == [expected]


def test_the_page_names_no_other_file(page):
    text = page.body.decode()
    assert not re.search(r"<(link|img|iframe|object|embed|base)\b", text)
    assert not re.search(r"""\ssrc\s*=|@import|\burl\(""", text)
    assert re.findall(r'href="([^"]*)"', text) == ["/openapi.yaml"]
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in text, word


def test_head_and_a_known_etag_bring_no_body(service, page):
    head = service.request("HEAD", "/")
    assert head.status == 200 and head.header("Content-Length") == str(len(page.body))
    etag = page.header("ETag")
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = service.get("/", {"If-None-Match": known})
        assert again.status == 304 and again.body == b"", known
        assert again.header("ETag") == etag
        assert again.header("Content-Security-Policy") == page.header("Content-Security-Policy")
    for other in ('"other"', etag.strip('"'), "", f"{etag[:-1]}x\""):
        assert service.get("/", {"If-None-Match": other}).status == 200, other


def test_the_page_needs_no_key_and_knows_none(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one-secret-key\n")
    keys.chmod(0o600)
    service = serve("--api-key-file", keys)
    response = service.get("/")
    assert response.status == 200 and b"one-secret-key" not in response.body
    assert service.get("/info").status == 401


def test_the_page_takes_no_other_method_and_no_query_changes_it(service, page):
    assert service.request("PUT", "/", b"x").status == 405
    assert service.get("/?x=<script>").body == page.body
