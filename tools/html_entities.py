#!/usr/bin/env python3
"""Writes core/jinja/library/entities_data.h: the named character references of HTML 5, from
Python's own table, in the order of their bytes."""
import html.entities
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUT = ROOT / "core" / "jinja" / "library" / "entities_data.h"
HEAD = """\
/* entities_data.h - the named character references of HTML 5, in the order of their bytes.
 *
 * Made by tools/html_entities.py; do not edit.
 */
#pragma once

enum { ENTITIES_LONGEST = %d, ENTITIES_SHORTEST = %d };

/* clang-format off */
static const struct {
    const char *name; /* after the & */
    uint32_t code, more; /* more: a second character; 0: there is none */
} entities[] = {
"""


def main():
    table = html.entities.html5
    out = HEAD % (max(map(len, table)), min(map(len, table)))
    line = "   "
    for name in sorted(table):
        codes = [*map(ord, table[name]), 0][:2]
        entry = ' {"%s", 0x%x, 0x%x},' % (name, *codes)
        if len(line) + len(entry) > 100:
            out += line + "\n"
            line = "   "
        line += entry
    OUT.write_text(out + line + "\n};\n/* clang-format on */\n", encoding="utf-8")


if __name__ == "__main__":
    main()
