"""``fsrcnn-rt train``: follow a recipe and write a model file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from fsrcnn_rt.model import save_model
from fsrcnn_rt.training.config import ConfigError, read_recipe
from fsrcnn_rt.training.data import DataError, data_folder
from fsrcnn_rt.training.export import to_model
from fsrcnn_rt.training.trainer import ResumeError, Training

__all__ = ["run"]


def run(argv: Sequence[str]) -> int:
    """Parse the arguments, train, write the model. Returns 0, 1 for a failure, 2 for a usage error, 130 if stopped."""
    options = _parser().parse_args(argv)
    output = Path(options.output or f"{options.config.stem}.safetensors")
    checkpoint, log = output.with_suffix(".checkpoint"), output.with_suffix(".log.csv")
    try:
        if not output.parent.is_dir():
            raise ConfigError(f"--output: no folder {output.parent}")
        if options.steps_limit is not None and options.steps_limit < 1:
            raise ConfigError(f"--steps-limit: expected at least 1, got {options.steps_limit}")
        recipe = read_recipe(options.config)
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
    except (DataError, ResumeError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail(f"stopped; continue with --resume from {checkpoint}", 130)
    print(f"{output} written" + ("" if done else "; the recipe is not done, continue with --resume"))
    return 0


def _fail(message: object, code: int) -> int:
    print(f"fsrcnn-rt train: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fsrcnn-rt train", description="Train a model by a recipe (TOML).")
    parser.add_argument("config", metavar="CONFIG", type=Path, help="recipe, such as weights/fsrcnn.toml")
    parser.add_argument(
        "--data", metavar="DIR", help="folder of the datasets (default: FSRCNN_RT_DATA, then ../shared/data)"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="model file; log and checkpoint go beside it (default: CONFIG's name here)"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint beside the output")
    parser.add_argument("--steps-limit", metavar="N", type=int, help="stop after N steps; --resume continues")
    return parser
