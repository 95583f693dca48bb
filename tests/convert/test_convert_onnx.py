"""ONNX graphs: each must compute here what it computes in onnxruntime."""

import warnings
from pathlib import Path

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from foreign import (
    SCALES,
    TOLERANCE,
    GraphBuilder,
    assert_refused,
    assert_same,
    build_graph,
    graph_file,
    pad_node,
    prelu_node,
    run_onnx,
    torch_net,
    truncate,
)
from fsrcnn_rt.convert import convert

pytestmark = pytest.mark.usefixtures("folder")


def prelu_by_abs(graph, slope):
    """As TensorFlow programs spell it: ``relu(x) + a * (x - |x|) * 0.5``."""
    x = graph.newest
    positive = graph.add("Relu", source=x)
    magnitude = graph.add("Abs", source=x)
    graph.add("Sub", magnitude, source=x)
    graph.add("Mul", slope.reshape(1, -1, 1, 1))
    graph.add("Mul", np.array(0.5, np.float32))
    graph.add("Add", positive)


def prelu_by_neg(graph, slope):
    """As Keras does: ``relu(x) + (-a) * relu(-x)``."""
    x = graph.newest
    positive = graph.add("Relu", source=x)
    graph.add("Neg", source=x)
    graph.add("Relu")
    negative = graph.add("Mul", -slope.reshape(1, -1, 1, 1))
    graph.add("Add", negative, source=positive)


def prelu_by_extremes(graph, slope):
    """As much code by hand does: ``max(x, 0) + a * min(x, 0)``, with a maximum of three."""
    x = graph.newest
    zero = np.zeros((1, 1, 1, 1), np.float32)
    positive = graph.add("Max", zero, x, source=x)
    graph.add("Min", zero, source=x)
    negative = graph.add("Mul", slope.reshape(1, -1, 1, 1))
    graph.add("Add", negative, source=positive)


def relu_node(graph, _slope):
    graph.add("Relu")


def leaky_relu_node(graph, _slope):
    graph.add("LeakyRelu", alpha=0.125)


def leaky_relu_by_max(graph, _slope):
    x = graph.newest
    graph.add("Mul", np.float32([0.125]))
    graph.add("Max", x)


ACTIVATIONS = [
    *(prelu_node, prelu_by_abs, prelu_by_neg, prelu_by_extremes),
    *(relu_node, leaky_relu_node, leaky_relu_by_max),
]


@pytest.mark.parametrize("mode", ["attribute", "same", "constant", "edge"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", SCALES)
def test_graph(run_convert, plane, net, scale, activation, mode):
    build_graph(net, scale, activation=activation, mode=mode).save("net.onnx")
    assert run_convert("net.onnx", "-o", "a.safetensors") == (0, [])  # the graph tells the scale
    model = fsrcnn_rt.load("./a.safetensors")
    assert model.padding == ("replicate" if mode == "edge" else "zeros")
    kinds = {relu_node: "relu", leaky_relu_node: "leaky", leaky_relu_by_max: "leaky"}
    kind = kinds.get(activation, "prelu")
    assert {layer.activation for layer in model.nodes} == {kind}
    assert_same(model, plane, run_onnx("net.onnx", plane[None, None]))


def test_the_slopes_of_a_decomposed_prelu_are_exact(net):
    for activation in prelu_by_abs, prelu_by_neg, prelu_by_extremes:
        build_graph(net, 2, activation=activation).save("net.onnx")
        for layer, (weight, bias, slope) in zip(convert("net.onnx").nodes, net.layers, strict=True):
            for ours, theirs in ((layer.weight, weight), (layer.bias, bias), (layer.slope, slope)):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("scale", "border", "kept"), [(2, 0, 0), (2, 1, 1), (2, 2, "full"), (3, 5, "full")])
def test_border_of_a_graph(plane, net, scale, border, kept):
    build_graph(net, scale, mode="edge", border=border).save("net.onnx")
    model = convert("net.onnx")
    assert model.heads[scale].border == kept
    assert model.heads[scale].pad == net.heads[scale][2]
    assert_same(model, plane, run_onnx("net.onnx", plane[None, None]))


@pytest.mark.parametrize("mode", ["attribute", "edge"])
@pytest.mark.parametrize(("scale", "kernel"), [(2, 3), (3, 3), (4, 1)])
def test_sub_pixel_head_of_a_graph(plane, net, scale, kernel, mode):
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, (scale**2, 8, kernel, kernel)).astype(np.float32)
    bias = rng.normal(0, 0.1, scale**2).astype(np.float32)
    build_graph(net, scale, mode=mode, head=(weight, bias)).save("net.onnx")
    assert_same(convert("net.onnx"), plane, run_onnx("net.onnx", plane[None, None]))


