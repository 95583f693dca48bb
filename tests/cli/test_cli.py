"""The command line, mostly called in this process."""

import io
import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace

import fsrcnn_rt
import numpy as np
import pytest
from folders import names, picture
from fsrcnn_rt import cli, plan
from fsrcnn_rt.cli import upscale
from fsrcnn_rt.cli.commands import COMMANDS
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.errors import UsageError
from fsrcnn_rt.model import save_model
from PIL import Image, ImageCms

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def run(model_file, capsys):
    """Call the command with the small model; gives the exit code and the lines on stderr."""

    def call(*arguments):
        code = cli.main(["-m", str(model_file), *map(str, arguments)])
        return code, capsys.readouterr().err.splitlines()

    return call


def test_a_picture_gets_a_larger_one_beside_it(run, folder, model):
    image = picture("photo.png")
    assert run("photo.png") == (0, [])
    assert names(folder) == ["photo.png", "photo_x3.png"]
    with Image.open("photo_x3.png") as result:
        assert (result.format, result.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(result), np.asarray(Upscaler(model).upscale(image)))


def test_the_default_model(folder):
    picture("photo.png")
    assert cli.main(["photo.png"]) == 0
    assert names(folder) == ["photo.png", "photo_x3.png"]


def test_several_scales_and_inputs_into_a_new_folder(run, folder):
    picture("a.png")
    picture("b.jpg")
    assert run("a.png", "b.jpg", "-s", "2,4", "-o", "out/large") == (0, [])
    assert names(folder / "out" / "large") == ["a_x2.png", "a_x4.png", "b_x2.jpg", "b_x4.jpg"]
    with Image.open("out/large/b_x4.jpg") as result:
        assert (result.format, result.size) == ("JPEG", (48, 36))


def test_what_follows_two_dashes_is_input(run, folder):
    for name in ("-dash.png", "-ovictim.png", "c.png"):
        picture(folder / name)
    (folder / "victim.png").write_bytes(b"precious")
    assert run("c.png", "-s", "2", "-o", "large", "--", "-ovictim.png", "-dash.png") == (0, [])
    assert names(folder / "large") == ["-dash_x2.png", "-ovictim_x2.png", "c_x2.png"]
    assert cli.main(["--", "-dash.png"]) == 0
    assert (folder / "victim.png").read_bytes() == b"precious"
    assert "-dash_x3.png" in names(folder)
    assert run("-f", "png", "--", "--", "--quiet", "-f") == (
        1,
        [f"fsrcnn-rt: {name}: cannot be read: No such file or directory" for name in ("--", "--quiet", "-f")],
    )


def test_what_follows_two_dashes_is_input_of_every_command(folder, model_file, capsys):
    """None takes it for an option, and each tells what it makes of the file."""
    y4m = b"YUV4MPEG2 W8 H6 F25:1\nFRAME\n" + bytes(8 * 6 * 3 // 2)
    picture(folder / "-v.png")
    (folder / "-v.y4m").write_bytes(y4m)
    (folder / "-v.safetensors").write_bytes(model_file.read_bytes())
    (folder / "-v").mkdir()
    for arguments, code, told in (
        (["-o", "1.y4m", "--", "-v.y4m"], 0, ""),
        (["video", "-o", "2.y4m", "--", "-v.y4m"], 0, ""),
        (["compare", "-o", "1.html", "--", "-v.png"], 0, "1.html: 1 picture"),
        (["eval", "--", "-v"], 2, "-v"),
        (["info", "--json", "--", "-v.safetensors"], 0, '"family": "FSRCNN"'),
        (["convert", "-o", "x.safetensors", "--", "-v.png"], 2, "-v.png: '.png' is none of"),
        (["completion", "--", "-v"], 2, "'-v'"),
    ):
        assert cli.main(arguments) == code, arguments
        captured = capsys.readouterr()
        assert told in captured.out + captured.err


def test_output_file(run, folder):
    picture("a.png")
    assert run("a.png", "-o", "large.tiff") == (0, [])
    assert names(folder) == ["a.png", "large.tiff"]


def test_options_between_the_inputs(run, folder):
    picture("a.png")
    picture("b.png")
    assert run("a.png", "-s", "2", "b.png") == (0, [])
    assert names(folder) == ["a.png", "a_x2.png", "b.png", "b_x2.png"]


def test_one_output_into_a_folder(run, folder):
    picture("a.png")
    (folder / "there").mkdir()
    assert run("a.png", "-o", "there") == (0, [])
    assert run("a.png", "-o", "new/") == (0, [])
    assert names(folder) == ["a.png", "new/a_x3.png", "there/a_x3.png"]


def test_the_words_of_the_ncnn_tools(model_file, folder, capsys):
    picture("a.png")
    code = cli.main(
        ["-i", "a.png", "-o", "b.webp", "-s", "2", "-n", str(model_file), "-f", "webp", "-j", "1:3:2", "-v"]
    )
    assert code == 0
    assert capsys.readouterr().err.startswith("a.png -> b.webp (")
    with Image.open("b.webp") as result:
        assert (result.format, result.size) == ("WEBP", (24, 18))


@pytest.mark.parametrize("option", ["-t", "-g", "-x"])
def test_words_of_the_ncnn_tools_without_a_meaning_here(run, option):
    code, lines = run(option, "4", "a.png")
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"fsrcnn-rt: {option} is not supported: ")


