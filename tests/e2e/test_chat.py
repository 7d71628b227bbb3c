"""`smallmind chat`: a conversation in a pipe and on a terminal."""
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest

import models
from service import BINARY, LIMIT, clean_environment, poll, run_verb

ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
FLAGS = ["--model", "builtin", "--chat-template", "chatml", "--temperature", "0",
         "--max-tokens", "8"]


def chat(text, *flags):
    done = run_verb("chat", *FLAGS, *flags, stdin=text.encode())
    return done


def test_in_a_pipe_each_line_gets_a_plain_answer():
    done = chat("Hello there\n\nTell me more\n")
    assert done.returncode == 0 and done.stderr.count(b"context's end") <= 2
    assert b"\x1b" not in done.stdout and b">" not in done.stdout[:1]
    again = chat("Hello there\nTell me more\n")
    assert again.stdout == done.stdout


def test_the_answers_are_those_of_the_service(serve, tmp_path):
    service = serve("--chat-template", "chatml", "--api-key-file", write(tmp_path / "k", "key\n"))
    file = tmp_path / "saved.json"
    done = chat(f"/system Be brief\nHello there\nTell me more\n/save {file}\n")
    saved = json.loads(file.read_text())
    assert [m["role"] for m in saved] == ["system", "user", "assistant", "user", "assistant"]
    assert done.stdout.decode() == "".join(
        m["content"] + ("" if m["content"].endswith("\n") else "\n")
        for m in saved if m["role"] == "assistant")
    for n in (3, 5):
        answer = service.post("/v1/chat/completions", {
            "messages": saved[:n - 1], "temperature": 0, "max_tokens": 8},
            {"Authorization": "Bearer key"})
        assert answer.status == 200, answer
        assert answer.json()["choices"][0]["message"]["content"] == saved[n - 1]["content"]
    assert oct(file.stat().st_mode & 0o777) == "0o600"


def write(path, text):
    path.write_text(text)
    return path


def test_a_turn_reads_only_what_is_new():
    done = chat("Once upon a time there was a little dog who liked to run\n/stats\n"
                "And then?\n/stats\n")
    cached = [int(n) for n in re.findall(rb"(\d+) of them cached", done.stdout)]
    assert len(cached) == 2 and cached[1] > cached[0]


def test_commands_that_are_wrong_are_said(tmp_path):
    file = write(tmp_path / "mine", "mine")
    done = chat(f"/nonsense x\n/save\n/save {file}\n/stats\n/help\n/quit\nnever asked\n")
    assert done.returncode == 0 and file.read_text() == "mine"
    assert b"/nonsense is unknown" in done.stderr and b"File exists" in done.stderr
    assert b"No answer yet" in done.stdout and b"/system TEXT" in done.stdout


def test_system_and_clear(tmp_path):
    one, two, three = (tmp_path / name for name in "123")
    chat(f"Hi\n/system A \"quoted\" one\n/save {one}\n/system\n/save {two}\n/system B\n/clear\n"
         f"//slash\n/save {three}\n")
    roles = [[m["role"] for m in json.loads(p.read_text())] for p in (one, two, three)]
    assert roles == [["system", "user", "assistant"], ["user", "assistant"],
                     ["system", "user", "assistant"]]
    assert json.loads(one.read_text())[0]["content"] == 'A "quoted" one'
    assert json.loads(three.read_text())[1]["content"] == "/slash"


def test_a_model_without_a_template_says_what_to_do():
    done = run_verb("chat", "--model", models.fixture("llama256.Q4_0.gguf"), stdin=b"Hi\n")
    assert done.returncode == 1 and b"--chat-template" in done.stderr


def test_a_conversation_that_no_longer_fits_is_an_error():
    done = chat("word " * 600 + "\n", "--context", "128")
    assert done.returncode == 1 and b"context" in done.stderr


class Person:
    """One run of chat on a terminal of its own."""

    nowhere = {"XDG_STATE_HOME": "", "HOME": ""}  # what is typed is kept for no other run

    def __init__(self, *flags, **env):
        self.main, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [str(BINARY), "chat", *FLAGS, *flags], stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True,
            env=dict(clean_environment({**self.nowhere, **env}), TERM="xterm"),
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(terminal)
        self.seen = b""

    def wait_for(self, text, n=1):
        end = time.monotonic() + LIMIT
        while ESCAPE.sub(b"", self.seen).count(text) < n:
            assert self.read(end - time.monotonic()), self.seen

    def read(self, seconds):
        """What comes next; False: nothing within these seconds, or never again."""
        if not select.select([self.main], [], [], max(seconds, 0))[0]:
            return False
        try:
            data = os.read(self.main, 65536)
        except OSError:  # nobody holds the terminal any more
            return False
        self.seen += data
        return data != b""

    def type(self, text):
        os.write(self.main, text)

    def wait_for_editor(self):
        """The prompt is written before the editor takes the terminal over: what is typed between
        is the kernel's to edit."""
        poll("the editor", lambda: not self.is_cooked())

    def wait_for_work(self):
        """The editor has its line and gives the terminal back."""
        seen = self.seen
        poll("work", lambda: self.is_cooked() or self.read_now() or self.seen.count(b"> ")
             > seen.count(b"> "))

    def is_cooked(self):
        return termios.tcgetattr(self.main)[3] & termios.ICANON

    def read_now(self):
        while self.read(0):
            pass

    def leave(self):
        """Ctrl-D, until it is taken: the kernel would keep one that is typed between two lines."""
        def left():
            self.read_now()
            with contextlib.suppress(OSError):  # it may end just now
                if not self.is_cooked():
                    self.type(b"\x04")
            return self.process.poll() is not None
        poll("the end", left)
        return self.end()

    def end(self):
        end = time.monotonic() + LIMIT
        while self.read(end - time.monotonic()):
            pass
        os.close(self.main)
        return self.process.wait(LIMIT)


