"""What reading files takes: a child reads them, and tells what became of each and how far memory rose."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

MOST = 100 << 20  # bytes that a file may take which is refused
_PEAK = Path("/proc/self/clear_refs")


def read(reader: str, paths: Iterable[Path], folder: Path) -> dict[str, tuple[str, int]]:
    """Have files read in ``folder``: what became of each, by its name, and the bytes that it took."""
    if not _PEAK.exists():
        pytest.skip("peaks of memory are those that Linux counts")
    command = [sys.executable, __file__, reader, *paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: (outcome, taken) for name, outcome, taken in map(json.loads, done.stdout.splitlines())}


def assert_refused(outcome: tuple[str, int], message: str) -> None:
    """A file was refused, in one line of moderate length and in little memory."""
    (told, taken) = outcome
    kind, _, reason = told.partition(": ")
    assert kind in ("ModelError", "OSError"), told[:500]
    assert re.search(message, reason), reason[:500]
    assert len(reason) < 1000 and reason.isprintable()
    assert taken <= MOST, f"{taken >> 20} MB"


def _status(key: str) -> int:
    """Memory of this process, in bytes, as Linux counts it."""
    (value,) = re.findall(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(value) << 10


def _reader(name: str) -> Callable[[Path], object]:
    if name == "load":
        from fsrcnn_rt import load

        return load
    from fsrcnn_rt.convert import convert

    return lambda path: convert(path, scale=3)


def main() -> None:
    """Read the files of the command line."""
    reader = _reader(sys.argv[1])
    for path in map(Path, sys.argv[2:]):
        _PEAK.write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        try:
            reader(path)
            outcome = "accepted"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        print(json.dumps([path.name, outcome, _status("VmHWM") - before]), flush=True)


if __name__ == "__main__":
    main()
