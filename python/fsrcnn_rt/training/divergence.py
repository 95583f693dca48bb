"""Tells a training that has gone astray, and keeps the weights to fall back on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from fsrcnn_rt.training.config import Stage
from fsrcnn_rt.training.network import Weights

__all__ = ["Best", "DivergedError", "Watch"]

# The error of a batch varies by a few times. Its mean over so many patches does not, and falls in training.
WINDOW = 1024  # patches
LEAST = 256  # patches before the mean counts
FAR = 5.0  # times the lowest mean: of the pixels' error, not of its square
WORST = 1.0  # of a mean: white in place of black
FALL = 10.0  # dB below the best evaluation


class DivergedError(ArithmeticError):
    """A training whose loss is not finite, or far above what it was."""


@dataclass(frozen=True)
class Best:
    """Weights of the best evaluation so far."""

    step: int
    figures: dict[str, float]
    weights: Weights

    def told(self) -> str:
        """Name the figures."""
        return ", ".join(f"{scale} {value:.2f} dB" for scale, value in self.figures.items())


@dataclass
class Watch:
    """What there is to know of one stage: running mean of the error, its lowest value, the best weights."""

    mean: float = 0.0
    patches: int = 0
    lowest: float = math.inf
    best: Best | None = None

    def is_astray(self, loss: float, stage: Stage) -> bool:
        """Take the loss of a step; True where it is not finite, or its mean far beyond the lowest."""
        if not math.isfinite(loss):
            return True
        error = loss if stage.loss == "l1" else math.sqrt(loss)
        self.patches += stage.batch
        self.mean += (error - self.mean) * max(stage.batch / self.patches, min(1.0, stage.batch / WINDOW))
        if self.patches < LEAST:
            return False
        self.lowest = min(self.lowest, self.mean)
        return self.mean > min(FAR * self.lowest, WORST * (1 + stage.overshoot))

    def has_fallen(self, step: int, figures: dict[str, float], weights: Weights) -> bool:
        """Take an evaluation, and keep the weights if none were better; True where it is far below."""
        mean = sum(figures.values()) / len(figures)
        best = -math.inf if self.best is None else sum(self.best.figures.values()) / len(figures)
        if mean >= best:
            self.best = Best(step, figures, {name: value.clone() for name, value in weights.items()})
        return mean < best - FALL

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return asdict(self)

    @classmethod
    def of(cls, state: dict[str, Any]) -> Watch:
        """Make it of what a checkpoint has kept."""
        best = state["best"]
        return cls(**state | {"best": best and Best(**best)})
