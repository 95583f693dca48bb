"""Trainings of one's own: weights to begin with, pictures in a folder, what is broken, what diverges."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt import ModelError, cli, load
from fsrcnn_rt.model import fsrcnn, idn, save_model, srcnn
from PIL import Image
from recipes import RECIPE, change_stage, changed

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'train'")

from fsrcnn_rt.training.config import ConfigError, lay_out, parse_recipe  # noqa: E402
from fsrcnn_rt.training.data import LARGEST, locate, training_pairs, validation_pairs  # noqa: E402
from fsrcnn_rt.training.divergence import DivergedError, Watch  # noqa: E402
from fsrcnn_rt.training.trainable import Trainable, starting_weights  # noqa: E402
from fsrcnn_rt.training.trainer import Training  # noqa: E402

pytestmark = pytest.mark.usefixtures("_one_thread")

TINY = fsrcnn.Shape(6, 3, 1)


@pytest.fixture
def tiny(rng):
    """A model of the small recipe's network, for x3 and x4."""
    return lay_out(TINY, (3, 4)).with_random_weights(rng, "begun")


@pytest.fixture
def pictures(data, tmp_path):
    """A folder of one's own: the six pictures, four times."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    for k in range(4):
        for path in sorted((data / "pictures").iterdir()):
            shutil.copy(path, folder / f"{path.stem}{k}.png")
    return folder


def begin(recipe, data, folder, **options):
    return Training(recipe, data, folder / "x.checkpoint", folder / "x.log.csv", **options)


def train(tmp_path, *arguments, recipe=RECIPE):
    """Run the command on a recipe; returns its exit code and the model file."""
    (tmp_path / "recipe.toml").write_text(recipe)
    output = tmp_path / "out.safetensors"
    return cli.main(["train", str(tmp_path / "recipe.toml"), "-o", str(output), *map(str, arguments)]), output


@pytest.mark.parametrize("expansion", [0, 8])
def test_a_network_begins_as_the_weights_that_are_given(tiny, expansion):
    start = starting_weights(tiny, TINY)
    weights = Trainable(TINY, [2, 3], expansion, seed=1, start=start).weights()
    fresh = Trainable(TINY, [2, 3], expansion, seed=1).weights()
    for name, value in weights.items():
        expected = fresh[name] if name.startswith("head.x2") else start[name]
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-6, msg=name)
    assert not torch.allclose(weights["node.0.weight"], fresh["node.0.weight"])
    sum(value.square().sum() for value in weights.values()).backward()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (fsrcnn.Shape(6, 3, 2), r"begun is FSRCNN\(6, 3, 1\), not FSRCNN\(6, 3, 2\) as the recipe has it"),
        (srcnn.Shape((9, 3, 5), 5, 4), r"begun is FSRCNN\(6, 3, 1\), not SRCNN"),
        (idn.Shape(8, 2, (6, 4, 8, 8, 6, 10), 2), r"begun is FSRCNN\(6, 3, 1\), not IDN"),
    ],
)
def test_weights_of_another_network_are_refused(tiny, shape, message):
    with pytest.raises(ModelError, match=message):
        starting_weights(tiny, shape)


def test_weights_of_another_padding_or_head_are_refused(tiny):
    for changes, message in (
        ({"padding": "zeros"}, "padding='zeros', not 'replicate'"),
        (
            {"heads": {3: tiny.heads[3].__class__(tiny.heads[3].weight, tiny.heads[3].bias, 4, 2)}},
            "head for x3",
        ),
    ):
        values = {
            "nodes": tiny.nodes,
            "heads": tiny.heads,
            "padding": tiny.padding,
            "name": "other",
        } | changes
        with pytest.raises(ModelError, match=message):
            starting_weights(type(tiny)(**values), TINY)


def test_a_shipped_model_is_fine_tuned_by_the_command(data, tmp_path, capsys):
    network = (
        RECIPE[: RECIPE.rindex("[[stage]]")]
        .replace("d = 6", "d = 32")
        .replace("s = 3", "s = 5")
        .replace("learning_rate = [2e-3, 1e-3]", "learning_rate = 0.0")
    )
    code, output = train(tmp_path, "--init", "fsrcnn-s", "--data", data, recipe=network)
    assert code == 0
    ours, theirs = load(output), load("fsrcnn-s")
    assert ours.provenance["init"] == "fsrcnn-s"
    assert "begun with" in ours.provenance["terms"] or "began with" in ours.provenance["terms"]
    for name, value in ours.tensors.items():
        assert value == pytest.approx(theirs.tensors[name], abs=1e-6), name  # at a rate of zero
    assert ours.scales == (3,)
    assert cli.main(["info", str(output)]) == 0
    assert "begun with fsrcnn-s" in capsys.readouterr().out
    code, _ = train(tmp_path, "--init", "fsrcnn-s", "--data", data, "--resume", recipe=network)
    assert code == 2
    assert "--init=fsrcnn-s: the checkpoint that --resume continues" in capsys.readouterr().err


def test_the_command_refuses_weights_that_do_not_fit(data, tmp_path, capsys, tiny):
    code, output = train(tmp_path, "--init", "fsrcnn", "--data", data)
    assert code == 2
    assert "fsrcnn is FSRCNN(56, 12, 4), not FSRCNN(6, 3, 1) as the recipe has it" in capsys.readouterr().err
    save_model(tiny, output)
    before = output.read_bytes()
    assert train(tmp_path, "--init", output, "--data", data)[0] == 2
    assert "is what --init begins with, and would be overwritten" in capsys.readouterr().err
    assert train(tmp_path, "--init", "nothing", "--data", data)[0] == 2
    assert "nothing" in capsys.readouterr().err
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.safetensors", "recipe.toml"]


def test_a_head_alone_trains_upon_weights_that_are_given(data, tmp_path, tiny):
    """The transfer of the paper's section 3.4; without weights there is no trunk."""
    document = change_stage(0, trains="heads", scales=[2], steps=4)
    del document["stage"][1]
    recipe = parse_recipe(document)
    with pytest.raises(ConfigError, match="the first stage must be 'all'"):
        begin(recipe, data, tmp_path).run()
    (training := begin(recipe, data, tmp_path, init=tiny)).run(2)
    (training := begin(recipe, data, tmp_path)).resume()
    assert training.run()
    assert training.init == "begun"
    for name, value in tiny.tensors.items():
        assert np.array_equal(training.average[name].numpy(), value), name
    assert training.average["head.x2.weight"].shape == (6, 1, 9, 9)
    assert training.figures.keys() == {"x2", "x3", "x4"}


