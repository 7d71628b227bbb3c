"""The table and the picture of bench/peers.py's results."""
import html
import re
import textwrap

import cells
import results as figures

# Unit, and whether less is better.
UNITS = {
    "decode": ("tokens/s", False),
    "crowded": ("tokens/s", False),
    "batch": ("tokens/s", False),
    "prefill": ("tokens/s", False),
    "context": ("tokens/s", False),
    "context-q8": ("tokens/s", False),
    "http": ("tokens/s", False),
    "ttft-p50": ("ms", True),
    "ttft-p99": ("ms", True),
    "gap": ("ms", True),
    "gap-prompt": ("ms", True),
    "sessions": ("tokens/s", False),
    "start": ("s", True),
    "start-again": ("s", True),
    "memory": ("MB", True),
}
TITLES = {
    "decode": "Decoding, one sequence",
    "crowded": "Decoding, one sequence, beside programs that want all processors",
    "batch": "Decoding, sequences together",
    "prefill": "Reading a prompt",
    "context": "Decoding at a context, keys and values in F16",
    "context-q8": "Decoding at a context, keys and values in 8 bits",
    "http": "Over HTTP: streams of 64 tokens",
    "ttft-p50": "Over HTTP: time to the first token, median",
    "ttft-p99": "Over HTTP: time to the first token, 99th percentile",
    "gap": "Between two tokens of a stream beside a prompt, 99th percentile",
    "gap-prompt": "That prompt's time to its first token",
    "sessions": "3 sessions of 50 tokens, prompts of 32",
    "start": "Start to ready, file in the page cache",
    "start-again": "The same once more, with --pack-cache",
    "memory": "Resident beyond weights and KV cache, 32 streams",
}
MODELS = {
    "smol135": "135M",
    "qwen05": "0.5B",
    "tiny1b": "1.1B",
    "seed": "GPT-2, 4 layers of 256",
    "moe1b": "1B, 8 of 64 experts",
    "gemma270": "270M, windows",
    "qwen35s": "0.8B, states",
    "stories260K": "stories260K",
    "builtin": "built-in",
}
NOUNS = {
    "http": "client",
    "ttft-p50": "client",
    "ttft-p99": "client",
    "crowded": "busy program",
    "prefill": "token",
    "batch": "sequence",
    "context": "position",
    "context-q8": "position",
    "gap": "stream",
    "gap-prompt": "stream",
}
PEERS = ("llama.cpp", "OpenVINO")
BEGIN, END = "<!-- the table: written by bench/peers.py --render -->", "<!-- the table's end -->"


