"""Pictures on a cluster: planned here, read and written by the nodes; only names and reports travel."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import astuple, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import fsrcnn_rt
from fsrcnn_rt import pictures
from fsrcnn_rt.cluster.stores import AtHand, Stores
from fsrcnn_rt.cluster.summary import Summary
from fsrcnn_rt.engine.sizes import PICTURE_SCALE, Box, Goal, Size, goals_of
from fsrcnn_rt.engine.streams import Pool
from fsrcnn_rt.engine.upscaler import ModelLike, Upscaler, as_upscaler
from fsrcnn_rt.errors import CommandError, UsageError, one_line
from fsrcnn_rt.pictures.batch import Job, Outcome, Pipeline, Workers
from fsrcnn_rt.pictures.encoding import WriteOptions
from fsrcnn_rt.plan import PICTURES, Kind, Naming, Plan, make_folders, make_plan

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fsrcnn_rt.cluster.nodes import Nodes
    from fsrcnn_rt.engine.options import EngineOptions

# How many tasks each share of CPUs gets at least, so that all end together. Pictures of a task at most: as
# many as tasks run at a time, between these, so that this process is told of no more tasks than it can take.
_TASKS = 8
_MOST = (256, 1024)

# With fewer pictures for each thread, a picture gets all threads of a task.
_FEW = 4

# Pictures that are fetched or delivered at a time, for each CPU, beside those that are upscaled: a store
# answers after the time that several pictures take.
_TRANSFERS = 8

# Of a job, its source and its outputs by what any node knows them by.
Names: TypeAlias = "tuple[str, dict[Goal, str]]"

# Reports come without the names, which are known where they go.
_NAMELESS = Job(Path(), {})


def upscale_pictures(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    scale: float | Sequence[float] | None = None,
    *,
    size: Size | Box | None = None,
    model: ModelLike | Upscaler = "fsrcnn",
    naming: Naming | None = None,
    recursive: bool = False,
    write: WriteOptions | None = None,
    max_pixels: int = pictures.MAX_PIXELS,
    address: str | None = None,
    cpus: int | None = None,
    progress: Callable[[Outcome], object] | None = None,
    **options: Unpack[EngineOptions],
) -> Summary:
    """Upscale the pictures of a folder into another on the nodes of a Ray cluster.

    ``source`` and ``target``: folders that all nodes see by the same path, or URLs that fsspec takes, such as
    ``s3://bucket/folder``. Results are those of the command ``fsrcnn-rt -o TARGET SOURCE``: the same files
    by the same names. Each is at the target when it is whole, and not before.

    ``scale`` (default 3), several of them, or ``size``: as in :meth:`Upscaler.upscale`. ``model`` and
    ``options``: as :class:`Upscaler` has them, or a ready one; ``threads`` has no effect. ``naming``: how
    outputs are called, and what becomes of those that are there; its ``output`` has no effect. With
    ``Naming(existing="skip")`` a run goes on where another was ended. ``recursive``: also what is in folders
    below. ``write``: how results are encoded. ``max_pixels``: a picture that has more is refused.

    ``address``: of a Ray cluster; None: the one that this process is connected to, and where there is none,
    this machine alone. ``cpus``: of a task, 1 or more; default what shares out the nodes, up to 8.
    ``progress``: called with the outcome of each picture, in the order in which they end.

    A picture that cannot be read or written is reported and stops no other. A task whose node dies is begun
    again on another node: a picture that was being made is made anew, and what is at the target is whole.

    Raises :class:`~fsrcnn_rt.errors.UsageError` for a source that is not there and for outputs that could not
    all be written, before any work; :class:`~fsrcnn_rt.errors.CommandError` for a cluster that is not
    there or cannot run this; ``ModuleNotFoundError`` where Ray is not installed; and what :class:`Upscaler`
    raises.
    """
    upscaler = as_upscaler(model, **options)
    goals, _ = goals_of(scale, size, PICTURE_SCALE)
    plan, stores = planned(source, target, goals, naming, recursive=recursive, kind=PICTURES)
    summary = Summary(skipped=sum(not job.outputs for job in plan.jobs))
    with connected(address, cpus) as nodes:
        for outcome in run(plan, stores, upscaler, write or WriteOptions(), max_pixels, nodes):
            summary.add(outcome, stores)
            if progress is not None:
                progress(outcome)
    return summary


def planned(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    goals: Sequence[Goal],
    naming: Naming | None,
    *,
    recursive: bool,
    kind: Kind,
) -> tuple[Plan, Stores]:
    """Plan what becomes of the files of a kind, and make the folders; raises ``UsageError``."""
    stores = Stores()
    inside, outside = stores.add(os.fspath(source)), stores.add(os.fspath(target))
    stores.check(inside)
    naming = replace(naming or Naming(), output=f"{outside}{os.sep}")
    try:
        plan = make_plan([str(inside)], goals, naming, recursive=recursive, kind=kind, disk=stores)
        make_folders(plan, stores)
    except UsageError as error:
        raise UsageError(stores.told(str(error))) from error
    return plan, stores


def run(
    plan: Plan,
    stores: Stores,
    upscaler: Upscaler,
    options: WriteOptions,
    max_pixels: int,
    nodes: Nodes,
) -> Generator[Outcome, None, None]:
    """Carry out a plan on the nodes, and give the outcomes as they come."""
    from fsrcnn_rt.cluster.nodes import carry_out, ray, remote

    jobs = [job for job in plan.jobs if job.outputs]
    threads = nodes.tasks * nodes.cpus
    few = len(jobs) < _FEW * threads
    settings = ray.put(Settings(upscaler, options, max_pixels, few, nodes.cpus, fsrcnn_rt.__version__))
    most = min(max(nodes.tasks, _MOST[0]), _MOST[1])
    size = 1 if few else max(1, min(most, len(jobs) // (nodes.tasks * _TASKS)))
    task = remote(_carry_out, nodes.cpus)

    def begin(chunk: Sequence[Job]) -> Any:
        return task([settings], [names_of(job, stores) for job in chunk])

    for chunk, outcomes, error in carry_out(_chunks(jobs, size), begin, nodes.tasks):
        if outcomes is None:
            yield Outcome(chunk[0], error=error)
        else:
            for job, outcome in zip(chunk, outcomes, strict=True):
                yield replace(outcome, job=job, error=outcome.error and as_named(outcome.error, job, stores))
    stores.sweep(plan)


def names_of(job: Job, stores: Stores) -> Names:
    """Return what of a job goes to a node."""
    return stores.location(job.source), {goal: stores.location(path) for goal, path in job.outputs.items()}


@dataclass(frozen=True)
class Settings:
    """What all tasks share; it goes to each node once."""

    upscaler: Upscaler
    options: WriteOptions
    max_pixels: int
    few: bool
    cpus: int
    version: str


def _carry_out(settings: Sequence[Any], names: Sequence[Names]) -> list[Outcome]:
    """Carry out a chunk, on some node."""
    line, threads, max_pixels = _line(settings[0])
    with pictures.large_pictures_allowed(max_pixels), Pool(threads, "fsrcnn-rt") as pool:
        return list(pool.map(partial(carry_out_one, line), names))


def carry_out_one(line: Pipeline, names: Names) -> Outcome:
    """Carry out a job, on some node; files by URL are fetched before and delivered then."""
    with ExitStack() as stack:
        source = stack.enter_context(AtHand(names[0]))
        outputs = {goal: stack.enter_context(AtHand(name)) for goal, name in names[1].items()}
        try:
            source.fetch()
            job = Job(source.path, {goal: output.path for goal, output in outputs.items()})
            outcome = line.carry_out(job)
            for output in outputs.values():
                output.deliver()
        except OSError as error:
            outcome = Outcome(_NAMELESS, error=one_line(error))
        text = outcome.error
        for each in (source, *outputs.values()):
            text = text and each.told(text)
    return replace(outcome, job=_NAMELESS, error=text)


@lru_cache(maxsize=1)
def _line(reference: Any) -> tuple[Pipeline, int, int]:
    """Make ready what upscales, once in a process; and say how many threads it feeds."""
    from fsrcnn_rt.cluster.nodes import ray

    settings: Settings = ray.get(reference)
    check_version(settings.version)
    cpus = settings.cpus
    workers = Workers(-(-cpus // 4), cpus, cpus)
    upscaler = settings.upscaler.with_threads(cpus)
    line = Pipeline(upscaler, workers, settings.options, few=settings.few, max_pixels=settings.max_pixels)
    return line, sum(astuple(workers)) + _TRANSFERS * cpus, settings.max_pixels


def _chunks(jobs: Sequence[Job], size: int) -> Iterator[Sequence[Job]]:
    return (jobs[i : i + size] for i in range(0, len(jobs), size))


def as_named(error: str, job: Job, stores: Stores) -> str:
    """Have an error from a node call files as they are called here."""
    for path in (job.source, *job.outputs.values()):
        error = error.replace(stores.location(path), stores.name(path))
    return error


def connected(address: str | None, cpus: int | None) -> AbstractContextManager[Nodes]:
    """Connect to a cluster, as :func:`fsrcnn_rt.cluster.nodes.nodes` does."""
    from fsrcnn_rt.cluster.nodes import nodes

    return nodes(address, cpus)


def check_version(version: str) -> None:
    """``CommandError`` on a node whose results may differ from those of a command of this version."""
    from fsrcnn_rt.cluster.nodes import ray

    if version != fsrcnn_rt.__version__:
        node, own = ray.util.get_node_ip_address(), fsrcnn_rt.__version__
        raise CommandError(f"the node {node} has fsrcnn-rt {own}, and the command is of {version}")
