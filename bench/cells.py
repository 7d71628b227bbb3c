"""What bench/peers.py measures: the cells, which of them one run of a program measures together,
and which come first when time is short.

A cell is named KIND/MODEL or KIND/MODEL/N, or KIND@CPU/MODEL/N where both programs are kept to that
instruction set. Pure; knows nothing of programs.
"""
import collections
import fnmatch

Cell = collections.namedtuple("Cell", "name kind model n cpu rank")
# Cells that the same run of each program measures: many lengths, or many figures of one load.
Group = collections.namedtuple("Group", "kind model cpu rank cells")

PROMPTS = (16, 64, 256, 512, 1024, 2048)
BATCHES = (1, 2, 4, 8, 12, 16, 24, 32, 64)
CONTEXTS = (2048, 4096)
CLIENTS = (1, 8, 32, 64, 128)
GAPS = ("8+1500", "8+512", "1+1500", "1+512")  # streams, tokens of the prompt beside them
CPUS = ("avx2", "avx512")

TYPES = ("Q4_0", "Q8_0", "Q4_K_M")
SMOL = [f"smol135.{t}" for t in TYPES]
QWEN = [f"qwen05.{t}" for t in TYPES]
TINY1B = [f"tiny1b.{t}" for t in TYPES]
OTHERS = ["moe1b.Q4_0", "gemma270.Q8_0", "qwen35s.Q4_0"]
TOGETHER = ["smol135.Q4_0", "qwen05.Q4_0", "tiny1b.Q4_K_M"]
STARTS = ["smol135.Q8_0", "tiny1b.Q4_0", "smol135.Q4_0", "qwen05.Q8_0", "tiny1b.Q8_0"]

# Rank (1: first), kinds, instruction sets ("": all that the processor has), models, counts.
ROWS = [
    (1, ["prefill"], [""], SMOL, PROMPTS),
    (1, ["decode"], [""], [*SMOL, *QWEN, *TINY1B], [0]),
    (1, ["batch"], [""], TOGETHER, BATCHES),
    (1, ["start", "start-again"], [""], STARTS[:2], [0]),
    (1, ["gap", "gap-prompt"], [""], SMOL[:1], GAPS),
    (2, ["http", "ttft-p50", "ttft-p99"], [""], SMOL[:1], CLIENTS),
    (2, ["prefill"], [""], QWEN, PROMPTS),
    (2, ["context", "context-q8"], [""], [*SMOL[:1], *QWEN[:1], *TINY1B[:1]], CONTEXTS),
    (2, ["prefill"], CPUS, SMOL, PROMPTS),
    (3, ["prefill"], [""], TINY1B, PROMPTS),
    (3, ["batch"], [""], [m for m in [*SMOL, *QWEN, *TINY1B] if m not in TOGETHER], BATCHES),
    (3, ["prefill"], CPUS, QWEN, PROMPTS),
    (3, ["start", "start-again"], [""], ["builtin", *STARTS[2:]], [0]),
    (3, ["memory"], [""], SMOL[:1], [32]),
    (4, ["context", "context-q8"], [""], [*SMOL[1:], *QWEN[1:], *TINY1B[1:]], CONTEXTS),
    (4, ["decode", "batch"], CPUS, TOGETHER, {"decode": [0], "batch": [8]}),
    (4, ["http", "ttft-p50", "ttft-p99"], [""], ["stories260K"], CLIENTS),
    (4, ["http", "ttft-p50", "ttft-p99"], [""], QWEN[:1], [8]),
    (4, ["gap", "gap-prompt"], [""], [*QWEN[:1], *TINY1B[:1]], GAPS[:1]),
    (4, ["crowded"], [""], SMOL[:1], [1, 4]),
    (4, ["sessions"], [""], ["seed.F32", "seed.Q8_0"], [3]),
    (4, ["decode"], [""], ["seed.F32", "seed.Q8_0", "stories260K", *OTHERS], [0]),
    (5, ["prefill"], [""], OTHERS, [256]),
    (5, ["prefill"], CPUS, TINY1B, PROMPTS),
]

# The order of a table's parts.
KINDS = (
    "prefill decode batch context context-q8 start start-again gap gap-prompt http ttft-p50 "
    "ttft-p99 crowded sessions memory"
).split()
# Kinds that come out of another kind's run.
RUN_OF = {"ttft-p50": "http", "ttft-p99": "http", "gap-prompt": "gap"}
# Runs that answer many counts at once; of the others each count is a run.
MANY = {"prefill", "batch", "context", "context-q8", "gap"}


def title(kind, cpu):
    return kind + (f"@{cpu}" if cpu else "")


def cells():
    """All of them, in the order of the tables."""
    found = []
    for rank, kinds, cpus, models, counts in ROWS:
        for kind in kinds:
            for n in counts[kind] if isinstance(counts, dict) else counts:
                for cpu in cpus:
                    for model in models:
                        name = f"{title(kind, cpu)}/{model}" + (f"/{n}" if n else "")
                        found.append(Cell(name, kind, model, n, cpu, rank))
    models = list(dict.fromkeys(c.model for c in found))

    def place(cell):
        count = int(str(cell.n).split("+")[0]), int(str(cell.n).split("+")[-1])
        return cell.cpu, KINDS.index(cell.kind), models.index(cell.model), count

    return sorted(found, key=place)


def is_wanted(name, words):
    return not words or any(
        name == w or name.startswith(w + "/") or fnmatch.fnmatchcase(name, w) for w in words
    )


def chosen(text):
    """The cells that the words of a text name; all without words. ValueError: none."""
    words = text.split()
    found = [c for c in cells() if is_wanted(c.name, words)]
    if not found:
        raise ValueError(f"no cell is called so: {text}; --list shows them all")
    return found


def groups(wanted):
    """The runs that measure these cells, the most important first."""
    runs = {}
    for cell in wanted:
        kind = RUN_OF.get(cell.kind, cell.kind)
        count = str(cell.n).split("+")[0] if kind == "gap" else None if kind in MANY else cell.n
        runs.setdefault((kind, cell.model, cell.cpu, count), []).append(cell)
    made = [
        Group(kind, model, cpu, min(c.rank for c in run), run)
        for (kind, model, cpu, _), run in runs.items()
    ]
    rows = [
        (kind, cpu, model)
        for _, kinds, cpus, some, _ in ROWS
        for kind in kinds
        for cpu in cpus
        for model in some
    ]
    return sorted(made, key=lambda g: (g.rank, rows.index((g.kind, g.cpu, g.model))))


def in_picture(cell):
    """Some of each kind: a bar for every cell would be a page of bars."""
    return not cell.cpu and (
        cell.kind in ("decode", "start", "start-again", "http", "memory", "sessions", "crowded")
        or (cell.kind == "prefill" and cell.n in (16, 256, 1024))
        or (cell.kind == "batch" and cell.n in (2, 8, 32))
        or (cell.kind in ("gap", "ttft-p99") and cell.n in ("8+1500", 64))
    )
