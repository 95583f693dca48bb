"""Training of FSRCNN models: the extra ``train``, which needs PyTorch. Importing this package does not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fsrcnn_rt.cli.arguments import ArgumentParser
from fsrcnn_rt.errors import what_is_missing

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt train CONFIG``; returns 0, 1 for a failure, 2 for wrong usage, 130 if interrupted."""
    try:
        from fsrcnn_rt.training.command import run
    except ModuleNotFoundError as error:
        print(f"fsrcnn-rt train: {what_is_missing(error)}", file=sys.stderr)
        return 1
    return run(argv)


def _parser() -> ArgumentParser:
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
    add("--data", metavar="DIR", help="folder of the datasets (default: FSRCNN_RT_DATA, else ../shared/data)")
    add("-o", "--output", metavar="FILE", type=Path, help="model file (default: named as CONFIG, here)")
    add("--resume", action="store_true", help="continue from the checkpoint beside the model file")
    add("--steps-limit", metavar="N", type=int, help="stop after N steps, for --resume to continue")
    return parser
