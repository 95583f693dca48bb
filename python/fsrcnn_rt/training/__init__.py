"""Training of FSRCNN models: the extra ``train``, which needs PyTorch. Importing this package does not."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt train CONFIG``; returns 0, 1 for a failure, 2 for wrong usage, 130 if interrupted."""
    try:
        from fsrcnn_rt.training.command import run
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "tomli"):
            raise
        reason = f"{error.name} is not installed: pip install 'fsrcnn-rt[train]'"
        print(f"fsrcnn-rt train: {reason}", file=sys.stderr)
        return 1
    return run(argv)
