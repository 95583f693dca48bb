"""What a JPEG XL says of itself that its plugin does not tell: bits per channel, and its size in time."""

import io
from typing import BinaryIO

from fsrcnn_rt.engine.sizes import Size

#: Bytes in which a file shows that it is one.
HEAD = 12

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_BOX_HEADER, _PART_NUMBER = 8, 4

# Bytes that the size takes at most.
_LEAST = 10

# Bytes that what is read here lies in; boxes before them are passed over, up to so many.
_HEADER, _MOST_BOXES = 64, 1000

# Width over height, by its number.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))

# A number of one of four kinds, which two bits choose: (offset, bits).
_Choices = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
_SIDE: _Choices = ((1, 9), (1, 13), (1, 18), (1, 30))
_PREVIEW_EIGHTHS: _Choices = ((16, 0), (32, 0), (1, 5), (33, 9))
_PREVIEW_SIDE: _Choices = ((1, 6), (65, 8), (321, 10), (1345, 12))
_TICKS: _Choices = ((100, 0), (1000, 0), (1, 10), (1, 30))
_TICKS_DIVISOR: _Choices = ((1, 0), (1001, 0), (1, 8), (1, 10))
_LOOPS: _Choices = ((0, 0), (0, 3), (0, 16), (0, 32))
_INTEGER_BITS: _Choices = ((8, 0), (10, 0), (12, 0), (1, 6))
_FLOAT_BITS: _Choices = ((32, 0), (16, 0), (24, 0), (1, 6))


class _Bits:
    """Bits of a header, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")

    def take(self, count: int = 1) -> int:
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return value

    def choose(self, choices: _Choices) -> int:
        offset, count = choices[self.take(2)]
        return offset + self.take(count)

    def size(self, eighths: _Choices | None, sides: _Choices) -> Size:
        """Take a height, and a width where it is no ratio of it; in eighths where a bit says so."""
        in_eighths = self.take()

        def side() -> int:
            if not in_eighths:
                return self.choose(sides)
            return 8 * (1 + self.take(5) if eighths is None else self.choose(eighths))

        height = side()
        if ratio := self.take(3):
            over, under = _RATIOS[ratio - 1]
            return height * over // under, height
        return side(), height


def is_begin(head: bytes) -> bool:
    """Whether a file that begins so is a JPEG XL."""
    return head.startswith((_CODESTREAM, _CONTAINER))


def size(file: BinaryIO) -> Size:
    """(width, height) by the header of a file; ``ValueError`` where it does not say."""
    header = _codestream(file)
    if len(header) < _LEAST:
        raise ValueError("the header of a JPEG XL is missing")
    return _Bits(header).size(None, _SIDE)


def bits(head: bytes) -> int:
    """Bits per channel, by the first bytes of a file (ISO/IEC 18181-1, annex D); 8 where they do not say."""
    with io.BytesIO(head) as file:
        start = _codestream(file)
    if not start:
        return 8
    header = _Bits(start)
    header.size(None, _SIDE)
    if header.take():  # all as by default
        return 8
    if header.take():
        header.take(3)  # orientation
        if header.take():
            header.size(None, _SIDE)
        if header.take():
            header.size(_PREVIEW_EIGHTHS, _PREVIEW_SIDE)
        if header.take():  # animation
            for choices in (_TICKS, _TICKS_DIVISOR, _LOOPS):
                header.choose(choices)
            header.take()
    return header.choose(_FLOAT_BITS if header.take() else _INTEGER_BITS)


def _codestream(file: BinaryIO) -> bytes:
    """Read the header of the codestream, of the file or of boxes of a container; empty if there is none."""
    file.seek(0)
    start = file.read(len(_CODESTREAM) + _HEADER)
    at = 0
    if not start.startswith(_CODESTREAM):
        start = b""
        for _ in range(_MOST_BOXES):
            file.seek(at)
            head = file.read(_BOX_HEADER + 8)
            if len(head) < _BOX_HEADER or len(start) >= len(_CODESTREAM) + _HEADER:
                break
            size, name = int.from_bytes(head[:4], "big"), head[4:8]
            content = at + _BOX_HEADER + (8 if size == 1 else 0)
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            end = at + size if size >= _BOX_HEADER else 1 << 62
            if name in (b"jxlc", b"jxlp"):
                content += _PART_NUMBER if name == b"jxlp" else 0
                file.seek(content)
                start += file.read(max(0, min(end - content, _HEADER)))
            at = end
            if at >= 1 << 62:
                break
    return start.removeprefix(_CODESTREAM)[:_HEADER] if start.startswith(_CODESTREAM) else b""
