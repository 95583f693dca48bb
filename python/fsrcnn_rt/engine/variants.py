"""The weights of a network, and which of them a picture gets.

Each network ships with weights for clean photographs, for graphics, and three levels of denoising for what
has been compressed or is noisy. They cost the same time. ``docs/which-weights.md`` explains the choice to
users; the thresholds are here.
"""

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from fsrcnn_rt.model import NETWORKS, Model

Content: TypeAlias = Literal["photo", "graphics", "auto"]
Denoise: TypeAlias = Literal[0, 1, 2, 3, "auto"]

CONTENTS = ("photo", "graphics", "auto")
LEVELS = (0, 1, 2, 3, "auto")

# Level 0 is for this JPEG quality and above, level 1 for the next, level 2 for the last; below it is level 3.
_JPEG_QUALITY = (96, 82, 55)

# The same of H.264's quantiser, where less is better.
_H264_QP = (22, 30, 36)

# The luma table of the JPEG standard, row by row, that the Independent JPEG Group's quality 50 stands for.
# fmt: off
_STANDARD_LUMA = (
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
)
# fmt: on


class Weights(NamedTuple):
    """What is used for a picture, and why.

    ``name``: the model's, such as "fsrcnn-denoise2". ``content`` ("photo" or "graphics") and ``denoise`` (0
    to 3): what the weights are for; None of a model that was named outright. ``reason``: what they were
    chosen by; empty where the caller chose.
    """

    name: str
    content: str | None = None
    denoise: int | None = None
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})" if self.reason else self.name


class Loss(NamedTuple):
    """How much was lost in a picture: the level of denoising for it, 0 to 3, and what tells so."""

    level: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Choice:
    """What a caller has said about the weights: ``model``, ``content`` and ``denoise`` of an ``Upscaler``.

    ``ValueError`` for words that are none, and for a choice of weights where the model is no network that has
    several.
    """

    model: "str | os.PathLike[str] | Model"
    content: Content = "photo"
    denoise: Denoise = 0

    def __post_init__(self) -> None:
        for name, value, known in (("content", self.content, CONTENTS), ("denoise", self.denoise, LEVELS)):
            if isinstance(value, bool) or not isinstance(value, int | str) or value not in known:
                raise ValueError(f"{name}={value!r} is none of {', '.join(map(str, known))}")
        if self.has_variants:
            return
        for name, value, harmless in (
            ("content", self.content, ("photo", "auto")),
            ("denoise", self.denoise, (0, "auto")),
        ):
            if value not in harmless:
                raise ValueError(
                    f"{name}={value!r} chooses among the weights of {' or '.join(NETWORKS)}, and "
                    f"model={self.model!r} is weights of its own"
                )

    @property
    def has_variants(self) -> bool:
        """Whether the model is a network with several weights, and not weights by themselves."""
        return isinstance(self.model, str) and self.model in NETWORKS

    @property
    def settled(self) -> Weights | None:
        """The weights of a network, where they are the same for every picture."""
        if not self.has_variants or self.denoise == "auto" or (self.denoise == 0 and self.content == "auto"):
            return None
        return self._weights(self.content == "graphics", Loss(self.denoise))

    def settle(self, loss: Callable[[], Loss], is_graphics: Callable[[], bool] | None) -> Weights:
        """Choose for a picture; ``loss`` and ``is_graphics`` look at it, where it depends on that.

        Without ``is_graphics``, as where a stream cannot be looked at before, it is taken for a photograph.
        """
        lost = loss() if self.denoise == "auto" else Loss(self.denoise)
        if lost.level:
            return self._weights(False, lost)
        if self.content != "auto" or is_graphics is None:
            return self._weights(self.content == "graphics", lost)
        graphics = is_graphics()
        seen = "graphics" if graphics else "photograph"
        return self._weights(graphics, Loss(0, f"{seen}, {lost.reason}" if lost.reason else seen))

    def _weights(self, graphics: bool, lost: Loss) -> Weights:
        content = "graphics" if graphics and not lost.level else "photo"
        variant = f"-denoise{lost.level}" if lost.level else "-graphics" if graphics else ""
        return Weights(f"{self.model}{variant}", content, lost.level, lost.reason)


def loss_of(image: object) -> Loss:
    """Estimate how much was lost in a picture, if it is a Pillow image that was opened from a JPEG file.

    Pillow has the quantisation tables in ``quantization``, and drops them in copies and conversions. Of other
    lossy files (WebP, AVIF, JPEG 2000) nothing is read.
    """
    tables: Any = getattr(image, "quantization", None)
    pil = sys.modules.get("PIL.Image")
    if pil is None or not isinstance(image, pil.Image) or not tables:
        return Loss()
    return Loss(jpeg_denoise_level(tables), f"JPEG quality about {jpeg_quality(tables):.0f}")


def jpeg_quality(tables: Mapping[int, Sequence[int]]) -> float:
    """Estimate the quality, 0..100 on the scale of libjpeg, that a file was written with.

    ``tables``: its quantisation tables, 64 steps each, row by row; the first, which is luma's, counts. Other
    encoders have tables of their own: it is the quality at which libjpeg's steps are as large on the mean,
    relative to the standard. With Photoshop's, as much is lost of photographs within 10 of it.
    """
    steps = tables[min(tables)]
    ratios = [step / standard for step, standard in zip(steps, _STANDARD_LUMA, strict=True)]
    percent = 100 * math.fsum(ratios) / len(ratios)
    return 5000 / percent if percent > 100 else (200 - percent) / 2


def jpeg_denoise_level(tables: Mapping[int, Sequence[int]]) -> int:
    """Choose the level of denoising, 0 to 3, by the quantisation tables of a JPEG file."""
    # Tables are rounded: that of 96 is estimated as 96.1, that of 80 as 79.9.
    quality = round(jpeg_quality(tables))
    return sum(quality < threshold for threshold in _JPEG_QUALITY)


def video_denoise_level(qp: float) -> int:
    """Choose the level of denoising, 0 to 3, by a video's mean quantiser on the scale of H.264, 0..51."""
    return sum(qp >= threshold for threshold in _H264_QP)


def loss_of_video(qp: float) -> Loss:
    """Return how much was lost in a video, by its mean quantiser on the scale of H.264, 0..51."""
    return Loss(video_denoise_level(qp), f"quantiser about {qp:.0f} of H.264")


def as_h264_qp(kind: str, qp: float, bits: int) -> float | None:
    """Bring a quantiser, as FFmpeg exports it, to the scale of H.264 at 8 bits; None of an unknown ``kind``.

    ``kind``: "H264", "MPEG2" (also of MPEG-4 Part 2, in half steps) or "VP9" (0..255). The others are those
    at which clips of the same pictures had the PSNR that x264 gave them, within one step.
    """
    if kind == "H264":
        return qp - 6 * (bits - 8)
    if kind == "MPEG2":
        return 8.4 + 6 * math.log2(max(qp, 1))
    return 6.1 + 0.139 * qp if kind == "VP9" else None
