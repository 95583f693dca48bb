"""Reads ONNX graphs that compute an FSRCNN, whichever way its activations and paddings are spelled.

The nodes are followed in their order. Between two convolutions a tensor may only pass operations that commute
with a positive factor (Relu, Abs, Neg, PRelu, sums, constant factors); whatever they are, they amount to a
PReLU, which their values at 1 and -1 tell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.convert.network import ForeignHead, ForeignNetwork, head_reach, sub_pixel_head
from fsrcnn_rt.errors import ModelError
from fsrcnn_rt.model import Activation, Array, Conv2d, Padding

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
_CHANNEL_FIRST_OR_LAST = ([0, 3, 1, 2], [0, 2, 3, 1])


@dataclass(frozen=True, eq=False)
class _Signal:
    """A tensor that depends on the picture: a function of what the newest layer gives, padded."""

    layers: int  # how many there were
    probe: Array  # (2, channels, 1, 1): what has become of 1 and of -1
    activation: Activation = "none"
    pads: _Pads = _NO_PADS
    edge: bool = False  # whether the pads repeat the edge


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
    inputs = [value.name for value in model.graph.input if value.name not in constants]
    outputs = [value.name for value in model.graph.output]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"expected a graph of one input and one output, got {len(inputs)} and {len(outputs)}"
        )
    graph = _Graph(constants, inputs[0])
    for node in model.graph.node:
        try:
            graph.add(node)
        except Exception as error:  # a malformed node lacks or holds anything
            raise ModelError(f"{node.op_type} {node.name or ', '.join(node.output)!r}: {error}") from error
    provenance = next((entry.value for entry in model.metadata_props if entry.key == "provenance"), "{}")
    return graph.finish(outputs[0], provenance)


class _Graph:
    """The network as far as its nodes have been read."""

    def __init__(self, constants: Mapping[str, _Constant], picture: str) -> None:
        self._constants = dict(constants)
        self._signals = {picture: _Signal(0, np.array([1, -1], np.float32).reshape(2, 1, 1, 1))}
        self._layers: list[tuple[str, Conv2d]] = []
        self._paddings: set[Padding] = set()
        self._head: ForeignHead | None = None
        self._scale = 0
        self._result: _Signal | None = None

    def finish(self, output: str, provenance: str) -> ForeignNetwork:
        """Tell the network whose picture is ``output``."""
        if self._head is None or self._signals.get(output) is not self._result:
            raise ModelError(
                f"expected a ConvTranspose or DepthToSpace to give the output {output!r}, got none"
            )
        if len(self._paddings) > 1:
            raise ModelError("expected one padding for all convolutions, got zeros and repeated edges")
        padding: Padding = "replicate" if "replicate" in self._paddings else "zeros"
        try:
            told = json.loads(provenance)
        except (ValueError, RecursionError):
            told = {}
        return ForeignNetwork(
            self._layers, self._head, padding, self._scale, told if isinstance(told, dict) else {}
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
        if source is self._result:
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
        elif _moves_nothing(node.op_type, source, attributes):
            result = source
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

    def _enter(self, source: _Signal) -> None:
        """Take ``source`` as what follows the newest layer, and give that its activation."""
        if source.layers != len(self._layers):
            raise ModelError("expected a chain of layers, got one that leaves out the layer before it")
        if not self._layers:
            if source.activation != "none":
                raise ModelError("expected the picture itself for the first convolution, got it changed")
            return
        name, layer = self._layers[-1]
        at_one, at_minus_one = source.probe[:, :, 0, 0]
        if not np.allclose(at_one, 1, rtol=0, atol=1e-6):
            raise ModelError(
                f"expected {name!r} to be followed by a PReLU, got {at_one.max():g} times what is above 0"
            )
        slope = -at_minus_one if source.activation == "prelu" else None
        self._layers[-1] = name, replace(layer, slope=slope, activation=source.activation)

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
        if any(pads) and any(source.pads) and source.edge:
            raise ModelError("expected one padding, got repeated edges and zeros around them")
        if kernel > 1:
            self._paddings.add("replicate" if source.edge else "zeros")
        self._layers.append((name, Conv2d(weight, bias, None, "none")))
        ones = np.ones((1, len(weight), 1, 1), np.float32)
        return _Signal(len(self._layers), np.concatenate([ones, -ones]))

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
        bare = source.activation == "none" and not any(source.pads)
        if not bare or source.layers != len(self._layers) or not self._layers:
            raise ModelError("expected a convolution right before it")
        name, conv = self._layers.pop()
        scale = int(attributes["blocksize"])
        if conv.out_channels != scale**2:
            raise ModelError(f"expected {name!r} to give {scale**2} channels, got {conv.out_channels}")
        # Of one output channel the two orders of the mode, DCR and CRD, are the same.
        self._head = sub_pixel_head(name, conv.weight, conv.bias)
        return self._finish_head(scale)

    def _finish_head(self, scale: int) -> _Signal:
        self._scale = scale
        self._result = _Signal(-1, np.empty((2, 1, 1, 1), np.float32))
        return self._result


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
    around = dict.fromkeys(range(4), (0, 0))
    places = range(4) if axes is None else [int(axis) % 4 for axis in np.ravel(np.asarray(axes))]
    around |= dict(zip(places, zip(begin, end, strict=True), strict=True))
    if any(around[0] + around[1]) or min(begin + end) < 0:
        raise ModelError(f"expected padding of height and width, got {begin} and {end}")
    total = around[2][0], around[3][0], around[2][1], around[3][1]
    return replace(source, pads=total, edge=mode == "edge" and any(total))


def _elementwise(
    kind: str, operands: Sequence[_Signal | _Constant | None], attributes: Mapping[str, Any]
) -> _Signal:
    signals = [operand for operand in operands if isinstance(operand, _Signal)]
    constants = [operand for operand in operands if isinstance(operand, np.ndarray)]
    layers = signals[0].layers
    if any(signal.layers != layers for signal in signals) or any(any(signal.pads) for signal in signals):
        raise ModelError(
            "expected an activation of one layer, got a sum with another or with something padded"
        )
    if (kind in ("Add", "Sub") and any(map(np.any, constants))) or (kind == "Mul" and len(signals) > 1):
        raise ModelError("expected an activation such as PReLU, got a sum with a constant or a product")
    values = [signal.probe if isinstance(signal, _Signal) else signal for signal in operands]
    try:
        probe = np.asarray(_ELEMENTWISE[kind](*values, **attributes), np.float32)
    except (TypeError, ValueError) as error:
        raise ModelError(f"expected an activation such as PReLU ({error})") from error
    if probe.shape != signals[0].probe.shape or any(c.ndim == 4 and len(c) > 1 for c in constants):
        raise ModelError(f"expected one number per channel, got constants of {[c.shape for c in constants]}")
    plain = kind == "Relu" and signals[0].activation == "none"
    return _Signal(layers, probe, "relu" if plain else "prelu")


def _moves_nothing(kind: str, source: _Signal, attributes: Mapping[str, Any]) -> bool:
    """Whether a node leaves every sample where it is; a picture of one channel has it first and last."""
    if kind == "Transpose":
        return source.probe.shape[1] == 1 and list(attributes.get("perm", [])) in _CHANNEL_FIRST_OR_LAST
    return kind == "Identity"


def _after_head(
    kind: str, source: _Signal, operands: Sequence[object], attributes: Mapping[str, Any]
) -> _Signal:
    if kind == "Clip":
        # The core clips integers to their range anyway, and lets floats pass.
        low, high = operands if len(operands) == 2 else (attributes.get("min"), attributes.get("max"))
        if low is not None and high is not None and np.all(low == 0) and np.all(high == 1):
            return source
        raise ModelError(f"expected the output clipped to 0..1 or not at all, got {low}..{high}")
    if _moves_nothing(kind, source, attributes):
        return source
    raise ModelError("expected nothing after the head")


def _ints(attributes: Mapping[str, Any], key: str, default: tuple[int, ...]) -> tuple[int, ...]:
    values = tuple(map(int, attributes.get(key, default)))
    if len(values) != len(default):
        raise ModelError(f"expected {len(default)} {key}, got {list(values)}")
    return values
