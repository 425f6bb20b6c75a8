"""Groups of ONNX nodes that mean one op: exporters of older opsets spell GELU and L2 normalisation out.

Each rule starts at one node, looks back along inputs that nobody else reads, and puts one node in the place of the last. A group that
does not fit exactly is left as it is; its odd node is then reported as unsupported like any other.
"""
import math

import numpy as np
import onnx

DOMAIN = "oncoquant"  # of the node that stands for an L2 normalisation


class Rewriter:
    def __init__(self, nodes, constants, output):
        self.nodes, self.constants, self.output = nodes, dict(constants), output
        self.maker = {name: node for node in nodes for name in node.output}
        self.readers = {}
        for node in nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
            if node.op_type == "Constant":
                value = onnx.helper.get_attribute_value(node.attribute[0])
                self.constants[node.output[0]] = onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)

    def number(self, name):
        """A constant of one element, or None."""
        array = self.constants.get(name)
        return float(array.ravel()[0]) if array is not None and array.size == 1 else None

    def split(self, node):
        """(the computed input, the constant number) of an Add, Mul or Div; (None, None) for anything else."""
        if node is None or len(node.input) != 2:
            return None, None
        numbers = [self.number(name) for name in node.input]
        if numbers[1] is not None:
            return node.input[0], numbers[1]
        return (node.input[1], numbers[0]) if numbers[0] is not None and node.op_type != "Div" else (None, None)

    def made_by(self, name, *kinds):
        node = self.maker.get(name)
        return node if node is not None and node.op_type in kinds else None

    def only_reader(self, node, *kinds):
        readers = self.readers.get(node.output[0], [])
        single = len(readers) == 1 and node.output[0] != self.output and readers[0].op_type in kinds
        return readers[0] if single else None

    def replace(self, group, last, node):
        gone = {id(member) for member in group}
        place = next(i for i, member in enumerate(self.nodes) if member is last)
        self.nodes = [member for member in [*self.nodes[:place], node, *self.nodes[place + 1:]] if id(member) not in gone - {id(last)}]


def near(number, wanted):
    return number is not None and math.isclose(number, wanted, rel_tol=1e-6)


def gelu(r, erf):
    """x * (erf(x/sqrt 2) + 1) * 1/2, the half before, between or behind the product."""
    scaled = r.made_by(erf.input[0], "Div", "Mul")
    x, factor = r.split(scaled)
    if x is None or not near(factor if scaled.op_type == "Div" else 1 / factor, math.sqrt(2)):
        return
    plus = r.only_reader(erf, "Add")
    if plus is None or not near(r.split(plus)[1], 1):
        return
    group, last, half = [scaled, erf, plus], plus, False
    product = False
    while not (half and product):
        step = r.only_reader(last, "Mul")
        if step is None:
            return
        other = next(name for name in step.input if name != last.output[0]) if step.input[0] != step.input[1] else None
        before = r.made_by(other, "Mul")
        if near(r.number(other), 0.5) and not half:
            half = True
        elif other == x and not product:
            product = True
        elif before is not None and r.split(before) == (x, 0.5) and r.only_reader(before, "Mul") is step and not (half or product):
            half = product = True
            group.append(before)
        else:
            return
        group.append(step)
        last = step
    if r.only_reader(scaled, "Erf") is None:
        return
    r.replace(group, last, onnx.helper.make_node("Gelu", [x], [last.output[0]], name=erf.name))


def l2_normalize(r, div):
    """x / max(|x|, eps), with or without Expand; eps only guards against a vector of zeros, which the engine refuses."""
    group, below = [div], r.maker.get(div.input[1])
    if below is not None and below.op_type == "Expand":
        group.append(below)
        below = r.maker.get(below.input[0])
    if below is not None and below.op_type in ("Clip", "Max"):
        limits = [r.number(name) for name in below.input[1:] if name]
        if not limits or any(limit is None or limit < 0 for limit in limits[:1]) or limits[0] > 1e-6 or (len(limits) > 1 and limits[1] < 1e30):
            return
        group.append(below)
        below = r.maker.get(below.input[0])
    if below is None or below.op_type not in ("ReduceL2",) or below.input[0] != div.input[0]:
        return
    axes = next((list(a.ints) for a in below.attribute if a.name == "axes"), None)
    if axes is None and len(below.input) > 1 and below.input[1] in r.constants:
        axes = r.constants[below.input[1]].ravel().tolist()
    if axes not in ([1], [-1]) or any(r.only_reader(node, div.op_type, *[g.op_type for g in group]) is None for node in [below, *group[1:]]):
        return
    r.replace([*group, below], div, onnx.helper.make_node("L2Normalize", [div.input[0]], [div.output[0]], name=div.name, domain=DOMAIN))


def rewrite(nodes, constants, output):
    r = Rewriter(nodes, constants, output)
    for node in list(r.nodes):
        if node.op_type == "Erf":
            gelu(r, node)
        elif node.op_type == "Div":
            l2_normalize(r, node)
    return r.nodes
