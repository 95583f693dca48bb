"""Colour of 16 bits per channel, which Pillow would cut to 8: PNG and TIFF through tifffile and imagecodecs.

Both come with the extra ``deep``; without them such files are refused with the reason.
"""

import os
import struct
import zlib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fsrcnn_rt.engine.arrays import AnyArray
from fsrcnn_rt.pictures import exif, jxl, metadata, png
from fsrcnn_rt.pictures.encoding import WriteOptions, heif_settings
from fsrcnn_rt.pictures.plugins import load

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

_CUT = "it has more than 8 bits per channel, which Pillow cuts to 8"
_ORIENTATION = 0x0112
_BITS_TAG = 258
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2

_BYTE, _ASCII, _SHORT, _LONG, _LONG8 = 1, 2, 3, 4, 16

# tifffile writes no directory of EXIF or GPS: tags that mean nothing, next to theirs, keep the place.
_STAND_INS = {exif.EXIF_DIRECTORY: exif.EXIF_DIRECTORY - 1, exif.GPS_DIRECTORY: exif.GPS_DIRECTORY - 1}


def is_needed(path: Path, image: "PilImage") -> bool:
    """Whether Pillow, which has opened ``path`` as ``image``, would drop bits of its samples."""
    if image.mode in ("I;16", "I;16B", "I") and image.format == "PNG":
        return "transparency" in image.info  # 16-bit grey with alpha is no mode of Pillow
    if image.mode[0] in "IF":
        return False
    if image.format == "PPM":
        # The last argument of its decoder is the greatest value.
        arguments = getattr(image, "tile", [("", (), 0, ())])[0][3]
        return isinstance(arguments, tuple) and isinstance(arguments[-1], int) and arguments[-1] > 255
    if image.format == "TIFF":
        return any(bits > 8 for bits in getattr(image, "tag_v2", {}).get(_BITS_TAG, ()))
    if image.format in ("JPEG2000", "AVIF", "JXL"):
        return _bits(path, image.format) > 8
    if image.format == "HEIF":
        return bool(image.info["bit_depth"] > 8)
    return ";16" in str(getattr(image, "tile", ""))


def read(path: Path, image: "PilImage") -> AnyArray:
    """Read uint16 samples (H, W, 2 to 4), upright, of what Pillow has opened as ``image``.

    ``ValueError`` for other formats than PNG, TIFF, HEIC and JPEG XL, and where the extra is not installed.
    """
    if image.format not in ("PNG", "TIFF", "HEIF", "JXL") or image.mode == "CMYK":
        raise ValueError(f"{_CUT}; of these, RGB in PNG and TIFF can be read (convert it to one of them)")
    if image.format == "HEIF":
        heif = load("pillow_heif").open_heif(path, convert_hdr_to_8bit=False)
        return np.array(heif)  # upright, and all 16 bits in use, whatever it has
    tifffile, imagecodecs = _codecs()
    if image.format == "PNG":
        array: AnyArray = imagecodecs.png_decode(path.read_bytes())
    elif image.format == "JXL":
        array = imagecodecs.jpegxl_decode(path.read_bytes())
    else:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            array = page.asarray()
            if page.axes == "SYX":
                array = np.moveaxis(array, 0, -1)
            if page.photometric != tifffile.PHOTOMETRIC.RGB or page.axes not in ("YXS", "SYX"):
                raise ValueError(f"{_CUT}; of TIFF, RGB can be read, and this is {page.photometric.name}")
            array = _with_straight_alpha(array, [int(kind) for kind in page.extrasamples])
    if array.dtype != np.uint16 or array.ndim != 3:
        raise ValueError(f"{_CUT}, and it is no 16-bit colour but {array.dtype} of shape {array.shape}")
    if image.format == "JXL":  # which is decoded upright
        return array
    return upright(array, image.getexif().get(_ORIENTATION, 1))


