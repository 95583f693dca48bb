"""YUV4MPEG2 (Y4M): the uncompressed video that ffmpeg and mjpegtools pass through pipes."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.engine.planes import ChromaLocation, Layout
from fsrcnn_rt.engine.reuse import Before
from fsrcnn_rt.engine.sizes import VIDEO_SCALE, Box, Size, goal_of, size_of
from fsrcnn_rt.engine.streams import Progress, Spent, Stopwatch, in_order_linked, read_ahead
from fsrcnn_rt.engine.upscaler import ModelLike, Upscaler, as_upscaler
from fsrcnn_rt.engine.variants import Loss
from fsrcnn_rt.files import atomic_write

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fsrcnn_rt.engine.options import EngineOptions

#: How a stream begins.
MAGIC = b"YUV4MPEG2"

_FRAME = b"FRAME"
_LONGEST_LINE = 4096  # headers are below a hundred bytes; this only stops the search in something else
_LONGEST_VALUE = 40  # of what is told of a header
_DEEP = (9, 10, 12, 14, 16)

# Pixels of a frame, in or out: as many as pictures may have. A header alone is no reason to take more memory.
_MOST_PIXELS = 1 << 30

_SITINGS: dict[str, ChromaLocation] = {"420": "center", "420jpeg": "center", "420paldv": "topleft"}

#: What the C parameter names: planes, bits, (horizontal, vertical) subsampling, where chroma lies.
#: ffmpeg names no siting beyond 8 bits, and means what MPEG-2 and all codecs since do: left.
_CHROMA: dict[str, tuple[int, Layout]] = {
    **{tag: (3, Layout(8, (2, 2), _SITINGS.get(tag, "left"))) for tag in (*_SITINGS, "420mpeg2")},
    **{f"420p{bits}": (3, Layout(bits, (2, 2), "left")) for bits in _DEEP},
    "411": (3, Layout(8, (4, 1), "left")),
    "422": (3, Layout(8, (2, 1), "left")),
    **{f"422p{bits}": (3, Layout(bits, (2, 1), "left")) for bits in _DEEP},
    "444": (3, Layout(8, (1, 1), "left")),
    **{f"444p{bits}": (3, Layout(bits, (1, 1), "left")) for bits in _DEEP},
    "444alpha": (4, Layout(8, (1, 1), "left")),
    "mono": (1, Layout(8, (1, 1), "left")),
    **{f"mono{bits}": (1, Layout(bits, (1, 1), "left")) for bits in _DEEP},
}


class Y4MError(ValueError):
    """A stream that is not Y4M, or not of a kind that can be upscaled."""


class TruncatedError(Y4MError):
    """A stream that ends within a frame; the frames before it are whole."""


class Source(Protocol):
    """What a stream is read from: a file opened ``"rb"``, raw or buffered."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Read into ``buffer`` and return how many bytes; 0 at the end."""


class Sink(Protocol):
    """What a stream is written to: a file opened ``"wb"``, raw or buffered."""

    def write(self, data: Any, /) -> int | None:
        """Write some of ``data``, or all, and return how many bytes that was."""


class Frame(NamedTuple):
    """One frame: what follows the word FRAME, and its planes."""

    parameters: bytes
    planes: list[npt.NDArray[Any]]


class _Made(NamedTuple):
    """What a frame has become: its bytes, their planes, and which part of luma was copied."""

    buffer: npt.NDArray[np.uint8]
    planes: list[npt.NDArray[Any]]
    unchanged: float
    parameters: bytes


