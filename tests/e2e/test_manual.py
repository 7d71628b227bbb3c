"""The manual page and the completions say what --help says: both come from one table."""
import re
import shutil
import subprocess

import pytest

from service import BINARY, LIMIT, run_verb

FOLDER = BINARY.parent / "manual.d"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the program stands alone")


def help_of(verb):
    return run_verb(verb, "--help").stdout.decode()


def verbs():
    """Those that the usage lists, before its options."""
    listed = run_verb("--help").stdout.decode().split("`smallmind VERB --help`")[0]
    return re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)


def flags(verb):
    return re.findall(r"^  (--[a-z-]+)", help_of(verb), re.MULTILINE)


def complete(*words):
    """What bash offers for the last word."""
    script = (f'source "{FOLDER}/smallmind.bash"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '_smallmind; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, "-", "smallmind", *words], capture_output=True,
                          text=True, timeout=LIMIT, cwd=FOLDER)
    return [line for line in done.stdout.splitlines() if line]


def test_bash_offers_every_verb_and_its_options():
    assert complete("") == verbs() and len(verbs()) > 10
    for verb in verbs():
        assert complete(verb, "--") == flags(verb)
    assert complete("--po") == [flag for flag in flags("serve") if flag.startswith("--po")]


def test_bash_offers_values():
    assert complete("serve", "--prefix-cache", "") == ["on", "off"]
    assert complete("serve", "--kv-type", "f") == ["f32", "f16"]
    assert complete("inspect", "smallmind.b") == ["smallmind.bash"]
    assert complete("serve", "--config", "smallmind.f") == ["smallmind.fish"]
    assert complete("serve", "--port", "") == []


def test_the_manual_page_has_every_verb_and_option():
    page = (FOLDER / "smallmind.1").read_text().replace("\\-", "-")
    for verb in verbs():
        assert f"\\fB{verb}\\fR" in page
        for flag in flags(verb):
            assert f"\\fB{flag}\\fR" in page
    assert "SMALLMIND_MAX_QUEUE" in page


@pytest.mark.parametrize("form", ["_smallmind", "smallmind.fish"])
def test_other_shells_know_every_option(form):
    text = (FOLDER / form).read_text()
    for verb in verbs():
        for flag in flags(verb):
            assert (f"'{flag}[" if form == "_smallmind" else f"-l {flag[2:]} ") in text


@pytest.mark.parametrize("shell, form", [("zsh", "_smallmind"), ("fish", "smallmind.fish")])
def test_other_shells_can_read_theirs(shell, form):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    done = subprocess.run([shell, "-n", FOLDER / form], capture_output=True, timeout=LIMIT)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff")
def test_the_manual_page_has_no_fault():
    done = subprocess.run(["groff", "-man", "-ww", "-z", FOLDER / "smallmind.1"],
                          capture_output=True, timeout=LIMIT)
    assert done.returncode == 0 and not done.stderr, done.stderr
