"""How results are written: what a user may choose, and what the encoders of Pillow's formats are told."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fsrcnn_rt.engine.sizes import Larger
from fsrcnn_rt.pictures import png

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

#: What ``effort`` goes up to.
MAX_EFFORT = 10

Compression = Literal["none", "lzw", "deflate"]

_QUALITY = 95
_TIFF_COMPRESSIONS = {"none": "raw", "lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate"}
_TIFF_PREDICTOR = 317
_TIFF_PREDICTED = ("L", "LA", "RGB", "RGBA", "I;16")
_DIFFERENCES = 2  # of a sample to the one beside it
_X265_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")


@dataclass(frozen=True)
class WriteOptions:
    """What is to become of results.

    ``quality``: 1..100, of JPEG (without chroma subsampling), WebP, AVIF, JPEG XL and HEIC; by default 95,
    and lossless WebP and JPEG XL of what was lossless. ``effort``: of the encoder, 0, the fastest, to 10, the
    smallest; by default what suits the picture. ``compression``: of TIFF; by default none, of 16-bit colour
    deflate. ``depth``: 8 rounds 16 bits per channel to 8. ``background``: (R, G, B) that what is transparent
    is laid on. ``dpi``: the resolution, in place of the picture's own. ``strip_metadata``: leave EXIF, XMP
    and resolution out, but not the ICC profile, which colours depend on. ``first_frame``: of an animation or
    of several pages only the first. ``larger``: what becomes of a picture that is larger already than the
    size asked for.
    """

    quality: int | None = None
    effort: int | None = None
    compression: Compression | None = None
    depth: Literal[8] | None = None
    background: tuple[int, int, int] | None = None
    dpi: float | None = None
    strip_metadata: bool = False
    first_frame: bool = False
    larger: Larger = "refuse"


def is_lossless(name: str, options: WriteOptions, *, source: bool) -> bool:
    """Whether a picture is written without loss in the format that Pillow calls ``name``.

    ``source``: whether nothing was lost in its source.
    """
    if name in ("WEBP", "JXL"):
        return source and options.quality is None
    return name not in ("JPEG", "MPO", "PDF", "JPEG2000", "AVIF", "HEIF", "GIF")


def tiff_tags(mode: str, options: WriteOptions) -> dict[int, Any]:
    """Choose the tags of a TIFF that its compression needs."""
    compressed = options.compression in ("lzw", "deflate")
    return {_TIFF_PREDICTOR: _DIFFERENCES} if compressed and mode in _TIFF_PREDICTED else {}


def encoder_options(frame: "PilImage", name: str, options: WriteOptions, *, lossless: bool) -> dict[str, Any]:
    """Choose the arguments of Pillow's ``save`` for a format; ``lossless``: as :func:`is_lossless` says."""
    choose = _CHOICES.get(name)
    return choose(frame, options, lossless) if choose else {}


def heif_settings(options: WriteOptions) -> dict[str, Any]:
    """Choose what pillow_heif is told."""
    steps = len(_X265_PRESETS) - 1
    preset = _X265_PRESETS[0 if options.effort is None else options.effort * steps // MAX_EFFORT]
    quality = options.quality or _QUALITY
    return {"quality": quality, "chroma": 444, "enc_params": {"preset": preset}}


# The defaults were measured on photographs and drawings, enlarged by 3: docs/command-line.md.


def _png(frame: "PilImage", options: WriteOptions, lossless: bool) -> dict[str, Any]:
    if options.effort is None:
        return {"compress_level": 4} if png.repeats(frame) else {"compress_type": zlib.Z_RLE}
    return {"compress_level": min(options.effort, 9)} if options.effort else {"compress_type": zlib.Z_RLE}


def _jpeg(frame: "PilImage", options: WriteOptions, lossless: bool) -> dict[str, Any]:
    # Tables of its own save 5 % for twice the time, which is still the least of all formats.
    optimize = options.effort is not None and options.effort > 5
    return {"quality": options.quality or _QUALITY, "subsampling": "4:4:4", "optimize": optimize}


def _webp(frame: "PilImage", options: WriteOptions, lossless: bool) -> dict[str, Any]:
    effort = options.effort
    if not lossless:
        method = 4 if effort is None else effort * 6 // MAX_EFFORT
        return {"quality": options.quality or _QUALITY, "method": method}
    if effort is None:
        # Of photographs the search saves 0.4 % for two and a half times the time, of drawings a third.
        return {"lossless": True, "method": 4, "quality": 80 if png.repeats(frame) else 0}
    return {"lossless": True, "method": effort * 6 // MAX_EFFORT, "quality": 10 * effort}


def _avif(frame: "PilImage", options: WriteOptions, lossless: bool) -> dict[str, Any]:
    # Speed 6 takes photographs nine times as long as 9 and saves 8 %; at 9, drawings lose 1.5 dB.
    speed = (8 if png.repeats(frame) else 9) if options.effort is None else MAX_EFFORT - options.effort
    return {"quality": options.quality or _QUALITY, "subsampling": "4:4:4", "speed": speed}


def _jxl(frame: "PilImage", options: WriteOptions, lossless: bool) -> dict[str, Any]:
    if options.effort is not None:
        effort = max(1, min(options.effort, 9))
    elif png.repeats(frame):
        effort = 5 if lossless else 7
    else:
        effort = 3 if lossless else 4
    kind = {"lossless": True} if lossless else {"quality": options.quality or _QUALITY}
    return {**kind, "effort": effort, "lossless_jpeg": False}


def _heif(frame: "PilImage", options: WriteOptions, lossless: bool) -> dict[str, Any]:
    return heif_settings(options)


def _tiff(frame: "PilImage", options: WriteOptions, lossless: bool) -> dict[str, Any]:
    if options.compression is None:
        return {}
    return {"compression": _TIFF_COMPRESSIONS[options.compression]}


_CHOICES: dict[str, Callable[["PilImage", WriteOptions, bool], dict[str, Any]]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "MPO": _jpeg,
    "PDF": _jpeg,
    "WEBP": _webp,
    "AVIF": _avif,
    "JXL": _jxl,
    "HEIF": _heif,
    "TIFF": _tiff,
}
