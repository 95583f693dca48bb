import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
from fsrcnn_rt import Upscaler, cli, load
from fsrcnn_rt.engine import runtime
from fsrcnn_rt.evaluation.metrics import imresize
from fsrcnn_rt.evaluation.protocol import DatasetError, Pair
from fsrcnn_rt.model import fsrcnn, idn, save_model, srcnn
from fsrcnn_rt.model.network import head_reach, tap_reach
from PIL import Image

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'train'")
toml = "tomllib" if sys.version_info >= (3, 11) else "tomli"
tomllib = pytest.importorskip(toml, reason=f"{toml} is not installed: the extra 'train'")

from fsrcnn_rt.training.config import ConfigError, lay_out, parse_recipe, read_recipe  # noqa: E402
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
from fsrcnn_rt.training.export import to_model  # noqa: E402
from fsrcnn_rt.training.least_squares import solve_head  # noqa: E402
from fsrcnn_rt.training.loss import Losses  # noqa: E402
from fsrcnn_rt.training.network import apply, enlarge, subpixel_weight  # noqa: E402
from fsrcnn_rt.training.trainable import Trainable  # noqa: E402
from fsrcnn_rt.training.trainer import Training  # noqa: E402

WEIGHTS = Path(__file__).parents[2] / "weights"

RECIPE = """
name = "tiny"
seed = 7

[network]
family = "fsrcnn"
d = 6
s = 3
m = 1
first = 5
expansion = 8

[data]
augmentation = [1.0, 0.8]
exclude = []
filters = { bicubic = 0.9, nearest = 0.1 }
drawing_filters = { area = 1.0 }
drawing_kinds = { scene = 0.6, "hard scene" = 0.2, blocks = 0.2 }
least_text = 6
drawings = 3
validation_dataset = "pictures"
validation_images = 2

[training]
evaluate_every = 4
precision = "float32"
optimizer = "adam"
average = 0.9
clip = 1.0
head_rate = 1.0

[[stage]]
name = "trunk"
datasets = ["pictures"]
scales = [3]
scale_weights = [1.0]
trains = "all"
steps = 10
least_squares = false
patch = 8
batch = 2
loss = "l1"
learning_rate = [2e-3, 1e-3]
drawn = 0.25
overshoot = 0.5

[[stage]]
name = "heads"
datasets = ["pictures"]
scales = [2, 4]
scale_weights = [1.0, 1.0]
trains = "heads"
steps = 5
least_squares = true
patch = 9
batch = 2
loss = "mse"
learning_rate = 1e-4
drawn = 0.0
overshoot = 0.0
"""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six smooth random pictures, one of them grey."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("data") / "pictures"
    folder.mkdir()
    for k in range(6):
        shape = (60 + k, 66) if k == 0 else (60 + k, 66, 3)
        picture = imresize(rng.uniform(20, 235, (12, 12, *shape[2:])), shape=shape[:2])
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{k}.png")
    return folder.parent


@pytest.fixture
def recipe():
    return parse_recipe(tomllib.loads(RECIPE))


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def changed(**changes):
    """The recipe as a document, with some values of its tables replaced."""
    document = tomllib.loads(RECIPE)
    for path, value in changes.items():
        *tables, key = path.split("__")
        target = document
        for table in tables:
            target = target[int(table[5:])] if table.startswith("stage") and table[5:] else target[table]
        if value is None:
            del target[key]
        else:
            target[key] = value
    return document


FSRCNN = tomllib.loads(RECIPE)["network"]
STATE1 = {"family": "state1", "n1": 5, "n2": 4, "kernels": [9, 5], "expansion": 8}
SRCNN = {"family": "srcnn", "n1": 5, "n2": 4, "kernels": [9, 3, 5], "expansion": 8}
IDN = {
    "family": "idn",
    "features": 8,
    "blocks": 2,
    "widths": [6, 4, 8, 8, 6, 10],
    "groups": 2,
    "expansion": 0,
}

DAMAGE = {"shares": {"jpeg": 0.5, "noise": 0.5}, "quality": [30, 60], "crf": [20, 30], "sigma": [2, 9]}


def change_stage(number, **changes):
    document = tomllib.loads(RECIPE)
    document["stage"][number] |= changes
    return document


def train(recipe, data, folder, limits=(None,)):
    """Train in as many pieces as there are limits, each continued by another object."""
    for number, limit in enumerate(limits):
        training = Training(recipe, data, folder / "x.checkpoint", folder / "x.log.csv")
        if number:
            training.resume()
        done = training.run(limit)
    return training, done


