"""What a film tells beside its pictures stays, or is refused aloud: HDR10, alpha, tags, times, streams."""

import re
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from numpy.testing import assert_array_equal

av = pytest.importorskip("av", reason="video files need PyAV")

from clips import add_frames, add_video, ffmpeg, frames, make, make_rich, packets, times  # noqa: E402
from fsrcnn_rt import upscale_frames, upscale_video  # noqa: E402
from fsrcnn_rt.video.pixels import pixels  # noqa: E402
from fsrcnn_rt.video.source import Film  # noqa: E402

pytestmark = pytest.mark.usefixtures("folder")

HDR = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
X265 = ("-c:v", "libx265", "-x265-params")


def hdr_of(path):
    """The bytes of both kinds of metadata of the first frame."""
    kept = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
    return {side.type.name: bytes(side) for side in next(frames(path)).side_data if side.type.name in kept}


def hdr_clip():
    tags = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    return ffmpeg("a.mkv", *X265, f"log-level=error:{HDR}", *tags, pix_fmt="yuv420p10le", seconds=0.08)


@pytest.mark.parametrize("codec", ["libx265", "libx264", "libsvtav1"])
def test_hdr10_is_told_to_the_encoder(model, codec):
    before = hdr_of(hdr_clip())
    assert len(before) == 2
    upscale_video("a.mkv", "b.mkv", 2, model=model, codec=codec)
    after = hdr_of("b.mkv")
    assert after["CONTENT_LIGHT_LEVEL"] == before["CONTENT_LIGHT_LEVEL"]

    def numbers(data):
        pairs = np.frombuffer(data[:80], np.int32).reshape(-1, 2)
        return pairs[:, 0] / pairs[:, 1]

    of_display = [numbers(each["MASTERING_DISPLAY_METADATA"]) for each in (before, after)]
    np.testing.assert_allclose(*of_display, atol=2e-5 if codec != "libsvtav1" else 1e-4)


def test_hdr10_that_an_encoder_is_not_told_is_refused(run_silent):
    hdr_clip()
    code, lines = run_silent("a.mkv", "--codec", "ffv1")
    assert code == 1
    assert "its HDR10 metadata cannot be told to ffv1" in lines[0] and "--drop-unfit" in lines[0]
    code, lines = run_silent("a.mkv", "--codec", "ffv1", "--drop-unfit")
    assert code == 0
    assert lines[0].startswith(
        "fsrcnn-rt: a.mkv: its HDR10 metadata is left out, as it cannot be told to ffv1"
    )
    assert hdr_of("a_x2.mkv") == {}


def alpha_clip(codec):
    """Frames with a ramp as alpha."""
    return ffmpeg(
        "a.webm",
        *("-vf", "geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='X*4'"),
        *("-c:v", codec, "-auto-alt-ref", "0", "-b:v", "2M"),
        pix_fmt="yuva420p",
        seconds=0.12,
    )


