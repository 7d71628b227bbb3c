"""How bench/peers.py measures each kind of cell: for every program a function that makes one sample
of a whole group of cells, {cell's name: {"value": ..., ...}}.

Drivers and servers start when the sides are made, outside of what is watched; those of OpenVINO
stay for the next group.
"""
import collections
import copy
import pathlib
import tempfile
import time

import programs
from results import OURS

LLAMA, OPENVINO, BEFORE = "llama.cpp", "OpenVINO", "before"
TINY = {"seed.F32", "seed.Q8_0", "stories260K", "builtin"}
CONTEXT = 256  # positions of each of the peer's slots; what a cell uses, and some
GAP_CONTEXT = 2048  # the same beside a prompt of 1,500 tokens
DRIVERS = 3  # of OpenVINO, loaded at once
LARGE = 300e6  # bytes of a file from which on samples are shorter


def wants(o, side):
    """--only: nothing, ours, peer, or one peer's name."""
    if o.only == "peer":
        return side != OURS
    return o.only is None or o.only == side


# variant: what else a peer was measured with ("1 thread"); the best one counts.
Side = collections.namedtuple("Side", "name variant sample", defaults=[""])


class Sides:
    """sides: of a group; refusals: (side, variant, why) of peers that cannot take part; servers:
    those that stay up meanwhile; close: ends them."""

    def __init__(self):
        self.sides, self.refusals, self.servers, self.keep = [], [], [], []

    def add(self, name, sample, variant=""):
        self.sides.append(Side(name, variant, sample))

    def refuse(self, name, reason, variant=""):
        self.refusals.append((name, variant, reason))

    def start(self, make):
        self.servers.append(make())
        return self.servers[-1]

    def close(self):
        for server in self.servers:
            if server not in self.keep:
                server.stop()


class Drivers:
    """OpenVINO's, by model and options: the ones used last stay, since loading takes long."""

    def __init__(self, python, threads):
        self.python, self.threads, self.loaded = python, threads, collections.OrderedDict()
        self.refused = {}

    def get(self, model, *flags):
        key = model, flags
        if key in self.refused:
            raise programs.CannotRead(self.refused[key])
        driver = self.loaded.pop(key, None)
        if driver is not None and driver.process.poll() is not None:
            driver = None
        while driver is None and len(self.loaded) >= DRIVERS:
            self.loaded.popitem(last=False)[1].stop()
        try:
            self.loaded[key] = driver or programs.OpenVino(self.python, model, self.threads, flags)
        except programs.CannotRead as error:
            self.refused[key] = str(error)
            raise
        return self.loaded[key]


def folder_of(o, cpu):
    """Where the peer's programs lie that were built for an instruction set."""
    return o.peers.with_name(f"bin-{cpu}") if cpu else o.peers


def our_flags(group, o, *more):
    return ["--threads", o.n_threads, *(["--cpu", group.cpu] if group.cpu else []), *more]


def peer_threads(group, o):
    """More threads may slow the peer down where the model is tiny: the better count is taken."""
    return sorted({1, o.n_threads}) if group.model in TINY else [o.n_threads]


def add_openvino(made, group, o, sample, variant="", flags=()):
    """A side whose samples are sample(driver); a refusal where it cannot read the file. Only where
    nothing is said of the instruction set: it chooses its own."""
    if group.cpu or not wants(o, OPENVINO):
        return
    try:
        driver = o.drivers.get(o.path, *flags)
    except programs.CannotRead as error:
        made.refuse(OPENVINO, f"cannot read it: {error}", variant)
        return
    except programs.Failure as error:
        made.refuse(OPENVINO, str(error), variant)
        return
    made.servers.append(driver)
    made.keep.append(driver)
    o.facts[OPENVINO] = driver.facts
    made.add(OPENVINO, lambda: sample(driver), variant)


def each(group, question):
    """A sample that asks a driver `question(cell)`, a dictionary, for each cell."""
    return lambda driver: {
        c.name: {"value": driver.ask(**question(c))["rate"]} for c in group.cells
    }


