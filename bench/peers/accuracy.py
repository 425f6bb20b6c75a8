"""Fidelity of low precision on the real network: our packages, PyTorch, ONNX Runtime and OpenVINO with NNCF, the same patches, the
same figures.

    accuracy.py --oncoquant BINARY --package astra.oq [--make] [--ours NAME=PACKAGE[:precision] ...] [--seconds S]

Calibration patches come from bench/data/calibration.csv, test patches from bench/data/test.csv: another patient. Centred: minus the
float32 mean over the test patches. Neighbours by cosine. The seed yardstick moves every test seed by 1, 2 and 3 mm in a fixed direction
per seed. Writes out/bench/accuracy.md and .json.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "out" / "bench" / "accuracy"


def run(*arguments):
    subprocess.run([str(a) for a in arguments], check=True)


def patches(tool, package, seeds, out):
    run(tool, "patches", package, seeds, "-o", out, "--quiet")
    return np.load(out)


def moved(seeds, millimetres):
    """The seeds, each moved in its own direction, the same at every run."""
    out = OUT / f"moved_{millimetres}mm.csv"
    random = np.random.default_rng(20261124)
    with open(seeds, newline="") as source, open(out, "w", newline="") as target:
        rows = csv.DictReader(source)
        writer = csv.DictWriter(target, rows.fieldnames)
        writer.writeheader()
        for row in rows:
            step = random.normal(size=3)
            step *= millimetres / np.linalg.norm(step)
            for axis, d in zip(("coordX", "coordY", "coordZ"), step):
                row[axis] = f"{float(row[axis]) + d:.3f}"
            row["image_path"] = str((pathlib.Path(seeds).parent / row["image_path"]).resolve())
            writer.writerow(row)
    return out


def figures(reference, candidate):
    a, b = reference.astype(float), candidate.astype(float)
    mean = a.mean(0)
    centred = ((a - mean) * (b - mean)).sum(1) / np.linalg.norm(a - mean, axis=1) / np.linalg.norm(b - mean, axis=1)
    plain = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    relative = np.linalg.norm(a - b, axis=1) / np.linalg.norm(a, axis=1)

    def neighbours(x):
        x = x / np.linalg.norm(x, axis=1)[:, None]
        similar = x @ x.T
        np.fill_diagonal(similar, -np.inf)
        return np.argsort(-similar, 1, kind="stable")[:, :10]

    recall = np.mean([len(set(p) & set(q)) / 10 for p, q in zip(neighbours(a), neighbours(b))])
    return {"cosine_mean": plain.mean(), "cosine_min": plain.min(), "centred_median": np.median(centred), "centred_p1": np.quantile(centred, 0.01),
            "centred_min": centred.min(), "relative_mean": relative.mean(), "relative_max": relative.max(), "recall10": recall}


def openvino_runs(calibration, test, threads, seconds):
    """(name, embeddings, ms per patch) of what prepare.float_networks has written"""
    import nncf
    import openvino as ov
    core = ov.Core()
    model = core.read_model(OUT / "network.xml")
    model.reshape([1, *test.shape[1:]])
    data = nncf.Dataset([patch[None] for patch in calibration])
    int8 = nncf.quantize(model, data, subset_size=len(calibration))
    mixed = nncf.quantize(model, data, subset_size=len(calibration), preset=nncf.QuantizationPreset.MIXED)
    plans = {"OpenVINO f32": (model, "f32"), "OpenVINO bf16": (model, "bf16"), "NNCF INT8": (int8, "f32"),
             "NNCF INT8, the rest bf16": (int8, "bf16"), "NNCF INT8, mixed preset": (mixed, "f32")}
    for name, (plan, precision) in plans.items():
        compiled = core.compile_model(plan, "CPU", {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1})
        request = compiled.create_infer_request()
        yield name, *measured(lambda patch: request.infer([patch])[compiled.output(0)], test, seconds)


def onnxruntime_run(calibration, test, threads, seconds):
    import onnxruntime as ort
    import prepare
    prepare.onnxruntime_int8(OUT, calibration)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(OUT / "network-int8.onnx", options, providers=["CPUExecutionProvider"])
    yield "ONNX Runtime INT8, per channel", *measured(lambda patch: session.run(None, {"patch": patch})[0], test, seconds)


def torch_run(package, test, threads, seconds):
    import torch
    import nets
    torch.set_num_threads(threads)
    network = nets.load(package)

    def run(patch):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return network(torch.from_numpy(patch)).float().numpy()
    yield "PyTorch bf16 (autocast)", *measured(run, test, seconds)


def peers(package, calibration, test, threads, seconds):
    import prepare
    np.save(OUT / "patches.npy", test[:2])
    prepare.float_networks(package, OUT)
    yield from torch_run(package, test, threads, seconds)
    yield from onnxruntime_run(calibration, test, threads, seconds)
    yield from openvino_runs(calibration, test, threads, seconds)


def measured(run, test, seconds):
    return np.concatenate([run(patch[None]).reshape(1, -1).copy() for patch in test]), fastest(lambda: run(test[:1]), seconds)


def fastest(act, seconds):
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def own_run(tool, package, precision, test, threads, seconds):
    out = OUT / "own.npy"
    choice = ["--precision", precision] if precision else []
    run(tool, "embed", package, "--patches", test, "-o", out, "--quiet", "--allow-uncertified", *choice)
    text = subprocess.run([str(tool), "bench", str(package), "--threads", str(threads), "--batch", "1", "--seconds", str(seconds), "--json", *choice],
                          check=True, capture_output=True, text=True).stdout
    return np.load(out), json.loads(text)["ms_per_patch_min"]


def made(tool, package, calibration):
    """Our packages of every kind, from the float32 one. name -> PACKAGE[:PRECISION]"""
    found = {"bf16": f"{package}:bf16", "f16": f"{package}:f16"}
    kinds = {"int8": [], "int8, 7-bit weights": ["--weight-bits", 7], "mixed, --target speed": ["--precision", "auto", "--target", "speed"],
             "mixed, --target fidelity": ["--precision", "auto", "--target", "fidelity"]}
    for name, options in kinds.items():
        found[name] = OUT / ("astra-" + "".join(c for c in name if c.isalnum()) + ".oq")
        if not found[name].exists():  # an earlier run's; remove the folder after a change
            run(tool, "quantize", package, "--calibrate-patches", calibration, *options, "-o", found[name], "--quiet")
    return [f"{name}={where}" for name, where in found.items()]


def table(rows):
    lines = ["| run | ms/patch | cosine mean / min | centred cosine median / p1 / min | relative error mean / max | recall@10 |", "|-|-|-|-|-|-|"]
    for name, r in rows.items():
        lines.append(f"| {name} | {'' if r['ms'] is None else format(r['ms'], '.1f')} | {r['cosine_mean']:.5f} / {r['cosine_min']:.5f} "
                     f"| {r['centred_median']:.4f} / {r['centred_p1']:.4f} / {r['centred_min']:.4f} | {r['relative_mean']:.3f} / {r['relative_max']:.3f} | {r['recall10']:.3f} |")
    return lines


def some(seeds, count):
    """The manifest cut to `count` rows, evenly spaced, or as it is"""
    lines = seeds.read_text().splitlines()
    rows = lines[1:]
    if not count or count >= len(rows):
        return seeds
    out = OUT / f"{count}_{seeds.name}"
    folder = seeds.parent.resolve()
    out.write_text("\n".join([lines[0], *(f"{folder}/{rows[i * len(rows) // count]}" for i in range(count))]) + "\n")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oncoquant", required=True, type=pathlib.Path)
    parser.add_argument("--package", required=True, type=pathlib.Path, help="float32 package of the real network")
    parser.add_argument("--ours", action="append", default=[], metavar="NAME=PACKAGE[:PRECISION]")
    parser.add_argument("--make", action="store_true", help="quantise the package in every way, and measure that; the search for a mixed plan takes minutes")
    parser.add_argument("--patches", type=int, default=0, metavar="N", help="N of the calibration and N of the test patches only, for a quick look")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--without-peers", action="store_true")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    seeds = some(ROOT / "bench" / "data" / "test.csv", options.patches)
    calibration = patches(options.oncoquant, options.package, some(ROOT / "bench" / "data" / "calibration.csv", options.patches), OUT / "calibration_patches.npy")
    test_file = OUT / "test_patches.npy"
    test = patches(options.oncoquant, options.package, seeds, test_file)
    reference, ms = own_run(options.oncoquant, options.package, "f32", test_file, options.threads, options.seconds)
    rows = {"OncoQuant f32": {"ms": ms, **figures(reference, reference)}}
    for entry in options.ours + (made(options.oncoquant, options.package, OUT / "calibration_patches.npy") if options.make else []):
        name, _, where = entry.partition("=")
        package, _, precision = where.partition(":")
        out, ms = own_run(options.oncoquant, package, precision, test_file, options.threads, options.seconds)
        rows[f"OncoQuant {name}"] = {"ms": ms, **figures(reference, out)}
    for millimetres in (1, 2, 3):
        file = OUT / f"moved_{millimetres}mm_embeddings.npy"
        run(options.oncoquant, "embed", options.package, moved(seeds, millimetres), "-o", file, "--quiet")
        rows[f"seed moved by {millimetres} mm, f32"] = {"ms": None, **figures(reference, np.load(file))}
    if not options.without_peers:
        for name, out, ms in peers(options.package, calibration, test, options.threads, options.seconds):
            rows[name] = {"ms": ms, **figures(reference, out)}
    lines = table(rows)
    (OUT.parent / "accuracy.md").write_text("\n".join(lines) + "\n")
    (OUT.parent / "accuracy.json").write_text(json.dumps(rows, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
