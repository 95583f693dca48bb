"""Video files: what goes in comes out larger, and everything else as it was."""

import os
import re
import subprocess
import sys
from fractions import Fraction
from itertools import product
from pathlib import Path

import drawn
import numpy as np
import pytest
from fsrcnn_rt import ScaleError, Upscaler, cli
from numpy.testing import assert_array_equal

av = pytest.importorskip("av", reason="video files need PyAV")

from clips import (  # noqa: E402
    BT709,
    FULL,
    LIMITED,
    SIZE,
    add_frames,
    add_video,
    frames,
    make,
    make_rich,
    packets,
    picture,
    planes_of,
    tags,
    times,
)
from fsrcnn_rt import upscale_frames, upscale_video  # noqa: E402
from fsrcnn_rt.video.pixels import pixels  # noqa: E402


def names(folder):
    return sorted(path.name for path in folder.iterdir())


pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(scope="session")
def walk(data_folder):
    path = data_folder / "video" / "walk.mp4"
    if not path.is_file():
        pytest.skip(f"no test clip: {path} is not there")
    return path


def test_a_clip_with_sound(run_silent, walk, folder):
    assert run_silent(walk, "-o", "big.mp4", "-s", "2", "--preset", "ultrafast") == (0, [])
    assert len(times(walk)) == 47
    assert times("big.mp4") == times(walk)
    assert packets("big.mp4", "audio") == packets(walk, "audio")
    assert tags("big.mp4") == tags(walk)
    with av.open("big.mp4") as container:
        video, audio = container.streams
        assert (video.name, audio.name) == ("h264", "aac")
        assert (video.width, video.height, video.pix_fmt) == (720, 480, "yuv420p")
        assert video.average_rate == 24
    assert names(folder) == ["big.mp4"]


def test_every_luma_plane_is_the_array_upscaled(walk, model):
    upscaler = Upscaler(model)
    count = 0
    for small, large in zip(frames(walk), upscale_frames(walk, 2, model=model, threads=2), strict=True):
        luma = planes_of(small)[0]
        assert_array_equal(planes_of(large)[0], upscaler.upscale(luma, 2))
        assert (large.pts, large.time_base, large.duration) == (small.pts, small.time_base, small.duration)
        count += 1
    assert count == 47


LAYOUTS = {
    "yuv420p": (8, (2, 2)),
    "yuv422p": (8, (2, 1)),
    "yuv444p": (8, (1, 1)),
    "yuv411p": (8, (4, 1)),
    "gray": (8, (1, 1)),
    "yuv420p10le": (10, (2, 2)),
    "yuv422p10le": (10, (2, 1)),
    "yuv444p12le": (12, (1, 1)),
    "gray16le": (16, (1, 1)),
}


# FFV1 itself loses the last column of 4:1:1 at widths that are no multiple of four.
@pytest.mark.parametrize(
    ("pix_fmt", "size"),
    [*product(LAYOUTS, [SIZE]), *product([name for name in LAYOUTS if name != "yuv411p"], [(45, 31)])],
)
def test_planes_pass_through_as_they_are(model, pix_fmt, size):
    """Through a lossless codec, what is encoded is seen to be what was computed."""
    bits, subsampling = LAYOUTS[pix_fmt]
    make("a.mkv", pix_fmt=pix_fmt, size=size)
    done = upscale_video("a.mkv", "b.mkv", 3, model=model, threads=2)
    assert (done.frames, done.seconds) == (6, pytest.approx(6 / 25, abs=2e-3))
    upscaler = Upscaler(model)
    for number, large in enumerate(frames("b.mkv")):
        assert large.format.name == pix_fmt
        small = planes_of(picture(number, pix_fmt, size))
        want = upscaler.upscale_planes(small, 3, bits=bits, subsampling=subsampling)
        for a, b in zip(planes_of(large), want, strict=True):
            assert_array_equal(a, b)
        if bits == 8:
            assert_array_equal(planes_of(large)[0], upscaler.upscale(small[0], 3))
    assert number == 5
    assert times("b.mkv") == times("a.mkv")


