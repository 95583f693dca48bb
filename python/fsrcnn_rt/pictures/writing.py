"""Picture files written, whole or not at all, with the metadata that their formats hold."""

import io
import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fsrcnn_rt.engine.arrays import KEPT_INFO, result_mode
from fsrcnn_rt.engine.sizes import Goal, Size, result_size
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.pictures import adjust, deep, formats, metadata, png, profiles
from fsrcnn_rt.pictures.adjust import Frame
from fsrcnn_rt.pictures.encoding import WriteOptions, encoder_options, is_lossless, tiff_tags
from fsrcnn_rt.pictures.picture import Picture, frame_size

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

# What this package's own encoder of PNG writes; before the metadata there are the signature and IHDR.
_OWN_PNG_MODES = ("L", "LA", "RGB", "RGBA", "I;16")
_PNG_HEADER = 8 + 25

# The type of an icon in an ICNS by its side.
_ICNS = {16: b"icp4", 32: b"icp5", 64: b"icp6", 128: b"ic07", 256: b"ic08", 512: b"ic09", 1024: b"ic10"}


def check(picture: Picture, names: Mapping[Goal, str], options: WriteOptions) -> None:
    """``ValueError`` where a result would not fit into a file of the format that is to hold it."""
    for goal, name in names.items():
        layers = []
        for frame in picture.frames:
            mode = _mode(frame) if isinstance(frame, np.ndarray) else result_mode(frame)
            if options.depth == 8:
                mode = formats.IN_EIGHT_BITS.get(mode, mode)
            layers.append(_layer(frame, result_size(goal, frame_size(frame), options.larger), mode, name))
        formats.check(layers, name, animated=bool(picture.durations))


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


def _layer(frame: Frame, size: Size, mode: str, name: str) -> formats.Layer:
    """Describe a frame, whose result has this size and mode, as the format ``name`` sees it."""
    if isinstance(frame, np.ndarray):
        return formats.Layer(mode, size, opaque=False, profiled=False)
    alpha_is_lost = mode in ("LA", "RGBA") and mode not in formats.FORMATS[name].modes
    opaque = alpha_is_lost and _hides_nothing(frame)
    return formats.Layer(mode, size, opaque, "icc_profile" in frame.info)


def _mode(frame: Frame) -> str:
    return formats.DEEP_COLOUR[frame.shape[2] - 2] if isinstance(frame, np.ndarray) else frame.mode


def _hides_nothing(frame: "PilImage") -> bool:
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
        picture = replace(
            picture, frames=[adjust.in_eight_bits(frame, picture.info) for frame in picture.frames]
        )
    layers = [_layer(frame, frame_size(frame), _mode(frame), name) for frame in picture.frames]
    formats.check(layers, name, animated=bool(picture.durations))
    frames = [frame for frame in picture.frames if not isinstance(frame, np.ndarray)]
    if len(frames) < len(picture.frames):
        (array,) = (frame for frame in picture.frames if isinstance(frame, np.ndarray))
        info = metadata.held(picture.info, name)
        deep.write(file, name, array, info, write_options, threads=threads, progress=progress)
        return
    # A page has its own, and none of inks that became RGB the profile of these.
    shared = {key: value for key, value in picture.info.items() if key not in KEPT_INFO}
    infos = [shared | {str(key): value for key, value in frame.info.items()} for frame in frames]
    for i, frame in enumerate(frames):
        frames[i] = _fitted(frame, layers[i], name, infos[i])
    if picture.durations and len({frame.mode for frame in frames}) > 1:
        common = "RGBA" if any(frame.mode.endswith("A") for frame in frames) else "RGB"
        frames = [frame.convert(common) for frame in frames]
    if name == "GIF":
        frames = [_for_gif(frame) for frame in frames]
    first, *others = frames
    options = metadata.options(infos[0], name)
    if name == "PNG" and not others and first.mode in _OWN_PNG_MODES:
        chunks = _png_chunks(first.mode, options)
        png.write(file, first, chunks, effort=write_options.effort, threads=threads, progress=progress)
        return
    lossless = is_lossless(name, write_options, source=picture.lossless)
    encoder = encoder_options(first, name, write_options, lossless=lossless)
    if name == "TIFF":
        pages = [{**metadata.options(info, name), **encoder} for info in infos]
        for frame, page in zip(frames, pages, strict=True):
            page["tiffinfo"].update(tiff_tags(frame.mode, write_options))
        _write_pages(file, frames, pages)
        return
    options.update(encoder)
    if name == "ICO":
        options["sizes"] = [first.size]
    elif name == "ICNS":
        _write_icns(file, first)
        return
    if others:
        if picture.durations:
            options.update(_animation_options(picture, name))
        if name == "GIF" and any("transparency" in frame.info for frame in frames):
            options["disposal"] = 2  # a frame must not show through the holes of the next
        options.update(save_all=True, append_images=others)
    first.save(file, name, **options)


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


def _write_pages(file: BinaryIO, pages: Sequence["PilImage"], options: Sequence[Mapping[str, Any]]) -> None:
    """Write a TIFF, each page with options of its own, which Pillow's save_all has for all pages alike."""
    from PIL import TiffImagePlugin

    if len(pages) == 1:
        pages[0].save(file, "TIFF", **options[0])
        return
    with TiffImagePlugin.AppendingTiffWriter(file) as pages_of_file:
        for page, own in zip(pages, options, strict=True):
            page.save(pages_of_file, "TIFF", **own)
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


def _animation_options(picture: Picture, name: str) -> dict[str, Any]:
    options: dict[str, Any] = {"duration": list(picture.durations)}
    if name == "GIF" and picture.plays != 1:
        options["loop"] = max(0, picture.plays - 1)
    elif name in ("WEBP", "PNG"):
        options["loop"] = picture.plays
    if name == "PNG" and picture.still_first:
        options["default_image"] = True
    return options


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
