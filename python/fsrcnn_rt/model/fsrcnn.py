"""FSRCNN, and the two transition states between it and SRCNN.

C. Dong, C. C. Loy and X. Tang, "Accelerating the Super-Resolution Convolutional Neural Network", 2016. An
FSRCNN(d, s, m) is ``5x5 1->d, 1x1 d->s, m times 3x3 s->s, 1x1 s->d`` and a 9x9 transposed convolution for
each scale, PReLUs between. Its Table 1 comes there from SRCNN in steps: transition state 1 is SRCNN with a
transposed convolution in place of the enlarged input, state 2 an FSRCNN(64, 12, 4) whose first filters are
9x9.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fsrcnn_rt.model.network import SCALES, Architecture, HeadShape, NodeShape, Padding, chain

FAMILY = "FSRCNN"
FIRST_KERNEL = 5
HEAD_KERNEL = 9
PADS = {2: 4, 3: 3, 4: 4}  # of the authors' heads, by scale


class Shape(NamedTuple):
    """The numbers of an FSRCNN.

    ``d`` features, ``s`` after shrinking, ``m`` mapping layers; sides of the first and the last filters.
    """

    d: int
    s: int
    m: int
    first: int = FIRST_KERNEL
    last: int = HEAD_KERNEL

    @property
    def nodes(self) -> tuple[NodeShape, ...]:
        """Feature extraction, shrinking, mapping, expanding."""
        return chain([(self.d, self.first), (self.s, 1), *self.m * [(self.s, 3)], (self.d, 1)])


class State1(NamedTuple):
    """The numbers of a transition state 1: features of its convolutions, and sides of all filters."""

    n1: int = 64
    n2: int = 32
    kernels: tuple[int, int, int] = (9, 5, 9)

    @property
    def nodes(self) -> tuple[NodeShape, ...]:
        """Feature extraction and mapping, as in SRCNN."""
        return chain([(self.n1, self.kernels[0]), (self.n2, self.kernels[1])])

    @property
    def last(self) -> int:
        """Filters of the head."""
        return self.kernels[2]


STATE1 = State1()
STATE2 = Shape(64, 12, 4, first=9)


def architecture(
    shape: Shape | State1, scales: Iterable[int] = SCALES, padding: Padding = "replicate"
) -> Architecture:
    """Lay out an FSRCNN or a transition state; raises :class:`~fsrcnn_rt.ModelError` where it cannot be."""
    return Architecture(shape.nodes, {scale: head(scale, shape.last) for scale in scales}, padding)


def head(scale: int, kernel: int = HEAD_KERNEL) -> HeadShape:
    """Place a 9x9 head as the authors do, one of another kernel in the middle of the output pixels."""
    pad = PADS[scale] if kernel == HEAD_KERNEL else max(0, (kernel - scale + 1) // 2)
    return HeadShape(kernel, pad, scale - kernel + 2 * pad)


def shape_of(network: Architecture) -> Shape | State1 | None:
    """Return the shape of a network; None where it is of another family."""
    nodes = network.nodes
    last, *others = {head.kernel for head in network.heads.values()}
    if network.enlarged or network.plus_bicubic or others or len(nodes) < 2:
        return None
    first, second = nodes[:2]
    shape: Shape | State1
    if len(nodes) == 2:
        shape = State1(first.out, second.out, (first.kernel, second.kernel, last))
    else:
        shape = Shape(first.out, second.out, len(nodes) - 3, first.kernel, last)
    return shape if shape.nodes == nodes else None


def name_of(network: Architecture) -> str | None:
    """Name a network, such as "FSRCNN(56, 12, 4)"; None where it is of another family."""
    shape = shape_of(network)
    if isinstance(shape, State1):
        kernels = "-".join(map(str, shape.kernels))
        return f"FSRCNN's transition state 1 ({shape.n1}-{shape.n2}, {kernels})"
    if shape is None:
        return None
    name = f"FSRCNN({shape.d}, {shape.s}, {shape.m})"
    others = [f"{shape.first}x{shape.first} first"] if shape.first != FIRST_KERNEL else []
    others += [f"{shape.last}x{shape.last} last"] if shape.last != HEAD_KERNEL else []
    return f"{name} with {' and '.join(others)}" if others else name