def number(value):
    for limit, digits in ((0.1, 4), (10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}".replace(",", " ")


def share(side):
    """ "81 % of the bandwidth"; nothing where no limit was measured."""
    if "share" not in side:
        return ""
    bound = {"bandwidth": " of the bandwidth", "arithmetic": " of the arithmetic"}
    return f"{100 * side['share']:.0f} %{bound.get(side.get('bound'), '')}"


def line(cell):
    """For the terminal."""
    parts = []
    for name, side in [("ours", cell.get("ours")), *cell.get("peers", {}).items()]:
        if side and "median" in side:
            text = f"{name} {number(side['median'])} (+-{100 * side['spread']:.0f} %"
            parts.append(text + (f", {side['variant']})" if side.get("variant") else ")"))
        elif side:
            parts.append(f"{name} {side['cannot']}")
    r = figures.ratio(cell)
    if r:
        name, peer = figures.best_peer(cell)
        parts.append(f"{r:.2f} x {name}'s")
        if cell["ours"]["date"] != peer["date"]:
            parts.append("of different days")
    if share(cell.get("ours", {})):
        parts.append(f"{share(cell['ours'])} ({number(cell['ours']['limit'])})")
    return ", ".join(parts)


def label(name):
    kind, model, *n = name.split("/")
    kind = kind.split("@")[0]
    shape, _, weights = model.partition(".")
    text = f"{MODELS.get(shape, shape)} {weights}".strip()
    if not n or kind not in NOUNS:
        return text
    count, _, prompt = n[0].partition("+")
    text += f", {number(int(count)) if int(count) > 999 else count} {NOUNS[kind]}"
    return text + ("s" if count != "1" else "") + (f", prompt of {prompt}" if prompt else "")


def side_text(side):
    if not side:
        return "-"
    if "median" not in side:
        return side["cannot"].split(":")[0]
    doubt = "?" if side.get("noisy") else ""
    return f"{number(side['median'])} +-{100 * side['spread']:.0f} %{doubt}"


def kind_title(kind, cpu):
    kept = {"avx2": ", both with AVX2 alone", "avx512": ", both with AVX-512 and without AMX"}
    return TITLES[kind] + kept.get(cpu, "")


def row(name, cell):
    r = figures.ratio(cell)
    ours, peers = cell.get("ours", {}), cell.get("peers", {})
    columns = [label(name), side_text(ours), *(side_text(peers.get(p)) for p in PEERS)]
    return f"| {' | '.join(columns)} | {f'{r:.2f}' if r else '-'} | {share(ours)} |"


def table(results, order):
    rows, before = [], None
    for cell in order:
        found = results["cells"].get(cell.name)
        if found is None:
            continue
        if (cell.kind, cell.cpu) != before:
            unit = found["unit"] + (", less is better" if found["lower_is_better"] else "")
            rows += [
                "",
                f"**{kind_title(cell.kind, cell.cpu)}** ({unit})",
                "",
                "| | SmallMind | llama.cpp | OpenVINO | ratio to the best | of the limit |",
                "|---|---:|---:|---:|---:|---:|",
            ]
            before = cell.kind, cell.cpu
        rows.append(row(cell.name, found))
    return "\n".join([heading(results), *rows])


def heading(results):
    peer = results.get("peer", "llama.cpp").replace("llama_cpp_python-", "of llama-cpp-python ")
    steal = max((s["steal"] for c in results["cells"].values() for s in measured(c)), default=0)
    openvino = ""
    if "openvino" in results:
        facts = results["openvino"]
        openvino = (
            f" OpenVINO GenAI {facts['version'].split('-')[0]} computes in"
            f" {facts['inference_precision_hint']} and keeps keys and values in"
            f" {facts['kv_cache_precision']}, as it does when nothing is said."
        )
    text = (
        f"{results['date']}, {results['cpu']}, {results['threads']} threads; llama.cpp {peer}, "
        f"built for this machine.{openvino} Medians of samples taken in turns, +- half of what "
        f"lies between the least and the most; at most {steal:.1f} % steal in any of them; ?: the "
        "machine was not quiet. The ratio is to the better of both peers."
    )
    return textwrap.fill(text, 100)


def measured(cell):
    return [s for s in (cell.get("ours", {}), *cell.get("peers", {}).values()) if "steal" in s]


STYLE = (
    "text{font:12px sans-serif;fill:#333}.t{font-weight:bold}"
    ".v{fill:#555;font-size:11px}.g{fill:#3a7d44}"
    ".b{fill:#b5523b}.l{stroke:#ddd}.o{stroke:#333}"
)


def picture(width, height, title, parts):
    """An SVG file of our pictures' look; parts: its elements, as text."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}">',
            f"<style>{STYLE}</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="8" y="12" class="t">{html.escape(title)}</text>',
            *parts,
            "</svg>",
            "",
        ]
    )


# --- the picture: how many times the peer's figure, on a logarithmic scale ---

ROW, LEFT, WIDTH, RIGHT = 18, 270, 410, 230


def svg(results, order):
    found = [
        (c, results["cells"][c.name])
        for c in order
        if cells.in_picture(c)
        and c.name in results["cells"]
        and figures.ratio(results["cells"][c.name])
    ]
    if not found:
        return None
    ratios = [figures.ratio(f) for _, f in found]
    least, most = 0.5, 2.0
    while least > min(ratios):
        least /= 2
    while most < max(ratios):
        most *= 2

    def x(value):
        from math import log2

        return LEFT + WIDTH * log2(value / least) / log2(most / least)

    out, y, before = [], 34, None
    for place, cell in found:
        kind, name = place.kind, place.name
        if kind != before:
            y += 12
            out.append(f'<text x="8" y="{y + 12}" class="t">{html.escape(TITLES[kind])}</text>')
            y += ROW
            before = kind
        r = figures.ratio(cell)
        a, b = sorted((x(1), x(r)))
        out.append(f'<text x="20" y="{y + 12}">{html.escape(label(name))}</text>')
        out.append(
            f'<rect x="{a:.1f}" y="{y + 2}" width="{max(b - a, 1):.1f}" height="{ROW - 6}" '
            f'class="{"g" if r >= 1 else "b"}"/>'
        )
        best, peer = figures.best_peer(cell)
        values = (
            f"{number(cell['ours']['median'])} : {number(peer['median'])} {cell['unit']}, {best}"
        )
        out.append(
            f'<text x="{max(b, x(1)) + 6:.1f}" y="{y + 12}" class="v">'
            f'{r:.2f}  ({html.escape(values)})</text>'
        )
        y += ROW
    height, ticks, tick = y + 16, [], least
    while tick <= most * 1.001:
        mark = "o" if abs(tick - 1) < 1e-9 else "l"
        ticks.append(
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="30" y2="{y + 4}" class="{mark}"/>'
            f'<text x="{x(tick):.1f}" y="26" text-anchor="middle">{tick:g}</text>'
        )
        tick *= 2
    machine = f"{results['cpu']}, {results['threads']} threads"
    title = f"SmallMind against the best of its peers (1 = as fast), {results['date']}, {machine}"
    return picture(LEFT + WIDTH + RIGHT, height, title, [*ticks, *out])


def render(results, order, path):
    """The table between the two marks of a Markdown file, and the picture beside it."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{path} has no marks for the table:\n{BEGIN}\n{END}")
    drawn = svg(results, order)
    link = ""
    if drawn:
        link = f"\n![How many times the best peer's figures]({path.stem.lower()}.svg)\n"
    filled = f"{BEGIN}\n{table(results, order)}\n{link}{END}"
    path.write_text(
        re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: filled, text, flags=re.DOTALL)
    )
    if drawn:
        path.with_name(path.stem.lower() + ".svg").write_text(drawn)
