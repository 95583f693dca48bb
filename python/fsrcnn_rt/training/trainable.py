"""What trains: the weights of a network, or the linear maps whose products they are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fsrcnn_rt.errors import ModelError
from fsrcnn_rt.model import Architecture, Model, NodeShape, idn, srcnn
from fsrcnn_rt.training.config import Shape, lay_out
from fsrcnn_rt.training.network import Weights

__all__ = ["HEAD_DEVIATION", "Trainable", "starting_weights"]

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

    ``start``: weights to begin with, named as in the model file; heads that it lacks begin as above. So does
    a product then, and what it lacks of its weight is added to it for good.
    """

    def __init__(
        self, shape: Shape, scales: Iterable[int], expansion: int, seed: int, start: Weights | None = None
    ) -> None:
        super().__init__()
        self._given: Weights = start or {}
        self._random = torch.Generator().manual_seed(seed)
        self._expansion = expansion
        self._factored: dict[str, Tensor | None] = {}  # and what is added to the product
        self._fixed: Weights = {}
        self.values = nn.ParameterDict()
        network = lay_out(shape, scales)
        for i, node in enumerate(network.nodes):
            slope = _fixed_slope(shape)
            self._add_weight(f"node.{i}.weight", node.weight, _node_start(shape, network, i, expansion))
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
            weight = _product(outer, inner)
            result[name] = weight if identity is None else weight + identity
        return result | self._fixed

    def _set(self, name: str, value: Tensor) -> None:
        value = self._given[name].clone() if name in self._given else value
        self.values[name.replace(".", "/")] = nn.Parameter(value)  # a ParameterDict admits no dots

    def _add_weight(self, name: str, shape: tuple[int, ...], start: _Start) -> None:
        rows, *rest = shape
        given = self._given.get(name)
        if not self._expansion:
            value = torch.randn(rows, *rest, generator=self._random) * start.deviation
            value[: start.exact] = 0
            self._set(name, value if start.identity is None else value + start.identity)
            return
        outer = torch.randn(rows, self._expansion, generator=self._random)
        outer[: start.exact] = 0
        outer = outer * start.gain / math.sqrt(self._expansion)
        inner = torch.randn(self._expansion, *rest, generator=self._random) * start.deviation
        self._set(f"{name}.outer", outer)
        self._set(f"{name}.inner", inner)
        self._factored[name] = start.identity if given is None else given - _product(outer, inner)


def _product(outer: Tensor, inner: Tensor) -> Tensor:
    return (outer @ inner.flatten(1)).view(-1, *inner.shape[1:])


def starting_weights(model: Model, shape: Shape) -> Weights:
    """Take the weights of a model for a training of ``shape``; ``ModelError`` where they do not fit.

    The model may have fewer heads than the training.
    """
    network, given = lay_out(shape), model.architecture
    if given.nodes != network.nodes:
        wanted = network.with_random_weights(np.random.default_rng(0)).family
        raise ModelError(f"{model.name} is {model.family}, not {wanted} as the recipe has it")
    for part in ("padding", "colour", "enlarged", "plus_bicubic"):
        if getattr(given, part) != getattr(network, part):
            found, wanted = getattr(given, part), getattr(network, part)
            raise ModelError(f"{model.name} has {part}={found!r}, not {wanted!r} as what is trained here")
    for scale, head in given.heads.items():
        if head != (ours := network.heads[scale]):
            raise ModelError(f"{model.name} has a head for x{scale} of {head}, not {ours} as is trained here")
    slope = _fixed_slope(shape)
    if slope is not None and any(abs(node.slope - slope).max() > 1e-6 for node in model.nodes):
        raise ModelError(f"{model.name} has slopes other than {slope}, which is that of what is trained here")
    return {name: torch.from_numpy(np.array(value)) for name, value in model.tensors.items()}


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
