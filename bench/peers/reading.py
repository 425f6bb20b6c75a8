"""Reading of scans: does it limit `embed`, and how fast is it beside SimpleITK and MONAI? In one run. `python reading.py --help`.

One made-up scan (that of patches.py) in every format, under as many names as there are rows, so that each row reads a scan of its own.
- Scans: ReadImage into an array (SimpleITK), LoadImage with ITKReader (MONAI), `oncoquant patches`, which also cuts; the command is started anew.
- Patches: `oncoquant patches` again; SimpleITK's ReadImage and Resample onto the grid of the patch; MONAI's pipeline of the benchmark (patches.py).
- Networks: `oncoquant embed` of ready patches, of raw and of gzip scans, these without and with an index, with one patch each. What a row takes is the difference of a long and a short
  run by the number of rows between them, so that starting and packing weights do not count. Reading limits where it adds more time than the network takes.
  A network that does not finish two ready patches within --patience seconds gives an upper bound of the share only.
Turns alternate, the best of each counts. A peer that cannot be imported is left out, and that is said.
"""
import argparse
import gzip
import importlib.util
import json
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time

import numpy as np

import machine
import patches

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = "ct-fm,vista3d,fmcib,merlin,models-genesis,suprem,pasta,voco,ct-clip,medimageinsight"


def header_of(slices):
    """NIfTI-1: voxel (0,0,0) at the origin, axes L, P, S."""
    header = bytearray(352)

    def put(at, kind, values):
        data = np.array(values, kind).tobytes()
        header[at:at + len(data)] = data

    put(0, "<i4", [348])
    put(40, "<i2", [3, *patches.SHAPE[:2], slices, 1, 1, 1, 1])
    put(70, "<i2", [4, 16])
    put(76, "<f4", [1, *patches.SPACING])
    put(108, "<f4", [352, 1, 0])
    put(254, "<i2", [1])
    header[123], header[344:348] = 2, b"n+1\0"
    for row in range(3):
        put(280 + 16 * row, "<f4", [(-1 if row < 2 else 1) * patches.SPACING[row] * (row == column) for column in range(4)])
    return bytes(header)


def write_scan(folder, slices):
    """Format -> path."""
    rng = np.random.default_rng(1)
    voxels = b"".join(patches.slice_of_ct(z, rng).tobytes(order="F") for z in range(slices))
    files = {ending: folder / f"scan{ending}" for ending in (".nii", ".nii.gz", ".mhd")}
    files[".nii"].write_bytes(header_of(slices) + voxels)
    with gzip.GzipFile(files[".nii.gz"], "wb", 6, mtime=0) as packed:
        packed.write(header_of(slices) + voxels)
    (folder / "scan.raw").write_bytes(voxels)
    files[".mhd"].write_text(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        f"ElementSpacing = {' '.join(map(str, patches.SPACING))}\nDimSize = {' '.join(map(str, (*patches.SHAPE[:2], slices)))}\n"
        "ElementType = MET_SHORT\nElementDataFile = scan.raw\n")
    return files


def make_manifest(folder, scan, rows, seed):
    """A name of its own for the scan of each row."""
    name = folder / f"{rows}{''.join(scan.suffixes)}.csv"
    lines = ["image_path,coordX,coordY,coordZ"]
    for row in range(rows):
        link = folder / f"{row}_{scan.name}"
        if not link.exists():
            link.symlink_to(scan)
        lines.append(",".join([str(link), *map(str, seed)]))
    name.write_text("\n".join(lines) + "\n")
    return name


def seconds(act):
    """Wall clock, and processor time of this process and its children: the latter hardly depends on what else the machine does."""
    used = lambda: sum(part for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) for part in resource.getrusage(who)[:2])
    begun, before = time.perf_counter(), used()
    act()
    return time.perf_counter() - begun, used() - before


def best_of(rounds, turns):
    """Name -> the least (wall, processor) seconds of its turns."""
    best = {}
    for _ in range(rounds):
        for name, turn in turns.items():
            best[name] = tuple(map(min, best.get(name, (np.inf, np.inf)), seconds(turn)))
    return best


def oncoquant(options, what, package, rows, out, timeout=None, indexes=None):
    source = ["--patches", rows] if what == "embed" and str(rows).endswith(".npy") else [rows]
    source += ["--index-dir", indexes] if indexes else []
    subprocess.run(list(map(str, [options.oncoquant, what, package, *source, "-o", out, "--quiet", "--threads", options.threads])), check=True, timeout=timeout)


def make_index(options, folder, scan):
    """One index in a folder of its own serves all names of the scan. What it costs."""
    indexes = folder / "indexes"
    spent = seconds(lambda: subprocess.run(list(map(str, [options.oncoquant, "index", scan, "--index-dir", indexes, "--quiet"])), check=True))
    return indexes, {"mb": sum(file.stat().st_size for file in indexes.iterdir()) / 1e6, "cpu_seconds": spent[1]}


