"""Time against quality, as Figure 1 of the paper has it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from fsrcnn_rt import Upscaler
from fsrcnn_rt.evaluation.speed import REAL_TIME_FPS
from fsrcnn_rt.evaluation.svg import SHAPES, Drawing, log_ticks, series, ticks
from graphs import FORMS
from networks import shipped
from report import Row

WIDTH, LEFT, TOP, BOTTOM = 760, 64, 64, 364
_SHAPE_OF = dict(zip(FORMS, SHAPES, strict=False))  # the last shape, the star, is ours


class Point(NamedTuple):
    """What took a time in ms and has a PSNR in dB: how it is drawn, and the name beside it."""

    time: float
    psnr: float
    kind: str = "good"
    shape: str = "circle"
    name: str = ""


class Entry(NamedTuple):
    """A line of the legend."""

    kind: str
    shape: str
    text: str


def read_psnr(file: Path) -> dict[str, float]:
    """Read ``{"fsrcnn": 29.4, "fsrcnn-s": 29.1}``: mean PSNR in dB by the name of the model."""
    return {str(name): float(value) for name, value in json.loads(file.read_text()).items()}


def measure_psnr(models: tuple[str, ...], scale: int, folder: Path) -> dict[str, float]:
    """Evaluate the models as they ship on the pictures of a folder."""
    from fsrcnn_rt.evaluation.protocol import evaluate, list_images, mean

    upscalers = {model.name: Upscaler(model).upscale for model in map(shipped, models)}
    results = evaluate({scale: upscalers}, list_images(folder))
    return {name: mean([r.figures for r in results if r.method == name]).psnr for name in upscalers}


def scatter(points: Sequence[Point], title: str, axis: str, legend: Sequence[Entry] = ()) -> bytes:
    """Draw points, faster to the right; an SVG file. There must be one point at least.

    ``axis`` says what was timed.
    """
    times, levels = [point.time for point in points], [point.psnr for point in points]
    at = log_ticks(min(times) * 0.8, max(times) * 1.25)
    room = max(0.1, 0.15 * (max(levels) - min(levels)))
    low, high = min(levels) - room, max(levels) + room
    right = WIDTH - 56 - 210 * bool(legend)

    def x(time: float) -> float:
        return right - (right - LEFT) * math.log(time / at[0]) / math.log(at[-1] / at[0])

    def y(level: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (level - low) / (high - low)

    drawing = Drawing(WIDTH, BOTTOM + 60, title)
    for time in at:
        drawing.line(x(time), TOP, x(time), BOTTOM, "grid")
        drawing.text(x(time), BOTTOM + 20, f"{time:g}", "soft", "middle")
    for level in ticks(low, high, 7):
        drawing.line(LEFT, y(level), right, y(level), "grid")
        drawing.text(LEFT - 8, y(level) + 4, f"{round(level, 9):g}", "soft", "end")
    drawing.text((LEFT + right) / 2, BOTTOM + 44, axis, "soft", "middle")
    real_time = 1e3 / REAL_TIME_FPS
    if at[0] < real_time < at[-1]:
        drawing.line(x(real_time), TOP, x(real_time), BOTTOM, "mark")
        drawing.text(x(real_time), TOP - 6, f"{REAL_TIME_FPS:g} fps", "text", "middle")
    for point in points:
        drawing.dot(x(point.time), y(point.psnr), point.kind, point.shape, 5)
        if point.name:
            # Towards the middle, so that names stay within the drawing.
            side, anchor = (-10, "end") if x(point.time) > (LEFT + right) / 2 else (10, "start")
            drawing.text(x(point.time) + side, y(point.psnr) - 8, point.name, "text", anchor)
    for line, entry in enumerate(legend):
        drawing.dot(right + 24, TOP + 8 + 20 * line, entry.kind, entry.shape, 5)
        drawing.text(right + 36, TOP + 12 + 20 * line, entry.text)
    return drawing.encode()


def draw_peers(rows: list[Row], case: str, psnr: Mapping[str, float], test_set: str, machine: str) -> bytes:
    """Draw every runtime's time against the PSNR of the model that it ran, from the table of peers.

    Of several numbers of threads the largest. ``ValueError`` where there is nothing to draw.
    """
    threads = max((int(row["threads"] or 0) for row in rows), default=0)
    rows = [row for row in rows if row["threads"] == threads and row["model"] in psnr]
    if not rows:
        raise ValueError("there is no time to draw for a model whose PSNR is known")
    colours = {name: series(i) for i, name in enumerate(dict.fromkeys(str(row["runtime"]) for row in rows))}
    forms = [form for form in FORMS if form in {row["graph"] for row in rows}]
    points = [
        Point(
            float(row["its ms"]),
            psnr[str(row["model"])] - float(row.get("its dB lost") or 0),
            colours[str(row["runtime"])],
            _SHAPE_OF[str(row["graph"])],
        )
        for row in rows
    ]
    points = list(dict.fromkeys(points))  # a row for each precision of ours
    ours = dict.fromkeys((str(row["model"]), str(row["our precision"])) for row in rows)
    for model, precision in ours:
        those = [row for row in rows if (row["model"], row["our precision"]) == (model, precision)]
        time = median(float(row["our ms"]) for row in those)
        level = psnr[model] - float(those[0].get("our dB lost") or 0)
        points.append(Point(time, level, "good", "star", f"{model}, {precision}"))
    legend = [Entry("good", "star", "fsrcnn-rt")]
    legend += [Entry(colour, "circle", name) for name, colour in colours.items()]
    legend += [Entry("text", _SHAPE_OF[form], form) for form in forms]
    title = f"PSNR in dB, {test_set} {case.split()[-1]}, over time"
    return scatter(points, title, f"ms a frame, {case} luma, {threads} threads, {machine}", legend)
