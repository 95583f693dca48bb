"""Follows a recipe: stages, optimiser, running average, evaluation, checkpoints."""

from __future__ import annotations

import csv
import io
import json
import math
import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from fsrcnn_rt.engine.runtime import resolve_isa, resolve_threads
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.evaluation.metrics import psnr
from fsrcnn_rt.evaluation.protocol import Pair, to_8bit
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.model import SCALES, Model
from fsrcnn_rt.training.config import ConfigError, Recipe, Stage, lay_out
from fsrcnn_rt.training.data import (
    PatchSampler,
    check_datasets,
    locate,
    names_used,
    training_pairs,
    validation_pairs,
)
from fsrcnn_rt.training.divergence import DivergedError, Watch
from fsrcnn_rt.training.export import to_model
from fsrcnn_rt.training.least_squares import solve_head
from fsrcnn_rt.training.loss import Losses
from fsrcnn_rt.training.network import Weights
from fsrcnn_rt.training.soap import Soap
from fsrcnn_rt.training.trainable import HEAD_DEVIATION, Trainable, starting_weights

__all__ = ["DivergedError", "ResumeError", "Training"]

# The edge of a patch is not the edge of a picture: what is made of replicated pixels there teaches little.
LOSS_BORDER = 2  # LR pixels
# A log also has rows after so many steps of the first stage, which a test replays in seconds. Rounding grows:
# with SOAP the loss is the same to 4 digits by AVX-512, AVX2 and SSE after 5 steps, to a tenth after 20.
REPLAY_STEPS = (5, 20)
SAVE_EVERY = 120.0  # seconds between two checkpoints, where none is due sooner
LOG_FIELDS = ("stage", "step", "seconds", "learning_rate", "loss", "psnr_x2", "psnr_x3", "psnr_x4")


class ResumeError(ValueError):
    """A checkpoint that does not belong to the recipe."""


