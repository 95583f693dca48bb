"""One picture file: read with all that belongs to it, upscaled, and written.

A file holds one picture, the frames of an animation, or the pages of a TIFF. What is read is upright: the
orientation of EXIF is applied and reset. EXIF, XMP, ICC profile and resolution travel with the pixels.
"""

import io
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from fsrcnn_rt import deep, plugins, png, raw
from fsrcnn_rt.arguments import one_line
from fsrcnn_rt.encoding import WriteOptions, encoder_options, is_lossless
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.image import KEPT_INFO, AnyArray
from fsrcnn_rt.sizes import Box, Goal

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

    from fsrcnn_rt.api import Upscaler

Frame: TypeAlias = "PilImage | AnyArray"

# At twice this many pixels Pillow takes a picture for an attack; cameras exceed its own limit.
_MAX_PIXELS = 2**29

# Formats that hold frames with durations. TIFF holds several pictures, too, but as pages.
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")

_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")

# Of these, what Pillow calls frames belongs to one picture, or is beside it: previews, bursts.
_ONE_PICTURE = ("MPO", "HEIF")

# Which Pillow loads upright; the orientation in EXIF data is of no meaning then.
_UPRIGHT = ("TIFF", "JXL")
_ORIENTATION = 0x0112

# What the encoder of this package writes to PNG.
_OWN_PNG_MODES = ("L", "LA", "RGB", "RGBA", "I;16")

# Before IDAT: the signature, and IHDR, which comes first.
_PNG_HEADER = 8 + 25

# Formats that hold what these modes hold; the others would cut it to 8 bits, some of them in silence.
_DEEP_MODES = {
    "I;16": ("PNG", "TIFF", "JPEG2000", "PPM"),
    "I": ("PNG", "TIFF", "PPM"),
    "F": ("TIFF", "PPM"),
}

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
    """Pillow's name for the format that a suffix stands for; None where it knows no such suffix.

    ``ModuleNotFoundError`` where an optional package is needed for it.
    """
    from PIL import Image

    suffix = path.suffix.lower()
    Image.preinit()  # the common formats: to load all of them takes longer than a small picture
    if suffix not in Image.EXTENSION:
        plugins.register(path)
    if suffix not in Image.EXTENSION:
        Image.init()
    return Image.EXTENSION.get(suffix)


def content_format(path: Path) -> str | None:
    """Pillow's name for the format of what is in a file; None for one that it does not know."""
    try:
        with _open(path) as image:
            name: str | None = image.format
            return name
    except (OSError, SyntaxError, ModuleNotFoundError):
        return None


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


def read(
    path: Path, *, strip_metadata: bool = False, first_frame: bool = False, raw_bits: int = 16
) -> Picture:
    """Read what is in a file; ``OSError`` if there is no picture in it that can be upscaled without loss.

    ``strip_metadata``: leave EXIF, XMP and resolution out, but not the ICC profile, which colours depend on.
    ``first_frame``: leave out the other frames or pages. ``raw_bits``: 8 or 16 per channel, of camera raw.
    """
    try:
        if plugins.is_raw(path):
            picture = _read_raw(path, raw_bits)
        else:
            with _open(path) as image:
                picture = _read(path, image, first_frame)
    except Exception as error:  # what a decoder raises on damaged data is anybody's guess
        if isinstance(error, ModuleNotFoundError):
            raise OSError(one_line(error)) from error
        from PIL import UnidentifiedImageError

        if isinstance(error, UnidentifiedImageError):
            raise OSError("is not a picture in a format that Pillow reads") from error
        raise OSError(f"cannot be read: {one_line(error)}") from error
    kept = ("icc_profile",) if strip_metadata else KEPT_INFO
    info: dict[Any, Any] = {key: picture.info[key] for key in kept if key in picture.info}
    for frame in picture.frames:
        if not isinstance(frame, np.ndarray):
            transparency = frame.info.get("transparency")
            frame.info = dict(info) if transparency is None else {**info, "transparency": transparency}
    return replace(picture, info=info)


