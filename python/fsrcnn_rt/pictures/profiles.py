"""ICC profiles: pictures brought to sRGB, for files that cannot say which colours they mean."""

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

_GREY, _RGB = "GRAY", "RGB"

# Colours of each channel at which a profile is compared with sRGB.
_PROBES = 17

_BLACK_POINT_COMPENSATION = 0x2000


def space(profile: bytes) -> str | None:
    """Colour space that a profile is for, "GRAY", "RGB", "CMYK", ...; None for what is no sound profile."""
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (OSError, ImageCms.PyCMSError):
        return None
    return str(opened.profile.xcolor_space).strip()


def in_srgb(image: "PilImage", profile: bytes) -> "PilImage":
    """Convert ``image``, of mode L, LA, RGB or RGBA, to sRGB.

    It is returned as it is where ``profile`` is sRGB, and where it describes no such pictures: what they
    look like nobody knows then. ``ValueError`` where Pillow has no LittleCMS.
    """
    from PIL import Image

    try:
        source = space(profile)
        if source not in ((_RGB,) if image.mode in ("RGB", "RGBA") else (_GREY, _RGB)) or _is_srgb(profile):
            return image
    except ImportError as error:
        raise ValueError("its ICC profile needs a Pillow with LittleCMS (-f png keeps it)") from error
    if image.mode in ("RGB", "RGBA"):
        converted: PilImage = _transform(profile, image.mode, image.mode).apply(image)
        return converted
    grey = image.getchannel(0)
    if source == _RGB:
        grey = grey.convert("RGB")
    converted = _transform(profile, grey.mode, "RGB").apply(grey).getchannel(1)
    if image.mode == "L":
        return converted
    return Image.merge("LA", (converted, image.getchannel("A")))


@lru_cache(8)
def _transform(profile: bytes, source: str, target: str) -> Any:
    from PIL import ImageCms

    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        source,
        target,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=_BLACK_POINT_COMPENSATION,  # type: ignore[arg-type]
    )


@lru_cache(8)
def _is_srgb(profile: bytes) -> bool:
    """Whether a profile is of sRGB, by whatever name: no colour moves by more than rounding does."""
    from PIL import Image

    if space(profile) != _RGB:
        return False
    steps = np.linspace(0, 255, _PROBES).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    moved = np.asarray(_transform(profile, "RGB", "RGB").apply(Image.fromarray(colours)))
    return int(np.abs(moved.astype(int) - colours).max()) <= 1
