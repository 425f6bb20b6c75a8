"""The exporter: the golden package byte by byte, every op beside ONNX's own evaluator, every refusal by its words.

`python test_export.py ONCOQUANT`. Needs onnx and numpy; uses onnxruntime as the reference where it is installed.
"""
import argparse
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

for needed in ("numpy", "onnx"):
    if importlib.util.find_spec(needed) is None:
        print(f"SKIPPED: the Python package {needed} is not here")
        sys.exit(0)

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "tools"
sys.path.insert(0, str(ROOT / "tools"))
from oq_export import command, ops, package, parity
from oq_export.convert import convert
from oq_export.source import Refused, Source

ONCOQUANT = None
BAR = 2e-6  # relative L2 of one or two ops in float32 beside another order of summation
PREPROCESSING = {"axes": "SPL", "size": [6, 7, 8], "spacing_mm": [1, 1, 1], "hu_range": [-1024, 2048], "out_range": [-1, 1]}


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], name=f"n_{output}", **attributes)


def model_of(nodes, constants=None, shape=(1, 1, 6, 7, 8), opset=17, output=None, domains=()):
    """A model with the input x; constants are arrays by name."""
    output = output or nodes[-1].output[0]
    graph = helper.make_graph(nodes, "case", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *[helper.make_opsetid(name, 1) for name in domains]])
    model.ir_version = 8
    return model


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def source(self, model, **options):
        path = os.path.join(self.folder, "case.onnx")
        onnx.save(model, path)
        return Source(path, **options)

    def description(self, **changes):
        path = os.path.join(self.folder, "case.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"name": "case", "preprocessing": {**PREPROCESSING, **changes}}, file)
        return path

    def options(self, **changes):
        fields = {"description": changes.pop("description", None) or self.description(), "package": os.path.join(self.folder, "case.oq"), "output": None, "head": "flatten", "l2_normalize": False,
                  "channels": None, "check": ONCOQUANT, "tolerance": BAR, "list": False, **changes}
        return argparse.Namespace(**fields)

    def export(self, source, runner=None, **changes):
        """Exports with --check; the text that the program prints."""
        runner = runner or (None if importlib.util.find_spec("onnxruntime") else evaluator(source))
        with contextlib.redirect_stdout(io.StringIO()) as text:
            command.export(source, self.options(**changes), {"tool": "test"}, runner)
        return text.getvalue()

    def ops(self):
        with open(os.path.join(self.folder, "case.oq", "model.json"), encoding="utf-8") as file:
            return [entry["op"] for entry in json.load(file)["graph"]["nodes"]]

    def refused(self, words, model, **changes):
        with self.assertRaises(Refused) as caught:
            self.export(self.source(model), **changes)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, str(caught.exception))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "case.oq")))


def evaluator(source):
    from onnx.reference import ReferenceEvaluator
    kind = helper.tensor_dtype_to_np_dtype(source.model.graph.input[0].type.tensor_type.elem_type)
    return lambda inputs: [ReferenceEvaluator(source.model).run([source.output], {source.input: row[None].astype(kind)})[0] for row in inputs]


RNG = np.random.default_rng(11)


