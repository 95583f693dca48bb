"""The drawing of ``fsrcnn-rt bench --plot``."""

import math
import re
from xml.etree import ElementTree

import pytest
from fsrcnn_rt import cli
from fsrcnn_rt.cli import bench
from fsrcnn_rt.evaluation import svg
from fsrcnn_rt.evaluation.speed import REAL_TIME_FPS, FpsReport, draw

SVG = "{http://www.w3.org/2000/svg}"


def report(fps, model="fsrcnn", threads=1, size=(240, 240), precision="int16"):
    return FpsReport(
        fps=fps,
        median_ms=1e3 / fps,
        real_time=fps >= REAL_TIME_FPS,
        gflops=1.0,
        calls=5,
        isa="avx2",
        precision=precision,
        threads=threads,
        model=model,
        input_size=size,
        scale=3,
        channels="luma",
    )


REPORTS = [
    report(99.96),
    report(23.4, size=(640, 360)),
    report(8.25, threads=2, size=(1920, 1080)),
    report(1234.5, model='a & <b> "c"', size=(16, 8), precision="float32"),
]


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def bars(root):
    return [r for r in root.iter(f"{SVG}rect") if r.get("class") in ("good", "poor")]


def test_well_formed_with_every_figure():
    root = ElementTree.fromstring(draw(REPORTS))
    assert root.tag == f"{SVG}svg"
    written = texts(root)
    assert [text for text in written if re.fullmatch(r"\d+\.\d", text)] == ["100.0", "23.4", "8.2", "1234.5"]
    assert [text for text in written if "→" in text] == [
        "240×240 → 720×720",
        "640×360 → 1920×1080",
        "1920×1080 → 5760×3240",
        "16×8 → 48×24",
    ]
    assert [text for text in written if "thread" in text] == [
        "fsrcnn, int16, 1 thread",
        "fsrcnn, int16, 2 threads",
        'a & <b> "c", float32, 1 thread',
    ]
    assert "Frames per second, ×3, luma, uint8, avx2" in written
    assert "real time: 24 fps" in written


def test_bars_end_where_the_axis_says():
    root = ElementTree.fromstring(draw(REPORTS))
    # Two ticks tell where everything is on the axis.
    ticks = {
        float(t.text): float(t.get("x"))
        for t in root.iter(f"{SVG}text")
        if t.get("class") == "soft" and (re.fullmatch(r"\d+", t.text))
    }
    (low, x_low), *_, (high, x_high) = sorted(ticks.items())

    def place(fps):
        return x_low + (x_high - x_low) * math.log(fps / low) / math.log(high / low)

    assert low <= 8.25 / 2
    assert high >= 1234.5
    ends = [float(bar.get("x")) + float(bar.get("width")) for bar in bars(root)]
    assert ends == pytest.approx([place(r.fps) for r in REPORTS], abs=0.3)
    (mark,) = (line for line in root.iter(f"{SVG}line") if line.get("class") == "mark")
    assert float(mark.get("x1")) == float(mark.get("x2")) == pytest.approx(place(24), abs=0.3)
    assert [bar.get("class") for bar in bars(root)] == ["good", "poor", "poor", "good"]


@pytest.mark.parametrize("fps", [0.003, 24, 1e5])
def test_everything_is_inside_whatever_the_speed(fps):
    root = ElementTree.fromstring(draw([report(fps)]))
    width, height = float(root.get("width")), float(root.get("height"))
    for element in root.iter():
        for name, most in (("x", width), ("x1", width), ("x2", width), ("y", height), ("y2", height)):
            assert 0 <= float(element.get(name, 0)) <= most
    (bar,) = bars(root)
    assert 0 < float(bar.get("width")) <= width - float(bar.get("x"))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(5, 100, [5, 10, 20, 50, 100]), (6, 99, [5, 10, 20, 50, 100]), (1, 1, [1]), (0.3, 0.6, [0.2, 0.5, 1])],
)
def test_log_ticks(low, high, ticks):
    assert svg.log_ticks(low, high) == pytest.approx(ticks)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_readable_in_light_and_in_dark():
    style = re.search("<style>(.*)</style>", draw(REPORTS).decode(), re.DOTALL)[1]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for rules in (light, dark):
        colours = dict(re.findall(r"\.(\w+) \{ (?:fill|stroke): (#\w{6})", rules))
        assert {"page", "text", "soft", "good", "poor", "mark"} <= colours.keys()
        for kind in ("text", "soft", "good", "poor", "mark"):
            one, other = sorted(luminance(colours[name]) for name in (kind, "page"))
            assert (other + 0.05) / (one + 0.05) >= 4.5, kind


@pytest.fixture
def run(model_file, capsys, folder):
    def call(*arguments):
        command = [
            "bench",
            "-m",
            str(model_file),
            "--input-size",
            "16x8",
            "--input-size",
            "20x10",
            "--threads",
            "1",
        ]
        code = cli.main([*command, "--seconds", "0.01", *arguments])
        return code, *capsys.readouterr()

    return call


def test_the_drawing_has_the_figures_of_the_table(run, folder):
    code, out, err = run("--plot", "bench.svg")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[2:]]
    assert [row[1] for row in rows] == ["int16", "int16"]
    assert [row[3] for row in rows] == ["16x8", "20x10"]
    written = texts(ElementTree.fromstring((folder / "bench.svg").read_bytes()))
    assert [text for text in written if re.fullmatch(r"\d+\.\d", text)] == [row[6] for row in rows]
    assert [path.name for path in folder.iterdir()] == ["bench.svg"]


def test_refused_before_anything_is_measured(run, folder, monkeypatch):
    monkeypatch.setattr(bench, "measure_fps", lambda *_, **__: pytest.fail("it was measured"))
    (folder / "there.svg").write_text("precious")
    for name, reason in (
        ("there.svg", "there.svg: exists already (see --overwrite)"),
        ("bench.png", "bench.png: '.png' is not .svg"),
        ("no/bench.svg", "no/bench.svg: the folder no does not exist"),
    ):
        assert run("--plot", name) == (2, "", f"fsrcnn-rt: bench: {reason}\n")
    assert (folder / "there.svg").read_text() == "precious"


def test_an_interrupted_measurement_leaves_what_was_there(run, folder, monkeypatch):
    (folder / "there.svg").write_text("precious")
    assert run("--plot", "there.svg", "--overwrite")[0] == 0
    drawing = (folder / "there.svg").read_bytes()
    assert drawing.startswith(b"<svg")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure_fps", interrupt)
    assert run("--plot", "there.svg", "--overwrite")[0] == 130
    assert (folder / "there.svg").read_bytes() == drawing
    assert [path.name for path in folder.iterdir()] == ["there.svg"]


def test_json_and_a_drawing(run, folder):
    code, out, _ = run("--json", "--plot", "bench.svg")
    assert code == 0
    assert out.startswith("[")
    assert (folder / "bench.svg").exists()
