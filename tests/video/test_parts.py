"""A video in parts: joined, they are the frames at the times that the whole in one piece has."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt import Upscaler

av = pytest.importorskip("av", reason="video files need PyAV")

from clips import add_frames, add_video, frames, make, make_rich, packets, planes_of, tags, times  # noqa: E402
from fsrcnn_rt import upscale_video  # noqa: E402
from fsrcnn_rt.video import parts  # noqa: E402

pytestmark = pytest.mark.usefixtures("folder")

# What decodes to the bits that were encoded.
LOSSLESS = {"codec": "libx264", "crf": 0, "preset": "ultrafast", "pix_fmt": None}


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=2)


def encoded(path, count, *, times=None, options=None, **context):
    """A clip of libx264 with key frames every few frames; B frames unless the options say else."""
    with av.open(str(path), "w") as container:
        stream = add_video(container, codec="libx264", **context)
        stream.codec_context.options = {"preset": "fast", **(options or {})}
        add_frames(container, stream, times or range(count))
    return Path(path)


def in_parts(source, output, upscaler, least, asked=LOSSLESS):
    """Upscale in parts of at least so many frames; gives how many frames each has, and what is told."""
    cut = parts.cut(Path(source), 2, upscaler, frames=least)
    made = [
        parts.encode_part(Path(source), Path(output).suffix, part, 2, cut, asked, 2) for part in cut.parts
    ]
    done, told = parts.join(
        Path(source), Path(output), 2, cut, asked, 2, [part.times for part in made], iter(made)
    )
    assert done.frames == sum(len(part.times) for part in cut.parts)
    return [len(part.times) for part in cut.parts], told


def check_equal(one, other):
    assert times(one) == times(other)
    for left, right in zip(frames(one), frames(other), strict=True):
        assert all(map(np.array_equal, planes_of(left), planes_of(right)))


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize(
    "gop", ["keyint=6:min-keyint=6:bframes=3:open-gop=1", "keyint=5:min-keyint=5:bframes=0"]
)
def test_joined_parts_are_the_whole(upscaler, suffix, gop):
    source = encoded(f"clip.{suffix}", 23, options={"x264-params": f"{gop}:scenecut=0"})
    counts, told = in_parts(source, f"parts.{suffix}", upscaler, 7)
    assert len(counts) > 1 and min(counts) >= 7 and not told
    upscale_video(source, f"whole.{suffix}", 2, model=upscaler, **LOSSLESS)
    check_equal(f"parts.{suffix}", f"whole.{suffix}")
    assert tags(f"parts.{suffix}") == tags(f"whole.{suffix}")


def test_a_film_with_sound(upscaler, data_folder):
    walk = data_folder / "video" / "walk.mp4"
    if not walk.is_file():
        pytest.skip(f"no test clip: {walk} is not there")
    with av.open(str(walk)) as source, av.open("walk.mp4", "w") as target:
        video, sound = source.streams.video[0], source.streams.audio[0]
        stream = target.add_stream("libx264", rate=video.average_rate)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.codec_context.time_base = video.time_base
        stream.codec_context.options = {"preset": "veryfast", "x264-params": "keyint=12:scenecut=0"}
        copied = target.add_stream_from_template(sound)
        for packet in source.demux(video, sound):
            if packet.stream is sound and packet.size:
                packet.stream = copied
                target.mux(packet)
            elif packet.stream is video:
                for frame in packet.decode():
                    frame.pict_type = 0
                    target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    counts, told = in_parts("walk.mp4", "parts.mp4", upscaler, 12)
    assert counts == [12, 12, 23] and not told
    upscale_video("walk.mp4", "whole.mp4", 2, model=upscaler, **LOSSLESS)
    check_equal("parts.mp4", "whole.mp4")
    assert packets("parts.mp4", "audio") == packets("whole.mp4", "audio") == packets(walk, "audio")


def test_irregular_times_are_kept(upscaler):
    irregular = [0, 10, 11, 40, 42, 43, 90, 95, 96, 99, 120, 121, 130, 131, 133, 150, 151, 180]
    source = encoded(
        "clip.mp4",
        18,
        times=irregular,
        time_base=Fraction(1, 300),
        options={"x264-params": "keyint=6:min-keyint=6:scenecut=0:bframes=2"},
    )
    counts, _ = in_parts(source, "parts.mp4", upscaler, 6)
    assert counts == [6, 6, 6]
    assert [time * 300 for time, _ in times("parts.mp4")] == irregular
    upscale_video(source, "whole.mp4", 2, model=upscaler, **LOSSLESS)
    check_equal("parts.mp4", "whole.mp4")


def test_all_else_is_there_once(upscaler):
    make_rich("clip.mkv")
    counts, _ = in_parts("clip.mkv", "parts.mkv", upscaler, 1)
    upscale_video("clip.mkv", "whole.mkv", 2, model=upscaler, **LOSSLESS)
    check_equal("parts.mkv", "whole.mkv")
    assert counts
    for kind in ("audio", "subtitle"):
        assert packets("parts.mkv", kind) == packets("whole.mkv", kind)
    with av.open("parts.mkv") as one, av.open("whole.mkv") as other:
        assert [stream.type for stream in one.streams] == [stream.type for stream in other.streams]
        assert one.metadata == other.metadata
        assert one.chapters() == other.chapters()


def test_a_codec_of_key_frames_alone_is_cut_anywhere(upscaler):
    make("clip.mkv", 10, gop_size=1)
    lossless = {**LOSSLESS, "codec": "ffv1", "crf": None, "preset": None}
    counts, _ = in_parts("clip.mkv", "parts.mkv", upscaler, 3, lossless)
    assert counts == [3, 3, 4]
    upscale_video("clip.mkv", "whole.mkv", 2, model=upscaler, codec="ffv1")
    check_equal("parts.mkv", "whole.mkv")


@pytest.mark.parametrize(
    "packets", [[(0, True), (None, False)], [(0, True), (1, False), (1, True)], [(0, False), (1, True)], []]
)
def test_without_times_of_their_own_packets_are_not_cut(packets):
    assert parts._parts(packets, 1) == []


def test_frames_that_nobody_announced_are_refused(upscaler):
    source = encoded("clip.mkv", 12, options={"x264-params": "keyint=6:min-keyint=6:scenecut=0"})
    cut = parts.cut(source, 2, upscaler, frames=6)
    first, second = cut.parts
    for times_of, error in (
        (first.times[:-1], "unexpected frame"),
        ((*first.times[:-1], first.times[-1] - 1, first.times[-1]), "unexpected frame"),
    ):
        with pytest.raises(parts.PartsError, match=error):
            parts.encode_part(source, ".mkv", first._replace(times=times_of), 2, cut, LOSSLESS, 1)
    longer = second._replace(times=(*second.times, second.times[-1] + 40))
    with pytest.raises(parts.PartsError, match="fewer frames"):
        parts.encode_part(source, ".mkv", longer, 2, cut, LOSSLESS, 1)


def test_alpha_beside_the_packets_is_not_lost(upscaler):
    """A part has packets alone, and VP9 has alpha beside them; FFV1 has it within."""
    make("clip.mkv", 4, pix_fmt="yuva420p", gop_size=1)
    cut = parts.cut(Path("clip.mkv"), 2, upscaler, frames=2)
    with pytest.raises(parts.PartsError, match="alpha beside the packets"):
        parts.encode_part(Path("clip.mkv"), ".webm", cut.parts[0], 2, cut, {"codec": "libvpx-vp9"}, 1)
    in_parts("clip.mkv", "parts.mkv", upscaler, 2, {"codec": "ffv1"})
    assert [frame.format.name for frame in frames("parts.mkv")] == ["yuva420p"] * 4


def test_times_that_jump_are_not_cut(upscaler):
    for part, begin in enumerate((9000, 0)):
        encoded(f"part{part}.ts", 6, times=range(begin, begin + 6))
    Path("clip.ts").write_bytes(b"".join(Path(f"part{part}.ts").read_bytes() for part in range(2)))
    assert parts.cut(Path("clip.ts"), 2, upscaler, frames=2).parts == []
    assert len(parts.cut(Path("part0.ts"), 2, upscaler, frames=2).parts) == 1
