"""Sheets of crops: the original, bicubic and every model side by side, in colour, as the papers show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fsrcnn_rt.evaluate import GREY_MODES, Methods, UpscaleLuma, load_luma, make_pair, to_8bit
from fsrcnn_rt.metrics import imresize, modcrop, psnr

__all__ = ["Cell", "Crop", "draw", "find_crop", "make_cells"]

_U8 = npt.NDArray[np.uint8]
_F64 = npt.NDArray[np.float64]

# MATLAB rgb2ycbcr, for RGB in 0..255.
_TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
_BLACK = np.array([16.0, 128.0, 128.0])

_WIDTH = 240  # pixels that a crop is magnified to, about
_GAP = 8
_FONT_SIZE = 14
_LINE = 18


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


def find_crop(text: str, images: Sequence[Path], scales: Sequence[int]) -> Crop:
    """Read PICTURE:X,Y,W,H, where the picture is one of ``images``, named with its suffix or without.

    Raises ``ValueError`` for what does not name one rectangle in one picture, ``OSError`` for an unreadable
    one.
    """
    name, _, rectangle = text.rpartition(":")
    try:
        x, y, width, height = map(int, rectangle.split(","))
    except ValueError:
        raise ValueError(f"--crop: {text!r} is not PICTURE:X,Y,W,H") from None
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
    rows = [(crop, scale, make_cells(crop, scale, methods[scale])) for crop in crops for scale in methods]
    columns = list(dict.fromkeys(cell.method for _, _, cells in rows for cell in cells))
    font = ImageFont.load_default(_FONT_SIZE)
    labels = [_labels(crop, scale, cell) for crop, scale, cells in rows for cell in cells]
    longest = int(max(font.getlength(line) for label in labels for line in label))
    width = max(longest, *(crop.width * _zoom(crop) for crop in crops)) + _GAP
    heights = [2 * _LINE + crop.height * _zoom(crop) + _GAP for crop, _, _ in rows]
    sheet = Image.new("RGB", (width * len(columns) + _GAP, sum(heights) + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    y = _GAP
    for (crop, scale, cells), height in zip(rows, heights, strict=True):
        for cell in cells:
            x = _GAP + width * columns.index(cell.method)
            for number, line in enumerate(_labels(crop, scale, cell)):
                pen.text((x, y + number * _LINE), line, fill="black", font=font)
            picture = Image.fromarray(cell.pixels)
            size = (crop.width * _zoom(crop), crop.height * _zoom(crop))
            sheet.paste(picture.resize(size, Image.Resampling.NEAREST), (x, y + 2 * _LINE))
        y += height
    return sheet


def _labels(crop: Crop, scale: int, cell: Cell) -> tuple[str, str]:
    if cell.psnr is None:
        return f"{crop.image.stem}, x{scale}", cell.method
    return cell.method, f"{cell.psnr:.2f} dB"


def _zoom(crop: Crop) -> int:
    return max(1, round(_WIDTH / crop.width))


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