@dataclass(frozen=True)
class Header:
    """The first line of a stream."""

    width: int
    height: int
    parameters: tuple[bytes, ...]  # all of them as they came, those of width and height too
    planes: int
    layout: Layout
    rate: Fraction | None

    @classmethod
    def parse(cls, line: bytes) -> Header:
        """Read a header, without its newline; :class:`Y4MError` if it is none that can be upscaled."""
        magic, *parameters = line.split(b" ")
        if magic != MAGIC:
            raise Y4MError(f"is not a Y4M stream: it does not begin with {MAGIC.decode()}")
        values = {token[:1].decode("latin-1"): token[1:].decode("latin-1") for token in parameters if token}
        size = [values.get(letter, "") for letter in "WH"]
        if not all(re.fullmatch("0*[1-9][0-9]{0,8}", text) for text in size):
            raise Y4MError(f"has no size: W is {_shown(size[0])!r} and H is {_shown(size[1])!r}")
        width, height = map(int, size)
        _check_size(width, height, "has frames")
        if values.get("I", "?")[:1] in ("t", "b", "m"):
            raise Y4MError(
                f"is interlaced (I{values['I'][0]}), and upscaling would mix its fields: "
                "deinterlace it first, as by ffmpeg -vf bwdif"
            )
        tag = values.get("C", "420jpeg")
        if tag not in _CHROMA:
            raise Y4MError(f"has the chroma C{_shown(tag)}, which is none of {', '.join(_CHROMA)}")
        rate = re.fullmatch("([0-9]{1,12}):([0-9]{1,12})", values.get("F", ""))
        frames, seconds = (int(rate[1]), int(rate[2])) if rate else (0, 0)
        planes, layout = _CHROMA[tag]
        return cls(
            width=width,
            height=height,
            parameters=tuple(parameters),
            planes=planes,
            layout=layout,
            rate=Fraction(frames, seconds) if frames and seconds else None,
        )

    @property
    def size(self) -> Size:
        """(width, height) of a frame."""
        return self.width, self.height

    def line(self, size: Size) -> bytes:
        """Write the header of the same stream with frames of ``size``, newline included."""
        sizes = dict(zip((b"W", b"H"), size, strict=True))
        tokens = [
            b"%b%d" % (token[:1], sizes[token[:1]]) if token[:1] in sizes else token
            for token in self.parameters
        ]
        return b" ".join([MAGIC, *tokens]) + b"\n"

    def allocate(self, size: Size) -> tuple[npt.NDArray[np.uint8], list[npt.NDArray[Any]]]:
        """Make the samples of one frame of ``size``, as the bytes of a stream and as planes."""
        shapes = self.layout.shapes(size[::-1], self.planes)
        sample = self.layout.dtype.itemsize
        lengths = [sample * rows * columns for rows, columns in shapes]
        buffer = np.empty(sum(lengths), np.uint8)
        parts = np.split(buffer, np.cumsum(lengths)[:-1])
        return buffer, [
            part.view(self.layout.dtype).reshape(shape) for part, shape in zip(parts, shapes, strict=True)
        ]


def read_header(source: Source) -> Header:
    """Read the first line of a stream; :class:`Y4MError` if it is none that can be upscaled."""
    line = _read_line(source, len(MAGIC))
    if not line:
        raise Y4MError("is empty, not a Y4M stream")
    return Header.parse(line.removesuffix(b"\n"))


def read_frames(source: Source, header: Header) -> Generator[Frame, None, None]:
    """Read the frames that follow the header; :class:`TruncatedError` where the stream breaks off."""
    number = 0
    while line := _read_line(source, len(_FRAME) + 1):
        if not (_FRAME + b"\n").startswith(line[: len(_FRAME)]):
            raise Y4MError(f"has something else where frame {number}, counted from 0, should begin")
        buffer, planes = header.allocate(header.size)
        if not line.endswith(b"\n") or _read_into(source, buffer.data) < len(buffer):
            raise TruncatedError(f"ends within frame {number}, counted from 0")
        yield Frame(line[len(_FRAME) : -1], planes)
        number += 1


