"""What a command line asks for: which files are read and what each becomes; all of it, or it is refused."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from fsrcnn_rt.arguments import UsageError, default_suffix
from fsrcnn_rt.formats import format_of, is_writable
from fsrcnn_rt.sizes import Goal

# Of what is found in folders, these are pictures; anything that Pillow reads can be named.
_FORMATS = {"AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA"}
_FORMATS |= {"TIFF", "WEBP"}

_SCALE = "{scale}"


@dataclass(frozen=True)
class Job:
    """One picture file and its output per scale or size; with no outputs there is nothing left to do."""

    source: Path
    outputs: dict[Goal, Path]


@dataclass(frozen=True)
class Naming:
    """How outputs are called.

    ``output``: the file, or the folder that gets a mirror of each input tree; beside the input if None.
    ``suffix`` is put behind the name, with {scale} for the scale, as 1.5, or for the size that was asked
    for, as 1920x1080, 1920w or 1080h; by default _x{scale}, of a size _{scale}. What is asked for names a
    file, and not what a picture of some shape gets: names are known before any picture is read.
    ``extension`` replaces that of the input.
    ``existing``: what becomes of outputs that are there already.
    """

    output: str | None = None
    suffix: str | None = None
    extension: str | None = None
    existing: Literal["refuse", "skip", "overwrite"] = "refuse"


class _Source(NamedTuple):
    """An input file, where it lies in its tree, and whether it was found there rather than named."""

    path: Path
    place: Path
    found: bool


def make_plan(inputs: Sequence[str], goals: Sequence[Goal], naming: Naming, *, recursive: bool) -> list[Job]:
    """Every output of every input, and the folders for them made; nothing else is written.

    ``inputs``: files, folders (pictures in them, with ``recursive`` in all folders below) and patterns with
    ``*``, ``?``, ``[]`` and ``**``. Among files found so, the outputs of others are no inputs.
    ``UsageError`` where not all could be written: an input that is not there, an output that exists, is an
    input, or is the output of two; a format that cannot be written.
    """
    if os.sep in (naming.suffix or ""):
        raise UsageError(f"suffix={naming.suffix!r} has a {os.sep!r} in it; -o names the folder")
    sources = list(_sources(inputs, naming.output, recursive))
    several = len(sources) * len(goals) > 1 or any(source.found for source in sources)
    folder, file = _output(naming.output, several)
    jobs = [
        Job(source.path, {goal: file or _name(source, goal, naming, folder) for goal in goals})
        for source in sources
    ]
    owners = {os.path.realpath(path): job for job in jobs for path in job.outputs.values()}
    jobs = [
        job
        for job, source in zip(jobs, sources, strict=True)
        if not (source.found and owners.get(os.path.realpath(source.path), job) is not job)
    ]
    jobs = _checked(jobs, naming)
    for job in jobs:
        for path in job.outputs.values():
            if folder is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not path.parent.is_dir():
                raise UsageError(f"{path}: the folder {path.parent} does not exist")
    return jobs


def _sources(inputs: Sequence[str], output: str | None, recursive: bool) -> Iterator[_Source]:
    """Files that the inputs stand for."""
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            files = list(_walk(path, output, recursive))
            if not files:
                hint = "" if recursive else " (-r looks into the folders in it)"
                raise UsageError(f"{path}: has no pictures in it{hint}")
            yield from (_Source(file, file.relative_to(path), True) for file in files)
        elif not path.exists() and _is_pattern(name):
            matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
            files = [match for match in matches if match.is_file() and _is_picture(match.name)]
            if not files:
                raise UsageError(f"{name}: no picture matches it")
            parts = path.parts
            base = Path(*parts[: next(i for i, part in enumerate(parts) if _is_pattern(part))])
            yield from (_Source(file, file.relative_to(base), True) for file in files)
        else:
            yield _Source(path, Path(path.name), False)


def _walk(folder: Path, output: str | None, recursive: bool) -> Iterator[Path]:
    """Pictures in a folder, in order of their names; what is hidden and the output folder are left out."""

    def fail(error: OSError) -> None:
        raise UsageError(f"{error.filename}: cannot be read: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=fail):
        yield from (Path(place, name) for name in sorted(names) if _is_picture(name))
        inside = [Path(place, name) for name in sorted(folders) if recursive and not name.startswith(".")]
        folders[:] = [path.name for path in inside if output is None or not _is_same(path, Path(output))]


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[")


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and format_of(Path(name)) in _FORMATS


def _output(output: str | None, several: bool) -> tuple[Path | None, Path | None]:
    """Tell folder and file that outputs go to; neither where they go beside their inputs."""
    if output is None:
        return None, None
    path = Path(output)
    if not several and not path.is_dir() and not output.endswith(os.sep):
        return None, path
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file, and several outputs need a folder")
    return path, None


def _name(source: _Source, goal: Goal, naming: Naming, folder: Path | None) -> Path:
    extension = f".{naming.extension.lstrip('.')}" if naming.extension else source.path.suffix
    suffix = default_suffix(goal) if naming.suffix is None else naming.suffix.replace(_SCALE, str(goal))
    name = source.path.stem + suffix + extension
    return (source.path.parent if folder is None else folder / source.place.parent) / name


def _checked(jobs: Sequence[Job], naming: Naming) -> list[Job]:
    """Refuse what cannot all be written; outputs that exist and are to be kept are left out."""
    checked = []
    taken: dict[str, Path] = {}  # output -> input it is of
    inputs = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        wanted: dict[Goal, Path] = {}
        for goal, path in job.outputs.items():
            if not is_writable(format_of(path)):
                raise UsageError(
                    f"{path}: {path.suffix or 'no suffix'!r} is not an image format that can be written"
                )
            key = os.path.realpath(path)
            if taken.get(key) is job.source:
                raise UsageError(f"{path}: is the output of two scales (put {_SCALE} into --suffix)")
            if key in taken:
                raise UsageError(f"{path}: is the output of both {taken[key]} and {job.source}")
            if key in inputs:
                raise UsageError(f"{path}: is an input, and would be overwritten")
            taken[key] = job.source
            if path.is_dir():
                raise UsageError(f"{path}: exists already, and is a folder")
            if path.exists() and naming.existing == "refuse":
                raise UsageError(f"{path}: exists already (see --overwrite and --skip-existing)")
            if naming.existing == "overwrite" or not path.exists():
                wanted[goal] = path
        checked.append(Job(job.source, wanted))
    return checked