# --- programs that measure themselves ---


def our_cells(group, path, o, name_of, *flags):
    """A sample by `smallmind bench`, whose cells are called name_of(cell)."""
    names = {c.name: name_of(c) for c in group.cells}
    flags = our_flags(group, o, *flags, *(["--quick"] if o.quick else []))
    found, machine = programs.our_bench(o.ours, path, list(dict.fromkeys(names.values())), flags)
    out = {}
    for cell, name in names.items():
        row = found[name]
        out[cell] = {
            "value": row["tokens_per_second"],
            "limit": row["limit_tokens_per_second"],
            "bound": row.get("bound", ""),
            "gb_s": machine["dram_gb_s"],
        }
    return out


def seconds_of(o):
    """Of OpenVINO's rounds; the others are as long by themselves."""
    return 0.1 if o.quick else 1.0


def is_large(path):
    return path.stat().st_size > LARGE


def prefill_sides(group, path, o):
    made, lengths = Sides(), [c.n for c in group.cells]
    short = [n for n in lengths if n <= 512]
    long = [n for n in lengths if n > 512]

    def llama():
        rates = {}
        for some, rounds in ((short, 2), (long, 1 if is_large(path) else 2)):
            if some:
                flags = ["-p", ",".join(map(str, some)), "-n", 0]
                folder = folder_of(o, group.cpu)
                rates |= programs.llama_bench(folder, path, o.n_threads, rounds, flags)
        return {c.name: {"value": rates[c.n, 0, 0]} for c in group.cells}

    openvino = each(group, lambda c: {"do": "prefill", "n": c.n, "seconds": seconds_of(o)})
    made.add(OURS, lambda: our_cells(group, path, o, lambda c: f"prefill {c.n}"))
    made.add(LLAMA, llama)
    add_openvino(made, group, o, openvino)
    add_openvino(made, group, o, openvino, "stateful", ["--backend", "stateful"])
    return made


def decode_sides(group, path, o):
    """One sequence from its first token on; beside n busy programs, where the cell says so."""
    made, [cell] = Sides(), group.cells
    tokens = 24 if o.quick or is_large(path) else 96

    def beside(sample, *args):
        with programs.busy(cell.n if cell.kind == "crowded" else 0):
            return sample(*args)

    def ours():
        found = our_cells(group, path, o, lambda c: "decode at 0")
        if cell.kind == "crowded":
            del found[cell.name]["limit"]  # measured in the same crowd
        return found

    def llama(threads):
        flags = ["-p", 0, "-n", tokens]
        rounds = 1 if o.quick else 2
        rates = programs.llama_bench(folder_of(o, group.cpu), path, threads, rounds, flags)
        return {cell.name: {"value": rates[0, tokens, 0]}}

    def question(_):
        return {"do": "decode", "tokens": tokens, "seconds": seconds_of(o)}

    made.add(OURS, lambda: beside(ours))
    for threads in peer_threads(group, o):
        made.add(LLAMA, lambda t=threads: beside(llama, t), f"{threads} threads")
    if cell.kind == "decode":
        add_openvino(made, group, o, each(group, question))
    return made


def context_sides(group, path, o):
    """One sequence that is n positions in already; both with the same type of keys and values."""
    made, is_q8 = Sides(), group.kind == "context-q8"
    tokens = 16 if o.quick else 32
    depths = ",".join(str(c.n) for c in group.cells)
    room = max(c.n for c in group.cells) + 256

    def ours():
        flags = ["--kv-type", "q8" if is_q8 else "f16", "--context", room]
        return our_cells(group, path, o, lambda c: f"decode at {c.n}", *flags)

    def llama():
        flags = ["-p", 0, "-n", tokens, "-d", depths, "-fa", "on"]
        flags += ["-ctk", "q8_0", "-ctv", "q8_0"] if is_q8 else []
        rates = programs.llama_bench(folder_of(o, group.cpu), path, o.n_threads, 1, flags)
        return {c.name: {"value": rates[0, tokens, c.n]} for c in group.cells}

    def question(cell):
        return {"do": "decode", "context": cell.n, "tokens": tokens, "seconds": seconds_of(o)}

    made.add(OURS, ours)
    made.add(LLAMA, llama)
    add_openvino(made, group, o, each(group, question), "", () if is_q8 else ["--kv", "f16"])
    return made


