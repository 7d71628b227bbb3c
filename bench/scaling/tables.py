"""The tables and the picture of docs/SCALING.md, out of what bench/scaling/scaling.py found."""
import html
import math
import re
import textwrap

import report

COLOURS = {"random": "#999999", "least connections": "#b5523b", "prefix hash": "#3a7d44",
           "cache-aware": "#2f6db5"}
NAMES = {"builtin": "built-in, 3M Q8_0", "smol135.Q4_0": "135M Q4_0", "tiny1b.Q4_0": "1.1B Q4_0"}


def seconds(value):
    return f"{value * 1e3:.0f} ms" if value < 0.9995 else f"{value:.2f} s"


def fine(value):
    """Seconds that may be few microseconds."""
    return f"{value * 1e3:.2f} ms" if value < 0.01 else seconds(value)


def size(n):
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"


def percent(value):
    return f"{100 * value:.0f} %"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|",
                      *("| " + " | ".join(str(c) for c in row) + " |" for row in rows)])


def sizes(found):
    """The arithmetic, line by line, a column for each model."""
    rows, pace = list(found["rows"].values()), found["pace"]
    number = report.number
    lines = [
        ("prompt tokens/s", lambda r: number(r["read_rate"])),
        ("a step of 1 sequence; of 8", lambda r: f"{fine(r['step_1'])}; {fine(r['step_8'])}"),
        ("a prompt's tokens; new ones, N", lambda r: f"{r['prompt']:.0f}; {r['new']}"),
        ("reading them, R", lambda r: fine(r["read"])),
        (f"most clients n with A / (A D(n) + n R) >= {pace:g}",
         lambda r: f"{r['clients']}" + (" (the most)" if r["clients"] == r["most"] else "")),
        ("their step, D(n)", lambda r: fine(r["step"])),
        ("tokens/s for each of them", lambda r: number(r["each"])),
        ("the same, simulated", lambda r: number(r["pace"])),
        ("first token p50, simulated", lambda r: fine(r["first"])),
        ("answers/s", lambda r: number(r["answers"])),
        ("weights", lambda r: size(r["weights"])),
        ("KV a token", lambda r: f"{r['per_token'] / 1e3:.1f} KB"),
        ("KV tokens: n (N + A) + shared beginnings", lambda r: number(r["positions"])),
        ("KV memory", lambda r: size(r["positions"] * r["per_token"])),
        ("buffers, vocabulary, program", lambda r: size(r["other"])),
        ("**memory for them**", lambda r: f"**{size(r['memory'])}**"),
        ("KV tokens that one more GB holds", lambda r: number(r["per_gb"])),
    ]
    return table(["one core", *(NAMES.get(name, name) for name in found["rows"])],
                 [[text, *(of(r) for r in rows)] for text, of in lines])


def measured(found):
    def error(real, simulated):
        return f"{100 * (simulated / real - 1):+.0f} %" if real else "-"

    rows = []
    for p in found["points"]:
        a, b = p["measured"], p["simulated"]
        rows.append([p["name"], report.number(a["tokens_per_second"]),
                     f"{report.number(b['tokens_per_second'])} "
                     f"({error(a['tokens_per_second'], b['tokens_per_second'])})",
                     seconds(a["first_p50"]),
                     f"{seconds(b['first_p50'])} ({error(a['first_p50'], b['first_p50'])})",
                     seconds(a["first_p99"]), seconds(b["first_p99"]), percent(a["hit"]),
                     percent(b["hit"]), percent(a["refused"]), percent(b["refused"])])
    head = ["3 replicas".replace("3", str(found["replicas"])), "tokens/s", "simulated",
            "first token p50", "simulated", "p99", "simulated", "prefix hits", "simulated",
            "refused", "simulated"]
    p = found
    said = (f"{p['date']}, {p['machine']['cpu']}, {p['model']}; {p['how']}; load average "
            f"{p['load_average']:.1f} before it began (what other programs wanted of the same "
            "processors: the nearer to 0, the more the comparison says).")
    a, b = p["points"][0]["measured"], p["points"][0]["simulated"]
    first = (f"In the first line, the load that one should plan for, the simulation is off by "
             f"{error(a['tokens_per_second'], b['tokens_per_second'])} in tokens/s, "
             f"{error(a['first_p50'], b['first_p50'])} in the first token's p50 and "
             f"{error(a['first_p99'], b['first_p99'])} in its p99.")
    return f"{textwrap.fill(said, 100)}\n\n{table(head, rows)}\n\n{textwrap.fill(first, 100)}"


def curve(found):
    rows = []
    for c in found:
        rows.append([c["replicas"], c["routing"], report.number(c["tokens_per_second"]),
                     seconds(c["first_p50"]), seconds(c["first_p99"]), percent(c["hit"]),
                     percent(c["utilization"]), percent(c["refused"])])
    return table(["replicas", "routing", "tokens/s", "first token p50", "p99", "prefix hits",
                  "busy", "refused"], rows)


