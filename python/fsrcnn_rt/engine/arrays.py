"""What may be upscaled, and how it gets to the core and back: arrays and Pillow images.

Arrays are (H, W) or (H, W, C) with C = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA, channel last. The core computes
in uint8, uint16 and float32; everything else is brought there and back here.
"""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

AnyArray = npt.NDArray[Any]
ChannelOrder = Literal["rgb", "bgr"]


class SupportsDLPack(Protocol):
    """What lends its memory by the DLPack protocol: a tensor of PyTorch, an array of CuPy or JAX, ..."""

    def __dlpack__(self, *, stream: Any = ...) -> Any: ...


ArrayLike: TypeAlias = "AnyArray | SupportsDLPack"

_SCRATCH_BYTES = 4 << 20

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
    **{mode: mode for mode in ("L", "LA", "RGB", "RGBA", "F", "I", "I;16")},
    **{"1": "L", "La": "LA", "P": "RGB", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB"},
    **{"I;16L": "I;16", "I;16B": "I;16", "I;16N": "I;16"},
    **{"CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB"},
}
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA", "LA": "LA", "RGBA": "RGBA"}
_OTHER_COLOUR_SPACE = ("CMYK", "YCbCr", "LAB", "HSV")

# What the info of a Pillow image holds that is as true of the larger picture.
KEPT_INFO = ("icc_profile", "exif", "xmp", "dpi")


def as_array(image: object) -> AnyArray:
    """``image`` as an array that shares its memory; ``TypeError`` where it has none to share."""
    if isinstance(image, np.ndarray):
        return image
    try:
        if hasattr(image, "__dlpack__") and not isinstance(image, np.generic):
            return np.from_dlpack(image)
        if hasattr(image, "__array_interface__") and not isinstance(image, np.generic):
            return np.asarray(image)
    except Exception as error:  # each library refuses in its own words: other devices, gradients, odd dtypes
        raise TypeError(f"image is {type(image).__name__}, which numpy cannot take: {error}") from error
    raise TypeError(f"image is {type(image).__name__}, neither an array nor a Pillow image")


def check_channel_order(channel_order: ChannelOrder) -> None:
    """``ValueError`` for an order that there is not."""
    if channel_order not in ("rgb", "bgr"):
        raise ValueError(f"channel_order={channel_order!r} is neither 'rgb' nor 'bgr'")


def is_bgr(image: AnyArray, channel_order: ChannelOrder) -> bool:
    """Whether the channels of an array are to be taken the other way round: without colour there is none."""
    check_channel_order(channel_order)
    return channel_order == "bgr" and image.ndim == 3 and image.shape[2] >= 3


def swapped(image: AnyArray) -> AnyArray:
    """BGR as RGB, or RGB as BGR: a view of three channels, a copy of four."""
    return image[..., ::-1] if image.shape[2] == 3 else image[..., [2, 1, 0, 3]]


def check_array(image: AnyArray) -> None:
    """``TypeError`` for a dtype, ``ValueError`` for a shape, that cannot be upscaled."""
    if image.dtype.name not in _COMPUTE:
        raise TypeError(f"image has dtype {image.dtype}, which is none of {', '.join(_COMPUTE)}")
    if image.ndim not in (2, 3):
        raise ValueError(f"image has shape {image.shape}, which is neither (H, W) nor (H, W, C)")
    if image.ndim == 3 and not 1 <= image.shape[2] <= 4:
        hint = ""
        if 1 <= image.shape[0] <= 4:
            hint = "; if it is (C, H, W), image.transpose(1, 2, 0) is a view of it with the channels last"
        raise ValueError(f"image has shape {image.shape}, whose last axis is not 1 to 4 channels{hint}")
    if image.size == 0:
        raise ValueError(f"image has shape {image.shape}, which is empty")


def to_compute(image: AnyArray) -> AnyArray:
    """Bring an image to the dtype in which it is computed: itself where that is possible, else a copy."""
    # The core follows any strides, but reads whole samples: they must be in native order and aligned.
    with np.errstate(over="ignore"):
        computed: AnyArray = np.require(image, _COMPUTE[image.dtype.name], "A")
    return computed


