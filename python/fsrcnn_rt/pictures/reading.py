"""Picture files read with all that belongs to them, and without loss.

What is read is upright: the orientation of EXIF is applied and dropped.
"""

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fsrcnn_rt.engine.sizes import Size
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.files import check_regular
from fsrcnn_rt.pictures import deep, jxl, metadata, plugins, raw
from fsrcnn_rt.pictures.adjust import Frame
from fsrcnn_rt.pictures.picture import Frames, Kind, Picture, kind_of, mapped

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

#: The most pixels that are read where nothing else is said; cameras and scanners exceed Pillow's own limit.
MAX_PIXELS = 2**30

_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")

# Of these, what Pillow calls frames belongs to one picture, or to others: previews, depths, layers, bursts.
_ONE_PICTURE = ("MPO", "PSD", "HEIF")

# Which are loaded upright, whatever the orientation in EXIF data.
_UPRIGHT = ("TIFF", "JXL")

# Animations; what else has frames has pages.
_ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF", "FLI")

# Bytes of bitmaps that a byte of a TIFF holds at most, by its compression; of others at most 2^16.
_MOST_COMPRESSED = {"raw": 1, "packbits": 64, "tiff_lzw": 1 << 12, "tiff_adobe_deflate": 1 << 11}

# Of what Pillow knows of an image, what its pixels mean nothing without.
_OF_PIXELS = ("icc_profile", "transparency", "gamma")


