"""What has changed between two planes, and what is copied where nothing has."""

import numpy as np
import pytest
from fsrcnn_rt import _core


def covered(parts, shape):
    mask = np.zeros(shape, bool)
    for left, top, right, bottom in parts:
        assert 0 <= left < right <= shape[1]
        assert 0 <= top < bottom <= shape[0]
        assert left % 4 == top % 4 == 0
        mask[top:bottom, left:right] = True
    return mask


def around(changed, reach):
    """Samples no farther than ``reach`` from a changed one."""
    mask = np.zeros_like(changed)
    for y, x in np.argwhere(changed):
        mask[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = True
    return mask


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_all_that_a_change_reaches_is_in_a_part(dtype):
    rng = np.random.default_rng(1)
    for _ in range(150):
        shape = tuple(rng.integers(1, 120, 2))
        before = rng.integers(0, 200, shape).astype(dtype)
        now = before.copy()
        for _ in range(rng.integers(0, 5)):
            now[rng.integers(shape[0]), rng.integers(shape[1])] += 1
        reach = int(rng.integers(0, 40))
        mask = covered(_core.changed_parts(now, before, reach), shape)
        assert mask[around(now != before, reach)].all()


def test_equal_planes_have_no_parts_and_far_changes_leave_most_alone():
    before = np.zeros((160, 320), np.uint8)
    assert _core.changed_parts(before.copy(), before, 12) == []
    now = before.copy()
    now[5, 5] = now[150, 300] = 1
    parts = _core.changed_parts(now, before, 12)
    assert sorted(parts) == [(0, 0, 28, 28), (276, 132, 316, 160)]


def test_noise_is_one_part():
    rng = np.random.default_rng(2)
    before, now = rng.integers(0, 256, (2, 90, 130), np.uint8)
    assert _core.changed_parts(now, before, 12) == [(0, 0, 130, 90)]


def test_neighbours_are_joined_where_the_seam_costs_more():
    before = np.zeros((160, 320), np.uint8)
    now = before.copy()
    now[70, 40:280:32] = 1  # every other cell of a row
    assert _core.changed_parts(now, before, 12) == [(20, 52, 284, 92)]


@pytest.mark.parametrize(
    "view", [np.s_[:, ::2], np.s_[::-1], np.s_[:, ::-1]], ids=["strided", "down", "left"]
)
def test_planes_of_any_strides(view):
    rng = np.random.default_rng(3)
    before = rng.integers(0, 9, (64, 128), np.uint16)
    now = before.copy()
    now[40, 100] += 1
    assert _core.changed_parts(now[view], before[view], 3) == _core.changed_parts(
        now[view].copy(), before[view].copy(), 3
    )
    out = np.zeros_like(before)
    _core.copy_all_but([(0, 0, 8, 8)], before[view], out[view])
    assert not out[view][:8, :8].any()
    np.testing.assert_array_equal(out[view][8:], before[view][8:])


def test_what_lies_in_no_part_is_copied():
    rng = np.random.default_rng(4)
    for _ in range(100):
        height, width = rng.integers(1, 60, 2)
        before = rng.integers(0, 99, (height, width), np.uint8)
        out = np.full_like(before, 255)
        mask = np.zeros(before.shape, bool)
        parts = []
        for _ in range(rng.integers(0, 5)):
            left, top = int(rng.integers(width)), int(rng.integers(height))
            right, bottom = int(rng.integers(left, width)) + 1, int(rng.integers(top, height)) + 1
            parts.append((left, top, right, bottom))
            mask[top:bottom, left:right] = True
        assert _core.copy_all_but(parts, before, out) == np.count_nonzero(~mask)
        np.testing.assert_array_equal(out, np.where(mask, 255, before))


def test_what_does_not_fit_is_refused():
    plane = np.zeros((32, 48), np.uint8)
    for before in (np.zeros((32, 47), np.uint8), np.zeros((32, 48), np.uint16)):
        with pytest.raises(ValueError, match="not planes of one size and dtype"):
            _core.changed_parts(plane, before, 3)
    with pytest.raises(ValueError, match="reach=-1"):
        _core.changed_parts(plane, plane.copy(), -1)
    with pytest.raises(ValueError, match=r"dst: shape \(32, 47\)"):
        _core.copy_all_but([], plane, np.zeros((32, 47), np.uint8))
    with pytest.raises(ValueError, match=r"parts has \(0, 0, 49, 8\), which is no part of 48x32"):
        _core.copy_all_but([(0, 0, 49, 8)], plane, plane.copy())
    with pytest.raises(ValueError, match="overlaps"):
        _core.copy_all_but([], plane, plane)
