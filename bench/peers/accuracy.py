"""Fidelity of low precision on the real network: our packages and OpenVINO with NNCF, the same patches, the same figures.

    accuracy.py --oncoquant BINARY --package astra.oq [--ours NAME=PACKAGE[:precision] ...] [--seconds S]

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


def openvino_runs(package, calibration, test, threads, seconds):
    """name -> (embeddings, ms per patch)"""
    import nncf
    import openvino as ov
    import torch
    import nets
    network = nets.load(package)
    core = ov.Core()
    model = ov.convert_model(network, example_input=torch.from_numpy(test[:1]))
    model.reshape([1, *test.shape[1:]])
    data = nncf.Dataset([patch[None] for patch in calibration])
    plans = {
        "OpenVINO f32": (model, "f32"), "OpenVINO bf16": (model, "bf16"),
        "NNCF INT8": (nncf.quantize(model, data, subset_size=len(calibration)), "f32"),
        "NNCF INT8, mixed preset": (nncf.quantize(model, data, subset_size=len(calibration), preset=nncf.QuantizationPreset.MIXED), "f32"),
    }
    for name, (plan, precision) in plans.items():
        compiled = core.compile_model(plan, "CPU", {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1})
        request = compiled.create_infer_request()
        out = np.concatenate([request.infer([patch[None]])[compiled.output(0)].reshape(1, -1).copy() for patch in test])
        yield name, out, fastest(lambda: request.infer([test[:1]]), seconds)


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
    run(tool, "embed", package, "--patches", test, "-o", out, "--quiet", *choice)
    text = subprocess.run([str(tool), "bench", str(package), "--threads", str(threads), "--batch", "1", "--seconds", str(seconds), "--json", *choice],
                          check=True, capture_output=True, text=True).stdout
    return np.load(out), json.loads(text)["ms_per_patch_min"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oncoquant", required=True, type=pathlib.Path)
    parser.add_argument("--package", required=True, type=pathlib.Path, help="float32 package of the real network")
    parser.add_argument("--ours", action="append", default=[], metavar="NAME=PACKAGE[:PRECISION]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--without-peers", action="store_true")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    seeds = ROOT / "bench" / "data" / "test.csv"
    calibration = patches(options.oncoquant, options.package, ROOT / "bench" / "data" / "calibration.csv", OUT / "calibration_patches.npy")
    test_file = OUT / "test_patches.npy"
    test = patches(options.oncoquant, options.package, seeds, test_file)
    reference, ms = own_run(options.oncoquant, options.package, "f32", test_file, options.threads, options.seconds)
    rows = {"OncoQuant f32": {"ms": ms, **figures(reference, reference)}}
    for entry in options.ours:
        name, _, where = entry.partition("=")
        package, _, precision = where.partition(":")
        out, ms = own_run(options.oncoquant, package, precision, test_file, options.threads, options.seconds)
        rows[f"OncoQuant {name}"] = {"ms": ms, **figures(reference, out)}
    for millimetres in (1, 2, 3):
        file = OUT / f"moved_{millimetres}mm_embeddings.npy"
        run(options.oncoquant, "embed", options.package, moved(seeds, millimetres), "-o", file, "--quiet")
        rows[f"seed moved by {millimetres} mm, f32"] = {"ms": None, **figures(reference, np.load(file))}
    if not options.without_peers:
        for name, out, ms in openvino_runs(options.package, calibration, test, options.threads, options.seconds):
            rows[name] = {"ms": ms, **figures(reference, out)}
    lines = ["| run | ms/patch | cosine mean / min | centred cosine median / p1 / min | relative error mean / max | recall@10 |", "|-|-|-|-|-|-|"]
    for name, r in rows.items():
        lines.append(f"| {name} | {'' if r['ms'] is None else format(r['ms'], '.1f')} | {r['cosine_mean']:.5f} / {r['cosine_min']:.5f} "
                     f"| {r['centred_median']:.4f} / {r['centred_p1']:.4f} / {r['centred_min']:.4f} | {r['relative_mean']:.3f} / {r['relative_max']:.3f} | {r['recall10']:.3f} |")
    (OUT.parent / "accuracy.md").write_text("\n".join(lines) + "\n")
    (OUT.parent / "accuracy.json").write_text(json.dumps(rows, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
