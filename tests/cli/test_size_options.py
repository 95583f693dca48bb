"""The options for any size, and what becomes of files by them."""

import json

import numpy as np
import pytest
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.engine.sizes import Box
from numpy.testing import assert_array_equal
from PIL import Image
from resized import y4m, yuv


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=2)


def save(path, size=(12, 9), mode="RGB"):
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).integers(1, 256, (*size[::-1], *channels), np.uint8)
    Image.fromarray(samples).save(path)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("options", "name", "size"),
    [
        (["-s", "1.5"], "photo_x1.5.png", (18, 14)),
        (["-s", "2.0"], "photo_x2.png", (24, 18)),
        (["-s", "16"], "photo_x16.png", (192, 144)),
        (["--size", "50x50"], "photo_50x50.png", (50, 38)),
        (["--size", "50x50", "--stretch"], "photo_50x50.png", (50, 50)),
        (["--width", "40"], "photo_40w.png", (40, 30)),
        (["--height", "40"], "photo_40h.png", (53, 40)),
        (["-s", "1.5", "--suffix=-{scale}"], "photo-1.5.png", (18, 14)),
        (["--width", "40", "--suffix=-{scale}"], "photo-40w.png", (40, 30)),
        (["--width", "40", "-o", "x.png"], "x.png", (40, 30)),
    ],
)
def test_names_and_sizes(run, folder, upscaler, options, name, size):
    save(folder / "photo.png")
    assert run("photo.png", *options) == (0, [], [])
    assert names(folder) == sorted(["photo.png", name])
    with Image.open(name) as result, Image.open("photo.png") as source:
        assert result.size == size
        assert_array_equal(np.asarray(result), np.asarray(upscaler.upscale(source, size=size)))


def test_factors_side_by_side(run, folder):
    save(folder / "a.png")
    assert run("a.png", "-s", "2,1.5") == (0, [], [])
    assert names(folder) == ["a.png", "a_x1.5.png", "a_x2.png"]


def test_a_folder_into_a_box(run, folder):
    """One that is too large already is a fault of its own; the next run finds what the first one made."""
    save(folder / "in" / "a.png", (12, 9))
    save(folder / "in" / "deep" / "b.png", (9, 30))
    save(folder / "in" / "c.png", (61, 9))
    arguments = ["in", "-r", "-o", "out", "--size", "60x60", "--json"]
    code, errors, lines = run(*arguments)
    assert code == 1
    assert errors[0] == "fsrcnn-rt: in/c.png: size=60x60 makes 61x9 to 60x9, which is smaller"
    assert names(folder / "out") == ["a_60x60.png", "deep/b_60x60.png"]
    for name, size in (("a_60x60.png", (60, 45)), ("deep/b_60x60.png", (18, 60))):
        with Image.open(folder / "out" / name) as result:
            assert result.size == size
    done = [json.loads(line) for line in lines]
    assert done[0]["outputs"] == {"60x60": "out/a_60x60.png"}
    code, errors, lines = run(*arguments, "--skip-existing")
    assert json.loads(lines[-1])["skipped"] == 2


def test_animations(run, folder, upscaler):
    frames = [
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 12, 3), np.uint8)) for i in range(3)
    ]
    frames[0].save("a.png", save_all=True, append_images=frames[1:], duration=[100, 200, 300])
    assert run("a.png", "--width", "30") == (0, [], [])
    with Image.open("a_30w.png") as result:
        assert result.n_frames == 3
        for i, frame in enumerate(frames):
            result.seek(i)
            want = upscaler.upscale(np.asarray(frame), size=(30, 23))
            assert_array_equal(np.asarray(result.convert("RGB")), want)


def test_deep_colour(upscaler, tmp_path):
    pytest.importorskip("tifffile", reason="16-bit colour needs the extra deep")
    codecs = pytest.importorskip("imagecodecs", reason="16-bit colour needs the extra deep")
    array = np.random.default_rng(20).integers(0, 65536, (9, 12, 4), np.uint16)
    (tmp_path / "a.png").write_bytes(codecs.png_encode(array))
    goals = [2, 1.5, Box(30, 30)]
    results = pictures.upscale(pictures.read(tmp_path / "a.png"), upscaler, goals)
    assert list(results) == goals
    for goal, size in zip(goals, ((24, 18), (18, 14), (30, 23)), strict=True):
        pictures.write(results[goal], tmp_path / "b.png")
        stored = codecs.png_decode((tmp_path / "b.png").read_bytes())
        assert_array_equal(stored, upscaler.upscale(array, size=size))


def test_sixteen_bit_grey(run, folder, upscaler):
    array = np.random.default_rng(21).integers(0, 65536, (9, 12), np.uint16)
    Image.fromarray(array).save("a.png")
    assert run("a.png", "-s", "1.5") == (0, [], [])
    with Image.open("a_x1.5.png") as result:
        assert_array_equal(np.asarray(result).astype(np.uint16), upscaler.upscale(array, 1.5))


FAULTS = {
    "two answers": (["-s", "2", "--size", "50x50"], "--scale and --size are two answers to one question"),
    "width and height": (["--width", "50", "--height", "50"], "--width and --height are two answers"),
    "stretch alone": (["--stretch"], "--stretch is for --size"),
    "stretched width": (["--width", "50", "--stretch"], "--stretch is for --size"),
    "no size": (["--size", "50"], "argument --size: '50' is not WIDTHxHEIGHT in pixels"),
    "size of 0": (["--size", "0x50"], "argument --size: '0x50' is not WIDTHxHEIGHT"),
    "width of 0": (["--width", "0"], "argument --width: '0' is not a number of pixels"),
    "no width": (["--width", "1.5"], "argument --width: '1.5' is not a number of pixels"),
    "nan": (["-s", "nan"], "scale=nan is not above 1 and up to 16"),
    "too much": (["-s", "16.5"], "scale=16.5 is not above 1 and up to 16"),
    "one": (["-s", "1"], "scale=1 is not above 1 and up to 16"),
    "twice": (["-s", "2,2.0"], "scale=[2, 2.0] is empty or names a scale twice"),
    "empty": (["-s", "2,"], "scale='2,' is not a number, nor several with commas between"),
}


@pytest.mark.parametrize("name", ["a.png", "a.y4m"])
@pytest.mark.parametrize(("options", "message"), FAULTS.values(), ids=FAULTS)
def test_wrong_usage_is_one_line_and_nothing_done(run, folder, options, message, name):
    if name.endswith("png"):
        save(folder / name)
    else:
        (folder / name).write_bytes(y4m([yuv(np.random.default_rng(0), 12, 9, 8, (2, 2))], (12, 9)))
    code, lines, _ = run(name, *options)
    assert (code, len(lines)) == (2, 1)
    assert message in lines[0]
    assert names(folder) == [name]


@pytest.mark.parametrize(
    ("options", "name", "size"),
    [
        (["-s", "1.5"], "a_x1.5.y4m", (18, 14)),
        (["--size", "50x50"], "a_50x50.y4m", (50, 38)),
        (["--height", "20"], "a_20h.y4m", (26, 20)),
    ],
)
def test_video_by_the_command(run, folder, options, name, size):
    (folder / "a.y4m").write_bytes(y4m([yuv(np.random.default_rng(0), 12, 9, 8, (2, 2))], (12, 9)))
    assert run("a.y4m", *options) == (0, [], [])
    assert names(folder) == sorted(["a.y4m", name])
    assert (folder / name).read_bytes().startswith(b"YUV4MPEG2 W%d H%d " % size)
