"""The files of the authors of SRCNN and IDN: layouts, what is refused, and what the weights reach."""

from pathlib import Path

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from conversions import to_model
from foreign import SCALES, assert_refused, caffe_layer, field, save_caffe, varint
from fsrcnn_rt.convert import convert
from fsrcnn_rt.evaluation import metrics, protocol

# Mean PSNR in dB on Set5 and Set14, by scale, as PyTorch computes it with the same weights.
FIGURES = {
    "SRCNN 9-1-5 (64-32)": {
        "Set5": {2: 36.342, 3: 32.390, 4: 30.081},
        "Set14": {2: 32.176, 3: 29.003, 4: 27.202},
    },
    "SRCNN 9-5-5 (64-32)": {
        "Set5": {2: 36.656, 3: 32.749, 4: 30.484},
        "Set14": {2: 32.454, 3: 29.292, 4: 27.502},
    },
    "IDN(64, 4 blocks)": {
        "Set5": {2: 37.827, 3: 34.113, 4: 31.809},
        "Set14": {2: 33.292, 3: 29.988, 4: 28.245},
    },
}
FILES = {
    "SRCNN 9-1-5 (64-32)": "SRCNN-authors/9-1-5(91 images)/x{}.mat",
    "SRCNN 9-5-5 (64-32)": "SRCNN-authors/9-5-5(ImageNet)/x{}.mat",
    "IDN(64, 4 blocks)": "IDN-authors/IDN_x{}.caffemodel",
}


@pytest.fixture(scope="session")
def reference(data_folder):
    folder = data_folder.parent / "reference"
    if not folder.is_dir():
        pytest.skip(f"the authors' weights are not there: {folder}")
    return folder


def authors_model(reference, name, scale):
    pytest.importorskip("scipy", reason="scipy writes .mat files: the extra 'dev'")
    path = reference / FILES[name].format(scale)
    if not path.is_file():
        pytest.skip(f"the authors' weights are not there: {path}")
    return convert(path)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FILES)
def test_networks_of_the_authors(reference, name, scale):
    model = authors_model(reference, name, scale)
    idn = name.startswith("IDN")
    assert (model.family, model.scales) == (name, (scale,))
    assert (model.padding, model.plus_bicubic, model.enlarged) == (
        "zeros" if idn else "replicate",
        idn,
        not idn,
    )
    activations = {node.activation for node in model.nodes}
    assert activations == ({"leaky"} if idn else {"relu"})


def psnr(upscale, data_folder, dataset, scale):
    """Mean PSNR of a data set, by the papers' protocol."""
    found = []
    for path in protocol.list_images(data_folder / dataset):
        pair = protocol.make_pair(protocol.load_luma(path), scale)
        found.append(metrics.psnr(protocol.to_8bit(upscale(pair.lr, scale)), pair.hr, shave=scale))
    return np.mean(found)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dataset", ["Set5", "Set14"])
@pytest.mark.parametrize("name", FILES)
def test_the_core_reaches_the_figures_of_the_authors(reference, data_folder, name, dataset, scale):
    upscaler = fsrcnn_rt.Upscaler(authors_model(reference, name, scale), guard=False)
    found = psnr(upscaler.upscale, data_folder, dataset, scale)
    assert found == pytest.approx(FIGURES[name][dataset][scale], abs=0.01)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FILES)
def test_the_figures_of_the_authors_in_pytorch(reference, data_folder, name, scale):
    torch = pytest.importorskip("torch", reason="PyTorch computes the networks")
    from fsrcnn_rt.training.network import apply

    model = authors_model(reference, name, scale)
    weights = {key: torch.from_numpy(tensor) for key, tensor in model.tensors.items()}

    def upscale(luma, scale):
        with torch.no_grad():
            return apply(model.architecture, weights, torch.from_numpy(luma)[None, None], scale)[0, 0].numpy()

    found = psnr(upscale, data_folder, "Set5", scale)
    assert found == pytest.approx(FIGURES[name]["Set5"][scale], abs=0.01)


# What a .mat of SRCNN holds


