"""Draws a training as the paper does: PSNR over steps (Figures 5 and 6), filters of a head (Figure 3).

    python weights/figures.py                                            training.svg and docs/filters.png
    python weights/figures.py logs "my run=runs/a.log.csv" runs/b.log.csv -o runs/ab.svg
    python weights/figures.py filters fsrcnn-s -s 2 -o filters.png

A log's rows are put end to end, stage after stage. fsrcnn-rt must be installed.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fsrcnn_rt import Model, load
from fsrcnn_rt.evaluation.svg import Drawing, series, ticks
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.model import VARIANTS
from PIL import Image

WEIGHTS = Path(__file__).parent
DOCS = WEIGHTS.parent / "docs"

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP, BOTTOM, LINE = 760, 200, 60, 60, 60, 50, 58, 18
INNER = WIDTH - LEFT - RIGHT

ZOOM, MARGIN = 6, 6  # pixels of the figure for one of a filter, and between filters


class LogError(ValueError):
    """A file that is no log of a training; the message names it."""


@dataclass(frozen=True)
class Curve:
    """A log: PSNR in dB over the steps of all stages."""

    label: str
    points: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    """By scale, (step, PSNR)."""
    stages: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, first and last step."""


def read_log(label: str, path: Path) -> Curve:
    """Read the log that a training writes. Raises ``OSError``, or ``LogError`` for a file that is none."""
    curve = Curve(label)
    with path.open(newline="") as file:
        try:
            for row in csv.DictReader(file):
                name, step = row["stage"], int(row["step"])
                if not curve.stages or curve.stages[-1][0] != name:
                    start = curve.stages[-1][2] if curve.stages else 0
                    curve.stages.append((name, start, start))
                start = curve.stages[-1][1]
                curve.stages[-1] = (name, start, start + step)
                for scale in (2, 3, 4):
                    if row[f"psnr_x{scale}"]:
                        value = float(row[f"psnr_x{scale}"])
                        curve.points.setdefault(scale, []).append((start + step, value))
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise LogError(f"{path}: not the log of a training ({error})") from error
    if not curve.points:
        raise LogError(f"{path}: no row with a PSNR")
    return curve


def draw_logs(curves: Sequence[Curve], span: float) -> bytes:
    """Draw a panel for each scale, ``span`` dB high up to the best value, as SVG.

    Dashed lines are where a stage ends; below the panels stands which.
    """
    scales = sorted({scale for curve in curves for scale in curve.points})
    last = max(curve.stages[-1][2] for curve in curves) or 1
    below = TOP + len(scales) * (PANEL + GAP) - GAP + BOTTOM
    drawing = Drawing(WIDTH, below + LINE * len(curves), "Validation PSNR in dB")
    for number, scale in enumerate(scales):
        _draw_panel(drawing, curves, scale, last, span, TOP + number * (PANEL + GAP))
    drawing.text(LEFT + INNER / 2, below - 14, "steps", "soft", "middle")
    for number, curve in enumerate(curves):
        y = below + LINE * number
        stages = "; ".join(f"{name} to {end:,}" for name, _, end in curve.stages)
        drawing.curve([(LEFT, y), (LEFT + 24, y)], series(number))
        drawing.text(LEFT + 32, y + 4, f"{curve.label}: {stages}")
    return drawing.encode()


def _draw_panel(
    drawing: Drawing, curves: Sequence[Curve], scale: int, last: int, span: float, top: int
) -> None:
    best = max(value for curve in curves for _, value in curve.points.get(scale, [(0, -math.inf)]))
    high, low = best + 0.05 * span, best - span

    def x(step: float) -> float:
        return LEFT + INNER * step / last

    def y(value: float) -> float:
        return top + PANEL * (high - value) / (high - low)

    clip = drawing.clip(f"panel-x{scale}", LEFT, top, INNER, PANEL)
    drawing.text(LEFT, top - 8, f"x{scale}")
    for value in ticks(low, high, 6):
        drawing.line(LEFT, y(value), LEFT + INNER, y(value), "grid")
        drawing.text(LEFT - 6, y(value) + 4, f"{round(value, 9):g}", "soft", "end")
    for step in ticks(0, last, 8):
        drawing.line(x(step), top, x(step), top + PANEL, "grid")
        drawing.text(x(step), top + PANEL + 15, f"{step:,.0f}", "soft", "middle")
    for number, curve in enumerate(curves):
        for _, _, end in curve.stages[:-1]:
            drawing.line(x(end), top, x(end), top + PANEL, f"ends {series(number)}")
        points = curve.points.get(scale)
        if not points:
            continue
        drawing.curve([(x(step), y(value)) for step, value in points], series(number), clip)
        step, value = points[-1]
        if value >= low:
            drawing.dot(x(step), y(value), series(number))
            drawing.text(x(step) + 5, y(value) + 4, f"{value:.2f}", series(number))


