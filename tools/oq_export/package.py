"""Writing a package: model.json and weights.safetensors in a folder that appears whole or not at all.

The same input gives the same bytes: no dates, no paths, tensors in the order in which the graph names them.
"""
import hashlib
import json
import os
import re
import shutil
import struct
import tempfile

from .source import Refused

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
DESCRIPTION = ("name", "title", "family", "paper", "code", "code_license", "weights_license", "notes", "preprocessing")


def read_description(path):
    """The user's part of model.json: the fields of a recipe that a graph cannot know. Unknown fields are refused."""
    name = os.path.basename(path)
    try:
        with open(path, encoding="utf-8") as file:
            fields = json.load(file)
    except (OSError, ValueError) as error:
        raise Refused(f"{name}: cannot be read as JSON: {error}") from None
    known = ("axes", "size", "spacing_mm", "hu_range", "out_range")
    if not isinstance(fields, dict) or not isinstance(fields.get("preprocessing"), dict) or not isinstance(fields.get("name"), str):
        raise Refused(f"{name}: expected an object with \"name\" and \"preprocessing\" ({', '.join(known)})")
    wrong = [key for key in fields if key not in DESCRIPTION] + [f"preprocessing.{key}" for key in fields["preprocessing"] if key not in known]
    missing = [f"preprocessing.{key}" for key in known if key not in fields["preprocessing"]]
    if wrong or missing:
        raise Refused(f"{name}: " + "; ".join([f"{key} is unknown" for key in wrong] + [f"{key} is missing" for key in missing]))
    check_preprocessing(name, fields["preprocessing"])
    return fields


def check_preprocessing(name, fields):
    """As strict as the engine, so that a mistake is found before the weights are written."""
    def numbers(key, count, kinds):
        value = fields[key]
        good = isinstance(value, list) and len(value) == count and all(isinstance(x, kinds) and not isinstance(x, bool) for x in value)
        if not good:
            raise Refused(f"{name}: preprocessing.{key} is {json.dumps(value)}, expected {count} numbers")
        return value
    axes = fields["axes"]
    if not isinstance(axes, str) or sorted("RLAPSI".find(c) // 2 for c in axes) != [0, 1, 2]:
        raise Refused(f"{name}: preprocessing.axes is {json.dumps(axes)}, expected one letter each of R/L, A/P, S/I")
    if any(not 1 <= x <= 512 for x in numbers("size", 3, int)) or any(not 0.1 <= x <= 20 for x in numbers("spacing_mm", 3, (int, float))):
        raise Refused(f"{name}: preprocessing.size or spacing_mm is out of range (1 to 512 voxels, 0.1 to 20 mm)")
    for key in ("hu_range", "out_range"):
        low, high = numbers(key, 2, (int, float))
        if not high > low:
            raise Refused(f"{name}: preprocessing.{key} is {fields[key]}, expected a lower and a higher number")


def write_weights(path, tensors):
    """{name: sha256} of the tensors written."""
    header, hashes, at = {}, {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb", opener=private) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, array in tensors.items():
            data = array.tobytes()
            hashes[name] = hashlib.sha256(data).hexdigest()
            file.write(data)
        sync(file)
    return hashes


def document(description, graph, value, hashes, provenance):
    model = {key: description[key] for key in DESCRIPTION if key in description and key != "preprocessing"}
    return {
        "format": "oncoquant-package", "format_version": 1, "model": model,
        "preprocessing": description["preprocessing"], "embedding": {"size": value.shape[0]},
        "graph": {"inputs": graph.inputs, "nodes": graph.nodes, "outputs": [value.name],
                  "tensors": {name: list(array.shape) for name, array in graph.tensors.items()}},
        "weights": {"file": "weights.safetensors", "bytes": sum(array.nbytes for array in graph.tensors.values()), "sha256": hashes},
        "provenance": provenance,
    }


def private(path, flags):
    return os.open(path, flags, 0o600)


def sync(file):
    file.flush()
    os.fsync(file.fileno())


def is_package(folder):
    """A folder with a package and nothing else in it: nobody's other files may go with it."""
    try:
        if not set(os.listdir(folder)) <= {"model.json", "weights.safetensors"}:
            return False
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
            return json.load(file).get("format") == "oncoquant-package"
    except (OSError, ValueError, AttributeError):
        return False


class Writer:
    """`with Writer(output) as writer: writer.write(...)`: the folder is put in its place when the block ends without an error."""

    def __init__(self, output):
        self.output = os.path.abspath(output)
        if os.path.lexists(self.output) and (os.path.islink(self.output) or not is_package(self.output)):
            raise Refused(f"{output}: exists and is not an OncoQuant package; it is left alone")

    def __enter__(self):
        try:
            self.folder = tempfile.mkdtemp(prefix=os.path.basename(self.output) + ".", dir=os.path.dirname(self.output))
        except OSError as error:
            raise Refused(f"{self.output}: cannot be created: {error.strerror}") from None
        return self

    def write(self, description, graph, value, provenance):
        hashes = write_weights(os.path.join(self.folder, "weights.safetensors"), graph.tensors)
        text = json.dumps(document(description, graph, value, hashes, provenance), ensure_ascii=False, allow_nan=False, indent=1)
        # Arrays without further structure on one line; a raw line break is never part of a JSON string.
        text = re.sub(r"\[\n[^\[\]{}]*?\n *\]", lambda match: "[" + " ".join(part.strip() for part in match[0][1:-1].splitlines()).strip() + "]", text)
        with open(os.path.join(self.folder, "model.json"), "w", encoding="utf-8", opener=private) as file:
            file.write(text + "\n")
            sync(file)

    def __exit__(self, kind, error, trace):
        if kind is None:
            aside = self.folder + ".old"
            if os.path.lexists(self.output):
                os.rename(self.output, aside)
            try:
                os.rename(self.folder, self.output)
            except OSError:
                if os.path.lexists(aside):
                    os.rename(aside, self.output)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