def save_srcnn(path, net, scale, change=lambda contents: None):
    """As the authors store it: kernels column by column, an axis of length 1 at the end left out."""
    scipy_io = pytest.importorskip("scipy.io", reason="scipy writes .mat files: the extra 'dev'")
    tensors = [layer[:2] for layer in net.layers] + [net.heads[scale][:2]]
    contents = {}
    for i, (weight, bias) in enumerate(tensors, 1):
        oc, ic, kernel, _ = weight.shape
        cell = weight.astype(np.float64).transpose(1, 3, 2, 0).reshape(ic, kernel * kernel, oc)
        cell = cell[0] if i == 1 and ic == 1 else cell[..., 0] if oc == 1 else cell
        contents |= {f"weights_conv{i}": cell, f"biases_conv{i}": bias[:, None]}
    change(contents)
    scipy_io.savemat(path, contents)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("kernels", [(9, 1, 5), (9, 3, 5), (9, 5, 5)])
def test_srcnn(folder, run_convert, kernels, planes, scale):
    net = oracle.random_srcnn(np.random.default_rng(0), kernels, 6, 4, planes=planes, scales=(scale,))
    save_srcnn(f"x{scale}.mat", net, scale)
    colour = ["--colour", "ycbcr"] if planes == 3 else []
    assert run_convert(f"x{scale}.mat", "-o", "model.safetensors", *colour) == (0, [])
    model = fsrcnn_rt.load("./model.safetensors")
    expected = to_model(net, "model", "ycbcr" if planes == 3 else None)
    assert model.architecture == expected.architecture
    for key, tensor in expected.tensors.items():
        np.testing.assert_array_equal(model.tensors[key], tensor)


@pytest.mark.parametrize("scale", SCALES)
def test_idn(folder, run_convert, scale):
    net = save_caffe(f"x{scale}.caffemodel", scale=scale)
    assert run_convert(f"x{scale}.caffemodel", "-o", "model.safetensors") == (0, [])
    model, expected = fsrcnn_rt.load("./model.safetensors"), to_model(net)
    assert model.family == "IDN(8, 2 blocks of 6-8-8-8-8-10)"
    assert model.architecture == expected.architecture
    for key, tensor in expected.tensors.items():
        np.testing.assert_array_equal(model.tensors[key], tensor)


def change(name, **arrays):
    def apply(parts):
        weight, bias = parts[name]
        parts[name] = arrays.get("weight", lambda w: w)(weight), arrays.get("bias", lambda b: b)(bias)

    return apply


def huge_blob(path):
    """A shape whose product overflows, of a single number."""
    blob = field(5, bytes(4)) + field(7, field(1, varint(1 << 40) + varint(1 << 40)))
    Path(path).write_bytes(field(100, field(1, b"conv1") + field(7, blob)))


FAULTS = {
    "half a file": (
        lambda: save_caffe("x3.caffemodel", more=field(100, bytes(50))[:20]),
        "is not a .caffemodel, or a damaged one",
    ),
    "noise": (
        lambda: Path("x3.caffemodel").write_bytes(np.random.default_rng(0).bytes(999)),
        "is not a .caffemodel, or a damaged one",
    ),
    "nothing": (lambda: Path("x3.caffemodel").write_bytes(b""), "expected layers with weights"),
    "a shape of other numbers": (lambda: huge_blob("x3.caffemodel"), "conv1: expected numbers of shape"),
    "a layer twice": (
        lambda: save_caffe("x3.caffemodel", more=caffe_layer("conv1", np.zeros(1))),
        "conv1: expected each layer once, got it twice",
    ),
    "a layer of another network": (
        lambda: save_caffe("x3.caffemodel", more=caffe_layer("fc8", np.zeros(1))),
        "fc8: expected the layers of an IDN, got one of that name",
    ),
    "a layer that is missing": (
        lambda: save_caffe("x3.caffemodel", lambda parts: parts.pop("conv4_2")),
        "conv4_2: expected a layer of that name in an IDN, got none",
    ),
    "no blocks": (
        lambda: save_caffe("x3.caffemodel", lambda parts: parts.pop("down1")),
        "down1: expected a layer of that name in an IDN, got none",
    ),
    "no bias": (
        lambda: save_caffe("x3.caffemodel", lambda parts: parts.update(conv2=parts["conv2"][:1])),
        "conv2: expected square filters and a bias, got [(8, 8, 3, 3)]",
    ),
    "another bias": (
        lambda: save_caffe("x3.caffemodel", change("conv2", bias=lambda b: b[:3])),
        "conv2: expected 8 biases, got (3,)",
    ),
    "other filters": (
        lambda: save_caffe("x3.caffemodel", change("conv3_4", weight=lambda w: w[:, :5])),
        "conv3_4: expected weights of shape (8, 6, 3, 3) there in an IDN, got (8, 5, 3, 3)",
    ),
    "another width": (
        lambda: save_caffe("x3.caffemodel", change("down1", weight=lambda w: w[:, :9])),
        "down1: expected weights of shape (8, 10, 1, 1) there in an IDN, got (8, 9, 1, 1)",
    ),
    "what is not finite": (
        lambda: save_caffe("x3.caffemodel", change("conv1", weight=lambda w: w * np.float32(np.inf))),
        "conv1: tensor 'node.0.weight' has a value that is not finite",
    ),
    "a bias of the head that is no number": (
        lambda: save_caffe("x3.caffemodel", change("upsample", bias=lambda b: b * np.float32(np.nan))),
        "upsample: tensor 'head.x3.bias' has a value that is not finite: nan",
    ),
    "another head": (
        lambda: save_caffe("x3.caffemodel", change("upsample", weight=lambda w: w[:6])),
        "upsample: expected a head of 8 channels to 1, got 6 to 1",
    ),
}


