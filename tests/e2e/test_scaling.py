"""The simulation of bench/scaling: no request is lost, limits that are known by a formula are met,
and the same seed gives the same figures."""
import http.client
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree

import pytest
from service import EXTRA, LIMIT, ROOT, poll, run_verb

FOLDER = ROOT / "bench" / "scaling"
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]
try:
    import mix
    import rates
    import routing
    import simulate
    import tables
finally:
    del sys.path[:2]

HAPROXY = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
BATCHES = {1: 0.010, 2: 0.011, 4: 0.014, 8: 0.020, 16: 0.032}
PROMPTS = {16: 0.030, 64: 0.060, 256: 0.240, 512: 0.500}
RATES = rates.Rates(BATCHES, PROMPTS, per_position=1e-7)
LIGHT = mix.Mix(prefixes=24, prefix_tokens=128, own_tokens=32, answer_tokens=24)


def play(asked, seed=1, of=RATES, **setup):
    return simulate.Simulation(of, simulate.Setup(**setup), asked, seed).run()


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize("way", list(routing.ROUTERS))
@pytest.mark.parametrize("patience", (0.0, 2.0, float("inf")))
def test_every_request_ends_once(way, patience):
    asked = mix.requests(LIGHT, 900, 60.0, 3)
    done = play(asked, replicas=3, routing=way, max_batch=4, max_queue=4, patience=patience,
                lose=1, lose_at=5.0, lose_for=4.0).served
    assert sorted(r.number for r in done) == list(range(900))
    for r in done:
        if r.refused:
            assert r.made < r.answer
        else:
            assert r.made == r.answer and r.arrival < r.first <= r.end
            assert 0 <= r.cached <= r.shared < r.prompt
    assert any(r.refused for r in done) == (patience < 100)


def test_a_lost_replica_loses_no_answer_and_costs_time():
    def first_tokens(lose):
        asked = mix.requests(LIGHT, 600, 25.0, 5)
        done = play(asked, replicas=3, lose=lose, lose_at=8.0, lose_for=8.0).served
        assert len(done) == 600 and not any(r.refused for r in done)
        assert (sum(r.resumed for r in done) > 0) == (lose > 0)
        return mean(r.first - r.arrival for r in done)

    assert first_tokens(0) < first_tokens(1)


def test_one_server_waits_as_the_formula_says():
    """Poisson arrivals, one at a time, each as long as any other: M/D/1."""
    one = mix.Mix(prefixes=1, prefix_tokens=0, own_tokens=1, answer_tokens=1, fixed=True)
    service = BATCHES[1]
    for load in (0.3, 0.6):
        asked = mix.requests(one, 8000, load / service, 2)
        play(asked, replicas=1, routing="random", max_batch=1, max_queue=10**6)
        waited = mean(r.first - r.arrival for r in asked) - service
        assert waited == pytest.approx(load * service / (2 * (1 - load)), rel=0.05)


def test_full_batches_make_what_a_step_makes():
    long = mix.Mix(prefixes=1, prefix_tokens=0, own_tokens=1, answer_tokens=500, fixed=True)
    still = rates.Rates(BATCHES, PROMPTS)
    for n in (1, 2, 8, 16):
        asked = mix.requests(long, 4 * n, None, 1)
        done = play(asked, of=still, replicas=1, max_batch=16, clients=n).served
        made = sum(r.answer for r in done) / max(r.end for r in done)
        assert made == pytest.approx(n / BATCHES[n], rel=0.02)


def test_steps_taken_together_are_steps_taken_one_by_one():
    """A request that comes in the middle of others' steps begins at the next one's border."""
    asked = [mix.Request(0, 0.0, 0, 0, 16, 101), mix.Request(1, 0.5001, 0, 0, 16, 1)]
    still = rates.Rates(BATCHES, PROMPTS)
    play(asked, of=still, replicas=1)
    # The prompt's step of 0.030, then steps of 0.010: the border after 0.5001 is at 0.51.
    assert asked[0].first == pytest.approx(0.030)
    assert asked[1].first == pytest.approx(0.51 + still.step(1, 0, 16, 0))
    assert asked[0].end == pytest.approx(0.030 + 99 * 0.010 + still.step(1, 0, 16, 0))