def test_own_pictures_take_the_place_of_the_datasets(pictures, tmp_path, capsys):
    code, output = train(tmp_path, "--data", pictures)
    assert code == 0
    out = capsys.readouterr().out
    assert "validation on 2 of 24 pictures in my pictures: 12.png, 42.png" in out.splitlines()[0]
    provenance = load(output).provenance
    assert provenance["data"] == ["my pictures"]
    assert list(provenance["figures"]) == ["validation PSNR in dB, 2 images of my pictures"]
    assert "published" not in provenance["terms"]
    data, recipe = locate(pictures, parse_recipe(changed()))
    photographs, _ = training_pairs(data, recipe, recipe.stages[0], 3)
    assert len(photographs) == 22 * 2  # two sizes
    assert len(validation_pairs(data, recipe, 3)) == 2


def test_a_tenth_is_held_out_and_one_at_least(pictures):
    recipe = parse_recipe(changed(data__validation_images=10))
    assert locate(pictures, recipe)[1].validation_images == 2
    for path in sorted(pictures.iterdir())[5:]:
        path.unlink()
    assert locate(pictures, recipe)[1].validation_images == 1
    assert (
        locate(pictures.parent, parse_recipe(changed(data__validation_dataset="my pictures")))[0]
        == pictures.parent
    )


def test_too_few_pictures_are_refused(pictures, tmp_path, capsys):
    for path in sorted(pictures.iterdir())[1:]:
        path.unlink()
    for folder, message in (
        (pictures, "one picture that can be used cannot be trained and validated on, give 2 or more"),
        (next(pictures.iterdir()), "is a file, not a folder of pictures"),
        (tmp_path, "has neither pictures nor the folders of the recipe: pictures"),
    ):
        assert train(tmp_path, "--data", folder)[0] == 1
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1


