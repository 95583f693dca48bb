"""Photographs and clips made small, and coded or made noisy, as people have them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.evaluation.drawings import error_diffused, ordered_dither
from fsrcnn_rt.evaluation.metrics import Method, imresize, modcrop, rgb_to_y
from fsrcnn_rt.evaluation.protocol import load_pixels

if TYPE_CHECKING:
    import av
    from PIL.Image import Image

__all__ = ["FILTERS", "Degraded", "clip_frames", "degrade", "h264", "jpeg", "noisy", "shrink"]

_U8: TypeAlias = npt.NDArray[np.uint8]
_YUV: TypeAlias = tuple[_U8, _U8, _U8]

FILTERS: dict[str, Method] = {
    "bicubic": "bicubic",
    "area": "box",
    "bilinear": "bilinear",
    "Lanczos": "lanczos3",
    "nearest": "nearest",
}
"""Ways of making a picture small, and what MATLAB's imresize calls them."""

_JPEG_QUALITIES = (95, 90, 75, 50, 30)
_CRFS = (18, 23, 28, 33)
_SIGMAS = (2, 4, 8, 15)

# Of sides that are no multiples of this, libx264 codes what happens to be in memory beyond them: now and then
# the same frames give other bits.
_BLOCK = 16

# A photograph becomes a clip of so many frames, each a pixel further. The fifth is neither the first, which
# is coded for itself, nor the last.
_PAN = 8
_PAN_FRAME = 4
_CLIP_LENGTH = 12
_CLIP_FRAMES = (3, 7, 11)

