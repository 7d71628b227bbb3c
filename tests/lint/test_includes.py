#!/usr/bin/env python3
"""Includes point one way: server -> api -> core, server -> config -> core/base. Each library has one room.

Run alone or by pytest; needs nothing but Python. A file under core/ names its own room's headers as "base/...", so
whatever cannot be found in core/, config/, api/ or server/ is a file's neighbour or an error.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

# What each room may include besides itself. Inside core the order of the rooms is a chain as well.
MAY = {
    "core/base": [],
    "core/math": ["core/base"],
    "core/model": ["core/base", "core/math", "core/profile"],
    "core/text": ["core/base", "core/math", "core/model"],
    "core/engine": ["core/base", "core/math", "core/profile", "core/model", "core/text"],
    "core/profile": ["core/base", "core/math"],
    "config": ["core/base"],
    "api": ["core/base", "core/math", "core/profile", "core/model", "core/text", "core/engine"],
    "server": ["core/base", "core/math", "core/model", "core/text", "core/engine", "core/profile", "api", "config"],
}
# Which rooms may know a library; the standard headers are everybody's.
LIBRARIES = {
    "pcre2.h": ["core/text"],
    "ini.h": ["config"],
    "cjson/": ["api"],
    "uv.h": ["server"],
    "microhttpd.h": ["server"],
}
# libm may reach an output only through sqrt, fma and rint, which math.h declares beside the rest: not for includes.


def room_of(path):
    """The room a path relative to the root lies in, or None."""
    parts = path.parts
    if parts[0] == "core" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0] if parts[0] in MAY else None


def target_of(name, source):
    """The room that an include with quotes leads to, or None when there is no such file."""
    for base in (source.parent, ROOT / "core", ROOT):
        if (base / name).is_file():
            return room_of((base / name).resolve().relative_to(ROOT))
    return None


def faults():
    for room in MAY:
        for source in sorted((ROOT / room).glob("**/*.[ch]")):
            where = source.relative_to(ROOT)
            for kind, name in INCLUDE.findall(source.read_text(encoding="utf-8")):
                if kind == '"':
                    target = target_of(name, source)
                    if target is None:
                        yield f'{where}: "{name}" is no file of the house'
                    elif target != room and target not in MAY[room]:
                        yield f"{where}: {room} must not include {target} ({name})"
                for library, rooms in LIBRARIES.items():
                    if (name == library or name.startswith(library)) and room not in rooms:
                        yield f"{where}: <{name}> belongs to {', '.join(rooms)} alone"


def test_includes_point_one_way():
    assert list(faults()) == []


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "includes point one way")
    sys.exit(1 if found else 0)
