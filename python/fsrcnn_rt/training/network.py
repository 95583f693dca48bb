"""FSRCNN as a PyTorch function of its weights, and the over-parameterised form in which it trains best.

A network is a dictionary of tensors named as in the model file: ``trunk.<i>.weight`` (oc, ic, k, k), ``.bias`` (oc,),
``.slope`` (oc,), and per scale ``head.x<s>.weight`` (d, 1, 9, 9), ``.bias`` (1,). Whatever trains is collapsed to that
dictionary before it is applied, so what is evaluated and exported is what was trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["HEAD_PADS", "TrainableFsrcnn", "Weights", "deconv2d", "features", "upscale"]

Weights = dict[str, Tensor]

KERNEL = 9
# Where the 9x9 kernel lies on the output grid, as in the authors' models: pad and, to make the output exactly
# stride times the input, output_padding = stride - 9 + 2 * pad.
HEAD_PADS = {2: 4, 3: 3, 4: 4}


def layer_shapes(d: int, s: int, m: int) -> list[tuple[int, int, int]]:
    """(in channels, out channels, kernel) of the trunk: feature extraction, shrinking, m times mapping, expanding."""
    return [(1, d, 5), (d, s, 1), *[(s, s, 3)] * m, (s, d, 1)]


def features(weights: Weights, x: Tensor) -> Tensor:
    """The trunk: LR luma (N, 1, H, W) in 0..1 to features (N, d, H, W). Every layer replicates its input's edge."""
    x = x.contiguous(memory_format=torch.channels_last)
    index = 0
    while f"trunk.{index}.weight" in weights:
        weight = weights[f"trunk.{index}.weight"]
        reach = weight.shape[-1] // 2
        if reach:
            x = F.pad(x, (reach,) * 4, mode="replicate")
        x = F.conv2d(x, weight, weights[f"trunk.{index}.bias"])
        x = _prelu(x, weights[f"trunk.{index}.slope"])
        index += 1
    return x


def upscale(weights: Weights, x: Tensor, scale: int) -> Tensor:
    """The network: LR luma (N, 1, H, W) in 0..1 to (N, 1, scale * H, scale * W), not clipped."""
    return head(weights, features(weights, x), scale)


def head(weights: Weights, x: Tensor, scale: int) -> Tensor:
    """The deconvolution of one scale applied to features (N, d, H, W)."""
    return deconv2d(x, weights[f"head.x{scale}.weight"], weights[f"head.x{scale}.bias"], scale, HEAD_PADS[scale])


def deconv2d(x: Tensor, weight: Tensor, bias: Tensor, stride: int, pad: int) -> Tensor:
    """Transposed convolution (weight (ic, 1, 9, 9)) of the edge-replicated input, output exactly stride times it.

    Computed as the sub-pixel convolution it equals: each of the stride**2 output phases is a small convolution of the
    input with every stride-th tap of the kernel. Half the time of ``conv_transpose2d`` and exact to rounding.
    """
    before, after = tap_reach(stride, pad)
    taps = before + after + 1
    # out[stride * q + r] = sum over t of x[q + t] * kernel[r + pad - stride * t]; out of the kernel there is a zero.
    position = torch.arange(stride)[:, None] + pad - stride * torch.arange(-before, after + 1)
    inside = (position >= 0) & (position < KERNEL)
    position = position.clamp(0, KERNEL - 1)
    rows = weight[:, 0].index_select(1, position.flatten()) * inside.flatten()[:, None]
    both = rows.index_select(2, position.flatten()) * inside.flatten()
    phases = both.view(-1, stride, taps, stride, taps).permute(1, 3, 0, 2, 4).reshape(stride * stride, -1, taps, taps)
    x = F.pad(x, (before, after, before, after), mode="replicate")
    x = F.conv2d(x, phases.contiguous(memory_format=torch.channels_last), bias.expand(stride * stride))
    return F.pixel_shuffle(x, stride)


