"""The head of least squared error for a frozen trunk, in closed form: its output is linear in its weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fsrcnn_rt.model import Architecture, HeadShape
from fsrcnn_rt.model.network import tap_reach
from fsrcnn_rt.training.data import PatchSampler
from fsrcnn_rt.training.network import Weights, features

__all__ = ["solve_head"]

ROWS_PER_UNKNOWN = 300
RIDGE = 1e-6  # relative to the mean square of the features; the sums are of float32 products


def solve_head(
    network: Architecture, weights: Weights, scale: int, sampler: PatchSampler, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Find weight (ic, 1, k, k) and bias (1,) of least squared error over patches drawn from ``sampler``.

    ``network`` tells where the head of ``scale`` lies; ``weights`` need not have it yet.
    """
    head = network.heads[scale]
    before, after = tap_reach(head.kernel, head.pad, scale)
    taps = before + after + 1
    normal, moments = torch.zeros(()), torch.zeros(())
    rows, unknowns = 0, 1
    while rows < ROWS_PER_UNKNOWN * unknowns:
        lr, hr = (torch.from_numpy(array) for array in sampler.draw(random))
        # A row per pixel: its window of the features and a 1 for the bias, against the phases of the output.
        windows = functional.unfold(features(network, weights, lr), taps)
        seen = functional.pad(windows, (0, 0, 0, 1), value=1.0).transpose(1, 2).flatten(0, 1)
        inner = (..., slice(before, lr.shape[2] - after), slice(before, lr.shape[3] - after))
        truth = functional.pixel_unshuffle(hr, scale)[inner].flatten(2).transpose(1, 2).flatten(0, 1)
        normal = normal + (seen.T @ seen).double()
        moments = moments + (seen.T @ truth).double()
        rows, unknowns = rows + len(seen), seen.shape[1]
    return _solve(normal, moments, scale, head, before, taps)


def _solve(
    normal: Tensor, moments: Tensor, scale: int, head: HeadShape, before: int, taps: int
) -> tuple[Tensor, Tensor]:
    """Solve for the head, given sums over pixels: windows by windows (k, k), windows by phases (k, scale**2).

    An output phase sees some taps of the window, through its own entries of the kernel. So there are scale**2
    problems, with blocks of one normal matrix, that have nothing but the bias in common: the weights of each
    are ``u - bias * v`` with ``block @ u = moments`` and ``block @ v = sums``.
    """
    sums, count = normal[-1, :-1], normal[-1, -1]
    normal = normal[:-1, :-1] + RIDGE * normal.diagonal()[:-1].mean() * torch.eye(len(sums))
    index = torch.arange(len(sums)).view(-1, taps, taps)

    position = torch.arange(scale)[:, None] + head.pad - scale * (torch.arange(taps) - before)
    solutions = []
    numerator = denominator = torch.zeros((), dtype=torch.float64)
    for phase in range(scale * scale):
        kernel_rows, kernel_columns = position[phase // scale], position[phase % scale]
        rows = ((kernel_rows >= 0) & (kernel_rows < head.kernel)).nonzero()[:, 0]
        columns = ((kernel_columns >= 0) & (kernel_columns < head.kernel)).nonzero()[:, 0]
        pick = index[:, rows[:, None], columns].flatten()
        right = torch.stack([moments[pick, phase], sums[pick]], dim=1)
        u, v = torch.cholesky_solve(right, torch.linalg.cholesky(normal[pick[:, None], pick])).unbind(1)
        numerator = numerator + moments[-1, phase] - sums[pick] @ u
        denominator = denominator + count - sums[pick] @ v
        solutions.append((kernel_rows[rows], kernel_columns[columns], u, v))

    bias = numerator / denominator
    weight = torch.zeros(len(index), head.kernel, head.kernel, dtype=torch.float64)
    for kernel_rows, kernel_columns, u, v in solutions:
        tile = (u - bias * v).view(-1, len(kernel_rows), len(kernel_columns))
        weight[:, kernel_rows[:, None], kernel_columns] = tile
    return weight[:, None].float(), bias.view(1).float()
