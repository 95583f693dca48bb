"""Training of FSRCNN models: the extra ``train``, which needs PyTorch. Importing this package does not."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fsrcnn_rt.arguments import what_is_missing

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt train CONFIG``; returns 0, 1 for a failure, 2 for wrong usage, 130 if interrupted."""
    try:
        from fsrcnn_rt.training.command import run
    except ModuleNotFoundError as error:
        print(f"fsrcnn-rt train: {what_is_missing(error)}", file=sys.stderr)
        return 1
    return run(argv)
