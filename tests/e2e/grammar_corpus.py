"""Grammars, expressions and schemas made at random, each with texts near its language, and what of
them belongs to it: by Python's re, by jsonschema, and for grammars by a recognizer of their own."""
import random

LETTERS = 'abc12-. é"\\'


class Text:
    def __init__(self, text):
        self.text = text

    def ends(self, text, i, rules):
        return {i + len(self.text)} if text.startswith(self.text, i) else set()

    def sample(self, r, rules, depth):
        return self.text

    def regex(self):
        return "".join("\\" + c if c in '\\.-"' else c for c in self.text).replace('\\"', '"')

    def gbnf(self):
        return '"%s"' % self.text.replace("\\", "\\\\").replace('"', '\\"')


class Class:
    def __init__(self, letters, negated):
        self.letters, self.negated = letters, negated

    def ends(self, text, i, rules):
        return {i + 1} if i < len(text) and (text[i] in self.letters) != self.negated else set()

    def sample(self, r, rules, depth):
        return r.choice([c for c in LETTERS + "z" if (c in self.letters) != self.negated])

    def regex(self):
        inside = "".join("\\" + c if c in "\\-" else c for c in self.letters)
        return "[%s%s]" % ("^" if self.negated else "", inside)

    gbnf = regex


class All:
    def __init__(self, parts):
        self.parts = parts

    def ends(self, text, i, rules):
        at = {i}
        for part in self.parts:
            at = {end for begin in at for end in part.ends(text, begin, rules)}
        return at

    def sample(self, r, rules, depth):
        return "".join(part.sample(r, rules, depth) for part in self.parts)

    def regex(self):
        return "".join(part.regex() for part in self.parts)

    def gbnf(self):
        return " ".join(part.gbnf() for part in self.parts)


class One:
    def __init__(self, parts):
        self.parts = parts

    def ends(self, text, i, rules):
        return {end for part in self.parts for end in part.ends(text, i, rules)}

    def sample(self, r, rules, depth):
        parts = self.parts if depth > 0 else self.parts[-1:]
        return r.choice(parts).sample(r, rules, depth)

    def regex(self):
        return "(%s)" % "|".join(part.regex() for part in self.parts)

    def gbnf(self):
        return "(%s)" % " | ".join(part.gbnf() for part in self.parts)


class Some:
    def __init__(self, part, least, most):
        self.part, self.least, self.most = part, least, most

    def ends(self, text, i, rules):
        at, found, seen, n = {i}, set(), set(), 0
        while at and (self.most is None or n <= self.most):
            if n >= self.least:
                if at <= seen:
                    break
                found |= at
                seen |= at
            at = {end for begin in at for end in self.part.ends(text, begin, rules)}
            n += 1
        return found

    def sample(self, r, rules, depth):
        most = self.least + 2 if self.most is None else self.most
        n = r.randint(self.least, most) if depth > 0 else self.least
        return "".join(self.part.sample(r, rules, depth) for _ in range(n))

    def times(self):
        return {(0, None): "*", (1, None): "+", (0, 1): "?"}.get(
            (self.least, self.most), "{%d,%s}" % (self.least, "" if self.most is None
                                                  else self.most))

    def regex(self):
        return "(%s)%s" % (self.part.regex(), self.times())

    def gbnf(self):
        return "(%s)%s" % (self.part.gbnf(), self.times())


class Rule:
    def __init__(self, name):
        self.name = name

    def ends(self, text, i, rules):
        known, key = rules["known"], (self.name, i)
        if key not in known:
            known[key] = rules[self.name].ends(text, i, rules)
        return known[key]

    def sample(self, r, rules, depth):
        return rules[self.name].sample(r, rules, depth - 1)

    def gbnf(self):
        return self.name


def leaf(r):
    if r.random() < 0.5:
        return Text("".join(r.choice(LETTERS) for _ in range(r.randint(1, 3))))
    return Class("".join(sorted(set(r.choice(LETTERS) for _ in range(r.randint(1, 4))))),
                 r.random() < 0.2)


def expression(r, depth, names=(), loops=True):
    """Loops without an end stand in no others, so that re is done soon; a rule has something of
    its own before it, so that none begins with itself."""
    kind = r.random()
    if depth == 0 or kind < 0.2:
        return leaf(r)
    if names and kind < 0.45:
        return All([Text(r.choice("abc12")), Rule(r.choice(names)), leaf(r)])
    if kind < 0.65:
        return All([expression(r, depth - 1, names, loops) for _ in range(r.randint(2, 3))])
    if kind < 0.8:
        parts = [expression(r, depth - 1, names, loops) for _ in range(r.randint(1, 3))]
        return One([*parts, leaf(r)])
    least = r.randint(0, 2)
    most = None if loops and r.random() < 0.5 else least + r.randint(least == 0, 3)
    return Some(expression(r, depth - 1, names, False), least, most)