def random(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def positive(*shape):
    return (RNG.random(shape) + 0.5).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


# x is [1,1,6,7,8]; "stem" makes 4 channels of it where an op needs some. name: (nodes after the stem, constants, ops expected)
STEM = (node("Conv", ["x", "stem.w"], "s", pads=[1] * 6), {"stem.w": random(4, 1, 3, 3, 3)})
WEIGHTS = {"w": random(6, 4, 3, 3, 3), "b": random(6)}
CASES = {
    "conv with bias": ([node("Conv", ["s", "w", "b"], "y", pads=[1, 0, 2, 0, 1, 1])], WEIGHTS, ["conv", "conv"]),
    "conv strided": ([node("Conv", ["s", "w"], "y", strides=[2, 1, 3])], WEIGHTS, ["conv", "conv"]),
    "conv dilated": ([node("Conv", ["s", "w"], "y", dilations=[1, 2, 3], pads=[1, 2, 3, 1, 2, 3])], WEIGHTS, ["conv", "conv"]),
    "conv same upper": ([node("Conv", ["s", "w"], "y", auto_pad="SAME_UPPER", strides=[2, 2, 2])], WEIGHTS, ["conv", "conv"]),
    "conv same lower": ([node("Conv", ["s", "w"], "y", auto_pad="SAME_LOWER", strides=[2, 3, 2])], WEIGHTS, ["conv", "conv"]),
    "conv valid": ([node("Conv", ["s", "w"], "y", auto_pad="VALID")], WEIGHTS, ["conv", "conv"]),
    "conv grouped": ([node("Conv", ["s", "w"], "y", group=2)], {"w": random(6, 2, 3, 3, 3)}, ["conv", "conv"]),
    "conv depthwise": ([node("Conv", ["s", "w"], "y", group=4, pads=[1] * 6)], {"w": random(4, 1, 3, 3, 3)}, ["conv", "conv"]),
    "pad before conv": ([node("Pad", ["s", "p"], "q"), node("Conv", ["q", "w"], "y", pads=[0, 1, 0, 0, 0, 0])],
                        {**WEIGHTS, "p": ints(0, 0, 1, 0, 2, 0, 0, 0, 1, 1)}, ["conv", "conv"]),
    "max pool": ([node("MaxPool", ["s"], "y", kernel_shape=[3, 3, 2], strides=[2, 2, 2], pads=[1, 1, 0, 1, 1, 1])], {}, ["conv", "max_pool"]),
    "max pool ceil": ([node("MaxPool", ["s"], "y", kernel_shape=[3, 2, 3], strides=[2, 2, 2], ceil_mode=1)], {}, ["conv", "max_pool"]),
    "average pool": ([node("AveragePool", ["s"], "y", kernel_shape=[3, 3, 3], strides=[2, 2, 2], pads=[1] * 6)], {}, ["conv", "avg_pool"]),
    "average pool counted": ([node("AveragePool", ["s"], "y", kernel_shape=[3, 3, 3], strides=[2, 1, 2], pads=[1] * 6, count_include_pad=1)], {}, ["conv", "conv"]),
    "average pool ceil": ([node("AveragePool", ["s"], "y", kernel_shape=[2, 2, 2], strides=[2, 2, 2], ceil_mode=1)], {}, ["conv", "avg_pool"]),
    "average pool ceil counted": ([node("AveragePool", ["s"], "y", kernel_shape=[2, 3, 3], strides=[2, 2, 2], ceil_mode=1, count_include_pad=1)], {},
                                  ["conv", "avg_pool"]),
    "batch norm of a flattened volume": ([node("Flatten", ["s"], "f"), node("BatchNormalization", ["f", "g", "b", "m", "v"], "y")],
                                         {"g": random(1344), "b": random(1344), "m": random(1344), "v": positive(1344)}, ["conv", "flatten", "batch_norm"]),
    "lp normalization": ([node("Flatten", ["s"], "f"), node("LpNormalization", ["f"], "y", axis=1, p=2)], {}, ["conv", "flatten", "l2_normalize"]),
    "half of a gelu read elsewhere": ([node("Div", ["s", "r"], "a"), node("Erf", ["a"], "e"), node("Add", ["e", "one"], "p"), node("Mul", ["s", "p"], "q"),
                                       node("Mul", ["q", "half"], "u"), node("Mul", ["s", "half"], "h"), node("Add", ["u", "h"], "y")],
                                      {"r": np.float32(2 ** 0.5), "one": np.float32(1), "half": np.float32(0.5)}, ["conv", "gelu", "batch_norm", "add"]),
    "global average pool": ([node("GlobalAveragePool", ["s"], "y")], {}, ["conv", "global_avg_pool"]),
    "global max pool": ([node("GlobalMaxPool", ["s"], "y")], {}, ["conv", "max_pool", "flatten"]),
    "mean over depth": ([node("ReduceMean", ["s"], "y", axes=[2], keepdims=0)], {}, ["conv", "avg_pool", "flatten"]),
    "mean over all": ([node("ReduceMean", ["s"], "y", axes=[-1, 2, 3], keepdims=0)], {}, ["conv", "global_avg_pool"]),
    "mean of tokens": ([node("Reshape", ["s", "shape"], "t"), node("Transpose", ["t"], "u", perm=[0, 2, 1]), node("ReduceMean", ["u"], "y", axes=[1])],
                       {"shape": ints(0, 0, -1)}, ["conv", "global_avg_pool"]),
    "batch norm": ([node("BatchNormalization", ["s", "g", "b", "m", "v"], "y", epsilon=1e-3)],
                   {"g": random(4), "b": random(4), "m": random(4), "v": positive(4)}, ["conv", "batch_norm"]),
    "instance norm": ([node("InstanceNormalization", ["s", "g", "b"], "y")], {"g": random(4), "b": random(4)}, ["conv", "instance_norm"]),
    "layer norm of tokens": ([node("Transpose", ["s"], "t", perm=[0, 2, 3, 4, 1]), node("LayerNormalization", ["t", "g", "b"], "u", axis=-1),
                              node("MatMul", ["u", "w"], "v"), node("Add", ["b5", "v"], "a"), node("Transpose", ["a"], "y", perm=[0, 4, 1, 2, 3])],
                             {"g": random(4), "b": random(4), "w": random(4, 5), "b5": random(5)}, ["conv", "layer_norm", "linear", "batch_norm"]),
    "relu": ([node("Relu", ["s"], "y")], {}, ["conv", "relu"]),
    "leaky relu": ([node("LeakyRelu", ["s"], "y", alpha=0.2)], {}, ["conv", "leaky_relu"]),
    "prelu of one slope": ([node("PRelu", ["s", "a"], "y")], {"a": np.full((4, 1, 1, 1), 0.25, np.float32)}, ["conv", "leaky_relu"]),
    "clip below": ([node("Clip", ["s", "zero"], "y")], {"zero": np.float32(0)}, ["conv", "relu"]),
    "relu6": ([node("Clip", ["s", "zero", "six"], "y")], {"zero": np.float32(0), "six": np.float32(0.6)}, ["conv", "relu", "batch_norm", "relu", "batch_norm", "add"]),
    "clip to a range": ([node("Clip", ["s", "low", "high"], "y")], {"low": np.float32(-0.4), "high": np.float32(0.6)}, None),
    "gelu half last": ([node("Div", ["s", "r"], "a"), node("Erf", ["a"], "e"), node("Add", ["e", "one"], "p"), node("Mul", ["s", "p"], "q"),
                        node("Mul", ["q", "half"], "y")], {"r": np.float32(2 ** 0.5), "one": np.float32(1), "half": np.float32(0.5)}, ["conv", "gelu"]),
    "gelu half first": ([node("Mul", ["s", "r"], "a"), node("Erf", ["a"], "e"), node("Add", ["one", "e"], "p"), node("Mul", ["half", "s"], "h"),
                         node("Mul", ["h", "p"], "y")], {"r": np.float32(0.5 ** 0.5), "one": np.float32(1), "half": np.float32(0.5)}, ["conv", "gelu"]),
    "add two": ([node("Relu", ["s"], "r"), node("Add", ["r", "s"], "y")], {}, ["conv", "relu", "add"]),
    "sum of three": ([node("Relu", ["s"], "r"), node("Sum", ["r", "s", "s"], "y")], {}, ["conv", "relu", "add", "add"]),
    "difference of two": ([node("Relu", ["s"], "r"), node("Sub", ["r", "s"], "y")], {}, ["conv", "relu", "batch_norm", "add"]),
    "constants per channel": ([node("Mul", ["c", "s"], "m"), node("Sub", ["m", "c"], "d"), node("Div", ["d", "k"], "q"), node("Sub", ["k", "q"], "y")],
                              {"c": random(4, 1, 1, 1), "k": np.float32(3)}, ["conv"] + ["batch_norm"] * 4),
    "add of a turned volume": ([node("Conv", ["s", "w"], "c"), node("Transpose", ["c"], "t", perm=[0, 1, 2, 4, 3]), node("Add", ["c", "t"], "y")],
                               {"w": random(3, 4, 1, 2, 3)}, ["conv", "conv", "permute", "add"]),
    "concat of a turned volume": ([node("Conv", ["s", "w"], "c"), node("Transpose", ["c"], "t", perm=[0, 1, 2, 4, 3]), node("Concat", ["t", "c"], "y", axis=1)],
                                  {"w": random(3, 4, 1, 2, 3)}, ["conv", "conv", "permute", "concat"]),
    "concat": ([node("Relu", ["s"], "r"), node("Concat", ["r", "s", "x"], "y", axis=1)], {}, ["conv", "relu", "concat"]),
    "concat of eleven": ([node("Concat", ["s", "x"] * 5 + ["s"], "y", axis=-4)], {}, ["conv", "concat", "concat"]),
    "gemm": ([node("Flatten", ["s"], "f"), node("Gemm", ["f", "w", "b"], "y", alpha=0.5, beta=2.0)],
             {"w": random(4 * 336, 3), "b": random(1, 3)}, ["conv", "flatten", "linear"]),
    "gemm transposed": ([node("GlobalAveragePool", ["s"], "p"), node("Flatten", ["p"], "f"), node("Gemm", ["f", "w"], "y", transB=1)],
                        {"w": random(3, 4)}, ["conv", "global_avg_pool", "linear"]),
    "convolution as a head": ([node("GlobalAveragePool", ["s"], "p"), node("Conv", ["p", "w", "b"], "y")],
                              {"w": random(3, 4, 1, 1, 1), "b": random(3)}, ["conv", "global_avg_pool", "linear"]),
    "flatten channels last": ([node("Transpose", ["s"], "t", perm=[0, 2, 4, 3, 1]), node("Flatten", ["t"], "y")], {}, ["conv", "permute", "flatten"]),
    "axes turned": ([node("Transpose", ["s"], "t", perm=[0, 1, 4, 2, 3]), node("Conv", ["t", "w"], "y")], WEIGHTS, ["conv", "permute", "conv"]),
    "plane by plane": ([node("Reshape", ["s", "shape"], "t"), node("Conv", ["t", "w"], "y")],
                       {"w": random(3, 4, 3, 3), "shape": ints(1, 4, 42, 8)}, ["conv", "reshape", "conv"]),
    "squeeze and unsqueeze": ([node("GlobalAveragePool", ["s"], "p"), node("Squeeze", ["p", "a"], "q"), node("Unsqueeze", ["q", "a"], "r"),
                               node("Identity", ["r"], "i"), node("Dropout", ["i"], "d"), node("Cast", ["d"], "y", to=1)],
                              {"a": ints(2, 3, 4)}, ["conv", "global_avg_pool"]),
    "shape arithmetic": ([node("Shape", ["s"], "n"), node("Gather", ["n", "zero"], "batch", axis=0), node("Concat", ["batch", "rest"], "shape", axis=0),
                          node("Reshape", ["s", "shape"], "y")], {"zero": ints(0), "rest": ints(-1)}, ["conv", "flatten"]),
    "gather of everything": ([node("GlobalAveragePool", ["s"], "p"), node("Flatten", ["p"], "f"), node("Gather", ["f", "all"], "y", axis=1)],
                             {"all": ints(0, 1, 2, 3)}, ["conv", "global_avg_pool"]),
    "unit vector": ([node("GlobalAveragePool", ["s"], "p"), node("Flatten", ["p"], "f"), node("ReduceL2", ["f"], "n", axes=[1]), node("Clip", ["n", "eps"], "c"),
                     node("Expand", ["c", "four"], "e"), node("Div", ["f", "e"], "y")],
                    {"eps": np.float32(1e-12), "four": ints(1, 4)}, ["conv", "global_avg_pool", "l2_normalize"]),
    "constant expression": ([node("Transpose", ["w0"], "w", perm=[1, 0, 2, 3, 4]), node("Conv", ["s", "w"], "y")], {"w0": random(4, 6, 1, 1, 1)}, ["conv", "conv"]),
}
# Where an op of a new opset has its attributes as inputs.
NEWER = {
    "mean of opset 18": (18, [node("ReduceMean", ["s", "a"], "y", keepdims=0)], {"a": ints(2, 3, 4)}, ["conv", "global_avg_pool"]),
    "pad with axes": (18, [node("Pad", ["s", "p", "", "a"], "q"), node("Conv", ["q", "w"], "y")], {**WEIGHTS, "p": ints(1, 0, 0, 2), "a": ints(2, -1)},
                      ["conv", "conv"]),
    "gelu of opset 20": (20, [node("Gelu", ["s"], "y")], {}, ["conv", "gelu"]),
    "clip and pad of opset 9": (9, [node("Pad", ["s"], "q", pads=[0, 0, 1, 0, 0, 0, 0, 0, 2, 1]), node("Conv", ["q", "w", "b"], "c"),
                                    node("Clip", ["c"], "y", min=0.0)], WEIGHTS, ["conv", "conv", "relu"]),
    "opset 24": (24, [node("Pad", ["s", "p"], "q"), node("Conv", ["q", "w", "b"], "c"), node("InstanceNormalization", ["c", "g", "g"], "i"), node("Gelu", ["i"], "u"),
                      node("AveragePool", ["u"], "a", kernel_shape=[2, 2, 2], ceil_mode=1, strides=[2, 2, 2]), node("ReduceMean", ["a", "all"], "m", keepdims=0),
                      node("Unsqueeze", ["m", "two"], "v"), node("Squeeze", ["v", "two"], "y")],
                 {**WEIGHTS, "g": positive(6), "p": ints(*[0, 0, 1, 1, 1] * 2), "all": ints(2, 3, 4), "two": ints(2)},
                 ["conv", "conv", "instance_norm", "gelu", "avg_pool", "global_avg_pool"]),
    "opset 11": (11, [node("Squeeze", ["p"], "q", axes=[2, 3, 4]), node("Dropout", ["q"], "y", ratio=0.5)], {}, ["conv", "global_avg_pool"]),
}


class Ops(Case):
    def check_case(self, nodes, constants, wanted, opset):
        constants = {**STEM[1], **constants}
        self.export(self.source(model_of([STEM[0], *nodes], constants, opset=opset)))
        got = self.ops()
        if wanted is not None:
            tail = ["flatten"] if got[-1] == "flatten" and wanted[-1] != "flatten" else []
            self.assertEqual(got, wanted + tail)

    def test_ops(self):
        for name, (nodes, constants, wanted) in CASES.items():
            if name == "global max pool" and not importlib.util.find_spec("onnxruntime"):
                continue  # the reference evaluator of onnx 1.23 reduces two of three spatial axes
            with self.subTest(name):
                self.check_case(nodes, constants, wanted, 17)

    def test_newer(self):
        for name, (opset, nodes, constants, wanted) in NEWER.items():
            first = [node("GlobalAveragePool", ["s"], "p")] if opset == 11 else []
            with self.subTest(name):
                self.check_case([*first, *nodes], constants, wanted, opset)

    def test_two_dimensions(self):
        head = [node("Conv", ["x", "w", "b"], "c", pads=[1] * 4, strides=[2, 1]), node("Relu", ["c"], "r"), node("MaxPool", ["r"], "m", kernel_shape=[2, 2]),
                node("GlobalAveragePool", ["m"], "y")]
        for channels, mode, depths in ((1, None, (1, 2, 6)), (3, "repeat", (1, 4)), (3, "planes", (4, 6)), (10, "repeat", (2,))):
            model = model_of(head, {"w": random(5, channels, 3, 3), "b": random(5)}, (1, channels, 7, 8))
            for depth in depths:
                for axes in ("SPL", "IPL"):
                    with self.subTest(channels=channels, mode=mode, depth=depth, axes=axes):
                        text = self.export(self.source(model), channels=mode, head=None, description=self.description(size=[depth, 7, 8], axes=axes))
                        self.assertEqual("note:" in text, depth == 1)

    def test_heads(self):
        model = model_of([STEM[0]], STEM[1])
        for head, normalize, size in (("mean", False, 4), ("flatten", True, 4 * 336), ("mean", True, 4)):
            with self.subTest(head=head):
                self.assertIn(f"embedding of {size}", self.export(self.source(model), head=head, l2_normalize=normalize))

    def test_inner_output(self):
        model = model_of([STEM[0], node("Softmax", ["s"], "y")], STEM[1])
        self.export(self.source(model, output="s"), output="s", head="mean")

    def test_stored_types(self):
        for kind, name in ((np.float16, "F16"), (np.float64, "F32")):
            weights = random(4, 1, 3, 3, 3).astype(kind)
            graph = helper.make_graph([node("Conv", ["x", "w"], "y")], "case", [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(weights.dtype), [1, 1, 6, 7, 8])],
                                      [helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(weights.dtype), None)], [numpy_helper.from_array(weights, "w")])
            with self.subTest(name):
                source = self.source(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
                self.export(source, evaluator(source), tolerance=2e-3 if name == "F16" else BAR)  # the other side computes in float16 or float64
                with open(os.path.join(self.folder, "case.oq", "weights.safetensors"), "rb") as file:
                    self.assertIn(f'"dtype":"{name}"'.encode(), file.read(200))


class Refusals(Case):
    def test_everything_at_once(self):
        nodes = [STEM[0], node("Sigmoid", ["s"], "gate"), node("Mul", ["s", "gate"], "swish"), node("Clip", ["swish", "", "six"], "c"),
                 node("Elu", ["c"], "e"), node("Softmax", ["e"], "y")]
        self.refused(["5 of 6 nodes", "5 kinds", "n_gate", "n_swish", "n_c", "n_e", "n_y", "attention"], model_of(nodes, {**STEM[1], "six": np.float32(6)}))

    def test_words(self):
        s, w = STEM
        cases = [
            ("a gate", [s, node("Relu", ["s"], "r"), node("Mul", ["r", "s"], "y")], {}),
            ("training mode", [s, helper.make_node("BatchNormalization", ["s", "g", "g", "g", "g"], ["y", "m", "v"], training_mode=1)], {"g": positive(4)}),
            ("negative variances", [s, node("BatchNormalization", ["s", "g", "g", "g", "v"], "y")], {"g": positive(4), "v": -positive(4)}),
            ("not finite", [s, node("Conv", ["s", "w"], "y")], {"w": np.full((1, 4, 1, 1, 1), np.nan, np.float32)}),
            ("one number or one per channel", [s, node("Add", ["s", "p"], "y")], {"p": random(1, 4, 6, 7, 8)}),
            ("slope for each channel", [s, node("PRelu", ["s", "p"], "y")], {"p": random(4, 1, 1, 1)}),
            ("slope is 1.5", [s, node("LeakyRelu", ["s"], "y", alpha=1.5)], {}),
            ("attention", [s, node("Transpose", ["s"], "t", perm=[0, 1, 2, 4, 3]), node("MatMul", ["s", "t"], "y")], {}),
            ("not the channel axis", [s, node("MatMul", ["s", "w"], "y")], {"w": random(8, 3)}),
            ("splits an axis", [s, node("Reshape", ["s", "n"], "y")], {"n": ints(1, 2, 2, 6, 7, 8)}),
            ("group norm", [s, node("Reshape", ["s", "n"], "t"), node("InstanceNormalization", ["t", "g", "g"], "y")], {"n": ints(1, 2, 672), "g": positive(2)}),
            ("pads for something else", [s, node("Pad", ["s", "p"], "q"), node("MaxPool", ["q"], "y", kernel_shape=[2, 2, 2])], {"p": ints(*[0, 0, 1, 1, 1] * 2)}),
            ("pads for something else", [s, node("Pad", ["s", "p"], "y")], {"p": ints(*[0, 0, 1, 1, 1] * 2)}),
            ("something else than zeros", [s, node("Pad", ["s", "p"], "q", mode="reflect"), node("Conv", ["q", "w"], "y")],
             {"p": ints(*[0, 0, 1, 1, 1] * 2), "w": random(2, 4, 1, 1, 1)}),
            ("expected the channel axis", [s, node("Concat", ["s", "s"], "y", axis=2)], {}),
            ("expected equal shapes", [s, node("GlobalAveragePool", ["s"], "p"), node("Add", ["s", "p"], "y")], {}),
            ("its output i is read", [s, helper.make_node("MaxPool", ["s"], ["m", "i"], kernel_shape=[1, 1, 1]), node("Cast", ["i"], "j", to=1), node("Add", ["m", "j"], "y")], {}),
            ("window is larger", [s, node("Conv", ["s", "w"], "y")], {"w": random(1, 4, 9, 1, 1)}),
            ("dilated", [s, node("MaxPool", ["s"], "y", kernel_shape=[2, 2, 2], dilations=[2, 1, 1])], {}),
            ("approximation", [s, node("Gelu", ["s"], "y", approximate="tanh")], {}),
            ("picks some elements", [s, node("Gather", ["s", "i"], "y", axis=1)], {"i": ints(0, 2)}),
            ("no counterpart", [s, node("RandomNormalLike", ["s"], "y")], {}),
        ]
        for words, nodes, constants in cases:
            with self.subTest(words):
                self.refused(words, model_of(nodes, {**w, **constants}, opset=20))

    def test_networks(self):
        model = model_of([STEM[0]], STEM[1])
        with self.subTest("vector"):
            self.refused("--head mean", model, head=None)
        with self.subTest("size"):
            self.refused("must agree", model, description=self.description(size=[6, 7, 9]))
        with self.subTest("channels"):
            self.refused("--channels repeat", model_of([node("Conv", ["x", "w"], "y")], {"w": random(1, 2, 1, 1, 1)}, (1, 2, 6, 7, 8)))
        with self.subTest("odd planes"):
            flat = model_of([node("Conv", ["x", "w"], "y")], {"w": random(1, 3, 1, 1)}, (1, 3, 7, 8))
            self.refused("even number", flat, channels="planes", description=self.description(size=[3, 7, 8]))
            self.refused("at least 4", flat, channels="planes", description=self.description(size=[2, 7, 8]))
        two = model_of([node("Add", ["x", "z"], "y")])
        two.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 1, 6, 7, 8]))
        for words, changed, options in (
                ("did you mean s", model, {"output": "ss"}), ("batch", model_of([STEM[0]], STEM[1], (2, 1, 6, 7, 8)), {}),
                ("--input-shape", model_of([STEM[0]], STEM[1], ("n", 1, "d", 7, 8)), {}), ("opset 8", model_of([STEM[0]], STEM[1], opset=8), {}),
                ("2 inputs (x, z)", two, {}), ("and to hold", model, {"input_shape": [1, 1, 6, 7, 9]})):
            with self.subTest(words), self.assertRaises(Refused) as caught:
                self.source(changed, **options)
            if words != "batch":
                self.assertIn(words, str(caught.exception))
        self.source(model_of([STEM[0]], STEM[1], ("n", 1, "d", 7, 8)), input_shape=[1, 1, 6, 7, 8])

    def test_files(self):
        path = os.path.join(self.folder, "broken.onnx")
        with open(path, "wb") as file:
            file.write((DATA / "tiny.onnx").read_bytes()[:2000])
        for broken in (path, "none.onnx"):
            with self.assertRaises(Refused):
                Source(broken)
        for changes in ({"axes": "SPP"}, {"size": [6, 7]}, {"spacing_mm": [0, 1, 1]}, {"hu_range": [5, 5]}, {"patch": 1}, {"size": [True, 7, 8]}):
            with self.subTest(changes), self.assertRaises(Refused):
                package.read_description(self.description(**changes))

    def test_weights_elsewhere(self):
        folder = os.path.join(self.folder, "one", "two")
        os.makedirs(folder)
        model = model_of([STEM[0]], STEM[1])
        tensor = model.graph.initializer[0]
        values = tensor.raw_data
        for place in (os.path.join(self.folder, "x"), os.path.join(folder, "x")):  # both are there
            with open(place, "wb") as file:
                file.write(values)
        for location in ("../../x", os.path.join(self.folder, "x"), "x"):
            onnx.external_data_helper.set_external_data(tensor, location)
            tensor.ClearField("raw_data")
            path = os.path.join(folder, "case.onnx")
            with open(path, "wb") as file:
                file.write(model.SerializeToString())
            tensor.raw_data = values
            if location == "x":
                Source(path)
            else:
                with self.subTest(location), self.assertRaises(Refused) as caught:
                    Source(path)
                self.assertIn(f"lies in {location}, expected", str(caught.exception))

    def test_output_folder(self):
        source = self.source(model_of([STEM[0]], STEM[1]))
        target = os.path.join(self.folder, "case.oq")
        os.mkdir(target)
        mine = os.path.join(target, "mine")
        open(mine, "w").close()
        with self.assertRaises(Refused):
            self.export(source)
        self.assertTrue(os.path.exists(mine))
        shutil.rmtree(target)
        self.export(source)
        open(mine, "w").close()
        with self.assertRaises(Refused):
            self.export(source)  # a package with somebody's file in it
        os.remove(mine)
        self.export(source)  # a package is replaced
        self.assertEqual(sorted(os.listdir(target)), ["model.json", "weights.safetensors"])
        with self.assertRaises(command.Drift):
            self.export(source, tolerance=-1.0)
        self.assertEqual(sorted(os.listdir(target)), ["model.json", "weights.safetensors"])
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("case.oq.")], [])


