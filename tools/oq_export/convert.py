"""Walks the nodes of a source once: constants are evaluated, every other node becomes nodes of the engine.

Whatever cannot be expressed is collected, so that one run names all of it; what depends on it is passed over in silence.
"""
import collections
import math

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from . import ops, patterns
from .emit import Graph
from .source import Refused, attribute
from .views import Unsupported, Value, reshape

UNKNOWN = object()  # the value of a node that could not be expressed
# Ops that keep their input's shape: where one cannot be expressed, the walk goes on with its input, to find what else there is.
SHAPE_KEEPING = ("Sigmoid", "Softmax", "HardSigmoid", "HardSwish", "Elu", "Selu", "Mish", "Softplus", "Tanh", "Erf", "Exp", "Sqrt", "Pow", "Abs", "Neg",
                 "Clip", "PRelu", "LeakyRelu", "Gelu", "Mul", "Div", "Add", "Sub", "BatchNormalization", "InstanceNormalization", "GroupNormalization",
                 "LayerNormalization", "Cast", "Dropout", "Swish")
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
WHY_NOT = {
    "Softmax": "attention cannot be imported: the engine has it as one op", "Sigmoid": "gates and swish are no ops of the engine",
    "HardSigmoid": "gates and swish are no ops of the engine", "HardSwish": "gates and swish are no ops of the engine",
    "ConvTranspose": "decoders are not supported; choose a value of the encoder with --output",
    "Resize": "decoders are not supported; choose a value of the encoder with --output",
    "Upsample": "decoders are not supported; choose a value of the encoder with --output",
    "GroupNormalization": "group norm is no op of the engine",
}


class Converter:
    def __init__(self, source):
        self.source, self.graph = source, Graph()
        self.nodes = patterns.rewrite(source.nodes, source.constants, source.output)
        self.values = dict(source.constants)
        self.problems, self._pads = [], {}
        self._readers = collections.defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self._readers[name].append(node)
        self._readers[source.output].append(onnx.NodeProto(op_type="(output)"))

    # What the functions of ops.py ask for.

    def name(self, node):
        return node.output[0]

    def value(self, node, index):
        value = self.values[node.input[index]]
        if not isinstance(value, Value):
            raise Unsupported(f"input {node.input[index]} is a constant, expected a computed value")
        return value

    def is_constant(self, node, index):
        return isinstance(self.values[node.input[index]], np.ndarray)

    def constant(self, node, index):
        if not self.is_constant(node, index):
            raise Unsupported(f"input {node.input[index]} is computed, expected a constant")
        return self.values[node.input[index]]

    def readers(self, name):
        return self._readers[name]

    def keep_pad(self, name, low, high):
        self._pads[name] = (low, high)

    def pending_pad(self, node):
        pad = self._pads.get(node.input[0])
        if pad and ops.text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise Unsupported("has auto_pad behind a Pad node")
        return pad

    # The walk.

    def run(self, first):
        self.values[self.source.input] = first
        for node in self.nodes:
            for name in node.output[1:]:
                self.values[name] = UNKNOWN
            try:
                self.values[node.output[0]] = self._convert(node)
            except Unsupported as why:
                self.values[node.output[0]] = self._stand_in(node)
                self.problems.append((node, str(why)))

    def _stand_in(self, node):
        """What to go on with after a node that cannot be expressed."""
        values = [self.values[name] for name in node.input if name and isinstance(self.values[name], Value)]
        return max(values, key=lambda value: math.prod(value.shape)) if values and node.op_type in SHAPE_KEEPING else UNKNOWN

    def _convert(self, node):
        inputs = [self.values[name] for name in node.input if name]
        if node.domain not in ("", "ai.onnx", patterns.DOMAIN):
            raise Unsupported(f"belongs to the domain {node.domain}, expected ai.onnx")
        if node.op_type not in RANDOM and all(isinstance(value, np.ndarray) for value in inputs):
            return self._evaluate(node)
        if node.op_type == "Shape":
            extents = inputs[0].onnx_shape if isinstance(inputs[0], Value) else None
            return UNKNOWN if extents is None else np.asarray(extents[attribute(node, "start", 0):attribute(node, "end", None)], np.int64)
        if node.op_type == "L2Normalize" and node.domain == patterns.DOMAIN:
            return UNKNOWN if inputs[0] is UNKNOWN else self.graph.same("l2_normalize", self.name(node), self.graph.vector(inputs[0]))
        handler = ops.TABLE.get(node.op_type)
        if handler is None:
            raise Unsupported(WHY_NOT.get(node.op_type, "has no counterpart in the engine"))
        self._refuse_side_outputs(node)
        return UNKNOWN if any(value is UNKNOWN for value in inputs) else handler(self, node)

    def _refuse_side_outputs(self, node):
        for name in node.output[1:]:
            if name and self._readers[name]:
                raise Unsupported(f"its output {name} is read, expected only its first output to be")

    def _evaluate(self, node):
        used = [name for name in dict.fromkeys(node.input) if name]
        info = [onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(self.values[name].dtype), self.values[name].shape)
                for name in used]
        graph = onnx.helper.make_graph([node], "one", info, [onnx.ValueInfoProto(name=name) for name in node.output if name])
        try:
            model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.source.opset)])
            results = ReferenceEvaluator(model).run(None, {name: self.values[name] for name in used})
        except Exception as error:  # whatever the reference implementation of the op raises
            raise Unsupported(f"is constant, but could not be evaluated: {error}") from None
        for name, result in zip([name for name in node.output if name][1:], results[1:]):
            self.values[name] = np.asarray(result)
        return np.asarray(results[0])


