"""The loss of a batch of patches and its gradients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from fsrcnn_rt import _core
from fsrcnn_rt.model import Architecture, chain
from fsrcnn_rt.training.network import Weights, apply, enlarge, subpixel_weight

__all__ = ["OVERSHOOT_TOLERANCE", "Losses"]

_F32 = npt.NDArray[np.float32]

# An output overshoots where it is beyond the 5x5 pixels of the input around it by more than this part of
# their range; kTolerance of the core.
OVERSHOOT_TOLERANCE = 0.15


class Losses:
    """Computes losses of ``network``: by the core where it can, which takes a quarter of PyTorch's time.

    The core trains chains of convolutions that replicate the edges: FSRCNN, its transition states, SRCNN.
    ``threads`` are the core's, and change no bit of what it computes; PyTorch has its own. ``dtype``: what
    PyTorch's convolutions compute in; the core's are float32.
    """

    def __init__(
        self, network: Architecture, isa: str, threads: int = 1, dtype: torch.dtype = torch.float32
    ) -> None:
        self._network, self._threads, self._dtype = network, threads, dtype
        self._engine = _core.Gradients(isa) if is_chain(network) else None

    @property
    def by_core(self) -> bool:
        """Whether the core computes them, and not PyTorch."""
        return self._engine is not None

    def backward(
        self,
        weights: Weights,
        lr: _F32,
        hr: _F32,
        scale: int,
        loss: str,
        border: int,
        factor: float = 1.0,
        overshoot: float = 0.0,
    ) -> float:
        """Return the mean loss of a batch, and lead ``factor`` times its gradient back to the parameters.

        ``lr`` is (N, P, P), ``hr`` (N, scale * P, scale * P), both in 0..1; ``border`` LR pixels along their
        edges do not count. ``overshoot``: what the loss of going beyond the 5x5 pixels around counts on top;
        around are those that the network reads, in SRCNN those of the bicubic picture.
        """
        if self._engine is not None:
            return self._by_core(self._engine, weights, lr, hr, scale, loss, border, factor, overshoot)
        x = torch.from_numpy(lr)[:, None]
        result = apply(self._network, weights, x, scale, self._dtype)
        side = slice(scale * border, scale * (lr.shape[1] - border))
        inner = (..., side, side)
        value = _mean(loss, (result - torch.from_numpy(hr)[:, None])[inner])
        if overshoot:
            value = value + overshoot * _mean(loss, _beyond(result, x, scale)[inner])
        torch.autograd.backward(factor * value)
        return float(value.detach())

    def _by_core(
        self,
        engine: _core.Gradients,
        weights: Weights,
        lr: _F32,
        hr: _F32,
        scale: int,
        loss: str,
        border: int,
        factor: float,
        overshoot: float,
    ) -> float:
        network = self._network
        layers = [
            [weights[f"node.{i}.{part}"] for part in ("weight", "bias", "slope")]
            for i in range(len(network.nodes))
        ]
        head, bias = weights[f"head.x{scale}.weight"], weights[f"head.x{scale}.bias"]
        if network.enlarged:
            lr, border = enlarge(torch.from_numpy(lr)[:, None], scale)[:, 0].numpy(), scale * border
            layers.append([head, bias, torch.ones(1)])
        else:
            phases = subpixel_weight(head, scale, network.heads[scale].pad)
            layers.append([phases, bias.expand(scale * scale), torch.ones(scale * scale)])
        arrays = [
            (w.numpy(), b.numpy(), s.numpy())
            for w, b, s in ([t.detach().contiguous() for t in layer] for layer in layers)
        ]
        value, gradients = engine.run(arrays, lr, hr, loss, border, self._threads, overshoot)
        tensors, of_tensors = [], []
        for layer, parts in zip(layers, gradients, strict=True):
            for tensor, gradient in zip(layer, parts, strict=True):
                if tensor.requires_grad:
                    tensors.append(tensor)
                    of_tensors.append(torch.from_numpy(gradient))
        torch._foreach_mul_(of_tensors, factor)
        torch.autograd.backward(tensors, of_tensors)
        return value


def is_chain(network: Architecture) -> bool:
    """Whether each convolution reads what the one before it makes, and nothing is added."""
    plain = chain((node.out, node.kernel) for node in network.nodes)
    return network.nodes == plain and network.padding == "replicate" and not network.plus_bicubic


def _mean(loss: str, error: Tensor) -> Tensor:
    return error.abs().mean() if loss == "l1" else error.square().mean()


def _beyond(result: Tensor, x: Tensor, scale: int) -> Tensor:
    """Return how far ``result`` leaves the range, widened, of the 5x5 pixels of ``x`` around; 0 within it."""
    around = functional.pad(x, (2, 2, 2, 2), mode="replicate")
    high, low = functional.max_pool2d(around, 5, 1), -functional.max_pool2d(-around, 5, 1)
    more = OVERSHOOT_TOLERANCE * (high - low)
    high, low = (functional.interpolate(t, scale_factor=scale) for t in (high + more, low - more))
    return functional.relu(result - high) + functional.relu(low - result)
