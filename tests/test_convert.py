"""Models of other formats: each must compute here what it computes in its own runtime."""

import sys
import warnings
from pathlib import Path

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from fsrcnn_rt import cli
from fsrcnn_rt.convert import convert
from fsrcnn_rt.evaluate import evaluate, list_images, mean

TOLERANCE = 1e-5
SCALES = (2, 3, 4)

# PSNR in dB that the authors' weights reach on Set5 and Set14, by scale (FSRCNN, tables 3 and 4, reproduced).
AUTHORS = {
    "FSRCNN": {"Set5": {2: 36.997, 3: 33.155, 4: 30.704}, "Set14": {2: 32.627, 3: 29.423, 4: 27.591}},
    "FSRCNN-s": {"Set5": {2: 36.572, 3: 32.604, 4: 30.111}, "Set14": {2: 32.275, 3: 29.124, 4: 27.186}},
}


pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def run(capsys):
    """Call ``fsrcnn-rt convert``; gives the exit code and the lines on stderr."""

    def call(*arguments):
        code = cli.main(["convert", *map(str, arguments)])
        return code, capsys.readouterr().err.splitlines()

    return call


@pytest.fixture(scope="session")
def authors_folder(data_folder):
    folder = data_folder.parent / "reference" / "FSRCNN-authors"
    if not folder.is_dir():
        pytest.skip(f"the authors' weights are not there: {folder}")
    return folder


@pytest.fixture
def plane():
    return np.random.default_rng(2).random((19, 26), np.float32)


def assert_same(model, plane, expected):
    (scale,) = model.scales
    result = fsrcnn_rt.Upscaler(model, threads=1).upscale(plane, scale)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= TOLERANCE * max(1, np.abs(expected).max())


# The authors' files


def save_mat(path, net, scale):
    """A network with one slope per layer, in the authors' layout."""
    scipy_io = pytest.importorskip("scipy.io", reason="scipy reads .mat files: the extra 'convert'")
    tensors = [*net.layers, (*net.heads[scale][:2], np.zeros((1, 0)))]
    cells = {"weights_conv": [], "biases_conv": [], "prelu_conv": []}
    for weight, bias, slope in tensors:
        oc, ic, kernel, _ = weight.shape
        cell = weight.astype(np.float64).transpose(1, 3, 2, 0).reshape(ic, kernel * kernel, oc)
        cells["weights_conv"].append(cell)
        cells["biases_conv"].append(bias[:, None])
        cells["prelu_conv"].append(slope.reshape(1, -1)[:, :1])
    contents = {}
    for key, arrays in cells.items():
        contents[key] = np.empty((len(arrays), 1), object)
        contents[key][:, 0] = arrays
    scipy_io.savemat(path, contents)


def run_mat(path, plane, scale):
    """What the authors' program does with its file: ``imfilter`` with 'replicate', then zeros between."""
    ndimage = pytest.importorskip("scipy.ndimage")
    signal = pytest.importorskip("scipy.signal")
    contents = pytest.importorskip("scipy.io").loadmat(path)
    weights, biases, slopes = (contents[f"{key}_conv"].ravel() for key in ("weights", "biases", "prelu"))
    maps = [plane.astype(np.float64)]
    for weight, bias, slope in zip(weights[:-1], biases, slopes, strict=False):
        channels, area, filters = weight.shape
        side = round(area**0.5)
        results = []
        for i in range(filters):
            x = np.full(plane.shape, np.float64(bias[i, 0]))
            for j in range(channels):
                x += ndimage.correlate(
                    maps[j], weight[j, :, i].reshape(side, side, order="F"), mode="nearest"
                )
            results.append(np.maximum(x, 0) + np.float64(slope[0, 0]) * np.minimum(x, 0))
        maps = results
    height, width = plane.shape
    result = np.full((scale * height, scale * width), np.float64(biases[-1][0, 0]))
    start = scale + (3 if scale == 3 else 4)
    for j, x in enumerate(maps):
        spread = np.zeros((scale * (height + 2), scale * (width + 2)))
        spread[::scale, ::scale] = np.pad(x, 1, "edge")
        full = signal.convolve2d(spread, weights[-1][0, :, j].reshape(9, 9, order="F"))
        result += full[start : start + scale * height, start : start + scale * width]
    return result


