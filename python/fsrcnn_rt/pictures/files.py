"""One picture file: read with all that belongs to it, upscaled, and written.

A file holds one picture, the frames of an animation, or the pages of a TIFF. What is read is upright: the
orientation of EXIF is applied and dropped. Metadata travels with the pixels, as far as formats hold it.
"""

import io
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fsrcnn_rt.engine.arrays import KEPT_INFO, result_mode
from fsrcnn_rt.engine.sizes import Box, Goal, Larger, Size, is_larger_already, result_size
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.pictures import adjust, deep, formats, metadata, plugins, png, profiles, raw
from fsrcnn_rt.pictures.adjust import Frame
from fsrcnn_rt.pictures.encoding import WriteOptions, encoder_options, is_lossless, tiff_tags

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

    from fsrcnn_rt.engine.upscaler import Upscaler

# At twice this many pixels Pillow takes a picture for an attack; cameras exceed its own limit.
_MAX_PIXELS = 2**29

_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")

# Of these, what Pillow calls frames belongs to one picture, or to others: previews, depths, layers, bursts.
_ONE_PICTURE = ("MPO", "PSD", "HEIF")

# Which are loaded upright, whatever the orientation in EXIF data.
_UPRIGHT = ("TIFF", "JXL")

# Animations; what else has frames has pages.
_ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF", "FLI")

# What this package's own encoder of PNG writes; before the metadata there are the signature and IHDR.
_OWN_PNG_MODES = ("L", "LA", "RGB", "RGBA", "I;16")
_PNG_HEADER = 8 + 25

# The type of an icon in an ICNS by its side.
_ICNS = {16: b"icp4", 32: b"icp5", 64: b"icp6", 128: b"ic07", 256: b"ic08", 512: b"ic09", 1024: b"ic10"}

# Of what Pillow knows of an image, what its pixels mean nothing without.
_OF_PIXELS = ("icc_profile", "transparency", "gamma")


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


def adjusted(picture: Picture, options: WriteOptions) -> Picture:
    """Carry out what of ``options`` comes before the network: the background and the resolution."""
    if options.background is not None:
        flat = [adjust.flattened(frame, options.background) for frame in picture.frames]
        picture = replace(picture, frames=flat)
    if options.dpi is not None:
        dpi = {"dpi": (options.dpi, options.dpi)}
        for frame in picture.frames:
            if not isinstance(frame, np.ndarray):
                frame.info.update(dpi)
        picture = replace(picture, info={**picture.info, **dpi})
    return picture


def check(picture: Picture, names: Mapping[Goal, str], options: WriteOptions) -> None:
    """``ValueError`` where a result would not fit into a file of the format that is to hold it."""
    for goal, name in names.items():
        layers = []
        for frame in picture.frames:
            mode = _mode(frame) if isinstance(frame, np.ndarray) else result_mode(frame)
            if options.depth == 8:
                mode = formats.IN_EIGHT_BITS.get(mode, mode)
            layers.append(_layer(frame, result_size(goal, _size(frame), options.larger), mode, name))
        formats.check(layers, name, animated=bool(picture.durations))


def is_kept(picture: Picture, goal: Goal, larger: Larger) -> bool:
    """Whether :func:`upscale` leaves all frames as they are."""
    return all(result_size(goal, _size(frame), larger) == _size(frame) for frame in picture.frames)


def upscale(
    picture: Picture,
    upscaler: "Upscaler",
    goals: Sequence[Goal],
    *,
    larger: Larger = "refuse",
    progress: Callable[[float], object] | None = None,
) -> dict[Goal, Picture]:
    """Upscale every frame by each scale and to each size.

    ``larger``: what becomes of frames that a size makes no larger, as
    :func:`~fsrcnn_rt.engine.sizes.result_size` has it. ``progress``: told the part that is done.
    """
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
        results: dict[Goal, Any] = upscaler.upscale(frame, scales, progress=tell) if scales else {}
        done += bool(scales)
        for box in boxes:
            if larger != "refuse" and is_larger_already(box, _size(frame)):
                results[box] = adjust.resized(frame, result_size(box, _size(frame), larger))
            else:
                results[box] = upscaler.upscale(frame, size=box, progress=tell)
            done += 1
        for goal in goals:
            result = results[goal]
            if not isinstance(frame, np.ndarray):
                result.info = metadata.resized(result.info, frame.size, result.size)
            frames[goal].append(result)
    return {
        goal: replace(
            picture, frames=enlarged, info=metadata.resized(picture.info, picture.size, _size(enlarged[0]))
        )
        for goal, enlarged in frames.items()
    }


def left_out(picture: Picture, name: str) -> list[str]:
    """Name the metadata of a picture, by its keys, that a file of the format ``name`` has no place for."""
    held = metadata.held(picture.info, name)
    return [key for key in picture.info if key not in held and key not in ("icc_profile", "transparency")]


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
    """Give the bytes of a file in the format that Pillow calls ``name``; ``OSError`` as of :func:`write`."""
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
    layers = [_layer(frame, _size(frame), _mode(frame), name) for frame in picture.frames]
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