def from_compute(result: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    """Bring a result to ``dtype``: itself where that is possible, else a copy."""
    with np.errstate(over="ignore"):
        converted: AnyArray = result.astype(dtype, copy=False)
    return converted


def is_computed_directly(array: AnyArray) -> bool:
    """Whether the core can write into ``array`` as it is."""
    return array.dtype == _COMPUTE[array.dtype.name] and array.flags.aligned


def extend_colour(image: AnyArray, reach: int) -> AnyArray:
    """Replace the colour of pixels of alpha 0: by visible colour within ``reach`` of it, by 0 beyond.

    What stands under alpha 0 is often black, and no one sees it until a filter carries it over the edge as a
    fringe. Step by step, each hidden pixel with visible ones among its eight neighbours takes their mean and
    counts as visible from then on. ``image`` itself is returned where no or all alpha is 0, else a copy.
    """
    if image.ndim == 2 or image.shape[2] not in (2, 4):
        return image
    alpha = image[..., -1]
    if alpha.all() or not alpha.any():
        return image
    result: AnyArray = image.copy()
    # Bands of rows keep the scratch small; rows as far as the reach around them make the bands invisible.
    row_bytes = image[0].nbytes + 4 * image.shape[1]
    rows = max(reach, _SCRATCH_BYTES // row_bytes - 2 * reach)
    for top in range(0, len(image), rows):
        first = max(0, top - reach)
        band = np.pad(image[first : top + rows + reach], ((1, 1), (1, 1), (0, 0)))
        _extend_band(band, reach)
        result[top : top + rows] = band[1 + top - first : -1, 1:-1][:rows]
    return result


def _extend_band(band: AnyArray, reach: int) -> None:
    """Extend the colour of a band in place; its outermost pixels have alpha 0 and stay as they are."""
    visible = band[..., -1] != 0
    # What is not finite is spread no further than filters do: it takes no part in this.
    finite = np.isfinite(band).all(axis=-1) if band.dtype.kind == "f" else visible
    y, x = np.nonzero(visible & ~finite)
    spoilt = band[y, x]
    known = visible & finite
    hidden = ~visible
    band[~known] = 0
    for _ in range(reach):
        beside = known.copy()
        beside[:, 1:] |= known[:, :-1]
        beside[:, :-1] |= known[:, 1:]
        near = beside.copy()
        near[1:] |= beside[:-1]
        near[:-1] |= beside[1:]
        i, j = np.nonzero((near & hidden)[1:-1, 1:-1])
        if len(i) == 0:
            break
        neighbours = [(i + di, j + dj) for di, dj in np.ndindex(3, 3)]
        # What is not known is 0, so the sum is that of what is.
        total = sum(band[where][:, :-1].astype(np.float32) for where in neighbours)
        mean = total / sum(known[where].astype(np.float32) for where in neighbours)[:, None]
        band[i + 1, j + 1, :-1] = mean if band.dtype.kind == "f" else np.floor(mean + 0.5)
        known[i + 1, j + 1] = True
        hidden[i + 1, j + 1] = False
    band[y, x] = spoilt


def result_mode(image: "PilImage") -> str:
    """Mode of what becomes of a Pillow image, as :func:`from_pil` has it; ``ValueError`` for any other."""
    mode = _MODES.get(image.mode)
    if image.mode == "I" and image.format == "PNG":
        mode = "I;16"  # the only kind of PNG that some versions of Pillow open as 32-bit integers
    transparent = "transparency" in image.info or (image.palette is not None and image.palette.mode == "RGBA")
    if transparent and mode is not None:
        mode = _WITH_ALPHA.get(mode)
    if mode is None:
        with_alpha = " with a transparent colour" if transparent else ""
        raise ValueError(f"image has mode {image.mode}{with_alpha}, which is none of {', '.join(_MODES)}")
    return mode


def from_pil(image: "PilImage") -> tuple[AnyArray, Callable[[AnyArray], "PilImage"]]:
    """Array of a Pillow image, and what makes a Pillow image of the result.

    ====================  ==============================================================================
    mode                  result
    ====================  ==============================================================================
    L, LA, RGB, RGBA      the same mode; LA and RGBA where L and RGB have a transparent colour
    F                     F: 0..1 is full range, values outside pass through
    I;16                  I;16: 16-bit grey, 0..65535
    I;16L, I;16B, I;16N   I;16: the same values in this machine's byte order
    I                     I: taken as 16-bit grey; ``ValueError`` for values outside 0..65535. Of a PNG, I;16
    1                     L: the edges of black and white become grey
    P                     RGB; RGBA where the palette or a transparent colour has alpha
    PA, RGBa              RGBA
    La                    LA
    RGBX                  RGB: the fourth channel has no meaning
    CMYK                  RGB: by its ICC profile to sRGB where it has a sound one, else by Pillow's formula
    YCbCr, HSV            RGB
    LAB                   RGB: sRGB
    ====================  ==============================================================================

    The result keeps ICC profile (where the colour space stays), EXIF, XMP and resolution. ``ValueError`` for
    any other mode, for an empty picture, and for a transparent colour in F, I or I;16, which have no alpha.
    """
    from PIL import Image

    mode = result_mode(image)
    if 0 in image.size:
        raise ValueError(f"image has size {image.size}, which is empty")

    if mode in ("I;16", "I"):
        array = np.asarray(image)
        if array.min() < 0 or array.max() > 65535:
            raise ValueError(
                f"image has mode I and values {array.min()}..{array.max()}, and 16-bit grey is 0..65535; "
                "an array of float32, 0..1 for full range, takes any"
            )
        array = array.astype(np.uint16)
    elif image.mode == "CMYK":
        array = np.asarray(_from_inks(image))
    else:
        array = np.asarray(image if image.mode == mode else image.convert(mode))

    kept: dict[str | tuple[int, int], Any] = {key: image.info[key] for key in KEPT_INFO if key in image.info}
    if image.mode in _OTHER_COLOUR_SPACE:
        kept.pop("icc_profile", None)

    def restore(result: AnyArray) -> "PilImage":
        restored = Image.fromarray(result.astype(np.int32) if mode == "I" else result)
        restored.info.update(kept)
        return restored

    return array, restore


def _from_inks(image: "PilImage") -> "PilImage":
    """Turn CMYK into sRGB."""
    from PIL import ImageCms

    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        converted = ImageCms.profileToProfile(image, inks, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert converted is not None  # it is None only where an image is converted in place
        return converted
    except (
        ImportError,
        KeyError,
        OSError,
        ImageCms.PyCMSError,
    ):  # a Pillow without LittleCMS; no sound profile
        return image.convert("RGB")
