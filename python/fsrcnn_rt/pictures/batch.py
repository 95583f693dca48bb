"""Many pictures: reading, the network and writing overlap, and one bad file does not stop the rest."""

import io
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from fsrcnn_rt import pictures
from fsrcnn_rt.engine.sizes import Goal, Larger, result_size
from fsrcnn_rt.engine.streams import Pool
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.engine.variants import Weights
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.pictures.budget import Budget, available, memory_of
from fsrcnn_rt.pictures.encoding import WriteOptions, is_lossless

# Upscaled pictures in memory, in bytes, and as much of what they are made of; one that is larger is alone.
_MEMORY = 1 << 30

# Of an animation: what is being made, what it is compared with, and what waits for that.
_FRAMES_HELD = 3

# The part of a picture's progress that is the network's; the rest is the encoder's.
_COMPUTING = 0.4

# Formats that hold 16 bits per channel of colour, and are not the camera's.
_DEEP = {"PNG", "TIFF"}

# With fewer pictures for each thread, all threads share one picture at a time: some would idle at the end.
_MANY = 4


@dataclass(frozen=True)
class Job:
    """One picture file and its output per scale or size; with no outputs there is nothing left to do.

    ``file``: what is read in place of ``source``, where that is stdin. ``piped``: the one output goes to
    stdout, in the format of this name.
    """

    source: Path
    outputs: dict[Goal, Path]
    file: Path | None = None
    piped: str | None = None


@dataclass(frozen=True)
class Workers:
    """How many pictures are read, go through the network and are written at a time, 1 or more each."""

    load: int
    proc: int
    save: int


@dataclass(frozen=True)
class Outcome:
    """What became of a job: ``size`` of its input, seconds that it took, or the error that it ended with.

    ``lossless``: whether that is how all of its outputs are encoded.
    ``left_out``: metadata for which the outputs have no place, by :func:`~fsrcnn_rt.pictures.left_out`.
    ``unchanged``: of video, the part of luma, 0..1, that was copied from the frame before.
    """

    job: Job
    size: tuple[int, int] | None = None
    seconds: float = 0.0
    weights: Weights | None = None
    error: str | None = None
    lossless: bool = False
    left_out: Sequence[str] = ()
    unchanged: float | None = None


def run(
    jobs: Sequence[Job],
    upscaler: Upscaler,
    workers: Workers,
    options: WriteOptions,
    *,
    max_pixels: int = pictures.MAX_PIXELS,
    progress: Callable[[Job, float], object] = lambda job, part: None,
) -> Generator[Outcome, None, None]:
    """Carry out ``jobs`` and give their outcomes in order; any thread tells the part of a job that is done.

    Many pictures go through the network on one thread each, ``workers.proc`` at a time; a few, and large
    ones, on all threads of ``upscaler``. ``max_pixels``: as of :func:`~fsrcnn_rt.pictures.read`.
    Where the caller is interrupted or closes the iterator, nothing more is begun. What is being written is
    then finished by its thread, which is not waited for here, but at the end of the process.
    """
    few = len(jobs) < _MANY * workers.proc
    line = Pipeline(upscaler, workers, options, few=few, max_pixels=max_pixels, progress=progress)
    pool = Pool(workers.load + workers.proc + workers.save, "fsrcnn-rt")
    try:
        futures = [pool.submit(line.carry_out, job) for job in jobs]
        for future in futures:
            yield future.result()
    finally:
        line.stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)


