"""Small drawings as SVG, in light and dark colours as the reader's system has them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

__all__ = ["SHAPES", "Drawing", "log_ticks", "series", "ticks"]

# Both sets have a contrast of at least 4.5 on their own background, which is part of the drawing: what shows
# it may be light or dark whatever the reader prefers. Colours are distinct also without red and green.
_LIGHT = {
    **{"page": "#ffffff", "text": "#1b1b1f", "soft": "#5a5a63", "grid": "#e3e3e8", "mark": "#1b1b1f"},
    **{"good": "#0b5fc4", "poor": "#a85400"},
}
_DARK = {
    **{"page": "#1c1c20", "text": "#ededf2", "soft": "#a6a6b2", "grid": "#37373f", "mark": "#ededf2"},
    **{"good": "#6cb0ff", "poor": "#f0a050"},
}
# Series of a plot, in this order: the colours of Okabe and Ito, seen apart without red and green.
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#94632d")

#: What a point may be drawn as; all but the circle as paths around it, as large as a circle of radius 1.
SHAPES = {
    "circle": "",
    "square": "M-.9-.9h1.8v1.8h-1.8z",
    "diamond": "M0-1.3 1.3 0 0 1.3-1.3 0z",
    "triangle": "M0 1.2-1.1-.8h2.2z",
    "cross": "M-.4-1.2h.8v.8h.8v.8h-.8v.8h-.8v-.8h-.8v-.8h.8z",
    "star": "M0-1.5.35-.49 1.43-.46.57.19.88 1.21 0 .6-.88 1.21-.57.19-1.43-.46-.35-.49z",
}
_LINES = ("grid", "mark")
_FONT = "font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"


class Drawing:
    """Shapes and texts on a background, in pixels from the top left.

    ``kind`` of each is the name of its colour: "text", "soft" (quiet text), "good" and "poor" (of texts and
    areas), "grid" and "mark" (of lines), and what :func:`series` gives (of all).
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        self._elements = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>text {{ {_FONT} }} .title {{ font-size: 15px; font-weight: 600 }}",
            *_rules(_LIGHT),
            *(
                f".s{i} {{ fill: {colour} }} line.s{i}, polyline.s{i} {{ fill: none; stroke: {colour} }}"
                for i, colour in enumerate(_SERIES)
            ),
            "polyline { stroke-width: 1.5; stroke-linejoin: round }",
            ".ends { stroke-dasharray: 2 4 }",
            f"@media (prefers-color-scheme: dark) {{ {' '.join(_rules(_DARK))} }}</style>",
        ]
        self.area(0, 0, width, height, "page", radius=8)
        self.text(16, 28, title, "text title")

    def area(self, x: float, y: float, width: float, height: float, kind: str, radius: float = 0) -> None:
        """Fill a rectangle."""
        self._elements.append(
            f'<rect x="{x:.4g}" y="{y:.4g}" width="{width:.4g}" height="{height:.4g}" rx="{radius:g}" '
            f'class="{kind}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Draw a line: dashed where it is a mark."""
        self._elements.append(
            f'<line x1="{x1:.4g}" y1="{y1:.4g}" x2="{x2:.4g}" y2="{y2:.4g}" class="{kind}"/>'
        )

    def curve(self, points: Iterable[tuple[float, float]], kind: str, clip: str = "") -> None:
        """Join points by lines, of which what is outside of the rectangle ``clip`` is not shown."""
        place = " ".join(f"{x:.4g},{y:.4g}" for x, y in points)
        inside = f' clip-path="url(#{clip})"' if clip else ""
        self._elements.append(f'<polyline points="{place}" class="{kind}"{inside}/>')

    def dot(self, x: float, y: float, kind: str, shape: str = "circle", size: float = 2.5) -> None:
        """Mark a point by one of :data:`SHAPES`; ``size`` is the radius of a circle."""
        if shape == "circle":
            self._elements.append(f'<circle cx="{x:.4g}" cy="{y:.4g}" r="{size:g}" class="{kind}"/>')
            return
        place = f"translate({x:.4g} {y:.4g}) scale({size:g})"
        self._elements.append(f'<path d="{SHAPES[shape]}" transform="{place}" class="{kind}"/>')

    def clip(self, name: str, x: float, y: float, width: float, height: float) -> str:
        """Name a rectangle that curves are clipped to."""
        rectangle = f'<rect x="{x:.4g}" y="{y:.4g}" width="{width:.4g}" height="{height:.4g}"/>'
        self._elements.append(f'<clipPath id="{name}">{rectangle}</clipPath>')
        return name

    def text(self, x: float, y: float, text: str, kind: str = "text", anchor: str = "start") -> None:
        """Write on the base line ``y``; ``anchor``: what of the text is at ``x``, start, middle or end."""
        self._elements.append(
            f'<text x="{x:.4g}" y="{y:.4g}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'
        )

    def encode(self) -> bytes:
        """Return the drawing as a file."""
        return "\n".join([*self._elements, "</svg>\n"]).encode()


def series(number: int) -> str:
    """Name the colour of a series of a plot; there are eight, and the ninth series has the first again."""
    return f"s{number % len(_SERIES)}"


def ticks(low: float, high: float, most: int) -> list[float]:
    """Find round numbers from ``low`` to ``high``, at most ``most`` of them."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if (high - low) / step <= most)
    return [step * k for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of every decade from the last that is at most ``low`` to the first of at least ``high``."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
    first = max(i for i, tick in enumerate(ticks) if tick <= low)
    last = min(i for i, tick in enumerate(ticks) if tick >= high)
    return ticks[first : last + 1]


def _rules(colours: dict[str, str]) -> list[str]:
    return [
        f".{kind} {{ stroke: {colour}{'; stroke-dasharray: 5 4' if kind == 'mark' else ''} }}"
        if kind in _LINES
        else f".{kind} {{ fill: {colour} }}"
        for kind, colour in colours.items()
    ]
