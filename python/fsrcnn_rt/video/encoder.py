"""The output of a video: which encoder, with which options, and the streams that are copied. Needs PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import av

from fsrcnn_rt.engine.planes import ChromaLocation
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.video.hdr import Hdr
from fsrcnn_rt.video.pixels import equals, pixels, without_alpha
from fsrcnn_rt.video.source import Film

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

# For a codec, the encoder that keeps the time of every frame, at more than the slightest quality.
_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp8": "libvpx-vp9",
    "vp9": "libvpx-vp9",
    "ffv1": "ffv1",
    "prores": "prores_ks",
}
_OTHERS = ("libx264", "libx265", "libvpx-vp9", "ffv1")

# What everybody expects in containers that do not tell.
_UNTOLD = {"mpegts": {"libx264", "libx265", "mpeg2video"}, "mpeg": {"mpeg1video", "mpeg2video"}}

# What a container says to hold, and refuses when its header is written.
_REFUSED = {"mov": {"libvpx-vp9", "libsvtav1", "libaom-av1"}}

# Where small artefacts of the source are already there to be seen, so few are to be added.
_CRF: dict[str, float] = {"libx264": 18, "libx265": 20, "libsvtav1": 24, "libvpx-vp9": 24}
_QUIET = {"libx265": {"x265-params": "log-level=error"}}

# The CRF that encoders know: FFmpeg takes more, which means something else or nothing.
_CRF_RANGES = {
    **dict.fromkeys(("libx264", "libx264rgb", "libx265"), (0, 51)),
    **dict.fromkeys(("libsvtav1", "libvpx-vp9", "libvpx", "libaom-av1"), (0, 63)),
}
_WIDEST = (0, 63)

# SVT-AV1 tells much on stderr, and listens to this alone: 1 is errors.
_SVT_LOG = ("SVT_LOG", "1")

# What MPEG-TS has a type for; FFmpeg writes others, and nothing reads them.
_IN_TS = {"mp1", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m"}
_IN_TS |= {"pcm_bluray", "dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle", "arib_caption"}
_IN_TS |= {"mpeg2video", "h264", "hevc"}

# Containers in which encoders have a place for alpha, of those that have none within the stream itself. Of
# the pixel formats with alpha that they name, libvpx opens yuva420p alone, and libx265 none.
_ALPHA = {**dict.fromkeys(("libvpx", "libvpx-vp9"), ("matroska", "webm")), "libx265": ()}

# Containers that refuse a stream alone that they hold beside a picture.
_NOT_ALONE = ("mxf", "gxf", "dv")

# Pixels a side. That of PyAV 18 writes beyond its memory at 44x30 and 48x32, and not at 88x40.
_LEAST_OF_X265 = 40

# Numbers of FFmpeg: of ranges, and of matrices.
_LIMITED, _FULL = 1, 2
_RGB, _BT709 = 0, 1

# What a muxer says of itself and of the sizes of streams is no longer true of the output.
_STALE = {"encoder", "major_brand", "minor_version", "compatible_brands", "DURATION"}
_STALE |= {"alpha_mode", "ALPHA_MODE"}
_STALE_PREFIXES = ("BPS", "NUMBER_OF_", "_STATISTICS_", "DURATION-")


class Asked(NamedTuple):
    """How to encode, as it was asked for; None: as suits the input."""

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    drop_unfit: bool = False

    def check(self) -> None:
        """``ValueError`` for what no video could be encoded with."""
        if self.pix_fmt is not None:
            try:
                av.VideoFormat(self.pix_fmt)
            except ValueError as error:
                raise ValueError(f"pix_fmt={self.pix_fmt!r} is no pixel format") from error
        if self.codec is not None:
            taken = _taken(_encoder_named(self.codec))
            if self.pix_fmt is not None and taken and self.pix_fmt not in taken:
                raise _not_taken(self.codec, self.pix_fmt, taken)
        if self.crf is not None:
            self.check_crf(self.codec)

    def check_crf(self, codec: str | None) -> None:
        """``ValueError`` for a CRF that an encoder does not know, or none where it is None."""
        low, high = _CRF_RANGES.get(codec, _WIDEST) if codec else _WIDEST
        if self.crf is not None and not low <= self.crf <= high:
            raise ValueError(f"crf={self.crf:g} is not {low} to {high}" + (f" of {codec}" if codec else ""))


class Encoding(NamedTuple):
    """How to encode: what was asked for, and what there is to encode."""

    asked: Asked
    computed: str  # pixel format
    size: tuple[int, int]  # width and height
    threads: int
    chroma_location: ChromaLocation


class _Unfit(list[str]):
    """What the output cannot hold: refused, or left out and told."""

    def __init__(self, dropped: bool) -> None:
        super().__init__()
        self.dropped = dropped

    def add(self, what: str, why: str) -> None:
        if not self.dropped:
            raise ValueError(f"{what} {why}; --drop-unfit leaves it out")
        self.append(f"{what} is left out, as it {why}")


def add_streams(
    target: OutputContainer, film: Film, first: av.VideoFrame, encoding: Encoding
) -> tuple[dict[int, Any], list[str]]:
    """Give ``target`` a stream for every stream of a film but mere data, and its chapters and metadata.

    ``first``: the first frame of the film, which is encoded anew. Returns the new streams by the index of the
    old, and what is left out. ``ValueError`` for what does not fit the container or the encoder.
    """
    streams: dict[int, Any] = {}
    unfit = _Unfit(encoding.asked.drop_unfit)
    target.metadata.update(_lasting(film.container.metadata))
    target.set_chapters(film.container.chapters())
    made: Any
    for stream in film.container.streams:
        if stream.index == film.stream.index:
            made = _add_encoder(target, film.stream, first, encoding, unfit)
        elif stream.type in ("audio", "subtitle", "attachment", "video"):
            made = _add_copy(target, stream, unfit)
        else:
            continue
        if made is not None:
            streams[stream.index] = made
            made.metadata.update(_lasting(stream.metadata))
            made.disposition = stream.disposition.value
    return streams, unfit


def as_encoded(frame: av.VideoFrame, context: Any) -> av.VideoFrame:
    """Give a frame as the encoder takes it where one of both is RGB, and the other is not.

    What is asked for by ``pix_fmt`` is converted by FFmpeg's swscale, which rounds.
    """
    if _is_rgb(frame.format.name) == _is_rgb(context.pix_fmt):
        return frame
    wanted_range, matrix = _range_and_matrix(frame, context.pix_fmt)
    result = frame.reformat(
        format=context.pix_fmt,
        src_colorspace=None if _is_rgb(frame.format.name) else frame.colorspace,
        dst_colorspace=None if _is_rgb(context.pix_fmt) else matrix,
        src_color_range=frame.color_range or None,
        dst_color_range=wanted_range,
    )
    resemble(result, frame)
    result.color_range, result.colorspace = wanted_range, matrix
    return result


def resemble(result: av.VideoFrame, frame: av.VideoFrame) -> None:
    """Give what has become of a frame its time and its colour tags."""
    result.pts, result.time_base, result.duration = frame.pts, frame.time_base, frame.duration
    result.color_range, result.colorspace = frame.color_range, frame.colorspace
    result.color_primaries, result.color_trc = frame.color_primaries, frame.color_trc


def start(target: OutputContainer, encoder: VideoStream) -> None:
    """Open the encoder and write the header; ``ValueError`` for options that the encoder does not take."""
    context = encoder.codec_context
    given = dict(context.options)
    try:
        with _quiet():
            context.open()
    except av.FFmpegError as error:
        options = ", ".join(f"{name}={value}" for name, value in given.items())
        odd = f"{context.width}x{context.height}" if context.width % 2 or context.height % 2 else ""
        hint = (
            f"; it may want even sides, and these are {odd}: give a size (--size WIDTHxHEIGHT, --stretch for "
            "exactly that) or another codec, such as ffv1 in .mkv"
        )
        raise ValueError(
            f"{context.name} refuses {encoder.pix_fmt}, {options}: {error.strerror}{hint if odd else ''}"
        ) from error
    unknown = [name for name in ("crf", "preset") if name in context.options]
    if unknown:
        raise ValueError(f"{unknown[0]}={given[unknown[0]]}: {context.name} has no such option")
    try:
        target.start_encoding()
    except (av.error.ArgumentError, av.error.InvalidDataError, av.error.PatchWelcomeError) as error:
        kinds = ", ".join(f"{stream.type} {stream.name or ''}".strip() for stream in target.streams)
        raise ValueError(
            f"a container of {target.format.name} refuses {kinds}: {one_line(error)}; "
            ".mkv holds almost everything"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Have encoders be silent that are opened in the block, unless the user wants to hear them."""
    name, value = _SVT_LOG
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _add_copy(target: OutputContainer, stream: Any, unfit: _Unfit) -> Any:
    """Add a stream for packets as they are; None where it does not fit, and that is not refused."""
    if stream.type != "attachment" and stream.codec_context is None:
        unfit.add(f"stream {stream.index} ({stream.type})", "is of a codec that FFmpeg does not know")
        return None
    if _holds(target, stream):
        with suppress(Exception):  # whatever PyAV has for it
            return target.add_stream_from_template(stream, opaque=True)
    unfit.add(
        f"stream {stream.index} ({stream.type}, {stream.name})",
        f"does not fit a container of {target.format.name}, and .mkv holds almost everything",
    )
    return None


