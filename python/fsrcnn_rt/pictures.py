"""One picture file: read with all that belongs to it, upscaled, and written.

A file holds one picture, the frames of an animation, or the pages of a TIFF. What is read is upright: the
orientation of EXIF is applied and reset. EXIF, XMP, ICC profile and resolution travel with the pixels.
"""

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from fsrcnn_rt import deep
from fsrcnn_rt.arguments import one_line
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.image import KEPT_INFO, AnyArray

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

    from fsrcnn_rt.api import Upscaler

Frame: TypeAlias = "PilImage | AnyArray"

# At twice this many pixels Pillow takes a picture for an attack; cameras exceed its own limit.
_MAX_PIXELS = 2**29

# Formats that hold frames with durations. TIFF holds several pictures, too, but as pages.
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")

_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF")

# Formats that hold what these modes hold; the others would cut it to 8 bits, some of them in silence.
_DEEP_MODES = {
    "I;16": ("PNG", "TIFF", "JPEG2000", "PPM"),
    "I": ("PNG", "TIFF", "PPM"),
    "F": ("TIFF", "PPM"),
}

_QUALITY = 95

_XMP_KEY = "XML:com.adobe.xmp"
_TIFF_XMP = 700
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:=["']|>))[2-8]""")

# Tags of a TIFF that tell of the picture and not of how it is stored: texts, the EXIF and GPS directories.
_EXIF_DIRECTORIES = (34665, 34853)
_DESCRIPTIVE_TAGS = {270, 271, 272, 305, 306, 315, 33432, *_EXIF_DIRECTORIES}


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
        frame = self.frames[0]
        return (frame.shape[1], frame.shape[0]) if isinstance(frame, np.ndarray) else frame.size

    @property
    def nbytes(self) -> int:
        """Memory of the pixels, in bytes, as arrays."""
        width, height = self.size
        first = self.frames[0]
        samples = first.nbytes if isinstance(first, np.ndarray) else width * height * _pixel_bytes(first.mode)
        return samples * len(self.frames)


def format_of(path: Path) -> str | None:
    """Pillow's name for the format that a suffix stands for; None where it knows no such suffix."""
    from PIL import Image

    suffix = path.suffix.lower()
    Image.preinit()  # the common formats: to load all of them takes longer than a small picture
    if suffix not in Image.EXTENSION:
        Image.init()
    return Image.EXTENSION.get(suffix)


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
    kept = ("icc_profile",) if strip_metadata else KEPT_INFO
    info: dict[Any, Any] = {key: picture.info[key] for key in kept if key in picture.info}
    for frame in picture.frames:
        if not isinstance(frame, np.ndarray):
            transparency = frame.info.get("transparency")
            frame.info = dict(info) if transparency is None else {**info, "transparency": transparency}
    return replace(picture, info=info)


def upscale(picture: Picture, upscaler: "Upscaler", scales: Sequence[int]) -> dict[int, Picture]:
    """Upscale every frame by each scale."""
    results = [upscaler.upscale(frame, scales) for frame in picture.frames]
    return {scale: replace(picture, frames=[result[scale] for result in results]) for scale in scales}


def write(picture: Picture, path: Path, *, quality: int | None = None) -> None:
    """Write a picture in the format that the suffix of ``path`` names, whole or not at all.

    ``quality``: 1..100, of JPEG (without chroma subsampling), WebP and AVIF; by default 95, and lossless WebP
    of what was lossless. ``OSError`` where it cannot be written or would lose frames, bits or alpha.
    """
    try:
        with atomic_write(path) as file:
            _write(picture, file, format_of(path) or "", quality)
    except Exception as error:  # encoders are as inventive as decoders
        raise OSError(f"{path} cannot be written: {one_line(error)}") from error


def _read(path: Path, image: "PilImage") -> Picture:
    from PIL import ImageOps

    name = image.format or ""
    several = getattr(image, "is_animated", False) and name != "MPO"  # a phone's JPEG with a preview in it
    if deep.is_needed(path, image):
        if several:
            raise ValueError("it has several frames of 16 bits per channel, which Pillow cuts to 8")
        return Picture([deep.read(path, image)], _metadata(image))
    lossless = name not in _LOSSY and not (name == "WEBP" and b"VP8 " in path.read_bytes())
    if not several:
        _load(image)
        if name != "TIFF":  # which Pillow loads upright
            ImageOps.exif_transpose(image, in_place=True)
        return Picture([image], _metadata(image), lossless=lossless)

    frames, durations, info = [], [], {}
    for i in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(i)
        _load(image)  # some formats know the duration only now
        frame = image.copy()
        frame.info = dict(image.info)
        ImageOps.exif_transpose(frame, in_place=True)
        if i == 0:
            info = {
                **_metadata(image),
                **_metadata(frame),
            }  # only the file knows a TIFF's, only the frame is upright
        frames.append(frame)
        durations.append(image.info.get("duration", 0))
    if name == "TIFF":
        return Picture(frames, info, lossless=lossless)
    # GIF counts repetitions and says nothing where there are none; the others count plays.
    loop = image.info.get("loop")
    plays = (1 if loop is None else loop + bool(loop)) if name == "GIF" else loop or 0
    still_first = bool(getattr(image, "default_image", False))
    return Picture(frames, info, durations, plays, still_first, lossless)


