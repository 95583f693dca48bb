"""How large a result is to be, by a factor or by its size, and which passes of a network reach that."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, islice
from typing import Any, Literal, TypeAlias, TypeGuard

import numpy as np

from fsrcnn_rt.errors import ScaleError

#: The largest factor, of either side.
MAX_SCALE = 16

#: The factors where neither scale nor size is given.
PICTURE_SCALE, VIDEO_SCALE = 3, 2

# Passes of a network that follow each other at most: what x16 takes with x2 alone.
_MAX_PASSES = 4

Larger = Literal["refuse", "keep", "shrink"]

#: (width, height) in pixels.
Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Box:
    """A size that a result is to have; of a side that is None, whatever keeps the shape of the picture.

    ``stretch``: both sides exactly, whatever becomes of the shape; else as large as fits inside.

    Raises ``TypeError`` for a side that is no integer, ``ValueError`` for one below 1, for a box without
    sides, and for one that is to be stretched to but lacks a side.
    """

    width: int | None
    height: int | None
    stretch: bool = False

    def __post_init__(self) -> None:
        given = {name: side for name in ("width", "height") if (side := getattr(self, name)) is not None}
        if any(isinstance(side, bool) or not hasattr(side, "__index__") for side in given.values()):
            raise TypeError(f"size={self!r} is not in whole pixels")
        if any(side < 1 for side in given.values()):
            raise ValueError(f"size={self!r} is not of positive sides")
        if not given:
            raise ValueError(f"size={self!r} has neither width nor height")
        if self.stretch and len(given) < 2:
            raise ValueError(f"size={self!r} lacks a side to stretch to")
        for name, side in given.items():
            object.__setattr__(self, name, int(side))

    def __str__(self) -> str:
        if self.width and self.height:
            return f"{self.width}x{self.height}"
        return f"{self.width}w" if self.width else f"{self.height}h"

    def turned(self) -> "Box":
        """Return the same box for a picture that is shown on its side."""
        return Box(self.height, self.width, self.stretch)


#: What is asked for: a factor, or a size.
Goal: TypeAlias = "int | float | Box"


def goals_of(scale: object, size: object, default: int) -> tuple[list[Goal], bool]:
    """Read what the arguments ``scale`` and ``size`` ask for, and whether it is several.

    ``default``: the scale where neither is given. ``scale`` is a number or a sequence of them, ``size`` is
    (width, height) or a :class:`Box`. ``TypeError`` for what is neither, :class:`~fsrcnn_rt.ScaleError` for a
    factor that is not above 1 and up to :data:`MAX_SCALE`, or is there twice; ``ValueError`` for both
    arguments at once, and for sides below 1.
    """
    if size is not None:
        if scale is not None:
            raise ValueError(f"scale={scale!r} and size={size!r} exclude each other")
        return [_box(size)], False
    if scale is None:
        scale = default
    several = _is_sequence(scale)
    factors: list[Goal] = []
    for value in scale if _is_sequence(scale) else [scale]:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"scale={scale!r} is not a number or a sequence of numbers")
        if not 1 < value <= MAX_SCALE:  # false for NaN, too
            hint = f"; size={scale!r} asks for pixels" if _is_size(scale) else ""
            raise ScaleError(f"scale={value} is not above 1 and up to {MAX_SCALE}{hint}")
        factors.append(int(value) if value == int(value) else float(value))
    if not factors or len(set(factors)) < len(factors):
        raise ScaleError(f"scale={scale!r} is empty or names a scale twice")
    return factors, several


def goal_of(scale: object, size: object, default: int) -> Goal:
    """As :func:`goals_of`, where only one can be asked for: ``TypeError`` for several."""
    (goal, *_), several = goals_of(scale, size, default)
    if several:
        raise TypeError(f"scale={scale!r} is not a number")
    return goal


def name_of(goal: Goal) -> str:
    """Say what was asked for, as in an error message."""
    return f"size={goal}" if isinstance(goal, Box) else f"scale={goal}"


def size_of(goal: Goal, source: Size, step: Size = (1, 1)) -> Size:
    """Size of what becomes of a picture of the size ``source``, as :func:`fitted` has it.

    ``ValueError`` for a size that is smaller than the picture, its own, or more than :data:`MAX_SCALE` times
    as large.
    """
    width, height = source
    size = fitted(goal, source, step)
    what = f"{name_of(goal)} makes {width}x{height} to {size[0]}x{size[1]}, which is"
    if size[0] < width or size[1] < height:
        raise ValueError(f"{what} smaller")
    if size == source:
        raise ValueError(f"{what} no larger")
    if size[0] > MAX_SCALE * width or size[1] > MAX_SCALE * height:
        raise ValueError(f"{what} more than {MAX_SCALE} times as large")
    return size


def result_size(goal: Goal, source: Size, larger: Larger = "refuse") -> Size:
    """As :func:`size_of`, but of a picture that a box makes no larger as ``larger`` says.

    "refuse": ``ValueError``; "keep": its own size; "shrink": the one asked for.
    """
    if larger == "refuse" or not isinstance(goal, Box) or not is_larger_already(goal, source):
        return size_of(goal, source)
    return source if larger == "keep" else fitted(goal, source)


def is_larger_already(goal: Goal, source: Size) -> bool:
    """Whether a picture of the size ``source`` has or exceeds what is asked for, on a side."""
    size = fitted(goal, source)
    return size == source or size[0] < source[0] or size[1] < source[1]


def fitted(goal: Goal, source: Size, step: Size = (1, 1)) -> Size:
    """Size that is asked for of a picture of the size ``source``, be it larger or smaller.

    Sides that are not given outright are rounded to the nearest pixel, halves up; those of no integer
    multiple to multiples of ``step``, the luma samples for each of chroma, and a box that is not stretched
    to is taken for the largest such one in it.
    """
    width, height = source
    if not isinstance(goal, Box):
        size = _nearest(width * goal, step[0], width, goal), _nearest(height * goal, step[1], height, goal)
    elif goal.width and goal.height and goal.stretch:
        size = goal.width, goal.height
    elif goal.width and goal.height:
        w, h = goal.width - goal.width % step[0], goal.height - goal.height % step[1]
        if w * height <= h * width:
            size = w, min(h, _beside(height, w, width, step[1]))
        else:
            size = min(w, _beside(width, h, height, step[0])), h
    elif goal.width:
        size = goal.width, _beside(height, goal.width, width, step[1])
    else:
        assert goal.height is not None
        size = _beside(width, goal.height, height, step[0]), goal.height
    return max(1, size[0]), max(1, size[1])


def exact_scale(source: Size, size: Size, offered: Sequence[int]) -> int | None:
    """Find the scale among ``offered`` that gives ``size`` as it is."""
    return next((scale for scale in offered if (scale * source[0], scale * source[1]) == size), None)


def passes(source: Size, size: Size, offered: Sequence[int]) -> tuple[int, ...]:
    """Scales of a network whose product is the smallest that reaches ``size``; of these, the fewest.

    They ascend, as a pass costs by the pixels that go in. Every size of up to :data:`MAX_SCALE` times is
    reached, whatever the network offers, though not every one without going far beyond.
    """
    chains = [
        chain
        for count in range(1, _MAX_PASSES + 1)
        for chain in combinations_with_replacement(offered, count)
    ]

    def reaches(chain: tuple[int, ...]) -> bool:
        product = math.prod(chain)
        return product * source[0] >= size[0] and product * source[1] >= size[1]

    return min(filter(reaches, chains), key=lambda chain: (math.prod(chain), len(chain), chain))


def reach(model_reach: int, source: Size, size: Size, scales: Sequence[int]) -> int:
    """Pixels of the picture around its own that a pixel of the result depends on, by these passes."""
    pixels, scale = 0.0, 1
    for each in scales:
        pixels += model_reach / scale
        scale *= each
    # The last filter reads two pixels of the result, where that is what it makes smaller.
    smallest = min(size[0] / source[0], size[1] / source[1])
    return math.ceil(pixels + 2 / smallest) + 1


def _box(size: object) -> Box:
    if isinstance(size, Box):
        return size
    sides: list[Any] = list(islice(size, 3)) if _is_sequence(size) else []
    if len(sides) != 2 or any(isinstance(side, bool) or not hasattr(side, "__index__") for side in sides):
        raise TypeError(f"size={size!r} is not (width, height) in whole pixels")
    width, height = (int(side) for side in sides)
    if width < 1 or height < 1:
        raise ValueError(f"size={size!r} is not of positive sides")
    return Box(width, height, stretch=True)


def _is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a sequence of others, which a text and bytes are not."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def _is_size(scale: object) -> bool:
    """Whether what was given for scales must have been meant as width and height."""
    sides = list(islice(scale, 3)) if _is_sequence(scale) else []
    return len(sides) == 2 and all(isinstance(side, int | np.integer) and side > MAX_SCALE for side in sides)


def _nearest(length: float, step: int, source: int, factor: float) -> int:
    """Round a side that a factor gives."""
    return int(length) if factor == int(factor) else max(_up(source, step), _rounded(length / step) * step)


def _beside(source: int, given: int, of: int, step: int) -> int:
    """Compute the side that keeps the shape where the other, ``of``, becomes ``given``."""
    if given % of == 0:
        return source * (given // of)
    side = (2 * source * given + of * step) // (2 * of * step) * step
    return max(_up(source, step), side) if given >= of else side


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
