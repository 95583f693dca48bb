"""Video of any size, as streams and as files."""

import io

import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.engine.sizes import Box
from fsrcnn_rt.video.y4m import upscale_y4m
from numpy.testing import assert_array_equal
from resized import y4m, yuv


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=2)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"scale": 1.5}, (32, 20)),  # 31.5 and 19.5
        ({"scale": 5}, (105, 65)),
        ({"size": (50, 31)}, (50, 31)),
        ({"size": Box(50, 50)}, (50, 30)),  # 30.95
        ({"size": Box(None, 40)}, (64, 40)),  # 64.6
    ],
)
def test_y4m(model, upscaler, given, size):
    rng = np.random.default_rng(18)
    frames = [yuv(rng, 21, 13, 8, (2, 2)) for _ in range(3)]
    sink = io.BytesIO()
    assert upscale_y4m(io.BytesIO(y4m(frames, (21, 13))), sink, model=model, threads=2, **given).frames == 3
    want = [upscaler.upscale_planes(planes, size=size, chroma_location="center") for planes in frames]
    assert sink.getvalue() == y4m(want, size)


def test_y4m_refuses_before_anything_is_written(model):
    data = y4m([yuv(np.random.default_rng(19), 21, 13, 8, (2, 2))], (21, 13))
    for given, message in (
        ({"size": (20, 40)}, "size=20x40 makes 21x13 to 20x40, which is smaller"),
        ({"scale": 2, "size": (50, 50)}, "exclude"),
    ):
        sink = io.BytesIO()
        with pytest.raises(ValueError, match=message):
            upscale_y4m(io.BytesIO(data), sink, model=model, **given)
        assert sink.getvalue() == b""


@pytest.fixture
def clips(folder):
    pytest.importorskip("av", reason="video files need PyAV")
    import clips

    return clips


@pytest.mark.parametrize(
    ("given", "size"),
    [({"scale": 1.5}, (66, 46)), ({"size": (70, 33)}, (70, 33)), ({"size": Box(None, 50)}, (74, 50))],
)
def test_video_files(clips, upscaler, given, size):
    from fsrcnn_rt import upscale_frames, upscale_video

    clips.make("a.mkv")
    assert upscale_video("a.mkv", "b.mkv", model=upscaler.model, threads=2, **given).frames == 6
    frames = list(upscale_frames("a.mkv", model=upscaler.model, **given))
    for number, large in enumerate(clips.frames("b.mkv")):
        assert (large.width, large.height) == size
        small = clips.planes_of(clips.picture(number))
        want = upscaler.upscale_planes(small, size=size)
        for a, b, c in zip(clips.planes_of(large), want, clips.planes_of(frames[number]), strict=True):
            assert_array_equal(a, b)
            assert_array_equal(c, b)
    assert clips.times("b.mkv") == clips.times("a.mkv")


@pytest.mark.parametrize(("rotation", "size"), [(90, (88, 60)), (180, (60, 88)), (-90, (88, 60))])
def test_a_size_is_that_of_the_video_as_it_is_shown(clips, model, rotation, size):
    from fsrcnn_rt import upscale_video

    with clips.av.open("a.mp4", "w") as container:
        stream = clips.add_video(container, codec="libx264")
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a rotation")
        stream.set_display_rotation(rotation)
        clips.add_frames(container, stream, range(3))
    upscale_video("a.mp4", "b.mp4", size=(60, 88), model=model, preset="ultrafast")
    assert {(frame.width, frame.height) for frame in clips.frames("b.mp4")} == {size}


def test_encoders_that_want_even_sides_are_told_of(clips, run_silent, folder):
    clips.make("a.mp4", codec="libx264")
    code, lines = run_silent("a.mp4", "--size", "71x49", "--stretch")
    assert (code, len(lines)) == (1, 1)
    assert "it may want even sides, and these are 71x49: give a size (--size" in lines[0]
    assert sorted(path.name for path in folder.iterdir()) == ["a.mp4"]
    assert run_silent("a.mp4", "--size", "71x49", "--preset", "ultrafast") == (0, [])  # fits with an even one
    assert {(frame.width, frame.height) for frame in clips.frames("a_71x49.mp4")} == {(70, 48)}
