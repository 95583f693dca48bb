"""Picture files read with all that belongs to them, and without loss.

What is read is upright: the orientation of EXIF is applied and dropped.
"""

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fsrcnn_rt.errors import one_line
from fsrcnn_rt.pictures import deep, metadata, plugins, raw
from fsrcnn_rt.pictures.picture import Picture

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

# At twice this many pixels Pillow takes a picture for an attack; cameras exceed its own limit.
_MAX_PIXELS = 2**29

_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")

# Of these, what Pillow calls frames belongs to one picture, or to others: previews, depths, layers, bursts.
_ONE_PICTURE = ("MPO", "PSD", "HEIF")

# Which are loaded upright, whatever the orientation in EXIF data.
_UPRIGHT = ("TIFF", "JXL")

# Animations; what else has frames has pages.
_ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF", "FLI")

# Of what Pillow knows of an image, what its pixels mean nothing without.
_OF_PIXELS = ("icc_profile", "transparency", "gamma")


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


def content_format(path: Path) -> str | None:
    """Pillow's name for the format of what is in a file; None for one that it does not know."""
    try:
        with _open(path) as image:
            name: str | None = image.format
            return name
    except (OSError, SyntaxError, ModuleNotFoundError):
        return None


def read(
    path: Path, *, strip_metadata: bool = False, first_frame: bool = False, raw_bits: int = 16
) -> Picture:
    """Read what is in a file; ``OSError`` if there is no picture in it that can be upscaled without loss.

    ``strip_metadata``: leave EXIF, XMP and resolution out, but not the ICC profile, which colours depend on.
    ``first_frame``: leave out the other frames or pages. ``raw_bits``: 8 or 16 per channel, of camera raw.
    """
    from PIL import UnidentifiedImageError

    try:
        if plugins.is_raw(path):
            picture = _read_raw(path, raw_bits)
        else:
            with _open(path) as image:
                picture = _read(path, image, first_frame)
    except UnidentifiedImageError as error:
        raise OSError("is not a picture in a format that Pillow reads") from error
    except ModuleNotFoundError as error:  # of an extra, and its message says so
        raise OSError(one_line(error)) from error
    except Exception as error:  # what a decoder raises on damaged data is anybody's guess
        raise OSError(f"cannot be read: {one_line(error)}") from error
    if not strip_metadata:
        return picture
    for frame in picture.frames:
        if not isinstance(frame, np.ndarray):
            frame.info = {key: frame.info[key] for key in _OF_PIXELS if key in frame.info}
    return replace(picture, info={key: picture.info[key] for key in _OF_PIXELS if key in picture.info})


def _open(path: Path) -> "PilImage":
    from PIL import Image, UnidentifiedImageError

    plugins.register(path)
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        if plugins.register_by_content(path):
            return Image.open(path)
        raise


def _read_raw(path: Path, bits: int) -> Picture:
    from PIL import Image

    array = raw.read(path, bits)
    exif = raw.exif(path)
    info = {"exif": exif} if exif else {}
    if bits > 8:
        return Picture([array], info)
    image = Image.fromarray(array)
    image.info = _info_of(image, info)
    return Picture([image], info)


def _read(path: Path, image: "PilImage", first_frame: bool) -> Picture:
    from PIL import ImageOps

    name = image.format or ""
    several = getattr(image, "is_animated", False) and name not in _ONE_PICTURE and not first_frame
    if deep.is_needed(path, image):
        if several:
            raise ValueError("it has several frames of 16 bits per channel, which Pillow cuts to 8")
        array = deep.read(path, image)
        return Picture([array], metadata.of(image))
    lossless = name not in _LOSSY and not (name == "WEBP" and _is_lossy_webp(path))
    if not several:
        _load(image)
        info = metadata.of(image)
        if name not in _UPRIGHT:
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
        if name not in _UPRIGHT:
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
