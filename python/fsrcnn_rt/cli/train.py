"""``fsrcnn-rt train``: follow a recipe and write a model file."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fsrcnn_rt.cli.arguments import FILES, MODEL_WORDS, ArgumentParser, complain, tell
from fsrcnn_rt.cli.process import noted
from fsrcnn_rt.errors import CommandError, UsageError

if TYPE_CHECKING:
    from fsrcnn_rt.training.trainer import Training

# Seconds for the step in hand and a checkpoint after a signal. What runs containers waits ten, and kills.
PATIENCE = 9.0


def main(argv: Sequence[str]) -> int:
    """Train as ``argv`` says and write the model; returns 0.

    Raises ``UsageError`` for wrong usage, ``CommandError`` where the training cannot go on.
    """
    options = parser().parse_args(argv)
    import torch

    from fsrcnn_rt.evaluation.protocol import DatasetError
    from fsrcnn_rt.model import load
    from fsrcnn_rt.training.config import ConfigError, read_recipe
    from fsrcnn_rt.training.data import data_folder
    from fsrcnn_rt.training.trainer import ResumeError, Training

    output: Path = options.output or Path(f"{options.config.stem}.safetensors")
    checkpoint, log = output.with_suffix(".checkpoint"), output.with_suffix(".log.csv")
    try:
        _check(options, output, checkpoint)
        recipe = read_recipe(options.config, options.set)
        init = load(options.init) if options.init else None
    except (ConfigError, OSError) as error:
        raise UsageError(_told(error)) from error
    # Subnormal numbers, which weights that fade away pass through, are computed many times slower.
    torch.set_flush_denormal(True)
    try:
        data = data_folder(options.data)
        training = Training(recipe, data, checkpoint, log, threads=options.threads, init=init)
        with noted(PATIENCE) as is_asked_to_stop, _warnings_told():
            if options.resume:
                training.resume()
            done = _run(training, options.steps_limit, output, is_asked_to_stop)
        if is_asked_to_stop():
            raise KeyboardInterrupt(", continue with --resume" if checkpoint.exists() else "")
    except (DatasetError, ResumeError, OSError) as error:
        raise CommandError(_told(error)) from error
    tell(f"{output} written" + ("" if done else "; the recipe is not done, continue with --resume"))
    return 0


def _run(
    training: Training, steps_limit: int | None, output: Path, is_asked_to_stop: Callable[[], bool]
) -> bool:
    """Train and write the model, unless it is interrupted; True where the recipe is done."""
    from fsrcnn_rt.model import save_model
    from fsrcnn_rt.training.export import to_model
    from fsrcnn_rt.training.trainer import DivergedError

    def save() -> None:
        save_model(to_model(training.average, training.recipe, training.figures, training.init), output)

    try:
        done = training.run(steps_limit, tell, is_asked_to_stop)
    except DivergedError as error:
        if not training.figures:
            raise CommandError(str(error)) from error
        save()
        raise CommandError(f"{error}; {output} has them, take a lower learning_rate") from error
    if not is_asked_to_stop():
        save()
    return done


def _check(options: argparse.Namespace, output: Path, checkpoint: Path) -> None:
    """Raise ``UsageError`` for what cannot be, before any work."""
    if not output.parent.is_dir():
        raise UsageError(f"--output: no folder {output.parent}")
    if options.steps_limit is not None and options.steps_limit < 1:
        raise UsageError(f"--steps-limit: expected at least 1, got {options.steps_limit}")
    if checkpoint.exists() and not options.resume:
        raise UsageError(f"{checkpoint} exists: continue it with --resume, or delete it")
    if options.init and options.resume:
        raise UsageError(f"--init={options.init}: the checkpoint that --resume continues has begun already")
    if options.init and output.exists() and Path(options.init).exists() and output.samefile(options.init):
        raise UsageError(f"--output: {output} is what --init begins with, and would be overwritten")


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Print warnings as lines, as of pictures that are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: complain(message)
        yield


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
        help="folder of the recipe's datasets, or of your own pictures, which take their place and of which "
        "a tenth is for validation (default: FSRCNN_RT_DATA, else ./data)",
    )
    add(
        "--init",
        metavar="MODEL",
        complete=MODEL_WORDS,
        help="begin with these weights, of the recipe's network: fsrcnn, fsrcnn-s, another name or a file",
    )
    add("-o", "--output", metavar="FILE", type=Path, help="model file (default: named as CONFIG, here)")
    add("--resume", action="store_true", help="continue from the checkpoint beside the model file")
    add(
        "-j",
        "--threads",
        type=int,
        metavar="N",
        help="threads (default: the CPUs that this process may use); the weights are the same, but for IDN",
    )
    add("--steps-limit", metavar="N", type=int, help="stop after N steps, for --resume to continue")
    return parser
