"""The one thing about a JPEG XL that its plugin does not tell: bits per channel, of which it gives 8."""

from collections.abc import Iterator

_CODESTREAM = b"\xff\x0a"
_BOX_HEADER, _PART_NUMBER = 8, 4

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

    def size(self, eighths: _Choices | None, sides: _Choices) -> None:
        """Pass over a height, and a width where it is no ratio of it; in eighths where a bit says so."""
        in_eighths = self.take()
        for side in range(2):
            if side and self.take(3):
                return
            if in_eighths:
                self.take(5) if eighths is None else self.choose(eighths)
            else:
                self.choose(sides)


def bits(head: bytes) -> int:
    """Bits per channel, by the first bytes of a file (ISO/IEC 18181-1, annex D); 8 where they do not say."""
    start = next((part for part in _codestreams(head) if part.startswith(_CODESTREAM)), None)
    if start is None:
        return 8
    header = _Bits(start[len(_CODESTREAM) :][:64])
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


def _codestreams(head: bytes) -> Iterator[bytes]:
    """Yield what may be the beginning of the codestream: of the file, or of boxes of a container."""
    yield head
    at = 0
    while at + _BOX_HEADER <= len(head):
        size, name = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        content = at + _BOX_HEADER + (8 if size == 1 else 0)
        if size == 1:
            size = int.from_bytes(head[at + 8 : at + 16], "big")
        if name in (b"jxlc", b"jxlp"):
            yield head[content + (_PART_NUMBER if name == b"jxlp" else 0) :]
        if size < _BOX_HEADER:  # up to the end of the file
            return
        at += size
