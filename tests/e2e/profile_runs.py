"""`smallmind profile` as a user runs it."""
import os
import pty
import re
import subprocess

from service import BINARY, EXTRA, LIMIT, clean_environment, run_verb
from terminal import read_to_exit


def profile(*args):
    done = run_verb("profile", *EXTRA, *args, timeout=6 * LIMIT)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8")


def on_terminal(*args, env=None):
    """A verb's output to a terminal."""
    main, terminal = pty.openpty()
    env = clean_environment({"TERM": "xterm", "NO_COLOR": "", **(env or {})})
    process = subprocess.Popen([str(BINARY), "profile", *map(str, args)], stdout=terminal,
                               stderr=subprocess.DEVNULL, env=env)
    text = read_to_exit(process, main, terminal)
    assert process.returncode == 0
    return text.decode().replace("\r\n", "\n")


def columns_of(text):
    """Where each table's bars stand in its lines, without colours."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    for table in re.findall(r"(?:^\|.*\n)+", plain, re.MULTILINE):
        yield {tuple(m.start() for m in re.finditer(r"\|", line)) for line in table.splitlines()}
