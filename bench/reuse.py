#!/usr/bin/env python3
"""What share of a network an occlusion leaves as it was: the most that recomputing only the touched part of every map could save.

usage: reuse.py PACKAGE.oq...
Follows each of the 125 windows (12 voxels of 48, every 9) through the graph, layer by layer, as the box of voxels that it can reach, and counts the
multiply-adds of convolutions inside. Networks with norms over a patch, or attention, keep nothing: one voxel moves every value after the first such op.
"""
import itertools
import json
import math
import pathlib
import struct
import sys

SAME = ("batch_norm", "relu", "leaky_relu")


def shapes(package):
    with open(package / "weights.safetensors", "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        return {name: tensor.get("shape") for name, tensor in json.loads(f.read(size)).items()}


def window_of(extent, box, kernel, stride, pad):
    """Extent of the result on one axis, and the part of it that sees the box."""
    out = (extent + sum(pad) - kernel) // stride + 1
    return out, (max(0, -(-(box[0] + pad[0] - kernel + 1) // stride)), min(out, (box[1] - 1 + pad[0]) // stride + 1))


def follow(graph, weights, starts):
    """Multiply-adds of all convolutions, and of their touched parts."""
    source = graph["inputs"][0]
    maps = {source["name"]: (source["shape"][1:], [(s, s + 12) for s in starts])}
    total = touched = 0
    for node in graph["nodes"]:
        extents, boxes = maps[node["in"][0]]
        if node["op"] in ("conv", "max_pool"):
            weight = weights[node["weight"]] if node["op"] == "conv" else None
            kernel, stride, pad = weight[2:] if weight else node["kernel"], node.get("stride", [1] * 3), node.get("pad", [[0, 0]] * 3)
            axes = [window_of(*axis) for axis in zip(extents, boxes, kernel, stride, pad)]
            extents, boxes = [a[0] for a in axes], [a[1] for a in axes]
            if weight:
                total += math.prod(weight) * math.prod(extents)
                touched += math.prod(weight) * math.prod(high - low for low, high in boxes)
        elif node["op"] == "permute":
            order = [axis - 1 for axis in node["perm"][1:]]
            extents, boxes = [extents[i] for i in order], [boxes[i] for i in order]
        elif node["op"] == "add":
            boxes = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(boxes, maps[node["in"][1]][1])]
        elif node["op"] == "global_avg_pool":
            break
        elif node["op"] not in SAME + ("concat",):
            return 1, 1
        maps[node["name"]] = extents, boxes
    return total, touched


def main():
    for package in map(pathlib.Path, sys.argv[1:]):
        graph = json.loads((package / "model.json").read_text())["graph"]
        if graph["inputs"][0]["shape"][1:] != [48, 48, 48]:
            continue
        weights = shapes(package)
        sums = [follow(graph, weights, starts) for starts in itertools.product((0, 9, 18, 27, 36), repeat=3)]
        total, touched = (sum(column) for column in zip(*sums))
        print(f"{package.name}: {100 * touched / total:.0f} % of the multiply-adds are touched, {total / touched:.2f} times at most")


if __name__ == "__main__":
    main()
