"""``fsrcnn-rt`` for video, where an input is ``-`` or named as video; ``fsrcnn-rt video --help`` tells more.

Exit codes are those of :mod:`fsrcnn_rt.cli`.
"""

from __future__ import annotations

import argparse
import io
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, get_args

from fsrcnn_rt.cli.arguments import (
    ArgumentParser,
    add_engine_options,
    add_goal_options,
    add_input_options,
    add_naming_options,
    complain,
    engine_of,
    goals_asked,
    inputs_asked,
    naming_asked,
    tell,
    tell_values,
)
from fsrcnn_rt.engine.planes import ChromaLocation
from fsrcnn_rt.engine.sizes import Box
from fsrcnn_rt.engine.streams import Progress
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.errors import UsageError, one_line
from fsrcnn_rt.files import PIPE, VIDEO_SUFFIXES, Y4M_SUFFIX, check_regular, is_video
from fsrcnn_rt.plan import PICTURES, VIDEOS, make_folders, make_plan
from fsrcnn_rt.video.y4m import upscale_y4m, upscale_y4m_to

# What an ordinary user may have a pipe hold; by default it is 64 KB.
_PIPE_BYTES = 1 << 20

#: Options of :func:`add_encoder_options`.
ENCODER_OPTIONS = ("codec", "crf", "preset", "pix_fmt", "drop_unfit", "chroma_location")
_FILE_OPTIONS = (*ENCODER_OPTIONS, "deinterlace")


class _Stream(NamedTuple):
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
    upscaler = engine_of(options)  # whatever is wrong with these options is details before any file is opened
    (options.goal, *others) = goals_asked(options, 2)
    if others:
        raise ValueError(f"scale={options.scale!r} is several, and of video one at a time is made")
    begin = perf_counter()
    streams, skipped = _plan(options)
    lines = _Lines(options.json)
    for source in skipped:
        lines.add(input=source, status="skipped", outputs={})
    failed = 0
    for job in streams:
        start = perf_counter()
        try:
            done = _upscale(job, upscaler, options)
        except Exception as error:  # whatever it is, the next input is done
            failed += 1
            message = _told(error, job)
            complain(f"{job.source}: {message}")
            lines.add(input=job.source, status="failed", outputs={}, error=message)
            continue
        seconds = perf_counter() - start
        if options.verbose and not options.quiet:
            tell(f"{job.source} -> {job.output} ({_details(done, seconds)})", file=sys.stderr)
        lines.done(job, str(options.goal), done, seconds)
    counts = {"done": len(streams) - failed, "skipped": len(skipped), "failed": failed}
    lines.add(**counts, seconds=round(perf_counter() - begin, 3))
    return 1 if failed else 0


