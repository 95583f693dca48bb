"""What is accepted: containers, pixel formats, interlaced films; and what a result of each is."""

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt import Upscaler, cli
from fsrcnn_rt.files import VIDEO_SUFFIXES
from numpy.testing import assert_array_equal

av = pytest.importorskip("av", reason="video files need PyAV")

from clips import BT709, FULL, LIMITED, ffmpeg, frames, make, packets, planes_of, times  # noqa: E402
from fsrcnn_rt import upscale_frames, upscale_video  # noqa: E402
from fsrcnn_rt.video.pixels import _INTERLEAVED, equals, pixels  # noqa: E402
from fsrcnn_rt.video.source import _deinterlaced  # noqa: E402

B = av.video.frame.PictureType.B

pytestmark = pytest.mark.usefixtures("folder")

# By suffix: what ffmpeg makes the clip of, and the suffix and the codec of a result.
CONTAINERS = {
    "mpg": (["-c:v", "mpeg2video", "-c:a", "mp2"], "mkv", "h264"),
    "mpeg": (["-c:v", "mpeg1video", "-c:a", "mp2"], "mkv", "h264"),
    "vob": (["-c:v", "mpeg2video", "-c:a", "ac3"], "mkv", "h264"),
    "m2v": (["-an", "-c:v", "mpeg2video"], "mkv", "h264"),
    "ogv": (["-c:v", "libtheora", "-c:a", "libvorbis"], "mkv", "h264"),
    "rm": (["-c:v", "rv20", "-c:a", "ac3"], "mkv", "h264"),
    "divx": (["-c:v", "mpeg4", "-c:a", "mp3", "-f", "avi"], "mkv", "h264"),
    "mxf": (["-c:v", "mpeg2video", "-c:a", "pcm_s16le"], "mkv", "h264"),
    "wmv": (["-c:v", "wmv2", "-c:a", "wmav2"], "wmv", "h264"),
    "asf": (["-c:v", "wmv2", "-c:a", "wmav2"], "asf", "h264"),
    "flv": (["-c:v", "flv", "-c:a", "aac"], "flv", "h264"),
    "f4v": (["-c:v", "libx264", "-c:a", "aac"], "f4v", "h264"),
    "3gp": (["-c:v", "libx264", "-c:a", "aac"], "3gp", "h264"),
    "3g2": (["-c:v", "libx264", "-c:a", "aac"], "3g2", "h264"),
    "mts": (["-c:v", "libx264", "-c:a", "ac3"], "mts", "h264"),
    "m2ts": (["-c:v", "libx264", "-c:a", "ac3"], "m2ts", "h264"),
    "m2t": (["-c:v", "mpeg2video", "-c:a", "mp2"], "m2t", "h264"),
    "nut": (["-c:v", "ffv1", "-c:a", "flac"], "nut", "ffv1"),
}


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_containers(run_silent, suffix):
    options, result, codec = CONTAINERS[suffix]
    ffmpeg(f"a.{suffix}", *options, sound=True)
    assert run_silent(f"a.{suffix}", *(["--preset", "ultrafast"] if codec == "h264" else [])) == (0, [])
    output = f"a_x2.{result}"
    with av.open(output) as container:
        video = container.streams.video[0]
        assert (video.codec_context.codec.canonical_name, video.width, video.height) == (codec, 128, 96)
    # A container may have times begin at 0, or tell none but those of decoding.
    before, after = ([float(time) for time, _ in times(path)] for path in (f"a.{suffix}", output))
    assert len(after) == len(before) == 6
    if result not in ("wmv", "asf"):
        assert np.diff(after) == pytest.approx(np.diff(before), abs=2e-3)
    if "-an" not in options:
        sounds = [b"".join(data for *_, data in packets(path, "audio")) for path in (f"a.{suffix}", output)]
        assert sounds[0] == sounds[1] != b""


