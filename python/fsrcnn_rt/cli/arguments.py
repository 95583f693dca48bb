"""What the command line and its subcommands share."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TextIO, get_args

from fsrcnn_rt.cli.commands import COMMANDS
from fsrcnn_rt.engine.options import MAX_STRENGTH, Colour, EngineOptions, Precision
from fsrcnn_rt.engine.runtime import available_isas
from fsrcnn_rt.engine.sizes import MAX_SCALE, Box, Goal, goals_of
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.engine.variants import CONTENTS, LEVELS
from fsrcnn_rt.errors import UsageError, printable
from fsrcnn_rt.files import is_there
from fsrcnn_rt.model import SCALES, SHIPPED

if TYPE_CHECKING:
    from fsrcnn_rt.plan import Naming

#: Among the words of a completion, any file.
FILES = "*"
#: What completes the name of a model.
MODEL_WORDS = (*SHIPPED, FILES)

# What of a parser's options is of an upscaler.
ENGINE_OPTIONS = {"model", *EngineOptions.__annotations__}


class Argument(NamedTuple):
    """An argument of a parser, and the words that may stand for it besides its choices, or files."""

    action: argparse.Action
    words: tuple[str, ...] = ()
    files: bool = False
    repeatable: bool = False


class ArgumentParser(argparse.ArgumentParser):
    """An argument parser that raises its errors, and takes no abbreviated options.

    ``arguments`` lists what was added to it and its groups. ``add_argument`` takes ``complete``, the words
    for the shell's completion, :data:`FILES` among them; what is of the type ``Path`` is completed by files.
    """

    def __init__(self, **options: Any) -> None:
        self.arguments: list[Argument] = []
        super().__init__(allow_abbrev=False, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument, as argparse has it."""
        return self._recorded(super().add_argument, names, options)

    def add_argument_group(self, *names: Any, **options: Any) -> Any:
        """Add a group whose arguments are listed, too."""
        return self._recording(super().add_argument_group(*names, **options))

    def add_mutually_exclusive_group(self, **options: Any) -> Any:
        """Add a group whose arguments are listed, too."""
        return self._recording(super().add_mutually_exclusive_group(**options))

    def parse_known_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse options and inputs in any order; what follows ``--`` is input, whatever it looks like.

        argparse itself forgets the ``--`` between its options and its inputs.
        """
        arguments = list(sys.argv[1:] if args is None else args)
        end = arguments.index("--") if "--" in arguments else len(arguments)
        parsed, unknown = super().parse_known_intermixed_args(arguments[:end], namespace)
        for inputs in [each.action.dest for each in self.arguments if not each.action.option_strings]:
            setattr(parsed, inputs, [*getattr(parsed, inputs), *arguments[end + 1 :]])
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError``, which is told as any other."""
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _recording(self, group: Any) -> Any:
        add = group.add_argument
        group.add_argument = lambda *names, **options: self._recorded(add, names, options)
        return group

    def _recorded(self, add: Callable[..., argparse.Action], names: Any, options: Any) -> argparse.Action:
        complete: Sequence[str] = options.pop("complete", ())
        action = add(*names, **options)
        if action.help != argparse.SUPPRESS:
            words = tuple(map(str, action.choices or (word for word in complete if word != FILES)))
            files = FILES in complete or action.type is Path
            repeatable = options.get("action") in ("append", "extend")
            self.arguments.append(Argument(action, words, files, repeatable))
        return action


def add_input_options(add: Callable[..., object], metavar: str, what: str) -> None:
    """Add the inputs, which :func:`inputs_asked` reads, and what is read of folders."""
    common: dict[str, Any] = {"metavar": metavar, "complete": [FILES]}
    add("inputs", nargs="*", help=what, **common)
    add("-i", dest="more_inputs", action="append", default=[], help="the same, as an option", **common)
    add("-r", "--recursive", action="store_true", help="what is in all folders below, too")


def add_naming_options(
    add: Callable[..., object], formats: Sequence[str], *, but: Collection[str] = ()
) -> None:
    """Add what :func:`naming_asked` reads; ``formats``: some that -f takes; ``but``: as of the engine."""
    if "output" not in but:
        output = "file, - for stdout; for several, folder that gets a mirrored tree"
        add("-o", "--output", metavar="PATH", complete=[FILES], help=output)
    add("--suffix", metavar="TEXT", help="behind each name (default: _x{scale}, of a size _{scale}); {model}")
    examples = ", ".join(formats[:3])
    add(
        "-f",
        "--format",
        metavar="EXT",
        complete=formats,
        help=f"{examples}, ... (default: as the input)",
    )
    add("--overwrite", action="store_true", help="replace outputs that exist")
    add("--skip-existing", action="store_true", help="leave outputs that exist, and make the others")


def naming_asked(options: argparse.Namespace) -> "Naming":
    """Read these options; ``UsageError`` where they contradict each other."""
    from fsrcnn_rt.plan import Naming

    if options.overwrite and options.skip_existing:
        raise UsageError("--overwrite and --skip-existing are two answers to one question, choose one")
    existing: Literal["skip", "overwrite", "refuse"] = "skip" if options.skip_existing else "refuse"
    return Naming(
        options.output,
        options.suffix,
        options.format,
        "overwrite" if options.overwrite else existing,
        Path(options.model).stem,
    )


def add_goal_options(add: Callable[..., object], default: int, *, several: bool = False) -> None:
    """Add the options that say how large the result is to be."""
    metavar = "N[,N]" if several else "N"
    add(
        *("-s", "--scale"),
        metavar=metavar,
        complete=SCALES,
        help=f"scale above 1 and up to {MAX_SCALE}, as 3 or 1.5{', or several: 2,3,4' if several else ''} "
        f"(default: {default})",
    )
    add("--size", type=_size, metavar="WxH", help="as large as fits into so many pixels, instead of a scale")
    add("--stretch", action="store_true", help="exactly the --size, whatever becomes of the shape")
    add("--width", type=_side, metavar="N", help="so many pixels wide, the height by the shape")
    add("--height", type=_side, metavar="N", help="so many pixels high, the width by the shape")


