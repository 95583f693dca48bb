"""Reads ONNX graphs that compute an FSRCNN, whichever way its activations and paddings are spelled.

The nodes are followed in their order. Between two convolutions a tensor may only pass operations that commute
with a positive factor (Relu, Abs, Neg, PRelu, sums, constant factors); whatever they are, they amount to a
PReLU, which their values at 1 and -1 tell. Channels may come first or last, and change places: programs that
make ONNX of TensorFlow's graphs leave transpositions behind, or reshapes in their stead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.convert.network import ForeignHead, ForeignNetwork, as_chain, convolution, sub_pixel_head
from fsrcnn_rt.errors import ModelError
from fsrcnn_rt.model import Array, Node, Padding
from fsrcnn_rt.model.network import head_reach

_Constant: TypeAlias = npt.NDArray[Any]
_Pads = tuple[int, int, int, int]  # top, left, bottom, right
_NO_PADS: _Pads = (0, 0, 0, 0)

# Operations on tensors alone, and what else they take.
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Abs": np.abs,
    "Neg": np.negative,
    "LeakyRelu": lambda x, alpha=0.01: np.where(x < 0, np.float32(alpha) * x, x),
    "PRelu": lambda x, slope: np.where(x < 0, slope * x, x),
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


@dataclass(frozen=True, eq=False)
class _Signal:
    """A tensor that depends on the picture: a function of what the newest layer gives, padded."""

    stage: int  # how many layers and biases there were
    axes: str  # of "n", "c", "h" and "w"; "1" is an axis of length 1, such as the picture's channel
    probe: Array  # (2, channels): what has become of 1 and of -1
    bare: bool = True  # whether it is what the newest layer gives, as it is
    pads: _Pads = _NO_PADS
    edge: bool = False  # whether the pads repeat the edge

    def values(self) -> Array:
        """Give the probe as two tensors with the axes of the signal."""
        return self.probe.reshape(2, *(self.probe.shape[1] if axis == "c" else 1 for axis in self.axes))


@dataclass(frozen=True, eq=False)
class _Layer:
    """A convolution that sees the repeated edge for some pixels around its input, and zeros beyond."""

    name: str
    conv: Node
    edge: int
    zeros: int


def read(path: Path, _scale: int | None) -> ForeignNetwork:
    """Read a graph with one picture in and one out.

    Raises ``OSError`` for a file that cannot be opened, :class:`ModelError` naming the node that does not
    fit.
    """
    import onnx  # type: ignore[import-not-found, unused-ignore]

    path.open("rb").close()
    try:
        model = onnx.load(path)
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    except Exception as error:  # what a reader raises on damaged data is anybody's guess
        raise ModelError(f"is not an ONNX file, or a damaged one ({error})") from error
    # Old files list the weights among the inputs.
    inputs = [value for value in model.graph.input if value.name not in constants]
    outputs = [value.name for value in model.graph.output]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"expected a graph of one input and one output, got {len(inputs)} and {len(outputs)}"
        )
    # Of each axis its length, or an empty string for one that is not fixed.
    shape = [dim.dim_value or "" for dim in inputs[0].type.tensor_type.shape.dim]
    graph = _Graph(constants, inputs[0].name, shape)
    for node in model.graph.node:
        try:
            graph.add(node)
        except Exception as error:  # a malformed node lacks or holds anything
            raise ModelError(f"{node.op_type} {node.name or ', '.join(node.output)!r}: {error}") from error
    provenance = next((entry.value for entry in model.metadata_props if entry.key == "provenance"), "{}")
    return graph.finish(outputs[0], provenance)


class _Graph:
    """The network as far as its nodes have been read."""

    def __init__(self, constants: Mapping[str, _Constant], picture: str, shape: Sequence[int | str]) -> None:
        last = len(shape) == 4 and shape[3] == 1 != shape[1]
        if shape and (len(shape) != 4 or (not last and shape[1] not in (1, ""))):
            shown = ", ".join(str(side or "?") for side in shape)
            raise ModelError(f"expected luma (N, 1, H, W) or (N, H, W, 1) to go in, got ({shown})")
        axes = "nhw1" if last else "n1hw"
        self._constants = dict(constants)
        self._signals = {picture: _Signal(0, axes, np.array([[1], [-1]], np.float32))}
        self._layers: list[_Layer] = []
        self._paddings: set[Padding] = set()
        self._head: ForeignHead | None = None
        self._scale = 0
        self._stage = 0

    def finish(self, output: str, provenance: str) -> ForeignNetwork:
        """Tell the network whose picture is ``output``."""
        result = self._signals.get(output)
        if self._head is None or result is None or result.stage != self._stage:
            raise ModelError(
                f"expected a ConvTranspose or DepthToSpace to give the output {output!r}, got none"
            )
        if result.axes.strip("n1") != "hw":
            raise ModelError(f"expected the output to be of height and width, got it as {result.axes!r}")
        if len(self._paddings) > 1:
            raise ModelError("expected one padding for all convolutions, got zeros and repeated edges")
        padding: Padding = "replicate" if "replicate" in self._paddings else "zeros"
        try:
            told = json.loads(provenance)
        except (ValueError, RecursionError):
            told = {}
        layers = as_chain((layer.name, layer.conv) for layer in self._layers)
        return ForeignNetwork(
            layers, self._head, padding, self._scale, told if isinstance(told, dict) else {}
        )

    def add(self, node: Any) -> None:
        """Follow one node."""
        from onnx import helper

        known = self._constants.keys() | self._signals.keys()
        unknown = [name for name in node.input if name and name not in known]
        if unknown:
            raise ModelError(f"expected an input that is known here, got {unknown[0]!r}")
        if not any(name in self._signals for name in node.input):
            self._fold(node)
            return
        if any(i in self._signals for i in node.input[1:]) and node.op_type not in ("Add", "Sub", "Mul"):
            raise ModelError("expected a constant beside the first input, got what depends on the picture")
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        operands = [self._signals.get(i, self._constants.get(i)) for i in node.input]
        source = next(operand for operand in operands if isinstance(operand, _Signal))
        name = node.name or node.output[0]
        if node.op_type in _AXES_CHANGED:
            result = replace(source, axes=_AXES_CHANGED[node.op_type](source.axes, operands[1:], attributes))
        elif node.op_type == "Identity":
            result = source
        elif (bias := self._bias(node.op_type, operands)) is not None:
            result = self._add_bias(source, bias)
        elif self._head is not None:
            result = _after_head(node.op_type, source, operands[1:], attributes)
        elif node.op_type == "Conv":
            result = self._conv(name, source, operands[1:], attributes)
        elif node.op_type == "ConvTranspose":
            result = self._conv_transpose(name, source, operands[1:], attributes)
        elif node.op_type == "DepthToSpace":
            result = self._depth_to_space(source, attributes)
        elif node.op_type == "Pad":
            result = _pad(source, operands[1:], attributes)
        elif node.op_type in _ELEMENTWISE:
            result = _elementwise(node.op_type, operands, attributes)
        else:
            raise ModelError("an FSRCNN has no such node here")
        self._signals[node.output[0]] = result

    def _fold(self, node: Any) -> None:
        """Compute a node of constants."""
        from onnx.reference import ReferenceEvaluator  # type: ignore[import-not-found, unused-ignore]

        feeds = {name: self._constants[name] for name in node.input if name}
        try:
            results = ReferenceEvaluator(node).run(None, feeds)
        except Exception as error:  # as many kinds as there are operators
            raise ModelError(f"expected something that can be computed beforehand ({error})") from error
        self._constants |= {
            name: np.asarray(result) for name, result in zip(node.output, results, strict=False)
        }

    def _bias(self, kind: str, operands: Sequence[_Signal | _Constant | None]) -> _Constant | None:
        """Give the constant of a node that adds one to what the newest layer gives, as it is."""
        signals = [operand for operand in operands if isinstance(operand, _Signal)]
        constants = [operand for operand in operands if isinstance(operand, np.ndarray)]
        subtracted = kind == "Sub" and operands[0] is signals[0]
        if len(signals) != 1 or len(constants) != 1 or not (kind == "Add" or subtracted):
            return None
        bare = signals[0].bare and not any(signals[0].pads)
        if not bare or not signals[0].stage == self._stage > 0:
            return None
        return -constants[0] if subtracted else constants[0]

    def _add_bias(self, source: _Signal, bias: _Constant) -> _Signal:
        """Make ``bias`` one of the newest layer; what was without it cannot be used any more."""
        shape = source.values().shape[1:]
        if np.broadcast_shapes(shape, bias.shape) != shape:
            raise ModelError(f"expected one number per channel, got a constant of {bias.shape}")
        change = np.broadcast_to(bias.astype(np.float32), shape).ravel()
        if self._head is not None:
            self._head = replace(self._head, bias=self._head.bias + change)
        else:
            conv = self._layers[-1].conv
            self._layers[-1] = replace(self._layers[-1], conv=replace(conv, bias=conv.bias + change))
        self._stage += 1
        return replace(source, stage=self._stage)

    def _enter(self, source: _Signal) -> None:
        """Take ``source`` as what follows the newest layer, and give that its activation."""
        if source.stage != self._stage:
            raise ModelError("expected a chain of layers, got one that leaves out the layer before it")
        if source.axes[2:] != "hw" or source.axes[0] not in "n1" or source.axes[1] not in "c1":
            raise ModelError(f"expected an input with the axes 'nchw', got {source.axes!r}")
        if not self._layers:
            if not source.bare:
                raise ModelError("expected the picture itself for the first convolution, got it changed")
            return
        layer = self._layers[-1]
        if layer.edge and layer.zeros:
            raise ModelError(
                f"expected one padding for {layer.name!r}, got repeated edges and zeros around them"
            )
        if layer.edge or layer.zeros:
            self._paddings.add("replicate" if layer.edge else "zeros")
        at_one, at_minus_one = source.probe
        if not np.allclose(at_one, 1, rtol=0, atol=1e-6):
            gain = f"{at_one.max():g} times what is above 0"
            raise ModelError(f"expected {layer.name!r} to be followed by a PReLU, got {gain}")
        self._layers[-1] = replace(layer, conv=replace(layer.conv, slope=-at_minus_one))

    def _conv(
        self, name: str, source: _Signal, operands: Sequence[object], attributes: Mapping[str, Any]
    ) -> _Signal:
        self._enter(source)
        weight, bias = _weights(operands, attributes, of_outputs=0)
        if _ints(attributes, "strides", (1, 1)) != (1, 1):
            raise ModelError(f"expected strides of 1, got {attributes['strides']}")
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
        self._layers.append(_Layer(name, convolution(weight, bias, slope=1), edge, kernel // 2 - edge))
        self._stage += 1
        ones = np.ones(len(weight), np.float32)
        return _Signal(self._stage, "nchw", np.stack([ones, -ones]))

    def _conv_transpose(
        self, name: str, source: _Signal, operands: Sequence[object], attributes: Mapping[str, Any]
    ) -> _Signal:
        self._enter(source)
        weight, bias = _weights(operands, attributes, of_outputs=1)
        scale, other = _ints(attributes, "strides", (1, 1))
        explicit = attributes.get("auto_pad", b"NOTSET") == b"NOTSET" and "output_shape" not in attributes
        if scale != other or not explicit:
            raise ModelError("expected one stride and explicit pads")
        if len(set(source.pads)) > 1:
            raise ModelError(f"expected the same padding on every side, got {source.pads}")
        border = source.pads[0]
        # A border around the input moves the output by scale pixels each, to be cut off again by the pads.
        top, left, bottom, right = (pad - border * scale for pad in _ints(attributes, "pads", _NO_PADS))
        extra = _ints(attributes, "output_padding", (0, 0))
        if top != left or bottom - extra[0] != right - extra[1] or top < 0:
            raise ModelError(f"expected the same cut on every side, got {(top, left, bottom, right)}")
        if source.edge:
            self._paddings.add("replicate")
        else:
            border = 0
        full = border >= head_reach(weight.shape[2], top, scale)
        output_padding = extra[0] + top - bottom
        self._head = ForeignHead(name, weight, bias, top, output_padding, "full" if full else border)
        return self._finish_head(scale)

    def _depth_to_space(self, source: _Signal, attributes: Mapping[str, Any]) -> _Signal:
        bare = source.bare and not any(source.pads)
        if not bare or source.stage != self._stage or not self._layers or source.axes != "nchw":
            raise ModelError("expected a convolution right before it")
        layer = self._layers.pop()
        conv, scale = layer.conv, int(attributes["blocksize"])
        if conv.out_channels != scale**2:
            raise ModelError(f"expected {layer.name!r} to give {scale**2} channels, got {conv.out_channels}")
        # Of one output channel the two orders of the mode, DCR and CRD, are the same.
        head = sub_pixel_head(layer.name, conv.weight, conv.bias)
        if layer.edge:
            self._paddings.add("replicate")
        self._head = replace(head, border=layer.edge if layer.zeros else "full")
        return self._finish_head(scale)

    def _finish_head(self, scale: int) -> _Signal:
        self._scale = scale
        self._stage += 1
        return _Signal(self._stage, "n1hw", np.array([[1], [-1]], np.float32))


def _weights(
    operands: Sequence[object], attributes: Mapping[str, Any], of_outputs: int
) -> tuple[Array, Array]:
    """Weight and bias of a convolution without groups and dilation; ``of_outputs``: the axis of those."""
    weight = operands[0] if operands else None
    if not isinstance(weight, np.ndarray) or weight.ndim != 4 or 0 in weight.shape:
        raise ModelError(f"expected weights of 4 dimensions, got {getattr(weight, 'shape', None)}")
    if weight.shape[2] != weight.shape[3] or weight.dtype.kind != "f":
        raise ModelError(f"expected floats of square filters, got {weight.dtype} of shape {weight.shape}")
    if attributes.get("group", 1) != 1 or _ints(attributes, "dilations", (1, 1)) != (1, 1):
        raise ModelError("expected no groups and no dilation")
    count = weight.shape[of_outputs]
    bias = operands[1] if len(operands) > 1 else None
    if bias is None:
        bias = np.zeros(count, np.float32)
    if not isinstance(bias, np.ndarray) or bias.shape != (count,):
        raise ModelError(f"expected a bias of shape {(count,)}, got {getattr(bias, 'shape', None)}")
    return np.ascontiguousarray(weight, np.float32), bias.astype(np.float32)


def _conv_pads(attributes: Mapping[str, Any], kernel: int) -> tuple[int, ...]:
    if attributes.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        return 4 * (kernel // 2,)  # of odd filters; others are refused
    return _ints(attributes, "pads", _NO_PADS)


def _pad(source: _Signal, operands: Sequence[object], attributes: Mapping[str, Any]) -> _Signal:
    mode = attributes.get("mode", b"constant").decode()
    pads = operands[0] if operands else attributes.get("pads")  # an attribute before opset 11
    value = operands[1] if len(operands) > 1 else attributes.get("value", 0)
    axes = operands[2] if len(operands) > 2 else None
    zeros = mode == "constant" and (value is None or not np.any(np.asarray(value)))
    if not zeros and mode != "edge":
        raise ModelError(f"expected zeros or the repeated edge, got mode {mode!r} with value {value}")
    if any(source.pads):
        raise ModelError("expected one padding before a layer, got two")
    begin, end = np.reshape(np.asarray(pads, np.int64), (2, -1)).tolist()
    places = range(len(source.axes)) if axes is None else np.ravel(np.asarray(axes)).tolist()
    padded = zip((source.axes[place] for place in places), begin, end, strict=True)
    around = {axis: (before, after) for axis, before, after in padded if before or after}
    if not around.keys() <= {"h", "w"} or min(begin + end) < 0:
        raise ModelError(f"expected padding of height and width, got {begin} and {end}")
    (top, bottom), (left, right) = (around.get(axis, (0, 0)) for axis in "hw")
    total = top, left, bottom, right
    return replace(source, pads=total, edge=mode == "edge" and any(total))


def _elementwise(
    kind: str, operands: Sequence[_Signal | _Constant | None], attributes: Mapping[str, Any]
) -> _Signal:
    signals = [operand for operand in operands if isinstance(operand, _Signal)]
    constants = [operand for operand in operands if isinstance(operand, np.ndarray)]
    stage, axes = signals[0].stage, signals[0].axes
    if any(signal.stage != stage for signal in signals) or any(any(signal.pads) for signal in signals):
        raise ModelError(
            "expected an activation of one layer, got a sum with another or with something padded"
        )
    if (kind in ("Add", "Sub") and any(map(np.any, constants))) or (kind == "Mul" and len(signals) > 1):
        raise ModelError("expected an activation such as PReLU, got a sum with a constant or a product")
    shape = signals[0].values().shape[1:]
    probe = []
    for i in range(2):
        values = [operand.values()[i] if isinstance(operand, _Signal) else operand for operand in operands]
        try:
            result = np.asarray(_ELEMENTWISE[kind](*values, **attributes), np.float32)
        except (TypeError, ValueError) as error:
            raise ModelError(f"expected an activation such as PReLU ({error})") from error
        if result.shape != shape or any(signal.axes != axes for signal in signals):
            raise ModelError(
                f"expected one number per channel, got constants of {[c.shape for c in constants]}"
            )
        probe.append(result.ravel())
    return _Signal(stage, axes, np.stack(probe), bare=False)


def _transposed(axes: str, _operands: Sequence[Any], attributes: Mapping[str, Any]) -> str:
    return "".join(axes[place] for place in attributes["perm"])


def _unsqueezed(axes: str, operands: Sequence[Any], attributes: Mapping[str, Any]) -> str:
    places = _places(operands, attributes)
    rank = len(axes) + len(places)
    others = iter(axes)
    ones = {place % rank for place in places}
    return "".join("1" if place in ones else next(others) for place in range(rank))


def _squeezed(axes: str, operands: Sequence[Any], attributes: Mapping[str, Any]) -> str:
    ones = {place % len(axes) for place in _places(operands, attributes)}
    if any(axes[place] not in "1n" for place in ones):  # a batch that is squeezed out is of one picture
        raise ModelError(f"expected axes of length 1 to be left out, got {sorted(ones)} of {axes!r}")
    return "".join(axis for place, axis in enumerate(axes) if place not in ones)


def _reshaped(axes: str, operands: Sequence[Any], _attributes: Mapping[str, Any]) -> str:
    """Follow a reshape that adds and leaves out axes of length 1."""
    shape = np.ravel(operands[0]).tolist()
    kept = [axes[place] if length == 0 else "1" if length == 1 else "?" for place, length in enumerate(shape)]
    left = [axis for axis in axes if axis not in ["1", *kept]]
    if len(left) > kept.count("?") and left[0] == "n":  # a batch of one picture is a 1 in the shape
        del left[0]
    if len(left) == kept.count("?"):
        result = "".join(left.pop(0) if axis == "?" else axis for axis in kept)
        if result.replace("1", "").lstrip("n") == axes.replace("1", "").lstrip("n"):
            return result
    raise ModelError(f"expected a reshape that moves nothing, got {axes!r} reshaped to {shape}")


_AXES_CHANGED = {
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Reshape": _reshaped,
}


def _places(operands: Sequence[Any], attributes: Mapping[str, Any]) -> list[int]:
    """Axes that a node names, by an input or, before opset 13, an attribute."""
    return [int(place) for place in np.ravel(operands[0] if operands else attributes["axes"])]


def _after_head(
    kind: str, source: _Signal, operands: Sequence[object], attributes: Mapping[str, Any]
) -> _Signal:
    if kind == "Clip":
        # The core clips integers to their range anyway, and lets floats pass.
        low, high = operands if len(operands) == 2 else (attributes.get("min"), attributes.get("max"))
        if low is not None and high is not None and np.all(low == 0) and np.all(high == 1):
            return source
        raise ModelError(f"expected the output clipped to 0..1 or not at all, got {low}..{high}")
    raise ModelError("expected nothing after the head")


def _ints(attributes: Mapping[str, Any], key: str, default: tuple[int, ...]) -> tuple[int, ...]:
    values = tuple(map(int, attributes.get(key, default)))
    if len(values) != len(default):
        raise ModelError(f"expected {len(default)} {key}, got {list(values)}")
    return values
