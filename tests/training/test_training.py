"""Trainings: stages, interruptions, logs, and the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt import Upscaler, cli, load
from fsrcnn_rt.evaluation.protocol import DatasetError
from fsrcnn_rt.model import fsrcnn, save_model
from fsrcnn_rt.model.network import tap_reach
from recipes import IDN, RECIPE, SRCNN, STATE1, change_stage, changed, tomllib

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'train'")

from fsrcnn_rt.training.config import lay_out, parse_recipe  # noqa: E402
from fsrcnn_rt.training.export import to_model  # noqa: E402
from fsrcnn_rt.training.least_squares import solve_head  # noqa: E402
from fsrcnn_rt.training.network import apply  # noqa: E402
from fsrcnn_rt.training.trainable import Trainable  # noqa: E402
from fsrcnn_rt.training.trainer import Training  # noqa: E402

WEIGHTS = Path(__file__).parents[2] / "weights"

pytestmark = pytest.mark.usefixtures("_one_thread")


def train(recipe, data, folder, limits=(None,)):
    """Train in as many pieces as there are limits, each continued by another object."""
    for number, limit in enumerate(limits):
        training = Training(recipe, data, folder / "x.checkpoint", folder / "x.log.csv")
        if number:
            training.resume()
        done = training.run(limit)
    return training, done


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


def test_datasets_of_every_stage_are_checked_first(data, tmp_path):
    with pytest.raises(DatasetError, match="absent: no such folder"):
        train(parse_recipe(change_stage(1, datasets=["absent"])), data, tmp_path)
    assert not list(tmp_path.iterdir())


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
