"""oncoquant beside what a user would otherwise run, on the same weights and patches: `python compare.py --help`.

Every contestant lives in a process of its own and is measured in turn, round after round (A B C, B C A, ...), so that a slow minute of the
machine hits all of them. Times are per patch, minimum and median over all runs of all rounds. What a peer can be told in several ways
(memory layout, requests or batches) is measured in all of them, and its best counts. Each precision is a contest of its own, in which
OncoQuant's float32 takes part as the yardstick. int8 of everyone is calibrated on the same patches. Where the peers together would not fit
into memory they are measured one after another. Judges nothing: it writes OUT/networks.json and OUT/networks.md, or by another --report.
"""
import argparse
import hashlib
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys

import numpy as np

import machine
from nets import images_per_patch, relative_l2
from tables import MODELS, OURS, PEERS, YARDSTICK, best, markdown

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# They compile or convert for longer than a contest takes, and are seldom the fastest.
SLOW_STARTERS = ["PyTorch eager", "PyTorch compile"]
PACKAGES = ("torch", "onnxruntime", "openvino", "nncf", "onnx", "numpy")
# Of one contestant while it loads, in sizes of the float32 weights; generous, so that nothing swaps.
MEMORY_PER_CONTESTANT = 5


def confined(threads):
    """Runs in the child before it starts: a contestant gets as many processors as threads, whatever it starts by itself."""
    granted = machine.processors()[:threads]
    return lambda: os.sched_setaffinity(0, granted)


def environment(threads):
    return {**os.environ, **{name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}}


class Peer:
    """A worker process that stays alive between its turns, idle."""

    def __init__(self, folder, runtime, threads, batch, precision):
        self.runtime, self.ms, self.peak_rss_mb = runtime, [], None
        self.log = open(folder / f"{runtime}-{precision}.log", "w+")
        self.process = subprocess.Popen([sys.executable, HERE / "worker.py", folder, runtime, str(threads), str(batch), precision],
                                        text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment(threads), preexec_fn=confined(threads))
        self.open_seconds = self.answer()["open_seconds"]
        self.embeddings = np.load(folder / f"{runtime}-{precision}.npy")

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


def package_of_images(package, folder, count):
    """The same network for a patch of `count` images, which a package of whole patches would run for minutes. Returns package and patch."""
    few, description = folder / package.name, json.loads((package / "model.json").read_text())
    few.mkdir(exist_ok=True)
    description["preprocessing"]["size"] = [count] * 3
    (few / "model.json").write_text(json.dumps(description))
    (few / "weights.safetensors").unlink(missing_ok=True)
    (few / "weights.safetensors").symlink_to((package / "weights.safetensors").resolve())
    return few, np.load(folder / "patches.npy")[:1, ..., :count, :count, :count]


class Oncoquant:
    """The command itself, started anew for every turn."""

    def __init__(self, tool, package, folder, threads, batch, precision, images):
        self.runtime = f"oncoquant-{precision}"
        # A package of 8-bit codes knows its precision; the others are float32 packages, asked for less.
        choice = [] if precision == "int8" else ["--precision", precision]
        self.threads, self.batch, self.images, self.ms, self.minimum = threads, batch, images, [], np.inf
        self.peak_rss_mb = 0
        patches, chosen = folder / "batch.npy", np.load(folder / "patches.npy")[:batch]
        if images > 1:
            package, chosen = package_of_images(package, folder, batch)
        self.command = [tool, "bench", package, "--threads", str(threads), "--batch", str(1 if images > 1 else batch), "--json", *choice]
        np.save(patches, chosen)
        self.call([tool, "embed", package, "--patches", patches, "-o", folder / f"{self.runtime}.npy", "--threads", str(threads),
                   "--quiet", "--allow-uncertified", *choice])
        self.embeddings = np.load(folder / f"{self.runtime}.npy")

    def call(self, command):
        result = subprocess.run(command, capture_output=True, text=True, env=environment(self.threads), preexec_fn=confined(self.threads))
        if result.returncode:
            raise RuntimeError(f"oncoquant: {result.stderr.strip()}")
        return result.stdout

    def turn(self, seconds):
        answer = json.loads(self.call([*self.command, "--seconds", str(seconds)]))
        # Of whole patches. It reports minimum and median of its runs; the table's median is that of the turns' medians.
        scale = self.images / self.batch if self.images > 1 else 1
        self.ms += [answer["ms_per_patch_median"] * scale]
        self.minimum = min(self.minimum, answer["ms_per_patch_min"] * scale)
        self.open_seconds = answer["open_seconds"]
        self.peak_rss_mb = max(self.peak_rss_mb, answer["peak_rss_mb"])

    def close(self):
        pass


