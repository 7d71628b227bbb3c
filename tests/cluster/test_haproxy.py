"""Three replicas after HAProxy: nothing is lost and nothing is wrong, whatever happens to one."""
import http.client
import importlib.util
import itertools
import json
import pathlib
import queue
import subprocess
import threading

import pytest

from conftest import ROOT
from service import FULL, LIMIT, poll

EXAMPLES = ROOT / "docs" / "examples"


def ask(balancer, body, path="/generate"):
    """The status and the JSON of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", balancer.port, timeout=4 * LIMIT)
    try:
        connection.request("POST", path, json.dumps(body), {"Host": "llm.example"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def bodies(n, **fields):
    return [dict({"prompt": f"Once upon a time, number {i % 40}", "seed": i, "max_tokens": 24},
                 **fields) for i in range(n)]


def expected(service, all_bodies):
    return [service.answer(**body)["text"] for body in all_bodies]


def run_all(work, items, n_threads, when=None):
    """work(item) of each, by so many threads; when: (how many have ended, what is done then)."""
    waiting, results, ended = queue.Queue(), [None] * len(items), threading.Semaphore(0)
    for i, item in enumerate(items):
        waiting.put((i, item))

    def run():
        while True:
            try:
                i, item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results[i] = work(item)
            except Exception as error:  # judged by the caller
                results[i] = error
            ended.release()

    threads = [threading.Thread(target=run) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    if when is not None:
        for _ in range(when[0]):
            ended.acquire()
        when[1]()
    for thread in threads:
        thread.join()
    return results


def judge(results, texts):
    wrong = [(i, r) for i, (r, text) in enumerate(zip(results, texts))
             if not isinstance(r, tuple) or r[0] != 200 or r[1]["text"] != text]
    assert not wrong, f"{len(wrong)} of {len(texts)}: {wrong[:3]}"


def test_more_than_fits_waits_instead_of_being_refused(replicas, balancer):
    many = bodies(120, max_tokens=16)
    texts = expected(replicas.services[0], many)
    judge(run_all(lambda body: ask(balancer, body), many, 120), texts)


def test_json_answers_outlive_a_killed_replica(replicas, balancer):
    many = bodies(150, max_tokens=48)
    texts = expected(replicas.services[0], many)
    results = run_all(lambda body: ask(balancer, body), many, 24, (30, lambda: replicas.kill(0)))
    judge(results, texts)


def test_what_begins_alike_comes_to_one_replica(replicas, balancer):
    """But for what the bound on a replica's share sends elsewhere, where answers overlap."""
    def served(route):
        return [one.metrics().value("smallmind_requests_total", route=route, code="200")
                for one in replicas.services]

    def hits():
        return sum(one.metrics().value("smallmind_prefix_cache_hit_tokens_total")
                   for one in replicas.services)

    for i in range(8):
        assert ask(balancer, {"prompt": "The same " * 40 + str(i), "max_tokens": 1})[0] == 200
    assert max(served("/generate")) > 4
    system = {"role": "system", "content": "You tell stories of the sea. " * 12}
    before = hits()
    for i in range(8):
        body = {"messages": [system, {"role": "user", "content": f"Story {i}"}], "max_tokens": 1}
        status, answer = ask(balancer, body, "/v1/chat/completions")
        assert status == 200, answer
    assert max(served("/v1/chat/completions")) > 4
    assert hits() > before


def test_a_rolling_restart_loses_nothing(replicas, balancer):
    """64 clients ask from before the first replica's end until the last one is back."""
    most = 10000 if FULL else 300
    few = bodies(200, max_tokens=8)
    texts = expected(replicas.services[0], few)
    rolled, lock, wrong = threading.Event(), threading.Lock(), []
    numbers, begun = itertools.count(), threading.Event()

    def client():
        while True:
            with lock:
                i = next(numbers)
            if i >= most and rolled.is_set():
                return
            if i > 64:
                begun.set()
            try:
                status, answer = ask(balancer, few[i % len(few)])
                right = status == 200 and answer["text"] == texts[i % len(few)]
            except Exception as error:  # a request that is lost
                right, answer = False, error
            if not right:
                wrong.append((i, answer))

    threads = [threading.Thread(target=client) for _ in range(64)]
    for thread in threads:
        thread.start()
    try:
        assert begun.wait(4 * LIMIT)
        for i in range(3):
            replicas.restart(i)
            poll("the balancer sees it again", lambda i=i: is_up(balancer, i))
    finally:
        rolled.set()
        for thread in threads:
            thread.join()
    assert not wrong, f"{len(wrong)} of {next(numbers)}: {wrong[:3]}"


def is_up(balancer, i):
    """Whether the balancer's log says last that the server takes requests."""
    name = ("one", "two", "three")[i]
    lines = [line for line in balancer.log_path.read_text().splitlines()
             if f"replicas/{name} is " in line]
    return bool(lines) and f"{name} is UP" in lines[-1]


def python_client():
    spec = importlib.util.spec_from_file_location("resume", EXAMPLES / "resume.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda url, body, seen: [seen(text) or text for text in module.generate(url, body)]


DRIVER = """
import { generate } from %s;
for await (const text of generate(process.argv[2], JSON.parse(process.argv[3])))
  console.log(JSON.stringify(text));
"""


def javascript_client(folder):
    driver = pathlib.Path(folder) / "driver.mjs"
    driver.write_text(DRIVER % json.dumps(str(EXAMPLES / "resume.mjs")))

    def run(url, body, seen):
        texts = []
        with subprocess.Popen(["node", str(driver), url, json.dumps(body)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as node:
            for line in node.stdout:
                texts.append(json.loads(line))
                seen(texts[-1])
            assert node.wait() == 0, node.stderr.read().decode()
        return texts

    return run


@pytest.mark.parametrize("language", ("python", "javascript"))
def test_streams_outlive_a_killed_replica(replicas, balancer, tmp_path, language):
    n = 50 if FULL or language == "python" else 12
    run = python_client() if language == "python" else javascript_client(tmp_path)
    many = bodies(n, max_tokens=120)
    for i, body in enumerate(many):
        body["prompt"] = f"{i} animals lived in a wood"
    texts = expected(replicas.services[0], many)
    begun, lock = set(), threading.Lock()
    enough = threading.Event()

    def stream(numbered):
        number, body = numbered

        def seen(_):
            with lock:
                begun.add(number)
                if len(begun) >= n // 3:
                    enough.set()

        return "".join(run(balancer.url + "/generate", body, seen))

    def killer():
        assert enough.wait(4 * LIMIT)
        running = [one.metrics().value("smallmind_requests_running") for one in replicas.services]
        assert max(running) > 0, "no stream runs any more: the test shows nothing"
        replicas.kill(running.index(max(running)))

    results = run_all(stream, list(enumerate(many)), n, (0, killer))
    wrong = [(i, r) for i, (r, text) in enumerate(zip(results, texts)) if r != text]
    assert not wrong, f"{len(wrong)} of {n}: {wrong[:2]}"
    for source in ("resume.py", "resume.mjs"):
        assert len((EXAMPLES / source).read_text().splitlines()) <= 60
