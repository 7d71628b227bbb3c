#!/usr/bin/env python3
"""Writes core/jinja/library/letters_data.h: what Python's str methods know about characters.

Runs of characters with the same flags (str.isalpha() and its like), and the case mappings that
str.upper(), lower(), title() and casefold() use: runs with one distance, and the few characters
that become several. From this Python's own tables: run it with the version that shall be matched.
"""
import sys
import unicodedata

FLAGS = ["alpha", "decimal", "digit", "numeric", "space", "upper", "lower", "titled", "hidden"]
LAST = 0x10FFFF


def flags_of(c):
    title = unicodedata.category(c) == "Lt"
    return sum(1 << i for i, on in enumerate([
        c.isalpha(), c.isdecimal(), c.isdigit(), c.isnumeric(), c.isspace(), c.isupper(),
        c.islower(), title, not c.isprintable()]) if on)


def characters():
    return (cp for cp in range(LAST + 1) if not 0xD800 <= cp < 0xE000)


def flag_runs():
    """(first, last, flags) of all characters that have flags."""
    runs = []
    for cp in characters():
        flags = flags_of(chr(cp))
        if not flags:
            continue
        if runs and runs[-1][1] == cp - 1 and runs[-1][2] == flags:
            runs[-1][1] = cp
        else:
            runs.append([cp, cp, flags])
    return runs


def map_runs(convert):
    """(first, last, step, distance) where one character becomes one, and (cp, others) elsewhere."""
    runs, several = [], []
    for cp in characters():
        to = convert(chr(cp))
        if to == chr(cp):
            continue
        if len(to) > 1:
            several.append((cp, [ord(c) for c in to]))
            continue
        distance = ord(to) - cp
        if runs and runs[-1][3] == distance:
            first, last, step, _ = runs[-1]
            gap = cp - last
            if gap <= 2 and (first == last or gap == step):
                runs[-1][1:3] = [cp, gap]
                continue
        runs.append([cp, cp, 1, distance])
    return runs, several


def lines(cells):
    line = "   "
    for cell in cells:
        if len(line) + len(cell) + 2 > 99:
            yield line
            line = "   "
        line += f" {cell},"
    yield line


def several_row(cp, to):
    return f"{{{cp:#x}, {{{', '.join(hex(c) for c in to)}}}}}"


def main():
    out = [
        "/* letters_data.h - characters as Python's str knows them (Unicode "
        f"{unicodedata.unidata_version}).",
        " *", " * Made by tools/jinja_letters.py; do not edit.", " */", "#pragma once", "",
        "/* clang-format off */",
        "static const struct {", "    uint32_t first, last;", "    uint16_t flags;",
        "} letters_runs[] = {",
        *lines(f"{{{a:#x}, {b:#x}, {f:#x}}}" for a, b, f in flag_runs()), "};", ""]
    for name, convert in [("upper", str.upper), ("lower", str.lower), ("title", str.title),
                          ("fold", str.casefold)]:
        runs, several = map_runs(convert)
        out += [f"static const struct letters_shift letters_{name}[] = {{",
                *lines(f"{{{a:#x}, {b:#x}, {s}, {d}}}" for a, b, s, d in runs), "};", ""]
        out += [f"static const struct letters_several letters_{name}_several[] = {{",
                *lines(several_row(cp, to) for cp, to in several or [(0, [0])]), "};", ""]
    sys.stdout.write("\n".join(out).rstrip() + "\n")


if __name__ == "__main__":
    main()
