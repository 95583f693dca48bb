"""The pages in docs/ say what is so: tables are carried out line by line, commands as they stand."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import fsrcnn_rt
import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.video import y4m
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
SIZE = (7, 5)


def table(page, title):
    """Rows of the table under this heading row, as lists of cells."""
    text = (DOCS / page).read_text()
    rows = text.split(f"\n| {title} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def code(cell):
    """What is set as code in a cell."""
    return re.findall("`([^`]*)`", cell)


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=1)


def pixels(mode):
    """A picture of this mode whose colours and alphas differ."""
    if mode[0] in "IF":
        dtype = {"I": "i4", "I;16B": ">u2", "I;16N": "=u2", "F": "f4"}.get(mode, "<u2")
        values = np.linspace(0, 1 if mode == "F" else 60000, SIZE[0] * SIZE[1]).astype(dtype)
        return Image.frombytes(mode, SIZE, values.tobytes())
    samples = np.random.default_rng(0).integers(1, 256, (*SIZE[::-1], 4), np.uint8)
    image = Image.fromarray(samples)
    between = {"La": "LA", "PA": "LA", "LAB": "RGB"}.get(mode, mode)
    image = image.convert("L").convert("P") if mode == "P" else image.convert(between)
    if mode == "LAB":
        return Image.frombytes("LAB", SIZE, image.tobytes())
    return image.convert(mode)


def transparent(mode, value):
    image = pixels(mode)
    image.info["transparency"] = value
    return image


def from_png():
    image = pixels("I")
    image.format = "PNG"
    return image


# What stands behind the mode in the first column -> a picture of it.
SPECIAL = {
    "`L` with a transparent colour": lambda: transparent("L", 7),
    "`P` with a transparent index": lambda: transparent("P", 7),
    "`P` with an alpha for each index": lambda: transparent("P", bytes(range(256))),
    "`P` with a palette of RGBA": lambda: pixels("RGBA").quantize(8),
    "`RGB` with a transparent colour": lambda: transparent("RGB", (1, 2, 3)),
    "`I` from a PNG": from_png,
    "`I` with values outside 0 to 65535": lambda: Image.new("I", SIZE, 65536),
    "`I;16` with a transparent colour": lambda: transparent("I;16", 7),
    "any of no width or height": lambda: Image.new("RGB", (0, 5)),
}


@pytest.mark.parametrize(
    ("mode", "result"), [(row[0], row[2]) for row in table("modes.md", "mode | is taken as | result")]
)
def test_modes(upscaler, mode, result):
    image = SPECIAL[mode]() if mode in SPECIAL else pixels(*code(mode))
    (expected,) = code(result)
    if expected == "ValueError":
        with pytest.raises(ValueError, match=r"^image has "):
            upscaler.upscale(image, 2)
        return
    if code(mode):
        assert image.mode == code(mode)[0]
    large = upscaler.upscale(image, 2)
    assert (large.mode, large.size) == (expected, (2 * SIZE[0], 2 * SIZE[1]))


def test_no_mode_is_missing():
    modes = [row[0] for row in table("modes.md", "mode | is taken as | result")]
    plain = {name for mode in modes if mode not in SPECIAL for name in code(mode)}
    assert plain == set(Image.MODES)
    assert {mode for mode in modes if mode in SPECIAL} == set(SPECIAL)


@pytest.mark.parametrize(
    ("shape", "result"), [(row[0], row[2]) for row in table("modes.md", "shape | is taken as | result")]
)
def test_shapes(upscaler, shape, result):
    sizes = {"H": 5, "W": 7, "s": 3}
    image = np.ones(eval(*code(shape), sizes), np.uint8)
    (expected,) = code(result)
    if expected == "ValueError":
        with pytest.raises(ValueError, match="image has shape"):
            upscaler.upscale(image, 3)
    else:
        assert upscaler.upscale(image, 3).shape == eval(expected, sizes)


@pytest.mark.parametrize(
    "row", table("modes.md", "dtype | full range | result | computed in"), ids=lambda row: row[0]
)
def test_dtypes(upscaler, row):
    (dtype,), (expected,) = code(row[0]), code(row[2])
    # A step of full range, at which the network overshoots.
    image = np.zeros((24, 24))
    image[:, 12:] = 1
    if expected == "TypeError":
        with pytest.raises(TypeError, match=f"image has dtype {dtype}"):
            upscaler.upscale(image.astype(dtype))
        return
    top = int(row[1].split()[-1])
    large = fsrcnn_rt.upscale((top * image).astype(dtype))
    assert large.dtype == np.dtype(expected)
    clipped = row[2].endswith("rounded and clipped")
    assert clipped == (np.dtype(dtype).kind == "u")
    assert (large.max() > top) != clipped
    assert np.median(large[:, 60:]) == pytest.approx(top, rel=0.02)
    # The same numbers, whatever the dtype.
    expected = fsrcnn_rt.upscale(image.astype(np.float32), precision=re.match(r"\w+", row[3])[0])
    difference = large.astype(float) / top - (expected.clip(0, 1) if clipped else expected)
    assert np.abs(difference).max() <= {"uint8": 0.51 / 255, "float16": 1e-3}.get(dtype, 1e-5)


def blocks(page, language):
    """Code of a page."""
    return re.findall(f"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


FFMPEG = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg here")


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


def streams(path):
    """What is in a file: per stream, what ffprobe tells."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", path]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]


