"""A page in which a divider moves between bicubic and the model.

The page is one HTML file that asks for nothing else: its pictures are lossless PNGs in data URIs. Where
there is a ground truth it can be looked at, too, and PSNR and SSIM are those of the pictures as they are
shown: 8-bit luma, without a border of ``scale`` pixels (:mod:`fsrcnn_rt.evaluation.metrics`).
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fsrcnn_rt import pictures
from fsrcnn_rt.engine.arrays import AnyArray, extend_colour, from_pil
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.errors import one_line
from fsrcnn_rt.evaluation.metrics import imresize, modcrop, psnr, rgb_to_y, ssim
from fsrcnn_rt.evaluation.protocol import Figures, list_images, mean
from fsrcnn_rt.model.network import BICUBIC_REACH

__all__ = ["Crop", "PictureError", "Source", "find_sources", "read_pair", "write_page"]

_U8 = npt.NDArray[np.uint8]

_FULL_SCALE = {"uint8": 255, "uint16": 65535, "float32": 1}
_SSIM_WINDOW = 11
_TRUTH = "ground truth"


class PictureError(Exception):
    """A picture that cannot be compared; the message names it."""


class Crop(NamedTuple):
    """Width and height of a part of a picture, and its left and top; without those it is the middle."""

    width: int
    height: int
    left: int | None = None
    top: int | None = None


class Source(NamedTuple):
    """A picture file, and that of its ground truth; ``shrink``: it is that itself, and made smaller first."""

    path: Path
    truth: Path | None = None
    shrink: bool = False


class _Loaded(NamedTuple):
    """Samples as the network takes them, their ICC profile, and what should be told of the file.

    ``frame``: the whole picture as it was read, by which its weights are chosen.
    """

    array: AnyArray
    profile: bytes | None
    notes: list[str]
    frame: Any


class _Layer(NamedTuple):
    """One of the pictures to choose from; ``side``: that on which it is shown at first."""

    name: str
    pixels: _U8
    profile: bytes | None
    side: str = ""
    figures: Figures | None = None


def find_sources(inputs: Sequence[Path], truth: Path | None, downscale: bool) -> list[Source]:
    """Find the pictures, and the ground truth of each; ``ValueError`` where one has none, or several."""
    paths = [path for name in inputs for path in (list_images(name) if name.is_dir() else [name])]
    if truth is None:
        return [Source(path, shrink=downscale) for path in paths]
    if not truth.is_dir():
        if len(paths) > 1:
            raise ValueError(f"--hr {truth}: is no folder, and {len(paths)} pictures need one")
        return [Source(paths[0], truth)]
    sources = []
    for path in paths:
        found = [other for other in list_images(truth) if other.stem == path.stem]
        if len(found) != 1:
            what = " and ".join(other.name for other in found) or "no picture"
            raise ValueError(f"--hr {truth}: has {what} of the name {path.stem}, the ground truth of {path}")
        sources.append(Source(path, found[0]))
    return sources


def read_pair(source: Source, scale: int, crop: Crop | None) -> tuple[_Loaded, _Loaded | None]:
    """Read a picture and its ground truth, ``scale`` times as large: twice the same if it is to be shrunk.

    Raises ``PictureError`` for what cannot be read, compared or measured.
    """
    given, truth = _load(source.path), None
    height, width = given.array.shape[:2]
    rows, columns = _part(source.path, given.array, crop)
    if source.truth is not None:
        truth = _load(source.truth)
        # What does not divide by the scale is mostly cut off before a picture is made smaller.
        spare = np.subtract(truth.array.shape[:2], (scale * height, scale * width))
        if spare.min() < 0 or spare.max() >= scale:
            raise PictureError(
                f"{source.truth}: is {truth.array.shape[1]}x{truth.array.shape[0]}, and the ground truth of "
                f"{source.path} ({width}x{height}) at scale {scale} is {scale * width}x{scale * height}"
            )
        large = (slice(scale * axis.start, scale * axis.stop) for axis in (rows, columns))
        truth = truth._replace(array=truth.array[tuple(large)])
    given = given._replace(array=given.array[rows, columns])
    measured = given if source.shrink else truth
    least = _SSIM_WINDOW + 2 * scale
    if measured is not None and min(measured.array.shape[:2]) // scale * scale < least:
        path = source.truth or source.path
        raise PictureError(f"{path}: is too small for SSIM, which takes {least}x{least} pixels")
    if source.shrink:
        given = truth = given._replace(array=modcrop(given.array, scale))
    return given, truth


def _load(path: Path) -> _Loaded:
    try:
        picture = pictures.read(path)
        frame, notes = picture.frames[0], []
        if len(picture.frames) > 1:
            notes.append(f"the first of {len(picture.frames)} frames")
        if isinstance(frame, np.ndarray):
            array, profile = frame, picture.info.get("icc_profile")
        else:
            array, restore = from_pil(frame)
            profile = restore(array[:1, :1]).info.get("icc_profile")
    except (OSError, ValueError, MemoryError) as error:
        raise PictureError(f"{path}: {one_line(error)}") from error
    if array.dtype != np.uint8:
        notes.append(f"{8 * array.itemsize} bits a channel, shown in 8")
    return _Loaded(array, profile, notes, frame)


def _part(path: Path, array: AnyArray, crop: Crop | None) -> tuple[slice, slice]:
    """Rows and columns that ``crop`` leaves of a picture; ``PictureError`` where it is not inside."""
    height, width = array.shape[:2]
    if crop is None:
        return slice(0, height), slice(0, width)
    left = (width - crop.width) // 2 if crop.left is None else crop.left
    top = (height - crop.height) // 2 if crop.top is None else crop.top
    if min(left, top) < 0 or left + crop.width > width or top + crop.height > height:
        raise PictureError(f"{path}: --crop is not inside its {width}x{height} pixels")
    return slice(top, top + crop.height), slice(left, left + crop.width)


def _resize(
    array: AnyArray, shape: tuple[int, int], reach: int, finish: Callable[[AnyArray, str], AnyArray]
) -> AnyArray:
    """Resize by MATLAB's bicubic filter, which reads ``reach`` pixels around each; alpha as the network's.

    ``finish`` makes of a channel in float64, and the dtype that its range is of, what is wanted.
    """
    visible = np.moveaxis(np.atleast_3d(extend_colour(array, reach)), -1, 0)
    # Channel by channel: float64 of all of them at once would be most of the memory.
    channels = [finish(imresize(channel, shape=shape), array.dtype.name) for channel in visible]
    return channels[0] if array.ndim == 2 else np.stack(channels, -1)


def _rounded(samples: AnyArray, dtype: str) -> AnyArray:
    """Bring samples, of the range of ``dtype``, to it."""
    if dtype == "float32":
        return samples.astype(np.float32)
    return np.clip(np.floor(samples + 0.5), 0, _FULL_SCALE[dtype]).astype(dtype)


def _shown(samples: AnyArray, dtype: str) -> _U8:
    """Bring samples, of the range of ``dtype``, to 8 bits."""
    if samples.dtype == np.uint8:
        return samples
    return np.clip(np.floor(samples * (255.0 / _FULL_SCALE[dtype]) + 0.5), 0, 255).astype(np.uint8)


def _luma(pixels: _U8, colour: bool) -> _U8:
    """8-bit luma (H, W) over white; of grey itself, unless it is compared with ``colour``."""
    channels = np.atleast_3d(pixels)
    if channels.shape[2] in (2, 4):
        alpha = channels[..., -1:] / 255.0
        channels = np.floor(channels[..., :-1] * alpha + 255.0 * (1 - alpha) + 0.5).astype(np.uint8)
    if channels.shape[2] == 1:
        return rgb_to_y(np.repeat(channels, 3, axis=2)) if colour else channels[..., 0]
    return rgb_to_y(channels)


def _measure(pixels: _U8, truth: _U8, scale: int) -> Figures:
    colour = any(array.ndim == 3 and array.shape[2] >= 3 for array in (pixels, truth))
    one, other = _luma(pixels, colour), _luma(truth, colour)
    return Figures(psnr(one, other, shave=scale), ssim(one, other, shave=scale))


def write_page(sources: Sequence[Source], scale: int, upscaler: Upscaler, crop: Crop | None) -> Iterator[str]:
    """Write the page, a part for each picture."""
    from fsrcnn_rt import __version__

    model = upscaler.model
    shrink = sources[0].shrink
    with_truth = shrink or sources[0].truth is not None
    count = "" if len(sources) == 1 else f"{len(sources)} pictures · "
    threads = "1 thread" if upscaler.threads == 1 else f"{upscaler.threads} threads"
    notes = ""
    if with_truth:
        notes = (
            "PSNR and SSIM compare the luma of each picture as it is shown with that of the ground truth, "
            f"without a border of {scale} pixels."
        )
    if shrink:
        notes += " The input is the ground truth made smaller by MATLAB's bicubic filter, in as many bits."
    text = {
        "generator": f"fsrcnn-rt {__version__}",
        "title": f"Bicubic and {model.name} ×{scale}",
        "summary": f"{count}{model.family} on {threads}, {upscaler.isa}",
        "notes": notes,
    }
    template = resources.files("fsrcnn_rt.evaluation").joinpath("page.html").read_text("utf-8")
    before, after = (
        re.sub(r"{{(\w+)}}", lambda found: escape(text[found[1]]), part)
        for part in template.split("{{figures}}")
    )
    yield before
    results = []
    for source in sources:
        try:
            layers, caption = _compare(source, scale, upscaler, crop)
            figure = _figure(source.path.name, layers, caption)
        except (ValueError, MemoryError) as error:
            raise PictureError(f"{source.path}: {one_line(error)}") from error
        results.append([(layer.name, layer.figures) for layer in layers if layer.figures])
        yield figure
    if with_truth and len(sources) > 1:
        means = [
            (" / ".join(dict.fromkeys(name for name, _ in rows)), mean([figures for _, figures in rows]))
            for rows in zip(*results, strict=True)
        ]
        yield f"<section>\n<h2>Mean of {len(sources)} pictures</h2>\n{_table(means)}</section>\n"
    yield after


def _compare(source: Source, scale: int, upscaler: Upscaler, crop: Crop | None) -> tuple[list[_Layer], str]:
    """Upscale a picture; gives what there is to see, and a line about it."""
    small, truth = read_pair(source, scale, crop)
    if source.shrink:
        shape = (small.array.shape[0] // scale, small.array.shape[1] // scale)
        shrunk = _resize(small.array, shape, BICUBIC_REACH * scale, _rounded)
        small = small._replace(array=shrunk)
    dtype = small.array.dtype.name
    upscaler = upscaler.choose(small.array if source.shrink else small.frame)
    start = perf_counter()
    large = upscaler.upscale(small.array, scale)
    seconds = perf_counter() - start
    bicubic = _resize(small.array, large.shape[:2], BICUBIC_REACH, _shown)
    layers = [
        _Layer("input", _shown(small.array, dtype), small.profile),
        _Layer("bicubic", bicubic, small.profile, "left"),
        _Layer(upscaler.model.name, _shown(large, dtype), small.profile, "right"),
    ]
    if truth is not None:
        reference = _shown(truth.array, truth.array.dtype.name)
        layers[1:] = [
            layer._replace(figures=_measure(layer.pixels, reference, scale)) for layer in layers[1:]
        ]
        layers.append(_Layer(_TRUTH, reference, truth.profile))
    (height, width), (large_height, large_width) = small.array.shape[:2], large.shape[:2]
    size = f"{width}×{height} → {large_width}×{large_height}"
    time = f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.1f} ms"
    part = [] if crop is None else ["a part of the picture"]
    return layers, " · ".join([size, f"{upscaler.model.name} in {time}", *part, *small.notes])


def _figure(name: str, layers: Sequence[_Layer], caption: str) -> str:
    height, width = layers[1].pixels.shape[:2]
    images = "".join(_image(layer, width, height) for layer in layers)
    alpha = " alpha" if any(layer.pixels.shape[2:] in ((2,), (4,)) for layer in layers) else ""
    rows = [(layer.name, layer.figures) for layer in layers if layer.figures]
    return (
        f'<figure>\n<div class="bar"><h2>{escape(name)}</h2></div>\n'
        f'<div class="stage{alpha}" data-width="{width}" data-height="{height}">\n{images}</div>\n'
        f"<figcaption>{escape(caption)}\n{_table(rows) if rows else ''}</figcaption>\n</figure>\n"
    )


def _image(layer: _Layer, width: int, height: int) -> str:
    """Show a layer at the size of the result: as large as it is, but for the input."""
    from PIL import Image

    with io.BytesIO() as file:
        Image.fromarray(layer.pixels).save(file, "PNG", icc_profile=layer.profile)
        data = base64.b64encode(file.getbuffer()).decode()
    label = layer.name if layer.figures is None else f"{layer.name} {_decibels(layer.figures.psnr)}"
    return (
        f'<img class="layer{"" if layer.pixels.shape[1] == width else " small"}" data-side="{layer.side}" '
        f'data-label="{escape(label)}" alt="{escape(layer.name)}" width="{width}" height="{height}" '
        f'draggable="false" src="data:image/png;base64,{data}">\n'
    )


def _table(rows: Sequence[tuple[str, Figures]]) -> str:
    """List the figures; of PSNR also what is gained over the first row, which is bicubic."""
    first = rows[0][1].psnr
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{_decibels(psnr_)}</td>"
        f"<td>{'' if row == 0 or not np.isfinite(psnr_ - first) else f'{psnr_ - first:+.2f} dB'}</td>"
        f"<td>{ssim_:.4f}</td></tr>\n"
        for row, (name, (psnr_, ssim_, _)) in enumerate(rows)
    )
    head = "<tr><th></th><th>PSNR</th><th>gain</th><th>SSIM</th></tr>"
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{lines}</tbody></table>\n"


def _decibels(value: float) -> str:
    return f"{value:.2f} dB" if np.isfinite(value) else "∞ dB"
