"""Reads PyTorch state dicts whose modules carry the usual names.

``first_part`` (or ``feature_extraction``) and ``mid_part`` (or ``shrink``, ``map``, ``expand``) hold
convolutions, each followed by a PReLU; ``last_part`` (or ``deconv``) holds a ``ConvTranspose2d``, or a
``Conv2d`` to stride * stride channels, whose pixel shuffle has no weights to show. An SRCNN is ``conv1`` to
``conv3``, with ReLUs between; an IDN has the names of the authors' file (see :mod:`from_caffe`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from fsrcnn_rt.convert.from_caffe import layer_names
from fsrcnn_rt.convert.network import (
    ForeignHead,
    ForeignNetwork,
    as_chain,
    convolution,
    idn_nodes,
    sub_pixel_head,
)
from fsrcnn_rt.convert.torch_file import TorchFile, kind_of
from fsrcnn_rt.errors import ModelError, brief
from fsrcnn_rt.model import Array, Node

_WRAPPERS = ("state_dict", "model_state_dict", "model", "params_ema", "params")
_STAGES = ("first_part", "feature_extraction", "shrink", "map", "mid_part", "expand", "last_part", "deconv")
_HEADS = ("last_part", "deconv")
_MAX_DEPTH = 8  # of a state dict in a checkpoint
_MAX_NAME = 200


def read(path: Path, _scale: int | None) -> ForeignNetwork:
    """Read a state dict, without running code that the file may hold.

    It tells neither the padding, nor how a transposed convolution is aligned: zeros and pad 4 are assumed.
    Raises ``OSError`` for a file that cannot be opened, :class:`ModelError` for one of other content.
    """
    with TorchFile(path) as file:
        modules = _modules(file)
    if modules.keys() == {"conv1", "conv2", "conv3"}:
        return _srcnn(modules)
    if {"upsample", "down1"} <= modules.keys():
        return _idn(modules)
    return _fsrcnn(modules)


def _srcnn(modules: Mapping[str, tuple[Array, Array | None]]) -> ForeignNetwork:
    layers = [(name, *_filters(name, *modules[name])) for name in ("conv1", "conv2", "conv3")]
    head = ForeignHead(*layers.pop())
    nodes = [(name, convolution(weight, bias, slope=0)) for name, weight, bias in layers]
    return ForeignNetwork(as_chain(nodes), head, "zeros", enlarged=True)


def _idn(modules: Mapping[str, tuple[Array, Array | None]]) -> ForeignNetwork:
    names = layer_names(modules)
    if differing := {*names, "upsample"} ^ modules.keys():
        raise ModelError(f"{min(differing)}: expected the modules of an IDN, and no others")
    nodes = idn_nodes([(name, *_filters(name, *modules[name])) for name in names])
    weight, bias = _filters("upsample", *modules["upsample"], outputs=1)
    head = ForeignHead("upsample", weight, bias, pad=weight.shape[2] // 2)
    return ForeignNetwork(nodes, head, "zeros", plus_bicubic=True)


def _filters(name: str, weight: Array, bias: Array | None, outputs: int = 0) -> tuple[Array, Array]:
    """Check the weights of a convolution, whose outputs are on the axis ``outputs``."""
    if weight.ndim != 4 or 0 in weight.shape:
        raise ModelError(f"{name}: expected the weights of a convolution, got shape {weight.shape}")
    return weight, _bias(name, bias, weight.shape[outputs])


def _fsrcnn(modules: dict[str, tuple[Array, Array | None]]) -> ForeignNetwork:
    for name in modules:
        if name.split(".")[0] not in _STAGES:
            raise ModelError(
                f"{name}: expected the modules of an FSRCNN (first_part, mid_part, last_part), of an SRCNN "
                "(conv1 to conv3) or of an IDN, got this"
            )
    head_name = next(reversed(modules))
    head_weight, head_bias = modules.pop(head_name)
    if head_name.split(".")[0] not in _HEADS:
        raise ModelError(
            f"{head_name}: expected {' or '.join(_HEADS)} to come last, got nothing of that name"
        )

    layers: list[tuple[str, Node]] = []
    pending = None  # the convolution whose PReLU is to come
    for name, (weight, bias) in modules.items():
        if (weight.ndim == 4) == (pending is not None):
            expected = "the weights of a convolution" if pending is None else f"the PReLU of {pending[0]}"
            raise ModelError(f"{name}: expected {expected}, got a weight of shape {weight.shape}")
        if pending is None:
            pending = name, weight, _bias(name, bias, len(weight))
            continue
        conv_name, filters, conv_bias = pending
        if bias is not None or weight.shape not in ((1,), (len(filters),)):
            got = f"a weight of shape {weight.shape}" + ("" if bias is None else " with a bias")
            raise ModelError(f"{name}: expected the 1 or {len(filters)} slopes of a PReLU, got {got}")
        layers.append(
            (conv_name, convolution(filters, conv_bias, np.broadcast_to(weight, (len(filters),)).copy()))
        )
        pending = None
    if pending is not None:
        raise ModelError(f"{pending[0]}: expected a PReLU after it, got {head_name}")
    return _network(layers, head_name, head_weight, head_bias)


def _network(layers: list[tuple[str, Node]], name: str, weight: Array, bias: Array | None) -> ForeignNetwork:
    d = layers[-1][1].out_channels if layers else 0
    if weight.ndim == 4 and weight.shape[2] == weight.shape[3]:
        if weight.shape[:2] == (d, 1):
            return ForeignNetwork(
                as_chain(layers), ForeignHead(name, weight, _bias(name, bias, 1), pad=4, border=0), "zeros"
            )
        phases, stride = len(weight), isqrt(len(weight))
        if stride > 1 and weight.shape[1] == d and stride**2 == phases and weight.shape[2] % 2:
            head = sub_pixel_head(name, weight, _bias(name, bias, phases))
            return ForeignNetwork(as_chain(layers), head, "zeros", scale=stride)
    raise ModelError(
        f"{name}: expected weights of shape ({d}, 1, k, k) of a transposed convolution, or "
        f"(s * s, {d}, k, k) before a pixel shuffle, got {weight.shape}"
    )


def _state_dict(content: Any) -> Mapping[str, Any]:
    """Find the state dict in what was saved, which a checkpoint holds among other things."""
    for _ in range(_MAX_DEPTH):
        if not isinstance(content, Mapping):
            raise ModelError(f"expected a state dict (names and tensors), got {kind_of(content)}")
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return content
        content = inner
    raise ModelError(f"expected a state dict (names and tensors), got one within {_MAX_DEPTH} others")


def _modules(file: TorchFile) -> dict[str, tuple[Array, Array | None]]:
    """Weight and bias of every module, in the order of the network, whatever the order of the file."""
    tensors: dict[str, dict[str, Array]] = {}
    for key, value in _state_dict(file.content).items():
        match = re.fullmatch(r"(?:module\.)*([a-z_]\w*(?:\.\d{1,4})*)\.(weight|bias)", str(key))
        if not match or len(key) > _MAX_NAME:
            raise ModelError(f"{brief(key)}: expected the modules of a network that is known, got this")
        if match[2] in tensors.setdefault(match[1], {}):
            raise ModelError(f"{key}: expected each tensor once, got it with and without 'module.'")
        tensors[match[1]][match[2]] = file.floats(key, value)

    def place(name: str) -> tuple[int, ...]:
        stage, *numbers = name.split(".")
        return _STAGES.index(stage) if stage in _STAGES else len(_STAGES), *map(int, numbers)

    modules = {}
    for name in sorted(tensors, key=place):
        if "weight" not in tensors[name]:
            raise ModelError(f"{name}: expected a weight, got a bias alone")
        modules[name] = tensors[name]["weight"], tensors[name].get("bias")
    if not modules:
        raise ModelError("expected the modules of a network, got none")
    return modules


def _bias(name: str, bias: Array | None, length: int) -> Array:
    if bias is None:
        return np.zeros(length, np.float32)
    if bias.shape != (length,):
        raise ModelError(f"{name}: expected a bias of shape {(length,)}, got {bias.shape}")
    return bias