@pytest.fixture
def bash(folder, monkeypatch):
    """Run a script with ``fsrcnn-rt`` in the path."""
    (folder / "bin").mkdir()
    command = folder / "bin" / "fsrcnn-rt"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fsrcnn_rt "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)

    def call(script):
        result = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script], capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 0, result.stderr
        return result

    return call


@pytest.fixture
def shell(bash):
    """Run a script where there is a film, ``in.mkv``."""
    tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    inputs = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-f", "lavfi", "-i", "sine=d=0.4"]
    ffmpeg(*inputs, "-c:v", "libx264", "-pix_fmt", "yuv420p", *tags, "-c:a", "flac", "in.mkv")
    return bash


# What the output of a command has; of the film, 10 frames of 64 x 48.
MADE = {
    "film.mkv": {
        "width": 128,
        "height": 96,
        "pix_fmt": "yuv420p",
        "color_space": "bt709",
        "codec_name": "h264",
    },
    "ten_bits.mkv": {"width": 128, "height": 96, "pix_fmt": "yuv420p10le", "codec_name": "hevc"},
    "progressive.mkv": {"width": 192, "height": 144, "pix_fmt": "yuv420p"},
    "part_large.y4m": {"width": 256, "height": 192, "pix_fmt": "yuv420p"},
    "direct.mkv": {
        "width": 128,
        "height": 96,
        "pix_fmt": "yuv420p",
        "color_space": "bt709",
        "codec_name": "h264",
    },
}
MADE["watched.mkv"] = MADE["whole.mkv"] = MADE["direct.mkv"]
SILENT = ("ten_bits.mkv", "progressive.mkv", "part_large.y4m")


@FFMPEG
@pytest.mark.parametrize("script", blocks("ffmpeg.md", "sh"))
def test_commands_with_ffmpeg(shell, script):
    outputs = [name for name in MADE if name in script]
    if {"direct.mkv", "watched.mkv", "whole.mkv"} & set(outputs):
        pytest.importorskip("av", reason="video files need PyAV")
    result = shell(script)
    for name in outputs:
        video, *others = streams(name)
        assert MADE[name].items() <= video.items()
        assert int(video["nb_read_frames"]) == 10
        assert [stream["codec_name"] for stream in others] == ["flac"] * (name not in SILENT)
    if not outputs:
        assert "(10 frames, " in result.stderr
        assert "fsrcnn-s" in result.stdout


def test_every_output_of_a_command_is_looked_at():
    text = "".join(blocks("ffmpeg.md", "sh"))
    assert all(name in text for name in MADE)
    assert set(re.findall(r"(\S+\.(?:mkv|y4m))", text)) == {*MADE, "in.mkv", "part.y4m"}


FORMATS = table("ffmpeg.md", "`-pix_fmt` | `C` of the stream | bits | chroma")


@FFMPEG
@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row[0])
def test_pixel_formats_of_ffmpeg(upscaler, folder, row):
    (pix_fmt,), (tag,), bits, chroma = code(row[0]), code(row[1]), int(row[2]), row[3]
    source = ["-f", "lavfi", "-i", "testsrc2=s=18x10:d=0.04"]
    siting = [] if "centred" in chroma else ["-chroma_sample_location", "left"]
    ffmpeg(*source, "-pix_fmt", pix_fmt, *siting, "-strict", "-1", "a.y4m")
    with open("a.y4m", "rb") as source, open("b.y4m", "wb") as sink:  # noqa: PTH123
        assert f" C{tag} " in source.readline().decode().replace("\n", " ")
        source.seek(0)
        header = y4m.read_header(source)
        source.seek(0)
        assert y4m.upscale_y4m(source, sink, 2, model=upscaler.model).frames == 1
    assert header.layout.bits == bits
    subsampling = {"4:2:0": (2, 2), "4:2:2": (2, 1), "4:4:4": (1, 1), "4:1:1": (4, 1), "none": (1, 1)}
    assert header.layout.subsampling == subsampling[chroma.split(",")[0]]
    assert (header.planes == 1) == (chroma == "none")
    assert (header.layout.chroma_location == "center") == ("centred" in chroma)
    (video,) = streams("b.y4m")
    assert (video["width"], video["height"]) == (36, 20)
    assert video["pix_fmt"].replace("yuvj", "yuv") == pix_fmt.replace("yuvj", "yuv")


