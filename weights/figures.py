"""Draws a training as the paper does: PSNR over steps (Figures 5 and 6), filters of a head (Figure 3).

    python weights/figures.py                                            training.svg and docs/filters.png
    python weights/figures.py logs "my run=runs/a.log.csv" runs/b.log.csv --loss -o runs/ab.svg
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
from typing import NamedTuple

import numpy as np
from fsrcnn_rt import Model, load
from fsrcnn_rt.evaluation.svg import Drawing, log_ticks, series, ticks
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
    losses: list[tuple[int, float]] = field(default_factory=list)
    """(Step, mean loss since the row before)."""
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
                if float(row["loss"]) > 0:  # it is nan where a stage begins
                    curve.losses.append((start + step, float(row["loss"])))
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise LogError(f"{path}: not the log of a training ({error})") from error
    if not curve.points:
        raise LogError(f"{path}: no row with a PSNR")
    return curve


class Panel(NamedTuple):
    """A panel of a figure: what of each curve it shows."""

    name: str
    points: list[list[tuple[int, float]]]
    low: float
    high: float
    ticks: list[tuple[float, str]]
    decimals: int | None
    """Of the last value of a curve, which stands beside it; None: it does not."""


def draw_logs(curves: Sequence[Curve], span: float, *, with_loss: bool = False) -> bytes:
    """Draw a panel for each scale, ``span`` dB high up to the best value, as SVG.

    ``with_loss`` adds one of the loss, whose axis is logarithmic. Dashed lines are where a stage ends; below
    the panels stands which.
    """
    panels = [_psnr(curves, scale, span) for scale in sorted({s for curve in curves for s in curve.points})]
    if with_loss:
        panels.append(_loss(curves))
    last = max(curve.stages[-1][2] for curve in curves) or 1
    below = TOP + len(panels) * (PANEL + GAP) - GAP + BOTTOM
    title = "Validation PSNR in dB, and loss" if with_loss else "Validation PSNR in dB"
    drawing = Drawing(WIDTH, below + LINE * len(curves), title)
    for number, panel in enumerate(panels):
        _draw_panel(drawing, curves, panel, last, TOP + number * (PANEL + GAP))
    drawing.text(LEFT + INNER / 2, below - 14, "steps", "soft", "middle")
    for number, curve in enumerate(curves):
        y = below + LINE * number
        stages = "; ".join(f"{name} to {end:,}" for name, _, end in curve.stages)
        drawing.curve([(LEFT, y), (LEFT + 24, y)], series(number))
        drawing.text(LEFT + 32, y + 4, f"{curve.label}: {stages}")
    return drawing.encode()


def _psnr(curves: Sequence[Curve], scale: int, span: float) -> Panel:
    points = [curve.points.get(scale, []) for curve in curves]
    best = max(value for curve in points for _, value in curve)
    high, low = best + 0.05 * span, best - span
    labels = [(value, f"{round(value, 9):g}") for value in ticks(low, high, 6)]
    return Panel(f"x{scale}", points, low, high, labels, decimals=2)


def _loss(curves: Sequence[Curve]) -> Panel:
    points = [[(step, math.log10(loss)) for step, loss in curve.losses] for curve in curves]
    values = [value for curve in points for _, value in curve]
    if not values:
        raise LogError("there is no loss to draw: no training has had a step")
    # What the first steps have is far above all that follows.
    low, high = min(values), min(max(values), min(values) + 1)
    labels = [(math.log10(tick), f"{tick:g}") for tick in log_ticks(10**low, 10**high)]
    return Panel("loss", points, labels[0][0], labels[-1][0], labels, decimals=None)


def _draw_panel(drawing: Drawing, curves: Sequence[Curve], panel: Panel, last: int, top: int) -> None:
    low, high = panel.low, panel.high

    def x(step: float) -> float:
        return LEFT + INNER * step / last

    def y(value: float) -> float:
        return top + PANEL * (high - value) / (high - low)

    clip = drawing.clip(f"panel-{panel.name}", LEFT, top, INNER, PANEL)
    drawing.text(LEFT, top - 8, panel.name)
    for value, label in panel.ticks:
        drawing.line(LEFT, y(value), LEFT + INNER, y(value), "grid")
        drawing.text(LEFT - 6, y(value) + 4, label, "soft", "end")
    for step in ticks(0, last, 8):
        drawing.line(x(step), top, x(step), top + PANEL, "grid")
        drawing.text(x(step), top + PANEL + 15, f"{step:,.0f}", "soft", "middle")
    for number, curve in enumerate(curves):
        for _, _, end in curve.stages[:-1]:
            drawing.line(x(end), top, x(end), top + PANEL, f"ends {series(number)}")
        points = panel.points[number]
        if not points:
            continue
        drawing.curve([(x(step), y(value)) for step, value in points], series(number), clip)
        step, value = points[-1]
        if value >= low and panel.decimals is not None:
            drawing.dot(x(step), y(value), series(number))
            drawing.text(x(step) + 5, y(value) + 4, f"{value:.{panel.decimals}f}", series(number))


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


def save_logs(logs: Sequence[str], span: float, output: Path, *, with_loss: bool = False) -> None:
    """Draw logs, each named as PATH or LABEL=PATH."""
    curves = []
    for log in logs:
        label, _, path = log.rpartition("=")
        curves.append(read_log(label or _stem(Path(path)), Path(path)))
    with atomic_write(output) as file:
        file.write(draw_logs(curves, span, with_loss=with_loss))


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
    plot.add_argument("--loss", action="store_true", help="a panel of the loss as well")
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
            save_logs(options.logs, options.span, options.output, with_loss=options.loss)
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
