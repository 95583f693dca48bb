"""Which weights a picture gets, who chooses, and that all of a file gets the same."""

import copy
import io
import json
import pickle
import threading

import drawn
import fsrcnn_rt
import numpy as np
import pytest
from fsrcnn_rt import ModelError, Upscaler, cli, pictures, upscale
from fsrcnn_rt.engine.variants import (
    Choice,
    Weights,
    as_h264_qp,
    jpeg_denoise_level,
    jpeg_quality,
    loss_of,
    video_denoise_level,
)
from fsrcnn_rt.model import save_model
from numpy.testing import assert_array_equal
from PIL import Image
from test_docs import DOCS, blocks, table

RNG = np.random.default_rng(0)
PHOTO = drawn.picture(RNG, (64, 48))
PAGE = drawn.bitmap_text(RNG, (64, 48))


def jpeg(image=PHOTO, **options):
    """A picture as Pillow opens it from a file."""
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    file.seek(0)
    return Image.open(file)


# What is asked for, of which picture -> weights, and why.
CHOSEN = [
    ({}, PHOTO, "fsrcnn", ""),
    ({}, PAGE, "fsrcnn", ""),
    ({}, jpeg(quality=30), "fsrcnn", ""),
    ({"content": "graphics"}, PHOTO, "fsrcnn-graphics", ""),
    ({"denoise": 2}, PAGE, "fsrcnn-denoise2", ""),
    ({"content": "graphics", "denoise": 1}, PAGE, "fsrcnn-denoise1", ""),
    ({"content": "auto"}, PHOTO, "fsrcnn", "photograph"),
    ({"content": "auto"}, PAGE, "fsrcnn-graphics", "graphics"),
    ({"content": "auto"}, jpeg(quality=30), "fsrcnn", "photograph"),
    ({"content": "auto", "denoise": 3}, PAGE, "fsrcnn-denoise3", ""),
    ({"denoise": "auto"}, PAGE, "fsrcnn", ""),
    ({"denoise": "auto"}, jpeg(quality=62), "fsrcnn-denoise2", "JPEG quality about 62"),
    ({"content": "graphics", "denoise": "auto"}, PHOTO, "fsrcnn-graphics", ""),
    (
        {"content": "graphics", "denoise": "auto"},
        jpeg(quality=90),
        "fsrcnn-denoise1",
        "JPEG quality about 90",
    ),
    ({"content": "auto", "denoise": "auto"}, PAGE, "fsrcnn-graphics", "graphics"),
    ({"content": "auto", "denoise": "auto"}, jpeg(quality=30), "fsrcnn-denoise3", "JPEG quality about 30"),
    (
        {"content": "auto", "denoise": "auto"},
        jpeg(PAGE, quality=97, subsampling=0),
        "fsrcnn-graphics",
        "graphics, JPEG quality about 97",
    ),
]


@pytest.mark.parametrize(("asked", "image", "name", "reason"), CHOSEN)
def test_what_is_chosen(variants, asked, image, name, reason):
    upscaler = Upscaler(**asked, threads=1)
    chosen = upscaler.choose(image)
    content = "graphics" if name.endswith("graphics") else "photo"
    level = int(name[-1]) if name[-1].isdecimal() else 0
    assert chosen.weights == Weights(name, content, level, reason)
    assert str(chosen.weights) == (f"{name} ({reason})" if reason else name)
    assert chosen.model.name == name
    assert chosen.choose(PAGE) is chosen
    settled = {"auto"}.isdisjoint(asked.values()) or asked.get("denoise") in (1, 2, 3)
    assert (upscaler.weights is None) != settled
    expected = upscale(image, 2, model=variants[name])
    assert_array_equal(upscaler.upscale(image, 2), expected)
    assert_array_equal(upscale(image, 2, **asked), expected)


def test_arrays_have_no_tables(variants):
    array = np.asarray(jpeg(quality=30))
    engine = Upscaler(content="auto", denoise="auto")
    assert engine.choose(array).weights == Weights("fsrcnn", "photo", 0, "photograph")
    page = np.asarray(PAGE)
    results = {scale: np.empty((48 * scale, 64 * scale, 3), np.uint8) for scale in (2, 3)}
    assert engine.upscale(page, (2, 3), out=results)[2] is results[2]
    expected = upscale(page, (2, 3), model=variants["fsrcnn-graphics"])
    for scale in (2, 3):
        assert_array_equal(results[scale], expected[scale])
    large = engine.upscale(page[..., ::-1], size=(100, 75), channel_order="bgr")
    assert_array_equal(
        large,
        upscale(page[..., ::-1], size=(100, 75), channel_order="bgr", model=variants["fsrcnn-graphics"]),
    )


