"""Disks that are full, folders that are removed, readers that are gone: a line each, nothing half-written."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from folders import names
from PIL import Image

pytestmark = pytest.mark.usefixtures("folder")

Y4M = b"YUV4MPEG2 W64 H48 F25:1\n" + 30 * (b"FRAME\n" + bytes(range(256)) * (64 * 48 * 3 // 2 // 256))


def command(model_file, *arguments):
    return [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), *arguments]


def make(folder, count=3):
    """Pictures of noise, a clip and a Y4M."""
    samples = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    for i in range(count):
        Image.fromarray(samples).save(folder / f"{i}.png")
    (folder / "a.y4m").write_bytes(Y4M)


def limited():
    """As a disk with room for 40 KB in a file: the system writes what fits, and refuses the rest."""
    resource = pytest.importorskip("resource", reason="no file is limited here")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return limit


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tiff", "bmp"])
def test_pictures_find_no_room(model_file, folder, extension):
    make(folder)
    before = names(folder)
    ours = command(model_file, "0.png", "1.png", "-s", "4", "-f", extension, "--effort", "1")
    result = subprocess.run(ours, capture_output=True, text=True, preexec_fn=limited())
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"fsrcnn-rt: {i}.png: {i}_x4.{extension} cannot be written: File too large" for i in range(2)
    ]
    assert names(folder) == before


def test_a_stream_finds_no_room(model_file, folder):
    make(folder)
    before = names(folder)
    result = subprocess.run(
        command(model_file, "a.y4m"), capture_output=True, text=True, preexec_fn=limited()
    )
    assert (result.returncode, result.stderr) == (1, "fsrcnn-rt: a.y4m: File too large\n")
    assert names(folder) == before


@pytest.mark.parametrize("extension", ["mkv", "mp4", "avi"])
def test_video_finds_no_room(model_file, folder, extension):
    av = pytest.importorskip("av", reason="video files need PyAV")
    from clips import make as make_clip

    make_clip("a.avi", size=(64, 48), count=30)
    codec = "ffv1" if extension != "mp4" else "libx264"
    ours = command(model_file, "a.avi", "-o", f"b.{extension}", "--codec", codec)
    result = subprocess.run(ours, capture_output=True, text=True, preexec_fn=limited())
    assert (result.returncode, result.stderr) == (1, f"fsrcnn-rt: a.avi: b.{extension}: File too large\n"), av
    assert names(folder) == ["a.avi"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("name", ["0.png", "a.y4m"])
def test_stdout_finds_no_room(model_file, folder, name):
    make(folder)
    with Path("/dev/full").open("w") as full:
        ours = command(model_file, name, "-o", "-")
        result = subprocess.run(ours, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (1, f"fsrcnn-rt: {name}: No space left on device\n")


def test_the_output_folder_is_removed_while_it_runs(model_file, folder):
    """What comes then fails, one line each, and the folder is not made again behind the user's back."""
    make(folder, 40)
    (folder / "a.y4m").unlink()
    ours = command(model_file, ".", "-o", "out", "--json", "-j", "1")
    with subprocess.Popen(ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert '"done"' in process.stdout.readline()
        shutil.rmtree(folder / "out", ignore_errors=True)
        _, error = process.communicate()
    assert process.returncode == 1
    *lines, summary = error.splitlines()
    assert lines and all(
        line.startswith("fsrcnn-rt: ") and line.endswith("cannot be written: No such file or directory")
        for line in lines
    )
    assert " failed in " in summary
    assert len(names(folder)) == 40


def test_the_folder_of_a_stream_is_removed_while_it_runs(model_file, folder):
    (folder / "out").mkdir()
    ours = command(model_file, "-", "-o", "out/b.y4m", "-q")
    with subprocess.Popen(ours, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(Y4M)
        process.stdin.flush()
        while not names(folder):
            assert process.poll() is None
        shutil.rmtree(folder / "out")
        process.stdin.close()
        error = process.stderr.read()
    assert process.returncode == 1
    assert error == b"fsrcnn-rt: -: out/b.y4m: No such file or directory\n"
    assert os.listdir() == []  # noqa: PTH208


@pytest.mark.parametrize("name", ["0.png", "a.y4m"])
def test_the_reader_of_a_result_is_gone(model_file, folder, name):
    """As ``| head -c 1``: what a pipe holds is more than it reads."""
    make(folder)
    ours = command(model_file, name, "-o", "-", "-s", "8")
    with subprocess.Popen(ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.buffer.read(1)
        process.stdout.close()
        error = process.stderr.read()
    what = "nobody reads the output - any more" if name == "a.y4m" else "Broken pipe"
    assert error == f"fsrcnn-rt: {name}: {what}\n"
    assert process.returncode == 1
    assert names(folder) == ["0.png", "1.png", "2.png", "a.y4m"]
