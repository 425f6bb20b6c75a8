#!/usr/bin/env python3
"""Tables and figures of what bench/winograd.sh measured: `winograd.py FOLDER [--docs]`, standard library only.

FOLDER holds winograd-layers.jsonl and winograd-networks.jsonl, and networks.json when bench/run.sh has measured the peers; what is not there is left
out. Writes winograd.md, winograd-layers.md and winograd-*.svg there; --docs also puts them into docs/performance.md and docs/figures."""
import json
import math
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
NAMES = {"tap": "taps", "f2": "F(2)", "f4": "F(4)", "direct": "direct", "direct_bf16": "direct bf16", "f2_bf16": "F(2) bf16"}
COLOURS = {"direct": "#7f7f7f", "f2": "#1f77b4", "f4": "#2ca02c", "tap": "#9467bd", "direct_bf16": "#c7a37a", "f2_bf16": "#d62728"}
NEAR = 1.1  # a choice within this of the best is as good as the best


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(head, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["-"] * len(head), *rows]) + "\n"


def layer_name(row):
    return f"{row['in']}{'' if row['in'] == row['out'] else '>' + str(row['out'])}@{row['edge']}"


def verdict(row, precision):
    choice = row.get(precision)
    if not choice:
        return "-"
    ratio = row["ms"][choice["rule"]] / row["ms"][choice["best"]]
    return f"{NAMES[choice['rule']]} {ratio:.2f}" if ratio <= NEAR else f"**{NAMES[choice['rule']]} {ratio:.2f}: {NAMES[choice['best']]} is best**"


def layers_table(rows):
    methods = [m for m in NAMES if any(m in row["ms"] for row in rows)]
    text = table(["channels@map", *(NAMES[m] for m in methods), "peak, direct", "rule, f32", "rule, bf16"], [
        [layer_name(row), *(f"{row['ms'][m]:.2f}" if m in row["ms"] else "-" for m in methods), f"{row['peak_ms']:.2f}", verdict(row, "f32"), verdict(row, "bf16")]
        for row in rows])
    choices = [(row, p) for row in rows for p in ("f32", "bf16") if p in row]
    missed = sum(row["ms"][row[p]["rule"]] > NEAR * row["ms"][row[p]["best"]] for row, p in choices)
    return f"Milliseconds with cold weights, one thread; the rule's choice and its time over the best:\n\n{text}\n{len(choices) - missed} of {len(choices)} choices within 10 % of the best.\n"


def number(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}"


def ratio(a, b):
    return "-" if a is None or b is None else f"{a / b:.2f}"


def networks_table(rows):
    native, capped = ([row for row in rows if row["isa"] == isa] for isa in ("native", "AVX2"))
    head = ["model", "direct", "F(2)", "F(4)", "direct / F(2)", "direct / F(4)"]

    def first(row):
        d, f2, f4 = row["ms"][:3]
        return [row["model"], number(d), number(f2), number(f4), ratio(d, f2), ratio(d, f4)]
    text = f"Milliseconds per patch, {rows[0]['threads']} thread(s):\n\n" + table(
        [*head, "bf16, every product", "bf16", "ratio", "weights in memory, MB: direct / F(2) / F(4)"],
        [[*first(row), number(row["ms"][3]), number(row["ms"][4]), ratio(row["ms"][3], row["ms"][4]), " / ".join(f"{b / 1e6:.0f}" for b in row["weight_bytes"][:3])]
         for row in native])
    return text + "\nThe same with `ONEDNN_MAX_CPU_ISA=AVX2`, which caps oneDNN and our kernels alike:\n\n" + table(head, [first(row) for row in capped])


