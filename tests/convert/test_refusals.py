"""What is no network, format by format: each reader says what it expected, and names what it got."""

import io
import struct

import bombs
import numpy as np
import pytest
from bombs import (
    attribute,
    element,
    f4,
    field,
    i8,
    matrix,
    old_pth,
    onnx_graph,
    onnx_node,
    onnx_tensor,
    put,
    state,
)
from foreign import caffe_layer
from fsrcnn_rt import ModelError
from fsrcnn_rt.convert import convert, protobuf
from fsrcnn_rt.convert import pickled as pickles


def text(name, value):
    return field(5, field(1, name) + field(4, value) + field(20, 3))


# Graphs: "x" is a picture of one channel; what a step reads is what the step before it made.


def graph(*steps):
    """A graph of (kind, attributes, further inputs); arrays among these become constants."""
    parts, names = [], ["x"]
    for i, (kind, attributes, *others) in enumerate(steps):
        inputs = [names[-1]]
        for j, other in enumerate(others):
            if isinstance(other, np.ndarray):
                parts.append(onnx_tensor(f"c{i}.{j}", other))
                other = f"c{i}.{j}"
            inputs.append(other)
        names.append(f"t{i}")
        parts.append(onnx_node(kind, inputs, f"t{i}", attributes))
    parts.append(onnx_node("Identity", [names[-1]], "y"))
    return onnx_graph(*parts)


