"""Real replicas with HAProxy before them, under the very list of requests that is simulated.

Each replica has its share of the machine (shares.py), and `smallmind bench` measures the model in
the same shares, all at once, before and after the load: what the simulation is fed with. One thread
plays all clients (asyncio). Times are seconds.
"""
import asyncio
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import random
import re
import shutil
import statistics
import string
import subprocess
import tempfile
import time

import programs
import shares
from mix import Request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HAPROXY = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
ADDRESS = re.compile(r"^    server (\w+) \S+$", re.MULTILINE)
HOST = "llm.example"
CELLS = ("prefill 16,prefill 32,prefill 64,prefill 128,prefill 256,prefill 512,decode at 0,"
         "decode at 512,batch 2,batch 4,batch 6,batch 8")
FIRST_TOKEN = re.compile(rb'"tokens":\[\d')


class Cluster:
    def __init__(self, program, model, n, batch, queue):
        self.program, self.model, self.batch, self.queue = program, model, batch, queue
        self.shares, self.clients, self.how = shares.shares(n)
        self.servers, self.balancer, self.port = [], None, None
        self.folder = tempfile.TemporaryDirectory()

    def bench(self):
        """A report of each share, made at the same time."""
        words = [self.program, "bench", "--json", "--threads", 1, "--model", self.model,
                 "--cells", CELLS]
        with concurrent.futures.ThreadPoolExecutor(len(self.shares)) as pool:
            return [json.loads(text) for text in pool.map(
                lambda share: programs.run(share.command(words), timeout=600), self.shares)]

    def start(self):
        words = [self.program, "serve", "--model", self.model, "--threads", 1, "--max-batch",
                 self.batch, "--max-queue", self.queue, "--allow-host", HOST, "--log-level", "warn"]
        for share in self.shares:
            self.servers.append(programs.Server(share.command(words), "/readyz", False))
        self.info = json.loads(self.servers[0].get("/info")[1])
        if self.clients is not None:
            self.clients.enter()  # and HAProxy with it; replicas have their own
        self.start_balancer()

    def start_balancer(self):
        """As deploy/haproxy says, with these replicas' addresses."""
        program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if program is None:
            raise programs.Failure("haproxy is not installed (apt-get install haproxy)")
        self.port = programs.free_port()
        text = HAPROXY.read_text().replace("bind :80\n", f"bind 127.0.0.1:{self.port}\n")
        text = ADDRESS.sub("", text).rstrip() + "\n"
        for i, server in enumerate(self.servers):
            text += f"    server r{i} 127.0.0.1:{server.port}\n"
        text = re.sub(r"maxconn 40$", f"maxconn {self.batch + self.queue}", text, flags=re.M)
        path = pathlib.Path(self.folder.name) / "haproxy.cfg"
        path.write_text(text)
        self.balancer = subprocess.Popen([program, "-db", "-f", str(path)],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if asyncio.run(self.ask("a", 1)).made == 1:
                    return
            time.sleep(0.05)
        raise programs.Failure("HAProxy does not pass requests on")

    def stop(self):
        for server in self.servers:
            server.stop()
        self.servers = []
        if self.balancer is not None:
            self.balancer.terminate()
            self.balancer.wait()
            self.balancer = None

    def close(self):
        self.stop()
        for share in self.shares:
            share.remove()
        if self.clients is not None:
            self.clients.remove()
        self.folder.cleanup()

    # --- clients ---

    async def ask(self, prompt, answer, request=None, begin=None):
        """One request, its times written into `request`: seconds since `begin`."""
        request = request or Request(0, 0.0, 0, 0, 0, answer)
        begin = begin if begin is not None else time.monotonic()
        body = json.dumps({"prompt": prompt, "max_tokens": answer, "stream": True,
                           "ignore_eos": True, "temperature": 0}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"POST /generate HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                         b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                         % (HOST.encode(), len(body)) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            tail = b""
            while head.startswith(b"HTTP/1.1 200"):
                got = await reader.read(65536)
                if not got:
                    break
                tail = (tail + got)[-4096:]
                if request.first is None and FIRST_TOKEN.search(tail):
                    request.first = time.monotonic() - begin
        finally:
            writer.close()
        request.end = time.monotonic() - begin
        request.refused = not head.startswith(b"HTTP/1.1 200")
        usage = re.search(rb'"prompt_tokens":(\d+),"cached_tokens":(\d+),"completion_tokens":(\d+)',
                          tail)
        if usage:
            request.prompt, request.cached, request.made = (int(n) for n in usage.groups())
        return request

    def overhead(self, rates, n=15):
        """What HAProxy and HTTP add to a first token: of single requests, beside nothing."""
        found = []
        for i in range(n):
            one = asyncio.run(self.ask(f"{i} again", 1))
            found.append(one.first - rates.read(one.prompt))
        return max(0.0, statistics.median(found))

    def text(self, draw, tokens, per_token):
        """About so many tokens."""
        letters = string.ascii_lowercase + " "
        return "".join(draw.choice(letters) for _ in range(max(1, round(tokens * per_token))))

    def prompts(self, requests, seed):
        """A text for each, whose numbers of tokens are written into the requests."""
        draw = random.Random(seed)
        probe = self.text(draw, 2000, 1)
        per_token = 2000 / self.n_tokens(probe)
        groups, texts, self.keys = {}, [], {}
        for r in requests:
            if r.group not in groups:
                text = self.text(draw, r.shared, per_token)
                groups[r.group] = (text, self.n_tokens(text))
                self.keys[r.group] = text[:256].encode()  # as deploy/haproxy reads it
            text, shared = groups[r.group]
            text += " " + self.text(draw, r.prompt - r.shared, per_token)
            r.shared, r.prompt = shared, self.n_tokens(text)
            texts.append(text)
        return texts

    def n_tokens(self, text):
        connection = http.client.HTTPConnection("127.0.0.1", self.servers[0].port, timeout=60)
        connection.request("POST", "/tokenize", json.dumps({"text": text}))
        found = json.loads(connection.getresponse().read())
        connection.close()
        return len(found["tokens"])

    def play(self, requests, texts, clients, seconds):
        """All of them, each when it comes; or by so many clients, for so many seconds."""

        async def open_loop():
            begin = time.monotonic()

            async def one(request, text):
                await asyncio.sleep(max(0.0, begin + request.arrival - time.monotonic()))
                await self.ask(text, request.answer, request, begin)

            await asyncio.gather(*(one(r, t) for r, t in zip(requests, texts)))

        async def closed_loop():
            begin, coming = time.monotonic(), iter(zip(requests, texts))

            async def client():
                for request, text in coming:
                    request.arrival = time.monotonic() - begin
                    await self.ask(text, request.answer, request, begin)
                    if time.monotonic() - begin >= seconds:
                        return

            await asyncio.gather(*(client() for _ in range(clients)))

        asyncio.run(closed_loop() if clients else open_loop())
        return [r for r in requests if r.end is not None]

    def work(self):
        """Of all replicas since their starts: seconds computed, steps, sequences in them."""
        pages = [server.get("/metrics")[1] for server in self.servers]
        return [sum(float(re.search(rf"^smallmind_{name} (\S+)", page, re.MULTILINE)[1])
                    for page in pages)
                for name in ("step_seconds_sum", "step_seconds_count", "step_sequences_sum")]