def test_no_tag_is_missing():
    text = (DOCS / "ffmpeg.md").read_text()
    others = {"420", "420paldv", "mono14"}  # told of in words: without a C is 420jpeg
    assert {tag for row in FORMATS for tag in code(row[1])} | others == set(y4m._CHROMA)
    assert all(f"`{tag}`" in text for tag in others - {"420"})


@FFMPEG
def test_y4m_of_a_variable_rate_has_other_frames(folder):
    """The caveat of the page: frames are repeated for the sake of one rate."""
    select = "select='not(between(n,3,11))'"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=32x24:r=25:d=1",
        "-vf",
        select,
        "-vsync",
        "vfr",
        "-c:v",
        "ffv1",
        "vfr.mkv",
    )
    (video,) = streams("vfr.mkv")
    assert int(video["nb_read_frames"]) == 16
    ffmpeg("-i", "vfr.mkv", "a.y4m")
    (video,) = streams("a.y4m")
    assert int(video["nb_read_frames"]) == 25


def rows_of(page):
    """Every row of every table of a page, as lists of cells."""
    lines = [line for line in page.read_text().splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_figures_are_those_that_were_measured():
    """README, ffmpeg.md and from-opencv.md repeat figures of speed.md and quality.md."""
    rows = rows_of(DOCS / "speed.md") + rows_of(DOCS / "quality.md")
    figures = [row for row in rows_of(DOCS.parent / "README.md") if row[-1][:1].isdigit()]
    assert len(figures) > 10
    assert [row for row in figures if row not in rows] == []
    for size, model, fps in table("ffmpeg.md", "from, to | model | frames per second"):
        name = {"`fsrcnn`": "FSRCNN", "`fsrcnn-s`": "FSRCNN-s"}[model]
        (row,) = [row for row in rows if row[0] == f"{name}, {size}, RGB uint8"]
        assert row[3] == fps
    opencv = (DOCS / "from-opencv.md").read_text()
    for row in rows:
        if row[0] in ("Set5, bicubic", "Set5, `fsrcnn`", "Set5, `fsrcnn-s`"):
            figures = " | ".join(figure.split()[0] for figure in row[1:])
            assert f"| {row[0].removeprefix('Set5, ')} | {figures} |" in opencv
        if row[0].startswith("OpenCV 5 dnn"):
            assert all(figure in opencv for figure in row[1:])


def test_snippets_for_users_of_opencv(folder):
    cv2 = pytest.importorskip("cv2", reason="the snippets are for users of OpenCV")
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (36, 48, 3), np.uint8)
    deep = rng.integers(0, 65536, (18, 24, 4), np.uint16)
    cv2.imwrite("deep.png", deep)
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 25, (48, 36))
    for _ in range(3):
        writer.write(frame)
    writer.release()
    names = {"cv2": cv2, "fsrcnn_rt": fsrcnn_rt, "frame": frame}
    first, *others = blocks("from-opencv.md", "python")
    assert len(first.splitlines()) == 2
    assert len(blocks("from-opencv.md", "")[0].splitlines()) == 3
    exec(first, names)
    np.testing.assert_array_equal(names["large"][..., ::-1], fsrcnn_rt.upscale(frame[..., ::-1], 3))
    for snippet in others:
        exec(snippet, names)
    expected = fsrcnn_rt.upscale(deep[..., [2, 1, 0, 3]], 2)[..., [2, 1, 0, 3]]
    np.testing.assert_array_equal(cv2.imread("deep_x2.png", cv2.IMREAD_UNCHANGED), expected)
    assert [cv2.imread(f"photo_x{scale}.png").shape for scale in (2, 3, 4)] == [
        (72, 96, 3),
        (108, 144, 3),
        (144, 192, 3),
    ]
    assert names["shown"].shape == (72, 96, 3)


