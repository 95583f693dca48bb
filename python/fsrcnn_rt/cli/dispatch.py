"""The command ``fsrcnn-rt``: pictures in, larger pictures beside them; or what a subcommand does.

Exit codes: 0 all done; 1 some input failed, the others are done; 2 the command was wrong and nothing was done
(also where an output exists already or two inputs would share one); 130, 143, 129 interrupted, by SIGINT,
SIGTERM, SIGHUP, and nothing is half-written; 141 nobody reads what is printed any more, and what was begun is
finished.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from fsrcnn_rt.cli import upscale
from fsrcnn_rt.cli.arguments import complain
from fsrcnn_rt.cli.commands import COMMANDS, misspelt
from fsrcnn_rt.cli.process import INTERRUPTED
from fsrcnn_rt.errors import CommandError, UsageError, one_line, what_is_missing
from fsrcnn_rt.files import PIPE, is_video


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
    except OSError as error:  # a full disk, mostly; whatever has the name of a file has been told by now
        _print_no_more()
        complain(f"cannot write: {one_line(error)}")
        return 1


def _main(arguments: list[str]) -> int:
    try:
        if arguments and arguments[0] in COMMANDS:
            return _subcommand(arguments[0], arguments[1:])
        inputs = upscale.inputs_of(arguments)
        if inputs and (subcommand := misspelt(inputs[0])):
            raise UsageError(f"{inputs[0]}: is neither a file nor a command (did you mean {subcommand}?)")
        if any(_is_video(name) for name in inputs):
            return _subcommand("video", arguments)
        return upscale.main(arguments)
    except SystemExit as exit_:  # argparse, after --help and --version
        return exit_.code if isinstance(exit_.code, int) else 2
    except (UsageError, CommandError) as error:
        complain(error)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt as interruption:
        complain(f"interrupted{interruption}")
        return INTERRUPTED


def _subcommand(name: str, arguments: list[str]) -> int:
    try:
        module: Any = import_module(COMMANDS[name].module)
        code: int = module.main(arguments)
    except CommandError as error:
        raise CommandError(f"{name}: {error}") from error
    except OSError as error:
        if error.filename is None:  # a pipe or a disk that takes no more
            raise
        raise UsageError(f"{name}: {error.filename}: {one_line(error)}") from error
    except (UsageError, ValueError, TypeError, MemoryError) as error:
        raise UsageError(f"{name}: {one_line(error)}") from error
    except ModuleNotFoundError as error:
        raise CommandError(f"{name}: {what_is_missing(error)}") from error
    return code


def _is_video(name: str) -> bool:
    """Whether an input is video: of stdin, what begins as Y4M does."""
    if name != PIPE:
        return is_video(name)
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"{PIPE}: stdin is {'closed' if sys.stdin is None else 'a terminal'}")
    from fsrcnn_rt.video.y4m import MAGIC

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
