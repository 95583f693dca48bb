"""One picture file: read with all that belongs to it, upscaled, and written.

A file holds one picture, the frames of an animation, or the pages of a TIFF. What is read is upright: the
orientation of EXIF is applied and dropped. Metadata travels with the pixels, as far as formats hold it.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from fsrcnn_rt import deep, formats, metadata, profiles
from fsrcnn_rt.arguments import one_line
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.image import KEPT_INFO, AnyArray, result_mode
from fsrcnn_rt.sizes import Box, Goal, Size, size_of

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

    from fsrcnn_rt.api import Upscaler

Frame: TypeAlias = "PilImage | AnyArray"

# At twice this many pixels Pillow takes a picture for an attack; cameras exceed its own limit.
_MAX_PIXELS = 2**29

_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF")

# Of these, what Pillow calls frames belongs to one picture: previews, depths, layers.
_ONE_PICTURE = ("MPO", "PSD")

# Animations; what else has frames has pages.
_ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF", "FLI")

_QUALITY = 95

# The type of an icon in an ICNS by its side.
_ICNS = {16: b"icp4", 32: b"icp5", 64: b"icp6", 128: b"ic07", 256: b"ic08", 512: b"ic09", 1024: b"ic10"}

# Of what Pillow knows of an image, what its pixels mean nothing without.
_OF_PIXELS = ("icc_profile", "transparency")


@dataclass(frozen=True)
class Picture:
    """What a file holds: ``frames``, of which an array is 16-bit colour, which Pillow has no mode for.

    ``durations``: of an animation, ms per frame, else empty. ``plays``: how often it is shown, 0 for ever.
    ``still_first``: the first frame is for viewers that show no animation, and no part of it.
    ``lossless``: nothing was lost when the file was written.
    """

    frames: Sequence[Frame]
    info: Mapping[str, Any]
    durations: Sequence[float] = ()
    plays: int = 0
    still_first: bool = False
    lossless: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return _size(self.frames[0])

    @property
    def nbytes(self) -> int:
        """Memory of the pixels, in bytes, as arrays."""
        width, height = self.size
        first = self.frames[0]
        samples = first.nbytes if isinstance(first, np.ndarray) else width * height * _pixel_bytes(first.mode)
        return samples * len(self.frames)


@contextmanager
def large_pictures_allowed() -> Iterator[None]:
    """Have Pillow read pictures of up to a gigapixel and keep its warnings, of those and of sloppy metadata.

    Both are settings of the whole process: leave the block when all are read.
    """
    import warnings

    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = _MAX_PIXELS
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def read(path: Path, *, strip_metadata: bool = False) -> Picture:
    """Read what is in a file; ``OSError`` if there is no picture in it that can be upscaled without loss.

    ``strip_metadata``: leave EXIF, XMP and resolution out, but not the ICC profile, which colours depend on.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            picture = _read(path, image)
    except UnidentifiedImageError as error:
        raise OSError("is not a picture in a format that Pillow reads") from error
    except Exception as error:  # what a decoder raises on damaged data is anybody's guess
        raise OSError(f"cannot be read: {one_line(error)}") from error
    if not strip_metadata:
        return picture
    for frame in picture.frames:
        if not isinstance(frame, np.ndarray):
            frame.info = {key: frame.info[key] for key in _OF_PIXELS if key in frame.info}
    return replace(picture, info={key: picture.info[key] for key in _OF_PIXELS if key in picture.info})


def check(picture: Picture, outputs: Mapping[Goal, Path]) -> None:
    """``ValueError`` where a result would not fit into the file that it is to be written to."""
    for goal, path in outputs.items():
        name = _writable_format(path)
        layers = [
            _layer(
                frame,
                size_of(goal, _size(frame)),
                _mode(frame) if isinstance(frame, np.ndarray) else result_mode(frame),
                name,
            )
            for frame in picture.frames
        ]
        formats.check(layers, name, animated=bool(picture.durations))


def upscale(picture: Picture, upscaler: "Upscaler", goals: Sequence[Goal]) -> dict[Goal, Picture]:
    """Upscale every frame by each scale and to each size."""
    scales = [goal for goal in goals if not isinstance(goal, Box)]
    frames: dict[Goal, list[Frame]] = {goal: [] for goal in goals}
    for frame in picture.frames:
        results: dict[Any, Any] = upscaler.upscale(frame, scales) if scales else {}
        for goal in goals:
            if isinstance(goal, Box):
                results[goal] = upscaler.upscale(frame, size=goal)
            result = results[goal]
            if not isinstance(frame, np.ndarray):
                result.info = metadata.resized(result.info, frame.size, result.size)
            frames[goal].append(result)
    return {
        goal: replace(picture, frames=made, info=metadata.resized(picture.info, picture.size, _size(made[0])))
        for goal, made in frames.items()
    }


def left_out(picture: Picture, path: Path) -> list[str]:
    """Name the metadata of a picture, by its keys, that a file of this name has no place for."""
    held = metadata.held(picture.info, _writable_format(path))
    return [key for key in picture.info if key not in held and key not in _OF_PIXELS]


def write(picture: Picture, path: Path, *, quality: int | None = None) -> None:
    """Write a picture in the format that the suffix of ``path`` names, whole or not at all.

    ``quality``: 1..100, of JPEG (without chroma subsampling), WebP and AVIF; by default 95, and lossless WebP
    of what was lossless. Where the format holds no ICC profile, colours are converted to sRGB. ``OSError``
    where the picture cannot be written or would lose frames, bits or alpha.
    """
    try:
        name = _writable_format(path)
        with atomic_write(path) as file:
            _write(picture, file, name, quality)
    except Exception as error:  # encoders are as inventive as decoders
        raise OSError(f"{path} cannot be written: {one_line(error)}") from error


