"""Reads pickles without running anything: what they name stays a name.

A pickle is a program for a small machine. This one knows the instructions by which dictionaries, lists,
tuples, numbers and strings are made. Classes and functions are never imported and never called: the caller
makes what stands for them. Every container costs a step, and their number is limited.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from fsrcnn_rt.errors import ModelError

MAX_BYTES = 1 << 23
MAX_STEPS = 1 << 19
_MAX_NAME = 200


class Named(NamedTuple):
    """A class or a function that a pickle names, or what it would have made."""

    name: str


def unpickle(
    file: BinaryIO, make: Callable[[str, Any], object], refer: Callable[[Any], object] | None = None
) -> Any:
    """Read one pickle.

    ``make`` is called with the name of a class or a function and its arguments, ``refer`` with what stands
    for an object outside of the pickle. Raises :class:`ModelError` for an instruction that is not known, and
    for more steps than a state dict takes; whatever an ill-made program makes of Python for others.
    """
    machine = _Machine(file, make, refer)
    for _ in range(MAX_STEPS):
        code = machine.take(1)
        if code == pickle.STOP:
            return machine.pop()
        if code not in _STEPS:
            raise ModelError(f"holds a pickle with the instruction {code!r}, which no state dict takes")
        _STEPS[code](machine)
    raise ModelError(f"holds a pickle of more than {MAX_STEPS} steps, which no state dict takes")


class _Machine:
    def __init__(
        self, file: BinaryIO, make: Callable[[str, Any], object], refer: Callable[[Any], object] | None
    ) -> None:
        self._file, self._left = file, MAX_BYTES
        self._make, self._refer = make, refer
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks of outer marks
        self._memo: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        """Read bytes of the program."""
        if not 0 <= count <= self._left:
            raise ModelError(f"holds a pickle of more than {MAX_BYTES >> 20} MB")
        data = self._file.read(count)
        if len(data) != count:
            raise ModelError("ends within a pickle")
        self._left -= count
        return data

    def number(self, form: str) -> Any:
        """Read a number."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Take the topmost value."""
        return self._stack.pop()

    def mark(self) -> None:
        """Begin a group of values."""
        self._below.append(self._stack)
        self._stack = []

    def group(self) -> list[Any]:
        """Take the values since the last mark."""
        values = self._stack
        self._stack = self._below.pop()
        return values

    def put(self, number: int) -> None:
        """Remember the topmost value."""
        self._memo[number] = self._stack[-1]

    def put_next(self) -> None:
        """Remember it under the next number."""
        self.put(len(self._memo))

    def get(self, number: int) -> None:
        """Put what is remembered on the stack."""
        self.push(self._memo[number])

    def name(self, module: str, name: str) -> None:
        """Put what is named on the stack."""
        if len(module) + len(name) > _MAX_NAME:
            raise ModelError("holds a pickle of names that are too long")
        self.push(Named(f"{module}.{name}"))

    def name_of_lines(self) -> None:
        """Read module and name from two lines."""
        lines = [self._file.readline(_MAX_NAME).decode() for _ in range(2)]
        if not all(line.endswith("\n") for line in lines):
            raise ModelError("holds a pickle of names that are too long")
        self.name(*(line[:-1] for line in lines))

    def name_of_stack(self) -> None:
        """Take module and name from the stack."""
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise ModelError("holds a pickle of names that are no strings")
        self.name(module, name)

    def call(self) -> None:
        """Have the caller make something of a name and arguments."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Named):
            raise ModelError("holds a pickle that calls what is no function")
        self.push(self._make(function.name, arguments))

    def refer(self) -> None:
        """Have the caller find something outside."""
        if self._refer is None:
            raise ModelError("holds a pickle that refers to something else")
        self.push(self._refer(self.pop()))

    def extend(self, values: list[Any]) -> None:
        """Append values to the topmost list."""
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(values)
        elif not isinstance(self._stack[-1], Named):
            raise ModelError("holds a pickle that appends to what is no list")

    def update(self, values: list[Any]) -> None:
        """Set items of the topmost dictionary: its keys and values by turns."""
        target = self._stack[-1]
        keys = values[::2]
        # Keys of any other kind take as long to hash as whoever wrote the file likes.
        if not all(type(key) is str or (type(key) is int and abs(key) >> 60 == 0) for key in keys):
            raise ModelError(
                "holds a pickle of a dictionary whose keys are neither strings nor small integers"
            )
        if isinstance(target, dict):
            target.update(zip(keys, values[1::2], strict=True))
        elif not isinstance(target, Named):
            raise ModelError("holds a pickle that sets items of what is no dictionary")

    def pair(self) -> None:
        """Set one item."""
        value, key = self.pop(), self.pop()
        self.update([key, value])

    def several(self, count: int) -> None:
        """Make a tuple of the topmost values."""
        values = [self.pop() for _ in range(count)][::-1]
        self.push(tuple(values))


def _text(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.take(m.number(form)).decode("utf-8", "surrogatepass"))


def _bytes(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.take(m.number(form)))


def _old_text(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.take(m.number(form)).decode("ascii"))


def _constant(value: object) -> Callable[[_Machine], None]:
    return lambda m: m.push(value)


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    pickle.PROTO: lambda m: m.take(1),
    pickle.FRAME: lambda m: m.take(8),
    pickle.MARK: _Machine.mark,
    pickle.POP: _Machine.pop,
    pickle.POP_MARK: _Machine.group,
    pickle.NONE: _constant(None),
    pickle.NEWTRUE: _constant(True),
    pickle.NEWFALSE: _constant(False),
    pickle.BININT: lambda m: m.push(m.number("<i")),
    pickle.BININT1: lambda m: m.push(m.number("<B")),
    pickle.BININT2: lambda m: m.push(m.number("<H")),
    pickle.LONG1: lambda m: m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True)),
    pickle.BINFLOAT: lambda m: m.push(m.number(">d")),
    pickle.BINUNICODE: _text("<I"),
    pickle.SHORT_BINUNICODE: _text("<B"),
    pickle.BINUNICODE8: _text("<Q"),
    pickle.BINBYTES: _bytes("<I"),
    pickle.SHORT_BINBYTES: _bytes("<B"),
    pickle.BINBYTES8: _bytes("<Q"),
    pickle.BINSTRING: _old_text("<i"),
    pickle.SHORT_BINSTRING: _old_text("<B"),
    pickle.EMPTY_TUPLE: lambda m: m.push(()),
    pickle.TUPLE: lambda m: m.push(tuple(m.group())),
    pickle.TUPLE1: lambda m: m.several(1),
    pickle.TUPLE2: lambda m: m.several(2),
    pickle.TUPLE3: lambda m: m.several(3),
    pickle.EMPTY_LIST: lambda m: m.push([]),
    pickle.APPEND: lambda m: m.extend([m.pop()]),
    pickle.APPENDS: lambda m: m.extend(m.group()),
    pickle.EMPTY_DICT: lambda m: m.push({}),
    pickle.SETITEM: _Machine.pair,
    pickle.SETITEMS: lambda m: m.update(m.group()),
    pickle.BINPUT: lambda m: m.put(m.number("<B")),
    pickle.LONG_BINPUT: lambda m: m.put(m.number("<I")),
    pickle.MEMOIZE: _Machine.put_next,
    pickle.BINGET: lambda m: m.get(m.number("<B")),
    pickle.LONG_BINGET: lambda m: m.get(m.number("<I")),
    pickle.GLOBAL: _Machine.name_of_lines,
    pickle.STACK_GLOBAL: _Machine.name_of_stack,
    pickle.REDUCE: _Machine.call,
    pickle.NEWOBJ: _Machine.call,
    pickle.BUILD: _Machine.pop,  # attributes of an object, which nobody reads
    pickle.BINPERSID: _Machine.refer,
}
