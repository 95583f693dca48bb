from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from ours import fma_peak

# What the package must compute by definition, which its tests share.
sys.path.append(str(Path(__file__).parents[1] / "tests"))


@pytest.fixture(scope="session")
def peak_of() -> Callable[[str, int], float | None]:
    """Return the machine's best GFLOP/s in this run, for a kernel set and a number of threads."""
    return cache(fma_peak)
