"""oncoquant beside what a user would otherwise run, on the same weights and patches: `python compare.py --help`.

Every contestant lives in a process of its own and is measured in turn, round after round (A B C, B C A, ...), so that a slow minute of the
machine hits all of them. Times are per patch, minimum and median over all runs of all rounds. What a peer can be told in several ways
(memory layout, requests or batches) is measured in all of them, and its best counts. Judges nothing: it writes OUT/networks.json
and OUT/networks.md.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import numpy as np

import machine
from nets import relative_l2

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODELS = ("ct-fm", "vista3d", "fmcib", "merlin", "astra", "models-genesis", "suprem", "pasta")
# Column of the tables -> the ways to run it.
PEERS = {
    "PyTorch eager": ("torch-eager", "torch-eager-channels-last"),
    "PyTorch compile": ("torch-compile",),
    "ONNX Runtime": ("onnxruntime",),
    "OpenVINO": ("openvino-batch", "openvino-requests"),
}
OURS = "OncoQuant"
PACKAGES = ("torch", "onnxruntime", "openvino", "onnx", "numpy")


def confined(threads):
    """Runs in the child before it starts: a contestant gets as many processors as threads, whatever it starts by itself."""
    granted = machine.processors()[:threads]
    return lambda: os.sched_setaffinity(0, granted)


def environment(threads):
    return {**os.environ, **{name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}}


class Peer:
    """A worker process that stays alive between its turns, idle."""

    def __init__(self, folder, runtime, threads, batch):
        self.runtime, self.ms, self.peak_rss_mb = runtime, [], None
        self.log = open(folder / f"{runtime}.log", "w+")
        self.process = subprocess.Popen([sys.executable, HERE / "worker.py", folder, runtime, str(threads), str(batch)], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment(threads), preexec_fn=confined(threads))
        self.open_seconds = self.answer()["open_seconds"]
        self.embeddings = np.load(folder / f"{runtime}.npy")

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise RuntimeError(f"{self.runtime}: {self.last_words()}")
        return json.loads(line)

    def last_words(self):
        self.log.seek(0)
        lines = self.log.read().strip().splitlines()
        errors = [line for line in lines if "Error" in line]
        return (errors or lines or [f"ended with code {self.process.returncode}"])[-1].strip()

    def turn(self, seconds):
        if self.process.poll() is None:
            self.process.stdin.write(f"measure {seconds}\n")
        answer = self.answer()
        self.ms += answer["ms"]
        self.peak_rss_mb = answer["peak_rss_mb"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Oncoquant:
    """The command itself, started anew for every turn."""
    runtime = "oncoquant"

    def __init__(self, tool, package, folder, threads, batch):
        self.command = [tool, "bench", package, "--threads", str(threads), "--batch", str(batch), "--json"]
        self.threads, self.ms, self.minimum, self.medians = threads, [], np.inf, []
        self.peak_rss_mb = 0
        patches = folder / "batch.npy"
        np.save(patches, np.load(folder / "patches.npy")[:batch])
        self.call([tool, "embed", package, "--patches", patches, "-o", folder / "oncoquant.npy", "--threads", str(threads), "--quiet"])
        self.embeddings = np.load(folder / "oncoquant.npy")

    def call(self, command):
        result = subprocess.run(command, capture_output=True, text=True, env=environment(self.threads), preexec_fn=confined(self.threads))
        if result.returncode:
            raise RuntimeError(f"oncoquant: {result.stderr.strip()}")
        return result.stdout

    def turn(self, seconds):
        answer = json.loads(self.call([*self.command, "--seconds", str(seconds)]))
        self.batch = answer["batch"]
        # It reports minimum and median of its runs; the table's median is that of the turns' medians.
        self.ms += [answer["ms_per_patch_median"] * self.batch]
        self.minimum = min(self.minimum, answer["ms_per_patch_min"])
        self.open_seconds = answer["open_seconds"]
        self.peak_rss_mb = max(self.peak_rss_mb, answer["peak_rss_mb"])

    def close(self):
        pass


def result(contestant, batch, reference):
    per_patch = [ms / batch for ms in contestant.ms]
    return {"runtime": contestant.runtime, "runs": len(per_patch), "ms_min": min(per_patch + [getattr(contestant, "minimum", np.inf)]),
            "ms_median": statistics.median(per_patch), "relative_l2": max(relative_l2(x, y) for x, y in zip(contestant.embeddings, reference)),
            "peak_rss_mb": contestant.peak_rss_mb, "open_seconds": contestant.open_seconds}


def take_turns(entrants, options):
    """Every round begins with another one. Returns what ended one of them: way -> message."""
    failures = {}
    try:
        for i in range(options.rounds):
            for _, contestant in entrants[i % len(entrants):] + entrants[:i % len(entrants)]:
                try:
                    if contestant.runtime not in failures:
                        contestant.turn(options.seconds)
                except RuntimeError as error:
                    failures[contestant.runtime] = str(error)
    finally:
        for _, contestant in entrants:
            contestant.close()
    return failures


def contest(options, package, folder, threads, batch):
    """One row of the tables: label -> results of its ways."""
    entrants, results, failures = [], {}, {}
    ways = [(label, way) for label in PEERS for way in PEERS[label] if label not in options.without and not (way == "openvino-requests" and batch == 1)]
    reference = np.load(folder / "reference.npy")[:batch]
    for label, way in [*ways, (OURS, "oncoquant")]:
        try:
            entrants.append((label, Oncoquant(options.oncoquant, package, folder, threads, batch) if label == OURS else Peer(folder, way, threads, batch)))
        except RuntimeError as error:
            failures[way] = str(error)
    failures.update(take_turns(entrants, options))
    for message in failures.values():
        print(f"   {message}", file=sys.stderr)
    for label, contestant in entrants:
        if contestant.runtime not in failures:
            results.setdefault(label, []).append(result(contestant, batch, reference))
    return {"threads": threads, "batch": batch, "results": results, "failures": failures}


def best(row, label):
    ways = row["results"].get(label)
    return min(ways, key=lambda way: way["ms_min"]) if ways else None


def fastest_peer(row):
    return min((best(row, label) for label in PEERS if best(row, label)), key=lambda way: way["ms_min"], default=None)


def table(rows, cell):
    labels = [*PEERS, OURS]
    lines = ["| model | threads | batch | " + " | ".join(labels) + " |", "|-|-|-|" + "-|" * len(labels)]
    for row in rows:
        cells = [cell(best(row, label)) if best(row, label) else "-" for label in labels]
        lines.append(f"| {row['model']} | {row['threads']} | {row['batch']} | " + " | ".join(cells) + " |")
    return lines


def markdown(report):
    rows, lines = report["rows"], machine.markdown(report["machine"])
    lines += [f"{report['rounds']} rounds of {report['seconds']:g} s for each contestant; {100 * report['busy']:.0f} % of the processors were busy with something else before it began.", ""]
    lines += ["Milliseconds per patch, minimum (median):", ""]
    lines += table(rows, lambda way: f"{way['ms_min']:.1f} ({way['ms_median']:.1f})")
    lines += ["", "OncoQuant against the fastest peer: its time over ours, so more than 1 means OncoQuant is faster.", "",
              "| model | threads | batch | fastest peer | by minimum | by median |", "|-|-|-|-|-|-|"]
    for row in rows:
        peer, ours = fastest_peer(row), best(row, OURS)
        if peer and ours:
            lines.append(f"| {row['model']} | {row['threads']} | {row['batch']} | {peer['runtime']} | {peer['ms_min'] / ours['ms_min']:.2f} | {peer['ms_median'] / ours['ms_median']:.2f} |")
    lines += ["", "Largest relative L2 difference of an embedding from the same network in float64:", ""]
    lines += table(rows, lambda way: f"{way['relative_l2']:.1e}")
    lines += ["", "Peak memory of the process (MB), loading included:", ""]
    lines += table(rows, lambda way: f"{way['peak_rss_mb']:.0f}")
    failures = [f"- {row['model']}, threads {row['threads']}, batch {row['batch']}: {message}" for row in rows for message in row["failures"].values()]
    lines += ["", "Failed:", "", *failures] if failures else []
    return "\n".join(lines) + "\n"


def make_package(options, model):
    """Full-size deterministic weights; astra's real ones where scripts/fetch_astra.sh has put them."""
    package = options.out / f"{model}.oq"
    astra = ROOT / ".deps/astra/astra_encoder.pt"
    source = ["--checkpoint", astra] if model == "astra" and astra.exists() else ["--synthetic", "1"]
    subprocess.run([options.oncoquant, "convert", "--model", model, *source, "-o", package, "--quiet"], check=True)
    return package


