"""Whole networks of other projects through the exporter, beside PyTorch: relative L2 within 1e-5.

`python test_networks.py ONCOQUANT`. Needs torch, onnx, onnxscript and monai; the ResNets need torchvision.
"""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

for needed in ("numpy", "onnx", "onnxscript", "torch", "monai"):
    if importlib.util.find_spec(needed) is None:
        print(f"SKIPPED: the Python package {needed} is not here; bench/peers/setup.sh installs it")
        sys.exit(0)

HERE = pathlib.Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / "tools"
EXAMPLE = HERE.parents[1] / "examples" / "custom-model"
sys.path.insert(0, str(EXAMPLE))
ONCOQUANT = None
# float32 on both sides; two orders of summation differ by some 5e-7 over 121 layers, a wrong norm by 1e-2 and more.
BAR = "1e-5"


def has_torchvision():
    return importlib.util.find_spec("torchvision") is not None


class Networks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def description(self, size):
        path = os.path.join(self.folder, "description.json")
        fields = {"axes": "SPL", "size": size, "spacing_mm": [1, 1, 1], "hu_range": [-1024, 2048], "out_range": [0, 1]}
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"name": "network", "preprocessing": fields}, file)
        return path

    def run_tool(self, tool, source, size, *options):
        package = os.path.join(self.folder, "network.oq")
        command = [sys.executable, TOOLS / tool, source, "-d", self.description(size), "-o", package, "--check", ONCOQUANT, "--tolerance", BAR, *options]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        print(result.stdout, end="")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("parity with", result.stdout)
        return package

    def test_densenet(self):
        """From Python, from a traced module and from an exported program."""
        import torch
        import networks
        shape = ("--input-shape", "1,1,64,64,64")
        size = [64, 64, 64]
        module, example = networks.densenet121(), torch.zeros(1, 1, 64, 64, 64)
        traced, program, state = (os.path.join(self.folder, name) for name in ("traced.pt", "program.pt2", "state.pt"))
        torch.jit.save(torch.jit.trace(module, example, check_trace=False), traced)
        torch.export.save(torch.export.export(module, (example,)), program)
        torch.save(module.state_dict(), state)
        for source, options in ((f"{EXAMPLE}/networks.py:densenet121", ("--weights", state)), (f"{EXAMPLE}/networks.py:densenet_features", ()), (traced, ()), (program, ())):
            with self.subTest(os.path.basename(source)):
                self.run_tool("torch_to_oncoquant.py", source, size, *shape, *options)

    @unittest.skipUnless(has_torchvision(), "torchvision is not here")
    def test_resnet(self):
        """Images of depth 1: the channel repeated; of several planes: neighbours as channels."""
        for name, depth, mode in (("resnet18", 1, "repeat"), ("resnet18", 4, "planes"), ("resnet50", 1, "repeat")):
            with self.subTest(name, depth=depth):
                self.run_tool("torch_to_oncoquant.py", f"{EXAMPLE}/networks.py:{name}", [depth, 160, 160], "--input-shape", "1,3,160,160", "--channels", mode)

    def test_monai_images(self):
        """A two-dimensional ResNet of MONAI, through an ONNX file with an open batch."""
        import torch
        from monai.networks.nets import resnet18
        import networks
        torch.manual_seed(0)
        module = networks.unsettle(resnet18(spatial_dims=2, n_input_channels=1, num_classes=7))
        path = os.path.join(self.folder, "resnet.onnx")
        torch.onnx.export(module, (torch.zeros(2, 1, 96, 96),), path, dynamo=True, verbose=False, dynamic_shapes=({0: torch.export.Dim("batch")},))
        for depth in (1, 2):
            with self.subTest(depth=depth):
                self.run_tool("onnx_to_oncoquant.py", path, [depth, 96, 96])

    def test_recipe(self):
        """The example's recipe of a known family, on a checkpoint as a training script saves it."""
        import numpy as np
        import torch
        import networks
        checkpoint, package, patches, out = (os.path.join(self.folder, name) for name in ("segresenc-16.pt", "segresenc-16.oq", "patches.npy", "out.npy"))
        subprocess.run([sys.executable, EXAMPLE / "networks.py", checkpoint], check=True)
        subprocess.run([ONCOQUANT, "convert", "--quiet", "--model", EXAMPLE / "segresenc-16.json", "--checkpoint", checkpoint, "-o", package], check=True)
        np.save(patches, np.random.default_rng(3).random((2, 1, 64, 64, 64), np.float32))
        subprocess.run([ONCOQUANT, "embed", "--quiet", package, "--patches", patches, "-o", out], check=True)
        with torch.no_grad():
            wanted = networks.segresenc()(torch.from_numpy(np.load(patches))).numpy()
        difference = np.linalg.norm(np.load(out) - wanted) / np.linalg.norm(wanted)
        print(f"segresenc-16: parity with PyTorch: relative L2 {difference:.2e}")
        self.assertLessEqual(difference, float(BAR))


if __name__ == "__main__":
    ONCOQUANT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
