"""The tables of one or more contests of compare.py: `python tables.py networks.json... > networks.md`.

Several reports are read as one where a case (model, precision, threads, patches at a time) was measured in more than one contest, as when a
peer was added later. Times are the best of all; a ratio is always taken within one contest, and the least favourable one to us counts.
"""
import json
import pathlib
import sys

import machine

MODELS = ("ct-fm", "vista3d", "fmcib", "merlin", "astra", "models-genesis", "suprem", "pasta", "voco", "ct-clip")  # in the order of the tables
# A column -> the ways to run it, the precisions it has.
PEERS = {
    "PyTorch eager": (("torch-eager", "torch-eager-channels-last"), ("f32", "bf16")),
    "PyTorch compile": (("torch-compile",), ("f32", "bf16")),
    "ONNX Runtime": (("onnxruntime",), ("f32", "int8")),
    "OpenVINO": (("openvino-batch", "openvino-requests"), ("f32", "bf16", "int8")),
}
OURS, YARDSTICK = "OncoQuant", "OncoQuant f32"
CASE = ("precision", "threads", "batch")


def best(row, label):
    ways = row["results"].get(label)
    return min(ways, key=lambda way: way["ms_min"]) if ways else None


def best_of(rows, label):
    found = [way for way in (best(row, label) for row in rows) if way]
    return min(found, key=lambda way: way["ms_min"]) if found else None


def ratio(rows, labels):
    """Time of the fastest of `labels` over ours, in the contest where that is least."""
    found = [best(row, label)["ms_min"] / best(row, OURS)["ms_min"] for row in rows if best(row, OURS) for label in labels if best(row, label)]
    return min(found, default=None)


def table(head, lines):
    return ["| " + " | ".join(head) + " |", "|" + "-|" * len(head), *("| " + " | ".join(line) + " |" for line in lines), ""]


def cell(way, text):
    return text(way) if way else "-"


def milliseconds(way):
    return f"{way['ms_min']:.1f} ({way['ms_median']:.1f})"


def times(cases, precision, threads, batch):
    """One table of a case; empty without rows. cases: (model, precision, threads, batch) -> rows"""
    chosen = {key[0]: rows for key, rows in cases.items() if key[1:] == (precision, threads, batch)}
    if not chosen:
        return []
    peers = [label for label in PEERS if any(best_of(rows, label) for rows in chosen.values())]
    head = ["model", *peers, OURS, "fastest peer / OncoQuant"] + (["our f32 / OncoQuant"] if precision != "f32" else [])
    lines = []
    for model, rows in chosen.items():
        over, own = ratio(rows, PEERS), ratio(rows, [YARDSTICK])
        line = [model, *(cell(best_of(rows, label), milliseconds) for label in (*peers, OURS)), f"**{over:.2f}**" if over else "-"]
        lines.append(line + ([f"{own:.2f}" if own else "-"] if precision != "f32" else []))
    count = lambda n, what: f"{n} {what}" + ("es" if n > 1 and what == "patch" else "s" if n > 1 else "")
    return [f"{precision}, {count(threads, 'thread')}, {count(batch, 'patch')} at a time:", "", *table(head, lines)]


def by_model(cases, text):
    """The first case of threads and batch, a column for each peer in float32 and for each precision of ours."""
    first = min(key[2:] for key in cases)
    precisions = [p for p in ("f32", "bf16", "int8") if any(key[1:] == (p, *first) for key in cases)]
    models = list(dict.fromkeys(key[0] for key in cases))
    get = lambda model, precision: cases.get((model, precision, *first), [])
    columns = [(label, "f32") for label in PEERS if any(best_of(get(model, "f32"), label) for model in models)] + [(OURS, p) for p in precisions]
    head = ["model", *(label if label != OURS else f"{label} {precision}" for label, precision in columns)]
    return table(head, [[model, *(cell(best_of(get(model, precision), label), text) for label, precision in columns)] for model in models])


def span(values, text):
    return text(min(values)) if min(values) == max(values) else f"{text(min(values))} to {text(max(values))}"


def origin(reports):
    """How all of them were measured."""
    rounds, seconds, busy = ([report[name] for report in reports] for name in ("rounds", "seconds", "busy"))
    return (f"{span(rounds, str)} round{'s' if max(rounds) > 1 else ''} of {span(seconds, '{:g}'.format)} s for each contestant, at least one run; "
            f"{span([round(100 * share) for share in busy], str)} % of the processors were busy with something else before a contest began.")


def markdown(reports):
    cases = {}
    rows = [row for report in reports for row in report["rows"]]
    for row in sorted(rows, key=lambda row: (*MODELS, row["model"]).index(row["model"])):
        cases.setdefault((row["model"], *(row[name] for name in CASE)), []).append(row)
    lines = machine.markdown(reports[0]["machine"]) + [origin(reports), ""]
    apart = sorted({key[0] for key, rows in cases.items() if not all(row["together"] for row in rows)})
    lines += [f"One contestant after another, for want of memory: {', '.join(apart)}.", ""] if apart else []
    lines += ["Milliseconds per patch, minimum (median). The last columns: the time of the fastest peer, and of our own float32 in the same contest, over ours; more than 1 means that OncoQuant is faster.", ""]
    for precision, threads, batch in sorted({key[1:] for key in cases}, key=lambda case: (("f32", "bf16", "int8").index(case[0]), *case[1:])):
        lines += times(cases, precision, threads, batch)
    lines += ["Largest relative L2 difference of an embedding from the same network in float64:", ""]
    lines += by_model(cases, lambda way: "-" if way["relative_l2"] is None else f"{way['relative_l2']:.1e}")
    lines += ["Peak memory of the process (MB), loading included:", ""] + by_model(cases, lambda way: f"{way['peak_rss_mb']:.0f}")
    failures = [f"- {', '.join(map(str, key))}: {message}" for key, rows in cases.items() for row in rows for message in row["failures"].values()]
    lines += ["Failed (model, precision, threads, batch):", "", *failures, ""] if failures else []
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(markdown([json.loads(pathlib.Path(name).read_text()) for name in sys.argv[1:]]), end="")