def _load(image: "PilImage") -> None:
    """Load the pixels; the directories of a TIFF before them, as some versions of Pillow close the file."""
    if image.format == "TIFF":
        exif = image.getexif()
        for directory in _EXIF_DIRECTORIES:
            exif.get_ifd(directory)
    image.load()


def _pixel_bytes(mode: str) -> int:
    """Bytes of a pixel in the array that is upscaled."""
    return {"L": 1, "1": 1, "LA": 2, "La": 2, "I;16": 2, "I;16B": 2}.get(mode, 4)


def _metadata(image: "PilImage") -> dict[str, Any]:
    """Collect what travels with the pixels, by the names of ``KEPT_INFO``; XMP in bytes, upright."""
    info = {key: image.info[key] for key in KEPT_INFO if image.info.get(key)}
    xmp = image.info.get("xmp") or image.info.get(_XMP_KEY)
    if image.format == "TIFF":
        exif = image.getexif()
        xmp = xmp or exif.get(_TIFF_XMP)
        for tag in exif.keys() - _DESCRIPTIVE_TAGS:
            del exif[tag]
        if len(exif):
            info["exif"] = exif.tobytes()
    if xmp:
        xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
        info["xmp"] = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    return info


def _write(picture: Picture, file: BinaryIO, name: str, quality: int | None) -> None:
    frames = [frame for frame in picture.frames if not isinstance(frame, np.ndarray)]
    if len(frames) < len(picture.frames):
        (array,) = (frame for frame in picture.frames if isinstance(frame, np.ndarray))
        deep.write(file, name, array, picture.info)
        return
    if len(frames) > 1:
        _check_holds_frames(picture, name)
    mode = frames[0].mode
    if name not in _DEEP_MODES.get(mode, (name,)):
        raise ValueError(
            f"cannot write mode {mode} as {name}, which has fewer bits (-f png or tiff has them)"
        )
    if name == "JPEG" and mode[-1] in "Aa":
        raise ValueError(
            f"cannot write mode {mode} as JPEG, which has no alpha (-f png, webp or tiff has it)"
        )
    if picture.durations and len({frame.mode for frame in frames}) > 1:
        common = "RGBA" if any(frame.mode.endswith("A") for frame in frames) else "RGB"
        frames = [frame.convert(common) for frame in frames]
    options = {**_metadata_options(frames[0], name), **_encoder_options(picture, name, quality)}
    if name == "GIF":
        frames = [_for_gif(frame) for frame in frames]
    elif name == "PNG" and mode == "I":
        frames = [_to_sixteen_bits(frame) for frame in frames]
    first, *others = frames
    if others:
        if picture.durations:
            options.update(_animation_options(picture, name))
        if name == "GIF" and any("transparency" in frame.info for frame in frames):
            options["disposal"] = 2  # a frame must not show through the holes of the next
        options.update(save_all=True, append_images=others)
    first.save(file, name, **options)


def _check_holds_frames(picture: Picture, name: str) -> None:
    count = len(picture.frames)
    if picture.durations and name not in _ANIMATED:
        raise ValueError(
            f"it has {count} frames, and {name} holds one (-f gif, webp, png or avif holds them)"
        )
    if not picture.durations and name != "TIFF":
        raise ValueError(f"it has {count} pages, and {name} holds one (-f tiff holds them)")


def _metadata_options(frame: "PilImage", name: str) -> dict[str, Any]:
    from PIL import Image, PngImagePlugin

    options = {key: frame.info[key] for key in KEPT_INFO if key in frame.info}
    xmp = options.get("xmp")
    if name == "PNG" and xmp:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt(_XMP_KEY, xmp.decode("utf-8", "replace"))
    elif name == "TIFF" and (xmp or "exif" in options):
        exif = Image.Exif()
        exif.load(options.get("exif", b""))
        if xmp:
            exif[_TIFF_XMP] = xmp
        options["exif"] = exif
    return options


def _encoder_options(picture: Picture, name: str, quality: int | None) -> dict[str, Any]:
    if name == "WEBP" and quality is None and picture.lossless:
        return {"lossless": True}
    if name in ("JPEG", "MPO", "AVIF"):
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
