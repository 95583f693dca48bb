"""``fsrcnn-rt convert``, whatever the format."""

import sys
from pathlib import Path

import fsrcnn_rt
import pytest
from foreign import assert_refused, graph_file, mat_file, state_file
from fsrcnn_rt.errors import what_is_missing

pytestmark = pytest.mark.usefixtures("folder")


# What is in the folder, the input, options, the exit code, and what the one line on stderr tells.
FAULTS = {
    "no file": (lambda: None, "x3.mat", [], 1, "x3.mat: No such file or directory"),
    "unknown extension": (lambda: None, "x3.h5", [], 2, "'.h5' is none of .mat, .caffemodel, .pth"),
    "no extension": (lambda: None, "x3", [], 2, "'no suffix' is none of .mat, .caffemodel, .pth"),
    "no scale": (lambda: mat_file("net.mat"), "net.mat", [], 2, "scale: net.mat does not tell it"),
    "two scales": (lambda: mat_file("x2x_x3.mat"), "x2x_x3.mat", [], 2, "x3.mat does not tell it"),
    "scale 5": (lambda: None, "net.mat", ["-s", "5"], 2, "argument -s/--scale: invalid choice: 5"),
    "border": (lambda: None, "net.mat", ["--border", "some"], 2, "'some' is neither 'full' nor an integer"),
}


@pytest.mark.parametrize(("prepare", "source", "options", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_converted_is_one_line_and_nothing_written(
    run_convert, folder, prepare, source, options, code, message
):
    assert_refused(run_convert, folder, prepare, source, options, code, message)


@pytest.mark.parametrize(
    ("write", "source", "modules", "told"),
    [
        (
            mat_file,
            "x3.mat",
            ["scipy", "scipy.io"],
            "needs scipy, which is not installed: pip install 'fsrcnn-rt",
        ),
        (
            state_file,
            "x3.pth",
            ["torch"],
            "needs torch, which is not installed: pip install 'fsrcnn-rt[train]'",
        ),
        (
            graph_file,
            "x3.onnx",
            ["onnx"],
            "needs onnx, which is not installed: pip install 'fsrcnn-rt[convert]'",
        ),
        (
            lambda path: Path(path).write_bytes(b""),
            "x3.caffemodel",
            ["google.protobuf", "google.protobuf.message"],
            "needs protobuf, which is not installed: pip install 'fsrcnn-rt[convert]'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_missing_packages_are_named(run_convert, monkeypatch, write, source, modules, told):
    write(source)
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    code, lines = run_convert(source, "-o", "model.safetensors")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"fsrcnn-rt: convert: {source}: {told}")


def test_existing_outputs_are_kept(run_convert, folder):
    mat_file("x3.mat")
    output = folder / "model.safetensors"
    output.write_bytes(b"precious")
    assert run_convert("x3.mat", "-o", output.name) == (
        2,
        ["fsrcnn-rt: convert: model.safetensors: exists already (see --overwrite)"],
    )
    assert output.read_bytes() == b"precious"
    assert run_convert("x3.mat", "-o", output.name, "--overwrite") == (0, [])
    assert fsrcnn_rt.load(output).scales == (3,)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("no/a.safetensors", "the folder no does not exist"),
        (".", "exists already"),
        ("x3.mat", "is the input"),
    ],
)
def test_bad_outputs(run_convert, output, message):
    mat_file("x3.mat")
    code, lines = run_convert("x3.mat", "-o", output, "--overwrite")
    assert (code, len(lines)) == (2, 1)
    assert message in lines[0]


def test_modules_that_are_no_extra_are_not_excused():
    with pytest.raises(ModuleNotFoundError, match="fault"):
        what_is_missing(ModuleNotFoundError("a fault of ours", name="fsrcnn_rt.nothing"))
