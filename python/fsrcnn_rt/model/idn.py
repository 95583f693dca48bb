"""IDN, the information distillation network.

Z. Hui, X. Wang and X. Gao, "Fast and Accurate Single Image Super-Resolution via Information Distillation
Network", 2018. Two convolutions extract features; blocks of six and a 1x1 compression distil them; a 17x17
transposed convolution makes what is added to the bicubic picture. In a block, three convolutions make
features, of which the first few channels are set aside with the block's input, to be added to what three more
make of the rest. LeakyReLUs of slope 0.05 follow all convolutions, zeros surround the picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fsrcnn_rt.model.network import SCALES, Architecture, Channels, HeadShape, NodeShape, Padding

FAMILY = "IDN"
HEAD_KERNEL = 17
SLOPE = 0.05

_OF_A_BLOCK = 7  # convolutions
_PAPER = (48, 32, 64, 64, 48, 80)


class Shape(NamedTuple):
    """The numbers of an IDN.

    ``features``: channels between the blocks. ``widths``: of the six convolutions of a block; the last makes
    as many channels as ``features`` and what is set aside. ``groups`` are those of the second and the fifth.
    """

    features: int = 64
    blocks: int = 4
    widths: tuple[int, int, int, int, int, int] = _PAPER
    groups: int = 4

    @property
    def kept(self) -> int:
        """Channels that a block sets aside."""
        return self.widths[5] - self.features

    @property
    def nodes(self) -> tuple[NodeShape, ...]:
        """Feature extraction and the blocks."""
        nodes: list[NodeShape] = []

        def add(out: int, source: Channels, groups: int = 1, kernel: int = 3, *adds: Channels) -> Channels:
            nodes.append(NodeShape(out, kernel, groups, source, adds))
            return Channels(len(nodes), 0, out)

        w1, w2, w3, w4, w5, w6 = self.widths
        x = add(self.features, add(self.features, Channels(0, 0, 1)))
        for _ in range(self.blocks):
            upper = add(w3, add(w2, add(w1, x), self.groups))
            aside, rest = Channels(upper.of, 0, self.kept), Channels(upper.of, self.kept, w3 - self.kept)
            distilled = add(w6, add(w5, add(w4, rest), self.groups), 1, 3, x, aside)
            x = add(self.features, distilled, kernel=1)
        return tuple(nodes)


def architecture(
    shape: Shape | None = None, scales: Iterable[int] = SCALES, padding: Padding = "zeros"
) -> Architecture:
    """Lay out an IDN, by default the paper's; raises :class:`~fsrcnn_rt.ModelError` where it cannot be."""
    heads = {scale: head(scale) for scale in scales}
    return Architecture((shape or Shape()).nodes, heads, padding, plus_bicubic=True)


def head(scale: int) -> HeadShape:
    """Place the head as the authors' is after they have cropped its output."""
    return HeadShape(HEAD_KERNEL, 9 - scale, 1 - scale)


def shape_of(network: Architecture) -> Shape | None:
    """Return the shape of a network; None where it is of another family."""
    nodes = network.nodes
    blocks, rest = divmod(len(nodes) - 2, _OF_A_BLOCK)
    last = {head.kernel for head in network.heads.values()}
    if not network.plus_bicubic or blocks < 1 or rest or last != {HEAD_KERNEL}:
        return None
    w1, w2, w3, w4, w5, w6 = (node.out for node in nodes[2:8])
    shape = Shape(nodes[0].out, blocks, (w1, w2, w3, w4, w5, w6), nodes[3].groups)
    return shape if shape.nodes == nodes else None


def name_of(network: Architecture) -> str | None:
    """Name a network, such as "IDN(64, 4 blocks)"; None where it is of another family."""
    shape = shape_of(network)
    if shape is None:
        return None
    blocks = f"{shape.blocks} block{'s' * (shape.blocks > 1)}"
    if shape.widths == _PAPER and shape.groups == Shape().groups:
        return f"IDN({shape.features}, {blocks})"
    return f"IDN({shape.features}, {blocks} of {'-'.join(map(str, shape.widths))})"
