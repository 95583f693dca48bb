"""Sheets of crops: the original, bicubic and every model side by side, in colour, as the papers show them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fsrcnn_rt.evaluation import robustness
from fsrcnn_rt.evaluation.metrics import imresize, modcrop, psnr
from fsrcnn_rt.evaluation.protocol import (
    GREY_MODES,
    Methods,
    UpscaleLuma,
    bicubic,
    load_luma,
    make_pair,
    to_8bit,
)

__all__ = ["Cell", "Crop", "draw", "draw_cases", "find_crop", "make_cells"]

_U8 = npt.NDArray[np.uint8]
_F64 = npt.NDArray[np.float64]

# MATLAB rgb2ycbcr, for RGB in 0..255.
_TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
_BLACK = np.array([16.0, 128.0, 128.0])

_WIDTH = 240  # pixels that a crop is magnified to, about
_GAP = 8
_FONT_SIZE = 14
_LINE = 18
_MIDDLE = (64, 96)  # rows and columns of the small picture that are shown of a case
_CASE_ZOOM = 2


class Crop(NamedTuple):
    """A rectangle of a picture, in its own pixels."""

    image: Path
    x: int
    y: int
    width: int
    height: int


class Cell(NamedTuple):
    """A crop as one method makes it."""

    method: str
    psnr: float | None
    """Of the whole picture's luma, by the protocol; None for the original."""
    pixels: _U8
    """RGB (height, width, 3)."""


class _Panel(NamedTuple):
    labels: tuple[str, str]
    pixels: _U8
    """RGB (height, width, 3), to be shown ``zoom`` times as large."""
    zoom: int


def find_crop(text: str, images: Sequence[Path], scales: Sequence[int]) -> Crop:
    """Read PICTURE:WxH+X+Y, where the picture is one of ``images``, named with its suffix or without.

    Raises ``ValueError`` for what does not name one rectangle in one picture, ``OSError`` for an unreadable
    one.
    """
    match = re.fullmatch(r"(.+):(\d+)x(\d+)\+(\d+)\+(\d+)", text, re.ASCII)
    if match is None:
        raise ValueError(f"--crop: {text!r} is not PICTURE:WxH+X+Y")
    name, (width, height, x, y) = match[1], map(int, match.groups()[1:])
    found = [path for path in images if name in (path.name, path.stem)]
    if len(found) != 1:
        raise ValueError(f"--crop: {len(found) or 'none'} of the pictures is called {name!r}, not one")
    luma = load_luma(found[0])
    for scale in scales:
        rows, columns = modcrop(luma, scale).shape
        if not (0 <= x < x + width <= columns and 0 <= y < y + height <= rows):
            raise ValueError(f"--crop: {text!r} is not inside the picture, {columns}x{rows} at x{scale}")
    return Crop(found[0], x, y, width, height)


def make_cells(crop: Crop, scale: int, methods: Mapping[str, UpscaleLuma]) -> list[Cell]:
    """Show the crop as it is, and as each method makes it of the picture that is ``scale`` times smaller.

    Luma is what the protocol measures; chroma is bicubic for all.
    """
    pair = make_pair(load_luma(crop.image), scale)
    chroma = _chroma(crop.image, scale)
    inner = (slice(crop.y, crop.y + crop.height), slice(crop.x, crop.x + crop.width))
    cells = [Cell("original", None, modcrop(_rgb(crop.image), scale)[inner])]
    for name, upscale in methods.items():
        luma = to_8bit(upscale(pair.lr, scale))
        if chroma is None:
            pixels = np.repeat(luma[..., None], 3, axis=2)
        else:
            coded = np.concatenate([luma[..., None], chroma], axis=2) - _BLACK
            pixels = to_8bit(coded @ np.linalg.inv(_TO_YCBCR).T / 255)
        cells.append(Cell(name, psnr(luma, pair.hr, shave=scale), pixels[inner]))
    return cells


