"""Reads the Prometheus text format, as strictly as the tests need."""
import re

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


class Metrics:
    def __init__(self, text):
        self.types = {}
        self.help = {}
        self.samples = {}  # (name, ((label, value), ...)) -> float
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ", 3)
                self.types[name] = kind
            elif line.startswith("# HELP "):
                _, _, name, words = line.split(" ", 3)
                self.help[name] = words
            elif line and not line.startswith("#"):
                self.add_sample(line)

    def add_sample(self, line):
        match = SAMPLE.match(line)
        assert match, f"not a sample: {line!r}"
        name, labels, value = match.groups()
        pairs = LABEL.findall(labels or "")
        key = (name, tuple(sorted(pairs)))
        assert key not in self.samples, f"twice: {line!r}"
        self.samples[key] = float(value)

    def value(self, name, **labels):
        """One sample; its absence is an error."""
        return self.samples[(name, tuple(sorted(labels.items())))]

    def sum(self, name, **labels):
        """All samples of a name whose labels include these."""
        wanted = set(labels.items())
        return sum(v for (n, l), v in self.samples.items() if n == name and wanted <= set(l))

    def mean(self, name):
        """A histogram's; 0 when it has no observation."""
        count = self.value(name + "_count")
        return self.value(name + "_sum") / count if count else 0.0

    def names(self):
        return {name for name, _ in self.samples}