def prepare(options, model):
    package, folder = make_package(options, model), options.out / model
    folder.mkdir(exist_ok=True)
    subprocess.run([options.oncoquant, "patches", package, HERE / "seeds.csv", "-o", folder / "patches.npy", "--quiet"], check=True)
    with open(folder / "prepare.log", "w") as log:
        if subprocess.run([sys.executable, HERE / "prepare.py", package, folder], stdout=log, stderr=log).returncode:
            sys.exit(f"error: {model} could not be prepared, see {folder / 'prepare.log'}")
    return package, folder


def numbers(text):
    return [int(n) for n in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oncoquant", type=pathlib.Path, default=ROOT / "build/oncoquant", help="the command to measure (build/oncoquant)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out/bench", help="where everything goes (out/bench)")
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated (%(default)s)")
    parser.add_argument("--threads", type=numbers, default=sorted({1, min(2, len(machine.processors()))}), help="comma-separated (1,2)")
    parser.add_argument("--batches", type=numbers, default=[1, 8], help="comma-separated, at most 8 (1,8)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="of a turn (1)")
    parser.add_argument("--without", action="append", default=[], choices=PEERS, help="leave this peer out")
    return parser.parse_args()


def main():
    options = arguments()
    if max(options.threads) > len(machine.processors()) or not 1 <= max(options.batches) <= 8:
        sys.exit(f"error: threads 1 to {len(machine.processors())} and batches 1 to 8 are possible here")
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine.facts(options.oncoquant, PACKAGES), "rounds": options.rounds, "seconds": options.seconds, "busy": machine.busy(), "rows": []}
    for model in options.models.split(","):
        package, folder = prepare(options, model)
        for threads in options.threads:
            for batch in options.batches:
                row = {"model": model, **contest(options, package, folder, threads, batch)}
                report["rows"].append(row)
                print(f"{model}, threads {threads}, batch {batch}: " + ", ".join(
                    f"{label} {best(row, label)['ms_min']:.1f}" for label in (*PEERS, OURS) if best(row, label)) + " ms", flush=True)
                # After every row, so that an interrupted run leaves what it has.
                (options.out / "networks.json").write_text(json.dumps(report, indent="\t") + "\n")
                (options.out / "networks.md").write_text(markdown(report))


if __name__ == "__main__":
    main()
