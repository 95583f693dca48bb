"""Clips made by PyAV, or by ffmpeg, for the tests, and what is in a clip."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SIZE = (44, 30)
_FFMPEG = shutil.which("ffmpeg")
LIMITED, FULL = 1, 2
BT709 = 1


def planes_of(frame):
    dtype = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)
        planes.append(rows[:, : plane.width])
    return planes


def picture(number, pix_fmt="yuv420p", size=SIZE):
    """A frame of noise, the same for the same number."""
    frame = av.VideoFrame(*size, pix_fmt)
    bits = frame.format.components[0].bits
    rng = np.random.default_rng(number)
    for plane in planes_of(frame):
        plane[...] = rng.integers(0, 2**bits, plane.shape)
    return frame


def add_video(
    container, pix_fmt="yuv420p", codec="ffv1", size=SIZE, rate=25, time_base=Fraction(1, 25), **context
):
    stream = container.add_stream(codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
    stream.codec_context.time_base = stream.time_base = time_base
    for name, value in context.items():
        setattr(stream.codec_context, name, value)
    return stream


def add_frames(container, stream, times, pix_fmt="yuv420p", size=SIZE):
    for number, time in enumerate(times):
        frame = picture(number, pix_fmt, size)
        frame.pts, frame.time_base = time, stream.codec_context.time_base
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def make(path, count=6, pix_fmt="yuv420p", size=SIZE, **options):
    with av.open(str(path), "w") as container:
        stream = add_video(container, pix_fmt, size=size, **options)
        add_frames(container, stream, range(count), pix_fmt, size)
    return Path(path)


def ffmpeg(path, *arguments, seconds=0.24, size="64x48", source="testsrc", pix_fmt="yuv420p", sound=False):
    """A clip of a test picture, 25 frames a second, with a tone where ``sound`` is asked for."""
    if _FFMPEG is None:
        pytest.skip("ffmpeg is not installed")
    picture = f"{source}=size={size}:rate=25:duration={seconds},format={pix_fmt}"
    inputs = ["-f", "lavfi", "-i", picture]
    inputs += ["-f", "lavfi", "-i", f"sine=duration={seconds}:sample_rate=48000"] if sound else []
    command = [_FFMPEG, "-v", "error", "-y", *inputs, *map(str, arguments), str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this ffmpeg does not make it: {done.stderr.splitlines()[-1]}")
    return Path(path)


def frames(path):
    with av.open(str(path)) as container:
        yield from container.decode(container.streams.video[0])


def times(path):
    return [(frame.pts * frame.time_base, frame.duration) for frame in frames(path)]


def packets(path, kind):
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [
            (packet.pts, packet.duration, bytes(packet)) for packet in container.demux(stream) if packet.size
        ]


def tags(path):
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return context.color_range, context.colorspace, context.color_primaries, context.color_trc


TEXT = "1\n00:00:00,000 --> 00:00:00,150\nhello\n\n2\n00:00:00,200 --> 00:00:00,350\nworld\n"


def make_rich(path):
    """A clip with sound, two subtitles, a font, chapters, metadata and an aspect ratio."""
    Path("text.srt").write_text(TEXT)
    with av.open(str(path), "w") as container, av.open("text.srt") as subtitles:
        container.metadata.update({"title": "größe", "artist": "nobody"})
        video = add_video(container, codec="libx264", sample_aspect_ratio=Fraction(4, 3))
        sound = container.add_stream("aac", rate=48000, layout="mono")
        sound.metadata["language"] = "deu"
        texts = [container.add_stream_from_template(subtitles.streams[0]) for _ in range(2)]
        for text, language in zip(texts, ("eng", "fra"), strict=True):
            text.metadata["language"] = language
        texts[1].disposition = av.stream.Disposition.forced.value
        container.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font")
        container.set_chapters(
            [
                {"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "A"}},
                {
                    "id": 2,
                    "start": 100,
                    "end": 480,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "B"},
                },
            ]
        )
        lines = [packet for packet in subtitles.demux() if packet.size]
        for text in texts:
            for line in lines:
                packet = av.Packet(bytes(line))
                packet.time_base, packet.pts, packet.dts = line.time_base, line.pts, line.dts
                packet.duration, packet.stream = line.duration, text
                container.mux(packet)
        wave = (np.sin(np.arange(24000) / 20) / 2).astype(np.float32)[None]
        noise = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        noise.sample_rate, noise.pts, noise.time_base = 48000, 0, Fraction(1, 48000)
        for packet in [*sound.encode(noise), *sound.encode(None)]:
            container.mux(packet)
        add_frames(container, video, range(12))
    Path("text.srt").unlink()