def _holds(target: OutputContainer, stream: Any) -> bool:
    """Whether a container takes a stream; the header of a whole one would fail without a word why."""
    name = target.format.name
    if stream.type == "attachment":
        return name == "matroska"
    if name == "mpegts":
        return stream.codec_context.codec.canonical_name in _IN_TS
    if name in _NOT_ALONE:
        return True
    try:
        with av.open(BytesIO(), "w", format=name) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except Exception:  # whatever PyAV has for it
        return False
    return True


def _add_encoder(
    target: OutputContainer, video: VideoStream, first: av.VideoFrame, encoding: Encoding, unfit: _Unfit
) -> VideoStream:
    codec, pix_fmt = _choose(target, video, encoding, unfit)
    if codec.name == "libx265" and min(encoding.size) < _LEAST_OF_X265:
        width, height = encoding.size
        raise ValueError(f"libx265 spoils memory with frames of {width}x{height}: take another codec")
    rate = video.average_rate or video.guessed_rate
    options = _options(codec.name, first, encoding, unfit)
    stream: Any = target.add_stream(codec.name, rate=rate, options=options)
    context = stream.codec_context
    context.width, context.height = encoding.size
    context.pix_fmt = pix_fmt
    # In units of the input's own clock, every frame keeps its time, however irregular.
    context.time_base = stream.time_base = first.time_base
    context.thread_count = encoding.threads
    if aspect := video.sample_aspect_ratio or video.codec_context.sample_aspect_ratio:
        context.sample_aspect_ratio = aspect
    context.color_range, context.colorspace = _range_and_matrix(first, pix_fmt)
    context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
    if codec.canonical_name == "hevc" and target.format.name in ("mp4", "mov") and _is_hvc1(video):
        context.codec_tag = "hvc1"  # which some players insist on; FFmpeg has hev1 for H.265 otherwise
    if target.format.name == "asf":
        context.max_b_frames = 0  # it tells of a frame when it is decoded, and not when it is shown
    if first.rotation:
        if not hasattr(stream, "set_display_rotation"):
            raise ValueError(f"is rotated by {first.rotation} degrees, and copying that needs a newer PyAV")
        stream.set_display_rotation(first.rotation)
    return stream  # type: ignore[no-any-return]


