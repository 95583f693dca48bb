"""Computes those nodes of an ONNX graph beforehand that depend on constants alone.

These are the operations that exporters leave behind: shapes that are put together, batch normalisation and
weight normalisation that are written out, weights that are stored otherwise than they are used. Each counts
what it is going to take before it takes it. All others are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import ceil
from typing import Any

import numpy as np

from fsrcnn_rt.convert.bounded import Allowance
from fsrcnn_rt.convert.onnx_file import DTYPES
from fsrcnn_rt.convert.onnx_signal import MAX_RANK, Constant, listed
from fsrcnn_rt.errors import ModelError

_Attributes = Mapping[str, Any]
_ITEM = 8  # bytes of the largest numbers


def fold(
    kind: str, operands: Sequence[Constant | None], attributes: _Attributes, allowance: Allowance
) -> Constant:
    """Compute the only result of a node; :class:`ModelError` for one that is not known or takes too much."""
    given = [operand for operand in operands if operand is not None]
    with np.errstate(all="ignore"):  # what is not finite is refused where it is used
        if kind in ELEMENTWISE:
            allowance.take(np.broadcast_shapes(*(operand.shape for operand in given)), _ITEM)
            return np.asarray(ELEMENTWISE[kind](*given))
        if kind not in OTHERS:
            raise ModelError(
                "expected something that can be computed beforehand, got an operation that cannot"
            )
        for operand in given:
            allowance.take(operand.shape, operand.itemsize)
        return np.asarray(OTHERS[kind](allowance, attributes, *operands))


def _typed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have the result of the type of the first operand, as all of ONNX's have."""
    return lambda first, *others: np.asarray(function(first, *others)).astype(first.dtype, copy=False)


def _divided(dividend: Constant, divisor: Constant) -> Any:
    return dividend // divisor if dividend.dtype.kind in "iu" else dividend / divisor


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    **{"Identity": lambda x: x, "Abs": np.abs, "Neg": np.negative, "Floor": np.floor, "Ceil": np.ceil},
    "Add": _typed(np.add),
    "Sub": _typed(np.subtract),
    "Mul": _typed(np.multiply),
    "Div": _typed(_divided),
    "Pow": _typed(np.power),
    "Sqrt": _typed(np.sqrt),
    "Reciprocal": _typed(lambda x: 1 / x),
    "Exp": _typed(np.exp),
    "Max": _typed(lambda *xs: reduce(np.maximum, xs)),
    "Min": _typed(lambda *xs: reduce(np.minimum, xs)),
    "Equal": lambda x, y: x == y,
    "Where": lambda where, x, y: np.where(where, x, y),
}


def _constant(_allowance: Allowance, attributes: _Attributes) -> Any:
    (key, value), *others = attributes.items()
    dtype = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64}.get(key, np.int64)
    if others or key not in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        raise ModelError("expected one value of numbers, got another")
    return value if key == "value" else np.array(value, dtype)


def _filled(allowance: Allowance, attributes: _Attributes, shape: Constant) -> Any:
    value = np.ravel(attributes.get("value", np.zeros(1, np.float32)))[0]
    allowance.take(listed(shape), _ITEM)
    return np.full(listed(shape), value)


def _cast(allowance: Allowance, attributes: _Attributes, x: Constant) -> Any:
    if attributes["to"] not in DTYPES:
        raise ModelError(f"expected a type of numbers, got {attributes['to']}")
    allowance.take(x.shape, _ITEM)
    return x.astype(DTYPES[attributes["to"]])


def _shape(_allowance: Allowance, attributes: _Attributes, x: Constant) -> Any:
    return np.array(x.shape[attributes.get("start", 0) : attributes.get("end")], np.int64)


def _reshape(_allowance: Allowance, attributes: _Attributes, x: Constant, shape: Constant) -> Any:
    sides = listed(shape)
    if not attributes.get("allowzero", 0):
        sides = [side or x.shape[place] for place, side in enumerate(sides)]
    return x.reshape(sides)


def _transpose(_allowance: Allowance, attributes: _Attributes, x: Constant) -> Any:
    return x.transpose(attributes.get("perm"))


def _axes(attributes: _Attributes, axes: Constant | None) -> tuple[int, ...] | None:
    """Axes, which are an attribute in old graphs."""
    given = attributes.get("axes") if axes is None else listed(axes)
    return None if given is None else tuple(given)


def _squeeze(
    _allowance: Allowance, attributes: _Attributes, x: Constant, axes: Constant | None = None
) -> Any:
    return np.squeeze(x, _axes(attributes, axes))


def _unsqueeze(
    _allowance: Allowance, attributes: _Attributes, x: Constant, axes: Constant | None = None
) -> Any:
    places = _axes(attributes, axes)
    if places is None or x.ndim + len(places) > MAX_RANK:
        raise ModelError("expected a few axes, got none or too many")
    return np.expand_dims(x, places)


def _concat(allowance: Allowance, attributes: _Attributes, *parts: Constant) -> Any:
    for part in parts:
        allowance.take(part.shape, _ITEM)
    return np.concatenate(parts, attributes["axis"])


def _gather(allowance: Allowance, attributes: _Attributes, x: Constant, indices: Constant) -> Any:
    axis = attributes.get("axis", 0) % max(1, x.ndim)
    allowance.take([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]], _ITEM)
    return np.take(x, indices, axis)


def _slice(
    _allowance: Allowance,
    attributes: _Attributes,
    x: Constant,
    starts: Constant | None = None,
    ends: Constant | None = None,
    axes: Constant | None = None,
    steps: Constant | None = None,
) -> Any:
    first, end = (
        attributes[key] if value is None else listed(value)
        for key, value in (("starts", starts), ("ends", ends))
    )
    places = _axes(attributes, axes) or range(len(first))
    strides = [1] * len(first) if steps is None else listed(steps)
    taken = [slice(None)] * x.ndim
    for place, start, stop, step in zip(places, first, end, strides, strict=True):
        # From the last to the first, an end before the first is none.
        before = step < 0 and stop < -x.shape[place]
        taken[place] = slice(start, None if before else stop, step)
    return x[tuple(taken)]


def _expand(allowance: Allowance, _attributes: _Attributes, x: Constant, shape: Constant) -> Any:
    whole = np.broadcast_shapes(x.shape, tuple(listed(shape)))
    allowance.take(whole, _ITEM)
    return np.broadcast_to(x, whole)


def _tile(allowance: Allowance, _attributes: _Attributes, x: Constant, repeats: Constant) -> Any:
    times = listed(repeats)
    allowance.take([side * count for side, count in zip(x.shape, times, strict=True)], _ITEM)
    return np.tile(x, times)


def _range(
    allowance: Allowance, _attributes: _Attributes, start: Constant, end: Constant, step: Constant
) -> Any:
    first, stop, by = start.item(), end.item(), step.item()
    allowance.take([max(0, ceil((stop - first) / by))], _ITEM)
    whole: Constant = np.arange(first, stop, by).astype(start.dtype)
    return whole


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(
        _allowance: Allowance, attributes: _Attributes, x: Constant, axes: Constant | None = None
    ) -> Any:
        kept = bool(attributes.get("keepdims", 1))
        return np.asarray(function(x, axis=_axes(attributes, axes), keepdims=kept)).astype(x.dtype)

    return apply


OTHERS: dict[str, Callable[..., Any]] = {
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Cast": _cast,
    "Shape": _shape,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "ReduceSum": _reduced(np.sum),
    "ReduceMean": _reduced(np.mean),
    "ReduceL2": _reduced(lambda x, **options: np.sqrt(np.sum(np.square(x), **options))),
}
