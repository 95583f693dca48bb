"""Video files: frames through the network without ever leaving YUV, all else copied. Needs PyAV."""

from __future__ import annotations

import errno
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from functools import lru_cache
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.engine.content import is_graphics
from fsrcnn_rt.engine.planes import ChromaLocation, Layout
from fsrcnn_rt.engine.reuse import Before
from fsrcnn_rt.engine.sizes import VIDEO_SCALE, Box, Goal, Size, goal_of, size_of
from fsrcnn_rt.engine.streams import Progress, in_order_linked, read_ahead
from fsrcnn_rt.engine.upscaler import ModelLike, Upscaler, as_upscaler
from fsrcnn_rt.engine.variants import Loss, as_h264_qp, loss_of_video
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.files import atomic_path, check_regular
from fsrcnn_rt.video.y4m import read_header

try:
    import av

    from fsrcnn_rt.video.encoder import Encoding, add_streams, start
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "video files need PyAV, which is not installed: pip install 'fsrcnn-rt[video]'", name="av"
    ) from error

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream
    from typing_extensions import Unpack

    from fsrcnn_rt.engine.options import EngineOptions

__all__ = ["upscale_frames", "upscale_video"]


class Remote(Protocol):
    """A file that is not on this machine, and can be read in pieces; as text it is its name."""

    def open(self, mode: Literal["rb"]) -> BufferedReader:
        """Open it to be read at any place."""


Packets: TypeAlias = "deque[av.Packet[Any]]"

# Codecs whose chroma lies in the centre; of the others' signalling, which is rare, PyAV tells nothing.
_CENTRED = ("mjpeg", "mpeg1video")

# Pixel formats whose name stands for full range, as the range tag of their frames does: those without the J.
FULL_RANGE = {f"yuvj{kind}p": f"yuv{kind}p" for kind in ("411", "420", "422", "440", "444")}

# The weights for a file are chosen at these parts of its duration, so that a title is not taken for the film,
# and by so many frames there, as quantisers go up and down with the kind of frame.
_PLACES = (0.0, 0.2, 0.4, 0.6, 0.8)
_AT_A_PLACE = 8

# What an input may refer to, and what does nothing but refer to other files.
_ALONE = {"protocol_whitelist": "file"}
_LISTS = ("concat", "dash", "hls", "imf")

# A video that ends by more than this before its announced end, in seconds and as a part, is told to do so.
_MISSING = (0.5, 0.05)

INTERLACED = "{} is interlaced, and upscaling mixes its fields"


def upscale_frames(
    source: str | os.PathLike[str],
    scale: float | None = None,
    *,
    size: Size | Box | None = None,
    model: ModelLike | Upscaler = "fsrcnn",
    chroma_location: ChromaLocation | None = None,
    reuse: bool = True,
    **options: Unpack[EngineOptions],
) -> Iterator[av.VideoFrame]:
    """Upscale the frames of a video file, and give them in the order in which they are shown.

    ``source``: a file with video of planar YUV or grey of 8 to 16 bits. The luma plane goes through the
    network and the chroma planes through the bicubic filter, as in :meth:`Upscaler.upscale_planes`: a luma
    plane of 8 bits becomes what :meth:`Upscaler.upscale` makes of it, whatever the range of the video.
    ``scale`` (default 2) or ``size``: as in :meth:`Upscaler.upscale_planes`. ``model`` and ``options``: as
    :class:`Upscaler` has them, or a ready one; ``colour`` has no effect. "auto" looks at a few frames all
    over the file and settles on one for all: on graphics where most of the frames are, on the level by the
    mean quantiser of H.264, VP9, MPEG-2 and MPEG-4 Part 2; FFmpeg tells that of no other codec, and it is 0
    then. As many frames are computed at once as there are ``threads``, each on one; the decoder, which runs
    ahead of them, has as many. A few frames are held. ``chroma_location``: "left", "center" or "topleft";
    default what the codec has, mostly "left". ``reuse``: whether what is as in the frame before is copied and
    not computed again, which changes no bit.

    Yields the larger frames, with the pixel format, time and colour tags of the original.

    Raises ``OSError`` for a file that cannot be read, ``ValueError`` for one without video of such a kind and
    what :class:`Upscaler` raises; in its turn ``OSError`` for a frame that cannot be decoded. Raises
    ``ModuleNotFoundError`` where PyAV is not installed.
    """
    upscaler = as_upscaler(model, **options)
    goal = goal_of(scale, size, VIDEO_SCALE)
    container, stream, enlarge = prepare(Path(source), goal, upscaler, chroma_location, reuse)
    return _out_of_use(enlarge.stream(decode(Path(source), container, stream, deque(maxlen=0))))


