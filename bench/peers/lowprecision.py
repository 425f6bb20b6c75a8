"""What low precision costs on every network, with made-up weights: a check that each runs in each precision, not a statement about accuracy.

    lowprecision.py --oncoquant BINARY [--models NAMES] [--calibration N] [--test N]

Per network: float32, bf16, f16, int8 with 8 and with 7 bits a weight, packages as `quantize` writes them. Size is that of weights.safetensors
beside the float32 one; errors are those of accuracy.py, on other patients than calibration. Of CT-CLIP also the tokens that get another code.
A network that takes minutes for the slices of a patch (medimageinsight) is tested on the middle slice of each.
Writes OUT/lowprecision.json and .md (out/bench).
"""
import argparse
import json
import os
import pathlib
import subprocess

import numpy as np

from accuracy import figures
from compare import MODELS, ROOT

CALIBRATED = ("int8", "int8, 7-bit weights")
KINDS = {"bf16": ["--precision", "bf16"], "f16": ["--precision", "f16"], "int8": [], "int8, 7-bit weights": ["--weight-bits", "7"]}


def run(*arguments):
    return subprocess.run([str(a) for a in arguments], check=True, capture_output=True, text=True).stdout


def some(options, package, seeds, count, out):
    """`count` patches of the seeds' table, evenly spaced"""
    lines = seeds.read_text().splitlines()
    rows = [lines[1 + i * (len(lines) - 1) // count] for i in range(count)]
    table = out.with_suffix(".seeds.csv")
    table.write_text("\n".join([lines[0], *(f"{seeds.parent.resolve()}/{row}" for row in rows)]) + "\n")
    run(options.oncoquant, "patches", package, table, "-o", out, "--quiet")
    return out


def one_slice(package):
    """A package on slices, for patches that have one; `package` itself if it is not on slices"""
    document = json.loads((package / "model.json").read_text())
    if "slices" not in document["preprocessing"]:
        return package
    document["preprocessing"]["size"][1] = 1
    thin = package.with_suffix(".thin.oq")
    thin.mkdir(exist_ok=True)
    (thin / "model.json").write_text(json.dumps(document))
    (thin / "weights.safetensors").unlink(missing_ok=True)
    os.symlink((package / "weights.safetensors").resolve(), thin / "weights.safetensors")
    return thin


def middle_slices(package, patches):
    if one_slice(package) != package:
        data = np.load(patches)
        middle = data.shape[3] // 2
        np.save(patches, np.ascontiguousarray(data[:, :, :, middle:middle + 1]))


def embedding(options, package, patches, out):
    package = one_slice(package)
    run(options.oncoquant, "embed", package, "--patches", patches, "-o", out, "--quiet", "--allow-uncertified")
    return np.load(out)


def weights(package):
    return (package / "weights.safetensors").stat().st_size


def one(options, model):
    folder = options.out / "lowprecision" / model
    folder.mkdir(parents=True, exist_ok=True)
    package = folder / "f32.oq"
    run(options.oncoquant, "convert", "--model", model, "--synthetic", "1", "-o", package, "--quiet")
    calibration = some(options, package, ROOT / "bench/data/calibration.csv", options.calibration, folder / "calibration.npy")
    test = some(options, package, ROOT / "bench/data/test.csv", options.test, folder / "test.npy")
    middle_slices(package, test)
    reference, rows = embedding(options, package, test, folder / "f32.npy"), []
    for kind, choice in KINDS.items():
        small = folder / "small.oq"
        choice = choice + (["--calibrate-patches", calibration] if kind in CALIBRATED else [])
        run(options.oncoquant, "quantize", package, *choice, "-o", small, "--quiet")
        row = {"model": model, "kind": kind, "size": weights(small) / weights(package), **figures(reference, embedding(options, small, test, folder / "small.npy"))}
        if model == "ct-clip":
            row["flips"] = run(options.oncoquant.parent / "bench/ops/code_flips", package, small, test).strip()
        rows.append({name: value if isinstance(value, str) else float(value) for name, value in row.items()})
    return rows


def markdown(rows):
    lines = ["| model | precision | size | cosine min | centred cosine median / min | relative error mean / max | codes that differ |", "|-|-|-|-|-|-|-|"]
    for r in rows:
        lines.append(f"| {r['model']} | {r['kind']} | {r['size']:.3f} | {r['cosine_min']:.6f} | {r['centred_median']:.5f} / {r['centred_min']:.5f} "
                     f"| {r['relative_mean']:.1e} / {r['relative_max']:.1e} | {r.get('flips', '')} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oncoquant", type=pathlib.Path, default=ROOT / "build/oncoquant")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out/bench")
    parser.add_argument("--models", default=",".join(name for name in MODELS if name != "astra"))
    parser.add_argument("--calibration", type=int, default=8)
    parser.add_argument("--test", type=int, default=12)
    options = parser.parse_args()
    options.oncoquant = options.oncoquant.resolve()
    rows = []
    for model in options.models.split(","):
        rows += one(options, model)
        (options.out / "lowprecision.json").write_text(json.dumps(rows, indent="\t") + "\n")
        (options.out / "lowprecision.md").write_text(markdown(rows))
        print(markdown(rows[-len(KINDS):]).split("\n", 2)[2], end="", flush=True)


if __name__ == "__main__":
    main()
