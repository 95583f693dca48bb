"""Models as ONNX graphs: the same tensors there and back, the same pictures in onnxruntime."""

import itertools
import sys
from dataclasses import replace

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from conversions import to_model, to_net
from fsrcnn_rt import cli
from fsrcnn_rt.convert import convert
from fsrcnn_rt.convert import to_onnx as export
from fsrcnn_rt.model import NETWORKS, Model, fsrcnn, idn, save_model, srcnn

onnx = pytest.importorskip("onnx", reason="onnx writes the graphs: the extra 'export'")

SCALES = (2, 3, 4)
SIZES = [(1, 1), (2, 3), (17, 11)]
FORMS = [(), ("--subpixel",)]  # of the head


pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def run(capsys):
    """Call ``fsrcnn-rt export``; gives the exit code and the lines on stdout or stderr."""

    def call(*arguments):
        code = cli.main(["export", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, (err if code else out).splitlines()

    return call


def session(path):
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is the other side of the comparison")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def assert_same_tensors(ours, theirs, scale):
    assert (ours.padding, len(ours.nodes)) == (theirs.padding, len(theirs.nodes))
    for one, other in zip(ours.nodes, theirs.nodes, strict=True):
        assert one.activation == other.activation
        np.testing.assert_array_equal(one.weight, other.weight)
        np.testing.assert_array_equal(one.bias, other.bias)
        np.testing.assert_array_equal(one.slope, other.slope)
    head, other = ours.heads[scale], theirs.heads[scale]
    assert (head.pad, head.output_padding) == (other.pad, other.output_padding)
    np.testing.assert_array_equal(head.weight, other.weight)
    np.testing.assert_array_equal(head.bias, other.bias)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("border", [-1, 0, 1])
@pytest.mark.parametrize(("scale", "pad"), [(2, 4), (3, 3), (3, 4), (4, 3), (4, 4)])
def test_there_and_back(run, scale, pad, border, padding, form):
    rng = np.random.default_rng(pad)
    net = oracle.random_net(
        rng, 5, 3, 1, padding=padding, alignment={scale: pad}, border=border, scales=(scale,)
    )
    model = to_model(net)
    save_model(model, "model.safetensors")
    code, lines = run("./model.safetensors", "-s", scale, "-o", "model.onnx", *form)
    assert (code, len(lines)) == (0, 1), lines
    kinds = {node.op_type for node in onnx.load("model.onnx").graph.node}
    assert ("DepthToSpace" in kinds, "ConvTranspose" in kinds) == (bool(form), not form)
    back = convert("model.onnx")
    assert_same_tensors(back, model, scale)
    assert back.provenance["source"] == model.provenance
    for size in SIZES:
        plane = rng.random(size, np.float32)
        expected = oracle.forward(net, plane, scale)
        bound = export.TOLERANCE * max(1, np.abs(expected).max())
        assert np.abs(fsrcnn_rt.Upscaler(back, guard=False).upscale(plane, scale) - expected).max() <= bound
        (theirs,) = session("model.onnx").run(
            ["upscaled"], {"luma": np.stack([plane[None], 0 * plane[None]])}
        )
        assert theirs.shape == (2, 1, scale * size[0], scale * size[1])
        assert np.abs(theirs[0, 0] - expected).max() <= bound


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NETWORKS)
def test_shipped_models(run, name, scale, form):
    pytest.importorskip("onnxruntime", reason="onnxruntime is the other side of the comparison")
    code, lines = run(name, "-s", scale, "-o", "model.onnx", *form)
    assert (code, len(lines)) == (0, 1)
    head = "sub-pixel" if form else "transposed convolution"
    assert lines[0].startswith(f"model.onnx: {name} x{scale}, luma, {head}, opset 17; differs from the core ")
    model = fsrcnn_rt.load(name)
    assert_same_tensors(convert("model.onnx"), model, scale)
    assert convert("model.onnx").heads[scale].border == model.heads[scale].border


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("scale", SCALES)
def test_colour(run, scale, padding, form):
    rng = np.random.default_rng(scale)
    net = oracle.random_net(rng, 5, 3, 1, padding=padding, scales=(scale,))
    model = to_model(net)
    save_model(model, "model.safetensors")
    code, lines = run("./model.safetensors", "-s", scale, "-o", "model.onnx", "--channels", "rgb", *form)
    assert (code, len(lines)) == (0, 1), lines
    for size in SIZES:
        images = rng.random((2, *size, 3), np.float32)
        (theirs,) = session("model.onnx").run(["upscaled"], {"rgb": images.transpose(0, 3, 1, 2)})
        assert theirs.shape == (2, 3, scale * size[0], scale * size[1])
        for image, result in zip(images, theirs.transpose(0, 2, 3, 1), strict=True):
            for expected in (
                oracle.upscale_samples(net, image, scale, guard=False, guided=False),
                fsrcnn_rt.Upscaler(model, colour="bicubic", guard=False, threads=1).upscale(image, scale),
            ):
                assert np.abs(result - expected).max() <= export.TOLERANCE * max(1, np.abs(expected).max())


def families():
    """A small network of each family, and graphs of none."""
    rng = np.random.default_rng(7)
    yield (
        "state 1",
        oracle.Net(
            oracle.chain([oracle.random_node(rng, 6, 1, 9), oracle.random_node(rng, 4, 6, 5)]),
            {scale: oracle.random_head(rng, 4, scale, {2: 4, 3: 3, 4: 4}[scale]) for scale in SCALES},
            "replicate",
        ),
    )
    for padding in ("zeros", "replicate"):
        yield f"idn {padding}", oracle.random_idn(rng, padding=padding)
        yield f"srcnn {padding}", oracle.random_srcnn(rng, (5, 3, 3), 6, 4, padding=padding)
    yield "srcnn of three", oracle.random_srcnn(rng, (9, 1, 5), 6, 4, planes=3)
    for seed in range(12):
        yield f"graph {seed}", oracle.random_graph(rng, padding=("zeros", "replicate")[seed % 2])


FAMILIES = dict(families())


def near(one, other):
    return np.abs(one - other).max() <= export.TOLERANCE * max(1, np.abs(other).max())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_there_and_back(name, scale, form):
    """What onnxruntime computes is what the network is by definition, and the graph gives it back."""
    net = FAMILIES[name]
    model = to_model(net, "random")
    if form and model.enlarged:
        with pytest.raises(ValueError, match="subpixel=True is not for model 'random', which reads an enl"):
            export.to_onnx(model, scale, subpixel=True)
        return
    onnx.save(export.to_onnx(model, scale, subpixel=bool(form)), "model.onnx")
    picture = np.random.default_rng(1).random((net.planes, 11, 14), np.float32)
    (theirs,) = session("model.onnx").run(["upscaled"], {"luma" if net.planes == 1 else "rgb": picture[None]})
    assert near(theirs[0], oracle.forward(net, picture, scale).reshape(theirs[0].shape))
    back = convert("model.onnx", colour=None if net.planes == 1 else "rgb")
    assert (back.scales, back.colour, back.family) == ((scale,), model.colour, model.family)
    assert back.architecture.nodes == model.architecture.nodes
    assert (back.padding, back.plus_bicubic, back.enlarged) == (
        model.padding,
        model.plus_bicubic,
        model.enlarged,
    )
    if not form or name.startswith("idn"):  # other kernels come back from a pixel shuffle as large as needed
        assert back.architecture.heads[scale] == model.architecture.heads[scale]
    for key, tensor in back.tensors.items():
        if key.startswith("node.") or not form:
            np.testing.assert_array_equal(tensor, model.tensors[key])
    assert near(oracle.forward(to_net(back), picture, scale), oracle.forward(net, picture, scale))


@pytest.mark.parametrize("scale", SCALES)
def test_the_networks_of_the_papers_come_back_to_the_bit(scale):
    for network in (idn.architecture(), fsrcnn.architecture(fsrcnn.STATE2), srcnn.architecture(PAPER)):
        model = network.with_random_weights(np.random.default_rng(0))
        for subpixel in {False, not model.enlarged}:
            onnx.save(export.to_onnx(model, scale, subpixel=subpixel), "model.onnx")
            assert_same_tensors(convert("model.onnx"), model, scale)


PAPER = srcnn.Shape((9, 5, 5))


@pytest.mark.parametrize("scale", SCALES)
def test_a_network_of_ycbcr_goes_from_rgb_to_rgb(scale):
    net = oracle.random_srcnn(np.random.default_rng(2), (5, 1, 3), 6, 4, planes=3)
    model = to_model(net, colour="ycbcr")
    onnx.save(export.to_onnx(model, scale), "model.onnx")
    picture = np.random.default_rng(1).random((11, 14, 3), np.float32)
    ycbcr = picture @ oracle._RGB_TO_YCBCR.T + oracle._OFFSET
    made = np.moveaxis(oracle.forward(net, np.moveaxis(ycbcr, -1, 0), scale), 0, -1)
    expected = (made - oracle._OFFSET) @ np.linalg.inv(oracle._RGB_TO_YCBCR).T
    (theirs,) = session("model.onnx").run(["upscaled"], {"rgb": picture.transpose(2, 0, 1)[None]})
    assert near(theirs[0].transpose(1, 2, 0), expected)
    back = convert("model.onnx")
    assert back.colour == "ycbcr"
    assert_same_tensors(back, model, scale)
    with pytest.raises(ValueError, match="channels='luma' is not what model 'random' reads, only 'rgb'"):
        export.to_onnx(model, scale, channels="luma")


@pytest.mark.parametrize("size", list(itertools.product((1, 2, 3), repeat=2)), ids=str)
@pytest.mark.parametrize("name", ["idn zeros", "srcnn replicate", "srcnn of three"])
def test_the_smallest_pictures_are_mirrored_at_their_edges(name, size):
    net = FAMILIES[name]
    picture = np.random.default_rng(1).random((net.planes, *size), np.float32)
    for scale in SCALES:
        onnx.save(export.to_onnx(to_model(net), scale), "model.onnx")
        (theirs,) = session("model.onnx").run(
            ["upscaled"], {"luma" if net.planes == 1 else "rgb": picture[None]}
        )
        assert near(theirs[0], oracle.forward(net, picture, scale).reshape(theirs[0].shape))


def exported(net, change):
    """A graph of the network in which ``change`` has had its way with constants by name."""
    proto = export.to_onnx(to_model(net), 3)
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for name, value in change.items():
        array = np.asarray(value(onnx.numpy_helper.to_array(constants[name])))
        constants[name].CopyFrom(onnx.numpy_helper.from_array(array, name))
    onnx.save(proto, "model.onnx")


@pytest.mark.parametrize("net", ["idn zeros", "srcnn of three"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bicubic.pad.first_rows.starts": lambda n: n - 1}, "Conv 'bicubic': expected all rows and columns"),
        (
            {"bicubic.pad.last_columns.starts": lambda n: n - 1},
            "Conv 'bicubic': expected all rows and columns",
        ),
        ({"bicubic.pad.last_columns.axes": lambda n: n - 1}, "Concat 'bicubic.pad.columns': "),
        ({"bicubic.weight": lambda w: w + np.float32(1e-3)}, "around 'bicubic', got a mirrored picture"),
    ],
)
def test_a_picture_that_is_enlarged_otherwise_is_refused(run_convert, net, change, message):
    exported(FAMILIES[net], change)
    colour = ["--colour", "rgb"] if FAMILIES[net].planes == 3 else []
    code, lines = run_convert("model.onnx", "-o", "model.safetensors", *colour)
    assert (code, len(lines)) == (1, 1)
    assert message in lines[0]


def test_a_resize_is_the_bicubic_filter_but_for_the_edges():
    net = FAMILIES["srcnn replicate"]
    proto = export.to_onnx(to_model(net), 3)
    nodes = [node for node in proto.graph.node if not node.name.startswith("bicubic")]
    resize = onnx.helper.make_node(
        "Resize",
        ["luma", "", "scales"],
        ["bicubic.shuffle"],
        mode="cubic",
        cubic_coeff_a=-0.5,
        coordinate_transformation_mode="half_pixel",
    )
    del proto.graph.node[:]
    proto.graph.node.extend([resize, *nodes])
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([1, 1, 3, 3]), "scales"))
    onnx.save(proto, "model.onnx")
    back = to_net(convert("model.onnx"))
    picture = np.random.default_rng(1).random((11, 14), np.float32)
    (theirs,) = session("model.onnx").run(["upscaled"], {"luma": picture[None, None]})
    ours, inner = oracle.forward(back, picture, 3), (slice(6, -6), slice(6, -6))
    assert near(theirs[0, 0][inner], ours[inner])
    assert not near(theirs[0, 0], ours)