def bars(title, unit, groups, marks=()):
    """groups: [(label, [(series, colour, value)])]; marks: {label: value}, a black line across the group."""
    marks, width, height, left, top = dict(marks), 900, 380, 60, 60
    most = max([value for _, series in groups for _, _, value in series] + list(marks.values()))
    step = 10 ** math.floor(math.log10(most))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if most / s <= 8)
    top_value = math.ceil(most / step) * step
    legend = dict((name, colour) for _, series in groups for name, colour, _ in series)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="10">',
             '<rect width="100%" height="100%" fill="white"/>', f'<text x="{left}" y="18" font-size="14">{title}</text>']
    x = left
    for name, colour in legend.items():
        parts.append(f'<rect x="{x}" y="28" width="11" height="11" fill="{colour}"/><text x="{x + 15}" y="38">{name}</text>')
        x += 30 + 6 * len(name)
    bottom, plot = height - 40, height - 40 - top
    for i in range(round(top_value / step) + 1):
        y = bottom - plot * i * step / top_value
        parts.append(f'<line x1="{left}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/><text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{i * step:g}</text>')
    parts.append(f'<text x="12" y="{top - 8}">{unit}</text>')
    room = (width - 10 - left) / len(groups)
    for g, (label, series) in enumerate(groups):
        start, bar = left + g * room + room * 0.1, room * 0.8 / max(len(series), 1)
        for i, (name, colour, value) in enumerate(series):
            tall = plot * value / top_value
            parts.append(f'<rect x="{start + i * bar:.1f}" y="{bottom - tall:.1f}" width="{bar * 0.92:.1f}" height="{tall:.1f}" fill="{colour}"><title>{label} {name}: {value:.2f}</title></rect>')
        if label in marks:
            y = bottom - plot * marks[label] / top_value
            parts.append(f'<line x1="{start:.1f}" x2="{start + room * 0.8:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="black" stroke-dasharray="3 2"/>')
        parts.append(f'<text x="{start + room * 0.4:.1f}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def layers_figure(rows):
    """Time over that of direct float32, so that layers of all sizes are to be seen side by side."""
    shown = [m for m in COLOURS if any(m in row["ms"] for row in rows)]
    groups = [(layer_name(row), [(NAMES[m], COLOURS[m], row["ms"][m] / row["ms"]["direct"]) for m in shown if m in row["ms"] and row["ms"][m] < 2 * row["ms"]["direct"]])
              for row in rows]
    peaks = [(layer_name(row), row["peak_ms"] / row["ms"]["direct"]) for row in rows]
    return bars("3x3x3 layers, time over direct float32 (cold weights); dashed: direct at the peak of float32", "", groups, peaks)


def networks_figure(report):
    """Speed over that of the fastest peer in float32, so that networks of all sizes are to be seen side by side."""
    rows = [row for row in report["rows"] if row["threads"] == 1 and row["batch"] == 1 and row["results"].get("OncoQuant")]
    colours = {"f32": ("#c7c7c7", "#2ca02c"), "bf16": ("#c7a37a", "#d62728"), "int8": ("#9fc5e8", "#1f4e9c")}

    def fastest(model, precision, ours):
        return min((way["ms_min"] for row in rows if (row["model"], row["precision"]) == (model, precision) for label, ways in row["results"].items()
                    for way in ways if label != "OncoQuant f32" and (label == "OncoQuant") == ours), default=None)

    groups = []
    for model in dict.fromkeys(row["model"] for row in rows):
        yardstick, found = fastest(model, "f32", False), []
        for precision, pair in colours.items():
            times = [(name, colour, fastest(model, precision, ours)) for name, colour, ours in
                     ((f"fastest peer {precision}", pair[0], False), (f"OncoQuant {precision}", pair[1], True))]
            found += [(name, colour, yardstick / ms) for name, colour, ms in times if ms and yardstick]
        groups.append((model, found))
    return bars("Speed over the fastest peer in float32, one thread, one patch at a time", "", groups) if groups else None


def main():
    folder, docs = pathlib.Path(sys.argv[1]), "--docs" in sys.argv[2:]
    layers, networks, peers = lines(folder / "winograd-layers.jsonl"), lines(folder / "winograd-networks.jsonl"), folder / "networks.json"
    made = {}
    if networks:
        made["winograd.md"] = networks_table(networks)
    if layers:
        made["winograd-layers.md"], made["winograd-layers.svg"] = layers_table(layers), layers_figure(layers)
    figure = networks_figure(json.loads(peers.read_text())) if peers.exists() else None
    if figure:
        made["winograd-networks.svg"] = figure
    for name, text in made.items():
        (folder / name).write_text(text)
        if name.endswith(".md"):
            print(text)
        elif docs:
            shutil.copy(folder / name, ROOT / "docs/figures" / name)
    tables = [folder / name for name in made if name.endswith(".md")]
    if docs and tables:
        subprocess.run([sys.executable, ROOT / "bench/peers/document.py", ROOT / "docs/performance.md", *tables], check=True)


main()
