"""Three replicas after HAProxy: nothing is lost and nothing is wrong, whatever happens to one."""
import json
import pathlib
import subprocess

import pytest

from load import (EXAMPLES, HITS, ask, bodies, expected, judge, python_client, roll, run_all,
                  streams_through_a_kill)
from service import FULL


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
    for i in range(8):
        assert ask(balancer, {"prompt": "The same " * 40 + str(i), "max_tokens": 1})[0] == 200
    assert max(replicas.answered("/generate")) > 4
    system = {"role": "system", "content": "You tell stories of the sea. " * 12}
    before = replicas.total(HITS)
    for i in range(8):
        body = {"messages": [system, {"role": "user", "content": f"Story {i}"}], "max_tokens": 1}
        status, answer = ask(balancer, body, "/v1/chat/completions")
        assert status == 200, answer
    assert max(replicas.answered("/v1/chat/completions")) > 4
    assert replicas.total(HITS) > before


def test_a_rolling_restart_loses_nothing(replicas, balancer):
    roll(replicas, balancer, lambda i: is_up(balancer, i), clients=64, most=10000 if FULL else 300,
         several=bodies(200, max_tokens=8))


def is_up(balancer, i):
    """Whether the balancer's log says last that the server takes requests."""
    name = ("one", "two", "three")[i]
    lines = [line for line in balancer.log_path.read_text().splitlines()
             if f"replicas/{name} is " in line]
    return bool(lines) and f"{name} is UP" in lines[-1]


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
    streams_through_a_kill(replicas, balancer, n, run)
    for source in ("resume.py", "resume.mjs"):
        assert len((EXAMPLES / source).read_text().splitlines()) <= 60