def test_planes(variants):
    engine = Upscaler(content="auto", denoise="auto", threads=1)
    for image, name in ((PHOTO, "fsrcnn"), (PAGE, "fsrcnn-graphics")):
        luma = np.asarray(image.convert("L"))
        expected = Upscaler(variants[name], threads=1)
        assert_array_equal(engine.upscale_planes([luma], 2)[0], expected.upscale_planes([luma], 2)[0])
        deep = luma.astype(np.uint16) << 2
        large = engine.upscale_planes([deep], 1.5, bits=10)[0]
        assert_array_equal(large, expected.upscale_planes([deep], 1.5, bits=10)[0])


def test_map_chooses_for_each_frame(variants):
    engine = Upscaler(content="auto", threads=2)
    results = list(engine.map([PHOTO, PAGE, PHOTO], 2))
    for image, large, name in zip(
        (PHOTO, PAGE, PHOTO), results, ("fsrcnn", "fsrcnn-graphics", "fsrcnn"), strict=True
    ):
        assert_array_equal(large, upscale(image, 2, model=variants[name]))


def test_copies_have_lost_the_tables():
    image = jpeg(quality=30)
    assert loss_of(image).level == 3
    for other in (
        image.copy(),
        image.convert("L"),
        image.resize((9, 9)),
        image.rotate(90),
        np.asarray(image),
    ):
        assert loss_of(other) == (0, "")