def draw(crops: Sequence[Crop], methods: Methods) -> Image.Image:
    """Draw a row for every crop at every scale, magnified without smoothing; above each cell what it is."""
    rows = []
    for crop in crops:
        for scale in methods:
            cells = make_cells(crop, scale, methods[scale])
            rows.append(
                {c.method: _Panel(_labels(crop, scale, c), c.pixels, _zoom(crop.width)) for c in cells}
            )
    return _arrange(rows)


def draw_cases(cases: Iterable[robustness.Case], methods: robustness.Methods) -> Image.Image:
    """Draw a row for every case: the middle of what comes in, enlarged, and what each method makes of it."""
    rows = []
    for case in cases:
        low = tuple(
            slice(max(0, (n - m) // 2), (n + m) // 2) for n, m in zip(case.lr.shape, _MIDDLE, strict=True)
        )
        large = tuple(slice(case.scale * part.start, case.scale * part.stop) for part in low)
        labels = (f"{case.kind}: {case.name}", f"{case.way}, x{case.scale}")
        row = {"": _Panel(labels, _grey(case.lr[low]), _CASE_ZOOM * case.scale)}
        for name, upscale in {"bicubic": _bicubic, **methods[case.scale]}.items():
            luma = upscale(case)
            figures = robustness.figures_of(case, luma)
            quality = f"{figures.psnr:.2f} dB, " if figures.psnr is not None else ""
            labels = (name, f"{quality}overshoot {figures.overshoot:.2f}")
            row[name] = _Panel(labels, _grey(luma[large]), _CASE_ZOOM)
        rows.append(row)
    return _arrange(rows)


def _arrange(rows: Sequence[Mapping[str, _Panel]]) -> Image.Image:
    """Lay panels out in rows, and in a column for each key; two lines of text stand above each."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    font = ImageFont.load_default(_FONT_SIZE)
    panels = [panel for row in rows for panel in row.values()]
    longest = int(max(font.getlength(line) for panel in panels for line in panel.labels))
    width = max(longest, *(panel.pixels.shape[1] * panel.zoom for panel in panels)) + _GAP
    heights = [
        2 * _LINE + max(panel.pixels.shape[0] * panel.zoom for panel in row.values()) + _GAP for row in rows
    ]
    sheet = Image.new("RGB", (width * len(columns) + _GAP, sum(heights) + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    y = _GAP
    for row, height in zip(rows, heights, strict=True):
        for key, panel in row.items():
            x = _GAP + width * columns.index(key)
            for number, line in enumerate(panel.labels):
                pen.text((x, y + number * _LINE), line, fill="black", font=font)
            enlarged = panel.pixels.repeat(panel.zoom, axis=0).repeat(panel.zoom, axis=1)
            sheet.paste(Image.fromarray(enlarged), (x, y + 2 * _LINE))
        y += height
    return sheet


def _bicubic(case: robustness.Case) -> _F64:
    return bicubic(case.lr, case.scale)


def _grey(luma: npt.NDArray[np.floating[Any]]) -> _U8:
    return np.repeat(to_8bit(luma)[..., None], 3, axis=2)


def _labels(crop: Crop, scale: int, cell: Cell) -> tuple[str, str]:
    if cell.psnr is None:
        return f"{crop.image.stem}, x{scale}", cell.method
    return cell.method, f"{cell.psnr:.2f} dB"


def _zoom(width: int) -> int:
    return max(1, round(_WIDTH / width))


def _rgb(image: Path) -> _U8:
    with Image.open(image) as picture:
        return np.asarray(picture.convert("RGB"))


def _chroma(image: Path, scale: int) -> _F64 | None:
    """Shrink and enlarge Cb and Cr (H, W, 2), 0..255; None for a grey picture."""
    with Image.open(image) as picture:
        if picture.mode in GREY_MODES:
            return None
    large = modcrop(_rgb(image), scale) @ _TO_YCBCR[1:].T + _BLACK[1:]
    return imresize(imresize(large, 1 / scale), scale)
