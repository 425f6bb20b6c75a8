"""Makes tests/data/tools: a network of a few KB that uses most of the exporter, its package, two patches and their embeddings.

`python make_tiny.py` writes the files again; the embeddings come from the ONNX project's own reference evaluator in float64.
Run it when the exporter's output changes on purpose, and look at the difference before committing it.
"""
import pathlib
import subprocess
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "tools"
SIZE = 9


def network(dtype=np.float32):
    """Pad+conv, batch norm, ReLU, pools with ceil_mode and counted padding, instance norm, GELU spelled out, concat, affine, head."""
    rng = np.random.default_rng(4)
    tensors = {}

    def t(name, array):
        tensors[name] = np.asarray(array, np.float32)
        return name

    def weights(name, *shape):
        return t(name, rng.normal(size=shape) / np.sqrt(max(np.prod(shape[1:]), 1)))

    def n(op, inputs, output, **attributes):
        return helper.make_node(op, inputs, [output], name=f"node_{output}", **attributes)
    ints = {"pads": [0, 0, 1, 1, 1, 0, 0, 1, 1, 0], "flat": [1, -1]}
    t("bn.var", rng.random(4) + 0.5)
    nodes = [
        n("Pad", ["patch", "pads"], "padded"),
        n("Conv", ["padded", weights("stem.weight", 4, 1, 3, 3, 3), weights("stem.bias", 4)], "stem", strides=[1, 1, 1], kernel_shape=[3, 3, 3]),
        n("BatchNormalization", ["stem", t("bn.weight", rng.random(4) + 0.5), weights("bn.bias", 4), weights("bn.mean", 4), "bn.var"], "normed", epsilon=1e-3),
        n("Relu", ["normed"], "act"),
        n("MaxPool", ["act"], "pooled", kernel_shape=[2, 2, 2], strides=[2, 2, 2], ceil_mode=1),
        n("Conv", ["pooled", weights("group.weight", 4, 2, 3, 3, 3)], "grouped", pads=[1] * 6, group=2, dilations=[1, 1, 1]),
        n("InstanceNormalization", ["grouped", t("in.weight", rng.random(4) + 0.5), weights("in.bias", 4)], "instance", epsilon=1e-5),
        n("Div", ["instance", t("root2", np.sqrt(2))], "gelu.scaled"), n("Erf", ["gelu.scaled"], "gelu.erf"),
        n("Add", ["gelu.erf", t("one", 1)], "gelu.plus"), n("Mul", ["instance", "gelu.plus"], "gelu.product"),
        n("Mul", ["gelu.product", t("half", 0.5)], "gelu"),
        n("Concat", ["pooled", "gelu"], "joined", axis=1),
        n("AveragePool", ["joined"], "averaged", kernel_shape=[3, 3, 3], strides=[2, 2, 2], pads=[1] * 6, count_include_pad=1),
        n("LeakyRelu", ["averaged"], "leaky", alpha=0.1),
        n("Sub", ["leaky", weights("shift", 8, 1, 1, 1)], "shifted"),
        n("Clip", ["shifted", t("zero", 0), t("six", 0.6)], "limited"),
        n("ReduceMean", ["limited"], "mean", axes=[2, 3, 4]),
        n("Reshape", ["mean", "flat"], "vector"),
        n("Gemm", ["vector", weights("head.weight", 6, 8), weights("head.bias", 6)], "head", transB=1),
        n("ReduceL2", ["head"], "norm", axes=[1]),
        n("Clip", ["norm", t("eps", 1e-12)], "guarded"),
        n("Div", ["head", "guarded"], "embedding"),
    ]
    initializers = [numpy_helper.from_array(array.astype(dtype), name) for name, array in tensors.items()]
    initializers += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in ints.items()]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(nodes, "tiny", [helper.make_tensor_value_info("patch", kind, ["batch", 1, SIZE, SIZE, SIZE])],
                              [helper.make_tensor_value_info("embedding", kind, ["batch", 6])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="make_tiny")
    model.ir_version = 8
    return model


def patches():
    noise = np.random.default_rng(5).random((2, 1, SIZE, SIZE, SIZE), np.float32)
    noise[1] *= np.linspace(0, 1, SIZE, dtype=np.float32) ** 3
    return noise


def main():
    DATA.mkdir(exist_ok=True)
    onnx.save(network(), DATA / "tiny.onnx")
    np.save(DATA / "patches.npy", patches())
    exact = ReferenceEvaluator(network(np.float64))
    rows = [exact.run(None, {"patch": patch[None].astype(np.float64)})[0][0] for patch in patches()]
    np.save(DATA / "embeddings.npy", np.stack(rows).astype(np.float32))
    subprocess.run([sys.executable, ROOT / "tools" / "onnx_to_oncoquant.py", DATA / "tiny.onnx", "-d", DATA / "tiny.json", "-o", DATA / "tiny"], check=True)


if __name__ == "__main__":
    main()
