"""Training of FSRCNN models: the extra ``train``, which needs PyTorch. Importing this package does not."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """``fsrcnn-rt train CONFIG [--data DIR] [--output FILE] [--resume] [--steps-limit N]``; returns the exit code."""
    try:
        from fsrcnn_rt.training.command import run
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "tomli"):
            raise
        print(f"fsrcnn-rt train: {error.name} is not installed: pip install 'fsrcnn-rt[train]'", file=sys.stderr)
        return 1
    return run(argv)
