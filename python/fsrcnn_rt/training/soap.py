"""SOAP (Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Soap"]

FACTOR_DECAY = 0.95
REFRESH_EVERY = 10  # steps between two corrections of the eigenvectors
LONGEST_SIDE = 1024  # a longer one is not turned: its eigenvectors cost more than all the rest
EPSILON = 1e-12


class Soap(torch.optim.Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner, each weight as a matrix (first axis, the rest).

    Parameters of one axis get Adam itself. The first gradient only sets up the eigenvectors.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.99)
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step. ``closure`` must be None: the gradients are those that there are."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    change = self._change(self.state[parameter], parameter.grad, group["betas"])
                    parameter.sub_(change.view_as(parameter), alpha=group["lr"])

    def _change(self, state: dict[str, Any], gradient: Tensor, betas: tuple[float, float]) -> Tensor:
        is_matrix = gradient.ndim > 1
        if is_matrix:
            gradient = gradient.flatten(1)
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(gradient)
            state["square"] = torch.zeros_like(gradient)  # of the gradient in the eigenbasis
            if is_matrix:
                for side, rows in _sides(gradient):
                    factor = rows @ rows.T
                    state[side] = factor * (1 - FACTOR_DECAY)
                    state[f"{side}_basis"] = torch.linalg.eigh(factor)[1].flip(1)
                return torch.zeros_like(gradient)
        state["step"] += 1
        if is_matrix:
            for side, rows in _sides(gradient):
                state[side].lerp_(rows @ rows.T, 1 - FACTOR_DECAY)
            if state["step"] % REFRESH_EVERY == 0:
                self._refresh(state)
        seen = _turned(state, gradient)
        first, second = betas
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(seen, seen, value=1 - second)
        mean = state["mean"] / (1 - first ** state["step"])
        deviation = (state["square"] / (1 - second ** state["step"])).sqrt_().add_(EPSILON)
        return _turned(state, _turned(state, mean) / deviation, back=True)

    def _refresh(self, state: dict[str, Any]) -> None:
        """Bring the eigenvectors nearer to those of the factors of now: one round of orthogonal iteration."""
        for axis, side in enumerate(_SIDES):
            if side not in state:
                continue
            basis = state[f"{side}_basis"]
            turned = state[side] @ basis
            order = (basis * turned).sum(0).argsort(descending=True)
            state["square"] = state["square"].index_select(axis, order)
            state[f"{side}_basis"] = torch.linalg.qr(turned[:, order])[0]


_SIDES = ("left", "right")


def _sides(gradient: Tensor) -> list[tuple[str, Tensor]]:
    """Name the sides that are turned, each with the matrix whose rows are along it."""
    both = zip(_SIDES, (gradient, gradient.T), strict=True)
    return [(side, rows) for side, rows in both if len(rows) <= LONGEST_SIDE]


def _turned(state: dict[str, Any], matrix: Tensor, back: bool = False) -> Tensor:
    """Bring a gradient into the eigenbasis, or what was made there back."""
    for side in _SIDES:
        if side in state:
            basis = state[f"{side}_basis"].T if back else state[f"{side}_basis"]
            matrix = basis.T @ matrix if side == "left" else matrix @ basis
    return matrix