# ---------------------------------------------------------------------------------------------- recipe


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.toml")), ids=lambda path: path.name)
def test_recipes_of_the_repository_are_valid(path):
    recipe = read_recipe(path)
    assert {scale for stage in recipe.stages for scale in stage.scales} == {2, 3, 4}


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (FSRCNN, fsrcnn.Shape(6, 3, 1)),
        (FSRCNN | {"first": 9}, fsrcnn.Shape(6, 3, 1, first=9)),
        (STATE1, fsrcnn.State1(5, 4, (9, 5, 9))),
        (SRCNN, srcnn.Shape((9, 3, 5), 5, 4)),
        (IDN, idn.Shape(8, 2, (6, 4, 8, 8, 6, 10), 2)),
    ],
)
def test_family_and_its_numbers(network, shape):
    document = changed(network=network)
    del document["stage"][1]
    recipe = parse_recipe(document)
    assert recipe.network == shape
    assert type(recipe.network) is type(shape)
    assert recipe.expansion == network["expansion"]


def test_rate_is_a_number_or_a_pair(recipe):
    assert recipe.stages[0].learning_rate == (2e-3, 1e-3)
    assert recipe.stages[1].learning_rate == (1e-4, 1e-4)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (changed(name=None), "^name is missing$"),
        (changed(name=""), "^name: expected a non-empty string, got ''$"),
        (changed(colour=1), "^colour: unknown key$"),
        (changed(seed=-1), "^seed: expected an integer of at least 0, got -1$"),
        (changed(seed=True), "^seed: expected an integer"),
        (changed(network__d="many"), r"^network\.d: expected an integer of at least 1, got 'many'$"),
        (changed(network__t=1), r"^network\.t: unknown key$"),
        (
            changed(network__family="vdsr"),
            r"^network\.family: expected 'fsrcnn' or 'state1' or .*, got 'vdsr'$",
        ),
        (changed(network={"family": "srcnn"}), r"^network\.kernels is missing$"),
        (changed(network__first=4), r"^network: node\.0: kernel=4 is not odd and at most 9$"),
        (
            changed(network=SRCNN | {"kernels": [9, 5]}),
            r"kernels: expected a list of 3 integers of at least 1",
        ),
        (changed(network=SRCNN), "^stage 'heads': least_squares: true needs family 'fsrcnn' or 'state1'$"),
        (
            changed(network=IDN | {"groups": 3}),
            r"^network: node\.3: groups=3 does not divide 6 channels to 4$",
        ),
        (changed(training__precision="int8"), r"^training\.precision: expected 'float32' or 'bfloat16'"),
        (
            changed(training__precision="bfloat16"),
            r"^training\.precision: 'bfloat16' is for family 'idn' alone$",
        ),
        (changed(network=3), "^network: expected a table, got 3$"),
        (changed(data__augmentation=[]), r"^data\.augmentation: expected a list of numbers"),
        (changed(data__augmentation=[1.5]), r"^data\.augmentation: expected .* got \[1\.5\]$"),
        (changed(data__validation_dataset="../x"), "expected the name of a folder"),
        (changed(data__exclude=["x.png"]), r"^data\.exclude: expected a list of dataset/name, got"),
        (changed(data__filters={"box": 1.0}), r"^data\.filters: expected shares of bicubic, area"),
        (changed(data__filters={"area": 0.5}), r"^data\.filters: expected shares that add up to 1"),
        (changed(data__drawings=0), "^stage 'trunk': drawn: 0.25 of the patches need data.drawings"),
        (changed(data__damage={"shares": {"jpeg": 1.0}}), r"^data\.damage\.quality is missing"),
        (changed(data__damage={**DAMAGE, "quality": [80, 30]}), r"quality: expected \[least, most\]"),
        (changed(training__average=1.0), r"^training\.average: expected a number from 0"),
        (changed(stage=[]), r"^stage: expected one or more \[\[stage\]\] tables, got \[\]$"),
        (change_stage(1, scales=[5]), "^stage 'heads': scales: expected .* got"),
        (change_stage(1, scales=[2, 2]), "distinct scales"),
        (change_stage(1, datasets=["a/b"]), "^stage 'heads': datasets: expected the name of a folder"),
        (change_stage(1, scale_weights=[1.0]), "scale_weights: expected one for each of 2 scales"),
        (change_stage(1, scale_weights=[1.0, 0.0]), "scale_weights: expected a list of numbers from 0.001"),
        (change_stage(1, trains="trunk"), "expected 'all' or 'heads', got 'trunk'$"),
        (change_stage(1, learning_rate=[1, 2, 3]), "learning_rate: expected a number or"),
        (change_stage(1, patch=4), "patch: expected an integer of at least 8, got 4$"),
        (change_stage(0, least_squares=True), "least_squares: true needs trains = 'heads', got 'all'$"),
        (change_stage(0, trains="heads"), "the first stage must be 'all'"),
        (change_stage(1, name="trunk"), "'trunk' is given to more than one stage"),
        (
            changed(stage=[*changed()["stage"], {**changed()["stage"][0], "name": "more"}]),
            "'more' would change",
        ),
    ],
)
def test_recipe_is_refused(document, message):
    with pytest.raises(ConfigError, match=message):
        parse_recipe(document)


