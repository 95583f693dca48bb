from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from ours import fma_peak


@pytest.fixture(scope="session")
def peak_of() -> Callable[[str, int], float | None]:
    """Tell the machine's best GFLOP/s in this run, for a kernel set and a number of threads."""
    return cache(fma_peak)