class Golden(Case):
    def test_bytes(self):
        description = package.read_description(DATA / "tiny.json")
        source = Source(str(DATA / "tiny.onnx"))
        graph, value = convert(source, description["preprocessing"])
        self.assertEqual(value.shape, (6,))
        target = os.path.join(self.folder, "tiny.oq")
        status = os.system(f"'{sys.executable}' '{ROOT}/tools/onnx_to_oncoquant.py' '{DATA}/tiny.onnx' -d '{DATA}/tiny.json' -o '{target}' >/dev/null")
        self.assertEqual(status, 0)
        for name in ("model.json", "weights.safetensors"):
            self.assertEqual((pathlib.Path(target) / name).read_bytes(), (DATA / "tiny" / name).read_bytes(), name)

    def test_documentation(self):
        """The table of docs/custom-models.md names every op that is supported."""
        text = (ROOT / "docs" / "custom-models.md").read_text(encoding="utf-8").split("## ONNX ops")[1]
        words = set(re.findall(r"\w+", text))
        self.assertEqual([name for name in ops.TABLE if name not in words], [])

    def test_embeddings(self):
        got = parity.embed(ONCOQUANT, str(DATA / "tiny"), np.load(DATA / "patches.npy"), self.folder)
        np.testing.assert_allclose(got, np.load(DATA / "embeddings.npy"), atol=1e-6)


if __name__ == "__main__":
    ONCOQUANT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
