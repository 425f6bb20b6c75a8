"""The package beside ONNX Runtime or PyTorch: the same made-up patches through both, the relative L2 difference of every embedding.

The way from patch to input and from output to embedding is computed here once more, in NumPy, so that it is checked as well.
"""
import json
import os
import subprocess

import numpy as np
import onnx

from .source import Refused

COUNT = 3


def made_up_patches(preprocessing, seed=7):
    """[N,1,D,H,W] in the range of the preprocessing: noise, a ramp with noise, and blobs."""
    rng = np.random.default_rng(seed)
    size, (low, high) = preprocessing["size"], preprocessing["out_range"]
    ramp = np.add.reduce(np.meshgrid(*[np.linspace(0, 1, n) for n in size], indexing="ij")) / 3
    waves = np.prod(np.meshgrid(*[np.sin(np.linspace(0, 9, n) + 1) for n in size], indexing="ij"), axis=0)
    fields = [rng.random(size), 0.8 * ramp + 0.2 * rng.random(size), np.clip(0.5 + waves, 0, 1)]
    return (low + (high - low) * np.stack(fields)[:, None]).astype(np.float32)


def network_inputs(patches, shape, mode, axes):
    """What ONNX Runtime sees of each patch."""
    channels, depth = shape[1], patches.shape[2]
    if len(shape) == 5:
        return np.repeat(patches, channels, axis=1)
    seed = depth // 2 if axes[0] in "RAS" or depth == 1 else depth - 1 - depth // 2
    if mode == "planes":
        return patches[:, 0, seed - (channels - 1) // 2:][:, :channels]
    return np.repeat(patches[:, :, seed], channels, axis=1)


def onnx_runner(source, folder):
    """Rows of the network's output by ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError:
        raise Refused("--check needs the Python package onnxruntime") from None
    path = os.path.join(folder, "network.onnx")
    model = onnx.ModelProto.FromString(source.model.SerializeToString()) if source.model.ByteSize() < 1 << 30 else source.model
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(source.output))
    onnx.save_model(model, path, save_as_external_data=True, location="network.bin")
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
    entry = next(entry for entry in session.get_inputs() if entry.name == source.input)
    kind = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(entry.type, np.float32)
    return lambda inputs: [session.run([source.output], {source.input: patch[None].astype(kind)})[0] for patch in inputs]


def embeddings_of(outputs, head, normalize):
    rows = []
    for row in outputs:
        row = row.astype(np.float64)
        if head == "mean" and row.ndim > 2:
            row = row.reshape(*row.shape[:2], -1).mean(axis=2)
        row = row.ravel()
        rows.append(row / np.linalg.norm(row) if normalize else row)
    return np.stack(rows)


def embed(program, package, patches, folder):
    np.save(os.path.join(folder, "patches.npy"), patches)
    command = [program, "embed", package, "--patches", os.path.join(folder, "patches.npy"), "-o", os.path.join(folder, "embeddings.npy"), "--quiet"]
    try:
        result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise Refused(f"{program}: cannot be run: {error.strerror}") from None
    if result.returncode:
        raise Refused(f"{program}: refuses the package: {result.stderr.strip()}")
    return np.load(os.path.join(folder, "embeddings.npy")).astype(np.float64)


def compare(program, source, package, folder, options, run=None):
    """Relative L2 difference of each patch's embedding; `run` makes the network's outputs, by default ONNX Runtime does."""
    with open(os.path.join(package, "model.json"), encoding="utf-8") as file:
        preprocessing = json.load(file)["preprocessing"]
    patches = made_up_patches(preprocessing)
    inputs = network_inputs(patches, source.input_shape, options.channels, preprocessing["axes"])
    wanted = embeddings_of((run or onnx_runner(source, folder))(inputs), options.head, options.l2_normalize)
    got = embed(program, package, patches, folder)
    if got.shape != wanted.shape:
        raise Refused(f"{source.file}: the package gives {list(got.shape)} numbers, the network {list(wanted.shape)}")
    # An embedding of zeros has no scale of its own: there the difference itself counts.
    return [float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0)) for a, b in zip(got, wanted)]
