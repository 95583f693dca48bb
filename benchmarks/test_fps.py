"""Frames per second: ``pytest benchmarks/ --benchmark-only``; ``--benchmark-json=FILE`` keeps all figures.

Nothing here asserts a speed: a test fails only where a call fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Any, get_args

import fsrcnn_rt
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.engine.runtime import usable_cpus
from fsrcnn_rt.evaluation.speed import REAL_TIME_FPS
from networks import SCALES, shipped
from ours import Precision, Samples, Size, gflops, label, prepare

Peak = Callable[[str, int], float | None]

MODELS = ("fsrcnn", "fsrcnn-s")
SMALL: tuple[Size, ...] = ((120, 120), (240, 240), (320, 240), (640, 360))
LARGE: tuple[Size, ...] = ((1280, 720), (1920, 1080))
THREADS = sorted({1, usable_cpus()})
CASES = [*product(SMALL, SCALES), *product(LARGE, (2,))]
BEST = fsrcnn_rt.available_isas()[-1]

# Short, since there are many; a call of a large picture alone may take longer than this.
pytestmark = pytest.mark.benchmark(max_time=0.4, min_rounds=3, warmup=False)


@cache
def upscaler_of(model: str, threads: int, isa: str, precision: Precision) -> Upscaler:
    return Upscaler(shipped(model), threads=threads, isa=isa, precision=precision)


def measure(
    benchmark: Any,
    peak_of: Peak,
    upscaler: Upscaler,
    size: Size,
    scales: int | Sequence[int],
    call: Callable[[], object],
    *,
    samples: Samples = "luma float32",
) -> None:
    """Time ``call``, and record what its median means."""
    call()
    benchmark(call)
    if benchmark.stats is None:  # --benchmark-disable
        return
    time = benchmark.stats.stats.median
    peak = peak_of(upscaler.isa, upscaler.threads)
    # By its definition a network has one output, so for several scales there is no rate to compare.
    rate = gflops(upscaler.model, scales, size, time) if isinstance(scales, int) else None
    benchmark.extra_info |= {
        "fps": 1 / time,
        "model": upscaler.model.name,
        "size": label(size),
        "scale": scales if isinstance(scales, int) else list(scales),
        "threads": upscaler.threads,
        "isa": upscaler.isa,
        "precision": upscaler.precision,
        "channels": samples,
        "megapixels_per_second": size[0] * size[1] / time / 1e6,
        "direct_gflops": rate,
        "peak_gflops": peak,
        "peak_ratio": rate / peak if rate and peak else None,
        "real_time": 1 / time >= REAL_TIME_FPS,
    }


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(("size", "scale"), CASES, ids=[f"{label(size)}-x{scale}" for size, scale in CASES])
@pytest.mark.parametrize(
    ("samples", "precision"),
    [("luma float32", "float32"), ("RGB uint8", "float32"), ("RGB uint8", "int16")],
    ids=str,
)
@pytest.mark.parametrize("model", MODELS)
def test_one_scale(
    benchmark: Any,
    peak_of: Peak,
    model: str,
    samples: Samples,
    precision: Precision,
    size: Size,
    scale: int,
    threads: int,
) -> None:
    upscaler = upscaler_of(model, threads, BEST, precision)
    benchmark.group = f"{model}, {samples}, x{scale}, threads {threads}"
    call = prepare(upscaler, size, scale, samples)
    measure(benchmark, peak_of, upscaler, size, scale, call, samples=samples)


@pytest.mark.parametrize("how", ["one pass", "three calls"])
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("model", MODELS)
def test_three_scales(benchmark: Any, peak_of: Peak, model: str, threads: int, how: str) -> None:
    upscaler, size = upscaler_of(model, threads, BEST, "float32"), (240, 240)
    benchmark.group = f"{model}, x2 and x3 and x4, threads {threads}"
    if how == "one pass":
        call = prepare(upscaler, size, SCALES)
    else:
        calls = [prepare(upscaler, size, scale) for scale in SCALES]

        def call() -> object:
            return [one() for one in calls]

    measure(benchmark, peak_of, upscaler, size, SCALES, call)


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("isa", fsrcnn_rt.available_isas())
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("model", MODELS)
def test_kernel_sets(
    benchmark: Any, peak_of: Peak, model: str, threads: int, isa: str, precision: Precision
) -> None:
    upscaler, size, scale = upscaler_of(model, threads, isa, precision), (240, 240), 3
    benchmark.group = f"{model}, kernel sets, threads {threads}"
    call = prepare(upscaler, size, scale, "luma uint8")
    measure(benchmark, peak_of, upscaler, size, scale, call, samples="luma uint8")