def losses(found):
    rows = [[c["replicas"], c["routing"], seconds(c["calm_p99"]), seconds(c["first_p50"]),
             seconds(c["first_p99"]), c["resumed"], percent(c["refused"])] for c in found]
    return table(["replicas, one lost for 30 s", "routing", "first token p99 without it",
                  "p50 of those 30 s", "p99 of those 30 s",
                  "answers begun anew or gone on elsewhere", "refused"], rows)


# --- the picture: three panels over the number of replicas ---

WIDTH, HEIGHT, LEFT, TOP, GAP = 250, 230, 56, 46, 72


class Scale:
    """A logarithmic axis, or a linear one, of `length` pixels from `start`."""

    def __init__(self, low, high, start, length, is_log=True):
        self.is_log, self.start, self.length = is_log, start, length
        self.low, self.high = (math.log10(low), math.log10(high)) if is_log else (low, high)

    def __call__(self, value):
        v = math.log10(max(value, 1e-9)) if self.is_log else value
        part = (v - self.low) / (self.high - self.low or 1)
        return self.start + self.length * min(max(part, 0), 1)


def decades(values):
    return (10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values))))


def tick_text(value, unit):
    if unit == "%":
        return f"{100 * value:g} %"
    if unit == "s":
        return f"{1e3 * value:g} ms" if value < 1 else f"{value:g} s"
    return f"{value:,.0f}".replace(",", " ")


def circle(x, y, is_measured):
    look = 'r="5" fill="#fff" stroke="#000" stroke-width="2"' if is_measured else 'r="3.5"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" {look}/>'


def panel(left, title, curves, dots, unit, x_scale):
    """curves: {name: [(replicas, value)]}; dots: [(replicas, value, whether it was measured)]."""
    values = [v for points in [*curves.values(), [d[:2] for d in dots]] for _, v in points]
    is_log = unit != "%"
    low, high = decades([max(v, 1e-3) for v in values]) if is_log else (0, 1)
    y = Scale(low, high, TOP + HEIGHT, -HEIGHT, is_log)
    out = [f'<text x="{left}" y="{TOP - 10}" class="t">{html.escape(title)}</text>']
    ticks = ([10 ** k for k in range(round(math.log10(low)), round(math.log10(high)) + 1)]
             if is_log else [0, 0.25, 0.5, 0.75, 1])
    for tick in ticks:
        out.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
                   f'class="l"/><text x="{left - 4}" y="{y(tick) + 4:.1f}" text-anchor="end" '
                   f'class="v">{tick_text(tick, unit)}</text>')
    for tick in (1, 10, 100, 1000):
        at = left + x_scale(tick)
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{TOP + HEIGHT}" class="l"/>'
                   f'<text x="{at:.1f}" y="{TOP + HEIGHT + 15}" text-anchor="middle" class="v">'
                   f'{tick}</text>')
    for name, points in curves.items():
        line = " ".join(f"{left + x_scale(n):.1f},{y(v):.1f}" for n, v in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[name]}" '
                   'stroke-width="2"/>')
    return out + [circle(left + x_scale(n), y(v), is_measured) for n, v, is_measured in dots]


def svg(found, point, subtitle):
    """point: the measured replicas of the same load, or None."""
    names = [n for n in COLOURS if any(c["routing"] == n for c in found)]
    x_scale = Scale(1, max(c["replicas"] for c in found), 0, WIDTH)
    out = []
    panels = (("Tokens a second", "tokens_per_second", ""),
              ("First token, p50", "first_p50", "s"), ("First token, p99", "first_p99", "s"),
              ("Prefix hits", "hit", "%"))
    for i, (title, key, unit) in enumerate(panels):
        curves = {n: [(c["replicas"], c[key]) for c in found if c["routing"] == n] for n in names}
        dots = [(point["replicas"], point[side][key], side == "measured")
                for side in ("measured", "simulated")] if point else []
        out += panel(LEFT + i * (WIDTH + GAP), title, curves, dots, unit, x_scale)
    y = TOP + HEIGHT + 38
    for i, name in enumerate(names):
        out.append(f'<rect x="{LEFT + i * 160}" y="{y - 9}" width="20" height="5" '
                   f'fill="{COLOURS[name]}"/><text x="{LEFT + 26 + i * 160}" y="{y - 2}">'
                   f'{html.escape(name)}</text>')
    x = LEFT + len(names) * 160
    if point:
        out += [circle(x + 8, y - 6, True), circle(x + 260, y - 6, False)]
        out.append(f'<text x="{x + 20}" y="{y - 2}">measured: {point["replicas"]} replicas, prefix '
                   f'hash</text><text x="{x + 270}" y="{y - 2}">these very ones, simulated</text>')
    right = LEFT + 4 * (WIDTH + GAP)
    return report.picture(right, y + 12, f"Over the number of replicas: {subtitle}", out)


def fill(path, parts):
    """Each part between its two marks in a Markdown file."""
    text = path.read_text()
    for name, part in parts.items():
        begin, end = f"<!-- {name}: written by make scaling -->", f"<!-- the end of {name} -->"
        if begin not in text or end not in text:
            raise SystemExit(f"{path} has no marks for {name}:\n{begin}\n{end}")
        filled = f"{begin}\n{part}\n{end}"
        text = re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _, f=filled: f, text,
                      flags=re.DOTALL)
    path.write_text(text)