class _Lines:
    """Lines of JSON on stdout, if they are asked for: those of pictures, and what there is to tell of video.

    If done {"input", "status": "done", "outputs": {scale: path}, "frames", "unchanged": which part of luma,
    0..1, was copied from the frame before, "weights", "seconds", "spent": {"reading", "computing", "writing"}
    in seconds of all threads}.
    """

    def __init__(self, asked: bool) -> None:
        self._asked = asked

    def done(self, job: _Stream, goal: str, done: Progress, seconds: float) -> None:
        """Tell what has become of a video."""
        self.add(
            input=job.source,
            status="done",
            outputs={goal: job.output},
            frames=done.frames,
            unchanged=round(done.unchanged, 4),
            weights=done.weights,
            seconds=round(seconds, 3),
            spent={name: round(value, 3) for name, value in done.spent._asdict().items()},
        )

    def add(self, **values: Any) -> None:
        """Tell anything."""
        if self._asked:
            tell_values(**values)


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt video``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt video",
        usage="fsrcnn-rt video [options] VIDEO...   (the word video may be left out)",
        description="Upscale video: clip.mp4 becomes clip_x2.mp4 beside it. Y4M passes through pipes, as in: "
        "ffmpeg -i in.mkv -f yuv4mpegpipe -strict -1 - | fsrcnn-rt - -o - | ffmpeg -i - out.mkv. "
        "With -o - a file becomes a stream of Matroska, to be watched by: fsrcnn-rt in.mp4 -o - | mpv -",
        epilog="Exit codes: 0 done, 1 some input failed, 2 wrong usage and nothing done, 130 interrupted.",
    )
    add = parser.add_argument
    videos = f"video file, folder of videos ({', '.join(VIDEO_SUFFIXES)}), or - for Y4M on stdin"
    add_input_options(add, "VIDEO", videos)
    add_naming_options(add, [suffix.lstrip(".") for suffix in VIDEO_SUFFIXES[1:]])
    add_goal_options(add, 2)
    add_engine_options(add, but=["colour", "threads"])
    add("-j", "--threads", type=_threads, metavar="N", help="frames computed at once, one on each thread")
    add(
        "--no-reuse",
        action="store_true",
        help="compute again what is as in the frame before; the bits are the same",
    )
    add("-v", "--verbose", action="store_true", help="tell each output, its speed and its weights")
    add("-q", "--quiet", action="store_true", help="no progress bar")
    add("--json", action="store_true", help="a line of JSON on stdout for each input, and one for all")
    add = parser.add_argument_group("video files other than Y4M, which need PyAV").add_argument
    add_encoder_options(add)
    add("--deinterlace", action="store_true", help="make whole frames of those that are marked as interlaced")
    return parser


def add_encoder_options(add: Callable[..., object]) -> None:
    """Add the options that say how video is encoded."""
    add("--codec", metavar="NAME", help="encoder, such as libx264 (default: one for the codec of the input)")
    add("--crf", type=float, metavar="N", help="quality, less is better (default: 18 for libx264)")
    add("--preset", metavar="NAME", help="effort of the encoder, such as fast (default: the encoder's own)")
    add("--pix-fmt", metavar="NAME", help="pixel format to encode (default: that of the input)")
    add("--drop-unfit", action="store_true", help="leave out what the output cannot hold, and tell it")
    add(
        "--chroma-location", choices=get_args(ChromaLocation), help="default: what the codec has, mostly left"
    )


