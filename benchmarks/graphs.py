"""Networks as other runtimes are given them: steps that every runtime has, in forms an expert would write.

All forms of a network compute the same; which is the fastest depends on the runtime. Each says in its name
how it differs from the network as its authors published it:

- "sub-pixel": the transposed convolution is a convolution to scale**2 channels and a pixel shuffle.
- "split": a convolution of which only parts are read, or to which parts are added, is one convolution a part,
  so that no activation is ever sliced.
- "strided": the last convolution, to one channel, makes blocks of 4x4 pixels as 16 channels, by a stride of 4
  and a kernel larger by 3, and a pixel shuffle follows. Runtimes that compute 16 channels at a time save most
  of what one channel wastes. Sides of the enlarged picture must be multiples of 4.

Groups written as ordinary convolutions with zeros were nowhere faster, so there is no such form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from fsrcnn_rt import Model
from fsrcnn_rt.convert.network import sub_pixel_convolution
from fsrcnn_rt.model import Channels

F32: TypeAlias = npt.NDArray[np.float32]
Form = Literal["plain", "strided", "deconvolution", "sub-pixel", "sub-pixel, split"]
FORMS: tuple[Form, ...] = get_args(Form)
_BLOCK = 4  # pixels on each side that a strided last convolution makes at once


class Convolve(NamedTuple):
    """A convolution that pads with zeros, and a PReLU; slopes of 1 are no activation."""

    source: int
    weight: F32  # (oc, ic // groups, k, k)
    bias: F32
    slope: F32  # (oc,)
    groups: int
    pad: int
    stride: int = 1

    @property
    def constant_slope(self) -> float | None:
        """Slope of all channels where it is one: 0 is ReLU, 1 no activation, others LeakyReLU."""
        return float(self.slope[0]) if (self.slope == self.slope[0]).all() else None


class Slice(NamedTuple):
    """Channels ``first`` to ``end - 1``."""

    source: int
    first: int
    end: int


class Concat(NamedTuple):
    """Channels of all sources, one after the other."""

    sources: tuple[int, ...]


class Add(NamedTuple):
    """The sum of two results."""

    sources: tuple[int, int]


class Deconvolve(NamedTuple):
    """A transposed convolution; a negative ``output_padding`` cuts off rows and columns at the end."""

    source: int
    weight: F32  # (ic, 1, k, k)
    bias: F32
    stride: int
    pad: int
    output_padding: int


class Shuffle(NamedTuple):
    """A pixel shuffle: ``scale**2`` channels become one, ``scale`` times as wide and high."""

    source: int
    scale: int


Step: TypeAlias = Convolve | Slice | Concat | Add | Deconvolve | Shuffle


@dataclass(frozen=True)
class Graph:
    """Results are numbered: 0 is the input (1, H, W), ``i + 1`` what step ``i`` makes.

    The last one is the output, ``scale`` times as wide and high as the input.
    """

    name: str
    form: Form
    scale: int
    steps: tuple[Step, ...]


def sources(step: Step) -> tuple[int, ...]:
    """List the results that a step reads."""
    return step.sources if isinstance(step, Concat | Add) else (step.source,)


def forms(model: Model) -> tuple[Form, ...]:
    """List the forms in which ``model`` differs."""
    if model.enlarged:
        return "plain", "strided"
    branches = any(node.adds for node in model.nodes)
    return ("deconvolution", "sub-pixel", *(("sub-pixel, split",) if branches else ()))


def graph(model: Model, scale: int, form: Form) -> Graph:
    """Rewrite ``model`` for one scale.

    It must read and make luma and pad with zeros, which every runtime can do inside its convolutions. The
    bicubic filter stays outside: the graph of an enlarged model reads the enlarged picture.

    Raises ``ValueError`` for another model.
    """
    if model.padding != "zeros":
        raise ValueError(f"padding={model.padding!r} is not 'zeros'")
    if model.planes != 1 or model.plus_bicubic:
        raise ValueError(f"model {model.name!r} does more than a network from luma to luma")
    if form not in forms(model):
        raise ValueError(f"form={form!r} is none of {', '.join(forms(model))}")
    lowering = _Lowering(model, split="split" in form)
    features = lowering.read(Channels(len(model.nodes), 0, model.nodes[-1].out_channels))
    head = model.heads[scale]
    if form == "deconvolution":
        lowering.add(Deconvolve(features, head.weight, head.bias, scale, head.pad, head.output_padding))
    elif model.enlarged:
        none = np.ones(1, np.float32)
        last = Convolve(features, head.weight, head.bias, none, 1, head.kernel // 2)
        if form == "strided":
            last = _strided(last)
        lowering.add(last)
        if form == "strided":
            lowering.add(Shuffle(lowering.newest, _BLOCK))
    else:
        phases = sub_pixel_convolution(head, scale)
        lowering.add(Convolve(features, phases.weight, phases.bias, phases.slope, 1, phases.kernel // 2))
        lowering.add(Shuffle(lowering.newest, scale))
    return Graph(model.name, form, 1 if model.enlarged else scale, tuple(lowering.steps))


class _Lowering:
    """Steps of a model's nodes. A result may lie in several parts, each with its range of channels."""

    def __init__(self, model: Model, *, split: bool) -> None:
        self.steps: list[Step] = []
        self._parts: list[list[tuple[int, int, int]]] = [[(0, 1, 0)]]  # (first, end, number) by result
        for i, node in enumerate(model.nodes):
            source = self.read(node.source)
            cuts = _cuts(model, i) if split and node.groups == 1 else [0, node.out_channels]
            parts = []
            for first, end in pairwise(cuts):
                part = slice(first, end)
                weight, bias, slope = node.weight[part], node.bias[part], node.slope[part]
                self.add(Convolve(source, weight, bias, slope, node.groups, node.kernel // 2))
                if node.adds:
                    self.add(Add((self.newest, self._join(_within(node.adds, first, end)))))
                parts.append((first, end, self.newest))
            self._parts.append(parts)

    @property
    def newest(self) -> int:
        """Number of the last result."""
        return len(self.steps)

    def add(self, step: Step) -> int:
        """Append a step; returns the number of its result."""
        self.steps.append(step)
        return self.newest

    def read(self, channels: Channels) -> int:
        """Number of a result that is this range, which is sliced or concatenated if it must be."""
        return self._join([channels])

    def _join(self, ranges: Sequence[Channels]) -> int:
        pieces = []
        for of, start, count in ranges:
            for first, end, number in self._parts[of]:
                a, b = max(first, start), min(end, start + count)
                if (a, b) == (first, end):
                    pieces.append(number)
                elif a < b:
                    pieces.append(self.add(Slice(number, a - first, b - first)))
        return pieces[0] if len(pieces) == 1 else self.add(Concat(tuple(pieces)))


def _cuts(model: Model, i: int) -> list[int]:
    """Channels at which the result of node ``i`` is cut, so that no one reads a part of a part."""
    node = model.nodes[i]
    cuts = {0, node.out_channels}
    for reader in model.nodes:
        for of, first, count in (reader.source, *reader.adds):
            if of == i + 1:
                cuts |= {first, first + count}
    first = 0
    for add in node.adds:
        first += add.count
        cuts.add(first)
    return sorted(cuts)


def _within(adds: Sequence[Channels], first: int, end: int) -> list[Channels]:
    """Ranges of ``adds``, which lie side by side, that are added to channels ``first`` to ``end - 1``."""
    ranges, position = [], 0
    for of, start, count in adds:
        a, b = max(position, first), min(position + count, end)
        if a < b:
            ranges.append(Channels(of, start + a - position, b - a))
        position += count
    return ranges


def _strided(last: Convolve) -> Convolve:
    """A convolution to one channel as one that makes every pixel of a block as a channel of its own."""
    _, ic, kernel, _ = last.weight.shape
    side = kernel + _BLOCK - 1
    weight = np.zeros((_BLOCK, _BLOCK, ic, side, side), np.float32)
    for y, x in np.ndindex(_BLOCK, _BLOCK):
        weight[y, x, :, y : y + kernel, x : x + kernel] = last.weight[0]
    count = _BLOCK * _BLOCK
    return last._replace(
        weight=weight.reshape(count, ic, side, side),
        bias=np.repeat(last.bias, count),
        slope=np.ones(count, np.float32),
        stride=_BLOCK,
    )
