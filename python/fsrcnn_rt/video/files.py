"""Video files: frames through the network without ever leaving YUV, all else copied. Needs PyAV."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fsrcnn_rt.engine.planes import ChromaLocation
from fsrcnn_rt.engine.sizes import VIDEO_SCALE, Box, Goal, Size, goal_of, size_of
from fsrcnn_rt.engine.streams import Progress, Spent, Stopwatch, in_order_linked, read_ahead
from fsrcnn_rt.engine.upscaler import ModelLike, Upscaler, as_upscaler
from fsrcnn_rt.engine.variants import Loss, as_h264_qp, loss_of_video
from fsrcnn_rt.files import atomic_path
from fsrcnn_rt.video.y4m import Sink, write

try:
    import av

    from fsrcnn_rt.video.encoder import Asked, Encoding, add_streams, as_encoded, resemble, start
    from fsrcnn_rt.video.pixels import pixels
    from fsrcnn_rt.video.source import Film, Frames, Remote, as_os_error, url_of
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "video files need PyAV, which is not installed: pip install 'fsrcnn-rt[video]'", name="av"
    ) from error

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from typing_extensions import Unpack

    from fsrcnn_rt.engine.options import EngineOptions

__all__ = ["upscale_frames", "upscale_video"]


# The weights for a file are chosen at these parts of its duration, so that a title is not taken for the film,
# and by so many frames there, as quantisers go up and down with the kind of frame.
_PLACES = (0.0, 0.2, 0.4, 0.6, 0.8)
_AT_A_PLACE = 8

# Of so few frames x265 tells random times of decoding; none of them waits for another.
_FEW = 2

# A stream is to be seen while it is made: packets go out by so many milliseconds of it.
_LIVE = {"flush_packets": "1", "cluster_time_limit": "200"}

INTERLACED = "{} is interlaced, and upscaling mixes its fields (see fsrcnn-rt video --deinterlace)"


def upscale_frames(
    source: str | os.PathLike[str],
    scale: float | None = None,
    *,
    size: Size | Box | None = None,
    model: ModelLike | Upscaler = "fsrcnn",
    chroma_location: ChromaLocation | None = None,
    reuse: bool = True,
    deinterlace: bool = False,
    **options: Unpack[EngineOptions],
) -> Iterator[av.VideoFrame]:
    """Upscale the frames of a video file, and give them in the order in which they are shown.

    ``source``: a file with video of YUV, grey or RGB of 8 to 16 bits. The luma plane goes through the
    network, and the planes of chroma and alpha through the bicubic filter, as in
    :meth:`Upscaler.upscale_planes`: a luma plane of 8 bits becomes what :meth:`Upscaler.upscale` makes of
    it, whatever the range of the video. RGB is upscaled by that as well: of 8 and 16 bits as such arrays,
    between them as floats. ``scale`` (default 2) or ``size``: as in :meth:`Upscaler.upscale_planes`.
    ``model`` and ``options``: as :class:`Upscaler` has them, or a ready one; ``colour`` is for RGB only.
    "auto" looks at a few frames all over the file and settles on one for all: on graphics where most of the
    frames are, on the level by the mean quantiser of H.264, VP9, MPEG-2 and MPEG-4 Part 2; FFmpeg tells that
    of no other codec, and it is 0 then. As many frames are computed at once as there are ``threads``, each
    on one; the decoder, which runs ahead of them, has as many. A few frames are held. ``chroma_location``:
    "left", "center" or "topleft"; default what the stream has, mostly "left". ``deinterlace``: whether frames
    that are marked as interlaced become whole ones first, by bwdif, one of each. ``reuse``: whether what is
    as in the frame before is copied and not computed again, which changes no bit; of RGB only whole frames.

    Yields the larger frames, with the time and colour tags of the original, and with its pixel format, or
    where samples are interleaved there (NV12, P010, rgb24) the planar one of the same samples.

    Raises ``OSError`` for a file that cannot be read, ``ValueError`` for one without video of such a kind and
    what :class:`Upscaler` raises; in its turn ``OSError`` for a frame that cannot be decoded. Raises
    ``ModuleNotFoundError`` where PyAV is not installed.
    """
    upscaler = as_upscaler(model, **options)
    goal = goal_of(scale, size, VIDEO_SCALE)
    film, enlarge = prepare(Path(source), goal, upscaler, chroma_location, reuse=reuse)
    return _out_of_use(enlarge.stream(film.frames(deinterlace=deinterlace)))


def _out_of_use(frames: Generator[Enlarged, None, None]) -> Iterator[av.VideoFrame]:
    """Give each frame once the one behind it no longer copies from it: whoever gets it may write to it."""
    last: Enlarged | None = None
    fault: Exception | None = None
    with closing(frames):
        while True:
            try:
                frame = next(frames, None)
            except Exception as error:  # it is the turn of the frame before
                frame, fault = None, error
            if last is not None:
                yield last.frame
            if frame is None:
                break
            last = frame
    if fault is not None:
        raise fault


def upscale_video(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str] | Sink,
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
    drop_unfit: bool = False,
    deinterlace: bool = False,
    overwrite: bool = False,
    progress: Callable[[Progress], object] | None = None,
    **options: Unpack[EngineOptions],
) -> Progress:
    """Upscale a video file: its frames as :func:`upscale_frames` does, and everything else as it is.

    Audio, subtitles, attachments, chapters, metadata, aspect ratio, rotation, colour tags, HDR10 metadata and
    the time of every frame are copied; streams of other data are not. ``output``: its suffix chooses the
    container. It is written under another name beside it, and renamed when it is complete. It may also be a
    file that is open for writing, as stdout, which gets Matroska as it comes.

    ``scale`` (default 2) or ``size``: as in :meth:`Upscaler.upscale_planes`; a ``size`` is that of the video
    as it is shown, where it is to be turned. Encoders of 4:2:0 mostly want even sides: only those given
    outright can be odd. ``model`` and ``options``: as in :func:`upscale_frames`.

    ``codec``: an encoder, such as "libx264"; default one for the input's codec (H.264, H.265, AV1, VP9, FFV1,
    ProRes) where it takes the pixel format and fits the container, else libx264 or what does. ``crf`` and
    ``preset``: the encoder's options for quality and effort; by default the quality is high (CRF 18 of
    libx264), and the effort is the encoder's choice. ``pix_fmt``: the pixel format to encode; default that of
    the input. ``drop_unfit``: whether what the output cannot hold (a stream, alpha, HDR10 metadata) is left
    out with a warning; it is refused else. ``deinterlace`` and ``reuse``: as in :func:`upscale_frames`.
    ``threads`` are those of the encoder too. ``overwrite``: whether ``output`` may exist. ``progress`` is
    called after each frame.

    Returns how far it came, and what has taken its time. Decoding, the network and encoding overlap.

    Raises what :func:`upscale_frames` raises; ``FileExistsError``; ``OSError`` for an output that cannot be
    written; ``ValueError`` for what does not fit the container or the encoder. Nothing is left of the output
    then. Warns of interlaced video, as its fields are mixed, of what is left out, and of video that ends
    before its time.
    """
    asked = Asked(codec, crf, preset, pix_fmt, drop_unfit)
    asked.check()
    upscaler = as_upscaler(model, **options)
    goal = goal_of(scale, size, VIDEO_SCALE)
    source = Path(source)
    if isinstance(output, (str, os.PathLike)):
        output = Path(output)
        if os.path.lexists(output) and not overwrite:
            raise FileExistsError(errno.EEXIST, "exists already", str(output))
    film, enlarge = prepare(source, goal, upscaler, chroma_location, kept=True, reuse=reuse)
    reading, writing = Stopwatch(), Stopwatch()
    frames = reading.of_items(film.frames(deinterlace=deinterlace))
    # The first frame tells what the container may not; from then on the reader has the input to itself.
    first = next(frames, None)
    if first is None:
        raise ValueError("has no frames")
    if first.interlaced_frame:
        warnings.warn(INTERLACED.format(source), stacklevel=2)
    enlarge.resemble(first)
    total, announced = film.announced(first)
    done = Progress(0, total, 0.0, str(enlarge.upscaler.weights))
    with (
        _created(output) as target,  # what the input raises has become an OSError by now
        closing(enlarge.stream(_resume(first, frames))) as results,
    ):
        copies, told = add_streams(target, film, first, enlarge.encoding(first, asked))
        for message in told:
            warnings.warn(f"{source}: {message}", stacklevel=2)
        for unchanged, seconds in _encode(target, film, results, copies, writing):
            spent = Spent(reading.seconds, enlarge.computing.seconds, writing.seconds)
            done = done.after(unchanged, seconds, spent)
            if progress:
                progress(done)
    if ending := film.cut_short(done.seconds, announced):
        warnings.warn(ending, stacklevel=2)
    return done._replace(spent=done.spent._replace(writing=writing.seconds))


@contextmanager
def _created(output: Path | Sink) -> Iterator[OutputContainer]:
    """Open the output for the block: a file, complete or not there, or a stream, written as it comes."""
    if isinstance(output, Path):
        with (
            as_os_error(f"{output} cannot be written", output),
            atomic_path(output, output.suffix) as temporary,
            av.open(url_of(temporary), "w") as target,
        ):
            yield target
    else:
        whole = _Whole(output)
        with as_os_error("the stream cannot be written", Path("-")):
            try:
                with av.open(whole, "w", "matroska", options=_LIVE) as target:
                    yield target
            except av.FFmpegError:
                if whole.fault is None:
                    raise
                raise whole.fault from None


class _Whole:
    """What writes all that it is given; after a fault, of which FFmpeg does not tell the kind, nothing."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.fault: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            if self.fault is None:
                write(self._sink, memoryview(data))
        except OSError as error:
            self.fault = error
            raise
        return len(data)


