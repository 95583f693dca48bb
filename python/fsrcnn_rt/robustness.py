"""What people enlarge, beside the photographs of the papers: made pictures and degraded photographs.

A case is a small picture in 8 bits as a file would have it, and where there is one the large picture that it
was made from. Where there is a truth, PSNR is that of :mod:`fsrcnn_rt.evaluate`: 8 bits, ``scale`` pixels
shaved. Overshoot and consistency are measured on the float result of every case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.drawings import large_drawings, small_drawings
from fsrcnn_rt.evaluate import to_8bit
from fsrcnn_rt.metrics import Method, imresize, modcrop, psnr

__all__ = [
    "FILTERS",
    "Case",
    "Figures",
    "Result",
    "Upscale",
    "consistency",
    "drawing_cases",
    "measure",
    "overshoot",
    "shrink",
]

_F32: TypeAlias = npt.NDArray[np.float32]
_F64: TypeAlias = npt.NDArray[np.float64]
_U8: TypeAlias = npt.NDArray[np.uint8]

FILTERS: Mapping[str, Method] = {
    "bicubic": "bicubic",
    "area": "box",
    "bilinear": "bilinear",
    "Lanczos": "lanczos3",
    "nearest": "nearest",
}
"""Ways of making a picture small, and what MATLAB's imresize calls them."""

_NEIGHBOURHOOD = 7
# The PSNR of rounding to 8 bits. What is better than that shows nothing but the content.
_BEST = 10 * math.log10(12 * 255**2)


class Case(NamedTuple):
    """A small picture to enlarge."""

    kind: str
    """What is shown, such as "lines, aliased"."""
    way: str
    """How it became small, such as "area", or "as drawn"."""
    name: str
    scale: int
    lr: _F32
    """(H, W) in 0..1, of 8 bits"""
    hr: _U8 | None
    """(scale * H, scale * W) of which ``lr`` was made, if there is such."""


class Figures(NamedTuple):
    """What a result reaches on a case."""

    psnr: float | None
    """Against the truth, in dB; None without one."""
    mean_overshoot: float
    overshoot: float
    """The farthest of any pixel. Both in parts of full range."""
    consistency: float
    """PSNR in dB of the result made small again, against the input."""


class Result(NamedTuple):
    """What one method makes of one case."""

    case: Case
    method: str
    figures: Figures


Upscale: TypeAlias = Callable[[Case], npt.NDArray[np.floating[Any]]]
"""From a case to luma (scale * H, scale * W) in 0..1, not clipped."""


def measure(cases: Iterable[Case], methods: Mapping[str, Upscale]) -> Iterator[Result]:
    """Measure every method on every case, case by case."""
    for case in cases:
        for name, upscale in methods.items():
            yield Result(case, name, figures_of(case, upscale(case)))


def figures_of(case: Case, luma: npt.NDArray[np.floating[Any]]) -> Figures:
    """Measure a result (scale * H, scale * W)."""
    distance = overshoot(luma, case.lr)
    quality = None if case.hr is None else min(psnr(to_8bit(luma), case.hr, shave=case.scale), _BEST)
    return Figures(quality, float(distance.mean()), float(distance.max()), consistency(luma, case.lr))


def overshoot(luma: npt.NDArray[np.floating[Any]], lr: _F32) -> _F64:
    """Find how far each pixel of a result is outside the range of the 7x7 input pixels around it.

    ``luma`` (s * H, s * W), ``lr`` (H, W), both in 0..1; s * s pixels of the result belong to one input
    pixel. Returns distances (s * H, s * W), 0 within the range, in parts of full range. NaN is infinitely
    far.
    """
    height, width = lr.shape
    scale = luma.shape[0] // height
    if luma.shape != (scale * height, scale * width):
        raise ValueError(f"luma: {luma.shape} is no multiple of {lr.shape}")
    low = -_maximum_around(-lr)[:, None, :, None]
    high = _maximum_around(lr)[:, None, :, None]
    blocks = luma.astype(np.float64).reshape(height, scale, width, scale)
    distance = np.maximum(np.maximum(low - blocks, blocks - high), 0.0)
    distance[np.isnan(distance)] = np.inf
    return distance.reshape(luma.shape)


def consistency(luma: npt.NDArray[np.floating[Any]], lr: _F32) -> float:
    """Make a result small again by MATLAB's bicubic, and give its PSNR in dB against the input.

    58.92 dB at most, which is the error of rounding to 8 bits. -inf for a result that is not finite.
    """
    if not np.isfinite(luma).all():
        return -math.inf
    again = imresize(luma, shape=(lr.shape[0], lr.shape[1]))
    return min(psnr(again, lr, peak=1.0), _BEST)


def shrink(image: _U8, scale: int, method: Method) -> _U8:
    """Make a picture (H, W) or (H, W, C) small, in 8 bits; its sides are cut to multiples of ``scale``."""
    small = imresize(modcrop(image, scale), 1 / scale, method=method)
    return np.clip(np.floor(small + 0.5), 0, 255).astype(np.uint8)


def drawing_cases(scales: Sequence[int]) -> Iterator[Case]:
    """Give every drawing as it is, which has no truth, and large ones made small by every filter."""
    for scale in scales:
        for drawing in small_drawings():
            yield Case(drawing.kind, "as drawn", drawing.name, scale, _unit(drawing.pixels), None)
        for way, method in FILTERS.items():
            for drawing in large_drawings():
                hr = modcrop(drawing.pixels, scale)
                lr = _unit(shrink(hr, scale, method))
                yield Case(drawing.kind, way, drawing.name, scale, lr, hr)


def _unit(luma: _U8) -> _F32:
    return np.divide(luma, 255, dtype=np.float32)


def _maximum_around(plane: _F32) -> _F32:
    """Find the maximum of the 7x7 pixels around each, of those that there are."""
    reach = _NEIGHBOURHOOD // 2
    for axis in (0, 1):
        padding = [(reach, reach) if k == axis else (0, 0) for k in (0, 1)]
        padded = np.pad(plane, padding, constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, _NEIGHBOURHOOD, axis)
        plane = windows.max(axis=-1)
    return plane
