"""Picture files written, whole or not at all, with the metadata that their formats hold."""

import io
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from fsrcnn_rt.engine.arrays import KEPT_INFO
from fsrcnn_rt.engine.sizes import Goal, Size, result_size
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.pictures import deep, formats, metadata, png, profiles
from fsrcnn_rt.pictures.adjust import Frame
from fsrcnn_rt.pictures.encoding import WriteOptions, encoder_options, is_lossless, tiff_tags
from fsrcnn_rt.pictures.picture import Frames, Kind, Picture, in_eight_bits, kind_of, kinds_of

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

# What this package's own encoder of PNG writes; before the metadata there are the signature and IHDR.
_OWN_PNG_MODES = ("L", "LA", "RGB", "RGBA", "I;16")
_PNG_HEADER = 8 + 25

# The type of an icon in an ICNS by its side.
_ICNS = {16: b"icp4", 32: b"icp5", 64: b"icp6", 128: b"ic07", 256: b"ic08", 512: b"ic09", 1024: b"ic10"}


def check(picture: Picture, names: Mapping[Goal, str], options: WriteOptions) -> None:
    """``ValueError`` where a result would not fit into a file of the format that is to hold it."""
    kinds = kinds_of(picture.frames)
    for goal, name in names.items():
        layers = []
        for i, kind in enumerate(kinds):
            mode = formats.IN_EIGHT_BITS.get(kind.mode, kind.mode) if options.depth == 8 else kind.mode
            size = result_size(goal, kind.size, options.larger)
            layers.append(_layer(picture.frames, i, kind._replace(mode=mode, size=size), name))
        formats.check(layers, name, animated=bool(picture.durations))


def check_size(size: Size, names: Mapping[Goal, str], options: WriteOptions) -> None:
    """``ValueError`` where results of a picture of this size would not fit into files of these formats.

    It is what :func:`check` can tell before a picture is decoded, and so before it is known to be upright.
    """
    for goal, name in names.items():
        errors = []
        for one in (size, size[::-1]):
            try:
                formats.check_size(result_size(goal, one, options.larger), name)
            except ValueError as error:
                errors.append(error)
        if len(errors) == 2:
            raise errors[0]


def write(
    picture: Picture,
    path: Path,
    options: WriteOptions | None = None,
    *,
    threads: int = 1,
    progress: Callable[[float], object] | None = None,
) -> None:
    """Write a picture in the format that the suffix of ``path`` names, whole or not at all.

    ``threads``: of the encoder, where it has several. ``progress``: told the part that is done, by those
    encoders that tell. Where the format holds no ICC profile, colours are converted to sRGB. ``OSError``
    where the picture cannot be written or would lose frames, bits or alpha.
    """
    try:
        name = writable_format(path)
        with atomic_write(path) as file:
            _write(picture, file, name, options or WriteOptions(), threads, progress)
    except Exception as error:  # encoders are as inventive as decoders
        raise OSError(f"{path} cannot be written: {one_line(error)}") from error


def encoded(picture: Picture, name: str, options: WriteOptions, *, threads: int = 1) -> bytes:
    """Return a file in the format that Pillow calls ``name`` as bytes; ``OSError`` as of :func:`write`."""
    with io.BytesIO() as file:
        try:
            _write(picture, file, name, options, threads, None)
        except Exception as error:
            raise OSError(f"cannot be written: {one_line(error)}") from error
        return file.getvalue()


def copy(source: Path, path: Path) -> None:
    """Copy a file, whole or not at all; ``OSError`` where it cannot be written."""
    try:
        with source.open("rb") as file, atomic_write(path) as copied:
            shutil.copyfileobj(file, copied)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {one_line(error)}") from error


def writable_format(path: Path) -> str:
    """Pillow's name for the format that a suffix stands for; ``ValueError`` where it cannot be written."""
    name = formats.format_of(path)
    if name is None or not formats.is_writable(name):
        raise ValueError(f"{path.suffix or 'no suffix'!r} is not an image format that can be written")
    return name


