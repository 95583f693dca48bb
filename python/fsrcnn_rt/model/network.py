"""A network as data: convolutions that read ranges of channels, and a head for each scale.

Results are numbered: 0 is the network's input, ``i + 1`` what node ``i`` makes. The last one goes to the
heads. A concatenation is never made. It is only ever added to something, so ranges that lie side by side are
added instead. These few verbs (convolve in groups, read a range, add ranges, enlarge at the ends) make
FSRCNN, SRCNN and IDN; the modules beside this one know which patterns have those names.

An :class:`Architecture` is a network without its weights, a :class:`Model` one with them. Both are checked
when they are built, and cannot be changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import prod
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.errors import ModelError, ScaleError, brief

Array = npt.NDArray[np.float32]
Padding = Literal["zeros", "replicate"]
Colour = Literal["y", "ycbcr", "rgb"]
Border = int | Literal["full"]

SCALES = (2, 3, 4)
BICUBIC_REACH = 2  # input pixels on each side of its own that a pixel of the bicubic picture depends on

# What is more than these is refused before anything is computed or stored.
MAX_NODES = 256
MAX_CHANNELS = 1024
MAX_KERNEL = 9
MAX_HEAD_KERNEL = 17
MAX_WEIGHTS = 1 << 23  # in all; IDN has half a million
MAX_NAME = 256


class Channels(NamedTuple):
    """``count`` channels of the result ``of``, from the channel ``first`` on."""

    of: int
    first: int
    count: int  # type: ignore[assignment]  # of a tuple this is a method, which nobody misses


class NodeShape(NamedTuple):
    """A node without its weights; see :class:`Node`."""

    out: int
    kernel: int
    groups: int
    source: Channels
    adds: tuple[Channels, ...] = ()

    @property
    def weight(self) -> tuple[int, int, int, int]:
        """Shape of the filters."""
        return self.out, self.source.count // self.groups, self.kernel, self.kernel


class HeadShape(NamedTuple):
    """A head without its weights; see :class:`Head`."""

    kernel: int
    pad: int
    output_padding: int
    border: Border = "full"


@dataclass(frozen=True)
class Architecture:
    """A network without its weights; building one raises :class:`ModelError` where anything does not fit.

    ``nodes``: in an order in which all that a node reads is made before it. ``heads``: by scale, ascending.
    The other attributes are those of :class:`Model`.
    """

    nodes: tuple[NodeShape, ...]
    heads: Mapping[int, HeadShape]
    padding: Padding = "replicate"
    colour: Colour = "y"
    enlarged: bool = False
    plus_bicubic: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "heads", MappingProxyType(dict(self.heads)))
        _check_choices(self)
        channels = [self.planes]
        for i, node in enumerate(self.nodes):
            _check_node(f"node.{i}", node, channels)
            channels.append(node.out)
        _check_readers(self)
        _check_scales(self.heads)
        for scale, head in self.heads.items():
            (_check_plain_head if self.enlarged else _check_head)(f"head.x{scale}", head, scale)
        weights = sum(map(prod, self.tensors.values()))
        if weights > MAX_WEIGHTS:
            raise ModelError(f"there are {weights} weights, more than {MAX_WEIGHTS}")
        object.__setattr__(self, "heads", MappingProxyType(dict(sorted(self.heads.items()))))

    @property
    def planes(self) -> int:
        """Channels that go in and come out: 1, or 3 for the colours."""
        return 1 if self.colour == "y" else 3

    @property
    def is_chain(self) -> bool:
        """Whether layers follow each other from luma to heads that enlarge, as in FSRCNN."""
        read = [
            (i, 0, node.out) for i, node in enumerate((NodeShape(1, 1, 1, Channels(0, 0, 1)), *self.nodes))
        ]
        plain = all(node.groups == 1 and not node.adds for node in self.nodes)
        return (
            plain
            and self.planes == 1
            and not self.enlarged
            and [node.source for node in self.nodes] == read[:-1]
        )

    @property
    def features(self) -> int:
        """Channels that the heads read."""
        return self.nodes[-1].out

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all weights, under the names that they have in a model file."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, node in enumerate(self.nodes):
            shapes[f"node.{i}.weight"] = node.weight
            shapes[f"node.{i}.bias"] = shapes[f"node.{i}.slope"] = (node.out,)
        for scale, head in self.heads.items():
            ends = (self.planes, self.features) if self.enlarged else (self.features, 1)
            shapes[f"head.x{scale}.weight"] = (*ends, head.kernel, head.kernel)
            shapes[f"head.x{scale}.bias"] = (self.planes,)
        return shapes

    def reach(self, scale: int) -> int:
        """Input pixels on each side of its own that an output pixel of a scale depends on."""
        head = self.heads[scale]
        radius = {len(self.nodes): head.kernel // 2 if self.enlarged else head_reach(*head[:2], scale)}
        for result, node in zip(range(len(self.nodes), 0, -1), reversed(self.nodes), strict=True):
            for of, around in (node.source.of, node.kernel // 2), *((add.of, 0) for add in node.adds):
                radius[of] = max(radius.get(of, 0), radius[result] + around)
        if self.enlarged:
            # The filter's taps lie around (o + 1/2) / scale - 1/2, where o is the farthest enlarged pixel.
            return (2 * radius[0] - 1 + scale) // (2 * scale) + BICUBIC_REACH
        return max(radius[0], BICUBIC_REACH if self.plus_bicubic else 0)

    def macs(self, scale: int) -> int:
        """Multiply-accumulates for each input pixel at a scale; the bicubic filter is not counted.

        :class:`~fsrcnn_rt.ScaleError` for a scale that there is no head for.
        """
        if scale not in self.heads:
            raise ScaleError(f"scale={scale} is none of {', '.join(map(str, self.heads))}")
        taps = sum(node.out * node.source.count // node.groups * node.kernel**2 for node in self.nodes)
        taps += self.planes * self.features * self.heads[scale].kernel ** 2
        return taps * scale**2 if self.enlarged else taps

    def with_weights(
        self, tensors: Mapping[str, Array], name: str, provenance: Mapping[str, Any] | None = None
    ) -> Model:
        """Make a model of tensors that are named and shaped as :attr:`tensors` tells."""
        return Model(
            nodes=[
                Node(
                    tensors[f"node.{i}.weight"],
                    tensors[f"node.{i}.bias"],
                    tensors[f"node.{i}.slope"],
                    *node[2:],
                )
                for i, node in enumerate(self.nodes)
            ],
            heads={
                scale: Head(tensors[f"head.x{scale}.weight"], tensors[f"head.x{scale}.bias"], *head[1:])
                for scale, head in self.heads.items()
            },
            padding=self.padding,
            name=name,
            provenance={} if provenance is None else provenance,
            colour=self.colour,
            enlarged=self.enlarged,
            plus_bicubic=self.plus_bicubic,
        )

    def with_random_weights(self, rng: np.random.Generator, name: str = "random") -> Model:
        """Make a model of weights by which noise keeps its variance, with slopes of -0.5 to 1.5."""
        tensors = {}
        for key, shape in self.tensors.items():
            part = key.rpartition(".")[2]
            if part == "slope":
                value = rng.uniform(-0.5, 1.5, shape)
            elif part == "bias":
                value = rng.normal(0, 0.1, shape)
            else:
                value = rng.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))
                if key.startswith("head.") and not self.enlarged:
                    # Of a transposed convolution every scale-th tap reaches a pixel, from all channels.
                    value *= int(key[6:].split(".")[0]) / np.sqrt(shape[0])
            tensors[key] = value.astype(np.float32)
        return self.with_weights(tensors, name, {"recipe": "random weights"})


@dataclass(frozen=True, eq=False)
class Node:
    """A convolution of stride 1 that keeps the size of the picture, its activation, and what is added then.

    ``slope`` is that of a PReLU, ``max(x, 0) + slope * min(x, 0)``, any finite number: 0 is ReLU, 1 no
    activation, one number for all channels LeakyReLU. ``source`` is what it reads. ``adds``: ranges that lie
    side by side, together as many channels as the node makes, added after the activation.
    """

    weight: Array  # (oc, ic // groups, k, k), k odd
    bias: Array  # (oc,)
    slope: Array  # (oc,)
    groups: int
    source: Channels
    adds: tuple[Channels, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", Channels(*self.source))
        object.__setattr__(self, "adds", tuple(Channels(*add) for add in self.adds))

    @property
    def in_channels(self) -> int:
        """Channels read."""
        return self.source.count

    @property
    def out_channels(self) -> int:
        """Channels written."""
        return int(self.weight.shape[0])

    @property
    def kernel(self) -> int:
        """Height and width of the filters."""
        return int(self.weight.shape[2])

    @property
    def activation(self) -> Literal["none", "relu", "leaky", "prelu"]:
        """Name of the activation that ``slope`` makes; "leaky" is one slope for all channels."""
        first = self.slope[0]
        if (self.slope != first).any():
            return "prelu"
        return "none" if first == 1 else "relu" if first == 0 else "leaky"


@dataclass(frozen=True, eq=False)
class Head:
    """What makes the picture of one scale from the last result.

    A transposed convolution whose stride is the scale, cropped to scale times the input: its tap t takes
    pixel i to ``scale * i + t - pad``, and ``k - 2 * pad + output_padding`` equals the scale. A negative
    ``output_padding`` cuts rows and columns off at the end. ``border`` is how many pixels its input is
    extended by the model's padding before zeros follow; "full" is as far as the kernel reaches.

    In a model that is ``enlarged`` it is a convolution like any other, without an activation.
    """

    weight: Array  # (ic, 1, k, k); in an enlarged model (planes, ic, k, k)
    bias: Array  # (planes,)
    pad: int = 0
    output_padding: int = 0
    border: Border = "full"

    @property
    def kernel(self) -> int:
        """Height and width of the filters."""
        return int(self.weight.shape[2])


@dataclass(frozen=True, eq=False)
class Model:
    """A checked network: building one raises :class:`ModelError` where anything does not fit.

    ``heads`` is keyed by scale. ``padding`` is what every convolution sees outside the picture, node by node.
    ``provenance`` is a JSON-like record of how the weights were made: data, recipe, seed, figures, terms.

    ``colour``: "y" for luma alone; for three channels "ycbcr", BT.601 of 16..235 and 16..240 over 255, or
    "rgb", which only enlarged networks have. ``enlarged``: the network reads the picture already enlarged by
    the bicubic filter. ``plus_bicubic``: the result is added to the bicubic picture.
    """

    nodes: Sequence[Node]
    heads: Mapping[int, Head]
    padding: Padding
    name: str
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    colour: Colour = "y"
    enlarged: bool = False
    plus_bicubic: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        if (
            not isinstance(self.name, str)
            or not 0 < len(self.name) <= MAX_NAME
            or not self.name.isprintable()
        ):
            raise ModelError(
                f"name={brief(self.name)} is not a string of 1 to {MAX_NAME} printable characters"
            )
        _check_scales(self.heads)
        for name, tensor in self.tensors.items():
            _check_tensor(name, tensor)
        shapes = self.architecture.tensors
        for name, tensor in self.tensors.items():
            if tensor.shape != shapes[name]:
                raise ModelError(f"tensor {name!r} has shape {tensor.shape}, not {shapes[name]}")
        object.__setattr__(self, "heads", MappingProxyType(dict(sorted(self.heads.items()))))

    def __repr__(self) -> str:
        return f"<Model {self.name!r}: {self.family}, scales {self.scales}>"

    def __reduce__(self) -> tuple[Any, ...]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"heads": dict(self.heads), "provenance": dict(self.provenance)}
        return type(self), tuple(values.values())

    @cached_property
    def architecture(self) -> Architecture:
        """The network without its weights."""
        nodes = [
            NodeShape(node.out_channels, node.kernel, node.groups, node.source, node.adds)
            for node in self.nodes
        ]
        heads = {
            scale: HeadShape(head.kernel, head.pad, head.output_padding, head.border)
            for scale, head in self.heads.items()
        }
        return Architecture(tuple(nodes), heads, self.padding, self.colour, self.enlarged, self.plus_bicubic)

    @property
    def tensors(self) -> dict[str, Array]:
        """All weights, under the names that they have in a model file."""
        tensors: dict[str, Array] = {}
        for i, node in enumerate(self.nodes):
            tensors |= {f"node.{i}.weight": node.weight, f"node.{i}.bias": node.bias}
            tensors[f"node.{i}.slope"] = node.slope
        for scale, head in self.heads.items():
            tensors |= {f"head.x{scale}.weight": head.weight, f"head.x{scale}.bias": head.bias}
        return tensors

    @property
    def family(self) -> str:
        """What the network is called, such as "FSRCNN(56, 12, 4)"."""
        from fsrcnn_rt.model.families import described  # which know what is written here

        return described(self.architecture)[1]

    @property
    def planes(self) -> int:
        """Channels that go in and come out: 1, or 3 for the colours."""
        return self.architecture.planes

    @property
    def scales(self) -> tuple[int, ...]:
        """Scales there is a head for, ascending."""
        return tuple(self.heads)

    @property
    def reach(self) -> int:
        """Input pixels on each side of its own that an output pixel of any scale depends on."""
        return max(map(self.architecture.reach, self.scales))

    def macs_per_pixel(self, scale: int) -> int:
        """Multiply-accumulates for each input pixel at a scale; the bicubic filter is not counted."""
        return self.architecture.macs(scale)


def tap_reach(kernel: int, pad: int, stride: int) -> tuple[int, int]:
    """Return how many pixels before and after its own an output of a head can depend on, per axis."""
    return (kernel - 1 - pad) // stride, (stride - 1 + pad) // stride


def head_reach(kernel: int, pad: int, stride: int) -> int:
    """Pixels beyond the edge of its input that a transposed convolution cropped to its stride reads."""
    return max(tap_reach(kernel, pad, stride))


def chain(shapes: Iterable[tuple[int, int]], planes: int = 1) -> tuple[NodeShape, ...]:
    """List nodes of which each reads all that the one before it makes; ``shapes``: (out, kernel) of each."""
    nodes: list[NodeShape] = []
    for result, (out, kernel) in enumerate(shapes):
        nodes.append(NodeShape(out, kernel, 1, Channels(result, 0, nodes[-1].out if nodes else planes)))
    return tuple(nodes)


def _is_natural(value: object, least: int = 1) -> bool:
    return type(value) is int and value >= least


def _check_choices(network: Architecture) -> None:
    for key, choices in ("padding", Padding), ("colour", Colour):
        value = getattr(network, key)
        if value not in get_args(choices):
            raise ModelError(f"{key}={brief(value)} is not supported, only {', '.join(get_args(choices))}")
    for key in "enlarged", "plus_bicubic":
        if type(getattr(network, key)) is not bool:
            raise ModelError(f"{key}={brief(getattr(network, key))} is neither True nor False")
    if network.colour != "y" and not network.enlarged:
        raise ModelError(f"colour={brief(network.colour)} takes a network that reads an enlarged picture")
    if network.plus_bicubic and network.enlarged:
        raise ModelError("plus_bicubic=True is for networks that do not read an enlarged picture")
    if not 1 <= len(network.nodes) <= MAX_NODES:
        raise ModelError(f"there are {len(network.nodes)} nodes, not 1 to {MAX_NODES}")


def _check_scales(heads: Mapping[int, object]) -> None:
    if not heads:
        raise ModelError("there is no head, so there is no scale to offer")
    for scale in heads:
        if type(scale) is not int or scale not in SCALES:
            raise ModelError(f"head scale {brief(scale)} is none of {', '.join(map(str, SCALES))}")


def _check_node(name: str, node: NodeShape, channels: Sequence[int]) -> None:
    """Check a node, where ``channels`` are those of all results before it."""
    if not _is_natural(node.out) or node.out > MAX_CHANNELS:
        raise ModelError(f"{name}: out={brief(node.out)} is not 1 to {MAX_CHANNELS}")
    if not _is_natural(node.kernel) or node.kernel > MAX_KERNEL or node.kernel % 2 == 0:
        raise ModelError(f"{name}: kernel={brief(node.kernel)} is not odd and at most {MAX_KERNEL}")
    for what, part in ("source", node.source), *(("adds", add) for add in node.adds):
        _check_channels(f"{name}: {what}", part, channels)
    count = node.source.count
    if not _is_natural(node.groups) or node.out % node.groups or count % node.groups:
        raise ModelError(
            f"{name}: groups={brief(node.groups)} does not divide {count} channels to {node.out}"
        )
    added, adds = sum(add.count for add in node.adds), brief([list(add) for add in node.adds])
    if node.adds and added != node.out:
        raise ModelError(f"{name}: adds={adds} are {added} channels, and it makes {node.out}")


def _check_channels(what: str, part: Channels, channels: Sequence[int]) -> None:
    if not (_is_natural(part.of, 0) and _is_natural(part.first, 0) and _is_natural(part.count)):
        raise ModelError(f"{what}={brief(list(part))} is not (result, first channel, count of channels)")
    if part.of >= len(channels):
        raise ModelError(f"{what}={brief(list(part))} is of a result that is not made before it")
    if part.first + part.count > channels[part.of]:
        raise ModelError(
            f"{what}={brief(list(part))} is not within the {channels[part.of]} channels of that result"
        )


def _check_readers(network: Architecture) -> None:
    read = {part.of for node in network.nodes for part in (node.source, *node.adds)}
    for i in range(len(network.nodes) - 1):
        if i + 1 not in read:
            raise ModelError(f"node.{i}: nothing reads what it makes")


def _check_head(name: str, head: HeadShape, scale: int) -> None:
    kernel, pad, output_padding, border = head
    if not _is_natural(kernel) or kernel > MAX_HEAD_KERNEL or kernel % 2 == 0:
        raise ModelError(f"{name}: kernel={brief(kernel)} is not odd and at most {MAX_HEAD_KERNEL}")
    if not _is_natural(pad, 0):
        raise ModelError(f"{name}: pad={brief(pad)} is not an integer of at least 0")
    if type(output_padding) is not int:
        raise ModelError(f"{name}: output_padding={brief(output_padding)} is not an integer")
    if abs(output_padding) >= scale or kernel - 2 * pad + output_padding != scale:
        raise ModelError(
            f"{name}: pad={pad} and output_padding={output_padding} do not satisfy "
            f"{kernel} - 2 * pad + output_padding == {scale} with -{scale} < output_padding < {scale}"
        )
    if border != "full" and not _is_natural(border, 0):
        raise ModelError(f"{name}: border={brief(border)} is neither 'full' nor an integer of at least 0")


def _check_plain_head(name: str, head: HeadShape, _scale: int) -> None:
    if not _is_natural(head.kernel) or head.kernel > MAX_KERNEL or head.kernel % 2 == 0:
        raise ModelError(f"{name}: kernel={brief(head.kernel)} is not odd and at most {MAX_KERNEL}")
    plain = type(head.pad) is type(head.output_padding) is int and head == HeadShape(head.kernel, 0, 0)
    if not plain:
        raise ModelError(
            f"{name}: pad={brief(head.pad)}, output_padding={brief(head.output_padding)} and "
            f"border={brief(head.border)} are not 0, 0 and 'full', and nothing is enlarged there"
        )


def _check_tensor(name: str, tensor: object) -> None:
    if not isinstance(tensor, np.ndarray) or tensor.dtype != np.float32:
        dtype = tensor.dtype if isinstance(tensor, np.ndarray) else type(tensor).__name__
        raise ModelError(f"tensor {name!r} is {dtype}, not a float32 array")
    rank = 4 if name.endswith(".weight") else 1
    if tensor.ndim != rank or 0 in tensor.shape or (rank == 4 and tensor.shape[2] != tensor.shape[3]):
        expected = "(out, in, k, k)" if rank == 4 else "(channels,)"
        raise ModelError(f"tensor {name!r} has shape {tensor.shape}, not {expected}")
    finite = np.isfinite(tensor)
    if not finite.all():
        raise ModelError(f"tensor {name!r} has a value that is not finite: {tensor[~finite][0]}")
