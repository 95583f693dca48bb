"""Reads the ``.caffemodel`` files that the authors of IDN published, one per scale, without Caffe.

Such a file is a protobuf message, of which a few fields are enough: layers with a name and blobs, blobs with
a shape and numbers. Layers are ``conv1``, ``conv2``; of block b = 1, 2.. ``conv<b + 2>_1`` to ``_6`` and
``down<b>``; ``upsample``. Blobs are (out, in, height, width). The authors' program crops what the head gives;
here that is its alignment.
"""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fsrcnn_rt.convert.network import ForeignHead, ForeignNetwork, idn_nodes
from fsrcnn_rt.errors import ModelError
from fsrcnn_rt.model import Array, idn

MAX_BYTES = 1 << 28


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
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]

    net = _message()()
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ModelError(f"is larger than {MAX_BYTES >> 20} MB, which no IDN is")
    try:
        net.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(f"is not a .caffemodel, or a damaged one ({error})") from error
    found: dict[str, list[Array]] = {}
    for layer in net.layer:
        if layer.blobs:
            if layer.name in found:
                raise ModelError(f"{layer.name}: expected each layer once, got it twice")
            found[layer.name] = [_array(layer.name, blob) for blob in layer.blobs]
    if not found:
        raise ModelError("expected layers with weights, got a file without any")
    return found


def _array(name: str, blob: Any) -> Array:
    values, shape = np.array(blob.data, np.float32), tuple(blob.shape.dim)
    sides = [side for side in shape if 0 < side <= values.size]
    if len(sides) != len(shape) or len(shape) > 4 or np.prod(sides, dtype=np.int64) != values.size:
        raise ModelError(f"{name}: expected numbers of shape {shape}, got {values.size}")
    return values.reshape(shape)


@lru_cache(maxsize=1)
def _message() -> type[Any]:
    """Make the class of the message, with the fields of Caffe's that are read here."""
    from google.protobuf import (  # type: ignore[import-untyped, unused-ignore]
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    file = descriptor_pb2.FileDescriptorProto(name="caffemodel", package="caffemodel", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto

    def add(message: str, **fields: tuple[int, int, str]) -> None:
        entry = file.message_type.add(name=message)
        for name, (number, label, kind) in fields.items():
            scalars = {"string": kinds.TYPE_STRING, "float": kinds.TYPE_FLOAT, "int64": kinds.TYPE_INT64}
            field = entry.field.add(name=name, number=number, label=label)
            field.type = scalars.get(kind, kinds.TYPE_MESSAGE)
            if kind not in scalars:
                field.type_name = f".caffemodel.{kind}"

    optional, repeated = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    add("Shape", dim=(1, repeated, "int64"))
    add("Blob", data=(5, repeated, "float"), shape=(7, optional, "Shape"))
    add("Layer", name=(1, optional, "string"), blobs=(7, repeated, "Blob"))
    add("Net", layer=(100, repeated, "Layer"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    net_class: type[Any] = message_factory.GetMessageClass(pool.FindMessageTypeByName("caffemodel.Net"))
    return net_class
