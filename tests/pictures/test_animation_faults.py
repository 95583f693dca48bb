"""Animations and pages that fail half way: the output is as it was, nothing is left, the others go on."""

import io
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from folders import names
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.pictures import writing
from fsrcnn_rt.pictures.encoding import WriteOptions
from PIL import Image, features

pytestmark = pytest.mark.usefixtures("folder")

KINDS = ["gif", "png", "webp", "tiff", "pdf"] + (["avif"] if features.check("avif") else [])


def noise(count, size=(20, 15)):
    samples = np.random.default_rng(0).integers(0, 256, (count, *size[::-1], 3), np.uint8)
    return [Image.fromarray(frame) for frame in samples]


def save(name, frames, **options):
    frames[0].save(name, save_all=True, append_images=frames[1:], **options)


def limited():
    """As a disk with room for 40 KB in a file."""
    resource = pytest.importorskip("resource", reason="no file is limited here")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return limit


def test_a_disk_that_is_full_half_way(model_file, folder):
    kinds = [kind for kind in KINDS if kind != "pdf"]  # which nothing reads
    for kind in kinds:
        save(f"a.{kind}", noise(6, (80, 60)), **({} if kind == "tiff" else {"duration": 50}))
        (folder / f"a_x2.{kind}").write_bytes(b"what was there")
    noise(1)[0].save("last.png")
    before = names(folder)
    inputs = [*(f"a.{kind}" for kind in kinds), "last.png"]
    command = [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), *inputs, "-s", "2", "--overwrite"]
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited())
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"fsrcnn-rt: a.{kind}: a_x2.{kind} cannot be written: File too large" for kind in kinds
    ]
    assert names(folder) == sorted([*before, "last_x2.png"])
    assert {(folder / f"a_x2.{kind}").read_bytes() for kind in kinds} == {b"what was there"}


class _Full:
    """A file that takes no more from its ``most``-th write on."""

    def __init__(self, file, most):
        self._file, self._left = file, most

    def write(self, data):
        self._left -= 1
        if self._left < 0:
            raise OSError(28, "No space left on device")
        return self._file.write(data)

    def __getattr__(self, name):
        if name == "fileno":  # by which Pillow would write past this
            raise io.UnsupportedOperation(name)
        return getattr(self._file, name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_write_may_fail(model, folder, monkeypatch, kind):
    source = "a.tiff" if kind in ("tiff", "pdf") else "a.gif"
    save(source, noise(3), **({} if source == "a.tiff" else {"duration": 50}))
    picture = pictures.upscale(pictures.read(folder / source), Upscaler(model, threads=1), [2])[2]
    (folder / f"large.{kind}").write_bytes(b"what was there")
    before = names(folder)
    original = writing.atomic_write
    failed = 0
    while True:

        @contextmanager
        def full(path, most=failed):
            with original(path) as file:
                yield _Full(file, most)

        monkeypatch.setattr(writing, "atomic_write", full)
        try:
            pictures.write(picture, folder / f"large.{kind}", WriteOptions(effort=0))
            break
        except OSError as error:
            assert str(error).endswith("cannot be written: No space left on device")
        assert names(folder) == before
        assert (folder / f"large.{kind}").read_bytes() == b"what was there"
        failed += 1
    assert failed > (0 if kind in ("avif", "webp") else 3)
    assert names(folder) == before
    assert (folder / f"large.{kind}").stat().st_size > 500


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_is_removed_half_way(model, folder, kind):
    source = "a.tiff" if kind in ("tiff", "pdf") else "a.gif"
    save(source, noise(3), **({} if source == "a.tiff" else {"duration": 50}))
    picture = pictures.read(folder / source)
    (folder / "out").mkdir()

    def make():
        for i, frame in enumerate(frames):
            if i == 1:
                shutil.rmtree(folder / "out")
            yield frame

    frames = picture.frames
    going = pictures.Picture(pictures.Frames(frames.kinds, make), picture.info, picture.durations)
    large = pictures.upscale(going, Upscaler(model, threads=1), [2])[2]
    with pytest.raises(OSError, match=f"large.{kind} cannot be written: No such file or directory"):
        pictures.write(large, folder / "out" / f"large.{kind}")
    assert names(folder) == [source]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pdf"])
def test_an_input_that_is_cut_off(run_silent, folder, kind):
    save(f"a.{kind}", noise(5), **({} if kind == "tiff" else {"duration": 50}))
    data = (folder / f"a.{kind}").read_bytes()
    (folder / f"a.{kind}").write_bytes(data[: len(data) * 2 // 3])
    noise(1)[0].save("last.png")
    code, lines = run_silent(f"a.{kind}", "last.png", "-o", "out/")
    assert code == 1
    assert lines[0].startswith(f"fsrcnn-rt: a.{kind}: ")
    assert len(lines) == 1
    assert names(folder / "out") == ["last_x3.png"]