def test_a_picture_of_windows_media_is_shown_when_it_is_decoded(model):
    """Its container has one time a frame."""
    ffmpeg("a.wmv", "-c:v", "wmv2")
    upscale_video("a.wmv", "b.mkv", 2, model=model)
    upscale_video("a.wmv", "b.wmv", 2, model=model)
    assert [any(frame.pict_type == B for frame in frames(path)) for path in ("b.mkv", "b.wmv")] == [
        True,
        False,
    ]
    with av.open("b.wmv") as container:
        decoded_at = [packet.dts for packet in container.demux(video=0) if packet.size]
    assert decoded_at == [frame.pts for frame in frames("a.wmv")]


def test_a_suffix_that_nobody_knows(model_file, folder, capfd):
    make("a.mkv", count=2).rename("a.film")
    command = ["video", "-m", str(model_file)]
    assert cli.main([*command, "a.film"]) == 0
    assert len(times("a_x2.mkv")) == 2
    (folder / "b.txt").write_text("text")
    (folder / "a.png").write_bytes(b"")
    assert cli.main([*command, "b.txt"]) == 1
    assert cli.main([*command, "a.png"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("fsrcnn-rt: b.txt: is no video that can be read: ")
    assert lines[1].startswith("fsrcnn-rt: video: a.png: is not a video")


@pytest.mark.parametrize("output", ["b.ogv", "b.rm", "b.dv", "b.mpg"])
def test_a_container_that_nothing_fits(run_silent, folder, output):
    make("a.mkv", count=2)
    code, lines = run_silent("a.mkv", "-o", output)
    assert (code, len(lines)) == (1, 1)
    assert "takes the pixel format yuv420p and fits a container of " in lines[0]
    assert [path.name for path in folder.iterdir()] == ["a.mkv"]


def test_every_suffix_is_tried_or_of_one_that_is():
    others = {".y4m", ".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".ts"}
    others |= {".rmvb", ".dv"}  # RealMedia once more; frames of full PAL, which take their time
    assert {f".{suffix}" for suffix in CONTAINERS} | others == set(VIDEO_SUFFIXES)


def filled(name, size=(46, 32)):
    """A frame of noise in a planar format."""
    kind, frame = pixels(name), av.VideoFrame(*size, name)
    rng = np.random.default_rng(1)
    for view in kind.views(frame):
        view[...] = rng.integers(0, 1 << kind.layout.bits, view.shape)
    return frame


@pytest.mark.parametrize("name", _INTERLEAVED)
def test_interleaved_samples_are_read_where_they_lie(name):
    """FFmpeg interleaves; what is read there is what was interleaved, to the bit."""
    planar = filled(_INTERLEAVED[name][0])
    try:
        frame = planar.reformat(format=name)
    except av.FFmpegError:
        pytest.skip(f"this FFmpeg makes no {name}")
    views = pixels(name).views(frame)
    for view, want in zip(views, pixels(planar.format.name).views(planar), strict=True):
        assert_array_equal(view, want)


@pytest.mark.parametrize(
    ("name", "result"),
    [("nv12", "yuv420p"), ("uyvy422", "yuv422p"), ("yuvj420p", "yuv420p"), ("yuva420p", "yuva420p")],
)
def test_a_film_of_another_layout_is_as_of_planes(model, name, result):
    ffmpeg("a.nut", "-c:v", "rawvideo", pix_fmt=name, seconds=0.08)
    upscale_video("a.nut", "b.mkv", 2, model=model, codec="ffv1")
    small, large = list(frames("a.nut")), list(frames("b.mkv"))
    assert [(frame.format.name, len(large)) for frame in large] == [(result, 2)] * 2
    kind = pixels(name)
    for a, b in zip(small, large, strict=True):
        views = kind.views(a)
        want = Upscaler(model).upscale_planes(views, 2, subsampling=kind.layout.subsampling)
        for one, other in zip(want, pixels(result).views(b), strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["rgb24", "bgr0", "rgba", "gbrp", "gbrap", "gbrp16le"])
def test_rgb_is_as_of_pictures(model, name):
    bits = pixels(name).layout.bits
    source = "ffv1" if bits > 8 else "rawvideo"
    ffmpeg("a.nut", "-c:v", source, pix_fmt=name, seconds=0.08)
    upscale_video("a.nut", "b.mkv", 2, model=model, codec="ffv1")
    for a, b in zip(frames("a.nut"), frames("b.mkv"), strict=True):
        want = Upscaler(model).upscale(pixels(a.format.name).colours(a), 2)
        assert_array_equal(pixels(b.format.name).colours(b), want)


def test_rgb_of_ten_bits_is_computed_in_floats(model):
    make("a.mkv", pix_fmt="gbrp10le", count=2)
    upscale_video("a.mkv", "b.mkv", 2, model=model)
    for a, b in zip(frames("a.mkv"), frames("b.mkv"), strict=True):
        assert b.format.name == "gbrp10le"
        picture = np.stack(pixels("gbrp10le").views(a), -1) / np.float32(1023)
        want = np.rint(np.clip(Upscaler(model).upscale(picture, 2), 0, 1) * np.float32(1023))
        assert_array_equal(np.stack(pixels("gbrp10le").views(b), -1), want)


@pytest.mark.parametrize("name", ["gbrp", "gbrap", "gbrp16le", "gbrap16le"])
def test_formats_of_the_same_samples(name):
    """What an encoder takes in place of a format is made of it without a loss."""
    frame = filled(name)
    for other in equals(name):
        assert_array_equal(pixels(other).colours(frame.reformat(format=other)), pixels(name).colours(frame))


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrap"])
def test_an_encoder_is_found_for_rgb(model, pix_fmt):
    ffmpeg("a.nut", "-c:v", "rawvideo", pix_fmt=pix_fmt, seconds=0.08)
    upscale_video("a.nut", "b.mkv", 2, model=model)
    assert {frame.format.name for frame in frames("b.mkv")} <= set(equals(pix_fmt))


COLOURS = [(255, 40, 20), (10, 60, 220)]


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        ("libx264", "yuv444p"),
        ("libx264", "yuv420p"),
        ("libx265", "yuv444p"),
        ("libsvtav1", "yuv420p"),
        ("prores_ks", "yuv422p10le"),
    ],
)
def test_colours_stay_where_rgb_becomes_yuv(model, capfd, codec, pix_fmt):
    picture = np.repeat(np.array([COLOURS], np.uint8), 32, 1).repeat(64, 0)
    with av.open("a.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "bgr0"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    upscale_video("a.mkv", "b.mkv", 2, model=model, codec=codec, pix_fmt=pix_fmt)
    for frame in frames("b.mkv"):
        assert (frame.format.name, frame.colorspace, frame.color_range) == (pix_fmt, BT709, LIMITED)
        shown = frame.reformat(format="rgb24", dst_color_range=FULL).to_ndarray().astype(int)
        for x, colour in zip((32, 96), COLOURS, strict=True):
            assert np.abs(shown[64, x] - colour).max() < 12
    assert capfd.readouterr().err == ""


def test_colours_stay_where_yuv_becomes_rgb(model):
    ffmpeg("a.mkv", "-c:v", "libx264", "-colorspace", "bt709", pix_fmt="yuv444p", seconds=0.08)
    upscale_video("a.mkv", "b.mkv", 2, model=model, codec="ffv1")
    upscale_video("a.mkv", "c.mkv", 2, model=model, codec="libx264rgb", crf=0, pix_fmt="rgb24")
    for a, b in zip(frames("b.mkv"), frames("c.mkv"), strict=True):
        assert b.format.name == "gbrp"
        want = a.reformat(format="rgb24", dst_color_range=FULL).to_ndarray().astype(int)
        assert np.abs(b.to_ndarray(format="rgb24") - want).max() < 4


def test_full_range_stays(model):
    ffmpeg("a.mkv", "-c:v", "libx264", "-color_range", "pc", pix_fmt="yuvj444p", seconds=0.08)
    upscale_video("a.mkv", "b.mkv", 2, model=model, codec="ffv1")
    for a, b in zip(frames("a.mkv"), frames("b.mkv"), strict=True):
        assert (a.color_range, b.color_range, b.format.name) == (FULL, FULL, "yuv444p")
        want = Upscaler(model).upscale_planes(planes_of(a), 2, subsampling=(1, 1))
        for one, other in zip(want, planes_of(b), strict=True):
            assert_array_equal(one, other)


def interlaced(path, *options):
    """An upright edge that moves from each row to the next one, in a clip that says so."""
    edge = "geq=lum='if(gt(X,8+3*N),200,50)':cb=128:cr=128,tinterlace=interleave_top,setfield=tff"
    flags = ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-qscale:v", "2", "-bf", "0")
    return ffmpeg(path, "-vf", edge, *flags, *options, size="64x64", seconds=0.48)


def combing(frames):
    """How much each row differs from the next one."""
    return np.mean([np.abs(np.diff(planes_of(frame)[0].astype(int), axis=0)).mean() for frame in frames])


def test_interlaced_films_are_made_whole(run_silent, model):
    interlaced("a.mkv")
    small = list(frames("a.mkv"))
    assert all(frame.interlaced_frame for frame in small)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        large = list(upscale_frames("a.mkv", 2, model=model, deinterlace=True))
    whole = list(upscale_frames("a.mkv", 2, model=model))
    assert len(large) == len(small) == len(whole)
    assert [(a.pts, a.time_base, a.duration) for a in large] == [
        (a.pts, a.time_base, a.duration) for a in small
    ]
    assert combing(large) < 0.6 * combing(whole)
    assert run_silent("a.mkv", "--deinterlace", "--codec", "ffv1") == (0, [])
    assert times("a_x2.mkv") == times("a.mkv")
    assert not any(frame.interlaced_frame for frame in frames("a_x2.mkv"))
    for one, other in zip(frames("a_x2.mkv"), large, strict=True):
        for a, b in zip(planes_of(one), planes_of(other), strict=True):
            assert_array_equal(a, b)
    code, lines = run_silent("a.mkv", "-o", "b.mkv")
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith("fsrcnn-rt: a.mkv is interlaced, and upscaling mixes its fields (see ")


def test_frames_that_are_whole_are_left_alone(model):
    make("a.mkv", count=3)
    for a, b in zip(
        upscale_frames("a.mkv", 2, model=model),
        upscale_frames("a.mkv", 2, model=model, deinterlace=True),
        strict=True,
    ):
        assert (a.pts, a.time_base, a.duration) == (b.pts, b.time_base, b.duration)
        for one, other in zip(planes_of(a), planes_of(b), strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize("name", [*_INTERLEAVED, "gray10le", "yuvj422p", "gbrap12le"])
def test_the_filter_moves_samples_and_changes_none(name):
    """Of frames that are whole, what it gives is what it got, or it is not given at all."""
    kind = pixels(name)
    frame = filled(kind.result)
    frame = frame if name == kind.result else frame.reformat(format=name)
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    if name in ("ya8", "ya16le", "gray10le", "gbrap12le"):
        with pytest.raises(ValueError, match=f"pixel format {name}, which bwdif does not take"):
            list(_deinterlaced(each for each in [frame]))
        return
    (whole,) = _deinterlaced(each for each in [frame])
    for view, want in zip(pixels(whole.format.name).views(whole), kind.views(frame), strict=True):
        assert_array_equal(view, want)


def test_deinterlacing_ends_with_an_interruption(model):
    make("a.mkv", count=30)
    some = upscale_frames("a.mkv", 2, model=model, deinterlace=True)
    assert next(some).width == 88
    some.close()


def test_tags_pass_the_filter(model):
    interlaced("a.mkv", "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709")
    first = next(upscale_frames(Path("a.mkv"), 2, model=model, deinterlace=True))
    assert (first.colorspace, first.color_primaries, first.color_trc) == (1, 1, 1)