# MATLAB rgb2ycbcr, rows of Cb and Cr, for RGB in 0..255.
_CHROMA = np.array([[-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255


class Degraded(NamedTuple):
    """A small picture, what was done to it, and the large one that it shows."""

    way: str
    lr: _U8
    """Luma (H, W)"""
    hr: _U8 | None
    """Luma (scale * H, scale * W); None where the small picture is not meant to show it."""
    file: Image | None = None
    """The small picture as Pillow opens it from a JPEG, which tells how it was coded."""
    qp: float | None = None
    """Mean quantiser, where it was coded by H.264."""


def shrink(image: _U8, scale: int, method: Method = "bicubic") -> _U8:
    """Make (H, W) or (H, W, C) small, in 8 bits; sides are first cut to multiples of ``scale``."""
    return _to_8bit(imresize(modcrop(image, scale), 1 / scale, method=method))


def degrade(path: Path, scale: int, *, with_h264: bool) -> Iterator[Degraded]:
    """Make a photograph small in every way there is.

    By the filters its luma is made small; for JPEG and H.264 all of it is, by bicubic, and the luma of what
    is decoded is to be enlarged. Noise is that of luma. ``with_h264`` needs PyAV.

    Raises ``OSError`` or ``ValueError`` for a picture that cannot be used.
    """
    pixels = modcrop(load_pixels(path), scale)
    hr = rgb_to_y(pixels)
    for way, method in FILTERS.items():
        yield Degraded(way, shrink(hr, scale, method), hr)
    small, luma = shrink(pixels, scale), shrink(hr, scale)
    subsamplings: tuple[Literal["4:2:0", "4:4:4"], ...] = ("4:2:0", "4:4:4")
    for subsampling in subsamplings:
        for quality in _JPEG_QUALITIES:
            file = jpeg(small, quality, subsampling)
            yield Degraded(f"JPEG {subsampling}, {quality}", rgb_to_y(np.asarray(file)), hr, file)
    if with_h264:
        width, height = (small.shape[1] - _PAN) // _BLOCK * _BLOCK, small.shape[0] // _BLOCK * _BLOCK
        if min(width, height) == 0:
            raise ValueError(f"{path}: too small for H.264 at x{scale}")
        frames = [_yuv(small[:height, k : k + width]) for k in range(_PAN)]
        shown = hr[: height * scale, _PAN_FRAME * scale : (_PAN_FRAME + width) * scale]
        for crf in _CRFS:
            coded, qp = h264(frames, crf)
            yield Degraded(f"H.264, CRF {crf}", coded[_PAN_FRAME], shown, qp=qp)
    for sigma in _SIGMAS:
        seed = [zlib.crc32(path.name.encode()), scale, sigma]
        yield Degraded(f"noise, sigma {sigma}", noisy(luma, sigma, np.random.default_rng(seed)), hr)
    yield Degraded("ordered dither", ordered_dither(luma), None)
    yield Degraded("error-diffused", error_diffused(luma), None)


def clip_frames(path: Path, scale: int) -> Iterator[tuple[str, Degraded]]:
    """Make the first frames of a clip of 8 bits small, code them by H.264, and give some by name.

    Raises ``OSError`` or ``ValueError`` for a clip that cannot be used, ``ModuleNotFoundError`` without
    PyAV.
    """
    import av

    with av.open(str(path)) as container:
        decoded = islice(container.decode(video=0), _CLIP_LENGTH)
        frames = [_copied(frame.reformat(format="yuv420p")) for frame in decoded]
    if len(frames) < _CLIP_LENGTH:
        raise ValueError(f"{path}: has fewer than {_CLIP_LENGTH} frames")
    luma, chroma = _BLOCK * scale, _BLOCK // 2 * scale
    frames = [(modcrop(y, luma), modcrop(cb, chroma), modcrop(cr, chroma)) for y, cb, cr in frames]
    small = [(shrink(y, scale), shrink(cb, scale), shrink(cr, scale)) for y, cb, cr in frames]
    for crf in _CRFS:
        coded, qp = h264(small, crf)
        for k in _CLIP_FRAMES:
            yield f"{path.stem}, frame {k}", Degraded(f"H.264, CRF {crf}", coded[k], frames[k][0], qp=qp)


def jpeg(pixels: _U8, quality: int, subsampling: Literal["4:2:0", "4:4:4"]) -> Image:
    """Code RGB (H, W, 3) or grey (H, W), and open it."""
    from PIL import Image

    coded = io.BytesIO()
    options = {"subsampling": subsampling} if pixels.ndim == 3 else {}
    Image.fromarray(pixels).save(coded, "JPEG", quality=quality, **options)
    image = Image.open(coded)
    image.load()
    return image


def h264(frames: Sequence[_YUV], crf: int) -> tuple[list[_U8], float]:
    """Code frames of 4:2:0 by libx264 on one thread; give the luma that is decoded, and the mean quantiser.

    The same frames give the same result where their sides are multiples of 16.
    """
    import av

    from fsrcnn_rt.video.files import mean_qp

    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = frames[0][0].shape
    encoder.pix_fmt = "yuv420p"
    encoder.options = {"crf": str(crf), "threads": "1"}
    encoder.time_base, encoder.framerate = Fraction(1, 24), Fraction(24)
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoder.options = {"export_side_data": "venc_params"}
    packets = [packet for k, planes in enumerate(frames) for packet in encoder.encode(_frame(planes, k))]
    packets += encoder.encode(None)
    decoded = [frame for packet in packets for frame in decoder.decode(packet)]
    decoded += decoder.decode(None)
    parameters: list[Any] = [frame.side_data.get("VIDEO_ENC_PARAMS") for frame in decoded]
    qp = sum(mean_qp(each) for each in parameters) / len(parameters)
    return [_copied(frame)[0] for frame in decoded], qp


def noisy(luma: _U8, sigma: float, rng: np.random.Generator) -> _U8:
    """Add Gaussian noise to luma (H, W) and round it to 8 bits."""
    return _to_8bit(luma + rng.normal(0, sigma, luma.shape))


def _to_8bit(codes: npt.NDArray[np.float64]) -> _U8:
    return np.clip(np.floor(codes + 0.5), 0, 255).astype(np.uint8)


def _yuv(pixels: _U8) -> _YUV:
    """Convert RGB or grey of even sides to 4:2:0, chroma being the mean of four."""
    rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
    if pixels.ndim == 2:
        grey = np.full((rows, columns), 128, np.uint8)
        return pixels, grey, grey
    blocks = pixels.reshape(rows, 2, columns, 2, 3).mean(axis=(1, 3))
    chroma = _to_8bit(blocks @ _CHROMA.T + 128)
    return rgb_to_y(pixels), chroma[..., 0], chroma[..., 1]


def _frame(planes: _YUV, number: int) -> av.VideoFrame:
    import av

    frame = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], "yuv420p")
    for view, values in zip(_views(frame), planes, strict=True):
        view[...] = values
    frame.pts = number
    return frame


def _copied(frame: av.VideoFrame) -> _YUV:
    y, cb, cr = _views(frame)
    return y.copy(), cb.copy(), cr.copy()


def _views(frame: av.VideoFrame) -> _YUV:
    y, cb, cr = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    )
    return y, cb, cr
