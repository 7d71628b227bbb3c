#!/usr/bin/env python3
"""Writes core/text/tokenizer/bert_runs.h: what BERT's tokenizer does with each character.

The classes are asked of the `tokenizers` package itself, which the models were trained and are used
with: its own tables are of several old versions of Unicode, and a mark or a sign that came later is
a letter to it. To renew the file, with that package installed (pip install tokenizers==0.23.3):

    tools/bert_classes.py > core/text/tokenizer/bert_runs.h
"""

import sys

import tokenizers
from tokenizers import normalizers, pre_tokenizers

VERSION = "0.23.3"
# The order is that of enum bert_class in core/text/tokenizer/wordpiece.h.
CLASSES = ["letter", "dropped", "space", "punctuation", "ideograph", "mark"]


def asking(**steps):
    """A normalizer that takes these steps alone."""
    names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return normalizers.BertNormalizer(**{name: steps.get(name, False) for name in names})


CLEAN, SPACED, STRIPPED = (
    asking(clean_text=True), asking(handle_chinese_chars=True), asking(strip_accents=True)
)  # fmt: skip
WORDS = pre_tokenizers.BertPreTokenizer()


def class_of(code_point):
    if 0xD800 <= code_point < 0xE000:
        return 0
    char = chr(code_point)
    cleaned = CLEAN.normalize_str(char)
    words = [word for word, _ in WORDS.pre_tokenize_str(f"a{char}b")]
    found = [
        cleaned == "",
        cleaned == " " or len(words) == 2,
        len(words) == 3,
        SPACED.normalize_str(char) == f" {char} ",
        STRIPPED.normalize_str(char) == "" and len(words) == 1,
    ]
    # What is dropped is so before anything else is asked.
    return found.index(True) + 1 if any(found) else 0


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
    if tokenizers.__version__ != VERSION:
        sys.exit(f"tokenizers is {tokenizers.__version__}; {VERSION} is pinned")
    print(f"""\
/* bert_runs.h - what BERT's tokenizer does with each character, as runs from U+0000 to U+10FFFF: a
 * run's length shifted left by 4, and its enum bert_class (wordpiece.h).
 *
 * Asked of tokenizers {VERSION} by tools/bert_classes.py: change that, not this. Included by
 * wordpiece.c alone.
 */
#pragma once

#include <stdint.h>

/* clang-format off */
static const uint32_t bert_runs[] = {{""")
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
