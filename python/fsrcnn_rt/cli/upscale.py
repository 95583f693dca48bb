"""``fsrcnn-rt`` for pictures: the command without a subcommand."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fsrcnn_rt.cli.arguments import (
    ArgumentParser,
    add_engine_options,
    add_goal_options,
    add_input_options,
    add_naming_options,
    engine_of,
    goals_asked,
    inputs_asked,
    naming_asked,
)
from fsrcnn_rt.cli.commands import COMMANDS
from fsrcnn_rt.cli.process import last_words
from fsrcnn_rt.errors import UsageError, one_line
from fsrcnn_rt.files import PIPE, copied

if TYPE_CHECKING:
    from fsrcnn_rt.pictures.encoding import WriteOptions

# Options of the same names as the fields of ``WriteOptions``.
_WRITE_OPTIONS = (
    *("quality", "effort", "compression", "depth", "background", "dpi", "strip_metadata", "first_frame"),
    "larger",
)


def inputs_of(argv: Sequence[str]) -> list[str]:
    """List the inputs, among whatever other arguments."""
    known, _ = parser().parse_known_intermixed_args(list(argv))  # video has options of its own
    return [*known.inputs, *known.more_inputs]


def main(argv: Sequence[str]) -> int:
    """Upscale pictures; returns 0, or 1 where some failed. Raises ``UsageError`` before any work."""
    options = parser().parse_intermixed_args(list(argv))
    inputs = inputs_asked(options)
    to_stdout = options.output == PIPE or (options.output is None and PIPE in inputs)
    if to_stdout and options.json:
        raise UsageError("--json prints on stdout, which carries the picture (see -o)")
    if to_stdout and sys.stdout.isatty():
        raise UsageError("stdout is a terminal, which takes no picture (see -o)")

    from fsrcnn_rt import pictures, plan
    from fsrcnn_rt.cli.report import Report
    from fsrcnn_rt.pictures import batch

    load, proc, save = options.threads
    naming = naming_asked(options)
    write_options = write_options_asked(options)
    with _stdin(inputs) as stdin:
        try:
            upscaler = engine_of(options, threads=proc)
            planned = plan.make_plan(
                inputs, goals_asked(options, 3), naming, recursive=options.recursive, stdin=stdin
            )
        except OSError as error:
            raise UsageError(f"{error.filename}: {one_line(error)}") from error
        except ValueError as error:
            raise UsageError(one_line(error)) from error
        plan.make_folders(planned)
        threads = upscaler.threads
        workers = batch.Workers(load or -(-threads // 4), threads, save or threads)
        report = Report(
            planned,
            quiet=options.quiet,
            verbose=options.verbose,
            json_lines=options.json,
            summary=[str(job.source) for job in planned.jobs] != [str(Path(name)) for name in inputs],
        )
        to_do = [job for job in planned.jobs if job.outputs]
        with last_words(), pictures.large_pictures_allowed(options.max_pixels), report:
            outcomes = batch.run(
                to_do,
                upscaler,
                workers,
                write_options,
                max_pixels=options.max_pixels,
                progress=report.progress,
            )
            with closing(outcomes):
                for outcome in outcomes:
                    report.add(outcome)
    return 1 if report.failed else 0


@contextmanager
def _stdin(inputs: Sequence[str]) -> Iterator[Path | None]:
    """Have what comes from stdin, where it is an input, in a file, as pictures are not read as they come."""
    if PIPE not in inputs:
        yield None
        return
    if inputs.count(PIPE) > 1:
        raise UsageError(f"{PIPE}: is there twice, and stdin is read once")
    with copied(sys.stdin.buffer) as path:
        yield path


class _Refuse(argparse.Action):
    """An option of the ncnn tools that has no meaning here; its help text is the reason."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.error(f"{self.option_strings[0]} is not supported: {self.const}")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import fsrcnn_rt

        print(f"fsrcnn-rt {fsrcnn_rt.__version__}")
        parser.exit()


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt`` without a subcommand."""
    commands = "\n".join(f"  {name:<12} {command.help}" for name, command in COMMANDS.items())
    parser = ArgumentParser(
        prog="fsrcnn-rt",
        usage="fsrcnn-rt [options] INPUT...\n       fsrcnn-rt COMMAND --help",
        description="Upscale pictures with FSRCNN on the CPU: photo.jpg becomes photo_x3.jpg beside it.",
        epilog=f"commands:\n{commands}\n\n"
        "Exit codes: 0 done, 1 some input failed, 2 wrong usage and nothing done, 130 interrupted.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    add = parser.add_argument_group("input").add_argument
    add_input_options(add, "INPUT", "picture, folder of pictures, pattern such as '*.png', or - for stdin")
    add_reading_options(add)

    add = parser.add_argument_group("output").add_argument
    add_naming_options(add, ("png", "jpg", "webp", "avif", "bmp", "gif", "tiff"))
    add_writing_options(add)

    add = parser.add_argument_group("size, model and speed").add_argument
    add_goal_options(add, 3, several=True)
    add_engine_options(add, but=["threads"])
    add(
        *("-j", "--threads"),
        type=_threads,
        default=(None, None, None),
        metavar="N",
        help="threads, or load:proc:save, so many pictures read, upscaled and written at a time",
    )

    add = parser.add_argument_group("messages").add_argument
    add_report_options(add)
    add("--version", action=_Version, nargs=0, help="print the version")
    add("-h", "--help", action="help", help="print this")
    for option, nargs, reason in (
        ("-t", "?", "there are no tiles to size, memory stays small without them"),
        ("-g", "?", "this runs on the CPU, there is no GPU to choose"),
        ("-x", 0, "there is no test-time augmentation"),
    ):
        parser.add_argument(option, action=_Refuse, nargs=nargs, const=reason, help=argparse.SUPPRESS)
    return parser


def add_reading_options(add: Callable[..., object]) -> None:
    """Add the options that say what is read of a picture."""
    add("--first-frame", action="store_true", help="of an animation or several pages only the first")
    add(
        "--max-pixels",
        type=_pixels,
        default=1 << 30,
        metavar="N",
        help="refuse what has more, of animations in all frames (default: 2^30)",
    )


def add_writing_options(add: Callable[..., object]) -> None:
    """Add the options that :func:`write_options_asked` reads."""
    add("--quality", type=_quality, metavar="N", help="1 to 100, of JPEG, WebP, AVIF, ... (default: 95)")
    add(
        "--effort", type=_effort, metavar="N", help="of the encoder, 0 fast to 10 small (default: by content)"
    )
    add("--compression", choices=("none", "lzw", "deflate"), help="of TIFF")
    add("--depth", type=int, choices=(8,), help="round 16 bits per channel to 8")
    add("--background", type=_colour, metavar="COLOUR", help="lay what is transparent on it: white, #1e90ff")
    add("--dpi", type=_dpi, metavar="N", help="resolution to write, dots per inch")
    add("--strip-metadata", action="store_true", help="leave out EXIF, XMP and resolution")
    add(
        "--larger",
        choices=("refuse", "keep", "shrink"),
        default="refuse",
        help="what becomes of pictures beyond the size asked for: error (default), as they are, made smaller",
    )


def add_report_options(add: Callable[..., object]) -> None:
    """Add the options that say what is told while it runs."""
    add("-v", "--verbose", action="store_true", help="each output, its time, and the weights chosen for it")
    add("-q", "--quiet", action="store_true", help="nothing but errors")
    add("--json", action="store_true", help="a line of JSON on stdout for each input, and one for all")


def write_options_asked(options: argparse.Namespace) -> "WriteOptions":
    """Read these options."""
    from fsrcnn_rt.pictures.encoding import WriteOptions

    return WriteOptions(**{name: getattr(options, name) for name in _WRITE_OPTIONS})


def _threads(text: str) -> tuple[int | None, int | None, int | None]:
    """Read load, proc and save; of a single number only proc, which the others follow."""
    parts = text.split(":")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None
    if len(numbers) == 1:
        return None, numbers[0], None
    if len(numbers) != 3 or numbers[0] < 1 or numbers[2] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not load:proc:save, of 1 or more each")
    return numbers[0], numbers[1], numbers[2]


def _quality(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to 100")
    return int(text)


def _effort(text: str) -> int:
    if not text.isdecimal() or int(text) > 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 to 10")
    return int(text)


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels")
    return int(text)


def _dpi(text: str) -> float:
    try:
        dpi = float(text)
    except ValueError:
        dpi = 0.0
    if not 1 <= dpi <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to 65535")
    return dpi


def _colour(text: str) -> tuple[int, int, int]:
    from PIL import ImageColor

    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no colour, such as white or #1e90ff") from None
    return red, green, blue
