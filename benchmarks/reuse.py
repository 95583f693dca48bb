"""What it brings to copy what is as in the frame before: ``python benchmarks/reuse.py [FILM...]``.

Clips are drawn here, coded by H.264 (CRF 23; noise by FFV1, so that it stays noise) and upscaled with and
without, in turns, on one thread, decoding included. A film of one's own is measured as it is. What counts is
the ratio within a turn. All must give the same bits.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from fsrcnn_rt import Upscaler
from fsrcnn_rt.video.files import upscale_frames, upscale_video
from PIL import Image, ImageDraw
from timing import alternate, ratios, spread

_SIZE = (640, 360)
_FRAMES = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", nargs="*", metavar="FILM", help="measured beside the clips")
    parser.add_argument("-m", "--model", default="fsrcnn-s", help="(default: fsrcnn-s)")
    parser.add_argument("--isa", help="instruction set (default: the fastest)")
    parser.add_argument("--seconds", type=float, default=20, help="for each clip (default: 20)")
    options = parser.parse_args()
    upscaler = Upscaler(options.model, isa=options.isa, threads=1)
    print(f"{upscaler!r}: frames of a clip without over with, decoding included")
    with tempfile.TemporaryDirectory() as folder:
        clips = {name: _encode(Path(folder, f"{name}.mkv"), draw) for name, draw in _CLIPS.items()}
        for name, path in (clips | {Path(film).name: Path(film) for film in options.films}).items():
            _measure(name, path, upscaler, options.seconds)


def _measure(name: str, path: Path, upscaler: Upscaler, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out.mkv")
        done = upscale_video(path, output, model=upscaler, codec="rawvideo", pix_fmt="yuv420p")
    frames = (upscale_frames(path, model=upscaler, reuse=reuse) for reuse in (True, False))
    for one, other in zip(*frames, strict=True):
        assert (one.to_ndarray() == other.to_ndarray()).all(), f"{one} differs"

    def run(reuse: bool) -> Callable[[], object]:
        return lambda: sum(1 for _ in upscale_frames(path, model=upscaler, reuse=reuse))

    without, with_ = alternate([run(False), run(True)], seconds)
    ratio = spread(ratios(without, with_))
    print(
        f"{name:12} {done.unchanged:4.0%} copied: {ratio.median:6.2f} times as fast "
        f"(quartiles {ratio.low:.2f} to {ratio.high:.2f}); {1e3 * min(with_) / done.frames:.2f} ms a frame",
        flush=True,
    )


def _encode(path: Path, draw: Callable[[], Iterator[np.ndarray[Any, Any]]]) -> Path:
    with av.open(str(path), "w") as container:
        noise = path.stem == "noise"
        stream = container.add_stream("ffv1" if noise else "libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = *_SIZE, "yuv420p"
        if not noise:
            stream.options = {"crf": "23"}
        for rgb in draw():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        container.mux(stream.encode(None))
    return path


def _repeated() -> Iterator[np.ndarray[Any, Any]]:
    frame = _scenery()[: _SIZE[1], : _SIZE[0]]
    return (frame for _ in range(_FRAMES))


def _screencast() -> Iterator[np.ndarray[Any, Any]]:
    """A page on which somebody types, with a mouse pointer that comes and goes."""
    width, height = _SIZE
    words = [
        f"{word}{i}" for i in range(40) for word in ("render", "(frame, ", "scale=", "tile", ") -> ", "rows")
    ]
    image = Image.new("RGB", _SIZE, (250, 250, 248))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width, 22), fill=(60, 70, 90))
    draw.rectangle((0, 22, 120, height), fill=(232, 234, 238))
    for row in range(20):
        draw.text((10, 30 + 16 * row), words[row], fill=(90, 90, 110))
        if row < 12:
            draw.text((135, 30 + 16 * row), " ".join(words[7 * row : 7 * row + 7]), fill=(20, 20, 30))
    for i in range(_FRAMES):
        draw.text((135 + 7 * i, 30 + 16 * 13), "typing"[i % 6], fill=(20, 20, 30))
        frame = image.copy()
        x, y = 200 + 6 * i, 120 + 3 * min(i, 20)
        if i < 30:
            ImageDraw.Draw(frame).polygon(
                [(x, y), (x, y + 14), (x + 9, y + 10)], fill="black", outline="white"
            )
        yield np.asarray(frame)


def _drawn() -> Iterator[np.ndarray[Any, Any]]:
    """A figure that walks, drawn anew every other frame, before a background that stands still."""
    background = _painted()
    for i in range(_FRAMES):
        frame, step = background.copy(), i // 2
        draw = ImageDraw.Draw(frame)
        x, y = 120 + 9 * step, 150 + (step % 4) * 3
        draw.rounded_rectangle((x, y, x + 90, y + 130), 30, fill=(190, 60, 50), outline="black", width=3)
        draw.ellipse((x + 5, y - 75, x + 85, y + 5), fill=(240, 205, 170), outline="black", width=3)
        for leg, way in ((x + 15, 1), (x + 55, -1)):
            foot = leg + way * (12 * (step % 4) - 18)
            draw.line((leg + 10, y + 130, foot + 10, y + 195), fill="black", width=14)
        yield np.asarray(frame)


def _noise() -> Iterator[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (_SIZE[1], _SIZE[0], 3), np.uint8) for _ in range(_FRAMES))


def _hand_held() -> Iterator[np.ndarray[Any, Any]]:
    """A view that shakes and wanders, with the noise of a camera."""
    rng = np.random.default_rng(1)
    scene = Image.fromarray(_scenery())
    for i in range(_FRAMES):
        left, top = 40 + 2.3 * i + rng.normal(0, 1.5), 40 + rng.normal(0, 1.5)
        view = scene.transform(
            _SIZE, Image.Transform.AFFINE, (1, 0, left, 0, 1, top), Image.Resampling.BICUBIC
        )
        yield (np.asarray(view) + rng.normal(0, 3, (*_SIZE[::-1], 3))).clip(0, 255).astype(np.uint8)


def _painted() -> Image.Image:
    """A sky, hills and houses with outlines, as backgrounds of drawn films are."""
    width, height = _SIZE
    sky = np.linspace((120, 170, 230), (225, 235, 245), height)[:, None].repeat(width, 1)
    image = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for shade, base, wave in ((150, 200, 50), (120, 240, 30), (95, 285, 15)):
        hill = [(x, base + wave * np.sin(x / (40 + shade / 3))) for x in range(0, width + 8, 8)]
        draw.polygon(
            [*hill, (width, height), (0, height)], fill=(shade - 40, shade + 30, shade - 60), outline="black"
        )
    for x in range(30, width, 120):
        draw.rectangle((x, 190, x + 60, 250), fill=(200, 180 - x // 8, 150), outline="black", width=2)
        draw.polygon([(x - 8, 190), (x + 30, 150), (x + 68, 190)], fill=(150, 70, 60), outline="black")
        draw.rectangle((x + 22, 215, x + 40, 250), fill=(90, 60, 40), outline="black")
    return image


def _scenery() -> np.ndarray[Any, Any]:
    """Smooth hills with texture, larger than a frame."""
    rng = np.random.default_rng(2)
    layers = [
        Image.fromarray(rng.integers(0, 256, (side * 9 // 16, side, 3), np.uint8)).resize(
            (960, 540), Image.Resampling.BICUBIC
        )
        for side in (8, 32, 128, 400)
    ]
    return np.mean(np.stack(layers), axis=0).astype(np.uint8)


_CLIPS = {
    "repeated": _repeated,
    "screencast": _screencast,
    "drawn": _drawn,
    "noise": _noise,
    "hand-held": _hand_held,
}

if __name__ == "__main__":
    main()