def test_an_idle_replica_takes_what_comes_at_one_moment():
    asked = [mix.Request(0, 0.0, 0, 0, 16, 40),
             *(mix.Request(i, 5.0, 0, 0, 16, 40) for i in (1, 2, 3))]
    still = rates.Rates(BATCHES, PROMPTS)
    done = play(asked, of=still, replicas=1).served
    assert [r.number for r in done] == [0, 1, 2, 3] and all(r.made == 40 for r in done)
    assert all(5.0 + PROMPTS[16] <= r.first <= 5.0 + still.read(48) + 0.1 for r in asked[1:])
    assert all(r.end >= r.first + 39 * still.decode(1) - 1e-9 for r in asked)


def test_more_replicas_are_never_worse():
    before = None
    for n in (1, 2, 4, 8):
        asked = mix.requests(LIGHT, 1200, 40.0, 2)
        now = simulate.run(RATES, simulate.Setup(replicas=n, routing="least connections"), asked)
        if before:
            assert now["tokens_per_second"] >= 0.999 * before["tokens_per_second"]
            assert now["first_p50"] <= before["first_p50"]
            assert now["first_p99"] <= before["first_p99"]
            assert now["refused"] <= before["refused"]
        before = now


def test_routing_by_prefix_finds_more_prefixes():
    found = {}
    for way in routing.ROUTERS:
        many = mix.Mix(prefixes=160, prefix_tokens=256, own_tokens=32, answer_tokens=24)
        asked = mix.requests(many, 1000, 60.0, 2)
        setup = simulate.Setup(replicas=10, routing=way, kv_tokens=8192)
        found[way] = simulate.run(RATES, setup, asked)
    for way in ("prefix hash", "cache-aware"):
        assert found[way]["hit"] > 1.3 * found["random"]["hit"]
        assert found[way]["first_p50"] < found["random"]["first_p50"]


