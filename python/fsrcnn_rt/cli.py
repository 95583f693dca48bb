"""The command ``fsrcnn-rt``: pictures in, larger pictures beside them.

Exit codes: 0 all done; 1 some input failed, the others are done; 2 the command was wrong and nothing was done
(also where an output exists already or two inputs would share one); 130 interrupted; 141 nobody reads what is
printed any more, and what was begun is finished.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

from fsrcnn_rt.arguments import (
    PIPE,
    ArgumentParser,
    UsageError,
    add_goal_options,
    add_model_options,
    complain,
    goals_asked,
    is_video,
    one_line,
)
from fsrcnn_rt.files import discard_temporaries

_INTERRUPTED = 130

_SUBCOMMANDS = {
    "bench": "fsrcnn_rt.bench",
    "compare": "fsrcnn_rt.compare",
    "completion": "fsrcnn_rt.cli",
    "info": "fsrcnn_rt.cli",
    "eval": "fsrcnn_rt.evaluate_command",
    "train": "fsrcnn_rt.training",
    "convert": "fsrcnn_rt.convert",
    "export": "fsrcnn_rt.export",
    "video": "fsrcnn_rt.video_command",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fsrcnn-rt`` with ``argv`` (default: the command line) and return its exit code."""
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:  # it is where the caller has closed it
            sys.stdout.flush()  # here and not at the exit of the interpreter, which would print a traceback
        return code
    except BrokenPipeError:  # as by ``| head``
        _print_no_more()
        return 141  # what a shell tells of programs that the signal SIGPIPE ends
    except OSError as error:  # of stdout: a full disk; those of files have been told by now
        _print_no_more()
        complain(f"cannot print: {one_line(error)}")
        return 1


def _main(arguments: list[str]) -> int:
    try:
        if arguments and arguments[0] in _SUBCOMMANDS:
            return _subcommand(arguments[0], arguments[1:])
        parser = _parser()
        known, _ = parser.parse_known_intermixed_args(arguments)  # video has options of its own
        if any(_is_video(name) for name in [*known.inputs, *known.more_inputs]):
            return _subcommand("video", arguments)
        return _upscale_files(parser.parse_intermixed_args(arguments))
    except SystemExit as exit_:  # argparse: 0 after --help, 2 after an error that it has printed
        return exit_.code if isinstance(exit_.code, int) else 2
    except UsageError as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return _INTERRUPTED


def command() -> NoReturn:
    """Run ``fsrcnn-rt`` as a process of its own, which the first Ctrl-C ends at once.

    An encoder may be busy for minutes, and nothing in Python stops it: threads are not waited for then.
    """
    code = main()
    if code == _INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        discard_temporaries()
        _print_no_more()
        os._exit(code)
    sys.exit(code)


def _is_video(name: str) -> bool:
    """Whether an input is video: of stdin, what begins as Y4M does."""
    if name != PIPE:
        return is_video(name)
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"{PIPE}: stdin is {'closed' if sys.stdin is None else 'a terminal'}")
    from fsrcnn_rt.y4m import MAGIC

    stdin: Any = sys.stdin.buffer  # what is peeked at stays in its buffer, for whoever reads it then
    head = stdin.peek(len(MAGIC))[: len(MAGIC)]
    if not head:
        raise UsageError(f"{PIPE}: stdin is empty")
    return MAGIC.startswith(head)


