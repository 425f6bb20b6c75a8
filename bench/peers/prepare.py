"""What the contestants need of one package: `python prepare.py PACKAGE FOLDER`, with FOLDER/patches.npy already there.

Writes network.onnx (dynamic batch), network.xml and .bin (OpenVINO, float32) and reference.npy: the embeddings of the same network
in float64, to which every contestant is compared. Does nothing when they are there and made of the same weights and patches.
"""
import hashlib
import pathlib
import sys


def digest(package, folder):
    state = hashlib.sha256()
    for path in (package / "weights.safetensors", folder / "patches.npy", pathlib.Path(__file__), pathlib.Path(__file__).with_name("nets.py")):
        with open(path, "rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def main():
    package, folder = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    (folder / "package.txt").write_text(str(package))
    stamp, state = folder / "prepared.txt", digest(package, folder)
    if stamp.exists() and stamp.read_text() == state:
        return
    import numpy as np
    import openvino as ov
    import torch
    import nets
    network = nets.load(package)
    patches = torch.from_numpy(np.load(folder / "patches.npy"))
    program = torch.onnx.export(network, (patches[:2],), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},),
                                input_names=["patch"], output_names=["embedding"], verbose=False)
    program.save(folder / "network.onnx", external_data=False)
    ov.save_model(ov.convert_model(folder / "network.onnx"), folder / "network.xml", compress_to_fp16=False)
    network = network.double()
    with torch.inference_mode():
        np.save(folder / "reference.npy", torch.cat([network(patch[None].double()) for patch in patches]).numpy())
    stamp.write_text(state)


if __name__ == "__main__":
    main()
