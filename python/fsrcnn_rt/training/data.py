"""Training pairs: luma HR pictures and the LR pictures that the measuring protocol makes of them."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from fsrcnn_rt.evaluation.metrics import imresize, modcrop
from fsrcnn_rt.evaluation.protocol import (
    GREY_MODES,
    DatasetError,
    Pair,
    list_images,
    load_luma,
    make_pair,
    to_8bit,
)
from fsrcnn_rt.training.config import Recipe, Stage
from fsrcnn_rt.training.degrade import damaged, pick, shrink
from fsrcnn_rt.training.drawings import SIDE, draw

__all__ = [
    "LazyPair",
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
    """Locate the datasets: as given, else ``FSRCNN_RT_DATA``, else ``./data``."""
    return Path(given or os.environ.get("FSRCNN_RT_DATA") or "data")


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


class LazyPair(NamedTuple):
    """A pair that is made when it is first asked for."""

    shape: tuple[int, int]
    """Of the small picture; a clip that is made of it may be smaller, but holds a patch."""
    make: Callable[[], Pair]


def training_pairs(
    data: Path, recipe: Recipe, stage: Stage, scale: int
) -> tuple[list[LazyPair], list[LazyPair]]:
    """Photographs, every training image of ``stage`` at every size of the recipe, and drawings.

    Left out are the recipe's validation images, what it excludes, and what does not hold a patch. Each pair
    has a random generator of its own, so that nothing depends on the order in which they are made. Raises
    ``DatasetError`` where there is no image to use, ``OSError`` for an unreadable one.
    """
    photographs = []
    for dataset in stage.datasets:
        paths = list_images(data / dataset)
        if dataset == recipe.validation_dataset:
            paths, _ = split_validation(paths, recipe.validation_images)
        for path in paths:
            if f"{dataset}/{path.name}" in recipe.exclude:
                continue
            with Image.open(path) as image:
                width, height = image.size
            for size in recipe.augmentation:
                shape = (math.ceil(size * height - 1e-9) // scale, math.ceil(size * width - 1e-9) // scale)
                if min(shape) >= stage.patch:
                    random = _generator(recipe.seed, f"{dataset}/{path.name}", size, scale)
                    make = partial(_photograph, path, size, scale, recipe, random, stage.patch)
                    photographs.append(LazyPair(shape, make))
    if not photographs:
        names = ", ".join(stage.datasets)
        raise DatasetError(f"no image of {names} holds a patch of {scale * stage.patch} pixels")
    drawings = [
        LazyPair(
            (SIDE // scale, SIDE // scale),
            partial(
                draw,
                _generator(recipe.seed, "drawing", number, scale),
                scale,
                recipe,
            ),
        )
        for number in range(recipe.drawings if stage.drawn else 0)
    ]
    return photographs, drawings


def _generator(seed: int, name: str, *numbers: float) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(repr((name, *numbers)).encode())])


def _photograph(
    path: Path, size: float, scale: int, recipe: Recipe, random: np.random.Generator, patch: int
) -> Pair:
    """Make one image at one size into a pair that holds a patch, as the recipe has it."""
    name = pick(random, recipe.filters)
    if recipe.damage is None:
        luma = _resized_luma(path, size)
        hr = np.ascontiguousarray(modcrop(luma, scale))
        return Pair(hr, shrink(hr, scale, name))
    with Image.open(path) as image:
        picture = image.convert("L" if image.mode in GREY_MODES else "RGB")
    if size != 1:
        sides = (math.ceil(size * picture.width - 1e-9), math.ceil(size * picture.height - 1e-9))
        picture = picture.resize(sides, Image.Resampling.BICUBIC)
    return damaged(picture, scale, name, recipe.damage, random, patch)


# A picture serves three scales.
@lru_cache(maxsize=4096)
def _resized_luma(path: Path, size: float) -> _U8:
    luma = load_luma(path)
    return luma if size == 1 else to_8bit(imresize(luma, size) / 255.0)


def validation_pairs(data: Path, recipe: Recipe, scale: int) -> list[Pair]:
    """Load the held-out images as the protocol measures them, after the damage that the recipe is for."""
    _, paths = split_validation(list_images(data / recipe.validation_dataset), recipe.validation_images)
    if recipe.damage is None:
        return [make_pair(load_luma(path), scale) for path in paths]
    randoms = (_generator(recipe.seed, f"validation/{path.name}", scale) for path in paths)
    patch = recipe.stages[0].patch
    return [
        _photograph(path, 1, scale, recipe, random, patch)
        for path, random in zip(paths, randoms, strict=True)
    ]


class PatchSampler:
    """Random patches, each in one of the eight orientations.

    ``groups``: pairs and the share of the patches that come from them; within a group, patches are uniform
    over the positions in all pictures.
    """

    def __init__(
        self, groups: Sequence[tuple[float, Sequence[LazyPair]]], scale: int, patch: int, batch: int
    ) -> None:
        self._scale, self._patch, self._batch = scale, patch, batch
        self._pairs = [pair for _, pairs in groups for pair in pairs]
        self._made: dict[int, Pair] = {}
        chances = []
        for share, pairs in groups:
            positions = np.array([(h - patch + 1) * (w - patch + 1) for (h, w), _ in pairs], np.float64)
            chances.append(share * positions / positions.sum())
        self._cumulative = np.cumsum(np.concatenate(chances))

    def _pair(self, index: int) -> Pair:
        if index not in self._made:
            self._made[index] = self._pairs[index].make()
        return self._made[index]

    def draw(self, random: np.random.Generator) -> tuple[_F32, _F32]:
        """Draw LR (batch, 1, patch, patch) and HR (batch, 1, scale * patch, ...), float32 in 0..1."""
        patch, scale = self._patch, self._scale
        lr = np.empty((self._batch, 1, patch, patch), np.float32)
        hr = np.empty((self._batch, 1, scale * patch, scale * patch), np.float32)
        picks = random.random(self._batch) * self._cumulative[-1]
        places = random.random((self._batch, 2))
        orientations = random.integers(8, size=self._batch)
        for k, index in enumerate(np.searchsorted(self._cumulative, picks, side="right")):
            pair = self._pair(int(index))
            y = int(places[k, 0] * (pair.lr.shape[0] - patch + 1))
            x = int(places[k, 1] * (pair.lr.shape[1] - patch + 1))
            lr[k, 0] = _orient(pair.lr[y : y + patch, x : x + patch], orientations[k])
            y, x, side = scale * y, scale * x, scale * patch
            hr[k, 0] = _orient(pair.hr[y : y + side, x : x + side], orientations[k])
        hr /= 255.0
        return lr, hr


def _orient(tile: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    tile = tile.T if orientation & 4 else tile
    return tile[:: -1 if orientation & 2 else 1, :: -1 if orientation & 1 else 1]