def convert(options, folder, model):
    package = folder / f"{model}.oq"
    subprocess.run(list(map(str, [options.oncoquant, "convert", "--model", model, "--synthetic", 1, "-o", package, "--quiet"])), check=True)
    return package


def peers(options, seed):
    """Name -> (read, cut): functions of a path; and the names of those that are not here."""
    found, missing = {}, []
    try:
        import SimpleITK as sitk
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)

        def cut(path):
            grid = sitk.Image([patches.SIZE] * 3, sitk.sitkFloat32)
            grid.SetOrigin([x - patches.SIZE / 2 for x in seed])
            sitk.GetArrayFromImage(sitk.Resample(sitk.ReadImage(path), grid, sitk.Transform(), sitk.sitkLinear, -1024.0, sitk.sitkFloat32))

        found["SimpleITK"] = lambda path: sitk.GetArrayFromImage(sitk.ReadImage(path)).shape, cut
    except ImportError:
        missing.append("SimpleITK")
    try:
        import torch
        import monai.transforms
        torch.set_num_threads(options.threads)
        load, pipeline = monai.transforms.LoadImage(reader="ITKReader", image_only=True), patches.Reference()
        found["MONAI"] = lambda path: load(path).shape, lambda path: pipeline.crop(pipeline.whole(path), np.array([-seed[0], -seed[1], seed[2]]))
    except ImportError:
        missing.append("MONAI (with itk)")
    return found, missing


def measure_indexed(options, folder, package, manifest, indexes):
    turn = lambda: oncoquant(options, "patches", package, manifest, folder / "p.npy", indexes=indexes)
    wall, cpu = best_of(options.rounds, {"oncoquant": turn})["oncoquant"]
    found = {"oncoquant": {"per_second": options.scans / wall, "cpu_seconds": cpu / options.scans}}
    return {"scans": {}, "patches": found} # a scan as a whole is never read by an index


def measure_reading(options, folder, files, seed, indexes):
    package, rows = convert(options, folder, "ct-fm"), {}
    found, missing = peers(options, seed)
    for ending in options.formats:
        path, manifest = str(files[ending]), make_manifest(folder, files[ending], options.scans, seed)
        turns = {"oncoquant": lambda: oncoquant(options, "patches", package, manifest, folder / "p.npy")}
        turns |= {name: (lambda read: lambda: [read(path) for _ in range(options.scans)])(read) for name, (read, _) in found.items()}
        scans = {name: {"per_second": options.scans / wall, "cpu_seconds": cpu / options.scans} for name, (wall, cpu) in best_of(options.rounds, turns).items()}
        cuts = {name: (lambda cut: lambda: cut(path))(cut) for name, (_, cut) in found.items()}
        cut = {name: {"per_second": 1 / wall, "cpu_seconds": cpu} for name, (wall, cpu) in best_of(1, cuts).items()}
        rows[ending] = {"scans": scans, "patches": {"oncoquant": scans["oncoquant"], **cut}}
        if ending == ".nii.gz":
            rows[ending + " with index"] = measure_indexed(options, folder, package, manifest, indexes)
    shutil.rmtree(package)
    return rows, missing


def ready_patches(options, folder, package, files, rows, seed):
    patches = folder / f"ready{rows}.npy"
    oncoquant(options, "patches", package, make_manifest(folder, files[".nii"], rows, seed), patches)
    return patches


def long_rows(short_seconds, longer_seconds, options):
    """So many that they take a few seconds more than two; the times are of 2 and of 8 rows."""
    return 2 + min(64, max(4, round(options.seconds * 6 / max(longer_seconds - short_seconds, 0.06))))


def measure_model(options, folder, files, seed, model, indexes):
    """Seconds a row takes: ready, raw, gzip, indexed; None beyond patience."""
    package = convert(options, folder, model)
    try:
        ready = ready_patches(options, folder, package, files, 2, seed)
        try:
            short = seconds(lambda: oncoquant(options, "embed", package, ready, folder / "e.npy", options.patience))[0]
        except subprocess.TimeoutExpired:
            for left in folder.glob("e.*"):
                left.unlink()
            return {"seconds": None, "patience": options.patience}
        some = ready_patches(options, folder, package, files, 8, seed)
        rows = long_rows(short, seconds(lambda: oncoquant(options, "embed", package, some, folder / "e.npy"))[0], options)
        ready_patches(options, folder, package, files, rows, seed)
        sources = {"ready": [folder / f"ready{n}.npy" for n in (2, rows)]}
        sources |= {name: [make_manifest(folder, files[ending], n, seed) for n in (2, rows)] for name, ending in (("raw", ".nii"), ("gzip", ".nii.gz"), ("indexed", ".nii.gz"))}
        turns = {(name, which): (lambda s, i: lambda: oncoquant(options, "embed", package, s, folder / "e.npy", indexes=i))(pair[which], indexes if name == "indexed" else None)
                 for name, pair in sources.items() for which in (0, 1)}
        best = best_of(options.model_rounds, turns)
        return {"rows": rows, "seconds": {name: max(best[name, 1][0] - best[name, 0][0], 1e-9) / (rows - 2) for name in sources}}
    finally:
        shutil.rmtree(package)


