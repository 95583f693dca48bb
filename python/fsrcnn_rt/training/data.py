"""Training pairs: luma HR pictures and the LR pictures that the measuring protocol makes of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.evaluate import DatasetError, Pair, list_images, load_luma, make_pair, to_8bit
from fsrcnn_rt.metrics import imresize
from fsrcnn_rt.training.config import Recipe

__all__ = [
    "PatchSampler",
    "check_datasets",
    "data_folder",
    "split_validation",
    "training_pairs",
    "validation_pairs",
]

_F32 = npt.NDArray[np.float32]
_U8 = npt.NDArray[np.uint8]

TEST_SETS = ("set5", "set14", "bsd100", "bsd200", "urban100", "manga109")


def data_folder(given: str | None) -> Path:
    """Locate the datasets: as given, else ``FSRCNN_RT_DATA``, else ``../shared/data``."""
    return Path(given or os.environ.get("FSRCNN_RT_DATA") or "../shared/data")


def split_validation(paths: Sequence[Path], count: int) -> tuple[list[Path], list[Path]]:
    """Split ``paths`` in training and validation, which is ``count`` of them, evenly spread."""
    if count >= len(paths):
        raise DatasetError(f"{paths[0].parent}: {count} validation images leave none of {len(paths)}")
    held_out = {paths[(2 * k + 1) * len(paths) // (2 * count)] for k in range(count)}
    return [p for p in paths if p not in held_out], [p for p in paths if p in held_out]


def check_datasets(data: Path, recipe: Recipe) -> None:
    """Raise ``DatasetError`` where a dataset of ``recipe`` is missing, empty, or a test set."""
    for dataset in {name for stage in recipe.stages for name in stage.datasets} | {recipe.validation_dataset}:
        if dataset.lower() in TEST_SETS:
            raise DatasetError(f"{dataset} is a test set, to train or choose on which would be cheating")
        list_images(data / dataset)
    split_validation(list_images(data / recipe.validation_dataset), recipe.validation_images)


def training_pairs(data: Path, recipe: Recipe, datasets: Iterable[str], scale: int, patch: int) -> list[Pair]:
    """Load every training image of ``datasets`` at every size of the recipe that holds a patch.

    The recipe's validation images are left out. Raises ``DatasetError`` where there is no image to use,
    ``OSError`` for an unreadable one.
    """
    pairs = []
    for dataset in datasets:
        paths = list_images(data / dataset)
        if dataset == recipe.validation_dataset:
            paths, _ = split_validation(paths, recipe.validation_images)
        for luma in map(load_luma, paths):
            for size in recipe.augmentation:
                resized = luma if size == 1 else to_8bit(imresize(luma, size) / 255.0)
                if min(resized.shape) >= scale * patch:
                    pairs.append(make_pair(resized, scale))
    if not pairs:
        raise DatasetError(f"no image of {', '.join(datasets)} holds a patch of {scale * patch} pixels")
    return pairs


def validation_pairs(data: Path, recipe: Recipe, scale: int) -> list[Pair]:
    """Load the held-out images as the protocol measures them."""
    _, paths = split_validation(list_images(data / recipe.validation_dataset), recipe.validation_images)
    return [make_pair(load_luma(path), scale) for path in paths]


class PatchSampler:
    """Random patches, uniform over the positions in all pictures, each in one of the eight orientations."""

    def __init__(self, pairs: Sequence[Pair], scale: int, patch: int, batch: int) -> None:
        self._pairs, self._scale, self._patch, self._batch = pairs, scale, patch, batch
        positions = np.array([(p.lr.shape[0] - patch + 1) * (p.lr.shape[1] - patch + 1) for p in pairs])
        self._cumulative = np.cumsum(positions)

    def draw(self, random: np.random.Generator) -> tuple[_F32, _F32]:
        """Draw LR (batch, 1, patch, patch) and HR (batch, 1, scale * patch, ...), float32 in 0..1."""
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