@contextmanager
def large_pictures_allowed(max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Have Pillow open pictures of up to ``max_pixels``, and keep its warnings.

    Both are settings of the whole process: leave the block when all are read.
    """
    import warnings

    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)  # it warns there, and refuses at twice as many
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def content_format(path: Path) -> str | None:
    """Pillow's name for the format of what is in a file; None for one that it does not know."""
    try:
        with _open(path) as image:
            name: str | None = image.format
            return name
    except (OSError, SyntaxError, ModuleNotFoundError):
        return None


class Header(NamedTuple):
    """What a file says of itself before a pixel is decoded.

    ``mode``: as Pillow has it. ``size``: of the largest frame, perhaps not upright yet. ``frames``: how many
    there are to be read. ``pixels``: of all of them.
    """

    mode: str
    size: Size
    frames: int
    pixels: int


def read(
    path: Path,
    *,
    strip_metadata: bool = False,
    first_frame: bool = False,
    raw_bits: int = 16,
    max_pixels: int = MAX_PIXELS,
    admit: Callable[[Header], object] = lambda header: None,
) -> Picture:
    """Read what is in a file; ``OSError`` if there is no picture in it that can be upscaled without loss.

    A pipe or a device is refused, too, as it might never end.

    Several frames are read one by one here, to see that they are sound, and once more each time that they
    are gone through. ``strip_metadata``: leave EXIF, XMP and resolution out, but not the ICC profile, which
    colours depend on. ``first_frame``: leave out the other frames or pages. ``raw_bits``: 8 or 16 per
    channel, of camera raw. ``max_pixels``: the most, of all frames together. ``admit``: is told what is going
    to be decoded; what it raises is handed on.
    """
    from PIL import Image, UnidentifiedImageError

    def check(header: Header) -> None:
        if header.pixels > max_pixels:
            raise _RefusedError from OSError(_too_many(header, max_pixels))
        try:
            admit(header)
        except Exception as error:
            raise _RefusedError from error

    if path.exists():
        check_regular(path)
    try:
        if plugins.is_raw(path):
            picture = _read_raw(path, raw_bits, check)
        else:
            before = _header_of_jxl(path)  # which is decoded when it is opened
            if before is not None:
                check(before)
            with _open(path) as image:
                picture = _read(path, image, first_frame, check if before is None else lambda header: None)
    except _RefusedError as refused:
        assert refused.__cause__ is not None
        raise refused.__cause__ from None
    except UnidentifiedImageError as error:
        raise OSError("is not a picture in a format that Pillow reads") from error
    except Image.DecompressionBombError as error:
        raise OSError(f"has more than the {max_pixels} pixels that are read (see --max-pixels)") from error
    except ModuleNotFoundError as error:  # of an extra, and its message says so
        raise OSError(one_line(error)) from error
    except Exception as error:  # what a decoder raises on damaged data is anybody's guess
        raise OSError(f"cannot be read: {one_line(error)}") from error
    if not strip_metadata:
        return picture

    def stripped(frame: Frame) -> Frame:
        if not isinstance(frame, np.ndarray):
            frame.info = {key: frame.info[key] for key in _OF_PIXELS if key in frame.info}
        return frame

    info = {key: picture.info[key] for key in _OF_PIXELS if key in picture.info}
    return replace(mapped(picture, stripped), info=info)


class _RefusedError(Exception):
    """It is not decoded, for the reason that is the cause of this."""


def _too_many(header: Header, max_pixels: int) -> str:
    width, height = header.size
    what = f"{header.frames} frames of up to " if header.frames > 1 else ""
    in_all = f", {header.pixels} pixels in all" if header.frames > 1 else f", {header.pixels} pixels"
    return f"has {what}{width}x{height}{in_all}, and {max_pixels} are read (see --max-pixels)"


def _header_of_jxl(path: Path) -> Header | None:
    """Read the size of a JPEG XL; None for other files."""
    with path.open("rb") as file:
        if not jxl.is_begin(file.read(jxl.HEAD)):
            return None
        size = jxl.size(file)
    return Header("RGB", size, 1, size[0] * size[1])


def _open(path: Path) -> "PilImage":
    from PIL import Image, UnidentifiedImageError

    plugins.register(path)
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        if plugins.register_by_content(path):
            return Image.open(path)
        raise


def _read_raw(path: Path, bits: int, check: Callable[[Header], object]) -> Picture:
    from PIL import Image

    array = raw.read(path, bits, lambda size: check(Header("RGB", size, 1, size[0] * size[1])))
    exif = raw.exif(path)
    info = {"exif": exif} if exif else {}
    if bits > 8:
        return Picture([array], info)
    image = Image.fromarray(array)
    image.info = _info_of(image, info)
    return Picture([image], info)


def _read(path: Path, image: "PilImage", first_frame: bool, check: Callable[[Header], object]) -> Picture:
    from PIL import ImageOps

    name = image.format or ""
    several = getattr(image, "is_animated", False) and name not in _ONE_PICTURE and not first_frame
    header = _header(path, image, several)
    check(header)
    _check_bytes(path, image)
    if deep.is_needed(path, image):
        if several:
            raise ValueError("it has several frames of 16 bits per channel, which Pillow cuts to 8")
        array = deep.read(path, image)
        return Picture([array], metadata.of(image))
    lossless = name not in _LOSSY and not (name == "WEBP" and _is_lossy_webp(path))
    if several:
        return replace(_read_several(path, image, header), lossless=lossless)
    _load(image)
    info = metadata.of(image)
    if name not in _UPRIGHT:
        ImageOps.exif_transpose(image, in_place=True)
    image.info = _info_of(image, info)
    return Picture([image], info, lossless=lossless)


def _header(path: Path, image: "PilImage", several: bool) -> Header:
    """Collect what is known of an open image; of the pages of a file the sizes of all."""
    width, height = image.size
    count: int = image.n_frames if several else 1  # type: ignore[attr-defined]
    if not several or image.format in _ANIMATIONS:
        return Header(image.mode, image.size, count, width * height * count)
    # Some formats believe any number, and to go through the pages would then never end.
    if count > (size_of_file := path.stat().st_size):
        raise ValueError(f"{size_of_file} bytes cannot hold {count} pages")
    pixels, size = 0, image.size
    with _open(path) as pages:
        for i in range(count):
            pages.seek(i)
            pixels += pages.width * pages.height
            size = max(size, pages.size, key=lambda one: one[0] * one[1])
    return Header(image.mode, size, count, pixels)


def _check_bytes(path: Path, image: "PilImage") -> None:
    """``ValueError`` for a file too small for its pixels whose decoder would make room for them first."""
    if image.format not in ("TIFF", "JPEG2000"):
        return
    compression = image.info.get("compression")
    pixels, size = image.width * image.height, path.stat().st_size
    if pixels // 8 > size * _MOST_COMPRESSED.get(str(compression), 1 << 16):
        raise ValueError(f"{size} bytes cannot hold {image.width}x{image.height} pixels")


def _read_several(path: Path, image: "PilImage", header: Header) -> Picture:
    """Go through all frames, to know their kinds and durations, and that they can be decoded."""
    kinds: list[Kind] = []
    durations: list[float] = []
    info: Mapping[str, Any] = {}
    for frame, own in _frames(image, header.size):
        if not kinds:
            info = own
        kinds.append(kind_of(frame))
        durations.append(image.info.get("duration", 0))

    def make() -> Iterator[Frame]:
        with _open(path) as again:
            for (frame, _), kind in zip(_frames(again, header.size), kinds, strict=True):
                if kind_of(frame) != kind:
                    raise ValueError(f"{path} has changed while it was read")
                yield frame

    frames = Frames(kinds, make)
    if image.format not in _ANIMATIONS:
        return Picture(frames, info)
    # GIF counts repetitions and says nothing where there are none; the others count plays.
    loop = image.info.get("loop")
    plays = (1 if loop is None else loop + bool(loop)) if image.format == "GIF" else loop or 0
    still_first = bool(getattr(image, "default_image", False))
    return Picture(frames, info, durations, plays, still_first)


def _frames(image: "PilImage", most: Size) -> Iterator[tuple["PilImage", Mapping[str, Any]]]:
    """Decode the frames of a file one by one, each with its metadata; an animation's are those of the first.

    ``ValueError`` for a frame that has more pixels than ``most``, the size by the header.
    """
    from PIL import ImageOps

    info: Mapping[str, Any] = {}
    for i in range(image.n_frames):  # type: ignore[attr-defined]
        if i:
            for key in ("icc_profile", "dpi"):  # which Pillow leaves to the next page of a TIFF
                image.info.pop(key, None)
        image.seek(i)
        if image.width * image.height > most[0] * most[1]:  # the canvas of a GIF grows with its frames
            raise ValueError(
                f"frame {i + 1} has {image.width}x{image.height}, and the first {most[0]}x{most[1]}"
            )
        _load(image)  # some formats know the duration only now
        frame = image.copy()
        if i == 0 or image.format not in _ANIMATIONS:
            info = metadata.of(image)
        if image.format not in _UPRIGHT:
            ImageOps.exif_transpose(frame, in_place=True)
        frame.info = _info_of(image, info)
        yield frame, info


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