def conv(out, ic, kernel=1, **attributes):
    pads = attributes.pop("pads", 4 * (kernel // 2,))
    more = b"".join(attribute(key, value) for key, value in attributes.items())
    return "Conv", attribute("pads", pads) + more, f4(out, ic, kernel, kernel)


def edge(*pads):
    return "Pad", text("mode", "edge"), i8(0, 0, *pads[:2], 0, 0, *pads[2:])


def deconv(ic=4, scale=3, kernel=9, **attributes):
    given = {"strides": (scale, scale), "pads": 4 * (3,)} | attributes
    return (
        "ConvTranspose",
        b"".join(attribute(key, value) for key, value in given.items()),
        f4(ic, 1, kernel, kernel),
    )


RELU = ("Relu", b"")
SHUFFLE = ("DepthToSpace", attribute("blocksize", 3))
HALF = ("Mul", b"", np.array([0.5], np.float32))


def split(*sizes, axis=1):
    return "Split", attribute("axis", axis), i8(*sizes)


def resize(scale=3.0, **attributes):
    more = b"".join(text(key, value) for key, value in ({"mode": "cubic"} | attributes).items())
    return "Resize", more, "", np.array([1, 1, scale, scale], np.float32)


HALF_A = field(5, field(1, "cubic_coeff_a") + b"\x15" + struct.pack("<f", -0.5) + field(20, 1))


def bicubic(scale=3.0):
    kind, attributes, *others = resize(scale)
    return kind, attributes + HALF_A, *others


GRAPHS = {
    "two inputs": (
        onnx_graph(field(11, field(1, "z")), onnx_node("Identity", ["x"], "y")),
        "expected a graph of one input and one output, got 2 and 1",
    ),
    "no graph": (field(1, 8), "is not an ONNX file, or a damaged one .it has no graph"),
    "a name that is a number": (onnx_graph(field(1, field(1, 5))), "a number where a name is expected"),
    "a kind that is a number": (onnx_graph(field(1, field(4, 5))), "a number where a text is expected"),
    "a tensor that is a number": (onnx_graph(field(5, 5)), "a number where a message is expected"),
    "floats that are a number": (
        onnx_graph(field(5, field(1, 1) + field(2, 1) + field(4, 5))),
        "integers where floats are expected",
    ),
    "half a float": (onnx_graph(field(5, field(1, 1) + field(2, 1) + field(4, bytes(3)))), "within a number"),
    "a megabyte of integers": (
        onnx_graph(field(5, field(1, 1) + field(2, 7) + field(7, bytes((1 << 20) + 1)))),
        "more than 1 MB of integers in one field",
    ),
    "fewer numbers than told": (onnx_graph(field(5, field(1, 9) + field(2, 1))), "has 0 numbers, not 9"),
    "fewer bytes than told": (
        onnx_graph(onnx_tensor("w", f4(2), shape=(9,))),
        "tensor 'w' has 8 bytes, not 36",
    ),
    "texts": (
        onnx_graph(field(5, field(2, 8) + field(8, "w"))),
        "tensor 'w' is of the type 8, which is none",
    ),
    "nine dimensions": (onnx_graph(onnx_tensor("w", f4(1), shape=9 * (1,))), "has 9 dimensions, more than 8"),
    "an offset of words": (
        onnx_graph(
            field(
                5,
                field(1, 1)
                + field(2, 1)
                + field(14, 1)
                + field(13, field(1, "location") + field(2, "w"))
                + field(13, field(1, "offset") + field(2, "-4")),
            )
        ),
        "lies at '-4', which is no offset",
    ),
    "thousands of inputs": (onnx_graph(onnx_node("Concat", 1025 * ["x"], "y")), "of more than 1024 inputs"),
    "an attribute without a value": (
        onnx_graph(onnx_node("Relu", ["x"], "y", field(5, field(1, "a") + field(20, 2)))),
        "the attribute 'a' has no value",
    ),
    "a kind of an old attribute": (
        graph(
            conv(4, 1),
            ("LeakyRelu", field(5, field(1, "alpha") + field(3, 7))),
            deconv(output_padding=(1, 1)),
        ),
        "does not give 3 times the input",
    ),
    "an input that nobody makes": (graph((*RELU, "z")), "expected an input that is known here, got 'z'"),
    "more outputs than there are": (
        onnx_graph(field(1, field(1, "x") + field(2, "y") + field(2, "z") + field(4, "Relu"))),
        "expected 1 outputs, got 2",
    ),
    "nine axes": (graph(("Unsqueeze", b"", i8(0, 1, 2, 3, 4))), "expected at most 8 axes, got 9"),
    "a bias of thousands": (
        graph(conv(4, 1), ("Add", b"", f4(2000))),
        "one number per channel, got a constant",
    ),
    "a picture that is halved": (graph(HALF, conv(4, 1)), "expected the picture, a sum or a range as it is"),
    "two activations": (
        onnx_graph(
            onnx_tensor("w", f4(4, 1, 1, 1)),
            onnx_tensor("v", f4(4, 4, 1, 1)),
            onnx_node("Conv", ["x", "w"], "a"),
            onnx_node("Conv", ["a", "v"], "b"),
            onnx_node("Relu", ["a"], "r"),
            onnx_node("Conv", ["r", "v"], "y"),
        ),
        "expected 'a' to be followed by one activation, got two",
    ),
    "a concatenation that is read": (
        graph(conv(4, 1), ("Concat", attribute("axis", 1), "t0"), conv(4, 8)),
        "expected channels of one result, got a concatenation",
    ),
    "what follows the head": (graph(conv(4, 1), deconv(), conv(4, 1)), "expected nothing after the head"),
    "the picture and the enlarged one": (
        onnx_graph(
            onnx_tensor("w", f4(4, 1, 1, 1)),
            onnx_tensor("s", np.array([1, 1, 3, 3], np.float32)),
            onnx_node("Conv", ["x", "w"], "a"),
            onnx_node("Resize", ["x", "", "s"], "b", text("mode", "cubic") + HALF_A),
            onnx_node("Conv", ["b", "w"], "y"),
        ),
        "expected either the picture to be read or the enlarged one, got both",
    ),
    "the enlarged one and the picture": (
        onnx_graph(
            onnx_tensor("w", f4(4, 1, 1, 1)),
            onnx_tensor("s", np.array([1, 1, 3, 3], np.float32)),
            onnx_node("Resize", ["x", "", "s"], "b", text("mode", "cubic") + HALF_A),
            onnx_node("Conv", ["b", "w"], "a"),
            onnx_node("Conv", ["x", "w"], "y"),
        ),
        "expected either the picture to be read or the enlarged one, got both",
    ),
    "an edge that is uneven": (
        graph(edge(1, 2, 1, 0), conv(4, 1, 3, pads=(0, -1, 0, 1))),
        "expected the edge repeated alike on every side",
    ),
    "more convolutions than there may be": (graph(*258 * [conv(1, 1)]), "expected at most 256 convolutions"),
    "the enlarged picture twice": (
        onnx_graph(
            onnx_tensor("w", f4(4, 1, 1, 1)),
            onnx_tensor("h", f4(4, 1, 9, 9)),
            onnx_tensor("s", np.array([1, 1, 3, 3], np.float32)),
            onnx_node("Resize", ["x", "", "s"], "b", text("mode", "cubic") + HALF_A),
            onnx_node("Conv", ["x", "w"], "a"),
            onnx_node(
                "ConvTranspose", ["a", "h"], "d", attribute("strides", (3, 3)) + attribute("pads", 4 * (3,))
            ),
            onnx_node("Add", ["d", "b"], "e"),
            onnx_node("Add", ["e", "b"], "y"),
        ),
        "expected the bicubic picture to be added once",
    ),
    "a sum of other axes": (
        graph(conv(4, 1), ("Transpose", attribute("perm", (0, 2, 3, 1))), ("Add", b"", "x")),
        "expected a sum of two results of the same axes",
    ),
    "a sum of a sum": (
        graph(conv(1, 1), ("Add", b"", "x"), ("Add", b"", "x")),
        "expected a sum with what one convolution makes for it alone",
    ),
    "parts without numbers": (
        graph(conv(4, 1), ("Split", attribute("axis", 1))),
        "and their numbers, got {'axis",
    ),
    "parts of another number": (graph(conv(4, 1), split(1, 2)), "expected 4 channels to be split, got 3"),
    "parts of rows": (
        graph(conv(4, 1), split(4, axis=2)),
        "expected channels of one result that is not padded",
    ),
    "an empty range": (
        graph(conv(4, 1), ("Slice", b"", i8(3), i8(3), i8(1))),
        "expected a range of the 4 channels",
    ),
    "ranges of two axes": (
        graph(conv(4, 1), ("Slice", b"", i8(0, 0), i8(1, 1), i8(0, 1))),
        "expected a range along one axis, got axes",
    ),
    "rows of a result": (
        graph(conv(4, 1), ("Slice", b"", i8(0), i8(1), i8(2))),
        "expected rows or columns of the picture with its edge repeated",
    ),
    "rows of results": (
        graph(conv(4, 1), ("Concat", attribute("axis", 2), "t0")),
        "expected rows or columns of one picture to be put together",
    ),
    "results side by side as batches": (
        graph(conv(4, 1), ("Concat", attribute("axis", 0), "t0")),
        "expected channels to be brought side by side",
    ),
    "results beside the head": (
        graph(conv(4, 1), deconv(), ("Concat", attribute("axis", 1), "t0")),
        "Concat 't2': expected nothing after the head",
    ),
    "two paddings": (
        graph(edge(1, 1, 1, 1), edge(1, 1, 1, 1)),
        "expected one padding before a layer, got two",
    ),
    "a sum with what is padded": (
        graph(edge(1, 1, 1, 1), ("Mul", b"", "x")),
        "got a sum with another or with something padded",
    ),
    "a head of groups": (graph(conv(4, 1), deconv(group=2)), "expected a head without groups"),
    "a head of two strides": (
        graph(conv(4, 1), deconv(strides=(3, 2))),
        "expected one stride and explicit pads",
    ),
    "a head with an uneven edge": (
        graph(conv(4, 1), edge(1, 1, 2, 2), deconv()),
        "expected the same padding on every side, got",
    ),
    "a head that is cut unevenly": (
        graph(conv(4, 1), deconv(pads=(3, 2, 3, 3))),
        "expected the same cut on every",
    ),
    "a head of two channels' range": (
        graph(conv(4, 1), split(2, 2), deconv(2)),
        r"expected 't2' to read all of the last convolution, got \[1, 0, 2\]",
    ),
    "a shuffle of the picture": (graph(SHUFFLE), "expected a convolution right before it"),
    "a shuffle of four channels": (graph(conv(4, 1), SHUFFLE), "to give 9 channels, got 4"),
    "a shuffle of groups": (
        graph(conv(4, 1), conv(9, 4), conv(9, 3, group=3), SHUFFLE),
        "to have no groups before a pixel shuffle",
    ),
    "another filter": (graph(resize()), "expected the bicubic filter with a = -0.5 between pixel centres"),
    "two filters": (
        onnx_graph(
            *(onnx_tensor(f"s{n}", np.array([1, 1, n, n], np.float32)) for n in (2, 3)),
            *(
                onnx_node("Resize", ["x", "", f"s{n}"], f"b{n}", text("mode", "cubic") + HALF_A)
                for n in (2, 3)
            ),
        ),
        "expected the picture enlarged 2 times, got 3",
    ),
    "another scale": (graph(bicubic(5.0)), "expected the picture to be enlarged by 2, 3 or 4 times"),
    "a scale that cannot be": (
        graph(conv(4, 1), deconv(scale=5, pads=4 * (2,))),
        "expected a scale of 2, 3, 4, got 5",
    ),
    "integers for filters": (
        graph(("Conv", b"", np.ones((4, 1, 1, 1), np.int64))),
        "expected floats of square filters, got int64",
    ),
    "filters of three dimensions": (graph(("Conv", b"", f4(4, 1, 1))), "expected weights of 4 dimensions"),
    "dilated filters": (graph(conv(4, 1, 3, dilations=(2, 2))), "expected no dilation"),
    "three pads": (graph(conv(4, 1, 3, pads=(1, 1, 1))), "expected 4 pads, got .1, 1, 1."),
    "a bias of other channels": (graph((*conv(4, 1), f4(3))), r"expected a bias of shape \(4,\), got \(3,\)"),
    "an enlarged picture that is not used": (
        onnx_graph(
            onnx_tensor("w", f4(4, 1, 1, 1)),
            onnx_tensor("v", f4(1, 4, 1, 1)),
            onnx_tensor("s", np.array([1, 1, 3, 3], np.float32)),
            onnx_node("Resize", ["x", "", "s"], "b", text("mode", "cubic") + HALF_A),
            onnx_node("Conv", ["x", "w"], "a"),
            onnx_node("Conv", ["a", "v"], "y"),
        ),
        "expected the enlarged picture to be read or added, got it unused",
    ),
    "a range of its own": (
        graph(conv(4, 1), deconv(), ("Clip", b"", np.zeros((), "f4"), np.full((), 2, "f4"))),
        "expected the output clipped to 0..1 or not at all",
    ),
    "an activation with a word": (
        graph(conv(4, 1), ("Relu", attribute("dtype", 1))),
        "expected an activation such as PReLU, got one with 'dtype'",
    ),
}


# Pickles: programs that no state dict is.


def program(data):
    return bombs.pth(data)


PICKLES = {
    "two pickles": (
        bombs.pth(b"}", {"data.pkl": b""}),
        "expected a zip with one data.pkl",
    ),
    "a call of a text": (program(put("x") + b")R"), "calls what is no function"),
    "a call of a number by a name of numbers": (program(b"K\1K\1\x93"), "names that are no strings"),
    "a long name": (program(b"c" + 300 * b"x" + b"\ny\n"), "names that are too long"),
    "a long name on the stack": (program(put(300 * "x") + put("y") + b"\x93"), "names that are too long"),
    "what is appended to a dictionary": (program(b"}Na"), "appends to what is no list"),
    "an item of a list": (program(b"]" + put("a") + b"Ns"), "sets items of what is no dictionary"),
    "a key that is a number of any kind": (
        program(b"}G" + bytes(8) + b"Ns"),
        "neither strings nor small int",
    ),
    "an end within": (program(b"X\xff\xff\0\0"), "ends within a pickle"),
    "an unknown instruction": (program(b"}\xff"), r"a pickle with the instruction b'\\xff', which no state"),
    "nothing on the stack": (program(b""), "damaged one .IndexError"),
    "a file that ends": (old_pth(b"}")[:20], "ends within a pickle"),
    "another magic number": (b"\x80\2K\1." * 5, "expected the magic number of torch.save"),
    "a reference where there is none": (b"\x80\2K\1Q.", "refers to something else"),
    "another reference": (program(put(("file", None, "0", "cpu", 4)) + b"Q"), "damaged one .AttributeError"),
    "a reference to a module": (
        program(b"(" + put("module") + b"ctorch\nFloatStorage\n" + put("0") + put("cpu") + put(4) + b"tQ"),
        "expected a storage outside of the pickle",
    ),
    "a storage without a name": (program(state(bombs.tensor(key=5))), "storage with a name and a len"),
    "a storage of two types": (
        program(b"]" + bombs.tensor() + b"a" + bombs.tensor(kind="Half") + b"a"),
        "expected a storage of one type, got one of two",
    ),
    "a part beyond its storage": (
        old_pth(state(bombs.tensor(count=9).replace(b"tQ", put(("0", 5, 5)) + b"tQ", 1)), ["0"]),
        "expected a part within its storage",
    ),
}


def network(**tensors):
    """A state dict of small tensors: shapes by their names, in which "__" is a dot."""
    items, storages = b"}", {}
    for i, (key, shape) in enumerate(tensors.items()):
        count = int(np.prod(shape))
        strides = tuple(np.cumprod([1, *shape[:0:-1]])[::-1].tolist())
        items += put(key.replace("__", ".")) + bombs.tensor(str(i), "Float", count, 0, shape, strides) + b"s"
        storages[str(i)] = np.ones(count, "<f4").tobytes()
    return bombs.pth(items, storages)


FIRST = {"first_part__0__weight": (4, 1, 5, 5), "first_part__1__weight": (4,)}
LAST = {"last_part__weight": (4, 1, 9, 9)}
STATES = {
    "a module too many": (
        network(upsample__weight=(4, 1, 9, 9), down1__weight=(1,), more__weight=(1,)),
        "conv1: expected the modules of an IDN, and no others",
    ),
    "an SRCNN of vectors": (
        network(conv1__weight=(4,), conv2__weight=(4,), conv3__weight=(4,)),
        r"conv1: expected the weights of a convolution, got shape \(4,\)",
    ),
    "a PReLU with a bias": (
        network(**FIRST, first_part__1__bias=(4,), **LAST),
        r"first_part.1: expected the 1 or 4 slopes of a PReLU, got a weight of shape \(4,\) with a bias",
    ),
    "no PReLU at the end": (
        network(first_part__0__weight=(4, 1, 5, 5), **LAST),
        "first_part.0: expected a PReLU after it, got last_part",
    ),
    "a head of other channels": (
        network(**FIRST, last_part__weight=(3, 1, 9, 9)),
        r"last_part: expected weights of shape \(4, 1, k, k\)",
    ),
    "another bias": (
        network(**FIRST, first_part__0__bias=(3,), **LAST),
        r"first_part.0: expected a bias of shape \(4,\), got \(3,\)",
    ),
}


# MATLAB: cells that hold something else.


def cells(**arrays):
    return bombs.mat(
        *(matrix(1, (len(parts), 1), b"".join(parts), key.encode()) for key, parts in arrays.items())
    )


def numbers(*shape):
    return matrix(6, shape, element(9, bytes(8 * int(np.prod(shape)))), b"")


STRUCT = matrix(2, (1, 1), b"", b"")
MATS = {
    "fewer biases than weights": (
        cells(weights_conv=2 * [numbers(1, 25, 4)], biases_conv=[numbers(4, 1)], prelu_conv=[numbers(1, 1)]),
        "prelu_conv and biases_conv: expected entries for 2 layers as in weights_conv, got 1 and 1",
    ),
    "fewer slopes than weights": (
        cells(
            weights_conv=3 * [numbers(1, 25, 4)], biases_conv=3 * [numbers(4, 1)], prelu_conv=[numbers(1, 1)]
        ),
        "prelu_conv and biases_conv: expected entries for 3 layers as in weights_conv, got 1 and 3",
    ),
    "a structure for weights": (
        cells(weights_conv=[STRUCT], biases_conv=[numbers(4, 1)], prelu_conv=[numbers(1, 1)]),
        r"weights_conv\{1\}: expected numbers, got something else",
    ),
    "a structure for biases": (
        cells(weights_conv=2 * [numbers(1, 25, 4)], biases_conv=2 * [STRUCT], prelu_conv=2 * [numbers(1, 1)]),
        r"biases_conv\{1\}: expected 4 numbers, got something else",
    ),
    "an empty cell": (
        cells(weights_conv=[element(14, b"")], biases_conv=[numbers(1, 1)], prelu_conv=[numbers(1, 1)]),
        r"weights_conv\{1\}: expected numbers of shape \(in, k \* k, out\), got float64 \(0, 0, 1\)",
    ),
    "numbers in place of a cell": (
        bombs.mat(matrix(1, (1, 1), element(9, bytes(8)), b"weights_conv")),
        "is not a MATLAB file of version 5 to 7, or a damaged one",
    ),
    "flags of another size": (
        bombs.mat(element(14, element(6, bytes(4)) + element(5, bytes(8)) + element(1, b"x"))),
        "is not a MATLAB file of version 5 to 7, or a damaged one",
    ),
    "a name of 64 characters": (
        bombs.mat(matrix(name=64 * b"x")),
        "is not a MATLAB file of version 5 to 7, or a damaged one",
    ),
    "a complex array": (
        bombs.mat(matrix(6 | 0x800, name=b"weights_conv1")),
        "weights_conv1: expected numbers of that name, got none",
    ),
}

ALL = {".onnx": GRAPHS, ".pth": PICKLES | STATES, ".mat": MATS}


@pytest.mark.parametrize(
    ("suffix", "data", "message"),
    [
        pytest.param(suffix, data, message, id=f"{suffix} {name}")
        for suffix, files in ALL.items()
        for name, (data, message) in files.items()
    ],
)
def test_what_is_no_network_is_refused(tmp_path, suffix, data, message):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message):
        convert(path, scale=None if suffix == ".onnx" else 3)


# What is just allowed, and one more.


def test_the_longest_pickle():
    def pickled(length):
        return io.BytesIO(b"X" + struct.pack("<I", length) + length * b"x" + b".")

    most = pickles.MAX_BYTES - 6
    assert pickles.unpickle(pickled(most), None) == most * "x"
    with pytest.raises(ModelError, match="a pickle of more than 8 MB"):
        pickles.unpickle(pickled(most + 1), None)


def test_the_most_fields(monkeypatch):
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 3)
    assert protobuf.Reader().message(memoryview(3 * field(1, 5))) == {1: [5, 5, 5]}
    with pytest.raises(protobuf.DamagedError, match="more than 3 fields"):
        protobuf.Reader().message(memoryview(4 * field(1, 5)))


def test_the_most_channels(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(graph(conv(1024, 1), RELU, deconv(1024, output_padding=(0, 0))))
    assert convert(path).nodes[0].out_channels == 1024
    path.write_bytes(graph(conv(1025, 1), RELU, deconv(1025, output_padding=(0, 0))))
    with pytest.raises(ModelError, match="expected at most 1024 channels, got 1025"):
        convert(path)


@pytest.mark.parametrize("rank", [4, 5])
def test_the_most_dimensions_of_a_blob(tmp_path, rank):
    path = tmp_path / "x.caffemodel"
    path.write_bytes(caffe_layer("conv1", np.zeros(1), shapes=[rank * (1,)]))
    message = "conv1: expected numbers of shape" if rank > 4 else "^(?!.*expected numbers of shape)"
    with pytest.raises(ModelError, match=message):
        convert(path, scale=3)
