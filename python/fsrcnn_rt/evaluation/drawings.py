"""Drawings: lines, text, user interfaces, pixel art, line art, scans, dither and test patterns, in grey.

They are what photographs are not, and need no data. Shapes are painted by numpy: aliased by the centre of
each pixel, antialiased by 8x8 samples a pixel. Letters are Pillow's, and another version of its FreeType may
draw them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Drawing", "error_diffused", "large_drawings", "ordered_dither", "small_drawings"]

_U8: TypeAlias = npt.NDArray[np.uint8]
_F64: TypeAlias = npt.NDArray[np.float64]
_Bits: TypeAlias = npt.NDArray[np.bool_]
_Inside: TypeAlias = Callable[[_F64, _F64], _Bits]
_Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom
_Point: TypeAlias = tuple[float, float]
_Words: TypeAlias = tuple[_Point, str, int]  # upper left corner, text, size in pixels; 0 is the bitmap font

_ANTIALIASED = 8  # samples a pixel, along each side
_ALIASED = 1
_SMALL = (128, 96)  # (width, height)
_LARGE = (240, 192)  # of which every scale of the networks is a divisor

_INKS = {
    "black on white": (0, 255),
    "white on black": (255, 0),
    "grey on grey": (96, 160),
}

_WORDS = (
    "The quick brown fox, 0123456789",
    "jumps over: if (a<b) {x+=1;}",
    "Lazy dogs & Quartz, 47 % @home",
    "Illegible? WAVE mnil1|!",
    "Sphinx of black quartz",
    "Judge my vow #8",
)

_BAYER = np.array([[0, 2], [3, 1]])
for _ in range(2):
    _BAYER = np.block([[4 * _BAYER, 4 * _BAYER + 2], [4 * _BAYER + 3, 4 * _BAYER + 1]])


class Drawing(NamedTuple):
    """A grey picture, its name, and the kind it is one of."""

    kind: str
    name: str
    pixels: _U8
    """(H, W)"""


@cache
def small_drawings() -> tuple[Drawing, ...]:
    """Draw 128x96 pictures as people enlarge them: lines of 1 to 3 pixels, text of 6 to 16."""
    drawings = [
        *_lines(_SMALL, (1, 2, 3), tuple(_INKS)),
        *_text(_SMALL, (6, 8, 10, 12, 14, 16), tuple(_INKS), zoom=1),
        *_interface(_SMALL, 1),
        *_pixel_art(_SMALL, (1, 2, 3)),
        *_line_art(_SMALL, 1),
        *_scans(_SMALL, (8, 10, 12, 14, 16), 1),
        *_dither(_SMALL),
        *_patterns(_SMALL),
    ]
    return _frozen(drawings)


@cache
def large_drawings() -> tuple[Drawing, ...]:
    """Draw 240x192 pictures to be made small: lines of 2 to 5 pixels, text of 10 to 28."""
    drawings = [
        *_lines(_LARGE, (2, 3, 5), ("black on white", "grey on grey")),
        *_text(_LARGE, (10, 14, 18, 22, 28), tuple(_INKS), zoom=2),
        *_interface(_LARGE, 2),
        *_pixel_art(_LARGE, (4, 6)),
        *_line_art(_LARGE, 2),
        *_scans(_LARGE, (14, 18, 22, 28), 2),
    ]
    return _frozen(drawings)


def ordered_dither(luma: _U8) -> _U8:
    """Dither luma (H, W) to black and white by Bayer's 8x8 matrix."""
    height, width = luma.shape
    matrix = np.tile(_BAYER, (-(-height // 8), -(-width // 8)))[:height, :width]
    return np.where(luma.astype(np.int64) * 64 > matrix * 255 + 127, 255, 0).astype(np.uint8)


def error_diffused(luma: _U8) -> _U8:
    """Dither luma (H, W) to black and white by error diffusion (Floyd and Steinberg), in integers."""
    height, width = luma.shape
    result = np.zeros((height, width), np.uint8)
    below = [0] * (width + 2)  # sixteenths of what the row above hands down, shifted by one
    for y in range(height):
        here, below = below, [0] * (width + 2)
        row, ahead = luma[y].tolist(), 0
        for x in range(width):
            value = row[x] + (here[x + 1] + ahead) // 16
            white = value > 127
            result[y, x] = 255 * white
            error = value - 255 * white
            ahead = 7 * error
            below[x] += 3 * error
            below[x + 1] += 5 * error
            below[x + 2] += error
    return result


# ------------------------------------------------------------------------------------------------ canvas


class _Canvas:
    """A grey picture that shapes are painted on. (0, 0) is its upper left corner, a pixel is 1 wide."""

    def __init__(self, size: tuple[int, int], background: int, samples: int) -> None:
        self._width, self._height = size
        self._samples = samples
        self._tones = np.full((self._height * samples, self._width * samples), background, np.uint8)

    def fill(self, box: _Box, tone: int | tuple[int, int], inside: _Inside | None = None) -> None:
        """Paint what of ``box`` is ``inside``; two tones are a gradient from its top to its bottom."""
        n = self._samples
        left, top, right, bottom = (round(edge * n) for edge in box)
        rows = slice(max(0, top), max(0, bottom))
        columns = slice(max(0, left), max(0, right))
        region = self._tones[rows, columns]
        y = ((np.arange(region.shape[0]) + rows.start + 0.5) / n)[:, None]
        x = ((np.arange(region.shape[1]) + columns.start + 0.5) / n)[None, :]
        first, last = tone if isinstance(tone, tuple) else (tone, tone)
        part = (np.floor(y) + 0.5 - box[1]) / (box[3] - box[1])
        tones = np.floor(first + (last - first) * part + 0.5).astype(np.uint8)
        region[...] = np.where(inside(x, y), tones, region) if inside else tones

    def outline(self, box: _Box, tone: int, width: float = 1) -> None:
        """Paint a frame of ``width`` pixels within ``box``."""
        left, top, right, bottom = box
        self.fill((left, top, right, top + width), tone)
        self.fill((left, bottom - width, right, bottom), tone)
        self.fill((left, top, left + width, bottom), tone)
        self.fill((right - width, top, right, bottom), tone)

    def stroke(self, points: Sequence[_Point], tone: int, width: float) -> None:
        """Paint a line through ``points``, with round ends."""
        margin = width / 2 + 1
        for first, last in pairwise(points):
            (left, right), (top, bottom) = (sorted(pair) for pair in zip(first, last, strict=True))
            box = (left - margin, top - margin, right + margin, bottom + margin)
            self.fill(box, tone, _near(first, last, width / 2))

    def disc(self, centre: _Point, radius: float, tone: int) -> None:
        """Paint a disc."""
        x, y = centre
        box = (x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1)
        self.fill(box, tone, _disc(centre, radius))

    def rounded(self, box: _Box, radius: float, tone: int | tuple[int, int]) -> None:
        """Paint a rectangle with round corners."""
        self.fill(box, tone, _rounded(box, radius))

    def pixels(self) -> _U8:
        """Average the samples of each pixel."""
        n = self._samples
        blocks = self._tones.reshape(self._height, n, self._width, n)
        return _rounded_to_8bit(blocks.sum(axis=(1, 3), dtype=np.int64) / (n * n))


def _near(first: _Point, last: _Point, reach: float) -> _Inside:
    """Say what is within ``reach`` of a segment."""
    (x0, y0), (dx, dy) = first, (last[0] - first[0], last[1] - first[1])
    square = max(dx * dx + dy * dy, 1e-9)

    def inside(x: _F64, y: _F64) -> _Bits:
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / square, 0, 1)
        distance: _F64 = np.square(x - x0 - along * dx) + np.square(y - y0 - along * dy)
        return distance <= reach * reach

    return inside


def _disc(centre: _Point, radius: float) -> _Inside:
    return _near(centre, centre, radius)


def _rounded(box: _Box, radius: float) -> _Inside:
    left, top, right, bottom = box

    def inside(x: _F64, y: _F64) -> _Bits:
        dx: _F64 = np.maximum(np.maximum(left + radius - x, x - right + radius), 0)
        dy: _F64 = np.maximum(np.maximum(top + radius - y, y - bottom + radius), 0)
        return dx * dx + dy * dy <= radius * radius

    return inside


def _print(pixels: _U8, lines: Sequence[_Words], ink: int, *, aliased: bool = False) -> _U8:
    """Print ``lines`` on a picture (H, W), by Pillow's own fonts."""
    from PIL import Image, ImageDraw, ImageFont

    mask = Image.new("L", pixels.shape[::-1], 0)
    pen = ImageDraw.Draw(mask)
    pen.fontmode = "1" if aliased else "L"
    for corner, words, size in lines:
        font = ImageFont.load_default(size) if size else ImageFont.load_default_imagefont()
        pen.text(corner, words, 255, font)
    cover = np.asarray(mask, np.int64)
    return _rounded_to_8bit((pixels * (255 - cover) + ink * cover) / 255)


def _page(size: tuple[int, int], sizes: Sequence[int]) -> list[_Words]:
    """Set lines of text in ``sizes`` by turns until the page is full."""
    lines: list[_Words] = []
    y = 1
    while y + sizes[len(lines) % len(sizes)] <= size[1]:
        points = sizes[len(lines) % len(sizes)]
        lines.append(((2, y), _WORDS[len(lines) % len(_WORDS)], points))
        y += points + 3
    return lines


def _rounded_to_8bit(tones: _F64) -> _U8:
    return np.clip(np.floor(tones + 0.5), 0, 255).astype(np.uint8)


def _frozen(drawings: Sequence[Drawing]) -> tuple[Drawing, ...]:
    for drawing in drawings:
        drawing.pixels.flags.writeable = False
    return tuple(drawings)


# ------------------------------------------------------------------------------------------------- kinds


def _lines(size: tuple[int, int], widths: Sequence[int], inks: Sequence[str]) -> Iterator[Drawing]:
    """Fans of lines at all angles, tilted grids, and single lines far apart."""
    width, height = size
    middle = (width / 2 + 0.25, height / 2 + 0.25)
    radius = 0.48 * height
    for samples, edges in ((_ALIASED, "aliased"), (_ANTIALIASED, "antialiased")):
        for thick in widths:
            ink, paper = _INKS[inks[0]]
            canvas = _Canvas(size, paper, samples)
            for angle in np.arange(0, 2 * np.pi, np.pi / 16) + 0.03:
                inner = 3.5 * thick
                start = (middle[0] + inner * np.cos(angle), middle[1] + inner * np.sin(angle))
                end = (middle[0] + radius * np.cos(angle), middle[1] + radius * np.sin(angle))
                canvas.stroke([start, end], ink, thick)
            yield Drawing(f"lines, {edges}", f"fan of {thick} px", canvas.pixels())
        for name in inks:
            ink, paper = _INKS[name]
            canvas = _Canvas(size, paper, samples)
            step = 8 * widths[0]
            for k in range(-height, width + height, step):
                canvas.stroke([(k, 0), (k + 0.3 * height, height)], ink, widths[0])
                canvas.stroke([(0, k), (width, k - 0.2 * width)], ink, widths[0])
            yield Drawing(f"lines, {edges}", f"grid, {name}", canvas.pixels())
            canvas = _Canvas(size, paper, samples)
            for k, thick in enumerate(widths):
                x, y = width * (0.08 + 0.3 * k), 0.1 * height
                canvas.stroke([(x, y), (x + 0.28 * width, y + 0.34 * height)], ink, thick)
                canvas.stroke([(x, 0.6 * height), (x + 0.28 * width, 0.53 * height)], ink, thick)
                canvas.stroke([(x + 0.5, 0.7 * height), (x + 0.5, 0.95 * height)], ink, thick)
                canvas.stroke([(x + 0.1 * width, 0.8 * height), (x + 0.25 * width, 0.8 * height)], ink, thick)
            yield Drawing(f"lines, {edges}", f"single, {name}", canvas.pixels())


def _text(size: tuple[int, int], sizes: Sequence[int], inks: Sequence[str], zoom: int) -> Iterator[Drawing]:
    """Text by outlines in several sizes, the same without antialiasing, and by a bitmap font."""
    lines = _page(size, sizes)
    for name in inks:
        ink, paper = _INKS[name]
        page = np.full(size[::-1], paper, np.uint8)
        yield Drawing("text, antialiased", name, _print(page, lines, ink))
        yield Drawing("text, aliased", f"outlines, {name}", _print(page, lines, ink, aliased=True))
        page = np.full((size[1] // zoom, size[0] // zoom), paper, np.uint8)
        bitmap = [((1, 1 + 12 * k), words, 0) for k, words in enumerate(_WORDS * 2)]
        printed = _print(page, bitmap, ink).repeat(zoom, 0).repeat(zoom, 1)
        yield Drawing("text, aliased", f"bitmap font, {name}", printed)


def _interface(size: tuple[int, int], unit: int) -> Iterator[Drawing]:
    """Draw a dialogue with buttons, icons, sliders and gradients, light and dark."""
    yield Drawing("user interface", "light", _dialogue(size, unit, _Theme(255, 240, 172, 0, 110)))
    yield Drawing("user interface", "dark", _dialogue(size, unit, _Theme(18, 45, 90, 230, 150)))


class _Theme(NamedTuple):
    paper: int
    panel: int
    edge: int
    ink: int
    accent: int


def _dialogue(size: tuple[int, int], unit: int, theme: _Theme) -> _U8:
    paper, panel, edge, ink, accent = theme
    width, height = size[0] / unit, size[1] / unit
    canvas = _Canvas(size, paper, _ANTIALIASED)

    def box(left: float, top: float, right: float, bottom: float) -> _Box:
        return left * unit, top * unit, right * unit, bottom * unit

    def at(x: float, y: float) -> _Point:
        return x * unit, y * unit

    # The window and its title.
    canvas.fill(box(3, 3, width - 3, height - 3), panel)
    canvas.outline(box(3, 3, width - 3, height - 3), edge, unit)
    canvas.fill(box(4, 4, width - 4, 16), (accent, panel))
    for k in range(3):
        canvas.disc(at(width - 9 - 9 * k, 10), 3 * unit, edge)
    # Two buttons, a box with a tick, a choice, a slider, progress.
    for x, tone in ((8, accent), (50, (paper, panel))):
        canvas.rounded(box(x, 22, x + 36, 36), 3 * unit, edge)
        canvas.rounded(box(x + 1, 23, x + 35, 35), 2 * unit, tone)
    canvas.outline(box(8, 42, 17, 51), edge, unit)
    canvas.stroke([at(10, 46), at(12, 49), at(16, 43)], ink, 1.5 * unit)
    for radius, grey in ((5, edge), (4, paper), (2, ink)):
        canvas.disc(at(12.5, 60.5), radius * unit, grey)
    canvas.fill(box(8, 75, 78, 77), edge)
    canvas.fill(box(8, 75, 41, 77), accent)
    canvas.disc(at(41, 76), 4.5 * unit, edge)
    canvas.disc(at(41, 76), 3.5 * unit, paper)
    canvas.outline(box(8, 84, 78, 90), edge, unit)
    canvas.fill(box(9, 85, 52, 89), (accent, paper))
    # Icons: a lens, an arrow, a folder, bars.
    left = width - 30
    canvas.disc(at(left + 8, 28), 6 * unit, ink)
    canvas.disc(at(left + 8, 28), 4.5 * unit, panel)
    canvas.stroke([at(left + 12, 32), at(left + 17, 37)], ink, 2 * unit)
    for row in range(14 * unit):
        reach = 14 - abs(2 * row + 1 - 14 * unit) / unit
        canvas.fill(box(left + 14 - reach, 42 + row / unit, left + 14, 42 + (row + 1) / unit), ink)
    canvas.fill(box(left, 62, left + 7, 65), accent)
    canvas.fill(box(left, 64, left + 18, 74), accent)
    canvas.outline(box(left, 64, left + 18, 74), edge, unit)
    for k in range(5):
        canvas.fill(box(left + 4 * k, 90 - 2 * k, left + 4 * k + 2, 91), ink)
    labels = [
        (at(7, 4), "Settings", 9 * unit),
        (at(14, 23), "Apply", 9 * unit),
        (at(55, 23), "Undo", 9 * unit),
        (at(22, 41), "Sharpen edges", 8 * unit),
        (at(22, 55), "Noise: 35 %", 8 * unit),
    ]
    return _print(canvas.pixels(), labels, ink)


def _pixel_art(size: tuple[int, int], zooms: Sequence[int]) -> Iterator[Drawing]:
    """Sprites with outlines on tiles, whose pixels are squares of several sizes."""
    for zoom in zooms:
        rng = np.random.default_rng(zoom)
        width, height = -(-size[0] // zoom), -(-size[1] // zoom)
        tile = np.full((8, 8), 120)
        tile[::4] = tile[:4, 0] = tile[4:, 4] = 90
        field = np.tile(tile, (-(-height // 8), -(-width // 8)))[:height, :width]
        for top in range(2, height - 11, 13):
            for left in range(2, width - 11, 13):
                half = rng.integers(0, 4, (8, 4))
                tones = np.array([0, 60, 190, 255])[np.hstack([half, half[:, ::-1]])]
                solid = np.pad(np.hstack([half, half[:, ::-1]]) > 0, 2)
                around = solid[1:-1, 1:-1] | solid[:-2, 1:-1] | solid[2:, 1:-1] | solid[1:-1, :-2]
                around |= solid[1:-1, 2:]
                sprite = field[top : top + 10, left : left + 10]
                sprite[around] = 16
                inner = sprite[1:-1, 1:-1]
                inner[solid[2:-2, 2:-2]] = tones[solid[2:-2, 2:-2]]
        pixels = field.repeat(zoom, 0).repeat(zoom, 1)[: size[1], : size[0]].astype(np.uint8)
        yield Drawing("pixel art", f"pixels of {zoom}", np.ascontiguousarray(pixels))


def _line_art(size: tuple[int, int], unit: int) -> Iterator[Drawing]:
    """Curves of several widths, hatching and flat tones, as in a comic."""
    for samples, edges in ((_ALIASED, "aliased"), (_ANTIALIASED, "antialiased")):
        yield Drawing("line art", edges, _curves(size, unit, samples))


def _curves(size: tuple[int, int], unit: int, samples: int) -> _U8:
    width, height = size
    canvas = _Canvas(size, 255, samples)
    u = unit
    turn = np.linspace(0, 2 * np.pi, 49)
    canvas.disc((0.27 * width, 0.36 * height), 0.28 * height, 205)
    for k, thick in enumerate((2.4, 1.0, 1.6)):
        x = 0.27 * width + (0.28 - 0.07 * k) * height * np.cos(turn)
        y = 0.36 * height + (0.28 - 0.05 * k) * height * np.sin(turn + 0.2 * k)
        canvas.stroke(list(zip(x, y, strict=True)), 0, thick * u)
    along = np.linspace(0, 1, 60)
    for k, thick in enumerate((1, 1.5, 2, 3)):
        y = (0.7 + 0.075 * k) * height + 0.05 * height * np.sin(7 * along + k)
        canvas.stroke(list(zip(along * width, y, strict=True)), 0, thick * u)
    angle = np.linspace(0, 7 * np.pi, 120)
    radius = 0.012 * height * angle
    spiral = (0.75 * width + radius * np.cos(angle), 0.32 * height + radius * np.sin(angle))
    canvas.stroke(list(zip(*spiral, strict=True)), 0, u)
    for k in range(8):
        start = (0.55 * width + 3 * k * u, 0.08 * height)
        canvas.stroke([start, (start[0] - 8 * u, 0.08 * height + 14 * u)], 0, 0.8 * u)
    return canvas.pixels()


def _scans(size: tuple[int, int], sizes: Sequence[int], unit: int) -> Iterator[Drawing]:
    """Text and line art as a scanner in 1 bit gives them: ragged edges, and specks."""
    ink, paper = _INKS["black on white"]
    page = _print(np.full(size[::-1], paper, np.uint8), _page(size, sizes), ink)
    sheets = {"text": page, "line art": _curves(size, unit, _ANTIALIASED)}
    for seed, (name, sheet) in enumerate(sheets.items()):
        rng = np.random.default_rng(seed)
        bright = sheet + rng.integers(-70, 71, sheet.shape)
        bits = np.where(bright > 127, 255, 0)
        specks = rng.random(sheet.shape) < 0.004
        yield Drawing("1-bit scan", name, np.where(specks, 255 - bits, bits).astype(np.uint8))


def _dither(size: tuple[int, int]) -> Iterator[Drawing]:
    smooth = _smooth(size)
    yield Drawing("dither", "ordered", ordered_dither(smooth))
    yield Drawing("dither", "error-diffused", error_diffused(smooth))


def _smooth(size: tuple[int, int]) -> _U8:
    """Lay soft spots of light on a slope."""
    rng = np.random.default_rng(11)
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    light = 40 + 120 * x / width + 40 * y / height
    for _ in range(7):
        cx, cy, radius, gain = rng.random(4) * (width, height, 0.3 * height, 260) + (0, 0, 0.1 * height, -130)
        light += gain * np.exp(-(np.square(x - cx) + np.square(y - cy)) / (radius * radius))
    return _rounded_to_8bit(light)


def _patterns(size: tuple[int, int]) -> Iterator[Drawing]:
    width, height = size
    y, x = np.mgrid[:height, :width]
    for side in (1, 2, 4):
        board = (x // side + y // side) % 2 * 255
        yield Drawing("patterns", f"checkerboard of {side} px", board.astype(np.uint8))
    quadrants = (x < width // 2) * 255 ^ (y < height // 2) * 255
    yield Drawing("patterns", "steps", quadrants.astype(np.uint8))
    stairs = (8 * x // width + 8 * (y // (height // 3))) * 255 // 23
    yield Drawing("patterns", "stairs", np.clip(stairs, 0, 255).astype(np.uint8))
    impulses = np.zeros((height, width), np.uint8)
    impulses[6::12, 6::12] = 255
    impulses[height // 2 :] = 255 - impulses[height // 2 :]
    yield Drawing("patterns", "impulses", impulses)
    ramps = np.where(y < height // 2, x * 255 // (width - 1), y * 255 // (height - 1))
    yield Drawing("patterns", "gradients", ramps.astype(np.uint8))
