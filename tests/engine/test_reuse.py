"""What is as in the frame before is copied, and no bit tells."""

import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.engine.outputs import allocate
from fsrcnn_rt.engine.planes import Layout
from fsrcnn_rt.engine.reuse import Before
from fsrcnn_rt.engine.runtime import available_isas
from fsrcnn_rt.model import idn, srcnn

LAYOUTS = [Layout(8, (2, 2), "left"), Layout(10, (1, 1), "left")]


def random_planes(rng, layout, size):
    return [
        rng.integers(0, 2**layout.bits, shape).astype(layout.dtype) for shape in layout.shapes(size[::-1], 3)
    ]


def changed(rng, planes, layout):
    """The same planes, but for a few rectangles of luma, and now and then a sample of chroma."""
    planes = [plane.copy() for plane in planes]
    height, width = planes[0].shape
    for _ in range(rng.integers(0, 4)):
        y, x = rng.integers(height), rng.integers(width)
        part = planes[0][y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)]
        part[...] = rng.integers(0, 2**layout.bits, part.shape)
    if rng.integers(2):
        planes[1][-1, 0] ^= 1
    return planes


@pytest.mark.parametrize("isa", {available_isas()[0], available_isas()[1], available_isas()[-1]})
@pytest.mark.parametrize("precision", ["float32", "int16"])
def test_no_bit_depends_on_the_frame_before(isa, precision):
    rng = np.random.default_rng(5)
    upscaler = Upscaler("fsrcnn-s", isa=isa, precision=precision, threads=1)
    shares = []
    for case in range(8 if isa == "reference" else 40):
        layout = LAYOUTS[case % 2]
        size = tuple(int(side) for side in rng.integers(1, 40 if isa == "reference" else 130, 2))
        by = 2 if case % 4 < 2 else rng.uniform(1, 5)
        target = tuple(max(side, int(side * by)) for side in size)
        shapes = layout.shapes(target[::-1], 3)
        first = random_planes(rng, layout, size)
        second = changed(rng, first, layout)
        of_first, alone, after = ([allocate(shape, layout.dtype) for shape in shapes] for _ in range(3))
        upscaler.upscale_frame(first, of_first, layout, None)
        assert upscaler.upscale_frame(second, alone, layout, None) == 0
        shares.append(upscaler.upscale_frame(second, after, layout, Before(first, lambda: of_first)))  # noqa: B023
        for one, other in zip(alone, after, strict=True):
            np.testing.assert_array_equal(one, other)
    assert 0 < np.mean(shares) < 1


NETWORKS = {"srcnn": srcnn.architecture(srcnn.Shape((9, 5, 5))), "idn": idn.architecture()}


@pytest.mark.parametrize("name", NETWORKS)
def test_other_networks_reach_farther(name):
    rng = np.random.default_rng(6)
    layout = LAYOUTS[0]
    upscaler = Upscaler(NETWORKS[name].with_random_weights(np.random.default_rng(0)), threads=2)
    first = random_planes(rng, layout, (150, 60))
    second = [plane.copy() for plane in first]
    second[0][40, 2] ^= 128
    for target in ((300, 120), (270, 108)):
        shapes = layout.shapes(target[::-1], 3)
        of_first, alone, after = ([allocate(shape, layout.dtype) for shape in shapes] for _ in range(3))
        upscaler.upscale_frame(first, of_first, layout, None)
        upscaler.upscale_frame(second, alone, layout, None)
        assert upscaler.upscale_frame(second, after, layout, Before(first, lambda: of_first)) > 0  # noqa: B023
        for one, other in zip(alone, after, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_frame_that_is_new_waits_for_nothing():
    rng = np.random.default_rng(7)
    layout = LAYOUTS[0]
    upscaler = Upscaler("fsrcnn-s", threads=1)
    first, second = random_planes(rng, layout, (70, 50)), random_planes(rng, layout, (70, 50))
    out = [allocate(shape, layout.dtype) for shape in layout.shapes((100, 140), 3)]
    assert upscaler.upscale_frame(second, out, layout, Before(first, lambda: pytest.fail("waits"))) == 0
