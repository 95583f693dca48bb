"""SOAP (Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Soap"]

FACTOR_DECAY = 0.95
REFRESH_EVERY = 10  # steps between two corrections of the eigenvectors
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
                for side, factor in (("left", gradient @ gradient.T), ("right", gradient.T @ gradient)):
                    state[side] = factor * (1 - FACTOR_DECAY)
                    state[f"{side}_basis"] = torch.linalg.eigh(factor)[1].flip(1)
                return torch.zeros_like(gradient)
        state["step"] += 1
        if is_matrix:
            state["left"].lerp_(gradient @ gradient.T, 1 - FACTOR_DECAY)
            state["right"].lerp_(gradient.T @ gradient, 1 - FACTOR_DECAY)
            if state["step"] % REFRESH_EVERY == 0:
                self._refresh(state)
            left, right = state["left_basis"], state["right_basis"]
            seen = left.T @ gradient @ right
        else:
            seen = gradient
        first, second = betas
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(seen, seen, value=1 - second)
        mean = state["mean"] / (1 - first ** state["step"])
        deviation = (state["square"] / (1 - second ** state["step"])).sqrt_().add_(EPSILON)
        change: Tensor = (
            left @ ((left.T @ mean @ right) / deviation) @ right.T if is_matrix else mean / deviation
        )
        return change

    def _refresh(self, state: dict[str, Any]) -> None:
        """Bring the eigenvectors nearer to those of the factors of now: one round of orthogonal iteration."""
        for axis, side in enumerate(("left", "right")):
            basis = state[f"{side}_basis"]
            turned = state[side] @ basis
            order = (basis * turned).sum(0).argsort(descending=True)
            state["square"] = state["square"].index_select(axis, order)
            state[f"{side}_basis"] = torch.linalg.qr(turned[:, order])[0]
