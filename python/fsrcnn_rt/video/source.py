"""How a video file is read: its frames, with their times, and the packets beside them. Needs PyAV."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from io import BufferedReader
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

import av

from fsrcnn_rt.engine.planes import ChromaLocation
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.files import check_regular
from fsrcnn_rt.video.pixels import pixels

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


class Remote(Protocol):
    """A file that is not on this machine, and can be read in pieces; as text it is its name."""

    def open(self, mode: Literal["rb"]) -> BufferedReader:
        """Open it to be read at any place."""


Frames: TypeAlias = "Generator[av.VideoFrame, None, None]"

# What an input may refer to, and what does nothing but refer to other files.
_ALONE = {"protocol_whitelist": "file"}
_LISTS = ("concat", "dash", "hls", "imf")

# A video that ends by more than this before its announced end, in seconds and as a part, is told to do so.
_MISSING = (0.5, 0.05)

# FFmpeg's own decoders of these leave alpha out, which lies beside the packets; the libraries' have it.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

# In a stream that is put together of others times jump, by more seconds than these: back and ahead.
_BACK, _AHEAD = Fraction(1, 10), 10
_RECENT = 4  # jumps, from before which packets may still come

_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT: what a demuxer says of such containers

# Held while FFmpeg's messages are listened to: their level is one for all threads.
_listening = Lock()


class Film:
    """A video file that is open: its container, the stream of its pictures, and what is met beside them.

    ``others``: packets of other streams, as they lie between those of the frames that were decoded; none
    where they are not ``kept``.
    """

    def __init__(self, path: Path | Remote, threads: int, *, kept: bool = False) -> None:
        """Open a file and find its video; ``OSError`` or ``ValueError`` if there is none."""
        self.path = path
        self.others: deque[av.Packet[Any]] = deque(maxlen=None if kept else 0)
        if isinstance(path, Path):
            check_regular(path)
        with as_os_error("is no video that can be read", path):
            file: Any = url_of(path) if isinstance(path, Path) else path.open("rb")
            self.container: InputContainer = av.open(
                file, metadata_errors="replace", container_options=_ALONE
            )
            try:
                self.stream = _find(self.container, threads)
                self._decoder = _decoder_of(self.stream, threads)
                self.clock = Clock(self.container)
            except BaseException:
                self.container.close()
                raise

    def frames(self, *, deinterlace: bool = False) -> Frames:
        """Decode the frames; those that are marked as interlaced are made whole, where that is asked for."""
        with as_os_error("cannot be decoded", self.path):
            yield from _deinterlaced(self._frames()) if deinterlace else self._frames()

    def _frames(self) -> Frames:
        with suppress(av.EOFError), self.container:
            for packet in self.container.demux():
                self.clock.correct(packet)
                if packet.stream_index != self.stream.index:
                    if packet.size:  # the last, empty ones only flush decoders
                        self.others.append(packet)
                    continue
                for frame in self._decoder.decode(packet):
                    if frame.pts is None or frame.time_base is None:
                        raise ValueError("has a frame without a time")
                    yield frame

    def announced(self, first: av.VideoFrame) -> tuple[int | None, float]:
        """How many frames and seconds of video the container speaks of; None and 0 where it does not."""
        stream, container = self.stream, self.container
        if stream.duration and stream.time_base:
            seconds = stream.duration * stream.time_base
        else:
            seconds = Fraction(container.duration or 0, av.time_base)
        if container.format.name in _FROM_ZERO and first.pts and first.time_base:
            seconds = max(seconds - first.pts * first.time_base, Fraction(0))
        rate = stream.average_rate or stream.guessed_rate
        return stream.frames or (round(rate * seconds) if rate else 0) or None, float(seconds)

    def cut_short(self, seconds: float, announced: float) -> str:
        """Say that the video ends long before its time; nothing where it does not, or times jump."""
        if self.clock.jumped or announced - seconds <= max(_MISSING[0], _MISSING[1] * announced):
            return ""
        return f"{self.path} ends after {seconds:.1f} s of {announced:.1f} s, and may be truncated or damaged"

    def chroma_location(self) -> ChromaLocation:
        """Tell where chroma lies, as the codec or the container says; "left" where neither does."""
        # The reader is left where it stands.
        told = ""
        with (
            suppress(OSError, StopIteration),
            as_os_error("", self.path),
            Film(self.path, 1).container as again,
        ):
            told = _told_of_chroma(next(again.decode(again.streams[self.stream.index])))
        known: dict[str, ChromaLocation] = {name: name for name in get_args(ChromaLocation)}
        if told not in ("", "unspecified", *known):
            raise ValueError(f"has its chroma at {told}, which cannot be kept (--chroma-location: another)")
        return known.get(told, "left")


# Containers whose duration counts from zero, wherever their first frame lies.
_FROM_ZERO = ("matroska,webm", "avi")


class Clock:
    """Gives packets times without jumps, of streams that are put together of others, as MPEG-TS may be.

    What follows a jump goes on where the stream was. All streams are moved by as much, so that they stay in
    step; packets of before the jump may still come after it.
    """

    def __init__(self, container: InputContainer) -> None:
        flags: Any = container.format.flags
        self._may_jump = bool(getattr(flags, "value", flags) & _TS_DISCONT)  # PyAV 17 has a Flag for it
        self._shifts = [Fraction(0)]
        self._ends: dict[int, Fraction] = {}  # of the last packet of each stream, by its index

    @property
    def jumped(self) -> bool:
        """Whether there was a jump so far."""
        return len(self._shifts) > 1

    def correct(self, packet: av.Packet[Any]) -> None:
        """Move the times of a packet by what jumps before it have come to."""
        if not self._may_jump or not packet.time_base:
            return
        if packet.dts is None:  # as frames are shown, times go up and down
            shift = self._shifts[-1]
        else:
            seconds = packet.dts * packet.time_base
            shift = self._shift_at(seconds, packet.stream)
            if packet.stream.type in ("video", "audio"):  # which go on without gaps
                end = seconds + shift + (packet.duration or 0) * packet.time_base
                self._ends[packet.stream_index] = end
        if shift:
            moved = round(shift / packet.time_base)
            packet.dts = None if packet.dts is None else packet.dts + moved
            packet.pts = None if packet.pts is None else packet.pts + moved

    def _shift_at(self, seconds: Fraction, stream: Any) -> Fraction:
        if not self._ends:
            return self._shifts[-1]
        latest = max(self._ends.values())
        own = self._ends.get(stream.index, latest)
        back = _BACK if stream.index in self._ends else _AHEAD
        recent = self._shifts[-_RECENT:]
        fitting = [shift for shift in recent if own - back <= seconds + shift <= latest + _AHEAD]
        if fitting:
            return min(fitting, key=lambda shift: abs(seconds + shift - own))
        if stream.index in self._ends:
            self._shifts.append(own - seconds)
        return self._shifts[-1]


def _deinterlaced(frames: Frames) -> Frames:
    """Make a whole frame of each that is marked as interlaced."""
    graph, last = None, None
    with closing(frames):
        for frame in frames:
            if graph is None or last is None or _kind(frame) != _kind(last):
                if graph is not None and last is not None:
                    yield from _filtered(graph, None, last.format.name)
                graph = _graph(frame, "bwdif", "mode=send_frame:deint=interlaced")
            last = frame
            yield from _filtered(graph, frame, frame.format.name)
    if graph is not None and last is not None:
        yield from _filtered(graph, None, last.format.name)


def _kind(frame: av.VideoFrame) -> tuple[object, ...]:
    return frame.width, frame.height, frame.format.name, frame.time_base


def _graph(like: av.VideoFrame, name: str, options: str) -> av.filter.Graph:
    """Make a filter ready for frames such as this one."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=like.width, height=like.height, format=like.format, time_base=like.time_base
    )
    graph.link_nodes(source, graph.add(name, options), graph.add("buffersink")).configure()
    return graph


