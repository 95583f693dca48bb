"""Networks as files of other formats, and what their own runtimes make of them."""

from pathlib import Path

import fsrcnn_rt
import numpy as np
import oracle
import pytest

TOLERANCE = 1e-5
SCALES = (2, 3, 4)


def assert_same(model, plane, expected):
    (scale,) = model.scales
    result = fsrcnn_rt.Upscaler(model, guard=False, threads=1).upscale(plane, scale)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= TOLERANCE * max(1, np.abs(expected).max())


def assert_refused(run_convert, folder, prepare, source, options, code, message):
    """``fsrcnn-rt convert`` says no in one line, and writes nothing."""
    prepare()
    before = sorted(folder.iterdir())
    result, lines = run_convert(source, "-o", "model.safetensors", *options)
    assert (result, len(lines)) == (code, 1), lines
    assert message in lines[0]
    assert sorted(folder.iterdir()) == before


def truncate(write, path):
    def prepare():
        write(path)
        with Path(path).open("r+b") as file:
            file.truncate(file.seek(0, 2) // 2)

    return prepare


def move(contents, old, new):
    """Change a name in what a file holds."""
    contents[new] = contents.pop(old)


# The authors' files


def save_mat(path, net, scale):
    """A network with one slope per layer, in the authors' layout."""
    scipy_io = pytest.importorskip("scipy.io", reason="scipy writes .mat files: the extra 'dev'")
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
    return oracle.Net(oracle.chain(layers), net.heads, net.padding)


def mat_file(path, change=lambda cells: None):
    save_mat("whole.mat", mat_net(3), 3)
    scipy_io = pytest.importorskip("scipy.io")
    contents = {key: value for key, value in scipy_io.loadmat("whole.mat").items() if key[0] != "_"}
    change(contents)
    scipy_io.savemat(path, contents)


# What a .caffemodel holds, written byte by byte


def field(number, data):
    """A field of a message: an integer, or what has a length."""
    if isinstance(data, int):
        return varint(number << 3) + varint(data % (1 << 64))
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def caffe_layer(name, *arrays, shapes=None):
    blobs = b""
    for i, array in enumerate(arrays):
        shape = (shapes or [a.shape for a in arrays])[i]
        blob = field(5, array.astype("<f4").tobytes()) + field(7, field(1, b"".join(map(varint, shape))))
        blobs += field(7, blob)
    return field(100, field(1, name.encode()) + field(2, b"Convolution") + blobs)


def caffe_names(blocks):
    names = ["conv1", "conv2"]
    for b in range(blocks):
        names += [f"conv{b + 3}_{i}" for i in range(1, 7)] + [f"down{b + 1}"]
    return [*names, "upsample"]


def caffe_parts(scale=3, blocks=2):
    net = oracle.random_idn(np.random.default_rng(1), features=8, kept=2, blocks=blocks, scales=(scale,))
    tensors = [*(node[:2] for node in net.nodes), net.heads[scale][:2]]
    return net, dict(zip(caffe_names(blocks), tensors, strict=True))


def save_caffe(path, change=lambda parts: None, scale=3, more=b""):
    net, parts = caffe_parts(scale)
    change(parts)
    layers = b"".join(caffe_layer(name, *arrays) for name, arrays in parts.items())
    Path(path).write_bytes(field(1, b"IDN") + field(100, field(1, b"relu")) + layers + more)
    return net


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


def state_file(path, change=lambda state: None, **options):
    state = torch_net(3, m=1, **options).state_dict()
    change(state)
    save_state(path, state)


# ONNX


class GraphBuilder:
    """Nodes in a chain from "x"; weights become initialisers."""

    def __init__(self):
        self.onnx = pytest.importorskip("onnx", reason="onnx writes .onnx files: the extra 'export'")
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
    """The oracle's network as a graph; ``head``: "deconv", or of the sub-pixel filters (weight[, bias])."""
    graph = GraphBuilder()

    def conv(*weight_and_bias):
        reach = weight_and_bias[0].shape[2] // 2
        if mode == "attribute":
            graph.add("Conv", *weight_and_bias, pads=4 * [reach])
        elif mode == "same":
            graph.add("Conv", *weight_and_bias, auto_pad="SAME_UPPER")
        else:
            pad_node(graph, reach, mode)
            graph.add("Conv", *weight_and_bias)

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


def graph_file(
    path, change=lambda graph: None, scale=3, channels=1, layers=4, size=("n", 1, "h", "w"), **options
):
    net = oracle.random_net(np.random.default_rng(5), 8, 3, 1)
    first, *others = net.layers
    first = (np.repeat(first[0], channels, axis=1), *first[1:])
    net = oracle.Net(oracle.chain([first, *others][:layers]), net.heads, net.padding)
    graph = build_graph(net, scale, **options)
    change(graph)
    graph.save(path, size)
