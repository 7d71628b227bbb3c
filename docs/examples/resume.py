#!/usr/bin/env python3
"""A stream of POST /generate that survives its server: python3 resume.py URL PROMPT

Nothing but the standard library. When the connection breaks, the same body is sent again with the
id of the last event and the tokens that came; any replica of the same model goes on after them.
"""
import http.client
import json
import re
import sys
import time
import urllib.request

TRIES = 20  # one after the other without a new token


def events(response):
    """Pairs of an event's id and its data."""
    number = None
    for line in response:
        name, _, value = line.decode("utf-8").rstrip("\r\n").partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data" and value != "[DONE]":
            yield number, json.loads(value)


def generate(url, body):
    """Texts as they come; each token's once."""
    body, tokens, failed = dict(body, stream=True), [], 0
    while True:
        headers = {"Content-Type": "application/json"}
        if "seed" in body and "fingerprint" in body:
            headers["Last-Event-ID"] = str(len(tokens))
            body["resume_tokens"] = tokens
        request = urllib.request.Request(url, json.dumps(body).encode("utf-8"), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                kind = response.headers.get("X-Model-Fingerprint", "")
                body.setdefault("seed", int(response.headers["X-Seed"]))
                body.setdefault("fingerprint", dict(re.findall(r'(\w+)="(\w+)"', kind)))
                for number, event in events(response):
                    if "error" in event:
                        raise ConnectionError(event["error"]["message"])
                    tokens, failed = tokens + event["tokens"], 0
                    assert number == len(tokens)
                    yield event["text"]
                    if "finish_reason" in event:
                        return
            raise ConnectionError("the stream was cut")
        except (OSError, http.client.HTTPException) as error:  # refusals too
            failed += 1
            if failed == TRIES or getattr(error, "code", 503) not in (429, 502, 503, 504):
                raise
            time.sleep(min(0.1 * failed, 2))


if __name__ == "__main__":
    for text in generate(sys.argv[1] + "/generate", {"prompt": sys.argv[2], "max_tokens": 400}):
        print(text, end="", flush=True)