def _layer(frames: Sequence[Frame], i: int, kind: Kind, name: str) -> formats.Layer:
    """Describe a frame, whose result is of this kind, as the format ``name`` sees it."""
    alpha_is_lost = kind.mode in ("LA", "RGBA") and kind.mode not in formats.FORMATS[name].modes
    # Formats that hold several frames hold alpha, too.
    opaque = alpha_is_lost and not isinstance(frames, Frames) and _hides_nothing(frames[i])
    return formats.Layer(kind.mode, kind.size, opaque, kind.profiled)


def _as_it_is(frame: Frame) -> Kind:
    """Describe a frame that is to be written and not to be enlarged."""
    if isinstance(frame, np.ndarray):
        return kind_of(frame)
    return Kind(frame.mode, frame.size, "icc_profile" in frame.info)


def _hides_nothing(frame: Any) -> bool:
    """Whether alpha is opaque everywhere."""
    with_alpha = frame if frame.mode in ("LA", "RGBA") else frame.convert("RGBA")
    return bool(with_alpha.getextrema()[-1] == (255, 255))


def _write(
    picture: Picture,
    file: BinaryIO,
    name: str,
    write_options: WriteOptions,
    threads: int,
    progress: Callable[[float], object] | None,
) -> None:
    if write_options.depth == 8:
        picture = in_eight_bits(picture)
    frames = picture.frames
    kinds = frames.kinds if isinstance(frames, Frames) else [_as_it_is(frame) for frame in frames]
    layers = [_layer(frames, i, kind, name) for i, kind in enumerate(kinds)]
    formats.check(layers, name, animated=bool(picture.durations))
    if not isinstance(frames, Frames) and isinstance(array := frames[0], np.ndarray):
        info = metadata.held(picture.info, name)
        deep.write(file, name, array, info, write_options, threads=threads, progress=progress)
        return
    # A page has its own, and none of inks that became RGB the profile of these.
    shared = {key: value for key, value in picture.info.items() if key not in KEPT_INFO}

    def fitted() -> Iterator[_Page]:
        frame: Any
        for frame, layer in zip(frames, layers, strict=True):
            info = shared | {str(key): value for key, value in frame.info.items()}
            yield _Page(_fitted(frame, layer, name, info), info)

    if len(layers) > 1:
        _write_several(picture, file, name, write_options, fitted(), layers, threads)
        return
    ((frame, info),) = fitted()
    options = metadata.options(info, name)
    if name == "PNG" and frame.mode in _OWN_PNG_MODES:
        chunks = _png_chunks(frame.mode, options)
        png.write(file, frame, chunks, effort=write_options.effort, threads=threads, progress=progress)
        return
    lossless = is_lossless(name, write_options, source=picture.lossless)
    options.update(encoder_options(frame, name, write_options, lossless=lossless))
    if name == "TIFF":
        options["tiffinfo"].update(tiff_tags(frame.mode, write_options))
    elif name == "GIF":
        frame = _for_gif(frame)
    elif name == "ICO":
        options["sizes"] = [frame.size]
    elif name == "ICNS":
        _write_icns(file, frame)
        return
    frame.save(file, name, **options)


class _Page(NamedTuple):
    """A frame in a mode that its format holds, and its metadata."""

    frame: "PilImage"
    info: dict[str, Any]


