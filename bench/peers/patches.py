"""Patch extraction from a 512x512x300 .nii.gz: oncoquant beside the reference pipeline on MONAI. `python patches.py --help`.

The pipeline is the one the published embeddings were made with: load, orient, resample the whole volume to 1 mm, crop around the seed,
orient, scale, pad, all of it anew for every seed. It is also timed the way a careful user would run it, resampling once
and cropping for all seeds. Times of oncoquant are of the whole command, start to finished files; those of MONAI leave out its
imports. Writes OUT/patches.json and OUT/patches.md; stops when the patches of the two differ by more than 1e-6.
"""
import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

import machine

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHAPE, SPACING, SIZE = (512, 512, 300), (0.78125, 0.78125, 1.25), 48
SEEDS = (1, 10, 100)
PACKAGES = ("monai", "torch", "itk", "numpy")


def slice_of_ct(z, rng):
    """One axial plane in HU: a body with lungs, spine and vessels, noise, and nothing outside the scanner's circle."""
    x, y = np.meshgrid(np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[1]), indexing="ij")
    plane = np.full(SHAPE[:2], -1000.0)
    for value, cx, cy, rx, ry in ((40, 0, 0, 0.85, 0.6), (-850, -0.4, 0.05, 0.27, 0.38), (-850, 0.4, 0.05, 0.27, 0.38),
                                  (150, 0.03, 0.1 + 0.1 * np.sin(z / 40), 0.07, 0.07), (400, 0, -0.42, 0.1, 0.1), (700, 0, -0.42, 0.04, 0.04)):
        plane[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1] = value
    plane += 60 * np.sin(9 * x + z / 15) * np.cos(11 * y) * (plane > -1000) + rng.normal(0, 18, plane.shape)
    plane[x * x + y * y > 1] = -1024
    return np.clip(np.rint(plane), -1024, 3071).astype(np.int16)


def make_scan(path):
    """The same voxels on every machine; compressed as converters from DICOM do."""
    import gzip
    import nibabel
    rng = np.random.Generator(np.random.PCG64(1))
    volume = np.empty(SHAPE, np.int16, order="F")
    for z in range(SHAPE[2]):
        volume[:, :, z] = slice_of_ct(z, rng)
    affine = np.diag([-SPACING[0], SPACING[1], SPACING[2], 1])
    affine[:3, 3] = 200, -200, -180
    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    unfinished = path.with_suffix(".part")
    with gzip.open(unfinished, "wb", compresslevel=6) as file:
        file.write(image.to_bytes())
    unfinished.rename(path)


def make_manifest(path, scan, count):
    """Seeds anywhere but in the outer tenth, LPS millimetres."""
    rng = np.random.Generator(np.random.PCG64(2))
    voxels = rng.uniform(0.1, 0.9, (max(SEEDS), 3))[:count] * (np.array(SHAPE) - 1)
    ras = voxels * (-SPACING[0], SPACING[1], SPACING[2]) + (200, -200, -180)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_path", "coordX", "coordY", "coordZ"])
        writer.writerows([scan.name, f"{-x:.4f}", f"{-y:.4f}", f"{z:.4f}"] for x, y, z in ras)


def read_manifest(path):
    """[(scan, seed in RAS mm)]"""
    with open(path, newline="") as file:
        return [(path.parent / row["image_path"], np.array([-float(row["coordX"]), -float(row["coordY"]), float(row["coordZ"])])) for row in csv.DictReader(file)]


class Reference:
    """The pipeline for CT-FM: 48^3 at 1 mm, axes S,P,L, HU -1024..2048 to 0..1."""

    def __init__(self):
        from monai import transforms as T
        self.whole = T.Compose([
            T.LoadImage(reader="ITKReader", image_only=True, ensure_channel_first=True),
            T.Orientation(axcodes="LPS"),
            T.Spacing(pixdim=(1, 1, 1), mode="bilinear", padding_mode="zeros", align_corners=True, diagonal=True)])
        self.patch = T.Compose([
            T.Orientation(axcodes="SPL"),
            T.ScaleIntensityRange(a_min=-1024, a_max=2048, b_min=0, b_max=1, clip=True),
            T.SpatialPad(spatial_size=(SIZE,) * 3)])

    def crop(self, volume, seed):
        centre = np.linalg.inv(volume.affine.numpy()) @ (*seed, 1)
        centre = centre[:3].astype(int)  # truncates towards zero, as the reference does
        low = np.maximum(centre - SIZE // 2, 0)
        high = np.minimum(centre + SIZE // 2, volume.shape[1:])
        return self.patch(volume[:, low[0]:high[0], low[1]:high[1], low[2]:high[2]])


def reference_times(folder):
    """In a process of its own, so that its memory can be told. Prints JSON."""
    import torch
    torch.set_num_threads(len(machine.processors()))
    before = time.perf_counter()
    reference = Reference()
    imports = time.perf_counter() - before
    rows = read_manifest(folder / f"seeds{max(SEEDS)}.csv")
    patches, seconds = [], []
    for scan, seed in rows[:3]:
        before = time.perf_counter()
        patches.append(np.asarray(reference.crop(reference.whole(scan), seed)))
        seconds.append(time.perf_counter() - before)
    before = time.perf_counter()
    volume = reference.whole(rows[0][0])
    whole = time.perf_counter() - before
    before = time.perf_counter()
    for _, seed in rows:
        reference.crop(volume, seed)
    crop = (time.perf_counter() - before) / len(rows)
    np.save(folder / "reference_patches.npy", np.stack(patches))
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"import_seconds": imports, "seconds_per_seed": seconds, "whole_seconds": whole, "crop_seconds": crop, "peak_rss_mb": peak}))


