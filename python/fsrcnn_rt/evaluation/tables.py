"""Tables of :mod:`fsrcnn_rt.evaluation.protocol`: a line for each method, folder by folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

import fsrcnn_rt
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.errors import printable
from fsrcnn_rt.evaluation.protocol import BICUBIC, Figures, Result, mean

__all__ = ["Tables", "as_json", "as_markdown", "as_text"]

_SECONDS = "seconds a picture takes in Upscaler.upscale alone, second of two calls"

#: Results by what their folder is called.
Tables: TypeAlias = Mapping[str, Sequence[Result]]


class _Row(NamedTuple):
    """What one method reaches at every scale it offers, on one picture or in the mean over them."""

    picture: str
    method: str
    cells: Mapping[int, tuple[Figures, float]]
    """Figures and seconds, by scale."""


def as_text(tables: Tables, scales: Sequence[int], machine: str, *, verbose: bool, with_ifc: bool) -> str:
    """Make tables for a terminal."""
    lines = {folder: _lines(results, verbose) for folder, results in tables.items() if results}
    every = [line for group in lines.values() for line in group]
    first = max((len(text) for text in [*lines, *(line.picture for line in every)]), default=0)
    second = max((len(line.method) for line in every), default=0)
    names = ["SSIM".rjust(8), *["IFC".rjust(7)] * with_ifc, "s".rjust(9)]
    heads = "".join(f"{f'x{scale} PSNR':>11}{''.join(names)}" for scale in scales)
    formats = ("{:11.2f}", "{:8.4f}", "{:7.2f}", "{:9.4f}")
    rows = []
    for folder, group in lines.items():
        rows.append(f"{folder:{first}}  {'':{second}}{heads}")
        picture = ""
        for line in group:
            shown, picture = "" if line.picture == picture else line.picture, line.picture
            cells = "".join(f"{_cell(line, scale, formats):{28 + 7 * with_ifc}}" for scale in scales)
            rows.append(f"{shown:{first}}  {line.method:{second}}{cells}".rstrip())
        rows.append("")
    return "\n".join([*map(printable, rows), f"s: {_SECONDS}; {machine}"])


def as_markdown(tables: Tables, scales: Sequence[int], machine: str, *, verbose: bool, with_ifc: bool) -> str:
    """Make one table, of which every folder is a part."""
    rows = ["| | " + " | ".join(f"x{scale}" for scale in scales) + " |", "|---" * (len(scales) + 1) + "|"]
    for folder, results in tables.items():
        picture = ""
        for line in _lines(results, verbose) if results else ():
            if line.picture != picture:
                picture = line.picture
                rows.append(f"| **{folder}, {picture}** |" + " |" * len(scales))
            formats = ("{:.2f}", " / {:.4f}", " / {:.2f}", " / {:.4f}")
            cells = [_cell(line, scale, formats) for scale in scales]
            rows.append(f"| {line.method} | {' | '.join(cells)} |")
    return "\n".join([*rows, "", f"PSNR in dB / SSIM /{' IFC /' if with_ifc else ''} {_SECONDS}; {machine}"])


def as_json(tables: Tables, upscaler: Upscaler) -> str:
    """Write everything down; PSNR is null where two pictures are equal."""
    pictures, means = [], []
    for folder, results in tables.items():
        for result in results:
            picture = {"folder": folder, "image": result.image.name}
            pictures.append(picture | _json_cell(result.method, result.scale, result.figures, result.seconds))
        for line in _lines(results, False) if results else ():
            count = {"folder": folder, "images": len({r.image for r in results})}
            means += [count | _json_cell(line.method, scale, *cell) for scale, cell in line.cells.items()]
    header = machine(upscaler) | {"seconds": _SECONDS, "means": means, "pictures": pictures}
    return json.dumps(header, indent=1)


def machine(upscaler: Upscaler) -> dict[str, object]:
    """Say what it was measured with, as JSON has it; small pictures are floats."""
    return {
        "version": fsrcnn_rt.__version__,
        "isa": upscaler.isa,
        "precision": upscaler.precision_for(np.float32),
        "threads": upscaler.threads,
    }


def _lines(results: Sequence[Result], verbose: bool) -> list[_Row]:
    """Make the lines of a folder: the mean of each method, with ``verbose`` every picture's before them."""
    images = dict.fromkeys(r.image for r in results)
    groups = {image.name: [r for r in results if r.image == image] for image in images} if verbose else {}
    groups[f"mean of {len(images)}"] = list(results)
    lines = []
    for picture, group in groups.items():
        for method in dict.fromkeys(r.method for r in group):
            chosen = [r for r in group if r.method == method]
            scales = dict.fromkeys(r.scale for r in chosen)
            cells = {scale: _mean([r for r in chosen if r.scale == scale]) for scale in scales}
            lines.append(_Row(picture, method, cells))
    return lines


def _mean(results: Sequence[Result]) -> tuple[Figures, float]:
    return mean([r.figures for r in results]), math.fsum(r.seconds for r in results) / len(results)


def _cell(line: _Row, scale: int, formats: Sequence[str]) -> str:
    """Fill in what there is; the time of bicubic, which is not written for speed, is nobody's measure."""
    if scale not in line.cells:
        return ""
    figures, seconds = line.cells[scale]
    values = (*figures, seconds if line.method != BICUBIC else None)
    return "".join(f.format(v) for f, v in zip(formats, values, strict=True) if v is not None)


def _json_cell(method: str, scale: int, figures: Figures, seconds: float) -> dict[str, object]:
    cell: dict[str, object] = {"method": method, "scale": scale}
    finite = {key: value for key, value in figures._asdict().items() if value is not None}
    cell |= {key: value if math.isfinite(value) else None for key, value in finite.items()}
    return cell if method == BICUBIC else cell | {"seconds": seconds}
