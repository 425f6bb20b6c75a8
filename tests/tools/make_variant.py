"""Makes the rest of tests/data/tools: a checkpoint of a small variant of a known family with a recipe of its own, patches, embeddings.

`python make_variant.py` needs torch and monai; the embeddings are those of MONAI's SegResEncoder in float64.
"""
import json
import pathlib
import sys

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "tools"
EXAMPLE = ROOT / "examples" / "custom-model"
sys.path.insert(0, str(EXAMPLE))
import networks


def main():
    module = networks.segresenc(2, (1, 1, 1))
    torch.save({"epoch": 7, "state_dict": module.state_dict()}, DATA / "variant.pt")
    recipe = json.loads((EXAMPLE / "segresenc-16.json").read_text())
    recipe.update(name="variant", title="Tiny SegResEncoder of the tests", embedding={"size": 8},
                  parameters={"size": 9, "init_filters": 2, "blocks_down": [1, 1, 1], "norm": "batch"})
    recipe["preprocessing"]["size"] = [9, 9, 9]
    (DATA / "variant.json").write_text(json.dumps(recipe, indent=2) + "\n")
    patches = np.load(DATA / "patches.npy")
    with torch.no_grad():
        np.save(DATA / "variant_embeddings.npy", module.double()(torch.from_numpy(patches).double()).numpy().astype(np.float32))


if __name__ == "__main__":
    main()