def batch_sides(group, path, o):
    made, tokens = Sides(), 12 if o.quick or is_large(path) else 48

    def llama():
        counts = [c.n for c in group.cells]
        folder = folder_of(o, group.cpu)
        rates = programs.llama_batched_bench(folder, path, o.n_threads, counts, tokens)
        return {c.name: {"value": rates[c.n]} for c in group.cells}

    def question(cell):
        return {"do": "batch", "n": cell.n, "tokens": tokens, "seconds": seconds_of(o)}

    def name(cell):
        return f"batch {cell.n}" if cell.n > 1 else "decode at 0"

    made.add(OURS, lambda: our_cells(group, path, o, name))
    made.add(LLAMA, llama)
    add_openvino(made, group, o, each(group, question))
    return made


# --- servers ---


def http_sides(group, path, o):
    """Both servers stay up: the one that is not asked has nothing to do."""
    made, first = Sides(), group.cells[0]
    tokens, ids = (50, 32) if group.kind == "sessions" else (64, 0)
    room = CONTEXT // 2 if group.kind == "sessions" else CONTEXT
    seconds, warm = (2, 0.5) if o.quick else (5 + first.n / 8, 1 + first.n / 32)
    figures = {"ttft-p50": "first_token_ms_p50", "ttft-p99": "first_token_ms_p99"}

    def sample(server):
        found = programs.load(o.http_load, server, first.n, tokens, seconds, warm, ids)
        details = {}
        if not server.openai:
            details["allocations"], details["made"] = programs.our_allocations(server)
        return {
            c.name: {"value": found[figures.get(c.kind, "tokens_per_second")], **details}
            for c in group.cells
        }

    try:
        if wants(o, OURS):
            ours = made.start(lambda: programs.our_server(o.ours, path, our_flags(group, o)))
            made.add(OURS, lambda: sample(ours))
        for threads in peer_threads(group, o) if wants(o, LLAMA) else []:
            server = made.start(
                lambda t=threads: programs.llama_server(o.peers, path, t, first.n, room)
            )
            made.add(LLAMA, lambda s=server: sample(s), f"{threads} threads")
    except BaseException:
        made.close()
        raise
    if group.kind == "http" and wants(o, OPENVINO):
        made.refuse(OPENVINO, "has no server of its own")
    return made


def gap_sides(group, path, o):
    """The streams' 99th percentile of a gap while a prompt is read beside them, and how long that
    prompt takes."""
    made, streams = Sides(), int(group.cells[0].n.split("+")[0])
    lengths = sorted({int(c.n.split("+")[1]) for c in group.cells})
    seconds, warm = (3, 0.5) if o.quick else (8, 1)

    def cells_of(found):
        """found: figures by the prompt's length."""
        out = {}
        for cell in group.cells:
            f = found[int(cell.n.split("+")[1])]
            if not f["prompts"]:
                raise programs.Failure("no prompt was answered in time")
            value = f["gap_beside_ms_p99" if cell.kind == "gap" else "prompt_ms_p50"]
            out[cell.name] = {"value": value, "alone": f["gap_ms_p99"], "prompts": f["prompts"]}
        return out

    def sample(server):
        return cells_of(
            {
                n: programs.load(o.http_load, server, streams, 256, seconds, warm, 0, n)
                for n in lengths
            }
        )

    def openvino(driver):
        question = {"do": "gap", "streams": streams, "seconds": seconds}
        return cells_of({n: driver.ask(**question, prompt=n) for n in lengths})

    try:
        if wants(o, OURS):
            ours = made.start(lambda: programs.our_server(o.ours, path, our_flags(group, o)))
            made.add(OURS, lambda: sample(ours))
        if wants(o, LLAMA):
            peer = made.start(
                lambda: programs.llama_server(
                    o.peers, path, o.n_threads, streams + 1, GAP_CONTEXT
                )
            )
            made.add(LLAMA, lambda: sample(peer))
    except BaseException:
        made.close()
        raise
    # Its own share of a step for prompts, where the other cells leave a step as long as it likes.
    add_openvino(made, group, o, openvino, "", ["--step", 256])
    return made


