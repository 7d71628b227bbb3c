#!/usr/bin/env python3
"""Includes point one way: cli -> server -> {report, config} -> api -> core, and inside each from
the top down.

Run alone or by pytest; needs nothing but Python. A file under core/ names its own room's headers as
"base/...", so whatever cannot be found in core/ or at the root is a file's neighbour or an error.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

BASE = ["core/base"]
MATH = [*BASE, "core/math"]
GGUF = [*MATH, "core/gguf"]
TEXT = [*GGUF, "core/text", "core/text/tokenizer"]
MODEL = [*GGUF, "core/profile", "core/model"]
FORWARD = [*MODEL, "core/forward"]
GUIDE = [*TEXT, "core/grammar", "core/guide"]
ENGINE = [*FORWARD, *GUIDE, "core/engine"]
JSON = [*ENGINE, "api", "api/json"]
SCHEMA = [*BASE, "core/grammar"]
CHAT = [*JSON, "core/jinja", "api/chat"]
TOOLS = [*JSON, "core/grammar", "api/schema", "api/tools"]
ASKED = [*CHAT, *TOOLS, "api/asked"]
TGI = [*ASKED, "api/tgi"]
NATIVE = [*TGI, "api/native"]
OPENAI = [*ASKED, "api/openai"]
ANTHROPIC = [*ASKED, "api/anthropic"]
SERVED = [*JSON, "api/served"]
OLLAMA = [*ASKED, *SERVED, "api/ollama"]
LLAMA = [*OPENAI, *SERVED, "api/llama"]
RESPONSES = [*LLAMA, "api/responses"]
VECTORS = [*LLAMA, *OLLAMA, *TGI, "api/vectors"]
DIALECTS = [*VECTORS, *NATIVE, *OPENAI, *ANTHROPIC, *OLLAMA, *RESPONSES, *LLAMA]
REPORT = [*DIALECTS, "report", "embed"]
SERVER = [*REPORT, "config", "server"]
TRACE = [*SERVER, "net", "server/trace"]
HTTP = [*TRACE, "server/http"]
HANDLERS = [*HTTP, "server/handlers"]
STORE = [*GGUF, "api/json", "net", "store"]
CLI = [*HANDLERS, "store", "cli"]

# The rooms that each room may include besides itself. A folder that is not named belongs to the
# room it lies in.
MAY = {
    "core/base": [],
    "core/grammar": BASE,
    "core/jinja": BASE,
    "core/math": BASE,
    "core/profile": MATH,
    "core/gguf": MATH,
    "core/text": TEXT,
    "core/text/tokenizer": GGUF,
    "core/guide": GUIDE,
    "core/model": MODEL,
    "core/forward": FORWARD,
    "core/engine": ENGINE,
    "config": BASE,
    "net": [],
    "embed": [],
    "api": [*ENGINE, "api/tools"],
    "api/json": JSON,
    "api/schema": SCHEMA,
    "api/tools": TOOLS,
    "api/chat": CHAT,
    "api/asked": ASKED,
    "api/native": NATIVE,
    "api/openai": OPENAI,
    "api/anthropic": ANTHROPIC,
    "api/ollama": OLLAMA,
    "api/responses": RESPONSES,
    "api/served": SERVED,
    "api/tgi": TGI,
    "api/llama": LLAMA,
    "api/vectors": VECTORS,
    "report": REPORT,
    "server": HANDLERS,
    "server/trace": TRACE,
    "server/http": HTTP,
    "server/handlers": HANDLERS,
    "store": STORE,
    "cli": CLI,
    "cli/bench": CLI,
    "cli/chat": CLI,
    "cli/inspect": CLI,
    "cli/profile": CLI,
}
# Which rooms may know a library; the standard headers are for all.
LIBRARIES = {
    "pcre2.h": ["core/text/tokenizer"],
    "ini.h": ["config"],
    "cjson/": ["api/json", "api/asked", "api/native", "api/openai", "api/anthropic",
               "api/ollama", "api/responses", "api/tgi", "api/llama", "api/schema", "api/tools",
               "api/vectors", "report", "store", "server/trace"],
    "uv.h": ["server", "server/http", "server/handlers"],
    "curl/": ["net", "store", "server/trace"],
    "histedit.h": ["cli/chat"],
    "nettle/": ["core/base"],
    "microhttpd.h": ["server/http", "server/handlers", "server"],
}
# libm may reach an output only through sqrt, fma and rint, which math.h declares beside the rest:
# not for includes.


def room_of(path):
    """The room that a path (from the root) lies in: the deepest folder that is named, or None."""
    for folder in path.parents:
        if folder.as_posix() in MAY:
            return folder.as_posix()
    return None


def target_of(name, source):
    """The room that an include with quotes leads to, or None when there is no such file."""
    for base in (source.parent, ROOT / "core", ROOT):
        if (base / name).is_file():
            return room_of((base / name).resolve().relative_to(ROOT))
    return None


def faults():
    tops = sorted({room.split("/")[0] for room in MAY})
    for source in sorted(file for top in tops for file in (ROOT / top).glob("**/*.[ch]")):
        where = source.relative_to(ROOT)
        room = room_of(where)
        if room is None:
            yield f"{where}: lies in no room"
            continue
        for kind, name in INCLUDE.findall(source.read_text(encoding="utf-8")):
            if kind == '"':
                target = target_of(name, source)
                if target is None:
                    yield f'{where}: "{name}" is not a file of this tree'
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