def _threads(text: str) -> int:
    """Read a number, or ``load:proc:save`` as the ncnn tools have it, of which proc counts."""
    parts = text.split(":")
    try:
        return int(parts[1] if len(parts) == 3 else text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None


def _plan(options: argparse.Namespace) -> tuple[list[_Stream], list[str]]:
    """Every input with its output, and those whose output exists; the folders are made.

    Raises ``UsageError`` or ``ValueError`` where they could not all be written.
    """
    inputs = inputs_asked(options)
    for name in inputs:
        if PICTURES.is_found(Path(name).name) and not is_video(name) and not Path(name).is_dir():
            raise UsageError(f"{name}: is not a video, and pictures take a command of their own")
    naming = naming_asked(options)
    planned = make_plan(inputs, [options.goal], naming, recursive=options.recursive, kind=VIDEOS)
    streams = [_Stream(str(job.source), str(path)) for job in planned.jobs for path in job.outputs.values()]
    for stream in streams:
        if stream.source == PIPE and not stream.is_y4m:
            raise UsageError(f"{PIPE} to {stream.output}: stdin carries Y4M, and becomes that")
        carried = "y4m" if stream.is_y4m else "mkv"
        if stream.output == PIPE and (naming.extension or carried).lstrip(".").lower() != carried:
            raise UsageError(f"{stream.source}: stdout carries {carried} of it, not {naming.extension}")
        if stream.output == PIPE and options.json:
            raise UsageError("--json prints on stdout, which carries the video (see -o)")
    _check_kinds(streams, options)
    make_folders(planned)
    return streams, [str(job.source) for job in planned.jobs if not job.outputs]


def _check_kinds(streams: Sequence[_Stream], options: argparse.Namespace) -> None:
    """Refuse options that some of them have no use for, and video files where nothing reads them."""
    if any(stream.is_y4m for stream in streams):
        for name in _FILE_OPTIONS:
            if (value := getattr(options, name)) is not None and value is not False:
                raise ValueError(f"--{name.replace('_', '-')} is for video files other than Y4M")
    if not all(stream.is_y4m for stream in streams):
        try:
            import fsrcnn_rt.video.files  # noqa: F401  # which says what to install where PyAV is missing
        except ModuleNotFoundError as error:
            if error.name != "av":
                raise
            raise ValueError(str(error)) from error
        from fsrcnn_rt.video.encoder import Asked

        Asked(options.codec, options.crf, options.preset, options.pix_fmt).check()


def _upscale(job: _Stream, upscaler: Upscaler, options: argparse.Namespace) -> Progress:
    common: dict[str, Any] = {"model": upscaler, "reuse": not options.no_reuse}
    common["size" if isinstance(options.goal, Box) else "scale"] = options.goal
    with _progress(options) as show:
        if job.is_y4m:
            return _upscale_y4m(job, options, progress=show, **common)
        return _upscale_file(job, options, progress=show, **common)


def _widen_pipe(number: int) -> None:
    """Let both ends of a pipe wait for each other a few times a frame, and not at every 64 KB."""
    try:
        import fcntl

        fcntl.fcntl(number, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:  # no pipe but a file, or one that may not grow
        pass
    except (ImportError, AttributeError):  # Windows has none of it, macOS lacks the setting
        pass


class _Stdin:
    """Stdin, of which the first bytes may be in its buffer by now.

    The rest is read without that: a reader that waits would hold its lock, and the end of the interpreter
    takes that lock or aborts.
    """

    def __init__(self) -> None:
        buffer: Any = sys.stdin.buffer
        self._head, self._rest = memoryview(buffer.peek()), buffer.raw

    def readinto(self, view: memoryview) -> int | None:
        """Read what has come, as a file does."""
        if not self._head:
            count: int | None = self._rest.readinto(view)
            return count
        part, self._head = self._head[: len(view)], self._head[len(view) :]
        view[: len(part)] = part
        return len(part)


def _upscale_y4m(job: _Stream, options: argparse.Namespace, **keywords: Any) -> Progress:
    # Without buffers: a frame is far larger, and nothing is left to flush when a pipe breaks.
    for number, name in enumerate(job):
        if name == PIPE:
            _widen_pipe(number)
    if job.source != PIPE:
        check_regular(Path(job.source))
    source: Any = nullcontext(_Stdin()) if job.source == PIPE else io.FileIO(job.source)
    with source as frames:
        if job.output == PIPE:
            return upscale_y4m(frames, io.FileIO(1, "w", closefd=False), **keywords)
        return upscale_y4m_to(Path(job.output), frames, **keywords)


def _upscale_file(job: _Stream, options: argparse.Namespace, **keywords: Any) -> Progress:
    from fsrcnn_rt.video.files import upscale_video

    keywords.update({name: getattr(options, name) for name in _FILE_OPTIONS})
    # Without buffers: what is encoded is to be seen at once, and nothing is left when a pipe breaks.
    output: Any = io.FileIO(1, "w", closefd=False) if job.output == PIPE else job.output
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: complain(message)
        return upscale_video(job.source, output, overwrite=options.overwrite, **keywords)


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


def _details(done: Progress, seconds: float) -> str:
    unchanged = f"{done.unchanged:.0%} unchanged, " if done.unchanged >= 0.005 else ""
    spent = done.spent
    times = f"decoding {spent.reading:.2f} s, network {spent.computing:.2f} s, encoding {spent.writing:.2f} s"
    return f"{done.frames} frames, {_speed(done, seconds)}, {unchanged}{times}, weights {done.weights}"


def _told(error: BaseException, job: _Stream) -> str:
    """Say what went wrong, and with which file where that is not the input."""
    if isinstance(error, BrokenPipeError):
        return f"nobody reads the output {job.output} any more"
    named = isinstance(error, OSError) and error.strerror and error.filename not in (None, job.source)
    return f"{error.filename}: {one_line(error)}" if named else one_line(error)  # type: ignore[attr-defined]