def kept_packs(path, o, group):
    """A folder with the packed weights of this model, as a first start leaves it."""
    folder = tempfile.TemporaryDirectory(prefix="bench-packs-")
    server = programs.our_server(o.ours, path, our_flags(group, o, "--pack-cache", folder.name))
    try:
        end = time.monotonic() + 120
        while not list(pathlib.Path(folder.name).glob("*.pack")):
            if time.monotonic() > end:
                raise programs.Failure("no packed weights were kept in two minutes")
            time.sleep(0.05)
    finally:
        server.stop()
    return folder


def start_sides(group, path, o):
    """Until a server is ready, the file being in the page cache; again: with what an earlier start
    kept on disk, where the program keeps something."""
    made, [cell] = Sides(), group.cells
    is_again = group.kind == "start-again"
    path.read_bytes()
    packs = kept_packs(path, o, group) if is_again and wants(o, OURS) else None
    cache = tempfile.TemporaryDirectory(prefix="bench-openvino-") if is_again else None

    def sample(make):
        server = make()
        server.stop()
        return {cell.name: {"value": server.seconds}}

    def ours():
        flags = our_flags(group, o, *(["--pack-cache", packs.name] if packs else []))
        return sample(lambda: programs.our_server(o.ours, path, flags))

    def openvino():
        flags = ["--cache", cache.name] if cache else []
        return sample(lambda: programs.OpenVino(o.openvino, path, o.n_threads, flags))

    made.add(OURS, ours)
    made.add(
        LLAMA,
        lambda: sample(lambda: programs.llama_server(o.peers, path, o.n_threads, 32, CONTEXT)),
    )
    if wants(o, OPENVINO):
        try:
            openvino()  # can it read the file; and fills the cache
            made.add(OPENVINO, openvino)
        except programs.CannotRead as error:
            made.refuse(OPENVINO, f"cannot read it: {error}")
        except programs.Failure as error:
            made.refuse(OPENVINO, str(error))
    return made


def memory_sides(group, path, o):
    made, [cell] = Sides(), group.cells

    def sample(make, overhead):
        server = make()
        try:
            programs.load(o.http_load, server, cell.n, 64, 2 if o.quick else 5, 0)
            return {cell.name: {"value": overhead(server, path) * 1e-6}}
        finally:
            server.stop()

    def llama():
        return programs.llama_server(o.peers, path, o.n_threads, cell.n, CONTEXT, ["-lv", 4])

    made.add(
        OURS,
        lambda: sample(
            lambda: programs.our_server(o.ours, path, our_flags(group, o)), programs.our_overhead
        ),
    )
    made.add(LLAMA, lambda: sample(llama, programs.llama_overhead))
    return made


MAKE = {
    "prefill": prefill_sides,
    "decode": decode_sides,
    "crowded": decode_sides,
    "batch": batch_sides,
    "context": context_sides,
    "context-q8": context_sides,
    "http": http_sides,
    "sessions": http_sides,
    "gap": gap_sides,
    "start": start_sides,
    "start-again": start_sides,
    "memory": memory_sides,
}


def of_group(group, path, o):
    """The sides that are wanted; with --before, ours as it is and as it was."""
    o.path = path
    if o.before is None:
        made = MAKE[group.kind](group, path, o)
        made.sides = [s for s in made.sides if wants(o, s.name)]
        return made
    made = Sides()
    for name, program in ((OURS, o.ours), (BEFORE, o.before)):
        alone = copy.copy(o)
        alone.only, alone.ours = OURS, program
        one = MAKE[group.kind](group, path, alone)
        made.sides += [Side(name, "", s.sample) for s in one.sides if s.name == OURS]
        made.servers += one.servers
    return made
