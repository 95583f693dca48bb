"""The authors' files: each must compute here what it computes in their program."""

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from foreign import SCALES, assert_refused, assert_same, mat_file, mat_net, move, run_mat, save_mat, truncate
from fsrcnn_rt.convert import convert
from fsrcnn_rt.evaluation.protocol import evaluate, list_images, mean

pytestmark = pytest.mark.usefixtures("folder")

# PSNR in dB that the authors' weights reach on Set5 and Set14, by scale (FSRCNN, tables 3 and 4, reproduced).
AUTHORS = {
    "FSRCNN": {"Set5": {2: 36.997, 3: 33.155, 4: 30.704}, "Set14": {2: 32.627, 3: 29.423, 4: 27.591}},
    "FSRCNN-s": {"Set5": {2: 36.572, 3: 32.604, 4: 30.111}, "Set14": {2: 32.275, 3: 29.124, 4: 27.186}},
}


@pytest.fixture(scope="session")
def authors_folder(data_folder):
    folder = data_folder.parent / "reference" / "FSRCNN-authors"
    if not folder.is_dir():
        pytest.skip(f"the authors' weights are not there: {folder}")
    return folder


@pytest.mark.parametrize("scale", SCALES)
def test_the_layout_of_the_authors(run_convert, plane, scale):
    net = mat_net(scale)
    save_mat(f"x{scale}.mat", net, scale)
    assert run_convert(f"x{scale}.mat", "-o", "model.safetensors") == (0, [])
    model = fsrcnn_rt.load("./model.safetensors")
    assert (model.name, model.scales, model.family) == ("model", (scale,), "FSRCNN(8, 3, 2)")
    assert model.provenance["converted_from"] == f"x{scale}.mat"
    assert_same(model, plane, run_mat(f"x{scale}.mat", plane, scale))
    assert_same(model, plane, oracle.forward(net, plane, scale))


def test_other_filters_are_a_network_of_no_family(plane):
    net = mat_net(3)
    weight, bias, slope = net.layers[2]
    layers = net.layers
    layers[2] = (np.ascontiguousarray(weight[..., :1, :1]), bias, slope)
    save_mat("x3.mat", oracle.Net(oracle.chain(layers), net.heads, net.padding), 3)
    model = convert("x3.mat")
    assert model.family == "network of 5 convolutions"
    assert_same(model, plane, run_mat("x3.mat", plane, 3))


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
    pytest.importorskip("scipy", reason="scipy writes .mat files: the extra 'dev'")
    path = authors_folder / name / f"x{scale}.mat"
    assert_same(convert(path), plane, run_mat(path, plane, scale))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", AUTHORS)
def test_the_files_of_the_authors_reach_their_quality(authors_folder, data_folder, name, scale):
    pytest.importorskip("scipy", reason="scipy writes .mat files: the extra 'dev'")
    upscaler = fsrcnn_rt.Upscaler(convert(authors_folder / name / f"x{scale}.mat"))
    for dataset, figures in AUTHORS[name].items():
        results = evaluate({scale: {name: upscaler.upscale}}, list_images(data_folder / dataset))
        psnr = mean([result.figures for result in results]).psnr
        print(f"{name} x{scale} on {dataset}: {psnr:.3f} dB")
        assert psnr == pytest.approx(figures[scale], abs=0.01)


def cell(key, i, change):
    def apply(contents):
        contents[key][i, 0] = change(contents[key][i, 0])

    return apply


# What is in the folder, the input, options, the exit code, and what the one line on stderr tells.
FAULTS = {
    "pad": (
        lambda: mat_file("x3.mat"),
        "x3.mat",
        ["--pad", "20"],
        1,
        "weights_conv{6}: expected a head that fits 17x17 pixels of the output at x3, got one of 9x9, 20 of",
    ),
    "output padding": (
        lambda: mat_file("x3.mat"),
        "x3.mat",
        ["--output-padding", "2"],
        1,
        "weights_conv{6}: 9x9 at stride 3 with pad 3 and output padding 2 does not give 3 times",
    ),
    "half a mat": (truncate(mat_file, "x3.mat"), "x3.mat", [], 1, "is not a MATLAB file of version 5 to 7"),
    "mat of something else": (
        lambda: mat_file("x3.mat", lambda cells: move(cells, "weights_conv", "images")),
        "x3.mat",
        [],
        1,
        "weights_conv: expected a cell array of that name, got a file with",
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
}


@pytest.mark.parametrize(("prepare", "source", "options", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_converted_is_one_line_and_nothing_written(
    run_convert, folder, prepare, source, options, code, message
):
    assert_refused(run_convert, folder, prepare, source, options, code, message)
