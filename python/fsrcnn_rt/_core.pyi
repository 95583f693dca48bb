"""Compiled core of fsrcnn-rt. Private: use :mod:`fsrcnn_rt` instead.

Arrays are checked again here; a violated condition raises ``ValueError`` or ``TypeError``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_F32 = npt.NDArray[np.float32]
_Channels = tuple[int, int, int]
_Box = tuple[int, int, int, int]  # left, top, right, bottom

def available_isas() -> list[str]:
    """Names of the kernel sets this processor runs, slowest first: reference, baseline, avx2 .."""

def gather_rows(row: int, kernel: int, height: int, padding: str) -> list[int]:
    """Source rows that the ``kernel`` taps of output row ``row`` read; -1 is the row of zeros."""

def fma_peak(isa: str, threads: int, seconds: float) -> float:
    """Best float32 rate in GFLOP/s of a loop of multiply-adds on ``threads`` threads, or fewer."""

def changed_parts(src: npt.NDArray[Any], before: npt.NDArray[Any], reach: int) -> list[_Box]:
    """Parts of ``src`` that hold every sample whose surroundings differ from those in ``before``.

    Both: (H, W) of one dtype, uint8, uint16 or float32, aligned, any strides. ``reach``: how far the
    surroundings go. Sides of parts are multiples of 4 but for the edges; parts may overlap. Releases the GIL.
    """

def copy_all_but(parts: Sequence[_Box], before: npt.NDArray[Any], dst: npt.NDArray[Any]) -> int:
    """Copy ``before`` to ``dst``, of its shape and dtype, wherever no part lies. Releases the GIL.

    Returns how many samples that were.
    """

class Gradients:
    """Computes losses and their gradients, for training. For one caller at a time."""

    def __init__(self, isa: str) -> None: ...
    def run(
        self,
        layers: Sequence[tuple[_F32, _F32, _F32]],
        lr: _F32,
        hr: _F32,
        loss: str,
        border: int,
        threads: int,
        overshoot: float = 0.0,
    ) -> tuple[float, list[tuple[_F32, _F32, _F32]]]:
        """Return the mean loss of a batch and its gradient for weight, bias and slope of every layer.

        ``layers``: (weight (oc, ic, k, k), bias (oc,), slope (oc,)), each of which reads the one before; the
        last is the head in sub-pixel form, (scale**2, ic, k, k), whose slope is not used. ``lr``: (N, P, P),
        ``hr``: (N, scale * P, scale * P). ``loss``: "l1" or "mse" of what lies more than ``border`` LR pixels
        from the edges, which are replicated. ``overshoot``: what the same loss of leaving the range of the
        5x5 pixels around, widened by 0.15 of it, counts on top. Releases the GIL.
        ``threads`` do not change the bits.
        """

class Network:
    """A network packed for one ISA. Immutable; ``run`` may be called from several threads at once."""

    def __init__(
        self,
        nodes: Sequence[tuple[_F32, _F32, _F32, int, _Channels, Sequence[_Channels]]],
        heads: Mapping[int, tuple[_F32, _F32, int, int, int]],
        padding: str,
        isa: str,
        *,
        planes: int = 1,
        colour: str = "y",
        enlarged: bool = False,
        plus_bicubic: bool = False,
        algorithm: str = "winograd",
        precision: str = "float32",
    ) -> None:
        """Pack a network.

        Results are numbered: 0 is the input, i + 1 what node i makes. A range of channels is (of, first,
        count): ``count`` channels of result ``of``, from ``first`` on.
        ``nodes``: (weight (oc, ic / groups, k, k), bias (oc,), slope (oc,), groups, source, adds) per
        convolution; slope 0 is ReLU, 1 none. ``source`` is the range of ic channels that it reads; ``adds``
        are none, or ranges that side by side are as wide as its output, to which they are added after PReLU.
        All are of results made before. ``heads``: stride -> (weight (ic, 1, k, k), bias (1,), pad,
        output_padding, border), which read the last result; k - 2 * pad + output_padding is the stride, and a
        negative output_padding cuts off; border -1: full. ``padding``: "zeros" or "replicate". ``isa``: a
        name of ``available_isas()``. ``plus_bicubic``: the result is the sum of the heads' and the bicubic
        picture. ``enlarged``: the input is the picture enlarged by the bicubic filter, and a head is a
        convolution, scale -> (weight (planes, ic, k, k), bias (planes,), 0, 0, border). Such a network may
        have 3 ``planes`` and, in place of "y", the ``colour`` "ycbcr" (BT.601 of 16..235 and 16..240, over
        255) or "rgb".
        ``algorithm``: "winograd" where it applies, or "direct" everywhere (for tests and benchmarks).
        ``precision``: "float32" or "int16", which takes nodes that follow each other from luma to the heads.
        """

    @property
    def isa(self) -> str: ...
    @property
    def precision(self) -> str: ...
    def reach(self, scale: int) -> int:
        """How far from a block of 4 x 4 samples the bits of what it becomes at a scale are settled.

        With "float32" that is farther than the network sees: its algorithm rounds in blocks.
        """
    def run(
        self,
        src: npt.NDArray[Any],
        dst: Mapping[int, npt.NDArray[Any]],
        threads: int,
        *,
        strip_width: int = 0,
        bits: int = 0,
        parts: Sequence[_Box] = (),
        strength: float = 1.0,
        guard: bool = True,
        guided: bool = True,
    ) -> None:
        """Upscale ``src`` into one array per scale, in one pass of the convolutions. Releases the GIL.

        ``src``: (H, W) or (H, W, C), C = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; uint8, uint16 or float32,
        aligned, any strides. ``dst``: scale -> (s*H, s*W[, C]) of the same dtype and rank, writeable,
        aligned, any strides, not overlapping ``src``. ``strip_width``: LR columns computed at a time, rounded
        up to a multiple of 4; 0 chooses. It never changes a bit of the result.
        ``bits``: 8..16, the depth of planes of video, whose full scale is 255 * 2**(bits - 8); 0: full scale
        is the largest integer of the dtype.
        ``parts``: those of ``src`` to upscale, into their place in ``dst``, where nothing else is written;
        their sides are multiples of 4 but for the edges of ``src``. None is all. Each becomes what it is in
        the whole.
        ``strength``: 0..1.5, how much is taken of what the network adds to bicubic luma. ``guard``: whether
        luma is kept near the range of the 5x5 pixels of ``src`` around. ``guided``: whether chroma follows
        luma where the two go together around, or is bicubic alone.
        """

    def resize(
        self,
        src: npt.NDArray[Any],
        dst: npt.NDArray[Any],
        scales: Sequence[int],
        threads: int,
        *,
        strip_width: int = 0,
        bits: int = 0,
        parts: Sequence[_Box] = (),
        strength: float = 1.0,
        guard: bool = True,
        guided: bool = True,
    ) -> None:
        """Make ``src`` as large as ``dst``, of any size from its own on. Releases the GIL.

        Luma goes through the network once for each of ``scales`` (1 to 4 of them, whose product reaches the
        size of ``dst`` and exceeds no side of it by more than a factor of 32) and then by the antialiased
        bicubic filter down to size; chroma and alpha by the bicubic filter alone. Nothing is rounded in
        between. A ``strength`` up to 1 mixes the result with bicubic luma of its size, one above 1 is that of
        every pass; each pass is guarded by what goes into it. ``parts`` are of ``dst``, with any sides.
        Otherwise as ``run``; ``strip_width`` is that of the last pass.
        """

    def bicubic_resize(
        self,
        src: npt.NDArray[Any],
        dst: npt.NDArray[Any],
        source_size: tuple[float, float],
        result_size: tuple[float, float],
        threads: int,
        *,
        bits: int = 0,
        siting: tuple[float, float] = (0.5, 0.5),
    ) -> None:
        """Upscale the plane ``src`` (H, W) to that of ``dst`` by the bicubic filter alone. Releases the GIL.

        ``source_size`` and ``result_size``: (width, height) of the frames that the planes belong to, in any
        unit: their ratio says where samples lie, since those of the planes are rounded up. ``siting`` as in
        ``bicubic``.
        """

    def bicubic(
        self,
        src: npt.NDArray[Any],
        dst: npt.NDArray[Any],
        scale: int,
        threads: int,
        *,
        bits: int = 0,
        siting: tuple[float, float] = (0.5, 0.5),
    ) -> None:
        """Upscale the plane ``src`` (H, W) by the bicubic filter alone. Releases the GIL.

        ``dst``: as in ``run``, or up to scale - 1 rows and columns short of scale times ``src``. ``siting``:
        where a sample lies in its cell, (x, y): 0.5 the centre, 0.25 the left or top of the two luma samples
        that a subsampled chroma sample stands for.
        """
