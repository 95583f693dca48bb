import hashlib
from collections import Counter

import numpy as np
import pytest
from fsrcnn_rt.evaluation.drawings import error_diffused, large_drawings, ordered_dither, small_drawings

KINDS = {
    "lines, aliased",
    "lines, antialiased",
    "text, antialiased",
    "text, aliased",
    "user interface",
    "pixel art",
    "line art",
    "1-bit scan",
}


def named(drawings):
    return {(d.kind, d.name): d.pixels for d in drawings}


def test_kinds_and_sizes():
    small, large = small_drawings(), large_drawings()
    assert {d.kind for d in small} == KINDS | {"dither", "patterns"}
    assert {d.kind for d in large} == KINDS
    for drawings, shape in ((small, (96, 128)), (large, (192, 240))):
        assert len(named(drawings)) == len(drawings)
        for d in drawings:
            assert (d.pixels.dtype, d.pixels.shape) == (np.uint8, shape), d
            assert np.ptp(d.pixels) >= 40, d
            assert not d.pixels.flags.writeable
    pixels = Counter(d.pixels.tobytes() for d in [*small, *large])
    assert max(pixels.values()) == 1


def test_aliased_drawings_have_two_tones_and_antialiased_ones_many():
    for d in [*small_drawings(), *large_drawings()]:
        tones = len(np.unique(d.pixels))
        if d.kind in ("lines, aliased", "text, aliased", "1-bit scan", "dither"):
            assert tones == 2, d
        if d.kind in ("lines, antialiased", "text, antialiased"):
            assert tones > 10, d


def test_lines_are_as_thick_as_they_say():
    """A fan of 32 lines covers their length times their width."""
    pixels = named(small_drawings())
    for width in (1, 2, 3):
        length = 32 * (0.48 * 96 - 3.5 * width)
        ends = 32 * np.pi * width**2 / 4
        for kind in ("lines, aliased", "lines, antialiased"):
            ink = (255 - pixels[kind, f"fan of {width} px"].astype(float)).sum() / 255
            # Lines meet at the hub.
            assert 0.85 * (length * width + ends) < ink < 1.02 * (length * width + ends)


def test_lines_lie_at_all_angles():
    """Rings round the middle of a fan are crossed evenly."""
    fan = 255.0 - named(small_drawings())["lines, antialiased", "fan of 1 px"]
    y, x = np.mgrid[:96, :128] + 0.5
    angle = np.arctan2(y - 48.25, x - 64.25)
    sectors = np.floor((angle + np.pi) / (2 * np.pi) * 8).astype(int) % 8
    ink = np.bincount(sectors.ravel(), fan.ravel())
    assert ink.min() > 0.9 * ink.max()  # a line is a quarter of a sector


def test_inks():
    for (kind, name), pixels in named(small_drawings()).items():
        if "grey on grey" in name:
            assert (pixels.min(), pixels.max()) == (96, 160), (kind, name)
        if "black on white" in name:
            assert np.median(pixels) == 255
        if "white on black" in name and "bitmap" not in name:
            assert np.median(pixels) == 0


def test_checkerboards():
    pixels = named(small_drawings())
    for side in (1, 2, 4):
        board = pixels["patterns", f"checkerboard of {side} px"]
        assert np.all(board[:side, :side] == 0)
        assert np.all(board[side:] == 255 - board[:-side])
        assert np.all(board[:, side:] == 255 - board[:, :-side])


def test_pixel_art_is_made_of_squares():
    for drawings, sides in ((small_drawings(), (1, 2, 3)), (large_drawings(), (4, 6))):
        for side in sides:
            picture = named(drawings)["pixel art", f"pixels of {side}"]
            for axis in (0, 1):
                jumps = np.flatnonzero(np.any(np.diff(picture.astype(int), axis=axis), axis=1 - axis)) + 1
                assert np.all(jumps % side == 0)
                assert len(jumps) > 10


@pytest.mark.parametrize("dither", [ordered_dither, error_diffused])
def test_dither_keeps_the_mean(dither):
    for level in (0, 10, 64, 128, 200, 255):
        flat = dither(np.full((64, 64), level, np.uint8))
        assert set(np.unique(flat)) <= {0, 255}
        assert flat.mean() == pytest.approx(level, abs=2.5)


def test_error_diffusion_is_that_of_floyd_and_steinberg():
    """An error is handed on in sixteenths: 7 to the right, 3, 5 and 1 below."""
    luma = np.array([[0, 127, 100], [110, 100, 122]], np.uint8)
    # First row: 127 is black, an error of 127; 100 + 7/16 of it is 155 and white, an error of -100.
    # Second: 110 + 3/16 * 127 = 133 is white, an error of -122; 100 + (5 * 127 - 3 * 100 - 7 * 122) / 16 = 67
    # is black; 122 + (127 - 5 * 100 + 7 * 67) / 16 = 128 is white.
    assert error_diffused(luma).tolist() == [[0, 0, 255], [255, 0, 255]]


def test_drawings_without_letters_are_the_same_everywhere():
    """Integers alone make these, so that no other library or processor draws them otherwise."""
    digests = {
        name: hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
        for (kind, name), pixels in named(small_drawings()).items()
        if kind == "patterns" or (kind, name) == ("pixel art", "pixels of 2")
    }
    assert digests == {
        "pixels of 2": "44048397b7dfb065",
        "checkerboard of 1 px": "80ca8f7151097723",
        "checkerboard of 2 px": "bfb969f241ccb364",
        "checkerboard of 4 px": "7b45d3bae9d9e893",
        "steps": "91f2cfe415ca7151",
        "stairs": "24d1346c00ec234d",
        "impulses": "32cdde7ffc155c60",
        "gradients": "b4bbbe79bf408c23",
    }