@pytest.mark.parametrize("suffix", ["webp", "avif", "png", "gif", "tiff"])
def test_of_other_files_nothing_is_known(folder, suffix):
    if suffix not in {extension[1:] for extension in Image.registered_extensions()}:
        pytest.skip(f"this Pillow has no {suffix}")
    PHOTO.save(f"a.{suffix}", quality=30)
    with Image.open(f"a.{suffix}") as image:
        assert loss_of(image) == (0, "")


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_file_keeps_its_tables_when_it_is_turned(folder, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    PHOTO.save("a.jpg", quality=62, exif=exif)
    assert loss_of(pictures.read(folder / "a.jpg").frames[0]) == (2, "JPEG quality about 62")
    stripped = pictures.read(folder / "a.jpg", strip_metadata=True)
    assert loss_of(stripped.frames[0]).level == 2


def test_quality_of_libjpeg():
    for quality in range(5, 98):
        estimated = jpeg_quality(jpeg(quality=quality).quantization)
        # Below 25 steps are cut to 255.
        assert estimated == pytest.approx(quality, abs=1 if quality >= 25 else 4)
    grey = jpeg(PHOTO.convert("L"), quality=75)
    assert set(grey.quantization) == {0}
    assert jpeg_quality(grey.quantization) == pytest.approx(75, abs=1)
    assert jpeg_quality({1: [1] * 64}) == pytest.approx(98.5, abs=0.1)
    assert jpeg_quality({0: [65535] * 64}) > 0


# Other tables that Pillow has: those of Photoshop, from bad to good.
SERIES = [("web_low", "web_medium", "web_high", "web_very_high"), ("low", "medium", "high", "maximum")]


@pytest.mark.parametrize("names", SERIES)
def test_quality_of_other_tables(data_folder, names):
    """What they lose of photographs is about what libjpeg loses at the quality that is estimated."""
    images = []
    for path in sorted((data_folder / "DIV2K-crops").iterdir())[:6]:
        with Image.open(path) as image:
            images.append(image.convert("L"))

    def error(quality):
        return np.mean([np.square(np.float64(jpeg(image, quality=quality)) - image) for image in images])

    estimates = [jpeg_quality(jpeg(quality=name).quantization) for name in names]
    assert estimates == sorted(estimates)
    for name, estimate in zip(names, estimates, strict=True):
        assert error(min(100, round(estimate) + 10)) <= error(name) < error(round(estimate) - 10)


def test_levels_of_quality_and_quantiser():
    """As the page for users has them."""
    rows = table("which-weights.md", "level | JPEG quality | quantiser of H.264")
    for level, qualities, quantisers in rows:
        limits = [int(word) for word in qualities.split() if word.isdecimal()]
        first, last = {"from": (limits[0], 100), "below": (5, limits[0] - 1)}.get(
            qualities.split()[0], (limits[0], limits[-1])
        )
        for quality in {first, (first + last) // 2, last}:
            assert jpeg_denoise_level(jpeg(quality=quality).quantization) == int(level), quality
        limits = [int(word) for word in quantisers.split() if word.isdecimal()]
        first, last = {"from": (limits[0], 51), "below": (0, limits[0])}.get(
            quantisers.split()[0], (limits[0], limits[-1])
        )
        assert video_denoise_level(first) == video_denoise_level(last - 0.01) == int(level)


def test_quantisers_of_other_codecs():
    assert as_h264_qp("H264", 28, 8) == as_h264_qp("H264", 40, 10) == 28
    assert as_h264_qp("MPEG2", 8, 8) == pytest.approx(26.4)
    assert as_h264_qp("MPEG2", 0, 8) == pytest.approx(8.4)
    assert as_h264_qp("VP9", 144, 8) == pytest.approx(26.1, abs=0.1)
    assert as_h264_qp("NONE", 20, 8) is None


@pytest.mark.parametrize("name", ["content", "denoise"])
@pytest.mark.parametrize("value", ["foto", 4, -1, True, None, 1.0, [], "1"])
def test_words_that_are_none(name, value):
    known = {"content": "photo, graphics, auto", "denoise": "0, 1, 2, 3, auto"}[name]
    for call in (Upscaler, lambda **options: upscale(np.zeros((4, 4)), **options)):
        with pytest.raises(ValueError) as error:
            call(**{name: value})
        assert str(error.value) == f"{name}={value!r} is none of {known}"


def test_another_model_is_used_as_it_is(model, model_file):
    for source in (model, model_file, str(model_file), "fsrcnn-s-graphics"):
        for accepted in ({"content": "auto", "denoise": "auto"}, {"content": "photo", "denoise": 0}, {}):
            assert Choice(source, **accepted).settled is None
        for key, value in (("content", "graphics"), ("denoise", 1)):
            with pytest.raises(
                ValueError, match=f"^{key}={value!r} chooses among the weights of fsrcnn or fsrcnn-s, "
            ):
                Upscaler(source, **{key: value})
    engine = Upscaler(model, content="auto", denoise="auto")
    assert engine.weights == Weights("random")
    assert engine.choose(PAGE) is engine
    assert_array_equal(upscale(PAGE, 2, model=model, content="auto"), engine.upscale(PAGE, 2))


def test_weights_that_are_missing(variants, tmp_path):
    weights = tmp_path / "package" / "weights"
    fsrcnn_rt.__path__[:] = fsrcnn_rt.__path__[:1]
    for name in ("fsrcnn-graphics", "fsrcnn-denoise2"):
        (weights / f"{name}.safetensors").unlink()
    for asked, name in (({"content": "graphics"}, "fsrcnn-graphics"), ({"denoise": 2}, "fsrcnn-denoise2")):
        with pytest.raises(ModelError, match=rf"^model='{name}' is missing from this installation"):
            Upscaler(**asked)
    engine = Upscaler(content="auto", denoise="auto")
    engine.upscale(PHOTO, 2)
    for call in (engine.choose, engine.upscale):
        with pytest.raises(ModelError, match=r"^model='fsrcnn-graphics' is missing from this installation"):
            call(PAGE)


def test_weights_that_changed_on_disk(variants, tmp_path):
    before = upscale(PHOTO, 2)
    save_model(variants["fsrcnn-denoise1"], tmp_path / "package" / "weights" / "fsrcnn.safetensors")
    assert not np.array_equal(upscale(PHOTO, 2), before)


def test_threads_share_one(variants):
    """Eight threads at once, with weights that none has loaded yet."""
    engine = Upscaler(content="auto", denoise="auto", threads=1)
    images = [PHOTO, PAGE, *(jpeg(quality=quality) for quality in (90, 60, 30))] * 2
    for image in images:
        image.load()
    results = [None] * len(images)
    start = threading.Barrier(len(images))

    def work(i):
        start.wait()
        results[i] = np.asarray(engine.upscale(images[i], 2))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(images))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    names = ["fsrcnn", "fsrcnn-graphics", "fsrcnn-denoise1", "fsrcnn-denoise2", "fsrcnn-denoise3"] * 2
    for image, result, name in zip(images, results, names, strict=True):
        assert_array_equal(result, upscale(image, 2, model=variants[name]))
    assert engine.weights is None


@pytest.mark.parametrize("copied", [copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_choose_as_well(variants, copied):
    engine = copied(Upscaler(content="auto", denoise="auto", threads=1))
    assert (engine.weights, engine.threads) == (None, 1)
    chosen = engine.choose(PAGE)
    assert chosen.weights.name == "fsrcnn-graphics"
    soft = copied(Upscaler(content="auto", strength=0.5, colour="bicubic", guard=False)).choose(PAGE)
    assert (soft.strength, soft.colour, soft.guard) == (0.5, "bicubic", False)
    assert not np.array_equal(soft.upscale(PAGE, 2), chosen.upscale(PAGE, 2))
    other = copied(chosen)
    assert other.weights == chosen.weights
    assert_array_equal(other.upscale(PHOTO, 2), upscale(PHOTO, 2, model=variants["fsrcnn-graphics"]))
    assert copied(engine.with_threads(2)).threads == 2


def test_with_threads(variants):
    engine = Upscaler(content="auto", threads=1)
    other = engine.with_threads(3)
    assert (engine.threads, other.threads, other.isa) == (1, 3, engine.isa)
    assert_array_equal(other.upscale(PAGE, 2), engine.upscale(PAGE, 2))
    assert other.choose(PAGE).model is engine.choose(PAGE).model  # loaded once
    with pytest.raises(ValueError, match="threads=0 "):
        engine.with_threads(0)


@pytest.fixture
def command(variants, folder, capsys):
    """Call the command; gives what it prints, JSON read."""

    def call(*arguments):
        code = cli.main([*map(str, arguments), "-v", "--json"])
        out, err = capsys.readouterr()
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()][:-1], err.splitlines()

    return call


def test_the_command_chooses_and_tells(command):
    PHOTO.save("a.png")
    PAGE.save("b.png")
    PHOTO.save("c.jpg", quality=62)
    told, lines = command("a.png", "b.png", "c.jpg", "-s", "2")
    assert [[line["weights"], line["content"], line["denoise"]] for line in told] == [
        ["fsrcnn", "photo", 0],
        ["fsrcnn-graphics", "graphics", 0],
        ["fsrcnn-denoise2", "photo", 2],
    ]
    endings = [
        "fsrcnn (photograph))",
        "fsrcnn-graphics (graphics))",
        "fsrcnn-denoise2 (JPEG quality about 62))",
    ]
    for line, ending in zip(lines, endings, strict=True):
        assert line.endswith(f" s, weights {ending}")
    with Image.open("c.jpg") as image, Image.open("c_x2.jpg") as large:
        expected = jpeg(upscale(image, 2, denoise=2), quality=95, subsampling=0)
        assert_array_equal(large, expected)


def test_the_command_is_told(command, variants):
    PAGE.save("b.png")
    told, lines = command("b.png", "--content", "photo", "-s", "2")
    assert told[0]["weights"] == "fsrcnn"
    assert lines[0].endswith(" s, weights fsrcnn)")
    told, _ = command("b.png", "--denoise", "3", "-s", "2", "--overwrite")
    assert told[0]["weights"] == "fsrcnn-denoise3"
    with Image.open("b_x2.png") as large:
        assert_array_equal(large, upscale(PAGE, 2, model=variants["fsrcnn-denoise3"]))


def test_many_files(command):
    for number in range(12):
        (PAGE if number % 2 else PHOTO).save(f"{number:02}.png")
    told, _ = command(".", "-s", "2", "-j", "2")
    assert [line["weights"] for line in told] == ["fsrcnn", "fsrcnn-graphics"] * 6


@pytest.mark.parametrize("suffix", ["webp", "tiff"])
def test_one_choice_for_all_frames_and_pages(command, variants, suffix):
    frames = [PAGE.copy(), PHOTO.copy(), PAGE.copy()]  # Pillow leaves a JPEG encoder's options in a picture
    options = {"lossless": True, "duration": 40} if suffix == "webp" else {}
    frames[0].save(f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    told, _ = command(f"a.{suffix}", "-s", "2")
    assert told[0]["weights"] == "fsrcnn-graphics"
    with Image.open(f"a_x2.{suffix}") as large:
        for number, frame in enumerate(frames):
            large.seek(number)
            expected = upscale(frame, 2, model=variants["fsrcnn-graphics"])
            assert_array_equal(np.asarray(large.convert("RGB")), np.asarray(expected))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--content", "foto"], "argument --content: "),
        (["--denoise", "4"], "argument --denoise: "),
        (
            ["-m", "fsrcnn-graphics", "--denoise", "1"],
            "denoise=1 chooses among the weights of fsrcnn or fsrcnn-s, ",
        ),
    ],
)
@pytest.mark.parametrize("source", ["a.png", "a.y4m"])
def test_the_command_refuses(folder, capsys, variants, arguments, message, source):
    (folder / source).touch()
    assert cli.main([source, *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_the_page_for_users(variants, folder, command):
    PHOTO.save("photo.jpg", quality=75)
    (line,) = blocks("which-weights.md", "sh")
    name, *arguments = line.split()
    assert name == "fsrcnn-rt"
    told, _ = command(*arguments)
    assert told[0]["weights"] == "fsrcnn-denoise2"
    names = {"fsrcnn_rt": fsrcnn_rt, "Image": Image}
    for snippet in blocks("which-weights.md", "python"):
        exec(snippet, names)
    with Image.open("photo.jpg") as image:
        assert_array_equal(names["large"], upscale(image, 3, denoise=2))
    assert {row[0].strip("`") for row in table("which-weights.md", "weights | for")} == set(variants)
    assert "576 tiles" in (DOCS / "which-weights.md").read_text()
