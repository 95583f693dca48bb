"""What the command line and its subcommands share."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from fsrcnn_rt.engine.sizes import MOST, Box, Goal, goals_of
from fsrcnn_rt.engine.variants import CONTENTS, LEVELS

#: As a name, stdin or stdout.
PIPE = "-"
Y4M_SUFFIX = ".y4m"
VIDEO_SUFFIXES = (Y4M_SUFFIX, ".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".ts")


class ArgumentParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Print ``message`` in one line on stderr and exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def is_video(name: str) -> bool:
    """Whether an input or output of this name is video, and not a picture."""
    return name == PIPE or Path(name).suffix.lower() in VIDEO_SUFFIXES


def add_goal_options(add: Callable[..., object], default: int, *, several: bool = False) -> None:
    """Add the options that say how large the result is to be."""
    metavar = "N[,N]" if several else "N"
    add(
        *("-s", "--scale"),
        metavar=metavar,
        help=f"scale above 1 and up to {MOST}, as 3 or 1.5{', or several: 2,3,4' if several else ''} "
        f"(default: {default})",
    )
    add("--size", type=_size, metavar="WxH", help="as large as fits into so many pixels, instead of a scale")
    add("--stretch", action="store_true", help="exactly the --size, whatever becomes of the shape")
    add("--width", type=_side, metavar="N", help="so many pixels wide, the height by the shape")
    add("--height", type=_side, metavar="N", help="so many pixels high, the width by the shape")


def add_model_options(add: Callable[..., object]) -> None:
    """Add the options that say which weights are used, and how much of what they give."""
    add("-m", "-n", "--model", default="fsrcnn", metavar="MODEL", help="fsrcnn (default), fsrcnn-s or a file")
    add_variant_options(add)
    text = "0 to 1.5: bicubic plus so much of what the network adds (default: 1)"
    add("--strength", type=float, default=1.0, metavar="N", help=text)


def add_variant_options(add: Callable[..., object], default: str | None = "auto", when: str = "") -> None:
    """Add the options that choose among the weights of a network; ``when``: where the default is auto."""
    add(
        "--content",
        choices=CONTENTS,
        default=default,
        help=f"weights for photographs, or lines and text (default: auto, by the pixels{when})",
    )
    add(
        "--denoise",
        type=_denoise,
        choices=LEVELS,
        default=default,
        help=f"weights for the compressed or noisy (default: auto, by JPEG and video{when})",
    )


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


def default_suffix(goal: Goal) -> str:
    """Name what is put behind the name of an input: _x1.5, or _1920x1080, _1920w, _1080h."""
    return f"_{goal}" if isinstance(goal, Box) else f"_x{goal}"


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
    if path.is_dir() or (path.exists() and not overwrite):
        raise ValueError(f"{path}: exists already" + ("" if path.is_dir() else " (see --overwrite)"))
    if source and path.exists() and source.exists() and path.samefile(source):
        raise ValueError(f"{path}: is the input, and would be overwritten")


def complain(message: object) -> None:
    """Print a message on stderr, in one line."""
    print(f"fsrcnn-rt: {message}", file=sys.stderr)
