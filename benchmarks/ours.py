"""Our calls, ready to be timed, and what their times mean."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from fsrcnn_rt import Model, Upscaler, _core

Size: TypeAlias = tuple[int, int]  # width and height of the input
Samples = Literal["luma float32", "luma uint8", "RGB uint8"]
Precision = Literal["float32", "int16"]


def picture(size: Size, samples: Samples) -> npt.NDArray[Any]:
    """Make an input of random samples; the time does not depend on what the picture shows."""
    width, height = size
    shape = (height, width, 3) if samples.startswith("RGB") else (height, width)
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return (values / np.float32(255)).astype(np.float32) if samples.endswith("float32") else values


def prepare(
    upscaler: Upscaler, size: Size, scale: int | Sequence[int], samples: Samples = "luma float32"
) -> Callable[[], object]:
    """Make the call that is timed: from the input array to finished output arrays that were there before."""
    image = picture(size, samples)
    if isinstance(scale, int):
        out = upscaler.upscale(image, scale)
        return lambda: upscaler.upscale(image, scale, out=out)
    outs = upscaler.upscale(image, scale)
    return lambda: upscaler.upscale(image, scale, out=outs)


def gflops(model: Model, scale: int, size: Size, seconds: float) -> float:
    """Rate at which the network by its definition is computed, two operations per multiply-accumulate.

    However few operations the kernels really do.
    """
    return 2e-9 * model.macs_per_pixel(scale) * size[0] * size[1] / seconds


def fma_peak(isa: str, threads: int, seconds: float = 0.3) -> float | None:
    """Measure the best GFLOP/s of a float32 multiply-add loop; None where there is no such loop."""
    # The scalar twin is there to be read, not to be fast, and has no loop of its own.
    return None if isa == "reference" else _core.fma_peak(isa, threads, seconds)


def picture_size(text: str) -> Size:
    """Read a size of the command line."""
    try:
        width, height = map(int, text.split("x"))
    except ValueError:
        width = height = 0
    if min(width, height) < 1:
        raise ArgumentTypeError(f"{text!r} is not a width and a height such as 640x360")
    return width, height


def label(size: Size) -> str:
    """Write a size as people do."""
    return f"{size[0]}x{size[1]}"
