#!/usr/bin/env python3
"""Files use each other one way: no circle of sources, each of which calls into the next.

The includes cannot tell: a header lets its callers reach whatever file holds the function. So this
reads which file defines what (functions and variables that are not static) and which files name it.
Run alone or by pytest; needs nothing but Python.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The rooms whose circles count; widen it room by room, never with an exception for a file.
ROOMS = ["api", "cli", "config", "core", "net", "report", "server"]
ALL = ["api", "cli", "config", "core", "embed", "net", "report", "server"]

SILENT = re.compile(r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
FUNCTION = re.compile(
    r"^(?:(static|ALWAYS_INLINE)\s+)?(?!return|else)"
    r"[A-Za-z_][\w \t*]*?\b(\w+)\([^;{}]*\)\s*\{", re.MULTILINE)
VARIABLE = re.compile(
    r"^(?:(static|extern|typedef)\s+)?[A-Za-z_][\w \t*]*?\b(\w+)(?:\[[^\]]*\])*\s*=", re.MULTILINE)
# Not a member (.x, ->x), nor a tag (struct x).
NAME = re.compile(r"(?<![\w.>])(?<!struct )(?<!enum )(?<!union )[A-Za-z_]\w*")


def read_sources():
    """{file without .c: its text without comments and literals}"""
    return {str(file.relative_to(ROOT))[:-2]: SILENT.sub(" ", file.read_text(encoding="utf-8"))
            for top in ALL for file in sorted((ROOT / top).glob("**/*.c"))}


def definitions(text):
    """The names that a file gives to all, and those that it keeps for itself."""
    found = [match.groups() for pattern in (FUNCTION, VARIABLE) for match in pattern.finditer(text)]
    return {name for kept, name in found if not kept}, {name for kept, name in found if kept}


def edges_of(sources):
    """{file: {another that it uses: the names}}"""
    given = {file: definitions(text) for file, text in sources.items()}
    owners = {}
    for file, (names, _) in given.items():
        for name in names:
            owners.setdefault(name, []).append(file)
    edges = {file: {} for file in sources}
    for file, text in sources.items():
        names, kept = given[file]
        for name in set(NAME.findall(text)) - names - kept:
            for owner in owners.get(name, []):
                edges[file].setdefault(owner, []).append(name)
    return edges


def circles(edges):
    """Each set of files that all reach one another, by Tarjan's algorithm."""
    order, low, stack, found = {}, {}, [], []

    def visit(file):
        order[file] = low[file] = len(order)
        stack.append(file)
        for other in edges[file]:
            if other not in order:
                visit(other)
            if other in stack:
                low[file] = min(low[file], low[other])
        if low[file] == order[file]:
            at = stack.index(file)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for file in edges:
        if file not in order:
            visit(file)
    return found


def faults():
    sys.setrecursionlimit(10000)
    edges = edges_of(read_sources())
    for circle in circles(edges):
        if not any(file.startswith(room + "/") for file in circle for room in ROOMS):
            continue
        uses = [f"{a} uses {', '.join(sorted(names)[:3])} of {b}" for a in circle
                for b, names in edges[a].items() if b in circle]
        yield f"{len(circle)} files use each other in a circle: " + "; ".join(uses)


def test_files_use_each_other_one_way():
    assert list(faults()) == []


def test_a_circle_is_found():
    body = "int {}(void)\n{{\n    return {};\n}}\n"
    sources = {"a": body.format("a", "b()"), "b": body.format("b", "c"),
               "c": "int c = sizeof a;\n", "d": body.format("d", "a()")}
    assert circles(edges_of(sources)) == [["a", "b", "c"]]


if __name__ == "__main__":
    test_a_circle_is_found()
    found = list(faults())
    print("\n".join(found) or "files use each other one way")
    sys.exit(1 if found else 0)
