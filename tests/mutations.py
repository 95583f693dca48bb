"""Breaks the guards of the package at their edges, one at a time, and counts how many the tests notice.

A guard is an `if` that raises. It is broken by another comparison (`<` becomes `<=`), another number (by
one), `or` for `and`, or no condition at all. Which tests run follows from coverage: those that reach what the
guard raises, a few of those that only pass it, then all of the folder, as coverage does not know which test
started a process. So it takes two commands:

    pytest --cov --cov-context=test [FOLDER...]
    python tests/mutations.py --count 100 [FOLDER OF THE PACKAGE...]

A broken guard that all tests let pass is printed with its line. Some do not matter: what is refused is the
same. The package must be an editable install of this checkout; its files are put back whatever happens.
"""

import argparse
import ast
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import coverage

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python/fsrcnn_rt"
PASSING = 25  # tests that pass a guard and raise nothing, at most
SECONDS = 600

OTHER = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.And: ast.Or, ast.Or: ast.And}


@dataclass(frozen=True)
class Mutation:
    """One break of one guard, as the text of its condition."""

    file: Path
    condition: ast.expr
    broken: str
    raises: tuple[int, ...]  # lines

    def __str__(self) -> str:
        before = ast.get_source_segment(self.file.read_text(), self.condition)
        where = f"{self.file.relative_to(ROOT)}:{self.condition.lineno}"
        return f"{where}: {' '.join((before or '').split())}  ->  {self.broken}"

    def text(self) -> str:
        """The file with the guard broken. Columns of the tree count bytes."""
        lines = self.file.read_bytes().splitlines(keepends=True)
        node = self.condition
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        behind = lines[last][node.end_col_offset :]
        lines[first : last + 1] = [lines[first][: node.col_offset] + f"({self.broken})".encode() + behind]
        return b"".join(lines).decode()


def breaks_of(condition: ast.expr) -> Iterator[str]:
    """Every way to break a condition in one place."""
    yield "False"
    for node in ast.walk(condition):
        if isinstance(node, ast.Compare):
            for i, operator in enumerate(node.ops):
                if type(operator) not in OTHER:
                    continue
                node.ops[i] = cast(ast.cmpop, OTHER[type(operator)]())
                yield ast.unparse(condition)
                node.ops[i] = operator
        elif isinstance(node, ast.BoolOp):
            junction = node.op
            node.op = cast(ast.boolop, OTHER[type(junction)]())
            yield ast.unparse(condition)
            node.op = junction
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, int)
            and not isinstance(node.value, bool)
        ):
            value = node.value
            node.value = value + 1
            yield ast.unparse(condition)
            node.value = value


def mutations_of(file: Path) -> Iterator[Mutation]:
    """Every break of every guard of a file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.If):
            continue
        raises = tuple(each.lineno for each in node.body if isinstance(each, ast.Raise))
        if raises and ast.unparse(node.test) != "TYPE_CHECKING":
            for broken in breaks_of(node.test):
                yield Mutation(file, node.test, broken, raises)


def tests_of(data: coverage.CoverageData, mutation: Mutation, draw: random.Random) -> list[str]:
    """What reaches the error, a few that pass by, and what is about the same part of the package."""
    by_line = data.contexts_by_lineno(str(mutation.file))

    def reaching(*lines: int) -> set[str]:
        return {context.split("|")[0] for line in lines for context in by_line.get(line, ()) if context}

    raising = sorted(reaching(*mutation.raises))
    passing = sorted(reaching(mutation.condition.lineno) - set(raising))
    part = mutation.file.relative_to(PACKAGE).parts[0]
    folder = ROOT / "tests" / (part if (ROOT / "tests" / part).is_dir() else "engine")
    return [*raising, *draw.sample(passing, min(PASSING, len(passing))), str(folder)]


def is_noticed(mutation: Mutation, tests: list[str]) -> bool:
    """Whether a test fails, or never ends."""
    kept = mutation.file.read_text()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        mutation.file.write_text(mutation.text())
        run = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    finally:
        mutation.file.write_text(kept)
    return run.returncode != 0


def main() -> None:
    """Print what was not noticed, and how many were."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, default=[PACKAGE], metavar="FOLDER", help="of the package"
    )
    parser.add_argument("--count", type=int, default=100, metavar="N", help="drawn at random (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--data", default=".coverage", metavar="FILE", help="what coverage measured")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    data = coverage.CoverageData(options.data)
    data.read()
    if not data.measured_files():
        parser.error(f"{options.data} holds nothing: see --help")
    files = sorted(file for folder in options.folders for file in folder.resolve().rglob("*.py"))
    every = [mutation for file in files for mutation in mutations_of(file)]
    chosen = draw.sample(every, min(options.count, len(every)))
    noticed = 0
    for number, mutation in enumerate(chosen, 1):
        tests = tests_of(data, mutation, draw)
        seen = is_noticed(mutation, tests)
        noticed += seen
        if not seen:
            print(f"not noticed: {mutation}", flush=True)
        print(f"{noticed} of {number} noticed", end="\r", file=sys.stderr, flush=True)
    print(f"{noticed} of {len(chosen)} breaks noticed, of {len(every)} there are")


if __name__ == "__main__":
    main()
