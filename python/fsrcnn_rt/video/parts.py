"""A video file in parts, each encoded on its own, and the parts joined: the same frames at the same times.

Parts begin at key frames, so that each can be decoded without the others. Needs PyAV.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import av

from fsrcnn_rt.engine.planes import ChromaLocation
from fsrcnn_rt.engine.sizes import Goal, Size
from fsrcnn_rt.engine.streams import Progress
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.files import atomic_path
from fsrcnn_rt.video.encoder import Asked, add_streams, as_encoded, start
from fsrcnn_rt.video.files import INTERLACED, Enlarger, prepare
from fsrcnn_rt.video.source import Film, Frames, Remote, as_os_error, url_of

if TYPE_CHECKING:
    from av.container import OutputContainer

# Of a packet: its times in units of the input's clock, whether it is a key frame, and its bytes.
_PACKET = struct.Struct("<qq?I")


class PartsError(ValueError):
    """A video whose parts are not the frames that the whole has; it is to be upscaled in one piece."""


class Part(NamedTuple):
    """Frames from the time ``begin`` on and before ``end``, in units of the input's clock.

    ``times``: of these frames, ascending.
    """

    begin: int
    end: int | None
    times: tuple[int, ...]


class Cut(NamedTuple):
    """A video in parts, of one where it cannot be cut; and what is settled for all by frames all over it."""

    parts: list[Part]
    upscaler: Upscaler
    chroma_location: ChromaLocation
    size: Size  # (width, height) of its frames


class Encoded(NamedTuple):
    """A part that is encoded: times of its packets, as they follow each other, and the packets as bytes.

    ``header``: what the encoder tells of all its packets. ``unchanged``: as in
    :class:`~fsrcnn_rt.engine.streams.Progress`.
    """

    times: tuple[int, ...]
    header: bytes
    packets: bytes
    unchanged: float


def cut(
    path: Path | Remote,
    goal: Goal,
    upscaler: Upscaler,
    *,
    frames: int,
    chroma_location: ChromaLocation | None = None,
) -> Cut:
    """Cut a video file at key frames into parts of at least so many frames.

    Raises what :func:`~fsrcnn_rt.video.files.upscale_frames` raises.
    """
    film, enlarge = prepare(path, goal, upscaler, chroma_location)
    stream, packets = film.stream, []
    with as_os_error("cannot be read", path), film.container as container:
        for packet in container.demux(stream):
            film.clock.correct(packet)
            if packet.size:
                packets.append((packet.pts, packet.is_keyframe))
    settled = enlarge.upscaler.with_threads(upscaler.threads)
    size = (stream.codec_context.width, stream.codec_context.height)
    # Where times jump, there is no place that they could be looked for at.
    return Cut([] if film.clock.jumped else _parts(packets, frames), settled, enlarge.chroma_location, size)


def _parts(packets: Sequence[tuple[int | None, bool]], frames: int) -> list[Part]:
    """Share out packets; no part where some have no time, or the same."""
    times = sorted(pts for pts, _ in packets if pts is not None)
    if len(set(times)) < len(packets):
        return []
    begins: list[int] = []
    for key in sorted(pts for pts, is_key in packets if is_key and pts is not None):
        place = bisect_left(times, key)
        if not begins or place - begins[-1] >= frames:
            begins.append(place)
    if not begins or begins[0] > 0:
        return []
    if len(begins) > 1 and len(times) - begins[-1] < frames:  # the rest is too short for a part
        begins.pop()
    ends: list[int | None] = [*begins[1:], None]
    return [
        Part(times[begin], None if end is None else times[end], tuple(times[begin:end]))
        for begin, end in zip(begins, ends, strict=True)
    ]


def encode_part(
    path: Path | Remote, suffix: str, part: Part, goal: Goal, cut: Cut, asked: dict[str, Any], threads: int
) -> Encoded:
    """Upscale and encode a part of a video file, for a container of this suffix.

    ``asked``: codec, crf, preset, pix_fmt and drop_unfit, as of :func:`~fsrcnn_rt.video.files.upscale_video`.
    :class:`PartsError` where the frames are not those of the part.
    """
    upscaler = cut.upscaler.with_threads(threads)
    film, enlarge = prepare(path, goal, upscaler, cut.chroma_location)
    first = _first(film, enlarge)
    film = Film(path, threads)
    with as_os_error("cannot be decoded", path):
        film.container.seek(part.begin, stream=film.stream)
    times: list[int] = []
    records: list[bytes] = []
    done = Progress(0, None, 0.0)
    with (
        TemporaryDirectory(prefix="fsrcnn-rt-") as folder,
        as_os_error("cannot be encoded", path),
        av.open(url_of(Path(folder, f"part{suffix}")), "w") as target,
        closing(enlarge.stream(_within(film.frames(), part))) as results,
    ):
        # What is opened and never written is the container, since encoders suit themselves to it.
        source = Film(path, 1)
        with source.container:
            streams, _ = add_streams(target, source, first, enlarge.encoding(first, Asked(**asked)))
            encoder = streams[source.stream.index]
        start(target, encoder)
        header = bytes(encoder.codec_context.extradata or b"")

        def packets() -> Iterator[av.Packet[Any]]:
            nonlocal done
            for frame, unchanged in results:
                done = done.after(unchanged, 0.0)
                yield from encoder.encode(as_encoded(frame, encoder.codec_context))
            yield from encoder.encode(None)

        for packet in packets():
            if packet.pts is None or packet.time_base != first.time_base:
                raise PartsError("its encoder tells no times of packets")
            if packet.has_sidedata("matroska_block_additional"):
                raise PartsError("its encoder has alpha beside the packets")
            times.append(packet.pts)
            records.append(_PACKET.pack(packet.pts, packet.duration or 0, packet.is_keyframe, packet.size))
            records.append(bytes(packet))
    if sorted(times) != list(part.times):
        raise PartsError("its encoder leaves out frames, or makes some")
    return Encoded(tuple(times), header, b"".join(records), done.unchanged)


def join(
    path: Path | Remote,
    output: Path,
    goal: Goal,
    cut: Cut,
    asked: dict[str, Any],
    threads: int,
    times: Sequence[Sequence[int]],
    parts: Iterable[Encoded],
) -> tuple[Progress, list[str]]:
    """Join encoded parts to a video file, with everything else that the input holds.

    ``times``: of the packets of all parts, and ``parts``, which are asked for in their order. Returns how far
    it came, and what there is to warn of. Raises as
    :func:`~fsrcnn_rt.video.files.upscale_video` does.
    """
    upscaler = cut.upscaler.with_threads(threads)
    film, enlarge = prepare(path, goal, upscaler, cut.chroma_location)
    first = _first(film, enlarge)
    clock = first.time_base
    assert clock is not None  # as all frames that are decoded have a time
    source = Film(path, 1)
    total, announced = source.announced(first)
    told = [INTERLACED.format(path)] if first.interlaced_frame else []
    decode_times = iter(_decode_times([time for part in times for time in part]))
    with (
        as_os_error(f"{output} cannot be written", output),
        source.container,
        atomic_path(output, output.suffix) as temporary,
        av.open(url_of(temporary), "w") as target,
    ):
        copies, unfit = add_streams(target, source, first, enlarge.encoding(first, Asked(**asked)))
        told += [f"{path}: {message}" for message in unfit]
        encoder = copies.pop(source.stream.index)
        start(target, encoder)
        header = bytes(encoder.codec_context.extradata or b"")
        others = _Others(target, source, copies)
        frames, end, unchanged = 0, 0, 0.0
        for part in parts:
            unchanged += part.unchanged * len(part.times)
            if part.header != header:
                raise PartsError("its encoder tells another header of each part")
            for packet, until in _packets(part):
                time = next(decode_times)
                packet.stream, packet.time_base, packet.dts = encoder, clock, time
                others.copy_until(float(time * clock))
                frames, end = frames + 1, max(end, until)
                target.mux_one(packet)
        others.copy_until(float("inf"))
    seconds = float((end - times[0][0]) * clock)
    if ending := source.cut_short(seconds, announced):
        told.append(ending)
    return Progress(frames, total, seconds, str(cut.upscaler.weights), unchanged / max(1, frames)), told


class _Others:
    """Packets of all streams but the video, copied up to a time as they lie in the file."""

    def __init__(self, target: OutputContainer, source: Film, copies: dict[int, Any]) -> None:
        self._target, self._copies = target, copies
        container = source.container
        streams = [container.streams[index] for index in copies]
        self._packets = (
            (packet for packet in container.demux(streams) if packet.size) if streams else iter(())
        )
        self._next: Any = next(self._packets, None)

    def copy_until(self, seconds: float) -> None:
        """Copy what is to be decoded by then."""
        while self._next is not None:
            time = self._next.dts if self._next.dts is not None else self._next.pts
            if time is not None and float(time * self._next.time_base) > seconds:
                return
            packet, self._next = self._next, next(self._packets, None)
            packet.stream = self._copies[packet.stream_index]
            self._target.mux_one(packet)


def _first(film: Film, enlarge: Enlarger) -> av.VideoFrame:
    """Decode the first frame of a file, which tells what all others are like."""
    with closing(film.frames()) as frames:
        first = next(frames, None)
    if first is None:
        raise ValueError("has no frames")
    enlarge.resemble(first)
    return first


def _within(frames: Frames, part: Part) -> Frames:
    """Give the frames of a part; :class:`PartsError` where they are not those that its packets announced."""
    expected = iter(part.times)
    with closing(frames):
        for frame in frames:
            if frame.pts is None or frame.pts < part.begin:
                continue  # before a key frame that others refer across
            if part.end is not None and frame.pts >= part.end:
                break
            if frame.pts != next(expected, None):
                raise PartsError(f"a part of it has an unexpected frame at {frame.time} s")
            yield frame
    if next(expected, None) is not None:
        raise PartsError("a part of it has fewer frames than packets")


def _packets(part: Encoded) -> Iterator[tuple[av.Packet[Any], int]]:
    """Take the packets of a part out of its bytes, each with the time at which its frame ends."""
    place, data = 0, memoryview(part.packets)
    while place < len(data):
        pts, duration, is_key, size = _PACKET.unpack_from(data, place)
        place += _PACKET.size
        packet: av.Packet[Any] = av.Packet(bytes(data[place : place + size]))
        packet.pts, packet.duration, packet.is_keyframe = pts, duration, is_key
        place += size
        yield packet, pts + duration


def _decode_times(times: Sequence[int]) -> list[int]:
    """Give packets, in their order, the times to decode them at: ascending, and none after it is shown.

    It is the time of the frame that is shown so many earlier as packets are late at most. The first ones are
    shifted by what these last, as encoders have it.
    """
    ranks = {time: rank for rank, time in enumerate(sorted(times))}
    late = max((place - ranks[time] for place, time in enumerate(times)), default=0)
    shown = sorted(times)
    before = [time - (shown[late] - shown[0]) for time in shown[:late]]
    return [*before, *shown[: len(shown) - late]]
