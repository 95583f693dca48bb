"""Table 1 and Figure 1 of FSRCNN's paper on one engine: from SRCNN to FSRCNN in operations, time and PSNR.

    python benchmarks/table1.py --weights srcnn-9-5-5=srcnn-ex.safetensors --isa avx2
    python benchmarks/table1.py --page docs/networks.md --figure docs/networks.svg

Times do not depend on weights, so a network without a model file is timed with random ones; its PSNR stays
empty. All networks take turns in one process.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import fsrcnn_rt
from fsrcnn_rt import Model, Upscaler
from fsrcnn_rt.engine.runtime import resolve_isa, resolve_threads
from fsrcnn_rt.evaluation.protocol import evaluate, list_images, mean
from fsrcnn_rt.files import atomic_write
from machine import Others, describe, versions
from networks import NETWORKS, SCALES, random_model, shipped_name
from ours import Size, label, picture_size, prepare
from photographs import default_images
from plot import Point, scatter
from report import Row, Table, as_markdown, put_between_markers
from timing import alternate, ratios, spread

# The paper's Table 1 counts from here; its names of the rows follow.
REFERENCE = "srcnn-9-5-5"
TITLES: Mapping[str, str] = {
    "srcnn-9-1-5": "SRCNN 9-1-5",
    "srcnn-9-5-5": "SRCNN 9-5-5 (SRCNN-Ex)",
    "state-1": "transition state 1",
    "state-2": "transition state 2",
    "fsrcnn-48-12-2": "FSRCNN(48, 12, 2)",
    "fsrcnn": "FSRCNN(56, 12, 4)",
    "fsrcnn-s": "FSRCNN-s(32, 5, 1)",
    "idn": "IDN",
}
MARKER = "table1.py"


class Times(NamedTuple):
    """Seconds of one network, round by round, and those of the reference in the same rounds."""

    own: list[float]
    reference: list[float]


def operations(name: str, scale: int) -> Row:
    """Count a network as the paper does: weights of the filters, and multiplications for each pixel."""
    network = NETWORKS[name]
    small = network.macs(scale)
    return {
        "network": TITLES[name],
        "weights": small // scale**2 if network.enlarged else small,
        "multiplications a small pixel": small,
        "a large pixel": small / scale**2,
        "fewer, on paper": NETWORKS[REFERENCE].macs(scale) / small,
    }


def read_weights(texts: Sequence[str], scale: int) -> dict[str, Model]:
    """Load what ships, and the files of ``NAME=FILE``, which come first.

    Raises ``ValueError`` for a text, a network or a scale that does not fit, ``OSError`` and
    :class:`~fsrcnn_rt.ModelError` for files that are not models.
    """
    models = {name: fsrcnn_rt.load(file) for name in TITLES if (file := shipped_name(name))}
    for text in texts:
        name, _, file = text.partition("=")
        if name not in TITLES or not file:
            raise ValueError(f"--weights={text!r} is not NAME=FILE with one of {', '.join(TITLES)}")
        model = fsrcnn_rt.load(Path(file))
        expected = NETWORKS[name]
        kernels = {head.kernel for head in expected.heads.values()}
        if model.architecture.nodes != expected.nodes or {h.kernel for h in model.heads.values()} != kernels:
            raise ValueError(f"--weights={text!r}: the file holds {model.family}, not {TITLES[name]}")
        if scale not in model.scales:
            raise ValueError(f"--weights={text!r}: the file has no head for x{scale}")
        models[name] = model
    return models


def measure_times(models: Mapping[str, Upscaler], size: Size, scale: int, seconds: float) -> dict[str, Times]:
    """Time all networks in turns: luma float32, one picture a call, the guard off."""
    times = alternate([prepare(upscaler, size, scale) for upscaler in models.values()], seconds * len(models))
    by_name = dict(zip(models, times, strict=True))
    return {name: Times(own, by_name[REFERENCE]) for name, own in by_name.items()}


def measure_psnr(upscalers: Mapping[str, Upscaler], scale: int, folder: Path) -> dict[str, float]:
    """Mean PSNR in dB by the papers' protocol, of the networks alone."""
    if not upscalers:
        return {}
    results = evaluate({scale: {name: u.upscale for name, u in upscalers.items()}}, list_images(folder))
    return {name: mean([r.figures for r in results if r.method == name]).psnr for name in upscalers}


