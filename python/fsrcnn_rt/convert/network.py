"""What a foreign file holds, as its reader tells it, and how that becomes a model of one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isqrt
from typing import Any, Literal

import numpy as np

from fsrcnn_rt.errors import ModelError
from fsrcnn_rt.model import Array, Channels, Head, Model, Node, Padding
from fsrcnn_rt.model.fsrcnn import HEAD_KERNEL
from fsrcnn_rt.model.network import head_reach


@dataclass(frozen=True, eq=False)
class ForeignHead:
    """A transposed convolution ``d->1`` of any kernel; its tap t takes pixel i to stride * i + t - pad.

    ``output_padding`` None is what makes the output exactly stride times the input. ``border``: as in
    :class:`~fsrcnn_rt.model.Head`; it means nothing where the padding is zeros.
    """

    name: str
    weight: Array  # (ic, 1, k, k)
    bias: Array  # (1,), or one per phase, row by row: (stride * stride,)
    pad: int
    output_padding: int | None = None
    border: int | Literal["full"] = "full"


@dataclass(frozen=True, eq=False)
class ForeignNetwork:
    """A network under the names of its file, which may not tell the scale (None)."""

    layers: Sequence[tuple[str, Node]]
    head: ForeignHead
    padding: Padding
    scale: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


def convolution(weight: Array, bias: Array, slope: Array | float, made: int = 0) -> Node:
    """Make a node of a chain, which reads all of the result ``made``."""
    slopes = np.broadcast_to(np.asarray(slope, np.float32), bias.shape).copy()
    return Node(weight, bias, slopes, 1, Channels(made, 0, weight.shape[1]))


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
    return ForeignHead(name, taps.reshape(ic, 1, side, side), bias, pad=stride * (kernel // 2))


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
) -> Model:
    """Make the network a checked model; arguments that are not None replace what the file says.

    Raises :class:`ModelError` naming the layer that does not fit an FSRCNN.
    """
    _check_layers(network.layers)
    layers = [
        replace(layer, source=layer.source._replace(of=made))
        for made, (_, layer) in enumerate(network.layers)
    ]
    padding = padding or network.padding
    head = network.head
    if head.bias.size > 1 and (pad is not None or output_padding is not None):
        raise ModelError(f"{head.name}: its pixel shuffle decides pad and output padding, none can be chosen")
    if pad is not None:
        head = replace(head, pad=pad, output_padding=None)
    if output_padding is not None:
        head = replace(head, output_padding=output_padding)
    if border is not None or padding == "zeros":
        head = replace(head, border="full" if border is None else border)

    if head.weight.shape[:2] != (layers[-1].out_channels, 1):
        got = f"{head.weight.shape[0]} to {head.weight.shape[1]}"
        raise ModelError(
            f"{head.name}: expected a head of {layers[-1].out_channels} channels to 1, got {got}"
        )
    if (head.bias == head.bias[0]).all():
        head = replace(head, bias=head.bias[:1])
    else:
        layers, head = _carry_biases(layers, head, scale)
    return Model(layers, {scale: _fit(head, scale)}, padding, name, provenance)


def _check_layers(layers: Sequence[tuple[str, Node]]) -> None:
    if len(layers) < 3:
        raise ModelError(f"expected at least 3 convolutions before the head of an FSRCNN, got {len(layers)}")
    d, s = (layer.out_channels for _, layer in layers[:2])
    shapes = [(d, 1, 5, 5), (s, d, 1, 1), *(len(layers) - 3) * [(s, s, 3, 3)], (d, s, 1, 1)]
    for (name, layer), shape in zip(layers, shapes, strict=True):
        if layer.weight.shape != shape:
            raise ModelError(
                f"{name}: expected weights of shape {shape} (out, in, height, width) in this place of an "
                f"FSRCNN, got {layer.weight.shape}"
            )


def _carry_biases(layers: Sequence[Node], head: ForeignHead, stride: int) -> tuple[list[Node], ForeignHead]:
    """Give the head one more input, constantly 1, to carry a bias per phase: it has only one of its own."""
    first, second, *inner, last = layers
    taps = np.zeros((1, *head.weight.shape[1:]), np.float32)
    here = slice(head.pad, head.pad + stride)  # the taps by which a pixel reaches its own phases alone
    taps[0, 0, here, here] = head.bias.reshape(stride, stride)
    wider = [
        _add_output(first, 0),  # d is one number in an FSRCNN, so both ends of the trunk are widened
        _add_input(second),
        *inner,
        _add_output(last, 1),
    ]
    weight = np.concatenate([head.weight, taps])
    return wider, replace(head, weight=weight, bias=np.zeros(1, np.float32))


def _add_output(layer: Node, value: float) -> Node:
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
    """Find the 9x9 head that computes the same; :class:`ModelError` where there is none."""
    kernel = head.weight.shape[2]
    natural = stride - kernel + 2 * head.pad
    if head.output_padding not in (None, natural):
        raise ModelError(
            f"{head.name}: {kernel}x{kernel} at stride {stride} with pad {head.pad} and output padding "
            f"{head.output_padding} does not give {stride} times the input"
        )
    if kernel == HEAD_KERNEL:
        return Head(head.weight, head.bias, head.pad, natural, head.border)
    for pad in (4, 3):
        output_padding = stride - HEAD_KERNEL + 2 * pad
        # Taps move by the difference of the pads; those that leave the 9x9 must be zero.
        room = kernel + HEAD_KERNEL + head.pad
        start = room - (pad - head.pad)
        taps = np.pad(head.weight, ((0, 0), (0, 0), (room, room), (room, room)))
        taps = taps[..., start : start + HEAD_KERNEL, start : start + HEAD_KERNEL]
        if 0 <= output_padding < stride and np.count_nonzero(taps) == np.count_nonzero(head.weight):
            return Head(np.ascontiguousarray(taps), head.bias, pad, output_padding, head.border)
    raise ModelError(
        f"{head.name}: expected a head that fits {HEAD_KERNEL}x{HEAD_KERNEL} pixels of the output at "
        f"x{stride}, got one of {kernel}x{kernel}, {head.pad} of them before the pixel's own"
    )