def _out_of_use(frames: Generator[Enlarged, None, None]) -> Iterator[av.VideoFrame]:
    """Give each frame once the one behind it no longer copies from it: whoever gets it may write to it."""
    last: Enlarged | None = None
    with closing(frames):
        for frame in frames:
            if last is not None:
                yield last.frame
            last = frame
    if last is not None:
        yield last.frame


def upscale_video(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    scale: float | None = None,
    *,
    size: Size | Box | None = None,
    model: ModelLike | Upscaler = "fsrcnn",
    chroma_location: ChromaLocation | None = None,
    codec: str | None = None,
    crf: float | None = None,
    preset: str | None = None,
    pix_fmt: str | None = None,
    reuse: bool = True,
    overwrite: bool = False,
    progress: Callable[[Progress], object] | None = None,
    **options: Unpack[EngineOptions],
) -> Progress:
    """Upscale a video file: its frames as :func:`upscale_frames` does, and everything else as it is.

    Audio, subtitles, attachments, chapters, metadata, aspect ratio, rotation, colour tags and the time of
    every frame are copied; streams of other data are not. ``output``: its suffix chooses the container. It is
    written under another name beside it, and renamed when it is complete.

    ``scale`` (default 2) or ``size``: as in :meth:`Upscaler.upscale_planes`; a ``size`` is that of the video
    as it is shown, where it is to be turned. Encoders of 4:2:0 mostly want even sides: only those given
    outright can be odd. ``model`` and ``options``: as in :func:`upscale_frames`.

    ``codec``: an encoder, such as "libx264"; default one for the input's codec (H.264, H.265, AV1, VP9, FFV1,
    ProRes) where it takes the pixel format and fits the container, else libx264 or what does. ``crf`` and
    ``preset``: the encoder's options for quality and effort; by default the quality is high (CRF 18 of
    libx264), and the effort is the encoder's choice. ``pix_fmt``: the pixel format to encode; default that of
    the input. ``threads`` are those of the encoder too. ``reuse``: as in :func:`upscale_frames`.
    ``overwrite``: whether ``output`` may exist.
    ``progress`` is called after each frame.

    Returns how far it came. Decoding, the network and encoding overlap.

    Raises what :func:`upscale_frames` raises; ``FileExistsError``; ``OSError`` for an output that cannot be
    written; ``ValueError`` for what does not fit the container or the encoder. Nothing is left of the output
    then. Warns of interlaced video, as its fields are mixed, and of video that ends before its time.
    """
    upscaler = as_upscaler(model, **options)
    goal = goal_of(scale, size, VIDEO_SCALE)
    source, output = Path(source), Path(output)
    if os.path.lexists(output) and not overwrite:
        raise FileExistsError(errno.EEXIST, "exists already", str(output))
    container, stream, enlarge = prepare(source, goal, upscaler, chroma_location, reuse)
    others: Packets = deque()
    frames = decode(source, container, stream, others)
    # The first frame tells what the container may not; from then on the reader has the input to itself.
    first = next(frames, None)
    if first is None:
        raise ValueError("has no frames")
    if first.interlaced_frame:
        warnings.warn(INTERLACED.format(source), stacklevel=2)
    enlarge.resemble(first)
    total, announced = announced_of(container, stream)
    encoding = enlarge.encoding(first, codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt)
    done = Progress(0, total, 0.0, str(enlarge.upscaler.weights))
    with (
        as_os_error(f"{output} cannot be written", output),  # what the input raises has become one by now
        atomic_path(output, output.suffix) as temporary,
        closing(enlarge.stream(_resume(first, frames))) as results,
        av.open(url_of(temporary), "w") as target,
    ):
        copies = add_streams(target, container, stream, first, encoding)
        encoder = copies.pop(stream.index)
        for unchanged, seconds in _encode(target, encoder, results, others, copies):
            done = done.after(unchanged, seconds)
            if progress:
                progress(done)
    if ending := cut_short(source, done.seconds, announced):
        warnings.warn(ending, stacklevel=2)
    return done


