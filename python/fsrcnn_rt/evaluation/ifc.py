"""The information fidelity criterion, as papers on super-resolution print it beside PSNR and SSIM.

H. R. Sheikh, A. C. Bovik, G. de Veciana, "An information fidelity criterion for image quality assessment
using natural scene statistics", 2005, in the form of the authors' released program: a steerable pyramid of
four levels, two of its six orientations, 3x3 blocks of coefficients as a Gaussian scale mixture, and the
distortion as a gain and noise that are estimated in windows of 17, 9, 5 and 3 coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["ifc"]

_F64 = npt.NDArray[np.float64]

_LEVELS = 4
_BLOCK = 3
_SMALLEST = 65  # pixels a side: of nine coefficients on the coarsest level one block is far from the border
_TINY = 1e-15  # a variance below is none
_NOISE_FLOOR = 1e-10

# Filters of the steerable pyramid of six orientations (E. Simoncelli, matlabPyrTools, sp5Filters): quadrants,
# of which symmetry makes the rest. The second orientation is the first, transposed.
_FIRST_LOW = [
    [0.00341614, -0.01551246, -0.03848215],
    [-0.01551246, 0.05586982, 0.15925570],
    [-0.03848215, 0.15925570, 0.40304148],
]
_HALF_LOW = [
    [0.00085404, -0.00244917, -0.00387812, -0.00944432, -0.00962054],
    [-0.00244917, -0.00523281, -0.00661117, 0.00410600, 0.01002988],
    [-0.00387812, -0.00661117, 0.01396746, 0.03277038, 0.03981393],
    [-0.00944432, 0.00410600, 0.03277038, 0.06426333, 0.08169618],
    [-0.00962054, 0.01002988, 0.03981393, 0.08169618, 0.10096540],
]
_BAND = [
    [0.00277643, 0.00496194, 0.01026699, 0.01455399],
    [-0.00986904, -0.00893064, 0.01189859, 0.02755155],
    [-0.01021852, -0.03075356, -0.08226445, -0.11732297],
    [0.0, 0.0, 0.0, 0.0],
]


def ifc(truth: npt.NDArray[np.number], result: npt.NDArray[np.number]) -> float:
    """Measure the information in bits per pixel that ``result`` shares with ``truth``, both (H, W) in 0..255.

    Larger is better; a picture shares more with itself than with any other. The order of the two matters.
    Raises ``ValueError`` for shapes that differ, or of fewer than 65 pixels a side.
    """
    if truth.shape != result.shape or truth.ndim != 2:
        raise ValueError(f"truth and result: expected one shape (H, W), got {truth.shape} and {result.shape}")
    if min(truth.shape) < _SMALLEST:
        raise ValueError(f"truth: expected at least {_SMALLEST}x{_SMALLEST} for IFC, got {truth.shape}")
    pairs = zip(_bands(truth.astype(np.float64)), _bands(result.astype(np.float64)), strict=True)
    bits = 0.0
    for number, (x, y) in enumerate(pairs):
        height, width = (side // _BLOCK * _BLOCK for side in x.shape)
        window = 2 ** (_LEVELS - number // 2) + 1
        bits += _information(x[:height, :width], y[:height, :width], window)
    return bits / truth.size


def _information(x: _F64, y: _F64, window: int) -> float:
    """Sum the bits that band ``y`` shares with ``x``, over blocks whose window does not reach the border."""
    gain, noise = _channel(x, y, window)
    scale, variances = _mixture(x)
    border = -(-(window // 2) // _BLOCK)
    inner = (slice(border, -border), slice(border, -border))
    ratio = (gain * gain * scale / (noise + _NOISE_FLOOR))[inner]
    return float(sum(np.log2(1 + ratio * variance).sum() for variance in variances))


def _channel(x: _F64, y: _F64, window: int) -> tuple[_F64, _F64]:
    """Estimate y = gain * x + noise around the middle of every block: gain, and variance of the noise."""
    count = window * window
    mean_x, mean_y = _window_sums(x, window) / count, _window_sums(y, window) / count
    covariance = _window_sums(x * y, window) - count * mean_x * mean_y
    energy_x = np.maximum(_window_sums(x * x, window) - count * mean_x * mean_x, 0)
    energy_y = np.maximum(_window_sums(y * y, window) - count * mean_y * mean_y, 0)
    gain = covariance / (energy_x + _TINY)
    noise = (energy_y - gain * covariance) / count
    # Where x is flat or y is its negative, all is noise; the program has its energy in place of its variance.
    lost = (energy_x < _TINY) | (gain < 0)
    gain, noise = np.where(lost, 0, gain), np.where(lost, energy_y, noise)
    flat = energy_y < _TINY
    return np.where(flat, 0, gain), np.maximum(np.where(flat, 0, noise), _TINY)


def _mixture(x: _F64) -> tuple[_F64, _F64]:
    """Fit the scale mixture: a variance for every block, and those of its components, nine."""
    height, width = x.shape
    reach = range(_BLOCK)
    every = [x[i : height - _BLOCK + 1 + i, j : width - _BLOCK + 1 + j].ravel() for i in reach for j in reach]
    covariance = np.cov(np.stack(every), bias=True)
    blocks = np.stack([x[i::_BLOCK, j::_BLOCK].ravel() for i in reach for j in reach])
    scale: _F64 = (np.linalg.pinv(covariance, hermitian=True) @ blocks * blocks).sum(axis=0) / len(blocks)
    return scale.reshape(height // _BLOCK, width // _BLOCK), np.asarray(
        np.linalg.eigvalsh(covariance), np.float64
    )


def _bands(image: _F64) -> Iterator[_F64]:
    """Split a picture in bands, two orientations a level, from fine to coarse."""
    band = _mirror(_BAND, -1.0)
    low = _correlate(image, _mirror(_FIRST_LOW), 1)
    for level in range(_LEVELS):
        yield _correlate(low, band, 1)
        yield _correlate(low, band.T, 1)
        if level + 1 < _LEVELS:
            low = _correlate(low, 2 * _mirror(_HALF_LOW), 2)


def _mirror(quadrant: list[list[float]], sign: float = 1.0) -> _F64:
    """Complete a filter; ``sign`` of its lower half."""
    upper = np.array(quadrant)
    upper = np.concatenate([upper, upper[:, -2::-1]], axis=1)
    return np.concatenate([upper, sign * upper[-2::-1]])


def _correlate(image: _F64, kernel: _F64, step: int) -> _F64:
    """Filter, and keep every ``step``-th; the picture goes on as its mirror image about the edge pixel."""
    height, width = image.shape
    padded = np.pad(image, len(kernel) // 2, mode="reflect")
    result = np.zeros(image[::step, ::step].shape)
    for (i, j), weight in np.ndenumerate(kernel):
        if weight:
            result += weight * padded[i : i + height : step, j : j + width : step]
    return result


def _window_sums(band: _F64, window: int) -> _F64:
    """Sum in a window around the middle of every block: (H, W) to (H / 3, W / 3)."""
    height, width = band.shape
    padded = np.pad(band, window // 2, mode="reflect")
    middle = _BLOCK // 2
    rows = sum((padded[k + middle : k + height : _BLOCK] for k in range(window)), start=np.zeros(1))
    return sum((rows[:, k + middle : k + width : _BLOCK] for k in range(window)), start=np.zeros(1))
