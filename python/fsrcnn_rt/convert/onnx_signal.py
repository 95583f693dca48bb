"""Tensors of an ONNX graph: which channels of a network's results they hold, and what has become of them.

Between a convolution and what reads it, a tensor may pass operations that commute with a positive factor
(Relu, Abs, Neg, PRelu, sums, extremes, constant factors). Whatever they are, they amount to a PReLU, which
their values at 1 and -1 tell. Axes may change places, and axes of length 1 may come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.errors import ModelError, brief
from fsrcnn_rt.model import Array, Channels

Constant: TypeAlias = npt.NDArray[Any]
Pads = tuple[int, int, int, int]  # top, left, bottom, right
NO_PADS: Pads = (0, 0, 0, 0)
MAX_RANK = 8  # axes of a tensor
_MAX_PAD = 64
_MAX_LISTED = 1024

#: Operations on tensors alone, and what else they take.
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Abs": np.abs,
    "Neg": np.negative,
    "LeakyRelu": lambda x, alpha=0.01: np.where(x < 0, np.float32(alpha) * x, x),
    "PRelu": lambda x, slope: np.where(x < 0, slope * x, x),
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": lambda *xs: reduce(np.maximum, xs),
    "Min": lambda *xs: reduce(np.minimum, xs),
}

#: Pictures whose pixels are numbered, by which it is told what rows and columns are taken.
NUMBERED = tuple(np.arange(h * w).reshape(h, w) for h, w in ((1, 1), (2, 3), (7, 6)))


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor that depends on the picture: channels of some results, side by side, activated and padded.

    ``kind``: "trunk" of the network's input and the results of its nodes, "bicubic" of the bicubic picture,
    "head" of the large picture.
    """

    kind: str
    parts: tuple[Channels, ...]
    versions: tuple[int, ...]  # of the results when they were taken: one that is changed later is another
    axes: str  # of "n", "c", "h" and "w"; "1" is an axis of length 1, such as the picture's channel
    probe: Array  # (2, channels): what has become of 1 and of -1
    pads: Pads = NO_PADS
    edge: bool = False  # whether the pads repeat the edge
    mirrored: bool = False  # whether they mirror the picture, its edge included
    lines: tuple[Array, ...] = ()  # of rows or columns that were taken: what has become of numbered pixels

    def numbered(self) -> tuple[Array, ...]:
        """Return pictures of numbered pixels after what was done to rows and columns."""
        top, left, bottom, right = self.pads
        around = (top, bottom), (left, right)
        return self.lines or tuple(np.pad(picture, around, "edge") for picture in NUMBERED)

    @property
    def bare(self) -> bool:
        """Whether it holds the results unchanged: neither padded nor activated."""
        return not any(self.pads) and bool((self.probe == [[1], [-1]]).all())

    def values(self) -> Array:
        """Return the probe as two tensors with the axes of the signal."""
        return self.probe.reshape(2, *(self.probe.shape[1] if axis == "c" else 1 for axis in self.axes))


def listed(values: Any) -> list[Any]:
    """Return the numbers of a small tensor."""
    if np.size(values) > _MAX_LISTED:
        raise ModelError(f"expected at most {_MAX_LISTED} numbers, got {np.size(values)}")
    numbers: list[Any] = np.ravel(values).tolist()
    return numbers


def axes_of(order: str, channels: int) -> str:
    """Name the axes of a tensor in this order, such as "nchw", of so many channels."""
    return order.replace("c", "1") if channels == 1 else order


def are_alike(signals: Sequence[Signal]) -> bool:
    """Whether signals have the same axes, whatever the number of channels, and no padding."""
    axes = {signal.axes.replace("c", "1") for signal in signals}
    return len(axes) == 1 and not any(any(signal.pads) for signal in signals)


def are_same(signals: Sequence[Signal]) -> bool:
    """Whether signals are of the same channels, so that their sum may be an activation."""
    one, *others = signals
    return all((other.kind, other.parts) == (one.kind, one.parts) for other in others)


_SLICED = ("starts", "ends", "axes", "steps")


def sliced(operands: Sequence[Any], attributes: Mapping[str, Any], rank: int) -> tuple[int, slice]:
    """Return the one axis along which a slice takes a range, and the range."""
    # Attributes before opset 10.
    values = [*operands, *([None] * 4)][:4] if operands else [attributes.get(key) for key in _SLICED]
    starts, ends, axes, steps = (None if value is None else listed(value) for value in values)
    places = [place % rank for place in (axes or range(len(starts or [])))]
    if len(places) != 1 or not starts or not ends or steps not in (None, [1]):
        raise ModelError(f"expected a range along one axis, got axes {brief(axes)} and steps {brief(steps)}")
    return places[0], slice(starts[0], ends[0])