def mat_net(scale, padding="replicate"):
    rng = np.random.default_rng(scale)
    net = oracle.random_net(rng, 8, 3, 2, padding=padding, border=1, scales=(scale,))
    layers = [(w, b, np.full_like(slope, rng.uniform(-0.5, 1.5))) for w, b, slope in net.layers]
    return oracle.Net(layers, net.heads, net.padding)


@pytest.mark.parametrize("scale", SCALES)
def test_the_layout_of_the_authors(run, plane, scale):
    net = mat_net(scale)
    save_mat(f"x{scale}.mat", net, scale)
    assert run(f"x{scale}.mat", "-o", "model.safetensors") == (0, [])
    model = fsrcnn_rt.load("./model.safetensors")
    assert (model.name, model.scales, (model.d, model.s, model.m)) == ("model", (scale,), (8, 3, 2))
    assert model.provenance["converted_from"] == f"x{scale}.mat"
    assert_same(model, plane, run_mat(f"x{scale}.mat", plane, scale))
    assert_same(model, plane, oracle.forward(net, plane, scale))


def test_layers_of_one_channel(plane):
    save_mat("x2.mat", oracle.random_net(np.random.default_rng(1), 1, 1, 1, border=1), 2)
    assert_same(convert("x2.mat"), plane, run_mat_of_one_channel("x2.mat", plane))


def run_mat_of_one_channel(path, plane):
    """MATLAB drops a last dimension of 1."""
    scipy_io = pytest.importorskip("scipy.io")
    contents = scipy_io.loadmat(path)
    cells = contents["weights_conv"]
    for i in range(len(cells)):
        cells[i, 0] = cells[i, 0].reshape(*cells[i, 0].shape[:2])
    scipy_io.savemat(path, {key: value for key, value in contents.items() if not key.startswith("__")})
    for i in range(len(cells)):
        cells[i, 0] = cells[i, 0][..., None]
    scipy_io.savemat("whole.mat", {key: value for key, value in contents.items() if not key.startswith("__")})
    return run_mat("whole.mat", plane, 2)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", AUTHORS)
def test_the_files_of_the_authors(authors_folder, plane, name, scale):
    pytest.importorskip("scipy", reason="scipy reads .mat files: the extra 'convert'")
    path = authors_folder / name / f"x{scale}.mat"
    assert_same(convert(path), plane, run_mat(path, plane, scale))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", AUTHORS)
def test_the_files_of_the_authors_reach_their_quality(authors_folder, data_folder, name, scale):
    pytest.importorskip("scipy", reason="scipy reads .mat files: the extra 'convert'")
    upscaler = fsrcnn_rt.Upscaler(convert(authors_folder / name / f"x{scale}.mat"))
    for dataset, figures in AUTHORS[name].items():
        results = evaluate({scale: {name: upscaler.upscale}}, list_images(data_folder / dataset))
        psnr = mean([result.figures for result in results]).psnr
        print(f"{name} x{scale} on {dataset}: {psnr:.3f} dB")
        assert psnr == pytest.approx(figures[scale], abs=0.01)


# PyTorch


