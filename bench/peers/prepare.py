"""What the contestants need of one package: `python prepare.py PACKAGE FOLDER [int8]`, with FOLDER/patches.npy already there, and
FOLDER/calibration.npy for int8.

Writes input.npy (what the network takes: the patches, or two images of the first where a patch is many images), network.onnx (dynamic
batch), network.xml and .bin (OpenVINO, float32) and reference.npy: the embeddings of the same network in float64, to which every
contestant is compared. With int8 also network-int8.onnx (ONNX Runtime, static, weights per channel) and
network-int8.xml (NNCF). Does nothing when they are there and made of the same weights and patches.
"""
import hashlib
import pathlib
import sys


def digest(package, *patches):
    state = hashlib.sha256()
    for path in (package / "weights.safetensors", *patches, pathlib.Path(__file__), *sorted(pathlib.Path(__file__).parent.glob("*nets.py"))):
        with open(path, "rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def float_networks(package, folder):
    import numpy as np
    import openvino as ov
    import torch
    import nets
    network = nets.load(package)
    patches = np.load(folder / "patches.npy")
    images = nets.images_per_patch(package)
    patches = nets.inputs(package, patches[0], [images // 4, images // 2]) if images > 1 else patches
    np.save(folder / "input.npy", patches)
    patches = torch.from_numpy(patches)
    program = torch.onnx.export(network, (patches[:2],), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},),
                                input_names=["patch"], output_names=["embedding"], verbose=False)
    program.save(folder / "network.onnx", external_data=False)
    ov.save_model(ov.convert_model(folder / "network.onnx"), folder / "network.xml", compress_to_fp16=False)
    network = network.double()
    with torch.inference_mode():
        np.save(folder / "reference.npy", torch.cat([network(patch[None].double()) for patch in patches]).numpy())


def openvino_int8(package, folder, patches):
    import nncf
    import openvino as ov
    import nets
    kind = nncf.ModelType.TRANSFORMER if nets.model_name(package) in nets.TRANSFORMERS else None
    model = ov.Core().read_model(folder / "network.xml")
    quantised = nncf.quantize(model, nncf.Dataset([patch[None] for patch in patches]), subset_size=len(patches), model_type=kind)
    ov.save_model(quantised, folder / "network-int8.xml", compress_to_fp16=False)


def onnxruntime_int8(folder, patches):
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.rest = iter(patches)

        def get_next(self):
            patch = next(self.rest, None)
            return None if patch is None else {"patch": patch[None]}

    source = folder / "network-folded.onnx"
    quant_pre_process(str(folder / "network.onnx"), str(source), skip_symbolic_shape=True)
    quantization.quantize_static(str(source), str(folder / "network-int8.onnx"), Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
                                 activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)
    source.unlink()


def int8_networks(package, folder):
    import numpy as np
    import nets
    middle = [nets.images_per_patch(package) // 2]
    patches = np.concatenate([nets.inputs(package, patch, middle) for patch in np.load(folder / "calibration.npy")])
    openvino_int8(package, folder, patches)
    onnxruntime_int8(folder, patches)


def once(stamp, state, act, *arguments):
    if not stamp.exists() or stamp.read_text() != state:
        act(*arguments)
        stamp.write_text(state)


def main():
    package, folder = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    (folder / "package.txt").write_text(str(package))
    once(folder / "prepared.txt", digest(package, folder / "patches.npy"), float_networks, package, folder)
    if "int8" in sys.argv[3:]:
        once(folder / "prepared-int8.txt", digest(package, folder / "patches.npy", folder / "calibration.npy"), int8_networks, package, folder)


if __name__ == "__main__":
    main()