def near(r, text):
    """The text with a letter or two lost, added, changed or said twice."""
    for _ in range(r.randint(1, 2)):
        i = r.randint(0, len(text))
        text = r.choice([text[:i] + text[i + 1:], text[:i] + r.choice(LETTERS) + text[i:],
                         text[:i] + r.choice(LETTERS) + text[i + 1:], text[:i] + text[i // 2:]])
    return text


def texts_of(r, sample):
    right = [text for text in (sample() for _ in range(8)) if len(text) <= 60]
    return ["", *right, *(near(r, text) for text in right for _ in range(2))]


def expressions(n):
    r = random.Random(5)
    for _ in range(n):
        made = expression(r, 3)
        yield made, texts_of(r, lambda: made.sample(r, {}, 3))


def grammars(n):
    r = random.Random(6)
    names = ["root", "item", "x-y"]
    for _ in range(n):
        rules = {name: One([expression(r, 3, names), leaf(r)]) for name in names}
        text = "\n".join("%s ::= %s # of %d" % (name, rules[name].gbnf(), len(names))
                         for name in names)

        def matches(candidate, rules=rules):
            known = dict(rules, known={})
            return len(candidate) in known["root"].ends(candidate, 0, known)

        yield text, matches, texts_of(r, lambda: rules["root"].sample(r, rules, 3))


def schema(r, depth):
    kind = r.randint(0, 5 if depth == 0 else 8)
    if kind == 0:
        least = r.randint(-150, 150)
        return {"type": "integer", "minimum": least, "maximum": least + r.randint(0, 1500)}
    if kind == 1:
        return {"type": "integer", r.choice(["exclusiveMinimum", "exclusiveMaximum"]):
                r.randint(-20, 20), "multipleOf": r.choice([1, 2, 3, 7])}
    if kind == 2:
        least = r.randint(0, 3)
        return {"type": "string", "minLength": least, "maxLength": least + r.randint(0, 4)}
    if kind == 3:
        return {"type": "string", "pattern": r.choice(
            ["^[^1-]*[a-c]", "^a?b{2,3}", "[12]{2}", "^(a|bc)*-", "1\\.?2"])}
    if kind == 4:
        return {"enum": r.sample([None, True, 0, 12, "", "ab", "a\"b", "é", [1], {"a": 1}], 4)}
    if kind == 5:
        return {"type": [r.choice(["boolean", "integer"]), "null"]}
    if kind == 6:
        least = r.randint(0, 2)
        return {"type": "array", "items": schema(r, depth - 1), "minItems": least,
                "maxItems": least + r.randint(0, 2)}
    if kind == 7:
        return {"anyOf": [schema(r, depth - 1) for _ in range(r.randint(2, 3))]}
    names = r.sample(["a", "b", "name", "é x", "1"], r.randint(1, 4))
    return {"type": "object", "properties": {name: schema(r, depth - 1) for name in names},
            "required": [name for name in names if r.random() < 0.6],
            "additionalProperties": False}


def value(r, shape, miss):
    """A value that is often valid, and with `miss` more often not; members in their order."""
    if r.random() < miss:
        return r.choice([None, True, 0, -1, 17, 300, "", "a", "abc", "bb", "12-.", [], [1, 2],
                         {}, {"a": 1}, {"z": None}])
    if "enum" in shape:
        return r.choice(shape["enum"])
    if "anyOf" in shape:
        return value(r, r.choice(shape["anyOf"]), miss)
    kind = shape["type"]
    if isinstance(kind, list):
        return r.choice([None, True, False, 5, -12])
    if kind == "integer":
        least = shape.get("minimum", shape.get("exclusiveMinimum", -30))
        most = shape.get("maximum", shape.get("exclusiveMaximum", least + 60))
        return r.choice([least, most, r.randint(min(least, most) - 3, max(least, most) + 3)])
    if kind == "string":
        return "".join(r.choice('abc12-.é"\\\n') for _ in range(r.randint(0, 8)))
    if kind == "array":
        n = r.randint(max(0, shape["minItems"] - 1), shape["maxItems"] + 1)
        return [value(r, shape["items"], miss) for _ in range(n)]
    members = {name: value(r, inner, miss) for name, inner in shape["properties"].items()
               if r.random() < (0.95 if name in shape["required"] else 0.5)}
    if r.random() < miss:
        members["other"] = 1
    return members


def schemas(n):
    r = random.Random(7)
    for _ in range(n):
        made = schema(r, 2)
        yield made, [value(r, made, miss) for miss in (0, 0, 0, 0, 0, 0.1, 0.1, 0.2, 0.3, 1)]
