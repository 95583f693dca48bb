"""Which size a factor or a box stands for, and by which passes of a network it is reached."""

import math

import numpy as np
import oracle
import pytest
from conversions import to_model
from fsrcnn_rt import Upscaler
from fsrcnn_rt.engine.sizes import Box, goal_of, passes, size_of
from resized import filtered


@pytest.mark.parametrize(
    ("offered", "factor", "chain"),
    [
        ((2, 3, 4), 1.01, (2,)),
        ((2, 3, 4), 2.01, (3,)),
        ((2, 3, 4), 3.5, (4,)),
        ((2, 3, 4), 4.01, (2, 3)),
        ((2, 3, 4), 6, (2, 3)),
        ((2, 3, 4), 6.01, (2, 4)),
        ((2, 3, 4), 8.5, (3, 3)),
        ((2, 3, 4), 10, (3, 4)),
        ((2, 3, 4), 12.5, (4, 4)),
        ((2, 3, 4), 16, (4, 4)),
        ((2,), 3, (2, 2)),
        ((2,), 16, (2, 2, 2, 2)),
        ((3,), 10, (3, 3, 3)),
        ((4,), 1.5, (4,)),
        ((2, 3), 4.5, (2, 3)),
        ((2, 3), 4, (2, 2)),
        ((2, 3), 7, (2, 2, 2)),
        ((3, 4), 2, (3,)),
    ],
)
def test_the_smallest_product_that_reaches_the_size(offered, factor, chain):
    assert passes((100, 200), (math.ceil(100 * factor), 200), offered) == chain
    assert passes((200, 100), (200, math.ceil(100 * factor)), offered) == chain


@pytest.mark.parametrize("scales", [(2,), (3,), (4,), (2, 4)])
def test_models_that_lack_scales(scales):
    net = oracle.random_net(np.random.default_rng(12), 6, 3, 1, scales=scales)
    upscaler = Upscaler(to_model(net), threads=2)
    plane = np.random.default_rng(13).random((7, 10), np.float32)
    for scale in (1.5, 3, 5.5, 16):
        size = size_of(scale, (10, 7))
        want = plane.astype(float)
        for each in passes((10, 7), size, scales):
            want = oracle.luma(net, want, each)
        want = filtered(want, size)
        np.testing.assert_allclose(upscaler.upscale(plane, scale), want, atol=2e-5 * np.abs(want).max())


@pytest.mark.parametrize(
    ("goal", "source", "step", "size"),
    [
        (1.5, (5, 3), (1, 1), (8, 5)),
        (1.5, (44, 30), (1, 1), (66, 45)),
        (1.5, (44, 30), (2, 2), (66, 46)),
        (1.01, (45, 31), (2, 2), (46, 32)),
        (3, (45, 31), (2, 2), (135, 93)),
        (Box(1920, 1080), (640, 360), (1, 1), (1920, 1080)),
        (Box(1920, 1080), (640, 480), (1, 1), (1440, 1080)),
        (Box(1920, 1080), (853, 480), (1, 1), (1919, 1080)),
        (Box(1920, 1080), (853, 480), (2, 2), (1920, 1080)),
        (Box(1921, 1081), (853, 480), (2, 2), (1920, 1080)),
        (Box(1000, 1000), (300, 301), (2, 2), (996, 1000)),
        (Box(1920, 1080, stretch=True), (640, 480), (2, 2), (1920, 1080)),
        (Box(1921, 1081, stretch=True), (640, 480), (2, 2), (1921, 1081)),
        (Box(100, None), (30, 20), (1, 1), (100, 67)),
        (Box(None, 100), (30, 20), (1, 1), (150, 100)),
        (Box(99, None), (33, 21), (2, 2), (99, 63)),
        (Box(4, None), (3, 1), (1, 1), (4, 1)),
        (1.1, (13, 9), (4, 1), (16, 10)),
        (1.01, (13, 9), (4, 1), (16, 9)),
        (1.01, (9, 13), (1, 4), (9, 16)),
    ],
)
def test_size_of(goal, source, step, size):
    assert size_of(goal, source, step) == size


def test_a_box_is_filled_and_not_exceeded():
    rng = np.random.default_rng(14)
    for _ in range(2000):
        width, height, w, h = (int(side) for side in rng.integers(1, 400, 4))
        box, step = Box(width + w, height + h), (int(rng.integers(1, 3)),) * 2
        try:
            got = size_of(box, (width, height), step)
        except ValueError as error:
            assert "16 times" in str(error) or "smaller" in str(error) or "no larger" in str(error)
            continue
        whole = (box.width // step[0] * step[0], box.height // step[1] * step[1])
        assert got[0] == whole[0] or got[1] == whole[1]
        assert width <= got[0] <= box.width and height <= got[1] <= box.height
        assert abs(got[0] * height - got[1] * width) <= 2 * max(width, height) * step[0]


def test_goals():
    assert goal_of(None, None, 3) == 3
    assert goal_of(None, (4, 5), 3) == Box(4, 5, stretch=True)
    assert [str(Box(*sides)) for sides in ((4, 5), (4, None), (None, 5))] == ["4x5", "4w", "5h"]
    for stretch in (False, True):
        assert Box(4, 5, stretch).turned() == Box(5, 4, stretch)
    assert Box(4, None).turned() == Box(None, 4)
    assert type(Box(np.int64(4), None).width) is int


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, None), ValueError, "has neither width nor height"),
        ((20.5, None), TypeError, "width=20.5, height=None, stretch=False) is not in whole pixels"),
        ((20, "30"), TypeError, "is not in whole pixels"),
        ((True, None), TypeError, "is not in whole pixels"),
        ((20, 0), ValueError, "is not of positive sides"),
        ((None, -1), ValueError, "is not of positive sides"),
        ((20, None, True), ValueError, "width=20, height=None, stretch=True) lacks a side to stretch to"),
        ((None, 20, True), ValueError, "lacks a side to stretch to"),
    ],
)
def test_boxes_that_are_none(arguments, error, message):
    with pytest.raises(error) as caught:
        Box(*arguments)
    assert message in str(caught.value) and str(caught.value).startswith("size=Box(")
