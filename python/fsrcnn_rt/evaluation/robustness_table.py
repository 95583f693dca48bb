"""Tables of :mod:`fsrcnn_rt.evaluation.robustness`: a row for each kind of picture and way it got small."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from fsrcnn_rt.errors import printable
from fsrcnn_rt.evaluation.protocol import BICUBIC
from fsrcnn_rt.evaluation.robustness import Result

__all__ = ["NOTE", "Row", "as_json", "as_markdown", "as_text", "summarise", "worst"]

NOTE = """\
bicubic: PSNR in dB; models: dB above it, means over the pictures.
over: farthest distance from the range of the 7x7 input pixels around, mean: that of all pixels; in parts of
full range. cons: consistency, PSNR in dB of the result made small again, against the input."""

_Key = TypeVar("_Key")


class Row(NamedTuple):
    """What a method reaches on several cases: means, and of overshoot the largest."""

    kind: str
    way: str
    method: str
    cases: int
    psnr: float | None
    gain: float | None
    overshoot: float
    mean_overshoot: float
    consistency: float


class _TableRow(NamedTuple):
    title: str
    cells: Mapping[str, tuple[Mapping[int, Row], Row]]
    """Of each method its row at each scale, and the one of all scales."""


def summarise(results: Sequence[Result]) -> Row:
    """Make one row of results of one method."""
    gains = [r.gain for r in results if r.gain is not None]
    qualities = [r.figures.psnr for r in results if r.figures.psnr is not None]
    return Row(
        results[0].kind,
        results[0].way,
        results[0].method,
        len(results),
        _mean(qualities) if qualities else None,
        _mean(gains) if gains else None,
        max(r.figures.overshoot for r in results),
        _mean([r.figures.mean_overshoot for r in results]),
        _mean([r.figures.consistency for r in results]),
    )


def as_text(results: Sequence[Result], scales: Sequence[int], verbose: bool) -> str:
    """Make a table for a terminal; with ``verbose`` it has a line for every picture."""
    methods = list(dict.fromkeys(r.method for r in results))
    groups = _grouped(results, lambda r: r.kind)
    lines = {kind: _lines(group, verbose) for kind, group in groups.items()}
    first = max(
        len(text) for kind, group in lines.items() for text in [kind, *(2 * " " + g.title for g in group)]
    )
    head = "".join(f"{f'x{scale}':>7}" for scale in scales) + f"{'over':>7}{'mean':>8}{'cons':>7}"
    names = "".join(f"  {f'{name} ':-<{len(head) - 2}}"[: len(head)] for name in methods)
    rows = [f"{'':{first}}{names}", f"{'':{first}}{head * len(methods)}"]
    for kind, group in lines.items():
        rows.append(kind)
        for line in group:
            cells = [_text_cells(line, name, scales) for name in methods]
            rows.append(f"{'  ' + line.title:{first}}{''.join(cells)}".rstrip())
    return "\n".join([*map(printable, rows), "", *map(printable, worst(results)), "", NOTE])


def as_markdown(results: Sequence[Result], scales: Sequence[int], verbose: bool) -> str:
    """Make a table of three columns for each method."""
    methods = list(dict.fromkeys(r.method for r in results))
    scale_names = " / ".join(f"x{scale}" for scale in scales)
    heads = [f"{name}, {scale_names} | over (mean) | cons" for name in methods]
    rows = [f"| | {' | '.join(heads)} |", "|---" * (3 * len(methods) + 1) + "|"]
    for kind, group in _grouped(results, lambda r: r.kind).items():
        rows.append(f"| **{kind}** |" + " |" * 3 * len(methods))
        for line in _lines(group, verbose):
            cells = [_markdown_cells(line, name, scales) for name in methods]
            rows.append(f"| {line.title} | {' | '.join(cells)} |")
    return "\n".join([*rows, "", *(f"- {text}" for text in worst(results)), "", NOTE])


def as_json(results: Sequence[Result]) -> dict[str, list[dict[str, object]]]:
    """List the rows at each scale, and every case; what is not finite is null."""
    rows = []
    for (_, _, scale, _), group in _grouped(results, lambda r: (r.kind, r.way, r.scale, r.method)).items():
        rows.append({"scale": scale} | summarise(group)._asdict())
    cases = [
        {"kind": r.kind, "way": r.way, "name": r.name, "scale": r.scale, "method": r.method}
        | {"gain": r.gain}
        | r.figures._asdict()
        for r in results
    ]
    return {"rows": [_finite(row) for row in rows], "cases": [_finite(case) for case in cases]}


def worst(results: Sequence[Result]) -> Iterator[str]:
    """Name the cases on which each method but bicubic is at its worst."""
    for method, group in _grouped(results, lambda r: r.method).items():
        if method == BICUBIC:
            continue
        far = max(group, key=lambda r: r.figures.overshoot)
        yield f"{method}: overshoot of up to {far.figures.overshoot:.2f}, {_title(far)}"
        gains = [(r.gain, r) for r in group if r.gain is not None]
        if gains:
            gain, least = min(gains, key=lambda pair: pair[0])
            yield f"{method}: {gain:+.2f} dB at the least, {_title(least)}"
        strange = min(group, key=lambda r: r.figures.consistency)
        yield f"{method}: {strange.figures.consistency:.1f} dB from the input at worst, {_title(strange)}"


def _title(result: Result) -> str:
    return f"{result.kind}: {result.name}, {result.way}, x{result.scale}"


def _lines(results: Sequence[Result], verbose: bool) -> list[_TableRow]:
    """Make the lines of one kind."""
    lines = []
    for title, group in _grouped(results, lambda r: f"{r.way}: {r.name}" if verbose else r.way).items():
        cells = {}
        for method, chosen in _grouped(group, lambda r: r.method).items():
            by_scale = {scale: summarise(some) for scale, some in _grouped(chosen, lambda r: r.scale).items()}
            cells[method] = by_scale, summarise(chosen)
        lines.append(_TableRow(title, cells))
    return lines


def _text_cells(line: _TableRow, method: str, scales: Sequence[int]) -> str:
    if method not in line.cells:
        return " " * (7 * len(scales) + 22)
    by_scale, row = line.cells[method]
    quality = "".join(f"{_quality(by_scale.get(scale)):>7}" for scale in scales)
    return f"{quality}{row.overshoot:7.2f}{row.mean_overshoot:8.4f}{row.consistency:7.1f}"


def _markdown_cells(line: _TableRow, method: str, scales: Sequence[int]) -> str:
    if method not in line.cells:
        return " | | "
    by_scale, row = line.cells[method]
    quality = " / ".join(_quality(by_scale.get(scale)) or "-" for scale in scales)
    return f"{quality} | {row.overshoot:.2f} ({row.mean_overshoot:.4f}) | {row.consistency:.1f}"


def _quality(row: Row | None) -> str:
    if row is None or row.psnr is None or row.gain is None:
        return ""
    return f"{row.psnr:.2f}" if row.method == BICUBIC else f"{row.gain:+.2f}"


def _grouped(results: Sequence[Result], key: Callable[[Result], _Key]) -> dict[_Key, list[Result]]:
    groups: dict[_Key, list[Result]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _finite(row: Mapping[str, object]) -> dict[str, object]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
