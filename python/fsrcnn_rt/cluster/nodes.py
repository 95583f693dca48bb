"""Ray: a cluster that is there or is started here, and what is to be done on its nodes. Needs Ray.

Ray places tasks, moves them from a node that dies, and calls for nodes where a cluster can grow. What is here
says how large a task is, and what becomes of one that kills its process each time.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from fsrcnn_rt.engine.runtime import resolve_threads
from fsrcnn_rt.errors import CommandError, one_line

try:
    ray: Any = import_module("ray")
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "a cluster needs ray, which is not installed: pip install 'fsrcnn-rt[cluster]'", name="ray"
    ) from error

Item = TypeVar("Item")

# CPUs of a task at most. A task is a process that upscales so many pictures side by side.
_MOST_CPUS = 8

# How often Ray begins a task again whose node or process has died.
RETRIES = 3

# Tasks that are handed to Ray ahead, for each that can run; so many at least that a cluster sees it should
# grow.
_AHEAD, _AT_LEAST = 3, 100

# Memory for objects of a Ray that is started here, in bytes: reports, and parts of video, which may spill.
_OBJECT_STORE = 256 << 20

# What a Ray that is started here is told, unless the environment says else: to send no reports of use, which
# nobody has been asked about, and to run tasks at the priority of this process and not below all others.
_HERE = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}

# How long to collect reports that come at about the same time, in seconds.
_TOGETHER = 0.05

#: What Ray raises where a task has died with its process or node, more often than it was to be begun again.
DEATHS = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.ObjectLostError,
)


class Nodes(NamedTuple):
    """A cluster: CPUs of each task, and how many tasks its nodes take at a time."""

    cpus: int
    tasks: int


@contextmanager
def nodes(address: str | None, cpus: int | None) -> Iterator[Nodes]:
    """Connect to the cluster at ``address``, and let go of it at the end.

    None: the one that this process is connected to; where there is none, Ray is started on this machine, and
    ended. ``cpus``: of a task; by default up to 8, such that no node has CPUs left over.
    ``CommandError`` where there is no such cluster; ``ValueError`` where no node has so many CPUs.
    """
    connected = ray.is_initialized()
    if not connected:
        for name, value in _HERE.items():
            os.environ.setdefault(name, value)
        here: dict[str, Any] = {
            "num_cpus": resolve_threads(None),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE,
        }
        before = signal.getsignal(signal.SIGTERM)
        try:
            quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
            ray.init(address or "local", **quiet, **({} if address else here))
            if threading.current_thread() is threading.main_thread():  # Ray would end the process in its way
                signal.signal(signal.SIGTERM, before)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise CommandError(f"no Ray at {address or 'this machine'}: {one_line(error)}") from error
    elif address is not None:
        raise ValueError(f"address={address!r}, but this process is connected to a Ray cluster already")
    try:
        yield _shared_out(cpus)
    finally:
        if not connected:
            ray.shutdown()


def remote(function: Callable[..., object], cpus: int, *, returns: int = 1) -> Callable[..., Any]:
    """Make a function one that runs on some node, on so many of its CPUs.

    It returns a reference, and several where the function ``returns`` several values.
    """
    options = {"num_cpus": cpus, "max_retries": RETRIES, "num_returns": returns}
    task: Any = ray.remote(**options, scheduling_strategy="SPREAD")(function)
    return task.remote  # type: ignore[no-any-return]


def _shared_out(cpus: int | None) -> Nodes:
    counts = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    counts = [count for count in counts if count] or [1]
    if cpus is None:
        together = math.gcd(*counts)
        cpus = max(share for share in range(1, _MOST_CPUS + 1) if together % share == 0)
    elif not 1 <= cpus <= max(counts):
        raise ValueError(f"cpus={cpus} is not 1 to {max(counts)}, the CPUs of the largest node")
    return Nodes(cpus, sum(count // cpus for count in counts))


def carry_out(
    chunks: Iterable[Sequence[Item]],
    begin: Callable[[Sequence[Item]], Any],
    tasks: int,
) -> Iterator[tuple[Sequence[Item], Any | None, str]]:
    """Have chunks of items carried out, ``begin`` giving a reference; give each with its result, as they end.

    A chunk whose task has died too often is begun again item by item; an item whose task dies so, too, has no
    result but an error. What a task raises is raised.
    """
    waiting, more = iter(chunks), deque[Sequence[Item]]()
    running: dict[Any, Sequence[Item]] = {}
    most = max(_AHEAD * tasks, _AT_LEAST)
    try:
        while True:
            while len(running) < most:
                chunk = more.popleft() if more else next(waiting, None)
                if chunk is None:
                    break
                running[begin(chunk)] = chunk
            if not running:
                return
            ray.wait(list(running))
            ready, _ = ray.wait(list(running), num_returns=len(running), timeout=_TOGETHER)
            for reference in ready:
                chunk = running.pop(reference)
                try:
                    result, error = ray.get(reference), ""
                except DEATHS as death:
                    result, error = None, told_of_death(death)
                    if len(chunk) > 1:
                        more.extend([item] for item in chunk)
                        continue
                except ray.exceptions.RayTaskError as failure:
                    raise failure.cause from failure
                yield chunk, result, error
    finally:
        for reference in running:
            ray.cancel(reference)


def told_of_death(death: BaseException) -> str:
    """Say what has become of a task."""
    return f"its process has died {RETRIES + 1} times on the cluster ({type(death).__name__})"
