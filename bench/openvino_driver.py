#!/usr/bin/env python3
"""OpenVINO GenAI, measured from inside: loads one GGUF file and answers questions about its speed.

    openvino_driver.py --model x.gguf --threads 2 [--backend paged|stateful] [--kv f16] [--step N]

Prints one line of JSON when the model is loaded and warm ({"ready": ...}, or {"error": ...} where
it cannot be read), then answers each line of standard input with one line:

    {"do": "prefill", "n": 256, "seconds": 1}     {"rate": tokens/s, "rounds": 4}
    {"do": "decode", "context": 0, "tokens": 64, "seconds": 1}
    {"do": "batch", "n": 8, "tokens": 48, "seconds": 1}
    {"do": "gap", "streams": 8, "prompt": 1500, "seconds": 5}

Prompts are token ids, no two alike, and the prefix cache is off: everything is computed. The best
of a question's rounds counts, after one that counts nothing: kernels are made for each new shape.
All precisions are the library's own defaults, unless --kv names one for keys and values. Runs in
the virtual environment of bench-peers; bench/programs.py starts it.
"""
import argparse
import json
import sys
import time

import numpy
import openvino
import openvino_genai as genai

POOL_GB = 1  # of keys and values: more than any question needs
LEAST_PROMPTS = 2  # beside streams, within reason
LONG_ROUND = 3.0  # seconds after which a prompt is not read again


def percentile(values, percent):
    """As http_load counts it; milliseconds."""
    return 1e3 * sorted(values)[len(values) * percent // 100] if values else 0.0


class Prompts:
    """Token ids, other ones at each call."""

    def __init__(self):
        self.random = numpy.random.default_rng(1)

    def make(self, n):
        return self.random.integers(40, 240, (1, n), dtype=numpy.int64)


def greedy(tokens):
    config = genai.GenerationConfig()
    config.max_new_tokens = tokens
    config.ignore_eos = True
    config.do_sample = False
    return config


class Paged:
    """Continuous batching, driven step by step."""

    def __init__(self, options, properties):
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False
        scheduler.cache_size = POOL_GB
        scheduler.max_num_batched_tokens = options.step
        self.pipeline = genai.ContinuousBatchingPipeline(
            options.model, scheduler, "CPU", properties
        )
        self.prompts, self.n_requests = Prompts(), 0

    def ask(self, n_prompt, n_tokens):
        self.n_requests += 1
        ids = openvino.Tensor(self.prompts.make(n_prompt))
        return self.pipeline.add_request(self.n_requests, ids, greedy(n_tokens))

    def drain(self, _handles=()):
        """Steps until all is answered; when each of them ended. A request whose handle is gone is
        dropped, so they are held until then."""
        times = []
        while self.pipeline.has_non_finished_requests():
            self.pipeline.step()
            times.append(time.monotonic())
        return times

    def first_token(self, n_prompt):
        begin = time.monotonic()
        return self.drain([self.ask(n_prompt, 1)])[-1] - begin

    def rate(self, n_sequences, n_prompt, n_tokens):
        """Tokens a second after each sequence's first one."""
        handles = [self.ask(n_prompt, n_tokens) for _ in range(n_sequences)]
        times = self.drain(handles)[-n_tokens:]
        return n_sequences * (len(times) - 1) / (times[-1] - times[0])

    def gaps(self, n_streams, n_prompt, seconds, pause=0.3):
        """Between tokens of streams, while a prompt is read beside them and while none is."""
        alone, beside, took = [], [], []
        streams, prompt, asked, ended = [None] * n_streams, None, 0.0, time.monotonic()
        last, begin = [None] * n_streams, time.monotonic()
        while time.monotonic() - begin < seconds * (1 if len(took) >= LEAST_PROMPTS else 20):
            for i, stream in enumerate(streams):
                if stream is None:
                    streams[i], last[i] = self.ask(8, 256), None
            if prompt is None and time.monotonic() - ended > pause:
                prompt, asked = self.ask(n_prompt, 1), time.monotonic()
            was_beside = prompt is not None
            self.pipeline.step()
            now = time.monotonic()
            for i, stream in enumerate(streams):
                if stream.can_read():
                    finished = self.is_finished(stream)
                    if last[i] is not None:
                        (beside if was_beside else alone).append(now - last[i])
                    last[i] = now
                    if finished:
                        streams[i] = None
            if prompt is not None and prompt.can_read():
                prompt.read()
                took.append(now - asked)
                prompt, ended = None, now
        for stream in [*streams, prompt]:
            if stream is not None:
                stream.cancel()
        self.drain()
        return {
            "gap_ms_p50": percentile(alone, 50),
            "gap_ms_p99": percentile(alone, 99),
            "gap_beside_ms_p50": percentile(beside, 50),
            "gap_beside_ms_p99": percentile(beside, 99),
            "prompt_ms_p50": percentile(took, 50),
            "prompts": len(took),
        }

    @staticmethod
    def is_finished(stream):
        outputs = stream.read().values()
        return any(o.finish_reason != genai.GenerationFinishReason.NONE for o in outputs)


class Stateful:
    """One sequence at a time, attention over one block of keys and values."""

    def __init__(self, options, properties):
        self.pipeline = genai.LLMPipeline(
            options.model, "CPU", ATTENTION_BACKEND="SDPA", **properties
        )
        self.prompts = Prompts()

    def run(self, n_prompt, n_tokens):
        ids = self.prompts.make(n_prompt)
        inputs = genai.TokenizedInputs(
            openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids))
        )
        return self.pipeline.generate(inputs, greedy(n_tokens)).perf_metrics

    def first_token(self, n_prompt):
        return self.run(n_prompt, 1).get_ttft().mean * 1e-3

    def rate(self, n_sequences, n_prompt, n_tokens):
        if n_sequences != 1:
            raise ValueError("the stateful backend has one sequence")
        return 1e3 / self.run(n_prompt, n_tokens).get_tpot().mean