def _filtered(graph: av.filter.Graph, frame: av.VideoFrame | None, name: str) -> Frames:
    """Give the filter a frame, or None at the end, and take what comes; ``name``: its pixel format."""
    graph.push(frame)
    with suppress(BlockingIOError, av.EOFError):
        while True:
            result: Any = graph.pull()
            # FFmpeg converts for a filter by itself: without a loss where samples only change places.
            if pixels(result.format.name).result != pixels(name).result:
                raise ValueError(f"has the pixel format {name}, which bwdif does not take")
            # Its clock is twice as fast as that of what went in, for an output of all fields.
            result.pts, result.duration = result.pts // 2, result.duration // 2
            result.time_base *= 2
            yield result


def _find(container: InputContainer, threads: int) -> VideoStream:
    """Find the video in a file, and have it decoded; ``ValueError`` where that cannot be."""
    if container.format.name in _LISTS:
        raise ValueError(f"is a list of other files ({container.format.name}), and no video")
    covers = av.stream.Disposition.attached_pic
    stream = next((stream for stream in container.streams.video if not stream.disposition & covers), None)
    if stream is None or not stream.codec_context or not stream.codec_context.pix_fmt:
        raise ValueError("has no video that can be decoded")
    stream.thread_count, stream.thread_type = threads, av.codec.context.ThreadType.AUTO
    pixels(stream.codec_context.pix_fmt)
    return stream


def _decoder_of(stream: VideoStream, threads: int) -> Any:
    """Return what decodes the packets of a stream with all that they hold."""
    alpha = {name.lower(): value for name, value in stream.metadata.items()}.get("alpha_mode") == "1"
    name = _WITH_ALPHA.get(stream.codec_context.codec.canonical_name) if alpha else None
    if name is None:
        return stream
    try:
        decoder = av.CodecContext.create(name, "r")
    except (ValueError, av.FFmpegError) as error:
        raise ValueError(f"has alpha, and this PyAV has no {name}, which reads it") from error
    decoder.extradata, decoder.thread_count = stream.codec_context.extradata, threads
    return decoder


def _told_of_chroma(frame: av.VideoFrame) -> str:
    """Name the place of a frame's chroma; nothing where it cannot be told."""
    # PyAV has no attribute for it, but a filter of FFmpeg tells it in words.
    graph = _graph(frame, "showinfo", "checksum=0")
    with _listening:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture() as lines:
                graph.push(frame)
                graph.pull()
        finally:
            av.logging.set_level(level)
    words = " ".join(line for _, _, line in lines).split()
    return next((word.removeprefix("cl:") for word in words if word.startswith("cl:")), "")


def url_of(path: Path) -> str:
    """Name a file as FFmpeg does; without the protocol, it takes what is before a colon for one."""
    return f"file:{path}"


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
