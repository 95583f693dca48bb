"""Pairs of pictures to train on: held out, aligned, drawn, damaged."""

from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt.evaluation.metrics import imresize
from fsrcnn_rt.evaluation.protocol import DatasetError, Pair
from PIL import Image
from recipes import DAMAGE, change_stage, changed

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'train'")

from fsrcnn_rt.training.config import parse_recipe  # noqa: E402
from fsrcnn_rt.training.data import (  # noqa: E402
    LazyPair,
    PatchSampler,
    check_datasets,
    split_validation,
    training_pairs,
    validation_pairs,
)
from fsrcnn_rt.training.degrade import damaged, shrink  # noqa: E402
from fsrcnn_rt.training.drawings import SIDE, draw  # noqa: E402

WEIGHTS = Path(__file__).parents[2] / "weights"

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_validation_images_are_held_out(data, recipe, rng):
    paths = [Path(f"{k:02}.png") for k in range(20)]
    training, validation = split_validation(paths, 4)
    assert [path.stem for path in validation] == ["02", "07", "12", "17"]
    assert sorted(training + validation) == paths
    # Six pictures, two held out, each at two sizes.
    photographs, drawings = training_pairs(data, recipe, recipe.stages[0], 3)
    assert (len(photographs), len(drawings)) == (8, 3)
    left_out = parse_recipe(changed(data__exclude=["pictures/0.png"]))
    assert len(training_pairs(data, left_out, left_out.stages[0], 3)[0]) == 6
    with pytest.raises(DatasetError, match="6 validation images leave none of 6"):
        split_validation(paths[:6], 6)


@pytest.mark.parametrize("name", ["Set5", "set14", "BSD200"])
def test_test_sets_are_never_trained_or_chosen_on(data, name):
    for document in (change_stage(1, datasets=[name]), changed(data__validation_dataset=name)):
        with pytest.raises(DatasetError, match=f"{name} is a test set"):
            check_datasets(data, parse_recipe(document))


def test_patches_are_aligned_and_in_all_orientations(rng):
    # An LR pixel carries its number, an HR pixel that of the LR pixel it lies in.
    hr = np.kron(np.arange(12 * 15).reshape(12, 15), np.ones((3, 3))).astype(np.uint8)
    pair = Pair(hr, np.arange(12 * 15, dtype=np.float32).reshape(12, 15) / 255)
    sampler = PatchSampler([(1.0, [LazyPair(pair.lr.shape, lambda: pair)])], 3, 8, 500)
    lr, large = sampler.draw(rng)
    assert lr.shape == (500, 1, 8, 8)
    assert large.shape == (500, 1, 24, 24)
    assert lr.dtype == large.dtype == np.float32
    assert np.kron(lr, np.ones((1, 1, 3, 3))) == pytest.approx(large, abs=1e-6)
    steps = {(round((p[0, 1] - p[0, 0]) * 255), round((p[1, 0] - p[0, 0]) * 255)) for p in lr[:, 0]}
    assert steps == {(a, b) for a, b in [(1, 15), (15, 1)] for a, b in [(a, b), (-a, b), (a, -b), (-a, -b)]}
    assert {round(p.min() * 255) for p in lr} == {15 * y + x for y in range(5) for x in range(8)}


def test_shares_of_patches_and_pairs_made_once(rng):
    made = []

    def pair_of(value):
        def make():
            made.append(value)
            return Pair(np.full((24, 24), value, np.uint8), np.full((12, 12), value, np.float32))

        return LazyPair((12, 12), make)

    groups = [(0.75, [pair_of(0), pair_of(1)]), (0.25, [pair_of(2)])]
    lr, _ = PatchSampler(groups, 2, 8, 4000).draw(rng)
    shares = [np.mean(lr[:, 0, 0, 0] == value) for value in (0, 1, 2)]
    assert shares == pytest.approx([0.375, 0.375, 0.25], abs=0.03)
    assert sorted(made) == [0, 1, 2]