def test_of_load_proc_save_proc_is_the_threads(run):
    assert run("a.png", "-j", "1:0:1") == (2, ["fsrcnn-rt: threads=0 is not between 1 and 1024"])


def test_names_of_any_alphabet(run, folder):
    picture("größe 写真 🐈.png")
    assert run("größe 写真 🐈.png") == (0, [])
    assert "größe 写真 🐈_x3.png" in names(folder)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("quality", ["1", "100"]),
        ("effort", ["0", "10"]),
        ("max-pixels", ["1"]),
        ("dpi", ["1", "65535"]),
        ("threads", ["1:1:1"]),
    ],
)
def test_ends_of_ranges(option, values):
    for value in values:
        assert upscale.parser().parse_args(["a.png", f"--{option}", value])


def test_a_format_that_is_not_written_cannot_be_piped(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    assert plan.Kind().piped("", tmp_path / "a.png") == "PNG"
    (tmp_path / "a.psd").write_bytes(b"8BPS\0\1" + bytes(7) + b"\1\0\0\0\1\0\0\0\1\0\x08\0\1" + bytes(15))
    with pytest.raises(UsageError, match="-: is PSD, which cannot be written"):
        plan.Kind().piped("", tmp_path / "a.psd")


def test_jpeg_quality(run, folder):
    picture("a.jpg", quality=30)
    assert run("a.jpg") == (0, [])
    with io.BytesIO() as file, Image.open("a_x3.jpg") as result:
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=95)
        with Image.open(file) as expected:
            assert result.quantization == expected.quantization
        assert [component[1:3] for component in result.layer] == [(1, 1)] * 3  # no chroma subsampling


def test_orientation_is_applied_and_metadata_carried_over(run):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # to be turned by 90 degrees
    picture("a.jpg", size=(12, 9), exif=exif, icc_profile=profile)
    assert run("a.jpg") == (0, [])
    with Image.open("a_x3.jpg") as result:
        assert result.size == (27, 36)
        assert result.info["icc_profile"] == profile
        assert result.getexif()[0x010F] == "a camera"
        assert 0x0112 not in result.getexif()


def test_alpha_is_kept(run):
    picture("a.png", "RGBA")
    assert run("a.png") == (0, [])
    with Image.open("a_x3.png") as result:
        assert result.mode == "RGBA"


def test_sixteen_bit_grey_stays(run):
    Image.fromarray(np.full((5, 6), 30000, np.uint16)).save("a.png")
    assert run("a.png") == (0, [])
    with Image.open("a_x3.png") as result:
        assert np.asarray(result).dtype.itemsize >= 2
        assert np.asarray(result).max() > 255


