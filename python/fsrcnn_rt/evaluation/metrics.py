"""How super-resolution papers measure: MATLAB's luma and ``imresize``, PSNR and SSIM.

Everything here is plain numpy, deterministic, and computed in float64. The conventions are those of SRCNN,
VDSR and FSRCNN (Dong et al., ECCV 2016, section 4); a different luma, resize kernel or border costs between
0.3 and several dB, so figures are only comparable when all of them agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.engine.bicubic import cubic

__all__ = ["Method", "imresize", "modcrop", "psnr", "rgb_to_y", "ssim"]

Method: TypeAlias = Literal["bicubic", "bilinear", "lanczos3", "box", "nearest"]

_Array = npt.NDArray[Any]
_F64 = npt.NDArray[np.float64]

_LUMA = np.array([65.481, 128.553, 24.966])  # MATLAB rgb2ycbcr, first row: BT.601, codes 16..235
_SSIM_RADIUS = 5
_SSIM_SIGMA = 1.5


def rgb_to_y(image: _Array) -> npt.NDArray[np.uint8]:
    """Convert an 8-bit picture to luma as MATLAB's ``rgb2ycbcr`` does.

    ``image`` is uint8, (H, W, 3) RGB, or grey as (H, W), which is copied as it is. The result is uint8, (H,
    W), 16..235 for a colour picture, rounded half up.

    Raises ``TypeError`` for another dtype, ``ValueError`` for another shape.
    """
    if image.dtype != np.uint8:
        raise TypeError(f"image: expected uint8, got {image.dtype}")
    if image.ndim == 2:
        return image.astype(np.uint8)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: expected (H, W) or (H, W, 3), got {image.shape}")
    luma: _F64 = np.floor(16.5 + image @ (_LUMA / 255.0))
    return luma.astype(np.uint8)


def modcrop(image: _Array, scale: int) -> _Array:
    """Cut ``image`` (H, W, ...) at the bottom and right so that H and W are multiples of ``scale``; a view.

    Raises ``ValueError`` for a picture smaller than ``scale``.
    """
    _check_positive("scale", scale)
    height, width = image.shape[0] // scale * scale, image.shape[1] // scale * scale
    if height == 0 or width == 0:
        raise ValueError(f"image: {image.shape[1]}x{image.shape[0]} is smaller than scale {scale}")
    return image[:height, :width]


def imresize(
    image: _Array,
    scale: float | None = None,
    *,
    shape: tuple[int, int] | None = None,
    method: Method = "bicubic",
) -> _F64:
    """Resize like MATLAB's ``imresize(image, scale, method)``.

    The kernel (Keys' with a = -0.5 for "bicubic") is stretched by 1/scale when shrinking (antialiased),
    weights normalised per output pixel, pixel centres aligned, border mirrored with the edge pixel repeated.
    "box" averages areas. "nearest" is not antialiased; of two pixels equally near it takes the lower right
    one, as Pillow does, so that an even scale shifts the picture by half a pixel of the larger one.
    ``image`` is (H, W) or (H, W, C). Give either ``scale`` (the result has ceil(scale * H) rows) or
    ``shape``, the (rows, columns) of the result.

    Returns float64 in the range of the input, neither rounded nor clipped. Raises ``ValueError`` for
    arguments that make no sense.
    """
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"image: expected a non-empty (H, W) or (H, W, C), got {image.shape}")
    if (scale is None) == (shape is None):
        raise ValueError(f"give either scale or shape, got scale={scale} and shape={shape}")
    if scale is not None:
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"scale: expected a positive number, got {scale}")
        # 1/3 of 255 rows must be 85 rows, not 86: allow for the rounding of scale itself.
        rows, columns = (max(1, math.ceil(scale * n - 1e-9 * n)) for n in image.shape[:2])
        factors = (scale, scale)
    else:
        assert shape is not None
        rows, columns = shape
        _check_positive("shape", min(shape))
        factors = (rows / image.shape[0], columns / image.shape[1])
    if method not in _KERNELS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(_KERNELS)}")
    result = _resize_rows(image.astype(np.float64), rows, factors[0], method)
    result = _resize_rows(np.ascontiguousarray(result.swapaxes(0, 1)), columns, factors[1], method)
    return np.ascontiguousarray(result.swapaxes(0, 1))


def psnr(a: _Array, b: _Array, *, shave: int = 0, peak: float = 255.0) -> float:
    """Measure the peak signal-to-noise ratio in dB of two arrays of one shape.

    ``shave`` pixels are ignored on every side. Equal pictures give ``inf``.
    """
    first, second = _comparable(a, b, shave)
    error = float(np.mean(np.square(first - second)))
    return math.inf if error == 0 else 10.0 * math.log10(peak * peak / error)


def ssim(a: _Array, b: _Array, *, shave: int = 0, peak: float = 255.0) -> float:
    """Measure the structural similarity (Wang et al. 2004) of two single-channel pictures.

    11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance, mean over the valid
    region. ``shave`` pixels are ignored on every side; at least 11x11 must remain. 1 for equal pictures.
    """
    x, y = _comparable(a, b, shave)
    if x.ndim != 2 or min(x.shape) < 2 * _SSIM_RADIUS + 1:
        raise ValueError(f"a: expected (H, W) of at least 11x11 after shaving {shave}, got {a.shape}")
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x * mean_x
    variance_y = _blur(y * y) - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    contrast_structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean(luminance * contrast_structure))


def _triangle(x: _F64) -> _F64:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _lanczos3(x: _F64) -> _F64:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def _box(x: _F64) -> _F64:
    return ((x >= -0.5) & (x < 0.5)).astype(np.float64)


# Kernel by method, and how far it reaches from its centre.
_KERNELS: dict[str, tuple[Callable[[_F64], _F64], float]] = {
    "bicubic": (cubic, 2.0),
    "bilinear": (_triangle, 1.0),
    "lanczos3": (_lanczos3, 3.0),
    "box": (_box, 0.5),
    "nearest": (_box, 0.5),
}


def _taps(length: int, out_length: int, scale: float, method: Method) -> tuple[npt.NDArray[np.intp], _F64]:
    """Find source index and weight of every tap of every output sample, both (out_length, taps)."""
    kernel, reach = _KERNELS[method]
    # Below 1 the kernel widens to the spacing of the output samples.
    stretch = 1.0 if method == "nearest" else min(scale, 1.0)
    reach /= stretch
    centre = (np.arange(out_length) + 0.5) / scale - 0.5
    first = np.floor(centre - reach).astype(np.intp)
    index = first[:, None] + np.arange(math.ceil(2 * reach) + 2)
    weight = kernel((centre[:, None] - index) * stretch)
    weight /= weight.sum(axis=1, keepdims=True)
    used = np.any(weight != 0, axis=0)
    index, weight = index[:, used], weight[:, used]
    mirrored = np.mod(index, 2 * length)  # ... c b a | a b c ... c b a | a b c ...
    return np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored), weight


def _resize_rows(image: _F64, out_length: int, scale: float, method: Method) -> _F64:
    index, weight = _taps(image.shape[0], out_length, scale, method)
    tail = (1,) * (image.ndim - 1)
    result = np.zeros((out_length, *image.shape[1:]))
    for tap in range(index.shape[1]):  # a few taps of whole rows: faster than a dense matrix product
        result += weight[:, tap].reshape(-1, *tail) * image[index[:, tap]]
    return result


def _blur(image: _F64) -> _F64:
    """Filter by the Gaussian, valid region only: (H, W) to (H - 10, W - 10)."""
    window = np.exp(-0.5 * np.square(np.arange(-_SSIM_RADIUS, _SSIM_RADIUS + 1) / _SSIM_SIGMA))
    window /= window.sum()
    height, width = (n - 2 * _SSIM_RADIUS for n in image.shape)
    rows = sum((w * image[k : k + height] for k, w in enumerate(window)), start=np.zeros(1))
    return sum((w * rows[:, k : k + width] for k, w in enumerate(window)), start=np.zeros(1))


def _comparable(a: _Array, b: _Array, shave: int) -> tuple[_F64, _F64]:
    if a.shape != b.shape:
        raise ValueError(f"a and b differ in shape: {a.shape} and {b.shape}")
    if shave < 0 or min(a.shape[:2]) <= 2 * shave:
        raise ValueError(f"shave: {shave} leaves nothing of {a.shape}")
    inner = (slice(shave, a.shape[0] - shave), slice(shave, a.shape[1] - shave))
    return a[inner].astype(np.float64), b[inner].astype(np.float64)


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
