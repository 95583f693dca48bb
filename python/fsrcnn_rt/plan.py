"""Which files are read and what each becomes: all of what is asked for, or it is refused."""

import glob
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from fsrcnn_rt.engine.sizes import Box, Goal
from fsrcnn_rt.errors import UsageError, one_line
from fsrcnn_rt.files import LEGACY_SUFFIXES, PIPE, VIDEO_SUFFIXES, ignores_case, is_there, is_video
from fsrcnn_rt.pictures import content_format, plugins
from fsrcnn_rt.pictures.batch import Job
from fsrcnn_rt.pictures.formats import format_of, is_writable

# Of what is found in folders, these are pictures; anything that Pillow reads can be named.
_FORMATS = {"AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA"}
_FORMATS |= {"TIFF", "WEBP"}

_SCALE, _MODEL = "{scale}", "{model}"

# What stands between folders; Windows has two.
_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))

_ignores_case = lru_cache(ignores_case)

# What stands for {scale}, and what is put behind a name where no suffix is given.
_ANY_SCALE = r"(?:[0-9]+(?:\.[0-9]+)?|[0-9]+x[0-9]+|[0-9]+[wh])"
_ANY_DEFAULT = r"_(?:x[0-9]+(?:\.[0-9]+)?|[0-9]+x[0-9]+|[0-9]+[wh])"

# Of camera raw, which nothing writes: it holds 16 bits, and is what editors of photographs take.
_RAW_RESULT = ".tiff"

# Of video whose container takes nothing that is encoded today.
_VIDEO_RESULT = ".mkv"


class Plan(NamedTuple):
    """``jobs``, and the files that were found and are left out as ``outputs`` of others."""

    jobs: list[Job]
    outputs: list[Path]


@dataclass(frozen=True)
class Naming:
    """How outputs are called.

    ``output``: the file, - for stdout, or the folder that gets a mirror of each input tree; beside the input
    if None. ``suffix`` is put behind the name, with {scale} for the scale, as 1.5, or for the size that was
    asked for, as 1920x1080, 1920w or 1080h, and {model} for ``model``; by default _x{scale}, of a size
    _{scale}. What is asked for names a file, and not what a picture of some shape gets: names are known
    before any picture is read. ``extension`` replaces that of the input; camera raw becomes TIFF.
    ``existing``: what becomes of outputs that are there already.
    """

    output: str | None = None
    suffix: str | None = None
    extension: str | None = None
    existing: Literal["refuse", "skip", "overwrite"] = "refuse"
    model: str = ""

    def behind(self, goal: Goal) -> str:
        """Return what is appended to the name of an input."""
        if self.suffix is None:
            return f"_{goal}" if isinstance(goal, Box) else f"_x{goal}"
        return self.suffix.replace(_SCALE, str(goal)).replace(_MODEL, self.model)

    def of_output(self) -> re.Pattern[str]:
        """Match the stem of an output of any scale or size; the group is that of its input."""
        if self.suffix is None:
            return re.compile(f"(.+){_ANY_DEFAULT}")
        # Without a suffix an output is called as its input is, and so is the other file of a pair.
        suffix = re.escape(self.suffix.replace(_MODEL, self.model)).replace(re.escape(_SCALE), _ANY_SCALE)
        return re.compile(f"(.+){suffix or '$.'}")


class Kind:
    """The kind of files that a plan is made for: pictures, unless a subclass says else."""

    name = "picture"

    def is_found(self, name: str) -> bool:
        """Whether a file of this name is one, where it is found in a folder."""
        path = Path(name)
        return not name.startswith(".") and (plugins.is_optional(path) or format_of(path) in _FORMATS)

    def extension(self, path: Path) -> str:
        """Name the suffix of an output that none was asked for."""
        return _RAW_RESULT if plugins.is_raw(path) else path.suffix

    def check_output(self, path: Path, *, asked: bool) -> None:
        """``UsageError`` where a file of this name cannot be written; ``asked``: its format was."""
        _writable_format(path, asked=asked)

    def piped(self, extension: str, stdin: Path | None) -> str:
        """Name the format in which a result goes to stdout; ``stdin``: where it has that of the input."""
        if stdin is None:
            return _writable_format(Path(PIPE + extension), asked=True) or ""
        name = content_format(stdin) or ""
        if name and not is_writable(name):
            raise UsageError(f"{PIPE}: is {name}, which cannot be written (-f names another format)")
        return name


class _Videos(Kind):
    """What a plan knows of video files."""

    name = "video"

    def is_found(self, name: str) -> bool:
        """Whether a file of this name is video."""
        return not name.startswith(".") and is_video(name)

    def extension(self, path: Path) -> str:
        """Name the suffix of an output: that of the input, or what holds almost everything."""
        suffix = path.suffix.lower()
        return path.suffix if is_video(path.name) and suffix not in LEGACY_SUFFIXES else _VIDEO_RESULT

    def check_output(self, path: Path, *, asked: bool) -> None:
        """``UsageError`` for a suffix that is none of video."""
        if not is_video(path.name):
            raise UsageError(f"{path}: {path.suffix or 'no suffix'!r} is none of {', '.join(VIDEO_SUFFIXES)}")

    def piped(self, extension: str, stdin: Path | None) -> str:
        """Y4M, or what a stream of it and sound becomes."""
        if sys.stdout.isatty():
            raise UsageError("stdout is a terminal, which takes no video (see -o)")
        return "Y4M or Matroska"


