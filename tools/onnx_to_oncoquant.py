#!/usr/bin/env python3
"""An ONNX file becomes an OncoQuant package: `onnx_to_oncoquant.py NETWORK.onnx -d DESCRIPTION.json -o NAME.oq`.

Needs the Python packages onnx and numpy; --check needs onnxruntime. docs/custom-models.md is the tutorial and lists the ops.
"""
import argparse
import sys

try:
    from oq_export import command
    from oq_export.source import OPSETS, Source
except ModuleNotFoundError as missing:
    sys.exit(f"error: the Python package {missing.name} is missing (pip install onnx)")


def main():
    parser = argparse.ArgumentParser(description="Turns an ONNX file into an OncoQuant package.",
                                     epilog=f"Reads opsets {OPSETS[0]} to {OPSETS[1]} of ai.onnx. Ops: docs/custom-models.md.")
    parser.add_argument("onnx", metavar="NETWORK.onnx")
    parser.add_argument("--input-shape", metavar="1,C,D,H,W", type=command.shape, help="extents of an input that the file leaves open")
    command.add_options(parser)
    options = parser.parse_args()
    source = Source(options.onnx, options.input_shape, options.output)
    if options.list:
        command.show_list(source)
        return
    command.export(source, options, {
        "tool": "onnx_to_oncoquant", "tool_version": command.VERSION, "kind": "onnx", **source.identity(),
        "opset": source.opset, "producer": source.producer, "input": source.input, "input_shape": source.input_shape})


if __name__ == "__main__":
    command.run(main)
