"""Tables of figures: as Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | bool | None
Row: TypeAlias = dict[str, Value]


@dataclass
class Table:
    """What one experiment gives. The columns are the keys of all rows, in which a row may have gaps."""

    title: str
    note: str
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    others_percent: float | None = None  # of the processors' time, which other processes took meanwhile


def put_between_markers(page: str, text: str, name: str) -> str:
    """Replace what stands between ``<!-- name begins -->`` and ``ends`` of a page.

    Raises ``ValueError`` where the two are not there once, in this order.
    """
    begin, end = (f"<!-- {name} {word} -->" for word in ("begins", "ends"))
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"{begin} and {end} are not there once each, in this order")
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}"


def as_json(machine: Mapping[str, str], versions: Mapping[str, str], tables: Mapping[str, Table]) -> Any:
    """Everything that was measured, for programs."""
    return {
        "machine": dict(machine),
        "versions": dict(versions),
        "tables": {name: asdict(table) for name, table in tables.items()},
    }


def as_markdown(machine: Mapping[str, str], versions: Mapping[str, str], tables: Mapping[str, Table]) -> str:
    """Everything that was measured, for people."""
    parts = ["\n".join(f"- {key}: {value}" for key, value in machine.items())]
    parts.append("Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".")
    for table in tables.values():
        parts += [f"## {table.title}", table.note]
        if table.others_percent is not None:
            parts[-1] += f" Meanwhile other processes took {table.others_percent:.0f} % of the processors."
        if table.rows:
            parts.append(_grid(table.rows))
        if table.skipped:
            parts.append("\n".join(f"- Not measured: {reason}" for reason in table.skipped))
    return "\n\n".join(parts) + "\n"


def _grid(rows: list[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    numeric = [all(isinstance(row.get(column), int | float | None) for row in rows) for column in columns]
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join("---:" if is_number else "---" for is_number in numeric) + "|",
        *("| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows),
    ]
    return "\n".join(lines)


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        # Three digits are all that such a measurement has.
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
