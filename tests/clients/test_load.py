"""llama-benchy, a load client of others' making, against /v1/chat/completions: several clients at
once, streamed, with a prompt of its own choice for each."""
import functools
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from vocabulary import write_tokenizer

BOOK = "Once upon a time, there was a little girl. She had a dog and a red ball. " * 60
RUNS, TOKENS = 2, 12


@pytest.fixture
def book(tmp_path):
    """The URL of the text that prompts are cut from: by default it would be fetched."""
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "book.txt").write_text(BOOK)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/book.txt"
    server.shutdown()
    thread.join()
    server.server_close()


def test_all_are_answered_and_counted(service, book, tmp_path):
    before = service.wait_until_idle().value("smallmind_generated_tokens_total")
    result = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, "-m", "llama_benchy", "--base-url", f"http://{service.host}/v1",
         "--model", "tiny", "--tokenizer", write_tokenizer(tmp_path / "tokenizer"),
         "--book-url", book, "--pp", "64", "--tg", str(TOKENS), "--exact-tg", "--runs", str(RUNS),
         "--concurrency", "1", "4", "--no-warmup", "--no-adapt-prompt", "--skip-coherence",
         "--no-cache", "--exit-on-first-fail", "--format", "json", "--save-result", result],
        env={**os.environ, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}, capture_output=True,
        text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    # Its rates are between arrivals: none where a whole answer arrives at once.
    rows = json.loads(result.read_text())["benchmarks"]
    counted = [(row["concurrency"], row["response_size"]) for row in rows]
    assert counted == [(1, TOKENS), (4, TOKENS)]
    made = service.wait_until_idle().value("smallmind_generated_tokens_total") - before
    assert made == RUNS * (1 + 4) * TOKENS, done.stdout
