"""The programs that bench/peers.py measures: ours, llama.cpp's and OpenVINO's, started, waited for,
read out.

Each function returns plain numbers; what goes wrong is a Failure with the program's last words.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time


class Failure(Exception):
    pass


class CannotRead(Failure):
    """A peer does not know such a file: that is a result, too."""


# Whatever was started and has not been stopped: ended at the end, however that comes.
RUNNING = set()


def stop_all():
    for program in list(RUNNING):
        program.stop()


def run(command, timeout=900):
    """A program's standard output."""
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise Failure(
            f"{pathlib.Path(command[0]).name}: exit {done.returncode}: {' / '.join(last)}"
        )
    return done.stdout.decode(errors="replace")


@contextlib.contextmanager
def busy(n):
    """Beside n programs that want a processor all the time."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


# --- programs that measure themselves: the best of their own rounds ---


def our_bench(program, model, cells, flags=()):
    """Cells of `smallmind bench` by their names: each a row of its report, and the report's
    machine."""
    out = run([program, "bench", "--json", "--model", model, "--cells", ",".join(cells), *flags])
    report = json.loads(out)
    found = {r["name"]: r for r in report["results"]}
    missing = [c for c in cells if c not in found]
    if missing:
        raise Failure(f"smallmind bench: no {', '.join(missing)}")
    return found, report["machine"]


def bench_rates(text):
    """llama-bench's JSON: the best rate of each (tokens read, tokens made, tokens before)."""
    found = {}
    for row in json.loads(text):
        key = row["n_prompt"], row["n_gen"], row.get("n_depth", 0)
        found[key] = max(found.get(key, 0), *row["samples_ts"])
    return found


def llama_bench(folder, model, threads, rounds, flags):
    """As bench_rates gives it. Several rounds need none before them that counts nothing."""
    command = [folder / "llama-bench", "-m", model, "-t", threads, "-r", rounds, "-o", "json"]
    return bench_rates(run([*command, *(["--no-warmup"] if rounds > 1 else []), *flags]))


def batched_rates(text):
    """llama-batched-bench's lines: the rate of each number of sequences."""
    found = {}
    for line in text.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            found[row["pl"]] = max(found.get(row["pl"], 0), row["speed_tg"])
    return found


def llama_batched_bench(folder, model, threads, batches, tokens):
    command = [folder / "llama-batched-bench", "-m", model, "-t", threads]
    command += ["-c", max(batches) * (16 + tokens), "-npp", 16, "-ntg", tokens]
    command += ["-npl", ",".join(map(str, batches)), "--output-format", "jsonl"]
    return batched_rates(run(command))


# --- servers ---


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server of either kind on a free port, ready; `seconds` is what that took."""

    def __init__(self, command, ready_path, openai):
        self.port, self.openai = free_port(), openai
        self.log = tempfile.TemporaryFile()
        begin = time.monotonic()
        try:
            self.process = subprocess.Popen(
                [str(c) for c in [*command, "--port", self.port]],
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise Failure(f"{command[0]}: {error}") from error
        RUNNING.add(self)
        try:
            while not self.answers(ready_path):
                if self.process.poll() is not None:
                    raise Failure(
                        f"{command[0]}: ended with {self.process.returncode}: {self.last_words()}"
                    )
                if time.monotonic() - begin > 120:
                    raise Failure(f"{command[0]}: not ready after two minutes")
                time.sleep(0.001)
        except BaseException:
            self.stop()
            raise
        self.seconds = time.monotonic() - begin

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()

    def answers(self, path):
        try:
            return self.get(path)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def last_words(self):
        return " / ".join(self.text().strip().splitlines()[-3:])

    def resident(self, what="VmRSS"):
        """Bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) * 1024

    def stop(self):
        RUNNING.discard(self)
        end(self.process)
        self.log.close()


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def our_server(program, model, flags=()):
    return Server(
        [program, "serve", "--model", model, "--log-level", "warn", *flags], "/readyz", False
    )


def llama_server(folder, model, threads, slots, context, flags=()):
    """As many slots as clients, each with room for `context` positions."""
    return Server(
        [
            folder / "llama-server",
            "-m",
            model,
            "-t",
            threads,
            "-np",
            slots,
            "-c",
            slots * context,
            *flags,
        ],
        "/health",
        True,
    )