class Training:
    """A recipe under way. ``average`` is the network so far: the running average of what is being trained.

    Everything that decides the next step is in the checkpoint, so a training that is interrupted and resumed
    makes the same weights, bit for bit, as one that is not (same machine, same version of PyTorch). Where the
    core computes the gradients the number of ``threads`` changes no bit, either. Where PyTorch does, as for
    IDN, it does.

    ``data``: the folder of the datasets, or of pictures that take their place (:func:`locate`). ``init``: a
    model to begin with; ``ModelError`` where it is not of the recipe's network.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Path,
        checkpoint: Path,
        log: Path,
        *,
        threads: int | None = None,
        init: Model | None = None,
    ) -> None:
        self._data, self.recipe = locate(data, recipe)
        self.average: Weights = {}
        self.figures: dict[str, float] = {}
        """Validation PSNR in dB by scale, keyed "x2", "x3", "x4", of ``average`` where a run ended."""
        self.init = None if init is None else init.name
        """Name of the model that this began with."""
        self._start = starting_weights(init, recipe.network) if init else {}
        self._checkpoint, self._log = checkpoint, log
        self._random = np.random.default_rng(recipe.seed)
        self._network: Trainable | _HeadsOnFrozenTrunk
        self._architecture = lay_out(recipe.network)
        self._threads = resolve_threads(threads)
        self._losses = Losses(
            self._architecture, resolve_isa(None), self._threads, getattr(torch, recipe.precision)
        )
        self._validation: dict[int, list[Pair]] = {}
        self._rows: list[dict[str, str]] = []
        self._names: dict[str, list[str]] = {}  # of pictures, by dataset
        self._watch = Watch()
        self._stage_index = 0
        self._step = -1  # steps done in this stage; -1: not begun
        self._total = 0
        self._seconds = 0.0
        self._loss_sum, self._loss_steps = 0.0, 0
        self._saved_at = 0.0

    def run(
        self,
        steps_limit: int | None = None,
        report: Callable[[str], None] = lambda line: None,
        is_asked_to_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train until the recipe is done, which makes it True, or for ``steps_limit`` more steps.

        It also ends, with a checkpoint, after the step in which ``is_asked_to_stop`` becomes true. ``report``
        is given a line about the pictures that are held out, and one at every evaluation. Raises, before the
        first step, ``DatasetError`` where a dataset of any stage cannot be used and ``ConfigError`` where the
        first stage freezes a trunk that there is not. ``DivergedError`` tells that the loss has gone astray:
        ``average`` and ``figures`` are then the best ones.
        """
        if self.recipe.stages[0].trains == "heads" and not self._start:
            raise ConfigError("stage.trains: the first stage must be 'all': there is no trunk to freeze yet")
        report(check_datasets(self._data, self.recipe))
        self._names = names_used(self._data, self.recipe)
        last = math.inf if steps_limit is None else self._total + steps_limit
        stages = self.recipe.stages
        self._saved_at = time.monotonic()

        def is_over() -> bool:
            return self._total >= last or is_asked_to_stop()

        with self._torch_threads():
            while self._stage_index < len(stages) and not is_over():
                if self._run_stage(stages[self._stage_index], is_over, report):
                    self._stage_index, self._step = self._stage_index + 1, -1
                self._save()
            if not is_asked_to_stop():
                self.figures = self._measure(
                    scale for scale in SCALES if f"head.x{scale}.weight" in self.average
                )
        return self._stage_index == len(stages)

    @contextmanager
    def _torch_threads(self) -> Iterator[None]:
        """Have PyTorch compute on one thread beside the core: its sums, which are short, depend on it."""
        before = torch.get_num_threads()
        torch.set_num_threads(1 if self._losses.by_core else self._threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _run_stage(self, stage: Stage, is_over: Callable[[], bool], report: Callable[[str], None]) -> bool:
        samplers = {}
        for scale in stage.scales:
            photographs, drawings = training_pairs(self._data, self.recipe, stage, scale)
            groups = [(1 - stage.drawn, photographs), (stage.drawn, drawings)]
            groups = [group for group in groups if group[0]]
            samplers[scale] = PatchSampler(groups, scale, stage.patch, stage.batch)

        if self._step < 0:
            self._begin(stage, samplers)
            self._evaluate(stage, report)
        began = time.perf_counter() - self._seconds
        while self._step < stage.steps:
            if is_over():
                return False
            turn = self._step % len(stage.scales)
            scale = stage.scales[turn]
            loss = self._train_step(stage, scale, stage.scale_weights[turn], samplers[scale])
            self._step, self._total = self._step + 1, self._total + 1
            if self._watch.is_astray(loss, stage):
                self._give_up(stage, f"the loss is {loss:.3g}")
            self._loss_sum, self._loss_steps = self._loss_sum + loss, self._loss_steps + 1
            due = self._step % self.recipe.evaluate_every == 0 or self._step == stage.steps
            self._seconds = time.perf_counter() - began
            if due or self._total in REPLAY_STEPS:
                self._evaluate(stage, report)
                self._save()
                began = time.perf_counter() - self._seconds
            elif time.monotonic() - self._saved_at > SAVE_EVERY:
                self._save()
        return True

    def _give_up(self, stage: Stage, why: str) -> NoReturn:
        """End a training that has gone astray with the best weights of this stage."""
        best = self._watch.best
        message = f"diverged at step {self._step} of stage {stage.name!r}: {why}"
        if best is None:
            raise DivergedError(message)
        self.average, self.figures = best.weights, best.figures
        raise DivergedError(f"{message}; the weights are those of step {best.step}: {best.told()}")

    def _begin(self, stage: Stage, samplers: dict[int, PatchSampler]) -> None:
        recipe = self.recipe
        self._watch = Watch()
        if stage.trains == "heads":
            self.average = self.average or {name: value.clone() for name, value in self._start.items()}
            random = torch.Generator().manual_seed(recipe.seed)
            for scale in stage.scales:
                weight, bias = f"head.x{scale}.weight", f"head.x{scale}.bias"
                if stage.least_squares:
                    self.average[weight], self.average[bias] = solve_head(
                        self._architecture, self.average, scale, samplers[scale], self._random
                    )
                elif weight not in self.average:
                    shape = self._architecture.tensors[weight]
                    value = torch.randn(shape, generator=random) * HEAD_DEVIATION
                    self.average[weight] = self._start.get(weight, value).clone()
                    self.average[bias] = self._start.get(bias, torch.zeros(1)).clone()
        if stage.trains == "heads" or self._total == 0:
            self._network = self._make_network(stage)
        if not self.average:
            self.average = {name: value.detach().clone() for name, value in self._network.weights().items()}
        self._optimizer = self._make_optimizer()
        self._step = 0

    def _make_network(self, stage: Stage) -> Trainable | _HeadsOnFrozenTrunk:
        if stage.trains == "heads":
            return _HeadsOnFrozenTrunk(self.average, stage.scales)
        r = self.recipe
        scales = sorted({scale for other in r.stages if other.trains == "all" for scale in other.scales})
        return Trainable(r.network, scales, r.expansion, r.seed, self._start)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        heads: list[nn.Parameter] = []
        convolutions: list[nn.Parameter] = []
        for name, value in self._network.named_parameters():
            (heads if "head" in name else convolutions).append(value)
        both = [{"params": convolutions, "rate": 1.0}, {"params": heads, "rate": self.recipe.head_rate}]
        groups: list[dict[str, Any]] = [group for group in both if group["params"]]
        if self.recipe.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=1e-3, momentum=0.9, foreach=True)
        if self.recipe.optimizer == "adam":
            return torch.optim.Adam(groups, betas=(0.9, 0.99), foreach=True)
        return Soap(groups)

    def _learning_rate(self, stage: Stage) -> float:
        first, final = stage.learning_rate
        return final + (first - final) * 0.5 * (1 + math.cos(math.pi * self._step / max(stage.steps, 1)))

    def _train_step(self, stage: Stage, scale: int, scale_weight: float, sampler: PatchSampler) -> float:
        rate = self._learning_rate(stage)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        self._optimizer.zero_grad()
        lr, hr = sampler.draw(self._random)
        loss = self._losses.backward(
            self._network.weights(),
            lr[:, 0],
            hr[:, 0],
            scale,
            stage.loss,
            LOSS_BORDER,
            scale_weight,
            stage.overshoot,
        )
        # The heads of other scales have no gradient.
        trained = [value for value in self._network.parameters() if value.grad is not None]
        nn.utils.clip_grad_norm_(trained, self.recipe.clip, foreach=True)
        self._optimizer.step()
        self._update_average()
        return loss

    def _update_average(self) -> None:
        # The average starts short and grows, or it would remember the initial values for thousands of steps.
        decay = min(self.recipe.average, (1 + self._total) / (10 + self._total))
        with torch.no_grad():
            now = self._network.weights()
            torch._foreach_lerp_([self.average[name] for name in now], list(now.values()), 1 - decay)

    def _measure(self, scales: Iterable[int]) -> dict[str, float]:
        """Return the PSNR on the validation images, by scale."""
        model = to_model(self.average, self.recipe, {})
        # The network alone: what is trained is to be good without a guard. The pictures are floats.
        upscaler = Upscaler(model, guard=False, precision="float32", threads=self._threads)
        figures = {}
        for scale in scales:
            if scale not in self._validation:
                self._validation[scale] = validation_pairs(self._data, self.recipe, scale)
            figures[f"x{scale}"] = round(mean_psnr(upscaler, self._validation[scale], scale), 4)
        return figures

    def _evaluate(self, stage: Stage, report: Callable[[str], None]) -> None:
        """Log the PSNR on the validation images."""
        if not all(bool(value.isfinite().all()) for value in self.average.values()):
            self._give_up(stage, "a weight is not finite")
        figures = self._measure(stage.scales)
        mean_loss = self._loss_sum / self._loss_steps if self._loss_steps else math.nan
        self._loss_sum, self._loss_steps = 0.0, 0
        row = {"stage": stage.name, "step": str(self._step), "seconds": f"{self._seconds:.0f}"}
        row |= {"learning_rate": f"{self._learning_rate(stage):.3g}", "loss": f"{mean_loss:.4g}"}
        row |= {f"psnr_{scale}": f"{value:.4f}" for scale, value in figures.items()}
        self._rows.append(row)
        report("  ".join(f"{key} {value}" for key, value in row.items()))
        has_fallen = self._watch.has_fallen(self._step, figures, self.average)
        if has_fallen and self._total > REPLAY_STEPS[-1]:  # the first steps of all may be too large
            self._give_up(stage, "the PSNR has fallen")

    def _save(self) -> None:
        state = {
            "recipe": json.dumps(asdict(self.recipe)),
            "stage_index": self._stage_index,
            "step": self._step,
            "total": self._total,
            "seconds": self._seconds,
            "loss": (self._loss_sum, self._loss_steps),
            "random": json.dumps(self._random.bit_generator.state),
            "average": self.average,
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "watch": self._watch.state(),
            "start": (self.init, self._start),
            "pictures": json.dumps(self._names),
            "rows": self._rows,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with atomic_write(self._checkpoint) as file:
            file.write(buffer.getvalue())
        text = io.StringIO()
        writer = csv.DictWriter(text, LOG_FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        with atomic_write(self._log) as file:
            file.write(text.getvalue().encode())
        self._saved_at = time.monotonic()

    def resume(self) -> None:
        """Continue from the checkpoint. Raises ``OSError``, or ``ResumeError`` for one that does not fit.

        What is ahead may have changed since: later stages, and the steps of one with a constant rate.
        """
        try:
            state: dict[str, Any] = torch.load(self._checkpoint, weights_only=True)
            self._restore(state)
        except (RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise ResumeError(
                f"resume: {self._checkpoint} is not a checkpoint of this version, or a damaged one"
            ) from error

    def _restore(self, state: dict[str, Any]) -> None:
        self._stage_index, self._step, self._total = state["stage_index"], state["step"], state["total"]
        if self._past(json.loads(state["recipe"])) != self._past(json.loads(json.dumps(asdict(self.recipe)))):
            raise ResumeError(f"resume: {self._checkpoint} was written by another recipe")
        self._check_pictures(json.loads(state["pictures"]))
        self._seconds = state["seconds"]
        self._loss_sum, self._loss_steps = state["loss"]
        self._random.bit_generator.state = json.loads(state["random"])
        self.average, self._rows = state["average"], state["rows"]
        self.init, self._start = state["start"]
        self._watch = Watch.of(state["watch"])
        # Between two stages the network is still that of the one before.
        index = self._stage_index if self._step >= 0 else self._stage_index - 1
        with self._torch_threads():
            self._network = self._make_network(self.recipe.stages[index])
        self._network.load_state_dict(state["network"])
        self._optimizer = self._make_optimizer()
        self._optimizer.load_state_dict(state["optimizer"])

    def _check_pictures(self, before: dict[str, list[str]]) -> None:
        """Raise ``ResumeError`` where there are others: what is drawn and what is held out depends on all."""
        for dataset, names in names_used(self._data, self.recipe).items():
            if changed := set(before.get(dataset, names)) ^ set(names):
                verb = "is new" if min(changed) in names else "is missing"
                count = f"{len(changed)} in all"
                raise ResumeError(f"resume: {dataset} has changed: {min(changed)} {verb}, {count}")

    def _past(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """Keep what has decided the steps so far."""
        stages = recipe["stages"]
        scales = sorted({scale for stage in stages if stage["trains"] == "all" for scale in stage["scales"]})
        past = [dict(stage) for stage in stages[: self._stage_index + (self._step >= 0)]]
        if past and self._step >= 0:
            first, final = past[-1]["learning_rate"]
            if first == final and past[-1]["steps"] >= self._step:
                del past[-1]["steps"]
        return recipe | {"stages": past, "scales": scales}


def mean_psnr(upscaler: Upscaler, pairs: list[Pair], scale: int) -> float:
    """Mean PSNR in dB over ``pairs`` by the protocol: rounded to 8 bit, ``scale`` pixels shaved."""
    values = [psnr(to_8bit(upscaler.upscale(lr, scale)), hr, shave=scale) for hr, lr in pairs]
    return float(np.mean(values))


class _HeadsOnFrozenTrunk(nn.Module):
    """Heads that train as plain weights on a trunk that does not."""

    def __init__(self, weights: Weights, scales: tuple[int, ...]) -> None:
        super().__init__()
        self._trunk = {name: value.clone() for name, value in weights.items() if name.startswith("node.")}
        names = [f"head.x{scale}.{part}" for scale in scales for part in ("weight", "bias")]
        self.values = nn.ParameterDict({n.replace(".", "/"): nn.Parameter(weights[n].clone()) for n in names})

    def weights(self) -> Weights:
        return self._trunk | {name.replace("/", "."): value for name, value in self.values.items()}