def _encode(
    target: OutputContainer,
    film: Film,
    frames: Iterator[Enlarged],
    copies: dict[int, Any],
    writing: Stopwatch,
) -> Iterator[tuple[float, float]]:
    """Write frames and, as they come beside them, packets of other streams.

    ``copies``: the streams of ``target`` by the index of those of the film. Tells of each frame which part
    was unchanged, and what it ends at.
    """
    encoder: VideoStream = copies.pop(film.stream.index)
    start(target, encoder)
    begin: float | None = None
    count = 0
    for frame, unchanged in frames:
        count += 1
        begin = _start(frame) if begin is None else begin
        with writing.running():
            copy_packets(target, film, copies)
            target.mux(encoder.encode(as_encoded(frame, encoder.codec_context)))
        yield unchanged, _end(frame) - begin
    with writing.running():
        copy_packets(target, film, copies)
        packets = encoder.encode(None)
        for packet in packets if count <= _FEW and encoder.codec_context.name == "libx265" else ():
            packet.dts = packet.pts
        target.mux(packets)


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
        # The time of processors: a frame may wait for the one before it.
        self.computing = Stopwatch(thread_time)
        self._first: av.VideoFrame | None = None

    def resemble(self, first: av.VideoFrame) -> None:
        """Have all frames be as the first, also in how they are to be turned when they are shown."""
        self._first = first
        if first.rotation % 180 and isinstance(self.goal, Box):
            self.goal = self.goal.turned()

    def size_of(self, frame: av.VideoFrame) -> Size:
        """(width, height) of what becomes of a frame; ``ValueError`` where it cannot become that."""
        kind = pixels(frame.format.name)
        return size_of(self.goal, (frame.width, frame.height), kind.layout.step(len(kind.places)))

    def encoding(self, first: av.VideoFrame, asked: Asked) -> Encoding:
        """Say how what becomes of ``first`` and the frames behind it is to be encoded."""
        return Encoding(
            asked,
            computed=pixels(first.format.name).result,
            size=self.size_of(first),
            threads=self.threads,
            chroma_location=self.chroma_location,
        )

    def stream(self, frames: Frames) -> Generator[Enlarged, None, None]:
        """Enlarge frames as they come, several at once, in order; ``frames`` runs in a thread of its own."""
        # Beyond one frame a thread: one that is encoded meanwhile, and one that is ready behind it.
        return in_order_linked(
            self.computing.of(self._enlarge), read_ahead(frames, 2), self.threads, self.threads + 2
        )

    def _enlarge(self, frame: av.VideoFrame, last: tuple[av.VideoFrame, Future[Enlarged]] | None) -> Enlarged:
        if self._first is not None:
            _check_unchanged(frame, self._first)
        kind = pixels(frame.format.name, self.chroma_location)
        result = av.VideoFrame(*self.size_of(frame), kind.result)
        before = None
        if self.reuse and last and _shape(last[0]) == _shape(frame):
            before = (last[0], lambda: last[1].result().frame)
        unchanged = kind.upscale(frame, result, self.upscaler, before)
        resemble(result, frame)
        return Enlarged(result, unchanged)