def test_large_pictures_are_no_attack(run, monkeypatch):
    picture("a.png", size=(60, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run("a.png") == (0, [])
    assert Image.MAX_IMAGE_PIXELS == 1000


def damaged(folder):
    picture("a.png", size=(50, 40))
    data = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(data[: len(data) // 2])


def existing(folder):
    picture("a.png")
    (folder / "a_x3.png").write_bytes(b"precious")


def broken_model(folder):
    picture("a.png")
    (folder / "model.safetensors").write_bytes(b"damaged")


def not_an_image(folder):
    (folder / "a.png").write_text("text")


def good(folder):
    picture("a.png")


def linked(folder):
    picture("a.png")
    (folder / "a_x3.png").symlink_to("nowhere")


def pipe(folder):
    picture("a.png")
    os.mkfifo("a_x3.png")


def read_only(folder):
    picture("a.png")
    (folder / "file").write_text("text")


# What is in the folder, the arguments, the exit code, and how the one line on stderr begins.
FAULTS = {
    "no file": (lambda folder: None, ["a.png"], 1, "a.png: cannot be read: No such file or directory"),
    "not an image": (not_an_image, ["a.png"], 1, "a.png: is not a picture in a format that Pillow reads"),
    "truncated": (damaged, ["a.png"], 1, "a.png: cannot be read: "),
    "scale 0": (good, ["a.png", "-s", "0"], 2, "scale=0 is not above 1 and up to 16"),
    "scale twice": (good, ["a.png", "-s", "2,2"], 2, "scale=[2, 2] is empty or names a scale twice"),
    "no scale": (good, ["a.png", "-s", "big"], 2, "scale='big' is not a number"),
    "unknown model": (good, ["a.png", "-m", "nope"], 2, "model='nope' is neither a shipped model"),
    "no model file": (good, ["a.png", "-m", "./nope"], 2, "nope: No such model file"),
    "corrupt model": (
        broken_model,
        ["a.png", "-m", "model.safetensors"],
        2,
        "model.safetensors: is not a safet",
    ),
    "zero threads": (good, ["a.png", "--threads", "0"], 2, "threads=0 is not between 1 and 1024"),
    "no threads": (
        good,
        ["a.png", "--threads", "many"],
        2,
        "argument -j/--threads: 'many' is not an integer",
    ),
    "unknown isa": (good, ["a.png", "--isa", "mmx"], 2, "isa='mmx' is not available on this processor"),
    "output folder missing": (good, ["a.png", "-o", "no/x.png"], 2, "no/x.png: the folder no does not exist"),
    "output in a file": (
        good,
        ["a.png", "-o", "a.png/x.png"],
        2,
        "a.png/x.png: the folder a.png does not exist",
    ),
    "output unwritable": (good, ["a.png", "-o", "/proc/x.png"], 1, "a.png: /proc/x.png cannot be written: "),
    "output exists": (
        existing,
        ["a.png"],
        2,
        "a_x3.png: exists already (see --overwrite and --skip-existing)",
    ),
    "output is a link to nothing": (linked, ["a.png"], 2, "a_x3.png: exists already (see --overwrite"),
    "output is a pipe": (pipe, ["a.png", "--overwrite"], 2, "a_x3.png: exists already, and is a pipe or a"),
    "output has a long name": (good, ["a.png", "-o", "n" * 300 + ".png"], 2, "n" * 300 + ".png: "),
    "outputs have long names": (good, ["a.png", "--suffix", "n" * 300], 2, "a" + "n" * 300 + ".png: "),
    "output in a long folder": (good, ["a.png", "-o", "n" * 300 + "/"], 2, "n" * 300),
    "output in too many folders": (good, ["a.png", "-o", "n/" * 3000], 2, "n/n/n/"),
    "output folder in a file": (
        read_only,
        ["a.png", "-o", "file/new/"],
        2,
        "file/new: cannot be made: Not a directory",
    ),
    "input has a long name": (good, ["n" * 300], 2, "n" * 300),
    "output is a folder": (
        good,
        ["a.png", "b.png", "-o", "a.png"],
        2,
        "a.png: is a file, and several outputs",
    ),
    "output is the input": (
        good,
        ["a.png", "-o", "./a.png", "--overwrite"],
        2,
        "a.png: is an input, and would be",
    ),
    "unknown format": (good, ["a.png", "-f", "xyz"], 2, "a_x3.xyz: '.xyz' is not an image format"),
    "no extension": (good, ["a.png", "-o", "b"], 2, "b: 'no suffix' is not an image format"),
    "one output of two inputs": (
        good,
        ["a.png", "./a.png"],
        2,
        "a_x3.png: is the output of both a.png and a.png",
    ),
    "folder without pictures": (
        lambda folder: (folder / "text.txt").write_text("text"),
        ["."],
        2,
        ".: has no pictures in it (-r looks into the folders in it)",
    ),
    "pattern without pictures": (good, ["*.jpg"], 2, "*.jpg: no picture matches it"),
    "quality 0": (good, ["a.png", "--quality", "0"], 2, "argument --quality: '0' is not 1 to 100"),
    "no quality": (good, ["a.png", "--quality", "best"], 2, "argument --quality: 'best' is not 1 to 100"),
    "quality 101": (good, ["a.png", "--quality", "101"], 2, "argument --quality: '101' is not 1 to 100"),
    "effort 11": (good, ["a.png", "--effort", "11"], 2, "argument --effort: '11' is not 0 to 10"),
    "no pixels": (good, ["a.png", "--max-pixels", "0"], 2, "argument --max-pixels: '0' is not a number of"),
    "dots 0.9": (good, ["a.png", "--dpi", "0.9"], 2, "argument --dpi: '0.9' is not 1 to 65535"),
    "dots 65536": (good, ["a.png", "--dpi", "65536"], 2, "argument --dpi: '65536' is not 1 to 65535"),
    "no loader": (good, ["a.png", "-j", "0:1:1"], 2, "argument -j/--threads: '0:1:1' is not load:proc:save"),
    "no saver": (good, ["a.png", "-j", "1:1:0"], 2, "argument -j/--threads: '1:1:0' is not load:proc:save"),
    "two of three": (good, ["a.png", "-j", "1:1"], 2, "argument -j/--threads: '1:1' is not load:proc:save"),
    "two answers": (good, ["a.png", "--overwrite", "--skip-existing"], 2, "--overwrite and --skip-existing"),
    "suffix with a folder": (good, ["a.png", "--suffix", "/x"], 2, "suffix='/x' has a '/' in it"),
    "no suffix": (good, ["a.png", "--suffix", ""], 2, "a.png: is an input, and would be overwritten"),
    "one suffix of two scales": (
        good,
        ["a.png", "-s", "2,3", "--suffix", "_big"],
        2,
        "a_big.png: is the output of two scales (put {scale} into --suffix)",
    ),
    "no input": (good, [], 2, "no input"),
    "unknown option": (good, ["a.png", "--fast"], 2, "unrecognized arguments: --fast"),
    "subcommand later": (good, ["a.png", "bench"], 2, "bench is a subcommand, which comes first"),
}


@pytest.mark.parametrize(("prepare", "arguments", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_bad_input_is_one_line_and_nothing_written(run, folder, prepare, arguments, code, message):
    prepare(folder)
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    result, lines = run(*arguments)
    assert (result, len(lines)) == (code, 1)
    assert lines[0].startswith(f"fsrcnn-rt: {message}")
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


@pytest.mark.parametrize(
    ("word", "meant"), [("comapre", "compare"), ("Bench", "bench"), ("evla", "eval"), ("expotr", "export")]
)
@pytest.mark.parametrize("others", [[], ["a.png", "-o", "x.html", "--downscale"], ["a.mp4"]], ids=len)
def test_a_misspelt_command_is_told(folder, capsys, word, meant, others):
    told = f"fsrcnn-rt: {word}: is neither a file nor a command (did you mean {meant}?)\n"
    assert cli.main([word, *others]) == 2
    assert capsys.readouterr().err == told


def test_what_is_no_misspelt_command(run, folder):
    picture("a.png")
    for name in ("bensh", "photographs"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "a.png").rename("bensh/a.png")
    assert run("bensh")[0] == 0
    (folder / "photographs").rmdir()
    code, lines = run("photographs")
    assert (code, "did you mean" in lines[0]) == (2, False)


def test_every_command_has_a_line_of_help(capsys):
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in COMMANDS.items():
        assert f"  {name:<12} {command.help}" in lines


def test_alpha_that_the_format_cannot_hold_is_not_dropped(run, folder):
    picture("a.png", "RGBA")
    code, lines = run("a.png", "-f", "jpg")
    assert (code, len(lines)) == (1, 1)
    assert lines[0] == (
        "fsrcnn-rt: a.png: cannot write mode RGBA as JPEG, which has no alpha (-f png, webp or tiff has it)"
    )
    assert names(folder) == ["a.png"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_link_to_nothing_is_replaced_or_kept_as_a_file_is(run, folder, overwrite):
    linked(folder)
    assert run("a.png", "--overwrite" if overwrite else "--skip-existing") == (0, [])
    assert (folder / "a_x3.png").is_symlink() != overwrite
    assert not (folder / "nowhere").exists()


def test_a_pipe_among_the_pictures(run, folder):
    """It would be waited for, until somebody writes to it."""
    picture("b.png")
    os.mkfifo("a.png")
    code, lines = run(".")
    assert (code, lines[0]) == (1, "fsrcnn-rt: a.png: Not a regular file")
    assert (folder / "b_x3.png").is_file()


ODD = "a\x1b[2J\n\r\x07\x9b\u202egnp\u2028\u200b é写真🐈\u200d🐈\u3000"
QUOTED = r"a\x1b[2J\n\r\x07\x9b\u202egnp\u2028\u200b é写真🐈" + "\u200d🐈\u3000"


def test_names_do_nothing_to_the_terminal(run, folder, capsys):
    lone, lone_quoted = os.fsdecode(b"\xff"), r"\udcff"
    for name in (ODD, lone):
        picture(folder / "a.png")
        (folder / "a.png").rename(f"{name}.png")
        (folder / f"{name}.jpg").write_text("no picture")
    code, lines = run(".", "-v", "-r", "-o", f"{ODD}/")
    assert code == 1
    assert sorted(line.split(" (")[0] for line in lines[:-1]) == sorted(
        text
        for name in (QUOTED, lone_quoted)
        for text in (
            f"fsrcnn-rt: {name}.jpg: is not a picture in a format that Pillow reads",
            f"{name}.png -> {QUOTED}/{name}_x3.png",
        )
    )
    for arguments in (
        [f"{ODD}.xyz", "-o", "x.xyz"],
        ["a.png", "-s", ODD],
        [f"--{ODD}"],
        ["info", f"./{ODD}"],
    ):
        assert cli.main(arguments) == 2
        (line,) = capsys.readouterr().err.split("\n")[:-1]
        assert "\x1b" not in line and "\u202e" not in line and "\x9b" not in line


def test_what_a_model_says_does_nothing_to_the_terminal(model, folder, capsys):
    made = {"converted_from": f"{ODD}.pth", "data": [ODD], "figures": {ODD: {ODD: 1}}}
    save_model(replace(model, name="odd", provenance=made), "odd.safetensors")
    assert cli.main(["info", "./odd.safetensors"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert f"provenance  trained on {QUOTED}" in lines
    assert not any(character in "".join(lines) for character in "\x1b\r\x07\x9b\u202e\u2028")
    assert cli.main(["info", "./odd.safetensors", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii() and json.loads(out)["provenance"] == made


def test_the_other_inputs_are_done(run, folder):
    picture("a.png")
    picture("c.png")
    code, lines = run("a.png", "b.png", "c.png")
    assert code == 1
    assert lines == ["fsrcnn-rt: b.png: cannot be read: No such file or directory"]
    assert names(folder) == ["a.png", "a_x3.png", "c.png", "c_x3.png"]


def test_clashes_are_found_before_any_work(run, folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        picture(f"{name}/photo.png")
    picture("first.png")
    code, lines = run("first.png", "a/photo.png", "b/photo.png", "-o", "out")
    assert code == 2
    assert lines == ["fsrcnn-rt: out/photo_x3.png: is the output of both a/photo.png and b/photo.png"]
    assert not (folder / "out").exists()


def test_clashes_where_case_is_ignored(run, folder, monkeypatch):
    for name in ("a/Photo", "b/photo"):
        (folder / name).parent.mkdir()
        picture(f"{name}.png")
    assert run("a/Photo.png", "b/photo.png", "-o", "out") == (0, [])
    monkeypatch.setattr(plan, "_ignores_case", lambda folder: True)
    code, lines = run("a/Photo.png", "b/photo.png", "-o", "new")
    assert code == 2
    assert lines == ["fsrcnn-rt: new/photo_x3.png: is the output of both a/Photo.png and b/photo.png"]
    code, lines = run("a/Photo.png", "-o", "a/PHOTO.png", "--overwrite")
    assert code == 2
    assert lines == ["fsrcnn-rt: a/PHOTO.png: is an input, and would be overwritten"]


def test_both_separators_of_windows_end_the_name_of_a_folder(run, folder, monkeypatch):
    monkeypatch.setattr(plan, "_SEPARATORS", ("/", "\\"))
    picture("a.png")
    assert run("a.png", "-o", "new\\") == (0, [])
    assert names(folder / "new\\") == ["a_x3.png"]
    assert run("a.png", "--suffix", "\\x")[0] == 2


def test_overwrite(run, folder):
    existing(folder)
    assert run("a.png", "--overwrite") == (0, [])
    with Image.open("a_x3.png") as result:
        assert result.size == (36, 27)


def test_a_failing_write_leaves_what_was_there(run, folder, monkeypatch):
    existing(folder)

    def save(image, file, *_, **__):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    assert run("a.png", "--overwrite") == (
        1,
        ["fsrcnn-rt: a.png: a_x3.png cannot be written: No space left on device"],
    )
    assert names(folder) == ["a.png", "a_x3.png"]
    assert (folder / "a_x3.png").read_bytes() == b"precious"


def test_interrupted(run, folder, monkeypatch):
    picture("a.png")

    def save(image, file, *_, **__):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", save)
    assert run("a.png") == (130, ["fsrcnn-rt: interrupted"])
    assert names(folder) == ["a.png"]


def test_outputs_have_ordinary_permissions(run, folder):
    picture("a.png")
    mask = os.umask(0o027)
    try:
        run("a.png")
    finally:
        os.umask(mask)
    assert (folder / "a_x3.png").stat().st_mode & 0o777 == 0o640


def test_a_picture_loads_little(model_file, folder):
    """What takes long to load and is not needed for a common picture: it would be half of the time."""
    picture("a.jpg")
    code = "import sys; from fsrcnn_rt import cli; cli.main(sys.argv[1:]); print(*sys.modules)"
    command = [sys.executable, "-c", code, "-m", str(model_file), "a.jpg", "-f", "png"]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert {"fsrcnn_rt.pictures.batch", "PIL.PngImagePlugin"} <= loaded
    assert not {"tqdm", "statistics", "secrets", "fsrcnn_rt.evaluation.speed", "PIL.WebPImagePlugin"} & loaded
    assert names(folder) == ["a.jpg", "a_x3.png"]


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"fsrcnn-rt {fsrcnn_rt.__version__}\n"


def test_a_file_named_as_a_subcommand(run, folder):
    picture("bench.png")
    (folder / "bench.png").rename("bench")
    assert run("./bench", "-o", "out.png") == (0, [])


@pytest.mark.parametrize("name", ["bench", "compare", "info", "eval", "train", "convert", "export", "video"])
def test_subcommands_have_their_own_help(name, capsys):
    if name == "train":
        pytest.importorskip("torch", reason="training needs PyTorch")
    assert cli.main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: fsrcnn-rt {name} ")


def test_bench(model_file, capsys):
    arguments = ["bench", "-m", str(model_file), "--input-size", "16x8", "-j", "1", "--seconds", "0.01"]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].split()[:5] == ["random", "int16", "1", "16x8", "48x24"]
    assert cli.main([*arguments, "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["model"], report["input_size"], report["threads"]) == ("random", [16, 8], 1)
    assert report["fma_peak"] > 0
    assert report["precision"] == "int16"
    assert cli.main([*arguments, "--precision", "float32"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[1] == "float32"
    assert cli.main([*arguments, "--threads", "0"]) == 2
    assert capsys.readouterr().err == "fsrcnn-rt: bench: threads=0 is not between 1 and 1024\n"


def test_the_whole_command(model_file, folder):
    picture("a.png")
    command = [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), "a.png", "b.png"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert (result.stdout, result.stderr) == (
        "",
        "fsrcnn-rt: b.png: cannot be read: No such file or directory\n",
    )
    assert names(folder) == ["a.png", "a_x3.png"]