def tap_reach(stride: int, pad: int) -> tuple[int, int]:
    """How many input pixels before and after its own an output pixel of the head can depend on, per axis."""
    return (KERNEL - 1 - pad) // stride, (stride - 1 + pad) // stride


class TrainableFsrcnn(nn.Module):
    """The parameters being trained; :meth:`weights` is the network they stand for.

    With ``expansion`` = 0 they are the weights themselves. Otherwise every weight is a product of two linear maps with
    ``expansion`` channels between (collapsible linear blocks, Bhardwaj et al. 2022), the mapping layers around a
    fixed identity: the same set of functions, but one that descends faster and ends lower.

    Initial values: He et al. 2015 for the convolutions, a Gaussian of standard deviation 0.001 for the heads, slopes
    0.25 (section 3.3 of the paper and its references).
    """

    def __init__(self, d: int, s: int, m: int, scales: Iterable[int], expansion: int, seed: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self._shapes = layer_shapes(d, s, m)
        self._scales = tuple(scales)
        self._expanded = expansion > 0
        self.values = nn.ParameterDict()
        for index, (ic, oc, kernel) in enumerate(self._shapes):
            deviation = math.sqrt(2.0 / (ic * kernel * kernel * (1 + 0.25**2)))
            self._add(f"trunk.{index}", oc, (ic, kernel, kernel), deviation, expansion, random)
            self._set(f"trunk.{index}.bias", torch.zeros(oc))
            self._set(f"trunk.{index}.slope", torch.full((oc,), 0.25))
        for scale in self._scales:
            self._add(f"head.x{scale}", d, (1, KERNEL, KERNEL), 0.001, expansion, random)
            self._set(f"head.x{scale}.bias", torch.zeros(1))

    def _set(self, name: str, value: Tensor) -> None:
        self.values[name.replace(".", "/")] = nn.Parameter(value)  # a ParameterDict admits no dots

    def _add(
        self, name: str, rows: int, shape: tuple[int, int, int], deviation: float, expansion: int, random: torch.Generator
    ) -> None:
        if not expansion:
            self._set(f"{name}.weight", torch.randn(rows, *shape, generator=random) * deviation)
            return
        # Products of the two have the same variance as the plain weight would.
        self._set(f"{name}.outer", torch.randn(rows, expansion, generator=random) / math.sqrt(expansion))
        self._set(f"{name}.inner", torch.randn(expansion, *shape, generator=random) * deviation)

    def weights(self) -> Weights:
        """The network as plain weights, differentiable with respect to the parameters."""
        result = {name.replace("/", "."): value for name, value in self.values.items()}
        if self._expanded:
            names = [f"trunk.{i}" for i in range(len(self._shapes))] + [f"head.x{s}" for s in self._scales]
            for name in names:
                outer, inner = result.pop(f"{name}.outer"), result.pop(f"{name}.inner")
                weight = (outer @ inner.flatten(1)).view(-1, *inner.shape[1:])
                is_mapping = name.startswith("trunk") and inner.shape[-1] == 3
                result[f"{name}.weight"] = weight + _identity(weight) if is_mapping else weight
        return result


def _identity(weight: Tensor) -> Tensor:
    """The (c, c, k, k) weight that copies its input."""
    result = torch.zeros_like(weight)
    centre = weight.shape[-1] // 2
    result[:, :, centre, centre] = torch.eye(weight.shape[0])
    return result


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return _Prelu.apply(x, slope)  # type: ignore[no-any-return, no-untyped-call]


class _Prelu(torch.autograd.Function):
    """``F.prelu`` for channels-last tensors, whose own backward pass would take a third of every step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        negative = x.clamp(max=0)
        ctx.save_for_backward(negative, slope)
        return torch.addcmul(x, negative, slope.view(1, -1, 1, 1) - 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        negative, slope = ctx.saved_tensors
        grad_x = torch.addcmul(grad, grad * torch.sign(negative), (1 - slope).view(1, -1, 1, 1))
        channels = grad.shape[1]
        grad_slope = (grad * negative).permute(0, 2, 3, 1).reshape(-1, channels).sum(0)
        return grad_x, grad_slope
