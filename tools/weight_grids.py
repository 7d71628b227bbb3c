#!/usr/bin/env python3
"""Writes core/math/grid_tables.h: the code books of GGML's IQ1, IQ2 and IQ3 weight types.

They are facts of the file format, taken from the tables of PyPI's `gguf` package. An entry is the
levels of 8 values, 2 bits each, or of 4 values, 3 bits each, the first one lowest; what a level
stands for is in quant.c.

    pip install gguf==0.19.0 && tools/weight_grids.py > core/math/grid_tables.h
"""

import sys

import gguf
import numpy as np

VERSION = "0.19.0"
TYPES = ["IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"]


def entries(name):
    """The grid's entries as integers of 16 bits."""
    kind = getattr(gguf.quants, name)
    kind.init_grid()
    levels = np.searchsorted(np.array(kind.grid_map, np.float32), kind.grid.reshape(-1))
    if not (np.array(kind.grid_map, np.float32)[levels] == kind.grid.reshape(-1)).all():
        sys.exit(f"{name}: a value of the grid is none of its levels")
    width = 3 if len(kind.grid_map) > 4 else 2
    rows = levels.reshape(kind.grid_shape).astype(np.uint32)
    return (rows << (width * np.arange(kind.grid_shape[1], dtype=np.uint32))).sum(axis=1)


def main():
    print(f"""\
/* grid_tables.h - the code books of the IQ1, IQ2 and IQ3 types, as gguf {VERSION} has them.
 *
 * Made by tools/weight_grids.py: change that, not this. Included by grid.c alone.
 */
#pragma once

#include <stdint.h>

/* clang-format off */""")
    for name in TYPES:
        found = [f"0x{entry:04x}," for entry in entries(name)]
        print(f"static const uint16_t {name.lower()}_grid[{len(found)}] = {{")
        for i in range(0, len(found), 12):
            print("    " + " ".join(found[i : i + 12]))
        print("};")
    print("/* clang-format on */")


if __name__ == "__main__":
    main()
