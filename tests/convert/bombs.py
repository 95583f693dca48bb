"""Files that ask a reader for memory, time or files that it must not give, with what it says to each."""

import io
import pickle
import struct
import zipfile
import zlib
from itertools import pairwise

import numpy as np
from foreign import field, varint

KB, MB, GB = 1 << 10, 1 << 20, 1 << 30


# PyTorch: a zip of a pickle, which is written by hand, as no program of PyTorch's writes it.


def put(value):
    """Instructions that put a value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(key="0", kind="Float", count=4, first=0, shape=(4,), strides=(1,)):
    storage = b"(" + put("storage") + f"ctorch\n{kind}Storage\n".encode() + put(key) + put("cpu") + put(count)
    numbers = put(first) + put(shape) + put(strides) + put(False) + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + numbers + b"tR"


def pth(program, storages=None, compression=zipfile.ZIP_STORED, folder="a"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as members:
        members.writestr(f"{folder}/data.pkl", b"\x80\2" + program + b".")
        members.writestr(f"{folder}/version", "3\n")
        for key, data in (storages or {"0": bytes(16)}).items():
            members.writestr(f"{folder}/data/{key}", data)
    return file.getvalue()


def state(value, key="conv1.weight"):
    return b"}" + put(key) + value + b"s"


def old_pth(program, keys=(), numbers=b""):
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    whole = b"".join(pickle.dumps(part, 2) for part in parts) + b"\x80\2" + program + b"."
    return whole + pickle.dumps(list(keys), 2) + numbers


def long_directory():
    """A zip whose list of members is far longer than the members are."""
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0)
    entries = b"".join(entry + b"%04x" % (i & 0xFFFF) for i in range(30_000))
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 65535, 65535, len(entries), 4, 0)
    return b"PK\3\4" + entries + end


PTH = {
    "a state dict that holds itself": (pth(b"}q\1" + put("state_dict") + b"h\1s"), "within 8 others"),
    "an expanded tensor": (
        pth(state(tensor(shape=(1 << 38,), strides=(0,)))),
        r"at most 32 MB, got an array of shape \(274877906944,\)",
    ),
    "a tensor whose size overflows": (
        pth(state(tensor(shape=(1 << 40, 1 << 40, 0), strides=(0, 0, 0)))),
        "at most 32 MB",
    ),
    "a tensor of eleven dimensions": (pth(state(tensor(shape=(1,) * 11, strides=(1,) * 11))), "another"),
    "a tensor beyond its storage": (pth(state(tensor(first=1))), "within its storage"),
    "strides beyond its storage": (pth(state(tensor(strides=(2,)))), "within its storage"),
    "a negative stride": (pth(state(tensor(strides=(-1,)))), "offset, sizes and strides"),
    "a storage that is shorter than told": (pth(state(tensor(count=99, shape=(99,)))), "whole storage"),
    "a storage of another zip": (pth(state(tensor(key="1"))), "within its storage"),
    "a sparse tensor": (
        pth(state(b"ctorch._utils\n_rebuild_sparse_tensor\n" + put(()) + b"R")),
        "expected a tensor of floats, got torch._utils._rebuild_sparse_tensor",
    ),
    "a tensor without numbers": (
        pth(
            state(
                b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\n"
                + put((1 << 38,))
                + put((1,))
                + put(False)
                + b"tR"
            )
        ),
        "expected a tensor of floats, got torch._utils._rebuild_meta_tensor_no_storage",
    ),
    "a negated tensor": (
        pth(state(tensor()[:-2] + put({"neg": True}) + b"tR")),
        "expected a tensor of floats, got torch._utils._rebuild_tensor_v2",
    ),
    "a program that is run": (pth(b"cos\nsystem\n" + put(("touch ran",)) + b"R"), "got os.system"),
    "a program that is opened": (pth(state(b"c__builtin__\nopen\n" + put(("x", "w")) + b"R")), "open"),
    "a text of a terabyte": (pth(b"\x8d" + struct.pack("<Q", 1 << 40)), "a pickle of more than 8 MB"),
    "bytes of a gigabyte": (pth(b"\x96" + struct.pack("<Q", GB)), "instruction b'.x96'"),
    "a memo of a far number": (pth(b"Nr" + struct.pack("<I", (1 << 31) - 1) + b"0}"), "expected the modules"),
    "a number of 100,000 digits": (pth(b"\x8b" + struct.pack("<i", 40_000) + bytes(40_000)), "instruction"),
    "millions of dictionaries": (pth(b"}" * 1_000_000), "more than 524288 steps"),
    "deep tuples as a key": (pth(b"})" + b"\x85" * 400_000 + b"Ns"), "neither strings nor small integers"),
    "deep lists": (pth(b"]" * 200_000 + b"a" * 199_999), "got list"),
    "a key of a megabyte": (pth(state(tensor(), "x" * MB)), r"'xxx.*\.\.\.: expected the modules"),
    "a long list of members": (long_directory(), "list of members is longer than 1 MB"),
    "members that unfold": (
        pth(state(tensor()), {"0": bytes(40 * MB)}, zipfile.ZIP_DEFLATED),
        "members without compression",
    ),
    "an old file of a storage of exabytes": (
        old_pth(state(tensor(count=1 << 40)), ["0"], struct.pack("<q", 1 << 60)),
        "ends within a tensor",
    ),
    "an old file of a negative storage": (
        old_pth(state(tensor()), ["0"], struct.pack("<q", -4) + bytes(16)),
        "storages of some length",
    ),
    "an old file of the same storage twice": (
        old_pth(state(tensor()), ["0", "0"], 2 * (struct.pack("<q", 4) + bytes(16))),
        "each once",
    ),
}


# MATLAB: elements of a type, a length and their content.


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(class_=6, shape=(1, 1), numbers=None, name=b"weights_conv", kind=9):
    head = element(6, struct.pack("<II", class_, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name) + (element(kind, bytes(8)) if numbers is None else numbers))


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"


def mat(*elements, header=HEADER):
    return header + b"".join(elements)


def compressed(data):
    return struct.pack("<II", 15, len(data)) + data


def zlib_bomb(size):
    """A matrix of zeros."""
    head = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<2i", size // 8, 1))
    head += element(1, b"weights_conv1") + struct.pack("<II", 9, size)
    deflater = zlib.compressobj(1)
    pieces = [deflater.compress(struct.pack("<II", 14, len(head) + size) + head)]
    pieces += [deflater.compress(bytes(MB)) for _ in range(size // MB)]
    return b"".join(pieces) + deflater.flush()


def nested_cells(depth):
    data = b""
    for _ in range(depth):
        data = matrix(1, (1, 1), data, b"w")
    return data


MAT = {
    "a zlib bomb": (mat(compressed(zlib_bomb(200 * MB))), "holds more than 32 MB"),
    "many zlib bombs": (mat(*[compressed(zlib_bomb(20 * MB))] * 50), "holds more than 32 MB"),
    "a size beyond the end": (mat(struct.pack("<II", 14, 1 << 31)), "damaged"),
    "numbers of another size": (mat(matrix(6, (1 << 15, 1 << 15))), "too large"),
    "a negative size": (mat(matrix(6, (-1, -8))), "too large"),
    "a size that overflows": (mat(matrix(6, (1 << 30,) * 5)), "too large"),
    "2^31 cells": (mat(matrix(1, ((1 << 31) - 1, 1))), "too large"),
    "cells that are not there": (mat(matrix(1, (900, 1))), "damaged"),
    "cells of cells": (mat(nested_cells(300)), "got a file with 'w'"),
    "numbers of no type": (mat(matrix(kind=8)), "damaged"),
    "a small element that is large": (mat(struct.pack("<I", 5 | 200 << 16) + bytes(4)), "damaged"),
    "thousands of variables": (mat(*[element(0, b"")] * 5000), "more than 1024 variables"),
    "version 7.3": (mat(header=b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"), "is of MATLAB's version 7.3"),
    "an HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(500), "is of MATLAB's version 7.3"),
    "version 4": (struct.pack("<5i", 0, 1, 1, 0, 8) + b"weights\0" + bytes(8), "of version 5 to 7"),
    "a large file": (mat() + bytes(33 * MB), "is larger than 32 MB"),
}


# Protobuf: fields of a number and a length.


def blob(shape, count):
    return field(7, field(5, bytes(4 * count)) + field(7, b"".join(field(1, side) for side in shape)))


CAFFE = {
    "millions of empty layers": (field(100, b"") * 300_000, "more than 262144 fields"),
    "fields within fields": (field(100, b"\x38\0" * 300_000), "more than 262144 fields"),
    "a shape that overflows": (
        field(100, field(1, "conv1") + blob((1 << 40, 1 << 40), 1)),
        "conv1: expected numbers of shape",
    ),
    "a negative shape": (field(100, field(1, "conv1") + blob((-1, -1), 1)), "conv1: expected numbers of sha"),
    "a length beyond the end": (varint(100 << 3 | 2) + varint(1 << 62), "damaged"),
    "an endless number": (b"\xff" * 100, "damaged"),
    "a group": (varint(100 << 3 | 3), "damaged"),
    "a name of escapes": (field(100, field(1, "\x1b[2J") + blob((1,), 1)), r"expected a layer of that name"),
}


def onnx_tensor(name, array, **others):
    types = {"f4": 1, "f8": 11, "i8": 7, "u1": 2}
    parts = [field(1, side) for side in others.get("shape", array.shape)]
    parts += [field(2, types[array.dtype.str[1:]]), field(8, name), field(9, array.tobytes())]
    return field(5, b"".join(parts))


def outside(location, size=4, offset=0):
    told = field(13, field(1, "location") + field(2, location))
    told += field(13, field(1, "offset") + field(2, str(offset)))
    return field(5, field(1, size) + field(2, 1) + field(8, "w") + field(14, 1) + told)


def onnx_node(kind, inputs, output, attributes=b""):
    names = b"".join(field(1, name) for name in inputs) + field(2, output)
    return field(1, names + field(4, kind) + attributes)


def attribute(name, value):
    if isinstance(value, int):
        return field(5, field(1, name) + field(3, value) + field(20, 2))
    return field(5, field(1, name) + b"".join(field(8, one) for one in value) + field(20, 7))


def onnx_graph(*parts):
    shape = b"".join(field(1, field(1, side)) for side in (1, 1, 16, 16))
    ends = field(11, field(1, "x") + field(2, field(1, field(1, 1) + field(2, shape)))) + field(
        12, field(1, "y")
    )
    return field(7, b"".join(parts) + ends)


def folded(kind, *operands, **attributes):
    """A graph of one operation on constants."""
    names = [f"c{i}" for i in range(len(operands))]
    tensors = [onnx_tensor(name, array) for name, array in zip(names, operands, strict=True)]
    more = b"".join(attribute(key, value) for key, value in attributes.items())
    return onnx_graph(*tensors, onnx_node(kind, names, "y", more))


def i8(*values):
    return np.array(values, np.int64)


def f4(*shape):
    return np.ones(shape, np.float32)


def doubled(kind, times, first="x", more=b"", **attributes):
    """The same node again and again, each of which reads the one before it twice."""
    attributes = b"".join(attribute(key, value) for key, value in attributes.items())
    names = [first, *(f"t{i}" for i in range(times))]
    nodes = [onnx_node(kind, [a, a], b, attributes) for a, b in pairwise(names)]
    return onnx_graph(more, *nodes, onnx_node("Identity", [names[-1]], "y"))


CONV = onnx_tensor("w", f4(8, 1, 1, 1)) + onnx_node("Conv", ["x", "w"], "t")
EDGE = onnx_tensor("p", i8(0, 0, 2, 2, 0, 0, 2, 2)) + onnx_node(
    "Pad", ["x", "p"], "t", field(5, field(1, "mode") + field(4, "edge") + field(20, 3))
)

ONNX = {
    "a loop of 2^62 turns": (
        folded("Loop", i8(1 << 62), np.ones(1, np.uint8)),
        "Loop 'y': expected something that can be computed beforehand",
    ),
    "constants side by side": (folded("Tile", f4(1, 1), i8(1 << 20, 1 << 20)), "Tile 'y': expected at most"),
    "constants repeated": (folded("Expand", f4(1), i8(1 << 40)), "Expand 'y': expected at most 32 MB"),
    "a long range": (folded("Range", i8(0), i8(1 << 40), i8(1)), "Range 'y': expected at most 32 MB"),
    "a range without a step": (folded("Range", i8(0), i8(1 << 40), i8(0)), "Range 'y'"),
    "a long constant": (folded("ConstantOfShape", i8(1 << 20, 1 << 20)), "ConstantOfShape 'y': expected at"),
    "a large sum": (folded("Add", f4(1 << 16, 1), f4(1 << 16)), "Add 'y': expected at most 32 MB"),
    "a large choice": (folded("Gather", f4(4, 1 << 18), np.zeros(1 << 18, "i8")), "Gather 'y': expected at"),
    "a large sum again and again": (
        onnx_graph(onnx_tensor("c", f4(1 << 20)), *(onnx_node("Neg", ["c"], f"n{i}") for i in range(4000))),
        "expected at most 32 MB of numbers",
    ),
    "constants that double": (doubled("Concat", 60, "c", onnx_tensor("c", f4(1)), axis=0), "at most 32 MB"),
    "channels that double": (doubled("Concat", 60, "t", CONV, axis=1), "expected at most 1024 channels"),
    "rows that double": (doubled("Concat", 60, "t", EDGE, axis=2), "expected a few rows or columns"),
    "axes without end": (
        onnx_graph(onnx_tensor("c", np.zeros(1 << 20, "i8")), onnx_node("Unsqueeze", ["x", "c"], "y")),
        "expected at most 1024 numbers, got 1048576",
    ),
    "a padding of 2^40 pixels": (
        onnx_graph(onnx_tensor("p", i8(0, 0, 1 << 40, 0, 0, 0, 0, 0)), onnx_node("Pad", ["x", "p"], "y")),
        "expected padding of height and width by a few pixels",
    ),
    "a large slope": (
        onnx_graph(CONV, onnx_tensor("s", f4(1 << 20, 1, 1, 1)), onnx_node("PRelu", ["t", "s"], "y")),
        "expected one number per channel",
    ),
    "the same large filters a thousand times": (
        onnx_graph(
            onnx_tensor("w", f4(256, 256, 3, 3)),
            onnx_tensor("v", f4(256, 1, 1, 1)),
            onnx_node("Conv", ["x", "v"], "t0"),
            *(
                onnx_node("Conv", [f"t{i}", "w"], f"t{i + 1}", attribute("pads", (1, 1, 1, 1)))
                for i in range(1000)
            ),
        ),
        "expected at most 32 MB of numbers",
    ),
    "a shape of more than its bytes": (
        onnx_graph(onnx_tensor("w", f4(1), shape=(1 << 40,))),
        "at most 32 MB",
    ),
    "a shape that overflows": (
        onnx_graph(onnx_tensor("w", f4(1), shape=(1 << 40, 1 << 40, 0))),
        "at most 32 MB",
    ),
    "millions of nodes": (field(7, field(1, b"") * 300_000), "more than 262144 fields"),
    "thousands of nodes": (field(7, field(1, b"") * 5000), "5000 nodes and 0 tensors, more than 4096"),
    "numbers of a device": (onnx_graph(outside("/dev/zero")), "which is not beside the file"),
    "numbers of another folder": (onnx_graph(outside("../secret")), "which is not beside the file"),
    "numbers of a link": (onnx_graph(outside("link")), "which is not beside the file"),
    "numbers far beyond": (onnx_graph(outside("x3.onnx", offset=1 << 40)), "lies beyond the end of"),
    "numbers of a gigabyte": (onnx_graph(outside("x3.onnx", size=1 << 28)), "at most 32 MB"),
    "numbers of a pipe": (onnx_graph(outside("pipe")), "Not a regular file"),
}

FORMATS = {".pth": PTH, ".mat": MAT, ".caffemodel": CAFFE, ".onnx": ONNX}
