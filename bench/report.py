"""The table and the picture of bench/peers.py's results."""
import html
import re

# Unit, and whether less is better.
UNITS = {
    "decode": ("tokens/s", False),
    "crowded": ("tokens/s", False),
    "batch": ("tokens/s", False),
    "prefill": ("tokens/s", False),
    "http": ("tokens/s", False),
    "sessions": ("tokens/s", False),
    "start": ("s", True),
    "memory": ("MB", True),
}
TITLES = {
    "decode": "Decoding, one sequence",
    "crowded": "Decoding, one sequence, beside programs that want all processors",
    "batch": "Decoding, 8 sequences together",
    "prefill": "Reading a prompt of 256 tokens",
    "http": "Over HTTP: streams of 64 tokens",
    "sessions": "3 sessions of 50 tokens, prompts of 32",
    "start": "Start to ready, file in the page cache",
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
BEGIN, END = "<!-- the table: written by bench/peers.py --render -->", "<!-- the table's end -->"


def number(value):
    for limit, digits in ((0.1, 4), (10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}".replace(",", " ")


def ratio(cell, key="median"):
    """How many times better ours is; None when a side is missing."""
    if "ours" not in cell or "peer" not in cell:
        return None
    ours, peer = cell["ours"][key], cell["peer"][key]
    if cell["lower_is_better"]:
        ours, peer = peer, ours
    return ours / peer if peer > 0 and ours > 0 else None


def fraction(cell):
    limit = cell.get("ours", {}).get("limit")
    return cell["ours"]["best"] / limit if limit else None


def line(cell):
    """For the terminal."""
    parts = []
    for side in ("ours", "peer"):
        if side in cell:
            parts.append(
                f"{side} {number(cell[side]['median'])} (best {number(cell[side]['best'])})"
            )
    if ratio(cell):
        parts.append(f"{ratio(cell):.2f} x")
        if cell["ours"]["date"] != cell["peer"]["date"]:
            parts.append("of different days")
    if fraction(cell):
        parts.append(f"{100 * fraction(cell):.0f} % of the limit {number(cell['ours']['limit'])}")
    return ", ".join(parts)


def label(name):
    kind, model, *n = name.split("/")
    shape, _, weights = model.partition(".")
    text = f"{MODELS.get(shape, shape)} {weights}".strip()
    noun = {"http": "client", "crowded": "busy program"}.get(kind)
    if n and noun:
        text += f", {n[0]} {noun}" + ("s" if n[0] != "1" else "")
    return text


def side_text(cell, side):
    if side not in cell:
        return "-"
    doubt = "?" if cell[side].get("noisy") else ""
    return f"{number(cell[side]['median'])} ({number(cell[side]['best'])}){doubt}"


def table(results, order):
    rows, before = [], None
    for name in order:
        cell = results["cells"].get(name)
        if cell is None:
            continue
        kind = name.split("/")[0]
        if kind != before:
            unit = cell["unit"] + (", less is better" if cell["lower_is_better"] else "")
            rows += [
                "",
                f"**{TITLES[kind]}** ({unit})",
                "",
                "| | SmallMind | llama.cpp | ratio | of the limit |",
                "|---|---:|---:|---:|---:|",
            ]
            before = kind
        r, f = ratio(cell), fraction(cell)
        rows.append(
            f"| {label(name)} | {side_text(cell, 'ours')} | {side_text(cell, 'peer')} | "
            f"{f'{r:.2f}' if r else '-'} | {f'{100 * f:.0f} %' if f else ''} |"
        )
    peer = results.get("peer", "llama.cpp").replace("llama_cpp_python-", "of llama-cpp-python ")
    steal = max(
        (c[s]["steal"] for c in results["cells"].values() for s in ("ours", "peer") if s in c),
        default=0,
    )
    head = (
        f"{results['date']}, {results['cpu']}, {results['threads']} threads; llama.cpp {peer}, "
        "built for this machine. Median (best) of samples taken in turns; "
        f"at most {steal:.1f} % steal in any of them; ?: the machine was not quiet."
    )
    return "\n".join([head, *rows])


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

ROW, LEFT, WIDTH, RIGHT = 18, 250, 430, 150


def svg(results, order):
    cells = [
        (n, results["cells"][n])
        for n in order
        if n in results["cells"] and ratio(results["cells"][n])
    ]
    if not cells:
        return None
    ratios = [ratio(c) for _, c in cells]
    least, most = 0.5, 2.0
    while least > min(ratios):
        least /= 2
    while most < max(ratios):
        most *= 2

    def x(value):
        from math import log2

        return LEFT + WIDTH * log2(value / least) / log2(most / least)

    out, y, before = [], 34, None
    for name, cell in cells:
        kind = name.split("/")[0]
        if kind != before:
            y += 12
            out.append(f'<text x="8" y="{y + 12}" class="t">{html.escape(TITLES[kind])}</text>')
            y += ROW
            before = kind
        r = ratio(cell)
        a, b = sorted((x(1), x(r)))
        out.append(f'<text x="20" y="{y + 12}">{html.escape(label(name))}</text>')
        out.append(
            f'<rect x="{a:.1f}" y="{y + 2}" width="{max(b - a, 1):.1f}" height="{ROW - 6}" '
            f'class="{"g" if r >= 1 else "b"}"/>'
        )
        values = (
            f"{number(cell['ours']['median'])} : {number(cell['peer']['median'])} {cell['unit']}"
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
    title = f"SmallMind against llama.cpp (1 = as fast), {results['date']}, {machine}"
    return picture(LEFT + WIDTH + RIGHT, height, title, [*ticks, *out])


def render(results, order, path):
    """The table between the two marks of a Markdown file, and the picture beside it."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{path} has no marks for the table:\n{BEGIN}\n{END}")
    picture = svg(results, order)
    link = f"\n![How many times llama.cpp's figures]({path.stem.lower()}.svg)\n" if picture else ""
    filled = f"{BEGIN}\n{table(results, order)}\n{link}{END}"
    path.write_text(
        re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: filled, text, flags=re.DOTALL)
    )
    if picture:
        path.with_name(path.stem.lower() + ".svg").write_text(picture)
