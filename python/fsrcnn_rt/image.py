"""What may be upscaled, and how it gets to the core and back: arrays and Pillow images.

Arrays are (H, W) or (H, W, C) with C = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA, channel last. The core computes
in uint8, uint16 and float32; everything else is brought there and back here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

AnyArray = npt.NDArray[Any]

# dtype of an array -> dtype in which it is computed
_COMPUTE = {
    "uint8": "uint8",
    "uint16": "uint16",
    "float16": "float32",
    "float32": "float32",
    "float64": "float32",
}

# Pillow mode -> mode in which it is computed and returned
_MODES = {
    **{mode: mode for mode in ("L", "LA", "RGB", "RGBA", "F", "I;16")},
    **{"1": "L", "La": "LA", "P": "RGB", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB"},
    **{"I;16L": "I;16", "I;16B": "I;16", "I;16N": "I;16"},
    **{"CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB"},
}
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA", "LA": "LA", "RGBA": "RGBA"}
_OTHER_COLOUR_SPACE = ("CMYK", "YCbCr", "LAB", "HSV")


def check_array(image: AnyArray) -> None:
    """``TypeError`` for a dtype, ``ValueError`` for a shape, that cannot be upscaled."""
    if image.dtype.name not in _COMPUTE:
        raise TypeError(f"image has dtype {image.dtype}, which is none of {', '.join(_COMPUTE)}")
    if image.ndim not in (2, 3):
        raise ValueError(f"image has shape {image.shape}, which is neither (H, W) nor (H, W, C)")
    if image.ndim == 3 and not 1 <= image.shape[2] <= 4:
        raise ValueError(f"image has shape {image.shape}, whose last axis is not 1 to 4 channels")
    if image.size == 0:
        raise ValueError(f"image has shape {image.shape}, which is empty")


def to_compute(image: AnyArray) -> AnyArray:
    """Bring an image to the dtype in which it is computed: itself where that is possible, else a copy."""
    # The core follows any strides, but reads whole samples: they must be in native order and aligned.
    with np.errstate(over="ignore"):
        return np.require(image, _COMPUTE[image.dtype.name], "A")


def from_compute(result: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    """Bring a result to ``dtype``: itself where that is possible, else a copy."""
    with np.errstate(over="ignore"):
        return result.astype(dtype, copy=False)


def is_computed_directly(array: AnyArray) -> bool:
    """Whether the core can write into ``array`` as it is."""
    return array.dtype == _COMPUTE[array.dtype.name] and array.flags.aligned


def from_pil(image: "PilImage") -> tuple[AnyArray, Callable[[AnyArray], "PilImage"]]:
    """Array of a Pillow image, and what makes a Pillow image of the result.

    Mode in, mode out for L, LA, RGB, RGBA, F (a plane of 0..1) and I;16 (16-bit grey). "1" gives L; palettes
    give RGB; a transparent colour becomes alpha; CMYK, YCbCr, LAB and HSV give RGB. The result keeps ICC
    profile, EXIF and resolution. ``ValueError`` for any other mode.
    """
    from PIL import Image

    mode = _MODES.get(image.mode)
    if image.mode == "I" and image.format == "PNG":
        mode = "I;16"  # the only kind of PNG that some versions of Pillow open as 32-bit integers
    if "transparency" in image.info and mode is not None:
        mode = _WITH_ALPHA.get(mode)
    if mode is None:
        with_alpha = " with a transparent colour" if "transparency" in image.info else ""
        raise ValueError(f"image has mode {image.mode}{with_alpha}, which is none of {', '.join(_MODES)}")
    if 0 in image.size:
        raise ValueError(f"image has size {image.size}, which is empty")

    if mode == "I;16":
        array = np.asarray(image).astype(np.uint16)
    elif image.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        array = np.asarray(converted)
    else:
        array = np.asarray(image if image.mode == mode else image.convert(mode))

    kept: dict[str | tuple[int, int], Any] = {
        key: image.info[key] for key in ("icc_profile", "exif", "dpi") if key in image.info
    }
    if image.mode in _OTHER_COLOUR_SPACE:
        kept.pop("icc_profile", None)

    def restore(result: AnyArray) -> "PilImage":
        restored = Image.fromarray(result)
        restored.info.update(kept)
        return restored

    return array, restore
