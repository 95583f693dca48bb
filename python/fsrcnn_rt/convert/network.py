"""What the reader of a foreign file returns, and how that becomes a model of one scale."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isqrt
from typing import Any, Literal

import numpy as np

from fsrcnn_rt.errors import ModelError
from fsrcnn_rt.model import Array, Channels, Colour, Head, Model, Node, NodeShape, Padding, fsrcnn, idn
from fsrcnn_rt.model.fsrcnn import HEAD_KERNEL
from fsrcnn_rt.model.network import MAX_HEAD_KERNEL, head_reach


@dataclass(frozen=True, eq=False)
class ForeignHead:
    """A transposed convolution ``d->1`` of any kernel; its tap t takes pixel i to stride * i + t - pad.

    ``output_padding`` None is what makes the output exactly stride times the input. ``border``: as in
    :class:`~fsrcnn_rt.model.Head`; it means nothing where the padding is zeros. Of an enlarged network it is
    a convolution, (planes, ic, k, k), and the rest means nothing.
    """

    name: str
    weight: Array  # (ic, 1, k, k)
    bias: Array  # (1,), or one per phase, row by row: (stride * stride,)
    pad: int = 0
    output_padding: int | None = None
    border: int | Literal["full"] = "full"
    shuffled: bool = False  # whether it was a pixel shuffle, whose taps may be zeros around a smaller kernel


@dataclass(frozen=True, eq=False)
class ForeignNetwork:
    """A network under the names of its file, which may not tell the scale or the colour (None)."""

    nodes: Sequence[tuple[str, Node]]
    head: ForeignHead
    padding: Padding
    scale: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    colour: Colour | None = None
    enlarged: bool = False
    plus_bicubic: bool = False


def convolution(weight: Array, bias: Array, slope: Array | float, result: int = 0) -> Node:
    """Make a node of a chain, which reads all of the result of this number."""
    slopes = np.broadcast_to(np.asarray(slope, np.float32), bias.shape).copy()
    return Node(weight, bias, slopes, 1, Channels(result, 0, weight.shape[1]))


def as_chain(layers: Iterable[tuple[str, Node]]) -> list[tuple[str, Node]]:
    """Have each node read all that the one before it makes; :class:`ModelError` where that is not as much."""
    chained: list[tuple[str, Node]] = []
    for result, (name, node) in enumerate(layers):
        if result and node.source.count != chained[-1][1].out_channels:
            count = chained[-1][1].out_channels
            raise ModelError(
                f"{name}: expected weights of {count} channels, got shape {node.weight.shape} "
                "(out, in, height, width)"
            )
        chained.append((name, replace(node, source=node.source._replace(of=result))))
    return chained


def idn_nodes(layers: Sequence[tuple[str, Array, Array]]) -> list[tuple[str, Node]]:
    """Put together all convolutions of an IDN: name, weight and bias of two, and of seven for each block.

    Raises :class:`ModelError` naming the layer that does not fit.
    """
    w1, w2, w3, w4, w5, w6 = (len(weight) for _, weight, _ in layers[2:8])
    name, weight, _ = layers[3]
    if w1 % weight.shape[1]:
        raise ModelError(f"{name}: expected groups of {w1} channels, got weights of shape {weight.shape}")
    features, blocks, groups = len(layers[1][1]), (len(layers) - 2) // 7, w1 // weight.shape[1]
    shape = idn.Shape(features, blocks, (w1, w2, w3, w4, w5, w6), groups)
    nodes = []
    for (name, weight, bias), node in zip(layers, shape.nodes, strict=True):
        if weight.shape != node.weight:
            raise ModelError(
                f"{name}: expected weights of shape {node.weight} there in an IDN, got {weight.shape}"
            )
        slope = np.full(node.out, idn.SLOPE, np.float32)
        nodes.append((name, Node(weight, bias, slope, node.groups, node.source, node.adds)))
    return nodes


def sub_pixel_head(name: str, weight: Array, bias: Array) -> ForeignHead:
    """Write a convolution to ``stride * stride`` channels and its pixel shuffle as a transposed convolution.

    ``weight`` (stride * stride, ic, k, k), k odd, padded by k // 2; ``bias`` (stride * stride,).
    """
    phases, ic, kernel, _ = weight.shape
    stride = isqrt(phases)
    # Output pixel stride * y + a sums tap j of phase a over input y + j - k // 2: seen from the input, the
    # taps come in reverse and the phases lie between them.
    taps = weight.reshape(stride, stride, ic, kernel, kernel)[..., ::-1, ::-1].transpose(2, 3, 0, 4, 1)
    side = stride * kernel
    weights = taps.reshape(ic, 1, side, side)
    return ForeignHead(name, weights, bias, pad=stride * (kernel // 2), shuffled=True)


def sub_pixel_convolution(head: Head, stride: int) -> Node:
    """Write ``head`` as a convolution to ``stride * stride`` channels, which a pixel shuffle follows.

    This undoes :func:`sub_pixel_head`. The kernel is 5x5 at x2, 3x3 at x3 and x4 with the usual pads.
    """
    ic, _, kernel, _ = head.weight.shape
    reach = head_reach(kernel, head.pad, stride)
    side = stride * (2 * reach + 1)
    before = stride * reach - head.pad
    taps = np.pad(head.weight, ((0, 0), (0, 0), *2 * [(before, side - kernel - before)]))
    taps = taps.reshape(ic, 2 * reach + 1, stride, 2 * reach + 1, stride).transpose(2, 4, 0, 1, 3)
    weight = taps[..., ::-1, ::-1].reshape(stride**2, ic, 2 * reach + 1, 2 * reach + 1)
    return convolution(weight, np.repeat(head.bias, stride**2), slope=1)


def to_model(
    network: ForeignNetwork,
    scale: int,
    name: str,
    provenance: Mapping[str, Any],
    *,
    padding: Padding | None,
    pad: int | None,
    output_padding: int | None,
    border: int | Literal["full"] | None,
    colour: Colour | None,
) -> Model:
    """Make the network a checked model; arguments that are not None replace what the file says.

    Raises :class:`ModelError` naming the layer that does not fit, ``ValueError`` where an argument does not
    go with the network.
    """
    nodes, padding = [node for _, node in network.nodes], padding or network.padding
    if network.enlarged:
        _refuse("of a network that enlarges nothing", pad=pad, output_padding=output_padding, border=border)
        head = Head(network.head.weight, network.head.bias)
    else:
        nodes, head = _enlarging(network, nodes, scale, padding, pad, output_padding, border)
    planes = nodes[0].source.count if network.enlarged else 1
    if colour is None and network.colour is None and planes == 3:
        raise ValueError("colour: the file has three channels and does not tell whether 'ycbcr' or 'rgb'")
    chosen: Colour = colour or network.colour or "y"
    if (chosen == "y") != (planes == 1):
        of = "one channel" if chosen == "y" else "three channels"
        raise ValueError(f"colour={chosen!r} is of {of}, and the file has {planes}")
    more = {"enlarged": network.enlarged, "plus_bicubic": network.plus_bicubic}
    try:
        return Model(nodes, {scale: head}, padding, name, provenance, chosen, **more)
    except ModelError as error:  # the file has other names
        names = {f"node.{i}": layer for i, (layer, _) in enumerate(network.nodes)}
        names[f"head.x{scale}"] = network.head.name
        found = re.search(r"node\.\d+|head\.x\d", str(error))
        where = f"{names[found[0]]}: " if found and found[0] in names else ""
        raise ModelError(f"{where}{error}") from error


def _refuse(why: str, **options: object) -> None:
    for key, value in options.items():
        if value is not None:
            raise ValueError(f"{key}={value!r} cannot be chosen {why}")


def _enlarging(
    network: ForeignNetwork,
    nodes: list[Node],
    scale: int,
    padding: Padding,
    pad: int | None,
    output_padding: int | None,
    border: int | Literal["full"] | None,
) -> tuple[list[Node], Head]:
    """Make a head that enlarges, and the nodes that it takes."""
    head = network.head
    if head.bias.size > 1 and (pad is not None or output_padding is not None):
        raise ModelError(f"{head.name}: its pixel shuffle decides pad and output padding, none can be chosen")
    if pad is not None:
        head = replace(head, pad=pad, output_padding=None)
    if output_padding is not None:
        head = replace(head, output_padding=output_padding)
    if border is not None or padding == "zeros":
        head = replace(head, border="full" if border is None else border)
    if head.weight.shape[:2] != (nodes[-1].out_channels, 1):
        got = f"{head.weight.shape[0]} to {head.weight.shape[1]}"
        raise ModelError(f"{head.name}: expected a head of {nodes[-1].out_channels} channels to 1, got {got}")
    if head.bias.size == 1 or (head.bias == head.bias[0]).all():
        head = replace(head, bias=head.bias[:1])
    else:
        nodes, head = _carry_biases(nodes, head, scale)
    return nodes, _fit(head, scale)


def _carry_biases(nodes: Sequence[Node], head: ForeignHead, stride: int) -> tuple[list[Node], ForeignHead]:
    """Give the head one more input, constantly 1, to carry a bias per phase: it has only one of its own."""
    *others, last = nodes
    if last.adds:
        raise ModelError(f"{head.name}: expected one bias for all phases, as its input is a sum")
    taps = np.zeros((1, *head.weight.shape[1:]), np.float32)
    here = slice(head.pad, head.pad + stride)  # the taps by which a pixel reaches its own phases alone
    taps[0, 0, here, here] = head.bias.reshape(stride, stride)
    if _is_fsrcnn(nodes):  # d is one number in an FSRCNN, so both ends of the trunk are widened
        others[:2] = _add_output(others[0], 0), _add_input(others[1])
    weight = np.concatenate([head.weight, taps])
    return [*others, _add_output(last, 1)], replace(head, weight=weight, bias=np.zeros(1, np.float32))


def _is_fsrcnn(nodes: Sequence[Node]) -> bool:
    d, s = nodes[0].out_channels, nodes[1].out_channels if len(nodes) > 1 else 0
    shapes = fsrcnn.Shape(d, s, len(nodes) - 3, nodes[0].kernel).nodes
    return len(nodes) > 2 and shapes == tuple(
        NodeShape(node.out_channels, node.kernel, node.groups, node.source, node.adds) for node in nodes
    )


def _add_output(layer: Node, value: float) -> Node:
    if layer.groups > 1:
        raise ModelError("expected one bias for all phases of a pixel shuffle behind a grouped convolution")
    return replace(
        layer,
        weight=np.pad(layer.weight, ((0, 1), (0, 0), (0, 0), (0, 0))),
        bias=np.append(layer.bias, np.float32(value)),
        slope=np.append(layer.slope, np.float32(1)),
    )


def _add_input(layer: Node) -> Node:
    weight = np.pad(layer.weight, ((0, 0), (0, 1), (0, 0), (0, 0)))
    return replace(layer, weight=weight, source=layer.source._replace(count=layer.source.count + 1))


def _fit(head: ForeignHead, stride: int) -> Head:
    """Find the head of an odd kernel that computes the same; :class:`ModelError` where there is none."""
    kernel = head.weight.shape[2]
    natural = stride - kernel + 2 * head.pad
    if head.output_padding not in (None, natural):
        raise ModelError(
            f"{head.name}: {kernel}x{kernel} at stride {stride} with pad {head.pad} and output padding "
            f"{head.output_padding} does not give {stride} times the input"
        )
    fits = kernel % 2 and kernel <= MAX_HEAD_KERNEL and abs(natural) < stride and head.pad >= 0
    if fits and not head.shuffled:
        return Head(head.weight, head.bias, head.pad, natural, head.border)
    # Of pixel shuffles those of our own heads come first, so that what was exported comes back.
    usual = [(HEAD_KERNEL, 4), (HEAD_KERNEL, 3), (idn.HEAD_KERNEL, 9 - stride)]
    others = [(side, pad) for side in range(1, MAX_HEAD_KERNEL + 1, 2) for pad in range(side)]
    for side, pad in [*usual, *others]:
        output_padding = stride - side + 2 * pad
        if abs(output_padding) < stride:
            taps = _moved(head.weight, side, pad - head.pad)
            if np.count_nonzero(taps) == np.count_nonzero(head.weight):
                return Head(taps, head.bias, pad, output_padding, head.border)
    raise ModelError(
        f"{head.name}: expected a head that fits {MAX_HEAD_KERNEL}x{MAX_HEAD_KERNEL} pixels of the output at "
        f"x{stride}, got one of {kernel}x{kernel}, {head.pad} of them before the pixel's own"
    )


def _moved(weight: Array, side: int, by: int) -> Array:
    """Bring filters to another size, their taps moved down and right; those that leave it are lost."""
    kernel = weight.shape[2]
    taps = np.zeros((*weight.shape[:2], side, side), np.float32)
    first, end = max(0, -by), min(kernel, side - by)
    if first < end:
        taps[..., first + by : end + by, first + by : end + by] = weight[..., first:end, first:end]
    return taps
