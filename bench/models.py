#!/usr/bin/env python3
"""Models to measure with: random weights in the shapes of real ones, each in the types that people
use.

    models.py [--folder build/bench/models] [--smallmind build/smallmind] [NAME.TYPE ...]

Speed does not depend on the values. Each file is written once, by tests/tools/make_gguf.py in F16
(small ones in F32) and then `smallmind quantize`; without names, all of LIST. Needs numpy (Debian:
python3-numpy).
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "bench" / "models"
# Positions of the shapes that long prompts are measured with, whatever the real ones were made for.
CONTEXT = {"smol135": 8192, "qwen05": 8192, "tiny1b": 8192}
# The name of a shape, the type it is made in before any other (none: each by itself), and its
# vocabulary's kind.
SOURCES = {
    "smol135": ("F16", "bpe"),
    "qwen05": ("F16", "bpe"),
    "tiny1b": ("F16", "spm"),
    "seed": ("F32", "bpe"),
    "moe1b": (None, "bpe"),
    "gemma270": (None, "spm"),
    "qwen35s": (None, "bpe"),
}
LIST = [
    "smol135.Q8_0",
    "smol135.Q4_0",
    "smol135.Q4_K_M",
    "qwen05.Q8_0",
    "qwen05.Q4_0",
    "qwen05.Q4_K_M",
    "tiny1b.Q8_0",
    "tiny1b.Q4_0",
    "tiny1b.Q4_K_M",
    "seed.F32",
    "seed.Q8_0",
    "moe1b.Q4_0",
    "gemma270.Q8_0",
    "qwen35s.Q4_0",
]


def stored(name):
    """Models that are not made here: the one in the tree, and a small real one of the fixtures."""
    if name == "builtin":
        return ROOT / "models" / "smallmind-tiny.gguf"
    shared = pathlib.Path(os.environ.get("SMALLMIND_SHARED", ROOT.parent / "shared"))
    path = shared / "fixtures" / "stories260K.gguf"
    return path if name == "stories260K" and path.is_file() else None


def context_of(path):
    """Positions that a file's model was made for; 0: it does not say so at its beginning."""
    with path.open("rb") as file:
        found = re.search(rb"\.context_length\x04\0\0\0(.{4})", file.read(1 << 16), re.DOTALL)
    return int.from_bytes(found[1], "little") if found else 0


def is_good(path, shape):
    """There, and not made for a shorter context by an earlier version of this."""
    return path.is_file() and context_of(path) >= CONTEXT.get(shape, 0)


def source(shape, folder, wanted):
    kind, vocabulary = SOURCES[shape]
    kind = kind or wanted
    path = folder / f"{shape}.{kind}.gguf"
    if not is_good(path, shape):
        part = path.with_suffix(".part")
        subprocess.run(
            [
                sys.executable,
                str(ROOT / "tests" / "tools" / "make_gguf.py"),
                shape,
                str(part),
                "--type",
                kind,
                "--vocab-kind",
                vocabulary,
                *(["--context", str(CONTEXT[shape])] if shape in CONTEXT else []),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        part.rename(path)
    return path


def model(name, folder=FOLDER, smallmind=ROOT / "build" / "smallmind"):
    """The path of a model by its name ("smol135.Q4_0"), made when missing; None: unknown."""
    if "." not in name:
        return stored(name)
    shape, kind = name.split(".", 1)
    path = pathlib.Path(folder) / f"{name}.gguf"
    if is_good(path, shape):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    made = source(shape, path.parent, kind)
    if made != path:
        part = path.with_suffix(".part")
        subprocess.run(
            [str(smallmind), "quantize", "--force", str(made), str(part), kind],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        part.rename(path)
    return path


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", default=FOLDER)
    parser.add_argument("--smallmind", default=ROOT / "build" / "smallmind")
    parser.add_argument("names", nargs="*", default=LIST)
    args = parser.parse_args()
    for name in args.names:
        print(model(name, args.folder, args.smallmind))


if __name__ == "__main__":
    main()
