"""Reads the ``.mat`` files that the authors of FSRCNN and of SRCNN published, one per scale.

Of FSRCNN, cell arrays hold one entry a layer: ``weights_conv`` (in, k * k column-major, out), the last one
(1, 81, d) of the transposed convolution; ``biases_conv``; ``prelu_conv``, one slope for all channels of a
layer. Every convolution replicates the edge, and the transposed one's input is extended so by one pixel.

Of SRCNN, ``weights_conv1`` to ``3`` (in, k * k column-major, out) and ``biases_conv1`` to ``3``; an axis of
length 1 at an end is missing. Every convolution replicates the edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.convert.mat_file import Other, read_mat
from fsrcnn_rt.convert.network import ForeignHead, ForeignNetwork, as_chain, convolution
from fsrcnn_rt.errors import ModelError, brief
from fsrcnn_rt.model import Array


def read(path: Path, scale: int | None) -> ForeignNetwork:
    """Read the file of one ``scale``, which decides the alignment of the head and stands in the name only.

    Raises ``OSError`` for a file that cannot be opened, :class:`ModelError` for one of other content.
    """
    contents = read_mat(path)
    if "weights_conv1" in contents:
        return _srcnn(contents)
    return _fsrcnn(contents, scale)


def _srcnn(contents: Mapping[str, Any]) -> ForeignNetwork:
    layers = []
    for i in (1, 2, 3):
        weight, bias = (_numbers(contents, f"{part}_conv{i}") for part in ("weights", "biases"))
        if weight.ndim == 2 and i == 1:  # (k * k, out) of one channel
            weight = weight[None]
        filters = _filters(f"weights_conv{i}", weight)
        count = len(filters)
        layers.append((filters, _vector(f"biases_conv{i}", bias, count, (count,))))
    head = ForeignHead("weights_conv3", *layers.pop())
    nodes = [(f"weights_conv{i}", convolution(*layer, slope=0)) for i, layer in enumerate(layers, 1)]
    return ForeignNetwork(as_chain(nodes), head, "replicate", enlarged=True)


def _fsrcnn(contents: Mapping[str, Any], scale: int | None) -> ForeignNetwork:
    weights = _cells(contents, "weights_conv")
    biases = _cells(contents, "biases_conv")
    slopes = _cells(contents, "prelu_conv")
    if not len(biases) == len(weights) <= len(slopes) + 1:
        raise ModelError(
            f"prelu_conv and biases_conv: expected entries for {len(weights)} layers as in weights_conv, "
            f"got {len(slopes)} and {len(biases)}"
        )
    layers = []
    for i, (weight, bias, slope) in enumerate(zip(weights[:-1], biases, slopes, strict=False), 1):
        filters = _filters(f"weights_conv{{{i}}}", weight)
        count = len(filters)
        conv = convolution(
            filters,
            _vector(f"biases_conv{{{i}}}", bias, count, (count,)),
            _vector(f"prelu_conv{{{i}}}", slope, count, (1, count)),
        )
        layers.append((f"weights_conv{{{i}}}", conv))
    last = len(weights)
    head = ForeignHead(
        f"weights_conv{{{last}}}",
        _filters(f"weights_conv{{{last}}}", weights[-1]),
        _vector(f"biases_conv{{{last}}}", biases[-1], 1, (1,)),
        pad=3 if scale == 3 else 4,
        border=1,
    )
    return ForeignNetwork(as_chain(layers), head, "replicate")


def _cells(contents: Mapping[str, Any], key: str) -> list[Any]:
    cells = contents.get(key)
    if not isinstance(cells, list) or not cells:
        found = ", ".join(map(brief, list(contents)[:8]))
        raise ModelError(f"{key}: expected a cell array of that name, got a file with {found or 'nothing'}")
    return cells


def _numbers(contents: Mapping[str, Any], key: str) -> npt.NDArray[Any]:
    value = contents.get(key)
    if not isinstance(value, np.ndarray):
        raise ModelError(f"{key}: expected numbers of that name, got none")
    return value


def _filters(name: str, cell: npt.NDArray[Any] | Other) -> Array:
    """Bring filters to (out, in, k, k); the last ones, whose output the file calls in, to (in, out, k, k)."""
    if isinstance(cell, Other):
        raise ModelError(f"{name}: expected numbers, got something else")
    if cell.ndim == 2:  # MATLAB drops a last dimension of 1
        cell = cell[..., None]
    if cell.ndim != 3 or 0 in cell.shape or isqrt(cell.shape[1]) ** 2 != cell.shape[1]:
        raise ModelError(f"{name}: expected numbers of shape (in, k * k, out), got {cell.dtype} {cell.shape}")
    ic, area, oc = cell.shape
    kernel = isqrt(area)
    filters = cell.reshape(ic, kernel, kernel, oc, order="F").transpose(3, 0, 1, 2)
    with np.errstate(over="ignore"):  # infinity is refused later on
        return np.array(filters, np.float32, order="C")


def _vector(name: str, cell: npt.NDArray[Any] | Other, length: int, sizes: tuple[int, ...]) -> Array:
    expected = " or ".join(map(str, sizes))
    if isinstance(cell, Other):
        raise ModelError(f"{name}: expected {expected} numbers, got something else")
    if cell.size not in sizes:
        raise ModelError(f"{name}: expected {expected} numbers, got {cell.dtype} {cell.shape}")
    with np.errstate(over="ignore"):
        vector: Array = np.broadcast_to(cell.ravel(), length).astype(np.float32)
    return vector