def upscale(
    picture: Picture,
    upscaler: "Upscaler",
    goals: Sequence[Goal],
    *,
    progress: Callable[[float], object] | None = None,
) -> dict[Goal, Picture]:
    """Upscale every frame by each scale and to each size; ``progress``: told the part that is done."""
    scales = [goal for goal in goals if not isinstance(goal, Box)]
    boxes = [goal for goal in goals if isinstance(goal, Box)]
    frames: dict[Goal, list[Frame]] = {goal: [] for goal in goals}
    steps = len(picture.frames) * (bool(scales) + len(boxes))
    done = 0

    def tell(part: float) -> None:
        if progress:
            progress((done + part) / steps)

    frame: Any
    for frame in picture.frames:
        if scales:
            results = upscaler.upscale(frame, scales, progress=tell)
            for scale in scales:
                frames[scale].append(results[scale])
            done += 1
        for box in boxes:
            frames[box].append(upscaler.upscale(frame, size=box, progress=tell))
            done += 1
    return {goal: replace(picture, frames=frames[goal]) for goal in goals}


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
    encoders that tell. ``OSError`` where it cannot be written or would lose frames, bits or alpha.
    """
    try:
        with atomic_write(path) as file:
            _write(picture, file, format_of(path) or "", options or WriteOptions(), threads, progress)
    except Exception as error:  # encoders are as inventive as decoders
        raise OSError(f"{path} cannot be written: {one_line(error)}") from error


def copy(source: Path, path: Path) -> None:
    """Copy a file, whole or not at all; ``OSError`` where it cannot be written."""
    try:
        with source.open("rb") as file, atomic_write(path) as copied:
            shutil.copyfileobj(file, copied)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {one_line(error)}") from error


def encoded(picture: Picture, name: str, options: WriteOptions, *, threads: int = 1) -> bytes:
    """Give the bytes of a file in the format that Pillow calls ``name``; ``OSError`` as of :func:`write`."""
    file = io.BytesIO()
    try:
        _write(picture, file, name, options, threads, None)
    except Exception as error:
        raise OSError(f"cannot be written: {one_line(error)}") from error
    return file.getvalue()


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
    return Picture([Image.fromarray(array) if bits == 8 else array], {"exif": exif} if exif else {})


def _read(path: Path, image: "PilImage", first_frame: bool) -> Picture:
    from PIL import ImageOps

    name = image.format or ""
    several = getattr(image, "is_animated", False) and name not in _ONE_PICTURE and not first_frame
    if deep.is_needed(path, image):
        if several:
            raise ValueError("it has several frames of 16 bits per channel, which Pillow cuts to 8")
        return Picture([deep.read(path, image)], _metadata(image))
    lossless = name not in _LOSSY and not (name == "WEBP" and b"VP8 " in path.read_bytes())
    if not several:
        _load(image)
        if name not in _UPRIGHT:
            ImageOps.exif_transpose(image, in_place=True)
        elif "exif" in image.info:
            image.getexif().pop(_ORIENTATION, None)
            image.info["exif"] = image.getexif().tobytes()
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


def _write(
    picture: Picture,
    file: BinaryIO,
    name: str,
    write_options: WriteOptions,
    threads: int,
    progress: Callable[[float], object] | None,
) -> None:
    frames = [frame for frame in picture.frames if not isinstance(frame, np.ndarray)]
    if len(frames) < len(picture.frames):
        (array,) = (frame for frame in picture.frames if isinstance(frame, np.ndarray))
        deep.write(file, name, array, picture.info, write_options, threads=threads, progress=progress)
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
    if name == "GIF":
        frames = [_for_gif(frame) for frame in frames]
    elif name == "PNG" and mode == "I":
        frames = [_to_sixteen_bits(frame) for frame in frames]
    first, *others = frames
    options = _metadata_options(first, name)
    if name == "PNG" and not others and first.mode in _OWN_PNG_MODES and "transparency" not in first.info:
        chunks = _png_chunks(first, options)
        png.write(file, first, chunks, effort=write_options.effort, threads=threads, progress=progress)
        return
    lossless = is_lossless(name, write_options, source=picture.lossless)
    options.update(encoder_options(first, name, write_options, lossless=lossless))
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


def _png_chunks(frame: "PilImage", options: Mapping[str, Any]) -> bytes:
    """Chunks that Pillow writes for the metadata of a frame."""
    from PIL import Image

    pixel = Image.new(frame.mode, (1, 1))
    pixel.info = frame.info
    with io.BytesIO() as file:
        pixel.save(file, "PNG", **options)
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
