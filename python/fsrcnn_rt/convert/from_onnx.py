"""Reads ONNX graphs of the networks that can be expressed here, whichever way their parts are spelled.

The nodes are followed in their order; :mod:`~fsrcnn_rt.convert.onnx_signal` says what a tensor between them
holds. Slices and splits become ranges of channels. A sum with another tensor, which may be a concatenation,
becomes what the later convolution adds. Channels may come first or last, and change places: programs that
make ONNX of TensorFlow's graphs leave transpositions behind, or reshapes in their stead. The bicubic filter
is recognised by its numbers, after rows and columns have been taken and put together so that the picture is
mirrored at its edges, or as the operation Resize. Resize repeats the edges; the converted network mirrors
them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from fsrcnn_rt.convert.bicubic import TO_YCBCR, YCBCR_OFFSET, bicubic_phases
from fsrcnn_rt.convert.bounded import Allowance
from fsrcnn_rt.convert.network import ForeignHead, ForeignNetwork, sub_pixel_head
from fsrcnn_rt.convert.onnx_file import Node as OnnxNode
from fsrcnn_rt.convert.onnx_file import read_onnx
from fsrcnn_rt.convert.onnx_fold import fold
from fsrcnn_rt.convert.onnx_signal import (
    AXES_CHANGED,
    ELEMENTWISE,
    MAX_RANK,
    NO_PADS,
    NUMBERED,
    Constant,
    Signal,
    are_alike,
    are_same,
    axes_of,
    elementwise,
    listed,
    pad,
    sliced,
)
from fsrcnn_rt.errors import ModelError, brief
from fsrcnn_rt.model import SCALES, Array, Channels, Colour, Node, Padding
from fsrcnn_rt.model.file import MAX_METADATA
from fsrcnn_rt.model.network import BICUBIC_REACH, MAX_CHANNELS, MAX_NODES, head_reach

# How far from 1 the gain of what is above 0 may be, as decomposed PReLUs round.
_IDENTITY = 1e-6
_MAX_NUMBERED = 1 << 16  # pixels of numbered pictures


@dataclass
class _Layer:
    """A convolution, which sees the repeated edge for some pixels around its input, and zeros beyond."""

    name: str
    weight: Array
    bias: Array
    groups: int
    source: Channels
    edge: int
    zeros: int
    mirrored: bool = False  # in place of zeros
    reads_bicubic: bool = False
    slope: Array | None = None  # once something has read what it makes
    adds: tuple[Channels, ...] = ()
    version: int = 0


def read(path: Path, _scale: int | None) -> ForeignNetwork:
    """Read a graph with one picture in and one out.

    Raises ``OSError`` for a file that cannot be opened, :class:`ModelError` naming the node that does not
    fit.
    """
    read = read_onnx(path)
    # Old files list the weights among the inputs.
    inputs = {name: shape for name, shape in read.inputs.items() if name not in read.constants}
    if len(inputs) != 1 or len(read.outputs) != 1:
        raise ModelError(
            f"expected a graph of one input and one output, got {len(inputs)} and {len(read.outputs)}"
        )
    ((picture, shape),) = inputs.items()
    graph = _Graph(read.constants, picture, shape)
    for node in read.nodes:
        try:
            graph.add(node)
        except Exception as error:  # a malformed node lacks or holds anything
            raise ModelError(f"{node.kind} {node.name!r}: {error}") from error
    return graph.finish(read.outputs[0], read.metadata.get("provenance", "{}"))


class _Graph:
    """The network as far as its nodes have been read."""

    def __init__(self, constants: Mapping[str, Constant], picture: str, shape: Sequence[int | str]) -> None:
        last = len(shape) == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3)
        channels = (shape[3] if last else shape[1] or 1) if len(shape) == 4 else 1
        if shape and (len(shape) != 4 or channels not in (1, 3)):
            shown = ", ".join(str(side or "?") for side in shape)
            raise ModelError(
                f"expected (N, C, H, W) or (N, H, W, C) of 1 or 3 channels to go in, got ({shown})"
            )
        self._planes = int(channels)
        self._allowance = Allowance()  # for what is computed beforehand and for weights
        self._constants = dict(constants)
        whole = Channels(0, 0, self._planes)
        self._layers: list[_Layer] = []
        axes = axes_of("nhwc" if last else "nchw", self._planes)
        self._signals = {picture: self._signal("trunk", whole, axes=axes)}
        self._paddings: set[Padding] = set()
        self._head: ForeignHead | None = None
        self._head_version = 0
        self._scale: int | None = None
        self._enlarged = False
        self._plus_bicubic = False
        self._colour: Colour | None = None

    def finish(self, output: str, provenance: str) -> ForeignNetwork:
        """Return the network that makes ``output``."""
        result = self._signals.get(output)
        if result is not None and self._head is None:
            self._make_plain_head(result)
            result = self._head_signal()
        if self._head is None or result is None or result.kind != "head" or self._is_old(result):
            raise ModelError(f"expected a picture to come out as {output!r}, got something else")
        if result.axes.strip("n1").replace("c", "") != "hw":
            raise ModelError(f"expected the output to be of height and width, got it as {result.axes!r}")
        for layer in self._layers:
            self._note_padding(layer)
        if len(self._paddings) > 1:
            raise ModelError("expected one padding for all convolutions, got zeros and repeated edges")
        try:
            record = json.loads(provenance) if len(provenance) <= MAX_METADATA else {}
        except (ValueError, RecursionError):
            record = {}
        return ForeignNetwork(
            [(layer.name, self._node(layer)) for layer in self._layers],
            self._head,
            "replicate" if "replicate" in self._paddings else "zeros",
            self._scale,
            record if isinstance(record, dict) else {},
            self._colour,
            self._enlarged,
            self._plus_bicubic,
        )

    def add(self, node: OnnxNode) -> None:
        """Follow one node."""
        operands = [self._known(name) for name in node.inputs]
        signals = [operand for operand in operands if isinstance(operand, Signal)]
        if not signals:
            constants = [operand for operand in operands if not isinstance(operand, Signal)]
            self._constants |= {node.outputs[0]: fold(node.kind, constants, node.attributes, self._allowance)}
            return
        several = ("Add", "Sub", "Mul", "Max", "Min", "Concat")
        if any(isinstance(operand, Signal) for operand in operands[1:]) and node.kind not in several:
            raise ModelError("expected a constant beside the first input, got what depends on the picture")
        if any(map(self._is_old, signals)):
            raise ModelError("expected an activation of one layer, got what another sum or bias has changed")
        results = self._follow(node.kind, node.name, signals, operands, node.attributes)
        if len(results) < len(node.outputs):
            raise ModelError(f"expected {len(results)} outputs, got {len(node.outputs)}")
        self._signals |= dict(zip(node.outputs, results, strict=False))

    def _known(self, name: str) -> Signal | Constant | None:
        """Return what an input holds; None for one that is left out."""
        if name and name not in self._signals and name not in self._constants:
            raise ModelError(f"expected an input that is known here, got {brief(name)}")
        return self._signals.get(name, self._constants.get(name)) if name else None

    def _follow(
        self,
        kind: str,
        name: str,
        signals: Sequence[Signal],
        operands: Sequence[Signal | Constant | None],
        attributes: Mapping[str, Any],
    ) -> list[Signal]:
        source, others = signals[0], operands[1:]
        if kind == "Shape":  # programs compute where a deconvolution is cut from the sides of the picture
            raise ModelError(
                "expected a graph for pictures of one size, got one that asks for it (a model takes any)"
            )
        if kind in AXES_CHANGED:
            axes = AXES_CHANGED[kind](source.axes, others, attributes)
            if len(axes) > MAX_RANK:
                raise ModelError(f"expected at most {MAX_RANK} axes, got {len(axes)}")
            return [replace(source, axes=axes)]
        if kind == "Identity":
            return [source]
        if kind == "Add" and len(signals) == 2 and not are_same(signals):
            return [self._sum(*signals)]
        if (bias := self._bias(kind, operands)) is not None:
            return [self._add_bias(source, bias)]
        if source.kind == "head" and kind != "Conv":
            return [_after_head(kind, source, others, attributes)]
        if kind == "Conv":
            return [self._conv(name, source, others, attributes)]
        if kind == "ConvTranspose":
            return [self._conv_transpose(name, source, others, attributes)]
        if kind == "DepthToSpace":
            return [self._depth_to_space(source, attributes)]
        if kind == "Resize":
            return [self._resize(source, others, attributes)]
        if kind == "Pad":
            return [pad(source, others, attributes)]
        if kind in ("Slice", "Split"):
            return self._parts(kind, source, others, attributes)
        if kind == "Concat":
            return [self._concat(signals, operands, attributes)]
        if kind in ELEMENTWISE:
            return [elementwise(kind, operands, attributes)]
        raise ModelError("no network that can be expressed has such a node here")

    def _signal(self, kind: str, *parts: Channels, axes: str = "") -> Signal:
        """Make a signal of channels as they are now."""
        count = sum(part.count for part in parts)
        if count > MAX_CHANNELS:
            raise ModelError(f"expected at most {MAX_CHANNELS} channels, got {count}")
        probe = np.repeat(np.array([[1], [-1]], np.float32), count, axis=1)
        versions = tuple(self._version(kind, part.of) for part in parts)
        return Signal(kind, parts, versions, axes or axes_of("nchw", self._planes), probe)

    def _version(self, kind: str, of: int) -> int:
        return self._head_version if kind == "head" else self._layers[of - 1].version if of else 0

    def _is_old(self, signal: Signal) -> bool:
        now = [self._version(signal.kind, part.of) for part in signal.parts]
        return tuple(now) != signal.versions

    def _head_signal(self) -> Signal:
        return self._signal("head", Channels(0, 0, self._planes))

    def _newest(self, signal: Signal) -> _Layer | None:
        """Return the layer whose whole result this is; None of others, and where something has been added."""
        (part, *more) = signal.parts
        if signal.kind != "trunk" or more or not part.of:
            return None
        layer = self._layers[part.of - 1]
        return layer if part == (part.of, 0, len(layer.bias)) and not layer.adds else None

    def _bias(self, kind: str, operands: Sequence[Signal | Constant | None]) -> Constant | None:
        """Return the constant that a node adds to the bare result of a layer or the head; None of others."""
        signals = [operand for operand in operands if isinstance(operand, Signal)]
        constants = [operand for operand in operands if isinstance(operand, np.ndarray)]
        subtracted = kind == "Sub" and operands[0] is signals[0]
        if len(signals) != 1 or len(constants) != 1 or not (kind == "Add" or subtracted):
            return None
        if constants[0].size > MAX_CHANNELS:
            raise ModelError(f"expected one number per channel, got a constant of {constants[0].shape}")
        layer = self._newest(signals[0])
        own = signals[0].kind == "head" or (layer is not None and layer.slope is None)
        return (-constants[0] if subtracted else constants[0]) if own and signals[0].bare else None

    def _add_bias(self, source: Signal, bias: Constant) -> Signal:
        """Make ``bias`` one of a layer; what was without it cannot be used any more."""
        shape = source.values().shape[1:]
        if np.broadcast_shapes(shape, bias.shape) != shape:
            raise ModelError(f"expected one number per channel, got a constant of {bias.shape}")
        change = np.broadcast_to(bias.astype(np.float32), shape).ravel()
        layer = self._newest(source)
        if layer is None:
            assert self._head is not None
            self._head = replace(self._head, bias=self._head.bias + change)
            self._head_version += 1
        else:
            layer.bias = layer.bias + change
            layer.version += 1
        return replace(self._signal(source.kind, *source.parts), axes=source.axes)

    def _settle(self, source: Signal) -> None:
        """Set the activation of the layer whose result is read here."""
        at_one, at_minus_one = source.probe
        layer = self._newest(source)
        if layer is None:
            if (source.probe != [[1], [-1]]).any():
                raise ModelError("expected the picture, a sum or a range as it is, got it changed")
            return
        if not np.allclose(at_one, 1, rtol=0, atol=_IDENTITY):
            gain = f"{at_one.max():g} times what is above 0"
            raise ModelError(f"expected {layer.name!r} to be followed by a PReLU, got {gain}")
        if layer.slope is not None and not np.array_equal(layer.slope, -at_minus_one):
            raise ModelError(f"expected {layer.name!r} to be followed by one activation, got two")
        layer.slope = -at_minus_one

    def _enter(self, source: Signal) -> Channels:
        """Take a signal as what a convolution reads."""
        if source.axes[2:] != "hw" or source.axes[0] not in "n1" or source.axes[1] not in "c1":
            raise ModelError(f"expected an input with the axes 'nchw', got {source.axes!r}")
        if len(source.parts) > 1:
            raise ModelError("expected channels of one result, got a concatenation, which is only added")
        if source.kind == "head":
            raise ModelError("expected nothing after the head")
        if source.lines:
            raise ModelError("expected all rows and columns, in their order or mirrored at the edges")
        self._settle(source)
        if source.kind == "bicubic":
            if any(not layer.reads_bicubic and not layer.source.of for layer in self._layers):
                raise ModelError("expected either the picture to be read or the enlarged one, got both")
            self._enlarged = True
        elif self._enlarged and not source.parts[0].of:
            raise ModelError("expected either the picture to be read or the enlarged one, got both")
        return source.parts[0]

    def _conv(
        self, name: str, source: Signal, operands: Sequence[object], attributes: Mapping[str, Any]
    ) -> Signal:
        weight, bias = self._weights(operands, attributes, of_outputs=0)
        if self._to_ycbcr(source, weight, bias):
            return source
        if self._from_ycbcr(source, weight, bias):
            self._make_plain_head(source)
            return self._head_signal()
        part = self._enter(source)
        if _ints(attributes, "strides", (1, 1)) != (1, 1):
            raise ModelError(f"expected strides of 1, got {brief(attributes['strides'])}")
        kernel = weight.shape[2]
        pads = _conv_pads(attributes, kernel)
        total = tuple(map(sum, zip(pads, source.pads, strict=True)))
        if total != 4 * (kernel // 2,) or kernel % 2 == 0:
            raise ModelError(
                f"expected odd filters padded by half of them, got {kernel}x{kernel} padded by {total}"
            )
        edge = source.pads[0] if source.edge else 0
        if source.edge and len(set(source.pads)) > 1:
            raise ModelError(f"expected the edge repeated alike on every side, got {source.pads}")
        groups = int(attributes.get("group", 1))
        if groups < 1 or part.count != groups * weight.shape[1]:
            raise ModelError(
                f"expected filters of {part.count} channels, got {groups} groups of {weight.shape[1]}"
            )
        zeros = kernel // 2 - edge
        bicubic = source.kind == "bicubic"
        if len(self._layers) > MAX_NODES:
            raise ModelError(f"expected at most {MAX_NODES} convolutions, got more")
        layer = _Layer(name, weight, bias, groups, part, edge, zeros, source.mirrored, bicubic)
        self._layers.append(layer)
        return self._signal("trunk", Channels(len(self._layers), 0, len(weight)), axes="nchw")

    def _to_ycbcr(self, source: Signal, weight: Array, bias: Array) -> bool:
        """Whether a convolution brings the picture from RGB to Y'CbCr, which is noted."""
        if (
            self._layers
            or source.parts != (Channels(0, 0, 3),)
            or not source.bare
            or weight.shape != (3, 3, 1, 1)
        ):
            return False
        same = np.allclose(weight[..., 0, 0], TO_YCBCR, rtol=0, atol=1e-6)
        same = same and np.allclose(bias, YCBCR_OFFSET, rtol=0, atol=1e-6)
        self._colour = "ycbcr" if same else self._colour
        return same

    def _from_ycbcr(self, source: Signal, weight: Array, bias: Array) -> bool:
        """Whether a convolution brings what the newest one makes of Y'CbCr back to RGB."""
        layer = self._newest(source)
        if self._colour != "ycbcr" or layer is None or not source.bare or weight.shape != (3, 3, 1, 1):
            return False
        back = np.linalg.inv(TO_YCBCR)
        same = np.allclose(weight[..., 0, 0], back, rtol=0, atol=1e-5)
        return same and np.allclose(bias, -back @ YCBCR_OFFSET, rtol=0, atol=1e-5)

    def _sum(self, one: Signal, other: Signal) -> Signal:
        """Have the later of two layers add what the other signal holds."""
        kinds = {one.kind, other.kind}
        if kinds == {"head", "bicubic"}:
            if not (one.bare and other.bare) or self._plus_bicubic:
                raise ModelError("expected the bicubic picture to be added once, and as it is")
            self._plus_bicubic = True
            self._head_version += 1
            return self._head_signal()
        if kinds != {"trunk"} or not are_alike([one, other]):
            raise ModelError("expected a sum of two results of the same axes, got another")
        carrier, added = sorted((one, other), key=lambda signal: max(part.of for part in signal.parts))[::-1]
        layer = self._newest(carrier)
        newest = carrier.parts[0].of
        if layer is None or layer.slope is not None or any(part.of >= newest for part in added.parts):
            raise ModelError("expected a sum with what one convolution makes for it alone, got another")
        if len(layer.bias) != sum(part.count for part in added.parts):
            raise ModelError(f"expected {len(layer.bias)} channels to be added, got another number")
        self._settle(carrier)
        self._settle(added)
        layer.adds = added.parts
        layer.version += 1
        return self._signal("trunk", *carrier.parts, axes=carrier.axes)

    def _parts(
        self, kind: str, source: Signal, operands: Sequence[Any], attributes: Mapping[str, Any]
    ) -> list[Signal]:
        """Take ranges of channels, or of the picture's rows or columns."""
        (whole, *more), rank = source.parts, len(source.axes)
        if kind == "Slice":
            place, range_ = sliced(operands, attributes, rank)
            if source.axes[place] in "hw":
                return [self._lines(source, source.axes[place], range_)]
            ranges = [range_.indices(whole.count)[:2]]
        else:
            sizes, place = (
                operands[0] if operands else attributes.get("split"),
                attributes.get("axis", 0) % rank,
            )
            if sizes is None:
                raise ModelError(f"expected channels to be split, and their numbers, got {brief(attributes)}")
            ends = list(accumulate(listed(sizes)))
            if min(listed(sizes)) < 1 or ends[-1] != whole.count:
                raise ModelError(f"expected {whole.count} channels to be split, got {ends[-1]}")
            ranges = list(zip([0, *ends[:-1]], ends, strict=True))
        if more or any(source.pads) or source.kind != "trunk" or source.axes[place] != "c":
            raise ModelError("expected channels of one result that is not padded, got something else")
        self._settle(source)
        if any(first >= end for first, end in ranges):
            raise ModelError(f"expected a range of the {whole.count} channels, got {brief(ranges)}")
        taken = [Channels(whole.of, whole.first + first, end - first) for first, end in ranges]
        return [self._signal("trunk", part, axes=source.axes) for part in taken]

    def _lines(self, source: Signal, axis: str, lines: slice) -> Signal:
        """Take rows or columns of the picture."""
        if source.parts != (Channels(0, 0, self._planes),) or source.kind != "trunk" or not source.edge:
            raise ModelError("expected rows or columns of the picture with its edge repeated, got others")
        take = (lines,) if axis == "h" else (slice(None), lines)
        return replace(source, lines=tuple(picture[take] for picture in source.numbered()))

    def _join(self, signals: Sequence[Signal], axis: str) -> Signal:
        """Put rows or columns of the picture together."""
        one = signals[0]
        if any((s.kind, s.parts, s.axes) != (one.kind, one.parts, one.axes) or not s.edge for s in signals):
            raise ModelError("expected rows or columns of one picture to be put together, got others")
        for signal in signals:
            self._settle(signal)
        pictures = list(zip(*(signal.numbered() for signal in signals), strict=True))
        if sum(part.size for parts in pictures for part in parts) > _MAX_NUMBERED:
            raise ModelError("expected a few rows or columns to be put together, got many")
        joined = tuple(np.concatenate(parts, "hw".index(axis)) for parts in pictures)
        mirrored = (np.pad(picture, BICUBIC_REACH, "symmetric") for picture in NUMBERED)
        if all(map(np.array_equal, joined, mirrored)):
            return replace(one, pads=4 * (BICUBIC_REACH,), edge=False, mirrored=True, lines=())
        return replace(one, lines=joined)

    def _concat(
        self, signals: Sequence[Signal], operands: Sequence[object], attributes: Mapping[str, Any]
    ) -> Signal:
        axis = signals[0].axes[attributes["axis"]]
        if axis in "hw" and len(signals) == len(operands):
            return self._join(signals, axis)
        trunk = all(signal.kind == "trunk" for signal in signals)
        if len(signals) < len(operands) or not trunk or not are_alike(signals):
            raise ModelError("expected results of the same axes, which are not padded")
        axes = next((signal.axes for signal in signals if "c" in signal.axes), "nchw")
        if axes.find("c") != attributes["axis"] % len(axes):
            raise ModelError("expected channels to be brought side by side")
        for signal in signals:
            self._settle(signal)
        return self._signal("trunk", *(part for signal in signals for part in signal.parts), axes=axes)

    def _conv_transpose(
        self, name: str, source: Signal, operands: Sequence[object], attributes: Mapping[str, Any]
    ) -> Signal:
        if attributes.get("group", 1) != 1:
            raise ModelError("expected a head without groups")
        weight, bias = self._weights(operands, attributes, of_outputs=1)
        self._check_last(name, self._enter(source))
        scale, other = _ints(attributes, "strides", (1, 1))
        explicit = attributes.get("auto_pad", b"NOTSET") == b"NOTSET" and "output_shape" not in attributes
        if scale != other or not explicit:
            raise ModelError("expected one stride and explicit pads")
        if len(set(source.pads)) > 1:
            raise ModelError(f"expected the same padding on every side, got {source.pads}")
        border = source.pads[0]
        # A border around the input moves the output by scale pixels each, to be cut off again by the pads.
        top, left, bottom, right = (pad - border * scale for pad in _ints(attributes, "pads", NO_PADS))
        extra = _ints(attributes, "output_padding", (0, 0))
        if top != left or bottom - extra[0] != right - extra[1] or top < 0:
            raise ModelError(f"expected the same cut on every side, got {(top, left, bottom, right)}")
        if source.edge:
            self._paddings.add("replicate")
        else:
            border = 0
        full = border >= head_reach(weight.shape[2], top, scale)
        output_padding = extra[0] + top - bottom
        return self._set_head(
            ForeignHead(name, weight, bias, top, output_padding, "full" if full else border), scale
        )

    def _depth_to_space(self, source: Signal, attributes: Mapping[str, Any]) -> Signal:
        layer, scale = self._newest(source), int(attributes["blocksize"])
        if layer is None or layer is not self._layers[-1] or not source.bare or source.axes != "nchw":
            raise ModelError("expected a convolution right before it")
        crd = attributes.get("mode", b"DCR") == b"CRD"
        if self._is_bicubic(layer, scale, crd):
            self._layers.pop()
            return self._set_bicubic(scale)
        _check_padding(layer)
        if len(layer.bias) != scale**2:
            raise ModelError(f"expected {layer.name!r} to give {scale**2} channels, got {len(layer.bias)}")
        self._layers.pop()
        if layer.groups > 1:
            raise ModelError(f"expected {layer.name!r} to have no groups before a pixel shuffle")
        self._check_last(layer.name, layer.source)
        # Of one output channel the two orders of the mode, DCR and CRD, are the same.
        head = sub_pixel_head(layer.name, layer.weight, layer.bias)
        if layer.edge:
            self._paddings.add("replicate")
        return self._set_head(replace(head, border=layer.edge if layer.zeros else "full"), scale)

    def _is_bicubic(self, layer: _Layer, scale: int, crd: bool) -> bool:
        """Whether a convolution and the pixel shuffle after it enlarge the picture as the filter does."""
        whole = layer.source == (0, 0, self._planes) and layer.groups == self._planes
        if layer.reads_bicubic or not whole or scale not in SCALES or not layer.mirrored:
            return False
        kernels = np.tile(bicubic_phases(scale), (self._planes, 1, 1, 1))
        same = layer.weight.shape == kernels.shape and np.allclose(layer.weight, kernels, rtol=0, atol=1e-6)
        return same and not layer.bias.any() and (crd or self._planes == 1)

    def _resize(self, source: Signal, operands: Sequence[Any], attributes: Mapping[str, Any]) -> Signal:
        whole = source.kind == "trunk" and source.parts == (Channels(0, 0, self._planes),) and source.bare
        scales = listed(operands[1]) if len(operands) > 1 and operands[1] is not None else []
        expected = [scales[-1] if axis in "hw" else 1 for axis in source.axes] if scales else []
        if not whole or not scales or scales != expected or scales[-1] not in SCALES:
            raise ModelError("expected the picture to be enlarged by 2, 3 or 4 times")
        mode = attributes.get("mode", b"nearest"), attributes.get("cubic_coeff_a", -0.75)
        aligned = attributes.get("coordinate_transformation_mode", b"half_pixel")
        exact = aligned in (b"half_pixel", b"pytorch_half_pixel") and not attributes.get("exclude_outside", 0)
        if mode != (b"cubic", -0.5) or not exact or attributes.get("antialias", 0):
            raise ModelError(f"expected the bicubic filter with a = -0.5 between pixel centres, got {mode}")
        return self._set_bicubic(int(scales[-1]))

    def _set_bicubic(self, scale: int) -> Signal:
        if self._scale not in (None, scale):
            raise ModelError(f"expected the picture enlarged {self._scale} times, got {scale}")
        self._scale = scale
        return self._signal("bicubic", Channels(0, 0, self._planes))

    def _weights(
        self, operands: Sequence[object], attributes: Mapping[str, Any], of_outputs: int
    ) -> tuple[Array, Array]:
        """Weight and bias of a convolution without dilation; ``of_outputs``: the axis of those."""
        weight = operands[0] if operands else None
        if not isinstance(weight, np.ndarray) or weight.ndim != 4 or 0 in weight.shape:
            raise ModelError(f"expected weights of 4 dimensions, got {getattr(weight, 'shape', None)}")
        if weight.shape[2] != weight.shape[3] or weight.dtype.kind != "f":
            raise ModelError(f"expected floats of square filters, got {weight.dtype} of shape {weight.shape}")
        if _ints(attributes, "dilations", (1, 1)) != (1, 1):
            raise ModelError("expected no dilation")
        count = weight.shape[of_outputs]
        bias = operands[1] if len(operands) > 1 else None
        if bias is None:
            bias = np.zeros(count, np.float32)
        if not isinstance(bias, np.ndarray) or bias.shape != (count,):
            raise ModelError(f"expected a bias of shape {(count,)}, got {getattr(bias, 'shape', None)}")
        self._allowance.take(weight.shape, 4)  # of every layer, as many may share the same
        with np.errstate(over="ignore"):
            return np.array(weight, np.float32, order="C"), bias.astype(np.float32)

    def _check_last(self, name: str, part: Channels) -> None:
        """Check that a head reads all that the last layer makes."""
        if not self._layers or part != (len(self._layers), 0, len(self._layers[-1].bias)):
            raise ModelError(f"expected {name!r} to read all of the last convolution, got {list(part)}")

    def _make_plain_head(self, result: Signal) -> None:
        """Take the newest convolution, whose result comes out, for the head of an enlarged network."""
        layer = self._newest(result)
        fits = layer is not None and layer is self._layers[-1] and len(layer.bias) == self._planes
        if layer is None or not fits or len(self._layers) < 2 or layer.groups > 1 or not result.bare:
            raise ModelError("expected a ConvTranspose, a DepthToSpace or a last convolution, got none")
        if not self._enlarged and self._scale is not None:
            raise ModelError("expected the enlarged picture to be read or added, got it unused")
        self._layers.pop()
        self._check_last(layer.name, layer.source)
        self._note_padding(layer)
        self._enlarged = True
        self._head = ForeignHead(layer.name, layer.weight, layer.bias)

    def _set_head(self, head: ForeignHead, scale: int) -> Signal:
        if self._enlarged or self._scale not in (None, scale) or self._planes > 1:
            raise ModelError(f"expected a network that enlarges luma, and once, got a head for x{scale}")
        self._head, self._scale = head, scale
        return self._head_signal()

    def _note_padding(self, layer: _Layer) -> None:
        _check_padding(layer)
        if layer.edge and layer.zeros:
            raise ModelError(
                f"expected one padding for {layer.name!r}, got repeated edges and zeros around them"
            )
        if layer.edge or layer.zeros:
            self._paddings.add("replicate" if layer.edge else "zeros")

    def _node(self, layer: _Layer) -> Node:
        slope = np.ones(len(layer.bias), np.float32) if layer.slope is None else layer.slope
        return Node(layer.weight, layer.bias, slope, layer.groups, layer.source, layer.adds)