def write(
    file: BinaryIO,
    name: str,
    array: AnyArray,
    info: Mapping[str, Any],
    options: WriteOptions,
    *,
    threads: int = 1,
    progress: Callable[[float], object] | None = None,
) -> None:
    """Write uint16 samples (H, W, 2 to 4) as PNG, TIFF or HEIC of 10 bits, with the metadata ``info``."""
    height, width, channels = array.shape
    if name == "PNG":
        chunks = b"".join(_chunks(info))
        png.write(file, array, chunks, effort=options.effort, threads=threads, progress=progress)
        return
    if name == "HEIF":
        kept = {key: info[key] for key in ("xmp", "icc_profile") if key in info}
        if block := metadata.exif_block(info, name):
            kept["exif"] = block
        settings = {**heif_settings(options), **kept}
        mode = "RGB;16" if channels == 3 else "RGBA;16"
        load("pillow_heif").encode(mode, (width, height), array.tobytes(), file, **settings)
        return
    tifffile, _ = _codecs()
    compression = None if options.compression == "none" else options.compression or "deflate"
    block = info.get("exif", b"")
    tifffile.imwrite(
        file,
        array,
        byteorder="<",
        photometric="rgb" if channels > 2 else "minisblack",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression=compression,
        predictor=compression is not None,
        iccprofile=info.get("icc_profile"),
        resolution=info.get("dpi"),
        resolutionunit="INCH" if "dpi" in info else None,
        extratags=[_extra_tag(tag, value) for tag, value in metadata.tiff_tags(info).items()],
        metadata=None,
        software=False,
    )
    file.seek(0)
    with tifffile.TiffFile(file) as written:
        tags, big = written.pages[0].tags, written.is_bigtiff
    for directory, stand_in in _STAND_INS.items():
        if stand_in in tags:
            _append(file, tags[stand_in], directory, block, big)


def upright(array: AnyArray, orientation: int) -> AnyArray:
    """Apply an EXIF orientation, 1..8, to an array (H, W, ...): a view of it."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _codecs() -> tuple[Any, Any]:
    # By name: neither is there where types are checked without the extra.
    try:
        return import_module("tifffile"), import_module("imagecodecs")
    except ImportError as error:
        raise ValueError(f"{_CUT} (pip install 'fsrcnn-rt[deep]' for what reads it)") from error


def _bits(path: Path, name: str) -> int:
    """Bits per channel by the header of a JPEG 2000, AVIF or JPEG XL file, 8 where it does not say."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if name == "JXL":
        return jxl.bits(head)
    # The SIZ marker after the start of the codestream; the box "pixi" of the first picture.
    marker, distance = (b"\xff\x4f\xff\x51", 42) if name == "JPEG2000" else (b"pixi", 9)
    found = head.find(marker)
    if found < 0 or found + distance >= len(head):
        return 8
    bits = head[found + distance]
    return (bits & 0x7F) + 1 if name == "JPEG2000" else bits


def _with_straight_alpha(array: AnyArray, extra: list[int]) -> AnyArray:
    """Leave RGB and alpha that it is not multiplied with; samples of no known meaning are left out."""
    if not extra or extra[0] not in (_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA):
        return array[..., :3]
    array = array[..., :4]
    if extra[0] == _UNASSOCIATED_ALPHA:
        return array
    alpha = np.maximum(array[..., 3:].astype(np.float64), 1)
    straight = np.minimum(np.floor(array[..., :3] * (65535 / alpha) + 0.5), 65535).astype(np.uint16)
    return np.concatenate([straight, array[..., 3:]], axis=2)


def _chunks(info: Mapping[str, Any]) -> list[bytes]:
    """Chunks of a PNG that hold its metadata."""
    chunks = []

    def add(name: bytes, data: bytes) -> None:
        chunks.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))

    if "icc_profile" in info:
        add(b"iCCP", b"ICC Profile\0\0" + zlib.compress(info["icc_profile"]))
    if "dpi" in info:
        x, y = (int(dots / 0.0254 + 0.5) for dots in info["dpi"])
        add(b"pHYs", struct.pack(">IIB", x, y, 1))
    if block := metadata.exif_block(info, "PNG"):
        add(b"eXIf", block.removeprefix(b"Exif\0\0"))
    for name, data, *_ in metadata.png_chunks(info).chunks:
        add(name, data)
    return chunks


def _extra_tag(tag: int, value: Any) -> tuple[int, int, int, Any, bool]:
    """Return a tag as tifffile takes it, and for a directory, which it does not take, its stand-in."""
    if isinstance(value, dict):
        return _STAND_INS[tag], _LONG, 1, 0, True
    if isinstance(value, int):
        return tag, _SHORT, 1, value, True
    data = value.encode() if isinstance(value, str) else bytes(value)
    return tag, _ASCII if isinstance(value, str) else _BYTE, len(data), data, True


def _append(file: BinaryIO, stand_in: Any, directory: int, block: bytes, big: bool) -> None:
    """Put a directory of EXIF behind a TIFF, and into the tag that stands in for it its number and place."""
    place = file.seek(0, os.SEEK_END)
    place += file.write(bytes(place % 2))
    file.write(exif.placed(block, directory, place, big=big))
    form, kind = ("<HHQQ", _LONG8) if big else ("<HHII", _LONG)
    file.seek(stand_in.offset)
    file.write(struct.pack(form, directory, kind, 1, place))