def test_the_bound_of_the_hash_holds():
    one = mix.Mix(prefixes=1, prefix_tokens=64, own_tokens=32, answer_tokens=24)
    router = routing.PrefixHash(8, 100, random.Random(1))
    for sent, request in enumerate(mix.requests(one, 400, None, 1)):
        i = router.choose(request)
        router.sent(i, request)
        assert max(router.loads.counts) <= -(-1.5 * (sent + 1) // 8)


def test_a_replica_lost_moves_only_its_own_prefixes():
    many = mix.requests(mix.Mix(prefixes=500), 500, None, 1)
    for number, request in enumerate(many):
        request.group = number
    router = routing.PrefixHash(10, 10**9, random.Random(1))
    before = [router.choose(r) for r in many]
    router.lost(3)
    after = [router.choose(r) for r in many]
    assert all(a == b for a, b in zip(after, before) if b != 3) and 3 not in after
    assert 3 in before and 3 in [router.ring[router.start(r.group)][1] for r in many]


class Numbered(http.server.BaseHTTPRequestHandler):
    """Answers everything with its server's number."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(str(self.server.number).encode())

    def log_message(self, *_):
        pass


@pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed (apt-get install haproxy)")
def test_the_ring_is_that_of_haproxy(tmp_path):
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Numbered) for _ in range(3)]
    text = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    for number, server in enumerate(servers):
        server.number = number
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = text.replace(f"10.0.0.1{number + 1}:8080", f"127.0.0.1:{server.server_port}")
    # Neither checks nor loads, which time decides: the ring alone.
    text = re.sub(r"^    (default-server|hash-balance-factor) .*\n", "", text, flags=re.MULTILINE)
    folder = tempfile.TemporaryDirectory()  # a socket's path is short
    path = pathlib.Path(folder.name) / "s"
    (tmp_path / "haproxy.cfg").write_text(text.replace("bind :80\n", f"bind unix@{path}\n"))
    draw = random.Random(7)
    keys = {i: "".join(draw.choice("abcdefgh ") for _ in range(300)) for i in range(40)}
    router = routing.PrefixHash(3, 40, draw, keys={i: k[:256].encode() for i, k in keys.items()})
    with subprocess.Popen([HAPROXY, "-db", "-f", str(tmp_path / "haproxy.cfg")],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as haproxy:
        try:
            poll("haproxy listens", lambda: answered(path, "x") is not None)
            for i, key in keys.items():
                assert answered(path, key) == router.ring[router.start(i)][1]
        finally:
            haproxy.kill()
            folder.cleanup()
            for server in servers:
                server.shutdown()
                server.server_close()


def answered(path, prompt):
    """The number of the server that a prompt comes to, through the socket; None: none yet."""
    connection = http.client.HTTPConnection("localhost", timeout=LIMIT)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(path))
        connection.request("POST", "/generate", json.dumps({"prompt": prompt}))
        response = connection.getresponse()
        return int(response.read()) if response.status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


def test_loads_are_those_of_a_plain_count():
    draw, loads, plain, alive = random.Random(4), routing.Loads(5, 6), [0] * 5, set(range(5))
    for _ in range(3000):
        i = draw.randrange(5)
        if i not in alive:
            loads.add(i)
            alive.add(i)
        elif draw.random() < 0.02 and len(alive) > 1:
            loads.remove(i)
            alive.discard(i)
            plain[i] = 0
        elif draw.random() < 0.5 and plain[i] < 6:
            loads.move(i, 1)
            plain[i] += 1
        elif plain[i] > 0:
            loads.move(i, -1)
            plain[i] -= 1
        least = min(plain[k] for k in alive)
        assert loads.total == sum(plain) and loads.alive == len(alive)
        assert loads.fewest() is None if least == 6 else plain[loads.fewest()] == least
        assert loads.high >= max(plain[k] for k in alive)


def test_rates_are_what_was_measured():
    for n, seconds in BATCHES.items():
        assert RATES.decode(n) == pytest.approx(seconds)
    for n in (16, 64):
        assert RATES.read(n) == pytest.approx(PROMPTS[n])
    for n in (1, 3, 8, 16):
        assert RATES.beside(n, RATES.budget(n)) <= 2.5 * RATES.decode(n)
        assert RATES.decode(n) <= RATES.decode(n + 1)
    bent = rates.Rates(BATCHES, {16: 0.030, 64: 0.060, 512: 0.900})
    bent.pair = rates.pair_time(bent, bent.prompts)
    assert bent.read(512) == pytest.approx(0.900)


def test_the_command_simulates_a_report_of_bench(tmp_path):
    path = tmp_path / "bench.json"
    done = run_verb("bench", "--quick", "--json", "--threads", "1", "--cells",
                    "prefill,decode,batch", *EXTRA)
    assert done.returncode == 0, done.stderr.decode()
    path.write_bytes(done.stdout)
    of = rates.load(path)
    assert of.decode(8) >= of.decode(2) >= of.decode(1) > 0 and of.read(64) > 0

    def table(hash_seed, *words):
        return subprocess.run(
            [sys.executable, FOLDER / "scaling.py", "--rates", path, "--replicas", "1,3",
             "--requests", "20", *words], capture_output=True, text=True, check=True,
            timeout=LIMIT * 4, env={**os.environ, "PYTHONHASHSEED": hash_seed}).stdout

    once = table("1")
    assert once == table("2") != table("1", "--seed", "2")
    rows = [line for line in once.splitlines() if line.startswith(("| 1 ", "| 3 "))]
    assert len(rows) == 2 * len(routing.ROUTERS)
    assert "| 3 | cache-aware |" in table("1", "--lose", "1", "--routing", "cache-aware")


def curve():
    return [{"replicas": n, "routing": way, "tokens_per_second": 100.0 * n, "first_p50": 0.1,
             "first_p99": 1.5, "hit": 0.5, "utilization": 0.7, "refused": 0.0}
            for n in (1, 3, 1000) for way in routing.ROUTERS]


def test_the_picture_has_a_line_for_each_routing_and_the_measured_point():
    point = {"replicas": 3, "measured": curve()[4], "simulated": curve()[4]}
    root = xml.etree.ElementTree.fromstring(tables.svg(curve(), point, "3 <replicas>"))
    space = "{http://www.w3.org/2000/svg}"
    lines = list(root.iter(space + "polyline"))
    assert len(lines) == 4 * len(routing.ROUTERS)
    first = [tuple(map(float, p.split(","))) for p in lines[0].get("points").split()]
    assert [x for x, _ in first] == sorted(x for x, _ in first)
    assert [y for _, y in first] == sorted((y for _, y in first), reverse=True)
    dots = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(space + "circle")]
    assert len(dots) == 2 * 4 + 2  # two in the legend
    assert dots[0] == dots[1] == pytest.approx(first[1], abs=0.2)


def test_tables_are_put_between_their_marks(tmp_path):
    path = tmp_path / "SCALING.md"
    marks = "<!-- curve: written by make scaling -->\nold\n<!-- the end of curve -->"
    path.write_text(f"before\n{marks}\nafter\n")
    for _ in range(2):
        tables.fill(path, {"curve": tables.curve(curve())})
    text = path.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| 1000 | prefix hash | 100 000 | 100 ms | 1.50 s | 50 % | 70 % | 0 % |" in text
    with pytest.raises(SystemExit):
        tables.fill(path, {"sizes": ""})
