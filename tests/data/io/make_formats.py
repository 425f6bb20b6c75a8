#!/usr/bin/env python3
"""Writes tests/data/io/formats/: one small CT in MetaImage and NRRD, in every scalar type, orientation, encoding and byte order.

The files come from SimpleITK, or are written here by hand where SimpleITK has no way to write such a one; every one of them is read back
by SimpleITK, and what it says is the expectation: expected.tsv holds file, sizes, array and the 3x4 affine to RAS millimetres, and
NAME.npy the voxels as float32. Needs SimpleITK 2.5 and NumPy:  python3 make_formats.py
"""
import gzip
import os
import zlib

import numpy as np
import SimpleITK as sitk

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "formats")
SPACING = (0.703125, 0.8, 2.5)
ORIGIN = (-171.25, 33.3, -1234.567)
TYPES = {
    "i8": (np.int8, "MET_CHAR", "int8"), "u8": (np.uint8, "MET_UCHAR", "uint8"), "i16": (np.int16, "MET_SHORT", "int16"),
    "u16": (np.uint16, "MET_USHORT", "uint16"), "i32": (np.int32, "MET_INT", "int32"), "u32": (np.uint32, "MET_UINT", "uint32"),
    "i64": (np.int64, "MET_LONG_LONG", "int64"), "u64": (np.uint64, "MET_ULONG_LONG", "uint64"), "f32": (np.float32, "MET_FLOAT", "float"),
    "f64": (np.float64, "MET_DOUBLE", "double"),
}


def rotation(x, y, z):
    cx, sx, cy, sy, cz, sz = np.cos(x), np.sin(x), np.cos(y), np.sin(y), np.cos(z), np.sin(z)
    return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])


DIRECTIONS = {
    "lps": np.eye(3), "ras": np.diag([-1.0, -1, 1]), "mirror": np.diag([-1.0, 1, 1]),
    "permuted": np.array([[0.0, 0, 1], [-1, 0, 0], [0, 1, 0]]), "oblique": rotation(0.2, -0.35, 0.5),
}


def voxels(dtype):
    """[k][j][i]; values that differ everywhere and use the sign and both bytes where the type has them."""
    n = np.arange(5 * 4 * 3, dtype=np.int64)
    info = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else None
    if info is not None and info.bits == 8:
        values = n * 4 + info.min
    elif info is not None:
        values = n * 37 - (1024 if info.min < 0 else 0)
    else:
        values = n * 37.125 - 1024.25
    return values.astype(dtype).reshape(3, 4, 5)


def image(name, direction="oblique"):
    out = sitk.GetImageFromArray(voxels(TYPES[name][0]))
    out.SetSpacing(SPACING)
    out.SetOrigin(ORIGIN)
    out.SetDirection(DIRECTIONS[direction].flatten())
    return out


written = []


def note(name, path):
    """Reads the file back and adds its line of expectations."""
    back = sitk.ReadImage(os.path.join(HERE, path))
    assert np.array_equal(sitk.GetArrayFromImage(back), voxels(TYPES[name][0])), path
    direction, spacing, origin = np.array(back.GetDirection()).reshape(3, 3), np.array(back.GetSpacing()), np.array(back.GetOrigin())
    affine = np.diag([-1.0, -1, 1]) @ np.column_stack([direction * spacing, origin]) + 0.0
    written.append("\t".join([path, "5 4 3", name, " ".join("%.17g" % v for v in affine.flatten())]))


def by_sitk(name, path, direction="oblique", compress=False):
    sitk.WriteImage(image(name, direction), os.path.join(HERE, path), useCompression=compress)
    note(name, path)


def text(values):
    return " ".join("%.17g" % v for v in values)


def by_hand(name, path, head, data, detached=None):
    with open(os.path.join(HERE, path), "wb") as file:
        file.write(head if detached else head + data)
    if detached:
        with open(os.path.join(HERE, detached), "wb") as file:
            file.write(data)
    note(name, path)


