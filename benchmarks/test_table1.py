"""Table 1 by one command: its arithmetic against the paper's, its files, its errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import table1
from fsrcnn_rt.model import save_model
from networks import NETWORKS, random_model
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- table1.py begins -->", "<!-- table1.py ends -->"
# Weights, and how many times fewer operations than SRCNN-Ex, as the paper prints them.
PAPER = {
    "srcnn-9-5-5": (57184, "1.0"),
    "state-1": (58976, "8.7"),
    "state-2": (17088, "30.1"),
    "fsrcnn-48-12-2": (8832, "58.3"),
    "fsrcnn": (12464, "41.3"),
    "srcnn-9-1-5": (8032, None),
    "fsrcnn-s": (3937, None),
}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "Made"
    folder.mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (36, 45), np.uint8)
        Image.fromarray(pixels).resize((90, 72)).save(folder / f"{i}.png")
    return folder


def run(*arguments):
    return table1.main(["--size", "12x10", "--threads", "1", "--seconds", "0.001", *map(str, arguments)])


def cells(markdown):
    """The table as {network: {column: cell}}."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    heading, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(heading, row, strict=True)) for row in rows}


@pytest.mark.parametrize("name", PAPER)
def test_operations_are_the_papers(name):
    row = table1.operations(name, 3)
    weights, fewer = PAPER[name]
    assert row["weights"] == weights
    assert fewer is None or f"{row['fewer, on paper']:.1f}" == fewer
    on_large = name.startswith("srcnn")
    assert row["multiplications a small pixel"] == weights * (9 if on_large else 1)
    assert row["a large pixel"] * 9 == pytest.approx(row["multiplications a small pixel"])


def test_every_network_has_a_row():
    assert set(table1.TITLES) == set(NETWORKS)


def test_idn_is_counted_with_its_groups():
    block = 9 * (64 * 48 + 48 * 32 // 4 + 32 * 64 + 48 * 64 + 64 * 48 // 4 + 48 * 80) + 80 * 64
    assert table1.operations("idn", 3)["weights"] == 9 * (64 + 64 * 64) + 4 * block + 17 * 17 * 64


def test_a_file_gives_psnr_and_the_others_stay_empty(tmp_path, pictures, capsys):
    file = tmp_path / "state2.safetensors"
    save_model(random_model(NETWORKS["state-2"], "ours"), file)
    page, figure = tmp_path / "page.md", tmp_path / "figure.svg"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    options = ["--weights", f"state-2={file}", "--images", pictures, "--page", page, "--figure", figure]
    assert run(*options) == 0
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    table = cells(text)
    assert list(table) == list(table1.TITLES.values())
    assert float(table["transition state 2"]["PSNR"]) > 0
    assert table["transition state 2"]["weights of"] == "ours"
    assert table["transition state 1"]["weights of"] == "state1"
    assert table["FSRCNN(48, 12, 2)"]["PSNR"] == table["FSRCNN(48, 12, 2)"]["weights of"] == ""
    assert float(table["FSRCNN(56, 12, 4)"]["ms"]) > 0
    texts = [element.text for element in ElementTree.fromstring(figure.read_bytes()).iter() if element.text]
    assert "transition state 2" in texts
    assert "FSRCNN(48, 12, 2)" not in texts
    assert capsys.readouterr().out == ""


def test_without_pictures_psnr_is_told_to_be_missing(tmp_path, capsys):
    assert run("--images", tmp_path / "none") == 0
    out = capsys.readouterr().out
    assert "Not measured: PSNR: there is no folder none" in out
    assert all(row["PSNR"] == "" for row in cells(out).values())


def test_the_page_has_a_place_for_the_table():
    text = (DOCS / "networks.md").read_text()
    assert "new" in table1.put_between_markers(text, "new", table1.MARKER)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--weights", "srcnn"], "is not NAME=FILE with one of srcnn-9-1-5"),
        (["--weights", "sharp=a.safetensors"], "is not NAME=FILE"),
        (["--weights", "idn=none.safetensors"], "none.safetensors"),
        (["--weights", "fsrcnn-s={model}"], "the file holds FSRCNN(48, 12, 2), not FSRCNN-s(32, 5, 1)"),
        (["--weights", "fsrcnn-48-12-2={model}", "--scale", "2"], "the file has no head for x2"),
        (["--figure", "figure.png"], "--figure=figure.png is not .svg"),
        (["--page", "{page}"], "are not there once each"),
        (["--isa", "mmx"], "mmx"),
        (["--size", "0x5"], "'0x5' is not a width and a height"),
    ],
)
def test_wrong_arguments_end_before_anything_is_measured(options, reason, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(table1, "measure", lambda *_: pytest.fail("it was measured"))
    model = random_model(NETWORKS["fsrcnn-48-12-2"], "small")
    files = {"model": tmp_path / "model.safetensors", "page": tmp_path / "page.md"}
    save_model(replace(model, heads={3: model.heads[3]}), files["model"])
    files["page"].write_text("no markers")
    with pytest.raises(SystemExit) as ended:
        table1.main([option.format(**files) for option in options])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
    assert files["page"].read_text() == "no markers"
