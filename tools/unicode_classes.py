#!/usr/bin/env python3
"""Writes core/text/tokenizer/unicode_runs.h: the character classes that pre-tokenizers tell apart.

The classes are those of one pinned Unicode version, so that a text has the same tokens on every
machine, whichever version the regular expression library of that machine knows. To change the
version, change UNICODE here, run this with a `unicodedata2` of that version installed
(pip install unicodedata2==16.0.0), and expect other tokens for newly assigned characters:

    tools/unicode_classes.py > core/text/tokenizer/unicode_runs.h
"""

import sys

import unicodedata2

UNICODE = "16.0.0"
# The order is that of enum char_class in core/text/tokenizer/classes.h.
CLASSES = ["other", "Lu", "Lt", "Lm", "Lo", "M", "Ll", "N", "P", "space", "S", "long s", "Nd"]
LONG_S = 0x17F  # an s to patterns that take no notice of case
# White_Space of PropList.txt, which no module of Python has; the set is as old as Unicode 6.3.
WHITE_SPACE = {
    *range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B),
    0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
}  # fmt: skip


def class_of(code_point):
    if code_point in WHITE_SPACE:
        return CLASSES.index("space")
    if code_point == LONG_S:
        return CLASSES.index("long s")
    category = unicodedata2.category(chr(code_point))
    name = category if category in CLASSES else category[0]
    return CLASSES.index(name) if name in CLASSES else 0


def runs():
    """(length, class) of each run of code points of one class, from U+0000 to U+10FFFF."""
    found = []
    for code_point in range(0x110000):
        kind = class_of(code_point)
        if found and found[-1][1] == kind:
            found[-1][0] += 1
        else:
            found.append([1, kind])
    return found


def main():
    if unicodedata2.unidata_version != UNICODE:
        sys.exit(f"unicodedata2 has Unicode {unicodedata2.unidata_version}; {UNICODE} is pinned")
    print(f"""\
/* unicode_runs.h - each character's class in Unicode {UNICODE}, as runs from U+0000 to U+10FFFF: a
 * run's length shifted left by 4, and its enum char_class (classes.h).
 *
 * Written by tools/unicode_classes.py: change that, not this. Included by classes.c alone.
 */
#pragma once

#include <stdint.h>

/* clang-format off */
static const uint32_t unicode_runs[] = {{""")
    line = "   "
    for length, kind in runs():
        word = f" {length << 4 | kind:#x},"
        if len(line) + len(word) > 100:
            print(line)
            line = "   "
        line += word
    print(line)
    print("};\n/* clang-format on */")


if __name__ == "__main__":
    main()
