"""What travels with the pixels of a picture file: profile, EXIF, XMP, resolution, texts.

All of it is a dict of these keys, in the form that Pillow's writers take:

- ``icc_profile``: bytes;
- ``exif``: bytes, without what is another in the result: orientation, thumbnail, resolution, storage;
- ``xmp``: bytes, upright;
- ``dpi``: dots per inch, across and down;
- ``iptc``: bytes, the captions and keywords of press agencies;
- ``text``: the texts of a PNG by their keywords;
- ``comment``: bytes, that of a JPEG or GIF;
- ``gamma``: that of a PNG without a profile, where it is not that of sRGB.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fsrcnn_rt.engine.sizes import Size
from fsrcnn_rt.pictures import exif
from fsrcnn_rt.pictures.formats import FORMATS

if TYPE_CHECKING:
    from PIL.Image import Exif
    from PIL.Image import Image as PilImage
    from PIL.PngImagePlugin import PngInfo

_XMP_KEYWORD = "XML:com.adobe.xmp"
_XMP_TAG = 700
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:=["']|>))[2-8]""")

# Properties of XMP that are the size in pixels, and those that are so many pixels of a panorama.
_XMP_SIDES = {
    **{b"exif:PixelXDimension": 0, b"exif:PixelYDimension": 1},
    **{b"tiff:ImageWidth": 0, b"tiff:ImageLength": 1},
}
_XMP_SIDE = re.compile(rb"""((%s)(?:=["']|>))\d+""" % b"|".join(_XMP_SIDES))
_XMP_PIXELS = re.compile(
    rb"""(GPano:(?:CroppedAreaImage|FullPano|CroppedArea)(Width|Height|Left|Top)Pixels(?:=["']|>))(\d+)"""
)

# Formats that have no other place for the resolution.
_RESOLUTION_IN_EXIF = ("WEBP", "AVIF", "HEIF", "JXL")

# Texts of a PNG that tell of a file as it was, by other programs.
_STALE_TEXTS = ("exif:", "png:", "Thumb::", "Raw profile type exif", "Raw profile type APP1")

# Bytes that a marker of JPEG holds; XMP and Photoshop's resources, among them IPTC, name themselves first.
_MARKER_BYTES = 65533
_XMP_MARKER = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP_MARKER = b"Photoshop 3.0\0"

_IPTC_TAG, _IPTC_RESOURCE = 33723, 0x0404

_MAX_DPI = 4e6  # with thousandths, as EXIF has it

_SRGB_GAMMA = 0.45455  # as a PNG has it

# The size of the pictures in OME-XML, and that of their pixels.
_OME = re.compile(r"""\b(PhysicalSize|Size)([XY])=(["'])([0-9.eE+-]+)\3""")


class _Text(str):
    """A text of a TIFF as Pillow decodes it, which Pillow would encode with question marks."""

    __slots__ = ()

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return str.encode(self, "latin-1", "replace")


def of(image: "PilImage") -> dict[str, Any]:
    """Collect the metadata of an image that Pillow has opened and loaded."""
    info = {key: image.info.get(key) for key in ("icc_profile", "comment")}
    raw = image.info.get("exif")
    if image.format == "TIFF" or not raw:
        raw = from_tags(image.getexif())
    if raw:
        info["exif"] = exif.describing(raw)
    dpi = image.info.get("dpi") or (raw and exif.resolution(raw))
    if dpi and all(0 < density < _MAX_DPI for density in dpi):  # false for NaN, too
        info["dpi"] = tuple(map(float, dpi))
    if xmp := _xmp(image):
        xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
        info["xmp"] = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    if image.format == "TIFF":
        iptc = image.getexif().get(_IPTC_TAG)
        info["iptc"] = iptc if isinstance(iptc, bytes) else None  # Pillow cuts what is called numbers
    else:
        info["iptc"] = image.info.get("photoshop", {}).get(_IPTC_RESOURCE)
    if image.format == "PNG":
        gamma = image.info.get("gamma", _SRGB_GAMMA)
        if not info["icc_profile"] and "srgb" not in image.info and abs(gamma / _SRGB_GAMMA - 1) > 0.01:
            info["gamma"] = gamma
        texts: dict[str, str] = image.text  # type: ignore[attr-defined]
        info["text"] = {
            key: text
            for key, text in texts.items()
            if key != _XMP_KEYWORD and not key.startswith(_STALE_TEXTS)
        }
    return {key: value for key, value in info.items() if value}


def resized(info: Mapping[str, Any], before: Size, after: Size) -> dict[str, Any]:
    """Adapt metadata of a picture of the size ``before``, upright, to what has become of it."""

    def scaled(match: re.Match[bytes]) -> bytes:
        axis = match[2] in (b"Height", b"Top")
        return match[1] + b"%d" % round(int(match[3]) * after[axis] / before[axis])

    adapted = dict(info)
    if "exif" in info:
        adapted["exif"] = _with_ome(exif.resized(info["exif"], before, after), before, after)
    if "xmp" in info:
        xmp = _XMP_SIDE.sub(lambda match: match[1] + b"%d" % after[_XMP_SIDES[match[2]]], info["xmp"])
        adapted["xmp"] = _XMP_PIXELS.sub(scaled, xmp)
    return adapted


