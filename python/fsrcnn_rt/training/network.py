"""A network as a PyTorch function of its weights: any :class:`~fsrcnn_rt.model.Architecture`.

Weights are a dictionary of tensors, named and shaped as in the model file (``Architecture.tensors``).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fsrcnn_rt.evaluation.metrics import imresize
from fsrcnn_rt.model import Architecture, Channels, Padding
from fsrcnn_rt.model.network import tap_reach

__all__ = ["Weights", "apply", "enlarge", "features", "subpixel_weight"]

Weights = dict[str, Tensor]


def apply(
    network: Architecture, weights: Weights, x: Tensor, scale: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Enlarge luma (N, 1, H, W) in 0..1 to (N, 1, scale * H, scale * W), float32.

    ``dtype``: what the convolutions compute in, float32 or bfloat16. The bicubic picture is float32 always.
    """
    soft = enlarge(x, scale) if network.enlarged or network.plus_bicubic else x
    weight, bias = weights[f"head.x{scale}.weight"], weights[f"head.x{scale}.bias"]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        last = features(network, weights, soft if network.enlarged else x)
        if network.enlarged:
            result = _convolve(last, weight, bias, network.padding)
        else:
            pad = network.heads[scale].pad
            before, after = tap_reach(weight.shape[-1], pad, scale)
            last = _extend(last, before, after, network.padding)
            phases = subpixel_weight(weight, scale, pad)
            result = functional.conv2d(last, phases, bias.expand(scale * scale))
    result = result.float()
    if not network.enlarged:
        result = functional.pixel_shuffle(result, scale)
    return result + soft if network.plus_bicubic else result


def features(network: Architecture, weights: Weights, x: Tensor) -> Tensor:
    """Apply all but the head: (N, planes, H, W) to (N, channels, H, W)."""
    results = [x.contiguous(memory_format=torch.channels_last)]

    def channels(part: Channels) -> Tensor:
        return results[part.of][:, part.first : part.first + part.count]

    for i, node in enumerate(network.nodes):
        weight, bias, slope = (weights[f"node.{i}.{part}"] for part in ("weight", "bias", "slope"))
        made = _convolve(channels(node.source), weight, bias, network.padding, node.groups)
        made = _activate(made, slope)
        if node.adds:
            made = made + torch.cat([channels(part) for part in node.adds], dim=1)
        results.append(made)
    return results[-1]


def enlarge(x: Tensor, scale: int) -> Tensor:
    """Enlarge (N, planes, H, W) by MATLAB's bicubic filter, neither rounded nor clipped."""
    rows, columns = (_enlarging(side, scale) for side in x.shape[2:])
    return rows @ x @ columns.T


def subpixel_weight(weight: Tensor, stride: int, pad: int) -> Tensor:
    """Arrange (ic, 1, k, k) as (stride**2, ic, taps, taps): a convolution for each phase of the output.

    Each takes every stride-th tap of the kernel. With the input extended by :func:`tap_reach` and the phases
    shuffled into place that is the transposed convolution whose output is exactly stride times its input.
    """
    kernel = weight.shape[-1]
    before, after = tap_reach(kernel, pad, stride)
    taps = before + after + 1
    # out[stride * q + r] is the sum over t of x[q + t] * kernel[r + pad - stride * t], t = -before..after.
    position = torch.arange(stride)[:, None] + pad - stride * torch.arange(-before, after + 1)
    position = position.flatten()
    inside = (position >= 0) & (position < kernel)
    position = position.clamp(0, kernel - 1)
    picked = weight[:, 0].index_select(1, position).index_select(2, position)
    picked = picked * (inside[:, None] & inside)
    phases = picked.view(-1, stride, taps, stride, taps).permute(1, 3, 0, 2, 4)
    return phases.reshape(stride * stride, -1, taps, taps)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, padding: Padding, groups: int = 1) -> Tensor:
    reach = weight.shape[-1] // 2
    if padding == "zeros":
        return functional.conv2d(x, weight, bias, padding=reach, groups=groups)
    return functional.conv2d(_extend(x, reach, reach, padding), weight, bias, groups=groups)


def _extend(x: Tensor, before: int, after: int, padding: Padding) -> Tensor:
    mode = "replicate" if padding == "replicate" else "constant"
    return functional.pad(x, (before, after, before, after), mode=mode)


def _activate(x: Tensor, slope: Tensor) -> Tensor:
    # A slope that does not train is one number for all channels, which is several times as fast.
    if not slope.requires_grad and bool((slope == slope[0]).all()):
        value = float(slope[0])
        return functional.leaky_relu(x, value, inplace=value > 0)
    return functional.prelu(x, slope)


@lru_cache(maxsize=64)
def _enlarging(side: int, scale: int) -> Tensor:
    """Make the matrix (scale * side, side) of the filter along one axis."""
    return torch.from_numpy(imresize(np.eye(side), shape=(scale * side, side)).astype(np.float32))