def test_smaller_head_with_uneven_pads(plane, net):
    graph = GraphBuilder()
    for weight, bias, slope in net.layers:
        graph.add("Conv", weight, bias, pads=4 * [weight.shape[2] // 2])
        prelu_node(graph, slope)
    weight = np.random.default_rng(0).normal(size=(8, 1, 5, 5)).astype(np.float32)
    graph.add("ConvTranspose", weight, strides=[2, 2], pads=[1, 1, 2, 2])
    graph.save("net.onnx")
    assert_same(convert("net.onnx"), plane, run_onnx("net.onnx", plane[None, None]))


def test_channels_last_clipped_and_by_old_means(plane, net):
    graph = GraphBuilder()
    graph.add("Transpose", perm=[0, 3, 1, 2])
    for i, (weight, bias, slope) in enumerate(net.layers):
        if i == 0:
            pad_node(graph, 2, "edge", axes=True)
            graph.add("Conv", weight, bias)
        else:
            pad_node(graph, weight.shape[2] // 2, "edge")
            x = graph.newest
            doubled = graph.constant(2 * weight)  # weights that are computed from constants
            graph.add("Conv", graph.add("Mul", np.float32([0.5]), source=doubled), bias, source=x)
        prelu_node(graph, slope)
    weight, bias, pad, output_padding, _ = net.heads[3]
    graph.add(
        "ConvTranspose", weight, bias, strides=[3, 3], pads=4 * [pad], output_padding=2 * [output_padding]
    )
    graph.add("Clip", np.zeros((), np.float32), np.ones((), np.float32))
    graph.add("Transpose", perm=[0, 2, 3, 1])
    graph.save("net.onnx", ("n", "h", "w", 1), opset=18)
    model = convert("net.onnx")
    expected = oracle.forward(oracle.Net(net.nodes, {3: (*net.heads[3][:4], 0)}, "replicate"), plane, 3)
    assert_same(model, plane, expected)
    theirs = run_onnx("net.onnx", plane[None, :, :, None])
    assert np.abs(theirs - np.clip(expected, 0, 1)).max() <= TOLERANCE


def with_reshapes(net, weight, bias, scale):
    """As tf2onnx writes the sub-pixel FSRCNN of OpenCV's dnn_superres: one channel is moved by reshapes."""
    graph = GraphBuilder()
    change_axes(graph, "Unsqueeze", 0, "Reshape", [-1, 1, 0, 0])
    tf_layers(graph, net, pixel_shuffle(weight, bias, scale))
    change_axes(graph, "Reshape", [1, -1, 0, 0, 1], "Squeeze", 0)
    return graph


def change_axes(graph, *steps):
    """Operations on the axes in turn, each followed by its constant."""
    for kind, constant in zip(steps[::2], steps[1::2], strict=True):
        graph.add(kind, np.array(constant, np.int64).reshape(-1))


def tf_layers(graph, net, head):
    for layer, layer_bias, slope in net.layers:
        graph.add("Conv", layer, layer_bias, auto_pad="SAME_UPPER")
        x = graph.newest
        positive = graph.add("Relu", source=x)
        magnitude = graph.add("Abs", source=x)
        graph.add("Sub", magnitude, source=x)
        graph.add("Mul", slope.reshape(1, -1, 1, 1) / 2)
        graph.add("Add", graph.newest, source=positive)
    head(graph)


def pixel_shuffle(weight, bias, scale):
    def add(graph):
        graph.add("Conv", weight, auto_pad="SAME_UPPER")
        graph.add("DepthToSpace", blocksize=scale)
        graph.add("Add", bias.reshape(1, 1, 1, 1))

    return add


def with_transposes(net, weight, bias, scale):
    """The same without any optimisation: channels last but for the convolutions, biases on their own."""
    graph = GraphBuilder()

    def between_transposes(kind, *inputs, **attributes):
        graph.add("Transpose", perm=[0, 3, 1, 2])
        graph.add(kind, *inputs, **attributes)
        graph.add("Transpose", perm=[0, 2, 3, 1])

    for i, (layer, layer_bias, slope) in enumerate(net.layers):
        between_transposes("Conv", layer, auto_pad="SAME_LOWER")
        if i % 2:
            graph.add("Add", layer_bias)
        else:
            graph.add("Sub", -layer_bias.reshape(1, 1, -1))
        graph.add("PRelu", slope.reshape(1, 1, -1))
    between_transposes("Conv", weight, auto_pad="SAME_UPPER")
    between_transposes("DepthToSpace", blocksize=scale, mode="DCR")
    graph.add("Add", graph.newest, source=graph.constant(bias))
    return graph


@pytest.mark.parametrize("form", [with_reshapes, with_transposes])
@pytest.mark.parametrize(("scale", "kernel"), [(2, 1), (3, 1), (4, 1), (2, 3), (3, 3)])
def test_sub_pixel_network_of_tensorflow(plane, scale, kernel, form):
    rng = np.random.default_rng(scale)
    net = oracle.random_net(rng, 8, 3, 4)
    weight = rng.normal(0, 0.1, (scale**2, 8, kernel, kernel)).astype(np.float32)
    bias = np.array([0.5], np.float32)
    form(net, weight, bias, scale).save("net.onnx", ("n", "h", "w", 1))
    model = convert("net.onnx")
    assert (model.family, model.scales, model.padding) == ("FSRCNN(8, 3, 4)", (scale,), "zeros")
    for layer, tensors in zip(model.nodes, net.layers, strict=True):
        for ours, theirs in zip((layer.weight, layer.bias, layer.slope), tensors, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model.heads[scale].bias, bias)
    assert_same(model, plane, run_onnx("net.onnx", plane[None, :, :, None]))


# The shape of the input, what comes before the first convolution and what behind the last bias, in all that
# tf2onnx 1.16 and 1.17 make of OpenCV's files: with a batch of one or of any number, of any size or of one,
# with channels first or last. Of the same graph it makes now this and now that.
ENDS = [
    ([1, "h", "w", 1], ["Unsqueeze", 0, "Reshape", [1, 1, 0, 0]], []),
    ([1, "h", "w", 1], ["Unsqueeze", 0, "Reshape", [1, 1, 0, 0]], ["Reshape", [1, 1, 0, 0, 1], "Squeeze", 0]),
    (["n", "h", "w", 1], ["Unsqueeze", 0, "Reshape", [-1, 1, 0, 0]], []),
    ([1, 12, 17, 1], ["Reshape", [1, 1, 12, 17]], ["Reshape", [1, 36, 51, 1]]),
    (["n", 12, 17, 1], ["Reshape", [-1, 1, 12, 17]], ["Reshape", [-1, 36, 51, 1]]),
    (
        [1, 1, "h", "w"],
        ["Unsqueeze", 0, "Reshape", [1, 1, 1, 0, 0, 1], "Squeeze", 0, "Reshape", [1, 1, 0, 0]],
        [],
    ),
    (
        ["n", 1, "h", "w"],
        ["Unsqueeze", 0, "Reshape", [1, 1, -1, 0, 0, 1], "Squeeze", 0, "Reshape", [-1, 1, 0, 0]],
        ["Reshape", [1, -1, 0, 0, 1], "Squeeze", 0],
    ),
]


@pytest.mark.parametrize(("shape", "before", "behind"), ENDS)
@pytest.mark.parametrize("head", ["pixel shuffle", "deconvolution"])
def test_whatever_tf2onnx_writes_around_the_convolutions(shape, before, behind, head):
    rng = np.random.default_rng(1)
    net = oracle.random_net(rng, 8, 3, 1)
    weight, bias = rng.normal(0, 0.1, (9, 8, 1, 1)).astype(np.float32), np.float32([0.5])

    def deconvolution(graph):
        """With one scalar behind it, which is no operand of the node."""
        graph.add("ConvTranspose", net.heads[3][0], strides=[3, 3], pads=4 * [3])
        graph.add("Add", bias.reshape(()))

    graph = GraphBuilder()
    change_axes(graph, *before)
    tf_layers(graph, net, pixel_shuffle(weight, bias, 3) if head == "pixel shuffle" else deconvolution)
    change_axes(graph, *behind)
    graph.save("net.onnx", shape)
    model = convert("net.onnx")
    np.testing.assert_array_equal(model.heads[3].bias, bias)
    plane = rng.random((12, 17), np.float32)
    expected = run_onnx("net.onnx", plane[None, :, :, None] if shape[3] == 1 else plane[None, None])
    assert_same(model, plane, expected)


def test_sub_pixel_network_of_a_fixed_size(plane, net):
    """The batch of one picture is a 1 in every shape, and the sides of the picture are numbers."""
    graph = GraphBuilder()
    height, width = plane.shape
    graph.add("Reshape", np.array([1, 1, height, width]))
    for layer, bias, slope in net.layers:
        graph.add("Conv", layer, bias, pads=4 * [layer.shape[2] // 2])
        prelu_node(graph, slope)
    weight = np.random.default_rng(0).normal(0, 0.1, (4, 8, 1, 1)).astype(np.float32)
    graph.add("Conv", weight)
    graph.add("DepthToSpace", blocksize=2)
    graph.add("Squeeze", np.array([0, 1]))
    graph.save("net.onnx", (1, height, width, 1))
    assert_same(convert("net.onnx"), plane, run_onnx("net.onnx", plane[None, :, :, None]))


@pytest.mark.parametrize("sub_pixel", [0, 3])
@pytest.mark.parametrize("mode", ["zeros", "replicate"])
def test_graph_from_pytorch(plane, mode, sub_pixel):
    torch = pytest.importorskip("torch", reason="PyTorch writes the graph")
    pytest.importorskip("onnx", reason="onnx writes .onnx files: the extra 'export'")
    net = torch_net(3, mode=mode, sub_pixel=sub_pixel, m=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's age; the new one needs one more package
        axes = {"x": {0: "n", 2: "h", 3: "w"}}
        x = torch.zeros(1, 1, 8, 9)
        torch.onnx.export(net, (x,), "net.onnx", input_names=["x"], dynamic_axes=axes, dynamo=False)
    assert_same(convert("net.onnx"), plane, run_onnx("net.onnx", plane[None, None]))


def attribute(graph, i, **attributes):
    """Change the attributes of the node of number ``i``."""
    node = graph.nodes[i]
    kept = [a for a in node.attribute if a.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*kept, *(graph.onnx.helper.make_attribute(k, v) for k, v in attributes.items())])


def half_and_half(graph):
    """Of the two pixels before the first convolution, one repeats the edge and one is zero."""
    pads = np.array(2 * [0, 0, 1, 1])
    graph.weights[0] = graph.onnx.numpy_helper.from_array(pads, graph.weights[0].name)
    attribute(graph, 1, pads=4 * [1])


def bias_beside_none(graph, _slope):
    """A sum of what a convolution gives with a bias and without."""
    x = graph.newest
    graph.add("Add", np.ones((1, len(_slope), 1, 1), np.float32))
    graph.add("Add", x)


def after_the_head(kind, *inputs, **attributes):
    return lambda: graph_file("x3.onnx", lambda graph: graph.add(kind, *inputs, **attributes))


# What is in the folder, the input, options, the exit code, and what the one line on stderr tells.
FAULTS = {
    "scale of another graph": (
        lambda: graph_file("a.onnx"),
        "a.onnx",
        ["-s", "2"],
        2,
        "scale=2 is not that of",
    ),
    "half an onnx": (
        truncate(graph_file, "x3.onnx"),
        "x3.onnx",
        [],
        1,
        "is not an ONNX file, or a damaged one",
    ),
    "an unknown node": (
        lambda: graph_file("x3.onnx", activation=lambda graph, _: graph.add("Tanh")),
        "x3.onnx",
        [],
        1,
        "Tanh 'Tanht1': no network that can be expressed has such a node here",
    ),
    "a graph that asks for the size of its picture": (
        lambda: graph_file("x3.onnx", lambda graph: graph.add("Shape")),
        "x3.onnx",
        [],
        1,
        "Shape 'Shapet9': expected a graph for pictures of one size, got one that asks for it",
    ),
    "a bound that is not 0": (
        lambda: graph_file("x3.onnx", activation=lambda graph, _: graph.add("Max", np.float32([0.5]))),
        "x3.onnx",
        [],
        1,
        "expected an activation such as PReLU, got a constant other than 0 beside a tensor",
    ),
    "a node after the head": (
        lambda: graph_file("x3.onnx", lambda graph: graph.add("Mul", np.float32([255]))),
        "x3.onnx",
        [],
        1,
        "expected nothing after the head",
    ),
    "no head of a graph": (
        lambda: graph_file("x3.onnx", lambda graph: setattr(graph, "newest", graph.nodes.pop().input[0])),
        "x3.onnx",
        [],
        1,
        "expected a ConvTranspose, a DepthToSpace or a last convolution, got none",
    ),
    "a stride": (
        lambda: graph_file("x3.onnx", lambda graph: attribute(graph, 0, strides=[2, 2])),
        "x3.onnx",
        [],
        1,
        "Conv 'Convt0': expected strides of 1, got [2, 2]",
    ),
    "no padding": (
        lambda: graph_file("x3.onnx", lambda graph: attribute(graph, 4, pads=[0, 0, 0, 0])),
        "x3.onnx",
        [],
        1,
        "Conv 'Convt4': expected odd filters padded by half of them, got 3x3 padded by (0, 0, 0, 0)",
    ),
    "mirrored padding": (
        lambda: graph_file("x3.onnx", mode="reflect"),
        "x3.onnx",
        [],
        1,
        "Pad 'Padt0': expected zeros or the repeated edge, got mode 'reflect'",
    ),
    "two paddings": (
        lambda: graph_file("x3.onnx", half_and_half, mode="edge"),
        "x3.onnx",
        [],
        1,
        "expected one padding for 'Convt1', got repeated edges and zeros around them",
    ),
    "a head padded otherwise": (
        lambda: graph_file("x3.onnx", head_mode="edge", border=1),
        "x3.onnx",
        [],
        1,
        "expected one padding for all convolutions, got zeros and repeated edges",
    ),
    "a network of colour": (
        lambda: graph_file("x3.onnx", channels=3),
        "x3.onnx",
        [],
        1,
        "Conv 'Convt0': expected filters of 1 channels, got 1 groups of 3",
    ),
    "layers that do not fit": (
        lambda: graph_file("x3.onnx", layers=2),
        "x3.onnx",
        [],
        1,
        "ConvTransposet4: expected a head of 3 channels to 1, got 8 to 1",
    ),
    "a graph that breaks the rules": (
        lambda: graph_file("x3.onnx", lambda graph: graph.nodes[1].input.pop()),
        "x3.onnx",
        [],
        1,
        "PRelu 'PRelut1': expected an activation such as PReLU (",
    ),
    "other alignment": (
        lambda: graph_file("x3.onnx", lambda graph: attribute(graph, -1, output_padding=[1, 1])),
        "x3.onnx",
        [],
        1,
        "ConvTransposet8: 9x9 at stride 3 with pad 3 and output padding 1 does not give 3 times the input",
    ),
    "a residual": (
        lambda: graph_file("x3.onnx", activation=lambda graph, _: graph.add("Add", "x")),
        "x3.onnx",
        [],
        1,
        "Add 'Addt1': expected 8 channels to be added, got another number",
    ),
    "a sub-pixel head that is too large": (
        lambda: graph_file("x4.onnx", scale=4, head=(np.ones((16, 8, 5, 5), np.float32),)),
        "x4.onnx",
        [],
        1,
        "Convt8: expected a head that fits 17x17 pixels of the output at x4, got one of 20x20",
    ),
    "a bias in one place and not in another": (
        lambda: graph_file("x3.onnx", activation=bias_beside_none),
        "x3.onnx",
        [],
        1,
        "Add 'Addt2': expected an activation of one layer",
    ),
    "a bias of each column": (
        lambda: graph_file(
            "x3.onnx", activation=lambda graph, _: graph.add("Add", np.ones((1, 1, 1, 5), np.float32))
        ),
        "x3.onnx",
        [],
        1,
        "Add 'Addt1': expected one number per channel, got a constant of (1, 1, 1, 5)",
    ),
    "a picture on its side": (
        after_the_head("Transpose", perm=[0, 1, 3, 2]),
        "x3.onnx",
        [],
        1,
        "expected the output to be of height and width, got it as 'n1wh'",
    ),
    "a picture as a line": (
        after_the_head("Reshape", np.array([0, 1, -1])),
        "x3.onnx",
        [],
        1,
        "Reshape 'Reshapet9': expected a reshape that moves nothing, got 'n1hw' reshaped to [0, 1, -1]",
    ),
    "a picture without columns": (
        after_the_head("Squeeze", np.array([-1])),
        "x3.onnx",
        [],
        1,
        "expected axes of length 1 to be left out, got [3] of 'n1hw'",
    ),
    "channels last for a convolution": (
        lambda: graph_file("x3.onnx", activation=lambda graph, _: graph.add("Transpose", perm=[0, 2, 3, 1])),
        "x3.onnx",
        [],
        1,
        "Conv 'Convt2': expected an input with the axes 'nchw', got 'nhwc'",
    ),
    "a graph of colour": (
        lambda: graph_file("x3.onnx", size=("n", 3, "h", "w")),
        "x3.onnx",
        [],
        1,
        "Conv 'Convt0': expected filters of 3 channels, got 1 groups of 1",
    ),
    "a graph of four channels": (
        lambda: graph_file("x3.onnx", size=("n", 4, "h", "w")),
        "x3.onnx",
        [],
        1,
        "expected (N, C, H, W) or (N, H, W, C) of 1 or 3 channels to go in, got (?, 4, ?, ?)",
    ),
    "a TensorFlow graph": (
        lambda: Path("FSRCNN_x3.pb").write_bytes(b""),
        "FSRCNN_x3.pb",
        [],
        2,
        "FSRCNN_x3.pb: TensorFlow's graphs are read as ONNX, which python -m tf2onnx.convert ",
    ),
    "a gain": (
        lambda: graph_file("x3.onnx", activation=lambda graph, _: graph.add("Mul", np.float32([2]))),
        "x3.onnx",
        [],
        1,
        "Conv 'Convt2': expected 'Convt0' to be followed by a PReLU, got 2 times what is above 0",
    ),
}


@pytest.mark.parametrize(("prepare", "source", "options", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_converted_is_one_line_and_nothing_written(
    run_convert, folder, prepare, source, options, code, message
):
    assert_refused(run_convert, folder, prepare, source, options, code, message)
