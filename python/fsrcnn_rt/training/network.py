"""FSRCNN as a PyTorch function of its weights, and the over-parameterised form in which it trains best.

A network is a dictionary of tensors named as in the model file: ``trunk.<i>.weight`` (oc, ic, k, k),
``.bias`` (oc,), ``.slope`` (oc,), and per scale ``head.x<s>.weight`` (d, 1, 9, 9), ``.bias`` (1,). Whatever
trains is collapsed to that dictionary before it is applied: what is evaluated and exported is what was
trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from fsrcnn_rt import _core
from fsrcnn_rt.model.fsrcnn import HEAD_KERNEL

__all__ = [
    "HEAD_PADS",
    "TrainableFsrcnn",
    "Weights",
    "features",
    "loss_and_gradients",
    "subpixel_weight",
]

Weights = dict[str, Tensor]
_F32 = npt.NDArray[np.float32]

# Where the 9x9 kernel lies on the output grid, as in the authors' models: the pad. To make the output exactly
# stride times the input, output_padding is then stride - 9 + 2 * pad.
HEAD_PADS = {2: 4, 3: 3, 4: 4}
HEAD_DEVIATION = 0.001  # of the initial weights


def layer_shapes(d: int, s: int, m: int) -> list[tuple[int, int, int]]:
    """List (in, out, kernel) of the trunk: feature extraction, shrinking, m times mapping, expanding."""
    return [(1, d, 5), (d, s, 1), *[(s, s, 3)] * m, (s, d, 1)]


def features(weights: Weights, x: Tensor) -> Tensor:
    """Apply the trunk: LR luma (N, 1, H, W) in 0..1 to features (N, d, H, W). Edges are replicated."""
    index = 0
    while f"trunk.{index}.weight" in weights:
        weight = weights[f"trunk.{index}.weight"]
        reach = weight.shape[-1] // 2
        if reach:
            x = functional.pad(x, (reach,) * 4, mode="replicate")
        x = functional.conv2d(x, weight, weights[f"trunk.{index}.bias"])
        x = functional.prelu(x, weights[f"trunk.{index}.slope"])
        index += 1
    return x


def subpixel_weight(weight: Tensor, stride: int, pad: int) -> Tensor:
    """Arrange (ic, 1, 9, 9) as (stride**2, ic, taps, taps): a convolution for each phase of the output.

    Each takes every stride-th tap of the kernel. With edges replicated and the phases shuffled into place
    that is the transposed convolution whose output is exactly stride times its input.
    """
    before, after = tap_reach(stride, pad)
    taps = before + after + 1
    # out[stride * q + r] is the sum over t of x[q + t] * kernel[r + pad - stride * t], t = -before..after.
    position = torch.arange(stride)[:, None] + pad - stride * torch.arange(-before, after + 1)
    position = position.flatten()
    inside = (position >= 0) & (position < HEAD_KERNEL)
    position = position.clamp(0, HEAD_KERNEL - 1)
    picked = weight[:, 0].index_select(1, position).index_select(2, position)
    picked = picked * (inside[:, None] & inside)
    phases = picked.view(-1, stride, taps, stride, taps).permute(1, 3, 0, 2, 4)
    return phases.reshape(stride * stride, -1, taps, taps)


def loss_and_gradients(
    engine: _core.Gradients,
    weights: Weights,
    lr: _F32,
    hr: _F32,
    scale: int,
    loss: str,
    border: int,
    factor: float = 1.0,
    overshoot: float = 0.0,
) -> float:
    """Return the mean loss of a batch; add ``factor`` times its gradient to what ``weights`` were made of.

    ``lr`` is (N, P, P), ``hr`` (N, scale * P, scale * P), both in 0..1; ``border`` LR pixels along their
    edges do not count. ``overshoot``: what the loss of going beyond the 5x5 pixels around counts on top. The
    core does it in a quarter of the time that PyTorch takes.
    """
    layers = []
    index = 0
    while f"trunk.{index}.weight" in weights:
        layers.append([weights[f"trunk.{index}.{part}"] for part in ("weight", "bias", "slope")])
        index += 1
    head = subpixel_weight(weights[f"head.x{scale}.weight"], scale, HEAD_PADS[scale])
    layers.append([head, weights[f"head.x{scale}.bias"].expand(scale * scale), torch.ones(scale * scale)])
    arrays = [
        (w.numpy(), b.numpy(), s.numpy())
        for w, b, s in ([t.detach().contiguous() for t in layer] for layer in layers)
    ]
    value, gradients = engine.run(arrays, lr, hr, loss, border, torch.get_num_threads(), overshoot)
    tensors, of_tensors = [], []
    for layer, parts in zip(layers, gradients, strict=True):
        for tensor, gradient in zip(layer, parts, strict=True):
            if tensor.requires_grad:
                tensors.append(tensor)
                of_tensors.append(torch.from_numpy(gradient))
    torch._foreach_mul_(of_tensors, factor)
    torch.autograd.backward(tensors, of_tensors)
    return value


def tap_reach(stride: int, pad: int) -> tuple[int, int]:
    """Tell how many pixels before and after its own an output of the head can depend on, per axis."""
    return (HEAD_KERNEL - 1 - pad) // stride, (stride - 1 + pad) // stride


class TrainableFsrcnn(nn.Module):
    """The parameters being trained; :meth:`weights` is the network they stand for.

    With ``expansion`` = 0 they are the weights themselves. Otherwise every weight is a product of two linear
    maps with ``expansion`` channels between (Bhardwaj et al., "Collapsible Linear Blocks for Super-Efficient
    Super Resolution", 2022), in the mapping layers plus a fixed identity. That is the same set of functions,
    but one in which descent is faster and ends lower.

    Initial values: He et al. 2015 for the convolutions, a Gaussian of standard deviation 0.001 for the heads,
    as in the paper; slopes 0.25. Products start smaller, which makes the mapping layers start close to the
    identity: after a thousand steps that is worth 2 dB.
    """

    def __init__(self, d: int, s: int, m: int, scales: Iterable[int], expansion: int, seed: int) -> None:
        super().__init__()
        self._random = torch.Generator().manual_seed(seed)
        self._expansion = expansion
        self._factored: list[str] = []
        self.values = nn.ParameterDict()
        for index, (ic, oc, kernel) in enumerate(layer_shapes(d, s, m)):
            deviation = math.sqrt(2.0 / (ic * kernel * kernel * (1 + 0.25**2)))
            gain = 0.1 if kernel == 3 else 0.5
            self._add_weight(f"trunk.{index}.weight", oc, (ic, kernel, kernel), deviation, gain)
            self._set(f"trunk.{index}.bias", torch.zeros(oc))
            self._set(f"trunk.{index}.slope", torch.full((oc,), 0.25))
        for scale in scales:
            self._add_weight(f"head.x{scale}.weight", d, (1, HEAD_KERNEL, HEAD_KERNEL), HEAD_DEVIATION, 1.0)
            self._set(f"head.x{scale}.bias", torch.zeros(1))

    def weights(self) -> Weights:
        """Collapse to plain weights, differentiable with respect to the parameters."""
        result = {name.replace("/", "."): value for name, value in self.values.items()}
        for name in self._factored:
            outer, inner = result.pop(f"{name}.outer"), result.pop(f"{name}.inner")
            weight = (outer @ inner.flatten(1)).view(-1, *inner.shape[1:])
            result[name] = weight + _identity(weight) if weight.shape[-1] == 3 else weight
        return result

    def _set(self, name: str, value: Tensor) -> None:
        self.values[name.replace(".", "/")] = nn.Parameter(value)  # a ParameterDict admits no dots

    def _add_weight(
        self, name: str, rows: int, shape: tuple[int, int, int], deviation: float, gain: float
    ) -> None:
        if not self._expansion:
            self._set(name, torch.randn(rows, *shape, generator=self._random) * deviation)
            return
        self._factored.append(name)
        outer = torch.randn(rows, self._expansion, generator=self._random)
        self._set(f"{name}.outer", outer * gain / math.sqrt(self._expansion))
        self._set(f"{name}.inner", torch.randn(self._expansion, *shape, generator=self._random) * deviation)


def _identity(weight: Tensor) -> Tensor:
    """Make the weight (c, c, 3, 3) that copies its input."""
    result = torch.zeros_like(weight)
    result[:, :, 1, 1] = torch.eye(weight.shape[0])
    return result
