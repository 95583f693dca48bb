"""Quality of models on pictures, by the protocol of the papers.

A picture is reduced to 8-bit luma, cropped to a multiple of the scale, shrunk by MATLAB's ``imresize`` (the
result stays float), upscaled, rounded to 8 bit and compared without a border of ``scale`` pixels (FSRCNN,
section 4); of one pixel for IFC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.evaluation.ifc import ifc
from fsrcnn_rt.evaluation.metrics import imresize, modcrop, psnr, rgb_to_y, ssim

__all__ = [
    "BICUBIC",
    "DatasetError",
    "Figures",
    "Methods",
    "Pair",
    "Result",
    "UpscaleLuma",
    "bicubic",
    "evaluate",
    "list_images",
    "list_originals",
    "load_luma",
    "load_pixels",
    "make_pair",
    "mean",
    "to_8bit",
]

_F32 = npt.NDArray[np.float32]
_U8 = npt.NDArray[np.uint8]

UpscaleLuma: TypeAlias = Callable[[_F32, int], npt.NDArray[np.floating[Any]]]
"""From luma (H, W) in 0..1 and a scale to luma (scale * H, scale * W), as ``Upscaler.upscale`` does it."""

Methods: TypeAlias = Mapping[int, Mapping[str, UpscaleLuma]]
"""What is compared, by scale and by name."""

_SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")


# Without a border of one pixel IFC is what the paper prints, within 0.02 on Set5. With that of PSNR it is
# 0.07 higher at x3, since the criterion's blocks of 3 then lie otherwise on the grid of small pixels.
_IFC_INNER = (slice(1, -1), slice(1, -1))


#: What the bicubic filter is called among the methods.
BICUBIC = "bicubic"


class DatasetError(ValueError):
    """A picture or a folder of pictures that cannot be used; the message names it."""


class Pair(NamedTuple):
    """One picture, large and small."""

    hr: _U8  # luma (scale * H, scale * W)
    lr: _F32  # luma (H, W) in 0..1, not rounded to 8 bit


class Figures(NamedTuple):
    """PSNR in dB, SSIM, and IFC where it was asked for."""

    psnr: float
    ssim: float
    ifc: float | None = None


@dataclass(frozen=True)
class Result:
    """What one method makes of one picture at one scale."""

    image: Path
    scale: int
    method: str
    figures: Figures
    seconds: float
    """Of the method alone: the second of two calls, which finds its memory and threads at hand."""


def evaluate(
    methods: Methods,
    images: Iterable[Path],
    *,
    with_ifc: bool = False,
    on_error: Callable[[Path, Exception], None] | None = None,
) -> list[Result]:
    """Measure every method on every picture at every scale, one :class:`Result` each, in the order given.

    A picture is read once, and shrunk once for each scale. One that cannot be read or is too small to be
    measured raises ``OSError`` or ``ValueError``; with ``on_error``, that is told instead and the others are
    measured.
    """
    results = []
    for path in images:
        try:
            luma = load_luma(path)
            measured = []
            for scale, by_name in methods.items():
                pair = make_pair(luma, scale)
                for name, upscale in by_name.items():
                    measured.append(_measure(name, upscale, path, pair, scale, with_ifc))
            results += measured
        except (OSError, ValueError) as error:
            if on_error is None:
                raise
            on_error(path, error)
    return results


def bicubic(luma: _F32, scale: int) -> npt.NDArray[np.float64]:
    """Upscale luma (H, W) as MATLAB's ``imresize`` does, which every paper compares with."""
    return imresize(luma, scale)


def mean(figures: Sequence[Figures]) -> Figures:
    """Average figures: of PSNR, the dB."""
    ifcs = [f.ifc for f in figures if f.ifc is not None]
    return Figures(
        float(np.mean([f.psnr for f in figures])),
        float(np.mean([f.ssim for f in figures])),
        float(np.mean(ifcs)) if len(ifcs) == len(figures) else None,
    )


def list_images(folder: Path, *, also: Sequence[str] = ()) -> list[Path]:
    """List the image files of a folder by name, with files of other suffixes where ``also`` names them.

    Raises ``DatasetError`` where there is none.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (*_SUFFIXES, *also))
    if not paths:
        inner = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir()))
        hint = f"; name one of its folders: {inner}" if inner else ""
        raise DatasetError(f"{folder}: no images in it{hint}")
    return paths


def list_originals(folder: Path, *, also: Sequence[str] = ()) -> list[Path]:
    """List the large pictures of a test set as it is unpacked, without the small ones beside them.

    Where names end in ``_HR``, these alone are taken; names that end in ``_LR`` are left out. ``also``: as in
    :func:`list_images`. Raises ``DatasetError`` where there is none.
    """
    paths = list_images(folder, also=also)
    large = [path for path in paths if path.stem.upper().endswith("_HR")]
    found = large or [path for path in paths if not path.stem.upper().endswith("_LR")]
    if not found:
        raise DatasetError(f"{folder}: holds small pictures alone, whose names end in _LR")
    return found


def load_luma(path: Path) -> _U8:
    """Read an image file as 8-bit luma (H, W); as :func:`load_pixels`."""
    return rgb_to_y(load_pixels(path))


def load_pixels(path: Path) -> _U8:
    """Read an image file as 8-bit RGB (H, W, 3) or, if it is grey, as (H, W); alpha is dropped.

    Raises ``OSError`` for a file that is no readable image, ``DatasetError`` for one that is not 8 bit.
    """
    from PIL import Image

    with Image.open(path) as image:
        if image.mode in GREY_MODES:
            return np.array(image.convert("L"))
        if image.mode in _COLOUR_MODES:
            return np.array(image.convert("RGB"))
        raise DatasetError(f"{path}: not an 8-bit picture, but of mode {image.mode}")


def make_pair(luma: _U8, scale: int) -> Pair:
    """Crop ``luma`` (H, W) to a multiple of ``scale``, and shrink it."""
    hr = np.ascontiguousarray(modcrop(luma, scale))
    return Pair(hr, (imresize(hr, 1 / scale) / 255.0).astype(np.float32))


def to_8bit(luma: npt.NDArray[np.floating]) -> _U8:
    """Bring luma in 0..1 to 0..255, rounded half up and clipped."""
    return np.clip(np.floor(luma.astype(np.float64) * 255.0 + 0.5), 0, 255).astype(np.uint8)


def _measure(method: str, upscale: UpscaleLuma, path: Path, pair: Pair, scale: int, with_ifc: bool) -> Result:
    upscale(pair.lr, scale)
    start = perf_counter()
    luma = upscale(pair.lr, scale)
    seconds = perf_counter() - start
    result = to_8bit(luma)
    figures = Figures(
        psnr(result, pair.hr, shave=scale),
        ssim(result, pair.hr, shave=scale),
        ifc(pair.hr[_IFC_INNER], result[_IFC_INNER]) if with_ifc else None,
    )
    return Result(path, scale, method, figures, seconds)