def plane_weights(size, channels, mode, axes):
    """[channels][size]: which planes of a patch the channels of an image are. A cut has its seed in plane size/2 of a growing
    axis, and as far from the other end of a falling one."""
    if size % 2:
        raise Refused(f"preprocessing.size[0] is {size}, expected 1 or an even number of planes: a scan's patch of an odd size ends in a plane of padding")
    seed = size // 2 if axes[0] in "RAS" else size - 1 - size // 2
    chosen = [seed + k - (channels - 1) // 2 if mode == "planes" else seed for k in range(channels)]
    if min(chosen) < 0 or max(chosen) >= size:
        raise Refused(f"preprocessing.size[0] is {size}, expected at least {2 * (channels // 2) + 2} for {channels} planes around the seed")
    weights = np.zeros((channels, size, 1, 1), np.float32)
    weights[range(channels), chosen] = 1
    return weights


def adapt_input(graph, source, preprocessing, mode):
    """The patch, one channel [1][D][H][W], as the input that the network expects."""
    size, (channels, *extents) = preprocessing["size"], source.input_shape[1:]
    if size[3 - len(extents):] != extents:
        raise Refused(f"{source.file}: input {source.input} is {source.input_shape}, preprocessing.size is {size}; they must agree")
    if channels > 1 and mode is None:
        raise Refused(f"{source.file}: input {source.input} has {channels} channels, a patch has one; say --channels repeat"
                      + (" or --channels planes" if len(extents) == 2 else ""))
    if mode == "planes" and len(extents) == 3:
        raise Refused(f"{source.file}: --channels planes is for two-dimensional networks")
    value = graph.add_input(source.input, [1, *size])
    if len(extents) == 2:
        value = value.seen_as(("", "C", "H", "W")) if size[0] == 1 else value
        if size[0] > 1 or mode == "planes":
            weights = plane_weights(size[0], channels, mode, preprocessing["axes"])
            value = graph.permute(value, "DCHW", ("", "C", "H", "W"))
            name = graph.add_tensor(f"{source.input}.planes.weight", weights)
            return graph.add("conv", f"{source.input}.planes", [value], [channels, *value.shape[1:]], value.axes,
                             weight=name, stride=[1] * 3, pad=[[0, 0]] * 3)
    return graph.concat(f"{source.input}.repeat", [value] * channels)


def finish(graph, value, head, normalize, where):
    """The chosen output as the embedding."""
    if not isinstance(value, Value):
        raise Refused(f"{where}: does not depend on the input")
    shape = list(value.onnx_shape)
    if head == "mean" and not value.is_vector:
        if not any(value.channel_at(axis) for axis in range(len(shape))):
            raise Refused(f"{where}: is {shape} without a channel axis of its own; --head mean needs one")
        value = graph.add("global_avg_pool", "embedding", [value], value.shape[:1], ("", "C"))
    elif head is None and sum(extent != 1 for extent in shape) > 1:
        raise Refused(f"{where}: is {shape}, expected a vector; say --head mean (over the voxels) or --head flatten")
    value = graph.vector(reshape(value, (1, math.prod(value.shape))))
    return graph.same("l2_normalize", "unit", value) if normalize else value


def describe_problems(source, problems):
    kinds = len({node.op_type for node, _ in problems})
    lines = [f"{source.file}: {len(problems)} of {len(source.nodes)} nodes cannot be expressed ({kinds} kind{'s' if kinds > 1 else ''} of op):"]
    lines += [f"  {node.op_type:<22} {node.name or node.output[0]}: {why}" for node, why in problems]
    return "\n".join(lines + ["Nodes that the output does not need are left out: an earlier value may do (--list, --output)."])


def convert(source, preprocessing, mode=None, head=None, normalize=False):
    """(graph, the name of its output, its size); Refused with everything that cannot be expressed."""
    converter = Converter(source)
    converter.run(adapt_input(converter.graph, source, preprocessing, mode))
    if converter.problems:
        raise Refused(describe_problems(source, converter.problems))
    try:
        value = finish(converter.graph, converter.values[source.output], head, normalize, f"{source.file}: output {source.output}")
    except Unsupported as why:
        raise Refused(f"{source.file}: output {source.output}: {why}") from None
    return converter.graph, value


def unsupported_in(source):
    """{output name: why} for a list; the input is taken as it is."""
    converter = Converter(source)
    channels, *extents = source.input_shape[1:]
    shape = [channels, *[1] * (3 - len(extents)), *extents]
    first = Value(source.input, tuple(shape), ("", "C", "H", "W") if len(extents) == 2 else ("", "C", "D", "H", "W"))
    converter.run(first)
    return converter, {node.output[0]: why for node, why in converter.problems}
