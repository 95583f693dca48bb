"""Graphics or photograph: told by the pixels.

What is drawn is flat or jumps: of two pixels beside each other most are exactly equal, and the others far
apart. A photograph is neither, for its texture and its noise. Both are looked for in tiles of 9x9 pixels that
have some contrast, so that an even sky, a white background and black bars count for nothing. The share of
such pairs of pixels is 0.11 in the median photograph and 0.7 in the median picture that is drawn;
``docs/which-weights.md`` tells how often the threshold between them is right.
"""

import sys
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.engine.arrays import AnyArray, ArrayLike, as_array, check_array, from_pil

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

# Share of the pairs that are equal or a jump apart, above which a picture counts as graphics.
_THRESHOLD = 0.28

# Contrast of a tile that counts, as a part of full range, and of a jump, as a part of the tile's contrast.
_CONTRAST = 24 / 255
_JUMP = 1 / 3

# Side of a tile, and how many of them are looked at along each side of a large picture. Of a small one they
# share rows and columns, so that no edge between two of them is missed.
_TILE = 9
_MAX_TILES = 24

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def is_graphics(image: "ArrayLike | PilImage", *, bits: int | None = None) -> bool:
    """Whether a picture is drawn (lines, text, user interfaces, pixel art, dithers) and not a photograph.

    ``image``: as :meth:`fsrcnn_rt.Upscaler.upscale` takes it. ``bits``: those of a sample, where they are
    fewer than its dtype has. A picture of 1 bit is graphics, a picture without contrast is not. Of a large
    picture some hundred tiles are read.

    Raises ``TypeError`` or ``ValueError`` for what is no picture, as ``upscale`` does.
    """
    return flat_or_jumping(image, bits=bits) > _THRESHOLD


def flat_or_jumping(image: "ArrayLike | PilImage", *, bits: int | None = None) -> float:
    """Measure the share of neighbouring pixels that are equal or a jump apart, 0..1.

    Arguments and errors are those of :func:`is_graphics`. Equal pairs of black, white or another extreme do
    not count, since photographs are clipped there.
    """
    tiles = _tiles(image)
    full = 1 if tiles.dtype.kind == "f" else (1 << (bits or 8 * tiles.dtype.itemsize)) - 1
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity have no contrast
        samples = tiles.astype(np.float32) / np.float32(full) - np.float32(0.5)
        if len(samples) in (2, 4):  # over a grey, beside which both black and white are seen
            samples = samples[:-1] * (samples[-1] + np.float32(0.5))
        luma = np.tensordot(_LUMA, samples, 1) if len(samples) == 3 else samples[0]
        contrast = np.ptp(luma, axis=(1, 2))
        seen = contrast >= _CONTRAST
        samples, luma = samples[:, seen], luma[seen]
        jump = np.float32(_JUMP) * contrast[seen, None, None]
        clipped = (np.abs(samples) == 0.5).all(axis=0)
        found = counted = 0
        for one, other in ((np.s_[..., 1:, :], np.s_[..., :-1, :]), (np.s_[..., 1:], np.s_[..., :-1])):
            equal = (samples[one] == samples[other]).all(axis=0)
            silent = equal & clipped[one]
            jumping = np.abs(luma[one] - luma[other]) >= jump
            found += np.count_nonzero(jumping | (equal & ~silent))
            counted += equal.size - np.count_nonzero(silent)
    return float(found / counted) if counted else 0.0


def _tiles(image: "ArrayLike | PilImage") -> AnyArray:
    """Cut tiles out of a picture, spread evenly: (channels, tiles, rows, columns)."""
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(image, pil.Image):
        width, height = image.size
        strips = []
        for y in _places(height)[:, 0].tolist():
            strip = image.crop((0, y, width, min(height, y + _TILE)))
            strip.info.pop("icc_profile", None)  # colours by the profile take long, and do not matter here
            strips.append(from_pil(strip)[0])
        rows = np.stack(strips)
    else:
        array = as_array(image)
        check_array(array)
        rows = array[_places(array.shape[0])]
    tiles = rows[:, :, _places(rows.shape[2])]
    if tiles.ndim == 4:
        tiles = tiles[..., None]
    height, width, channels = tiles.shape[1], *tiles.shape[3:]
    cut: AnyArray = tiles.transpose(4, 0, 2, 1, 3).reshape(channels, -1, height, width)
    return cut


def _places(length: int) -> npt.NDArray[np.intp]:
    """Pixels of each tile along a side, (tiles, pixels)."""
    count = min(_MAX_TILES, -(-length // (_TILE - 1)))
    first = np.linspace(0, max(0, length - _TILE), count).astype(np.intp)
    return first[:, None] + np.arange(min(_TILE, length))
