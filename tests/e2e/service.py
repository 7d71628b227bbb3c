"""The program under test: one running service, or one run of a verb.

SMALLMIND_BIN          the program (default: build/smallmind beside this tree)
SMALLMIND_TEST_ARGS    flags for every verb that computes, e.g. "--cpu ref"
SMALLMIND_TEST_SLOW    factor on every time limit, for sanitizer builds and slow machines
SMALLMIND_FULL=1       the whole matrices instead of their reduced form
"""
import contextlib
import functools
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time

import http1
from exposition import Metrics

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SMALLMIND_BIN", ROOT / "build" / "smallmind")).absolute()
EXTRA = shlex.split(os.environ.get("SMALLMIND_TEST_ARGS", ""))
FULL = os.environ.get("SMALLMIND_FULL", "") not in ("", "0")
SLOW = float(os.environ.get("SMALLMIND_TEST_SLOW", "1"))
LIMIT = 30 * SLOW  # seconds that anything may take before it counts as hanging
REPORT = re.compile(rb"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+San")


@functools.lru_cache
def sanitizer():
    """Which sanitizer the program was built with: "address", "thread" or None."""
    code = BINARY.read_bytes()
    for name, symbol in (("address", b"__asan_init"), ("thread", b"__tsan_init")):
        if symbol in code:
            return name
    return None


def clean_environment(extra=None):
    """Ours without any setting of the program, so that only the test's own count."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SMALLMIND_")}
    env.update(extra or {})
    return env


def poll(what, condition, limit=None):
    """Waits for a state, never for a time: returns the first true value of condition()."""
    limit = LIMIT if limit is None else limit * SLOW
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(0.005)


PORT_LOCKS = []  # held until this process ends


def own_port():
    """A port for what must be told one before it listens, or listens again on the same: none that
    the system hands out meanwhile, nor another process of these tests takes."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first, last = map(int, file.read().split())
    for port in (*range(20000, first), *range(last + 1, 1 << 16)):
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0smallmind-test-port-{port}")
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            lock.close()
            continue
        PORT_LOCKS.append(lock)
        return port
    raise AssertionError(f"no port outside {first} to {last} is free")


def run_verb(*args, stdin=b"", env=None, cwd=None, timeout=None):
    """One run of the program to its end; stdout and stderr as bytes."""
    done = subprocess.run([str(BINARY), *map(str, args)], input=stdin, capture_output=True,
                          env=clean_environment(env), cwd=cwd, timeout=timeout or 2 * LIMIT)
    assert not REPORT.search(done.stderr), done.stderr.decode("utf-8", "replace")
    return done


@contextlib.contextmanager
def services(stopped=False):
    """A function that starts services as Service does; all are killed at the end. stopped: those
    that still run are stopped before, and what they leave behind is looked at."""
    started = []

    def start(*flags, **kwargs):
        started.append(Service(*flags, **kwargs))
        return started[-1]

    try:
        yield start
        for one in started:
            if stopped and one.is_running():
                one.stop()
    finally:
        for one in started:
            one.kill()