@pytest.mark.parametrize("scale", SCALES)
def test_colour_around_a_network_that_adds_the_bicubic_picture(scale):
    for net in (FAMILIES["idn zeros"], FAMILIES["srcnn replicate"]):
        onnx.save(export.to_onnx(to_model(net), scale, channels="rgb"), "model.onnx")
        picture = np.random.default_rng(1).random((11, 14, 3), np.float32)
        expected = oracle.upscale_samples(net, picture, scale, guard=False, guided=False)
        (theirs,) = session("model.onnx").run(["upscaled"], {"rgb": picture.transpose(2, 0, 1)[None]})
        assert near(theirs[0].transpose(1, 2, 0), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_colour_of_the_shipped_models(run, name):
    pytest.importorskip("onnxruntime", reason="onnxruntime is the other side of the comparison")
    for scale, form in itertools.product(SCALES, FORMS):
        code, lines = run(name, "-s", scale, "-o", "x.onnx", "--channels", "rgb", "--overwrite", *form)
        assert (code, len(lines)) == (0, 1), lines
        assert lines[0].startswith(f"x.onnx: {name} x{scale}, rgb, ")
        assert "differs from the core by " in lines[0]


def test_the_comparison_sees_colour(model):
    """A graph that has two channels of its result the wrong way round is not that of the model."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is the other side of the comparison")
    proto = export.to_onnx(model, 2, channels="rgb")
    assert export.compare(proto, model, 2) <= export.TOLERANCE
    (weight,) = (tensor for tensor in proto.graph.initializer if tensor.name == "ycbcr_to_rgb.weight")
    array = onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(array[[0, 2, 1]], weight.name))
    assert export.compare(proto, model, 2) > 0.01


def test_a_graph_of_colour_is_no_network_to_convert(run_convert, model):
    onnx.save(export.to_onnx(model, 2, channels="rgb"), "rgb.onnx")
    code, lines = run_convert("rgb.onnx", "-o", "model.safetensors")
    assert (code, len(lines)) == (1, 1)
    assert "expected a network that enlarges luma, and once, got a head for x2" in lines[0]


@pytest.mark.parametrize("slope", [0, 1, 0.05])
def test_other_activations(run, model, slope):
    nodes = [replace(node, slope=np.full_like(node.slope, slope)) for node in model.nodes]
    other = Model(nodes, model.heads, "zeros", "other")
    save_model(other, "model.safetensors")
    assert run("./model.safetensors", "-o", "model.onnx")[0] == 0
    assert_same_tensors(convert("model.onnx"), other, 3)


def test_the_graph_is_as_described(model):
    proto = export.to_onnx(model, 2)
    assert (proto.opset_import[0].version, proto.ir_version) == (17, 8)
    assert [value.name for value in (*proto.graph.input, *proto.graph.output)] == ["luma", "upscaled"]
    names = {tensor.name for tensor in proto.graph.initializer if not tensor.name.endswith(".pads")}
    trunk = {f"node.{i}.{key}" for i in range(len(model.nodes)) for key in ("weight", "bias", "slope")}
    assert names == trunk | {"head.x2.weight", "head.x2.bias"}
    assert {entry.key: entry.value for entry in proto.metadata_props}["name"] == model.name
    with pytest.raises(ValueError, match="channels='grey' is neither 'luma' nor 'rgb'"):
        export.to_onnx(model, 2, channels="grey")


def test_without_onnxruntime_nothing_is_compared(run, monkeypatch, model_file):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, lines = run(model_file, "-o", "model.onnx")
    assert (code, len(lines)) == (0, 1)
    assert lines[0].endswith("not compared with the core: onnxruntime is not installed")


def test_without_onnx(run, monkeypatch, model_file, folder):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run(model_file, "-o", "model.onnx") == (
        1,
        ["fsrcnn-rt: export: needs onnx, which is not installed: pip install 'fsrcnn-rt[export]'"],
    )
    assert list(folder.iterdir()) == []


def test_a_graph_that_differs_is_not_put_in_place(run, monkeypatch, model_file, folder):
    monkeypatch.setattr("fsrcnn_rt.cli.export.compare", lambda *_: 2e-5)
    code, lines = run(model_file, "-o", "model.onnx")
    assert (code, len(lines)) == (1, 1)
    assert "model.onnx not written: it differs from the core by 2.0e-05" in lines[0]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fsrcnn", "-s", "5", "-o", "a.onnx"], "scale=5 is not offered by model 'fsrcnn', only 2, 3, 4"),
        (["fsrcnn", "-o", "a.pb"], "a.pb: '.pb' is not .onnx"),
        (["fsrcnn", "-o", "no/a.onnx"], "the folder no does not exist"),
        (["nothing", "-o", "a.onnx"], "model='nothing' is neither a shipped model"),
        (["./nothing", "-o", "a.onnx"], "nothing: No such model file"),
        (["fsrcnn", "-o", "a.onnx", "--channels", "grey"], "invalid choice: 'grey'"),
        (["fsrcnn"], "the following arguments are required: -o/--output"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_written(run, folder, arguments, message):
    code, lines = run(*arguments)
    assert (code, len(lines)) == (2, 1)
    assert message in lines[0]
    assert list(folder.iterdir()) == []


def test_existing_outputs_are_kept(run, folder, model_file):
    output = folder / "a.onnx"
    output.write_bytes(b"precious")
    code, lines = run(model_file, "-o", "a.onnx")
    assert (code, lines) == (2, ["fsrcnn-rt: export: a.onnx: exists already (see --overwrite)"])
    assert output.read_bytes() == b"precious"
    assert run(model_file, "-o", "a.onnx", "--overwrite")[0] == 0
    onnx.checker.check_model("a.onnx")
