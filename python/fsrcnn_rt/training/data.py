"""Training pairs: luma HR pictures and the LR pictures that the measuring protocol makes of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.metrics import imresize, modcrop, rgb_to_y
from fsrcnn_rt.training.config import Recipe

__all__ = ["DataError", "Pair", "PatchSampler", "make_pair", "split_validation", "training_pairs", "validation_pairs"]

_F32 = npt.NDArray[np.float32]
_U8 = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
NEVER_TRAINED_ON = ("set5", "set14", "bsd100", "bsd200", "urban100", "manga109")


class DataError(ValueError):
    """A data folder that cannot be used; the message names the folder."""


@dataclass(frozen=True)
class Pair:
    """One picture: ``hr`` uint8 luma (scale * H, scale * W) and ``lr`` float32 (H, W) in 0..1, not rounded to 8 bit."""

    hr: _U8
    lr: _F32


def data_folder(given: str | None) -> Path:
    """The folder that holds the datasets: as given, else ``FSRCNN_RT_DATA``, else ``../shared/data``."""
    return Path(given or os.environ.get("FSRCNN_RT_DATA") or "../shared/data")


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name. Raises ``DataError`` if there is none."""
    if not folder.is_dir():
        raise DataError(f"data: no folder {folder}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise DataError(f"data: no images in {folder}")
    return paths


def split_validation(paths: Sequence[Path], count: int) -> tuple[list[Path], list[Path]]:
    """(training, validation): ``count`` paths evenly spread over ``paths`` are held out."""
    if count >= len(paths):
        raise DataError(f"data: {count} validation images leave none of the {len(paths)} in {paths[0].parent}")
    held_out = {paths[(2 * k + 1) * len(paths) // (2 * count)] for k in range(count)}
    return [p for p in paths if p not in held_out], [p for p in paths if p in held_out]


def load_luma(path: Path) -> _U8:
    """8-bit luma of an image file: (H, W)."""
    from PIL import Image

    with Image.open(path) as image:
        return rgb_to_y(np.asarray(image if image.mode == "L" else image.convert("RGB")))


def make_pair(luma: _U8, scale: int) -> Pair:
    """HR cropped to a multiple of ``scale``, LR by MATLAB's imresize."""
    hr = np.ascontiguousarray(modcrop(luma, scale))
    return Pair(hr, (imresize(hr, 1 / scale) / 255.0).astype(np.float32))


def training_pairs(data: Path, recipe: Recipe, datasets: Iterable[str], scale: int, patch: int) -> list[Pair]:
    """Every training image of ``datasets`` at every size of the recipe's augmentation that holds a patch.

    The recipe's validation images are left out, whichever the dataset order. Raises ``DataError`` for a missing folder
    and for the test sets, which are never trained on.
    """
    pairs = []
    for dataset in datasets:
        if dataset.lower() in NEVER_TRAINED_ON:
            raise DataError(f"data: {dataset} is a test set")
        paths = list_images(data / dataset)
        if dataset == recipe.validation_dataset:
            paths, _ = split_validation(paths, recipe.validation_images)
        for luma in map(load_luma, paths):
            for size in recipe.augmentation:
                resized = luma if size == 1 else _round(imresize(luma, size))
                if min(resized.shape) >= scale * patch:
                    pairs.append(make_pair(resized, scale))
    if not pairs:
        raise DataError(f"data: no image of {', '.join(datasets)} holds a patch of {scale * patch} pixels")
    return pairs


def validation_pairs(data: Path, recipe: Recipe, scale: int) -> list[Pair]:
    """The held-out images as the protocol measures them."""
    if recipe.validation_dataset.lower() in NEVER_TRAINED_ON:
        raise DataError(f"data: {recipe.validation_dataset} is a test set")
    _, paths = split_validation(list_images(data / recipe.validation_dataset), recipe.validation_images)
    return [make_pair(load_luma(path), scale) for path in paths]


class PatchSampler:
    """Random patches, uniform over the positions of all pictures, in a random one of the eight orientations."""

    def __init__(self, pairs: Sequence[Pair], scale: int, patch: int, batch: int) -> None:
        self._pairs, self._scale, self._patch, self._batch = pairs, scale, patch, batch
        positions = np.array([(p.lr.shape[0] - patch + 1) * (p.lr.shape[1] - patch + 1) for p in pairs])
        self._cumulative = np.cumsum(positions)

    def draw(self, random: np.random.Generator) -> tuple[_F32, _F32]:
        """LR (batch, 1, patch, patch) and HR (batch, 1, scale * patch, scale * patch), float32 in 0..1."""
        patch, scale = self._patch, self._scale
        lr = np.empty((self._batch, 1, patch, patch), np.float32)
        hr = np.empty((self._batch, 1, scale * patch, scale * patch), np.float32)
        picks = random.integers(self._cumulative[-1], size=self._batch)
        orientations = random.integers(8, size=self._batch)
        for k, index in enumerate(np.searchsorted(self._cumulative, picks, side="right")):
            pair = self._pairs[index]
            rest = int(picks[k] - (self._cumulative[index - 1] if index else 0))
            y, x = divmod(rest, pair.lr.shape[1] - patch + 1)
            lr[k, 0] = _orient(pair.lr[y : y + patch, x : x + patch], orientations[k])
            y, x, side = scale * y, scale * x, scale * patch
            hr[k, 0] = _orient(pair.hr[y : y + side, x : x + side], orientations[k])
        hr /= 255.0
        return lr, hr


def _orient(tile: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    tile = tile.T if orientation & 4 else tile
    return tile[:: -1 if orientation & 2 else 1, :: -1 if orientation & 1 else 1]


def _round(image: npt.NDArray[np.float64]) -> _U8:
    return np.clip(np.floor(image + 0.5), 0, 255).astype(np.uint8)