def test_pairs_do_not_depend_on_the_order_in_which_they_are_made(data):
    recipe = parse_recipe(changed(data__damage=DAMAGE))
    for group in (0, 1):
        one = [pair.make() for pair in training_pairs(data, recipe, recipe.stages[0], 3)[group]]
        other = [pair.make() for pair in reversed(training_pairs(data, recipe, recipe.stages[0], 3)[group])]
        for a, b in zip(one, reversed(other), strict=True):
            assert np.array_equal(a.hr, b.hr)
            assert np.array_equal(a.lr, b.lr)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_drawings(scale):
    """Small and large show the same: made from pixels that are there, at the same place."""
    recipe = parse_recipe(changed(data__drawing_filters={"bicubic": 0.5, "nearest": 0.5}))
    kinds = set()
    for number in range(60):
        pair = draw(np.random.default_rng(number), scale, recipe)
        assert pair.hr.shape == (SIDE, SIDE)
        assert pair.lr.shape == (SIDE // scale, SIDE // scale)
        again = draw(np.random.default_rng(number), scale, recipe)
        assert np.array_equal(pair.lr, again.lr)
        here = shrink(pair.hr, scale, "area")
        if here.std() < 0.05:
            continue
        shifted = np.roll(pair.lr, 1, axis=(0, 1))
        assert np.abs(pair.lr - here).mean() < np.abs(shifted - here).mean() + 0.02
        kinds.add(len(np.unique(pair.hr)) > 2)
    assert kinds == {True, False}


def test_small_pictures_are_centred_by_every_filter():
    """A ramp keeps its values; of the four pixels of an even scale, nearest takes the lower right one."""
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (12, 1))
    for scale in (2, 3, 4):
        centre = ramp.reshape(12, -1, scale).mean(2)[::scale] / 255
        for name in ("bicubic", "area", "bilinear", "lanczos", "nearest"):
            small = shrink(ramp, scale, name)
            shift = 1 / 255 if name == "nearest" and scale % 2 == 0 else 0
            assert small[1:-1, 4:-4] == pytest.approx(centre[1:-1, 4:-4] + shift, abs=2e-3), (name, scale)


@pytest.mark.parametrize("kind", ["clean", "noise", "jpeg", "noise jpeg", "h264"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_damage(kind, mode, rng):
    """The small picture is damaged and stays where it was."""
    if kind == "h264":
        pytest.importorskip("av", reason="PyAV is not installed: the extra 'video'")
    document = changed(data__damage={**DAMAGE, "shares": {kind: 1.0}})
    damage = parse_recipe(document).damage
    shape = (160, 192) if mode == "L" else (160, 192, 3)
    smooth = imresize(rng.uniform(30, 220, (16, 20, *shape[2:])), shape=shape[:2])
    picture = Image.fromarray(np.clip(smooth, 0, 255).astype(np.uint8))
    hr, lr = damaged(picture, 3, "bicubic", damage, np.random.default_rng(1), 32)
    assert hr.shape == tuple(3 * side for side in lr.shape)
    error = lr * 255 - imresize(hr, 1 / 3)
    spread = np.std(error)
    assert (spread < 0.5) if kind == "clean" else (0.4 < spread < 12)
    assert abs(error.mean()) < 1
    moved = np.roll(lr, 1, axis=1) * 255 - imresize(hr, 1 / 3)
    assert spread < np.std(moved)


def test_every_damaged_pair_holds_a_patch(data):
    """The pictures hold 20 small pixels a side at x3, too few for a clip that pans over them."""
    pytest.importorskip("av", reason="PyAV is not installed: the extra 'video'")
    document = change_stage(0, patch=20)
    document["data"]["damage"] = {**DAMAGE, "shares": {"h264": 1.0}}
    recipe = parse_recipe(document)
    for scale, patch in ((3, 20), (2, 20)):
        photographs, drawings = training_pairs(data, recipe, recipe.stages[0], scale)
        for pair in (*photographs, *drawings):
            assert min(pair.make().lr.shape) >= patch


def test_validation_is_damaged_as_training_is(data):
    clean, coded = (
        validation_pairs(data, parse_recipe(document), 3)
        for document in (changed(), changed(data__damage=DAMAGE))
    )
    for one, other in zip(clean, coded, strict=True):
        assert one.lr.shape == other.lr.shape
        assert np.abs(one.lr - other.lr).max() > 2 / 255
