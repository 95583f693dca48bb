"""PNG of large pictures, filtered and deflated in stripes by several threads.

Pillow's encoder has one thread and one setting for all pictures. Here each stripe is deflated by itself up to
a whole byte, so that the stripes behind each other are one stream, and each is deflated as suits it:
photographs have next to nothing for zlib's search of repetitions, drawings have a lot.
"""

import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.engine.arrays import AnyArray
from fsrcnn_rt.engine.streams import Pool

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

    from fsrcnn_rt.pictures.animation import Step

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_ADLER_BASE = 65521

# Bytes of a stripe. Each begins without a memory of the one before.
_STRIPE = 1 << 20

# Bytes that are filtered at once: with the 16-bit copies of them they stay in the cache.
_BLOCK = 1 << 15

# Parts of a stripe that are deflated in several ways to see which suits it: so many, of these rows and bytes.
_SAMPLES, _SAMPLE_ROWS, _SAMPLE_BYTES = 3, 16, 512

# The search has to save this part of the bytes to be worth its time.
_WORTH = 0.05


class _Setting(NamedTuple):
    """A filter of PNG, and level and strategy of zlib."""

    filter: int
    level: int
    strategy: int


_NONE, _PAETH = 0, 4

# Of enlarged photographs, level 6 takes eight times as long as run lengths alone and saves 1 %. Of drawings
# level 4 saves 30 %, and another 4 % without a filter. Paeth's is as good as the best filter for each row.
_RUN_LENGTHS = _Setting(_PAETH, 1, zlib.Z_RLE)
_SEARCHES = (
    _Setting(_PAETH, 4, zlib.Z_DEFAULT_STRATEGY),
    _Setting(_NONE, 4, zlib.Z_DEFAULT_STRATEGY),
)


class _Stripe(NamedTuple):
    """A part of the deflated stream, and checksum and length of what it holds."""

    data: bytes
    adler: int
    length: int


def write(
    file: BinaryIO,
    image: "AnyArray | PilImage",
    chunks: bytes = b"",
    *,
    effort: int | None = None,
    threads: int = 1,
    progress: Callable[[float], object] | None = None,
) -> None:
    """Write a picture as PNG.

    ``image``: uint8 or uint16 samples (H, W) or (H, W, C) of 1 to 4 channels, or a Pillow image of mode L,
    LA, RGB, RGBA or I;16.

    ``chunks``: metadata, whole chunks that go before the pixels. ``effort``: 0, the fastest, to 10, the
    smallest; by default what suits each part of the picture. ``progress``: told the part that is done. The
    bytes do not depend on ``threads``.
    """
    rows = _Rows(image)
    _begin(file, rows, chunks)
    for part, data in _deflated_parts(rows, effort, threads):
        _add(file, b"IDAT", data)
        if progress:
            progress(part)
    _add(file, b"IEND", b"")


def write_animation(
    file: BinaryIO,
    steps: "Iterator[Step]",
    chunks: bytes = b"",
    *,
    plays: int,
    still: "PilImage | None" = None,
    effort: int | None = None,
    threads: int = 1,
) -> None:
    """Write an animated PNG, frame by frame; a single step is written as a picture.

    ``steps``: frames of one size and mode, of those that :func:`write` takes. ``plays``: how often it is
    shown, 0 for ever. ``still``: what viewers show that show no animation, where it is no part of it. The
    other arguments are those of :func:`write`. ``ValueError`` for a duration beyond what the format holds.
    """
    first, second = next(steps), next(steps, None)
    if second is None and still is None:
        write(file, first.image, chunks, effort=effort, threads=threads)
        return
    _begin(file, _Rows(first.image), chunks)
    counts = file.tell()
    _add(file, b"acTL", bytes(8))
    numbers = iter(range(1 << 31))  # frames and their parts are numbered alike
    if still is not None:
        for _, data in _deflated_parts(_Rows(still), effort, threads):
            _add(file, b"IDAT", data)
    frames = 0
    for step in chain((first,), () if second is None else (second,), steps):
        left, upper, right, lower = step.box
        place = (next(numbers), right - left, lower - upper, left, upper)
        _add(file, b"fcTL", struct.pack(">IIIIIHHBB", *place, *_delay(step.duration), 0, 0))
        for _, data in _deflated_parts(_Rows(step.cut()), effort, threads):
            if frames == 0 and still is None:
                _add(file, b"IDAT", data)
            else:
                _add(file, b"fdAT", struct.pack(">I", next(numbers)) + data)
        frames += 1
    _add(file, b"IEND", b"")
    file.seek(counts)
    _add(file, b"acTL", struct.pack(">II", frames, plays))
    file.seek(0, os.SEEK_END)