def test_on_a_terminal_lines_are_edited_and_remembered(tmp_path):
    file = tmp_path / "saved"
    person = Person()
    for text in (b"Hellx\x7fo\r", b"\x1b[A\r", f"/save {file}\r".encode()):
        person.wait_for_editor()
        person.type(text)
        person.wait_for_work()
    person.wait_for(b"messages are in")
    assert person.leave() == 0
    assert [m["content"] for m in json.loads(file.read_text())[::2]] == ["Hello", "Hello"]


def say(person, *lines):
    """Each line with its answer, then the end."""
    for line in lines:
        person.wait_for_editor()
        person.type(line + b"\r")
        person.wait_for_work()
    assert person.leave() == 0


def test_lines_are_remembered_over_runs(tmp_path):
    state, saved = tmp_path / "state", tmp_path / "saved"
    kept = state / "smallmind" / "history"
    say(Person(XDG_STATE_HOME=str(state)), b"First", "Zweite: ß".encode())
    assert kept.read_text() == "First\nZweite: ß\n"
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700
    say(Person(XDG_STATE_HOME=str(state)), b"\x1b[A\x1b[A", f"/save {saved}".encode())
    assert json.loads(saved.read_text())[0]["content"] == "First"
    say(Person("--chat-history", "off", XDG_STATE_HOME=str(state)), b"Not this")
    assert "Not this" not in kept.read_text()
    say(Person(HOME=str(tmp_path)), b"At home")
    assert (tmp_path / ".local/state/smallmind/history").read_text() == "At home\n"


def test_what_is_kept_is_bounded_and_looked_at(tmp_path):
    """Only whole lines that can be shown, the last thousand."""
    kept = tmp_path / "smallmind" / "history"
    kept.parent.mkdir()
    lines = [b"old %d" % i for i in range(3000)] + [b"esc\x1b[2J", b"\xff\xfe", b"", b"x" * 9000]
    kept.write_bytes(b"\n".join(lines) + b"\nlast\ncut")
    saved = tmp_path / "saved"
    say(Person(XDG_STATE_HOME=str(tmp_path)), b"\x1b[A\x1b[A", f"/save {saved}".encode())
    assert json.loads(saved.read_text())[0]["content"] == "old 2999"
    found = kept.read_bytes().split(b"\n")
    assert found[0] == b"old 2001" and found[998:1001] == [b"old 2999", b"last", b"old 2999"]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in kept.parent.iterdir()) == ["history"]


def test_a_history_that_cannot_be_kept_is_said_and_no_hindrance(tmp_path):
    (tmp_path / "smallmind").write_text("a file")
    person = Person(XDG_STATE_HOME=str(tmp_path))
    person.wait_for(b"What you type is not kept: ")
    say(person, b"Hello")


def test_ctrl_c_drops_a_line_and_stops_an_answer_but_not_the_program(tmp_path):
    file = tmp_path / "saved"
    person = Person("--model", models.slow(), "--max-tokens", "1500", "--ignore-eos")
    person.wait_for(b"> ")
    person.wait_for_editor()
    person.type(b"not this\x03")
    person.wait_for(b"> ", 2)
    person.wait_for_editor()
    for n in (3, 4):
        person.type(b"Go on\r")
        person.wait_for(b"\n", person.seen.count(b"\n") + 1)
        end = len(person.seen)
        poll("an answer", lambda: person.read_now() or len(person.seen) >= end + 200)
        person.type(b"\x03")
        person.wait_for(b"(stopped)", n - 2)
        person.wait_for_editor()
    person.type(f"/save {file}\r".encode())
    person.wait_for(b"messages are in")
    person.wait_for_editor()
    person.type(b"/quit\r")
    assert person.end() == 0
    saved = json.loads(file.read_text())
    assert [m["role"] for m in saved] == ["user", "assistant"] * 2
    assert saved[0]["content"] == "Go on" and saved[1]["content"]


def test_a_reader_that_leaves_ends_it():
    process = subprocess.Popen([str(BINARY), "chat", *FLAGS, "--max-tokens", "400", "--ignore-eos"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=clean_environment())
    process.stdin.write(b"Hello\n" * 50)
    process.stdin.close()
    process.stdout.close()
    assert process.wait(LIMIT) in (0, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_at_the_prompt_of_a_pipe_end_it(number):
    process = subprocess.Popen([str(BINARY), "chat", *FLAGS], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env=clean_environment(),
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    process.stdin.write(b"Hello\n")
    process.stdin.flush()
    assert process.stdout.readline() is not None
    process.stdin.write(b"/help\n")
    process.stdin.flush()
    while b"Ctrl-C" not in process.stdout.readline():
        pass
    process.send_signal(number)
    assert process.wait(LIMIT) != 0