def draw_filters(model: Model, scale: int) -> Image.Image:
    """Draw the filters of a deconvolution, strongest first, each from black to white with 0 in the middle."""
    filters = model.heads[scale].weight[:, 0]
    filters = filters[np.argsort(-np.square(filters).sum(axis=(1, 2)), kind="stable")]
    count, side = len(filters), filters.shape[1] * ZOOM
    columns = next(n for n in range(math.ceil(math.sqrt(3 * count)), count + 1) if count % n == 0)
    cell = side + MARGIN
    sheet = np.full((count // columns * cell + MARGIN, columns * cell + MARGIN), 255, np.uint8)
    for number, weights in enumerate(filters):
        largest = np.abs(weights).max() or 1
        grey = np.round(127.5 + 127.5 * weights / largest).astype(np.uint8)
        y, x = (MARGIN + cell * k for k in divmod(number, columns))
        sheet[y : y + side, x : x + side] = grey.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    return Image.fromarray(sheet)


def _stem(log: Path) -> str:
    return log.name.removesuffix(".log.csv")


def save_logs(logs: Sequence[str], span: float, output: Path) -> None:
    """Draw logs, each named as PATH or LABEL=PATH."""
    curves = []
    for log in logs:
        label, _, path = log.rpartition("=")
        curves.append(read_log(label or _stem(Path(path)), Path(path)))
    with atomic_write(output) as file:
        file.write(draw_logs(curves, span))


def save_filters(name: str, scale: int, output: Path) -> None:
    """Draw the filters of the head for ``scale`` of the model ``name``."""
    model = load(name)
    if scale not in model.heads:
        raise ValueError(f"scale={scale} is not offered by model {name!r}")
    with atomic_write(output) as file:
        draw_filters(model, scale).save(file, "PNG", optimize=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw what the arguments say, by default every figure of the repository; returns the exit code."""
    parser = argparse.ArgumentParser(description="Figures of trainings, by default the repository's.")
    commands = parser.add_subparsers(dest="command")
    plot = commands.add_parser("logs", help="validation PSNR over steps, SVG")
    plot.add_argument("logs", nargs="+", metavar="[LABEL=]PATH", help="log of a training (.log.csv)")
    plot.add_argument(
        "--span", type=float, default=1.5, metavar="DB", help="height of a panel (default: 1.5)"
    )
    plot.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    filters = commands.add_parser("filters", help="filters of a head, PNG")
    filters.add_argument("model", help="fsrcnn, fsrcnn-s or a file")
    filters.add_argument("-s", "--scale", type=int, default=3)
    filters.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(argv)
    if options.command == "logs" and not 0 < options.span < math.inf:
        parser.error(f"--span: expected a positive number, got {options.span}")
    try:
        if options.command == "logs":
            save_logs(options.logs, options.span, options.output)
        elif options.command == "filters":
            save_filters(options.model, options.scale, options.output)
        else:
            # Variants are validated on damaged pictures, or on pictures that they are not for.
            logs = sorted(log for log in WEIGHTS.glob("*.log.csv") if not _stem(log).endswith(VARIANTS))
            save_logs(list(map(str, logs)), 1.5, WEIGHTS / "training.svg")
            save_filters(str(WEIGHTS / "fsrcnn.safetensors"), 3, DOCS / "filters.png")
    except (OSError, ValueError) as error:
        where = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        print(f"{parser.prog}: {where}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