def repeats(image: "AnyArray | PilImage") -> bool:
    """Whether a picture is one that repeats itself, as drawings do and photographs do not.

    It is measured: a search for repetitions makes some parts of it smaller, or it does not.
    """
    rows = _Rows(image)
    return _best(rows.read(0, rows.height), rows.pixel) is not _RUN_LENGTHS


def _begin(file: BinaryIO, rows: "_Rows", chunks: bytes) -> None:
    file.write(_SIGNATURE)
    kind = (rows.depth, _COLOUR_TYPES[rows.channels], 0, 0, 0)
    _add(file, b"IHDR", struct.pack(">IIBBBBB", rows.width, rows.height, *kind))
    file.write(chunks)


def _delay(duration: float) -> tuple[int, int]:
    """Return ms as a fraction of seconds."""
    delay = Fraction(duration / 1000).limit_denominator(65535)
    if delay.numerator > 65535:
        raise ValueError(f"PNG holds no frame that is shown for {duration:g} ms")
    return delay.numerator, delay.denominator


def _deflated_parts(rows: "_Rows", effort: int | None, threads: int) -> Iterator[tuple[float, bytes]]:
    """Deflate all rows in parts, each with how much is done."""
    adler = 1
    data = b"\x78\x01"  # deflate, window of 32 KB
    for end, stripe in _stripes(rows, effort, threads):
        data += stripe.data
        adler = _combined(adler, stripe.adler, stripe.length)
        if end == rows.height:
            data += struct.pack(">I", adler)
        yield end / rows.height, data
        data = b""


class _Rows:
    """Rows of a picture as the bytes of a PNG; of a Pillow image, only those asked for are copied."""

    def __init__(self, image: "AnyArray | PilImage") -> None:
        self._image = image
        first = self._array(0, 1)
        self.depth = 8 * first.itemsize
        self.channels = first.shape[2] if first.ndim == 3 else 1
        self.pixel = first[0, 0].nbytes
        self.height, self.width = (
            image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
        )

    def read(self, first: int, end: int) -> npt.NDArray[np.uint8]:
        """Return the rows ``first`` to ``end`` - 1 as (n, bytes of a row); 16 bits are big-endian."""
        rows = self._array(first, end)
        rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder(">"))
        return rows.view(np.uint8).reshape(len(rows), -1)

    def _array(self, first: int, end: int) -> AnyArray:
        if isinstance(self._image, np.ndarray):
            return self._image[first:end]
        return np.asarray(self._image.crop((0, first, self._image.width, end)))


