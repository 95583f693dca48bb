"""What the command line and its subcommands share."""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

#: As a name, stdin or stdout.
PIPE = "-"
Y4M_SUFFIX = ".y4m"
_EXTRAS = {"scipy": "convert", "onnx": "convert", "torch": "train", "tomli": "train"}
VIDEO_SUFFIXES = (Y4M_SUFFIX, ".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".ts")


class UsageError(Exception):
    """The command cannot be carried out as it was given."""


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


def check_output(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Raise ``ValueError`` unless a command may write ``path``, made of the file ``source`` if of one."""
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir() or (path.exists() and not overwrite):
        raise ValueError(f"{path}: exists already" + ("" if path.is_dir() else " (see --overwrite)"))
    if source and path.exists() and source.exists() and path.samefile(source):
        raise ValueError(f"{path}: is the input, and would be overwritten")


def one_line(error: BaseException) -> str:
    """Say what went wrong; of an ``OSError`` without the number and the path, which the callers name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def what_is_missing(error: ModuleNotFoundError) -> str:
    """Say which optional package is needed and how it is installed; raise ``error`` for any other module."""
    package = str(error.name).split(".")[0]
    if package not in _EXTRAS:
        raise error
    return f"needs {package}, which is not installed: pip install 'fsrcnn-rt[{_EXTRAS[package]}]'"


def complain(message: object) -> None:
    """Print a message on stderr, in one line."""
    print(f"fsrcnn-rt: {message}", file=sys.stderr)
