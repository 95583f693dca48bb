"""EXIF blocks as bytes: what describes a picture is kept, what tells how a file stored it is dropped.

A block is a small TIFF: directories of entries, each with its value or the offset of that from the block's
start. It is edited in place. A library that reads and rewrites it would move the maker notes, which hold
offsets of their own, and forget the types that it does not know.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from fsrcnn_rt.engine.sizes import Size

_PREFIX = b"Exif\0\0"
_HEADER_BYTES = 8

EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY = 34665, 34853, 40965
DESCRIPTION = 270

#: Tags of the first directory that describe a picture: texts (Windows' own, too), ratings, the directories.
DESCRIPTIVE = frozenset(
    {
        *(269, DESCRIPTION, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432),
        *(*range(40091, 40096), EXIF_DIRECTORY, GPS_DIRECTORY),
    }
)

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_INCH, _CM = 2, 3

# In the EXIF directory: the size in pixels, pixels per unit of the sensor, and where the subject is.
_SIDES = (0xA002, 0xA003)
_SENSOR = (0xA20E, 0xA20F)
_PLACES = (0x9214, 0xA214)

_SHORT, _LONG, _RATIONAL = 3, 4, 5

# Bytes of one value of each type.
_BYTES = {1: 1, 2: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}

# Bytes of the numbers in such a value, of those that have more than one.
_NUMBERS = {_SHORT: 2, _LONG: 4, _RATIONAL: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}


class _Entry(NamedTuple):
    """An entry of a directory: ``value`` is the value itself if that fits into 4 bytes, else its offset."""

    tag: int
    kind: int
    length: int
    value: bytes

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return _BYTES.get(self.kind, 0) * self.length


class _Block:
    """A block whose bytes can be edited; ``struct.error`` or ``ValueError`` where they make no sense."""

    def __init__(self, exif: bytes) -> None:
        self.data = bytearray(re.sub(rb"^(Exif\0\0)+", b"", exif))
        if bytes(self.data[:2]) not in (b"II", b"MM"):
            raise ValueError("EXIF starts with no byte order")
        self.order = "<" if self.data[:2] == b"II" else ">"
        self.first = self.unpack("I", 4)[0]

    def unpack(self, form: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + form, self.data, offset)

    def pack(self, form: str, *values: int) -> bytes:
        return struct.pack(self.order + form, *values)

    def number(self, entry: _Entry) -> int:
        """Value of a whole number, or the offset of what does not fit."""
        form = "H2x" if (entry.kind, entry.length) == (_SHORT, 1) else "I"
        return int(struct.unpack(self.order + form, entry.value)[0])

    def little_endian(self, entry: _Entry) -> bytes:
        """Bytes of a value, as a little-endian file has them."""
        start = self.number(entry)
        value = bytes(self.data[start : start + entry.size]) if entry.size > 4 else entry.value[: entry.size]
        unit = _NUMBERS.get(entry.kind, 1)
        if self.order == "<" or unit == 1:
            return value
        return b"".join(value[i : i + unit][::-1] for i in range(0, len(value), unit))

    def end(self, entry: _Entry) -> int:
        """Where a value ends that lies outside of its entry; 0 for one inside."""
        return self.number(entry) + entry.size if entry.size > 4 else 0

    def entries(self, offset: int) -> list[_Entry]:
        """Entries of a directory, but for those of unknown types and those that point beyond the block."""
        (count,) = self.unpack("H", offset)
        every = [
            _Entry(*struct.unpack_from(f"{self.order}HHI4s", self.data, offset + 2 + 12 * i))
            for i in range(count)
        ]
        return [entry for entry in every if entry.size and self.end(entry) <= len(self.data)]

    def directory(self, entries: Iterable[_Entry]) -> bytes:
        """Bytes of a directory that no other follows."""
        packed = [self.pack("HHI", *entry[:3]) + entry.value for entry in sorted(entries)]
        return self.pack("H", len(packed)) + b"".join(packed) + self.pack("I", 0)

    def overwrite(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data

    def below(self, entries: Iterable[_Entry], tag: int) -> tuple[int, list[_Entry]]:
        """Offset and entries of the directory that these entries name by ``tag``; none for 0."""
        offset = next((self.number(entry) for entry in entries if entry.tag == tag), 0)
        if 0 < offset < _HEADER_BYTES:
            raise ValueError("a directory of EXIF lies in the header")
        return offset, self.entries(offset) if offset else []

    def with_first(self, entries: Iterable[_Entry]) -> bytes:
        """Return the block with these entries as its first and only directory, put behind it."""
        self.data += bytes(len(self.data) % 2)
        self.overwrite(4, self.pack("I", len(self.data)))
        return bytes(_PREFIX + self.data + self.directory(entries))


def describing(exif: bytes) -> bytes | None:
    """Keep the entries that describe a picture; None where there are none, or the block makes no sense.

    The thumbnail goes, and what tells of orientation, of resolution, and of places in the picture as it was.
    """
    try:
        block = _Block(exif)
        kept = [entry for entry in block.entries(block.first) if entry.tag in DESCRIPTIVE]
        offset, inner = block.below(kept, EXIF_DIRECTORY)
        if offset:
            inner = [entry for entry in inner if entry.tag not in _PLACES]
            block.overwrite(offset, block.directory(inner))
        others = [block.below(kept, GPS_DIRECTORY), block.below(inner, INTEROPERABILITY)]
    except (struct.error, ValueError):
        return None
    if not kept:
        return None
    ends = [_HEADER_BYTES, *map(block.end, kept)]
    for place, entries in ((offset, inner), *others):
        ends += [place + len(block.directory(entries)), *map(block.end, entries)]
    del block.data[max(ends) :]  # where the thumbnail lies, as a rule
    result = block.with_first(kept)
    return result if _is_sound(result) else None


def _is_sound(exif: bytes) -> bool:
    """Whether all directories can be read: where they overlap, what is written to one spoils another."""
    try:
        block = _Block(exif)
        first = block.entries(block.first)
        block.below(first, GPS_DIRECTORY)
        _, inner = block.below(first, EXIF_DIRECTORY)
        block.below(inner, INTEROPERABILITY)
    except (struct.error, ValueError):
        return False
    return True


def resized(exif: bytes, before: Size, after: Size) -> bytes:
    """Adapt what :func:`describing` has left, of a picture of the size ``before``, to the size ``after``.

    It stays as it is where its parts overlap, so that adapting one would spoil another.
    """
    block = _Block(exif)
    offset, entries = block.below(block.entries(block.first), EXIF_DIRECTORY)
    for i, entry in enumerate(entries):
        if entry.tag in _SIDES:
            side = after[_SIDES.index(entry.tag)]
            entries[i] = _Entry(entry.tag, _LONG, 1, block.pack("I", side))
        elif entry.tag in _SENSOR and (entry.kind, entry.length) == (_RATIONAL, 1):
            axis = _SENSOR.index(entry.tag)
            over, under = block.unpack("II", block.number(entry))
            density = Fraction(over * after[axis], max(1, under) * before[axis]).limit_denominator(1 << 10)
            if density < 1 << 22:
                block.overwrite(block.number(entry), block.pack("II", *density.as_integer_ratio()))
    if offset:
        block.overwrite(offset, block.directory(entries))
    result = bytes(_PREFIX + block.data)
    return result if _is_sound(result) else exif


def with_resolution(exif: bytes | None, dpi: tuple[float, float]) -> bytes:
    """Add a resolution, in dots per inch, to what :func:`describing` has left, or to nothing."""
    block = _Block(exif or b"II*\0" + struct.pack("<IHI", _HEADER_BYTES, 0, 0))
    entries = block.entries(block.first)
    for tag, density in zip((_X_RESOLUTION, _Y_RESOLUTION), dpi, strict=True):
        entries.append(_Entry(tag, _RATIONAL, 1, block.pack("I", len(block.data))))
        block.data += block.pack("II", round(density * 1000), 1000)
    entries.append(_Entry(_RESOLUTION_UNIT, _SHORT, 1, block.pack("HH", _INCH, 0)))
    return block.with_first(entries)


def resolution(exif: bytes) -> tuple[float, float] | None:
    """Dots per inch by the first directory of a block; None where it does not say."""
    try:
        block = _Block(exif)
        entries = {entry.tag: entry for entry in block.entries(block.first)}
        unit = {_INCH: 1.0, _CM: 2.54}[block.number(entries[_RESOLUTION_UNIT])]
        across, down = (
            block.unpack("II", block.number(entries[tag])) for tag in (_X_RESOLUTION, _Y_RESOLUTION)
        )
        return unit * across[0] / across[1], unit * down[0] / down[1]
    except (struct.error, ValueError, KeyError, ZeroDivisionError):
        return None


def placed(exif: bytes, tag: int, place: int, *, big: bool) -> bytes:
    """Return the directory ``tag`` of an EXIF block as it is to lie at ``place`` of another file.

    ``exif``: what :func:`describing` has left. The other file is a little-endian TIFF, with ``big`` a
    BigTIFF. The result is empty where there is no such directory.
    """
    block = _Block(exif)
    _, entries = block.below(block.entries(block.first), tag)
    return _placed(block, entries, place, big) if entries else b""


def _placed(block: _Block, entries: Sequence[_Entry], place: int, big: bool) -> bytes:
    count, offset = ("<Q", "<Q") if big else ("<H", "<I")
    room = struct.calcsize(offset)
    directory, values = struct.pack(count, len(entries)), b""
    behind = place + len(directory) + len(entries) * (4 + 2 * room) + room
    for entry in sorted(entries):
        if entry.tag == INTEROPERABILITY:
            value = struct.pack("<I", behind + len(values))
            values += _placed(block, block.below([entry], entry.tag)[1], behind + len(values), big)
        else:
            value = block.little_endian(entry)
            if len(value) > room:
                values += value + bytes(len(value) % 2)
                value = struct.pack(offset, behind + len(values) - len(value) - len(value) % 2)
        directory += struct.pack("<HH", entry.tag, entry.kind) + struct.pack(offset, entry.length)
        directory += value.ljust(room, b"\0")
    return directory + struct.pack(offset, 0) + values
