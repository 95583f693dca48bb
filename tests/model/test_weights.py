"""The shipped files belong together: recipe, log and weights."""

import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt import Upscaler, cli, load
from fsrcnn_rt.evaluation.metrics import psnr
from fsrcnn_rt.evaluation.protocol import to_8bit
from fsrcnn_rt.model import NETWORKS, OTHERS, SHIPPED

toml = "tomllib" if sys.version_info >= (3, 11) else "tomli"
pytest.importorskip(toml, reason=f"{toml} is not installed: the extra 'train'")

from fsrcnn_rt.training.config import lay_out, read_recipe  # noqa: E402
from fsrcnn_rt.training.data import validation_pairs  # noqa: E402

WEIGHTS = Path(__file__).parents[2] / "weights"
TRAINED = sorted(path.with_suffix("").with_suffix("") for path in WEIGHTS.glob("*.log.csv"))


@pytest.fixture(scope="module", params=TRAINED, ids=lambda path: path.name)
def shipped(request):
    """Recipe, rows of the log, and model file of something that was trained."""
    path = request.param
    with Path(f"{path}.log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return read_recipe(Path(f"{path}.toml")), rows, Path(f"{path}.safetensors")


def figures_of(row):
    """PSNR by scale."""
    return {int(key[-1]): float(value) for key, value in row.items() if key.startswith("psnr_x") and value}


def last_figures(rows):
    return {scale: value for row in rows for scale, value in figures_of(row).items()}


def early_steps(rows, trainer):
    """Those that the log has a row for."""
    return {int(row["step"]) for row in rows[:3]} & set(trainer.REPLAY_STEPS)


@pytest.fixture
def trainer():
    pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'train'")
    from fsrcnn_rt.training import trainer

    return trainer


def test_log_follows_the_recipe(shipped, trainer, tmp_path):
    """Every stage, step and learning rate is what the recipe makes it."""
    recipe, rows, _ = shipped
    training = trainer.Training(recipe, tmp_path, tmp_path / "checkpoint", tmp_path / "log")
    assert [stage.name for stage in recipe.stages] == list(dict.fromkeys(row["stage"] for row in rows))
    for stage in recipe.stages:
        logged = [row for row in rows if row["stage"] == stage.name]
        steps = {*range(0, stage.steps, recipe.evaluate_every), stage.steps}
        if stage is recipe.stages[0]:
            steps |= early_steps(rows, trainer)
        assert [int(row["step"]) for row in logged] == sorted(steps)
        for row in logged:
            training._step = int(row["step"])
            assert row["learning_rate"] == f"{training._learning_rate(stage):.3g}", row
            assert figures_of(row).keys() == set(stage.scales)


def test_first_steps_are_those_of_the_log(shipped, trainer, data_folder, tmp_path):
    """Initial weights, data, patches drawn, loss: whatever changed would show here.

    PSNR before the first step and the loss of five depend on no rounding to speak of. The loss of the fifteen
    after them does, and tells whether the optimiser makes it fall.
    """
    recipe, rows, _ = shipped
    assert early_steps(rows, trainer) == set(trainer.REPLAY_STEPS)
    paths = tmp_path / "checkpoint", tmp_path / "log"
    training = trainer.Training(recipe, data_folder, *paths, threads=1)
    training.run(trainer.REPLAY_STEPS[-1])
    logged = rows[: len(training._rows)]
    assert [(r["stage"], r["step"]) for r in training._rows] == [(r["stage"], r["step"]) for r in logged]
    start, first, second = zip(training._rows, logged, strict=True)
    for (ours, theirs), decibels in ((start, 0.001), (first, 0.3)):
        assert figures_of(ours) == pytest.approx(figures_of(theirs), abs=decibels)
    for (ours, theirs), share in ((first, 0.001), (second, 0.25)):
        assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), rel=share)


def test_weights_tell_how_they_were_made(shipped):
    """Data, recipe, seed and figures are in the model file, and are those of the recipe and the log."""
    recipe, rows, path = shipped
    model = load(path)
    provenance = model.provenance
    # Those that were made when there was no choice of it do not name the precision; some recipes had a
    # patience of 0, which ended no stage.
    recorded = {"precision": "float32"} | provenance["recipe"]
    recorded |= {"name": model.name, "seed": provenance["seed"], "network": list(recipe.network)}
    assert {stage.get("patience", 0) for stage in recorded["stages"]} == {0}
    recorded["stages"] = [
        {key: value for key, value in stage.items() if key != "patience"} for stage in recorded["stages"]
    ]
    assert json.loads(json.dumps(recorded)) == json.loads(json.dumps(asdict(recipe)))
    assert model.architecture == lay_out(recipe.network, model.scales)
    assert provenance["data"] == sorted({name for stage in recipe.stages for name in stage.datasets})
    (figures,) = provenance["figures"].values()
    assert figures == {f"x{scale}": value for scale, value in last_figures(rows).items()}


def test_info_tells_how_they_were_made(shipped, capsys):
    recipe, rows, path = shipped
    assert cli.main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    if path.stem not in SHIPPED:
        assert not any(line[10:].startswith(f"{path.stem}: ") for line in lines)
        return
    first = next(k for k, line in enumerate(lines) if line[10:].startswith(f"{path.stem}: "))
    datasets = sorted({name for stage in recipe.stages for name in stage.datasets})
    trained = f"trained on {', '.join(datasets)}, seed {recipe.seed}"
    figures = ", ".join(f"x{scale} {value:.2f}" for scale, value in sorted(last_figures(rows).items()))
    if path.stem in (*NETWORKS, *OTHERS):
        assert lines[first + 1].strip() == trained
        assert lines[first + 2].endswith(f": {figures}")
    else:
        assert lines[first].startswith(f"          {path.stem}: {trained}; ")
        assert lines[first].endswith(f": {figures}")


def test_weights_score_what_the_log_ends_with(shipped, data_folder):
    recipe, rows, path = shipped
    if recipe.damage is not None:
        pytest.importorskip("av", reason="H.264 needs PyAV")
    upscaler = Upscaler(path, guard=False)
    logged = last_figures(rows)
    assert logged.keys() == set(upscaler.scales)
    # The bits that libx264 makes of pictures whose sides are no multiples of 16 differ from call to call.
    decibels = 0.0005 if recipe.damage is None else 0.02
    for scale, expected in logged.items():
        values = [
            psnr(to_8bit(upscaler.upscale(lr, scale)), hr, shave=scale)
            for hr, lr in validation_pairs(data_folder, recipe, scale)
        ]
        assert np.mean(values) == pytest.approx(expected, abs=decibels)
