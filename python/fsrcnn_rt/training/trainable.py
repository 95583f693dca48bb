"""What trains: the weights of a network, or the linear maps whose products they are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fsrcnn_rt.model import Architecture, NodeShape, idn, srcnn
from fsrcnn_rt.training.config import Shape, lay_out
from fsrcnn_rt.training.network import Weights

__all__ = ["HEAD_DEVIATION", "Trainable"]

HEAD_DEVIATION = 0.001  # of the initial weights
IDN_HEAD_DEVIATION = 0.0001  # so that it begins with the bicubic picture
PRELU_SLOPE = 0.25


class Trainable(nn.Module):
    """The parameters being trained; :meth:`weights` is the network they stand for.

    With ``expansion`` = 0 they are the weights themselves. Otherwise every weight is a product of two linear
    maps with ``expansion`` channels between (Bhardwaj et al., "Collapsible Linear Blocks for Super-Efficient
    Super Resolution", 2022), in some layers plus a fixed identity. That is the same set of functions, but one
    in which descent is faster and ends lower. What is evaluated and exported is the collapsed network.

    Initial values: He et al. 2015 for the convolutions, a Gaussian of standard deviation 0.001 for the heads
    of FSRCNN and SRCNN, as in their papers. FSRCNN's products start smaller, which makes the mapping layers
    start close to the identity: after a thousand steps that is worth 2 dB. SRCNN starts as the identity of
    the bicubic picture, and in IDN what a block distils starts small beside what it is added to.

    Slopes of PReLUs train; those of SRCNN and IDN, 0 and 0.05, stay.
    """

    def __init__(self, shape: Shape, scales: Iterable[int], expansion: int, seed: int) -> None:
        super().__init__()
        self._random = torch.Generator().manual_seed(seed)
        self._expansion = expansion
        self._factored: dict[str, Tensor | None] = {}  # and what is added to the product
        self._fixed: Weights = {}
        self.values = nn.ParameterDict()
        network = lay_out(shape, scales)
        for i, node in enumerate(network.nodes):
            slope = _fixed_slope(shape)
            start = _node_start(shape, network, i, expansion)
            self._add_weight(f"node.{i}.weight", node.weight, start)
            self._set(f"node.{i}.bias", torch.zeros(node.out))
            if slope is None:
                self._set(f"node.{i}.slope", torch.full((node.out,), PRELU_SLOPE))
            else:
                self._fixed[f"node.{i}.slope"] = torch.full((node.out,), slope)
        for scale in network.heads:
            weight, bias = f"head.x{scale}.weight", f"head.x{scale}.bias"
            self._add_weight(weight, network.tensors[weight], _head_start(shape, network.tensors[weight]))
            self._set(bias, torch.zeros(network.planes))

    def weights(self) -> Weights:
        """Collapse to plain weights, differentiable with respect to the parameters."""
        result = {name.replace("/", "."): value for name, value in self.values.items()}
        for name, identity in self._factored.items():
            outer, inner = result.pop(f"{name}.outer"), result.pop(f"{name}.inner")
            weight = (outer @ inner.flatten(1)).view(-1, *inner.shape[1:])
            result[name] = weight if identity is None else weight + identity
        return result | self._fixed

    def _set(self, name: str, value: Tensor) -> None:
        self.values[name.replace(".", "/")] = nn.Parameter(value)  # a ParameterDict admits no dots

    def _add_weight(self, name: str, shape: tuple[int, ...], start: _Start) -> None:
        rows, *rest = shape
        if not self._expansion:
            value = torch.randn(rows, *rest, generator=self._random) * start.deviation
            value[: start.exact] = 0
            self._set(name, value if start.identity is None else value + start.identity)
            return
        self._factored[name] = start.identity
        outer = torch.randn(rows, self._expansion, generator=self._random)
        outer[: start.exact] = 0
        self._set(f"{name}.outer", outer * start.gain / math.sqrt(self._expansion))
        self._set(
            f"{name}.inner", torch.randn(self._expansion, *rest, generator=self._random) * start.deviation
        )


class _Start(NamedTuple):
    """How a weight is initialised."""

    deviation: float
    """Of a plain weight, and of the inner map of a product."""
    gain: float = 1.0
    """How much larger or smaller a product begins."""
    identity: Tensor | None = None
    """What is added: to a plain weight once, to a product for good."""
    exact: int = 0
    """How many output channels begin as the identity and nothing else."""


def _fixed_slope(shape: Shape) -> float | None:
    """Return the slope of activations that do not train."""
    return {srcnn.Shape: 0.0, idn.Shape: idn.SLOPE}.get(type(shape))


def _node_start(shape: Shape, network: Architecture, index: int, expansion: int) -> _Start:
    node = network.nodes[index]
    slope = _fixed_slope(shape)
    deviation = _he(node, PRELU_SLOPE if slope is None else slope)
    if isinstance(shape, idn.Shape):
        # What a block adds begins small, and its compression begins as the identity of its input.
        if node.adds:
            return _Start(0.3 * deviation)
        if node.kernel == 1:
            return _Start(0.1 * deviation, identity=_identity(node.weight, node.out))
        return _Start(deviation)
    if isinstance(shape, srcnn.Shape):
        return _Start(deviation, 0.5, _identity(node.weight, network.planes), network.planes)
    if node.kernel == 3:
        return _Start(deviation, 0.1, _identity(node.weight, node.out) if expansion else None)
    return _Start(deviation, 0.5)


def _head_start(shape: Shape, weight: tuple[int, ...]) -> _Start:
    if isinstance(shape, idn.Shape):
        return _Start(IDN_HEAD_DEVIATION)
    return _Start(
        HEAD_DEVIATION, identity=_identity(weight, weight[0]) if isinstance(shape, srcnn.Shape) else None
    )


def _he(node: NodeShape, slope: float) -> float:
    _, inputs, *kernel = node.weight
    return math.sqrt(2.0 / (inputs * math.prod(kernel) * (1 + slope**2)))


def _identity(weight: tuple[int, ...], channels: int) -> Tensor:
    """Make the weight (oc, ic, k, k) that copies its first channels and adds nothing to the others."""
    result = torch.zeros(weight)
    middle = weight[-1] // 2
    result[range(channels), range(channels), middle, middle] = 1
    return result