def held(info: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Leave what a file of the format ``name`` has a place for."""
    kept = {key: value for key, value in info.items() if key in FORMATS[name].metadata}
    if name in ("JPEG", "MPO"):
        if max(kept.get("dpi", (0,))) > 65535:
            del kept["dpi"]
        # Of that, EXIF gets a resolution, and the others what they are marked with.
        kept = {
            key: value
            for key, value in kept.items()
            if key not in ("exif", "xmp", "iptc", "comment") or len(value) <= _MARKER_BYTES - 64
        }
    return kept


def options(info: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the arguments with which Pillow writes what a file of the format ``name`` holds of this."""
    from PIL import TiffImagePlugin

    info = held(info, name)
    chosen: dict[str, Any] = {key: info[key] for key in ("comment", "dpi") if key in info}
    chosen["icc_profile"] = info.get("icc_profile")  # None, where Pillow would else ask the image
    if name == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in tiff_tags(info).items():
            tags[tag] = value
        return {**chosen, "tiffinfo": tags}
    if block := exif_block(info, name):
        chosen["exif"] = block
    if name == "PNG":
        return {**chosen, "pnginfo": png_chunks(info)}
    if name in ("JPEG", "MPO"):  # for which some versions of Pillow write no XMP, and none IPTC
        chosen["extra"] = b"".join(
            marker + struct.pack(">H", len(data) + 2) + data for marker, data in _segments(info)
        )
    elif "xmp" in info:
        chosen["xmp"] = info["xmp"]
    return chosen


def exif_block(info: Mapping[str, Any], name: str) -> bytes | None:
    """Return the EXIF of a file, with the resolution, if only where that has no other place."""
    block: bytes | None = info.get("exif")
    if "dpi" in info and (block or name in _RESOLUTION_IN_EXIF):
        return exif.with_resolution(block, info["dpi"])
    return block


def _segments(info: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    """Markers of a JPEG that hold XMP and IPTC, and what is in them."""
    if "xmp" in info:
        yield b"\xff\xe1", _XMP_MARKER + info["xmp"]
    if iptc := info.get("iptc"):
        resource = struct.pack(">4sH2xI", b"8BIM", _IPTC_RESOURCE, len(iptc)) + iptc + bytes(len(iptc) % 2)
        yield b"\xff\xed", _PHOTOSHOP_MARKER + resource


def png_chunks(info: Mapping[str, Any]) -> "PngInfo":
    """Return the texts of a PNG, XMP and gamma as chunks."""
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    if "gamma" in info:
        chunks.add(b"gAMA", struct.pack(">I", round(info["gamma"] * 100000)))
    for key, text in info.get("text", {}).items():
        chunks.add_text(key, text)
    if "xmp" in info:
        chunks.add_itxt(_XMP_KEYWORD, info["xmp"].decode("utf-8", "replace"))
    return chunks


def tiff_tags(info: Mapping[str, Any]) -> dict[int, Any]:
    """Return EXIF, XMP and IPTC as tags of a TIFF; directories are dicts."""
    tags = directories(_loaded(info["exif"])) if "exif" in info else {}
    for tag, key in ((_XMP_TAG, "xmp"), (_IPTC_TAG, "iptc")):
        if key in info:
            tags[tag] = info[key]
    return tags


def _xmp(image: "PilImage") -> str | bytes | None:
    xmp = image.info.get("xmp") or image.info.get(_XMP_KEYWORD)
    if not xmp and image.format == "TIFF":
        xmp = image.getexif().get(_XMP_TAG)
    if not xmp:  # of a JPEG, which some versions of Pillow do not look for
        segments = [data for _, data in getattr(image, "applist", ()) if data.startswith(_XMP_MARKER)]
        xmp = segments[0].removeprefix(_XMP_MARKER) if segments else None
    return xmp


def from_tags(tags: "Exif") -> bytes | None:
    """Make a block of the tags of a TIFF; what its programs wrote of the sizes in it is left out."""
    from PIL import Image

    found = directories(tags)
    description = found.get(exif.DESCRIPTION)
    if isinstance(description, str) and description.startswith('{"shape":'):  # written by tifffile
        del found[exif.DESCRIPTION]
        with suppress(ValueError):
            others = {key: value for key, value in json.loads(description).items() if key != "shape"}
            if others:
                found[exif.DESCRIPTION] = json.dumps(others)
    if not found:
        return None
    copy = Image.Exif()
    copy.endian = "<"
    copy.update(found)
    return copy.tobytes()


def directories(tags: "Exif") -> dict[int, Any]:
    """Read what describes a picture: directories as dicts, texts so that they are written as they were."""
    found = {tag: tags[tag] for tag in exif.DESCRIPTIVE if tag in tags}
    for tag in (exif.EXIF_DIRECTORY, exif.GPS_DIRECTORY):
        if tag in found:
            found[tag] = {key: _as_it_was(value) for key, value in tags.get_ifd(tag).items()}
    inner = found.get(exif.EXIF_DIRECTORY, {})
    if exif.INTEROPERABILITY in inner:
        inner[exif.INTEROPERABILITY] = tags.get_ifd(exif.INTEROPERABILITY)
    return {tag: _as_it_was(value) for tag, value in found.items() if value != {}}


def _as_it_was(value: Any) -> Any:
    return _Text(value) if isinstance(value, str) else value


def _loaded(block: bytes) -> "Exif":
    from PIL import Image

    tags = Image.Exif()
    tags.load(block)
    return tags


def _with_ome(block: bytes, before: Size, after: Size) -> bytes:
    """Adapt the sizes in OME-XML, which is the description of a TIFF."""
    if b"<OME" not in block:
        return block

    def adapted(match: re.Match[str]) -> str:
        axis = "XY".index(match[2])
        value = str(after[axis])
        if match[1] == "PhysicalSize":
            value = f"{float(match[4]) * before[axis] / after[axis]:.10g}"
        return f"{match[1]}{match[2]}={match[3]}{value}{match[3]}"

    tags = _loaded(block)
    tags[exif.DESCRIPTION] = _OME.sub(adapted, str(tags[exif.DESCRIPTION]))
    return from_tags(tags) or block