def _writable_format(path: Path) -> str:
    name = formats.format_of(path)
    if name is None or not formats.is_writable(name):
        raise ValueError(f"{path.suffix or 'no suffix'!r} is not an image format that can be written")
    return name


def _read(path: Path, image: "PilImage") -> Picture:
    from PIL import ImageOps

    name = image.format or ""
    several = getattr(image, "is_animated", False) and name not in _ONE_PICTURE
    if deep.is_needed(path, image):
        if several:
            raise ValueError("it has several frames of 16 bits per channel, which Pillow cuts to 8")
        array = deep.read(path, image)
        return Picture([array], metadata.of(image))
    lossless = name not in _LOSSY and not (name == "WEBP" and _is_lossy_webp(path))
    if not several:
        _load(image)
        info = metadata.of(image)
        if name != "TIFF":  # which Pillow loads upright
            ImageOps.exif_transpose(image, in_place=True)
        image.info = _info_of(image, info)
        return Picture([image], info, lossless=lossless)

    animated = name in _ANIMATIONS
    frames, durations, infos = [], [], []
    for i in range(image.n_frames):  # type: ignore[attr-defined]
        if i:
            for key in ("icc_profile", "dpi"):  # which Pillow leaves to the next page of a TIFF
                image.info.pop(key, None)
        image.seek(i)
        _load(image)  # some formats know the duration only now
        frame = image.copy()
        if i == 0 or not animated:
            infos.append(metadata.of(image))
        if name != "TIFF":
            ImageOps.exif_transpose(frame, in_place=True)
        frame.info = _info_of(image, infos[-1])
        frames.append(frame)
        durations.append(image.info.get("duration", 0))
    if not animated:
        return Picture(frames, infos[0], lossless=lossless)
    # GIF counts repetitions and says nothing where there are none; the others count plays.
    loop = image.info.get("loop")
    plays = (1 if loop is None else loop + bool(loop)) if name == "GIF" else loop or 0
    still_first = bool(getattr(image, "default_image", False))
    return Picture(frames, infos[0], durations, plays, still_first, lossless)


def _load(image: "PilImage") -> None:
    """Load the pixels; the directories of a TIFF before them, as some versions of Pillow close the file."""
    if image.format == "TIFF":
        metadata.directories(image.getexif())
    image.load()


def _info_of(image: "PilImage", info: Mapping[str, Any]) -> dict[Any, Any]:
    """Metadata of a frame, and its transparent colour."""
    transparency = image.info.get("transparency")
    return dict(info) if transparency is None else {**info, "transparency": transparency}


def _is_lossy_webp(path: Path) -> bool:
    """Whether a chunk of a WebP holds lossy pixels: those of the file, or of a frame."""
    with path.open("rb") as file:
        file.seek(12)  # RIFF, the size, WEBP
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"VP8 ":
                return True
            if name == b"ANMF":
                file.seek(16, os.SEEK_CUR)  # chunks of the frame follow
            else:
                file.seek(size + size % 2, os.SEEK_CUR)
    return False


def _size(frame: Frame) -> Size:
    """(width, height) in pixels."""
    return (frame.shape[1], frame.shape[0]) if isinstance(frame, np.ndarray) else frame.size


def _pixel_bytes(mode: str) -> int:
    """Bytes of a pixel in the array that is upscaled."""
    return {"L": 1, "1": 1, "LA": 2, "La": 2, "I;16": 2, "I;16B": 2}.get(mode, 4)


def _layer(frame: Frame, size: Size, mode: str, name: str) -> formats.Layer:
    """Tell the format ``name`` of a frame whose result has this size and mode."""
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


def _write(picture: Picture, file: BinaryIO, name: str, quality: int | None) -> None:
    layers = [_layer(frame, _size(frame), _mode(frame), name) for frame in picture.frames]
    formats.check(layers, name, animated=bool(picture.durations))
    frames = [frame for frame in picture.frames if not isinstance(frame, np.ndarray)]
    if len(frames) < len(picture.frames):
        (array,) = (frame for frame in picture.frames if isinstance(frame, np.ndarray))
        deep.write(file, name, array, metadata.held(picture.info, name))
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
    encoder = _encoder_options(picture, name, quality)
    if name == "TIFF":
        _write_pages(file, frames, [{**metadata.options(info, name), **encoder} for info in infos])
        return
    options = {**metadata.options(infos[0], name), **encoder}
    first, *others = frames
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


def _encoder_options(picture: Picture, name: str, quality: int | None) -> dict[str, Any]:
    if name == "WEBP" and quality is None and picture.lossless:
        return {"lossless": True}
    if name in ("JPEG", "MPO", "AVIF", "PDF"):
        return {"quality": quality or _QUALITY, "subsampling": "4:4:4"}
    if name == "PNG" and not picture.lossless:
        # A photograph has next to nothing for zlib's search: without it a PNG takes a fifth of the time, 4 %
        # more space. Drawings do repeat, and seldom come as JPEG.
        return {"compress_type": zlib.Z_RLE}
    return {"quality": quality or _QUALITY} if name == "WEBP" else {}


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
