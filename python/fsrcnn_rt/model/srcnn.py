"""SRCNN: three convolutions on the picture that the bicubic filter has enlarged.

C. Dong, C. C. Loy, K. He and X. Tang, "Image Super-Resolution Using Deep Convolutional Networks", 2015:
``f1 x f1 c->n1, f2 x f2 n1->n2, f3 x f3 n2->c``, ReLUs between; 9-1-5, 9-3-5 and 9-5-5 with 64 and 32
features are the paper's. c is 1 for luma, 3 for Y'CbCr or RGB.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fsrcnn_rt.model.network import SCALES, Architecture, Colour, HeadShape, NodeShape, Padding, chain

FAMILY = "SRCNN"
_COLOURS = {"y": "", "ycbcr": ", Y'CbCr", "rgb": ", RGB"}


class Shape(NamedTuple):
    """The numbers of an SRCNN: sides of its filters (f1, f2, f3), its features, and what it reads."""

    kernels: tuple[int, int, int]
    n1: int = 64
    n2: int = 32
    colour: Colour = "y"

    @property
    def nodes(self) -> tuple[NodeShape, ...]:
        """Patch extraction and mapping; the reconstruction is the head."""
        features = [(self.n1, self.kernels[0]), (self.n2, self.kernels[1])]
        return chain(features, planes=1 if self.colour == "y" else 3)


def architecture(
    shape: Shape, scales: Iterable[int] = SCALES, padding: Padding = "replicate"
) -> Architecture:
    """Lay out an SRCNN; raises :class:`~fsrcnn_rt.ModelError` where it cannot be."""
    heads = {scale: HeadShape(shape.kernels[2], 0, 0) for scale in scales}
    return Architecture(shape.nodes, heads, padding, shape.colour, enlarged=True)


def shape_of(network: Architecture) -> Shape | None:
    """Return the shape of a network; None where it is of another family."""
    last, *others = {head.kernel for head in network.heads.values()}
    if not network.enlarged or others or len(network.nodes) != 2:
        return None
    first, second = network.nodes
    shape = Shape((first.kernel, second.kernel, last), first.out, second.out, network.colour)
    return shape if shape.nodes == network.nodes else None


def name_of(network: Architecture) -> str | None:
    """Name a network, such as "SRCNN 9-5-5 (64-32)"; None where it is of another family."""
    shape = shape_of(network)
    if shape is None:
        return None
    kernels = "-".join(map(str, shape.kernels))
    return f"SRCNN {kernels} ({shape.n1}-{shape.n2}{_COLOURS[shape.colour]})"
