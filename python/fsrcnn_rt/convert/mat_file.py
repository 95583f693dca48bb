"""Reads MATLAB's files of version 5 to 7: arrays of numbers and cells of them, as far as networks take them.

Version 7.3 is HDF5, and version 4 knows no arrays of three dimensions; both are refused by name. Structures,
strings and sparse matrices are passed over. See "MAT-File Format", MathWorks.
"""

from __future__ import annotations

import zlib
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.convert.bounded import MAX_BYTES, read_file
from fsrcnn_rt.errors import ModelError

Numbers = npt.NDArray[Any]

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
# Types of numbers, by the number that a file has for each.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CELL, _DOUBLE, _LAST_NUMERIC = 1, 6, 15  # classes of arrays; from double to uint64 they hold numbers
_COMPLEX = 0x800
_MAX_RANK = 8
_MAX_COUNT = 1024  # of variables, and of entries of a cell array


class Other(NamedTuple):
    """A variable of no use here."""

    class_: int


def read_mat(path: Path) -> dict[str, Numbers | list[Numbers | Other] | Other]:
    """Read all variables: numbers, entries of a cell array in the order of MATLAB, or something else.

    Numbers have the type that they are stored in, and MATLAB's order of axes. Raises ``OSError`` for a file
    that cannot be read, :class:`ModelError` for one of another format and a damaged one.
    """
    data = read_file(path)
    if data[:8] == b"\x89HDF\r\n\x1a\n" or data[:10] == b"MATLAB 7.3":
        raise ModelError("is of MATLAB's version 7.3: save('x.mat', '-v7', ...) writes one that can be read")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or data[124:126][:: 1 if order == "<" else -1] != b"\0\1":
        raise ModelError("is not a MATLAB file of version 5 to 7, or a damaged one")
    variables: dict[str, Numbers | list[Numbers | Other] | Other] = {}
    left = MAX_BYTES
    reader = _Elements(memoryview(data)[_HEADER:], order)
    for _ in range(_MAX_COUNT):
        if not reader.left:
            return variables
        kind, content = reader.next()
        if kind == _COMPRESSED:
            inflated = _inflate(content, left)
            left -= len(inflated)
            kind, content = _Elements(memoryview(inflated), order).next()
        if kind == _MATRIX:
            name, value = _matrix(_Elements(content, order), order)
            variables[name] = value
    raise ModelError(f"holds more than {_MAX_COUNT} variables")


def _inflate(data: memoryview, limit: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise _damaged() from error
    if len(inflated) > limit:
        raise ModelError(f"holds more than {MAX_BYTES >> 20} MB, and no network that can be expressed does")
    return inflated


class _Elements:
    """Elements of a file, one after another: each has a type, a length and its content."""

    def __init__(self, data: memoryview, order: str) -> None:
        self._data, self._order, self._at = data, order, 0

    @property
    def left(self) -> bool:
        """Whether there is another."""
        return self._at < len(self._data)

    def next(self) -> tuple[int, memoryview]:
        """Return type and content of the next element."""
        start = self._at + 8
        if start > len(self._data):
            raise _damaged()
        kind, size = np.frombuffer(self._data[self._at : start], f"{self._order}u4").tolist()
        if kind >> 16:  # up to four bytes stand in place of the length, which is here
            kind, size, start = kind & 0xFFFF, kind >> 16, start - 4
            end = start + 4
            if size > 4:
                raise _damaged()
        else:
            end = start + size
            if end > len(self._data):
                raise _damaged()
            if kind != _COMPRESSED:
                end = start + -(-size // 8) * 8
        self._at = end
        return kind, self._data[start : start + size]

    def numbers(self) -> Numbers:
        """Return the next element, which holds numbers."""
        kind, content = self.next()
        if kind not in _TYPES or len(content) % int(_TYPES[kind][1]):
            raise _damaged()
        return np.frombuffer(content, f"{self._order}{_TYPES[kind]}")


def _matrix(parts: _Elements, order: str) -> tuple[str, Numbers | list[Numbers | Other] | Other]:
    """Read the name and the value of an array."""
    class_, name, shape, is_complex = _head(parts)
    if class_ != _CELL:
        return name, _value(parts, class_, shape, is_complex)
    entries: list[Numbers | Other] = []
    for _ in range(_count(shape, _MAX_COUNT)):
        kind, content = parts.next()
        if kind != _MATRIX:
            raise _damaged()
        if not content:  # [] without its head
            entries.append(np.zeros((0, 0)))
            continue
        inner = _Elements(content, order)
        head = _head(inner)
        entries.append(_value(inner, head[0], *head[2:]))
    return name, entries


def _head(parts: _Elements) -> tuple[int, str, tuple[int, ...], bool]:
    """Read class, name and shape of an array, and whether it is complex."""
    flags, shape = parts.numbers(), parts.numbers()
    if len(flags) != 2 or not 2 <= len(shape) <= _MAX_RANK or shape.dtype.kind not in "iu":
        raise _damaged()
    name = parts.numbers().tobytes().decode("latin-1")
    if len(name) > 63:  # MATLAB's own limit
        raise _damaged()
    flag = int(flags[0])
    return flag & 0xFF, name, tuple(shape.tolist()), bool(flag & _COMPLEX)


def _value(parts: _Elements, class_: int, shape: tuple[int, ...], is_complex: bool) -> Numbers | Other:
    """Read an array of numbers."""
    if not _DOUBLE <= class_ <= _LAST_NUMERIC or is_complex:
        return Other(class_)
    values = parts.numbers()
    if _count(shape, MAX_BYTES) != len(values):
        raise _damaged()
    return values.reshape(shape, order="F")


def _count(shape: tuple[int, ...], limit: int) -> int:
    if min(shape) < 0 or prod(shape) > limit:
        raise ModelError(f"holds an array of shape {shape}, which is too large")
    return prod(shape)


def _damaged() -> ModelError:
    return ModelError("is not a MATLAB file of version 5 to 7, or a damaged one")