def _stripes(rows: _Rows, effort: int | None, threads: int) -> Iterator[tuple[int, _Stripe]]:
    """Deflate the stripes in order, each with the row that it ends before; a few ahead of the caller."""
    count = max(1, _STRIPE // (rows.width * rows.pixel))
    bounds = [(first, min(rows.height, first + count)) for first in range(0, rows.height, count)]
    if threads == 1 or len(bounds) == 1:
        yield from ((end, _deflated(rows, first, end, effort)) for first, end in bounds)
        return
    waiting: deque[tuple[int, Future[_Stripe]]] = deque()
    with Pool(min(threads, len(bounds)), "fsrcnn-rt-png") as pool:
        try:
            for first, end in bounds:
                waiting.append((end, pool.submit(_deflated, rows, first, end, effort)))
                if len(waiting) > 2 * threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            for done, future in waiting:
                yield done, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _deflated(rows: _Rows, first: int, end: int, effort: int | None) -> _Stripe:
    """Filter and deflate the rows from ``first`` to before ``end``."""
    above = max(0, first - 1)
    data = rows.read(above, end)
    setting = _best(data, rows.pixel) if effort is None else _of_effort(effort)
    filtered = _filtered(data, first - above, rows.pixel, setting.filter)
    deflater = _deflater(setting)
    last = end == rows.height
    deflated = deflater.compress(filtered) + deflater.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
    return _Stripe(deflated, zlib.adler32(filtered), len(filtered))


def _of_effort(effort: int) -> _Setting:
    return _Setting(_PAETH, min(effort, 9), zlib.Z_DEFAULT_STRATEGY) if effort else _RUN_LENGTHS


def _best(data: npt.NDArray[np.uint8], pixel: int) -> _Setting:
    """Find by a few parts of these rows which setting suits them."""
    height, width = data.shape
    tall, wide = min(_SAMPLE_ROWS, height), min(_SAMPLE_BYTES // pixel * pixel, width)
    parts = []
    for number in range(_SAMPLES):
        top = (height - tall) * number // (_SAMPLES - 1)
        left = (width - wide) // pixel * (number + 1) // (_SAMPLES + 1) * pixel
        parts.append(data[top : top + tall, left : left + wide])

    def length(setting: _Setting) -> int:
        deflater = _deflater(setting)
        deflated = [deflater.compress(_filtered(part, 0, pixel, setting.filter)) for part in parts]
        return sum(map(len, deflated)) + len(deflater.flush())

    shortest, search = min((length(setting), setting) for setting in _SEARCHES)
    return search if shortest < (1 - _WORTH) * length(_RUN_LENGTHS) else _RUN_LENGTHS


def _deflater(setting: _Setting) -> "zlib._Compress":
    return zlib.compressobj(setting.level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, setting.strategy)


def _filtered(data: npt.NDArray[np.uint8], first: int, pixel: int, kind: int) -> memoryview:
    """Bytes of the rows from ``first`` on, each behind the number of its filter, less what that predicts."""
    height, width = data.shape
    result = np.empty((height - first, 1 + width), np.uint8)
    result[:, 0] = kind
    if kind == _NONE:
        result[:, 1:] = data[first:]
        return result.reshape(-1).data
    step = max(1, _BLOCK // width)
    # The rows with the one above, a pixel of zeros to the left; wide enough for the sums.
    padded = np.zeros((min(step, height - first) + 1, pixel + width), np.int16)
    for start in range(first, height, step):
        stop = min(height, start + step)
        rows = padded[: stop - start + 1]
        if start:
            rows[0, pixel:] = data[start - 1]
        rows[1:, pixel:] = data[start:stop]
        _paeth(rows, pixel, result[start - first : stop - first, 1:])
    return result.reshape(-1).data


def _paeth(rows: npt.NDArray[np.int16], pixel: int, result: npt.NDArray[np.uint8]) -> None:
    """Subtract from each byte the one of left, above and above left that is closest to left + above - corner.

    The three are compared without their distances: 3 * corner - left - above lies beyond the larger or the
    smaller of left and above exactly where the other of them is the closest.
    """
    left, above, corner = rows[1:, :-pixel], rows[:-1, pixel:], rows[:-1, :-pixel]
    small, large = np.minimum(left, above), np.maximum(left, above)
    turn = 3 * corner
    turn -= left
    turn -= above
    nearest = np.where(large <= turn, small, corner)
    nearest = np.where(turn <= small, large, nearest)
    np.subtract(rows[1:, pixel:], nearest, out=nearest)
    result[...] = nearest  # modulo 256, as a conversion to uint8 is


def _combined(adler: int, other: int, length: int) -> int:
    """Adler-32 of what has one checksum followed by ``length`` bytes that have another."""
    low, high = adler & 0xFFFF, adler >> 16
    other_low, other_high = other & 0xFFFF, other >> 16
    high = (high + other_high + length * (low - 1)) % _ADLER_BASE
    return high << 16 | (low + other_low - 1) % _ADLER_BASE


def _add(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))
