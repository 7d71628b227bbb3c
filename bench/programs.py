"""The programs that bench/peers.py measures: ours and llama.cpp's, started, waited for, read out.

Each function returns plain numbers; what goes wrong is a Failure with the program's last words.
"""
import contextlib
import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time


class Failure(Exception):
    pass


def run(command, timeout=300):
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


def our_bench(program, model, cell, threads):
    """(rate, limit) of one cell of `smallmind bench`."""
    flags = ["--threads", threads] if threads else []
    report = json.loads(
        run([program, "bench", "--json", "--model", model, "--cells", cell, *flags])
    )
    result = next(r for r in report["results"] if r["name"] == cell)
    return result["tokens_per_second"], result["limit_tokens_per_second"]


def llama_bench(folder, model, threads, prompt, tokens, rounds):
    out = run(
        [
            folder / "llama-bench",
            "-m",
            model,
            "-t",
            threads,
            "-p",
            prompt,
            "-n",
            tokens,
            "-r",
            rounds,
            "-o",
            "json",
        ]
    )
    return max(json.loads(out)[0]["samples_ts"])


def llama_batched_bench(folder, model, threads, batch, tokens):
    out = run(
        [
            folder / "llama-batched-bench",
            "-m",
            model,
            "-t",
            threads,
            "-c",
            batch * (16 + tokens),
            "-npp",
            16,
            "-ntg",
            tokens,
            "-npl",
            batch,
            "--output-format",
            "jsonl",
        ]
    )
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return max(line["speed_tg"] for line in lines)


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
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def our_server(program, model, threads):
    flags = ["--threads", threads] if threads else []
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


def load(http_load, server, clients, tokens, seconds, warm, ids=0):
    """http_load's counts."""
    what = ["--ids", ids] if ids else ["--prompt", "Once upon a time there was"]
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
    """Resident bytes beyond the weights and the KV memory."""
    info = json.loads(server.get("/info")[1])
    return server.resident() - pathlib.Path(model).stat().st_size - info["kv"]["bytes"]


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
