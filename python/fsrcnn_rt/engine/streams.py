"""Streams of items: read ahead, several worked on at once, given back in order; memory is bounded."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread
from time import perf_counter
from typing import NamedTuple, ParamSpec, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

_THREAD_NAME = "fsrcnn-rt"


class Spent(NamedTuple):
    """Seconds that a stream has taken so far, on all threads together."""

    reading: float = 0.0  # and decoding
    computing: float = 0.0
    writing: float = 0.0  # and encoding


class Stopwatch:
    """Adds up the seconds that something takes by a clock, on all threads together."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._lock = Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block."""
        begin = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self.seconds += self._clock() - begin

    def of(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """Return the same function, whose calls count."""

        def counted(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with self.running():
                return function(*args, **kwargs)

        return counted

    def of_items(self, items: Generator[Item, None, None]) -> Generator[Item, None, None]:
        """Give the same items, whose making counts."""
        with closing(items):
            while True:
                try:
                    with self.running():
                        item = next(items)
                except StopIteration:
                    return
                yield item


class Progress(NamedTuple):
    """How far a stream has come."""

    frames: int  # done so far
    total: int | None  # as announced, which may be an estimate; None: unknown
    seconds: float  # of the stream's own time that those frames last; 0.0 where it has none
    weights: str = ""  # which are used, and why
    unchanged: float = 0.0  # part of their luma, 0..1, that was that of the frame before, and was copied
    spent: Spent = Spent()

    def after(self, unchanged: float, seconds: float, spent: Spent | None = None) -> "Progress":
        """Count one more frame, so much of it unchanged, which ends at ``seconds``."""
        frames = self.frames + 1
        mean = self.unchanged + (unchanged - self.unchanged) / frames
        return self._replace(frames=frames, seconds=seconds, unchanged=mean, spent=spent or self.spent)


class Pool(ThreadPoolExecutor):
    """Threads, or fewer where the system refuses them: what no thread is left for, ``submit`` does itself.

    So it does when the interpreter ends, which begins no thread any more and may still run this one.
    """

    def submit(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Have the function called, now or by the time that its future gives the result."""
        future: Future[Result] = Future()
        once = Lock()

        def work() -> None:
            if not once.acquire(blocking=False) or not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)
                if not isinstance(error, Exception):
                    raise  # Ctrl-C, where it is this thread that works

        try:
            queued = super().submit(work)
        except RuntimeError:  # a refused thread; others may have taken the work from the queue by now
            work()
        else:
            queued.add_done_callback(lambda done: done.cancelled() and future.cancel())
        return future


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, at_once: int
) -> Generator[Result, None, None]:
    """Call ``function`` on each item, on ``workers`` threads, and give the results in the items' order.

    At most ``at_once`` items and results are held. What ``function`` or ``items`` raises is raised when it is
    its turn, after the results before it; the items behind are dropped.
    """
    return _in_order(lambda pool, item: pool.submit(function, item), items, workers, at_once)


def in_order_linked(
    function: Callable[[Item, "tuple[Item, Future[Result]] | None"], Result],
    items: Iterable[Item],
    workers: int,
    at_once: int,
) -> Generator[Result, None, None]:
    """Do the same with a ``function`` that also gets the item before, if any, and the future of its result.

    It may wait for that. One more item and result are held.
    """
    before: tuple[Item, Future[Result]] | None = None

    def submit(pool: Pool, item: Item) -> Future[Result]:
        nonlocal before
        future = pool.submit(function, item, before)
        before = (item, future)
        return future

    return _in_order(submit, items, workers, at_once)


def _in_order(
    submit: Callable[[Pool, Item], Future[Result]], items: Iterable[Item], workers: int, at_once: int
) -> Generator[Result, None, None]:
    pending: deque[Future[Result]] = deque()
    fault: Exception | None = None
    iterator = iter(items)
    with Pool(workers, thread_name_prefix=_THREAD_NAME) as pool:
        try:
            while True:
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                except Exception as error:
                    fault = error
                    break
                if len(pending) == at_once:
                    yield pending.popleft().result()
                pending.append(submit(pool, item))
            while pending:
                yield pending.popleft().result()
            if fault is not None:
                raise fault
        finally:
            for future in pending:
                future.cancel()


def read_ahead(items: Generator[Item, None, None], depth: int) -> Iterator[Item]:
    """Run the generator ``items`` in a thread of its own, up to ``depth`` items ahead of who asks.

    What it raises is raised here, after the items before. It is closed by its own thread, so it may hold what
    no other thread must touch.
    """
    free = Semaphore(depth)
    stopped = Event()
    ready: SimpleQueue[tuple[Item] | BaseException | None] = SimpleQueue()

    def read() -> None:
        try:
            while not stopped.is_set():
                ready.put((next(items),))
                free.acquire()
        except StopIteration:
            ready.put(None)
        except BaseException as error:
            ready.put(error)
        finally:
            items.close()

    # A daemon, and not waited for long: a read from a pipe that nobody feeds may never return.
    thread = Thread(target=read, name=f"{_THREAD_NAME}-reader", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the system refuses one more: each item is made when it is asked for
        with closing(items):
            yield from items
        return
    try:
        while (entry := ready.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            free.release()
            yield entry[0]
    finally:
        stopped.set()
        free.release()
        thread.join(1.0)