def decoded(path, decoder):
    """Frames with the alpha that FFmpeg's own decoders leave out."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(decoder, "r")
        return [frame for packet in container.demux(stream) for frame in context.decode(packet)]


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_alpha_of_webm_is_kept(run_silent, model, codec):
    small = decoded(alpha_clip(codec), codec)
    assert [frame.format.name for frame in small] == ["yuva420p"] * 3
    upscaler = Upscaler(model)
    for a, b in zip(small, upscale_frames("a.webm", 2, model=model), strict=True):
        before, after = (pixels("yuva420p").views(frame) for frame in (a, b))
        for one, other in zip(upscaler.upscale_planes(before, 2), after, strict=True):
            assert_array_equal(one, other)
    assert run_silent("a.webm") == (0, [])
    large = decoded("a_x2.webm", "libvpx-vp9")
    assert [frame.format.name for frame in large] == ["yuva420p"] * 3
    alpha = pixels("yuva420p").views(large[0])[3]
    assert np.abs(alpha[40] - (np.arange(128) * 2.0 - 1)).max() < 12
    with av.open("a_x2.webm") as container:
        tags = {name.lower(): value for name, value in container.streams.video[0].metadata.items()}
        assert tags["alpha_mode"] == "1"


def test_alpha_that_has_no_place_is_refused(run_silent, folder):
    alpha_clip("libvpx-vp9")
    for options in (["-o", "b.mov"], ["--pix-fmt", "yuv420p"], ["-o", "b.mp4", "--codec", "libvpx-vp9"]):
        code, lines = run_silent("a.webm", *options)
        assert code == 1
        assert "alpha" in lines[0] and "--drop-unfit leaves it out" in lines[0]
        assert [path.name for path in folder.iterdir()] == ["a.webm"]
    code, lines = run_silent("a.webm", "-o", "b.mov", "--drop-unfit")
    assert code == 0
    assert lines[0].startswith("fsrcnn-rt: a.webm: its alpha is left out, as it cannot be kept")
    assert [frame.format.name for frame in frames("b.mov")] == ["yuv420p"] * 3


@pytest.mark.parametrize("pix_fmt", ["yuva420p", "yuva444p10le", "ya8"])
def test_alpha_within_the_frames(model, pix_fmt):
    make("a.mkv", pix_fmt=pix_fmt, count=2)
    upscale_video("a.mkv", "b.mkv", 1.5, model=model)
    kind = pixels(pix_fmt)
    for a, b in zip(frames("a.mkv"), frames("b.mkv"), strict=True):
        assert b.format.name == pix_fmt
        want = Upscaler(model).upscale_planes(
            kind.views(a), 1.5, bits=kind.layout.bits, subsampling=kind.layout.subsampling
        )
        for one, other in zip(want, kind.views(b), strict=True):
            assert_array_equal(one, other)


def test_alpha_of_y4m_in_a_file(run_silent, model):
    rng = np.random.default_rng(1)
    planes = [rng.integers(0, 256, (30, 44), np.uint8) for _ in range(4)]
    data = b"".join(plane.tobytes() for plane in planes)
    Path("a.y4m").write_bytes(b"YUV4MPEG2 W44 H30 F25:1 Ip C444alpha\nFRAME\n" + data)
    assert run_silent("a.y4m", "-o", "b.mkv") == (0, [])
    (large,) = frames("b.mkv")
    assert large.format.name == "yuva444p"
    want = Upscaler(model).upscale_planes(planes, 2, subsampling=(1, 1))
    for one, other in zip(want, pixels("yuva444p").views(large), strict=True):
        assert_array_equal(one, other)


def test_the_tag_that_some_players_insist_on(model):
    for tag in ("hvc1", "hev1"):
        ffmpeg("a.mp4", *X265, "log-level=error", "-tag:v", tag, seconds=0.08)
        upscale_video("a.mp4", "b.mp4", 2, model=model, overwrite=True)
        for name in ("a.mp4", "b.mp4"):
            with av.open(name) as container:
                assert container.streams.video[0].codec_context.codec_tag == tag


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_film_of_few_frames_of_h265(model, count):
    make("a.mkv", count=count)
    for output in ("b.mp4", "b.mkv"):
        upscale_video("a.mkv", output, 2, model=model, codec="libx265")
        assert [float(time) for time, _ in times(output)] == pytest.approx(
            [n / 25 for n in range(count)], abs=2e-3
        )


@pytest.mark.parametrize(("location", "name"), [(0, "left"), (1, "center"), (2, "topleft")])
def test_the_place_of_chroma_in_h265(model, location, name):
    ffmpeg("a.mp4", *X265, f"log-level=error:chromaloc={location}", seconds=0.08)
    upscale_video("a.mp4", "b.mp4", 2, model=model)
    assert [Film(Path(path), 1).chroma_location() for path in ("a.mp4", "b.mp4")] == [name, name]
    for small, large in zip(frames("a.mp4"), upscale_frames("a.mp4", 2, model=model), strict=True):
        want = Upscaler(model).upscale_planes(pixels("yuv420p").views(small), 2, chroma_location=name)
        for one, other in zip(want, pixels("yuv420p").views(large), strict=True):
            assert_array_equal(one, other)


def test_a_place_of_chroma_that_cannot_be_kept(run_silent):
    ffmpeg("a.mp4", *X265, "log-level=error:chromaloc=3", seconds=0.08)
    code, lines = run_silent("a.mp4")
    assert (code, len(lines)) == (1, 1)
    assert "has its chroma at top, " in lines[0] and "--chroma-location" in lines[0]
    assert run_silent("a.mp4", "--chroma-location", "topleft") == (0, [])


@pytest.mark.parametrize("offsets", [(0, 1000), (1000, 0), (30, 0), (1000, 10)])
def test_a_jump_of_times_in_a_transport_stream(run_silent, offsets):
    for part, offset in enumerate(offsets):
        options = ("-c:v", "libx264", "-bf", "2", "-c:a", "mp2", "-output_ts_offset", offset)
        ffmpeg(f"part{part}.ts", *options, sound=True)
    Path("a.ts").write_bytes(b"".join(Path(f"part{part}.ts").read_bytes() for part in range(2)))
    for output in ("b.ts", "b.mkv"):
        assert run_silent("a.ts", "-o", output) == (0, [])
        shown = [float(time) for time, _ in times(output)]
        assert len(shown) == 12
        steps = np.diff(shown)
        assert steps.min() > 0.03 and steps.max() < 0.2
        assert len(packets(output, "audio")) == len(packets("a.ts", "audio"))
        with av.open(output) as container:
            sound = [packet.pts * packet.time_base for packet in container.demux(audio=0) if packet.size]
        assert np.abs(np.array(sound, float)[[0, -1]] - [shown[0], shown[-1]]).max() < 0.3


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "ts", "flv", "avi", "webm"])
def test_a_film_that_begins_late_is_not_truncated(run_silent, suffix):
    codec = "libvpx-vp9" if suffix == "webm" else "libx264"
    ffmpeg(f"a.{suffix}", "-c:v", codec, "-bf", "0", "-output_ts_offset", "10")
    assert run_silent(f"a.{suffix}", "-o", "b.mkv") == (0, [])
    before, after = ([time for time, _ in times(path)] for path in (f"a.{suffix}", "b.mkv"))
    assert len(after) == 6
    assert [float(time) for time in after] == pytest.approx([float(time) for time in before], abs=2e-3)


def test_a_film_that_begins_late_and_is_truncated(run_silent):
    ffmpeg("a.mkv", "-c:v", "ffv1", "-g", "1", "-output_ts_offset", "10", seconds=2)
    data = Path("a.mkv").read_bytes()
    Path("a.mkv").write_bytes(data[: len(data) // 2])
    code, lines = run_silent("a.mkv")
    assert code == 0
    assert re.search(r"a\.mkv ends after 1\.0 s of 2\.0 s, and may be truncated", lines[0])


def test_streams_that_do_not_fit(run_silent, folder):
    make_rich("a.mkv")
    code, lines = run_silent("a.mkv", "-o", "b.mp4")
    assert (code, len(lines)) == (1, 1)
    assert "stream 2 (subtitle, srt) does not fit a container of mp4" in lines[0]
    assert "--drop-unfit leaves it out" in lines[0]
    code, lines = run_silent("a.mkv", "-o", "b.mp4", "--drop-unfit")
    assert code == 0
    assert [line.split(" is left out")[0] for line in lines] == [
        "fsrcnn-rt: a.mkv: stream 2 (subtitle, srt)",
        "fsrcnn-rt: a.mkv: stream 3 (subtitle, srt)",
        "fsrcnn-rt: a.mkv: stream 4 (attachment, font.ttf)",
    ]
    with av.open("b.mp4") as container:
        # The chapters of MP4 are a stream of their own.
        assert [stream.type for stream in container.streams] == ["video", "audio", "data"]
    a, b = ([data for *_, data in packets(path, "audio")] for path in ("a.mkv", "b.mp4"))
    assert a == b


@pytest.mark.parametrize(
    ("sound", "output"),
    [
        ("pcm_s16le", "b.webm"),
        ("libvorbis", "b.ts"),
        ("libvorbis", "b.flv"),
        ("aac", "b.webm"),
        ("flac", "b.3gp"),
    ],
)
def test_sound_that_does_not_fit(model, sound, output):
    ffmpeg("a.mkv", "-c:v", "libx264", "-strict", "-2", "-ac", "2", "-c:a", sound, sound=True)
    with pytest.raises(
        ValueError, match=r"stream 1 \(audio, .*\) does not fit a container of .*--drop-unfit"
    ):
        upscale_video("a.mkv", output, 2, model=model)
    with pytest.warns(UserWarning, match=r"a\.mkv: stream 1 \(audio, .*\) is left out"):
        done = upscale_video("a.mkv", output, 2, model=model, drop_unfit=True)
    assert done.frames == 6
    with av.open(output) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_subtitles_that_no_player_would_find_in_a_transport_stream(run_silent):
    make_rich("a.mkv")
    code, lines = run_silent("a.mkv", "-o", "b.ts")
    assert code == 1 and "stream 2 (subtitle, srt) does not fit a container of mpegts" in lines[0]


def test_a_later_input_is_done_whatever_an_earlier_one_fails_by(run_silent, folder, monkeypatch):
    for name in ("a.mkv", "b.mkv"):
        make(name, count=2)
    real = Film.announced

    def broken(self, first):
        if self.path.name == "a.mkv":
            raise LookupError("what nobody thought of")
        return real(self, first)

    monkeypatch.setattr(Film, "announced", broken)
    code, lines = run_silent("a.mkv", "b.mkv", "-o", "new/")
    assert (code, lines) == (1, ["fsrcnn-rt: a.mkv: what nobody thought of"])
    assert [path.name for path in (folder / "new").iterdir()] == ["b_x2.mkv"]


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_several_streams_of_pictures_are_kept(model, codec):
    """The first is enlarged, the other copied."""
    with av.open("a.mkv", "w") as container:
        one, other = add_video(container), add_video(container, codec=codec)
        add_frames(container, one, range(3))
        add_frames(container, other, range(3))
    for name in ("b.mkv", "b.ts"):
        upscale_video("a.mkv", name, 2, model=model)
        with av.open(name) as container:
            assert [stream.codec_context.width for stream in container.streams.video] == [88, 44]


def test_h265_of_tiny_frames_is_refused(run_silent):
    make("a.mkv", size=(20, 16))
    code, lines = run_silent("a.mkv", "-o", "b.mkv", "--codec", "libx265")
    message = "libx265 spoils memory with frames of 40x32: take another codec"
    assert (code, lines) == (1, [f"fsrcnn-rt: a.mkv: {message}"])
    assert not Path("b.mkv").exists()
