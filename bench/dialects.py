#!/usr/bin/env python3
"""Whether other APIs cost anything: the same work asked for in all dialects mixed, and in the
native API alone, by turns: as many clients, the same prompts, the same number of tokens.

Prints each pair's ratios and their medians; with --min, exit 1 where answers a second are fewer.
Needs build/smallmind and build/http_load.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from service import Service  # noqa: E402 (found only now)

PROMPT = "Once upon a time, there was a little girl who lived in"
CHAT = {"messages": [{"role": "user", "content": "Tell me of a dog."}]}
FLAGS = ("--chat-template", "chatml", "--max-queue", "256", "--log-level", "warn")


def mixed(n):
    """A request of n tokens in each dialect's stream: of prompts and of conversations as many."""
    options = dict(temperature=0, repeat_penalty=1, num_predict=n)
    plain = dict(prompt=PROMPT, temperature=0, stream=True)
    chat = dict(CHAT, temperature=0, stream=True)
    text = [
        ("/v1/completions", dict(plain, max_tokens=n, ignore_eos=True)),
        ("/api/generate", dict(model="any", prompt=PROMPT, raw=True, options=options)),
        ("/generate_stream", dict(inputs=PROMPT, parameters=dict(max_new_tokens=n))),
        ("/completion", dict(plain, n_predict=n, ignore_eos=True)),
    ]
    chats = [
        ("/v1/chat/completions", dict(chat, max_tokens=n, ignore_eos=True)),
        ("/v1/responses", dict(input=CHAT["messages"], temperature=0, stream=True,
                               max_output_tokens=n, ignore_eos=True)),
        ("/v1/messages", dict(chat, model="any", max_tokens=n, ignore_eos=True)),
        ("/api/chat", dict(CHAT, model="any", options=options)),
    ]
    return [request for pair in zip(text, chats) for request in pair]


def native(n, rendered):
    """The same prompts and tokens."""
    common = dict(max_tokens=n, temperature=0, stream=True, ignore_eos=True)
    return [("/generate", dict(common, prompt=prompt)) for prompt in (PROMPT, rendered)]


def counters(service):
    """Tokens made, seconds of processors used."""
    metrics = service.metrics()
    return [metrics.value(name) for name in ("smallmind_generated_tokens_total",
                                             "process_cpu_seconds_total")]


def measure(service, load, requests, args):
    """Answers a second, and tokens a second of processor time, which the machine's other programs
    change less."""
    with tempfile.NamedTemporaryFile("w", suffix=".requests") as file:
        file.writelines(f"{path} {json.dumps(body)}\n" for path, body in requests)
        file.flush()
        before = counters(service)
        done = subprocess.run(
            [load, "--port", str(service.address[1]), "--clients", str(args.clients),
             "--answers", str(args.answers), "--requests", file.name],
            capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    service.wait_until_idle()
    tokens, seconds = (after - was for after, was in zip(counters(service), before))
    if found["errors"]:
        sys.exit(f"{found['errors']} of {args.answers} requests failed")
    return found["answers_per_second"], tokens / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=1000, help="of each half of a pair")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--only", help="the one dialect of this path in place of all")
    parser.add_argument("--min", type=float, default=0, help="the least ratio that passes")
    parser.add_argument("--load", default=str(ROOT / "build" / "http_load"))
    args = parser.parse_args()
    service = Service(*FLAGS, model=args.model)
    try:
        rendered = json.loads(urllib.request.urlopen(urllib.request.Request(
            f"http://{service.host}/apply-template", json.dumps(CHAT).encode())).read())["prompt"]
        sides = {"native": native(args.tokens, rendered), "mixed": mixed(args.tokens)}
        if args.only:
            sides["mixed"] = [one for one in sides["mixed"] if one[0] == args.only]
            of_chat = "messages" in sides["mixed"][0][1] or "input" in sides["mixed"][0][1]
            sides["native"] = [sides["native"][of_chat]]
        ratios = []
        for pair in range(args.pairs + 1):  # the first one warms up
            order = list(sides) if pair % 2 else list(sides)[::-1]
            found = {name: measure(service, args.load, sides[name], args) for name in order}
            if pair == 0:
                continue
            ratios.append([a / b for a, b in zip(found["mixed"], found["native"])])
            for name in order:
                print("{}: {:.1f} answers/s, {:.0f} tokens per CPU second".format(
                    name, *found[name]), end="; ")
            print("ratios {:.3f} {:.3f}".format(*ratios[-1]), flush=True)
        medians = [statistics.median(column) for column in zip(*ratios)]
        print("mixed dialects against native, medians of {} pairs: {:.3f} of its answers a second,"
              " {:.3f} of its tokens per CPU second".format(args.pairs, *medians))
        return medians[0] < args.min
    finally:
        service.kill()


if __name__ == "__main__":
    sys.exit(main())
