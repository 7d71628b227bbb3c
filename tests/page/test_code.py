"""The request as code: what is copied runs as it is and gives the text that the page shows."""
import os
import shutil
import subprocess

import pytest

from service import LIMIT

KEY = "sk-0123456789"
ODD = "Once 'upon' a \"time\" \\ $HOME `x` é 😀 </script>\nthere was\tone"


def code_of(page, name):
    page.value("document.getElementById('code-open').click()")
    page.wait("document.getElementById('code-dialog').open")
    page.push(f"code-{name}")
    text = page.value("document.getElementById('code-text').textContent")
    page.press("Escape")
    page.wait("!document.getElementById('code-dialog').open")
    return text


def run(name, text, folder):
    command = {"curl": ["sh"], "python": ["/usr/bin/python3"], "javascript": ["node"]}[name]
    if name == "curl":
        text = text.replace("curl -N", "curl -sN")
    path = folder / {"curl": "a.sh", "python": "a.py", "javascript": "a.mjs"}[name]
    path.write_text(text)
    done = subprocess.run([*command, str(path)], capture_output=True, timeout=LIMIT,
                          env={**os.environ, "SMALLMIND_API_KEY": KEY})  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.parametrize("name", ["curl", "python", "javascript"])
@pytest.mark.parametrize("keyed", [False, True])
def test_copied_code_runs(page, serve, tmp_path, name, keyed):
    if shutil.which({"curl": "curl", "python": "sh", "javascript": "node"}[name]) is None:
        pytest.skip(f"there is no program for {name} here")
    flags = []
    if keyed:
        keys = tmp_path / "keys"
        keys.write_text(KEY + "\n")
        keys.chmod(0o600)
        flags = ["--api-key-file", keys]
    service = serve(*flags)
    page.visit(service, ready=False)
    if keyed:
        page.wait("document.getElementById('key-dialog').open")
        page.fill("key-field", KEY)
        page.press("Enter")
    page.wait("document.getElementById('model').textContent")
    page.fill("sampling-temperature", "0")
    page.fill("sampling-max_tokens", "12")
    page.generate(ODD)
    shown = page.value("document.getElementById('tokens').textContent").replace("⏎", "")
    output = run(name, code_of(page, name), tmp_path)
    if name == "curl":
        assert output.rstrip().endswith("data: [DONE]")
    else:
        assert output.rstrip("\n") == shown.rstrip("\n")


@pytest.mark.parametrize("name", ["python", "javascript"])
def test_copied_chats_run(page, fake, tmp_path, name):
    if name == "javascript" and shutil.which("node") is None:
        pytest.skip("there is no node here")
    fake.chat("An *answer*, é 😀.")
    page.visit(fake)
    page.fill("question", ODD)
    output = run(name, code_of(page, name), tmp_path)
    assert output == "An *answer*, é 😀.\n"
    assert fake.sent("/v1/chat/completions")[-1]["messages"][0]["content"] == ODD


def test_the_copy_button_copies(page, service):
    page.visit(service)
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    page.value("document.getElementById('code-open').click()")
    page.wait("document.getElementById('code-dialog').open")
    page.push("code-copy")
    page.wait("document.getElementById('code-copy').textContent === 'Copied'")
    text = page.run("navigator.clipboard.readText()")
    assert text == page.value("document.getElementById('code-text').textContent")
