"""Which replica a request goes to. One class for each way that balancers have of choosing.

A balancer knows what it has sent and what has come back, nothing of what goes on inside a replica.
`choose` names a replica that has a place left, or None; `sent` and `ended` keep the books.
"""
import bisect
import heapq


class Loads:
    """How many requests each replica has, and who has the fewest: the one for longest first."""

    def __init__(self, n, places):
        self.places = places
        self.counts = [0] * n
        self.buckets = [dict.fromkeys(range(n))]
        self.total, self.low, self.high, self.alive = 0, 0, 0, n

    def move(self, i, by):
        count = self.counts[i]
        del self.buckets[count][i]
        self.total += by
        self.counts[i] = count = count + by
        while len(self.buckets) <= count:
            self.buckets.append({})
        self.buckets[count][i] = None
        self.settle(count)

    def settle(self, count):
        self.low, self.high = min(self.low, count), max(self.high, count)
        while self.low < self.high and not self.buckets[self.low]:
            self.low += 1
        while self.high > self.low and not self.buckets[self.high]:
            self.high -= 1

    def remove(self, i):
        count = self.counts[i]
        del self.buckets[count][i]
        self.total -= count
        self.counts[i] = self.places  # looks full
        self.alive -= 1
        self.settle(self.high)

    def add(self, i):
        self.counts[i] = 0
        self.buckets[0][i] = None
        self.alive += 1
        self.settle(0)

    def fewest(self):
        bucket = self.buckets[self.low]
        return next(iter(bucket)) if bucket and self.low < self.places else None

    def has_place(self, i):
        return self.counts[i] < self.places


class Router:
    """batch: sequences that a replica runs at once; places: of those and of its line. keys: {group:
    bytes}, what a balancer reads of a prompt; without them a name."""

    def __init__(self, n, places, draw, batch=8, keys=None):
        self.keys = keys or {}
        self.loads, self.draw, self.n, self.batch = Loads(n, places), draw, n, batch

    def sent(self, i, request):
        self.loads.move(i, 1)

    def ended(self, i, request):
        self.loads.move(i, -1)

    def lost(self, i):
        self.loads.remove(i)

    def back(self, i):
        self.loads.add(i)


class Random(Router):
    def choose(self, request):
        if self.loads.fewest() is None:
            return None
        for _ in range(8 * self.n):
            i = self.draw.randrange(self.n)
            if self.loads.has_place(i):
                return i
        return self.loads.fewest()


class LeastConnections(Router):
    def choose(self, request):
        return self.loads.fewest()


class PrefixHash(Router):
    """HAProxy's `balance hash` of the prompt's beginning with `hash-type consistent sdbm avalanche`
    and `hash-balance-factor 150`: the very ring, so that a key comes to the replica that HAProxy
    would choose."""

    POINTS = 16  # of each server of weight 1 on the ring
    STRIDE = 4096  # from one server's numbers to the next one's
    FACTOR = 150  # percent of the mean, at most

    def __init__(self, n, places, draw, batch=8, keys=None):
        super().__init__(n, places, draw, batch, keys)
        self.ring = sorted((avalanche((i + 1) * self.STRIDE + k), i)
                           for i in range(n) for k in range(self.POINTS))
        self.points = [point for point, _ in self.ring]
        self.starts = {}

    def start(self, group):
        """The nearest point of the ring."""
        found = self.starts.get(group)
        if found is None:
            hashed = avalanche(sdbm(self.keys.get(group) or f"prefix {group}".encode()))
            after = bisect.bisect_left(self.points, hashed) % len(self.ring)
            before = (after - 1) % len(self.ring)
            to_before = (hashed - self.points[before]) % 2**32
            to_after = (self.points[after] - hashed) % 2**32
            found = self.starts[group] = before if to_before <= to_after else after
        return found

    def has_slot(self, i):
        """All slots are the load times the factor, shared out evenly; one at least."""
        loads = self.loads
        slots = -(-(loads.total + 1) * self.FACTOR // 100)
        k, n = i % loads.alive, loads.alive
        return loads.counts[i] < min(loads.places, max(1, slots * (k + 1) // n - slots * k // n))

    def choose(self, request):
        if self.loads.fewest() is None:
            return None
        at, n = self.start(request.group), len(self.ring)
        for k in range(n):
            i = self.ring[(at + k) % n][1]
            if self.has_slot(i):
                return i
        return self.loads.fewest()


def sdbm(key):
    hashed = 0
    for byte in key:
        hashed = (byte + (hashed << 6) + (hashed << 16) - hashed) % 2**32
    return hashed


def avalanche(a):
    """Bob Jenkins' mix of 32 bits with six shifts, times a prime near 3/4 of 2^32."""
    a = (a + 0x7ED55D16 + (a << 12)) % 2**32
    a = (a ^ 0xC761C23C) ^ (a >> 19)
    a = (a + 0x165667B1 + (a << 5)) % 2**32
    a = ((a + 0xD3A2646C) ^ (a << 9)) % 2**32
    a = (a + 0xFD7046C5 + (a << 3)) % 2**32
    a = (a ^ 0xB55A4F09) ^ (a >> 16)
    return a * 3221225473 % 2**32


class CacheAware(Router):
    """As gateways that remember which replica has had which prompt: the one that had most of it,
    unless loads have come apart by a batch (--balance-abs-threshold); what none has had goes to the
    one that was given the least."""

    TIMES = 1.5
    SHARE = 0.3  # of a prompt that must be known

    def __init__(self, n, places, draw, batch=8, keys=None):
        super().__init__(n, places, draw, batch, keys)
        self.known = {}  # group: {replica: None}, the one that had it last at the end
        self.given = [0] * n
        self.least = [(0, i) for i in range(n)]
        self.gone = set()

    def choose(self, request):
        fewest = self.loads.fewest()
        if fewest is None:
            return None
        low, high = self.loads.low, self.loads.high
        if high - low > self.batch and high > self.TIMES * low:
            return fewest
        if request.shared >= self.SHARE * request.prompt:
            for i in reversed(self.known.get(request.group, ())):
                if self.loads.has_place(i):
                    return i
        while self.least:
            given, i = self.least[0]
            if i in self.gone or given != self.given[i]:
                heapq.heappop(self.least)
            elif self.loads.has_place(i):
                return i
            else:
                break
        return fewest

    def sent(self, i, request):
        super().sent(i, request)
        holders = self.known.setdefault(request.group, {})
        fresh = request.prompt - (request.shared if i in holders else 0)
        holders.pop(i, None)
        holders[i] = None
        self.given[i] += fresh
        heapq.heappush(self.least, (self.given[i], i))

    def lost(self, i):
        super().lost(i)
        self.gone.add(i)
        for holders in self.known.values():
            holders.pop(i, None)

    def back(self, i):
        super().back(i)
        self.gone.discard(i)
        heapq.heappush(self.least, (self.given[i], i))


ROUTERS = {
    "random": Random,
    "least connections": LeastConnections,
    "prefix hash": PrefixHash,
    "cache-aware": CacheAware,
}
