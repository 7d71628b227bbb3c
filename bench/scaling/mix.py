"""What clients ask for: a list of requests, the same for the simulation and for real replicas.

A request has a beginning that others share (a system prompt, a document, a conversation so far), a
part of its own, and an answer. Which beginning: by a power law over `prefixes` of them. All lengths
are tokens. Everything follows from the seed. Knows nothing of replicas.
"""
import bisect
import dataclasses
import itertools
import random

PAGE = 32  # positions: prefixes are shared by whole pages


@dataclasses.dataclass(frozen=True)
class Mix:
    prefixes: int = 16  # different beginnings
    prefix_tokens: int = 256  # of each
    own_tokens: int = 64  # of a request's own part, on average
    answer_tokens: int = 64  # on average
    skew: float = 0.8  # of the power law; 0: all beginnings are as likely
    fixed: bool = False  # lengths are all alike, instead of exponentially distributed
    longest: int = 4  # times the average, at most

    @property
    def prompt_tokens(self):
        return self.prefix_tokens + self.own_tokens


class Request:
    """One of the list; what happens to it is written by whoever serves it. Times are seconds."""

    __slots__ = ("number", "arrival", "group", "shared", "prompt", "answer", "made", "first",
                 "end", "cached", "hit", "refused", "resumed", "client", "busy")

    def __init__(self, number, arrival, group, shared, prompt, answer):
        self.number, self.arrival, self.group = number, arrival, group
        self.shared, self.prompt, self.answer = shared, prompt, answer
        self.made = 0  # tokens of the answer that the client has
        self.first = self.end = None
        self.cached = 0  # prompt tokens that were found in a prefix cache
        self.hit = self.refused = False
        self.resumed = 0  # times that it went on at another replica
        self.client = self.busy = None


def requests(mix, n, rate, seed, each_once=False):
    """n requests, arriving as a Poisson process of `rate` a second (None: all at 0, for clients
    that ask again after each answer). each_once: the first of them have each beginning once, so
    that those after them find caches as they are later on."""
    draw = random.Random(seed)
    weights = list(itertools.accumulate((i + 1) ** -mix.skew for i in range(mix.prefixes)))

    def length(mean):
        if mix.fixed or mean <= 1:
            return mean
        return max(1, min(mix.longest * mean, round(draw.expovariate(1 / mean))))

    now, found = 0.0, []
    for number in range(n):
        if rate is not None:
            now += draw.expovariate(rate)
        group = bisect.bisect(weights, draw.random() * weights[-1])
        group = number if each_once and number < mix.prefixes else group
        prompt = mix.prefix_tokens + length(mix.own_tokens)
        found.append(Request(number, now, min(group, mix.prefixes - 1), mix.prefix_tokens, prompt,
                             length(mix.answer_tokens)))
    return found
