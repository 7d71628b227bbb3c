"""Load on replicas after a balancer (.port, .url), and what is done to them under it."""
import http.client
import importlib.util
import itertools
import json
import queue
import threading

from conftest import ROOT
from service import LIMIT, poll

EXAMPLES = ROOT / "docs" / "examples"
HITS = "smallmind_prefix_cache_hit_tokens_total"


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


def python_client():
    spec = importlib.util.spec_from_file_location("resume", EXAMPLES / "resume.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda url, body, seen: [seen(text) or text for text in module.generate(url, body)]


def roll(replicas, balancer, is_up, clients, most, several):
    """The clients ask from before the first replica's end until the last one is back; nothing is
    lost."""
    texts = expected(replicas.services[0], several)
    rolled, begun, lock, wrong = threading.Event(), threading.Event(), threading.Lock(), []
    numbers = itertools.count()

    def client():
        while True:
            with lock:
                i = next(numbers)
            if i >= most and rolled.is_set():
                return
            if i > clients:
                begun.set()
            try:
                status, answer = ask(balancer, several[i % len(several)])
                right = status == 200 and answer["text"] == texts[i % len(several)]
            except Exception as error:  # a request that is lost
                right, answer = False, error
            if not right:
                wrong.append((i, answer))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        assert begun.wait(4 * LIMIT)
        for i in range(3):
            replicas.restart(i)
            poll("the balancer sees it again", lambda i=i: is_up(i))
    finally:
        rolled.set()
        for thread in threads:
            thread.join()
    assert not wrong, f"{len(wrong)} of {next(numbers)}: {wrong[:3]}"


def streams_through_a_kill(replicas, balancer, n, run):
    """n streams by run(url, body, seen), a client that resumes; of a replica with most of them
    nothing is left in the middle."""
    many = bodies(n, max_tokens=120)
    for i, body in enumerate(many):
        body["prompt"] = f"{i} animals lived in a wood"
    texts = expected(replicas.services[0], many)
    begun, lock, enough = set(), threading.Lock(), threading.Event()

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
        running = replicas.running()
        assert max(running) > 0, "no stream runs any more: the test shows nothing"
        replicas.kill(running.index(max(running)))

    results = run_all(stream, list(enumerate(many)), n, (0, killer))
    wrong = [(i, r) for i, (r, text) in enumerate(zip(results, texts)) if r != text]
    assert not wrong, f"{len(wrong)} of {n}: {wrong[:2]}"
