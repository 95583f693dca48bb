import math

import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.evaluation import robustness_table
from fsrcnn_rt.evaluation.degraded import FILTERS, degrade, h264, jpeg, noisy, shrink
from fsrcnn_rt.evaluation.drawings import large_drawings, small_drawings
from fsrcnn_rt.evaluation.metrics import imresize, rgb_to_y
from fsrcnn_rt.evaluation.protocol import bicubic, evaluate, make_pair
from fsrcnn_rt.evaluation.robustness import (
    Case,
    Figures,
    Result,
    consistency,
    drawing_cases,
    figures_of,
    measure,
    overshoot,
    photograph_cases,
)
from PIL import Image

ROUNDING = 10 * math.log10(12 * 255**2)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def photograph(tmp_path, rng):
    """A soft picture in colour, of sizes that no scale divides."""
    pixels = imresize(rng.uniform(20, 235, (14, 14, 3)), shape=(107, 131))
    path = tmp_path / "soft.png"
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return path


# --------------------------------------------------------------------------------------------- measuring


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_overshoot_of_one_pixel(scale):
    """What is 3 input pixels away is looked at, what is 4 away is not."""
    lr = np.full((11, 12), 0.4, np.float32)
    lr[5, 6] = 0.9
    large = np.full((11 * scale, 12 * scale), 0.4)
    for row, column, expected in ((2, 3, 0.1), (8, 9, 0.1), (1, 6, 0.6), (5, 10, 0.6), (5, 6, 0.1)):
        luma = large.copy()
        luma[row * scale + scale - 1, column * scale] = 1.0
        distance = overshoot(luma, lr)
        assert distance[row * scale + scale - 1, column * scale] == pytest.approx(expected, abs=1e-6)
        assert np.count_nonzero(distance > 1e-6) == 1
        luma[row * scale + scale - 1, column * scale] = 0.3
        assert overshoot(luma, lr).max() == pytest.approx(0.1, abs=1e-6)