def cut_short(source: Path | Remote, seconds: float, announced: float) -> str:
    """Say that a video ends long before its time; nothing where it does not."""
    if announced - seconds <= max(_MISSING[0], _MISSING[1] * announced):
        return ""
    return f"{source} ends after {seconds:.1f} s of {announced:.1f} s, and may be truncated or damaged"


def _encode(
    target: OutputContainer,
    encoder: VideoStream,
    frames: Iterator[Enlarged],
    others: Packets,
    copies: dict[int, Any],
) -> Iterator[tuple[float, float]]:
    """Write frames and, as they come beside them, the packets of the ``others``.

    Tells of each which part was unchanged, and what it ends at.
    """
    start(target, encoder)
    begin: float | None = None
    for frame, unchanged in frames:
        begin = _start(frame) if begin is None else begin
        copy_packets(target, others, copies)
        target.mux(encoder.encode(frame))
        yield unchanged, _end(frame) - begin
    copy_packets(target, others, copies)
    target.mux(encoder.encode(None))


class Enlarged(NamedTuple):
    """A frame made larger, and which part of its luma, 0..1, was copied from the one before it."""

    frame: av.VideoFrame
    unchanged: float


class Enlarger:
    """Makes frames larger, one on a thread; ``reuse``: with what is as in the frame before copied from it."""

    def __init__(self, goal: Goal, upscaler: Upscaler, chroma_location: ChromaLocation, reuse: bool) -> None:
        self.goal = goal
        self.reuse = reuse
        self.upscaler = upscaler.with_threads(1)
        self.threads = upscaler.threads
        self.chroma_location = chroma_location
        self._first: av.VideoFrame | None = None

    def resemble(self, first: av.VideoFrame) -> None:
        """Have all frames be as the first, also in how they are to be turned when they are shown."""
        self._first = first
        if first.rotation % 180 and isinstance(self.goal, Box):
            self.goal = self.goal.turned()

    def size_of(self, frame: av.VideoFrame) -> Size:
        """(width, height) of what becomes of a frame; ``ValueError`` where it cannot become that."""
        layout = _layout(frame.format.name, self.chroma_location)
        return size_of(self.goal, (frame.width, frame.height), layout.step(len(frame.planes)))

    def encoding(
        self,
        first: av.VideoFrame,
        *,
        codec: str | None = None,
        crf: float | None = None,
        preset: str | None = None,
        pix_fmt: str | None = None,
    ) -> Encoding:
        """Say how what becomes of ``first`` and the frames behind it is to be encoded."""
        return Encoding(
            codec=codec,
            crf=crf,
            preset=preset,
            pix_fmt=pix_fmt,
            computed=FULL_RANGE.get(first.format.name, first.format.name),
            size=self.size_of(first),
            threads=self.threads,
            chroma_location=self.chroma_location,
        )

    def stream(self, frames: Generator[av.VideoFrame, None, None]) -> Generator[Enlarged, None, None]:
        """Enlarge frames as they come, several at once, in order; ``frames`` runs in a thread of its own."""
        # Beyond one frame a thread: one that is encoded meanwhile, and one that is ready behind it.
        return in_order_linked(self._enlarge, read_ahead(frames, 2), self.threads, self.threads + 2)

    def _enlarge(self, frame: av.VideoFrame, last: tuple[av.VideoFrame, Future[Enlarged]] | None) -> Enlarged:
        if self._first is not None:
            _check_unchanged(frame, self._first)
        layout = _layout(frame.format.name, self.chroma_location)
        name = frame.format.name
        size = self.size_of(frame)
        result = av.VideoFrame(*size, FULL_RANGE.get(name, name))
        before = None
        if self.reuse and last and _kind(last[0]) == _kind(frame):
            before = Before(_planes(last[0], layout), lambda: _planes(last[1].result().frame, layout))
        unchanged = self.upscaler.upscale_frame(
            _planes(frame, layout), _planes(result, layout), layout, before
        )
        result.pts, result.time_base, result.duration = frame.pts, frame.time_base, frame.duration
        result.color_range, result.colorspace = frame.color_range, frame.colorspace
        result.color_primaries, result.color_trc = frame.color_primaries, frame.color_trc
        return Enlarged(result, unchanged)