def mha(name, data_file="LOCAL", more="", offset="Offset", matrix="TransformMatrix", spacing="ElementSpacing", msb=False, kind=None):
    d = DIRECTIONS["oblique"].T.flatten()
    return (f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = {msb}\n{matrix} = {text(d)}\n{offset} = {text(ORIGIN)}\n"
            f"{spacing} = {text(SPACING)}\nDimSize = 5 4 3\nElementType = {kind or TYPES[name][1]}\n{more}ElementDataFile = {data_file}\n").encode()


def nrrd(name, encoding="raw", space="left-posterior-superior", signs=(1, 1, 1), more="", endian="little"):
    d = (DIRECTIONS["oblique"] * np.array(SPACING)).T * np.array(signs)
    vectors = " ".join("(" + ",".join("%.17g" % v for v in row) + ")" for row in d)
    origin = "(" + ",".join("%.17g" % v for v in np.array(ORIGIN) * signs) + ")"
    return (f"NRRD0004\n# a comment\ntype: {TYPES[name][2]}\ndimension: 3\nspace: {space}\nsizes: 5 4 3\nspace directions: {vectors}\n"
            f"kinds: domain domain domain\nendian: {endian}\nencoding: {encoding}\nspace origin: {origin}\n{more}\n").encode()


def main():
    os.makedirs(HERE, exist_ok=True)
    for old in os.listdir(HERE):
        os.remove(os.path.join(HERE, old))
    for name, (dtype, _, _) in TYPES.items():
        np.save(os.path.join(HERE, name + ".npy"), voxels(dtype).astype(np.float32))
        by_sitk(name, f"type_{name}.mha")
        by_sitk(name, f"type_{name}.nrrd")
        big = voxels(dtype).astype(np.dtype(dtype).newbyteorder(">")).tobytes()
        by_hand(name, f"big_{name}.mha", mha(name, msb=True), big)
        by_hand(name, f"big_{name}.nrrd", nrrd(name, endian="big"), big)
    for direction in DIRECTIONS:
        for suffix in ("mha", "mhd", "nrrd", "nhdr"):
            by_sitk("i16", f"{direction}.{suffix}", direction)
            by_sitk("i16", f"{direction}_packed.{suffix}", direction, compress=True)
    raw = voxels(np.int16).tobytes()
    by_hand("i16", "aliases.mha", mha("i16", offset="Position", matrix="Orientation"), raw)
    by_hand("i16", "aliases2.mha", mha("i16", offset="Origin", matrix="Rotation"), raw)
    by_hand("i32", "long.mha", mha("i32", kind="MET_LONG"), voxels(np.int32).tobytes())
    by_hand("i16", "skip.mhd", mha("i16", data_file="skip.raw", more="HeaderSize = 100\n"), bytes(100) + raw, "skip.raw")
    by_hand("i16", "last.mhd", mha("i16", data_file="last.raw", more="HeaderSize = -1\n"), bytes(77) + raw, "last.raw")
    by_hand("i16", "packed_gzip.mhd", mha("i16", data_file="packed_gzip.zraw", more="CompressedData = True\n"), gzip.compress(raw, mtime=0), "packed_gzip.zraw")
    by_hand("i16", "crlf.mha", mha("i16").replace(b"\n", b"\r\n"), raw)
    by_hand("i16", "space_ras.nrrd", nrrd("i16", space="right-anterior-superior", signs=(-1, -1, 1)), raw)
    by_hand("i16", "space_las.nrrd", nrrd("i16", space="LAS", signs=(1, -1, 1)), raw)
    by_hand("i16", "skip.nrrd", nrrd("i16", more="byte skip: 9\n"), bytes(9) + raw)
    by_hand("i16", "last.nrrd", nrrd("i16", more="byteskip: -1\n"), bytes(9) + raw)
    by_hand("i16", "pairs.nrrd", nrrd("i16", more='DICOM_0008_0060:=CT\nspace units: "mm" "mm" "mm"\n'), raw)
    by_hand("i16", "skip_gzip.nhdr", nrrd("i16", "gzip", more="data file: skip_gzip.raw.gz\nbyte skip: 9\n"), gzip.compress(bytes(9) + raw, mtime=0), "skip_gzip.raw.gz")
    with open(os.path.join(HERE, "expected.tsv"), "w") as file:
        file.write("\n".join(sorted(written)) + "\n")


main()
