"""What the picture formats hold that can be written, so that what does not fit is refused in time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fsrcnn_rt.engine.sizes import Size
from fsrcnn_rt.pictures import plugins


@dataclass(frozen=True)
class Format:
    """What a format holds, as Pillow, or for 16-bit colour this package, writes it.

    ``modes``: of Pillow, and "LA;16", "RGB;16" and "RGBA;16". ``metadata``: by the keys of
    :mod:`~fsrcnn_rt.pictures.metadata`; a profile of grey only with ``grey_profile``. ``side``, ``pixels``,
    ``bytes``: the most of them, of the side in pixels. ``squares``: the only sides, of squares. ``frames``:
    of an animation; ``pages``: pictures of any sizes.
    """

    modes: Collection[str]
    metadata: Collection[str] = ()
    side: int = 2**31 - 1
    pixels: int = 2**62
    bytes: int = 2**62
    squares: Collection[int] = ()
    grey_profile: bool = False
    frames: bool = False
    pages: bool = False


class Layer(NamedTuple):
    """One picture of those that a file is to hold.

    ``opaque``: its alpha hides nothing, and may go. ``profiled``: it has an ICC profile.
    """

    mode: str
    size: Size
    opaque: bool
    profiled: bool


_OPAQUE = ("L", "RGB")
_EIGHT_BITS = ("L", "LA", "RGB", "RGBA")

#: Modes of 16-bit colour with 2, 3 and 4 channels, for which Pillow has none.
DEEP_COLOUR = ("LA;16", "RGB;16", "RGBA;16")
_JPEG = Format(
    _OPAQUE, ("icc_profile", "exif", "xmp", "iptc", "dpi", "comment"), side=65500, grey_profile=True
)
_FOUR_GB = 2**32 - 2**20  # with room for what is not pixels

#: By Pillow's names. What is not here holds no picture of these modes, or Pillow needs a handler to write it.
FORMATS = {
    # libavif reads no larger ones
    "AVIF": Format(_EIGHT_BITS, ("icc_profile", "exif", "xmp", "dpi"), side=32768, pixels=2**28, frames=True),
    "BMP": Format(_OPAQUE, ("dpi",), bytes=_FOUR_GB),
    "DDS": Format(_EIGHT_BITS),
    "DIB": Format(_OPAQUE, ("dpi",), bytes=_FOUR_GB),
    "EPS": Format(_OPAQUE),
    "GIF": Format(_EIGHT_BITS, ("comment",), side=65535, frames=True),
    "HEIF": Format(
        ("L", "RGB", "RGBA", "I;16", "RGB;16", "RGBA;16"),  # of more than 8 bits, 10
        ("icc_profile", "exif", "xmp", "dpi"),
    ),
    "ICNS": Format(_EIGHT_BITS, squares=(16, 32, 64, 128, 256, 512, 1024)),
    "ICO": Format(_EIGHT_BITS, side=256),
    "IM": Format((*_EIGHT_BITS, "I;16", "I", "F")),
    "JPEG": _JPEG,
    "JPEG2000": Format((*_EIGHT_BITS, "I;16")),
    "JXL": Format((*_EIGHT_BITS, "I;16"), ("exif", "dpi")),
    "MPO": _JPEG,
    "PCX": Format(_OPAQUE, side=65534),
    "PDF": Format(_EIGHT_BITS, ("dpi",), side=65500, pages=True),
    "PNG": Format(
        (*_EIGHT_BITS, "I;16", *DEEP_COLOUR),
        ("icc_profile", "exif", "xmp", "dpi", "text", "gamma"),
        grey_profile=True,
        frames=True,
    ),
    "PPM": Format((*_OPAQUE, "I", "F")),
    "QOI": Format(("RGB", "RGBA")),
    "SGI": Format(("L", "RGB", "RGBA"), side=65535),
    "TGA": Format(_EIGHT_BITS, side=65535),
    "TIFF": Format(
        (*_EIGHT_BITS, "I;16", "I", "F", *DEEP_COLOUR),
        ("icc_profile", "exif", "xmp", "iptc", "dpi"),
        bytes=_FOUR_GB,
        grey_profile=True,
        pages=True,
    ),
    "WEBP": Format(_EIGHT_BITS, ("icc_profile", "exif", "xmp", "dpi"), side=16383, frames=True),
}

# A mode -> one that holds the same values, for formats that lack the first.
_AS_GOOD = {"L": "RGB", "LA": "RGBA", "I": "I;16", "I;16": "I"}
#: A mode -> the one that it is rounded to.
IN_EIGHT_BITS = {
    **{"I;16": "L", "I": "L", "F": "L"},
    **dict(zip(DEEP_COLOUR, ("LA", "RGB", "RGBA"), strict=True)),
}
_WITHOUT_ALPHA = {"LA": "L", "RGBA": "RGB"}

# Bytes of a pixel in a file that is not compressed.
_BYTES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 2, "I": 4, "F": 4}


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


def is_writable(name: str | None) -> bool:
    """Whether upscaled pictures can be written in the format of this name."""
    from PIL import Image

    return name in FORMATS and name in Image.SAVE


def written_mode(layer: Layer, name: str) -> str:
    """Mode that holds the values of a picture in the format ``name``; ``ValueError`` where there is none."""
    modes = FORMATS[name].modes
    candidates = [layer.mode, _AS_GOOD.get(layer.mode)]
    if layer.opaque and layer.mode in _WITHOUT_ALPHA:
        candidates += [_WITHOUT_ALPHA[layer.mode], _AS_GOOD.get(_WITHOUT_ALPHA[layer.mode])]
    for mode in candidates:
        if mode is not None and mode in modes:
            return mode
    if layer.mode in DEEP_COLOUR:
        raise ValueError(f"cannot write 16 bits per channel as {name} ({_others(layer.mode)})")
    missing = "no alpha" if layer.mode in _WITHOUT_ALPHA else "no colour"
    if layer.mode not in _EIGHT_BITS:
        missing = "fewer bits"
    raise ValueError(f"cannot write mode {layer.mode} as {name}, which has {missing} ({_others(layer.mode)})")


def check(layers: Sequence[Layer], name: str, *, animated: bool) -> None:
    """``ValueError`` where the format ``name`` cannot hold all of these pictures as they are."""
    if len(layers) > 1:
        _check_holds_several(len(layers), name, animated)
    limits = FORMATS[name]
    for layer in layers:
        mode = written_mode(layer, name)
        if layer.profiled and mode not in _EIGHT_BITS and "icc_profile" not in limits.metadata:
            raise ValueError(
                f"cannot write mode {mode} with an ICC profile as {name}, which holds none ({_others(mode)})"
            )
        check_size(layer.size, name, _BYTES.get(mode, 0))


def check_size(size: Size, name: str, pixel: int = 1) -> None:
    """``ValueError`` where the format ``name`` holds no picture of this size; ``pixel``: bytes of one."""
    limits = FORMATS[name]
    width, height = size
    result = f"and the result has {width}x{height}"
    if limits.squares and not (width == height and width in limits.squares):
        sides = ", ".join(map(str, sorted(limits.squares)))
        raise ValueError(f"{name} holds squares of {sides} pixels, {result} (-f png holds it)")
    if max(size) > limits.side:
        raise ValueError(f"{name} holds up to {limits.side} pixels a side, {result} (-f png holds it)")
    if width * height > limits.pixels:
        raise ValueError(f"{name} holds up to {limits.pixels} pixels, {result} (-f png holds it)")
    if width * height * pixel > limits.bytes:
        raise ValueError(f"{name} holds up to 4 GB of pixels, {result} (-f png holds it)")


def _check_holds_several(count: int, name: str, animated: bool) -> None:
    if animated and not FORMATS[name].frames:
        raise ValueError(
            f"it has {count} frames, and {name} holds one (-f gif, webp, png or avif holds them)"
        )
    if not animated and not FORMATS[name].pages:
        raise ValueError(f"it has {count} pages, and {name} holds one (-f tiff holds them)")


def _others(mode: str) -> str:
    """Advise formats that hold a mode."""
    names = [
        name.lower()
        for name in ("PNG", "WEBP", "TIFF")
        if {mode, _AS_GOOD.get(mode)} & set(FORMATS[name].modes)
    ]
    *others, last = names
    return f"-f {', '.join(others)} or {last} has it" if others else f"-f {last} has it"
