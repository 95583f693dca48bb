"""Reads the ``.caffemodel`` files that the authors of IDN published, one per scale, without Caffe.

Of its protobuf messages a few fields are enough: layers with a name and blobs, blobs with a shape and
numbers. Layers are ``conv1``, ``conv2``; of block b = 1, 2.. ``conv<b + 2>_1`` to ``_6`` and ``down<b>``;
``upsample``. Blobs are (out, in, height, width). The authors' program crops what the head gives;
here that is its alignment.
"""

from __future__ import annotations

from collections.abc import Container
from math import prod
from pathlib import Path

import numpy as np

from fsrcnn_rt.convert.bounded import printable, read_file
from fsrcnn_rt.convert.network import ForeignHead, ForeignNetwork, idn_nodes
from fsrcnn_rt.convert.protobuf import DamagedError, Message, Reader, fixed, integers, text
from fsrcnn_rt.errors import ModelError, brief
from fsrcnn_rt.model import Array, idn

# Numbers of the fields, in caffe.proto.
_LAYER = 100  # of a net
_NAME, _BLOBS = 1, 7  # of a layer
_DATA, _SHAPE, _DIM = 5, 7, 1  # of a blob, and of its shape


def read(path: Path, scale: int | None) -> ForeignNetwork:
    """Read the file of one ``scale``, which stands in the name and in the alignment only.

    Raises ``OSError`` for a file that cannot be opened, :class:`ModelError` for one of other content.
    """
    blobs = _blobs(path)
    names = layer_names(blobs)
    if "down1" not in blobs:
        raise ModelError("down1: expected a layer of that name in an IDN, got none")
    _check_names(blobs, [*names, "upsample"])
    nodes = idn_nodes([(name, *_filters(name, blobs[name])) for name in names])
    weight, bias = _filters("upsample", blobs["upsample"], inputs=0)
    # Which scale it is decides no more than where the kernel lies, so any will do until it is known.
    pad = idn.head(scale).pad if scale else 0
    return ForeignNetwork(nodes, ForeignHead("upsample", weight, bias, pad), "zeros", plus_bicubic=True)


def layer_names(found: Container[str]) -> list[str]:
    """List the layers before the head, in their order, of as many blocks as there are in ``found``."""
    names, block = ["conv1", "conv2"], 1
    while f"down{block}" in found:
        names += [*(f"conv{block + 2}_{i}" for i in range(1, 7)), f"down{block}"]
        block += 1
    return names


def _check_names(blobs: dict[str, list[Array]], expected: list[str]) -> None:
    missing, unknown = set(expected) - blobs.keys(), blobs.keys() - set(expected)
    if missing:
        raise ModelError(f"{min(missing)}: expected a layer of that name in an IDN, got none")
    if unknown:
        raise ModelError(f"{min(unknown)}: expected the layers of an IDN, got one of that name")


def _filters(name: str, blobs: list[Array], inputs: int = 1) -> tuple[Array, Array]:
    """Return the weights of a layer, whose outputs are on the other axis than its inputs, and its bias."""
    if len(blobs) != 2 or blobs[0].ndim != 4 or blobs[0].shape[2] != blobs[0].shape[3]:
        raise ModelError(f"{name}: expected square filters and a bias, got {[b.shape for b in blobs]}")
    weight, bias = blobs
    if bias.shape != (weight.shape[1 - inputs],):
        raise ModelError(f"{name}: expected {weight.shape[1 - inputs]} biases, got {bias.shape}")
    return weight, bias


def _blobs(path: Path) -> dict[str, list[Array]]:
    """Return the weights of every layer that has some, by its name."""
    data, reader = read_file(path), Reader()
    found: dict[str, list[Array]] = {}
    try:
        for layer in reader.messages(reader.message(memoryview(data)), _LAYER):
            name, blobs = printable(text(layer, _NAME)), reader.messages(layer, _BLOBS)
            if blobs and name in found:
                raise ModelError(f"{name}: expected each layer once, got it twice")
            if blobs:
                found[name] = [_array(name, reader, blob) for blob in blobs]
    except DamagedError as error:
        raise ModelError(f"is not a .caffemodel, or a damaged one ({error})") from error
    if not found:
        raise ModelError("expected layers with weights, got a file without any")
    return found


def _array(name: str, reader: Reader, blob: Message) -> Array:
    values = fixed(blob, _DATA, "<f4")
    shape = tuple(side for message in reader.messages(blob, _SHAPE) for side in integers(message, _DIM))
    if len(shape) > 4 or min(shape, default=1) < 1 or prod(shape) != values.size:
        raise ModelError(f"{name}: expected numbers of shape {brief(shape)}, got {values.size}")
    return values.reshape(shape).astype(np.float32)  # aligned, and without the rest of the file
