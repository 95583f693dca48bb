"""What a frame has in common with the one before it is copied from the result of that, and not computed.

A sample of the result depends on the samples around its place, as far as the network reaches. Where all of
these are those of the frame before, to the bit, so is the result. Codecs skip blocks that do not change, and
after decoding these are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from fsrcnn_rt.engine.planes import Plane
from fsrcnn_rt.engine.sizes import Size

#: (left, top, right, bottom) in pixels.
Part: TypeAlias = tuple[int, int, int, int]


class Before(NamedTuple):
    """The frame before, of the same kind: its planes, and a function that waits for what becomes of them."""

    planes: Sequence[Plane]
    result: Callable[[], Sequence[Plane]]


def enlarged(parts: Sequence[Part], source: Size, target: Size) -> list[Part]:
    """Give the parts of a result of size ``target`` that parts of a ``source`` become."""
    (width, height), (large_width, large_height) = source, target
    return [
        (
            left * large_width // width,
            top * large_height // height,
            -(-right * large_width // width),
            -(-bottom * large_height // height),
        )
        for left, top, right, bottom in parts
    ]