PICTURES, VIDEOS = Kind(), _Videos()


class Disk:
    """What a plan asks of the place where files lie: of this machine's, unless a subclass knows others."""

    def is_folder(self, path: Path) -> bool:
        """Whether it is a folder, or leads to one."""
        return path.is_dir()

    def exists(self, path: Path) -> bool:
        """Whether there is anything."""
        return path.exists()

    def files(self, folder: Path, output: str | None, *, recursive: bool) -> Iterator[Path]:
        """Files of a folder, in order of their names, without hidden folders and the ``output`` folder."""

        def fail(error: OSError) -> None:
            raise UsageError(f"{error.filename}: cannot be read: {error.strerror}")

        for place, folders, names in os.walk(folder, onerror=fail):
            yield from (Path(place, name) for name in sorted(names))
            inside = [Path(place, name) for name in sorted(folders) if recursive and not name.startswith(".")]
            folders[:] = [path.name for path in inside if output is None or not _is_same(path, Path(output))]

    def identity(self, path: Path) -> str:
        """Return what is the same of all names of a file."""
        real = os.path.realpath(path)
        return real.casefold() if _ignores_case(os.path.dirname(real)) else real  # noqa: PTH120

    def is_there(self, path: Path) -> bool:
        """Whether an output exists already; ``UsageError`` where it could not be written in any case."""
        return is_there(path)

    def make_folder(self, path: Path) -> None:
        """Make a folder that is not there; ``OSError`` where that fails."""
        path.mkdir(parents=True, exist_ok=True)


DISK = Disk()


class _Source(NamedTuple):
    """An input file, where it lies in its tree, and whether it was found there rather than named.

    ``file``: what stdin held, where it is that.
    """

    path: Path
    place: Path
    found: bool
    file: Path | None = None


def make_plan(
    inputs: Sequence[str],
    goals: Sequence[Goal],
    naming: Naming,
    *,
    recursive: bool,
    stdin: Path | None = None,
    kind: Kind = PICTURES,
    disk: Disk = DISK,
) -> Plan:
    """Every output of every input; nothing is written, and the folders are for :func:`make_folders`.

    ``inputs``: files, folders (what is of the ``kind`` in them, with ``recursive`` in all folders below),
    patterns with ``*``, ``?``, ``[]`` and ``**``, and - for ``stdin``, a file that holds what has come from
    there. A file that is found so and not named is an output, and nothing is to be done with it, where
    another input has the same name but for a suffix of this naming, of whatever scale.
    ``disk``: where the files lie.
    ``UsageError`` where not all could be written: an input that is not there, an output that exists, is an
    input, or is the output of two; a format that cannot be written.
    """
    if naming.output == PIPE or (PIPE in inputs and naming.output is None):
        return Plan([_to_stdout(inputs, goals, naming, stdin, kind)], [])
    if sep := next((sep for sep in _SEPARATORS if sep in (naming.suffix or "")), None):
        raise UsageError(f"suffix={naming.suffix!r} has a {sep!r} in it; -o names the folder")
    sources = list(_sources(inputs, naming.output, recursive, stdin, kind, disk))
    several = len(sources) * len(goals) > 1 or any(source.found for source in sources)
    folder, file = _output(naming.output, several, kind, disk)
    if file is None and PIPE in inputs:
        raise UsageError(f"{PIPE} has no name that its output could have in a folder (see -o)")
    jobs = [
        Job(
            source.path,
            {goal: file or _name(source, goal, naming, folder, kind) for goal in goals},
            source.file,
        )
        for source in sources
    ]
    outputs = _outputs_of_others(sources, jobs, naming, disk)
    left_out = set(outputs)
    jobs = _checked([job for job in jobs if job.source not in left_out], naming, kind, disk)
    for path in [path for job in jobs for path in job.outputs.values()]:
        if folder is None and not path.parent.is_dir():
            raise UsageError(f"{path}: the folder {path.parent} does not exist")
    return Plan(jobs, outputs)


def make_folders(plan: Plan, disk: Disk = DISK) -> None:
    """Make the folders that the outputs of a plan lie in; ``UsageError`` where that fails."""
    for folder in dict.fromkeys(path.parent for job in plan.jobs for path in job.outputs.values()):
        try:
            disk.make_folder(folder)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made: {one_line(error)}") from error


def _to_stdout(
    inputs: Sequence[str], goals: Sequence[Goal], naming: Naming, stdin: Path | None, kind: Kind
) -> Job:
    """Plan the one input whose result goes to stdout."""
    path = Path(inputs[0])
    if len(inputs) * len(goals) > 1 or path.is_dir() or (not path.exists() and _is_pattern(inputs[0])):
        raise UsageError(f"{PIPE}: is no folder, and several outputs need one")
    as_it_came = inputs[0] == PIPE and not naming.extension
    name = kind.piped(_extension(path, naming, kind), stdin if as_it_came else None)
    return Job(path, {goals[0]: Path(PIPE)}, stdin, name)


