"""The engine's graph while it is being made: nodes, values with their shapes, tensors. The rules of the shapes are those of src/nn."""
import math

import numpy as np

from .views import LETTERS, Unsupported, Value, standard_axes

MAX_WINDOW = 1024  # of src/nn/window.c
MAX_INPUTS = 8     # of src/nn/graph.h
FLOATS = ("float32", "float16", "bfloat16")


class Graph:
    def __init__(self):
        self.inputs, self.nodes, self.tensors = [], [], {}
        self._names = set()

    def unique(self, name):
        """`name`, or the first of name.2, name.3, ... that is free: names of nodes are names of values too."""
        candidate, number = name, 1
        while candidate in self._names or not candidate:
            number += 1
            candidate = f"{name}.{number}"
        self._names.add(candidate)
        return candidate

    def add_input(self, name, shape):
        self.inputs.append({"name": self.unique(name), "shape": list(shape)})
        return Value(self.inputs[-1]["name"], tuple(shape), ("", *LETTERS))

    def add_tensor(self, name, array):
        """A tensor as the package stores it: floats of 2 or 4 bytes, doubles rounded to float32."""
        array = np.ascontiguousarray(array)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if array.dtype.name not in FLOATS:
            raise Unsupported(f"tensor {name} is of type {array.dtype.name}, expected {', '.join(FLOATS)} or float64")
        if array.size == 0 or not np.isfinite(array.astype(np.float32)).all():
            raise Unsupported(f"tensor {name} is empty or has values that are not finite")
        old = self.tensors.get(name)
        if old is None:
            self.tensors[name] = array
        elif old.dtype != array.dtype or old.shape != array.shape or old.tobytes() != array.tobytes():
            raise Unsupported(f"two different tensors are called {name}")
        return name

    def add(self, op, name, inputs, shape, axes, **attributes):
        """One node; its value has `shape` and is seen through `axes`."""
        name = self.unique(name)
        fields = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append({"op": op, "name": name, "in": [value.name for value in inputs], **fields})
        return Value(name, tuple(int(extent) for extent in shape), tuple(axes))

    def same(self, op, name, value, **attributes):
        """An op that keeps the shape and does not care how it is seen."""
        return self.add(op, name, [value], value.shape, value.axes, **attributes)

    # Changing how a value lies in memory, where a view does not do.

    def permute(self, value, letters, axes):
        order = [LETTERS.index(letter) for letter in letters]
        return self.add("permute", f"{value.name}.permute", [value], [value.shape[axis] for axis in order], axes, perm=order)

    def volume(self, value):
        """The value as a volume in the standard order: itself, or turned, or its voxels read as another grid."""
        axes = standard_axes(len(value.axes))
        if value.is_vector:
            raise Unsupported("its input is a vector, expected an image or a volume")
        if value.looks_like(axes):
            return value.seen_as(axes)
        groups, shape = value.plain, value.onnx_shape
        if groups[0] == "" and value.channel_at(1) and "".join(groups[2:]) == "".join(c for c in "DHW" if value.extent(c) != 1):
            grid = [*[1] * (5 - len(shape)), *shape[2:]]
            return self.add("reshape", f"{value.name}.grid", [value], [shape[1], *grid], axes, grid=grid)
        if groups[0] == "" and all(len(group) <= 1 for group in groups):
            units = [letter for letter in LETTERS if letter not in "".join(groups)]
            wanted = [*groups[1:2], *[""] * (5 - len(groups)), *groups[2:]]
            return self.permute(value, [group or units.pop(0) for group in wanted], axes)
        raise Unsupported(f"its input {list(shape)} is a volume whose axes were merged in another order than C,D,H,W")

    def vector(self, value):
        """The value, seen as [1,C], as a vector: itself, or flattened in the order of its letters."""
        groups = value.plain
        if len(groups) != 2 or groups[0]:
            raise Unsupported(f"its input {list(value.onnx_shape)} is not a vector [1,C]")
        if value.is_vector:
            return value.seen_as(("", "C"))
        letters = groups[1] + "".join(letter for letter in LETTERS if letter not in groups[1])
        if [letter for letter in letters if value.extent(letter) != 1] != [c for c in LETTERS if value.extent(c) != 1]:
            value = self.permute(value, letters, value.axes)
        return self.add("flatten", f"{value.name}.flatten", [value], [math.prod(value.shape)], ("", "C"))

    # Ops that several ONNX ops become.

    def affine(self, name, value, scale, shift):
        """value*scale[c] + shift[c], as a batch norm of mean 0 and variance 1: the planner folds it into a convolution before it."""
        channels = value.extent("C")
        tensors = {"weight": np.broadcast_to(np.asarray(scale, np.float32), channels), "bias": np.broadcast_to(np.asarray(shift, np.float32), channels),
                   "mean": np.zeros(channels, np.float32), "var": np.ones(channels, np.float32)}
        names = {key: self.add_tensor(f"{name}.affine.{key}", array) for key, array in tensors.items()}
        return self.same("batch_norm", name, value, **names, eps=0)

    def window(self, op, name, value, channels, window, **attributes):
        """conv, max_pool or avg_pool over a volume in the standard order."""
        extents = window.out(value.shape[1:])
        fields = window.fields(op)
        return self.add(op, name, [value], [channels, *extents], value.axes, **attributes, **fields)

    def concat(self, name, values):
        """Along the channels; more than the engine's limit in several steps."""
        while len(values) > 1:
            part = values[:MAX_INPUTS]
            channels = sum(value.shape[0] for value in part)
            last = len(part) == len(values)
            joined = self.add("concat", name if last else f"{name}.part", part, [channels, *part[0].shape[1:]], part[0].axes)
            values = [joined, *values[MAX_INPUTS:]]
        return values[0]


class Window:
    """Kernel, strides, dilations and pads over D,H,W; two-dimensional ones get a depth of 1."""

    def __init__(self, kernel, stride, dilation, low, high):
        def three(values, filler):
            return [filler] * (3 - len(values)) + [int(value) for value in values]
        self.kernel, self.stride, self.dilation = three(kernel, 1), three(stride, 1), three(dilation, 1)
        self.low, self.high = three(low, 0), three(high, 0)
        if max(self.kernel + self.stride + self.dilation + self.low + self.high) > MAX_WINDOW or min(self.low + self.high) < 0:
            raise Unsupported(f"its kernel, stride, dilation or padding is negative or more than {MAX_WINDOW}")

    def out(self, extents):
        result = []
        for axis, extent in enumerate(extents):
            room = extent + self.low[axis] + self.high[axis] - (self.kernel[axis] - 1) * self.dilation[axis] - 1
            if room < 0:
                raise Unsupported(f"its window is larger than its padded input {list(extents)}")
            result.append(room // self.stride[axis] + 1)
        return result

    def fields(self, op):
        fields = {"stride": self.stride, "pad": [list(pair) for pair in zip(self.low, self.high)]}
        if op != "conv":
            fields["kernel"] = self.kernel
        if max(self.dilation) > 1:
            fields["dilation"] = self.dilation
        return fields
