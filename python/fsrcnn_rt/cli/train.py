"""``fsrcnn-rt train``: follow a recipe and write a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsrcnn_rt.cli.arguments import FILES, ArgumentParser, tell
from fsrcnn_rt.cli.process import last_words
from fsrcnn_rt.errors import CommandError, UsageError


def main(argv: Sequence[str]) -> int:
    """Train as ``argv`` says and write the model; returns 0.

    Raises ``UsageError`` for wrong usage, ``CommandError`` where the training cannot go on.
    """
    options = parser().parse_args(argv)
    import torch

    from fsrcnn_rt.evaluation.protocol import DatasetError
    from fsrcnn_rt.model import save_model
    from fsrcnn_rt.training.config import ConfigError, read_recipe
    from fsrcnn_rt.training.data import data_folder
    from fsrcnn_rt.training.export import to_model
    from fsrcnn_rt.training.trainer import ResumeError, Training

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
        raise UsageError(_told(error)) from error
    # Subnormal numbers, which weights that fade away pass through, are computed many times slower.
    torch.set_flush_denormal(True)
    try:
        training = Training(recipe, data_folder(options.data), checkpoint, log)
        if options.resume:
            training.resume()
        with last_words():
            done = training.run(options.steps_limit, report=lambda line: print(line, flush=True))
        save_model(to_model(training.average, recipe, training.figures), output)
    except (DatasetError, ResumeError, OSError) as error:
        raise CommandError(_told(error)) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(", continue with --resume" if checkpoint.exists() else "") from None
    tell(f"{output} written" + ("" if done else "; the recipe is not done, continue with --resume"))
    return 0


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt train``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt train",
        description="Train a model by a recipe. Log and checkpoint are written beside the model file.",
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", type=Path, help="recipe (TOML), such as weights/fsrcnn.toml")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe: network.m=2, training.optimizer='adam', stage.steps=1000",
    )
    add(
        "--data",
        metavar="DIR",
        complete=[FILES],
        help="folder of the datasets (default: FSRCNN_RT_DATA, else ./data)",
    )
    add("-o", "--output", metavar="FILE", type=Path, help="model file (default: named as CONFIG, here)")
    add("--resume", action="store_true", help="continue from the checkpoint beside the model file")
    add("--steps-limit", metavar="N", type=int, help="stop after N steps, for --resume to continue")
    return parser
