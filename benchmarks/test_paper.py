"""Table 2 and Figures 5 to 8 of the paper, without their trainings."""

from __future__ import annotations

import shutil
from pathlib import Path

import paper
import pytest
from networks import NETWORKS

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def trained(monkeypatch):
    """What would be trained, as (name of the model file, recipe, changes, weights to begin with)."""
    pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'train'")
    done = []

    def main(arguments):
        _, recipe, _, output, *more = arguments
        done.append((Path(output).stem, Path(recipe), more))
        return 0

    monkeypatch.setattr(paper.cli, "main", main)
    return done


def test_weights_are_counted_as_the_paper_counts_them():
    """It prints 8,832 and 16,944 for the smallest and the largest, and 12,464 for FSRCNN(56, 12, 4)."""
    counts = {cell: cell.weights for cell in paper.PAPER}
    assert len(counts) == 12
    assert counts[paper.Cell(48, 12, 2)] == min(counts.values()) == 8832
    assert counts[paper.Cell(56, 16, 4)] == max(counts.values()) == 16944
    assert counts[paper.Cell(56, 12, 4)] == NETWORKS["fsrcnn"].macs(3) == 12464


def test_what_a_change_brings():
    assert paper.gain(paper.PAPER, "m", 2, 4) == pytest.approx(0.19)
    assert paper.gain({cell: cell.s / 4 + cell.m for cell in paper.PAPER}, "s", 12, 16) == pytest.approx(1)
    measured = {cell: [30 + cell.m / 10, 30.1 + cell.m / 5] for cell in paper.PAPER}
    lines = paper.as_trends(measured).splitlines()
    assert lines[2] == "| m from 2 to 4 | +0.30 | +0.20, +0.40 | +0.19 |"
    assert lines[4].startswith("| d from 48 to 56 | +0.00 | +0.00, +0.00 |")
    grid = paper.as_grid(measured).splitlines()
    assert grid[2].startswith("| 48, 12 | 30.35 (30.20 to 30.50); paper 32.87; 8,832 weights | 30.50")


def test_every_cell_is_trained_alike(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(paper, "psnr_on_set5", lambda path: 32.5)
    (tmp_path / "d56-s12-m4-seed1.checkpoint").touch()  # it was interrupted
    (tmp_path / "d56-s12-m4-seed2.safetensors").touch()  # it is done
    assert "32.50 (32.50 to 32.50); paper 33.16" in paper.table2(tmp_path, 2)
    assert len(trained) == 23
    assert {recipe for _, recipe, _ in trained} == {paper.RECIPE}
    for name, _, more in trained:
        d, s, m, seed = (part.lstrip("dsme") for part in name.split("-"))
        changes = [
            f"--set=network.d={d}",
            f"--set=network.s={s}",
            f"--set=network.m={m}",
            f"--set=seed={seed}",
        ]
        assert more == changes + ["--resume"] * (name == "d56-s12-m4-seed1")


def test_figures_train_alike_what_they_compare(trained, tmp_path, monkeypatch):
    from fsrcnn_rt.training.config import read_recipe

    drawn = []
    monkeypatch.setattr(paper.subprocess, "run", lambda command, check: drawn.append(command))
    paper.figure5(tmp_path, tmp_path / "designs.svg")
    recipes = [read_recipe(recipe) for _, recipe, _ in trained]
    assert len({recipe.network for recipe in recipes}) == 4
    assert {recipe.stages for recipe in recipes} == {read_recipe(paper.RECIPE).stages}
    trained.clear()
    paper.figure6(tmp_path, tmp_path / "transfer.svg")
    (cell, *_), (scratch, recipe, changes), (transfer, _, more) = trained
    assert (cell, scratch, transfer) == ("d56-s12-m4-seed1", "x2-scratch", "x2-transfer")
    assert more[:1] == changes
    assert more[1:] == ["--set=stage.trains='heads'", "--init", str(tmp_path / f"{cell}.safetensors")]
    stages = read_recipe(recipe, [change.removeprefix("--set=") for change in more[:2]]).stages
    assert {(stage.scales, stage.trains) for stage in stages} == {((2,), "heads")}
    assert [command[-1].name for command in drawn] == ["designs.svg", "transfer.svg"]


@pytest.mark.parametrize("name", paper.CROPS)
def test_pictures_of_the_paper(name, tmp_path, monkeypatch):
    folder, crop = paper.CROPS[name]
    picture = paper.default_images(folder) / f"{crop.split(':')[0]}.bmp"
    if not picture.exists():
        pytest.skip(f"{picture} is not here")
    shutil.copy(picture, tmp_path)
    monkeypatch.setattr(paper, "default_images", lambda name: tmp_path)
    assert paper.main([name, "-o", str(tmp_path / "crops.png")]) == 0
    assert (tmp_path / "crops.png").stat().st_size > 1000


def test_the_page_has_a_place_for_the_table(tmp_path, capsys):
    assert "new" in paper.put_between_markers((DOCS / "networks.md").read_text(), "new", paper.MARKER)
    page = tmp_path / "page.md"
    page.write_text("no markers")
    for arguments in (["table2", "--page", str(page)], ["figure5"], ["table2", "--seeds", "0"]):
        with pytest.raises(SystemExit) as ended:
            paper.main(arguments)
        assert ended.value.code == 2
    assert page.read_text() == "no markers"
