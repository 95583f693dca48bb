"""How times are taken: calls take turns, and only ratios within a turn are trusted."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

# Some runtimes' threads spin for a while after a call and would take cores from whoever comes next.
_PAUSE = 0.01
_BLOCK = 0.02  # seconds of calls that make one sample, so that short calls are no matter of luck
_MIN_ROUNDS = 5

Call = Callable[[], object]


class Spread(NamedTuple):
    """A median, and the quartiles around it."""

    median: float
    low: float
    high: float


def alternate(calls: Sequence[Call], seconds: float) -> list[list[float]]:
    """Time calls in turns for ``seconds`` or 5 rounds, whichever is longer.

    Returns seconds per call as ``[call][round]``. A machine that slows down for a while then slows every
    call's sample of those rounds, and ratios within a round keep their meaning.
    """
    repeats = [_repeats(call) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while len(times[0]) < _MIN_ROUNDS or time.perf_counter() < end:
        for call, count, samples in zip(calls, repeats, times, strict=True):
            time.sleep(_PAUSE)
            call()
            samples.append(statistics.median(_timed(call) for _ in range(count)))
    return times


def spread(values: Sequence[float]) -> Spread:
    """Summarise one value per round."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Divide round by round."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def _repeats(call: Call) -> int:
    call()
    return max(1, min(50, math.ceil(_BLOCK / _timed(call))))


def _timed(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