def test_ten_bits_422_in_mp4(run_silent, folder, model):
    make("a.mp4", pix_fmt="yuv422p10le", codec="libx264", colorspace=BT709, color_range=LIMITED)
    assert run_silent("a.mp4", "--preset", "ultrafast") == (0, [])
    assert [frame.format.name for frame in frames("a_x2.mp4")] == ["yuv422p10le"] * 6
    assert times("a_x2.mp4") == times("a.mp4")
    assert tags("a_x2.mp4") == tags("a.mp4")
    upscaler = Upscaler(model)
    for small, large in zip(frames("a.mp4"), upscale_frames("a.mp4", 2, model=model), strict=True):
        want = upscaler.upscale_planes(planes_of(small), 2, bits=10, subsampling=(2, 1))
        for a, b in zip(planes_of(large), want, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_variable_rate(model, suffix):
    when = [0, 10, 15, 100, 101, 160, 161, 1500, 1503, 2000]
    with av.open(f"a{suffix}", "w") as container:
        stream = add_video(container, codec="libx264", time_base=Fraction(1, 1000), rate=30)
        add_frames(container, stream, when)
    upscale_video(f"a{suffix}", f"b{suffix}", 2, model=model, preset="ultrafast")
    assert [time * 1000 for time, _ in times(f"a{suffix}")] == when
    assert [time * 1000 for time, _ in times(f"b{suffix}")] == when


@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("libx264", "yuv420p"), ("libx265", "yuv420p10le"), ("ffv1", "yuv422p")]
)
def test_colour_tags(model, codec, pix_fmt, color_range):
    make(
        "a.mkv",
        pix_fmt=pix_fmt,
        codec=codec,
        color_range=color_range,
        colorspace=BT709,
        color_primaries=9,
        color_trc=16,
        size=(64, 64),
    )
    assert tags("a.mkv") == (color_range, BT709, 9, 16)
    upscale_video("a.mkv", "b.mkv", 2, model=model)
    assert tags("b.mkv") == tags("a.mkv")
    small = next(frames("a.mkv"))
    for frame in (small, *upscale_frames("a.mkv", model=model)):
        told = frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc
        assert told == (color_range, BT709, 9, 16)
    with av.open("a.mkv") as a, av.open("b.mkv") as b:
        assert a.streams.video[0].name == b.streams.video[0].name


