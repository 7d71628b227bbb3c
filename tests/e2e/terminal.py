"""The program on a terminal of its own: what a person would see."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

from service import BINARY, LIMIT, clean_environment

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
END = b"\0the process has ended\0"


def read_to_exit(process, main, terminal):
    """All that a process writes to a terminal; closes both of its ends. Ours stays open until a
    mark has come through after the last of it: what is unread when the last holder of a terminal
    closes it may be lost."""
    def mark():
        try:
            process.wait(6 * LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
        os.write(terminal, END)

    marker = threading.Thread(target=mark)
    marker.start()
    raw = b""
    while not raw.endswith(END):
        raw += os.read(main, 65536)
    marker.join()
    os.close(terminal)
    os.close(main)
    return raw.removesuffix(END)


class Seen:
    """One run: everything that was written to the terminal, and what went to pipes beside it."""

    def __init__(self, returncode, raw, stdout):
        self.returncode = returncode
        self.raw = raw.decode("utf-8", "replace")
        self.stdout = stdout

    @property
    def lines(self):
        """The screen at the end: a line that was drawn again counts as it was last."""
        return [line.rsplit("\r", 1)[-1] for line in self.rows()]

    @property
    def drawn(self):
        """Each line as it was drawn, those included that were drawn over."""
        return [part for line in self.rows() for part in line.split("\r") if part]

    def rows(self):
        text = ESCAPE.sub("", self.raw.replace("\r\n", "\n"))
        return text.removesuffix("\n").split("\n") if text else []


def run_on_terminal(*args, columns=80, stdin=b"", typed=None, stdout_too=True, env=None):
    """One run to its end with standard error on a terminal this wide, and standard output too
    unless a pipe is asked for. Standard input is a pipe, or the terminal where keys are typed."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([str(BINARY), *map(str, args)],
                               stdin=subprocess.PIPE if typed is None else terminal,
                               stdout=terminal if stdout_too else subprocess.PIPE, stderr=terminal,
                               env=dict(clean_environment(env), TERM="xterm"))
    if typed is not None:
        os.write(main, typed)
    else:
        process.stdin.write(stdin)
        process.stdin.close()
    raw = read_to_exit(process, main, terminal)
    stdout = b"" if stdout_too else process.stdout.read()
    if not stdout_too:
        process.stdout.close()
    return Seen(process.returncode, raw, stdout)