def _check_padding(layer: _Layer) -> None:
    if layer.mirrored:
        raise ModelError(f"expected zeros or the repeated edge around {layer.name!r}, got a mirrored picture")


def _conv_pads(attributes: Mapping[str, Any], kernel: int) -> tuple[int, ...]:
    if attributes.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        return 4 * (kernel // 2,)  # of odd filters; others are refused
    return _ints(attributes, "pads", NO_PADS)


def _after_head(
    kind: str, source: Signal, operands: Sequence[object], attributes: Mapping[str, Any]
) -> Signal:
    if kind == "Clip":
        # The core clips integers to their range anyway, and lets floats pass.
        low, high = operands if len(operands) == 2 else (attributes.get("min"), attributes.get("max"))
        if low is not None and high is not None and np.all(low == 0) and np.all(high == 1):
            return source
        raise ModelError(
            f"expected the output clipped to 0..1 or not at all, got {brief(low)}..{brief(high)}"
        )
    raise ModelError("expected nothing after the head")


def _ints(attributes: Mapping[str, Any], key: str, default: tuple[int, ...]) -> tuple[int, ...]:
    values = tuple(map(int, attributes.get(key, default)))
    if len(values) != len(default):
        raise ModelError(f"expected {len(default)} {key}, got {brief(list(values))}")
    return values