class Pipeline:
    """The way of a picture through the stages, each of which takes so many at a time.

    ``few``: whether each picture gets all threads of ``upscaler``, as there are too few for all threads.
    The others are those of :func:`run`.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        workers: Workers,
        options: WriteOptions,
        *,
        few: bool,
        max_pixels: int,
        progress: Callable[[Job, float], object] = lambda job, part: None,
    ) -> None:
        self.stopped = threading.Event()
        self._options, self._max_pixels, self._progress = options, max_pixels, progress
        self._upscaler = upscaler
        self._few = few
        self._large = _MEMORY // (2 * workers.proc)
        self._loading = threading.BoundedSemaphore(workers.load)
        self._computing = threading.BoundedSemaphore(1 if self._few else workers.proc)
        self._saving = threading.BoundedSemaphore(workers.save)
        self._sources, self._results = Budget(_MEMORY), Budget(_MEMORY)

    def carry_out(self, job: Job) -> Outcome:
        """Read, upscale and write; many threads may call it at a time."""
        try:
            return self._carry_out(job)
        except (OSError, ValueError, TypeError, MemoryError, ModuleNotFoundError) as error:
            return Outcome(job, error=one_line(error))
        finally:
            self._progress(job, 1.0)

    def _carry_out(self, job: Job) -> Outcome:
        start = perf_counter()
        options, names = self._options, _formats(job)
        with ExitStack() as held:

            def admit(header: pictures.Header) -> None:
                pictures.check_size(header.size, names, options)
                held.enter_context(self._sources.hold(_checked_memory(header, list(names), options)))

            with self._turn(self._loading):
                picture = pictures.read(
                    job.file or job.source,
                    strip_metadata=options.strip_metadata,
                    first_frame=options.first_frame,
                    raw_bits=8 if options.depth == 8 or not _DEEP.issuperset(names.values()) else 16,
                    max_pixels=self._max_pixels,
                    admit=admit,
                )
            # By the picture as it came, and one choice for all frames and pages: a change would flicker.
            upscaler = self._upscaler.choose(picture.frames[0])
            picture = pictures.adjusted(picture, options)
            pictures.check(picture, names, options)
            # Held from before the results exist until they are written, so that memory follows the limit and
            # not the length of the line.
            needed = sum(_larger(picture, goal, options.larger) for goal in job.outputs)
            upscaler = upscaler if self._few or needed > self._large else upscaler.with_threads(1)
            count = len(picture.frames)
            held.enter_context(self._results.hold(needed * min(count, _FRAMES_HELD) // count))
            self._upscale(job, picture, upscaler)
        return Outcome(
            job,
            picture.size,
            perf_counter() - start,
            upscaler.weights,
            lossless=all(is_lossless(name, options, source=picture.lossless) for name in names.values()),
            left_out=sorted({key for name in names.values() for key in pictures.left_out(picture, name)}),
        )

    def _upscale(self, job: Job, picture: pictures.Picture, upscaler: Upscaler) -> None:
        """Upscale and write; several frames are upscaled while they are written."""
        in_turn = isinstance(picture.frames, pictures.Frames)
        computing = 1.0 if in_turn else _COMPUTING
        with ExitStack() as turn:
            turn.enter_context(self._turn(self._computing))
            results = pictures.upscale(
                picture,
                upscaler,
                list(job.outputs),
                larger=self._options.larger,
                progress=lambda part: self._progress(job, computing * part),
            )
            if not in_turn:
                turn.close()
            with self._turn(self._saving):
                self._write(job, picture, results, upscaler.threads)

    def _is_copied(self, job: Job, goal: Goal, picture: pictures.Picture) -> bool:
        """Whether a file stays as it is, to the byte: nothing is asked for that would change it."""
        if self._options.larger != "keep" or not pictures.is_kept(picture, goal, "keep"):
            return False
        same_format = not job.piped and job.source.suffix == job.outputs[goal].suffix
        return same_format and replace(self._options, larger="refuse") == WriteOptions()

    def _write(
        self, job: Job, source: pictures.Picture, results: dict[Goal, pictures.Picture], threads: int
    ) -> None:
        """Write the results, those of a picture that has all threads side by side."""
        done = dict.fromkeys(results, 0.0)

        def write(goal: Goal) -> None:
            def tell(part: float) -> None:
                done[goal] = part
                self._progress(job, _COMPUTING + (1 - _COMPUTING) * sum(done.values()) / len(done))

            picture = results.pop(goal)
            if self._is_copied(job, goal, source):
                pictures.copy(job.source, job.outputs[goal])
            elif job.piped is not None:
                _print(pictures.encoded(picture, job.piped, self._options, threads=threads))
            else:
                pictures.write(picture, job.outputs[goal], self._options, threads=threads, progress=tell)

        goals = list(results)
        if threads == 1 or len(goals) == 1 or isinstance(source.frames, pictures.Frames):
            for goal in goals:
                write(goal)
        else:
            with Pool(len(goals), "fsrcnn-rt-write") as pool:
                list(pool.map(write, goals))

    @contextmanager
    def _turn(self, stage: threading.BoundedSemaphore) -> Iterator[None]:
        with stage:
            if self.stopped.is_set():
                raise CancelledError
            yield


def _formats(job: Job) -> dict[Goal, str]:
    """Return the formats of the outputs, by Pillow's names."""
    if job.piped is not None:
        return dict.fromkeys(job.outputs, job.piped)
    return {goal: pictures.writable_format(path) for goal, path in job.outputs.items()}


def _print(data: bytes) -> None:
    """Write to stdout, and leave nothing to be flushed where nobody reads it any more."""
    with io.FileIO(1, "w", closefd=False) as stdout:
        view = memoryview(data)
        while view:
            view = view[stdout.write(view) :]


def _larger(picture: pictures.Picture, goal: Goal, larger: Larger) -> int:
    """Memory of the pixels of the result, in bytes."""
    (width, height), (w, h) = picture.size, result_size(goal, picture.size, larger)
    return picture.nbytes * w * h // (width * height)


def _checked_memory(header: pictures.Header, goals: Sequence[Goal], options: WriteOptions) -> int:
    """Memory that it takes to read a picture; ``ValueError`` where there is not enough for its results."""
    frames = min(header.frames, _FRAMES_HELD)
    sizes = [result_size(goal, header.size, options.larger) for goal in goals]
    source = frames * memory_of(header.mode, header.size)
    needed = source + frames * sum(memory_of(header.mode, size) for size in sizes)
    if needed > _MEMORY and needed > (free := available()):
        width, height = max(sizes)
        raise ValueError(
            f"takes {needed / 1e9:.1f} GB of memory to become {width}x{height}, and {free / 1e9:.1f} are free"
        )
    return source