class Service:
    """`smallmind serve` with its log and port file in a folder of its own."""

    def __init__(self, *flags, model="builtin", env=None, unix=None, preload=None,
                 host="127.0.0.1", port_file=None, stderr=None, **start):
        """stderr: instead of the log's file; start: more for Popen."""
        self.folder = tempfile.TemporaryDirectory(prefix="smallmind-")
        self.log_path = os.path.join(self.folder.name, "log")
        self.unix = unix
        port_file = self.port_file = str(port_file or os.path.join(self.folder.name, "port"))
        args = ["serve", "--model", str(model), "--port-file", port_file]
        args += ["--unix", unix] if unix else ["--port", "0", "--host", host]
        args += [str(flag) for flag in flags]
        args += [] if "--cpu" in args else EXTRA
        self.args = args
        environment = clean_environment(env)
        if preload:
            environment["LD_PRELOAD"] = str(preload)
        with open(self.log_path, "wb") as log:
            start = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": stderr or log, **start}
            self.process = subprocess.Popen([str(BINARY), *args], env=environment, **start)
        self.pid = self.process.pid
        self.timeout = LIMIT  # of each wait for bytes
        try:
            self.address = unix or (host, self.wait_for_port(port_file))
            poll("ready", self.is_ready)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def is_running(self):
        return self.process.poll() is None

    def log(self):
        with open(self.log_path, "rb") as log:
            return log.read().decode("utf-8", "replace")

    def log_lines(self, word):
        """Those that are there by now: lines are written by a thread of their own."""
        return [line for line in self.log().splitlines() if word in line]

    def logged(self, word, n=1):
        """The lines with the word, once there are n of them."""
        return poll(f"{n} lines with {word}", lambda: (
            lines if len(lines := self.log_lines(word)) >= n else None))

    def wait_for_port(self, path):
        def read():
            assert self.is_running(), f"ended at start: {self.args}\n{self.log()}"
            try:
                with open(path) as file:
                    return int(file.read() or 0)
            except FileNotFoundError:
                return 0
        return poll("the port file", read)

    def is_ready(self):
        assert self.is_running(), f"ended at start: {self.args}\n{self.log()}"
        try:
            return self.get("/readyz").status == 200
        except (ConnectionError, FileNotFoundError):  # a Unix socket that is not there yet
            return False

    # --- requests ---

    def connect(self, timeout=None):
        return http1.Connection(self.address, timeout or self.timeout)

    @property
    def host(self):
        return "localhost" if self.unix else f"127.0.0.1:{self.address[1]}"

    def build(self, method, path, body=None, headers=None, version="1.1"):
        return http1.build_request(method, path, body, headers, host=self.host, version=version)

    def request(self, method, path, body=None, headers=None, version="1.1"):
        with self.connect() as connection:
            connection.send(self.build(method, path, body, headers, version))
            return connection.read_response(method)

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, headers=None):
        return self.request("POST", path, body, headers)

    def send_raw(self, data):
        """One answer to these very bytes."""
        with self.connect() as connection:
            connection.send(data)
            return connection.read_response()

    def generate(self, headers=None, **fields):
        return self.post("/generate", fields, headers)

    def answer(self, **fields):
        """The JSON of a /generate that must succeed."""
        response = self.generate(**fields)
        assert response.status == 200, response
        return response.json()

    def refusal(self, status, **fields):
        """The error object of a /generate that must be refused."""
        response = self.generate(**fields)
        assert response.status == status, response
        return response.error()

    def stream(self, headers=None, **fields):
        body = dict(fields, stream=True)
        return http1.Stream(self.connect(), self.build("POST", "/generate", body, headers))

    @contextlib.contextmanager
    def busy(self, headers=None, **fields):
        """A stream that outlasts the block, and has its first token when the block begins. What
        runs, waits or drains is looked at in there, however slow the machine is; with
        models.slow(), or it may be over before the look."""
        fields = {"prompt": [5] * 8, "max_tokens": 1900, "ignore_eos": True, **fields}
        with self.stream(headers, **fields) as stream:
            yield stream.read_tokens(1)

    def metrics(self):
        response = self.get("/metrics")
        assert response.status == 200, response
        return Metrics(response.body.decode("utf-8"))

    def wait_for_fingerprint(self):
        """Both parts, once the model's bytes have been read."""
        poll("the model's fingerprint", lambda: self.info()["fingerprint"]["model"])
        return self.info()["fingerprint"]

    def info(self):
        return self.get("/info").json()

    # --- the process ---

    def of_threads(self, look):
        """look(thread) by thread, of those that do not end meanwhile."""
        found = {}
        for thread in map(int, os.listdir(f"/proc/{self.pid}/task")):
            try:
                found[thread] = look(thread)
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def count_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_kib(self):
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))

    def wait_until_idle(self):
        """No generation runs or waits; returns the metrics that said so."""
        def idle():
            metrics = self.metrics()
            busy = metrics.value("smallmind_requests_running") \
                + metrics.value("smallmind_requests_queued")
            return None if busy else metrics
        return poll("idle", idle)

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        """The exit status; a service that does not end is killed."""
        try:
            return self.process.wait(2 * LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def stop(self, expected=0):
        """Ends it as an operator would, and looks at what it leaves behind."""
        if self.is_running():
            self.signal(signal.SIGCONT)
            self.signal()
        status = self.wait()
        log = self.log()
        self.folder.cleanup()
        assert not REPORT.search(log.encode()), log
        assert status == expected, f"exit status {status}\n{log[-3000:]}"

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()
