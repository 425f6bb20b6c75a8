"""One function per ONNX op: (converter, node) -> the Value of its first output. Raises Unsupported with the reason.

The table at the end is what docs/custom-models.md lists. Constants never arrive here: convert.py evaluates nodes that have nothing else.
"""
import math

import numpy as np

from .emit import Window
from .source import attribute, decimal
from .views import Unsupported, reshape, transpose


def text(node, name, default):
    value = attribute(node, name, default)
    return value.decode() if isinstance(value, bytes) else value


def axis_of(node, value, default):
    axis = attribute(node, "axis", default)
    return axis + len(value.axes) if axis < 0 else axis


def axes_input(c, node, value):
    """The axes of Squeeze, Unsqueeze and Reduce*: an attribute in old opsets, an input in new ones; None when absent."""
    axes = attribute(node, "axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = c.constant(node, 1).ravel().tolist()
    return axes


def array_or_none(c, node, index):
    return c.constant(node, index) if len(node.input) > index and node.input[index] else None


def tensor(c, node, index, shape=None):
    """The name of a constant input as a tensor of the package."""
    array = c.constant(node, index)
    if shape is not None and array.shape != tuple(shape):
        raise Unsupported(f"tensor {node.input[index]} is {list(array.shape)}, expected {list(shape)}")
    return c.graph.add_tensor(node.input[index], array)


def optional_tensor(c, node, index, shape):
    return tensor(c, node, index, shape) if len(node.input) > index and node.input[index] else None


# Windows

def pads_of(node, extents, kernel, stride, dilation):
    rank = len(extents)
    mode = text(node, "auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = attribute(node, "pads", [0] * 2 * rank)
        return list(pads[:rank]), list(pads[rank:])
    if mode == "VALID":
        return [0] * rank, [0] * rank
    total = [max((math.ceil(extents[i] / stride[i]) - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 - extents[i], 0) for i in range(rank)]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def window_of(node, value, kernel):
    extents = value.onnx_shape[2:]
    stride = attribute(node, "strides", [1] * len(kernel))
    dilation = attribute(node, "dilations", [1] * len(kernel))
    return Window(kernel, stride, dilation, *pads_of(node, extents, kernel, stride, dilation))


def conv(c, node):
    value, weights = c.value(node, 0), c.constant(node, 1)
    if value.is_vector and math.prod(weights.shape[2:]) == 1 and attribute(node, "group", 1) == 1 and not any(attribute(node, "pads", [])):
        bias = optional_tensor(c, node, 2, weights.shape[:1])
        return c.graph.add("linear", c.name(node), [value], weights.shape[:1], value.axes, weight=tensor(c, node, 1), bias=bias)
    value = c.graph.volume(value)
    window = window_of(node, value, weights.shape[2:])
    pad = c.pending_pad(node)
    if pad:
        window = Window(window.kernel, window.stride, window.dilation, np.add(window.low, pad[0]), np.add(window.high, pad[1]))
    group = attribute(node, "group", 1)
    if weights.shape[1] * group != value.shape[0]:
        raise Unsupported(f"its weights {list(weights.shape)} in {group} groups do not fit {value.shape[0]} channels")
    return c.graph.window("conv", c.name(node), value, weights.shape[0], window, weight=tensor(c, node, 1),
                          bias=optional_tensor(c, node, 2, weights.shape[:1]), groups=group if group > 1 else None)


def pool_window(node, value):
    """Windows of a pool; ceil_mode becomes padding behind, in which no window may begin."""
    kernel = attribute(node, "kernel_shape")
    window = window_of(node, value, kernel)
    if max(window.dilation) > 1:
        raise Unsupported("is dilated")
    if attribute(node, "ceil_mode", 0):
        for i, extent in enumerate(value.shape[1:]):
            reach = extent + window.low[i] + window.high[i] - window.kernel[i]
            steps = -(-reach // window.stride[i])
            if steps * window.stride[i] >= extent + window.low[i]:
                steps -= 1
            window.high[i] += max(steps * window.stride[i] - reach, 0)
    if any(pad >= kernel for pads in (window.low, window.high) for pad, kernel in zip(pads, window.kernel)):
        raise Unsupported("is padded by a whole window")
    return window


def max_pool(c, node):
    value = c.graph.volume(c.value(node, 0))
    return c.graph.window("max_pool", c.name(node), value, value.shape[0], pool_window(node, value))


def average_pool(c, node):
    value = c.graph.volume(c.value(node, 0))
    window = pool_window(node, value)
    # What ceil_mode adds behind the padding never counts.
    counted = attribute(node, "count_include_pad", 0) and (any(attribute(node, "pads", [])) or text(node, "auto_pad", "NOTSET").startswith("SAME"))
    if not counted:
        return c.graph.window("avg_pool", c.name(node), value, value.shape[0], window)
    if attribute(node, "ceil_mode", 0):
        raise Unsupported("counts its padding and has ceil_mode")
    # The engine's average is over real voxels; one that counts zeros is a convolution of each channel by itself.
    channels, taps = value.shape[0], math.prod(window.kernel)
    weight = c.graph.add_tensor(f"{c.name(node)}.weight", np.full((channels, 1, *window.kernel), 1 / taps, np.float32))
    return c.graph.window("conv", c.name(node), value, channels, window, weight=weight, groups=channels if channels > 1 else None)


def reduce_spatial(c, node, axes, keep, op):
    """Mean or maximum over whole spatial axes."""
    value = c.value(node, 0)
    axes = range(len(value.axes)) if axes is None else sorted(axis % len(value.axes) for axis in axes)
    letters = set("".join(value.plain[axis] for axis in axes))
    seen = [("" if i in axes else group) for i, group in enumerate(value.plain) if keep or i not in axes]
    if not letters:
        return value.seen_as(seen)
    if "C" in letters or value.is_vector:
        raise Unsupported(f"reduces the channel axis of {list(value.onnx_shape)}")
    if op == "avg_pool" and letters == {letter for letter in "DHW" if value.extent(letter) != 1}:
        return c.graph.add("global_avg_pool", c.name(node), [value], value.shape[:1], seen)
    kernel = [value.extent(letter) if letter in letters else 1 for letter in "DHW"]
    window = Window(kernel, kernel, [1] * 3, [0] * 3, [0] * 3)
    return c.graph.add(op, c.name(node), [value], [value.shape[0], *window.out(value.shape[1:])], seen, **window.fields(op))


def global_pool(op):
    def handler(c, node):
        return reduce_spatial(c, node, range(2, len(c.value(node, 0).axes)), True, op)
    return handler


def reduce(op):
    def handler(c, node):
        value = c.value(node, 0)
        axes = axes_input(c, node, value)
        if axes is None and attribute(node, "noop_with_empty_axes", 0):
            return value
        return reduce_spatial(c, node, axes, attribute(node, "keepdims", 1), op)
    return handler


# Layers

def with_channels(c, value):
    """A flattened volume [1,CDHW] as a vector; anything else as it is."""
    return c.graph.vector(value) if len(value.axes) == 2 and value.plain[0] == "" and not value.channel_at(1) else value


def linear(c, node, value, weights, name, transposed, bias):
    """`weights` is [in][out] when transposed, else [out][in]; the last axis of the value is its channels."""
    value = with_channels(c, value)
    last = len(value.axes) - 1
    rows, columns = weights.shape if transposed else weights.shape[::-1]
    if not value.channel_at(last) or value.extent("C") != rows:
        raise Unsupported(f"its weights take {rows} numbers from the last axis of {list(value.onnx_shape)}, which is not the channel axis alone")
    axes = [*value.plain[:last], "C"]
    return c.graph.add("linear", c.name(node), [value], [columns, *value.shape[1:]], axes, weight=name, bias=bias,
                       transposed=True if transposed else None)


def gemm(c, node):
    value, weights = c.value(node, 0), c.constant(node, 1)
    transposed = not attribute(node, "transB", 0)
    outputs = weights.shape[1] if transposed else weights.shape[0]
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    if attribute(node, "transA", 0):
        raise Unsupported("transposes its input")
    name = tensor(c, node, 1) if alpha == 1 else c.graph.add_tensor(f"{node.input[1]}.scaled", weights * np.float32(alpha))
    bias = array_or_none(c, node, 2)
    if bias is not None:
        wide = bias.shape != (outputs,)
        if wide and bias.size not in (1, outputs):
            raise Unsupported(f"its bias is {list(bias.shape)}, expected one number per output")
        plain = np.broadcast_to(bias.ravel(), outputs)
        bias = c.graph.add_tensor(node.input[2] + (".scaled" if wide or beta != 1 else ""), plain if beta == 1 else plain * np.float32(beta))
    return linear(c, node, value, weights, name, transposed, bias)


def matmul(c, node):
    if not c.is_constant(node, 1) or c.is_constant(node, 0):
        raise Unsupported("multiplies by something else than a constant from the right, as attention does; attention cannot be imported")
    weights = c.constant(node, 1)
    if weights.ndim != 2:
        raise Unsupported(f"its weights are {list(weights.shape)}, expected a matrix")
    return linear(c, node, c.value(node, 0), weights, tensor(c, node, 1), True, None)


def batch_norm(c, node):
    value = with_channels(c, c.value(node, 0))
    if attribute(node, "training_mode", 0) or len([name for name in node.output if name]) > 1:
        raise Unsupported("is in training mode; export the network in evaluation mode (module.eval())")
    if not value.channel_at(1):
        raise Unsupported(f"its input {list(value.onnx_shape)} has not its channels on axis 1")
    keys = ("weight", "bias", "mean", "var")
    tensors = {key: tensor(c, node, 1 + i, value.shape[:1]) for i, key in enumerate(keys)}
    if (np.asarray(c.constant(node, 4), np.float64) < 0).any():
        raise Unsupported(f"tensor {node.input[4]} has negative variances")
    return c.graph.same("batch_norm", c.name(node), value, **tensors, eps=decimal(attribute(node, "epsilon", 1e-5)))


def instance_norm(c, node):
    value = c.value(node, 0)
    if not value.channel_at(1):
        raise Unsupported(f"its input {list(value.onnx_shape)} has not its channels on axis 1: a group norm of several groups is not supported")
    tensors = {key: tensor(c, node, 1 + i, value.shape[:1]) for i, key in enumerate(("weight", "bias"))}
    return c.graph.same("instance_norm", c.name(node), value, **tensors, eps=decimal(attribute(node, "epsilon", 1e-5)))


def layer_norm(c, node):
    value = c.value(node, 0)
    last = len(value.axes) - 1
    if axis_of(node, value, -1) != last or not value.channel_at(last):
        raise Unsupported(f"normalises other axes of {list(value.onnx_shape)} than the channels")
    if len([name for name in node.output if name]) > 1:
        raise Unsupported("hands out its mean or deviation")
    return c.graph.same("layer_norm", c.name(node), value, weight=tensor(c, node, 1, value.shape[:1]),
                        bias=optional_tensor(c, node, 2, value.shape[:1]), eps=decimal(attribute(node, "epsilon", 1e-5)))


def lp_normalization(c, node):
    value = c.value(node, 0)
    if attribute(node, "p", 2) != 2 or len(value.axes) != 2 or axis_of(node, value, -1) != 1:
        raise Unsupported("is not the L2 norm of a vector")
    return c.graph.same("l2_normalize", c.name(node), c.graph.vector(value))


# Activations

def relu(c, node):
    return c.graph.same("relu", c.name(node), c.value(node, 0))


def leaky(c, node, value, slope):
    if not 0 <= slope <= 1:
        raise Unsupported(f"its slope is {slope}, expected 0 to 1")
    return c.graph.same("leaky_relu", c.name(node), value, slope=slope)


def leaky_relu(c, node):
    return leaky(c, node, c.value(node, 0), decimal(attribute(node, "alpha", 0.01)))


def prelu(c, node):
    slopes = np.unique(c.constant(node, 1))
    if slopes.size != 1:
        raise Unsupported("has a slope for each channel, expected one for all")
    return leaky(c, node, c.value(node, 0), decimal(slopes[0]))


def clip(c, node):
    value, name, most = c.value(node, 0), c.name(node), float(np.finfo(np.float32).max)
    low, high = (attribute(node, key, array_or_none(c, node, 1 + i)) for i, key in enumerate(("min", "max")))
    low, high = (float(low) if low is not None else -most), (float(high) if high is not None else most)
    if low <= -most or low > high:
        raise Unsupported("limits its input from above only, expected a lower limit (a ReLU or a ReLU6)")
    if high >= most and low == 0:
        return c.graph.same("relu", name, value)
    # Limits are ReLUs: low + relu(x - low) - relu(x - high).
    above = value if low == 0 else c.graph.affine(f"{name}.low", value, 1, -low)
    above = c.graph.same("relu", f"{name}.above", above)
    if high < most:
        over = c.graph.same("relu", f"{name}.over", c.graph.affine(f"{name}.high", value, 1, -high))
        above = c.graph.add("add", name if low == 0 else f"{name}.within", [above, c.graph.affine(f"{name}.excess", over, -1, 0)], value.shape, value.axes)
    return above if low == 0 else c.graph.affine(name, above, 1, low)


def gelu(c, node):
    if text(node, "approximate", "none") != "none":
        raise Unsupported("is the approximation by tanh, expected the exact form")
    return c.graph.same("gelu", c.name(node), c.value(node, 0))


# Arithmetic

def per_channel(c, value, array):
    """A constant that a value is combined with, as one number or one per channel; the value comes back as it must be seen."""
    array = np.asarray(array, np.float64)
    if array.size != 1:
        value = with_channels(c, value)
    else:
        if array.ndim > len(value.axes):
            raise Unsupported("adds axes to its input by a constant")
        return value, array.reshape(1)
    padded = (1,) * (len(value.axes) - array.ndim) + array.shape
    varying = [axis for axis, extent in enumerate(padded) if extent != 1]
    if len(padded) == len(value.axes) and len(varying) == 1 and value.channel_at(varying[0]) and array.size == value.extent("C"):
        return value, array.ravel()
    raise Unsupported(f"combines {list(value.onnx_shape)} with a constant {list(array.shape)}, expected one number or one per channel")


def combine(c, node, affine_of):
    """A value and a constant as value*scale + shift; affine_of(constant, constant_first) gives both."""
    first = c.is_constant(node, 0)
    value, array = per_channel(c, c.value(node, 1 if first else 0), c.constant(node, 0 if first else 1))
    scale, shift = affine_of(array, first)
    return c.graph.affine(c.name(node), value, scale, shift)


def one_constant(c, node):
    return len(node.input) == 2 and c.is_constant(node, 0) != c.is_constant(node, 1)


def aligned(c, values):
    """The values seen in the same way; where they lie turned against each other, all in the standard order."""
    same = all(value.plain == values[0].plain for value in values)
    return values if same or any(value.is_vector for value in values) else [c.graph.volume(value) for value in values]


def add_values(c, name, values):
    if len({value.onnx_shape for value in values}) == 1:
        values = aligned(c, values)
    first = values[0]
    for other in values[1:]:
        if other.onnx_shape != first.onnx_shape or other.plain != first.plain:
            raise Unsupported(f"adds {list(other.onnx_shape)} to {list(first.onnx_shape)}, expected equal shapes with equal axes")
        if len(other.shape) != len(first.shape):
            raise Unsupported("adds a vector to a volume of one voxel")
        first = c.graph.add("add", name, [first, other], first.shape, first.axes)
    return first


def add(c, node):
    if one_constant(c, node):
        return combine(c, node, lambda array, first: (1, array))
    return add_values(c, c.name(node), [c.value(node, i) for i in range(len(node.input))])


def sub(c, node):
    if one_constant(c, node):
        return combine(c, node, lambda array, first: (-1, array) if first else (1, -array))
    value, other = c.value(node, 0), c.value(node, 1)
    return add_values(c, c.name(node), [value, c.graph.affine(f"{c.name(node)}.negative", other, -1, 0)])


def mul(c, node):
    if not one_constant(c, node):
        raise Unsupported("multiplies two computed values (a gate, as squeeze-and-excitation has it)")
    return combine(c, node, lambda array, first: (array, 0))


def div(c, node):
    if not one_constant(c, node) or c.is_constant(node, 0):
        raise Unsupported("divides by a computed value")
    if not np.all(c.constant(node, 1)):
        raise Unsupported("divides by zero")
    return combine(c, node, lambda array, first: (1 / array, 0))


def concat(c, node):
    values = [c.value(node, i) for i in range(len(node.input))]
    axis = axis_of(node, values[0], 1)
    if any(value.is_vector for value in values):
        raise Unsupported("joins vectors; only volumes can be joined")
    rest = {value.plain[:axis] + value.plain[axis + 1:] for value in values}
    if len(rest) > 1 and len({value.onnx_shape[:axis] + value.onnx_shape[axis + 1:] for value in values}) == 1:
        values = [c.graph.volume(value) for value in values]
    for value in values:
        same = value.plain[:axis] + value.plain[axis + 1:] == values[0].plain[:axis] + values[0].plain[axis + 1:]
        if not (same and value.channel_at(axis) and value.shape[1:] == values[0].shape[1:]):
            raise Unsupported(f"joins along axis {axis} of {list(value.onnx_shape)}, expected the channel axis and equal grids")
    axes = [*values[0].plain[:axis], "C", *values[0].plain[axis + 1:]]
    return c.graph.concat(c.name(node), [value.seen_as(axes) for value in values])


# Views

def identity(c, node):
    return c.value(node, 0)


def dropout(c, node):
    if array_or_none(c, node, 2) is not None and bool(c.constant(node, 2)):
        raise Unsupported("is in training mode; export the network in evaluation mode (module.eval())")
    return c.value(node, 0)


def cast(c, node):
    if attribute(node, "to") not in (1, 10, 11, 16):  # float32, float16, float64, bfloat16: the engine computes in float32 anyway
        raise Unsupported("makes something else than floating-point numbers")
    return c.value(node, 0)


def flatten(c, node):
    value = c.value(node, 0)
    axis = axis_of(node, value, 1)
    shape = value.onnx_shape
    return reshape(value, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def reshape_op(c, node):
    value, target = c.value(node, 0), c.constant(node, 1).ravel().tolist()
    if not attribute(node, "allowzero", 0):
        target = [value.onnx_shape[i] if extent == 0 else extent for i, extent in enumerate(target)]
    if -1 in target:
        target[target.index(-1)] = math.prod(value.onnx_shape) // max(math.prod(extent for extent in target if extent != -1), 1)
    if len(target) == 3 and any(reader.op_type == "InstanceNormalization" for reader in c.readers(node.output[0])) and not value.is_vector:
        raise Unsupported("begins a group norm of several groups, which is no op of the engine")
    return reshape(value, target)


def squeeze(c, node):
    value = c.value(node, 0)
    axes, shape = axes_input(c, node, value), value.onnx_shape
    axes = [i for i, extent in enumerate(shape) if extent == 1] if axes is None else [axis % len(shape) for axis in axes]
    if any(shape[axis] != 1 for axis in axes):
        raise Unsupported(f"removes axes of {list(shape)} that are not of extent 1")
    return value.seen_as(group for i, group in enumerate(value.plain) if i not in axes)


def unsqueeze(c, node):
    value = c.value(node, 0)
    axes = axes_input(c, node, value)
    rank = len(value.axes) + len(axes)
    axes = {axis % rank for axis in axes}
    groups = iter(value.plain)
    return value.seen_as("" if i in axes else next(groups) for i in range(rank))


def transpose_op(c, node):
    value = c.value(node, 0)
    return transpose(value, attribute(node, "perm", list(range(len(value.axes)))[::-1]))


def gather(c, node):
    """Exporters write a change of view as one that picks every element in order; nothing else is supported."""
    value, indices = c.value(node, 0), c.constant(node, 1)
    axis, shape = axis_of(node, value, 0), value.onnx_shape
    if not np.array_equal(indices.ravel(), np.arange(shape[axis])):
        raise Unsupported("picks some elements of an axis")
    return reshape(value, (*shape[:axis], *indices.shape, *shape[axis + 1:]))


def pad(c, node):
    """Zeros before a convolution become its own padding; see Converter.pending_pad."""
    value = c.graph.volume(c.value(node, 0))
    pads = attribute(node, "pads")
    pads = c.constant(node, 1).ravel().tolist() if pads is None else list(pads)
    fill = array_or_none(c, node, 2) if len(node.input) > 2 else attribute(node, "value", 0.0)
    rank = len(value.axes)
    if len(node.input) > 3 and node.input[3]:
        every = [0] * 2 * rank
        chosen = [int(axis) % rank for axis in c.constant(node, 3).ravel()]
        for i, axis in enumerate(chosen):
            every[axis], every[rank + axis] = pads[i], pads[len(chosen) + i]
        pads = every
    if not any(pads):
        return value
    if text(node, "mode", "constant") != "constant" or (fill is not None and float(np.asarray(fill).ravel()[0]) != 0) or min(pads) < 0:
        raise Unsupported("pads with something else than zeros, or cuts")
    if any(pads[:2] + pads[rank:rank + 2]):
        raise Unsupported("pads other axes than the spatial ones")
    if any(reader.op_type != "Conv" for reader in c.readers(node.output[0])):
        raise Unsupported("pads for something else than a convolution")
    low, high = pads[2:rank], pads[rank + 2:]
    c.keep_pad(node.output[0], [0] * (5 - rank) + low, [0] * (5 - rank) + high)
    return value


TABLE = {
    "Conv": conv, "MaxPool": max_pool, "AveragePool": average_pool, "GlobalAveragePool": global_pool("avg_pool"),
    "GlobalMaxPool": global_pool("max_pool"), "ReduceMean": reduce("avg_pool"), "ReduceMax": reduce("max_pool"),
    "Gemm": gemm, "MatMul": matmul,
    "BatchNormalization": batch_norm, "InstanceNormalization": instance_norm, "LayerNormalization": layer_norm,
    "LpNormalization": lp_normalization,
    "Relu": relu, "LeakyRelu": leaky_relu, "PRelu": prelu, "Clip": clip, "Gelu": gelu,
    "Add": add, "Sum": add, "Sub": sub, "Mul": mul, "Div": div, "Concat": concat,
    "Identity": identity, "Dropout": dropout, "Cast": cast, "Flatten": flatten, "Reshape": reshape_op, "Squeeze": squeeze,
    "Unsqueeze": unsqueeze, "Transpose": transpose_op, "Gather": gather, "Pad": pad,
}