def test_overshoot_is_that_of_its_definition(rng):
    lr = rng.random((9, 8), np.float32)
    luma = rng.uniform(-0.5, 1.5, (27, 24))
    expected = np.empty_like(luma)
    for y, x in np.ndindex(*luma.shape):
        around = lr[max(0, y // 3 - 3) : y // 3 + 4, max(0, x // 3 - 3) : x // 3 + 4]
        expected[y, x] = max(0, around.min() - luma[y, x], luma[y, x] - around.max())
    assert overshoot(luma, lr) == pytest.approx(expected)


def test_overshoot_of_what_is_not_finite():
    lr = np.zeros((4, 4), np.float32)
    for value in (np.nan, np.inf, -np.inf):
        luma = np.zeros((8, 8))
        luma[3, 3] = value
        assert np.isposinf(overshoot(luma, lr)).sum() == 1
        assert consistency(luma, lr) == -math.inf


def test_overshoot_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"luma: \(8, 9\) is no multiple of \(4, 4\)"):
        overshoot(np.zeros((8, 9)), np.zeros((4, 4), np.float32))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_consistency_of_the_picture_itself_is_that_of_rounding(scale, rng):
    """The large picture that was made small is consistent; a shift by one pixel is not."""
    hr = imresize(rng.random((12, 15)), shape=(24 * scale, 30 * scale))
    lr = imresize(hr, 1 / scale).astype(np.float32)
    assert consistency(hr, lr) == ROUNDING
    assert consistency(hr + 0.01, lr) == pytest.approx(40, abs=0.01)
    assert consistency(np.roll(hr, 1, axis=1), lr) < 40


def test_figures_of_a_known_result(rng):
    hr = rng.integers(60, 196, (36, 48), np.uint8)
    case = Case("kind", "way", "name", 3, (shrink(hr, 3) / 255).astype(np.float32), hr)
    luma = hr / 255
    luma[:3] = 2.0  # is shaved, but overshoots
    luma[10, 10] += 20 / 255
    figures = figures_of(case, luma)
    assert figures.psnr == pytest.approx(10 * math.log10(255**2 * 30 * 42 / 20**2))
    assert figures.overshoot == overshoot(luma, case.lr).max() > 1
    assert figures.mean_overshoot == overshoot(luma, case.lr).mean() > 3 / 36
    assert figures_of(case, hr / 255).psnr == ROUNDING
    assert figures_of(case._replace(hr=None), luma).psnr is None


def test_bicubic_gains_nothing_over_itself():
    itself = {"itself": lambda case: bicubic(case.lr, case.scale)}
    results = list(measure(drawing_cases([3]), {3: itself}))
    assert len(results) == 2 * (len(small_drawings()) + 5 * len(large_drawings()))
    for first, second in zip(results[::2], results[1::2], strict=True):
        assert (first.method, second.method) == ("bicubic", "itself")
        assert first.figures == second.figures
        assert second.gain == (None if first.figures.psnr is None else 0)
        assert (first.way == "as drawn") == (first.gain is None)


def test_bicubic_overshoots_little_on_drawings():
    """Its kernel's negative parts: at most (1 + 2 / 16)**2 - 1 of the contrast on either side."""
    for result in measure(drawing_cases([2, 4]), {2: {}, 4: {}}):
        assert result.figures.overshoot <= 0.27, result


# ------------------------------------------------------------------------------------------- small pictures


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_ways_of_making_small_are_aligned(scale):
    """A slope comes out as a slope, wherever the filter; nearest is half a pixel late at even scales."""
    slope = np.tile(np.arange(0, 240, dtype=np.uint8), (24, 1))
    for way, method in FILTERS.items():
        small = imresize(slope, 1 / scale, method=method)[5, 10:-10]
        centre = scale * np.arange(10, 240 // scale - 10) + (scale - 1) / 2
        shift = 0.5 if way == "nearest" and scale % 2 == 0 else 0
        assert small == pytest.approx(centre + shift)


def test_area_nearest_and_bilinear_are_those_of_pillow(rng):
    """Nearest takes the pixel that Pillow takes; the others differ by Pillow's rounding."""
    picture = rng.integers(0, 256, (36, 48), np.uint8)
    image = Image.fromarray(picture)
    for scale in (2, 3, 4):
        size = (48 // scale, 36 // scale)
        nearest = np.asarray(image.resize(size, Image.Resampling.NEAREST))
        assert np.array_equal(shrink(picture, scale, "nearest"), nearest)
        filters = {"box": "BOX", "bilinear": "BILINEAR", "bicubic": "BICUBIC", "lanczos3": "LANCZOS"}
        for method, name in filters.items():
            theirs = np.asarray(image.resize(size, Image.Resampling[name])).astype(int)
            # At the border MATLAB mirrors and Pillow leaves out.
            inner = (slice(3, -3), slice(3, -3))
            ours = shrink(picture, scale, method)
            assert np.abs(ours[inner] - theirs[inner]).max() <= 1, (scale, method)


def test_a_photograph_in_every_way(photograph):
    for scale in (2, 3, 4):
        by_way = {degraded.way: degraded for degraded in degrade(photograph, scale, with_h264=False)}
        assert len(by_way) == 5 + 10 + 4 + 2
        luma = rgb_to_y(np.asarray(Image.open(photograph)))
        pair = make_pair(luma, scale)
        for way, degraded in by_way.items():
            assert degraded.lr.dtype == np.uint8
            assert degraded.lr.shape == pair.lr.shape
            if way in ("ordered dither", "error-diffused"):
                assert degraded.hr is None
                assert set(np.unique(degraded.lr)) == {0, 255}
            else:
                assert np.array_equal(degraded.hr, pair.hr)
        clean = by_way["bicubic"].lr.astype(float)
        assert np.abs(clean - 255 * pair.lr).max() <= 0.5001
        for sigma in (2, 4, 8, 15):
            noise = by_way[f"noise, sigma {sigma}"].lr - clean
            assert noise.std() == pytest.approx(sigma, rel=0.1)
        for subsampling in ("4:2:0", "4:4:4"):
            errors = [
                np.square(by_way[f"JPEG {subsampling}, {quality}"].lr - clean).mean()
                for quality in (95, 90, 75, 50, 30)
            ]
            assert errors == sorted(errors)
            assert errors[0] > 0


def test_degrading_is_deterministic(photograph):
    first, second = (list(degrade(photograph, 3, with_h264=False)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.lr, other.lr)


def test_jpeg_is_of_colour_and_keeps_its_tables(photograph):
    pixels = np.asarray(Image.open(photograph))
    coarse, fine = jpeg(pixels, 30, "4:2:0"), jpeg(pixels, 90, "4:4:4")
    assert coarse.mode == fine.mode == "RGB"
    assert len(coarse.quantization) == 2
    assert coarse.quantization[0][0] > 5 * fine.quantization[0][0]
    assert [coarse.layer[0][1:3], fine.layer[0][1:3]] == [(2, 2), (1, 1)]
    assert jpeg(pixels[..., 0], 30, "4:2:0").mode == "L"
    case = next(
        c for c in photograph_cases(photograph, "", [2], with_h264=False) if c.way == "JPEG 4:2:0, 50"
    )
    assert case.file.quantization[0][0] == 16


def test_h264_by_crf(photograph):
    pytest.importorskip("av", reason="PyAV is not installed")
    by_way = {d.way: d for d in degrade(photograph, 2, with_h264=True) if d.way.startswith("H.264")}
    assert list(by_way) == [f"H.264, CRF {crf}" for crf in (18, 23, 28, 33)]
    errors = []
    for degraded in by_way.values():
        assert degraded.hr.shape == tuple(2 * side for side in degraded.lr.shape)
        assert degraded.lr.shape == (48, 48)  # of 53x65, without the pan: whole blocks
        # Had the frame of another moment been taken, the truth would be shifted.
        errors.append(np.square(shrink(degraded.hr, 2) - degraded.lr.astype(float)).mean())
    assert errors == sorted(errors)
    assert errors[0] < 4


def test_h264_gives_every_frame_in_order(rng):
    pytest.importorskip("av", reason="PyAV is not installed")
    chroma = np.full((16, 24), 128, np.uint8)
    frames = [(np.full((32, 48), 20 * k + 20, np.uint8), chroma, chroma) for k in range(8)]
    decoded, qp = h264(frames, 10)
    assert qp + 15 < h264(frames, 33)[1]
    assert [plane.shape for plane in decoded] == [(32, 48)] * 8
    assert [plane.mean() for plane in decoded] == pytest.approx([20 * k + 20 for k in range(8)], abs=2)


def test_noise_is_rounded_and_stays_in_range(rng):
    luma = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    assert np.array_equal(noisy(luma, 0, rng), luma)
    assert noisy(luma, 60, rng).dtype == np.uint8


def test_clean_photographs_are_those_of_the_protocol(photograph, model):
    """But for the small picture's 8 bits, the row of bicubic is what eval says without a suite."""
    upscale = Upscaler(model).upscale
    expected = {
        r.method: r.figures.psnr for r in evaluate({3: {"bicubic": bicubic, "random": upscale}}, [photograph])
    }
    cases = photograph_cases(photograph, "photographs", [3], with_h264=False)
    results = measure(cases, {3: {"random": lambda case: upscale(case.lr, case.scale)}})
    for result in results:
        if result.way == "bicubic":
            assert result.figures.psnr == pytest.approx(expected[result.method], abs=0.3)


# -------------------------------------------------------------------------------------------------- tables


def result(scale, method, gain, far, name="a", way="area"):
    figures = Figures(None if gain is None else 30 + gain, far / 10, far, 40 - far)
    return Result("text", way, name, scale, method, figures, gain)


def test_rows_are_means_and_the_farthest_overshoot():
    row = robustness_table.summarise([result(2, "m", 1.0, 0.5), result(2, "m", 2.0, 3.5, "b")])
    assert row[:4] == ("text", "area", "m", 2)
    assert row[4:] == pytest.approx((31.5, 1.5, 3.5, 0.2, 38.0))
    row = robustness_table.summarise([result(2, "m", None, 0.5)])
    assert (row.psnr, row.gain) == (None, None)


def test_the_worst_are_named():
    results = [result(2, "m", 1.0, 0.5), result(3, "m", -2.0, 3.5, "b"), result(2, "bicubic", 0.0, 9.0)]
    assert list(robustness_table.worst(results)) == [
        "m: overshoot of up to 3.50, text: b, area, x3",
        "m: -2.00 dB at the least, text: b, area, x3",
        "m: 36.5 dB from the input at worst, text: b, area, x3",
    ]
    assert len(list(robustness_table.worst([result(2, "m", None, 1.0)]))) == 2


def test_json_has_no_infinity():
    table = robustness_table.as_json([result(2, "m", None, math.inf)])
    assert table["rows"][0]["overshoot"] is table["cases"][0]["consistency"] is None
