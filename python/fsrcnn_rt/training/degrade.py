"""Small pictures as people have them: made by several filters, coded by JPEG and H.264, noisy."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image

from fsrcnn_rt.evaluation.metrics import imresize, rgb_to_y
from fsrcnn_rt.evaluation.protocol import Pair
from fsrcnn_rt.training.config import Damage

__all__ = ["damaged", "pick", "shrink"]

_F32 = npt.NDArray[np.float32]
_U8 = npt.NDArray[np.uint8]

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
# BT.601 as the core has it: of full-range R'G'B' in 0..255 to codes 16..235.
_LUMA = np.array([65.481, 128.553, 24.966], np.float32) / np.float32(255)

_FRAMES = 4  # of a clip that is coded for the sake of its last frame
_PAN = 2 * _FRAMES  # pixels that it moves at most


def pick(random: np.random.Generator, shares: Mapping[str, float]) -> str:
    """Draw one of the names, each as often as its share says."""
    return str(random.choice(list(shares), p=list(shares.values())))


def shrink(large: _U8, scale: int, name: str) -> _F32:
    """Make luma (H, W), sides multiples of ``scale``, small: (H / scale, W / scale) in 0..1, not rounded."""
    if name == "bicubic":
        return (imresize(large, 1 / scale) / 255.0).astype(np.float32)
    size = (large.shape[1] // scale, large.shape[0] // scale)
    resized = Image.fromarray(large.astype(np.float32)).resize(size, _RESAMPLING[name])
    small: _F32 = np.asarray(resized) / np.float32(255)
    return small


def damaged(
    picture: Image.Image, scale: int, name: str, damage: Damage, random: np.random.Generator, least: int
) -> Pair:
    """Make ``picture``, of mode L or RGB, small by the filter ``name``, then code it or add noise to it.

    The clip that H.264 codes shows a part of the picture. Where that would be smaller than ``least`` small
    pixels a side, the picture stays clean.
    """
    size = (picture.width // scale, picture.height // scale)
    large = picture.crop((0, 0, size[0] * scale, size[1] * scale))
    small = large.resize(size, _RESAMPLING[name])
    kind = pick(random, damage.shares)
    hr = rgb_to_y(np.asarray(large))
    if "noise" in kind:
        small = _noisy(small, random.uniform(*damage.sigma), random)
    if "jpeg" in kind:
        quality = round(random.uniform(*damage.quality))
        small = _through_jpeg(small, quality, subsampling=2 if random.random() < 0.75 else 0)
    if "h264" in kind and min(size) > least + _PAN:
        return _through_h264(small, hr, scale, float(random.uniform(*damage.crf)), random)
    return Pair(hr, _luma(small))


def _luma(picture: Image.Image) -> _F32:
    pixels = np.asarray(picture, np.float32)
    luma: _F32 = (pixels @ _LUMA + 16 if pixels.ndim == 3 else pixels) / np.float32(255)
    return luma


def _noisy(picture: Image.Image, sigma: float, random: np.random.Generator) -> Image.Image:
    """Add noise: half of the time of every channel its own, else the same to all."""
    pixels = np.asarray(picture, np.float32)
    shape = pixels.shape if random.random() < 0.5 else (*pixels.shape[:2], *(1 for _ in pixels.shape[2:]))
    noisy = pixels + random.normal(0, sigma, shape)
    return Image.fromarray(np.clip(np.floor(noisy + 0.5), 0, 255).astype(np.uint8))


def _through_jpeg(picture: Image.Image, quality: int, subsampling: int) -> Image.Image:
    coded = io.BytesIO()
    picture.save(coded, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(coded)


def _through_h264(small: Image.Image, hr: _U8, scale: int, crf: float, random: np.random.Generator) -> Pair:
    """Code a clip that pans over the picture; its last frame, and what it shows of the large picture."""
    import av

    width, height = ((side - _PAN) // 2 * 2 for side in small.size)
    steps = random.integers(0, 3, size=(_FRAMES, 2))
    places = np.cumsum(steps, 0)
    coded = io.BytesIO()
    with av.open(coded, "w", "matroska") as container:
        options = {"crf": f"{crf:.1f}", "preset": "veryfast", "threads": "1"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for x, y in places:
            pixels = np.asarray(small.crop((x, y, x + width, y + height)).convert("RGB"))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    coded.seek(0)
    with av.open(coded) as container:
        *_, last = container.decode(video=0)
        plane = last.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, :width]
    x, y = places[-1]
    window = hr[y * scale : (y + height) * scale, x * scale : (x + width) * scale]
    if small.mode == "L":  # full range in the picture, codes 16..235 in the video
        full = (luma.astype(np.float32) - 16) * np.float32(255 / 219)
        return Pair(np.ascontiguousarray(window), full / np.float32(255))
    return Pair(np.ascontiguousarray(window), luma.astype(np.float32) / np.float32(255))