def pad(source: Signal, operands: Sequence[object], attributes: Mapping[str, Any]) -> Signal:
    """Follow a Pad: of height and width, by zeros or the repeated edge."""
    mode = attributes.get("mode", b"constant").decode()
    pads = operands[0] if operands else attributes.get("pads")  # an attribute before opset 11
    value = operands[1] if len(operands) > 1 else attributes.get("value", 0)
    axes = operands[2] if len(operands) > 2 else None
    zeros = mode == "constant" and (value is None or not np.any(np.asarray(value)))
    if not zeros and mode != "edge":
        raise ModelError(
            f"expected zeros or the repeated edge, got mode {brief(mode)} with value {brief(value)}"
        )
    if any(source.pads):
        raise ModelError("expected one padding before a layer, got two")
    begin, end = np.reshape(listed(pads), (2, -1)).tolist()
    places = range(len(source.axes)) if axes is None else listed(axes)
    padded = zip((source.axes[place] for place in places), begin, end, strict=True)
    around = {axis: (before, after) for axis, before, after in padded if before or after}
    if not around.keys() <= {"h", "w"} or not 0 <= min(begin + end) <= max(begin + end) <= _MAX_PAD:
        raise ModelError(
            f"expected padding of height and width by a few pixels, got {brief(begin)} and {brief(end)}"
        )
    (top, bottom), (left, right) = (around.get(axis, (0, 0)) for axis in "hw")
    total = top, left, bottom, right
    return replace(source, pads=total, edge=mode == "edge" and any(total))


def elementwise(
    kind: str, operands: Sequence[Signal | Constant | None], attributes: Mapping[str, Any]
) -> Signal:
    """Follow an operation of :data:`ELEMENTWISE`, one that amounts to an activation of one layer."""
    signals = [operand for operand in operands if isinstance(operand, Signal)]
    constants = [operand for operand in operands if isinstance(operand, np.ndarray)]
    axes = signals[0].axes
    if not are_same(signals) or any(any(signal.pads) for signal in signals):
        raise ModelError(
            "expected an activation of one layer, got a sum with another or with something padded"
        )
    shape = signals[0].values().shape[1:]
    # Before anything is computed, as a constant may be of any size.
    if any(signal.axes != axes for signal in signals) or not all(
        _is_within(c.shape, shape) for c in constants
    ):
        raise ModelError(
            f"expected one number per channel, got constants of {brief([c.shape for c in constants])}"
        )
    if kind in ("Add", "Sub", "Max", "Min") and any(map(np.any, constants)):
        raise ModelError("expected an activation such as PReLU, got a constant other than 0 beside a tensor")
    if kind == "Mul" and len(signals) > 1:
        raise ModelError("expected an activation such as PReLU, got a product of two tensors")
    unknown = attributes.keys() - ({"alpha"} if kind == "LeakyRelu" else set())
    if unknown:
        raise ModelError(f"expected an activation such as PReLU, got one with {brief(min(unknown))}")
    probe = []
    for i in range(2):
        values = [operand.values()[i] if isinstance(operand, Signal) else operand for operand in operands]
        try:
            with np.errstate(all="ignore"):
                result = np.asarray(ELEMENTWISE[kind](*values, **attributes), np.float32)
        except (TypeError, ValueError) as error:
            raise ModelError(f"expected an activation such as PReLU ({error})") from error
        probe.append(result.ravel())
    return replace(signals[0], probe=np.stack(probe))


def _is_within(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether a constant of a shape leaves what is of the shape ``whole`` as large as it is."""
    sides = zip(shape[::-1], whole[::-1], strict=False)
    return len(shape) <= len(whole) and all(one in (1, other) for one, other in sides)


def _transposed(axes: str, _operands: Sequence[Any], attributes: Mapping[str, Any]) -> str:
    return "".join(axes[place] for place in attributes["perm"])


def _unsqueezed(axes: str, operands: Sequence[Any], attributes: Mapping[str, Any]) -> str:
    places = _places(operands, attributes)
    rank = len(axes) + len(places)
    others = iter(axes)
    ones = {place % rank for place in places}
    return "".join("1" if place in ones else next(others) for place in range(rank))


def _squeezed(axes: str, operands: Sequence[Any], attributes: Mapping[str, Any]) -> str:
    ones = {place % len(axes) for place in _places(operands, attributes)}
    if any(axes[place] not in "1n" for place in ones):  # a batch that is squeezed out is of one picture
        raise ModelError(f"expected axes of length 1 to be left out, got {sorted(ones)} of {axes!r}")
    return "".join(axis for place, axis in enumerate(axes) if place not in ones)


def _reshaped(axes: str, operands: Sequence[Any], _attributes: Mapping[str, Any]) -> str:
    """Follow a reshape that adds and leaves out axes of length 1."""
    shape = listed(operands[0])
    kept = [axes[place] if length == 0 else "1" if length == 1 else "?" for place, length in enumerate(shape)]
    left = [axis for axis in axes if axis not in ["1", *kept]]
    if len(left) > kept.count("?") and left[0] == "n":  # a batch of one picture is a 1 in the shape
        del left[0]
    if len(left) == kept.count("?"):
        result = "".join(left.pop(0) if axis == "?" else axis for axis in kept)
        if result.replace("1", "").lstrip("n") == axes.replace("1", "").lstrip("n"):
            return result
    raise ModelError(f"expected a reshape that moves nothing, got {axes!r} reshaped to {brief(shape)}")


AXES_CHANGED = {
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Reshape": _reshaped,
}


def _places(operands: Sequence[Any], attributes: Mapping[str, Any]) -> list[int]:
    """Axes that a node names, by an input or, before opset 13, an attribute."""
    return [int(place) for place in listed(operands[0] if operands else attributes["axes"])]
