"""weights/figures.py, which draws logs and filters."""

import importlib.util
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt.model import Head, Model, save_model
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "weights" / "figures.py"
SVG = "{http://www.w3.org/2000/svg}"

LOG = """stage,step,seconds,learning_rate,loss,psnr_x2,psnr_x3,psnr_x4
"all, first",0,0,0.002,nan,,5.9,
"all, first",100,0,0.002,0.6,,29.0,
"all, first",200,24,0.002,0.06,,30.0,
<more>,0,30,0.002,nan,33.0,30.0,
<more>,200,40,0.002,0.01,34.0,30.5,
"""


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("figures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["figures"] = module  # where dataclasses look
    spec.loader.exec_module(module)
    yield module
    del sys.modules["figures"]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "one.log.csv"
    path.write_text(LOG)
    return path


def test_stages_of_a_log_are_put_end_to_end(figures, log):
    curve = figures.read_log("a", log)
    assert curve.stages == [("all, first", 0, 200), ("<more>", 200, 400)]
    assert curve.points == {
        2: [(200, 33.0), (400, 34.0)],
        3: [(0, 5.9), (100, 29.0), (200, 30.0), (200, 30.0), (400, 30.5)],
    }


def test_curves_lie_where_their_axes_say(figures, log, tmp_path):
    """Positions of the points agree with those of the ticks' labels."""
    other = tmp_path / "other.log.csv"
    other.write_text(LOG.replace("30.5", "30.25").replace(",200,", ",300,"))
    output = tmp_path / "plot.svg"
    assert figures.main(["logs", str(log), f"a & b={other}", "-o", str(output), "--span", "2"]) == 0
    svg = ET.parse(output).getroot()
    lines = [line for line in svg.findall(f"{SVG}polyline") if line.get("clip-path")]
    assert len(lines) == 4  # two curves, at x2 and x3
    texts = [(t.text, float(t.get("x")), float(t.get("y"))) for t in svg.findall(f"{SVG}text")]
    x3 = next(y for text, _, y in texts if text == "x3")
    ticks = {float(text.replace(",", "")): (x, y) for text, x, y in texts if y > x3 and text[0].isdigit()}
    steps = {value: x for value, (x, _) in ticks.items() if value >= 100}
    levels = {value: y - 4 for value, (_, y) in ticks.items() if 28 < value < 31}
    first, last = [tuple(map(float, point.split(","))) for point in lines[2].get("points").split()][1::3]
    assert first == pytest.approx((steps[100], levels[29.0]), abs=0.2)
    assert last == pytest.approx((steps[400], levels[30.5]), abs=0.2)
    assert any(text == "30.50" for text, *_ in texts)
    assert any(text == "30.25" for text, *_ in texts)
    assert any(text == "one: all, first to 200; <more> to 400" for text, *_ in texts)
    assert any(text == "a & b: all, first to 300; <more> to 600" for text, *_ in texts)
    ends = {float(line.get("x1")) for line in svg.findall(f"{SVG}line") if "ends" in line.get("class")}
    assert ends == {steps[200], steps[300]}


def test_the_loss_has_a_panel_with_a_logarithmic_axis(figures, log, tmp_path, capsys):
    """Equal ratios are equal heights, and where a stage begins there is none."""
    output = tmp_path / "plot.svg"
    assert figures.read_log("a", log).losses == [(100, 0.6), (200, 0.06), (400, 0.01)]
    log.write_text(LOG.replace("0.6,", "0.08,"))
    assert figures.main(["logs", str(log), "-o", str(output), "--loss"]) == 0
    svg = ET.parse(output).getroot()
    *_, line = (line for line in svg.findall(f"{SVG}polyline") if line.get("clip-path"))
    heights = [float(point.split(",")[1]) for point in line.get("points").split()]
    assert (heights[1] - heights[0]) / (heights[2] - heights[1]) == pytest.approx(
        np.log(0.08 / 0.06) / np.log(6), rel=0.02
    )
    texts = {t.text: float(t.get("y")) - 4 for t in svg.findall(f"{SVG}text")}
    assert texts["0.01"] == pytest.approx(heights[2], abs=0.2)
    log.write_text("\n".join(LOG.splitlines()[:2]))
    assert figures.main(["logs", str(log), "-o", str(output), "--loss"]) == 2
    assert "there is no loss to draw" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 67000, [0, 10000, 20000, 30000, 40000, 50000, 60000]),
        (29.39, 30.965, [29.5, 30, 30.5]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_ticks_are_round(figures, low, high, expected):
    assert figures.ticks(low, high, 7) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row with a PSNR"),
        ("a,b\n1,2\n", "not the log of a training"),
        (LOG.replace("29.0", "high"), "not the log of a training"),
        (LOG.replace("200,24", "many,24"), "not the log of a training"),
    ],
)
def test_what_is_no_log_is_refused(figures, tmp_path, capsys, text, message):
    path, output = tmp_path / "x.csv", tmp_path / "x.svg"
    path.write_text(text)
    assert figures.main(["logs", str(path), "-o", str(output)]) == 2
    err = capsys.readouterr().err
    assert f"{path}: {message}" in err
    assert err.count("\n") == 1
    assert not output.exists()


