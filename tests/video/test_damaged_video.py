"""Video damaged at random: each is refused, or gives whole frames."""

import io
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import conversions
import fuzz
import numpy as np
import oracle
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.video.y4m import Y4MError, read_frames, read_header, upscale_y4m

try:
    import av
except ModuleNotFoundError:
    av = None

# A decoder takes what the header of a frame asks for, before it sees that there is no such frame.
CONTAINER_MEMORY = 1 << 30

CONTAINERS = {
    "a.mp4": ("libx264", "yuv420p"),
    "b.mkv": ("ffv1", "yuv422p10le"),
    "c.webm": ("libvpx-vp9", "yuv420p"),
    "d.avi": ("mjpeg", "yuvj420p"),
    "e.ts": ("mpeg2video", "yuv420p"),
}


def y4m() -> dict[str, bytes]:
    """Streams of all that a header and a frame may tell."""
    rng = np.random.default_rng(0)
    headers = {
        "a.y4m": (b"W13 H9 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG", 117 + 2 * 35),
        "b.y4m": (b"W8 H6 C444p10", 2 * 3 * 48),
        "c.y4m": (b"W7 H5 F25:1 Cmono", 35),
        "d.y4m": (b"W9 H4 I? C411", 36 + 2 * 12),
    }
    return {
        name: b"YUV4MPEG2 %b\n" % header + b"".join(b"FRAME Ip\n" + rng.bytes(size) for _ in range(3))
        for name, (header, size) in headers.items()
    }


def containers() -> dict[str, bytes]:
    """Clips of three frames of noise."""
    data = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (codec, pix_fmt) in CONTAINERS.items():
            path = Path(folder, name)
            with av.open(str(path), "w") as container:
                stream = container.add_stream(codec, rate=25, options={"preset": "ultrafast"})
                stream.width, stream.height, stream.pix_fmt = 32, 32, pix_fmt
                for number in range(3):
                    noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
                    frame = av.VideoFrame.from_ndarray(noise, "rgb24")
                    frame.pts, frame.time_base = number, Fraction(1, 25)
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
            data[name] = path.read_bytes()
    return data


def use_y4m(upscaler: Upscaler) -> Callable[[Path], None]:
    def use(path: Path) -> None:
        sink = io.BytesIO()
        try:
            with path.open("rb") as source:
                upscale_y4m(source, sink, 2, model=upscaler)
        finally:  # whatever came before is a stream of whole frames
            sink.seek(0)
            if sink.getbuffer():
                for _ in read_frames(sink, read_header(sink)):
                    pass

    return use


def use_container(upscaler: Upscaler) -> Callable[[Path], None]:
    from fsrcnn_rt import upscale_frames, upscale_video

    def use(path: Path) -> None:
        out = path.with_name("out.mkv")
        try:
            for frame in upscale_frames(path, 2, model=upscaler):
                assert frame.width * frame.height
            upscale_video(path, out, 2, model=upscaler, codec="ffv1", overwrite=True)
        finally:
            left = {file.name for file in path.parent.iterdir()} - {path.name, out.name}
            assert not {name for name in left if "fsrcnn-rt" in name}

    return use


def targets():
    upscaler = Upscaler(conversions.to_model(oracle.random_net(np.random.default_rng(0), 4, 2, 1)), threads=1)
    yield fuzz.Target("y4m", y4m(), use_y4m(upscaler), (Y4MError, MemoryError))
    if av is not None:
        av.logging.set_level(None)
        yield fuzz.Target(
            *("containers", containers(), use_container(upscaler), (OSError, ValueError)),
            memory=CONTAINER_MEMORY,
        )


def test_y4m_at_random():
    fuzz.check(__file__, "y4m", count=300)


@pytest.mark.skipif(av is None, reason="video files need PyAV")
def test_containers_at_random():
    fuzz.check(__file__, "containers", count=60)