def prepare(
    path: Path | Remote,
    goal: Goal,
    upscaler: Upscaler,
    chroma_location: ChromaLocation | None,
    reuse: bool = True,
) -> tuple[InputContainer, VideoStream, Enlarger]:
    """Open a file, and settle what all its frames share: weights, and the place of chroma."""
    container, stream = open_video(path, upscaler.threads)
    location = chroma_location or _chroma_location(path, container, stream)
    return container, stream, Enlarger(goal, _settled(upscaler, path), location, reuse)


def _settled(upscaler: Upscaler, path: Path | Remote) -> Upscaler:
    """Choose the weights for a whole file by frames all over it."""
    if upscaler.weights is not None:
        return upscaler
    votes: list[bool] = []
    quantisers: list[float] = []
    for frame, is_last in _samples(path):
        layout = _layout(frame.format.name, "left")
        parameters: Any = frame.side_data.get("VIDEO_ENC_PARAMS")
        if parameters is not None:
            qp = as_h264_qp(parameters.codec_type.name, mean_qp(parameters), layout.bits)
            quantisers += [] if qp is None else [qp]
        if is_last:
            votes.append(is_graphics(_planes(frame, layout)[0], bits=layout.bits))

    def loss() -> Loss:
        if not quantisers:
            return Loss()
        return loss_of_video(sum(quantisers) / len(quantisers))

    return upscaler.choose_by(loss, lambda: 2 * sum(votes) > len(votes))


def _samples(path: Path | Remote) -> Iterator[tuple[av.VideoFrame, bool]]:
    """Decode a few frames at some places of a file, and tell the last one of each place."""
    container, stream = open_video(path, 1)
    stream.codec_context.options = {"export_side_data": "venc_params"}
    seen: set[int | None] = set()
    # Where the file is damaged or cannot be searched, what has come has to do.
    with container, suppress(Exception):
        for part in _PLACES:
            if part:
                container.seek(int(part * (container.duration or 0)))
            frames = list(islice(container.decode(stream), _AT_A_PLACE))
            if not frames or frames[0].pts in seen:
                continue
            seen.add(frames[0].pts)
            yield from ((frame, frame is frames[-1]) for frame in frames)


def mean_qp(parameters: Any) -> float:
    """Mean quantiser of a frame's blocks; that of the frame where it tells of no blocks."""
    count = parameters.nb_blocks
    if not count:
        return float(parameters.qp)
    # AVVideoBlockParams: four integers of place and size before the difference.
    offset, stride = parameters.blocks_offset + 16, (parameters.block_size,)
    differences = np.ndarray((count,), np.int32, parameters, offset, stride)
    return float(parameters.qp + differences.mean())


