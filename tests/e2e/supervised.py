"""What systemd is to a service: a socket for its notifications, and listening sockets that outlive
it. The tests speak the documented protocols, sd_notify(3) and sd_listen_fds(3)."""
import fcntl
import os
import socket
import subprocess
import sys
import tempfile

import service

# Puts the sockets where the protocol has them, in the very process that becomes the service.
STARTER = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",")]
for place, fd in enumerate(fds, 3):
    os.dup2(fd, place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Notifications:
    """The supervisor's end of NOTIFY_SOCKET."""

    def __init__(self, abstract=False):
        self.folder = tempfile.TemporaryDirectory(prefix="smallmind-notify-")
        path = os.path.join(self.folder.name, "notify")
        self.name = "@" + path if abstract else path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + path if abstract else path)
        self.socket.settimeout(service.LIMIT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.folder.cleanup()

    def next(self):
        """One message, as {variable: value}."""
        lines = self.socket.recv(4096).decode().rstrip("\n").split("\n")
        return dict(line.split("=", 1) for line in lines)

    def until(self, variable):
        """All messages up to the one that has this variable."""
        messages = [self.next()]
        while variable not in messages[-1]:
            messages.append(self.next())
        return messages


def listening(family=socket.AF_INET, address=("127.0.0.1", 0)):
    """A socket as a .socket unit opens it."""
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.bind(address)
    opened.listen(4096)
    return opened


def start(sockets, *flags, env=None, log=None):
    """`smallmind serve` with these sockets; starts and does not wait for it."""
    # Above the places that they are to take.
    high = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 64) for one in sockets]
    try:
        return subprocess.Popen(
            [sys.executable, "-c", STARTER, ",".join(map(str, high)), str(service.BINARY), "serve",
             *service.EXTRA, *map(str, flags)],
            env=service.clean_environment(env), pass_fds=high, stdin=subprocess.DEVNULL,
            stdout=log or subprocess.DEVNULL, stderr=log or subprocess.DEVNULL)
    finally:
        for fd in high:
            os.close(fd)
