"""``fsrcnn-rt bench``: frames per second here, as a table or a drawing."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from fsrcnn_rt import _core
from fsrcnn_rt.cli.arguments import (
    MODEL_WORDS,
    ArgumentParser,
    add_engine_options,
    check_output,
    engine_of,
    tell,
)
from fsrcnn_rt.engine.runtime import resolve_threads
from fsrcnn_rt.evaluation.speed import REAL_TIME_FPS, FpsReport, draw, measure_fps
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.model import NETWORKS, SCALES

_INPUT_SIZES = ((240, 240), (320, 180), (640, 360))  # width and height


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fsrcnn-rt bench`` and return its exit code."""
    options = parser().parse_args(argv)
    plot: Path | None = options.plot
    if plot:
        check_output(plot, options.overwrite)
        if plot.suffix.lower() != ".svg":
            raise ValueError(f"{plot}: {plot.suffix or 'no suffix'!r} is not .svg")
    measured: list[tuple[FpsReport, float]] = []
    for report, peak in _measure(options):
        if not options.json:
            if not measured:
                print(_header(report))
            tell(_row(report, peak))
        measured.append((report, peak))
    if options.json:
        reports = [dataclasses.asdict(report) | {"fma_peak": peak} for report, peak in measured]
        print(json.dumps(reports, indent=1))
    if plot:
        with atomic_write(plot) as file:
            file.write(draw([report for report, _ in measured]))
    return 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt bench``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt bench",
        description="Frames per second here, beside the 24 of real time and the machine's peak.",
    )
    add = parser.add_argument
    add(
        *("-m", "-n", "--model"),
        dest="models",
        action="append",
        metavar="MODEL",
        complete=MODEL_WORDS,
        help="name or file (repeatable; default: fsrcnn, fsrcnn-s)",
    )
    add("--input-size", type=_size, action="append", metavar="WxH", help="repeatable (default: three sizes)")
    add(
        *("-j", "--threads"),
        type=int,
        action="append",
        metavar="N",
        help="threads (repeatable; default: 1 and all)",
    )
    add("-s", "--scale", type=int, default=3, complete=SCALES, help="scale (default: 3)")
    add_engine_options(add, but=["model", "threads"], content="photo", denoise=0)
    add("--channels", choices=("luma", "rgb"), default="luma", help="what is upscaled (default: luma)")
    add("--seconds", type=float, default=1.0, help="time per line (default: 1)")
    add("--json", action="store_true", help="print one JSON list instead of a table")
    add("--plot", metavar="FILE", type=Path, help="draw the frames per second, too (.svg)")
    add("--overwrite", action="store_true", help="replace a drawing that exists")
    return parser


def _measure(options: argparse.Namespace) -> Iterator[tuple[FpsReport, float]]:
    """Measure every combination that was asked for, and the peak in GFLOP/s of as many threads."""
    peaks: dict[int, float] = {}
    models = options.models or NETWORKS
    counts = options.threads or sorted({1, resolve_threads(None)})
    for model, count, size in product(models, counts, options.input_size or _INPUT_SIZES):
        upscaler = engine_of(options, model=model, threads=count)
        report = measure_fps(
            upscaler, size, options.scale, channels=options.channels, seconds=options.seconds
        )
        if count not in peaks:
            peaks[count] = _core.fma_peak(report.isa, count, options.seconds)
        yield report, peaks[count]


def _header(report: FpsReport) -> str:
    return (
        f"x{report.scale}, {report.channels}, uint8, isa {report.isa}; real time is {REAL_TIME_FPS:g} fps; "
        "GFLOP/s counts the network by its definition; peak is the best float32 multiply-add loop of this "
        f"run\n{'model':<10} {'precision':<9} {'threads':>7} {'input':>9} {'output':>9} {'ms':>9} {'fps':>8} "
        f"{'':9} {'GFLOP/s':>8} {'peak':>8} {'ratio':>6}"
    )


def _row(report: FpsReport, peak: float) -> str:
    width, height = report.input_size
    return (
        f"{report.model:<10} {report.precision:<9} {report.threads:>7} {f'{width}x{height}':>9} "
        f"{f'{report.scale * width}x{report.scale * height}':>9} {report.median_ms:>9.2f} {report.fps:>8.1f} "
        f"{'real time' if report.real_time else '':9} "
        f"{report.gflops:>8.1f} {peak:>8.1f} {report.gflops / peak:>6.2f}"
    )


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a width and a height such as 640x360") from None
    return width, height
