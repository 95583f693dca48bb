"""What is wrong with one sample stays near it: NaN and infinity, and what no tile may show."""

import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.engine.arrays import extend_colour
from fsrcnn_rt.model import NETWORKS

# In pixels of the small picture, as docs/modes.md tells. The networks themselves reach 8, their kernels
# compute in tiles of 4 x 4. The filter down to another size reaches 2 pixels where the factor is near 1.
# Beyond x4 they run twice, and the second time on pixels half as large or less.
FARTHEST = 14
FARTHEST_OF_SIZES = {"fsrcnn": {1.1: 17, 3.7: 15, 5: 21}, "fsrcnn-s": {1.5: 10, 3.7: 10, 5: 14}}
HEIGHT, WIDTH = 76, 84

# Rows and columns at each place in a tile, on either side of where the bands of two threads meet (row 36).
PLACES = [(36, 40), (37, 43), (34, 41), (35, 42), (38, 45)]
BAD = [np.nan, np.inf, -np.inf, np.nan, np.inf]


def changed(one, other):
    """Pixels of which some bit differs."""
    differ = one.view(np.uint32) != other.view(np.uint32)
    return differ.any(axis=-1) if differ.ndim == 3 else differ


def far_from(place, scale, farthest=FARTHEST):
    """Pixels of the large picture that are of pixels farther than that from ``place``."""
    y, x = np.indices((HEIGHT * scale, WIDTH * scale)) // scale
    return np.maximum(abs(y - place[0]), abs(x - place[1])) > farthest


def floats(*channels):
    """A picture of floats, nowhere quite transparent."""
    return np.random.default_rng(0).uniform(0.1, 1, (HEIGHT, WIDTH, *channels)).astype(np.float32)


@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)], ids=["grey", "grey+alpha", "rgb", "rgba"])
@pytest.mark.parametrize("name", NETWORKS)
def test_samples_that_are_not_finite_stay_local(isa, name, channels):
    upscalers = [Upscaler(name, threads=threads, isa=isa) for threads in (1, 2)]
    image = floats(*channels)
    sound = upscalers[0].upscale(image, (2, 3, 4))
    for i, (place, value) in enumerate(zip(PLACES, BAD, strict=True)):
        bad = image.copy()
        bad[(*place, i % channels[0]) if channels else place] = value
        for upscaler in upscalers:
            for scale, result in upscaler.upscale(bad, (2, 3, 4)).items():
                there = result[place[0] * scale, place[1] * scale]
                assert not np.isfinite(there).all()
                assert not (changed(result, sound[scale]) & far_from(place, scale)).any(), (place, scale)


@pytest.mark.parametrize("name", NETWORKS)
def test_of_other_sizes_they_stay_as_local_as_is_told(isa, name):
    if isa == "reference":
        pytest.skip("slow, and computes without tiles, which spread what is not finite")
    upscaler = Upscaler(name, threads=2, isa=isa)
    image = floats()
    for goal, told in FARTHEST_OF_SIZES[name].items():
        sound = upscaler.upscale(image, goal)
        farthest = 0
        for k in range(0, 12, 2 if goal == 5 else 1):  # at every place in a tile, around where bands meet
            place = 32 + k, 36 + k
            farthest = max(farthest, reach(upscaler, image, place, BAD[k % len(BAD)], sound, goal))
        assert farthest == told, goal  # so far it is, and not less


def reach(upscaler, image, place, value, sound, goal):
    """How far from a bad pixel the result is another, in pixels of the small picture."""
    bad = image.copy()
    bad[place] = value
    y, x = np.nonzero(changed(upscaler.upscale(bad, goal), sound))
    rows, columns = (a * b // c for a, b, c in zip((y, x), image.shape, sound.shape, strict=True))
    return max(*abs(rows - place[0]), *abs(columns - place[1]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_colour_that_is_not_finite_does_not_spread_under_alpha_0(value):
    image = floats(4)
    image[10:66, :40, 3] = 0
    place = (38, 40)  # beside pixels of alpha 0, which take the colour of visible ones, as far as 10 pixels
    upscaler = Upscaler("fsrcnn", threads=1)
    sound = upscaler.upscale(image, (2, 3, 4))
    image[(*place, 1)] = value
    for scale, result in upscaler.upscale(image, (2, 3, 4)).items():
        spoilt = ~np.isfinite(result).all(axis=-1)
        assert spoilt[place[0] * scale, place[1] * scale]
        assert not (spoilt & far_from(place, scale)).any()
        assert not (changed(result, sound[scale]) & far_from(place, scale, FARTHEST + 10)).any()


def test_hidden_colour_is_the_mean_of_what_is_finite():
    row = np.array([[np.nan, 1], [5, 0], [7, 0], [3, 1], [9, np.nan], [8, 0]], np.float32)
    (extended,) = extend_colour(row[None], 1)
    np.testing.assert_array_equal(extended[:, 0], [np.nan, 0, 3, 3, 9, 0])
    np.testing.assert_array_equal(extended[:, 1], row[:, 1])
    assert extend_colour(row[None], 2)[0, 1, 0] == 3


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [(), (4,)], ids=["grey", "rgba"])
def test_strips_of_shipped_models_leave_no_seam(isa, name, channels):
    """A picture that is cut into strips as every large one is, against the same in one piece."""
    if isa == "reference":
        pytest.skip("slow, and cut by the same code")
    upscaler = Upscaler(name, threads=2, isa=isa)
    width = {"fsrcnn": 1500, "fsrcnn-s": 2100}[name]  # two or three strips
    image = np.random.default_rng(1).random((45, width, *channels), np.float32)
    results = upscaler.upscale(image, (2, 3, 4))
    whole = {scale: np.empty_like(result) for scale, result in results.items()}
    upscaler._engine.network_for(image.dtype).run(image, whole, 1, strip_width=width)
    for scale, result in results.items():
        np.testing.assert_array_equal(result, whole[scale])