CHANGES = """
training.optimizer='soap'
network.m=3
stage.steps=9
stage.heads.scales=[4, 2]
name = "other"
""".strip().splitlines()


def test_recipe_is_changed_by_options(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    recipe = read_recipe(path, CHANGES)
    assert (recipe.optimizer, recipe.network.m, recipe.name) == ("soap", 3, "other")
    assert [(stage.steps, stage.scales) for stage in recipe.stages] == [(9, (3,)), (9, (4, 2))]
    unchanged = read_recipe(path)
    assert (unchanged.optimizer, unchanged.network.d) == ("adam", recipe.network.d)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("network.q=3", "network.q is not in the recipe"),
        ("network=3.5.q=1", "not KEY=VALUE"),
        ("stage.tail.steps=1", "stage.tail.steps is not in the recipe"),
        ("network.m", "'network.m' is not KEY=VALUE"),
        ("training.optimizer=adam", "not KEY=VALUE with a value as TOML has it"),
        ("training.optimizer='lion'", "training.optimizer: expected 'adam' or 'soap' or 'sgd', got 'lion'"),
    ],
)
def test_change_of_a_recipe_is_refused(tmp_path, change, message):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_recipe(path, [change])


def test_recipe_file_is_named_in_the_error(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("name =")
    with pytest.raises(ConfigError, match=r"bad\.toml: "):
        read_recipe(path)


# ------------------------------------------------------------------------------------------------ data


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


def test_datasets_of_every_stage_are_checked_first(data, tmp_path):
    with pytest.raises(DatasetError, match="absent: no such folder"):
        train(parse_recipe(change_stage(1, datasets=["absent"])), data, tmp_path)
    assert not list(tmp_path.iterdir())


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


# --------------------------------------------------------------------------------------------- network


def apply_subpixel(x, weight, bias, stride, pad):
    before, after = tap_reach(weight.shape[-1], pad, stride)
    x = torch.nn.functional.pad(x, (before, after, before, after), mode="replicate")
    phases = torch.nn.functional.conv2d(x, subpixel_weight(weight, stride, pad), bias.expand(stride * stride))
    return torch.nn.functional.pixel_shuffle(phases, stride)


@pytest.mark.parametrize(("stride", "pad"), [(2, 4), (3, 3), (3, 4), (4, 3), (4, 4)])
def test_sub_pixel_head_is_the_transposed_convolution(stride, pad):
    random = torch.Generator().manual_seed(3)
    x = torch.randn(2, 5, 7, 6, generator=random)
    weight, bias = torch.randn(5, 1, 9, 9, generator=random), torch.randn(1, generator=random)
    reach = head_reach(9, pad, stride)
    padded = torch.nn.functional.pad(x, (reach,) * 4, mode="replicate")
    output_padding = stride - 9 + 2 * pad
    expected = torch.nn.functional.conv_transpose2d(padded, weight, bias, stride, pad, output_padding)
    crop = slice(stride * reach, -stride * reach)
    result = apply_subpixel(x, weight, bias, stride, pad)
    assert result.shape == (2, 1, 7 * stride, 6 * stride)
    torch.testing.assert_close(result, expected[..., crop, crop], rtol=1e-5, atol=1e-4)


def test_sub_pixel_head_has_the_gradient_of_the_transposed_convolution():
    random = torch.Generator().manual_seed(4)
    x = torch.randn(1, 3, 12, 12, generator=random)
    weights = [torch.randn(3, 1, 9, 9, generator=random).requires_grad_() for _ in range(2)]
    weights[1].data.copy_(weights[0].data)
    inner = (..., slice(8, -8), slice(8, -8))
    apply_subpixel(x, weights[0], torch.zeros(1), 2, 4)[inner].square().sum().backward()
    theirs = torch.nn.functional.conv_transpose2d(x, weights[1], None, 2, 4, 1)
    theirs[inner].square().sum().backward()
    torch.testing.assert_close(weights[0].grad, weights[1].grad, rtol=1e-4, atol=1e-2)


def expanded_by_definition(parameters, x, scale):
    """Every collapsible block as the two convolutions that it is, of an FSRCNN with one mapping layer."""
    convolve = torch.nn.functional.conv2d
    for index in range(4):
        get = {
            key.split("/")[2]: value for key, value in parameters.items() if key.startswith(f"node/{index}/")
        }
        outer, inner = (parameters[f"node/{index}/weight/{part}"] for part in ("outer", "inner"))
        reach = inner.shape[-1] // 2
        padded = torch.nn.functional.pad(x, (reach,) * 4, mode="replicate") if reach else x
        y = convolve(convolve(padded, inner), outer[:, :, None, None])
        y = y + get["bias"][:, None, None] + (x if reach == 1 else 0)
        x = torch.nn.functional.prelu(y, get["slope"])
    outer, inner = (parameters[f"head/x{scale}/weight/{part}"] for part in ("outer", "inner"))
    x = convolve(x, outer.T[:, :, None, None])
    x = torch.nn.functional.pad(x, (4,) * 4, mode="replicate")
    x = torch.nn.functional.conv_transpose2d(x, inner, parameters[f"head/x{scale}/bias"], 3, 3)
    return x[..., 12:-12, 12:-12]


def test_collapsed_network_is_the_expanded_one(recipe, model_from_parameters):
    network, x = model_from_parameters
    with torch.no_grad():
        expected = expanded_by_definition(dict(network.values), x, 3)
        exported = Upscaler(to_model(network.weights(), recipe, {}), guard=False, threads=1)
        result = exported.upscale(x[0, 0].numpy(), 3)
    assert result == pytest.approx(expected[0, 0].numpy(), abs=1e-5)


@pytest.fixture
def model_from_parameters():
    """An expanded network with parameters of everyday size, and a picture."""
    network = Trainable(fsrcnn.Shape(6, 3, 1), [3], expansion=8, seed=1)
    random = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, value in network.values.items():
            if "head" in name:
                value.copy_(torch.randn(value.shape, generator=random) * 0.1)
            if "bias" in name or "slope" in name:
                value.copy_(torch.randn(value.shape, generator=random) * 0.3)
    return network, torch.rand(1, 1, 11, 13, generator=random)


def test_gradients_reach_what_the_weights_were_made_of(model_from_parameters):
    network, x = model_from_parameters
    lr = torch.cat([x[..., :11, :11], x[..., :11, 2:]])
    hr = torch.rand(2, 1, 33, 33, generator=torch.Generator().manual_seed(7))
    inner = (..., slice(6, -6), slice(6, -6))
    error = expanded_by_definition(dict(network.values), lr, 3) - hr
    expected = error[inner].square().mean()
    names, values = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(expected, values)
    losses = Losses(lay_out(fsrcnn.Shape(6, 3, 1)), runtime.resolve_isa(None))
    value = losses.backward(network.weights(), lr[:, 0].numpy(), hr[:, 0].numpy(), 3, "mse", 2, 0.5)
    assert value == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, parameter, gradient in zip(names, values, gradients, strict=True):
        scale = float(gradient.abs().max())
        torch.testing.assert_close(parameter.grad, 0.5 * gradient, rtol=0, atol=1e-4 * scale, msg=name)


SMALL = {
    "fsrcnn": fsrcnn.Shape(6, 3, 1),
    "state 1": fsrcnn.State1(5, 4),
    "state 2": fsrcnn.Shape(6, 3, 2, first=9),
    "srcnn": srcnn.Shape((9, 3, 5), 5, 4),
    "idn": idn.Shape(8, 2, (6, 4, 8, 8, 6, 10), groups=2),
}


@pytest.fixture(params=SMALL)
def shape(request):
    """The shape of a small network of every family."""
    return SMALL[request.param]


def randomised(network, deviation=0.3):
    """Move the parameters away from where they begin, so that every one of them counts."""
    random = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, value in network.values.items():
            share = 0.03 if name.startswith("head") and "weight" in name else deviation
            value.add_(torch.randn(value.shape, generator=random) * share)
    return network


def oracle_net(model):
    """The model as the oracle takes it."""
    heads = {
        scale: (head.weight, head.bias, head.pad, head.output_padding, -1)
        for scale, head in model.heads.items()
    }
    nodes = [(n.weight, n.bias, n.slope, n.groups, n.source, list(n.adds)) for n in model.nodes]
    return oracle.Net(nodes, heads, model.padding, model.planes, model.enlarged, model.plus_bicubic)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_network_is_that_of_the_oracle(shape, scale):
    network = lay_out(shape)
    model = network.with_random_weights(np.random.default_rng(5))
    weights = {name: torch.from_numpy(array) for name, array in model.tensors.items()}
    luma = np.random.default_rng(8).uniform(size=(9, 14)).astype(np.float32)
    result = apply(network, weights, torch.from_numpy(luma)[None, None], scale)[0, 0].numpy()
    assert result == pytest.approx(oracle.forward(oracle_net(model), luma, scale), abs=2e-5)


def test_bfloat16_is_near_float32():
    """The bicubic picture keeps its precision, what is added to it has 8 bits."""
    network = Trainable(SMALL["idn"], [3], expansion=0, seed=1)
    weights = randomised(network, 0.01).weights()
    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        exact, rough = (
            apply(lay_out(SMALL["idn"]), weights, x, 3, t) for t in (torch.float32, torch.bfloat16)
        )
    added = float((exact - enlarge(x, 3)).abs().max())
    assert rough.dtype == torch.float32
    assert 0 < float((exact - rough).abs().max()) < 0.05 * added


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("size", [(7, 12), (1, 3)])
def test_bicubic_picture_is_that_of_the_oracle(scale, size, rng):
    luma = rng.uniform(size=size)
    result = enlarge(torch.from_numpy(luma).float()[None, None], scale)[0, 0].numpy()
    assert result == pytest.approx(oracle.bicubic(luma, scale, "symmetric"), abs=1e-6)


def loss_by_definition(network, weights, lr, hr, scale, loss, border, overshoot):
    """In float64, from what the network makes."""
    result = apply(network, weights, torch.from_numpy(lr)[:, None], scale)[:, 0].detach().numpy()
    step = 1 if network.enlarged else scale
    read = [oracle.bicubic(patch, scale, "symmetric") if network.enlarged else patch for patch in lr]
    total = count = 0
    for n in range(len(hr)):
        for y in range(scale * border, hr.shape[1] - scale * border):
            for x in range(scale * border, hr.shape[2] - scale * border):
                v, u = y // step, x // step
                near = read[n][max(0, v - 2) : v + 3, max(0, u - 2) : u + 3]
                more = 0.15 * (near.max() - near.min())
                beyond = max(0.0, result[n, y, x] - near.max() - more, near.min() - more - result[n, y, x])
                error = abs(result[n, y, x] - hr[n, y, x])
                power = 1 if loss == "l1" else 2
                total += error**power + overshoot * beyond**power
                count += 1
    return total / count


@pytest.mark.parametrize("loss", ["l1", "mse"])
def test_loss_and_gradients_of_every_family(shape, loss, rng):
    """The value against its definition, the gradients against differences of it, overshoot included."""
    network = lay_out(shape, [2])
    trained = randomised(Trainable(shape, [2], expansion=0, seed=1), 0.05)
    lr = rng.uniform(size=(2, 10, 10)).astype(np.float32)
    hr = rng.uniform(size=(2, 20, 20)).astype(np.float32)
    losses = Losses(network, runtime.resolve_isa(None))
    value = losses.backward(trained.weights(), lr, hr, 2, loss, 2, 0.5, 4.0)
    assert value == pytest.approx(
        loss_by_definition(network, trained.weights(), lr, hr, 2, loss, 2, 4.0), rel=1e-4
    )

    random = torch.Generator().manual_seed(9)
    directions = {
        n: torch.randn(v.shape, generator=random) * v.detach().abs().mean()
        for n, v in trained.named_parameters()
    }
    expected = sum(float((p.grad * directions[n]).sum()) for n, p in trained.named_parameters())
    step = 1e-3
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            for name, parameter in trained.named_parameters():
                parameter.add_(directions[name], alpha=sign * step)
        sides.append(loss_by_definition(network, trained.weights(), lr, hr, 2, loss, 2, 4.0))
        with torch.no_grad():
            for name, parameter in trained.named_parameters():
                parameter.add_(directions[name], alpha=-sign * step)
    assert 0.5 * (sides[0] - sides[1]) / (2 * step) == pytest.approx(expected, rel=0.02, abs=1e-3 * value)


def test_the_core_computes_what_pytorch_does(shape, rng):
    """Chains train by the core: value and gradients are those of the network in PyTorch."""
    network = lay_out(shape, [3])
    if shape is SMALL["idn"]:
        assert Losses(network, "reference")._engine is None
        return
    lr = rng.uniform(size=(2, 12, 12)).astype(np.float32)
    hr = rng.uniform(size=(2, 36, 36)).astype(np.float32)
    found = []
    for by_core in (True, False):
        trained = randomised(Trainable(shape, [3], expansion=8, seed=1), 0.05)
        losses = Losses(network, runtime.resolve_isa(None))
        assert losses._engine is not None
        if not by_core:
            losses._engine = None
        value = losses.backward(trained.weights(), lr, hr, 3, "mse", 2)
        found.append((value, {name: p.grad for name, p in trained.named_parameters()}))
    (ours, of_ours), (theirs, of_theirs) = found
    assert ours == pytest.approx(theirs, rel=1e-5)
    for name, gradient in of_theirs.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(of_ours[name], gradient, rtol=0, atol=1e-4 * scale, msg=name)


@pytest.mark.parametrize("expansion", [0, 8])
def test_networks_on_the_bicubic_picture_begin_with_it(expansion, rng):
    """PSNR starts at bicubic's: nothing is to be learned before it gets better."""
    x = torch.from_numpy(imresize(rng.uniform(size=(5, 6)), 3).astype(np.float32))[None, None]
    for name, deviation in ("idn", 0.01), ("srcnn", 0.05):
        weights = Trainable(SMALL[name], [2, 3, 4], expansion, seed=1).weights()
        for scale in (2, 3, 4):
            result = apply(lay_out(SMALL[name]), weights, x, scale).detach()
            assert float((result - enlarge(x, scale)).std()) < deviation, (name, scale)


# -------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_least_squares_finds_the_head_that_made_the_pictures(rng, scale):
    """Where the truth is a head's output, that head is found, bias included."""
    shape = fsrcnn.Shape(4, 3, 1)
    network = lay_out(shape)
    trained = Trainable(shape, [scale], expansion=0, seed=1)
    weights = {name: value.detach() for name, value in trained.weights().items()}
    weights[f"head.x{scale}.weight"] = torch.from_numpy(rng.normal(0, 0.05, (4, 1, 9, 9)).astype(np.float32))
    weights[f"head.x{scale}.bias"] = torch.tensor([0.3])

    class Sampler:
        def draw(self, random):
            lr = random.uniform(size=(4, 1, 24, 24)).astype(np.float32)
            return lr, apply(network, weights, torch.from_numpy(lr), scale).numpy()

    weight, bias = solve_head(network, weights, scale, Sampler(), rng)
    found = weights | {f"head.x{scale}.weight": weight, f"head.x{scale}.bias": bias}
    assert weight.shape == (4, 1, 9, 9)
    assert bias.shape == (1,)
    lr, hr = Sampler().draw(rng)
    before, after = tap_reach(9, scale, {2: 4, 3: 3, 4: 4}[scale])
    inner = (..., slice(before + 4, -after - 4), slice(before + 4, -after - 4))
    torch.testing.assert_close(
        apply(network, found, torch.from_numpy(lr), scale)[inner],
        torch.from_numpy(hr)[inner],
        rtol=0,
        atol=2e-3,
    )


def of_family(network, **training):
    """A recipe of one stage for a network."""
    document = change_stage(0, steps=60, learning_rate=[2e-3, 0.0], scales=[3, 2], scale_weights=[1.0, 1.0])
    document["network"] = network
    document["training"] |= training
    del document["stage"][1]
    return parse_recipe(document)


@pytest.mark.parametrize(
    ("network", "precision"),
    [(STATE1, "float32"), (SRCNN, "float32"), (IDN, "float32"), (IDN | {"expansion": 8}, "bfloat16")],
)
def test_every_family_trains_and_resumes(data, network, precision, tmp_path):
    """It learns, a training in pieces makes the same bits, and the model is what the recipe names."""
    recipe = of_family(network, precision=precision, optimizer="soap", evaluate_every=30)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, done = train(recipe, data, tmp_path / "whole")
    assert done
    parts, _ = train(recipe, data, tmp_path / "parts", limits=(5, None))
    for name, value in whole.average.items():
        assert torch.equal(value, parts.average[name]), name
    for scale in ("psnr_x3", "psnr_x2"):
        assert float(whole._rows[-1][scale]) > float(whole._rows[1][scale]) + 0.1, scale
    model = to_model(whole.average, recipe, whole.figures)
    save_model(model, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    assert loaded.architecture == lay_out(recipe.network, (2, 3))
    assert loaded.name == "tiny"
    assert loaded.provenance == json.loads(json.dumps(dict(model.provenance)))
    luma = np.random.default_rng(3).uniform(size=(11, 13)).astype(np.float32)
    result = Upscaler(loaded, guard=False, threads=1).upscale(luma, 3)
    with torch.no_grad():
        expected = apply(loaded.architecture, whole.average, torch.from_numpy(luma)[None, None], 3)
    assert result == pytest.approx(expected[0, 0].numpy(), abs=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "soap", "sgd"])
def test_interrupted_training_ends_as_an_uninterrupted_one(data, optimizer, tmp_path):
    """Cut within a stage away from an evaluation, between two stages, and within the second."""
    document = tomllib.loads(RECIPE)
    document["training"]["optimizer"] = optimizer
    document["stage"][0]["steps"] = 22 if optimizer == "soap" else 10  # its eigenvectors change at 10 and 20
    recipe = parse_recipe(document)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, done = train(recipe, data, tmp_path / "whole")
    assert done
    parts, done = train(recipe, data, tmp_path / "parts", limits=(3, recipe.stages[0].steps - 6, 3, 2, None))
    assert done
    assert whole.average.keys() == parts.average.keys()
    for name, value in whole.average.items():
        assert torch.equal(value, parts.average[name]), name
    assert whole.figures == parts.figures

    without_time = [
        [[cell for k, cell in enumerate(line.split(",")) if k != 2] for line in text.splitlines()]
        for text in ((tmp_path / name / "x.log.csv").read_text() for name in ("whole", "parts"))
    ]
    assert without_time[0] == without_time[1]
    trunk = (0, 4, 5, 8, 12, 16, 20, 22) if optimizer == "soap" else (0, 4, 5, 8, 10)
    steps = [*(("trunk", step) for step in trunk), *(("heads", step) for step in (0, 4, 5))]
    assert [(row[0], int(row[1])) for row in without_time[0][1:]] == steps


def test_checkpoint_of_another_recipe_is_refused(data, recipe, tmp_path):
    train(recipe, data, tmp_path, limits=(1,))
    other = parse_recipe(changed(seed=8))
    with pytest.raises(ValueError, match="written by another recipe"):
        Training(other, data, tmp_path / "x.checkpoint", tmp_path / "x.log.csv").resume()
    (tmp_path / "x.checkpoint").write_bytes(b"PK broken")
    with pytest.raises(ValueError, match="not a checkpoint"):
        Training(recipe, data, tmp_path / "x.checkpoint", tmp_path / "x.log.csv").resume()


def test_what_is_ahead_may_change(data, tmp_path):
    """A stage of a constant rate is made longer or cut short, and others follow; the past stays."""
    endless = change_stage(0, steps=1000, learning_rate=1e-3)
    del endless["stage"][1]
    train(parse_recipe(endless), data, tmp_path, limits=(6,))
    cut = change_stage(0, steps=6, learning_rate=1e-3)
    falling = {**cut["stage"][0], "name": "falling", "steps": 4, "learning_rate": [1e-3, 0.0]}
    cut["stage"][1] = falling

    def resumed(document):
        training = Training(parse_recipe(document), data, tmp_path / "x.checkpoint", tmp_path / "x.log.csv")
        training.resume()
        return training

    for document in (
        cut | {"stage": [{**cut["stage"][0], "steps": 5}, falling]},
        cut | {"stage": [{**cut["stage"][0], "learning_rate": 2e-3}, falling]},
        cut | {"stage": [{**cut["stage"][0], "learning_rate": [1e-3, 0.0]}, falling]},
        cut | {"stage": [{**cut["stage"][0], "patch": 9}, falling]},
        cut | {"stage": [cut["stage"][0], {**falling, "scales": [2]}]},
    ):
        with pytest.raises(ValueError, match="written by another recipe"):
            resumed(document)
    training = resumed(cut)
    assert training.run()
    assert [(row["stage"], row["step"]) for row in training._rows[-3:]] == [
        ("trunk", "5"), ("falling", "0"), ("falling", "4")
    ]  # fmt: skip
    whole = tmp_path / "whole"
    whole.mkdir()
    uncut, _ = train(parse_recipe(cut), data, whole)
    for name, value in uncut.average.items():
        assert torch.equal(value, training.average[name]), name


def test_killed_training_goes_on_from_its_checkpoint(data, tmp_path):
    """SIGKILL amid the steps: what was written last is whole, and the end is that of a whole run."""
    document = change_stage(0, steps=40)
    document["training"]["evaluate_every"] = 2
    del document["stage"][1]
    whole, _ = train(parse_recipe(document), data, tmp_path)
    folder = tmp_path / "killed"
    folder.mkdir()
    code = (
        "import sys, json, torch; from pathlib import Path\n"
        "from fsrcnn_rt.training.config import parse_recipe\n"
        "from fsrcnn_rt.training.trainer import Training\n"
        "torch.set_num_threads(1); folder = Path(sys.argv[3])\n"
        "paths = Path(sys.argv[2]), folder / 'x.checkpoint', folder / 'x.log.csv'\n"
        "training = Training(parse_recipe(json.loads(sys.argv[1])), *paths)\n"
        "training.run(report=lambda line: print(line, flush=True))\n"
    )
    arguments = [sys.executable, "-c", code, json.dumps(document), str(data), str(folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if " step 8 " in line:
                process.kill()
                break
    training = Training(parse_recipe(document), data, folder / "x.checkpoint", folder / "x.log.csv")
    training.resume()
    assert 0 < training._total < 40
    training.run()
    for name, value in whole.average.items():
        assert torch.equal(value, training.average[name]), name


def test_soap_turns_no_side_that_is_too_long(monkeypatch):
    """The other side is turned still; columns of one gradient then move alike, rows do not."""
    from fsrcnn_rt.training import soap

    def steps(longest):
        monkeypatch.setattr(soap, "LONGEST_SIDE", longest)
        random = torch.Generator().manual_seed(3)
        parameter = torch.nn.Parameter(torch.zeros(3, 5))
        optimizer = soap.Soap([parameter], lr=0.1)
        for _ in range(25):
            parameter.grad = torch.randn(3, 1, generator=random).expand(3, 5) + 0.1
            optimizer.step()
        return parameter.detach(), optimizer.state[parameter]

    _, state = steps(5)
    assert {"left", "right", "left_basis", "right_basis"} <= state.keys()
    result, state = steps(4)
    assert "right" not in state
    assert "left_basis" in state
    torch.testing.assert_close(result, result[:, :1].expand(3, 5))
    assert float(result[:, 0].std()) > 0.01
    untouched, state = steps(2)
    assert "left" not in state
    assert not torch.allclose(result, untouched)


def test_heads_stage_leaves_the_trunk_as_it_is(data, recipe, tmp_path):
    training, _ = train(recipe, data, tmp_path, limits=(10,))
    before = {name: value.clone() for name, value in training.average.items()}
    training.run()
    assert training.average.keys() - before.keys() == {
        f"head.x{s}.{p}" for s in (2, 4) for p in ("weight", "bias")
    }
    for name, value in before.items():
        assert torch.equal(value, training.average[name]), name


def test_log_has_early_rows_once(data, tmp_path):
    document = change_stage(0, steps=42)
    document["training"]["evaluate_every"] = 21
    document["stage"].append({**document["stage"][1], "name": "more", "steps": 21})
    training, _ = train(parse_recipe(document), data, tmp_path, limits=(20, 3, None))
    rows = [(row["stage"], int(row["step"])) for row in training._rows]
    assert rows[:5] == [("trunk", 0), ("trunk", 5), ("trunk", 20), ("trunk", 21), ("trunk", 42)]
    assert rows[5:] == [("heads", 0), ("heads", 5), ("more", 0), ("more", 21)]


@pytest.mark.parametrize(("expansion", "optimizer"), [(0, "adam"), (8, "adam"), (8, "soap"), (0, "sgd")])
def test_training_learns(data, expansion, optimizer, tmp_path):
    document = change_stage(0, steps=60, learning_rate=5e-3)
    document["network"]["expansion"] = expansion
    document["training"]["optimizer"] = optimizer
    document["training"]["evaluate_every"] = 60
    del document["stage"][1]
    training, _ = train(parse_recipe(document), data, tmp_path)
    assert float(training._rows[-1]["psnr_x3"]) > float(training._rows[0]["psnr_x3"]) + 6


def test_command_trains_stops_and_resumes(data, tmp_path, capsys):
    recipe, output = tmp_path / "recipe.toml", tmp_path / "tiny.safetensors"
    recipe.write_text(RECIPE)
    arguments = ["train", str(recipe), "--data", str(data), "-o", str(output)]
    assert cli.main([*arguments, "--steps-limit", "6"]) == 0
    assert "not done" in capsys.readouterr().out
    assert load(output).scales == (3,)
    assert cli.main(arguments) == 2
    assert "tiny.checkpoint exists: continue it with --resume" in capsys.readouterr().err
    assert cli.main([*arguments, "--resume"]) == 0
    assert "not done" not in capsys.readouterr().out

    model = load(output)
    assert (model.name, model.family, model.scales) == ("tiny", "FSRCNN(6, 3, 1)", (2, 3, 4))
    assert [model.heads[s].pad for s in model.scales] == [4, 3, 4]
    assert (model.padding, {head.border for head in model.heads.values()}) == ("replicate", {"full"})
    provenance = model.provenance
    assert provenance.keys() == {"data", "recipe", "seed", "figures", "terms"}
    assert provenance["data"] == ["pictures"]
    assert provenance["seed"] == 7
    assert str(tmp_path.parent) not in json.dumps(dict(provenance))
    assert (tmp_path / "tiny.log.csv").read_text().startswith("stage,step,seconds,learning_rate,loss,psnr_x2")
    assert Upscaler(model).upscale(np.zeros((5, 6), np.float32), 2).shape == (10, 12)
    assert sorted(p.name for p in tmp_path.iterdir() if "." in p.name) == [
        "recipe.toml", "tiny.checkpoint", "tiny.log.csv", "tiny.safetensors"
    ]  # fmt: skip


def test_command_refuses(data, tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    bad = tmp_path / "bad.toml"
    bad.write_text(RECIPE.replace("d = 6", "d = 0"))
    for arguments, code, message in [
        ([], 2, "CONFIG"),
        ([str(tmp_path / "nothing.toml")], 2, "nothing.toml: No such file"),
        ([str(bad)], 2, "bad.toml: network.d: expected an integer of at least 1, got 0"),
        ([str(recipe), "-o", str(tmp_path / "no" / "x.safetensors")], 2, "--output: no folder"),
        ([str(recipe), "--steps-limit", "0"], 2, "--steps-limit: expected at least 1, got 0"),
        ([str(recipe), "--data", str(tmp_path / "no"), "-o", str(tmp_path / "x")], 1, "no such folder"),
        (
            [str(recipe), "--data", str(data), "-o", str(tmp_path / "x"), "--resume"],
            1,
            "x.checkpoint: No such file",
        ),
    ]:
        assert cli.main(["train", *arguments]) == code
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1


def test_without_pytorch_the_extra_is_named():
    code = (
        "import sys; sys.modules['torch'] = None; from fsrcnn_rt.cli import main; "
        "sys.exit(main(['train', 'recipe.toml']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert result.returncode == 1
    told = "needs torch, which is not installed: pip install 'fsrcnn-rt[train]'"
    assert result.stderr == f"fsrcnn-rt: train: {told}\n"
