"""Replicas that serve a list of requests, step by step, as core/engine does; a discrete-event
simulation.

A replica has workers, each with a batch, KV memory and a prefix cache of its own, and one line for
what waits. A worker's step takes what Rates says. Steps without prompts are taken together up to
the next sequence's end; a request that comes meanwhile cuts them at the next step's border.
Deterministic: the same list, set-up and seed give the same figures. Left out: preemption (a
sequence waits until there is memory for all of it), clients that leave, and the noise of real
machines.
"""
import collections
import dataclasses
import heapq
import math
import random

import routing
from mix import PAGE


@dataclasses.dataclass(frozen=True)
class Setup:
    replicas: int = 3
    routing: str = "prefix hash"
    max_batch: int = 8  # of each worker
    max_queue: int = 32  # of each replica
    kv_tokens: int = 16384  # positions of a worker's KV memory
    overhead: float = 0.0  # seconds that proxy and HTTP add to a first token
    patience: float = 120.0  # seconds a request waits at the balancer for a place; 0: refused
    clients: int = 0  # that ask again after each answer; 0: requests come when they come
    seconds: float = math.inf  # after which no client asks again
    lose: int = 0  # replicas that die at `lose_at`, for `lose_for` seconds
    lose_at: float = 0.0
    lose_for: float = math.inf
    keys: dict = None  # {group: bytes}: what the balancer reads


class Sequence:
    __slots__ = ("request", "read", "prompt", "context", "left")

    def __init__(self, request):
        # What it made at a replica that died is read like a prompt.
        self.request, self.read, self.prompt = request, 0, request.prompt + request.made
        self.context, self.left = self.prompt, request.answer - request.made


class PrefixCache:
    """What a worker's KV memory holds besides the sequences that run; the longest unused goes."""

    def __init__(self, room):
        self.room, self.used, self.held = room, 0, collections.OrderedDict()

    def find(self, key):
        if key in self.held:
            self.held.move_to_end(key)
            return True
        return False

    def put(self, key, tokens):
        if not self.find(key):
            self.held[key] = tokens
            self.used += tokens
            self.shrink()

    def take(self, tokens):  # for a sequence; negative: given back
        self.room -= tokens
        self.shrink()

    def shrink(self):
        while self.used > self.room and self.held:
            self.used -= self.held.popitem(last=False)[1]


