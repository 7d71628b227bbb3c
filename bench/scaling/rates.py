"""How long a replica's steps take, from what `smallmind bench --json` measured of the very model.

A step reads the weights once for all of its rows: those of sequences that decode, one each, and as
many of prompts as core/engine/rates.c lets in. Its time is taken from the measured ones by straight
lines between them; keys and values that are read come on top. Seconds and tokens.
"""
import bisect
import json
import statistics

PROMPT_STEP = 0.050  # of prompts alone; these three as in core/engine/rates.c
PROMPT_STEPS = 8
BESIDE = 2.5


class Line:
    """Straight lines through measured points; after the last one as steep as the last piece."""

    def __init__(self, points):
        points = sorted(points)
        self.x = [x for x, _ in points]
        self.y = []
        for _, y in points:  # more rows never take less time
            self.y.append(max(y, self.y[-1]) if self.y else y)

    def __call__(self, x):
        xs, ys = self.x, self.y
        if len(xs) == 1:
            return ys[0] * x / xs[0]
        i = min(max(bisect.bisect_right(xs, x), 1), len(xs) - 1)
        slope = (ys[i] - ys[i - 1]) / (xs[i] - xs[i - 1])
        return ys[i - 1] + slope * (x - xs[i - 1])


class Rates:
    """batches: {sequences: seconds of a step}; prompts: {tokens: seconds to read so many};
    per_position: what a position of keys and values adds to a step; pair: what a token of a prompt
    adds for each position before its own step."""

    def __init__(self, batches, prompts, per_position=0.0, pair=0.0, step_tokens=512, workers=1):
        self.batches = dict(batches)
        self.prompts = {**prompts, 1: batches[1]}
        self.per_position, self.pair = per_position, pair
        self.step_tokens, self.workers = step_tokens, workers
        self.batch_line, self.prompt_line = Line(self.batches.items()), Line(self.prompts.items())
        self.alone = self.fit_alone()
        self.steps = {}  # seconds of a step of n sequences, kept
        self.budgets = {}

    def fit_alone(self):
        """Prompt tokens of a step without decoding sequences."""
        limit = max(PROMPT_STEP, PROMPT_STEPS * self.batches[1])
        return max(1, self.largest(lambda m: self.prompt_line(m) <= limit))

    def largest(self, fits):
        low, high = 0, self.step_tokens
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(middle) else (low, middle - 1)
        return low

    def decode(self, n, positions=0):
        """A step of n sequences that have so many positions between them."""
        seconds = self.steps.get(n)
        if seconds is None:
            seconds = self.steps[n] = self.batch_line(n)
        return seconds + self.per_position * positions

    def budget(self, n):
        """Prompt tokens for a step beside n decoding sequences."""
        if n == 0:
            return self.alone
        found = self.budgets.get(n)
        if found is None:
            most = BESIDE * self.decode(n)
            found = max(1, self.largest(lambda m: self.beside(n, m) <= most))
            self.budgets[n] = found
        return found

    def beside(self, n, m):
        """What m rows of prompts add to a step of n sequences."""
        return self.prompt_line(n + m) - self.prompt_line(n)

    def step(self, n, positions, m, pairs):
        """n sequences decode; m tokens of prompts are read, with so many pairs of a token and a
        position before its step."""
        if n == 0:
            return self.prompt_line(m) + self.pair * pairs
        seconds = self.decode(n, positions)
        return seconds + self.beside(n, m) + self.pair * pairs if m else seconds

    def read(self, n):
        """A prompt of n tokens, alone."""
        at, seconds = 0, 0.0
        while at < n:
            m = min(self.alone, n - at)
            seconds += self.step(0, 0, m, m * at)
            at += m
        return seconds

    def capacity(self, mix, batch, hit):
        """Answers a second that one worker can give, for ever, where so much of what prompts share
        is found."""
        read = mix.prompt_tokens - hit * mix.prefix_tokens
        context = mix.prompt_tokens + mix.answer_tokens / 2
        return 1 / (read * self.read(256) / 256
                    + mix.answer_tokens * self.decode(batch, batch * context) / batch)

    def as_dict(self):
        return {"batches": self.batches, "prompts": self.prompts, "pair": self.pair,
                "per_position": self.per_position, "step_tokens": self.step_tokens,
                "workers": self.workers}


def from_dict(data):
    def numbered(times):
        return {int(n): seconds for n, seconds in times.items()}

    return Rates(numbered(data["batches"]), numbered(data["prompts"]), data["per_position"],
                 data["pair"], data["step_tokens"], data["workers"])


def from_bench(report, step_tokens=512):
    """Of one report; of several (a list), the mean of each cell's time."""
    reports = report if isinstance(report, list) else [report]
    cells = {}
    for one in reports:
        for r in one["results"]:
            cells.setdefault(r["name"], []).append(r)
    workers = reports[0]["machine"]["workers"]

    def mean(name, seconds):
        return statistics.fmean(seconds(r) for r in cells[name])

    def rate(r):  # of all rounds, not of the best one: that is what serving will see
        return r.get("median_tokens_per_second", r["tokens_per_second"])

    def step(r):  # of one worker, where several share the batch
        return r["batch"] / rate(r)

    decode = {n: cells[n][0]["context"] for n in cells if cells[n][0]["kind"] == "decode"}
    prompts = {cells[n][0]["tokens"]: mean(n, lambda r: r["tokens"] / rate(r))
               for n in cells if cells[n][0]["kind"] == "prefill"}
    if not decode or not prompts:
        raise ValueError("the report has no cells of decoding or none of prompts: a run with "
                         '--cells "prefill decode batch" has them')
    near, far = min(decode, key=decode.get), max(decode, key=decode.get)

    def context(name):  # in the middle of what was made
        r = cells[name][0]
        return r["context"] + r["tokens"] / r["batch"] / 2

    gap = context(far) - context(near)
    per_position = max(0.0, (mean(far, step) - mean(near, step)) / gap) if far != near else 0.0
    batches = {}
    for name in [near, *(n for n in cells if cells[n][0]["kind"] == "batch")]:
        r = cells[name][0]
        n = max(1, r["batch"] // workers)
        if n * workers == r["batch"] or r["batch"] == 1:
            seconds = max(mean(name, step) - n * per_position * context(name), 1e-9)
            batches[n] = min(batches.get(n, seconds), seconds)
    rates = Rates(batches, prompts, per_position, 0.0, step_tokens, workers)
    rates.pair = pair_time(rates, prompts)
    return rates


def pair_time(rates, prompts):
    """So that the longest prompt, read step by step, takes what it was measured to take."""
    n = max(prompts)
    at = pairs = 0
    while at < n:
        m = min(rates.alone, n - at)
        at, pairs = at + m, pairs + m * at
    return max(0.0, (prompts[n] - rates.read(n)) / pairs) if pairs else 0.0


def load(path):
    with open(path) as file:
        return from_bench(json.load(file))
