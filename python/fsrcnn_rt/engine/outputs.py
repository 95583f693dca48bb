"""The arrays that results are written to: ``out=`` checked, or new ones."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.engine.sizes import Goal, name_of

AnyArray = npt.NDArray[Any]


def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> AnyArray:
    """Make an array for a result; ``ValueError`` where none can be that large."""
    try:
        return np.empty(shape, dtype)
    except ValueError as error:  # more than an address can count; too much for this machine is a MemoryError
        raise ValueError(f"image is too large: its result would have shape {shape}") from error


def by_scale(
    out: AnyArray | Mapping[Any, AnyArray] | None, scales: Sequence[Goal], several: bool
) -> Mapping[Goal, AnyArray] | None:
    """Key ``out`` by scale; it must be one array for one scale, a mapping of them where there are several."""
    if out is None:
        return None
    if not several:
        if not isinstance(out, np.ndarray):
            raise TypeError(f"out is {type(out).__name__}, and one scale writes to a numpy array")
        return {scales[0]: out}
    if not isinstance(out, Mapping) or not all(isinstance(array, np.ndarray) for array in out.values()):
        raise TypeError("out is not a mapping of numpy arrays, which several scales write to")
    if out.keys() != set(scales):
        raise ValueError(f"out has the scales {sorted(out)}, not {sorted(scales)}")  # type: ignore[type-var]
    return out


def check_outputs(
    out: Mapping[Goal, AnyArray], shapes: Mapping[Goal, tuple[int, ...]], image: AnyArray
) -> None:
    """``ValueError`` unless the arrays of ``out`` can take the results of ``image``, of these ``shapes``."""
    for goal, shape in shapes.items():
        array = out[goal]
        if array.shape != shape or array.dtype != image.dtype:
            raise ValueError(
                f"out has shape {array.shape} and dtype {array.dtype}, "
                f"not {shape} and {image.dtype} as {name_of(goal)} needs"
            )
        if not array.flags.writeable:
            raise ValueError(f"out for {name_of(goal)} is read-only")
    for one, other in combinations([image, *out.values()], 2):
        if np.may_share_memory(one, other):
            raise ValueError("out overlaps image or another out in memory")