def test_missing_files_and_scales_are_refused(figures, model, tmp_path, capsys):
    path = tmp_path / "x2.safetensors"
    save_model(Model(model.nodes, {2: model.heads[2]}, model.padding, "x2"), path)
    for arguments, message in [
        (["logs", str(tmp_path / "no.csv")], "no.csv: No such file"),
        (["filters", str(path)], "scale=3 is not offered"),
        (["filters", "nothing"], "nothing"),
    ]:
        assert figures.main([*arguments, "-o", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


def test_filters_are_grey_where_they_are_zero(figures, model, tmp_path):
    """Filters of one entry each, of different size and sign: sorted by size, each black or white there."""
    head = model.heads[3]
    weight = np.zeros_like(head.weight)
    for k in range(8):
        weight[k, 0, k, 8 - k] = (k + 1) * (-1) ** k
    heads = {3: Head(weight, head.bias, head.pad, head.output_padding, head.border)}
    path, output = tmp_path / "m.safetensors", tmp_path / "filters.png"
    save_model(Model(model.nodes, heads, model.padding, "m"), path)
    assert figures.main(["filters", str(path), "-o", str(output)]) == 0
    picture = np.asarray(Image.open(output))
    assert picture.shape == (66, 8 * 60 + 6)
    for place, k in enumerate(reversed(range(8))):
        tile = picture[6:60, 6 + 60 * place : 60 + 60 * place]
        expected = np.full((9, 9), 128)
        expected[k, 8 - k] = 0 if k % 2 else 255
        assert np.array_equal(tile, expected.repeat(6, axis=0).repeat(6, axis=1))
    assert np.all(picture[:6] == 255)


def test_figures_of_the_repository_are_those_of_its_files(figures, tmp_path, monkeypatch):
    """Whoever changes weights or logs draws them anew."""
    drawn = (tmp_path / "weights", tmp_path / "docs")
    for folder in drawn:
        folder.mkdir()
    committed = (figures.WEIGHTS, figures.DOCS)
    for path in (*committed[0].glob("*.log.csv"), committed[0] / "fsrcnn.safetensors"):
        (drawn[0] / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(figures, "WEIGHTS", drawn[0])
    monkeypatch.setattr(figures, "DOCS", drawn[1])
    assert figures.main([]) == 0
    drawing = (drawn[0] / "training.svg").read_bytes()
    assert drawing == (committed[0] / "training.svg").read_bytes()
    assert b">fsrcnn: " in drawing
    assert b">fsrcnn-s: " in drawing
    assert b"denoise" not in drawing
    ours, theirs = (np.asarray(Image.open(folder / "filters.png")) for folder in (drawn[1], committed[1]))
    assert np.array_equal(ours, theirs)
