"""Frames per second of Y4M pipes, reading and writing included: ``python benchmarks/y4m.py [--threads 2]``.

The command runs as in ``... | fsrcnn-rt - | ...``; this script feeds it and throws away what it gives. Time
is taken between the first and the last frame out, so starting up is left out. Nothing here asserts.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from threading import Thread
from time import perf_counter
from typing import IO, NamedTuple

import numpy as np

_DIFFERENT = 8  # frames, sent in turns


class _Case(NamedTuple):
    model: str
    scale: int
    target: float  # frames per second


_SIZE = (640, 360)
_CASES = (_Case("fsrcnn-s", 2, 60), _Case("fsrcnn", 3, 24))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=300, help="of each pipe (default: 300)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of all pipes (default: 3)")
    options = parser.parse_args()
    width, height = _SIZE
    for round_ in range(options.rounds):
        for case in _CASES:
            before = _busy()
            fps = measure(case, options.threads, options.frames)
            busy = 1e3 * (_busy() - before) / options.frames
            large = f"{case.scale * width}x{case.scale * height}"
            print(
                f"round {round_ + 1}: {case.model} {width}x{height} -> {large}, {options.threads} threads: "
                f"{fps:.1f} fps, {fps / case.target:.2f} of the target {case.target:g}; "
                f"{busy:.1f} ms of processors a frame, starting up included",
                flush=True,
            )


def measure(case: _Case, threads: int, frames: int) -> float:
    """Run one pipe; returns frames per second."""
    command = [sys.executable, "-m", "fsrcnn_rt", "-", "-m", case.model, "-s", str(case.scale)]
    with subprocess.Popen(
        [*command, "-j", str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin and process.stdout
        feeder = Thread(target=_feed, args=(process.stdin, frames), daemon=True)
        feeder.start()
        while process.stdout.read(1) != b"\n":
            pass
        width, height = _SIZE
        buffer = memoryview(bytearray(len(b"FRAME\n") + case.scale**2 * width * height * 3 // 2))
        _take(process.stdout, buffer)
        start = perf_counter()
        for _ in range(frames - 1):
            _take(process.stdout, buffer)
        seconds = perf_counter() - start
        feeder.join()
    return (frames - 1) / seconds


def _busy() -> float:
    """Seconds of processors that the processes which have ended were given."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _feed(pipe: IO[bytes], frames: int) -> None:
    width, height = _SIZE
    random = np.random.default_rng(0)
    different = [
        b"FRAME\n" + random.integers(16, 236, width * height * 3 // 2, np.uint8).tobytes()
        for _ in range(_DIFFERENT)
    ]
    with pipe:
        pipe.write(b"YUV4MPEG2 W%d H%d F24:1 Ip A1:1 C420mpeg2\n" % _SIZE)
        for i in range(frames):
            view = memoryview(different[i % _DIFFERENT])
            while view:
                view = view[pipe.write(view) :]


def _take(pipe: IO[bytes], buffer: memoryview) -> None:
    done = 0
    while done < len(buffer):
        count = pipe.readinto(buffer[done:])  # type: ignore[attr-defined]
        if not count:
            raise SystemExit("the command ended early")
        done += count


if __name__ == "__main__":
    main()
