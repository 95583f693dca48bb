"""Measure fsrcnn-rt against other runtimes, and write a table and a plot.

    python benchmarks/peers.py --markdown out.md --json out.json --plot plot.svg
    python benchmarks/peers.py scales frames --seconds 1
    python benchmarks/peers.py peers --model srcnn-9-1-5 --model srcnn-9-5-5 --model idn

Without names every experiment is run. Peers that are not installed are left out, and named.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import plot
from experiments import EXPERIMENTS, MODELS, Options
from fsrcnn_rt.engine.runtime import resolve_isa, resolve_threads
from machine import Others, describe, versions
from networks import NETWORKS, SCALES
from ours import label, picture_size
from photographs import default_images
from report import Table, as_json, as_markdown
from runtimes import RUNTIMES


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    names = arguments.names or list(EXPERIMENTS)
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(EXPERIMENTS)}")
    options = Options(
        models=tuple(arguments.model or MODELS),
        size=arguments.size,
        scale=arguments.scale,
        threads=tuple(sorted(set(arguments.threads or [resolve_threads(None)]))),
        isa=resolve_isa(arguments.isa),
        seconds=arguments.seconds,
        runtimes=tuple(arguments.runtime or RUNTIMES),
    )
    psnr = _psnr(parser, arguments, options, names) if arguments.plot else {}

    machine, packages = describe(), versions()
    tables: dict[str, Table] = {}
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        others = Others()
        tables[name] = EXPERIMENTS[name](options)
        tables[name].others_percent = others.percent()
        for reason in tables[name].skipped:
            print(f"not measured: {reason}", file=sys.stderr)
        # After every experiment, so that an interruption loses one only.
        markdown = as_markdown(machine, packages, tables)
        if arguments.markdown:
            arguments.markdown.write_text(markdown)
        if arguments.json:
            arguments.json.write_text(json.dumps(as_json(machine, packages, tables), indent=1) + "\n")
    if not arguments.markdown:
        print(markdown, end="")
    if arguments.plot:
        test_set = arguments.psnr.stem if arguments.psnr else arguments.images.name
        case = f"{label(options.size)} x{options.scale}"
        try:
            drawing = plot.draw_peers(tables["peers"].rows, case, psnr, test_set, machine["processor"])
            arguments.plot.write_bytes(drawing)
        except (OSError, ValueError) as error:
            print(f"no plot: {error}", file=sys.stderr)
            return 1
    return 0


def _psnr(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, options: Options, names: list[str]
) -> dict[str, float]:
    """Find all that the plot needs before anything is measured for minutes."""
    if arguments.plot.suffix != ".svg":
        parser.error(f"--plot={arguments.plot} is not .svg")
    if "peers" not in names:
        parser.error("--plot is drawn from the experiment peers")
    try:
        if arguments.psnr:
            return plot.read_psnr(arguments.psnr)
        return plot.measure_psnr(options.models, options.scale, arguments.images)
    except (OSError, ValueError) as error:
        parser.error(f"--plot needs PSNR, by --psnr or --images: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Measure fsrcnn-rt against other runtimes and against the machine's peak.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(EXPERIMENTS)} (default: all)")
    add(
        "--model", action="append", choices=tuple(NETWORKS), help=f"repeatable (default: {', '.join(MODELS)})"
    )
    add("--runtime", action="append", choices=tuple(RUNTIMES), help="peer, repeatable (default: all)")
    add(
        "--size",
        type=picture_size,
        default=(240, 240),
        metavar="WxH",
        help="size of the input (default: 240x240)",
    )
    add("--scale", type=int, default=3, choices=SCALES, help="scale (default: 3)")
    add("--threads", type=int, action="append", metavar="N", help="repeatable (default: all)")
    add("--isa", metavar="NAME", help="our kernel set (default: the fastest)")
    add("--seconds", type=float, default=3.0, help="time per call that takes turns (default: 3)")
    add("--markdown", type=Path, metavar="FILE", help="tables (default: print them)")
    add("--json", type=Path, metavar="FILE", help="the same for programs")
    add("--plot", type=Path, metavar="FILE", help="time against PSNR, .svg")
    add(
        "--psnr", type=Path, metavar="FILE", help='JSON such as {"fsrcnn": 29.4}; its name is the test set\'s'
    )
    add(
        "--images",
        type=Path,
        default=default_images(),
        metavar="FOLDER",
        help="pictures to measure PSNR on (default: Set14 in FSRCNN_RT_DATA or ./data)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