def load(http_load, server, clients, tokens, seconds, warm, ids=0, beside=0):
    """http_load's counts; beside: tokens of prompts that are read beside the streams."""
    what = ["--ids", ids] if ids else ["--prompt", "Once upon a time there was"]
    what += ["--beside", beside] if beside else []
    found = json.loads(
        run(
            [
                http_load,
                "--port",
                server.port,
                "--clients",
                clients,
                "--tokens",
                tokens,
                "--seconds",
                seconds,
                "--warm",
                warm,
                *what,
                *(["--openai"] if server.openai else []),
            ]
        )
    )
    if found["errors"] or not found["tokens"]:
        raise Failure(
            f"http_load: {found['errors']} errors, {found['tokens']} tokens: {server.last_words()}"
        )
    return found


def our_overhead(server, model):
    """Resident bytes beyond the weights and the keys and values that are kept: KV memory is taken
    as it is needed, and what was taken ahead counts as ours."""
    page = json.loads(server.get("/info")[1])["kv"]["page_bytes"]
    text = server.get("/metrics")[1]
    pages = re.findall(r'smallmind_kv_pages\{.*state="(?:used|cached)".*\} (\S+)', text)
    kept = page * sum(map(float, pages))
    return server.resident() - pathlib.Path(model).stat().st_size - int(kept)


def llama_overhead(server, _model):
    """Likewise; what it maps of the file is not counted in the first place."""
    sizes = re.findall(r"(\S+) (?:model|KV) buffer size\s*=\s*([\d.]+) MiB", server.text())
    if not sizes:
        raise Failure("llama-server's log names no buffer sizes")
    return server.resident("RssAnon") - int(
        sum(float(size) for name, size in sizes if "Mapped" not in name) * (1 << 20)
    )


def our_allocations(server):
    """(calls of the malloc family on compute threads, tokens made) since the start."""
    text = server.get("/metrics")[1]
    return tuple(
        int(float(re.search(rf"^smallmind_{name} (\S+)", text, re.MULTILINE)[1]))
        for name in ("engine_allocations_total", "generated_tokens_total")
    )


# --- OpenVINO GenAI, in a process of its own that answers questions (openvino_driver.py) ---

DRIVER = pathlib.Path(__file__).with_name("openvino_driver.py")


class OpenVino:
    """A model in it, loaded and warm; `seconds` is what that took, `facts` what it says."""

    def __init__(self, python, model, threads, flags=()):
        command = [python, DRIVER, "--model", model, "--threads", threads, *flags]
        if not pathlib.Path(python).is_file():
            raise Failure("OpenVINO GenAI is not installed (make bench-peers does it)")
        self.log, self.came = tempfile.TemporaryFile(), b""
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [str(c) for c in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        RUNNING.add(self)
        try:
            self.facts = self.answer(600)
        except BaseException:
            self.stop()
            raise
        self.seconds = time.monotonic() - begin
        if "error" in self.facts:
            self.stop()
            raise CannotRead(self.facts["error"])

    def answer(self, timeout):
        """The next line that is JSON; the library may say things, too."""
        pipe, until = self.process.stdout.fileno(), time.monotonic() + timeout
        while True:
            line, newline, rest = self.came.partition(b"\n")
            if newline:
                self.came = rest
                if line.startswith(b"{"):
                    return json.loads(line)
                continue
            if not select.select([pipe], [], [], max(0, until - time.monotonic()))[0]:
                raise Failure(f"OpenVINO GenAI: no answer after {timeout} s")
            more = os.read(pipe, 1 << 16)  # not through a buffer, which select does not see
            if not more:
                raise Failure(f"OpenVINO GenAI ended with {self.process.wait()}: {self.words()}")
            self.came += more

    def words(self):
        self.log.seek(0)
        text = self.log.read().decode(errors="replace")
        return " / ".join(text.strip().splitlines()[-2:])

    def ask(self, **question):
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Failure(f"OpenVINO GenAI: {error}: {self.words()}") from error
        return self.answer(900)

    def stop(self):
        RUNNING.discard(self)
        end(self.process)
        for file in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(OSError):  # what was written to a process that ended
                file.close()
