"""The head of least squared error for a frozen trunk, in closed form: its output is linear in its weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from fsrcnn_rt.training.data import PatchSampler
from fsrcnn_rt.training.network import HEAD_PADS, KERNEL, Weights, features, tap_reach

__all__ = ["solve_head"]

ROWS_PER_UNKNOWN = 300
RIDGE = 1e-6


def solve_head(
    weights: Weights, scale: int, sampler: PatchSampler, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (d, 1, 9, 9) and bias (1,) that minimise the mean squared error over patches drawn from ``sampler``.

    Output phase (r, c) of the deconvolution sees its own taps of the kernel, so the problem falls apart into scale**2
    of them that share the bias and whose normal matrices are blocks of one: that of all features within reach.
    """
    before, after = tap_reach(scale, HEAD_PADS[scale])
    taps = before + after + 1
    depth = sum(1 for name in weights if name.startswith("trunk.") and name.endswith(".bias"))
    channels = weights[f"trunk.{depth - 1}.bias"].shape[0]
    unknowns = channels * taps * taps

    normal = torch.zeros(unknowns + 1, unknowns + 1, dtype=torch.float64)
    moments = torch.zeros(unknowns + 1, scale * scale, dtype=torch.float64)
    rows = 0
    while rows < ROWS_PER_UNKNOWN * unknowns:
        lr, hr = (torch.from_numpy(array) for array in sampler.draw(random))
        seen = F.unfold(features(weights, lr), taps).transpose(1, 2).reshape(-1, unknowns)
        seen = torch.cat([seen, torch.ones(len(seen), 1)], dim=1)
        height, width = lr.shape[2] - taps + 1, lr.shape[3] - taps + 1
        target = F.pixel_unshuffle(hr, scale)[:, :, before : before + height, before : before + width]
        target = target.permute(0, 2, 3, 1).reshape(-1, scale * scale)
        normal += seen.T @ seen
        moments += seen.T @ target
        rows += len(seen)
    return _solve(normal, moments, channels, scale, _phase_taps(scale, before, taps))


def _phase_taps(scale: int, before: int, taps: int) -> Callable[[int], tuple[list[int], list[int]]]:
    """For an output phase along one axis: which taps of the window it sees, and the kernel positions they carry."""

    def phase(r: int) -> tuple[list[int], list[int]]:
        position = [r + HEAD_PADS[scale] - scale * (t - before) for t in range(taps)]
        seen = [t for t in range(taps) if 0 <= position[t] < KERNEL]
        return seen, [position[t] for t in seen]

    return phase


def _solve(
    normal: torch.Tensor,
    moments: torch.Tensor,
    channels: int,
    scale: int,
    phase_taps: Callable[[int], tuple[list[int], list[int]]],
) -> tuple[torch.Tensor, torch.Tensor]:
    unknowns = len(normal) - 1
    taps = round((unknowns // channels) ** 0.5)
    index = torch.arange(unknowns).view(channels, taps, taps)
    count, sums = normal[-1, -1], normal[:-1, -1]
    ridge = RIDGE * normal.diagonal()[:-1].mean()

    # Per phase p: w_p = u_p - bias * v_p with A_p u_p = moments_p and A_p v_p = sums_p.
    phases = []
    numerator = denominator = torch.zeros((), dtype=torch.float64)
    for r in range(scale):
        for c in range(scale):
            (rows, kernel_rows), (columns, kernel_columns) = phase_taps(r), phase_taps(c)
            pick = index[:, rows][:, :, columns].flatten()
            block = normal[pick][:, pick] + ridge * torch.eye(len(pick), dtype=torch.float64)
            target = moments[:, r * scale + c]
            both = torch.stack([target[pick], sums[pick]], dim=1)
            u, v = torch.cholesky_solve(both, torch.linalg.cholesky(block)).unbind(1)
            numerator = numerator + target[-1] - sums[pick] @ u
            denominator = denominator + count - sums[pick] @ v
            phases.append((u, v, kernel_rows, kernel_columns))

    bias = numerator / denominator
    weight = torch.zeros(channels, KERNEL, KERNEL, dtype=torch.float64)
    for u, v, kernel_rows, kernel_columns in phases:
        tile = (u - bias * v).view(channels, len(kernel_rows), len(kernel_columns))
        weight[:, torch.tensor(kernel_rows)[:, None], torch.tensor(kernel_columns)] = tile
    return weight[:, None].float(), bias.view(1).float()