def torch_net(scale, *, sub_pixel=0, mode="zeros", one_slope=False, m=4, seed=0):
    """The widespread module, FSRCNN(8, 3, m); ``sub_pixel``: side of the filters before the pixel shuffle."""
    torch = pytest.importorskip("torch", reason="PyTorch reads and runs .pth files")
    nn = torch.nn

    def conv(ic, oc, kernel):
        return nn.Conv2d(ic, oc, kernel, padding=kernel // 2, padding_mode=mode)

    def prelu(channels):
        module = nn.PReLU(1 if one_slope else channels)
        nn.init.uniform_(module.weight, -0.5, 1.5)
        return module

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first_part = nn.Sequential(conv(1, 8, 5), prelu(8))
            mid = [conv(8, 3, 1), prelu(3)]
            for _ in range(m):
                mid += [conv(3, 3, 3), prelu(3)]
            self.mid_part = nn.Sequential(*mid, conv(3, 8, 1), prelu(8))
            if sub_pixel:
                self.last_part = conv(8, scale * scale, sub_pixel)
                self.shuffle = nn.PixelShuffle(scale)
            else:
                self.last_part = nn.ConvTranspose2d(8, 1, 9, scale, padding=4, output_padding=scale - 1)
                self.shuffle = nn.Identity()

        def forward(self, x):
            return self.shuffle(self.last_part(self.mid_part(self.first_part(x))))

    torch.manual_seed(seed)
    return Net().eval()


def run_torch(net, plane):
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return net(torch.from_numpy(plane)[None, None])[0, 0].numpy()


def save_state(path, state):
    pytest.importorskip("torch", reason="PyTorch reads and runs .pth files").save(state, path)


@pytest.mark.parametrize("one_slope", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_state_dict(run, plane, scale, one_slope):
    net = torch_net(scale, one_slope=one_slope)
    save_state(f"fsrcnn_x{scale}.pth", net.state_dict())
    assert run(f"fsrcnn_x{scale}.pth", "-o", "a.safetensors", "--name", "mine") == (0, [])
    model = fsrcnn_rt.load("./a.safetensors")
    assert (model.name, model.padding, model.m) == ("mine", "zeros", 4)
    assert_same(model, plane, run_torch(net, plane))


@pytest.mark.parametrize(("scale", "kernel"), [(2, 1), (2, 3), (3, 1), (3, 3), (4, 1)])
@pytest.mark.parametrize("mode", ["zeros", "replicate"])
@pytest.mark.parametrize("same_bias", [False, True])
def test_sub_pixel_head(plane, scale, kernel, mode, same_bias):
    net = torch_net(scale, sub_pixel=kernel, mode=mode)
    if same_bias:
        net.last_part.bias.data[:] = 0.25
    save_state("net.pt", net.state_dict())
    model = convert("net.pt", padding=mode)  # the number of channels tells the scale
    assert model.d == (8 if same_bias else 9)
    assert_same(model, plane, run_torch(net, plane))


def test_replicated_padding_of_a_state_dict(plane):
    net = torch_net(3, mode="replicate")
    save_state("x3.pth", net.state_dict())
    assert_same(convert("x3.pth", padding="replicate"), plane, run_torch(net, plane))


def test_wrapped_state_dicts(plane):
    net = torch_net(2)
    state = {
        f"module.{key}": value for key, value in sorted(net.state_dict().items())
    }  # mid_part.10 before .2
    for content in state, {"state_dict": state, "epoch": 3}, {"model": {"params": state}}:
        save_state("x2.pth.tar", content)
        assert_same(convert("x2.pth.tar"), plane, run_torch(net, plane))


def test_other_names_of_the_modules(plane):
    net = torch_net(2, m=2)
    names = {
        "first_part.": "feature_extraction.",
        "mid_part.0.": "shrink.0.",
        "mid_part.1.": "shrink.1.",
        **{f"mid_part.{i}.": f"map.{i - 2}." for i in range(2, 6)},
        "mid_part.6.": "expand.0.",
        "mid_part.7.": "expand.1.",
        "last_part.": "deconv.",
    }
    state = {}
    for key, value in net.state_dict().items():
        old = next(old for old in names if key.startswith(old))
        state[names[old] + key.removeprefix(old)] = value
    save_state("x2.pth", state)
    assert_same(convert("x2.pth"), plane, run_torch(net, plane))


def test_options_replace_what_is_assumed(run):
    save_state("net.pth", torch_net(3).state_dict())
    options = ["-s", "3", "--padding", "replicate", "--pad", "3", "--output-padding", "0", "--border", "full"]
    assert run("net.pth", "-o", "a.safetensors", *options) == (0, [])
    model = fsrcnn_rt.load("./a.safetensors")
    head = model.heads[3]
    assert (model.padding, head.pad, head.output_padding, head.border) == ("replicate", 3, 0, "full")
    assert convert("net.pth", scale=4, border=2).heads[4].border == 2


# ONNX


class GraphBuilder:
    """Nodes in a chain from "x"; weights become initialisers."""

    def __init__(self):
        self.onnx = pytest.importorskip("onnx", reason="onnx reads .onnx files: the extra 'convert'")
        self.nodes, self.weights, self.newest = [], [], "x"

    def constant(self, array):
        name = f"constant{len(self.weights)}"
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, kind, *inputs, source=None, **attributes):
        inputs = [self.constant(i) if isinstance(i, np.ndarray) else i for i in inputs]
        name = f"t{len(self.nodes)}"
        inputs = [source or self.newest, *inputs]
        self.nodes.append(
            self.onnx.helper.make_node(kind, inputs, [name], name=f"{kind}{name}", **attributes)
        )
        self.newest = name
        return name

    def save(self, path, size=("n", 1, "h", "w"), opset=17):
        helper, floats = self.onnx.helper, self.onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("x", floats, size)],
            [helper.make_tensor_value_info(self.newest, floats, None)],
            self.weights,
        )
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
        self.onnx.save(model, path)


