import io
import json
import sys
from functools import partial
from itertools import islice

import numpy as np
import pytest
import tqdm
from fsrcnn_rt import Upscaler, cli
from fsrcnn_rt.cli import eval as evaluate_command
from fsrcnn_rt.evaluation import robustness, sheet
from fsrcnn_rt.evaluation.metrics import imresize, psnr
from fsrcnn_rt.evaluation.protocol import bicubic, evaluate, list_images, load_luma, make_pair, mean, to_8bit
from fsrcnn_rt.evaluation.robustness import drawing_cases, figures_of, shown_cases
from fsrcnn_rt.model import Model, save_model
from PIL import Image


def make_pictures(folder, shapes, seed):
    """Smooth pictures of random colours, saved by name."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for name, shape in shapes.items():
        picture = imresize(rng.uniform(40, 215, (8, 8, *shape[2:])), shape=shape[:2])
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def one(tmp_path):
    """Two pictures, one of colour and one grey, of sizes that no scale divides."""
    return make_pictures(tmp_path / "one", {"b.png": (41, 53, 3), "a.bmp": (47, 43)}, 3)


@pytest.fixture
def two(tmp_path):
    return make_pictures(tmp_path / "two", {"c.png": (50, 61, 3)}, 4)


@pytest.fixture
def unpacked(tmp_path):
    """A test set as archives have it: a folder for each scale, with the small pictures beside the large."""
    (tmp_path / "Set2").mkdir()
    shapes = {"img_001_SRF_4_HR.png": (48, 52, 3), "img_002_SRF_4_HR.png": (44, 40)}
    shapes |= {"img_001_SRF_4_LR.png": (12, 13, 3), "img_002_SRF_4_LR.png": (11, 10)}
    folder = make_pictures(tmp_path / "Set2" / "image_SRF_4", shapes, 5)
    (folder / "img_003_SRF_4_bicubic.png").write_bytes(b"what a method has made of it")
    return folder


@pytest.fixture
def only_x2(model, tmp_path):
    path = tmp_path / "x2.safetensors"
    save_model(Model(model.nodes, {2: model.heads[2]}, model.padding, "x2"), path)
    return path


@pytest.fixture
def run(capsys):
    """Call the command; gives its exit code, and lines of stdout and of stderr."""

    def call(*arguments):
        code = cli.main(["eval", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return call


def expected(folder, scale, upscale):
    return mean([r.figures for r in evaluate({scale: {"": upscale}}, list_images(folder))])


def numbers(line):
    return [float(word) for word in line.split() if word.replace(".", "").isdigit() and "." in word]


def test_of_an_unpacked_archive_the_large_pictures_are_measured(unpacked, model_file, run):
    code, out, err = run(unpacked, "-s", "4", "-m", model_file, "-v")
    assert (code, err) == (0, [])
    assert out[0].split()[0] == "Set2/image_SRF_4"
    named = [line.split()[0] for line in out if line.startswith("img_")]
    assert named == ["img_001_SRF_4_HR.png", "img_002_SRF_4_HR.png"]
    large = [unpacked / name for name in named]
    figures = mean([r.figures for r in evaluate({4: {"bicubic": bicubic}}, large)])
    (line,) = [line for line in out if line.startswith("mean of 2 ")]
    assert numbers(line)[:2] == [
        pytest.approx(figures.psnr, abs=0.005),
        pytest.approx(figures.ssim, abs=5e-5),
    ]


def test_small_pictures_and_folders_of_folders_are_no_test_set(unpacked, model_file, run):
    refused = f"fsrcnn-rt: eval: {unpacked.parent}: no images in it; name one of its folders: image_SRF_4"
    assert run(unpacked.parent, "-m", model_file) == (2, [], [refused])
    for path in [*unpacked.glob("*_HR.png"), *unpacked.glob("*_bicubic.png")]:
        path.unlink()
    refused = f"fsrcnn-rt: eval: {unpacked}: holds small pictures alone, whose names end in _LR"
    assert run(unpacked, "-m", model_file) == (2, [], [refused])
    make_pictures(unpacked / "more", {"img_004.png": (41, 53)}, 6).joinpath("img_004.png").rename(
        unpacked / "img_004.png"
    )
    code, out, err = run(unpacked, "-m", model_file)  # what is not called small is taken
    assert (code, err, out[1].split()[:3]) == (0, [], ["mean", "of", "1"])


def test_means_of_folders_scales_and_models(one, two, model, model_file, only_x2, run):
    code, out, err = run(one, two, "-s", "3,2", "-m", f"{model_file},{only_x2}", "-j", "1")
    assert (code, err) == (0, [])
    upscale = Upscaler(model).upscale
    for number, (folder, count) in enumerate([(one, 2), (two, 1)]):
        head, *lines = out[5 * number : 5 * number + 4]
        assert head.split() == [folder.name, "x3", "PSNR", "SSIM", "s", "x2", "PSNR", "SSIM", "s"]
        assert lines[0].startswith(f"mean of {count}  bicubic ")
        assert [line.split()[0] for line in lines[1:]] == ["random", "x2"]
        x3, x2 = (expected(folder, scale, bicubic) for scale in (3, 2))
        assert numbers(lines[0]) == pytest.approx([*x3[:2], *x2[:2]], abs=0.006)
        x3, x2 = (expected(folder, scale, upscale) for scale in (3, 2))
        values = numbers(lines[1])
        assert values[:2] + values[3:5] == pytest.approx([*x3[:2], *x2[:2]], abs=0.006)
        assert numbers(lines[2])[:2] == pytest.approx(x2[:2], abs=0.006)  # x3 is not offered and left empty
        assert lines[2].index(f"{x2.psnr:.2f}") == lines[1].index(f"{x2.psnr:.2f}")
    assert out[-1].startswith("s: seconds a picture takes in Upscaler.upscale alone, second of two calls; ")
    assert out[-1].endswith("threads 1")


@pytest.mark.parametrize(
    ("asked", "precision"), [([], "float32"), (["--precision", "int16"], "int16")], ids=["default", "int16"]
)
def test_small_pictures_are_floats_unless_it_is_asked(one, model, model_file, run, asked, precision):
    code, out, _ = run(one, "-m", model_file, "--json", *asked)
    assert code == 0
    told = json.loads("\n".join(out))
    assert told["precision"] == precision
    (measured,) = [mean["psnr"] for mean in told["means"] if mean["method"] == "random"]
    means = {
        name: expected(one, 3, Upscaler(model, precision=name).upscale).psnr for name in ("float32", "int16")
    }
    assert means["float32"] != means["int16"]
    assert measured == means[precision]


def test_verbose_tells_every_picture(one, model_file, run):
    code, out, _ = run(one, "-s", "2", "-m", model_file, "-v")
    assert code == 0
    assert [line.split()[0] for line in out[1:7]] == ["a.bmp", "random", "b.png", "random", "mean", "random"]
    per_picture = [numbers(out[k])[0] for k in (1, 3)]
    assert np.mean(per_picture) == pytest.approx(numbers(out[5])[0], abs=0.01)
    results = evaluate({2: {"bicubic": bicubic}}, list_images(one))
    assert per_picture == pytest.approx([r.figures.psnr for r in results], abs=0.006)


def test_markdown_and_json_say_what_the_terminal_says(one, two, model_file, run, tmp_path):
    markdown, file = tmp_path / "t.md", tmp_path / "t.json"
    arguments = [one, two, "-s", "2,4", "-m", model_file, "-o", markdown, "-o", file]
    assert run(*arguments)[0] == 0
    told = json.loads(file.read_text())
    assert told.keys() == {"version", "isa", "precision", "threads", "seconds", "means", "pictures"}
    means = {(m["folder"], m["scale"], m["method"]): m for m in told["means"]}
    assert len(means) == 8
    assert len(told["pictures"]) == 12
    for (folder, scale, method), cell in means.items():
        chosen = [
            p for p in told["pictures"] if (p["folder"], p["scale"], p["method"]) == (folder, scale, method)
        ]
        assert len(chosen) == cell["images"] == {"one": 2, "two": 1}[folder]
        for key in {"psnr", "ssim", "seconds"} & cell.keys():
            assert cell[key] == pytest.approx(np.mean([p[key] for p in chosen]))
        assert ("seconds" in cell) == (method != "bicubic")
    x2, x4 = (expected(two, scale, bicubic) for scale in (2, 4))
    assert means["two", 4, "bicubic"]["psnr"] == pytest.approx(x4.psnr)
    assert means["two", 4, "bicubic"]["ssim"] == pytest.approx(x4.ssim)

    lines = markdown.read_text().splitlines()
    assert lines[:3] == ["| | x2 | x4 |", "|---|---|---|", "| **one, mean of 2** | | |"]
    assert lines[6] == f"| bicubic | {x2.psnr:.2f} / {x2.ssim:.4f} | {x4.psnr:.2f} / {x4.ssim:.4f} |"
    cells = lines[7].split("|")
    assert cells[1] == " random "
    assert cells[3].split(" / ")[1] == f"{means['two', 4, 'random']['ssim']:.4f}"
    assert len(lines) == 10


def test_ifc_has_a_column_of_its_own(tmp_path, model_file, run):
    folder = make_pictures(tmp_path / "large", {"a.png": (75, 90)}, 5)
    (result,) = evaluate({3: {"bicubic": bicubic}}, list_images(folder), with_ifc=True)
    arguments = [folder, "-m", model_file, "--ifc", "-s", "3,2"]
    code, out, _ = run(*arguments)
    assert code == 0
    assert out[0].split()[2:6] == ["PSNR", "SSIM", "IFC", "s"]
    assert numbers(out[1])[:3] == pytest.approx(result.figures, abs=0.006)
    assert out[2].index(".", out[0].index("x2")) == out[1].index(".", out[0].index("x2"))
    assert run(*arguments, "-o", tmp_path / "t.md")[0] == 0
    out = (tmp_path / "t.md").read_text().splitlines()
    assert f" | {result.figures.psnr:.2f} / {result.figures.ssim:.4f} / {result.figures.ifc:.2f} | " in out[3]
    assert out[-1].startswith("PSNR in dB / SSIM / IFC / seconds")
    _, out, _ = run(*arguments, "--json")
    assert json.loads("\n".join(out))["means"][0]["ifc"] == pytest.approx(result.figures.ifc)


def test_outputs_are_not_overwritten(one, model_file, run, tmp_path):
    for name in ("table.md", "table.json"):
        path = tmp_path / name
        path.write_text("mine")
        code, out, err = run(one, "-m", model_file, "-o", path)
        assert (code, out) == (2, [])
        assert err == [f"fsrcnn-rt: eval: {path}: exists already (see --overwrite)"]
        assert path.read_text() == "mine"
    assert run(one, "-m", model_file, "-o", tmp_path / "table.md", "--overwrite")[0] == 0
    assert (tmp_path / "table.md").read_text().startswith("| | x3 |\n")
    _, out, _ = run(one, "-m", model_file, "--json")
    assert len(json.loads("\n".join(out))["pictures"]) == 4


def test_equal_pictures_have_no_psnr_in_json(tmp_path, model_file, run):
    folder = tmp_path / "flat"
    folder.mkdir()
    Image.new("L", (60, 60), 100).save(folder / "flat.png")
    _, out, _ = run(folder, "-m", model_file, "--json")
    cells = json.loads("\n".join(out), parse_constant=pytest.fail)["pictures"]
    assert cells[0]["psnr"] is None
    assert cells[0]["ssim"] == pytest.approx(1)


def test_short_names_only_where_they_tell_apart(model, tmp_path, run):
    shapes = {"a.png": (40, 40)}
    (tmp_path / "left").mkdir()
    (tmp_path / "right").mkdir()
    folders = [make_pictures(tmp_path / side / "same", shapes, 1) for side in ("left", "right")]
    files = [tmp_path / side / "m.safetensors" for side in ("left", "right")]
    for file in files:
        save_model(model, file)
    _, out, _ = run(*folders, "-m", files[0], "-m", files[1])
    assert [line.split()[0] for line in out[::5]] == [*map(str, folders), "s:"]
    assert [line.split()[0] for line in out[2:4]] == [*map(str, files)]
    bicubic_file = tmp_path / "bicubic.safetensors"
    save_model(model, bicubic_file)
    _, out, _ = run(folders[0], "-m", bicubic_file)
    assert out[2].split()[0] == str(bicubic_file)


def test_goes_on_after_a_failed_picture(one, model_file, run):
    (one / "broken.png").write_bytes(b"no picture")
    Image.new("L", (8, 8)).save(one / "tiny.png")
    code, out, err = run(one, "-m", model_file, "-v")
    assert code == 1
    assert [line.split(": ")[:2] for line in err] == [["fsrcnn-rt", "eval"]] * 2
    assert "broken.png" in err[0]
    assert "tiny.png" in err[1]
    assert any(line.startswith("mean of 2 ") for line in out)
    assert not any(line.startswith(("broken", "tiny")) for line in out)


def test_folder_of_failures_alone(two, model_file, run, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "x.png").write_bytes(b"no picture")
    code, out, err = run(bad, two, "-m", model_file)
    assert (code, len(err)) == (1, 1)
    assert out[0].split()[0] == "two"


def test_progress_on_a_terminal(one, model_file, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(tqdm, "tqdm", partial(tqdm.tqdm, mininterval=0))
    assert cli.main(["eval", str(one), "-m", str(model_file)]) == 0
    assert "2/2 [" in terminal.getvalue()


def test_refuses(one, model_file, only_x2, tmp_path, run):
    save_model_twice = ["-m", f"{model_file},{model_file}"]
    sheet_file = tmp_path / "s.png"
    crop = ["--crop", "a:9x9+0+0"]
    for arguments, message in [
        ([], "FOLDER"),
        ([one, "-s", "5"], "'5' is not 2, 3 or 4"),
        ([one, "-s", "2,2"], "'2,2' is not"),
        ([one, "-m", "nothing"], "model='nothing'"),
        ([one, "-m", "fsrcnn,"], "'fsrcnn,' is not a model"),
        ([one, "-m", tmp_path / "nothing.safetensors"], "nothing.safetensors"),
        ([tmp_path / "nowhere", "-m", model_file], "nowhere: no such folder"),
        ([one, tmp_path / "nowhere", "-m", model_file], "nowhere: no such folder"),
        ([one, one, "-m", model_file], "is given twice"),
        ([one, *save_model_twice], "is given twice"),
        ([one, "-m", only_x2], "scale=3 is not offered by any model: x2 offers 2"),
        ([one, "-m", f"{only_x2},{model_file}", "-s", "3"], "model='x2' offers none of the scales"),
        ([one, "-m", model_file, "-j", "0"], "threads=0"),
        ([one, "-m", model_file, "--isa", "mmx"], "mmx"),
        ([one, "-o", tmp_path / "no" / "x.md"], "the folder"),
        ([one, "-o", "x.json", "-o", "y.json"], "y.json: is the second output of its kind, beside x.json"),
        ([one, "-o", "-"], "-: 'no suffix' is none of .md, .json and .png"),
        ([one, "-o", tmp_path / "s.jpg", *crop], "s.jpg: '.jpg' is none of .md, .json and .png"),
        ([one, "-o", sheet_file], "s.png: a sheet needs at least one --crop"),
        ([one, *crop], "--crop: is what a sheet shows, and there is none"),
        ([one, "-o", sheet_file, "--crop", "z:9x9+0+0"], "none of the pictures is called 'z'"),
        ([one, "-o", sheet_file, "--crop", "a:0,0,9"], "'a:0,0,9' is not PICTURE:WxH+X+Y"),
        ([one, "-o", sheet_file, "--crop", "a:9x9+40+0"], "not inside the picture, 42x45 at x3"),
        ([one, "-o", sheet_file, "--crop", "a:0x9+0+0"], "not inside the picture"),
    ]:
        code, out, err = run(*arguments)
        assert (code, out, len(err)) == (2, [], 1), arguments
        assert message in err[0]
    assert not sheet_file.exists()


# ----------------------------------------------------------------------------------------------- suites


@pytest.fixture
def photographs(tmp_path):
    return make_pictures(tmp_path / "photographs", {"a.png": (66, 78, 3), "b.png": (64, 72)}, 6)


def test_suite_of_drawings(model, model_file, run, tmp_path):
    """Every row of the table is the mean of its cases, and bicubic is measured beside the models."""
    file = tmp_path / "t.json"
    code, out, err = run("--suite", "drawings", "-s", "3", "-m", model_file, "-o", file, "-j", "1")
    assert (code, err) == (0, [])
    assert [word for word in out[0].split() if "-" not in word] == ["bicubic", "random"]
    assert out[1].split() == ["x3", "over", "mean", "cons"] * 2
    told = json.loads(file.read_text(), parse_constant=pytest.fail)
    rows = {(r["kind"], r["way"], r["method"]): r for r in told["rows"]}
    assert len(rows) == 2 * (10 + 5 * 8)
    upscale = Upscaler(model).upscale
    for kind, way in (("line art", "area"), ("patterns", "as drawn")):
        cases = [c for c in drawing_cases([3]) if (c.kind, c.way) == (kind, way)]
        figures = [figures_of(case, upscale(case.lr, 3)) for case in cases]
        row = rows[kind, way, "random"]
        assert row["cases"] == len(cases)
        assert row["overshoot"] == pytest.approx(max(f.overshoot for f in figures))
        assert row["mean_overshoot"] == pytest.approx(np.mean([f.mean_overshoot for f in figures]))
        assert row["consistency"] == pytest.approx(np.mean([f.consistency for f in figures]))
        cells = [f"{row['overshoot']:.2f}", f"{row['mean_overshoot']:.4f}", f"{row['consistency']:.1f}"]
        if way == "area":
            base = [figures_of(case, bicubic(case.lr, 3)).psnr for case in cases]
            gain = np.mean([f.psnr - b for f, b in zip(figures, base, strict=True)])
            assert row["gain"] == pytest.approx(gain)
            assert rows[kind, way, "bicubic"]["psnr"] == pytest.approx(np.mean(base))
            cells.insert(0, f"{gain:+.2f}")
        else:
            assert row["gain"] is row["psnr"] is None
        shown = out[out.index(kind) + 1 :]
        line = next(line for line in shown if line.startswith(f"  {way} "))
        assert line.split()[-len(cells) :] == cells
    farthest = max(told["cases"], key=lambda case: (case["method"] == "random", case["overshoot"]))
    (worst,) = [line for line in out if line.startswith("random: overshoot")]
    title = f"{farthest['kind']}: {farthest['name']}, {farthest['way']}, x3"
    assert worst == f"random: overshoot of up to {farthest['overshoot']:.2f}, {title}"
    assert out[-1].endswith("threads 1")


def test_suite_of_photographs(photographs, model_file, only_x2, run, tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    import clips

    clips.make(photographs / "c.mp4", 12, size=(96, 80), codec="libx264")
    markdown, file = tmp_path / "t.md", tmp_path / "t.json"
    models = f"{model_file},{only_x2}"
    outputs = ["-o", markdown, "-o", file]
    code, out, err = run("--suite", "photographs", photographs, "-s", "2,3", "-m", models, *outputs)
    assert (code, err) == (0, [])
    told = json.loads(file.read_text())
    counts = {(r["kind"], r["scale"], r["method"]): r["cases"] for r in told["rows"]}
    kinds = ("photographs, photographs", "clips, photographs")
    assert counts == {
        (kind, scale, method): 2 if kind == kinds[0] else 3
        for kind in kinds
        for scale, methods in ((2, ("bicubic", "random", "x2")), (3, ("bicubic", "random")))
        for method in methods
    }
    assert len(told["rows"]) == 5 * (5 + 10 + 4 + 4 + 2 + 4)
    assert {c["name"] for c in told["cases"]} == {"a", "b", "c, frame 3", "c, frame 7", "c, frame 11"}
    rows = {(r["way"], r["scale"], r["method"]): r for r in told["rows"] if r["kind"] == kinds[0]}

    lines = markdown.read_text().splitlines()
    assert lines[0].split(" | ")[4:6] == ["random, x2 / x3", "over (mean)"]
    line = next(line for line in lines if line.startswith("| JPEG 4:2:0, 50 |")).strip("| ").split(" | ")
    gains = [rows["JPEG 4:2:0, 50", scale, "random"]["gain"] for scale in (2, 3)]
    assert line[4] == " / ".join(f"{gain:+.2f}" for gain in gains)
    assert line[7] == f"{rows['JPEG 4:2:0, 50', 2, 'x2']['gain']:+.2f} / -"

    _, out, _ = run("--suite", "photographs", photographs, "-s", "2", "-m", model_file, "-v")
    assert sum(line.startswith("  noise, sigma 8: ") for line in out) == 2


@pytest.fixture
def few_drawings(monkeypatch):
    """The first drawings alone, where what matters is what else is measured."""
    every = robustness.drawing_cases
    monkeypatch.setattr(robustness, "drawing_cases", lambda scales: islice(every(scales), 5))


@pytest.mark.usefixtures("few_drawings")
def test_suite_without_data_or_pyav(photographs, model_file, run, monkeypatch, tmp_path):
    """What is missing is told, and what is there is measured."""
    monkeypatch.setenv("FSRCNN_RT_DATA", str(tmp_path))
    missing = f"no Set14 or video in {tmp_path} (FSRCNN_RT_DATA names another folder)"
    code, out, err = run("--suite", "photographs", "-m", model_file)
    assert (code, out, err) == (2, [], [f"fsrcnn-rt: eval: FOLDER: none is given, and {missing}"])
    code, out, err = run("--suite", "robust", "-m", model_file)
    assert (code, err) == (0, [f"fsrcnn-rt: eval: photographs are left out: {missing}"])
    assert out[2] == "lines, aliased"
    photographs.rename(tmp_path / "Set14")
    monkeypatch.setattr(evaluate_command, "find_spec", lambda name: None)
    code, out, err = run("--suite", "photographs", "-m", model_file)
    assert code == 0
    assert err == ["fsrcnn-rt: eval: H.264 is left out: needs PyAV, pip install 'fsrcnn-rt[video]'"]
    assert "photographs, Set14" in out
    assert not any("H.264" in line for line in out)


def test_suite_goes_on_after_a_failed_picture(photographs, model_file, run):
    pytest.importorskip("av", reason="what is too small is so for H.264")
    (photographs / "broken.png").write_bytes(b"no picture")
    Image.new("L", (24, 24)).save(photographs / "tiny.png")
    code, out, err = run("--suite", "photographs", photographs, "-m", model_file, "--json")
    assert (code, len(err)) == (1, 2)
    assert "broken.png" in err[0]
    assert "tiny.png" in err[1]
    assert {case["name"] for case in json.loads("\n".join(out))["cases"]} == {"a", "b"}


def test_suite_refuses(photographs, model_file, run, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        (["--suite", "all"], "'all'"),
        (["--suite", "robust", "--ifc"], "--ifc: not with --suite"),
        (["--suite", "robust", "--crop", "a:9x9+0+0"], "--crop: not with --suite"),
        (["--suite", "drawings", photographs], "--suite drawings takes no folders"),
        (["--suite", "robust", tmp_path / "empty"], "no images in it"),
        (["--suite", "robust", photographs, photographs], "is given twice"),
        (["--suite", "robust", photographs, "-m", "nothing"], "model='nothing'"),
    ]:
        code, out, err = run(*arguments)
        assert (code, out, len(err)) == (2, [], 1), arguments
        assert message in err[0]


def test_suite_draws_a_sheet(photographs, model_file, run, monkeypatch, tmp_path):
    """A row for every case worth looking at; its columns are the input, bicubic and the models."""
    measure = robustness.measure  # what is in the table is shown above
    monkeypatch.setattr(robustness, "measure", lambda cases, methods: measure(islice(cases, 5), methods))
    path = tmp_path / "sheet.png"
    code, _, _ = run("--suite", "robust", photographs, "-s", "2", "-m", model_file, "-o", path)
    assert code == 0
    cases = list(shown_cases(2, photographs / "b.png"))
    assert len(cases) == 11 + 6
    picture = np.asarray(Image.open(path))
    gap, text = 8, 2 * 18
    width = (picture.shape[1] - gap) // 3
    upscale = Upscaler(model_file).upscale
    y = gap
    for case in cases:
        rows, columns = (min(side, most) for side, most in zip(case.lr.shape, (64, 96), strict=True))
        top, left = (-(-(n - m) // 2) for n, m in zip(case.lr.shape, (rows, columns), strict=True))
        results = [case.lr, bicubic(case.lr, 2), upscale(case.lr, 2)]
        for column, luma in enumerate(results):
            scale = 1 if column == 0 else 2
            part = luma[top * scale :, left * scale :][: rows * scale, : columns * scale]
            zoom = 4 // scale
            expected = to_8bit(part).repeat(zoom, axis=0).repeat(zoom, axis=1)
            x = gap + column * width
            shown = picture[y + text : y + text + 4 * rows, x : x + 4 * columns]
            assert np.array_equal(shown, np.stack([expected] * 3, axis=2)), (case.kind, column)
        y += text + 4 * rows + gap
    assert y == picture.shape[0]


# ---------------------------------------------------------------------------------------------- sheets


def perfect_for(folder, scale):
    """An upscaler that knows the pictures of a folder."""
    pairs = [make_pair(load_luma(path), scale) for path in list_images(folder)]
    truth = {pair.lr.shape: pair.hr / 255 for pair in pairs}
    return lambda luma, scale: truth[luma.shape]


def test_cells_of_a_colour_picture(one):
    """With its own luma a smooth picture comes back in its own colours, for smooth chroma survives."""
    crop = sheet.find_crop("b:20x30+10+4", list_images(one), [2])
    assert crop == (one / "b.png", 10, 4, 20, 30)
    truth = np.asarray(Image.open(one / "b.png"))[4:34, 10:30]
    original, perfect, blurred = sheet.make_cells(
        crop, 2, {"perfect": perfect_for(one, 2), "bicubic": bicubic}
    )
    assert (original.method, original.psnr) == ("original", None)
    assert np.array_equal(original.pixels, truth)
    assert perfect.psnr == np.inf
    assert perfect.pixels.astype(int) == pytest.approx(truth.astype(int), abs=6)
    (result,) = evaluate({2: {"bicubic": bicubic}}, [one / "b.png"])
    assert blurred.psnr == result.figures.psnr
    assert psnr(perfect.pixels, truth) > psnr(blurred.pixels, truth)


def test_cells_of_a_grey_picture(one):
    crop = sheet.find_crop("a.bmp:12x10+3+5", list_images(one), [3])
    original, perfect = sheet.make_cells(crop, 3, {"perfect": perfect_for(one, 3)})
    truth = np.asarray(Image.open(one / "a.bmp"))[5:15, 3:15]
    for cell in (original, perfect):
        assert np.array_equal(cell.pixels, np.stack([truth] * 3, axis=2))


def test_sheet_has_a_row_a_crop_and_scale_and_a_column_a_method(one, model_file, only_x2, run, tmp_path):
    path = tmp_path / "sheet.png"
    models = f"{model_file},{only_x2}"
    code, _, _ = run(
        *(one, "-s", "2,3", "-m", models, "-o", path),
        *("--crop", "b.png:24x12+10+4", "--crop", "a:40x20+0+0"),
    )
    assert code == 0
    picture = np.asarray(Image.open(path))
    gap, text = 8, 2 * 18
    width, heights = 240 + gap, [12 * 10, 12 * 10, 20 * 6, 20 * 6]
    assert picture.shape == (gap + sum(h + text + gap for h in heights), gap + 4 * width, 3)
    crops = [sheet.find_crop(crop, list_images(one), [2, 3]) for crop in ("b:24x12+10+4", "a:40x20+0+0")]
    upscale = Upscaler(model_file).upscale
    y = gap
    for number, height in enumerate(heights):
        crop, scale = crops[number // 2], (2, 3)[number % 2]
        methods = {"bicubic": bicubic, "random": upscale, "x2": upscale}
        zoom = height // crop.height
        for column, cell in enumerate(sheet.make_cells(crop, scale, methods)):
            x = gap + column * width
            label = picture[y : y + text, x : x + 240]
            shown = picture[y + text : y + text + height, x : x + 240]
            if column == 3 and scale == 3:
                assert np.all(label == 255)
                assert np.all(shown == 255)
                continue
            assert np.array_equal(shown, cell.pixels.repeat(zoom, axis=0).repeat(zoom, axis=1))
            assert label.min() < 100
            assert label.max() == 255
        y += height + text + gap