class Questions:
    def __init__(self, engine):
        self.engine, self.known = engine, set()

    def rounds(self, key, sample, seconds):
        """Some samples, as long as there is time; unmeasured first, when such a shape is new."""
        if key not in self.known:
            self.known.add(key)
            sample()
        begin, found = time.monotonic(), []
        while not found or (len(found) < 2 and time.monotonic() - begin < LONG_ROUND) or (
            time.monotonic() - begin < seconds
        ):
            found.append(sample())
        return found

    def answer(self, q):
        if q["do"] == "gap":
            return self.engine.gaps(q["streams"], q["prompt"], q["seconds"])
        if q["do"] == "prefill":
            n = q["n"]
            found = self.rounds(("prefill", n), lambda: self.engine.first_token(n), q["seconds"])
            return {"rate": n / min(found), "rounds": len(found)}
        n, context = q.get("n", 1), q.get("context", 0) or 1
        found = self.rounds(
            ("rate", n, context), lambda: self.engine.rate(n, context, q["tokens"]), q["seconds"]
        )
        return {"rate": max(found), "rounds": len(found)}


def defaults():
    """What the library computes in when nothing is said."""
    core = openvino.Core()
    names = ("INFERENCE_PRECISION_HINT", "KV_CACHE_PRECISION", "DYNAMIC_QUANTIZATION_GROUP_SIZE")
    found = {}
    for name in names:
        value = core.get_property("CPU", name)
        found[name.lower()] = value.get_type_name() if hasattr(value, "get_type_name") else value
    return found


def say(what):
    print(json.dumps(what), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--backend", choices=["paged", "stateful"], default="paged")
    parser.add_argument("--kv", help="the type of keys and values, u8 or f16")
    parser.add_argument("--cache", help="a folder for what it compiles")
    parser.add_argument(
        "--step", type=int, default=1 << 20, help="tokens that one step may have at most"
    )
    options = parser.parse_args()
    properties = {"INFERENCE_NUM_THREADS": options.threads, "ENABLE_CPU_PINNING": True}
    if options.kv:
        properties["KV_CACHE_PRECISION"] = options.kv
    if options.cache:
        properties["CACHE_DIR"] = options.cache
    begin = time.monotonic()
    try:
        engine = (Paged if options.backend == "paged" else Stateful)(options, properties)
        engine.first_token(16)
    except Exception as error:  # of many kinds, from C++
        say({"error": f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"})
        sys.exit(1)
    say({"ready": time.monotonic() - begin, "version": genai.__version__, **defaults()})
    questions = Questions(engine)
    for line in sys.stdin:
        say(questions.answer(json.loads(line)))


if __name__ == "__main__":
    main()
