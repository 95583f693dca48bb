"""The bicubic filter and the change of colours as convolutions, which graphs of other runtimes have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.engine.bicubic import cubic
from fsrcnn_rt.model import Array
from fsrcnn_rt.model.network import BICUBIC_REACH

_F64 = npt.NDArray[np.float64]

# BT.601, R'G'B' in 0..1 to luma of 16..235 and chroma of 16..240, over 255.
TO_YCBCR: _F64 = np.array(
    [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]
) / 255  # fmt: skip
YCBCR_OFFSET: _F64 = np.array([16.0, 128.0, 128.0]) / 255


def bicubic_phases(scale: int) -> Array:
    """Return filters (scale * scale, 1, 5, 5): a convolution by them and a pixel shuffle are the filter."""
    reach = BICUBIC_REACH
    taps = cubic(((np.arange(scale) + 0.5) / scale - 0.5)[:, None] - np.arange(-reach, reach + 1))
    kernels = np.einsum("ai,bj->abij", taps, taps).reshape(scale**2, 1, *2 * [2 * reach + 1])
    filters: Array = kernels.astype(np.float32)
    return filters
