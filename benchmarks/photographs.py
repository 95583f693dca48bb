"""Photographs that PSNR is measured on, where they are at hand."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from fsrcnn_rt.evaluation.protocol import Pair, list_images, load_luma, make_pair


def default_images(name: str = "Set14") -> Path:
    """Name one of the papers' test sets, where it is expected."""
    return Path(os.environ.get("FSRCNN_RT_DATA", "data")) / name


@cache
def set5(scale: int) -> tuple[Pair, ...]:
    """Read Set5 with its small pictures; empty where it is not there."""
    folder = default_images("Set5")
    return tuple(make_pair(load_luma(path), scale) for path in list_images(folder)) if folder.is_dir() else ()