def prelu_node(graph, slope):
    graph.add("PRelu", slope[:, None, None])


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


def relu_node(graph, _slope):
    graph.add("Relu")


def leaky_relu_node(graph, _slope):
    graph.add("LeakyRelu", alpha=0.125)


def pad_node(graph, pixels, mode, axes=False):
    if pixels:
        sides = [pixels, pixels] if axes else [0, 0, pixels, pixels]
        inputs = [np.array(2 * sides, np.int64)]
        if axes:
            inputs += ["", np.array([-2, 3], np.int64)]
        graph.add("Pad", *inputs, mode=mode)


def build_graph(
    net, scale, *, activation=prelu_node, mode="attribute", head="deconv", border=0, head_mode=None
):
    """The oracle's network as a graph; ``head``: "deconv", or of the sub-pixel filters (weight, bias)."""
    graph = GraphBuilder()

    def conv(weight, bias):
        reach = weight.shape[2] // 2
        if mode == "attribute":
            graph.add("Conv", weight, bias, pads=4 * [reach])
        elif mode == "same":
            graph.add("Conv", weight, bias, auto_pad="SAME_UPPER")
        else:
            pad_node(graph, reach, mode)
            graph.add("Conv", weight, bias)

    for weight, bias, slope in net.layers:
        conv(weight, bias)
        activation(graph, slope)
    if head == "deconv":
        weight, bias, pad, output_padding, _ = net.heads[scale]
        pad_node(graph, border, head_mode or mode)
        pads = 4 * [pad + scale * border]
        graph.add(
            "ConvTranspose",
            weight,
            bias,
            strides=2 * [scale],
            pads=pads,
            output_padding=2 * [output_padding],
            kernel_shape=[9, 9],
        )
    else:
        conv(*head)
        graph.add("DepthToSpace", blocksize=scale, mode="CRD")
    return graph


def run_onnx(path, x):
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is the other side of the comparison")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0].squeeze()


ACTIVATIONS = [prelu_node, prelu_by_abs, prelu_by_neg, relu_node, leaky_relu_node]


