"""Options, messages and exit codes that both programs share. Exit codes are those of `oncoquant`: 2 wrong options, 5 a network
that cannot be expressed, 6 a package that differs from the network by more than the tolerance."""
import argparse
import collections
import sys
import tempfile

from . import package, parity
from .convert import convert, unsupported_in
from .source import Refused
from .views import Value

VERSION = "1"


class Drift(Exception):
    """The package was made, but does not agree with the network."""


def shape(text):
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"is {text}, expected whole numbers as in 1,1,64,64,64") from None


def add_options(parser):
    parser.add_argument("-d", "--description", metavar="FILE.json", help="name and preprocessing of the model; see docs/custom-models.md")
    parser.add_argument("-o", "--package", metavar="DIR.oq", help="the package to write; an older package there is replaced, anything else left alone")
    parser.add_argument("--output", metavar="NAME", help="the value that is the embedding; default: the network's only output")
    parser.add_argument("--head", choices=("mean", "flatten"), help="makes a vector of a volume: the mean over its voxels, or all of it")
    parser.add_argument("--l2-normalize", action="store_true", help="divide the embedding by its L2 norm")
    parser.add_argument("--channels", choices=("repeat", "planes"),
                        help="for networks of several input channels: the patch repeated, or neighbouring planes of the patch (2D only)")
    parser.add_argument("--check", metavar="ONCOQUANT", help="the program `oncoquant`: compare the package with ONNX Runtime or PyTorch before it is put in place")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="of --check: relative L2 difference (default 1e-5)")
    parser.add_argument("--list", action="store_true", help="show the network's values, and what cannot be expressed; write nothing")


def show_list(source):
    converter, problems = unsupported_in(source)
    print(f"{source.file}: opset {source.opset}, input {source.input} {source.input_shape}, {len(source.nodes)} nodes")
    for node in converter.nodes:
        value = converter.values[node.output[0]]
        text = str(list(value.onnx_shape)) if isinstance(value, Value) else ""
        if node.output[0] in problems:
            text = "NOT SUPPORTED: " + problems[node.output[0]]
        if text:
            print(f"  {node.op_type:<22} {node.output[0]:<40} {text}")
    print(f"{len(problems)} node{'s' if len(problems) > 1 else ''} cannot be expressed" if problems else "every node can be expressed")


def summary(graph, value, path):
    ops = collections.Counter(node["op"] for node in graph.nodes)
    parameters = sum(array.size for array in graph.tensors.values())
    print(f"{path}: {len(graph.nodes)} nodes ({', '.join(f'{count} {op}' for op, count in ops.most_common())}), "
          f"{parameters} parameters, embedding of {value.shape[0]}")


def export(source, options, provenance, run=None):
    """Converts, checks when asked to, and puts the package in its place."""
    if not options.description or not options.package:
        raise Refused("--description and --package are needed (or --list)")
    description = package.read_description(options.description)
    description = {"title": description["name"], "family": "imported", "code_license": "not stated", "weights_license": "not stated", **description}
    graph, value = convert(source, description["preprocessing"], options.channels, options.head, options.l2_normalize)
    provenance.update(output=source.output, head=options.head, l2_normalize=options.l2_normalize, channels=options.channels)
    with package.Writer(options.package) as writer:
        writer.write(description, graph, value, provenance)
        if options.check:
            with tempfile.TemporaryDirectory() as folder:
                differences = parity.compare(options.check, source, writer.folder, folder, options, run)
            text = ", ".join(f"{difference:.2e}" for difference in differences)
            peer = "PyTorch" if run else "ONNX Runtime"
            if not all(difference <= options.tolerance for difference in differences):  # also when one is not a number
                raise Drift(f"{source.file}: the package differs from {peer} by {text}, expected at most {options.tolerance:g}; nothing was written")
            print(f"parity with {peer} on {len(differences)} made-up patches: relative L2 {text}")
    summary(graph, value, options.package)
    if description["preprocessing"]["size"][0] == 1:
        print("note: a patch of one plane can only be given with --patches; a size of [2,H,W] cuts it from scans as well")


def run(main):
    try:
        main()
    except Refused as error:
        sys.exit(fail(5, error))
    except Drift as error:
        sys.exit(fail(6, error))


def fail(code, error):
    print(f"error: {error}", file=sys.stderr)
    return code
