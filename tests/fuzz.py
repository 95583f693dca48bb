"""Files damaged at random, for whatever reads files: the reader must accept them or refuse them, and no more.

A test file is a target by a function ``targets()`` that yields :class:`Target`, and a test that calls
``fuzz.check(__file__, name)``, which takes a second. The same for as long as one likes, of all targets or of
those that are named, with counts at the end and an exit code of 1 where there were findings::

    python tests/fuzz.py tests/pictures/test_damaged_pictures.py [NAME...] --seconds 1800

What a case holds depends on the seed, the target and the number of the case alone.
"""

import argparse
import importlib.util
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest

resource = pytest.importorskip("resource", reason="nothing here limits what a fuzzer runs")

_EXECUTABLE = Path(__file__)

# To which "5" is written, for the peak of memory to be counted anew.
_PEAK = Path("/proc/self/clear_refs")

# Changes of one file.
_MOST_CHANGES = 6

# Numbers that sizes, counts and offsets break at.
_EDGES = [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 255, 256, 1000, 1023, 1024, 4096]
_EDGES += [
    value + step for bits in (15, 16, 24, 31, 32, 48, 53, 63, 64) for value in [2**bits] for step in (-1, 0)
]
_EDGES += [-value for value in _EDGES[1:]]


class Target(NamedTuple):
    """A reader of files.

    ``seeds``: sound files by their names; what is made of one keeps its suffix. ``read``: gets the path of a
    file, and returns or raises one of ``errors``. ``mend``: makes sums of what is damaged right again, where
    a reader would otherwise look no further. ``memory``: the most that it may take above what it had, in
    bytes. ``seconds``: the most that it may compute; ten times as long it may wait.
    """

    name: str
    seeds: Mapping[str, bytes]
    read: Callable[[Path], object]
    errors: tuple[type[BaseException], ...]
    mend: Callable[[bytes], bytes] = bytes
    memory: int = 100 << 20
    seconds: float = 10.0


def damaged(target: Target, seed: int, number: int) -> tuple[str, bytes]:
    """Make a case: the name of the seed it is made of, and its content; the first cases are the seeds."""
    names = list(target.seeds)
    if number < len(names):
        return names[number], target.seeds[names[number]]
    random_ = random.Random(f"{seed} {target.name} {number}")
    name = random_.choice(names)
    data = bytearray(target.seeds[name])
    for _ in range(random_.randint(1, _MOST_CHANGES)):
        random_.choice(_MUTATORS)(data, random_, target)
    return name, target.mend(bytes(data))


def check(file: str, *names: str, count: int = 200, seed: int = 0) -> None:
    """Fuzz targets of a test file in a process of its own; ``AssertionError`` where there are findings."""
    if not _PEAK.exists():
        pytest.skip("peaks of memory are those that Linux counts")
    command = [sys.executable, _EXECUTABLE, file, *names, "--count", str(count), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


# What is done to a file. Each takes the bytes, which it changes in place.


def _flip(data: bytearray, random_: random.Random, target: Target) -> None:
    if data:
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)


def _set_number(data: bytearray, random_: random.Random, target: Target) -> None:
    size, order = random_.choice((1, 2, 4, 8)), random_.choice(("little", "big"))
    at = random_.randrange(len(data) + 1)
    data[at : at + size] = (random_.choice(_EDGES) % 256**size).to_bytes(size, order)


def _set_decimal(data: bytearray, random_: random.Random, target: Target) -> None:
    """Of a text: one of its numbers."""
    numbers = list(re.finditer(rb"\d+", data[: 1 << 16]))
    if numbers:
        first, end = random_.choice(numbers).span()
        data[first:end] = str(random_.choice(_EDGES)).encode()


def _set_bytes(data: bytearray, random_: random.Random, target: Target) -> None:
    first, end = _range(data, random_)
    data[first:end] = random_.randbytes(end - first)


def _truncate(data: bytearray, random_: random.Random, target: Target) -> None:
    del data[random_.randrange(len(data) + 1) :]


def _remove(data: bytearray, random_: random.Random, target: Target) -> None:
    first, end = _range(data, random_)
    del data[first:end]


def _duplicate(data: bytearray, random_: random.Random, target: Target) -> None:
    first, end = _range(data, random_)
    data[end:end] = data[first:end] * random_.choice((1, 1, 1, 2, 30))


def _move(data: bytearray, random_: random.Random, target: Target) -> None:
    """Put a part where another is."""
    first, end = _range(data, random_)
    at = random_.randrange(len(data) + 1)
    data[at : at + end - first] = data[first:end]


def _splice(data: bytearray, random_: random.Random, target: Target) -> None:
    """Go on as another seed does."""
    other = random_.choice(list(target.seeds.values()))
    at = random_.randrange(min(len(data), len(other)) + 1)
    data[at:] = other[at:]


_MUTATORS = (
    *(_flip, _set_number, _set_decimal, _set_bytes, _truncate, _remove, _duplicate, _move, _splice),
    *(_flip, _set_number, _set_number),  # most often, as they leave the rest in its place
)


def _range(data: bytearray, random_: random.Random) -> tuple[int, int]:
    """Choose a part, mostly a short one."""
    first = random_.randrange(len(data) + 1)
    return first, min(len(data), first + random_.randrange(1 << random_.randrange(1, 12)))


