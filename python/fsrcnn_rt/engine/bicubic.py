"""The bicubic filter, as MATLAB's imresize has it."""

import numpy as np
import numpy.typing as npt

_F64 = npt.NDArray[np.float64]


def cubic(x: _F64) -> _F64:
    """Evaluate Keys' cubic convolution kernel with a = -0.5; its support is [-2, 2]."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
