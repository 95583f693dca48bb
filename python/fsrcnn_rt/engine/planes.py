"""Planar YUV: the luma plane goes through the network, chroma and alpha through the bicubic filter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[Any]
ChromaLocation = Literal["left", "center", "topleft"]

_MIN_BITS, _MAX_BITS = 8, 16


@dataclass(frozen=True)
class Layout:
    """Layout of a frame: bits of its samples, subsampling and place of its chroma."""

    bits: int
    subsampling: tuple[int, int]
    chroma_location: ChromaLocation

    def __post_init__(self) -> None:
        if not _MIN_BITS <= self.bits <= _MAX_BITS:
            raise ValueError(f"bits={self.bits} is not {_MIN_BITS} to {_MAX_BITS}")
        if len(self.subsampling) != 2 or not set(self.subsampling) <= {1, 2, 4}:
            raise ValueError(f"subsampling={self.subsampling} is not (horizontal, vertical) of 1, 2 or 4")
        if self.chroma_location not in get_args(ChromaLocation):
            names = ", ".join(get_args(ChromaLocation))
            raise ValueError(f"chroma_location={self.chroma_location!r} is none of {names}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """What a sample is stored in."""
        return np.dtype(np.uint8 if self.bits == _MIN_BITS else np.uint16)

    @property
    def siting(self) -> tuple[float, float]:
        """Where a chroma sample lies in its cell, (x, y): 0.5 is the centre."""
        x, y = self.subsampling
        left = self.chroma_location != "center"
        top = self.chroma_location == "topleft"
        return (0.5 / x if left else 0.5, 0.5 / y if top else 0.5)

    def step(self, count: int) -> tuple[int, int]:
        """Luma samples for each of chroma, (horizontal, vertical), in a frame of ``count`` planes."""
        return self.subsampling if count > 2 else (1, 1)

    def shapes(self, luma: tuple[int, int], count: int) -> list[tuple[int, int]]:
        """Shapes of a frame's ``count`` planes from that of its luma: chroma is rounded up."""
        (height, width), (x, y) = luma, self.subsampling
        chroma = [(-(-height // y), -(-width // x))] * 2 if count > 2 else []
        return [luma, *chroma, *([luma] if has_alpha(count) else [])]

    def check(self, planes: Sequence[Plane], shapes: Sequence[tuple[int, int]], name: str) -> None:
        """Refuse planes that are not arrays of this layout and these shapes."""
        _check_sequence(planes, name)
        if len(planes) != len(shapes):
            raise ValueError(f"{name} has {len(planes)} planes, not {len(shapes)}")
        for i, (plane, shape) in enumerate(zip(planes, shapes, strict=True)):
            if not isinstance(plane, np.ndarray):
                raise TypeError(f"{name}[{i}] is {type(plane).__name__}, not a numpy array")
            if plane.dtype != self.dtype:
                raise TypeError(f"{name}[{i}] is {plane.dtype}, and bits={self.bits} is {self.dtype}")
            if plane.shape != shape:
                raise ValueError(f"{name}[{i}] has shape {plane.shape}, not {shape}")
            if not plane.flags.aligned:
                raise ValueError(f"{name}[{i}] is not aligned: {self.dtype} samples lie at odd addresses")


def has_alpha(count: int) -> bool:
    """Whether the last plane of so many is alpha."""
    return count in (2, 4)


def luma_shape(planes: Sequence[Plane]) -> tuple[int, int]:
    """(height, width) of a frame; ``ValueError`` unless it is luma, with or without chroma and alpha."""
    _check_sequence(planes, "planes")
    if len(planes) not in (1, 2, 3, 4):
        raise ValueError(
            f"planes has {len(planes)} planes, neither 1 (luma) nor 3 (luma and chroma), nor 1 more (alpha)"
        )
    shape = np.shape(planes[0])
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"planes[0] has shape {shape}, not (height, width)")
    return shape[0], shape[1]


def _check_sequence(planes: Sequence[Plane], name: str) -> None:
    # A range may be longer than len() can tell.
    if isinstance(planes, range) or not isinstance(planes, (Sequence, np.ndarray)):
        raise TypeError(f"{name} is {type(planes).__name__}, not a sequence of planes")