def _outputs_of_others(
    sources: Sequence[_Source], jobs: Sequence[Job], naming: Naming, disk: Disk
) -> list[Path]:
    """Find the sources that were found, not named, and are or are called as outputs of others."""
    owners = {disk.identity(path): job for job in jobs for path in job.outputs.values()}
    names = {(source.path.parent, source.path.stem) for source in sources}
    pattern = naming.of_output()
    outputs = []
    for source, job in zip(sources, jobs, strict=True):
        match = pattern.fullmatch(source.path.stem)
        named_so = match is not None and (source.path.parent, match[1]) in names
        if source.found and (named_so or owners.get(disk.identity(source.path), job) is not job):
            outputs.append(source.path)
    return outputs


def _sources(
    inputs: Sequence[str],
    output: str | None,
    recursive: bool,
    stdin: Path | None,
    kind: Kind,
    disk: Disk,
) -> Iterator[_Source]:
    """Files that the inputs stand for."""
    for name in inputs:
        path = Path(name)
        if name == PIPE:
            yield _Source(path, path, False, stdin)
        elif disk.is_folder(path):
            found = disk.files(path, output, recursive=recursive)
            files = [file for file in found if kind.is_found(file.name)]
            if not files:
                hint = "" if recursive else " (-r looks into the folders in it)"
                raise UsageError(f"{path}: has no {kind.name}s in it{hint}")
            yield from (_Source(file, file.relative_to(path), True) for file in files)
        elif not disk.exists(path) and _is_pattern(name):
            matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
            files = [match for match in matches if match.is_file() and kind.is_found(match.name)]
            if not files:
                raise UsageError(f"{name}: no {kind.name} matches it")
            parts = path.parts
            base = Path(*parts[: next(i for i, part in enumerate(parts) if _is_pattern(part))])
            yield from (_Source(file, file.relative_to(base), True) for file in files)
        else:
            yield _Source(path, Path(path.name), False)


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[")


def _output(output: str | None, several: bool, kind: Kind, disk: Disk) -> tuple[Path | None, Path | None]:
    """Return folder and file that outputs go to; neither where they go beside their inputs."""
    if output is None:
        return None, None
    path = Path(output)
    if not several and not disk.is_folder(path) and not output.endswith(_SEPARATORS):
        return None, path
    if disk.exists(path) and not disk.is_folder(path):
        raise UsageError(f"{path}: is a file, and several outputs need a folder")
    if not disk.exists(path) and not output.endswith(_SEPARATORS) and kind.is_found(path.name):
        raise UsageError(
            f"{path}: is the name of a {kind.name}, and several outputs need a folder ({path}{os.sep} is one)"
        )
    return path, None


def _extension(path: Path, naming: Naming, kind: Kind) -> str:
    return f".{naming.extension.lstrip('.')}" if naming.extension else kind.extension(path)


def _name(source: _Source, goal: Goal, naming: Naming, folder: Path | None, kind: Kind) -> Path:
    name = source.path.stem + naming.behind(goal) + _extension(source.path, naming, kind)
    return (source.path.parent if folder is None else folder / source.place.parent) / name


def _writable_format(path: Path, *, asked: bool) -> str | None:
    """Pillow's name for the format that a suffix stands for; ``UsageError`` where it cannot be written.

    None where the package for it is not installed and the format was not ``asked`` for, but is the input's.
    """
    try:
        name = format_of(path)
    except ModuleNotFoundError as error:
        if asked:
            raise UsageError(f"{path}: {error}") from error
        return None
    if not is_writable(name):
        raise UsageError(f"{path}: {path.suffix or 'no suffix'!r} is not an image format that can be written")
    return name


def _checked(jobs: Sequence[Job], naming: Naming, kind: Kind, disk: Disk) -> list[Job]:
    """Refuse what cannot all be written; outputs that exist and are to be kept are left out."""
    checked = []
    taken: dict[str, Path] = {}  # output -> input it is of
    inputs = {disk.identity(job.source) for job in jobs}
    for job in jobs:
        wanted: dict[Goal, Path] = {}
        for goal, path in job.outputs.items():
            kind.check_output(path, asked=path.suffix != job.source.suffix)
            key = disk.identity(path)
            if taken.get(key) is job.source:
                raise UsageError(f"{path}: is the output of two scales (put {_SCALE} into --suffix)")
            if key in taken:
                raise UsageError(f"{path}: is the output of both {taken[key]} and {job.source}")
            if key in inputs:
                raise UsageError(f"{path}: is an input, and would be overwritten")
            taken[key] = job.source
            exists = disk.is_there(path)
            if exists and naming.existing == "refuse":
                raise UsageError(f"{path}: exists already (see --overwrite and --skip-existing)")
            if naming.existing == "overwrite" or not exists:
                wanted[goal] = path
        checked.append(Job(job.source, wanted, job.file))
    return checked
