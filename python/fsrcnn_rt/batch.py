"""Many pictures: reading, the network and writing overlap, and one bad file does not stop the rest."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from fsrcnn_rt import pictures
from fsrcnn_rt.api import Upscaler
from fsrcnn_rt.arguments import one_line
from fsrcnn_rt.plan import Job
from fsrcnn_rt.sizes import Goal, size_of
from fsrcnn_rt.variants import Weights

# Upscaled pictures in memory, in bytes; one that is larger is alone there.
_MEMORY = 1 << 30

# With fewer pictures for each thread, all threads share one picture at a time: some would idle at the end.
_MANY = 4


@dataclass(frozen=True)
class Workers:
    """How many pictures are read, go through the network and are written at a time, 1 or more each."""

    load: int
    proc: int
    save: int


@dataclass(frozen=True)
class Style:
    """How results are written: ``quality`` as :func:`~fsrcnn_rt.pictures.write` has it; without metadata."""

    quality: int | None = None
    strip_metadata: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a job: ``size`` of its input, seconds that it took, or the error that it ended with.

    ``left_out``: metadata for which the outputs have no place, by :func:`~fsrcnn_rt.pictures.left_out`.
    """

    job: Job
    size: tuple[int, int] | None = None
    seconds: float = 0.0
    weights: Weights | None = None
    error: str | None = None
    left_out: Sequence[str] = ()


def run(
    jobs: Sequence[Job],
    upscaler: Upscaler,
    workers: Workers,
    style: Style,
    *,
    advance: Callable[[], object] = lambda: None,
) -> Generator[Outcome, None, None]:
    """Carry out ``jobs`` and give their outcomes in order; any thread calls ``advance`` after each.

    Many pictures go through the network on one thread each, ``workers.proc`` at a time; a few, and large
    ones, on all threads of ``upscaler``. Where the caller is interrupted or closes the iterator, what is
    being written is finished and nothing more begun.
    """
    line = _Line(jobs, upscaler, workers, style)
    with ThreadPoolExecutor(workers.load + workers.proc + workers.save, "fsrcnn-rt") as pool:
        futures = [pool.submit(line.carry_out, job) for job in jobs]
        try:
            for future in futures:
                future.add_done_callback(lambda _: advance())
            for future in futures:
                yield future.result()
        finally:
            line.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)


class _Line:
    """The way of a picture through the stages, each of which takes so many at a time."""

    def __init__(self, jobs: Sequence[Job], upscaler: Upscaler, workers: Workers, style: Style) -> None:
        self.stopped = threading.Event()
        self._style = style
        self._together = upscaler
        self._few = len(jobs) < _MANY * workers.proc
        self._alone = upscaler if self._few or upscaler.threads == 1 else upscaler.with_threads(1)
        self._large = _MEMORY // (2 * workers.proc)
        self._loading = threading.BoundedSemaphore(workers.load)
        self._computing = threading.BoundedSemaphore(1 if self._few else workers.proc)
        self._saving = threading.BoundedSemaphore(workers.save)
        self._memory = _Memory(_MEMORY)

    def carry_out(self, job: Job) -> Outcome:
        start = perf_counter()
        try:
            with self._turn(self._loading):
                picture = pictures.read(job.source, strip_metadata=self._style.strip_metadata)
            pictures.check(picture, job.outputs)
            # Held from before the results exist until they are written, so that memory follows the limit and
            # not the length of the line.
            needed = sum(_larger(picture, goal) for goal in job.outputs)
            with self._memory.hold(needed):
                with self._turn(self._computing):
                    upscaler = self._together if self._few or needed > self._large else self._alone
                    # One choice for all frames and pages: what changed between them would flicker.
                    upscaler = upscaler.choose(picture.frames[0])
                    results = pictures.upscale(picture, upscaler, list(job.outputs))
                with self._turn(self._saving):
                    for goal, path in job.outputs.items():
                        pictures.write(results.pop(goal), path, quality=self._style.quality)
        except (OSError, ValueError, TypeError, MemoryError) as error:
            return Outcome(job, error=one_line(error))
        left_out = {key for path in job.outputs.values() for key in pictures.left_out(picture, path)}
        seconds = perf_counter() - start
        return Outcome(job, picture.size, seconds, upscaler.weights, left_out=sorted(left_out))

    @contextmanager
    def _turn(self, stage: threading.BoundedSemaphore) -> Iterator[None]:
        with stage:
            if self.stopped.is_set():
                raise CancelledError
            yield


def _larger(picture: pictures.Picture, goal: Goal) -> int:
    """Memory of the pixels of the result, in bytes."""
    (width, height), (w, h) = picture.size, size_of(goal, picture.size)
    return picture.nbytes * w * h // (width * height)


class _Memory:
    """An amount of memory that several threads share; a thread waits until what it needs is free."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._change = threading.Condition()

    @contextmanager
    def hold(self, needed: int) -> Iterator[None]:
        with self._change:
            self._change.wait_for(lambda: self._held == 0 or self._held + needed <= self._limit)
            self._held += needed
        try:
            yield
        finally:
            with self._change:
                self._held -= needed
                self._change.notify_all()
