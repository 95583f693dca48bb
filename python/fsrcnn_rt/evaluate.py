"""Quality of a model on a folder of pictures, by the protocol of the papers, and ``fsrcnn-rt eval``.

A picture is reduced to 8-bit luma, cropped to a multiple of the scale, shrunk by MATLAB's ``imresize`` (the
result stays float), upscaled, rounded to 8 bit and compared without a border of ``scale`` pixels (FSRCNN,
section 4).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.arguments import ArgumentParser
from fsrcnn_rt.metrics import imresize, modcrop, psnr, rgb_to_y, ssim
from fsrcnn_rt.model import SCALES

__all__ = [
    "DatasetError",
    "Figures",
    "Pair",
    "Result",
    "evaluate",
    "list_images",
    "load_luma",
    "main",
    "make_pair",
    "mean",
    "to_8bit",
]

_F32 = npt.NDArray[np.float32]
_U8 = npt.NDArray[np.uint8]

UpscaleLuma: TypeAlias = Callable[[_F32, int], _F32]
"""From luma (H, W) in 0..1 and a scale to luma (scale * H, scale * W), as ``Upscaler.upscale`` does it."""

_SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")


class DatasetError(ValueError):
    """A picture or a folder of pictures that cannot be used; the message names it."""


class Pair(NamedTuple):
    """One picture, large and small."""

    hr: _U8  # luma (scale * H, scale * W)
    lr: _F32  # luma (H, W) in 0..1, not rounded to 8 bit


class Figures(NamedTuple):
    """PSNR in dB, and SSIM."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Result:
    """What one picture gives at one scale, upscaled by the model and by bicubic interpolation."""

    image: Path
    scale: int
    model: Figures
    bicubic: Figures


def evaluate(
    upscale: UpscaleLuma,
    images: Iterable[Path],
    scales: Sequence[int],
    *,
    on_error: Callable[[Path, Exception], None] | None = None,
) -> list[Result]:
    """Measure ``upscale`` on every picture at every scale, one :class:`Result` each, in the order given.

    A picture that cannot be read or is too small to be measured raises ``OSError`` or ``ValueError``; with
    ``on_error``, that is told instead and the others are measured.
    """
    results = []
    for path in images:
        try:
            luma = load_luma(path)
            results += [_measure(upscale, path, make_pair(luma, scale), scale) for scale in scales]
        except (OSError, ValueError) as error:
            if on_error is None:
                raise
            on_error(path, error)
    return results


def mean(figures: Sequence[Figures]) -> Figures:
    """Average figures: of PSNR, the dB."""
    return Figures(*(float(np.mean(column)) for column in zip(*figures, strict=True)))


def list_images(folder: Path) -> list[Path]:
    """List the image files of a folder, by name. Raises ``DatasetError`` where there is none."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise DatasetError(f"{folder}: no images in it")
    return paths


def load_luma(path: Path) -> _U8:
    """Read an image file as 8-bit luma (H, W); grey is taken as it is, alpha is dropped.

    Raises ``OSError`` for a file that is no readable image, ``DatasetError`` for one that is not 8 bit.
    """
    from PIL import Image

    with Image.open(path) as image:
        if image.mode in _GREY_MODES:
            return np.array(image.convert("L"))
        if image.mode in _COLOUR_MODES:
            return rgb_to_y(np.asarray(image.convert("RGB")))
        raise DatasetError(f"{path}: not an 8-bit picture, but of mode {image.mode}")


def make_pair(luma: _U8, scale: int) -> Pair:
    """Crop ``luma`` (H, W) to a multiple of ``scale``, and shrink it."""
    hr = np.ascontiguousarray(modcrop(luma, scale))
    return Pair(hr, (imresize(hr, 1 / scale) / 255.0).astype(np.float32))


def to_8bit(luma: npt.NDArray[np.floating]) -> _U8:
    """Bring luma in 0..1 to 0..255, rounded half up and clipped."""
    return np.clip(np.floor(luma.astype(np.float64) * 255.0 + 0.5), 0, 255).astype(np.uint8)


def _measure(upscale: UpscaleLuma, path: Path, pair: Pair, scale: int) -> Result:
    by_model = to_8bit(upscale(pair.lr, scale))
    by_bicubic = to_8bit(imresize(pair.lr, shape=pair.hr.shape))
    return Result(path, scale, _figures(by_model, pair.hr, scale), _figures(by_bicubic, pair.hr, scale))


def _figures(result: _U8, truth: _U8, scale: int) -> Figures:
    return Figures(psnr(result, truth, shave=scale), ssim(result, truth, shave=scale))


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt eval FOLDER``; returns 0, 1 if a picture failed, 2 for wrong usage."""
    from fsrcnn_rt.api import Upscaler

    options = _parser().parse_args(argv)
    try:
        images = list_images(options.folder)
        upscaler = Upscaler(options.model, threads=options.threads, isa=options.isa)
        missing = [scale for scale in options.scales if scale not in upscaler.scales]
        if missing:
            offered = ", ".join(map(str, upscaler.scales))
            raise ValueError(f"scale={missing[0]} is not offered by model {options.model!r}, only {offered}")
    except (OSError, ValueError) as error:
        return _fail(error, 2)

    failed = []

    def on_error(path: Path, error: Exception) -> None:
        failed.append(path)
        _fail(error if isinstance(error, DatasetError) else f"{path}: {error}", 1)

    results = evaluate(upscaler.upscale, images, options.scales, on_error=on_error)
    for scale in options.scales:
        title = f"{options.model} x{scale} on {options.folder.resolve().name}"
        _print_table(title, [result for result in results if result.scale == scale])
    return 1 if failed else 0


def _print_table(title: str, results: Sequence[Result]) -> None:
    if not results:
        return
    width = max(4, *(len(r.image.name) for r in results))
    print(f"{title}\n{'':{width}}    PSNR    SSIM   bicubic PSNR    SSIM")
    rows = [(r.image.name, r.model, r.bicubic) for r in results]
    rows.append(("mean", mean([r.model for r in results]), mean([r.bicubic for r in results])))
    for name, (psnr_, ssim_), bicubic in rows:
        print(f"{name:{width}}  {psnr_:6.2f}  {ssim_:.4f}  {bicubic.psnr:13.2f}  {bicubic.ssim:.4f}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="fsrcnn-rt eval",
        description="PSNR and SSIM of a model and of bicubic on a folder of pictures, as the papers measure.",
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", type=Path, help="pictures to shrink, upscale and compare")
    add("-s", "--scale", dest="scales", type=_scales, default=[3], metavar="N[,N]", help="2,3,4 (default: 3)")
    add("-m", "--model", default="fsrcnn", metavar="MODEL", help="fsrcnn (default), fsrcnn-s or a file")
    add("-j", "--threads", type=int, metavar="N", help="default: the CPUs this process may use")
    add("--isa", metavar="NAME", help="kernel set, one that fsrcnn-rt info lists (default: the fastest)")
    return parser


def _scales(text: str) -> list[int]:
    parts = text.split(",")
    if any(part not in map(str, SCALES) for part in parts) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not 2, 3 or 4, or several of them with commas")
    return [int(part) for part in parts]


def _fail(error: object, code: int) -> int:
    if isinstance(error, OSError) and error.filename:
        error = f"{error.filename}: {error.strerror}"
    print(f"fsrcnn-rt eval: {error}", file=sys.stderr)
    return code
