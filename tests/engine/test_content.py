"""What is drawn is told from what is photographed: on a labelled set, and where it could go wrong."""

import io
from collections import defaultdict

import drawn
import numpy as np
import pytest
from fsrcnn_rt.engine import content
from fsrcnn_rt.engine.content import flat_or_jumping, is_graphics
from fsrcnn_rt.evaluation.drawings import large_drawings, small_drawings
from PIL import Image
from test_docs import table

# Of the photographs of Set14, one is a slide of a presentation.
NO_PHOTOGRAPHS = ("ppt3",)
SETS = ("Set5", "Set14", "General100", "T91", "BSDS500-train", "DIV2K-crops")

# A dither that was made small is none any more, but for the filter that leaves out pixels.
DITHERS = ("diffused", "ordered", "palette")

STATED = {row[0]: float(row[1].split()[0]) for row in table("which-weights.md", "pictures | taken rightly")}


def share(results):
    return sum(results) / len(results)


def check_rates(results, least):
    """``results``: by row of the page; as stated there, within what another version of Pillow may draw."""
    for name, values in results.items():
        assert 100 * share(values) == pytest.approx(STATED[name], abs=2), name
    assert share([value for values in results.values() for value in values]) >= least


def test_graphics_are_taken_for_graphics():
    rng = np.random.default_rng(0)
    results = defaultdict(list)
    for kind in drawn.KINDS:
        for _ in range(8):
            image = kind(rng, tuple(map(int, rng.integers(120, 640, 2))))
            results["drawn"].append(is_graphics(image))
            for name in drawn.FILTERS:
                if name == "nearest" or kind.__name__ not in DITHERS:
                    small = drawn.smaller(image, int(rng.integers(2, 5)), name)
                    results[f"drawn, made small by {name}"].append(is_graphics(small))
    check_rates(results, 0.95)


def jpeg(image, quality):
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=quality)
        with Image.open(file) as coded:
            return coded.convert("RGB")


