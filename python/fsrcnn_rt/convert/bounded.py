"""What a foreign file may take: bytes and numbers are counted before anything is stored or computed."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from math import prod
from pathlib import Path

from fsrcnn_rt.errors import ModelError, brief
from fsrcnn_rt.files import open_regular

#: Bytes of all that is read of a file; the largest model of this package takes 2 MB.
MAX_BYTES = 1 << 25
_MAX_NAME = 200


def read_file(path: Path) -> bytes:
    """Read a whole file; ``OSError`` if it cannot be, :class:`ModelError` if it is too large."""
    with open_regular(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ModelError(f"is larger than {MAX_BYTES >> 20} MB, and no network that can be expressed is")
    return data


def digest(path: Path) -> str:
    """SHA-256 of a file of any size, in hexadecimal digits."""
    total = sha256()
    with open_regular(path) as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


class Allowance:
    """So many bytes, of which parts are taken."""

    def __init__(self, left: int = MAX_BYTES) -> None:
        self._left = left

    def take(self, shape: Iterable[int], item: int = 1) -> int:
        """Take what an array of this shape needs and return it; :class:`ModelError` if that is not left."""
        # A zero must not hide what would overflow elsewhere.
        sides = [int(side) for side in shape]
        size = prod(sides) * item
        if min(sides, default=0) < 0 or prod(max(1, side) for side in sides) * item > MAX_BYTES:
            raise ModelError(
                f"expected at most {MAX_BYTES >> 20} MB, got an array of shape {brief(tuple(sides))}"
            )
        if size > self._left:
            raise ModelError(f"expected at most {MAX_BYTES >> 20} MB of numbers, got more")
        self._left -= size
        return size


def printable(name: str) -> str:
    """Return a name out of a file as errors may show it."""
    return name if name.isprintable() and len(name) <= _MAX_NAME else brief(name)