@lru_cache
def _layout(name: str, chroma_location: ChromaLocation) -> Layout:
    """Describe a pixel format; ``ValueError`` unless it is planar YUV or grey without alpha."""
    pixels = av.VideoFormat(name, 64, 64)
    components = pixels.components
    bits = components[0].bits if components else 0
    if (
        pixels.is_rgb
        or pixels.is_bit_stream
        or pixels.has_palette
        or (pixels.is_big_endian and bits > 8)
        or [component.plane for component in components] not in ([0], [0, 1, 2])
        or not 8 <= bits <= 16
    ):
        raise ValueError(f"has the pixel format {name}, which is not planar YUV or grey of 8 to 16 bits")
    if len(components) == 1:
        return Layout(bits, (1, 1), chroma_location)
    return Layout(bits, (64 // components[1].width, 64 // components[1].height), chroma_location)


def _planes(frame: av.VideoFrame, layout: Layout) -> list[npt.NDArray[Any]]:
    """View the planes of a frame as arrays, in place."""
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, layout.dtype)  # type: ignore[call-overload]
        rows = rows.reshape(plane.height, -1)[:, : plane.width]
        planes.append(rows if plane.line_size > 0 else rows[::-1])
    return planes


def open_video(path: Path | Remote, threads: int) -> tuple[InputContainer, VideoStream]:
    """Open a file and find its video; ``OSError`` or ``ValueError`` if there is none."""
    if isinstance(path, Path):
        check_regular(path)
    with as_os_error("is no video that can be read", path):
        file: Any = url_of(path) if isinstance(path, Path) else path.open("rb")
        container = av.open(file, metadata_errors="replace", options=_ALONE)
        try:
            return container, _find(container, threads)
        except BaseException:
            container.close()
            raise


def _find(container: InputContainer, threads: int) -> VideoStream:
    """Find the video in a file, and have it decoded; ``ValueError`` where that cannot be."""
    if container.format.name in _LISTS:
        raise ValueError(f"is a list of other files ({container.format.name}), and no video")
    covers = av.stream.Disposition.attached_pic
    stream = next((stream for stream in container.streams.video if not stream.disposition & covers), None)
    if stream is None or not stream.codec_context or not stream.codec_context.pix_fmt:
        raise ValueError("has no video that can be decoded")
    stream.thread_count, stream.thread_type = threads, av.codec.context.ThreadType.AUTO
    _layout(stream.codec_context.pix_fmt, "left")
    return stream


def url_of(path: Path) -> str:
    """Name a file as FFmpeg does; without the protocol, it takes what is before a colon for one."""
    return f"file:{path}"


def decode(
    path: Path | Remote, container: InputContainer, stream: VideoStream, others: Packets
) -> Generator[av.VideoFrame, None, None]:
    """Decode the frames; packets of other streams that are met on the way are added to ``others``."""
    with as_os_error("cannot be decoded", path), suppress(av.EOFError), container:
        for packet in container.demux():
            if packet.stream_index != stream.index:
                if packet.size:  # the last, empty ones only flush decoders
                    others.append(packet)
                continue
            for frame in stream.decode(packet):
                if frame.pts is None or frame.time_base is None:
                    raise ValueError("has a frame without a time")
                yield frame


def _resume(
    first: av.VideoFrame, frames: Generator[av.VideoFrame, None, None]
) -> Generator[av.VideoFrame, None, None]:
    yield first
    yield from frames


def copy_packets(target: OutputContainer, packets: Packets, streams: dict[int, Any]) -> None:
    while packets:
        packet = packets.popleft()
        if packet.stream_index in streams:
            packet.stream = streams[packet.stream_index]
            target.mux_one(packet)


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    """Width, height and pixel format, whatever the range."""
    return frame.width, frame.height, FULL_RANGE.get(frame.format.name, frame.format.name)


def _check_unchanged(frame: av.VideoFrame, first: av.VideoFrame) -> None:
    now, before = _kind(frame), _kind(first)
    if now != before:
        raise ValueError(
            f"changes from {before[0]}x{before[1]} {before[2]} to {now[0]}x{now[1]} {now[2]} "
            f"at {frame.time:.3f} s, and the output can hold only one of them"
        )


def _chroma_location(path: Path | Remote, container: InputContainer, stream: VideoStream) -> ChromaLocation:
    if container.format.name == "yuv4mpegpipe":
        with path.open("rb") as file:
            return read_header(file).layout.chroma_location
    return "center" if stream.codec_context.codec.canonical_name in _CENTRED else "left"


def announced_of(container: InputContainer, stream: VideoStream) -> tuple[int | None, float]:
    """How many frames and seconds of video the container speaks of; None and 0 where it does not."""
    if stream.duration and stream.time_base:
        seconds = stream.duration * stream.time_base
    else:
        seconds = Fraction(container.duration or 0, av.time_base)
    rate = stream.average_rate or stream.guessed_rate
    return stream.frames or (round(rate * seconds) if rate else 0) or None, float(seconds)


def _start(frame: av.VideoFrame) -> float:
    return float((frame.pts or 0) * (frame.time_base or 0))


def _end(frame: av.VideoFrame) -> float:
    return float(((frame.pts or 0) + (frame.duration or 0)) * (frame.time_base or 0))


@contextmanager
def as_os_error(what: str, path: Path | Remote) -> Iterator[None]:
    """Make an ``OSError`` of what the libraries raise, which may be anything; what we raise ourselves passes.

    It is of the system's kind where the error is the system's.
    """
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise OSError(f"{what}: {error.strerror or one_line(error)}") from error
    except (OSError, ValueError, TypeError, MemoryError):
        raise
    except Exception as error:
        raise OSError(f"{what}: {one_line(error)}") from error