def test_full_range_of_jpeg_stays_and_its_chroma_is_centred(model):
    make("a.avi", pix_fmt="yuvj420p", codec="mjpeg", color_range=FULL)
    upscale_video("a.avi", "b.mkv", 2, model=model, codec="ffv1")
    upscaler = Upscaler(model)
    for small, large in zip(frames("a.avi"), frames("b.mkv"), strict=True):
        assert (large.format.name, large.color_range) == ("yuv420p", FULL)
        want = upscaler.upscale_planes(planes_of(small), 2, chroma_location="center")
        for a, b in zip(planes_of(large), want, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize(("codec", "siting"), [("mpeg1video", "center"), ("mpeg2video", "left")])
def test_siting_of_a_codec(model, codec, siting):
    make("a.mkv", codec=codec, size=(64, 48))
    upscaler = Upscaler(model)
    for small, large in zip(frames("a.mkv"), upscale_frames("a.mkv", model=model), strict=True):
        want = upscaler.upscale_planes(planes_of(small), 2, chroma_location=siting)
        for a, b in zip(planes_of(large), want, strict=True):
            assert_array_equal(a, b)


def test_frames_that_lie_upside_down_in_memory():
    """Decoders and filters may give rows from the last to the first: the line size is negative then."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=SIZE[0], height=SIZE[1], format="yuv420p", time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("vflip"), graph.add("buffersink")).configure()
    small = picture(1)
    small.pts, small.time_base = 0, Fraction(1, 25)
    graph.push(small)
    flipped = graph.pull()
    assert all(plane.line_size < 0 for plane in flipped.planes)
    for plane, original in zip(pixels("yuv420p").views(flipped), planes_of(small), strict=True):
        assert_array_equal(plane, original[::-1])


def test_everything_else_is_copied(model):
    make_rich("a.mkv")
    upscale_video("a.mkv", "b.mkv", 2, model=model, preset="ultrafast")
    assert packets("b.mkv", "audio") == packets("a.mkv", "audio") != []
    assert packets("b.mkv", "subtitle") == packets("a.mkv", "subtitle")
    with av.open("a.mkv") as a, av.open("b.mkv") as b:
        assert [stream.type for stream in b.streams] == [stream.type for stream in a.streams]
        assert [stream.type for stream in b.streams] == ["video", "audio", *["subtitle"] * 2, "attachment"]
        assert [stream.disposition for stream in b.streams] == [stream.disposition for stream in a.streams]
        assert [stream.language for stream in b.streams] == [None, "deu", "eng", "fra", None]
        assert b.streams.attachments[0].data == b"not really a font"
        assert b.metadata["title"] == "größe"
        assert {**b.metadata, "ENCODER": ""} == {**a.metadata, "ENCODER": ""}
        assert [(c["start"] * c["time_base"], c["metadata"]) for c in b.chapters()] == [
            (c["start"] * c["time_base"], c["metadata"]) for c in a.chapters()
        ]
        assert len(b.chapters()) == 2
        assert b.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_a_cover_is_copied_and_not_taken_for_the_video(model):
    make("clip.mp4", codec="libx264")
    with av.open("clip.mp4") as clip, av.open("a.mp4", "w") as container:
        cover = container.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic.value
        video = container.add_stream_from_template(clip.streams.video[0], opaque=True)
        still = av.VideoFrame(16, 16, "rgb24")
        still.pts = 0
        container.mux([*cover.encode(still), *cover.encode(None)])
        for packet in clip.demux():
            if packet.size:
                packet.stream = video
                container.mux(packet)
    upscale_video("a.mp4", "b.mp4", 2, model=model, preset="ultrafast")

    def widths(name):
        with av.open(name) as container:
            return sorted((stream.name, stream.width) for stream in container.streams.video)

    assert widths("a.mp4") == [("h264", 44), ("png", 16)]
    assert widths("b.mp4") == [("h264", 88), ("png", 16)]


def test_rotation_is_kept(model):
    with av.open("a.mp4", "w") as container:
        stream = add_video(container, codec="libx264")
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a rotation")
        stream.set_display_rotation(90)
        add_frames(container, stream, range(3))
    upscale_video("a.mp4", "b.mp4", 2, model=model)
    assert [frame.rotation for frame in frames("b.mp4")] == [90] * 3


def test_interlaced_video_is_told(run_silent):
    with av.open("a.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "interlaced=1:tff=1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        add_frames(container, stream, range(3), size=(64, 64))
    code, lines = run_silent("a.mp4")
    told = "a.mp4 is interlaced, and upscaling mixes its fields (see fsrcnn-rt video --deinterlace)"
    assert (code, lines) == (0, [f"fsrcnn-rt: {told}"])


def test_options_of_the_encoder(run_silent, folder):
    make("a.mp4", codec="libx264", count=10)
    for crf in (5, 40):
        options = ("--codec", "libx265", "--crf", crf, "--preset", "ultrafast", "--pix-fmt", "yuv420p10le")
        assert run_silent("a.mp4", "-o", f"{crf}.mkv", *options) == (0, [])
    with av.open("5.mkv") as container:
        assert container.streams.video[0].name == "hevc"
        assert container.streams.video[0].pix_fmt == "yuv420p10le"
    assert (folder / "5.mkv").stat().st_size > 2 * (folder / "40.mkv").stat().st_size


def test_a_codec_that_fits_is_chosen(model):
    make("a.mkv", codec="ffv1")
    make("b.mkv", codec="libvpx-vp9", count=2)
    make("c.avi", codec="mpeg4", count=2)
    for source, output, name in (
        ("a.mkv", "1.mkv", "ffv1"),
        ("a.mkv", "1.mov", "h264"),  # which holds no FFV1
        ("a.mkv", "1.webm", "vp9"),
        ("b.mkv", "2.mkv", "vp9"),
        ("c.avi", "3.ts", "h264"),
    ):
        upscale_video(source, output, 2, model=model)
        with av.open(output) as container:
            assert container.streams.video[0].codec_context.codec.canonical_name == name
        assert len(times(output)) == len(times(source))


def test_y4m_into_a_file_keeps_the_siting_of_its_tag(run_silent, folder, model):
    planes = planes_of(picture(0))
    header = b"YUV4MPEG2 W44 H30 F25:1 Ip A1:1 C420jpeg\nFRAME\n"
    (folder / "a.y4m").write_bytes(header + b"".join(plane.tobytes() for plane in planes))
    assert run_silent("a.y4m", "-o", "b.mkv", "--codec", "ffv1") == (0, [])
    (large,) = frames("b.mkv")
    want = Upscaler(model).upscale_planes(planes, 2, chroma_location="center")
    for a, b in zip(planes_of(large), want, strict=True):
        assert_array_equal(a, b)


def test_progress_and_overwrite(model, folder):
    make("a.mkv")
    seen = []
    (folder / "b.mkv").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        upscale_video("a.mkv", "b.mkv", 2, model=model)
    assert (folder / "b.mkv").read_bytes() == b"precious"
    upscale_video("a.mkv", "b.mkv", 2, model=model, overwrite=True, progress=seen.append)
    assert [done.frames for done in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[0].total == 6
    assert seen[-1].seconds == pytest.approx(0.24, abs=2e-3)


def test_the_temporary_file_has_the_suffix_and_goes_with_an_interruption(model, folder):
    make("a.mkv", count=30)
    seen = []

    def interrupt(done):
        seen.append(names(folder))
        if done.frames == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale_video("a.mkv", "b.mkv", 2, model=model, progress=interrupt)
    (temporary,) = {name for name in seen[-1] if name != "a.mkv"}
    assert temporary.startswith(".b.mkv.") and temporary.endswith(".mkv")
    assert names(folder) == ["a.mkv"]


def five_bits(folder):
    make("a.avi", pix_fmt="rgb555le", codec="msvideo1", size=(64, 48)).rename("a.mkv")


def good(folder):
    make("a.mkv")


def not_video(folder):
    (folder / "a.mkv").write_bytes(b"text" * 1000)


def sound_only(folder):
    with av.open("a.mkv", "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        noise.sample_rate, noise.pts = 8000, 0
        for packet in [*stream.encode(noise), *stream.encode(None)]:
            container.mux(packet)


def with_subtitles(folder):
    make_rich("a.mkv")


def with_a_font(folder):
    with av.open("a.mkv", "w") as container:
        container.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font")
        add_frames(container, add_video(container), range(2))


def with_an_unknown_codec(folder):
    make_rich("a.mkv")
    data = (folder / "a.mkv").read_bytes()
    (folder / "a.mkv").write_bytes(data.replace(b"S_TEXT/UTF8", b"S_TEXT/XXXX"))


def a_list(folder):
    make("secret.mkv")
    (folder / "a.mkv").write_text("ffconcat version 1.0\nfile secret.mkv\n")


def a_pipe(folder):
    os.mkfifo("a.mkv")


def damaged(folder):
    """One packet in the middle is nothing that VP9 knows."""
    make("whole.mkv", count=20, codec="libvpx-vp9")
    with av.open("whole.mkv") as whole, av.open("a.mkv", "w") as container:
        stream = container.add_stream_from_template(whole.streams.video[0], opaque=True)
        for number, packet in enumerate(whole.demux()):
            if packet.size:
                copy = av.Packet(b"\xff" * packet.size if number == 10 else bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                container.mux(copy)
    Path("whole.mkv").unlink()


# What is in the folder, the arguments, the exit code, and what the one line on stderr holds.
FAULTS = {
    "no file": (lambda folder: None, [], 1, "a.mkv: No such file or directory"),
    "not video": (not_video, [], 1, "a.mkv: is no video that can be read"),
    "only sound": (sound_only, [], 1, "a.mkv: has no video that can be decoded"),
    "five bits": (five_bits, [], 1, "a.mkv: has the pixel format rgb555le, which is not YUV, RGB or grey"),
    "unknown codec": (good, ["--codec", "nope"], 2, "video: codec='nope' is no encoder that PyAV has"),
    "codec of sound": (good, ["--codec", "aac"], 2, "video: codec='aac' is not for video"),
    "pixel format": (
        good,
        ["--codec", "libx264", "--pix-fmt", "gray16le"],
        2,
        "does not take the pixel format",
    ),
    "no pixel format": (good, ["--pix-fmt", "nope"], 2, "video: pix_fmt='nope' is no pixel format"),
    "no encoder": (good, ["--pix-fmt", "pal8"], 1, "none of ffv1, libx264, "),
    "crf": (good, ["--crf", "99"], 2, "video: crf=99 is not 0 to 63"),
    "crf below": (good, ["--crf", "-1"], 2, "video: crf=-1 is not 0 to 63"),
    "no number": (good, ["--crf", "nan"], 2, "video: crf=nan is not 0 to 63"),
    "crf of a codec": (good, ["--codec", "libx265", "--crf", "52"], 2, "crf=52 is not 0 to 51 of libx265"),
    "crf of the file": (good, ["-o", "b.mov", "--crf", "52"], 1, "crf=52 is not 0 to 51 of libx264"),
    "container": (
        good,
        ["-o", "b.webm", "--codec", "libx264"],
        1,
        "libx264 does not fit a container of webm",
    ),
    "no crf": (good, ["--codec", "ffv1", "--crf", "20"], 1, "a.mkv: crf=20: ffv1 has no such option"),
    "subtitles": (with_subtitles, ["-o", "b.mp4"], 1, "(subtitle, srt) does not fit a container of mp4"),
    "attachment": (with_a_font, ["-o", "b.mp4"], 1, "(attachment, font.ttf) does not fit"),
    "unknown": (with_an_unknown_codec, [], 1, "stream 2 (subtitle) is of a codec that FFmpeg does not know"),
    "other files": (a_list, [], 1, "a.mkv: is a list of other files (concat), and no video"),
    "pipe": (a_pipe, [], 1, "a.mkv: Not a regular file"),
    "damaged": (damaged, [], 1, "a.mkv: cannot be decoded"),
    "scale": (good, ["-s", "17"], 2, "scale=17 is not above 1 and up to 16"),
    "siting": (good, ["--chroma-location", "right"], 2, "argument --chroma-location: invalid choice"),
}


@pytest.mark.parametrize(("prepare", "arguments", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_faults_are_one_line_and_nothing_is_left(run_silent, folder, prepare, arguments, code, message):
    prepare(folder)
    before = names(folder)
    result, lines = run_silent("a.mkv", *arguments)
    assert (result, len(lines)) == (code, 1)
    assert message in lines[0]
    assert names(folder) == before


def test_an_option_that_the_encoder_refuses(run_silent, folder):
    make("a.mkv")
    code, lines = run_silent("a.mkv", "--codec", "libx264", "--preset", "nope")
    assert code == 1
    # libx264 itself may have its say before.
    assert lines[-1].startswith("fsrcnn-rt: a.mkv: libx264 refuses yuv420p, crf=18, preset=nope: ")
    assert names(folder) == ["a.mkv"]


def test_a_truncated_file_is_told(run_silent, folder):
    data = make("a.mkv", count=40).read_bytes()
    (folder / "a.mkv").write_bytes(data[: len(data) * 2 // 3])
    code, lines = run_silent("a.mkv")
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith("fsrcnn-rt: a.mkv ends after 1.0 s of 1.6 s, and may be truncated")
    assert 20 < len(times("a_x2.mkv")) < 30


def test_a_change_of_size_is_refused(run_silent, folder):
    """Two streams of H.264, one behind the other, of which the second is larger."""
    parts = []
    for size in (SIZE, (64, 48)):
        make("part.ts", codec="libx264", size=size, count=20)
        parts.append((folder / "part.ts").read_bytes())
        (folder / "part.ts").unlink()
    (folder / "a.ts").write_bytes(b"".join(parts))
    code, lines = run_silent("a.ts", "-o", "b.mkv")
    assert code == 1
    assert lines[-1].startswith("fsrcnn-rt: a.ts: changes from 44x30 yuv420p to 64x48 yuv420p at ")
    assert names(folder) == ["a.ts"]


def test_the_others_are_done(run_silent, folder):
    make("b.mkv")
    code, lines = run_silent("a.mkv", "b.mkv", "-v", "-o", "new/")
    assert code == 1
    assert lines[0] == "fsrcnn-rt: a.mkv: No such file or directory"
    assert lines[1].startswith("b.mkv -> new/b_x2.mkv (6 frames, ")
    spent = r" x real time, decoding [\d.]+ s, network [\d.]+ s, encoding [\d.]+ s, weights random\)"
    assert re.search(f"{spent}$", lines[1])
    assert names(folder / "new") == ["b_x2.mkv"]


class Broken:
    """What PyAV has, but for one method, which raises."""

    def __init__(self, whole, name, error):
        self._whole, self._name, self._error = whole, name, error

    def __getattr__(self, name):
        if name == self._name:
            raise self._error
        return getattr(self._whole, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._whole.close()


ANY_ERROR = (
    *(RuntimeError("a bug"), AttributeError("'NoneType' object has no attribute 'name'"), MemoryError()),
    *(NotImplementedError(), LookupError("no such codec"), AssertionError("a check")),
    *(av.error.BugError(1, "a bug of FFmpeg"), av.error.InvalidDataError(1, "rubbish")),
)


@pytest.mark.parametrize(
    ("mode", "name", "error"),
    [
        *(("r", "demux", error) for error in ANY_ERROR),
        *((*place, ANY_ERROR[1]) for place in (("r", "streams"), ("w", "add_stream"), ("w", "mux"))),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_whatever_pyav_raises_the_next_input_is_done(run_silent, folder, monkeypatch, mode, name, error):
    for source in ("a.mkv", "b.mkv"):
        make(source, count=2)
    real = av.open

    def broken(file, kind="r", **options):
        whole = real(file, kind, **options)
        struck = kind == mode and not re.search(r"\bb(_x2)?\.mkv", file)
        return Broken(whole, name, error) if struck else whole

    monkeypatch.setattr(av, "open", broken)
    code, lines = run_silent("a.mkv", "b.mkv", "-o", "new")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("fsrcnn-rt: a.mkv: ")
    assert names(folder / "new") == ["b_x2.mkv"]


@pytest.mark.parametrize("name", ["12:30.mkv", "file:a.mkv", "a|b.mkv", "%d.mkv", "-i.mkv"])
def test_names_that_mean_something_to_ffmpeg(run_silent, folder, name):
    make("a.mkv", count=2)
    (folder / "a.mkv").rename(name)
    assert run_silent("--", name) == (0, [])
    assert len(times(folder / name.replace(".mkv", "_x2.mkv"))) == 2


@pytest.mark.parametrize(
    "name", ["http://127.0.0.1:9/a.mkv", "concat:a.mkv|a.mkv", "subfile,,start,0,end,99,,:a.mkv"]
)
def test_an_input_is_a_file(run_silent, folder, name):
    make("a.mkv")
    assert run_silent(name, "-o", "b.mkv") == (1, [f"fsrcnn-rt: {Path(name)}: No such file or directory"])


def test_errors_of_the_api_come_before_work(model):
    make("a.avi", pix_fmt="rgb555le", codec="msvideo1", size=(64, 48)).rename("a.mkv")
    with pytest.raises(ValueError, match="pixel format rgb555le"):
        upscale_frames("a.mkv", 2, model=model)
    with pytest.raises(ValueError, match="crf=99 is not 0 to 63"):
        upscale_video("nothing.mkv", "b.mkv", 2, model=model, crf=99)
    with pytest.raises(FileNotFoundError):
        upscale_frames("b.mkv", 2, model=model)
    with pytest.raises(ScaleError, match="scale=17"):
        upscale_frames("a.mkv", 17, model=model)


def test_frames_may_be_left_alone(model):
    make("a.mkv", count=50)
    frames = upscale_frames("a.mkv", 2, model=model)
    assert next(frames).width == 88
    frames.close()


def test_memory_stays_flat(model_file):
    code = f"""
import resource
from fsrcnn_rt import upscale_video

def peak(name):
    options = dict(model={str(model_file)!r}, threads=2, codec="libx264", preset="ultrafast")
    done = upscale_video(name, "big" + name, 2, **options)
    return done.frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

frames, first = peak("short.mkv")
frames, second = peak("long.mkv")
print(frames, second - first)
"""
    with av.open("long.mkv", "w") as long, av.open("short.mkv", "w") as short:
        for container, count in ((long, 2000), (short, 100)):
            stream = add_video(container, codec="ffv1", size=(64, 48))
            for number in range(count):
                frame = picture(number % 10, size=(64, 48))
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    frames, growth = result.stdout.split()
    assert int(frames) == 2000
    assert float(growth) < 20


def moving(kind, count=24, size=(160, 120)):
    """Frames of a photograph, or of a page, that moves by a pixel."""
    draw = drawn.picture if kind == "photo" else drawn.bitmap_text
    scene = np.asarray(draw(np.random.default_rng(2), (size[0] + count, size[1])))
    return [np.ascontiguousarray(scene[:, i : i + size[0]]) for i in range(count)]


def encode(path, frames, codec, pix_fmt="yuv420p", **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options={k: str(v) for k, v in options.items()})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def weights_of(path, **asked):
    """What is chosen for a file, as it tells; by what is made of it, that it is so."""
    done = upscale_video(path, "out.mkv", 2, **asked, codec="ffv1", overwrite=True)
    name = done.weights.split()[0]
    for large, expected in zip(frames("out.mkv"), upscale_frames(path, 2, model=name), strict=True):
        assert_array_equal(planes_of(large)[0], planes_of(expected)[0])
    asked_again = upscale_frames(path, 2, **asked)
    assert_array_equal(
        planes_of(next(asked_again))[0], planes_of(next(upscale_frames(path, 2, model=name)))[0]
    )
    return done.weights


@pytest.mark.parametrize(
    ("codec", "options", "expected"),
    [
        ("libx264", {"qp": 12}, "fsrcnn (quantiser about 12 of H.264)"),
        ("libx264", {"qp": 25}, "fsrcnn-denoise1 (quantiser about 25 of H.264)"),
        ("libx264", {"qp": 32}, "fsrcnn-denoise2 (quantiser about 32 of H.264)"),
        ("libx264", {"qp": 40}, "fsrcnn-denoise3 (quantiser about 40 of H.264)"),
        # At 10 bits it goes from -12, and encoders count from there.
        ("libx264", {"qp": 44, "pix_fmt": "yuv420p10le"}, "fsrcnn-denoise2 (quantiser about 32 of H.264)"),
        ("mpeg2video", {"qmin": 2, "qmax": 2}, "fsrcnn (quantiser about 20 of H.264)"),
        ("mpeg4", {"qmin": 10, "qmax": 10}, "fsrcnn-denoise2 (quantiser about 34 of H.264)"),
        ("ffv1", {}, "fsrcnn"),
    ],
)
def test_the_quantiser_chooses_the_weights(variants, codec, options, expected):
    # Without B-frames or an offset for key frames, every frame has the one that is asked for.
    extra = {"bf": 0, "ipratio": 1, "aq-mode": 0} if codec == "libx264" else {}
    encode("a.mkv", moving("photo"), codec, **options, **extra)
    assert weights_of("a.mkv", denoise="auto") == expected
    assert weights_of("a.mkv") == "fsrcnn"
    assert weights_of("a.mkv", denoise=1, content="auto") == "fsrcnn-denoise1"


def test_vp9_has_a_quantiser_too(variants):
    encode("a.webm", moving("photo"), "libvpx-vp9", crf=55, b=0, deadline="realtime", **{"cpu-used": 8})
    assert weights_of("a.webm", denoise="auto").startswith("fsrcnn-denoise2 (quantiser about ")


def test_a_title_does_not_stand_for_the_film(variants):
    page, photo = moving("page", 24), moving("photo", 96)
    encode("a.mkv", page + photo, "ffv1", g=1)
    assert weights_of("a.mkv", content="auto") == "fsrcnn (photograph)"
    encode("b.mkv", photo[:24] + page * 4, "ffv1", g=1)
    assert weights_of("b.mkv", content="auto") == "fsrcnn-graphics (graphics)"
    encode("c.mkv", page, "ffv1", "yuv420p10le")
    assert weights_of("c.mkv", content="auto", denoise="auto") == "fsrcnn-graphics (graphics)"


def test_a_damaged_file_is_judged_by_what_there_is(variants):
    encode("a.mkv", moving("page"), "ffv1", g=1)
    data = Path("a.mkv").read_bytes()
    Path("b.mkv").write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match="ends after"):
        done = upscale_video("b.mkv", "c.mkv", 2, content="auto")
    assert done.weights == "fsrcnn-graphics (graphics)"


def test_the_command_chooses_for_video(variants, folder, capfd):
    encode("a.mkv", moving("photo", 8), "libx264", qp=40)
    assert cli.main(["a.mkv", "-v", "-o", "b.mkv", "--codec", "ffv1"]) == 0
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("a.mkv -> b.mkv (8 frames, ") and ", weights fsrcnn-denoise3 (quantiser " in line
    assert cli.main(["a.mkv", "-v", "-o", "c.mkv", "--codec", "ffv1", "--denoise", "0"]) == 0
    assert capfd.readouterr().err.splitlines()[-1].endswith(", weights fsrcnn (photograph))")