def test_training_from_a_folder_to_a_model(bash, folder):
    """The page's commands as they stand, where the recipe has three steps and the folder small pictures."""
    pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'train'")
    (folder / "weights").mkdir()
    recipe = (ROOT / "weights" / "fine-tune.toml").read_text()
    recipe = re.sub(r"^(steps|evaluate_every) = .*", r"\1 = 3", recipe, flags=re.MULTILINE)
    (folder / "weights" / "fine-tune.toml").write_text(recipe)
    shutil.copy(ROOT / "weights" / "figures.py", folder / "weights")
    (script,) = blocks("training.md", "python")
    script = script.replace("50)", "20)").replace("60)", "51)").replace("FINE = 240, 3", "FINE = 200, 1")
    exec(script, {})
    shutil.copytree(folder / "drawings", folder / "photos")
    shutil.copy(folder / "drawings" / "00.png", folder / "photo.jpg")
    own, drawn = blocks("training.md", "sh")  # the same commands on drawings
    assert drawn.splitlines()[0] == own.splitlines()[0].replace("photos", "drawings -j 1").replace(
        "mine", "drawn"
    )
    assert "validation on 2 of 20 pictures in photos: 05.png, 15.png" in bash(own).stdout
    with Image.open("photo_x3.jpg") as large:
        assert large.size == (600, 600)
    assert "</svg>" in Path("mine.svg").read_text()


COMMANDS = [line.rsplit("#", 1) for line in blocks("command-line.md", "sh")[0].splitlines()]


@pytest.mark.parametrize(("command", "made"), COMMANDS, ids=[made.strip() for _, made in COMMANDS])
def test_commands_with_pictures(bash, folder, command, made):
    samples = np.random.default_rng(0).integers(0, 256, (30, 40, 4), np.uint8)
    photo = Image.fromarray(samples[..., :3])
    for name in ("photo.png", "photo.jpg", "moving.gif"):
        frames = {"save_all": True, "append_images": [photo.rotate(180)]} if name == "moving.gif" else {}
        photo.save(folder / name, **frames)
    Image.fromarray(samples).save(folder / "logo.png")
    Image.fromarray(samples[..., 0] * np.uint16(257)).save(folder / "deep.png")
    before = set(folder.iterdir())
    assert bash(command).stderr == ""
    assert {path.name for path in set(folder.iterdir()) - before} == {made.strip()}
    with Image.open(folder / made.strip()) as result:
        assert result.size == ((20, 15) if "_20w" in made else (120, 90))
        assert getattr(result, "n_frames", 1) == 1


def test_every_write_option_is_explained():
    from fsrcnn_rt.cli.upscale import _WRITE_OPTIONS

    told = {option for row in table("command-line.md", "option | what it does") for option in code(row[0])}
    assert {f"--{name.replace('_', '-')}" for name in _WRITE_OPTIONS} - {"--strip-metadata"} <= told


def test_data_is_looked_for_where_anyone_has_it():
    """What ships names ./data, and docs/data.md says where it is to be had."""
    root = DOCS.parent
    shipped = [root / "README.md", *root.glob("weights/*.md"), *(root / "python").rglob("*.py")]
    shipped += [*root.glob("benchmarks/*.py"), *root.glob("weights/*.toml")]
    assert [path.name for path in shipped if "../shared" in path.read_text()] == []
    told = {name for row in table("data.md", "Folder | Pictures") for name in code(row[0])}
    assert {"data/Set5", "data/Set14", "data/T91", "data/General100", "data/video"} <= told


ROOT = DOCS.parent
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("weights/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_names_of_files_lead_somewhere(page):
    """Every link of a page, and every path of the repository that it sets as code."""
    text = page.read_text()
    links = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert [link for link in links if ":" not in link and not (page.parent / link).exists()] == []
    folders = "benchmarks|docs|python|src|tests|weights"
    named = re.findall(rf"`((?:{folders})/[\w./-]+\.\w+)", re.sub("```.*?```", "", text, flags=re.DOTALL))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_is_reached_from_the_readme():
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        links = {
            (page.parent / link).resolve() for link in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text())
        }
        ahead += links - reached
    assert [page.name for page in PAGES if page not in reached] == []


def test_the_map_has_every_source_file():
    (map_,) = blocks("architecture.md", "")
    core, package = map_.split("python/fsrcnn_rt/\n")
    for part, folder in ((core, ROOT / "src" / "fsrcnn_cpp"), (package, ROOT / "python" / "fsrcnn_rt")):
        files = [path for path in folder.rglob("*") if path.suffix in (".cpp", ".h", ".py", ".html")]
        assert len(files) > 40
        names = {name for word in re.findall(r"[\w{},.*-]+", part) for name in expanded(word)}
        patterns = [word for word in names if "*" in word]
        others = {path.name for path in files} - names
        assert {name for name in others if not any(map(partial(fnmatch, name), patterns))} <= {"__init__.py"}
        listed = {name for name in names if re.fullmatch(r"[\w-]+\.(cpp|h|py|html)", name)}
        elsewhere = {"figures.py", "pictures.py"}  # of weights/ and docs/
        assert listed - {path.name for path in files} <= elsewhere


def expanded(word):
    """The names that a word as ``plan.{h,cpp}`` stands for."""
    stem, brace, ends = word.rstrip(":,").partition("{")
    return [stem + end for end in ends.rstrip("}").split(",")] if brace else [stem]
