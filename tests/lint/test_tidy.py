#!/usr/bin/env python3
"""Sizes and names that keep the tree easy to find one's way in.

Files have at most 600 lines, functions 70, lines 100 columns, in code and in docs; a struct, union
or enum tag is defined once in the whole product; the first word of a global function's name belongs
to one room. Run alone or by pytest; needs nothing but Python. The sources are formatted by
clang-format, which is what makes these few patterns enough.
"""
import collections
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE_LINES, FUNCTION_LINES, COLUMNS, FOLDER_SOURCES = 600, 70, 100, 20
PRODUCT = ("api", "cli", "config", "core", "embed", "net", "report", "server", "store")
CODE = (*PRODUCT, "bench", "cmake", "tests", "tools")
TEXT_SUFFIXES = {".c", ".h", ".py", ".sh", ".cmake"}
# Made by tools, or words that must not be broken.
ANY_LENGTH = {"tests/fixtures"}

TAG = re.compile(r"^\s*(?:typedef )?(struct|union|enum) (\w+) \{", re.MULTILINE)
FUNCTION = re.compile(
    r"^(?!static|ALWAYS_INLINE|typedef|#|/|\s|\}|struct \w+ \{|enum \w* ?\{|union)"
    r"[\w \*]*?\**(\w+)\(",
    re.MULTILINE,
)
BODY_BEGIN, BODY_END = re.compile(r"^\{"), re.compile(r"^\}")


def tracked(*suffixes):
    """The files that belong to the tree, whether committed or new."""
    out = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in sorted(out.stdout.split("\n")):
        path = pathlib.PurePosixPath(name)
        if path.suffix in suffixes and (ROOT / name).is_file():
            yield name


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def is_generated(text):
    return "Made by tools/" in text[:400]


def long_files():
    for name in tracked(".c", ".h", ".py", ".sh"):
        n = read(name).count("\n")
        if n > FILE_LINES and not is_generated(read(name)):
            yield f"{name}: {n} lines; a file has at most {FILE_LINES}"


def long_functions():
    for name in tracked(".c", ".h"):
        begin = signature = None
        for i, line in enumerate(read(name).split("\n"), 1):
            if BODY_BEGIN.match(line):
                begin = signature or i
            elif BODY_END.match(line):
                if begin is not None and i - begin + 1 > FUNCTION_LINES:
                    yield f"{name}:{begin}: {i - begin + 1} lines; a function has {FUNCTION_LINES}"
                begin = signature = None
            elif begin is None:
                if re.match(r"^[a-zA-Z_].*\(", line):
                    signature = i
                elif line == "" or line.endswith(";"):
                    signature = None


def is_prose(line, fenced):
    """A Markdown line that could be wrapped: no table, no code, no link or picture alone."""
    return not fenced and not line.startswith(("|", "    ", "<")) and " " in line.strip()


def long_lines():
    for name in tracked(*TEXT_SUFFIXES, ".md"):
        if any(name.startswith(folder) for folder in ANY_LENGTH) or is_generated(read(name)):
            continue
        fenced = False
        for i, line in enumerate(read(name).split("\n"), 1):
            if name.endswith(".md"):
                if line.startswith("```"):
                    fenced = not fenced
                if not is_prose(line, fenced):
                    continue
            if len(line) > COLUMNS and "http" not in line:
                yield f"{name}:{i}: {len(line)} columns; {COLUMNS} are the most"


def tags_twice():
    seen = collections.defaultdict(list)
    for name in tracked(".c", ".h"):
        if name.split("/")[0] in PRODUCT:
            for kind, tag in TAG.findall(read(name)):
                seen[tag].append(f"{name} ({kind})")
    for tag, places in sorted(seen.items()):
        if len(places) > 1:
            yield f"the tag {tag} is defined in {', '.join(places)}; a tag means one thing"


def room_of(name):
    """The room of a file: core's are one level down, and folders inside a room belong to it."""
    parts = name.split("/")
    return "/".join(parts[:2]) if parts[0] == "core" else parts[0]


def prefixes_shared():
    owners = collections.defaultdict(set)
    for name in tracked(".h"):
        if name.split("/")[0] not in PRODUCT:
            continue
        for function in FUNCTION.findall(read(name)):
            owners[function.split("_")[0]].add(room_of(name))
    for prefix, rooms in sorted(owners.items()):
        if len(rooms) > 1:
            yield f"the prefix {prefix}_ is used in {', '.join(sorted(rooms))}; one room owns it"


def full_folders():
    n = collections.Counter(
        name.rsplit("/", 1)[0] for name in tracked(".c") if name.split("/")[0] in PRODUCT
    )
    for folder, count in sorted(n.items()):
        if count > FOLDER_SOURCES:
            yield f"{folder}: {count} sources; a folder has at most {FOLDER_SOURCES}"


def faults():
    for rule in (long_files, long_functions, long_lines, tags_twice, prefixes_shared, full_folders):
        yield from rule()


def test_the_tree_is_tidy():
    assert list(faults()) == []


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "the tree is tidy")
    sys.exit(1 if found else 0)