def measure(options, folder):
    files = write_scan(folder, options.slices)
    seed = [spacing * (size // 2) for spacing, size in zip(patches.SPACING, (*patches.SHAPE[:2], options.slices))]
    indexes, index = make_index(options, folder, files[".nii.gz"])
    rows, missing = measure_reading(options, folder, files, seed, indexes)
    result = {"shape": [*patches.SHAPE[:2], options.slices], "gzip_mb": files[".nii.gz"].stat().st_size / 1e6, "index": index, "threads": options.threads, "reading": rows,
              "missing": missing, "models": {}, "machine": machine.facts(options.oncoquant, installed(*patches.PACKAGES, "SimpleITK"))}
    for model in options.models:
        result["models"][model] = measure_model(options, folder, files, seed, model, indexes)
        print(model, result["models"][model], flush=True)
    result["load"] = os.getloadavg()[0]
    return result


def installed(*packages):
    return [package for package in packages if importlib.util.find_spec(package)]


def reading_table(result):
    names = sorted({name for row in result["reading"].values() for name in row["scans"]}, key=lambda name: name != "oncoquant")
    cell = lambda found: f"{found['per_second']:.2f} ({found['cpu_seconds']:.3f})" if found else "-"
    lines = ["| file | " + " | ".join(f"{name}, {what}/s" for what in ("scans", "patches") for name in names) + " |", "|-" * (2 * len(names) + 1) + "|"]
    return lines + [f"| `{ending}` | " + " | ".join(cell(row[what].get(name)) for what in ("scans", "patches") for name in names) + " |"
                    for ending, row in result["reading"].items()]


def model_row(model, found, gzip_scan):
    if not found["seconds"]:
        return f"| {model} | more than {500 * found['patience']:.0f} | - | - | - | below {200 * gzip_scan / found['patience']:.1f} % | no | - |"
    ready, *others = (found["seconds"][name] for name in ("ready", "raw", "gzip", "indexed"))
    added = [max(t - ready, 0) for t in others]
    limits = [name for name, more in zip(("raw", "gzip", "gzip with index"), added) if more > ready]
    return (f"| {model} | " + " | ".join(f"{1e3 * t:.0f}" for t in (ready, *others)) + " | " + ", ".join(f"{100 * more / max(t, ready):.0f} %" for more, t in zip(added, others))
            + f" | {', '.join(limits) or 'no'} | " + ", ".join(str(max(1, int(np.ceil(more / ready)))) for more in added[1:]) + " |")


def table(result):
    lines = machine.markdown(result["machine"])
    lines += [f"One made-up scan of {'x'.join(map(str, result['shape']))} int16, {result['gzip_mb']:.0f} MB as gzip, in the page cache; {result['threads']} threads; load of the machine at the end: "
              f"{result['load']:.1f}. Per second, and seconds of processor time each; one patch from every scan. OncoQuant's are those of the whole command, start included. The index has "
              f"{result['index']['mb']:.1f} MB and took {result['index']['cpu_seconds']:.2f} s of processor time to make.", ""]
    lines += reading_table(result)
    lines += [f"Left out, as it cannot be imported: {', '.join(result['missing'])}."] if result["missing"] else []
    if result["models"]:
        gzip_scan = 1 / result["reading"][".nii.gz"]["scans"]["oncoquant"]["per_second"]
        lines += ["", "`embed`, milliseconds a row with one patch from every scan; what reading and cutting add to ready patches, as a share of the row; whether that is more than "
                  "the network takes; and from how many patches per scan on the network takes longer than reading gzip, without and with index.", "",
                  "| model | ready patches | raw scans | gzip scans | gzip with index | share of reading: raw, gzip, indexed | reading limits | patches per scan |", "|-|-|-|-|-|-|-|-|"]
        lines += [model_row(model, found, gzip_scan) for model, found in result["models"].items()]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oncoquant", default=str(ROOT / "build/oncoquant"))
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out/bench")
    parser.add_argument("--scans", type=int, default=4, help="read in one turn (4)")
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--formats", type=lambda text: text.split(","), default=[".nii", ".nii.gz", ".mhd"], help=".nii,.nii.gz,.mhd")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", type=lambda text: text.split(",") if text else [], default=MODELS.split(","), help="their share of reading; \"\" for none (all ten)")
    parser.add_argument("--model-rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4, help="that a long run of a network should about take (4)")
    parser.add_argument("--patience", type=float, default=30, help="seconds for two ready patches (30)")
    options = parser.parse_args()
    if options.models and ".nii.gz" not in options.formats:
        parser.error("networks are compared with reading .nii.gz, which is not among the formats")
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, pathlib.Path(folder))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "reading.json").write_text(json.dumps(result, indent="\t") + "\n")
    (options.out / "reading.md").write_text(table(result))
    print(table(result))
    print(f"{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
