"""``fsrcnn-rt`` for video, where an input is ``-`` or named as video; ``fsrcnn-rt video --help`` tells more.

Exit codes are those of :mod:`fsrcnn_rt.cli`.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, get_args

from fsrcnn_rt.cli.arguments import (
    FILES,
    PIPE,
    VIDEO_SUFFIXES,
    Y4M_SUFFIX,
    ArgumentParser,
    add_engine_options,
    add_goal_options,
    check_output,
    default_suffix,
    engine_of,
    goals_asked,
    is_video,
)
from fsrcnn_rt.engine.planes import ChromaLocation
from fsrcnn_rt.engine.sizes import Box
from fsrcnn_rt.engine.streams import Progress
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.video.y4m import TruncatedError, upscale_y4m

# What an ordinary user may have a pipe hold; by default it is 64 KB.
_PIPE_BYTES = 1 << 20

_FILE_OPTIONS = ("codec", "crf", "preset", "pix_fmt", "chroma_location")


class _Job(NamedTuple):
    """One input and its output, each a path or ``-``."""

    source: str
    output: str

    @property
    def is_y4m(self) -> bool:
        """Whether Y4M goes in and comes out, which takes no other package."""
        return all(name == PIPE or Path(name).suffix.lower() == Y4M_SUFFIX for name in self)


def main(argv: Sequence[str]) -> int:
    """Run the command; returns 0, or 1 where some input failed.

    Raises ``ValueError`` for wrong usage and ``OSError`` for a model that cannot be read, before any work.
    """
    options = parser().parse_intermixed_args(argv)
    upscaler = engine_of(options)  # whatever is wrong with these options is told before any file is opened
    (options.goal, *others) = goals_asked(options, 2)
    if others:
        raise ValueError(f"scale={options.scale!r} is several, and of video one at a time is made")
    jobs = _plan(options)
    failed = False
    for job in jobs:
        try:
            _upscale(job, upscaler, options)
        except BrokenPipeError:
            failed = True
            _complain(f"{job.source}: nobody reads the output {job.output} any more")
        except (OSError, ValueError, TypeError, MemoryError, ModuleNotFoundError) as error:
            failed = True
            _complain(f"{job.source}: {_one_line(error, job)}")
    return 1 if failed else 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt video``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt video",
        usage="fsrcnn-rt video [options] VIDEO...   (the word video may be left out)",
        description="Upscale video: clip.mp4 becomes clip_x2.mp4 beside it. Y4M passes through pipes, as in: "
        "ffmpeg -i in.mkv -f yuv4mpegpipe -strict -1 - | fsrcnn-rt - -o - | ffmpeg -i - out.mkv",
        epilog="Exit codes: 0 done, 1 some input failed, 2 wrong usage and nothing done, 130 interrupted.",
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="*",
        metavar="VIDEO",
        complete=[FILES],
        help=f"- for Y4M on stdin, or {', '.join(VIDEO_SUFFIXES)}",
    )
    add(
        "-i",
        dest="more_inputs",
        action="append",
        default=[],
        metavar="VIDEO",
        complete=[FILES],
        help="the same, as an option",
    )
    add(
        "-o",
        "--output",
        metavar="PATH",
        complete=[FILES],
        help="- for stdout, file, or folder where there are several outputs",
    )
    add_goal_options(add, 2)
    add_engine_options(add, but=["colour", "threads"])
    add("-j", "--threads", type=_threads, metavar="N", help="frames computed at once, one on each thread")
    add("--overwrite", action="store_true", help="replace outputs that exist")
    add("-v", "--verbose", action="store_true", help="tell each output, its speed and its weights")
    add("-q", "--quiet", action="store_true", help="no progress bar")
    add = parser.add_argument_group("video files other than Y4M, which need PyAV").add_argument
    add("--codec", metavar="NAME", help="encoder, such as libx264 (default: one for the codec of the input)")
    add("--crf", type=float, metavar="N", help="quality, less is better (default: 18 for libx264)")
    add("--preset", metavar="NAME", help="effort of the encoder, such as fast (default: the encoder's own)")
    add("--pix-fmt", metavar="NAME", help="pixel format to encode (default: that of the input)")
    add(
        "--chroma-location", choices=get_args(ChromaLocation), help="default: what the codec has, mostly left"
    )
    return parser


def _threads(text: str) -> int:
    """Read a number, or ``load:proc:save`` as the ncnn tools have it, of which proc counts."""
    parts = text.split(":")
    try:
        return int(parts[1] if len(parts) == 3 else text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None


def _plan(options: argparse.Namespace) -> list[_Job]:
    """Every input with its output; ``ValueError`` where they could not all be written."""
    inputs = [*options.inputs, *options.more_inputs]
    if not inputs:
        raise ValueError("no input (see fsrcnn-rt video --help)")
    for name in inputs:
        if not is_video(name):
            raise ValueError(f"{name}: is not a video, and pictures take a command of their own")
    folder = _folder(inputs, options.output)
    jobs = []
    taken: dict[str, str] = {}  # output -> input it is of
    for name in inputs:
        job = _Job(name, _output(name, folder, options))
        if PIPE in job and not job.is_y4m:
            raise ValueError(f"{job.source} to {job.output}: pipes carry Y4M only, at both ends")
        if job.output == PIPE:
            if sys.stdout.isatty():
                raise ValueError("stdout is a terminal, which takes no video (see -o)")
        else:
            path = Path(job.output)
            if not is_video(path.name):
                raise ValueError(
                    f"{path}: {path.suffix or 'no suffix'!r} is none of {', '.join(VIDEO_SUFFIXES)}"
                )
            key = os.path.realpath(path)
            if key in taken:
                raise ValueError(f"{path}: is the output of both {taken[key]} and {job.source}")
            taken[key] = job.source
            if folder is None or folder.exists():
                check_output(path, options.overwrite, Path(job.source))
        jobs.append(job)
    _check_kinds(jobs, options)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return jobs


def _check_kinds(jobs: Sequence[_Job], options: argparse.Namespace) -> None:
    """Refuse options that some job has no use for, and video files where nothing reads them."""
    if any(job.is_y4m for job in jobs):
        for name in _FILE_OPTIONS:
            if getattr(options, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')} is for video files other than Y4M")
    if not all(job.is_y4m for job in jobs):
        try:
            import fsrcnn_rt.video.files  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name != "av":
                raise
            raise ValueError(str(error)) from error


def _folder(inputs: Sequence[str], output: str | None) -> Path | None:
    """Folder that ``-o`` names, if it names one."""
    if output is None or (len(inputs) == 1 and not Path(output).is_dir() and not output.endswith(os.sep)):
        return None
    folder = Path(output)
    if output == PIPE or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{output}: is no folder, and several outputs need one")
    return folder


def _output(name: str, folder: Path | None, options: argparse.Namespace) -> str:
    if folder is None and (options.output is not None or name == PIPE):
        return str(options.output or PIPE)
    if name == PIPE:
        raise ValueError("- has no name that its output could have in a folder (see -o)")
    path = Path(name)
    return str((folder or path.parent) / f"{path.stem}{default_suffix(options.goal)}{path.suffix}")


def _upscale(job: _Job, upscaler: Upscaler, options: argparse.Namespace) -> None:
    start = perf_counter()
    common: dict[str, Any] = {"model": upscaler}
    common["size" if isinstance(options.goal, Box) else "scale"] = options.goal
    with _progress(options) as show:
        if job.is_y4m:
            done = _upscale_y4m(job, options, progress=show, **common)
        else:
            done = _upscale_file(job, options, progress=show, **common)
    if options.verbose and not options.quiet:
        seconds = perf_counter() - start
        told = f"{done.frames} frames, {_speed(done, seconds)}, weights {done.weights}"
        print(f"{job.source} -> {job.output} ({told})", file=sys.stderr)


def _widen_pipe(number: int) -> None:
    """Let both ends of a pipe wait for each other a few times a frame, and not at every 64 KB."""
    try:
        import fcntl

        fcntl.fcntl(number, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:  # no pipe but a file, or one that may not grow
        pass
    except (ImportError, AttributeError):  # Windows has none of it, macOS lacks the setting
        pass


def _upscale_y4m(job: _Job, options: argparse.Namespace, **keywords: Any) -> Progress:
    # Without buffers: a frame is far larger, and nothing is left to flush when a pipe breaks.
    for number, name in enumerate(job):
        if name == PIPE:
            _widen_pipe(number)
    # But of stdin, whose first bytes may be in its buffer by now: large reads go past that.
    source: Any = nullcontext(sys.stdin.buffer) if job.source == PIPE else io.FileIO(job.source)
    with source as frames:
        if job.output == PIPE:
            return upscale_y4m(frames, io.FileIO(1, "w", closefd=False), **keywords)
        truncated = None
        with atomic_write(Path(job.output)) as sink:
            try:
                done = upscale_y4m(frames, sink, **keywords)
            except TruncatedError as error:  # what has come is delivered
                truncated = error
        if truncated is not None:
            raise truncated
        return done


def _upscale_file(job: _Job, options: argparse.Namespace, **keywords: Any) -> Progress:
    from fsrcnn_rt.video.files import upscale_video

    keywords.update({name: getattr(options, name) for name in _FILE_OPTIONS})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: _complain(message)
        return upscale_video(job.source, job.output, overwrite=options.overwrite, **keywords)


@contextmanager
def _progress(options: argparse.Namespace) -> Iterator[Callable[[Progress], object]]:
    """Show on stderr how far a stream has come, frames per second and in proportion to real time."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    start = perf_counter()
    silent = options.quiet or not sys.stderr.isatty()
    with tqdm(unit="frame", disable=silent) as bar:

        def show(done: Progress) -> None:
            if not silent:
                bar.total = done.total
                bar.set_postfix_str(_speed(done, perf_counter() - start), refresh=False)
                bar.update(done.frames - bar.n)

        yield show


def _speed(done: Progress, seconds: float) -> str:
    seconds = max(seconds, 1e-9)
    real_time = f", {done.seconds / seconds:.2f} x real time" if done.seconds else ""
    return f"{done.frames / seconds:.1f} fps{real_time}"


def _one_line(error: BaseException, job: _Job) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename in (None, job.source) else f"{error.filename}: "
        return f"{where}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _complain(message: object) -> None:
    print(f"fsrcnn-rt: {message}", file=sys.stderr)
