"""The wire format of protobuf: messages as fields with a number, without a schema.

See "Encoding" in protobuf's documentation. Whoever reads a message knows what its fields mean. The fields of
a file are counted: an empty one takes two bytes there, and far more here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.errors import ModelError

MAX_FIELDS = 1 << 18
_MAX_PACKED = 1 << 20  # bytes of integers in one field

Message = dict[int, list["int | memoryview"]]


class DamagedError(ModelError):
    """Data that is no message; what is wrong with it."""


class Reader:
    """Takes messages of one file apart."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def message(self, data: object) -> Message:
        """Return the fields of a message by their number: varints as integers, all others as their bytes.

        Raises :class:`DamagedError` for data that is no message.
        """
        if not isinstance(data, memoryview):
            raise DamagedError("it has a number where a message is expected")
        fields: Message = {}
        at, end = 0, len(data)
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise DamagedError(f"it has more than {MAX_FIELDS} fields")
            key, at = _varint(data, at)
            kind = key & 7
            if kind == 0:
                value, at = _varint(data, at)
                fields.setdefault(key >> 3, []).append(value)
                continue
            if kind == 2:
                size, at = _varint(data, at)
            elif kind in _FIXED:
                size = _FIXED[kind]
            else:
                raise DamagedError(f"it has a field of the unknown kind {kind}")
            if size > end - at:
                raise DamagedError("it ends within a field")
            fields.setdefault(key >> 3, []).append(data[at : at + size])
            at += size
        return fields

    def messages(self, message: Message, number: int) -> list[Message]:
        """Take a repeated field of messages apart."""
        return [self.message(value) for value in message.get(number, [])]


_FIXED = {1: 8, 5: 4}


def text(message: Message, number: int) -> str:
    """Return a field of text, empty where there is none."""
    (*_, value) = message.get(number) or [memoryview(b"")]
    if not isinstance(value, memoryview):
        raise DamagedError("it has a number where a text is expected")
    return str(value, "utf-8", "replace")


def integers(message: Message, number: int) -> list[int]:
    """Return a repeated field of signed integers, which may be packed."""
    values: list[int] = []
    for value in message.get(number, []):
        values += [value] if isinstance(value, int) else _packed(value)
    return [value - (1 << 64) if value >> 63 else value for value in values]


def integer(message: Message, number: int) -> int:
    """Return a field of one integer, 0 where there is none."""
    return (integers(message, number) or [0])[-1]


def fixed(message: Message, number: int, dtype: str) -> npt.NDArray[Any]:
    """Return a repeated field of numbers of a fixed size, which may be packed."""
    pieces = message.get(number, [])
    if not all(isinstance(piece, memoryview) for piece in pieces):
        raise DamagedError("it has integers where floats are expected")
    (data,) = (
        pieces if len(pieces) == 1 else [b"".join(piece for piece in pieces if not isinstance(piece, int))]
    )
    if len(data) % np.dtype(dtype).itemsize:  # type: ignore[arg-type]
        raise DamagedError("it ends within a number")
    return np.frombuffer(data, dtype)  # type: ignore[arg-type]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read an integer of seven bits a byte; return it, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise DamagedError("it ends within a number, or has one that is too long")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
        shift += 7


def _packed(data: memoryview) -> list[int]:
    """Read integers that follow each other."""
    if len(data) > _MAX_PACKED:
        raise DamagedError(f"it has more than {_MAX_PACKED >> 20} MB of integers in one field")
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
