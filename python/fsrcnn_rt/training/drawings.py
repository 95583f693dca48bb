"""Drawn training pictures: lines, text, user interfaces, pixel art, scans and dither, large and small.

A scene is drawn in units of small pixels at any zoom, antialiased or not. That gives a small picture three
ways: from the large one by a filter, as its blocks (pixel art and dither enlarged to squares), and drawn for
itself with hard edges where the large one has smooth ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fsrcnn_rt.evaluation.protocol import Pair
from fsrcnn_rt.training.config import Recipe
from fsrcnn_rt.training.degrade import damaged, pick, shrink

__all__ = ["SIDE", "draw"]

SIDE = 240  # of a large picture, in pixels
SUPERSAMPLING = 4

_U8 = npt.NDArray[np.uint8]
_Random = np.random.Generator
_Paint = Callable[[ImageDraw.ImageDraw, float], None]
"""Paints something on a canvas that has so many pixels for each small pixel."""

_LETTERS = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?()[]{}<>+-*/=_#%&@'\"")
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 + 1 / 32


def draw(random: np.random.Generator, scale: int, recipe: Recipe) -> Pair:
    """Draw a picture, SIDE pixels a side, and what it is made from, ``scale`` times smaller.

    Of ``recipe`` count what it says of drawings, and the damage.
    """
    side = SIDE // scale
    kinds = recipe.drawing_kinds if recipe.damage is None else {"scene": 1.0}
    kind = pick(random, kinds)
    if kind == "blocks":
        small = _blocks(random, side, recipe.least_text)
        return Pair(np.kron(small, np.ones((scale, scale), np.uint8)), _unit(small))
    background, paints = _scene(random, side, scale, recipe.least_text)
    if kind == "hard scene":
        small = _render(background, paints, side, 1, smooth=False)
        return Pair(_render(background, paints, side, scale, smooth=True), _unit(small))
    large = _render(background, paints, side, scale, smooth=random.random() < 0.6)
    if random.random() < 0.15:
        large = _scan(random, large)
    elif random.random() < 0.1:
        large = _dither(random, large)
    name = pick(random, recipe.drawing_filters)
    if recipe.damage is not None:
        return damaged(Image.fromarray(large), scale, name, recipe.damage, random, side // 2)
    return Pair(large, shrink(large, scale, name))


def _unit(small: _U8) -> npt.NDArray[np.float32]:
    result: npt.NDArray[np.float32] = small.astype(np.float32) / np.float32(255)
    return result


def _render(background: int, paints: list[_Paint], side: int, zoom: int, *, smooth: bool) -> _U8:
    factor = zoom * (SUPERSAMPLING if smooth else 1)
    canvas = Image.new("L", (side * factor, side * factor), background)
    pen = ImageDraw.Draw(canvas)
    if not smooth:
        pen.fontmode = "1"
    for paint in paints:
        paint(pen, factor)
    return np.array(canvas.reduce(SUPERSAMPLING) if smooth else canvas)


def _scene(random: _Random, side: int, scale: int, least_text: int) -> tuple[int, list[_Paint]]:
    """Choose a background and what is painted on it, in units of small pixels."""
    background, ink = _colours(random)
    text = partial(_text, least=least_text)
    kinds = (_lines, _fan, text, _interface, _curves, _figures, _sprites)
    thin = 1 / scale  # a large pixel
    return background, kinds[random.integers(len(kinds))](random, side, background, ink, thin)


def _colours(random: _Random) -> tuple[int, int]:
    """Choose background and ink: mostly black on white or the reverse, else two greys apart."""
    draw_of = random.random()
    if draw_of < 0.4:
        return 255, 0
    if draw_of < 0.55:
        return 0, 255
    background = int(random.integers(256))
    distance = int(random.integers(40, 200))
    return background, background + distance if background + distance < 256 else max(0, background - distance)


def _width(random: _Random, thin: float) -> float:
    """Choose the width of a stroke: 1 or 2 large pixels, or 1 to 3 small ones."""
    return float(random.choice([thin, 2 * thin, 1, 1, 1.5, 2, 3]))


def _stroke(points: npt.NDArray[np.float64], width: float, ink: int) -> _Paint:
    def paint(pen: ImageDraw.ImageDraw, zoom: float) -> None:
        # The centre of a small pixel stays the centre of what it becomes.
        at = (points + 0.5) * zoom - 0.5
        pen.line([(float(x), float(y)) for x, y in at], fill=ink, width=max(1, round(width * zoom)))

    return paint


def _box(corners: Any, fill: int | None, outline: int | None, width: float, radius: float = 0) -> _Paint:
    def paint(pen: ImageDraw.ImageDraw, zoom: float) -> None:
        x0, y0, x1, y1 = (round(float(c) * zoom) for c in corners)
        thick = max(1, round(width * zoom)) if outline is not None else 0
        pen.rounded_rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), radius * zoom, fill, outline, thick)

    return paint


@lru_cache(maxsize=256)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _words(place: tuple[float, float], size: float, words: str, ink: int, bold: float = 0) -> _Paint:
    def paint(pen: ImageDraw.ImageDraw, zoom: float) -> None:
        at = (place[0] * zoom, place[1] * zoom)
        font = _font(max(4, round(size * zoom)))
        pen.text(at, words, fill=ink, font=font, stroke_width=int(bold * zoom), stroke_fill=ink)

    return paint


def _some_words(random: _Random, count: int) -> str:
    return " ".join(
        "".join(random.choice(_LETTERS, size=random.integers(1, 9)))
        for _ in range(random.integers(1, count + 1))
    )


def _lines(random: _Random, side: int, background: int, ink: int, thin: float) -> list[_Paint]:
    if random.random() < 0.3:  # a grid
        steps = random.integers(2, 16, size=2)
        width = _width(random, thin)
        down = [np.array([[x, 0], [x, side]]) for x in np.arange(random.integers(8), side, steps[0])]
        along = [np.array([[0, y], [side, y]]) for y in np.arange(random.integers(8), side, steps[1])]
        return [_stroke(points, width, ink) for points in (down, along, down + along)[random.integers(3)]]
    paints = []
    for _ in range(random.integers(3, 20)):
        points = random.uniform(0, side, (random.integers(2, 5), 2))
        paints.append(_stroke(points, _width(random, thin), ink if random.random() < 0.7 else _any(random)))
    return paints


def _fan(random: _Random, side: int, background: int, ink: int, thin: float) -> list[_Paint]:
    paints = []
    width, step = _width(random, thin), float(random.uniform(4, 20))
    for _ in range(random.integers(1, 4)):
        centre, radius = random.uniform(0, side, 2), random.uniform(0.2, 0.7) * side
        inner = radius * random.choice([0, 0.3])
        for angle in np.arange(random.uniform(0, step), 360, step):
            direction = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
            paints.append(
                _stroke(np.array([centre + inner * direction, centre + radius * direction]), width, ink)
            )
    return paints


def _text(random: _Random, side: int, background: int, ink: int, thin: float, *, least: int) -> list[_Paint]:
    paints, y = [], float(random.uniform(-4, 4))
    while y < side:
        size = float(random.integers(least, 17) if random.random() < 0.85 else random.integers(17, 40))
        bold = float(random.choice([0, 0, 0, thin, 1]))
        colour = ink if random.random() < 0.8 else _any(random)
        paints.append(_words((float(random.uniform(-6, 6)), y), size, _some_words(random, 8), colour, bold))
        y += size * float(random.uniform(1.0, 1.6))
    return paints


def _interface(random: _Random, side: int, background: int, ink: int, thin: float) -> list[_Paint]:
    paints: list[_Paint] = []
    if random.random() < 0.3:
        first, last = random.integers(256, size=2)
        paints += [
            _box((0, y, side, y + 1), int(first + (last - first) * y / side), None, 0) for y in range(side)
        ]
    for _ in range(random.integers(3, 12)):
        x, y = random.integers(0, side - 6, 2) if random.random() < 0.7 else random.uniform(0, side - 6, 2)
        w, h = random.integers(4, max(6, side // 2), 2)
        fill = _any(random) if random.random() < 0.6 else None
        outline = ink if fill is None or random.random() < 0.5 else None
        radius = float(random.choice([0, 0, 2, 4]))
        paints.append(
            _box((x, y, x + w, y + h), fill, outline, _width(random, thin), min(radius, w / 2, h / 2))
        )
        if random.random() < 0.6:
            size = float(random.integers(7, 14))
            paints.append(_words((float(x + 3), float(y + 2)), size, _some_words(random, 2), _any(random)))
    return paints


def _curves(random: _Random, side: int, background: int, ink: int, thin: float) -> list[_Paint]:
    paints = []
    for _ in range(random.integers(2, 12)):
        a, b, c, d = random.uniform(-0.2 * side, 1.2 * side, (4, 1, 2))
        t = np.linspace(0, 1, 40)[:, None]
        points = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t * t * (1 - t) * c + t**3 * d
        paints.append(_stroke(points, _width(random, thin), ink))
    return paints


def _figures(random: _Random, side: int, background: int, ink: int, thin: float) -> list[_Paint]:
    """Discs, rings and polygons."""
    paints: list[_Paint] = []
    for _ in range(random.integers(2, 12)):
        centre, radius = random.uniform(0, side, 2), float(random.uniform(1, side / 3))
        fill = _any(random) if random.random() < 0.6 else ink
        count = 60 if random.random() < 0.5 else int(random.integers(3, 7))
        angles = np.sort(random.uniform(0, 2 * np.pi, count)) if count < 60 else np.linspace(0, 2 * np.pi, 60)
        around = np.stack([np.cos(angles), np.sin(angles) * random.choice([1, 1, 0.6])], 1)
        points = centre + radius * around
        paints.append(
            _polygon(points, fill) if random.random() < 0.6 else _stroke(points, _width(random, thin), fill)
        )
    return paints


def _polygon(points: npt.NDArray[np.float64], fill: int) -> _Paint:
    def paint(pen: ImageDraw.ImageDraw, zoom: float) -> None:
        pen.polygon([(float(x), float(y)) for x, y in (points + 0.5) * zoom - 0.5], fill=fill)

    return paint


def _sprites(random: _Random, side: int, background: int, ink: int, thin: float) -> list[_Paint]:
    """Pixel art of squares between a large pixel and three small ones."""
    paints: list[_Paint] = []
    for _ in range(random.integers(2, 8)):
        block = float(random.choice([thin, 2 * thin, 1, 1, 2, 3]))
        cells = _sprite(random)
        x0, y0 = random.integers(0, side, 2)
        for y, row in enumerate(cells):
            for x, colour in enumerate(row):
                if colour >= 0:
                    corners = (x0 + x * block, y0 + y * block, x0 + (x + 1) * block, y0 + (y + 1) * block)
                    paints.append(_box(corners, int(colour), None, 0))
    return paints


def _sprite(random: _Random) -> npt.NDArray[np.int64]:
    """Draw symmetrical pixel art; -1 is transparent."""
    height, width = random.integers(6, 17, 2)
    palette = np.append(random.integers(256, size=random.integers(1, 5)), -1)
    half = random.choice(palette, size=(height, (width + 1) // 2))
    # Neighbours are often alike.
    again = random.random(half.shape) < 0.4
    half = np.where(again, np.roll(half, 1, axis=int(random.integers(2))), half)
    return np.concatenate([half, half[:, ::-1]], 1)


def _blocks(random: _Random, side: int, least_text: int) -> _U8:
    """Draw a small picture whose pixels are meant: pixel art, bitmap text, patterns, dither."""
    kind = random.choice(["sprites", "text", "pattern", "dither", "scene"])
    background, ink = _colours(random)
    if kind == "sprites":
        return _render(background, _sprites(random, side, background, ink, 1), side, 1, smooth=False)
    if kind == "scene":
        return _render(*_scene(random, side, 1, least_text), side, 1, smooth=False)
    if kind == "text":
        canvas = Image.new("L", (side, side), background)
        pen, font = ImageDraw.Draw(canvas), ImageFont.load_default_imagefont()
        for y in range(int(random.integers(8)), side, int(random.integers(9, 14))):
            pen.text((int(random.integers(-5, 5)), y), _some_words(random, 6), fill=ink, font=font)
        return np.array(canvas)
    if kind == "pattern":
        y, x = np.mgrid[:side, :side] // int(random.integers(1, 5))
        patterns = ((x + y) % 2, x % 2, y % 2, (x % 4 == 0) & (y % 4 == 0), x > x.max() / 2)
        return np.where(patterns[random.integers(len(patterns))], background, ink).astype(np.uint8)
    return _dither(random, _smooth(random, side))


def _smooth(random: _Random, side: int) -> _U8:
    """Draw soft patches of grey."""
    cells = int(random.integers(2, 9))
    coarse = Image.fromarray(random.integers(256, size=(cells, cells)).astype(np.uint8))
    return np.array(coarse.resize((side, side), Image.Resampling.BICUBIC))


def _dither(random: _Random, grey: _U8) -> _U8:
    if random.random() < 0.5:
        return np.array(Image.fromarray(grey).convert("1").convert("L"))  # Floyd and Steinberg's
    size = int(random.choice([2, 4]))
    threshold = np.tile(_BAYER[:size, :size], [-(-n // size) for n in grey.shape])[
        : grey.shape[0], : grey.shape[1]
    ]
    return np.where(grey / 255 > threshold, 255, 0).astype(np.uint8)


def _scan(random: _Random, large: _U8) -> _U8:
    """Make a scan in black and white: noise, then a threshold."""
    noisy = large + random.normal(0, random.uniform(5, 40), large.shape)
    return np.where(noisy > (int(large.min()) + int(large.max())) / 2, 255, 0).astype(np.uint8)


def _any(random: _Random) -> int:
    return int(random.integers(256))
