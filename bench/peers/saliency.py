"""Occlusion maps: oncoquant beside MONAI's OcclusionSensitivity with PyTorch, on the same package and patches. `python saliency.py --help`.

Beside both, as many plain passes of PyTorch as a map takes, also in batches of 12: what is left when MONAI's own work is taken off. Any package
of a network in nets.py will do: of CT-FM, FMCIB or astra, say, of which oncoquant reuses more or less (`reuse` in the results).

MONAI gets the settings of the reference benchmark (window 12, overlap 0.25, batches of 12). Both are measured in turn, patch after patch, so that a
slow minute of the machine hits both; times are of the map of one patch, without opening the network. Stops when maps differ by more than BAR
of their greatest value and float32's share. Writes OUT/saliency.json.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from monai.visualize import OcclusionSensitivity

import machine
from nets import load

# MONAI averages embeddings and takes cosines in float32: 1 - cosine of some thousand values errs by one or two millionths, whatever the map reaches.
BAR, FLOAT32 = 1e-3, 5e-6
PACKAGES = ("monai", "torch", "numpy")


class Vector(torch.nn.Module):
    """MONAI wants [batch, classes]."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x).flatten(1)


def monai_map(network, patch):
    x = torch.from_numpy(patch[None])
    with torch.inference_mode():
        base = network(x)
        occluded, _ = OcclusionSensitivity(nn_module=network, mask_size=12, overlap=0.25, n_batch=12, activate=False, verbose=False)(x)
        means = torch.as_tensor(occluded).reshape(base.shape[-1], -1)
        return (1 - torch.nn.functional.cosine_similarity(base[0][:, None], means, dim=0)).reshape(patch.shape[1:]).numpy()


def plain_passes(network, patch, passes, together=12):
    x = torch.from_numpy(patch[None]).expand(together, -1, -1, -1, -1).contiguous()
    start = time.perf_counter()
    with torch.inference_mode():
        for first in range(0, passes, together):
            network(x[: min(together, passes - first)])
    return time.perf_counter() - start


def our_map(options, patch, threads):
    folder = options.out / "saliency"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "patch.npy", patch[None])
    subprocess.run([options.oncoquant, "saliency", options.package, "--patches", folder / "patch.npy", "-o", folder, "--threads", str(threads), "--quiet"], check=True)
    document = json.loads((folder / "saliency.json").read_text())
    row = document["rows"][0]
    return np.load(folder / "maps.npy")[0, 0], row["seconds"], row["passes"], document["model"]["reuse"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oncoquant", type=pathlib.Path, default=pathlib.Path("build/oncoquant"))
    parser.add_argument("--package", type=pathlib.Path, required=True)
    parser.add_argument("--patches", type=pathlib.Path, required=True, help=".npy [N,1,D,H,W], as `oncoquant patches` writes them")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/bench"))
    options = parser.parse_args()
    threads = len(machine.processors())
    torch.set_num_threads(threads)
    network = Vector(load(options.package)).eval()
    results = []
    for patch in np.load(options.patches).astype(np.float32):
        ours, seconds, passes, reuse = our_map(options, patch, threads)
        start = time.perf_counter()
        theirs = monai_map(network, patch)
        result = {"oncoquant_seconds": seconds, "monai_seconds": time.perf_counter() - start,
                  "torch_seconds": plain_passes(network, patch, passes), "passes": passes, "reuse": reuse, "greatest": float(ours.max()),
                  "difference": float(np.abs(ours - theirs).max() / ours.max()), "same_peak": bool(ours.argmax() == theirs.argmax())}
        print(json.dumps(result), flush=True)
        if result["difference"] > BAR + FLOAT32 / result["greatest"]:
            sys.exit(f"maps differ by {result['difference']:.1e} of the greatest value")
        results.append(result)
    ratio, plain = (statistics.median(r[key] / r["oncoquant_seconds"] for r in results) for key in ("monai_seconds", "torch_seconds"))
    print(f"oncoquant takes 1/{ratio:.2f} of MONAI's time and 1/{plain:.2f} of the plain passes' (median of {len(results)} patches)")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "saliency.json").write_text(json.dumps({"machine": machine.facts(options.oncoquant, PACKAGES), "threads": threads, "patches": results, "ratio": ratio, "ratio_to_plain_passes": plain}, indent=1))


if __name__ == "__main__":
    main()