# The driver: cases are read by a child, so that one that ends its process is a finding as any other.


class _Finding(NamedTuple):
    number: int
    what: str


def fuzz(
    target: Target, seed: int, *, count: int | None, seconds: float | None, folder: Path
) -> tuple[Counter[str], list[_Finding]]:
    """Have ``target`` read ``count`` cases, or as many as it can in so many seconds.

    What became of them is counted by its description.
    """
    outcomes: Counter[str] = Counter()
    findings: list[_Finding] = []
    end = None if seconds is None else monotonic() + seconds
    number = 0
    while (count is None or number < count) and (end is None or monotonic() < end):
        source, sink = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(source)
            try:
                _read_cases(target, seed, number, count, folder, sink)
            finally:
                os._exit(0)
        os.close(sink)
        with os.fdopen(source) as lines:
            for line in lines:
                outcome, is_finding = json.loads(line)
                outcomes[outcome] += 1
                if is_finding:
                    findings.append(_Finding(number, outcome))
                number += 1
                if end is not None and monotonic() > end:
                    os.kill(child, signal.SIGKILL)
                    break
            else:
                end_of_child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if end_of_child:
                    what = f"ended with {_END.get(-end_of_child, end_of_child)}"
                    outcomes[what] += 1
                    findings.append(_Finding(number, what))
                    number += 1
                continue
        os.waitpid(child, 0)
    return outcomes, findings


_END = {
    **{number.value: number.name for number in signal.Signals},
    signal.SIGPROF: "no end (it computes)",
    signal.SIGALRM: "no end (it waits)",
}


def _read_cases(target: Target, seed: int, number: int, count: int | None, folder: Path, sink: int) -> None:
    """Read cases from ``number`` on and write a line for each to ``sink``."""
    limit = _status("VmSize") + 4 * target.memory + (2 << 30)  # threads reserve much that they never use
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # libraries complain there
    while count is None or number < count:
        name, data = damaged(target, seed, number)
        path = folder / f"case{Path(name).suffix}"
        path.write_bytes(data)
        # Neither is handled in Python, so that both end a decoder that never comes back to it.
        signal.setitimer(signal.ITIMER_PROF, target.seconds)
        signal.setitimer(signal.ITIMER_REAL, 10 * target.seconds)
        outcome, is_finding = _read(target, path, is_seed=number < len(target.seeds))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(sink, (json.dumps([outcome, is_finding]) + "\n").encode())
        number += 1


def _read(target: Target, path: Path, *, is_seed: bool) -> tuple[str, bool]:
    """Have a file read; what became of it, and whether that is a finding."""
    _PEAK.write_text("5")  # the peak is that of this case
    before = _status("VmRSS")
    try:
        target.read(path)
        outcome, is_finding = "accepted", False
    except target.errors as error:
        outcome, is_finding = f"refused by {type(error).__name__}", is_seed
        if is_seed:
            outcome = f"the seed {path.suffix} is {outcome}: {error}"
    except BaseException as error:
        outcome, is_finding = f"{type(error).__name__}: {error}", True
    taken = _status("VmHWM") - before
    if taken > target.memory:
        outcome, is_finding = f"{outcome}, and took {taken >> 20} MB", True
    return outcome, is_finding


def _status(key: str) -> int:
    """Memory of this process, in bytes, as Linux counts it."""
    (value,) = re.findall(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(value) << 10


def _targets(file: Path) -> Iterator[Target]:
    """Load the targets of a test file."""
    sys.path[:0] = [str(file.parent), str(_EXECUTABLE.parent)]
    sys.modules["fuzz"] = sys.modules["__main__"]  # its Target is this one
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    yield from module.targets()


def main() -> int:
    """Fuzz the targets of a test file, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a test file that has targets()")
    parser.add_argument("names", nargs="*", help="of the targets (default: all)")
    parser.add_argument(
        "--count", type=int, help="cases of each target (default: 200, unless --seconds is given)"
    )
    parser.add_argument("--seconds", type=float, help="in all, shared by the targets")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="that gets the cases which are findings")
    options = parser.parse_args()
    if options.count is None and options.seconds is None:
        options.count = 200

    targets = [
        target for target in _targets(options.file) if not options.names or target.name in options.names
    ]
    if unknown := set(options.names) - {target.name for target in targets}:
        parser.error(f"{options.file} has no target {', '.join(sorted(unknown))}")
    found = False
    for target in targets:
        seconds = None if options.seconds is None else options.seconds / len(targets)
        with tempfile.TemporaryDirectory() as folder:
            outcomes, findings = fuzz(
                target, options.seed, count=options.count, seconds=seconds, folder=Path(folder)
            )
        print(f"{target.name}: {sum(outcomes.values())} cases")
        for outcome, times in outcomes.most_common():
            print(f"  {times:7d} {outcome}")
        for number, what in findings[:20]:
            name, data = damaged(target, options.seed, number)
            print(f"  case {number} of seed {options.seed}, {len(data)} bytes, made of {name}: {what}")
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{target.name}-{options.seed}-{number}{Path(name).suffix}").write_bytes(data)
        found |= bool(findings)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