def result(contestant, batch, images, reference):
    own = isinstance(contestant, Oncoquant)
    per_patch = contestant.ms if own else [ms * images / batch for ms in contestant.ms]
    return {"runtime": contestant.runtime, "runs": len(per_patch), "ms_min": min(per_patch + [getattr(contestant, "minimum", np.inf)]),
            "ms_median": statistics.median(per_patch),
            # Ours is a mean over images, for which there is no float64.
            "relative_l2": max(relative_l2(x, y) for x, y in zip(contestant.embeddings, reference)) if images == 1 or not own else None,
            "peak_rss_mb": contestant.peak_rss_mb, "open_seconds": contestant.open_seconds}


def take_turns(entrants, options):
    """Every round begins with another one. Returns what ended one of them: way -> message."""
    failures = {}
    try:
        for i in range(options.rounds if entrants else 0):
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


def starters(options, packages, folder, threads, batch, precision, images):
    """[(label, way, function that opens the contestant)]; batch: as many patches, or images of one, as are taken at a time"""
    def peer(way):
        return lambda: Peer(folder, way, threads, batch, precision)

    def own(precision):
        return lambda: Oncoquant(options.oncoquant, packages[precision], folder, threads, batch, precision, images)

    without = options.without + (SLOW_STARTERS if options.brief and (threads, batch) != (options.threads[0], options.batches[0]) else [])
    found = [(label, way, peer(way)) for label, (ways, precisions) in PEERS.items() for way in ways
             if precision in precisions and label not in without and not (way == "openvino-requests" and batch == 1)]
    found.append((OURS, f"oncoquant-{precision}", own(precision)))
    return found if precision == "f32" else [*found, (YARDSTICK, "oncoquant-f32", own("f32"))]


def contest(options, packages, folder, threads, batch, precision):
    """One row of the tables: label -> results of its ways. Where a patch is many images, all run a few, and the time is scaled up."""
    results, failures, images = {}, {}, images_per_patch(packages["f32"])
    reference = np.load(folder / "reference.npy")
    count = batch if images == 1 else len(reference)
    contestants = starters(options, packages, folder, threads, count, precision, images)
    need = MEMORY_PER_CONTESTANT * (packages["f32"] / "weights.safetensors").stat().st_size * len(contestants)
    together = need < machine.memory_available()
    for group in [contestants] if together else [[one] for one in contestants]:
        entrants = []
        for label, way, start in group:
            try:
                entrants.append((label, start()))
            except RuntimeError as error:
                failures[way] = str(error)
        failures.update(take_turns(entrants, options))
        for label, contestant in entrants:
            if contestant.runtime not in failures:
                results.setdefault(label, []).append(result(contestant, count, images, reference[:count]))
    for message in failures.values():
        print(f"   {message}", file=sys.stderr)
    return {"precision": precision, "threads": threads, "batch": batch, "together": together, "results": results, "failures": failures}


def make_package(options, model):
    """Full-size deterministic weights; astra's real ones where scripts/fetch_astra.sh has put them."""
    package = options.out / f"{model}.oq"
    astra = ROOT / ".deps/astra/astra_encoder.pt"
    source = ["--checkpoint", astra] if model == "astra" and astra.exists() else ["--synthetic", "1"]
    subprocess.run([options.oncoquant, "convert", "--model", model, *source, "-o", package, "--quiet"], check=True)
    return package


def sha256(*paths):
    state = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def int8_package(options, model, package, calibration):
    """Given with --int8, or made here; an earlier one counts if the command, the weights and the patches are the same."""
    if model in options.int8:
        return options.int8[model]
    target, stamp = options.out / f"{model}-int8.oq", options.out / f"{model}-int8.txt"
    state = sha256(options.oncoquant, package / "weights.safetensors", calibration)
    if not target.exists() or not stamp.exists() or stamp.read_text() != state:
        stamp.unlink(missing_ok=True)
        subprocess.run([options.oncoquant, "quantize", package, "--precision", "int8", "--calibrate-patches", calibration, "-o", target, "--quiet"], check=True)
        stamp.write_text(state)
    return target


