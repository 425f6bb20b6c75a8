#!/usr/bin/env python3
"""A PyTorch module becomes an OncoQuant package: `torch_to_oncoquant.py NETWORK.py:function --input-shape 1,1,64,64,64 -d ... -o ...`.

SOURCE is one of
  FILE.py:NAME or MODULE:NAME   a function without arguments, or a class, that gives the module (--weights fills it)
  FILE.pt2                      a program saved by torch.export.save
  FILE.pt                       a traced or scripted module saved by torch.jit.save
The module goes through torch.onnx.export into a temporary file, and from there the way of onnx_to_oncoquant.py. All of this runs code
of the SOURCE: use it with files that you trust. Needs the Python packages torch, onnx, onnxscript and numpy.
"""
import argparse
import importlib
import importlib.util
import inspect
import logging
import os
import sys
import tempfile
import warnings

try:
    import onnxscript
    import torch
    from oq_export import command
    from oq_export.source import Refused, Source, hashes
except ModuleNotFoundError as missing:
    sys.exit(f"error: the Python package {missing.name} is missing (pip install torch onnx onnxscript)")


def load_callable(text):
    """(the callable, the file that holds it)"""
    place, _, name = text.rpartition(":")
    if place.endswith(".py"):
        if not os.path.isfile(place):
            raise Refused(f"{place}: no such file")
        spec = importlib.util.spec_from_file_location(os.path.basename(place)[:-3], place)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        sys.path.insert(0, os.path.dirname(os.path.abspath(place)))
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, os.getcwd())
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise Refused(f"{text}: {error}") from None
    if not callable(getattr(module, name, None)):
        raise Refused(f"{text}: {place} has no function or class called {name}")
    made = getattr(module, name)
    try:
        return made, inspect.getsourcefile(made)
    except TypeError:
        return made, getattr(module, "__file__", None)


def fill(module, path):
    """Weights from a dictionary of tensors; every key must fit. Nothing in the file is executed."""
    name = os.path.basename(path)
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each loader has errors of its own, some with advice that this tool must not repeat
        raise Refused(f"{name}: cannot be read as a dictionary of tensors ({type(error).__name__})") from None
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise Refused(f"{name}: does not fill the module: {' '.join(str(error).split())[:800]}") from None


def load(text, weights):
    """(module or exported program, a description of it, files to hash)"""
    if text.endswith((".pt2", ".pt", ".pth")):
        if weights:
            raise Refused("--weights is for a SOURCE in Python; a saved program has its weights")
        try:
            loaded = torch.export.load(text) if text.endswith(".pt2") else torch.jit.load(text, map_location="cpu").eval()
        except Exception as error:
            raise Refused(f"{os.path.basename(text)}: is no saved program (torch.export.save, torch.jit.save): {str(error).splitlines()[0]}") from None
        return loaded, "torch.export" if text.endswith(".pt2") else "torch.jit", [text]
    if ":" not in text:
        raise Refused(f"{text}: expected FILE.py:NAME, MODULE:NAME, FILE.pt2 or FILE.pt")
    made, file = load_callable(text)
    module = made()
    if not isinstance(module, torch.nn.Module):
        raise Refused(f"{text}: gives a {type(module).__name__}, expected a torch.nn.Module")
    if weights:
        fill(module, weights)
    return module.eval(), "torch.nn", [path for path in (file, weights) if path]


def export(module, kind, shape, path):
    dtype = next((parameter.dtype for parameter in module.parameters()), torch.float32)
    example = torch.zeros(*shape, dtype=dtype)
    # A traced module is a TorchScript graph already; the exporter of torch.export wants Python.
    options = {"dynamo": False} if kind == "torch.jit" else {"dynamo": True, "external_data": True, "verbose": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            torch.onnx.export(module, (example,), path, **options)
    except Exception as error:  # torch.onnx has a dozen kinds
        reason = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise Refused(f"torch.onnx.export: {reason[0]}") from None


def runner(module):
    """PyTorch's own numbers, for --check."""
    callable_module = module.module() if isinstance(module, torch.export.ExportedProgram) else module

    def run(inputs):
        with torch.no_grad():
            return [callable_module(torch.from_numpy(row[None])).numpy() for row in inputs]
    return run


def main():
    parser = argparse.ArgumentParser(description="Turns a PyTorch module into an OncoQuant package. Runs the code of SOURCE.")
    parser.add_argument("source", metavar="SOURCE", help="FILE.py:NAME, MODULE:NAME, FILE.pt2 (torch.export) or FILE.pt (torch.jit)")
    parser.add_argument("--input-shape", metavar="1,C,D,H,W", type=command.shape, required=True)
    parser.add_argument("--weights", metavar="FILE", help="a dictionary of tensors for the module (.pt, .pth, .safetensors)")
    command.add_options(parser)
    options = parser.parse_args()
    module, kind, files = load(options.source, options.weights)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.onnx")
        export(module, kind, options.input_shape, path)
        source = Source(path, options.input_shape, options.output)
        source.file = os.path.basename(options.source)
        if options.list:
            command.show_list(source)
            return
        provenance = {
            "tool": "torch_to_oncoquant", "tool_version": command.VERSION, "kind": kind, "file": os.path.basename(options.source),
            **hashes(files), "opset": source.opset,
            "producer": f"torch {torch.__version__}, onnxscript {onnxscript.__version__}", "input": source.input, "input_shape": source.input_shape}
        command.export(source, options, provenance, None if options.output else runner(module))


if __name__ == "__main__":
    command.run(main)
