"""Speed on this machine: :func:`measure_fps`, and a drawing of what it measures."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np

from fsrcnn_rt.engine.upscaler import ModelLike, Upscaler, as_upscaler, check_scales

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fsrcnn_rt.engine.options import EngineOptions

REAL_TIME_FPS = 24.0  # as the paper counts it
_WARM_UP_CALLS = 3
_MIN_CALLS = 5


@dataclasses.dataclass(frozen=True)
class FpsReport:
    """What :func:`measure_fps` measured, and of what.

    ``fps`` is frames per second, the inverse of the median time of a call, ``median_ms``; ``real_time`` is
    ``fps >= 24``. ``gflops`` counts the network by its definition, two operations per multiply-accumulate,
    however few the kernels really do, and in whatever ``precision``. ``input_size`` is (width, height).
    """

    fps: float
    median_ms: float
    real_time: bool
    gflops: float
    calls: int
    isa: str
    precision: str
    threads: int
    model: str
    input_size: tuple[int, int]
    scale: int
    channels: str


def measure_fps(
    model: ModelLike | Upscaler = "fsrcnn",
    input_size: tuple[int, int] = (240, 240),
    scale: int = 3,
    *,
    channels: Literal["luma", "rgb"] = "luma",
    seconds: float = 1.0,
    **options: Unpack[EngineOptions],
) -> FpsReport:
    """Measure steady calls of :meth:`Upscaler.upscale` on a uint8 picture, ``input_size`` = (width, height).

    Timed is the whole call, from the input array to the finished output array, which is allocated once
    (``out=``); reading files is not. ``channels``: "luma" is one grey plane, what the papers time; "rgb" is
    the whole colour path. The call is repeated for ``seconds``, at least 5 times, after 3 that do not count.
    ``model`` and ``options``: as :class:`Upscaler` has them, with its errors, or a ready one; ``ValueError``
    also for a size, channels or seconds that cannot be measured.
    """
    sides = tuple(input_size) if hasattr(input_size, "__iter__") else ()
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and side >= 1 for side in sides):
        raise ValueError(f"input_size={input_size!r} is not a width and a height of at least 1")
    if channels not in ("luma", "rgb"):
        raise ValueError(f"channels={channels!r} is neither 'luma' nor 'rgb'")
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"seconds={seconds!r} is not a time")
    upscaler = as_upscaler(model, **options)
    check_scales(scale, upscaler.model)
    width, height = map(int, sides)
    shape = (height, width) if channels == "luma" else (height, width, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    out = upscaler.upscale(image, scale)

    for _ in range(_WARM_UP_CALLS):
        upscaler.upscale(image, scale, out=out)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _MIN_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        upscaler.upscale(image, scale, out=out)
        times.append(time.perf_counter() - start)

    median = statistics.median(times)
    return FpsReport(
        fps=1 / median,
        median_ms=1e3 * median,
        real_time=1 / median >= REAL_TIME_FPS,
        gflops=2e-9 * upscaler.model.macs_per_pixel(scale) * width * height / median,
        calls=len(times),
        isa=upscaler.isa,
        precision=upscaler.precision_for(np.uint8),
        threads=upscaler.threads,
        model=upscaler.model.name,
        input_size=(width, height),
        scale=scale,
        channels=channels,
    )


def draw(reports: Sequence[FpsReport]) -> bytes:
    """Draw frames per second as bars, a group for each model, precision and number of threads; an SVG file.

    The axis is logarithmic: the largest size and the smallest differ by more than what a bar could show.
    ``reports`` are of one scale, isa and kind of picture, one at least.
    """
    from fsrcnn_rt.evaluation.svg import Drawing, log_ticks

    by_upscaler = groupby(reports, lambda r: (r.model, r.precision, r.threads))
    groups = [(key, list(rows)) for key, rows in by_upscaler]
    rates = [report.fps for report in reports]
    ticks = log_ticks(min(*rates, REAL_TIME_FPS) / 2, max(*rates, REAL_TIME_FPS))
    left, right, top, row, head = 200, 680, 76, 24, 30
    bottom = top + head * len(groups) + row * len(reports) + 6

    def x(fps: float) -> float:
        return left + (right - left) * math.log(fps / ticks[0]) / math.log(ticks[-1] / ticks[0])

    first = reports[0]
    title = f"Frames per second, ×{first.scale}, {first.channels}, uint8, {first.isa}"
    drawing = Drawing(760, bottom + 34, title)
    for tick in ticks:
        drawing.line(x(tick), top, x(tick), bottom, "grid")
        drawing.text(x(tick), bottom + 20, f"{tick:g}", "soft", "middle")
    y = top
    for (model, precision, threads), rows in groups:
        y += head
        drawing.text(16, y - 8, f"{model}, {precision}, {threads} thread{'s' * (threads > 1)}")
        for report in rows:
            (width, height), scale = report.input_size, report.scale
            size = f"{width}×{height} → {scale * width}×{scale * height}"
            drawing.text(left - 10, y + 16, size, "soft", "end")
            kind = "good" if report.real_time else "poor"
            drawing.area(left, y + 3, x(report.fps) - left, row - 6, kind, radius=2)
            drawing.text(744, y + 16, f"{report.fps:.1f}", "text", "end")
            y += row
    drawing.line(x(REAL_TIME_FPS), top - 12, x(REAL_TIME_FPS), bottom, "mark")
    drawing.text(x(REAL_TIME_FPS), top - 18, f"real time: {REAL_TIME_FPS:g} fps", "text", "middle")
    return drawing.encode()
