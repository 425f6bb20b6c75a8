"""An ONNX file with everything fixed: one input of a known shape, one output, the nodes between them in order, constants as arrays.

Refuses what is not one static network: several inputs, a batch of more than one, open extents, control flow.
"""
import difflib
import hashlib
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.external_data_helper import load_external_data_for_model

OPSETS = (9, 28)  # of ai.onnx; the ops of the table mean the same in all of them, attributes that became inputs are read both ways


class Refused(Exception):
    """The message for the user: `<file>: <what is>, <what was expected>`."""


class Source:
    def __init__(self, path, input_shape=None, output=None):
        self.path, self.file = path, os.path.basename(path)
        try:
            model = onnx.load(path, load_external_data=False)
            check_locations(model, self.file)
            load_external_data_for_model(model, os.path.dirname(path))
            check(model, path)
        except Refused:
            raise
        except Exception as error:  # protobuf, checker and file errors have no common parent
            raise Refused(f"{self.file}: is not a valid ONNX file: {str(error).strip().splitlines()[0]}") from None
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        self.opset = self._opset(model)
        self.producer = f"{model.producer_name} {model.producer_version}".strip()
        self.model = model
        self.constants = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
        self.output = self._choose_output(model.graph, output)
        self.nodes = self._needed(model.graph)
        self.input, self.input_shape = self._choose_input(model.graph, input_shape)

    def _opset(self, model):
        version = max([entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")], default=0)
        if not OPSETS[0] <= version <= OPSETS[1]:
            raise Refused(f"{self.file}: is of opset {version}, expected {OPSETS[0]} to {OPSETS[1]}")
        return version

    def _choose_output(self, graph, wanted):
        names = [output.name for output in graph.output]
        if wanted is None:
            if len(names) != 1:
                raise Refused(f"{self.file}: has {len(names)} outputs ({', '.join(names)}); say which with --output")
            return names[0]
        made = [name for node in graph.node for name in node.output if name]
        if wanted not in made:
            near = difflib.get_close_matches(wanted, made, 3, 0.5)
            raise Refused(f"{self.file}: no value is called {wanted}" + (f"; did you mean {' or '.join(near)}?" if near else "; --list shows all"))
        return wanted

    def _needed(self, graph):
        """The nodes that the output depends on, in the file's (topological) order."""
        wanted, nodes = {self.output}, []
        for node in reversed(graph.node):
            if wanted.intersection(node.output):
                nodes.append(node)
                wanted.update(name for name in node.input if name)
                for attribute in node.attribute:
                    if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                        raise Refused(f"{self.file}: node {node.name or node.output[0]} ({node.op_type}) is control flow, expected a static graph")
        self._wanted = wanted
        return nodes[::-1]

    def _choose_input(self, graph, shape):
        inputs = [entry for entry in graph.input if entry.name not in self.constants and entry.name in self._wanted]
        if len(inputs) != 1:
            found = ", ".join(entry.name for entry in inputs) or "none"
            raise Refused(f"{self.file}: output {self.output} depends on {len(inputs)} inputs ({found}), expected one")
        entry = inputs[0]
        if entry.type.tensor_type.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE):
            raise Refused(f"{self.file}: input {entry.name} does not hold floating-point numbers")
        return entry.name, self._fix_shape(entry, shape)

    def _fix_shape(self, entry, wanted):
        declared = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in entry.type.tensor_type.shape.dim]
        shape = list(wanted) if wanted else [1, *declared[1:]]
        text = "[" + ",".join(str(extent) for extent in declared) + "]"
        if any(isinstance(extent, str) for extent in shape):
            raise Refused(f"{self.file}: input {entry.name} is {text}; give the open extents with --input-shape, as in --input-shape 1,1,64,64,64")
        fits = len(shape) == len(declared) and all(isinstance(d, str) or d == s for d, s in zip(declared, shape))
        if not fits or len(shape) not in (4, 5) or shape[0] != 1 or min(shape) < 1:
            raise Refused(f"{self.file}: input {entry.name} is {text}, expected [1,C,H,W] or [1,C,D,H,W]" + (f" and to hold {shape}" if wanted else ""))
        return shape

    def identity(self):
        """Name and SHA-256 of the file, and of the files with its weights."""
        names = set()
        for tensor in onnx.load(self.path, load_external_data=False).graph.initializer:
            names.update(entry.value for entry in tensor.external_data if entry.key == "location")
        folder = os.path.dirname(self.path)
        return {"file": self.file, **hashes([self.path, *[os.path.join(folder, name) for name in sorted(names)]])}


def hashes(files):
    """SHA-256 of the first file, and of the others by name."""
    fields = {"sha256": file_sha256(files[0])} if files else {}
    if len(files) > 1:
        fields["other_files"] = {os.path.basename(file): file_sha256(file) for file in files[1:]}
    return fields


def check_locations(model, file):
    """Weights in other files lie beside the ONNX file or below it: elsewhere its author would choose what is read of the user's files."""
    for tensor in (*model.graph.initializer, *(entry.t for node in model.graph.node for entry in node.attribute)):
        for entry in tensor.external_data:
            if entry.key == "location" and (os.path.isabs(entry.value) or ".." in entry.value.replace("\\", "/").split("/")):
                raise Refused(f"{file}: tensor {tensor.name} lies in {entry.value}, expected a file beside {file} or below its folder")


def check(model, path):
    """ONNX's own check; it wants a shape for every output, which the format does not, and which is of no use here."""
    open_outputs = [output.type.tensor_type for output in model.graph.output if not output.type.tensor_type.HasField("shape")]
    for kind in open_outputs:
        kind.shape.SetInParent()
    onnx.checker.check_model(model if model.ByteSize() < 2 ** 31 - 1 else path)
    for kind in open_outputs:
        kind.ClearField("shape")


def file_sha256(path):
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def to_array(tensor):
    """Little-endian in memory and in the file; this tool does not run on big-endian machines."""
    assert sys.byteorder == "little"
    return np.asarray(numpy_helper.to_array(tensor))


def attribute(node, name, default=None):
    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default


def decimal(number):
    """The shortest decimal number with this float32 value: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(number)))
