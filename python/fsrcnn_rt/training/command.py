"""``fsrcnn-rt train``: follow a recipe and write a model file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from fsrcnn_rt.evaluation.protocol import DatasetError
from fsrcnn_rt.model import save_model
from fsrcnn_rt.training import _parser
from fsrcnn_rt.training.config import ConfigError, read_recipe
from fsrcnn_rt.training.data import data_folder
from fsrcnn_rt.training.export import to_model
from fsrcnn_rt.training.trainer import ResumeError, Training

__all__ = ["run"]


def run(argv: Sequence[str]) -> int:
    """Train as ``argv`` says and write the model; returns the exit code."""
    options = _parser().parse_args(argv)
    output: Path = options.output or Path(f"{options.config.stem}.safetensors")
    checkpoint, log = output.with_suffix(".checkpoint"), output.with_suffix(".log.csv")
    try:
        if not output.parent.is_dir():
            raise ConfigError(f"--output: no folder {output.parent}")
        if options.steps_limit is not None and options.steps_limit < 1:
            raise ConfigError(f"--steps-limit: expected at least 1, got {options.steps_limit}")
        recipe = read_recipe(options.config, options.set)
        if checkpoint.exists() and not options.resume:
            raise ConfigError(f"{checkpoint} exists: continue it with --resume, or delete it")
    except (ConfigError, OSError) as error:
        return _fail(error, 2)
    # Subnormal numbers, which weights that fade away pass through, are computed many times slower.
    torch.set_flush_denormal(True)
    try:
        training = Training(recipe, data_folder(options.data), checkpoint, log)
        if options.resume:
            training.resume()
        done = training.run(options.steps_limit, report=lambda line: print(line, flush=True))
        save_model(to_model(training.average, recipe, training.figures), output)
    except (DatasetError, ResumeError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted" + (", continue with --resume" if checkpoint.exists() else ""), 130)
    print(f"{output} written" + ("" if done else "; the recipe is not done, continue with --resume"))
    return 0


def _fail(error: object, code: int) -> int:
    if isinstance(error, OSError) and error.filename:
        error = f"{error.filename}: {error.strerror}"
    print(f"fsrcnn-rt train: {error}", file=sys.stderr)
    return code
