"""The output of a video: which encoder, with which options, and the streams that are copied. Needs PyAV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import av

from fsrcnn_rt.engine.planes import ChromaLocation

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
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

# Where small artefacts of the source are already there to be seen, so few are to be added.
_CRF: dict[str, float] = {"libx264": 18, "libx265": 20, "libsvtav1": 24, "libvpx-vp9": 24}
_QUIET = {"libx265": {"x265-params": "log-level=error"}}

# What a muxer says of itself and of the sizes of streams is no longer true of the output.
_STALE = ("encoder", "major_brand", "minor_version", "compatible_brands", "DURATION")
_STALE_PREFIXES = ("BPS", "NUMBER_OF_", "_STATISTICS_", "DURATION-")


class Encoding(NamedTuple):
    """How to encode; None: as suits the input."""

    codec: str | None
    crf: float | None
    preset: str | None
    pix_fmt: str | None
    computed: str  # pixel format of what there is to encode
    size: tuple[int, int]  # width and height
    threads: int
    chroma_location: ChromaLocation


def add_streams(
    target: OutputContainer,
    source: InputContainer,
    video: VideoStream,
    first: av.VideoFrame,
    encoding: Encoding,
) -> dict[int, Any]:
    """Give ``target`` a stream for every stream of ``source`` but mere data, and its chapters and metadata.

    ``video``: the stream that is encoded anew, ``first`` its first frame. Returns the new streams by the
    index of the old. ``ValueError`` for what does not fit the container or the encoder.
    """
    streams: dict[int, Any] = {}
    target.metadata.update(_lasting(source.metadata))
    target.set_chapters(source.chapters())
    for stream in source.streams:
        if stream.index == video.index:
            streams[stream.index] = _add_encoder(target, video, first, encoding)
        elif stream.type in ("audio", "subtitle", "attachment", "video"):
            streams[stream.index] = _add_copy(target, stream)
        else:
            continue
        streams[stream.index].metadata.update(_lasting(stream.metadata))
        streams[stream.index].disposition = stream.disposition.value
    return streams


def start(target: OutputContainer, encoder: VideoStream) -> None:
    """Open the encoder and write the header; ``ValueError`` for options that the encoder does not take."""
    context = encoder.codec_context
    given = dict(context.options)
    try:
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
    target.start_encoding()


def _add_copy(target: OutputContainer, stream: Any) -> Any:
    """Add a stream for packets as they are."""
    if stream.type != "attachment" and stream.codec_context is None:
        raise ValueError(f"stream {stream.index} ({stream.type}) is of a codec that FFmpeg does not know")
    unfit = ValueError(
        f"stream {stream.index} ({stream.type}, {stream.name}) does not fit a container of "
        f"{target.format.name}, and .mkv holds almost everything"
    )
    if stream.type == "attachment" and target.format.name != "matroska":  # whose header would fail to say why
        raise unfit
    try:
        return target.add_stream_from_template(stream, opaque=True)
    except Exception as error:  # whatever PyAV has for it
        raise unfit from error


def _add_encoder(
    target: OutputContainer, video: VideoStream, first: av.VideoFrame, encoding: Encoding
) -> VideoStream:
    pix_fmt = encoding.pix_fmt or encoding.computed
    codec = _choose(target, video, pix_fmt, encoding.codec)
    options = dict(_QUIET.get(codec.name, {}))
    crf = _CRF.get(codec.name) if encoding.crf is None else encoding.crf
    if crf is not None:
        options["crf"] = f"{crf:g}"
    if encoding.preset is not None:
        options["preset"] = encoding.preset
    if encoding.chroma_location != "left":  # which is what silence means
        options["chroma_sample_location"] = encoding.chroma_location
    rate = video.average_rate or video.guessed_rate
    stream: Any = target.add_stream(codec.name, rate=rate, options=options)
    context = stream.codec_context
    context.width, context.height = encoding.size
    context.pix_fmt = pix_fmt
    # In units of the input's own clock, every frame keeps its time, however irregular.
    context.time_base = stream.time_base = first.time_base
    context.thread_count = encoding.threads
    if aspect := video.sample_aspect_ratio or video.codec_context.sample_aspect_ratio:
        context.sample_aspect_ratio = aspect
    context.color_range, context.colorspace = first.color_range, first.colorspace
    context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
    if first.rotation:
        if not hasattr(stream, "set_display_rotation"):
            raise ValueError(f"is rotated by {first.rotation} degrees, and copying that needs a newer PyAV")
        stream.set_display_rotation(first.rotation)
    return stream  # type: ignore[no-any-return]


def _choose(target: OutputContainer, video: VideoStream, pix_fmt: str, wanted: str | None) -> av.Codec:
    """Find the encoder; ``ValueError`` if none takes the pixel format and fits the container."""
    own = _ENCODERS.get(video.codec_context.codec.canonical_name)
    names = [wanted] if wanted else [name for name in (own, *_OTHERS) if name]
    fits = target.supported_codecs
    if not fits.intersection(_OTHERS):
        fits = {"libx264", "libx265"}  # MPEG-TS does not tell, and these are what everybody expects in it
    for name in names:
        try:
            codec = av.Codec(name, "w")
        except (ValueError, av.FFmpegError) as error:
            if wanted:
                raise ValueError(f"codec={name!r} is no encoder that PyAV has") from error
            continue
        taken = [each.name for each in codec.video_formats or ()]
        if wanted and codec.type != "video":
            raise ValueError(f"codec={name!r} is not for video")
        if wanted and taken and pix_fmt not in taken:
            raise ValueError(f"{name} does not take the pixel format {pix_fmt}, only {', '.join(taken)}")
        if (not taken or pix_fmt in taken) and codec.name in fits:
            return codec
        if wanted:
            raise ValueError(f"{name} does not fit a container of {target.format.name}")
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
