"""The command ``fsrcnn-rt``: pictures in, larger pictures beside them.

Exit codes: 0 all done; 1 some input failed, the others are done; 2 the command was wrong and nothing was done
(also where an output exists already or two inputs would share one); 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fsrcnn_rt.arguments import ArgumentParser, is_video

if TYPE_CHECKING:
    from PIL.Image import Image

    from fsrcnn_rt.api import Upscaler

_SUBCOMMANDS = {
    "bench": "fsrcnn_rt.bench",
    "info": "fsrcnn_rt.cli",
    "eval": "fsrcnn_rt.evaluate",
    "train": "fsrcnn_rt.training",
    "convert": "fsrcnn_rt.convert",
    "export": "fsrcnn_rt.export",
    "video": "fsrcnn_rt.video_command",
}
_FUTURE_SUBCOMMANDS = ("compare",)

# Quality that an upscaled picture deserves, where Pillow's own default is lower.
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}

# At twice this many pixels Pillow takes a picture for an attack; cameras exceed its own limit.
_MAX_PIXELS = 2**29


class _Job(NamedTuple):
    """One input and its output per scale."""

    source: Path
    outputs: dict[int, Path]


class _UsageError(Exception):
    """The command cannot be carried out as it was given."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fsrcnn-rt`` with ``argv`` (default: the command line) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in _SUBCOMMANDS:
            return _subcommand(arguments[0], arguments[1:])
        if arguments and arguments[0] in _FUTURE_SUBCOMMANDS:
            raise _UsageError(
                f"{arguments[0]} is not available yet (a file of that name is ./{arguments[0]})"
            )
        known, _ = _parser().parse_known_intermixed_args(arguments)  # video has options of its own
        if any(map(is_video, [*known.inputs, *known.more_inputs])):
            return _subcommand("video", arguments)
        return _upscale_files(_parser().parse_intermixed_args(arguments))
    except SystemExit as exit_:  # argparse: 0 after --help, 2 after an error that it has printed
        return exit_.code if isinstance(exit_.code, int) else 2
    except _UsageError as error:
        _complain(error)
        return 2
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130