def _print_no_more() -> None:
    """Have stdout, and stderr where it is the same, swallow what is left, as they cannot write it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


# Options of the same names as the fields of ``WriteOptions``.
_WRITE_OPTIONS = (
    *("quality", "effort", "compression", "depth", "background", "dpi", "strip_metadata", "first_frame"),
    "larger",
)


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
        add_help=False,
    )
    add = parser.add_argument_group("input").add_argument
    add(
        *("inputs",),
        nargs="*",
        metavar="INPUT",
        help="picture, folder of pictures, pattern such as '*.png', or - for stdin",
    )
    add("-i", dest="more_inputs", action="append", default=[], metavar="INPUT", help="the same, as an option")
    add("-r", "--recursive", action="store_true", help="the pictures in all folders below, too")
    add("--first-frame", action="store_true", help="of an animation or several pages only the first")

    add = parser.add_argument_group("output").add_argument
    add(
        "-o",
        "--output",
        metavar="PATH",
        help="file, - for stdout; for several, folder that gets a mirrored tree",
    )
    add("--suffix", metavar="TEXT", help="behind each name (default: _x{scale}, of a size _{scale}); {model}")
    add("-f", "--format", metavar="EXT", help="png, jpg, webp, ... (default: as the input)")
    add("--quality", type=_quality, metavar="N", help="1 to 100, of JPEG, WebP, AVIF, ... (default: 95)")
    add(
        "--effort", type=_effort, metavar="N", help="of the encoder, 0 fast to 10 small (default: by content)"
    )
    add("--compression", choices=("none", "lzw", "deflate"), help="of TIFF")
    add("--depth", type=int, choices=(8,), help="round 16 bits per channel to 8")
    add("--background", type=_colour, metavar="COLOUR", help="lay what is transparent on it: white, #1e90ff")
    add("--dpi", type=_dpi, metavar="N", help="resolution to write, dots per inch")
    add("--strip-metadata", action="store_true", help="leave out EXIF, XMP and resolution")
    add("--overwrite", action="store_true", help="replace outputs that exist")
    add("--skip-existing", action="store_true", help="leave outputs that exist, and make the others")

    add = parser.add_argument_group("how").add_argument
    add_goal_options(add, 3, several=True)
    add(
        "--larger",
        choices=("refuse", "keep", "shrink"),
        default="refuse",
        help="what becomes of pictures beyond the size asked for: error (default), as they are, made smaller",
    )
    add_model_options(add)
    add(
        "--colour",
        choices=("guided", "bicubic", "rgb"),
        default="guided",
        help="chroma that follows the sharp luma (default: guided), or is bicubic, or the network on each of "
        "red, green and blue, in three times the time",
    )
    add(
        *("-j", "--threads"),
        type=_threads,
        default=(None, None, None),
        metavar="N",
        help="threads, or load:proc:save, so many pictures read, upscaled and written at a time",
    )
    add("--isa", metavar="NAME", help="kernel set, one that fsrcnn-rt info lists (default: the fastest)")

    add = parser.add_argument_group("what it tells").add_argument
    add("-v", "--verbose", action="store_true", help="each output, its time, and the weights chosen for it")
    add("-q", "--quiet", action="store_true", help="nothing but errors")
    add("--json", action="store_true", help="a line of JSON on stdout for each input, and one for all")
    add("--version", action=_Version, nargs=0, help="print the version")
    add("-h", "--help", action="help", help="print this")
    for option, nargs, reason in (
        ("-t", "?", "there are no tiles to size, memory stays small without them"),
        ("-g", "?", "this runs on the CPU, there is no GPU to choose"),
        ("-x", 0, "there is no test-time augmentation"),
    ):
        parser.add_argument(option, action=_Refuse, nargs=nargs, const=reason, help=argparse.SUPPRESS)
    return parser


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


def _subcommand(name: str, arguments: list[str]) -> int:
    from importlib import import_module

    if name == "info":
        return _info(arguments)
    if name == "completion":
        return _completion(arguments)
    try:
        module = import_module(_SUBCOMMANDS[name])
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name}: needs the Python package {error.name!r}, which is not installed"
        ) from error
    try:
        code: int = module.main(arguments)
    except BrokenPipeError:
        raise
    except (OSError, ValueError, TypeError, MemoryError) as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        raise UsageError(f"{name}: {where}{one_line(error)}") from error
    return code


def _info_parser() -> ArgumentParser:
    description = "Print what is installed and what this machine offers."
    return ArgumentParser(prog="fsrcnn-rt info", description=description)


def _completion_parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="fsrcnn-rt completion",
        description="Print a script by which a shell completes this command.",
        epilog="Write it to ~/.local/share/bash-completion/completions/fsrcnn-rt, as _fsrcnn-rt to a folder "
        "of zsh's $fpath, or to ~/.config/fish/completions/fsrcnn-rt.fish.",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="shell that is to read the script")
    return parser


def _completion(arguments: list[str]) -> int:
    shell = _completion_parser().parse_args(arguments).shell
    from importlib import import_module

    from fsrcnn_rt.completion import script

    own = {"completion": _completion_parser, "info": _info_parser}
    parsers = {
        name: (own.get(name) or import_module(module)._parser)() for name, module in _SUBCOMMANDS.items()
    }
    print(script(shell, _parser(), parsers), end="")
    return 0


def _info(arguments: list[str]) -> int:
    _info_parser().parse_args(arguments)
    import fsrcnn_rt
    from fsrcnn_rt.model import NETWORKS, SHIPPED
    from fsrcnn_rt.runtime import resolve_isa, resolve_threads

    try:
        isa, threads = resolve_isa(None), resolve_threads(None)
    except ValueError as error:
        raise UsageError(f"info: {error}") from error
    print(f"fsrcnn-rt {fsrcnn_rt.__version__}")
    print(f"isa       {isa} (available: {', '.join(fsrcnn_rt.available_isas())})")
    print(f"threads   {threads}")
    for name in SHIPPED:
        try:
            model = fsrcnn_rt.load(name)
            made = model.provenance
            told = [f"trained on {', '.join(made['data'])}, seed {made['seed']}"]
            for what, values in made["figures"].items():
                figures = ", ".join(f"{scale} {value:.2f}" for scale, value in sorted(values.items()))
                told.append(f"{what}: {figures}")
            if name in NETWORKS:
                scales = ", ".join(f"x{scale}" for scale in model.scales)
                print(f"model     {name}: {model.family}, {scales}")
                print(*(f"{'':10}{line}" for line in told), sep="\n")
            else:
                print(f"{'':10}{name}: {'; '.join(told)}")
        except fsrcnn_rt.ModelError as error:
            print(f"model     {name}: {error}")
    return 0


def _upscale_files(options: argparse.Namespace) -> int:
    inputs = [*options.inputs, *options.more_inputs]
    if not inputs:
        raise UsageError("no input (see fsrcnn-rt --help)")
    for name in inputs:
        if name in _SUBCOMMANDS:
            raise UsageError(f"{name} is a subcommand, which comes first (a file of that name is ./{name})")

    if options.overwrite and options.skip_existing:
        raise UsageError("--overwrite and --skip-existing are two answers to one question, choose one")

    to_stdout = options.output == PIPE or (options.output is None and PIPE in inputs)
    if to_stdout and options.json:
        raise UsageError("--json prints on stdout, which carries the picture (see -o)")
    if to_stdout and sys.stdout.isatty():
        raise UsageError("stdout is a terminal, which takes no picture (see -o)")

    from fsrcnn_rt import batch, pictures, plan
    from fsrcnn_rt.api import Upscaler
    from fsrcnn_rt.encoding import WriteOptions
    from fsrcnn_rt.progress import Report

    load, proc, save = options.threads
    existing: Literal["refuse", "skip", "overwrite"] = "overwrite" if options.overwrite else "refuse"
    naming = plan.Naming(
        options.output,
        options.suffix,
        options.format,
        "skip" if options.skip_existing else existing,
        Path(options.model).stem,
    )
    write_options = WriteOptions(**{name: getattr(options, name) for name in _WRITE_OPTIONS})
    with _stdin(inputs) as stdin:
        try:
            upscaler = Upscaler(
                options.model,
                content=options.content,
                denoise=options.denoise,
                strength=options.strength,
                colour=options.colour,
                threads=proc,
                isa=options.isa,
            )
            planned = plan.make_plan(
                inputs, goals_asked(options, 3), naming, recursive=options.recursive, stdin=stdin
            )
        except OSError as error:
            raise UsageError(f"{error.filename}: {one_line(error)}") from error
        except ValueError as error:
            raise UsageError(one_line(error)) from error
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
        with pictures.large_pictures_allowed(), report:
            outcomes = batch.run(to_do, upscaler, workers, write_options, progress=report.progress)
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
    with tempfile.TemporaryFile() as file:  # it has no name, and is gone whatever ends the process
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(f"/dev/fd/{file.fileno()}")
