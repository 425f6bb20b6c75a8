"""Reading of scans: oncoquant beside SimpleITK and MONAI, in .nii, .nii.gz and .mhd, in one run. `python reading.py --help`.

The made-up scans are those of patches.py with fewer slices. A turn of oncoquant reads every scan of a manifest and cuts one patch from each
(`oncoquant patches`, the whole command, start to finished files); a turn of SimpleITK is ReadImage into an array, one of MONAI is LoadImage with its
ITKReader; neither cuts anything. Turns alternate, the best of each counts. With --packages it also says which share of `oncoquant embed` reading
and cutting would take if nothing ran at the same time. A peer that cannot be imported is left out, and that is said.
"""
import argparse
import gzip
import json
import os
import pathlib
import resource
import subprocess
import tempfile
import time

import numpy as np

import machine
import patches

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write_scans(folder, count, slices):
    """Every scan in every format; returns name of the format -> paths. Voxel (0,0,0) is at the origin, axes are L, P, S."""
    rng = np.random.default_rng(1)
    files = {".nii": [], ".nii.gz": [], ".mhd": []}
    x, y = patches.SHAPE[:2]
    for n in range(count):
        voxels = b"".join(patches.slice_of_ct(z, rng).tobytes(order="F") for z in range(slices))
        header = bytearray(352)
        put = lambda at, kind, values: header.__setitem__(slice(at, at + np.dtype(kind).itemsize * len(values)), np.array(values, kind).tobytes())
        put(0, "<i4", [348])
        put(40, "<i2", [3, x, y, slices, 1, 1, 1, 1])
        put(70, "<i2", [4, 16])
        put(76, "<f4", [1, *patches.SPACING])
        put(108, "<f4", [352, 1, 0])
        put(254, "<i2", [1])
        header[123], header[344:348] = 2, b"n+1\0"
        for row in range(3):
            put(280 + 16 * row, "<f4", [(-1 if row < 2 else 1) * patches.SPACING[row] * (row == column) for column in range(4)])
        stem = folder / f"scan{n}"
        pathlib.Path(f"{stem}.nii").write_bytes(bytes(header) + voxels)
        with gzip.GzipFile(f"{stem}.nii.gz", "wb", 6, mtime=0) as packed:
            packed.write(bytes(header) + voxels)
        pathlib.Path(f"{stem}.raw").write_bytes(voxels)
        pathlib.Path(f"{stem}.mhd").write_text(
            "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
            f"ElementSpacing = {' '.join(map(str, patches.SPACING))}\nDimSize = {x} {y} {slices}\nElementType = MET_SHORT\nElementDataFile = scan{n}.raw\n")
        for ending in files:
            files[ending].append(f"{stem}{ending}")
    return files


def seconds(act):
    """Wall clock, and processor time of this process and its children: the latter hardly depends on what else the machine does."""
    used = lambda: sum(part for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) for part in resource.getrusage(who)[:2])
    begun, before = time.perf_counter(), used()
    act()
    return time.perf_counter() - begun, used() - before


def oncoquant(arguments, what, manifest, packages):
    with tempfile.TemporaryDirectory() as out:
        target = os.path.join(out, "o.npy") if len(packages) == 1 else out
        subprocess.run([arguments.oncoquant, what, *packages, manifest, "-o", target, "--quiet", "--threads", str(arguments.threads)], check=True)


def peers():
    """Name -> function of a path, for those that are here."""
    found, missing = {}, []
    try:
        import SimpleITK
        found["SimpleITK"] = lambda path: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)).shape
    except ImportError:
        missing.append("SimpleITK")
    try:
        import monai.transforms
        load = monai.transforms.LoadImage(reader="ITKReader", image_only=True)
        found["MONAI"] = lambda path: load(path).shape
    except ImportError:
        missing.append("MONAI (with itk)")
    return found, missing


def measure(arguments, folder):
    files = write_scans(folder, arguments.scans, arguments.slices)
    package = str(folder / "package.oq")
    subprocess.run([arguments.oncoquant, "convert", "--model", "ct-fm", "--synthetic", "1", "-o", package, "--quiet"], check=True)
    found, missing = peers()
    middle = [spacing * (size // 2) for spacing, size in zip(patches.SPACING, (*patches.SHAPE[:2], arguments.slices))]
    rows = {}
    for ending, paths in files.items():
        manifest = str(folder / f"m{ending}.csv")
        pathlib.Path(manifest).write_text("image_path,coordX,coordY,coordZ\n" + "".join(f"{p},{middle[0]},{middle[1]},{middle[2]}\n" for p in paths))
        turns = {"oncoquant": lambda: oncoquant(arguments, "patches", manifest, [package])}
        turns |= {name: (lambda read: lambda: [read(p) for p in paths])(read) for name, read in found.items()}
        best = {}
        for _ in range(arguments.rounds):
            for name, turn in turns.items():
                best[name] = tuple(map(min, best.get(name, (np.inf, np.inf)), seconds(turn)))
        rows[ending] = {name: {"scans_per_second": len(paths) / wall, "cpu_seconds_per_scan": cpu / len(paths)} for name, (wall, cpu) in best.items()}
    shares = {}
    for path in arguments.packages:
        cut = min(seconds(lambda: oncoquant(arguments, "patches", manifest, [path]))[1] for _ in range(arguments.rounds))
        whole = min(seconds(lambda: oncoquant(arguments, "embed", manifest, [path]))[1] for _ in range(arguments.rounds))
        shares[pathlib.Path(path).stem] = cut / whole
    return {"scans": arguments.scans, "shape": [*patches.SHAPE[:2], arguments.slices], "threads": arguments.threads, "reading": rows,
            "missing": missing, "share_of_embed": shares, "load": os.getloadavg()[0], "machine": machine.facts(arguments.oncoquant, [])}


def table(result):
    names = sorted({name for row in result["reading"].values() for name in row}, key=lambda name: name != "oncoquant")
    lines = [f"Scans per second (and seconds of processor time per scan), {'x'.join(map(str, result['shape']))} int16, {result['threads']} threads; of oncoquant with one patch from each. "
             f"Load of the machine at the end: {result['load']:.1f}.", "", "| file | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| `{ending}` | " + " | ".join(f"{row[name]['scans_per_second']:.2f} ({row[name]['cpu_seconds_per_scan']:.3f})" for name in names) + " |"
              for ending, row in result["reading"].items()]
    lines += [f"Left out, as it cannot be imported: {', '.join(result['missing'])}."] if result["missing"] else []
    lines += ["", "Reading and cutting alone, as a share of the processor time of `embed` (`.mhd`, one patch from each scan): "
              + ", ".join(f"{name} {share:.0%}" for name, share in result["share_of_embed"].items()) + "."] if result["share_of_embed"] else []
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oncoquant", default=str(ROOT / "build/oncoquant"))
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out/bench")
    parser.add_argument("--scans", type=int, default=4)
    parser.add_argument("--slices", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--packages", nargs="*", default=[], help="packages whose share of reading is wanted")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, pathlib.Path(folder))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "reading.json").write_text(json.dumps(result, indent="\t") + "\n")
    (arguments.out / "reading.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