def extract(options, package, seeds, out):
    subprocess.run([options.oncoquant, "patches", package, seeds, "-o", out, "--quiet"], check=True)


def prepare(options, model):
    """Everything that a contest of this model reads. Returns precision -> package, and the folder with the peers' files."""
    package, folder = make_package(options, model), options.out / model
    folder.mkdir(exist_ok=True)
    extract(options, package, HERE / "seeds.csv", folder / "patches.npy")
    packages, wanted = {"f32": package, "bf16": package}, []
    if "int8" in options.precisions:
        calibration, wanted = folder / "calibration.npy", ["int8"]
        extract(options, package, ROOT / "bench/data/calibration.csv", calibration)
        np.save(calibration, np.load(calibration)[:options.calibration])
        packages["int8"] = int8_package(options, model, package, calibration)
    with open(folder / "prepare.log", "w") as log:
        if subprocess.run([sys.executable, HERE / "prepare.py", package, folder, *wanted], stdout=log, stderr=log).returncode:
            sys.exit(f"error: {model} could not be prepared, see {folder / 'prepare.log'}")
    return packages, folder


def own_package(text):
    model, _, package = text.partition("=")
    if not (pathlib.Path(package) / "model.json").exists():
        raise argparse.ArgumentTypeError(f"{text}: expected MODEL=PACKAGE with a package that exists")
    return model, pathlib.Path(package).resolve()


def numbers(text):
    return [int(n) for n in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oncoquant", type=pathlib.Path, default=ROOT / "build/oncoquant", help="the command to measure (build/oncoquant)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out/bench", help="where everything goes (out/bench)")
    parser.add_argument("--report", default="networks", metavar="NAME", help="writes NAME.json and NAME.md there; tables.py puts several together (%(default)s)")
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated (%(default)s)")
    parser.add_argument("--precisions", default="f32", help="comma-separated of f32, bf16 and int8 (%(default)s)")
    parser.add_argument("--int8", action="append", default=[], type=own_package, metavar="MODEL=PACKAGE", help="this int8 package instead of one made here")
    parser.add_argument("--calibration", type=int, default=16, metavar="N", help="patches to calibrate int8 on, ours and the peers' (16)")
    parser.add_argument("--threads", type=numbers, default=sorted({1, min(2, len(machine.processors()))}), help="comma-separated (1,2)")
    parser.add_argument("--batches", type=numbers, default=[1, 8], help="comma-separated, at most 8 (1,8)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="of a turn (1)")
    parser.add_argument("--brief", action="store_true", help="PyTorch only in the first case of threads and batch of each model and precision")
    parser.add_argument("--prepare-only", action="store_true", help="convert and quantise what the contestants need, measure nothing; a later run finds it ready")
    parser.add_argument("--without", action="append", default=[], choices=PEERS, help="leave this peer out")
    return parser.parse_args()


def main():
    options = arguments()
    if max(options.threads) > len(machine.processors()) or not 1 <= max(options.batches) <= 8:
        sys.exit(f"error: threads 1 to {len(machine.processors())} and batches 1 to 8 are possible here")
    options.precisions, options.int8 = options.precisions.split(","), dict(options.int8)
    if not set(options.precisions) <= {"f32", "bf16", "int8"} or options.calibration < 1:
        sys.exit("error: precisions are f32, bf16 and int8, and at least one patch is needed to calibrate")
    options.oncoquant, options.out = options.oncoquant.resolve(), options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine.facts(options.oncoquant, PACKAGES), "rounds": options.rounds, "seconds": options.seconds, "busy": machine.busy(), "rows": []}
    for model in options.models.split(","):
        packages, folder = prepare(options, model)
        if options.prepare_only:
            continue
        batches = options.batches if images_per_patch(packages["f32"]) == 1 else [1]
        for precision, threads, batch in itertools.product(options.precisions, options.threads, batches):
            row = {"model": model, **contest(options, packages, folder, threads, batch, precision)}
            report["rows"].append(row)
            print(f"{model}, {precision}, threads {threads}, batch {batch}: " + ", ".join(
                f"{label} {best(row, label)['ms_min']:.1f}" for label in (*PEERS, OURS) if best(row, label)) + " ms", flush=True)
            # After every row, so that an interrupted run leaves what it has.
            (options.out / f"{options.report}.json").write_text(json.dumps(report, indent="\t") + "\n")
            (options.out / f"{options.report}.md").write_text(markdown([report]))


if __name__ == "__main__":
    main()
