"""Training pairs: luma HR pictures and the LR pictures that the measuring protocol makes of them."""

from __future__ import annotations

import math
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from fsrcnn_rt.errors import one_line
from fsrcnn_rt.evaluation.metrics import imresize, modcrop, rgb_to_y
from fsrcnn_rt.evaluation.protocol import DatasetError, Pair, list_images, load_pixels, make_pair, to_8bit
from fsrcnn_rt.training.config import Recipe, Stage
from fsrcnn_rt.training.degrade import damaged, pick, shrink
from fsrcnn_rt.training.drawings import SIDE, draw

__all__ = [
    "LazyPair",
    "PatchSampler",
    "check_datasets",
    "data_folder",
    "locate",
    "names_used",
    "split_validation",
    "training_pairs",
    "validation_pairs",
]

_F32 = npt.NDArray[np.float32]
_U8 = npt.NDArray[np.uint8]

TEST_SETS = ("set5", "set14", "bsd100", "bsd200", "urban100", "manga109")
# The pixels of a camera are softer than what a screen shows, and take memory: what is larger is made smaller
# before it is trained on.
LARGEST = 1 << 20  # pixels
SMALLEST = 16  # pixels a side: what is smaller leaves too little to measure at x4


def data_folder(given: str | None) -> Path:
    """Locate the datasets: as given, else ``FSRCNN_RT_DATA``, else ``./data``."""
    return Path(given or os.environ.get("FSRCNN_RT_DATA") or "data")


def split_validation(paths: Sequence[Path], count: int) -> tuple[list[Path], list[Path]]:
    """Split ``paths`` in training and validation, which is ``count`` of them, evenly spread."""
    if count >= len(paths):
        raise DatasetError(f"{paths[0].parent}: {count} validation images leave none of {len(paths)}")
    held_out = {paths[(2 * k + 1) * len(paths) // (2 * count)] for k in range(count)}
    return [p for p in paths if p not in held_out], [p for p in paths if p in held_out]


def locate(data: Path, recipe: Recipe) -> tuple[Path, Recipe]:
    """Find out whether ``data`` has datasets of ``recipe`` in it, or is a folder of somebody's own pictures.

    Pictures of one's own take the place of every dataset. A tenth of them is for validation, one at least and
    no more than the recipe has. Returns where the datasets lie and the recipe that trains on them. Raises
    ``DatasetError`` for what is no folder, has neither, or has fewer than two pictures that can be used.
    """
    if data.is_file():
        raise DatasetError(f"{data}: is a file, not a folder of pictures")
    if not _has_pictures(data) or _has_datasets(data, recipe):
        return data, recipe
    paths = usable_images(data)
    if len(paths) < 2:
        raise DatasetError(
            f"{data}: one picture that can be used cannot be trained and validated on, give 2 or more"
        )
    data = data.resolve()
    return data.parent, replace(
        recipe,
        validation_dataset=data.name,
        validation_images=max(1, min(recipe.validation_images, len(paths) // 10)),
        exclude=(),
        stages=tuple(replace(stage, datasets=(data.name,)) for stage in recipe.stages),
    )


def check_datasets(data: Path, recipe: Recipe) -> str:
    """Say which pictures are held out; a warning names each picture of the datasets that cannot be used.

    Raises ``DatasetError`` where a dataset is missing, is a test set, or has nothing that can be used.
    """
    datasets = sorted(_datasets(recipe))
    if data.is_dir() and not _has_datasets(data, recipe):
        raise DatasetError(
            f"{data}: has neither pictures nor the folders of the recipe: {', '.join(datasets)}"
        )
    for dataset in datasets:
        if dataset.lower() in TEST_SETS:
            raise DatasetError(f"{dataset} is a test set, to train or choose on which would be cheating")
        usable = set(usable_images(data / dataset))
        for path in list_images(data / dataset):
            if path not in usable:
                warnings.warn(f"{path}: left out: {_problem(path, _changed(path))}", stacklevel=2)
    training, validation = _split(data, recipe)
    held_out = ", ".join(path.name for path in validation)
    count = len(training) + len(validation)
    return f"validation on {len(validation)} of {count} pictures in {recipe.validation_dataset}: {held_out}"


def names_used(data: Path, recipe: Recipe) -> dict[str, list[str]]:
    """List the names of the pictures that can be used, by dataset."""
    return {name: [path.name for path in usable_images(data / name)] for name in sorted(_datasets(recipe))}


def usable_images(folder: Path) -> list[Path]:
    """List the pictures of a folder that can be read to their end, by name.

    Raises ``DatasetError`` where there is none.
    """
    paths = list_images(folder)
    usable = [path for path in paths if _problem(path, _changed(path)) is None]
    if not usable:
        problem = _problem(paths[0], _changed(paths[0]))
        raise DatasetError(f"{folder}: no picture in it can be used; {paths[0].name}: {problem}")
    return usable


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=1 << 16)
def _problem(path: Path, changed: int) -> str | None:
    """Tell why a picture cannot be used; None where it can. ``changed``: when the file was."""
    try:
        sides = load_pixels(path).shape[:2]
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        return one_line(error).removeprefix(f"{path}: ")
    return None if min(sides) >= SMALLEST else f"less than {SMALLEST} pixels wide or high"


def _datasets(recipe: Recipe) -> set[str]:
    return {name for stage in recipe.stages for name in stage.datasets} | {recipe.validation_dataset}


def _has_datasets(data: Path, recipe: Recipe) -> bool:
    return any((data / name).is_dir() for name in _datasets(recipe))


def _has_pictures(folder: Path) -> bool:
    try:
        return bool(list_images(folder))
    except DatasetError:
        return False


def _split(data: Path, recipe: Recipe) -> tuple[list[Path], list[Path]]:
    return split_validation(usable_images(data / recipe.validation_dataset), recipe.validation_images)


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
        paths = usable_images(data / dataset)
        if dataset == recipe.validation_dataset:
            paths, _ = _split(data, recipe)
        for path in paths:
            if f"{dataset}/{path.name}" in recipe.exclude:
                continue
            with Image.open(path) as image:
                width, height = _bounded(*image.size)
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
    picture = _read(path)
    if size != 1:
        sides = (math.ceil(size * picture.width - 1e-9), math.ceil(size * picture.height - 1e-9))
        picture = picture.resize(sides, Image.Resampling.BICUBIC)
    return damaged(picture, scale, name, recipe.damage, random, patch)


# A picture serves three scales.
@lru_cache(maxsize=4096)
def _resized_luma(path: Path, size: float) -> _U8:
    luma = rgb_to_y(np.asarray(_read(path)))
    return luma if size == 1 else to_8bit(imresize(luma, size) / 255.0)


def _read(path: Path) -> Image.Image:
    """Read a picture, grey or RGB, made smaller where it is larger than LARGEST."""
    picture = Image.fromarray(load_pixels(path))
    size = _bounded(*picture.size)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _bounded(width: int, height: int) -> tuple[int, int]:
    ratio = min(1.0, math.sqrt(LARGEST / (width * height)))
    return max(1, round(ratio * width)), max(1, round(ratio * height))


def validation_pairs(data: Path, recipe: Recipe, scale: int) -> list[Pair]:
    """Load the held-out images as the protocol measures them, after the damage that the recipe is for."""
    _, paths = _split(data, recipe)
    if recipe.damage is None:
        return [make_pair(_resized_luma(path, 1), scale) for path in paths]
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
