"""No training image shows what a test image shows: Set5's woman is a picture of BSDS500."""

import sys
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt.evaluation.protocol import list_images
from PIL import Image

toml = "tomllib" if sys.version_info >= (3, 11) else "tomli"
pytest.importorskip(toml, reason=f"{toml} is not installed: the extra 'train'")

from fsrcnn_rt.training.config import read_recipe  # noqa: E402

RECIPES = sorted((Path(__file__).parents[2] / "weights").glob("*.toml"))

# Pictures are compared at a quarter of their size, by the middle of the test picture at sizes between 0.4 and
# 2 of its own. What shows something else correlates by 0.86 at most, the woman by 0.96.
REDUCED = 4
RATIOS = [2 ** (k / 10) for k in range(-12, 11)]
SIDE = 128
ALIKE = 0.88


class Finder:
    """Finds the middles of some pictures in others, scaled and cropped as they may be."""

    def __init__(self, pictures):
        self.templates = []
        for name, picture in pictures.items():
            width, height = picture.size
            middle = picture.crop((width // 4, height // 4, width - width // 4, height - height // 4))
            for ratio in RATIOS:
                size = [round(side * ratio / REDUCED) for side in middle.size]
                if min(size) >= 12 and max(size) <= SIDE:
                    pixels = np.asarray(middle.resize(size, Image.Resampling.BICUBIC), np.float32)
                    pixels = pixels - pixels.mean()
                    spectrum = np.fft.rfft2(pixels, s=(SIDE, SIDE)).conj()
                    self.templates.append((name, pixels.shape, np.linalg.norm(pixels), spectrum))

    def best(self, picture):
        """Name of the picture that shows most of this one, and how much they correlate."""
        size = [max(1, side // REDUCED) for side in picture.size]
        pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float64)[:SIDE, :SIDE]
        spectrum = np.fft.rfft2(pixels.astype(np.float32), s=(SIDE, SIDE))
        sums, squares = (np.pad(a.cumsum(0).cumsum(1), ((1, 0), (1, 0))) for a in (pixels, pixels**2))
        found = [(0.0, "")]
        for name, (h, w), norm, template in self.templates:
            if h > pixels.shape[0] or w > pixels.shape[1]:
                continue
            product = np.fft.irfft2(spectrum * template, s=(SIDE, SIDE))
            product = product[: pixels.shape[0] - h + 1, : pixels.shape[1] - w + 1]
            s, q = (a[h:, w:] - a[:-h, w:] - a[h:, :-w] + a[:-h, :-w] for a in (sums, squares))
            spread = np.sqrt(np.maximum(q - s * s / (h * w), 1e-3 * h * w))
            found.append((float((product / (spread * norm)).max()), name))
        return max(found)


@pytest.fixture(scope="module")
def tests(data_folder):
    paths = [path for name in ("Set5", "Set14") for path in list_images(data_folder / name)]
    return {path.name: Image.open(path).convert("L") for path in paths}


@pytest.mark.parametrize("ratio", [0.55, 0.8, 1.3])
def test_a_scaled_and_cropped_picture_is_found(tests, ratio):
    finder = Finder({name: tests[name] for name in ("baby.bmp", "woman.bmp", "butterfly.bmp")})
    for name in ("baby.bmp", "butterfly.bmp"):
        width, height = tests[name].size
        part = tests[name].crop((width // 6, height // 7, width, height - height // 9))
        scaled = part.resize([round(side * ratio) for side in part.size], Image.Resampling.BICUBIC)
        correlation, found = finder.best(scaled)
        assert correlation > ALIKE, (name, correlation)
        assert found == name


def test_no_recipe_trains_on_a_test_picture(tests, data_folder):
    finder = Finder(tests)
    recipes = [read_recipe(path) for path in RECIPES]
    used = {name for recipe in recipes for stage in recipe.stages for name in stage.datasets}
    shown = set()
    for dataset in sorted(used):
        for path in list_images(data_folder / dataset):
            with Image.open(path) as image:
                correlation, _ = finder.best(image.convert("L"))
            if correlation > ALIKE:
                shown.add(f"{dataset}/{path.name}")
    assert shown == {"BSDS500-train/302003.jpg"}
    for recipe in recipes:
        trained_on = {dataset for stage in recipe.stages for dataset in stage.datasets}
        taboo = {name for name in shown if name.split("/")[0] in trained_on}
        assert taboo <= set(recipe.exclude), recipe.name