@pytest.mark.parametrize(("prepare", "message"), FAULTS.values(), ids=FAULTS)
def test_a_caffemodel_that_cannot_be_converted(run_convert, folder, prepare, message):
    assert_refused(run_convert, folder, prepare, "x3.caffemodel", [], 1, message)


FAULTS_OF_SRCNN = {
    "a layer that is missing": (
        lambda c: c.pop("weights_conv2"),
        [],
        1,
        "weights_conv2: expected numbers of",
    ),
    "another bias": (lambda c: c.update(biases_conv3=np.zeros(4)), [], 1, "biases_conv3: expected 1 numbers"),
    "even filters": (
        lambda c: c.update(weights_conv2=np.zeros((6, 4, 4))),
        [],
        1,
        "weights_conv2: node.1: kernel=2 is not odd and at most 9",
    ),
    "other channels": (
        lambda c: c.update(weights_conv2=np.zeros((5, 1, 4))),
        [],
        1,
        "weights_conv2: expected weights of 6 channels, got shape (4, 5, 1, 1)",
    ),
    "other channels at the end": (
        lambda c: c.update(weights_conv3=np.zeros((3, 25))),
        [],
        1,
        "weights_conv3: tensor 'head.x3.weight' has shape (1, 3, 5, 5), not (1, 4, 5, 5)",
    ),
    "a pad": (lambda c: None, ["--pad", "4"], 2, "pad=4 cannot be chosen of a network that enlarges nothing"),
    "a colour": (
        lambda c: None,
        ["--colour", "rgb"],
        2,
        "colour='rgb' is of three channels, and the file has 1",
    ),
}


@pytest.mark.parametrize(
    ("change", "options", "code", "message"), FAULTS_OF_SRCNN.values(), ids=FAULTS_OF_SRCNN
)
def test_a_mat_of_srcnn_that_cannot_be_converted(run_convert, folder, change, options, code, message):
    net = oracle.random_srcnn(np.random.default_rng(0), (9, 1, 5), 6, 4, scales=(3,))
    assert_refused(
        run_convert, folder, lambda: save_srcnn("x3.mat", net, 3, change), "x3.mat", options, code, message
    )


def test_three_channels_are_of_a_colour_that_is_told(folder, run_convert):
    net = oracle.random_srcnn(np.random.default_rng(0), (9, 1, 5), 6, 4, planes=3, scales=(3,))
    save_srcnn("x3.mat", net, 3)
    code, lines = run_convert("x3.mat", "-o", "model.safetensors")
    assert (code, len(lines)) == (2, 1)
    assert "colour: the file has three channels and does not tell whether 'ycbcr' or 'rgb'" in lines[0]
