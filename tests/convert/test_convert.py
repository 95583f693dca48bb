"""``fsrcnn-rt convert``, whatever the format."""

import os
import subprocess
import sys

import fsrcnn_rt
import pytest
from foreign import assert_refused, graph_file, mat_file, state_file
from fsrcnn_rt.convert import convert
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
    ("write", "source"), [(mat_file, "x3.mat"), (state_file, "x3.pth"), (graph_file, "x3.onnx")]
)
def test_no_package_of_another_format_is_taken(folder, write, source):
    write(source)
    code = f"import sys\nfrom fsrcnn_rt.convert import convert\nconvert({source!r})\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"scipy", "torch", "onnx", "google"} & set(done.stdout.split())


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


def test_a_pipe_is_refused_at_once(run_convert, folder):
    os.mkfifo(folder / "x3.pth")
    assert_refused(run_convert, folder, lambda: None, "x3.pth", [], 1, "x3.pth: Not a regular file")


@pytest.mark.parametrize("key", ["pad", "output_padding", "border"])
def test_arguments_that_are_no_integers(key):
    for value in "4", 4.0, True, b"4":
        with pytest.raises(TypeError, match=f"{key}={value!r} is not an integer"):
            convert("x3.pth", **{key: value})


@pytest.mark.parametrize("scale", [0, "3", b"23", 5, None])
def test_scales_that_are_none(scale, folder):
    mat_file("net.mat")
    with pytest.raises(ValueError, match=r"scale=.* is none of 2, 3, 4|scale: net.mat does not tell it"):
        convert("net.mat", scale=scale)


def test_modules_that_are_no_extra_are_not_excused():
    with pytest.raises(ModuleNotFoundError, match="fault"):
        what_is_missing(ModuleNotFoundError("a fault of ours", name="fsrcnn_rt.nothing"))