def prepare(
    path: Path | Remote,
    goal: Goal,
    upscaler: Upscaler,
    chroma_location: ChromaLocation | None,
    *,
    kept: bool = False,
    reuse: bool = True,
) -> tuple[Film, Enlarger]:
    """Open a file, and settle what all its frames share: weights, and the place of chroma.

    ``kept``: whether the packets of other streams are wanted.
    """
    film = Film(path, upscaler.threads, kept=kept)
    location = chroma_location or film.chroma_location()
    return film, Enlarger(goal, _settled(upscaler, path), location, reuse)


def _settled(upscaler: Upscaler, path: Path | Remote) -> Upscaler:
    """Choose the weights for a whole file by frames all over it."""
    if upscaler.weights is not None:
        return upscaler
    votes: list[bool] = []
    quantisers: list[float] = []
    for frame, is_last in _samples(path):
        kind = pixels(frame.format.name)
        parameters: Any = frame.side_data.get("VIDEO_ENC_PARAMS")
        if parameters is not None:
            qp = as_h264_qp(parameters.codec_type.name, mean_qp(parameters), kind.layout.bits)
            quantisers += [] if qp is None else [qp]
        if is_last:
            votes.append(kind.is_graphics(frame))

    def loss() -> Loss:
        if not quantisers:
            return Loss()
        return loss_of_video(sum(quantisers) / len(quantisers))

    return upscaler.choose_by(loss, lambda: 2 * sum(votes) > len(votes))


