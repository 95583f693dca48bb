"""The pages in docs/ say what is so: tables are carried out line by line, commands as they stand."""

import re
from pathlib import Path

import fsrcnn_rt
import numpy as np
import pytest
from fsrcnn_rt import Upscaler
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
    # Computed in float32, whatever the dtype: the same numbers.
    expected = fsrcnn_rt.upscale(image.astype(np.float32))
    difference = large.astype(float) / top - (expected.clip(0, 1) if clipped else expected)
    assert np.abs(difference).max() <= {"uint8": 0.51 / 255, "float16": 1e-3}.get(dtype, 1e-5)
