"""The API key: asked for when it is needed, in sessionStorage alone, in no code, file or URL."""
import json

import pytest

KEY = "sk-very-secret-0123456789"
FILES = ["curl", "python", "javascript"]


@pytest.fixture
def keyed(serve, tmp_path):
    path = tmp_path / "keys"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    return serve("--api-key-file", path)


def give(page, key):
    page.wait("document.getElementById('key-dialog').open")
    page.fill("key-field", key)
    page.press("Enter")


def test_a_key_is_asked_for_and_a_wrong_one_again(page, keyed):
    page.visit(keyed, ready=False)
    page.wait("document.getElementById('key-dialog').open")
    assert "needs an API key" in page.text("#key-why") and page.focused() == "key-field"
    give(page, "wrong")
    page.wait("document.getElementById('key-why').textContent.includes('does not take')")
    give(page, KEY)
    page.wait("document.getElementById('model').textContent")
    page.generate("Once")
    assert page.count("#tokens .token") > 0


def test_no_key_is_a_sentence_and_the_key_button_helps(page, keyed):
    page.visit(keyed, ready=False)
    page.wait("document.getElementById('key-dialog').open")
    page.press("Escape")
    page.wait("document.getElementById('notice-text').textContent.includes('API key')")
    page.push("key-open")
    give(page, KEY)
    page.wait("document.getElementById('model').textContent")


def everything_kept(page):
    """All that the browser holds of the page but sessionStorage."""
    return page.run(
        """(async () => {
          const out = {cookie: document.cookie, local: {...localStorage}, url: location.href,
                       history: JSON.stringify(history.state), page: document.body.innerHTML,
                       fields: [...document.querySelectorAll('input, textarea')].map(e => e.value),
                       caches: self.caches ? await caches.keys() : []};
          for (const {name} of await indexedDB.databases()) {
            const base = await new Promise(done => {
              const open = indexedDB.open(name); open.onsuccess = () => done(open.result); });
            for (const table of base.objectStoreNames)
              out[name + table] = await new Promise(done => {
                const all = base.transaction(table).objectStore(table).getAll();
                all.onsuccess = () => done(all.result); });
            base.close();
          }
          return JSON.stringify(out);
        })()"""
    )


def test_the_key_is_in_sessionstorage_alone(page, keyed, tmp_path):
    page.visit(keyed, ready=False)
    give(page, KEY)
    page.wait("document.getElementById('model').textContent")
    page.generate("Once")
    assert KEY in page.value("JSON.stringify({...sessionStorage})")
    assert KEY not in everything_kept(page)
    sent = [one for one in page.requests if one["url"].startswith(page.origin)]
    assert any(one["headers"].get("Authorization") == f"Bearer {KEY}" for one in sent)
    for one in sent:
        assert KEY not in one["url"] and KEY not in one.get("postData", "")
    exported = page.download("export", tmp_path).read_text()
    assert json.loads(exported)["conversations"] and KEY not in exported


def test_copied_code_names_a_variable_instead(page, keyed):
    page.visit(keyed, ready=False)
    give(page, KEY)
    page.wait("document.getElementById('model').textContent")
    for tab in ("chat", "prompt"):
        page.push(f"tab-{tab}")
        page.value("document.getElementById('code-open').click()")
        for name in FILES:
            page.push(f"code-{name}")
            text = page.value("document.getElementById('code-text').textContent")
            assert KEY not in text and "SMALLMIND_API_KEY" in text
        page.press("Escape")


def test_a_key_that_is_forgotten_is_gone(page, keyed):
    page.visit(keyed, ready=False)
    give(page, KEY)
    page.wait("document.getElementById('model').textContent")
    page.push("key-open")
    page.wait("document.getElementById('key-dialog').open")
    page.push("key-forget")
    page.wait("document.getElementById('key-why').textContent.includes('needs an API key')")
    assert KEY not in page.value("JSON.stringify({...sessionStorage})")
    page.press("Escape")


def test_without_keys_none_is_asked_for(page, service):
    page.visit(service)
    page.value("document.getElementById('code-open').click()")
    assert "SMALLMIND_API_KEY" not in page.value(
        "document.getElementById('code-text').textContent"
    )
    assert not page.seen("code-key")
