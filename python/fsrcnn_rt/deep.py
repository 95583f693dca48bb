"""Colour of 16 bits per channel, which Pillow would cut to 8: PNG and TIFF through tifffile and imagecodecs.

Both come with the extra ``deep``; without them such files are refused with the reason.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fsrcnn_rt import jxl, png
from fsrcnn_rt.encoding import WriteOptions, heif_settings
from fsrcnn_rt.image import AnyArray
from fsrcnn_rt.plugins import load

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

_CUT = "it has more than 8 bits per channel, which Pillow cuts to 8"
_ORIENTATION = 0x0112
_BITS_TAG = 258
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2

# Texts of EXIF that a TIFF has as tags of its own: description, make, model, ...
_TEXT_TAGS = (270, 271, 272, 305, 306, 315, 33432)
_XMP_TAG = 700


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

    The orientation in the EXIF data of ``image`` is reset. ``ValueError`` for other formats than PNG, TIFF,
    HEIC and JPEG XL, and where the extra is not installed.
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
    exif = image.getexif()
    orientation = exif.pop(_ORIENTATION, 1) if image.format != "JXL" else 1  # which is decoded upright
    if "exif" in image.info:
        image.info["exif"] = exif.tobytes()
    return upright(array, orientation)


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
    """Write uint16 samples (H, W, 2 to 4) as PNG, TIFF or HEIC of 10 bits, with ``info`` as Pillow names it.

    Of EXIF a TIFF gets the texts alone. ``ValueError`` for other formats.
    """
    if name == "PNG":
        chunks = b"".join(_chunks(info))
        png.write(file, array, chunks, effort=options.effort, threads=threads, progress=progress)
    elif name == "HEIF" and array.shape[2] > 2:
        height, width, channels = array.shape
        settings = heif_settings(options)
        kept = {key: info[key] for key in ("exif", "xmp", "icc_profile") if key in info}
        mode = "RGB;16" if channels == 3 else "RGBA;16"
        load("pillow_heif").encode(mode, (width, height), array.tobytes(), file, **settings, **kept)
    elif name == "TIFF":
        tifffile, _ = _codecs()
        channels = array.shape[2]
        compression = None if options.compression == "none" else options.compression or "deflate"
        keywords: dict[str, Any] = {}
        if "dpi" in info:
            keywords = {"resolution": tuple(map(float, info["dpi"])), "resolutionunit": "INCH"}
        tifffile.imwrite(
            file,
            array,
            photometric="rgb" if channels > 2 else "minisblack",
            extrasamples=["unassalpha"] if channels in (2, 4) else None,
            compression=compression,
            predictor=compression is not None,
            iccprofile=info.get("icc_profile"),
            extratags=_tags(info),
            metadata=None,
            software=False,
            **keywords,
        )
    else:
        raise ValueError(f"cannot write 16 bits per channel as {name} (-f png or tiff holds them)")


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
    if "exif" in info:
        add(b"eXIf", info["exif"].removeprefix(b"Exif\0\0"))
    if "xmp" in info:
        add(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + info["xmp"])
    return chunks


def _tags(info: Mapping[str, Any]) -> list[tuple[int, str, int, Any, bool]]:
    """Tags of a TIFF that hold its metadata, as tifffile takes them."""
    from PIL import Image

    exif = Image.Exif()
    exif.load(info.get("exif", b""))
    tags: list[tuple[int, str, int, Any, bool]] = [
        (tag, "s", 0, text, True) for tag in _TEXT_TAGS if isinstance(text := exif.get(tag), str)
    ]
    if "xmp" in info:
        tags.append((_XMP_TAG, "B", len(info["xmp"]), info["xmp"], True))
    return tags