def run_reference(folder):
    out = subprocess.run([sys.executable, __file__, "--reference", folder], capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"error: the reference pipeline failed: {(out.stderr.strip().splitlines() or ['?'])[-1]}")
    return json.loads(out.stdout.splitlines()[-1])


def run_oncoquant(options, package, count, threads):
    """Wall-clock seconds of the command, and its peak memory."""
    command = [options.oncoquant, "patches", package, options.out / f"seeds{count}.csv", "-o", options.out / f"patches{count}.npy", "--threads", str(threads), "--quiet"]
    before = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"error: oncoquant patches ended with code {process.returncode}")
    return time.perf_counter() - before, usage.ru_maxrss / 1024


def measure(options, package):
    most, ours, references = len(machine.processors()), {}, []
    for i in range(options.rounds):
        for count in SEEDS:
            for threads in sorted({1, most}):
                ours.setdefault((count, threads), []).append(run_oncoquant(options, package, count, threads))
        if i < options.reference_rounds:
            references.append(run_reference(options.out))
    difference = np.abs(np.load(options.out / f"patches{max(SEEDS)}.npy")[:3] - np.load(options.out / "reference_patches.npy")).max()
    if difference > 1e-6:
        sys.exit(f"error: the patches differ by {difference:.2e}, expected at most 1e-6: not the same job")
    return ours, references, float(difference)


def summary(ours, references, difference):
    """Minimum over the rounds for both sides; the median beside it."""
    seconds = [s for r in references for s in r["seconds_per_seed"]]
    whole, crop = min(r["whole_seconds"] for r in references), min(r["crop_seconds"] for r in references)
    rows = [{"seeds": count, "threads": threads, "seconds_min": min(s for s, _ in runs), "seconds_median": statistics.median(s for s, _ in runs),
             "peak_rss_mb": max(m for _, m in runs), "reference_seconds": min(seconds) * count, "reference_once_seconds": whole + crop * count}
            for (count, threads), runs in ours.items()]
    return {"reference": {"seconds_per_seed_min": min(seconds), "seconds_per_seed_median": statistics.median(seconds), "runs": len(seconds), "whole_seconds": whole, "crop_seconds": crop,
                          "import_seconds": min(r["import_seconds"] for r in references), "peak_rss_mb": max(r["peak_rss_mb"] for r in references)},
            "largest_difference": difference, "rows": rows}


def markdown(report):
    r = report["reference"]
    lines = machine.markdown(report["machine"])
    lines += [f"Scan: 512x512x300 int16, {report['scan_mb']:.0f} MB compressed, in the page cache. {100 * report['busy']:.0f} % of the processors were busy with something else before it began. "
              f"MONAI pipeline on {report['machine']['processors']} threads: {r['seconds_per_seed_min']:.2f} s a seed (median {r['seconds_per_seed_median']:.2f} of {r['runs']}), "
              f"of which {r['crop_seconds'] * 1e3:.0f} ms after resampling; {r['import_seconds']:.1f} s of imports not counted; peak memory {r['peak_rss_mb']:.0f} MB. "
              f"Its patches and OncoQuant's differ by at most {report['largest_difference']:.1e}.", "",
              "| seeds | threads | OncoQuant s, minimum (median) | ms a seed | MB | MONAI as published s | times faster | MONAI resampling once s | times faster |",
              "|-|-|-|-|-|-|-|-|-|"]
    for row in report["rows"]:
        ours = row["seconds_min"]
        lines.append(f"| {row['seeds']} | {row['threads']} | {ours:.2f} ({row['seconds_median']:.2f}) | {1e3 * ours / row['seeds']:.1f} | {row['peak_rss_mb']:.0f} | "
                     f"{row['reference_seconds']:.1f} | {row['reference_seconds'] / ours:.1f} | {row['reference_once_seconds']:.1f} | {row['reference_once_seconds'] / ours:.1f} |")
    lines += ["", "For 10 and 100 seeds the published pipeline's time is its time for one seed, times their number: it starts anew for each."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oncoquant", type=pathlib.Path, default=ROOT / "build/oncoquant", help="the command to measure (build/oncoquant)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out/bench", help="where everything goes (out/bench)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reference-rounds", type=int, default=2, help="of about a minute each (2)")
    parser.add_argument("--reference", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reference:
        return reference_times(options.reference)
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    package, scan = options.out / "ct-fm.oq", options.out / "scan.nii.gz"
    subprocess.run([options.oncoquant, "convert", "--model", "ct-fm", "--synthetic", "1", "-o", package, "--quiet"], check=True)
    if not scan.exists():
        make_scan(scan)
    for count in SEEDS:
        make_manifest(options.out / f"seeds{count}.csv", scan, count)
    run_oncoquant(options, package, 1, 1)  # the scan into the page cache
    busy = machine.busy()
    report = {"machine": machine.facts(options.oncoquant, PACKAGES), "busy": busy, "scan_mb": scan.stat().st_size / 1e6, **summary(*measure(options, package))}
    (options.out / "patches.json").write_text(json.dumps(report, indent="\t") + "\n")
    (options.out / "patches.md").write_text(markdown(report))


if __name__ == "__main__":
    main()
