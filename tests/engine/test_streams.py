"""Work on streams: order, bounds, and ends that come too soon."""

import itertools
import threading
import time

import pytest
from fsrcnn_rt.engine import streams
from fsrcnn_rt.engine.streams import in_order, read_ahead


def ours():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fsrcnn-rt")]


def test_results_come_in_order_whoever_is_first():
    def slow_first(i):
        time.sleep(0.02 if i % 4 == 0 else 0)
        return i * i

    assert list(in_order(slow_first, range(20), 3, 5)) == [i * i for i in range(20)]
    assert not ours()


def test_several_are_worked_on_at_once():
    meet = threading.Barrier(3, timeout=20)
    assert list(in_order(lambda _: meet.wait() >= 0, range(6), 3, 3)) == [True] * 6


@pytest.mark.parametrize("kind", ["item", "function"])
def test_what_comes_before_a_fault_is_given(kind):
    def items():
        yield from range(3)
        if kind == "item":
            raise OSError("no more")
        yield from range(3, 9)

    def function(i):
        if i == 3:
            raise OSError("no more")
        return i

    results = in_order(function, items(), 2, 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="no more"):
        next(results)
    assert not ours()


def test_reading_runs_ahead_but_not_far():
    taken, enough = [], threading.Event()

    def items():
        for i in range(100):
            taken.append(i)
            if i == 3:
                enough.set()
            yield i

    ahead = read_ahead(items(), 3)
    assert next(ahead) == 0
    assert enough.wait(20)
    time.sleep(0.05)
    assert len(taken) <= 5  # the one given, three ahead, and one more in hand
    assert [next(ahead) for _ in range(50)] == list(range(1, 51))
    ahead.close()
    assert not ours()


def test_a_generator_lives_and_dies_in_its_own_thread():
    seen = []

    def items():
        try:
            seen.append(threading.current_thread().name)
            yield from range(100)
        finally:
            seen.append(threading.current_thread().name)

    ahead = read_ahead(items(), 2)
    next(ahead)
    ahead.close()
    assert seen == ["fsrcnn-rt-reader"] * 2


def test_a_reader_that_hangs_is_left_behind():
    released = threading.Event()

    def items():
        yield 1
        released.wait(60)
        yield 2

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 1
    start = time.monotonic()
    ahead.close()
    assert time.monotonic() - start < 20
    released.set()


def test_a_stopwatch_counts_what_it_is_told_to():
    """By a clock that goes on by a second whenever it is looked at."""
    clock = itertools.count()
    watch = streams.Stopwatch(lambda: next(clock))
    with watch.running():
        pass
    assert watch.seconds == 1
    assert [watch.of(str.upper)(text) for text in "ab"] == ["A", "B"]
    assert watch.seconds == 3
    closed = []

    def items():
        try:
            yield from "xyz"
        finally:
            closed.append(True)

    assert list(watch.of_items(items())) == ["x", "y", "z"]
    assert (watch.seconds, closed) == (7, [True])  # the end is looked for as well
    some = watch.of_items(items())
    assert next(some) == "x"
    some.close()
    assert (watch.seconds, closed) == (8, [True, True])
    with pytest.raises(ZeroDivisionError):
        watch.of(lambda number: 1 // number)(0)
    assert watch.seconds == 9