def _options(name: str, first: av.VideoFrame, encoding: Encoding, unfit: _Unfit) -> dict[str, str]:
    """Say what an encoder is told beside sizes and tags."""
    asked = encoding.asked
    asked.check_crf(name)
    options = dict(_QUIET.get(name, {}))
    crf = _CRF.get(name) if asked.crf is None else asked.crf
    if crf is not None:
        options["crf"] = f"{crf:g}"
    if asked.preset is not None:
        options["preset"] = asked.preset
    if encoding.chroma_location != "left":  # which is what silence means
        options["chroma_sample_location"] = encoding.chroma_location
    hdr = Hdr.of(first)
    told = hdr.options(name)
    if told is None:
        unfit.add(
            "its HDR10 metadata", f"cannot be told to {name}, but to libx265, libx264 and libsvtav1 (--codec)"
        )
    for option, parameters in (told or {}).items():
        options[option] = ":".join(filter(None, (options.get(option), parameters)))
    for kind in hdr.dynamic:
        unfit.add(
            f"its metadata of {kind}", "is for each frame of the small picture, and no encoder is told it"
        )
    return options


def _range_and_matrix(frame: av.VideoFrame, pix_fmt: str) -> tuple[int, int]:
    """Say the range and the matrix of a frame in a pixel format, in FFmpeg's numbers."""
    if _is_rgb(frame.format.name) == _is_rgb(pix_fmt):
        return frame.color_range, frame.colorspace
    return (_FULL, _RGB) if _is_rgb(pix_fmt) else (_LIMITED, _BT709)


