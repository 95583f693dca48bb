"""What people enlarge, beside the photographs of the papers: made pictures and degraded photographs.

A case is a small picture in 8 bits as a file would have it, and where there is one the large picture that it
was made from. Where there is a truth, PSNR is that of :mod:`~fsrcnn_rt.evaluation.protocol`: 8 bits,
``scale`` pixels shaved. Overshoot and consistency are measured on the float result of every case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.evaluation.degraded import FILTERS, Degraded, clip_frames, degrade, shrink
from fsrcnn_rt.evaluation.drawings import large_drawings, small_drawings
from fsrcnn_rt.evaluation.metrics import imresize, psnr
from fsrcnn_rt.evaluation.protocol import BICUBIC, bicubic, to_8bit

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "BICUBIC",
    "Case",
    "Figures",
    "Methods",
    "Result",
    "Upscale",
    "clip_cases",
    "consistency",
    "drawing_cases",
    "figures_of",
    "measure",
    "overshoot",
    "photograph_cases",
    "shown_cases",
]

_F32: TypeAlias = npt.NDArray[np.float32]
_F64: TypeAlias = npt.NDArray[np.float64]
_U8: TypeAlias = npt.NDArray[np.uint8]

_SHOWN_DRAWINGS = (
    ("lines, aliased", "as drawn", "single, black on white"),
    ("lines, aliased", "as drawn", "fan of 1 px"),
    ("lines, antialiased", "as drawn", "fan of 1 px"),
    ("text, antialiased", "as drawn", "black on white"),
    ("text, aliased", "as drawn", "outlines, black on white"),
    ("user interface", "as drawn", "light"),
    ("pixel art", "as drawn", "pixels of 2"),
    ("line art", "as drawn", "aliased"),
    ("1-bit scan", "as drawn", "text"),
    ("text, antialiased", "area", "black on white"),
    ("text, antialiased", "nearest", "black on white"),
)
_SHOWN_WAYS = (
    "error-diffused",
    "bicubic",
    "JPEG 4:2:0, 75",
    "JPEG 4:2:0, 50",
    "JPEG 4:2:0, 30",
    "noise, sigma 8",
)

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
    file: Image | None = None
    """The small picture as Pillow opens it from a JPEG, which tells how it was coded."""
    qp: float | None = None
    """Mean quantiser of the clip, where it was coded by H.264."""


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
    """What one method makes of one case, whose pixels are let go."""

    kind: str
    way: str
    name: str
    scale: int
    method: str
    figures: Figures
    gain: float | None
    """PSNR above that of bicubic, in dB; None without a truth."""


Upscale: TypeAlias = Callable[[Case], npt.NDArray[np.floating[Any]]]
"""From a case to luma (scale * H, scale * W) in 0..1, not clipped."""

Methods: TypeAlias = Mapping[int, Mapping[str, Upscale]]
"""What is compared with bicubic, by scale and by name."""


def measure(cases: Iterable[Case], methods: Methods) -> Iterator[Result]:
    """Measure bicubic, called "bicubic", and every method of its scale on every case."""
    for case in cases:
        base = figures_of(case, bicubic(case.lr, case.scale))
        figures = {name: figures_of(case, upscale(case)) for name, upscale in methods[case.scale].items()}
        for name, reached in {BICUBIC: base, **figures}.items():
            gain = None if reached.psnr is None or base.psnr is None else reached.psnr - base.psnr
            yield Result(case.kind, case.way, case.name, case.scale, name, reached, gain)


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


def drawing_cases(scales: Sequence[int]) -> Iterator[Case]:
    """Yield every drawing as it is, which has no truth, and large ones made small by every filter."""
    for scale in scales:
        for drawing in small_drawings():
            yield Case(drawing.kind, "as drawn", drawing.name, scale, _unit(drawing.pixels), None)
        for way, method in FILTERS.items():
            for drawing in large_drawings():
                lr = _unit(shrink(drawing.pixels, scale, method))
                yield Case(drawing.kind, way, drawing.name, scale, lr, drawing.pixels)


def photograph_cases(path: Path, kind: str, scales: Sequence[int], *, with_h264: bool) -> Iterator[Case]:
    """Yield a photograph as :func:`~fsrcnn_rt.evaluation.degraded.degrade` makes it small."""
    for scale in scales:
        for degraded in degrade(path, scale, with_h264=with_h264):
            yield _case(kind, path.stem, scale, degraded)


def clip_cases(path: Path, kind: str, scales: Sequence[int]) -> Iterator[Case]:
    """Yield frames of a clip made small and coded; ``ModuleNotFoundError`` without PyAV."""
    for scale in scales:
        for name, degraded in clip_frames(path, scale):
            yield _case(kind, name, scale, degraded)


def shown_cases(scale: int, photograph: Path | None) -> Iterator[Case]:
    """Yield the cases worth looking at: drawings as they are, and a photograph coded or noisy."""
    yield from (c for c in drawing_cases([scale]) if (c.kind, c.way, c.name) in _SHOWN_DRAWINGS)
    if photograph:
        cases = photograph_cases(photograph, "photographs", [scale], with_h264=False)
        yield from (c for c in cases if c.way in _SHOWN_WAYS)


def _case(kind: str, name: str, scale: int, degraded: Degraded) -> Case:
    return Case(kind, degraded.way, name, scale, _unit(degraded.lr), *degraded[2:])


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