def test_broken_pictures_are_named_and_left_out(pictures, tmp_path, capsys):
    whole = (pictures / "20.png").read_bytes()
    (pictures / "20.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "21.png").write_bytes(b"")
    Image.new("L", (200, 9)).save(pictures / "22.png")
    Image.new("I;16", (60, 60)).save(pictures / "23.png")
    (pictures / "24.png").mkdir()
    (pictures / "25.png").write_bytes(whole[:16] + struct.pack(">II", 1 << 16, 1 << 16) + whole[24:])
    assert train(tmp_path, "--data", pictures, "--steps-limit", 3)[0] == 0
    streams = capsys.readouterr()
    told = [line for line in streams.err.splitlines() if "left out" in line]
    assert [Path(line.split(": ")[1]).name for line in told] == [f"2{k}.png" for k in range(6)]
    assert "less than 16 pixels" in told[2]
    assert "not an 8-bit picture" in told[3]
    assert "validation on 2 of 20 pictures" in streams.out
    for path in pictures.iterdir():
        if path.is_file():
            path.write_bytes(b"nothing")
    (tmp_path / "out.checkpoint").unlink()
    assert train(tmp_path, "--data", pictures)[0] == 1
    assert "no picture in it can be used; 00.png" in capsys.readouterr().err


def test_large_photographs_are_made_smaller(tmp_path, rng):
    folder = tmp_path / "camera"
    folder.mkdir()
    for k in range(2):
        Image.fromarray(rng.integers(0, 256, (1500, 2000, 3), np.uint8)).save(folder / f"{k}.jpg")
    data, recipe = locate(folder, parse_recipe(changed(data__augmentation=[1.0])))
    (pair,), _ = training_pairs(data, recipe, recipe.stages[0], 2)
    hr, lr = pair.make()
    assert 0.99 * LARGEST < hr.size <= 1.001 * LARGEST
    assert pair.shape == lr.shape
    assert hr.shape[1] / hr.shape[0] == pytest.approx(4 / 3, abs=0.01)


def test_other_pictures_end_a_resumed_training(pictures, tmp_path, capsys):
    assert train(tmp_path, "--data", pictures, "--steps-limit", 3)[0] == 0
    (pictures / "31.png").rename(pictures / "99.png")
    assert train(tmp_path, "--data", pictures, "--resume")[0] == 1
    assert "my pictures has changed: 31.png is missing, 2 in all" in capsys.readouterr().err


def test_figures_are_those_of_the_last_step(data, tmp_path):
    """Also where it stops between two evaluations, and of scales that the last stage did not log."""
    (training := begin(parse_recipe(changed()), data, tmp_path)).run(7)
    assert training._rows[-1]["step"] == "5"
    assert training.figures == training._measure([3])
    assert f"{training.figures['x3']:.4f}" != training._rows[-1]["psnr_x3"]
    training.run()
    assert training.figures.keys() == {"x2", "x3", "x4"}
    assert training.figures == training._measure([2, 3, 4])


@pytest.mark.parametrize(("rate", "optimizer"), [(1.0, "sgd"), (1.0, "adam")])
def test_a_training_that_diverges_ends_with_its_best_weights(data, tmp_path, capsys, rate, optimizer):
    text = RECIPE.replace('"adam"', f'"{optimizer}"').replace("[2e-3, 1e-3]", f"[{rate}, {rate}]")
    text = text.replace("steps = 10", "steps = 400").replace("clip = 1.0", "clip = 1e9")
    text = text.replace("evaluate_every = 4", "evaluate_every = 400").replace("batch = 2", "batch = 16")
    code, output = train(tmp_path, "--data", data, recipe=text)
    assert code == 1
    err = capsys.readouterr().err
    assert "train: diverged at step" in err
    assert "the weights are those of step" in err
    assert "out.safetensors has them, take a lower learning_rate" in err
    model = load(output)
    assert all(np.isfinite(value).all() for value in model.tensors.values())
    (figures,) = model.provenance["figures"].values()
    assert f"x3 {figures['x3']:.2f} dB" in err


def test_what_is_astray():
    """Not finite, or many times the lowest mean; but not one batch that is far off, nor the beginning."""
    stage = parse_recipe(change_stage(0, batch=16)).stages[0]
    for loss in (float("nan"), float("inf")):
        assert Watch().is_astray(loss, stage)
    watch = Watch()
    assert not any(watch.is_astray(loss, stage) for loss in (0.5, 0.4, 0.3, *[0.02] * 200))
    assert not watch.is_astray(0.5, stage)
    assert not any(watch.is_astray(0.02, stage) for _ in range(200))
    rising = [0.02 * 1.1**k for k in range(60)]
    assert any(watch.is_astray(loss, stage) for loss in rising)
    watch = Watch()
    assert not watch.is_astray(9.0, stage)
    assert any(watch.is_astray(loss, stage) for loss in [9.0] * 20)
    squared = parse_recipe(change_stage(0, batch=16, loss="mse")).stages[0]
    watch = Watch()
    assert not any(watch.is_astray(loss, squared) for loss in [4e-4] * 200 + [4e-3] * 200)
    assert any(watch.is_astray(loss, squared) for loss in [4e-2] * 200)


def test_an_evaluation_far_below_the_best_ends_a_training(tmp_path, data, tiny):
    """Of good weights at a rate that is too high the loss may stay at what it has become at once."""
    watch = Watch()
    assert not watch.has_fallen(0, {"x2": 30.0, "x3": 28.0}, {})
    assert not watch.has_fallen(1, {"x2": 25.0, "x3": 23.0}, {})
    assert watch.best.step == 0
    assert watch.has_fallen(2, {"x2": 18.0, "x3": 19.0}, {})
    assert not watch.has_fallen(3, {"x2": 32.0, "x3": 28.0}, {})
    assert watch.best.step == 3
    (training := begin(parse_recipe(change_stage(0, steps=40)), data, tmp_path)).run(21)
    training._watch.has_fallen(21, {"x3": 60.0}, starting_weights(tiny, TINY))
    with pytest.raises(DivergedError, match=r"at step 24 of stage 'trunk': the PSNR has fallen.* of step 21"):
        training.run()
    assert torch.equal(training.average["node.0.weight"], starting_weights(tiny, TINY)["node.0.weight"])
    assert training.figures == {"x3": 60.0}