def _is_rgb(pix_fmt: str) -> bool:
    return av.VideoFormat(pix_fmt).is_rgb


def _is_hvc1(video: VideoStream) -> bool:
    with suppress(ValueError):  # a tag that is no text
        return video.codec_context.codec_tag == "hvc1"
    return False


def _encoder_named(name: str) -> av.Codec:
    try:
        codec = av.Codec(name, "w")
    except (ValueError, av.FFmpegError) as error:
        raise ValueError(f"codec={name!r} is no encoder that PyAV has") from error
    if codec.type != "video":
        raise ValueError(f"codec={name!r} is not for video")
    return codec


def _taken(codec: av.Codec) -> list[str]:
    """Pixel formats that an encoder takes; none where it does not tell."""
    return [each.name for each in codec.video_formats or ()]


def _not_taken(name: str, pix_fmt: str, taken: list[str]) -> ValueError:
    return ValueError(f"{name} does not take the pixel format {pix_fmt}, only {', '.join(taken)}")


def _choose(
    target: OutputContainer, video: VideoStream, encoding: Encoding, unfit: _Unfit
) -> tuple[av.Codec, str]:
    """Find the encoder and its pixel format; ``ValueError`` if none takes that and fits the container."""
    pix_fmt = encoding.asked.pix_fmt or encoding.computed
    if pixels(encoding.computed).has_alpha and not _has_alpha(pix_fmt):
        unfit.add("its alpha", f"has no place in the pixel format {pix_fmt}")
    try:
        return _found(target, video, pix_fmt, encoding.asked.codec)
    except ValueError as error:
        if not _has_alpha(pix_fmt):
            raise
        rest = _found(target, video, without_alpha(pix_fmt), encoding.asked.codec)
        unfit.add("its alpha", f"cannot be kept, as {error}")
        return rest


def _has_alpha(pix_fmt: str) -> bool:
    return without_alpha(pix_fmt) != pix_fmt


def _keeps_alpha(encoder: str, pix_fmt: str, container: str) -> bool:
    places = _ALPHA.get(encoder)
    return places is None or (container in places and pix_fmt == "yuva420p")


def _found(
    target: OutputContainer, video: VideoStream, pix_fmt: str, wanted: str | None
) -> tuple[av.Codec, str]:
    own = _ENCODERS.get(video.codec_context.codec.canonical_name)
    names = [wanted] if wanted else [name for name in (own, *_OTHERS) if name]
    container = target.format.name
    fits = (_UNTOLD.get(container) or target.supported_codecs) - _REFUSED.get(container, set())
    for name in names:
        try:
            codec = _encoder_named(name)
        except ValueError:
            if wanted:
                raise
            continue
        taken = _taken(codec)
        equal = next((each for each in equals(pix_fmt) if each in taken or not taken), None)
        if wanted and equal is None:
            raise _not_taken(name, pix_fmt, taken)
        keeps = not _has_alpha(pix_fmt) or _keeps_alpha(name, pix_fmt, target.format.name)
        if equal is not None and codec.name in fits and keeps:
            return codec, equal
        if wanted:
            lost = "" if keeps else "keep alpha in or "
            raise ValueError(f"{name} does not {lost}fit a container of {target.format.name}")
    raise ValueError(
        f"none of {', '.join(names)} takes the pixel format {pix_fmt} and fits a container of "
        f"{target.format.name}"
    )


def _lasting(metadata: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in metadata.items()
        if name not in _STALE and not name.startswith(_STALE_PREFIXES)
    }