def add_engine_options(
    add: Callable[..., object],
    *,
    but: Collection[str] = (),
    content: str | None = "auto",
    denoise: int | str | None = "auto",
    when: str = "",
    precision: str = "auto, int16 for 8 bits",
    threads: str = "threads (default: the CPUs that this process may use)",
) -> None:
    """Add the options that say which model runs and how, all that :func:`engine_of` reads.

    ``but``: names of those that the command has in another way, or has no use for. ``content`` and
    ``denoise``: the defaults; where they are None, ``when`` says when they are auto. ``precision``: what auto
    does here. ``threads``: what they are.
    """
    strength = f"0 to {MAX_STRENGTH}: bicubic plus so much of what the network adds (default: 1)"
    by_pixels = f"auto, by the pixels{when}" if content in ("auto", None) else content
    by_file = f"auto, by JPEG and video{when}" if denoise in ("auto", None) else denoise
    chosen: dict[str, dict[str, Any]] = {
        "model": {
            "default": "fsrcnn",
            "metavar": "MODEL",
            "complete": MODEL_WORDS,
            "help": "fsrcnn (default), fsrcnn-s or a file",
        },
        "content": {
            "choices": CONTENTS,
            "default": content,
            "help": f"weights for photographs, or lines and text (default: {by_pixels})",
        },
        "denoise": {
            "type": _denoise,
            "choices": LEVELS,
            "default": denoise,
            "help": f"weights for the compressed or noisy (default: {by_file})",
        },
        "strength": {"type": float, "default": 1.0, "metavar": "N", "help": strength},
        "colour": {
            "choices": get_args(Colour),
            "default": "guided",
            "help": "chroma that follows the sharp luma (default: guided), or is bicubic, or the network on "
            "each of red, green and blue, in three times the time",
        },
        "precision": {
            "choices": get_args(Precision),
            "default": "auto",
            "help": f"what the network computes with (default: {precision})",
        },
        "threads": {"type": int, "metavar": "N", "help": threads},
        "isa": {
            "metavar": "NAME",
            "complete": available_isas(),
            "help": "kernel set, one that fsrcnn-rt info lists (default: the fastest)",
        },
    }
    short = {"model": ("-m", "-n"), "threads": ("-j",)}
    for name, options in chosen.items():
        if name not in but:
            add(*short.get(name, ()), f"--{name}", **options)


def engine_of(options: argparse.Namespace, **changed: Any) -> Upscaler:
    """Make the upscaler that these options ask for; ``changed``: what is not as they have it.

    Raises what :class:`~fsrcnn_rt.Upscaler` raises.
    """
    asked = {name: value for name, value in vars(options).items() if name in ENGINE_OPTIONS} | changed
    return Upscaler(asked.pop("model"), **asked)


def inputs_asked(options: argparse.Namespace) -> list[str]:
    """List the inputs; ``UsageError`` where there are none, or one is a command."""
    inputs = [*options.inputs, *options.more_inputs]
    if not inputs:
        raise UsageError("no input (see --help)")
    for name in inputs:
        if name in COMMANDS:
            raise UsageError(f"{name} is a subcommand, which comes first (a file of that name is ./{name})")
    return inputs


def goals_asked(options: argparse.Namespace, default: int) -> list[Goal]:
    """Read these options; ``ValueError`` where they ask for nothing that can be."""
    given = [name for name in ("scale", "size", "width", "height") if getattr(options, name) is not None]
    if len(given) > 1:
        raise ValueError(f"--{given[0]} and --{given[1]} are two answers to one question, choose one")
    if options.stretch and options.size is None:
        raise ValueError("--stretch is for --size")
    if options.size is not None:
        return [Box(options.size[0], options.size[1], stretch=options.stretch)]
    if options.width is not None or options.height is not None:
        return [Box(options.width, options.height)]
    if options.scale is None:
        return [default]
    try:
        factors = [
            int(part) if part.strip().isdecimal() else float(part) for part in options.scale.split(",")
        ]
    except ValueError:
        raise ValueError(
            f"scale={options.scale!r} is not a number, nor several with commas between"
        ) from None
    return goals_of(factors, None, default)[0]


def _denoise(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch("([0-9]{1,9})[xX]([0-9]{1,9})", text)
    if not match or not int(match[1]) or not int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT in pixels, such as 1920x1080")
    return int(match[1]), int(match[2])


def _side(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels")
    return int(text)


def check_output(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Raise ``ValueError`` unless a command may write ``path``, made of the file ``source`` if of one."""
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")
    if is_there(path) and not overwrite:
        raise ValueError(f"{path}: exists already (see --overwrite)")
    if source and path.exists() and source.exists() and path.samefile(source):
        raise ValueError(f"{path}: is the input, and would be overwritten")


def complain(message: object) -> None:
    """Print a message on stderr, in one line."""
    tell(f"fsrcnn-rt: {message}", file=sys.stderr)


def tell(line: str, file: TextIO | None = None) -> None:
    """Print a line for people, on stdout or ``file``; what is in a name does nothing to the terminal."""
    _print_whole(printable(line), file)


def tell_values(**values: Any) -> None:
    """Print a line of JSON on stdout."""
    _print_whole(json.dumps(values), None)


def _print_whole(line: str, file: TextIO | None) -> None:
    """Print a line with its end in one piece: a signal may come between what is written in two."""
    print(f"{line}\n", end="", file=file, flush=True)