class Worker:
    """One batch. `begin`: of the steps that run now, `n_steps` of `step` seconds each."""

    def __init__(self, replica, setup):
        self.replica, self.setup = replica, setup
        self.cache = PrefixCache(setup.kv_tokens)
        self.unread, self.decoding, self.taken = collections.deque(), [], 0
        self.begin = self.step = self.busy = 0.0
        self.n_steps = self.version = 0
        self.steps = self.rows = 0  # taken so far; sequences in them
        self.chunks = []  # (sequence, tokens) of the step
        self.running = False

    def n(self):
        return len(self.unread) + len(self.decoding)

    def fits(self, request):
        return self.n() < self.setup.max_batch and (
            self.taken + request.prompt + request.answer <= self.setup.kv_tokens or self.n() == 0)

    def place(self, request):
        tokens = request.prompt + request.answer
        self.taken += tokens
        self.cache.take(tokens)
        self.unread.append(Sequence(request))

    def look_up(self, sequence):
        """Whole pages of the beginning, where an earlier request left them."""
        request = sequence.request
        shared = min(request.shared, request.prompt - 1) // PAGE * PAGE
        if sequence.read < shared and self.cache.find(request.group):
            if not request.hit:
                request.cached += shared - sequence.read
            request.hit = True
            sequence.read = shared

    def plan(self, rates):
        """What the next steps do; returns when they end."""
        self.chunks, pairs = [], 0
        n = len(self.decoding)
        if self.unread:
            left = rates.budget(n)
            for sequence in self.unread:
                self.look_up(sequence)
                m = min(left, sequence.prompt - sequence.read)
                self.chunks.append((sequence, m))
                pairs += m * sequence.read
                left -= m
                if left == 0:
                    break
            self.n_steps = 1
        else:
            self.n_steps = min(s.left for s in self.decoding)
        positions = sum(s.context for s in self.decoding) + n * (self.n_steps - 1) / 2
        self.step = rates.step(n, positions, sum(m for _, m in self.chunks), pairs)
        return self.begin + self.n_steps * self.step

    def cut(self, now):
        """Ends the run of steps at the border after `now`; returns when that is."""
        self.n_steps = min(self.n_steps, max(1, math.ceil((now - self.begin) / self.step - 1e-9)))
        return self.begin + self.n_steps * self.step

    def finish(self, now):
        """At the end of the steps; returns the requests that are complete."""
        self.busy += now - self.begin
        self.steps += self.n_steps
        self.rows += self.n_steps * (len(self.decoding) + len(self.chunks))
        done, keep = [], []
        for s in self.decoding:
            s.left -= self.n_steps
            s.context += self.n_steps
            s.request.made += self.n_steps
            (keep if s.left > 0 else done).append(s)
        for s, m in self.chunks:
            s.read += m
            if s.read < s.prompt:
                continue
            self.unread.popleft()  # chunks are its beginning, in order
            request = s.request
            if request.shared >= PAGE:
                self.cache.put(request.group, request.shared // PAGE * PAGE)
            if request.first is None:
                request.first = now + self.setup.overhead
            s.left -= 1
            s.context += 1
            request.made += 1
            (keep if s.left > 0 else done).append(s)
        self.decoding, self.chunks, self.n_steps = keep, [], 0
        for s in done:
            self.let_go(s.request)
        return [s.request for s in done]

    def let_go(self, request):
        tokens = request.prompt + request.answer
        self.taken -= tokens
        self.cache.take(-tokens)
        self.cache.put(("own", request.number), tokens - request.shared // PAGE * PAGE)


class Replica:
    def __init__(self, number, setup, n_workers):
        self.number, self.line = number, collections.deque()
        self.workers = [Worker(self, setup) for _ in range(n_workers)]
        self.alive = True

    def choose(self, request):
        """As core/engine/queue.c: what is cached against how many run."""
        best, most = None, None
        for w in self.workers:
            if not w.fits(request):
                continue
            held = request.shared // PAGE if request.group in w.cache.held else 0
            if best is None or held - w.n() > most:
                best, most = w, held - w.n()
        return best


class Simulation:
    def __init__(self, rates, setup, requests, seed=1):
        self.rates, self.setup, self.requests = rates, setup, requests
        self.replicas = [Replica(i, setup, rates.workers) for i in range(setup.replicas)]
        places = setup.max_batch * rates.workers + setup.max_queue
        self.router = routing.ROUTERS[setup.routing](
            setup.replicas, places, random.Random(seed), setup.max_batch * rates.workers,
            setup.keys)
        self.waiting = collections.deque()  # at the balancer
        self.events, self.n_events, self.now = [], 0, 0.0
        self.coming = iter(requests)
        self.served = []  # as they end, refused ones too

    def at(self, when, what, *args):
        self.n_events += 1
        heapq.heappush(self.events, (when, self.n_events, what, args))

    def run(self):
        if self.setup.clients:
            for client, request in zip(range(self.setup.clients), self.coming):
                request.client, request.arrival = client, 0.0
                self.at(0.0, self.arrive, request)
        else:
            self.next_arrival()
        if self.setup.lose:
            self.at(self.setup.lose_at, self.lose)
        while self.events:
            self.now, _, what, args = heapq.heappop(self.events)
            what(*args)
        return self

    # --- requests come, wait, go ---

    def next_arrival(self):
        request = next(self.coming, None)
        if request is not None:
            self.at(request.arrival, self.arrive, request)

    def arrive(self, request):
        if not self.setup.clients:
            self.next_arrival()
        if self.waiting or not self.send(request):
            if self.setup.patience <= 0:
                self.refuse(request)
                return
            self.waiting.append(request)
            if self.setup.patience < math.inf:
                self.at(self.now + self.setup.patience, self.give_up, request)

    def send(self, request):
        i = self.router.choose(request)
        if i is None:
            return False
        self.router.sent(i, request)
        request.busy = i
        self.admit(self.replicas[i], request)
        return True

    def give_up(self, request):
        if request.busy is None and not request.refused and request.end is None:
            self.waiting.remove(request)
            self.refuse(request)

    def refuse(self, request):
        request.refused, request.end = True, self.now
        self.served.append(request)
        self.ask_again(request)

    def ask_again(self, request):
        if request.client is None or self.now >= self.setup.seconds:
            return
        follower = next(self.coming, None)
        if follower is not None:
            follower.client, follower.arrival = request.client, self.now
            self.at(self.now, self.arrive, follower)

    # --- a replica ---

    def admit(self, replica, request):
        worker = None if replica.line else replica.choose(request)
        if worker is None:
            replica.line.append(request)
        else:
            self.place(worker, request)

    def place(self, worker, request):
        worker.place(request)
        if not worker.running:
            worker.running = True
            self.at(self.now, self.begin, worker)  # after all that comes at this moment
        elif worker.n_steps > 1:
            end = worker.cut(self.now)
            worker.version += 1
            self.at(end, self.end_of_steps, worker, worker.version)

    def begin(self, worker):
        if not worker.replica.alive:
            return
        worker.begin = self.now
        worker.version += 1
        self.at(worker.plan(self.rates), self.end_of_steps, worker, worker.version)

    def end_of_steps(self, worker, version):
        if version != worker.version or not worker.replica.alive:
            return
        replica = worker.replica
        for request in worker.finish(self.now):
            request.end = self.now + self.setup.overhead
            request.busy = None
            self.served.append(request)
            self.router.ended(replica.number, request)
            self.ask_again(request)
        while replica.line:
            free = replica.choose(replica.line[0])
            if free is None:
                break
            request = replica.line.popleft()
            if free is worker:
                free.place(request)
            else:
                self.place(free, request)
        while self.waiting and self.send(self.waiting[0]):
            self.waiting.popleft()
        if worker.n():
            self.begin(worker)
        else:
            worker.running = False

    # --- failures ---

    def lose(self):
        for replica in self.replicas[: self.setup.lose]:
            replica.alive = False
            self.router.lost(replica.number)
            left = list(replica.line)
            for w in replica.workers:
                w.busy += self.now - w.begin if w.running else 0
                left += [s.request for s in [*w.decoding, *w.unread]]
                w.version += 1
            for request in sorted(left, key=lambda r: r.number):
                request.busy = None
                request.resumed += 1
                if self.waiting or not self.send(request):
                    self.waiting.append(request)
            if self.setup.lose_for < math.inf:
                self.at(self.now + self.setup.lose_for, self.come_back, replica.number)

    def come_back(self, number):
        old = self.replicas[number]
        fresh = Replica(number, self.setup, self.rates.workers)
        for before, w in zip(old.workers, fresh.workers):
            w.busy = before.busy
        self.replicas[number] = fresh
        self.router.back(number)
        while self.waiting and self.send(self.waiting[0]):
            self.waiting.popleft()


def share(values, part):
    """The value below which such a part of them lies; 0: there are none."""
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def figures(requests, begin, end):
    """Of the requests that came in [begin, end); the same for real ones."""
    came = [r for r in requests if begin <= r.arrival < end]
    answered = [r for r in came if not r.refused and r.end is not None]
    first = [r.first - r.arrival for r in answered if r.first is not None]
    gaps = [(r.end - r.first) / (r.answer - 1) for r in answered if r.answer > 1]
    # Tokens by when they came: an answer's at an even pace between its first and its end.
    tokens = 0.0
    for r in requests:
        if r.refused or r.first is None or r.end is None:
            continue
        inside = min(r.end, end) - max(r.first, begin)
        tokens += r.answer * max(0.0, inside) / max(r.end - r.first, 1e-9)
    prompts = sum(r.prompt for r in answered)
    return {
        "requests": len(came),
        "refused": (len(came) - len(answered)) / max(1, len(came)),
        "tokens_per_second": tokens / (end - begin),
        "first_p50": share(first, 0.5),
        "first_p99": share(first, 0.99),
        "gap_p50": share(gaps, 0.5),
        "hit": sum(r.cached for r in answered) / prompts if prompts else 0.0,
        "resumed": sum(r.resumed > 0 for r in requests),
    }


def run(rates, setup, requests, begin=0.0, end=None, seed=1):
    """The figures of [begin, end) of the time in which requests come."""
    s = Simulation(rates, setup, requests, seed).run()
    end = end if end is not None else max(r.arrival for r in requests)
    found = figures(requests, begin, end)
    n_workers = setup.replicas * rates.workers
    workers = [w for replica in s.replicas for w in replica.workers]
    busy, steps = sum(w.busy for w in workers), sum(w.steps for w in workers)
    last = max((r.end for r in s.served), default=0.0)
    return {**found, **work(busy, steps, sum(w.rows for w in workers), n_workers * last)}


def work(busy, steps, rows, available):
    """Seconds computed of those that were there, of a step, and sequences in one."""
    return {"utilization": busy / available if available else 0.0,
            "step": busy / steps if steps else 0.0, "batch": rows / steps if steps else 0.0}