@pytest.mark.parametrize("mode", ["attribute", "same", "constant", "edge"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", SCALES)
def test_graph(run, plane, net, scale, activation, mode):
    build_graph(net, scale, activation=activation, mode=mode).save("net.onnx")
    assert run("net.onnx", "-o", "a.safetensors") == (0, [])  # the graph tells the scale
    model = fsrcnn_rt.load("./a.safetensors")
    assert model.padding == ("replicate" if mode == "edge" else "zeros")
    assert {layer.activation for layer in model.layers} == {"relu" if activation is relu_node else "prelu"}
    assert_same(model, plane, run_onnx("net.onnx", plane[None, None]))


def test_the_slopes_of_a_decomposed_prelu_are_exact(net):
    for activation in prelu_by_abs, prelu_by_neg:
        build_graph(net, 2, activation=activation).save("net.onnx")
        for layer, (weight, bias, slope) in zip(convert("net.onnx").layers, net.layers, strict=True):
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
    expected = oracle.forward(oracle.Net(net.layers, {3: (*net.heads[3][:4], 0)}, "replicate"), plane, 3)
    assert_same(model, plane, expected)
    theirs = run_onnx("net.onnx", plane[None, :, :, None])
    assert np.abs(theirs - np.clip(expected, 0, 1)).max() <= TOLERANCE


@pytest.mark.parametrize("sub_pixel", [0, 3])
@pytest.mark.parametrize("mode", ["zeros", "replicate"])
def test_graph_from_pytorch(plane, mode, sub_pixel):
    torch = pytest.importorskip("torch", reason="PyTorch writes the graph")
    pytest.importorskip("onnx", reason="onnx reads .onnx files: the extra 'convert'")
    net = torch_net(3, mode=mode, sub_pixel=sub_pixel, m=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's age; the new one needs one more package
        axes = {"x": {0: "n", 2: "h", 3: "w"}}
        x = torch.zeros(1, 1, 8, 9)
        torch.onnx.export(net, (x,), "net.onnx", input_names=["x"], dynamic_axes=axes, dynamo=False)
    assert_same(convert("net.onnx"), plane, run_onnx("net.onnx", plane[None, None]))


# What is refused


def mat_file(path, change=lambda cells: None):
    save_mat("whole.mat", mat_net(3), 3)
    scipy_io = pytest.importorskip("scipy.io")
    contents = {key: value for key, value in scipy_io.loadmat("whole.mat").items() if key[0] != "_"}
    change(contents)
    scipy_io.savemat(path, contents)


def state_file(path, change=lambda state: None, **options):
    state = torch_net(3, m=1, **options).state_dict()
    change(state)
    save_state(path, state)


def graph_file(path, change=lambda graph: None, scale=3, channels=1, layers=4, **options):
    net = oracle.random_net(np.random.default_rng(5), 8, 3, 1)
    first, *others = net.layers
    first = (np.repeat(first[0], channels, axis=1), *first[1:])
    net = oracle.Net([first, *others][:layers], net.heads, net.padding)
    graph = build_graph(net, scale, **options)
    change(graph)
    graph.save(path)


def truncate(write, path):
    def prepare():
        write(path)
        with Path(path).open("r+b") as file:
            file.truncate(file.seek(0, 2) // 2)

    return prepare


def cell(key, i, change):
    def apply(contents):
        contents[key][i, 0] = change(contents[key][i, 0])

    return apply


def move(state, old, new):
    state[new] = state.pop(old)


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


def whole_module(path):
    save_state(path, torch_net(3).first_part)


# What is in the folder, the input, options, the exit code, and what the one line on stderr tells.
FAULTS = {
    "no file": (lambda: None, "x3.mat", [], 1, "x3.mat: No such file or directory"),
    "unknown extension": (lambda: None, "x3.caffemodel", [], 2, "'.caffemodel' is none of .mat, .pth"),
    "no extension": (lambda: None, "x3", [], 2, "'no suffix' is none of .mat, .pth"),
    "no scale": (lambda: mat_file("net.mat"), "net.mat", [], 2, "scale: net.mat does not tell it"),
    "two scales": (lambda: mat_file("x2x_x3.mat"), "x2x_x3.mat", [], 2, "x3.mat does not tell it"),
    "scale 5": (lambda: None, "net.mat", ["-s", "5"], 2, "argument -s/--scale: invalid choice: 5"),
    "scale of another graph": (
        lambda: graph_file("a.onnx"),
        "a.onnx",
        ["-s", "2"],
        2,
        "scale=2 is not that of",
    ),
    "border": (lambda: None, "net.mat", ["--border", "some"], 2, "'some' is neither 'full' nor an integer"),
    "pad": (
        lambda: mat_file("x3.mat"),
        "x3.mat",
        ["--pad", "5"],
        1,
        "head.x3: pad=5 and output_padding=4 do not satisfy",
    ),
    "output padding": (
        lambda: mat_file("x3.mat"),
        "x3.mat",
        ["--output-padding", "2"],
        1,
        "weights_conv{6}: 9x9 at stride 3 with pad 3 and output padding 2 does not give 3 times",
    ),
    "half a mat": (truncate(mat_file, "x3.mat"), "x3.mat", [], 1, "is not a MATLAB file, or a damaged one"),
    "half a pth": (
        truncate(state_file, "x3.pth"),
        "x3.pth",
        [],
        1,
        "is not a state dict of torch.save() (a whole module?)",
    ),
    "half an onnx": (
        truncate(graph_file, "x3.onnx"),
        "x3.onnx",
        [],
        1,
        "is not an ONNX file, or a damaged one",
    ),
    "mat of something else": (
        lambda: mat_file("x3.mat", lambda cells: move(cells, "weights_conv", "images")),
        "x3.mat",
        [],
        1,
        "weights_conv: expected a cell array of that name, got a file with",
    ),
    "mat of other filters": (
        lambda: mat_file("x3.mat", cell("weights_conv", 2, lambda w: w[:, :1])),
        "x3.mat",
        [],
        1,
        "weights_conv{3}: expected weights of shape (3, 3, 3, 3) (out, in, height, width) in this place of "
        "an FSRCNN, got (3, 3, 1, 1)",
    ),
    "mat of oblong filters": (
        lambda: mat_file("x3.mat", cell("weights_conv", 2, lambda w: w[:, :8])),
        "x3.mat",
        [],
        1,
        "weights_conv{3}: expected numbers of shape (in, k * k, out), got float64 (3, 8, 3)",
    ),
    "mat of short biases": (
        lambda: mat_file("x3.mat", cell("biases_conv", 1, lambda b: b[:2])),
        "x3.mat",
        [],
        1,
        "biases_conv{2}: expected 3 numbers, got float32 (2, 1)",
    ),
    "mat without a slope": (
        lambda: mat_file("x3.mat", cell("prelu_conv", 1, lambda a: a[:, :0])),
        "x3.mat",
        [],
        1,
        "prelu_conv{2}: expected 1 or 3 numbers, got float32",
    ),
    "a whole module": (
        lambda: whole_module("x3.pth"),
        "x3.pth",
        [],
        1,
        "is not a state dict of torch.save() (a whole module?)",
    ),
    "no state dict": (lambda: save_state("x3.pth", [1, 2]), "x3.pth", [], 1, "expected a state dict (names"),
    "another network": (
        lambda: save_state("x3.pth", {"conv1.weight": torch_net(3).last_part.weight.data}),
        "x3.pth",
        [],
        1,
        "conv1.weight: expected the modules of an FSRCNN (first_part, mid_part, last_part)",
    ),
    "a tensor twice": (
        lambda: state_file("x3.pth", lambda s: s.update({"module.last_part.bias": s["last_part.bias"]})),
        "x3.pth",
        [],
        1,
        "module.last_part.bias: expected each tensor once",
    ),
    "no slopes": (
        lambda: state_file("x3.pth", lambda state: state.pop("mid_part.3.weight")),
        "x3.pth",
        [],
        1,
        "mid_part.4: expected the PReLU of mid_part.2, got a weight of shape (8, 3, 1, 1)",
    ),
    "no head": (
        lambda: state_file("x3.pth", lambda s: [s.pop(f"last_part.{key}") for key in ("weight", "bias")]),
        "x3.pth",
        [],
        1,
        "mid_part.5: expected last_part or deconv to come last",
    ),
    "other filters": (
        lambda: state_file("x3.pth", lambda s: s.update({"mid_part.2.weight": s["mid_part.0.weight"]})),
        "x3.pth",
        [],
        1,
        "mid_part.2: expected weights of shape (3, 3, 3, 3)",
    ),
    "a bias alone": (
        lambda: state_file("x3.pth", lambda s: move(s, "mid_part.4.weight", "last_part.weight")),
        "x3.pth",
        [],
        1,
        "mid_part.4: expected a weight, got a bias alone",
    ),
    "a sub-pixel head that does not fit": (
        lambda: state_file("x3.pth", sub_pixel=5),
        "x3.pth",
        [],
        1,
        "last_part: expected a head that fits 9x9 pixels of the output at x3, got one of 15x15",
    ),
    "a sub-pixel head and a pad": (
        lambda: state_file("x3.pth", sub_pixel=3),
        "x3.pth",
        ["--pad", "4"],
        1,
        "last_part: its pixel shuffle decides pad and output padding",
    ),
    "integers": (
        lambda: state_file("x3.pth", lambda s: s.update({"last_part.bias": s["last_part.bias"].int()})),
        "x3.pth",
        [],
        1,
        "last_part.bias: expected a tensor of floats, got torch.int32",
    ),
    "an unknown node": (
        lambda: graph_file("x3.onnx", activation=lambda graph, _: graph.add("Tanh")),
        "x3.onnx",
        [],
        1,
        "Tanh 'Tanht1': an FSRCNN has no such node here",
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
        "expected a ConvTranspose or DepthToSpace to give the output",
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
        "Conv 'Convt1': expected one padding, got repeated edges and zeros around them",
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
        "Convt0: expected weights of shape (8, 1, 5, 5) (out, in, height, width) in this place of an FSRCNN, "
        "got (8, 3, 5, 5)",
    ),
    "too few layers": (
        lambda: graph_file("x3.onnx", layers=2),
        "x3.onnx",
        [],
        1,
        "expected at least 3 convolutions before the head of an FSRCNN, got 2",
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
        "Add 'Addt1': expected an activation of one layer",
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
    run, folder, prepare, source, options, code, message
):
    prepare()
    before = sorted(folder.iterdir())
    result, lines = run(source, "-o", "model.safetensors", *options)
    assert (result, len(lines)) == (code, 1), lines
    assert message in lines[0]
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("write", "source", "modules", "told"),
    [
        (
            mat_file,
            "x3.mat",
            ["scipy", "scipy.io"],
            "needs scipy, which is not installed: pip install 'fsrcnn-rt",
        ),
        (state_file, "x3.pth", ["torch"], "needs torch, which is not installed: pip install torch"),
        (
            graph_file,
            "x3.onnx",
            ["onnx"],
            "needs onnx, which is not installed: pip install 'fsrcnn-rt[convert]'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_missing_packages_are_named(run, monkeypatch, write, source, modules, told):
    write(source)
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    code, lines = run(source, "-o", "model.safetensors")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"fsrcnn-rt: convert: {source}: {told}")


def test_existing_outputs_are_kept(run, folder):
    mat_file("x3.mat")
    output = folder / "model.safetensors"
    output.write_bytes(b"precious")
    assert run("x3.mat", "-o", output.name) == (
        2,
        ["fsrcnn-rt: convert: model.safetensors: exists already (see --overwrite)"],
    )
    assert output.read_bytes() == b"precious"
    assert run("x3.mat", "-o", output.name, "--overwrite") == (0, [])
    assert fsrcnn_rt.load(output).scales == (3,)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("no/a.safetensors", "the folder no does not exist"),
        (".", "exists already"),
        ("x3.mat", "is the input"),
    ],
)
def test_bad_outputs(run, output, message):
    mat_file("x3.mat")
    code, lines = run("x3.mat", "-o", output, "--overwrite")
    assert (code, len(lines)) == (2, 1)
    assert message in lines[0]