def upscale_y4m(
    source: Source,
    sink: Sink,
    scale: float | None = None,
    *,
    size: Size | Box | None = None,
    model: ModelLike | Upscaler = "fsrcnn",
    reuse: bool = True,
    progress: Callable[[Progress], object] | None = None,
    **options: Unpack[EngineOptions],
) -> Progress:
    """Upscale a Y4M stream as it comes: luma by the network, chroma and alpha by the bicubic filter.

    ``scale`` (default 2) or ``size``: as in :meth:`~fsrcnn_rt.Upscaler.upscale_planes`. ``model`` and
    ``options``: as :class:`~fsrcnn_rt.Upscaler` has them, or a ready one; but "auto" is "photo" and 0: a
    stream tells nothing of how it was coded, and its beginning, often a title, nothing of what is to come.
    Reading, computing and writing overlap. As many frames are computed at once as there are ``threads``,
    each on one, and a few more are held. Parameters of the stream and of its frames are passed on, but for
    the size. The siting of chroma is that of the C parameter. ``reuse``: whether what is as in the frame
    before is copied and not computed again, which changes no bit. ``progress`` is called after each frame.

    Returns how far it came.

    Raises :class:`Y4MError` for a stream that is not Y4M, interlaced or of unknown chroma, before anything
    is written; :class:`TruncatedError` for one that breaks off, after all frames before have been written;
    ``OSError`` of the source and the sink (``BrokenPipeError`` where nobody reads it any more); and what
    :class:`~fsrcnn_rt.Upscaler` raises.
    """
    engine = as_upscaler(model, **options)
    threads, upscaler = engine.threads, engine.with_threads(1).choose_by(Loss, None)
    goal = goal_of(scale, size, VIDEO_SCALE)
    header = read_header(source)
    layout = header.layout
    target = size_of(goal, header.size, layout.step(header.planes))
    _check_size(*target, "would become frames")
    header.allocate(target)  # where there is no room for a frame, nothing is written

    def enlarge(frame: Frame, last: tuple[Frame, Future[_Made]] | None) -> _Made:
        buffer, out = header.allocate(target)
        before = Before(last[0].planes, lambda: last[1].result().planes) if last and reuse else None
        return _Made(buffer, out, upscaler.upscale_frame(frame.planes, out, layout, before), frame.parameters)

    write(sink, memoryview(header.line(target)))
    done = Progress(0, None, 0.0, str(upscaler.weights))
    # Of the network, the time of processors: a frame may wait for the one before it.
    reading, computing, writing = Stopwatch(), Stopwatch(thread_time), Stopwatch()
    frames = read_ahead(reading.of_items(read_frames(source, header)), 2)
    # Beyond one frame a thread: one that is written meanwhile, and one that is ready behind it.
    for made in in_order_linked(computing.of(enlarge), frames, threads, threads + 2):
        with writing.running():
            write(sink, memoryview(b"%b%b\n" % (_FRAME, made.parameters)))
            write(sink, made.buffer.data)
        end = float((done.frames + 1) / header.rate) if header.rate else 0.0
        spent = Spent(reading.seconds, computing.seconds, writing.seconds)
        done = done.after(made.unchanged, end, spent)
        if progress:
            progress(done)
    return done


def upscale_y4m_to(path: Path, source: Source, **keywords: Any) -> Progress:
    """Upscale a Y4M stream into a file, whole or not at all; but what comes of one that breaks off is there.

    ``keywords``: those of :func:`upscale_y4m`, which also says what is raised.
    """
    truncated = None
    with atomic_write(path) as sink:
        try:
            done = upscale_y4m(source, sink, **keywords)
        except TruncatedError as error:  # what has come is delivered
            truncated = error
    if truncated is not None:
        raise truncated
    return done


def _check_size(width: int, height: int, what: str) -> None:
    if width * height > _MOST_PIXELS:
        raise Y4MError(f"{what} of {width}x{height}, more than {_MOST_PIXELS} pixels")


def _shown(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."


def _read_into(source: Source, view: memoryview) -> int:
    """Fill ``view`` as far as the stream goes, and return how far that is."""
    done = 0
    while done < len(view) and (count := source.readinto(view[done:])):
        done += count
    return done


def _read_line(source: Source, least: int) -> bytes:
    """Read a line of ``least`` bytes or more, with its newline; shorter, or without one, at the end."""
    # Not by a buffer of our own: what it had read beyond the line would have to be copied into the frame.
    buffer = bytearray(_LONGEST_LINE)
    view = memoryview(buffer)
    length = _read_into(source, view[:least])
    while length >= least and buffer[length - 1] != ord("\n") and length < _LONGEST_LINE:
        count = _read_into(source, view[length : length + 1])
        if not count:
            break
        length += count
    else:
        if length == _LONGEST_LINE:
            raise Y4MError(f"has a line of {_LONGEST_LINE} bytes or more")
    return bytes(view[:length])


def write(sink: Sink, view: memoryview) -> None:
    """Write all of it."""
    while view:
        view = view[sink.write(view) or 0 :]