class _Refuse(argparse.Action):
    """An option of the ncnn tools that has no meaning here; its help text is the reason."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.error(f"{self.option_strings[0]} is not supported: {self.const}")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import fsrcnn_rt

        print(f"fsrcnn-rt {fsrcnn_rt.__version__}")
        parser.exit()


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="fsrcnn-rt",
        usage=f"fsrcnn-rt [options] INPUT...   or   fsrcnn-rt {{{','.join(_SUBCOMMANDS)}}} --help",
        description="Upscale pictures with FSRCNN on the CPU: photo.jpg becomes photo_x3.jpg beside it.",
        epilog="Exit codes: 0 done, 1 some input failed, 2 wrong usage and nothing done, 130 interrupted.",
    )
    add = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="picture to upscale")
    add("-i", dest="more_inputs", action="append", default=[], metavar="INPUT", help="the same, as an option")
    add("-o", "--output", metavar="PATH", help="file to write, or folder where there are several outputs")
    add("-s", "--scale", default="3", metavar="N[,N]", help="scale, or several at once: 2,3,4 (default: 3)")
    add("-m", "-n", "--model", default="fsrcnn", metavar="MODEL", help="fsrcnn (default), fsrcnn-s or a file")
    add("-f", "--format", metavar="EXT", help="output as png, jpg, webp, ... (default: as the input)")
    add(
        "-j", "--threads", type=_threads, metavar="N", help="threads, or load:proc:save, of which proc counts"
    )
    add("--isa", metavar="NAME", help="kernel set, one that fsrcnn-rt info lists (default: the fastest)")
    add("--overwrite", action="store_true", help="replace outputs that exist")
    add("-v", "--verbose", action="store_true", help="tell each output and its time")
    add("-q", "--quiet", action="store_true", help="no progress bar")
    add("--version", action=_Version, nargs=0, help="print the version")
    for option, nargs, reason in (
        ("-t", "?", "there are no tiles to size, memory stays small without them"),
        ("-g", "?", "this runs on the CPU, there is no GPU to choose"),
        ("-x", 0, "there is no test-time augmentation"),
    ):
        add(option, action=_Refuse, nargs=nargs, const=reason, help=argparse.SUPPRESS)
    return parser


def _threads(text: str) -> int:
    parts = text.split(":")
    try:
        return int(parts[1] if len(parts) == 3 else text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None


def _subcommand(name: str, arguments: list[str]) -> int:
    from importlib import import_module

    if name == "info":
        return _info(arguments)
    try:
        module = import_module(_SUBCOMMANDS[name])
    except ModuleNotFoundError as error:
        raise _UsageError(
            f"{name}: needs the Python package {error.name!r}, which is not installed"
        ) from error
    try:
        code: int = module.main(arguments)
    except (OSError, ValueError, TypeError, MemoryError) as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        raise _UsageError(f"{name}: {where}{_one_line(error)}") from error
    return code


def _info(arguments: list[str]) -> int:
    description = "Print what is installed and what this machine offers."
    ArgumentParser(prog="fsrcnn-rt info", description=description).parse_args(arguments)
    import fsrcnn_rt
    from fsrcnn_rt.model import SHIPPED
    from fsrcnn_rt.runtime import resolve_isa, resolve_threads

    try:
        isa, threads = resolve_isa(None), resolve_threads(None)
    except ValueError as error:
        raise _UsageError(f"info: {error}") from error
    print(f"fsrcnn-rt {fsrcnn_rt.__version__}")
    print(f"isa       {isa} (available: {', '.join(fsrcnn_rt.available_isas())})")
    print(f"threads   {threads}")
    for name in SHIPPED:
        try:
            model = fsrcnn_rt.load(name)
            scales = ", ".join(f"x{scale}" for scale in model.scales)
            print(f"model     {name}: FSRCNN({model.d}, {model.s}, {model.m}), {scales}")
        except fsrcnn_rt.ModelError as error:
            print(f"model     {name}: {error}")
    return 0


def _upscale_files(options: argparse.Namespace) -> int:
    inputs = [*options.inputs, *options.more_inputs]
    if not inputs:
        raise _UsageError("no input (see fsrcnn-rt --help)")
    for name in inputs:
        if name in _SUBCOMMANDS or name in _FUTURE_SUBCOMMANDS:
            raise _UsageError(f"{name} is a subcommand, which comes first (a file of that name is ./{name})")

    from time import perf_counter

    from tqdm import tqdm  # type: ignore[import-untyped]

    from fsrcnn_rt.api import Upscaler

    try:
        upscaler = Upscaler(options.model, threads=options.threads, isa=options.isa)
        jobs = _plan(inputs, options, _scales(options.scale, upscaler.scales))
    except OSError as error:
        raise _UsageError(f"{error.filename}: {_one_line(error)}") from error
    except ValueError as error:
        raise _UsageError(_one_line(error)) from error

    failed = False
    silent = options.quiet or not sys.stderr.isatty()
    with tqdm(jobs, unit="image", disable=silent) as progress:
        for job in progress:
            start = perf_counter()
            try:
                _upscale_file(job, upscaler)
            except (OSError, ValueError, TypeError, MemoryError) as error:
                failed = True
                with progress.external_write_mode(sys.stderr):
                    _complain(f"{job.source}: {_one_line(error)}")
            else:
                if options.verbose and not options.quiet:
                    names = ", ".join(map(str, job.outputs.values()))
                    with progress.external_write_mode(sys.stderr):
                        print(f"{job.source} -> {names} ({perf_counter() - start:.2f} s)", file=sys.stderr)
    return 1 if failed else 0


def _scales(text: str, offered: tuple[int, ...]) -> list[int]:
    try:
        scales = [int(part) for part in text.split(",")]
    except ValueError:
        raise _UsageError(f"scale={text!r} is not a number, nor several with commas between") from None
    for scale in scales:
        if scale not in offered:
            raise _UsageError(
                f"scale={scale} is not offered by the model, only {', '.join(map(str, offered))}"
            )
    if len(set(scales)) < len(scales):
        raise _UsageError(f"scale={text!r} names a scale twice")
    return scales


def _plan(inputs: list[str], options: argparse.Namespace, scales: list[int]) -> list[_Job]:
    """Every output of every input; raises :class:`_UsageError` where they could not all be written."""
    from PIL import Image

    folder, file = None, None
    if options.output is not None:
        output = Path(options.output)
        if len(inputs) * len(scales) > 1 or output.is_dir() or options.output.endswith(os.sep):
            folder = output
            if folder.exists() and not folder.is_dir():
                raise _UsageError(f"{folder}: is a file, and several outputs need a folder")
        else:
            file = output

    jobs = []
    taken: dict[str, Path] = {}  # output -> input it is of
    sources = {os.path.realpath(name) for name in inputs}
    Image.init()
    for source in map(Path, inputs):
        if source.is_dir():
            raise _UsageError(f"{source}: is a folder, name the pictures in it")
        suffix = f".{options.format.lstrip('.')}" if options.format else source.suffix
        outputs = {}
        for scale in scales:
            path = file or (folder or source.parent) / f"{source.stem}_x{scale}{suffix}"
            if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
                raise _UsageError(
                    f"{path}: {path.suffix or 'no suffix'!r} is not an image format that can be written"
                )
            key = os.path.realpath(path)
            if key in taken:
                raise _UsageError(f"{path}: is the output of both {taken[key]} and {source}")
            if key in sources:
                raise _UsageError(f"{path}: is an input, and would be overwritten")
            if path.is_dir() or (path.exists() and not options.overwrite):
                raise _UsageError(f"{path}: exists already" + ("" if path.is_dir() else " (see --overwrite)"))
            if folder is None and not path.parent.is_dir():
                raise _UsageError(f"{path}: the folder {path.parent} does not exist")
            taken[key] = source
            outputs[scale] = path
        jobs.append(_Job(source, outputs))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return jobs


def _upscale_file(job: _Job, upscaler: "Upscaler") -> None:
    results = upscaler.upscale(_read(job.source), list(job.outputs))
    for scale, path in job.outputs.items():
        try:
            _write(results[scale], path)
        except Exception as error:  # encoders are as inventive as decoders
            raise OSError(f"{path} cannot be written: {_one_line(error)}") from error


def _read(path: Path) -> "Image":
    """Read the picture in a file, upright; ``OSError`` if there is none."""
    import warnings

    from PIL import Image, ImageOps, UnidentifiedImageError

    limit = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = _MAX_PIXELS
        # Pillow warns of large pictures and of sloppy metadata, and neither is news to who took the picture.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path)
            with image:
                _refuse_loss(image)
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
            return image
    except UnidentifiedImageError as error:
        raise OSError("is not a picture in a format that Pillow reads") from error
    except Exception as error:  # what a decoder raises on damaged data is anybody's guess
        raise OSError(f"cannot be read: {_one_line(error)}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _refuse_loss(image: "Image") -> None:
    """Refuse files of which Pillow reads only a part."""
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a phone's JPEG with a preview in it
        raise ValueError("it has several frames, and only still pictures can be upscaled")
    if image.mode in ("L", "LA", "RGB", "RGBA") and ";16" in str(getattr(image, "tile", "")):
        raise ValueError(
            "it has 16 bits per channel, which Pillow cuts to 8; fsrcnn_rt.upscale takes it as a uint16 array"
        )


def _write(image: "Image", path: Path) -> None:
    from PIL import Image

    from fsrcnn_rt.files import atomic_write

    name = Image.registered_extensions()[path.suffix.lower()]
    kept = {key: image.info[key] for key in ("icc_profile", "exif") if key in image.info}
    with atomic_write(path) as file:
        image.save(file, name, **_SAVE_OPTIONS.get(name, {}), **kept)


def _one_line(error: BaseException) -> str:
    """Say what went wrong; of an ``OSError`` without the number and the path, which the callers name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _complain(message: object) -> None:
    print(f"fsrcnn-rt: {message}", file=sys.stderr)
