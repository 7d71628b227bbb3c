#!/usr/bin/env python3
"""Runs the black-box tests of llama.cpp's server against smallmind and holds what they say against
expected.txt: `make test-compat`.

The suite is in the source package llama-cpp-python on PyPI; it is fetched by pip into build/compat
and never becomes a part of this tree. Where all is as expected, docs/COMPATIBILITY.md is written
from the list, so that it says what was seen.

    run.py                the whole list, fetched, run and compared
    run.py --docs         docs/COMPATIBILITY.md from the list alone; no network
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tarfile
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "compat"
LIST = HERE / "expected.txt"
DOCS = ROOT / "docs" / "COMPATIBILITY.md"
VERSION = "0.3.36"
INSIDE = "vendor/llama.cpp/"
FILES = ["basic", "completion", "chat_completion", "tokenize", "ignore_eos", "template", "security",
         "metrics", "compat_anthropic", "compat_oai_responses", "stream", "tool_call", "embedding",
         "rerank"]
KINDS = ("pass", "fail", "never", "either")
SEEN_AS = {"pass": ("passed",), "fail": ("failed",), "never": ("failed", "skipped"),
           "either": ("passed", "failed")}

HEAD = """# Compatibility with llama.cpp's server

llama.cpp's server has black-box tests of its own. `make test-compat` runs those of {version} (the
source package llama-cpp-python on PyPI carries them) against `smallmind`, through an adapter that
maps options and names of metrics (tests/compat/adapter.py), and compares what they say with a list
(tests/compat/expected.txt), of which this page is made. A test that passes or fails unexpectedly
is an error.

**{passed} of {eligible} eligible tests pass ({percent:.1f} %).** {never} are not eligible. Each
that does not pass, or is not eligible, is listed below with the reason.

| file | pass | eligible | not eligible |
|---|---|---|---|
"""


def read_list():
    """{test: (kind, reason)}, in the order of the file."""
    expected = {}
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        kind, test, *reason = line.split("\t")
        assert kind in KINDS and test not in expected, line
        assert (kind == "pass") == (not reason), f"only what does not pass has a reason: {line}"
        expected[test] = (kind, reason[0] if reason else "")
    return expected


def fetch():
    """The folder of the suite's tests, fetched where it is not there yet."""
    folder = BUILD / f"llama_cpp_python-{VERSION}"
    tests = folder / INSIDE / "tools" / "server" / "tests"
    if tests.is_dir():
        return tests
    package = BUILD / f"{folder.name}.tar.gz"
    BUILD.mkdir(parents=True, exist_ok=True)
    if not package.is_file():
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                        "--no-binary", "llama-cpp-python", "--dest", str(BUILD),
                        f"llama-cpp-python=={VERSION}"], check=True)
    wanted = (INSIDE + "tools/server/tests/", INSIDE + "models/templates/")
    with tarfile.open(package) as archive:
        members = [one for one in archive.getmembers()
                   if one.isfile() and ".." not in one.name
                   and one.name.split("/", 1)[1].startswith(wanted)]
        archive.extractall(BUILD, members)
    return tests


def run(tests):
    """{test: outcome}"""
    report = BUILD / "report.txt"
    report.unlink(missing_ok=True)
    env = dict(os.environ, PYTHONPATH=str(HERE), COMPAT_REPORT=str(report))
    with open(BUILD / "log.txt", "wb") as log:
        subprocess.run([sys.executable, "-m", "pytest", "-p", "adapter", "-p", "no:cacheprovider",
                        "-q", *[f"unit/test_{name}.py" for name in FILES]], cwd=tests, env=env,
                       stdout=log, stderr=log)
    if not report.is_file():
        sys.exit(f"the suite did not run: see {BUILD / 'log.txt'}")
    lines = report.read_text(encoding="utf-8").splitlines()
    return {test.removeprefix("unit/"): outcome
            for outcome, test in (line.split(" ", 1) for line in lines)}


def compare(expected, seen):
    """Sentences about what is not as it should be."""
    for test in sorted(expected.keys() | seen.keys()):
        outcome = seen.get(test, "missing")
        kind = expected[test][0] if test in expected else "not listed"
        if outcome not in SEEN_AS.get(kind, ()):
            yield f"{test}: {outcome}, listed as: {kind}"


def wrap(text):
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def page(expected):
    """docs/COMPATIBILITY.md, and how many of a hundred eligible tests pass."""
    def count(name, *kinds):
        return sum(1 for test, (kind, _) in expected.items()
                   if kind in kinds and (name is None or test.startswith(f"test_{name}.py")))
    passed, never = count(None, "pass"), count(None, "never")
    eligible = len(expected) - never
    text = HEAD.format(version=VERSION, passed=passed, eligible=eligible, never=never,
                       percent=100 * passed / eligible)
    for name in FILES:
        n_never = count(name, "never")
        n_all = count(name, *KINDS)
        text += f"| test_{name} | {count(name, 'pass')} | {n_all - n_never} | {n_never} |\n"
    for kinds, title in ((("fail",), "Eligible, and do not pass"),
                         (("either",), "Depend on the moment"), (("never",), "Not eligible")):
        reasons = dict.fromkeys(why for kind, why in expected.values() if kind in kinds)
        text += f"\n## {title}\n" if reasons else ""
        for reason in reasons:
            tests = [test for test, row in expected.items()
                     if row[0] in kinds and row[1] == reason]
            text += f"\n{wrap(reason[0].upper() + reason[1:] + ':')}\n\n"
            text += "\n".join(["```text", *tests, "```", ""])
    return text, 100 * passed / eligible


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="write the page from the list alone")
    args = parser.parse_args()
    expected = read_list()
    if not args.docs:
        faults = list(compare(expected, run(fetch())))
        if faults:
            print("\n".join(faults))
            sys.exit(f"{len(faults)} tests are not as listed; {BUILD / 'log.txt'} says more")
    text, percent = page(expected)
    DOCS.write_text(text, encoding="utf-8")
    print(f"{percent:.1f} % of the eligible tests pass")


if __name__ == "__main__":
    main()
