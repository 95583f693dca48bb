"""Video on a cluster: a long film in parts on several nodes, which one node joins."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from time import perf_counter
from typing import TYPE_CHECKING, Any

import fsrcnn_rt
from fsrcnn_rt.cluster.pictures import as_named, check_version, connected, planned
from fsrcnn_rt.cluster.stores import AtHand, Stores, readable
from fsrcnn_rt.cluster.summary import Summary
from fsrcnn_rt.engine.planes import ChromaLocation
from fsrcnn_rt.engine.sizes import VIDEO_SCALE, Box, Goal, Size, goal_of
from fsrcnn_rt.engine.streams import Pool
from fsrcnn_rt.engine.upscaler import ModelLike, Upscaler, as_upscaler
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.files import Y4M_SUFFIX, open_regular
from fsrcnn_rt.pictures.batch import Job, Outcome
from fsrcnn_rt.plan import VIDEOS, Naming, Plan
from fsrcnn_rt.video.y4m import upscale_y4m_to

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fsrcnn_rt.cluster.nodes import Nodes
    from fsrcnn_rt.engine.options import EngineOptions
    from fsrcnn_rt.video.parts import Cut, Encoded

#: Frames of a part at least, about ten seconds.
PART = 240

# Films that are under way at a time, at most; each is a thread here that waits.
_MOST = 256

# What a film may fail by, as pictures do.
_ERRORS = (OSError, ValueError, TypeError, MemoryError, ModuleNotFoundError)


def upscale_videos(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    scale: float | None = None,
    *,
    size: Size | Box | None = None,
    model: ModelLike | Upscaler = "fsrcnn",
    naming: Naming | None = None,
    recursive: bool = False,
    encoding: Encoding | None = None,
    frames: int = PART,
    address: str | None = None,
    cpus: int | None = None,
    progress: Callable[[Outcome], object] | None = None,
    **options: Unpack[EngineOptions],
) -> Summary:
    """Upscale the videos of a folder, or one video, into another folder on the nodes of a Ray cluster.

    A film is cut at key frames into parts of at least ``frames``. They are upscaled and encoded on several
    nodes, and one node joins them, with sound and all else copied once. The frames and times are those of
    :func:`~fsrcnn_rt.upscale_video`. An encoder that loses something loses it anew in each part, as it begins
    each with a key frame. A film that cannot be cut so is upscaled in one piece.

    Encoded parts travel by Ray's object store. Of a film by URL each task reads what it needs.

    ``scale`` (default 2) or ``size``, and ``encoding``: as in :func:`~fsrcnn_rt.upscale_video`. The others:
    as in :func:`upscale_pictures`, which also says what is raised.
    """
    upscaler = as_upscaler(model, **options)
    goal = goal_of(scale, size, VIDEO_SCALE)
    if frames < 1:
        raise ValueError(f"frames={frames} is not 1 or more")
    encoding = encoding or Encoding()
    encoding.check()
    plan, stores = planned(source, target, [goal], naming, recursive=recursive, kind=VIDEOS)
    summary = Summary(skipped=sum(not job.outputs for job in plan.jobs))
    with connected(address, cpus) as nodes:
        for outcome in run(plan, stores, upscaler, encoding, frames, nodes, warnings.warn):
            summary.add(outcome, stores)
            if progress is not None:
                progress(outcome)
    return summary


@dataclass(frozen=True)
class Encoding:
    """How video is encoded, as :func:`~fsrcnn_rt.upscale_video` has it; None: as suits the input."""

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    drop_unfit: bool = False
    chroma_location: ChromaLocation | None = None

    def check(self) -> None:
        """``ValueError`` for what no video could be encoded with, where PyAV is there to tell."""
        try:
            from fsrcnn_rt.video.encoder import Asked
        except ModuleNotFoundError:
            return
        Asked(**self.of_encoder).check()

    @property
    def of_encoder(self) -> dict[str, Any]:
        """What the encoder is told."""
        names = ("codec", "crf", "preset", "pix_fmt", "drop_unfit")
        return {name: getattr(self, name) for name in names}


def run(
    plan: Plan,
    stores: Stores,
    upscaler: Upscaler,
    encoding: Encoding,
    frames: int,
    nodes: Nodes,
    warn: Callable[[str], object],
) -> Generator[Outcome, None, None]:
    """Carry out a plan on the nodes, and give the outcomes in order; ``warn`` is told of what is odd."""
    from fsrcnn_rt.cluster.nodes import ray

    jobs = [job for job in plan.jobs if job.outputs]
    settings = ray.put(_Settings(upscaler, encoding, frames, nodes.cpus, fsrcnn_rt.__version__))
    begun: list[list[Any]] = [[] for _ in jobs]  # references of the tasks of each film that is under way
    pool = Pool(min(_MOST, 2 * nodes.tasks), "fsrcnn-rt-film")
    try:
        each = zip(jobs, begun, strict=True)
        films = [pool.submit(_film, job, stores, settings, nodes, tasks) for job, tasks in each]
        for film in films:
            outcome, told = film.result()
            for message in told:
                warn(message)
            yield outcome
        stores.sweep(plan)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for reference in [reference for tasks in begun for reference in tasks]:
            ray.cancel(reference)


@dataclass(frozen=True)
class _Settings:
    """What all tasks share; it goes to each node once."""

    upscaler: Upscaler
    encoding: Encoding
    frames: int
    cpus: int
    version: str


@dataclass(frozen=True)
class _Film:
    """A film by its names, and what it is to become."""

    source: str
    output: str
    goal: Goal

    @property
    def is_y4m(self) -> bool:
        """Whether Y4M goes in and comes out, which takes no other package."""
        return all(PurePosixPath(name).suffix.lower() == Y4M_SUFFIX for name in (self.source, self.output))


def _film(
    job: Job, stores: Stores, settings: Any, nodes: Nodes, begun: list[Any]
) -> tuple[Outcome, Sequence[str]]:
    """See a film through all tasks; a thread of this process does, and waits most of the time.

    ``begun``: gets the references of the tasks, until all are done.
    """
    from fsrcnn_rt.cluster.nodes import DEATHS, ray, remote, told_of_death

    ((goal, path),) = job.outputs.items()
    film = _Film(stores.location(job.source), stores.location(path), goal)
    start = perf_counter()

    def begin(function: Callable[..., Any], *arguments: Any, returns: int = 1) -> Any:
        references = remote(function, nodes.cpus, returns=returns)([settings], film, *arguments)
        begun.append(references if returns == 1 else references[0])
        return references

    try:
        cut, size = ray.get(begin(_cut))
        made = None
        if cut is not None and len(cut.parts) > 1:
            shared = ray.put(cut)
            parts = [begin(_part, [shared], number, returns=2) for number in range(len(cut.parts))]
            times = ray.get([times for times, _ in parts])
            if all(times):
                made = ray.get(begin(_join, [shared], times, [encoded for _, encoded in parts]))
        told, unchanged = made or ray.get(begin(_whole, cut and cut.upscaler))
    except DEATHS as death:
        return Outcome(job, error=told_of_death(death)), ()
    except ray.exceptions.RayTaskError as error:
        if not isinstance(error.cause, _ERRORS):
            raise error.cause from error
        return Outcome(job, error=as_named(one_line(error.cause), job, stores)), ()
    finally:
        begun.clear()  # and with them the parts
    weights = cut.upscaler.weights if cut is not None else None
    told = [as_named(message, job, stores) for message in told]
    return Outcome(job, size, perf_counter() - start, weights, unchanged=unchanged), told


def _cut(settings: Sequence[Any], film: _Film) -> tuple[Cut | None, Size | None]:
    """Cut a film, and tell the size of its frames; None of Y4M, which goes through in one piece."""
    shared = _shared(settings[0])
    if film.is_y4m:
        return None, None
    from fsrcnn_rt.video import parts

    location, source = shared.encoding.chroma_location, readable(film.source)
    cut = parts.cut(source, film.goal, shared.upscaler, frames=shared.frames, chroma_location=location)
    return cut, cut.size


def _part(
    settings: Sequence[Any], film: _Film, cut: Sequence[Any], number: int
) -> tuple[tuple[int, ...], Encoded | None]:
    """Upscale and encode a part; no times, and nothing, where the film is better left in one piece."""
    from fsrcnn_rt.cluster.nodes import ray
    from fsrcnn_rt.video import parts

    shared, source = _shared(settings[0]), readable(film.source)
    whole: Cut = ray.get(cut[0])
    suffix = PurePosixPath(film.output).suffix
    asked = shared.encoding.of_encoder
    try:
        made = parts.encode_part(source, suffix, whole.parts[number], film.goal, whole, asked, shared.cpus)
    except parts.PartsError:
        return (), None
    return made.times, made


def _join(
    settings: Sequence[Any],
    film: _Film,
    cut: Sequence[Any],
    times: Sequence[Sequence[int]],
    encoded: Sequence[Any],
) -> tuple[list[str], float] | None:
    """Join the parts and deliver the film; give what :func:`_whole` does, or None where they do not fit."""
    from fsrcnn_rt.cluster.nodes import ray
    from fsrcnn_rt.video import parts

    shared, source = _shared(settings[0]), readable(film.source)
    whole: Cut = ray.get(cut[0])
    asked = shared.encoding.of_encoder
    with AtHand(film.output) as output, _about(output):
        each = (ray.get(part) for part in encoded)  # one at a time, however long the film is
        try:
            done, told = parts.join(source, output.path, film.goal, whole, asked, shared.cpus, times, each)
        except parts.PartsError:
            return None
        output.deliver()
    return told, done.unchanged


def _whole(settings: Sequence[Any], film: _Film, upscaler: Upscaler | None) -> tuple[list[str], float]:
    """Upscale a film in one piece; give what there is to warn of, and which part of its luma was copied."""
    shared = _shared(settings[0])
    settled = (upscaler or shared.upscaler).with_threads(shared.cpus)
    with AtHand(film.source) as source, AtHand(film.output) as output, _about(source, output):
        told: list[str] = []
        path = source.fetch().path
        if film.is_y4m:
            with open_regular(path) as frames:
                done = upscale_y4m_to(output.path, frames, **size_or_scale(film.goal), model=settled)
        else:
            from fsrcnn_rt.video.files import upscale_video

            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                done = upscale_video(
                    path,
                    output.path,
                    **size_or_scale(film.goal),
                    model=settled,
                    overwrite=True,
                    chroma_location=shared.encoding.chroma_location,
                    **shared.encoding.of_encoder,
                )
            told = [source.told(str(warning.message)) for warning in caught]
        output.deliver()
    return told, done.unchanged


@lru_cache(maxsize=1)
def _shared(reference: Any) -> _Settings:
    """Get what all tasks share, once in a process."""
    from fsrcnn_rt.cluster.nodes import ray

    settings: _Settings = ray.get(reference)
    check_version(settings.version)
    return settings


@contextmanager
def _about(*files: AtHand) -> Iterator[None]:
    """Have errors speak of files, and not of temporary ones."""
    try:
        yield
    except OSError as error:
        text = one_line(error)
        for file in files:
            text = file.told(text)
        raise OSError(text) from error


def size_or_scale(goal: Goal) -> dict[str, Any]:
    """Return a goal as an argument."""
    return {"size" if isinstance(goal, Box) else "scale": goal}
