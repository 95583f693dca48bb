"""Reads ``.onnx`` files into plain Python: nodes, their attributes, and constants. It takes no package.

Numbers of fields and types are those of ``onnx.proto``. Subgraphs are not read, so there are no loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from fsrcnn_rt.convert.bounded import Allowance, printable, read_file
from fsrcnn_rt.convert.onnx_signal import MAX_RANK, Constant
from fsrcnn_rt.convert.protobuf import DamagedError, Message, Reader, fixed, integer, integers, text
from fsrcnn_rt.errors import ModelError, brief
from fsrcnn_rt.files import open_regular

MAX_NODES = 4096  # of a graph; of one convolution and its activation exporters make up to a dozen
_MAX_INPUTS = 1024

#: Types of tensors that can be read, by their number.
DTYPES = {
    **{1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4"},
    **{13: "u8"},
}
_BFLOAT16 = 16


class Node(NamedTuple):
    """An operation: ``name`` is that of its first output where it has none; inputs left out are empty."""

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class Graph(NamedTuple):
    """A graph: its inputs with their shapes, in which an axis without a length is an empty string."""

    nodes: list[Node]
    constants: dict[str, Constant]
    inputs: dict[str, list[int | str]]
    outputs: list[str]
    metadata: Mapping[str, str]


def read_onnx(path: Path) -> Graph:
    """Read a file, and the numbers that lie in files beside it.

    Raises ``OSError`` for a file that cannot be read, :class:`ModelError` for one that is damaged or asks
    for more than a network takes.
    """
    data = read_file(path)
    try:
        return _File(path.parent).graph(data)
    except DamagedError as error:
        raise ModelError(f"is not an ONNX file, or a damaged one ({error})") from error


class _File:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader = Reader()
        self._allowance = Allowance()

    def graph(self, data: bytes) -> Graph:
        model = self._reader.message(memoryview(data))
        graphs = self._reader.messages(model, 7)
        if len(graphs) != 1:
            raise DamagedError("it has no graph")
        (graph,) = graphs
        nodes, constants = graph.get(1, []), graph.get(5, [])
        if len(nodes) > MAX_NODES or len(constants) > MAX_NODES:
            raise ModelError(f"has {len(nodes)} nodes and {len(constants)} tensors, more than {MAX_NODES}")
        tensors = self._reader.messages(graph, 5)
        inputs = self._reader.messages(graph, 11)
        outputs = self._reader.messages(graph, 12)
        entries = self._reader.messages(model, 14)
        return Graph(
            [self._node(node) for node in self._reader.messages(graph, 1)],
            {text(tensor, 8): self._tensor(tensor) for tensor in tensors},
            {text(value, 1): self._shape(value) for value in inputs},
            [text(value, 1) for value in outputs],
            {text(entry, 1): text(entry, 2) for entry in entries},
        )

    def _node(self, message: Message) -> Node:
        inputs, outputs = ([_decoded(name) for name in message.get(field, [])] for field in (1, 2))
        if max(len(inputs), len(outputs)) > _MAX_INPUTS:
            raise ModelError(f"has a node of more than {_MAX_INPUTS} inputs or outputs")
        name = text(message, 3) or ", ".join(outputs[:4])
        attributes = [self._attribute(entry) for entry in self._reader.messages(message, 5)]
        return Node(printable(text(message, 4)), printable(name), inputs, outputs, dict(attributes))

    def _attribute(self, message: Message) -> tuple[str, Any]:
        """Read name and value; None for kinds that nothing here takes, such as graphs."""
        name, kind = text(message, 1), integer(message, 20)
        if kind == 0:  # of old files: the one that is there
            kind = next((kind for kind, field in _VALUES.items() if field in message), 0)
        field = _VALUES.get(kind, 0)
        value: Any = None
        if kind in (1, 6):
            value = fixed(message, field, "<f4").tolist()
        elif kind in (2, 7):
            value = integers(message, field)
        elif kind == 3:
            value = [text(message, field).encode()]
        elif kind == 4:
            value = [self._tensor(tensor) for tensor in self._reader.messages(message, field)]
        if value is not None and kind in (1, 2, 3, 4):
            if not value:
                raise DamagedError(f"the attribute {brief(name)} has no value")
            value = value[-1]
        return name, value

    def _shape(self, value: Message) -> list[int | str]:
        types = self._reader.messages(value, 2)
        tensors = [tensor for type_ in types for tensor in self._reader.messages(type_, 1)]
        shapes = [shape for tensor in tensors for shape in self._reader.messages(tensor, 2)]
        return [integer(dim, 1) or "" for shape in shapes for dim in self._reader.messages(shape, 1)]

    def _tensor(self, message: Message) -> Constant:
        shape, kind = integers(message, 1), integer(message, 2)
        name = brief(text(message, 8))
        if kind not in DTYPES and kind != _BFLOAT16:
            raise ModelError(f"tensor {name} is of the type {kind}, which is none of numbers")
        if len(shape) > MAX_RANK:
            raise ModelError(f"tensor {name} has {len(shape)} dimensions, more than {MAX_RANK}")
        dtype = np.dtype(DTYPES.get(kind, "u2")).newbyteorder("<")
        size = self._allowance.take(shape, dtype.itemsize)
        values: Constant
        if integer(message, 14) == 1:
            values = np.frombuffer(self._outside(message, name, size), dtype)
        elif 9 in message:
            values = fixed(message, 9, "u1")
            if len(values) != size:
                raise ModelError(f"tensor {name} has {len(values)} bytes, not {size}")
            values = values.view(dtype)
        elif dtype.kind == "f" and dtype.itemsize > 2:
            values = fixed(message, 4 if dtype.itemsize == 4 else 10, f"<f{dtype.itemsize}")
        else:
            field = {"i8": 7, "u4": 11, "u8": 11}.get(DTYPES.get(kind, ""), 5)
            stored = np.array(integers(message, field), np.int64)
            is_half = dtype.kind == "f" or kind == _BFLOAT16
            values = stored.astype("<u2").view(dtype) if is_half else stored.astype(dtype)
        if len(values) != prod(shape):
            raise ModelError(f"tensor {name} has {len(values)} numbers, not {prod(shape)}")
        if kind == _BFLOAT16:  # the upper half of a float
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.reshape(shape)

    def _outside(self, message: Message, name: str, size: int) -> bytes:
        """Read the numbers of a tensor from a file beside this one."""
        told = {text(entry, 1): text(entry, 2) for entry in self._reader.messages(message, 13)}
        location, offset = PurePath(told.get("location", "")), told.get("offset", "0")
        if location.is_absolute() or ".." in location.parts or not location.name or "\0" in str(location):
            raise ModelError(f"tensor {name} lies in {brief(str(location))}, which is not beside the file")
        if not (offset.isascii() and offset.isdigit() and len(offset) < 16):
            raise ModelError(f"tensor {name} lies at {brief(offset)}, which is no offset")
        path = self._folder / location
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise ModelError(f"tensor {name} lies in {brief(str(location))}, which is not beside the file")
        with open_regular(path) as file:
            file.seek(int(offset))
            data = file.read(size)
        if len(data) != size:
            raise ModelError(f"tensor {name} lies beyond the end of {brief(str(location))}")
        return data


# Fields of an attribute's value, by the number of its type: float, int, string, tensor, and lists of them.
_VALUES = {1: 2, 2: 3, 3: 4, 4: 5, 6: 7, 7: 8}


def _decoded(name: int | memoryview) -> str:
    if isinstance(name, int):
        raise DamagedError("it has a number where a name is expected")
    return str(name, "utf-8", "replace")
