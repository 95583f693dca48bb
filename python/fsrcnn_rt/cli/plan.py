"""What a command line asks for: which files are read and what each becomes; all of it, or it is refused."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from fsrcnn_rt.cli.arguments import PIPE, default_suffix
from fsrcnn_rt.engine.sizes import Goal
from fsrcnn_rt.errors import UsageError
from fsrcnn_rt.pictures import plugins
from fsrcnn_rt.pictures.batch import Job
from fsrcnn_rt.pictures.files import content_format
from fsrcnn_rt.pictures.formats import format_of, is_writable

# Of what is found in folders, these are pictures; anything that Pillow reads can be named.
_FORMATS = {"AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA"}
_FORMATS |= {"TIFF", "WEBP"}

_SCALE, _MODEL = "{scale}", "{model}"

# What stands for {scale}, and what is put behind a name where no suffix is given.
_ANY_SCALE = r"(?:[0-9]+(?:\.[0-9]+)?|[0-9]+x[0-9]+|[0-9]+[wh])"
_ANY_DEFAULT = r"_(?:x[0-9]+(?:\.[0-9]+)?|[0-9]+x[0-9]+|[0-9]+[wh])"

# Of camera raw, which nothing writes: it holds 16 bits, and is what editors of photographs take.
_RAW_RESULT = ".tiff"


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
        """Give what is put behind the name of an input."""
        if self.suffix is None:
            return default_suffix(goal)
        return self.suffix.replace(_SCALE, str(goal)).replace(_MODEL, self.model)

    def of_output(self) -> re.Pattern[str]:
        """Match the stem of an output of any scale or size; the group is that of its input."""
        if self.suffix is None:
            return re.compile(f"(.+){_ANY_DEFAULT}")
        # Without a suffix an output is called as its input is, and so is the other file of a pair.
        suffix = re.escape(self.suffix.replace(_MODEL, self.model)).replace(re.escape(_SCALE), _ANY_SCALE)
        return re.compile(f"(.+){suffix or '$.'}")


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
) -> Plan:
    """Every output of every input, and the folders for them made; nothing else is written.

    ``inputs``: files, folders (pictures in them, with ``recursive`` in all folders below), patterns with
    ``*``, ``?``, ``[]`` and ``**``, and - for ``stdin``, a file that holds what has come from there. A file
    that is found so and not named is an output, and nothing is to be done with it, where another input has
    the same name but for a suffix of this naming, of whatever scale.
    ``UsageError`` where not all could be written: an input that is not there, an output that exists, is an
    input, or is the output of two; a format that cannot be written.
    """
    if naming.output == PIPE or (PIPE in inputs and naming.output is None):
        return Plan([_to_stdout(inputs, goals, naming, stdin)], [])
    if os.sep in (naming.suffix or ""):
        raise UsageError(f"suffix={naming.suffix!r} has a {os.sep!r} in it; -o names the folder")
    sources = list(_sources(inputs, naming.output, recursive, stdin))
    several = len(sources) * len(goals) > 1 or any(source.found for source in sources)
    folder, file = _output(naming.output, several)
    if file is None and stdin:
        raise UsageError(f"{PIPE} has no name that its output could have in a folder (see -o)")
    jobs = [
        Job(source.path, {goal: file or _name(source, goal, naming, folder) for goal in goals}, source.file)
        for source in sources
    ]
    made = _made_of_others(sources, jobs, naming)
    jobs = _checked([job for job in jobs if job.source not in made], naming)
    for job in jobs:
        for path in job.outputs.values():
            if folder is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not path.parent.is_dir():
                raise UsageError(f"{path}: the folder {path.parent} does not exist")
    return Plan(jobs, made)


def _to_stdout(inputs: Sequence[str], goals: Sequence[Goal], naming: Naming, stdin: Path | None) -> Job:
    """Plan the one picture whose result goes to stdout."""
    path = Path(inputs[0])
    if len(inputs) * len(goals) > 1 or path.is_dir() or (not path.exists() and _is_pattern(inputs[0])):
        raise UsageError(f"{PIPE}: is no folder, and several outputs need one")
    extension = _extension(path, naming)
    if inputs[0] != PIPE or naming.extension:
        name = _writable_format(Path(PIPE + extension), asked=True)
    else:  # as it came
        name = content_format(stdin) if stdin else None
        if name and not is_writable(name):
            raise UsageError(f"{PIPE}: is {name}, which cannot be written (-f names another format)")
    return Job(path, {goals[0]: Path(PIPE)}, stdin, name or "")


def _made_of_others(sources: Sequence[_Source], jobs: Sequence[Job], naming: Naming) -> list[Path]:
    """Find the sources that were found, not named, and are or are called as outputs of others."""
    owners = {os.path.realpath(path): job for job in jobs for path in job.outputs.values()}
    names = {(source.path.parent, source.path.stem) for source in sources}
    pattern = naming.of_output()
    made = []
    for source, job in zip(sources, jobs, strict=True):
        match = pattern.fullmatch(source.path.stem)
        named_so = match is not None and (source.path.parent, match[1]) in names
        if source.found and (named_so or owners.get(os.path.realpath(source.path), job) is not job):
            made.append(source.path)
    return made


def _sources(
    inputs: Sequence[str], output: str | None, recursive: bool, stdin: Path | None
) -> Iterator[_Source]:
    """Files that the inputs stand for."""
    for name in inputs:
        path = Path(name)
        if name == PIPE:
            yield _Source(path, path, False, stdin)
        elif path.is_dir():
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
    path = Path(name)
    return not name.startswith(".") and (plugins.is_optional(path) or format_of(path) in _FORMATS)


def _output(output: str | None, several: bool) -> tuple[Path | None, Path | None]:
    """Tell folder and file that outputs go to; neither where they go beside their inputs."""
    if output is None:
        return None, None
    path = Path(output)
    if not several and not path.is_dir() and not output.endswith(os.sep):
        return None, path
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file, and several outputs need a folder")
    if not path.exists() and not output.endswith(os.sep) and _is_picture(path.name):
        raise UsageError(
            f"{path}: is the name of a picture, and several outputs need a folder ({path}{os.sep} is one)"
        )
    return path, None


def _extension(path: Path, naming: Naming) -> str:
    if naming.extension:
        return f".{naming.extension.lstrip('.')}"
    return _RAW_RESULT if plugins.is_raw(path) else path.suffix


def _name(source: _Source, goal: Goal, naming: Naming, folder: Path | None) -> Path:
    name = source.path.stem + naming.behind(goal) + _extension(source.path, naming)
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


def _checked(jobs: Sequence[Job], naming: Naming) -> list[Job]:
    """Refuse what cannot all be written; outputs that exist and are to be kept are left out."""
    checked = []
    taken: dict[str, Path] = {}  # output -> input it is of
    inputs = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        wanted: dict[Goal, Path] = {}
        for goal, path in job.outputs.items():
            _writable_format(path, asked=path.suffix != job.source.suffix)
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
        checked.append(Job(job.source, wanted, job.file))
    return checked
