"""A film that is watched while it is made, in silence, and what has taken its time."""

import io
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

av = pytest.importorskip("av", reason="video files need PyAV")

from clips import add_video, ffmpeg, frames, make, make_rich, packets, planes_of, times  # noqa: E402
from fsrcnn_rt import upscale_video  # noqa: E402

pytestmark = pytest.mark.usefixtures("folder")


def command(model_file, *arguments):
    return [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), *arguments]


def run(model_file, *arguments, **options):
    return subprocess.run(command(model_file, *arguments), capture_output=True, check=False, **options)


def test_a_stream_holds_all_that_a_file_does(model_file, folder):
    make_rich("a.mkv")
    done = run(model_file, "a.mkv", "-o", "-", "--codec", "ffv1")
    assert (done.returncode, done.stderr) == (0, b"")
    (folder / "piped.mkv").write_bytes(done.stdout)
    upscale_video("a.mkv", "b.mkv", 2, model=model_file, codec="ffv1")
    for one, other in zip(frames("piped.mkv"), frames("b.mkv"), strict=True):
        for a, b in zip(planes_of(one), planes_of(other), strict=True):
            assert_array_equal(a, b)
    assert times("piped.mkv") == times("b.mkv")
    for kind in ("audio", "subtitle"):
        piped, original = (
            [(pts, data) for pts, _, data in packets(path, kind)] for path in ("piped.mkv", "a.mkv")
        )
        assert piped == original != []
    with av.open("piped.mkv") as container:
        assert [stream.type for stream in container.streams][-1] == "attachment"
        assert container.metadata["title"] == "größe"
    assert sorted(path.name for path in folder.iterdir()) == ["a.mkv", "b.mkv", "piped.mkv"]


def test_frames_are_there_before_the_end(model_file):
    """The pipe holds but a part of the film, so the command waits for whoever has seen the first frames."""
    make("a.mkv", count=150)
    arguments = command(model_file, "a.mkv", "-o", "-", "--codec", "ffv1")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        head = process.stdout.read(200_000)
        assert process.poll() is None
        with av.open(io.BytesIO(head)) as container:
            first = next(container.decode(video=0))
            assert (first.width, first.pts) == (88, 0)
        rest, told = process.stdout.read(), process.stderr.read()
    assert (process.returncode, told) == (0, b"")
    with av.open(io.BytesIO(head + rest)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 150


def test_frames_of_few_bytes_do_not_wait_for_each_other(model):
    """No pipe is full of them, and no second has gone by when the first are there."""
    with av.open("a.mkv", "w") as container:
        stream = add_video(container, size=(16, 16))
        for number in range(20):
            still = av.VideoFrame.from_ndarray(np.zeros((24, 16), np.uint8), "yuv420p")
            still.pts = number
            container.mux(stream.encode(still))
        container.mux(stream.encode(None))
    sink, sizes = io.BytesIO(), []
    upscale_video("a.mkv", sink, 2, model=model, progress=lambda done: sizes.append(len(sink.getvalue())))
    assert len(set(sizes)) > 2
    assert len(sink.getvalue()) < 16384


@pytest.mark.parametrize(
    "player",
    [["ffmpeg", "-v", "error", "-i", "-", "-f", "null", "-"], ["mpv", "--vo=null", "--ao=null", "-"]],
)
def test_players_read_it(model_file, player):
    if shutil.which(player[0]) is None:
        pytest.skip(f"{player[0]} is not installed")
    ffmpeg("a.mp4", "-c:v", "libx264", "-c:a", "aac", sound=True)
    arguments = command(model_file, "a.mp4", "-o", "-", "--preset", "ultrafast")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        played = subprocess.run(player, stdin=process.stdout, capture_output=True, timeout=60, check=False)
    assert (process.returncode, played.returncode) == (0, 0)
    if player[0] == "mpv":
        assert b"(h264 128x96 25.000fps)" in played.stdout and b"(aac 1ch 48000Hz)" in played.stdout
    else:
        assert (played.stdout, played.stderr) == (b"", b"")


def test_a_reader_that_goes_away(model_file):
    make("a.mkv", count=100)
    arguments = command(model_file, "a.mkv", "-o", "-", "--codec", "ffv1")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1000)
        process.stdout.close()
        told = process.stderr.read().decode()
    assert process.returncode == 1
    assert told == "fsrcnn-rt: a.mkv: nobody reads the output - any more\n"


@pytest.mark.parametrize(("source", "asked", "carried"), [("a.mkv", "mp4", "mkv"), ("a.y4m", "mkv", "y4m")])
def test_no_other_format_goes_to_stdout(run_silent, folder, source, asked, carried):
    (folder / source).write_bytes(b"")
    code, lines = run_silent(source, "-o", "-", "-f", asked)
    assert (code, lines) == (2, [f"fsrcnn-rt: video: {source}: stdout carries {carried} of it, not {asked}"])


def test_any_sink_of_python(model_file):
    class Slow(io.BytesIO):
        def write(self, data):
            return super().write(data[:1000])

    make("a.mkv", count=3)
    sink = Slow()
    done = upscale_video("a.mkv", sink, 2, model=model_file)
    assert done.frames == 3
    with av.open(io.BytesIO(sink.getvalue())) as container:
        assert container.format.name == "matroska,webm"
        assert sum(1 for _ in container.decode(video=0)) == 3


def test_a_full_disk_behind_a_sink(model_file):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    make("a.mkv", count=3)
    with pytest.raises(OSError, match="No space left"):
        upscale_video("a.mkv", Full(), 2, model=model_file)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        *(("libx264", "mkv"), ("libx265", "mkv"), ("libsvtav1", "mkv"), ("libvpx-vp9", "webm")),
        *(("ffv1", "mkv"), ("prores_ks", "mov")),
    ],
)
def test_encoders_are_silent(model_file, codec, suffix):
    """Libraries of C write to stderr themselves, so it takes a process to see that."""
    make("a.mkv", count=2, size=(64, 64), pix_fmt="yuv422p10le" if codec == "prores_ks" else "yuv420p")
    environment = {name: value for name, value in os.environ.items() if name != "SVT_LOG"}
    done = run(model_file, "a.mkv", "-q", "-o", f"b.{suffix}", "--codec", codec, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_whoever_wants_to_hear_an_encoder_does(model_file):
    make("a.mkv", count=2, size=(64, 64))
    done = run(model_file, "a.mkv", "-o", "b.mkv", "--codec", "libsvtav1", env={**os.environ, "SVT_LOG": "3"})
    assert done.returncode == 0
    assert b"SVT" in done.stderr


def test_the_environment_is_left_alone(model, monkeypatch):
    make("a.mkv", count=2, size=(64, 64))
    for value in (None, "2"):
        if value is None:
            monkeypatch.delenv("SVT_LOG", raising=False)
        else:
            monkeypatch.setenv("SVT_LOG", value)
        upscale_video("a.mkv", "b.mkv", 2, model=model, codec="libsvtav1", overwrite=True)
        assert os.environ.get("SVT_LOG") == value


def test_it_is_told_where_the_time_goes(model):
    make("a.mkv", count=4)
    seen = []
    done = upscale_video("a.mkv", "b.mkv", 2, model=model, progress=seen.append)
    assert all(seconds > 0 for seconds in done.spent)
    for earlier, later in zip(seen, [*seen[1:], done], strict=True):
        assert all(a <= b for a, b in zip(earlier.spent, later.spent, strict=True))
