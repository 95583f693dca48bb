"""What the command line offers beside the size: pipes, formats, depth, background, names of outputs."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from folders import names
from fsrcnn_rt.pictures.encoding import WriteOptions, encoder_options, is_lossless
from PIL import Image, ImageDraw

pytestmark = pytest.mark.usefixtures("folder")

# A Photoshop file of one pixel.
LAYERED = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 1, 1, 8, 3) + bytes(12 + 2 + 3)

CHANNELS = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}


def picture(path, mode="RGB", size=(12, 9), dtype=np.uint8, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (*size[::-1], *CHANNELS[mode]), dtype)
    Image.fromarray(samples).save(path, **options)


def command(model_file, *arguments):
    return [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), *map(str, arguments)]


# Pipes


@pytest.mark.parametrize(
    ("source", "arguments", "expected"),
    [
        ("a.png", ["-"], "PNG"),  # as it came
        ("a.jpg", ["-", "-o", "-"], "JPEG"),
        ("a.png", ["-", "-o", "-", "-f", "webp"], "WEBP"),
        ("a.png", ["-", "-f", "tiff", "-v"], "TIFF"),
        ("a.png", ["a.png", "-o", "-"], "PNG"),
        ("a.png", ["-i", "a.png", "-o", "-", "-f", "jpg"], "JPEG"),
    ],
)
def test_a_picture_through_pipes(model_file, run_silent, folder, source, arguments, expected):
    picture(folder / source)
    data = (folder / source).read_bytes()
    result = subprocess.run(command(model_file, *arguments), input=data, capture_output=True)
    assert result.returncode == 0
    (folder / "piped").write_bytes(result.stdout)
    output = f"b.{expected.lower()}"
    assert run_silent(source, "-o", output) == (0, [])
    assert result.stdout == (folder / output).read_bytes()  # and nothing else
    with Image.open("piped") as image:
        assert (image.format, image.size) == (expected, (36, 27))


def test_a_picture_from_stdin_to_a_file(model_file, folder):
    picture(folder / "a.png")
    data = (folder / "a.png").read_bytes()
    result = subprocess.run(
        command(model_file, "-", "-s", "2", "-o", "b.png"), input=data, capture_output=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    with Image.open("b.png") as image:
        assert image.size == (24, 18)


def test_stdin_that_comes_slowly(model_file, folder):
    picture(folder / "a.png")
    data = (folder / "a.png").read_bytes()
    with subprocess.Popen(command(model_file, "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for part in (data[:3], data[3:50], data[50:]):
            process.stdin.write(part)
            process.stdin.flush()
            time.sleep(0.1)
        process.stdin.close()
        assert process.stdout.read().startswith(b"\x89PNG")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("data", "arguments", "code", "message"),
    [
        (b"", ["-"], 2, "-: stdin is empty"),
        (b"no picture at all", ["-"], 1, "-: is not a picture in a format that Pillow reads"),
        (b"no picture", ["-", "-o", "b.png"], 1, "-: is not a picture in a format that Pillow reads"),
        (b"no picture", ["-", "-o", "b"], 2, "b: 'no suffix' is not an image format that can be written"),
        (b"x", ["-", "-f", "xyz"], 2, "-.xyz: '.xyz' is not an image format that can be written"),
        (b"x", ["-", "-"], 2, "-: is there twice, and stdin is read once"),
        (b"x", ["-", "-o", "out/"], 2, "- has no name that its output could have in a folder (see -o)"),
        (b"x", ["-", "-s", "2,3"], 2, "-: is no folder, and several outputs need one"),
        (b"x", ["-", "--json"], 2, "--json prints on stdout, which carries the picture (see -o)"),
        (b"x", ["a.png", "b.png", "-o", "-"], 2, "-: is no folder, and several outputs need one"),
        (b"x", [".", "-o", "-"], 2, "-: is no folder, and several outputs need one"),
        (LAYERED, ["-"], 2, "-: is PSD, which cannot be written (-f names another format)"),
    ],
)
def test_faults_of_pipes(model_file, folder, data, arguments, code, message):
    result = subprocess.run(command(model_file, *arguments), input=data, capture_output=True, text=False)
    assert result.stderr.decode().splitlines() == [f"fsrcnn-rt: {message}"]
    assert (result.returncode, result.stdout) == (code, b"")
    assert names(folder) == []


def test_nobody_reads_the_picture(model_file, folder):
    picture(folder / "a.png", size=(300, 200))
    with subprocess.Popen(
        command(model_file, "a.png", "-o", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        error = process.stderr.read().decode()
    assert process.returncode == 1
    assert error == "fsrcnn-rt: a.png: Broken pipe\n"


def test_a_terminal_takes_no_picture(model_file, folder):
    picture(folder / "a.png")
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "wb") as terminal:
        refused = subprocess.run(
            command(model_file, "a.png", "-o", "-"), stdout=terminal, stderr=subprocess.PIPE, text=True
        )
        assert (refused.returncode, refused.stderr) == (
            2,
            "fsrcnn-rt: stdout is a terminal, which takes no picture (see -o)\n",
        )
        refused = subprocess.run(
            command(model_file, "-", "-o", "b.png"), stdin=terminal, capture_output=True, text=True
        )
        assert (refused.returncode, refused.stderr) == (2, "fsrcnn-rt: -: stdin is a terminal\n")


# Depth, background, resolution, frames


def test_depth_rounds_sixteen_bits(run_silent, folder):
    samples = np.linspace(0, 65535, 12 * 9).reshape(9, 12).astype(np.uint16)
    Image.fromarray(samples).save("a.png")
    assert run_silent("a.png", "-o", "deep.png") == (0, [])
    assert run_silent("a.png", "-o", "b.png", "--depth", "8") == (0, [])
    assert run_silent("a.png", "-o", "b.jpg", "--depth", "8") == (0, [])  # which holds no more
    with Image.open("deep.png") as deep, Image.open("b.png") as image:
        assert image.mode == "L"
        expected = np.floor(np.asarray(deep).astype(float) / 257 + 0.5)
        np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_depth_rounds_sixteen_bits_of_colour(run_silent, folder, channels):
    imagecodecs = pytest.importorskip("imagecodecs", reason="the extra deep is not installed")
    samples = np.random.default_rng(0).integers(0, 65535, (9, 12, channels), np.uint16)
    (folder / "a.png").write_bytes(imagecodecs.png_encode(samples))
    assert run_silent("a.png", "-o", "deep.png") == (0, [])
    assert run_silent("a.png", "-o", "b.webp", "--depth", "8") == (0, [])
    deep = imagecodecs.png_decode((folder / "deep.png").read_bytes())
    assert deep.dtype == np.uint16
    with Image.open("b.webp") as image:
        rounded = np.asarray(image.convert({2: "LA", 3: "RGB", 4: "RGBA"}[channels]))
        visible = slice(None) if channels == 3 else deep[..., -1] > 128
        np.testing.assert_array_equal(rounded[visible], np.floor(deep / 257 + 0.5)[visible])


@pytest.mark.parametrize(
    ("mode", "colour", "expected", "value"),
    [
        ("RGBA", "#ff8000", "RGB", (255, 128, 0)),
        ("RGBA", "white", "RGB", (255, 255, 255)),
        ("LA", "white", "L", 255),
        ("LA", "red", "RGB", (255, 0, 0)),
        ("RGB", "red", "RGB", (0, 0, 0)),
        ("P", "blue", "RGB", (0, 0, 255)),
    ],
)
def test_background(run_silent, mode, colour, expected, value):
    image = Image.new("RGBA", (12, 9))
    if mode == "P":
        image = image.quantize(2)
        image.info["transparency"] = 0
    image = image.convert(mode)
    image.save("a.png")
    as_it_is = ["--width", "12", "--larger", "keep"]
    for name in ("b.png", "b.tiff"):
        assert run_silent("a.png", "-o", name, "--background", colour, *as_it_is) == (0, [])
        with Image.open(name) as result:
            assert (result.mode, result.getcolors()) == (expected, [(108, value)])
    assert run_silent("a.png", "-o", "b.jpg", "--background", colour) == (0, [])


def test_background_is_mixed_by_alpha(run_silent, folder):
    Image.new("RGBA", (12, 9), (200, 100, 0, 51)).save("a.png")
    as_it_is = ["--background", "#0064c8", "--width", "12", "--larger", "keep"]
    assert run_silent("a.png", "-o", "b.png", *as_it_is) == (0, [])
    with Image.open("b.png") as result:
        assert result.getcolors() == [(108, (40, 100, 160))]
    imagecodecs = pytest.importorskip("imagecodecs", reason="the extra deep is not installed")
    samples = np.full((9, 12, 4), np.array([200, 100, 0, 51]) * 257, np.uint16)
    (folder / "a.png").write_bytes(imagecodecs.png_encode(samples))
    assert run_silent("a.png", "-o", "b.png", *as_it_is, "--overwrite") == (0, [])
    deep = imagecodecs.png_decode((folder / "b.png").read_bytes())
    assert deep.shape[2] == 3
    assert deep.reshape(-1, 3).mean(0) / 257 == pytest.approx([40, 100, 160], abs=0.5)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tiff"])
def test_dpi(run_silent, folder, name):
    picture(folder / name, dpi=(72, 72))
    output = name.replace("a.", "a_x3.")
    assert run_silent(name) == (0, [])
    with Image.open(output) as result:
        assert result.info["dpi"] == pytest.approx((72, 72), abs=0.1)
    assert run_silent(name, "--dpi", "300", "--strip-metadata", "--overwrite") == (0, [])
    with Image.open(output) as result:
        assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tiff"])
def test_first_frame(run_silent, folder, name):
    frames = [Image.new("RGB", (12, 9), colour) for colour in ("red", "blue", "green")]
    frames[0].save(
        name, save_all=True, append_images=frames[1:], **({} if "tiff" in name else {"duration": 50})
    )
    code, lines = run_silent(name, "-o", "b.jpg")
    assert (code, len(lines)) == (1, 1)
    assert run_silent(name, "-o", "b.jpg", "--first-frame") == (0, [])
    assert run_silent(name, "--first-frame") == (0, [])
    with Image.open(name.replace("a.", "a_x3.")) as result:
        assert getattr(result, "n_frames", 1) == 1
        red, *others = result.convert("RGB").getpixel((18, 13))
        assert red > 2 * max(others)


# Encoders


@pytest.mark.parametrize("name", ["png", "webp", "avif", "jpg"])
def test_effort_makes_files_smaller(run_silent, folder, name):
    image = Image.new("RGB", (150, 100), "white")
    ImageDraw.Draw(image).text((3, 3), "lorem ipsum\ndolor sit amet\n" * 3, fill="black")
    image.save("a.png")
    for effort in (0, 10):
        code, lines = run_silent("a.png", "-o", f"{effort}.{name}", "--effort", effort)
        if lines and "is not an image format" in lines[0]:
            pytest.skip(f"this Pillow writes no {name}")
        assert (code, lines) == (0, [])
    assert (folder / f"10.{name}").stat().st_size < (folder / f"0.{name}").stat().st_size


@pytest.mark.parametrize(("compression", "tag"), [("none", 1), ("lzw", 5), ("deflate", 8)])
def test_compression_of_tiff(run_silent, folder, compression, tag):
    picture(folder / "a.png")
    assert run_silent("a.png", "-f", "tiff", "--compression", compression) == (0, [])
    assert run_silent("a.png", "-o", "b.png") == (0, [])
    with Image.open("a_x3.tiff") as result, Image.open("b.png") as expected:
        assert result.tag_v2[259] in (tag, 32946 if tag == 8 else tag)  # deflate has two numbers
        np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
def test_compression_of_deep_tiff(run_silent, folder, compression):
    tifffile = pytest.importorskip("tifffile", reason="the extra deep is not installed")
    samples = np.random.default_rng(0).integers(0, 65535, (9, 12, 3), np.uint16)
    tifffile.imwrite("a.tiff", samples, photometric="rgb")
    assert run_silent("a.tiff", "--compression", compression) == (0, [])
    with tifffile.TiffFile("a_x3.tiff") as file:
        assert file.pages[0].compression.name in (compression.upper(), f"ADOBE_{compression.upper()}")
        assert file.asarray().shape == (27, 36, 3)


def test_encoders_are_set_by_what_the_picture_is():
    page = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(page).text((3, 3), "lorem ipsum dolor sit amet\n" * 20, fill="black")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))

    def options(image, name, **chosen):
        return encoder_options(image, name, WriteOptions(**chosen), lossless=name in ("WEBP", "PNG"))

    assert options(noise, "PNG") == {"compress_type": zlib.Z_RLE}
    assert options(page, "PNG") == {"compress_level": 4}
    assert options(noise, "AVIF")["speed"] > options(page, "AVIF")["speed"]
    assert options(noise, "WEBP")["quality"] < options(page, "WEBP")["quality"]
    for name in ("PNG", "AVIF", "WEBP"):  # asked for, it is the same for all
        assert options(noise, name, effort=7) == options(page, name, effort=7)


def test_what_is_lossless_is_told(run, folder):
    picture(folder / "a.png")
    code, lines, out = run("a.png", "-f", "webp", "-v", "--json")
    assert code == 0
    assert "(lossless, " in lines[0]
    assert json.loads(out[0])["lossless"] is True
    code, lines, out = run("a.png", "-f", "webp", "-v", "--json", "--quality", "95", "--overwrite")
    assert "lossless" not in lines[0]
    assert json.loads(out[0])["lossless"] is False
    assert (folder / "a_x3.webp").read_bytes().find(b"VP8 ") > 0
    assert not is_lossless("WEBP", WriteOptions(), source=False)


# Sizes that are reached already


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_larger_pictures(run_silent, folder, mode):
    picture(folder / "large.png", mode, (60, 40))
    picture(folder / "small.png", mode, (6, 4))
    code, lines = run_silent("large.png", "small.png", "--size", "30x30", "-o", "refused")
    assert code == 1
    assert lines == ["fsrcnn-rt: large.png: size=30x30 makes 60x40 to 30x20, which is smaller"]
    assert names(folder / "refused") == ["small_30x30.png"]
    for larger, size in (("shrink", (30, 20)), ("keep", (60, 40))):
        assert run_silent("large.png", "small.png", "--size", "30x30", "-o", larger, "--larger", larger) == (
            0,
            [],
        )
        with Image.open(folder / larger / "large_30x30.png") as result:
            assert (result.mode, result.size) == (mode, size)
        with Image.open(folder / larger / "small_30x30.png") as result:
            assert result.size == (30, 20)
    assert (folder / "keep" / "large_30x30.png").read_bytes() == (folder / "large.png").read_bytes()


def test_a_picture_that_is_kept_gets_the_format_that_is_asked_for(run_silent, folder):
    picture(folder / "a.png", size=(60, 40))
    assert run_silent("a.png", "--width", "60", "--larger", "keep", "-f", "bmp") == (0, [])
    with Image.open("a.png") as source, Image.open("a_60w.bmp") as result:
        assert result.format == "BMP"
        np.testing.assert_array_equal(np.asarray(result), np.asarray(source))


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "RGBA"])
def test_a_picture_that_is_kept_gets_a_mode_of_results(run_silent, mode):
    Image.effect_noise((60, 40), 90).convert(mode).save("a.tiff")
    assert run_silent("a.tiff", "--width", "60", "--larger", "keep", "-f", "png") == (0, [])
    with Image.open("a.tiff") as source, Image.open("a_60w.png") as result:
        assert result.mode == {"1": "L", "RGBA": "RGBA"}.get(mode, "RGB")
        if mode != "CMYK":
            np.testing.assert_array_equal(np.asarray(result), np.asarray(source.convert(result.mode)))


def test_made_smaller_it_is_antialiased(run_silent, folder):
    stripes = np.zeros((60, 60), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save("a.png")
    assert run_silent("a.png", "--width", "20", "--larger", "shrink") == (0, [])
    with Image.open("a_20w.png") as result:
        assert np.asarray(result)[:, 2:-2].std() < 45  # without a filter, 127


def test_sixteen_bits_are_made_smaller(run_silent, folder):
    imagecodecs = pytest.importorskip("imagecodecs", reason="the extra deep is not installed")
    samples = np.full((40, 60, 4), (50000, 100, 65535, 0), np.uint16)
    samples[:, :30] = (301, 302, 60000, 65535)
    (folder / "a.png").write_bytes(imagecodecs.png_encode(samples))
    Image.fromarray(samples[..., 2].copy()).save("grey.png")
    assert run_silent("a.png", "grey.png", "--width", "30", "--larger", "shrink") == (0, [])
    result = imagecodecs.png_decode((folder / "a_30w.png").read_bytes())
    assert (result.shape, result.dtype) == ((20, 30, 4), np.uint16)
    visible = result[..., 3] > 60000
    assert abs(result[visible].astype(int) - (301, 302, 60000, 65535))[:, :3].max() <= 2  # of nothing around
    with Image.open("grey_30w.png") as grey:
        assert np.asarray(grey).max() > 60000


def test_animations_are_made_smaller(run_silent, folder):
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue")]
    frames[0].save("a.gif", save_all=True, append_images=frames[1:], duration=70)
    assert run_silent("a.gif", "--width", "30", "--larger", "shrink") == (0, [])
    with Image.open("a_30w.gif") as result:
        assert (result.n_frames, result.size, result.info["duration"]) == (2, (30, 20), 70)


# Names


@pytest.mark.parametrize("arguments", [["."], ["*.png"], [".", "-r"]])
def test_what_was_made_before_is_no_input(run, folder, arguments):
    picture(folder / "a.png")
    picture(folder / "photo_x2.png")  # of nothing that is there
    assert run(*arguments, "-s", "2,3")[0] == 0
    first = names(folder)
    assert first == ["a.png", "a_x2.png", "a_x3.png", "photo_x2.png", "photo_x2_x2.png", "photo_x2_x3.png"]
    code, lines, out = run(*arguments, "-s", "4", "-v", "--json")
    assert code == 0
    assert names(folder) == sorted([*first, "a_x4.png", "photo_x2_x4.png"])
    left_out = [line["input"] for line in map(json.loads, out) if line.get("status") == "output"]
    assert left_out == ["a_x2.png", "a_x3.png", "photo_x2_x2.png", "photo_x2_x3.png"]
    assert "a_x2.png: is an output of another input, and left out" in lines
    assert lines[-1].startswith("2 done, 4 left out as outputs in ")
    code, lines, _ = run(*arguments, "--size", "20x20", "-o", "elsewhere")
    assert (code, names(folder / "elsewhere")) == (0, ["a_20x20.png", "photo_x2_20x20.png"])


def test_what_is_named_is_an_input(run_silent, folder):
    picture(folder / "a.png")
    assert run_silent("a.png", "-s", "2") == (0, [])
    assert run_silent("a.png", "a_x2.png", "-s", "3") == (0, [])
    assert names(folder) == ["a.png", "a_x2.png", "a_x2_x3.png", "a_x3.png"]


def test_outputs_are_known_by_the_suffix_of_the_run(run, folder):
    for name in ("a.png", "a-big-2.jpg", "a-big-1920x1080.png", "a-bigger.png", "a_x2.png"):
        picture(folder / "in" / name)
    assert run("in", "--suffix=-big-{scale}", "-o", "out")[0] == 0
    assert names(folder / "out") == ["a-big-3.png", "a-bigger-big-3.png", "a_x2-big-3.png"]
    assert run("in", "--suffix", "", "-o", "same")[0] == 0
    assert len(names(folder / "same")) == 5


def test_model_in_the_suffix(model_file, run_silent, folder):
    picture(folder / "a.png")
    assert run_silent("a.png", "--suffix", "_{model}_{scale}") == (0, [])
    assert names(folder) == ["a.png", f"a_{Path(model_file).stem}_3.png"]


@pytest.mark.parametrize("inputs", [["a.png", "b.png"], ["a.png", "-s", "2,3"], ["."]])
def test_one_file_for_several_outputs_is_refused(run_silent, folder, inputs):
    picture(folder / "a.png")
    picture(folder / "b.png")
    before = names(folder)
    assert run_silent(*inputs, "-o", "x.png") == (
        2,
        ["fsrcnn-rt: x.png: is the name of a picture, and several outputs need a folder (x.png/ is one)"],
    )
    assert names(folder) == before
    assert run_silent("a.png", "-s", "2,3", "-o", "x.png/") == (0, [])
    assert names(folder / "x.png") == ["a_x2.png", "a_x3.png"]


# Progress and Ctrl-C


def test_progress_within_one_picture(model, folder):
    from fsrcnn_rt import Upscaler
    from fsrcnn_rt.pictures import batch
    from fsrcnn_rt.pictures.batch import Job

    picture(folder / "a.png", size=(700, 600))
    job = Job(folder / "a.png", {2: folder / "b.png"})
    told = []
    outcomes = batch.run(
        [job],
        Upscaler(model, threads=2),
        batch.Workers(1, 2, 2),
        WriteOptions(),
        progress=lambda job, part: told.append(part),
    )
    assert next(outcomes).error is None
    assert told == sorted(told)
    assert len(set(told)) >= 4
    assert 0 < told[0] < told[-1] == 1


@pytest.mark.parametrize("name", ["png", "webp", "avif", "jpg"])
def test_an_interruption_ends_it_while_a_file_is_encoded(model_file, folder, name):
    """The encoder is at work for many seconds, in C: neither it nor its thread is waited for."""
    if name not in ("png", "jpg"):
        Image.init()
        if f".{name}" not in Image.EXTENSION:
            pytest.skip(f"this Pillow writes no {name}")
    side = 3000 if name == "png" else 1500  # our own encoder is quick
    samples = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(samples).save("a.png", compress_level=0)
    options = ["-s", "4", "-f", name, "--effort", "9", "--json"]
    with subprocess.Popen(
        command(model_file, "a.png", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while len(names(folder)) == 1 and process.poll() is None:
            time.sleep(0.005)
        assert any(file.startswith(".a_x4") for file in names(folder))
        process.send_signal(signal.SIGINT)
        out, error = process.communicate()
    assert process.returncode == 130
    assert error == "fsrcnn-rt: interrupted\n"
    assert json.loads(out.splitlines()[-1])["done"] == 0
    assert names(folder) == ["a.png"]


def test_no_temporary_is_begun_while_a_process_ends(folder):
    code = """
import threading, os, time
from pathlib import Path
from fsrcnn_rt.files import atomic_write, discard_temporaries
def write():
    while True:
        with atomic_write(Path("a")) as file: file.write(bytes(100000))
for _ in range(4): threading.Thread(target=write, daemon=True).start()
time.sleep(0.1)
discard_temporaries()
time.sleep(0.1)
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
    assert names(folder) == ["a"]