def measure(options: argparse.Namespace, models: Mapping[str, Model]) -> Table:
    """Measure all rows of the table."""
    large = label((options.scale * options.size[0], options.scale * options.size[1]))
    table = Table(
        f"From SRCNN to FSRCNN, {label(options.size)} to {large}",
        f"float32 luma, {options.isa}, threads {options.threads}. Operations are multiplications by the "
        f'filters. "fewer" and "faster" are {TITLES[REFERENCE]} over the row; "faster" is the median of all '
        f"rounds, in which the networks take turns, and its quartiles. PSNR: mean of {options.images.name} "
        f"at x{options.scale}, by the papers' protocol, of the network alone.",
    )
    upscalers = {}
    for name in TITLES:
        model = models.get(name) or random_model(NETWORKS[name], f"{TITLES[name]} (random weights)")
        upscalers[name] = Upscaler(model, guard=False, threads=options.threads, isa=options.isa)
    others = Others()
    times = measure_times(upscalers, options.size, options.scale, options.seconds)
    table.others_percent = others.percent()
    psnr: dict[str, float] = {}
    if options.images.is_dir():
        psnr = measure_psnr({name: upscalers[name] for name in models}, options.scale, options.images)
    else:
        table.skipped.append(f"PSNR: there is no folder {options.images.name}")
    for name in TITLES:
        own, reference = times[name]
        ratio = spread(ratios(reference, own))
        row = operations(name, options.scale) | {
            "ms": 1e3 * spread(own).median,
            "faster": ratio.median,
            "quartiles": f"{ratio.low:.2f} - {ratio.high:.2f}",
            "PSNR": None,
            "weights of": None,
        }
        if name in psnr:
            row |= {"PSNR": f"{psnr[name]:.2f}", "weights of": models[name].name}
        table.rows.append(row)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        options.isa, options.threads = resolve_isa(options.isa), resolve_threads(options.threads)
        models = read_weights(options.weights, options.scale)
        if options.figure and options.figure.suffix != ".svg":
            raise ValueError(f"--figure={options.figure} is not .svg")
        page = options.page.read_text() if options.page else None
        if page is not None:
            put_between_markers(page, "", MARKER)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    table = measure(options, models)
    machine = describe()
    markdown = as_markdown(machine, versions("fsrcnn-rt"), {"table1": table})
    if page is None:
        print(markdown, end="")
    else:
        _write(options.page, put_between_markers(page, markdown, MARKER).encode())
    if options.figure:
        points = [
            Point(float(row["ms"]), float(row["PSNR"]), name=str(row["network"]))
            for row in table.rows
            if row["PSNR"] is not None
        ]
        if not points:
            print("no figure: there is no network with a PSNR", file=sys.stderr)
            return 1
        case = f"{label(options.size)} ×{options.scale}, {options.isa}, threads {options.threads}"
        axis = f"ms a picture, {case}, {machine['processor']}"
        title = f"PSNR in dB, {options.images.name} ×{options.scale}, over time"
        _write(options.figure, scatter(points, title, axis))
    return 0


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Print Table 1 of FSRCNN's paper as this engine has it.", allow_abbrev=False
    )
    add = parser.add_argument
    add(
        "--weights",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help=f"model file for the PSNR; repeatable; NAME: {', '.join(TITLES)} (default: what ships)",
    )
    add(
        "--size", type=picture_size, default=(240, 240), metavar="WxH", help="of the input (default: 240x240)"
    )
    add("--scale", type=int, default=3, choices=SCALES, help="scale (default: 3)")
    add("--threads", type=int, default=1, metavar="N", help="threads (default: 1)")
    add("--isa", metavar="NAME", help="kernel set (default: the fastest)")
    add("--seconds", type=float, default=10.0, help="time for each network (default: 10)")
    add(
        "--images",
        type=Path,
        default=default_images("Set5"),
        metavar="FOLDER",
        help="pictures of the PSNR (default: Set5 in FSRCNN_RT_DATA or ./data)",
    )
    add("--page", type=Path, metavar="FILE", help="Markdown to put the table into (default: print it)")
    add("--figure", type=Path, metavar="FILE", help="PSNR over time, .svg")
    return parser


if __name__ == "__main__":
    sys.exit(main())