def _write_several(
    picture: Picture,
    file: BinaryIO,
    name: str,
    write_options: WriteOptions,
    pages: Iterator[_Page],
    layers: Sequence[formats.Layer],
    threads: int,
) -> None:
    """Write several frames or pages, each when it comes."""
    from fsrcnn_rt.pictures import animation

    modes = [formats.written_mode(layer, name) for layer in layers]
    if picture.durations and len(set(modes)) > 1:
        common = "RGBA" if any(mode.endswith("A") for mode in modes) else "RGB"
        modes = len(modes) * [common]
        pages = (_Page(page.frame.convert(common), page.info) for page in pages)
    first = next(pages)
    pages = chain([first], pages)
    options = metadata.options(first.info, name)
    lossless = is_lossless(name, write_options, source=picture.lossless)
    encoder = encoder_options(first.frame, name, write_options, lossless=lossless)
    if name == "TIFF":
        _write_pages(file, pages, encoder, write_options)
        return
    frames = (page.frame for page in pages)
    if name == "PNG":
        still, durations = None, picture.durations
        if picture.still_first:
            still, durations = next(frames), durations[1:]
        png.write_animation(
            file,
            animation.steps(frames, durations),
            _png_chunks(modes[0], options),
            plays=picture.plays,
            still=still,
            effort=write_options.effort,
            threads=threads,
        )
    elif name == "GIF":
        if picture.plays != 1:
            options["loop"] = max(0, picture.plays - 1)
        transparent = modes[0].endswith("A")
        animation.write_gif(file, map(_for_gif, frames), picture.durations, options, transparent=transparent)
    else:
        options |= encoder
        if picture.durations:
            options["duration"] = list(picture.durations)
        if name == "WEBP":
            options["loop"] = picture.plays
        sizes = [layer.size for layer in layers]
        reel = animation.Reel(frames, list(zip(modes, sizes, strict=True)))
        reel.save(file, name, save_all=True, **options)


def _fitted(frame: "PilImage", layer: formats.Layer, name: str, info: dict[str, Any]) -> "PilImage":
    """Bring a frame to a mode that the format holds, and to sRGB where it cannot hold the profile."""
    limits = formats.FORMATS[name]
    if profile := info.get("icc_profile"):
        held = "icc_profile" in limits.metadata
        if held and frame.mode in ("L", "LA") and not limits.grey_profile:
            held = profiles.space(profile) != "GRAY"
        if not held:
            frame = profiles.in_srgb(frame, profile)
            del info["icc_profile"]
    mode = formats.written_mode(layer, name)
    if mode == frame.mode:
        return frame
    return _to_sixteen_bits(frame) if mode == "I;16" else frame.convert(mode)


def _write_pages(
    file: BinaryIO, pages: Iterable[_Page], encoder: Mapping[str, Any], write_options: WriteOptions
) -> None:
    """Write a TIFF, each page with options of its own, which Pillow's save_all has for all pages alike."""
    from PIL import TiffImagePlugin

    with TiffImagePlugin.AppendingTiffWriter(file) as pages_of_file:
        for page, info in pages:
            options = {**metadata.options(info, "TIFF"), **encoder}
            options["tiffinfo"].update(tiff_tags(page.mode, write_options))
            page.save(pages_of_file, "TIFF", **options)
            pages_of_file.newFrame()


def _write_icns(file: BinaryIO, icon: "PilImage") -> None:
    """Write an icon of this size alone, where Pillow would write one of each size, blurred or shrunken."""
    with io.BytesIO() as png:
        icon.save(png, "PNG", icc_profile=None)
        entry = _ICNS[icon.width] + struct.pack(">I", 8 + png.tell()) + png.getvalue()
    file.write(b"icns" + struct.pack(">I", 8 + len(entry)) + entry)


def _png_chunks(mode: str, options: Mapping[str, Any]) -> bytes:
    """Chunks that Pillow writes for the metadata of a PNG."""
    from PIL import Image

    with io.BytesIO() as file:
        Image.new(mode, (1, 1)).save(file, "PNG", **options)
        data = file.getvalue()
    at = _PNG_HEADER
    while data[at + 4 : at + 8] != b"IDAT":
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return data[_PNG_HEADER:at]


def _for_gif(frame: "PilImage") -> "PilImage":
    """Reduce a frame to a palette of its own, in which alpha is all or nothing."""
    if not frame.mode.endswith("A"):
        return frame
    reduced = frame.convert("RGB").quantize(255)
    reduced.paste(255, mask=frame.getchannel("A").point(lambda alpha: 255 * (alpha < 128)))
    reduced.info = {"transparency": 255}
    return reduced


def _to_sixteen_bits(frame: "PilImage") -> "PilImage":
    """Mode I as I;16, which every version of Pillow writes as PNG; the values are within 0..65535."""
    from PIL import Image

    return Image.fromarray(np.asarray(frame).astype(np.uint16))