def with_bars(image, colour=0):
    """In the middle of a picture with black above and below."""
    framed = Image.new("RGB", (image.width, image.height * 4 // 3), (colour,) * 3)
    framed.paste(image, (0, image.height // 6))
    return framed


def with_noise(image, rng):
    samples = np.asarray(image) + rng.normal(0, rng.choice([2, 5, 8, 15]), (image.height, image.width, 3))
    return Image.fromarray(np.rint(samples).clip(0, 255).astype(np.uint8))


def test_photographs_are_taken_for_photographs(data_folder):
    rng = np.random.default_rng(0)
    results = defaultdict(list)
    paths = [path for name in SETS for path in sorted((data_folder / name).iterdir())]
    for path in paths:
        if path.suffix.lower() not in (".png", ".bmp", ".jpg") or path.stem in NO_PHOTOGRAPHS:
            continue
        with Image.open(path) as image:
            results["photographs"].append(not is_graphics(image))
            image = image.convert("RGB")
        small = drawn.smaller(image, int(rng.integers(2, 5)), str(rng.choice(["area", "bicubic", "lanczos"])))
        quality = int(rng.integers(30, 96))
        for name, changed in (
            ("photographs, made small", small),
            ("photographs, JPEG coded", jpeg(image, quality)),
            ("photographs, made small and JPEG coded", jpeg(small, quality)),
            ("photographs with noise", with_noise(image, rng)),
            ("photographs between black bars", with_bars(image)),
            ("photographs between black bars, JPEG coded", jpeg(with_bars(image), quality)),
        ):
            results[name].append(not is_graphics(changed))
    assert len(results["photographs"]) > 500
    check_rates(results, 0.99)


@pytest.fixture(scope="module")
def scene():
    """What stands for a photograph where there is none: smooth shapes and the noise of a sensor."""
    return drawn.picture(np.random.default_rng(3), (240, 180))


def flat_sky(image, value=255):
    """Over-exposed; one of less than white is even only where JPEG made it so."""
    samples = np.array(image)
    samples[: len(samples) // 2] = value
    return Image.fromarray(samples)


def over_exposed(image):
    return image.point(lambda value: min(255, 2 * value))


@pytest.mark.parametrize(
    "change",
    [
        flat_sky,
        lambda image: jpeg(flat_sky(image, 200), 75),
        over_exposed,
        with_bars,
        lambda image: with_bars(image, 255),
        lambda image: jpeg(image, 30),
        lambda image: drawn.blurred(image, 2),
        lambda image: image.resize((480, 360), Image.Resampling.BICUBIC),
        lambda image: image.resize((60, 45), Image.Resampling.LANCZOS),
        lambda image: image.convert("L"),
    ],
)
def test_a_photograph_stays_one(scene, change):
    assert not is_graphics(scene)
    assert not is_graphics(change(scene))


@pytest.fixture(scope="module")
def page():
    return drawn.smooth_text(np.random.default_rng(1), (200, 150)).convert("RGB")


@pytest.mark.parametrize("picture", ["scene", "page"])
def test_modes_and_dtypes_tell_the_same(picture, request):
    image = request.getfixturevalue(picture)
    array = np.asarray(image)
    expected = flat_or_jumping(image)
    assert is_graphics(image) == (picture == "page")
    deep = array.astype(np.uint16)
    for same in (array, array[:, ::-1], deep * 257, array / 255, (array / 255).astype(np.float32)):
        assert flat_or_jumping(same) == pytest.approx(expected, abs=0.01)
    assert flat_or_jumping(deep << 2, bits=10) == pytest.approx(expected, abs=0.01)
    assert flat_or_jumping(image.convert("RGBA")) == pytest.approx(expected, abs=0.01)
    grey = image.convert("L")
    expected = flat_or_jumping(grey)
    for same in (grey.convert("CMYK"), grey.convert("LA"), Image.fromarray(np.float32(grey) / 255)):
        assert flat_or_jumping(same) == pytest.approx(expected, abs=0.01)


def test_one_bit_is_graphics(scene, page):
    for image in (scene, page):
        assert flat_or_jumping(image.convert("1")) == 1


def test_a_shape_in_the_alpha_alone():
    icon = np.zeros((48, 48, 4), np.uint8)
    y, x = np.mgrid[:48, :48]
    icon[np.hypot(y - 24, x - 24) < 20, 3] = 255
    for colour in (0, 255):
        icon[..., :3] = colour
        assert is_graphics(icon)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, np.nan, np.inf])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (64, 64), (64, 64, 4)])
def test_nothing_to_see_is_no_graphics(value, shape):
    assert flat_or_jumping(np.full(shape, value)) == 0


def test_some_hundred_tiles_of_a_large_picture_are_read(scene):
    large = scene.resize((3000, 2000), Image.Resampling.BICUBIC)
    for image in (large, np.asarray(large)):
        channels, tiles, *_ = content._tiles(image).shape
        assert (channels, tiles) == (3, content._MAX_TILES**2)
    assert content._tiles(np.zeros((80, 5, 2), np.uint8)).shape == (2, 10, 9, 5)
    # The first and the last rows and columns are among them.
    array = np.zeros((1000, 1000), np.uint8)
    array[0, 0] = array[-1, -1] = 255
    assert content._tiles(array).max(axis=(0, 2, 3)).astype(bool).sum() == 2


@pytest.mark.parametrize("length", [9, 16, 17, 64, 71, 100, 192])
@pytest.mark.parametrize("axis", [0, 1])
def test_no_edge_is_between_the_tiles(length, axis):
    for edge in range(1, length):
        array = np.full((length, 20), 60, np.uint8)
        array[edge:] = 180
        assert is_graphics(array if axis == 0 else array.T), edge


def test_other_drawings_than_those_it_was_made_with():
    """Those of the robustness suite."""
    seen = [is_graphics(drawing.pixels) for drawing in small_drawings()]
    for drawing in large_drawings():
        image = Image.fromarray(drawing.pixels)
        seen += [is_graphics(drawn.smaller(image, 2, name)) for name in drawn.FILTERS]
    assert share(seen) >= 0.95


def test_what_is_no_picture():
    with pytest.raises(TypeError, match="image is str"):
        is_graphics("picture.png")
    with pytest.raises(TypeError, match="image has dtype int64"):
        is_graphics(np.zeros((4, 4), np.int64))
    with pytest.raises(ValueError, match=r"image has shape \(4,\)"):
        is_graphics(np.zeros(4, np.uint8))
    with pytest.raises(ValueError, match=r"image has size \(0, 5\)"):
        is_graphics(Image.new("RGB", (0, 5)))
