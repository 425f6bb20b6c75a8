"""How the axes of an ONNX value lie on the engine's axes.

The engine knows two kinds of values: volumes [C][D][H][W] and vectors [C], both without a batch axis. An ONNX value is one of
them seen through `axes`: for each ONNX axis the engine's letters that it holds, slowest first: "" is an axis of extent 1 (the
batch), ("", "C", "H", "W") an image, ("", "DHW", "C") a volume as tokens, ("", "CDHW") a flattened one. Reshape, Transpose,
Squeeze and the like only change the view; an op of the engine is emitted where the next op cannot work through it.
"""
import dataclasses
import math

LETTERS = "CDHW"


class Unsupported(Exception):
    """A node that cannot be expressed; the text says why and, where there is one, the way round."""


@dataclasses.dataclass(frozen=True)
class Value:
    name: str
    shape: tuple  # (C, D, H, W) or (C,)
    axes: tuple   # of strings

    @property
    def is_vector(self):
        return len(self.shape) == 1

    def extent(self, letter):
        index = LETTERS.index(letter)
        return self.shape[index] if index < len(self.shape) else 1

    @property
    def onnx_shape(self):
        return tuple(math.prod(self.extent(letter) for letter in group) for group in self.axes)

    @property
    def plain(self):
        """The axes without letters of extent 1: where those are written makes no difference."""
        return tuple("".join(letter for letter in group if self.extent(letter) != 1) for group in self.axes)

    def seen_as(self, axes):
        return dataclasses.replace(self, axes=tuple(axes))

    def looks_like(self, axes):
        """True when `axes` is another way to write this view."""
        letters = {letter for group in self.plain for letter in group}
        return letters <= set("".join(axes)) and self.plain == self.seen_as(axes).plain

    def channel_at(self, axis):
        """True when this ONNX axis is the channel axis and nothing else."""
        return self.plain[axis] == ("C" if self.extent("C") != 1 else "")


def standard_axes(rank):
    """The axes of [N,C], [N,C,H,W] and [N,C,D,H,W]."""
    known = {2: ("", "C"), 4: ("", "C", "H", "W"), 5: ("", "C", "D", "H", "W")}
    if rank not in known:
        raise Unsupported(f"its input has {rank} axes, expected [N,C], [N,C,H,W] or [N,C,D,H,W]")
    return known[rank]


def reshape(value, target):
    """The view with the extents `target`, the elements in the same order."""
    letters = list("".join(value.plain))
    axes = []
    for extent in target:
        group = ""
        while math.prod(value.extent(letter) for letter in group) < extent and letters:
            group += letters.pop(0)
        if math.prod(value.extent(letter) for letter in group) != extent:
            raise Unsupported(f"reshapes {list(value.onnx_shape)} to {list(target)}, which splits an axis; only whole axes may be merged or moved")
        axes.append(group)
    if letters:
        raise Unsupported(f"reshapes {list(value.onnx_shape)} to {list(target)}, which has another number of elements")
    return value.seen_as(axes)


def transpose(value, order):
    return value.seen_as(value.axes[axis] for axis in order)