def _samples(path: Path | Remote) -> Iterator[tuple[av.VideoFrame, bool]]:
    """Decode a few frames at some places of a file, and tell the last one of each place."""
    film = Film(path, 1)
    container, stream = film.container, film.stream
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


def _resume(first: av.VideoFrame, frames: Frames) -> Frames:
    yield first
    yield from frames


def copy_packets(target: OutputContainer, film: Film, streams: dict[int, Any]) -> None:
    """Write the packets that were met beside frames, of the streams that are copied."""
    while film.others:
        packet = film.others.popleft()
        if packet.stream_index in streams:
            packet.stream = streams[packet.stream_index]
            target.mux_one(packet)


def _shape(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _check_unchanged(frame: av.VideoFrame, first: av.VideoFrame) -> None:
    now, before = ((each.width, each.height, pixels(each.format.name).result) for each in (frame, first))
    if now != before:
        raise ValueError(
            f"changes from {before[0]}x{before[1]} {before[2]} to {now[0]}x{now[1]} {now[2]} "
            f"at {frame.time:.3f} s, and the output can hold only one of them"
        )


def _start(frame: av.VideoFrame) -> float:
    return float((frame.pts or 0) * (frame.time_base or 0))


def _end(frame: av.VideoFrame) -> float:
    return float(((frame.pts or 0) + (frame.duration or 0)) * (frame.time_base or 0))
