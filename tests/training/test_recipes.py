"""Recipes: what they may say, and how a command changes them."""

import re
from pathlib import Path

import pytest
from fsrcnn_rt.model import fsrcnn, idn, srcnn
from fsrcnn_rt.training.config import ConfigError, parse_recipe, read_recipe
from recipes import DAMAGE, FSRCNN, IDN, RECIPE, SRCNN, STATE1, change_stage, changed

WEIGHTS = Path(__file__).parents[2] / "weights"


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.toml")), ids=lambda path: path.name)
def test_recipes_of_the_repository_are_valid(path):
    recipe = read_recipe(path)
    scales = {scale for stage in recipe.stages for scale in stage.scales}
    assert scales == ({3} if path.stem == "table2" else {2, 3, 4})


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


def test_a_span_may_be_one_number():
    recipe = parse_recipe(changed(data__damage={**DAMAGE, "quality": [50, 50]}))
    assert recipe.damage.quality == (50, 50)


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
        (change_stage(1, datasets="pictures"), "datasets: expected a list of folders .*, got 'pictures'$"),
        (change_stage(1, datasets=[]), r"datasets: expected a list of folders .*, got \[\]$"),
        (change_stage(1, datasets=["a/b"]), "^stage 'heads': datasets: expected the name of a folder"),
        (change_stage(1, scale_weights=[1.0]), "scale_weights: expected one for each of 2 scales"),
        (change_stage(1, scale_weights=[1.0, 0.0]), "scale_weights: expected a list of numbers from 0.001"),
        (change_stage(1, trains="trunk"), "expected 'all' or 'heads', got 'trunk'$"),
        (change_stage(1, learning_rate=[1, 2, 3]), "learning_rate: expected a number or"),
        (change_stage(1, patch=4), "patch: expected an integer of at least 8, got 4$"),
        (change_stage(0, least_squares=True), "least_squares: true needs trains = 'heads', got 'all'$"),
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
