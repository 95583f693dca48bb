import math

import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.convert import convert
from fsrcnn_rt.evaluation.ifc import _channel, _correlate, _mixture, ifc
from fsrcnn_rt.evaluation.metrics import imresize, modcrop, psnr, rgb_to_y, ssim
from fsrcnn_rt.evaluation.protocol import Figures, bicubic, evaluate, list_images, mean


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_luma_of_black_white_and_primaries():
    # MATLAB: rgb2ycbcr(uint8(...)) of black, white, red, green, blue
    image = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert rgb_to_y(image).tolist() == [[16, 235, 81, 145, 41]]


def test_luma_of_grey_picture_is_the_picture(rng):
    image = rng.integers(256, size=(5, 7), dtype=np.uint8)
    luma = rgb_to_y(image)
    assert np.array_equal(luma, image)
    assert not np.shares_memory(luma, image)


def test_luma_refuses_what_is_not_8_bit_rgb():
    with pytest.raises(TypeError, match="float32"):
        rgb_to_y(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(4, 4, 4\)"):
        rgb_to_y(np.zeros((4, 4, 4), np.uint8))


def test_modcrop_cuts_bottom_and_right():
    image = np.arange(70).reshape(7, 10)
    assert np.array_equal(modcrop(image, 3), image[:6, :9])
    assert modcrop(image, 1).shape == (7, 10)
    with pytest.raises(ValueError, match="10x7 is smaller than scale 8"):
        modcrop(image, 8)
    with pytest.raises(ValueError, match="scale: expected at least 1, got 0"):
        modcrop(image, 0)


def resize_by_definition(line, out_length, scale):
    """The sum that MATLAB documents, sample by sample, in plain Python."""

    def keys(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    stretch = min(scale, 1)
    result = []
    for i in range(out_length):
        centre = (i + 0.5) / scale - 0.5
        total = weights = 0.0
        for k in range(math.floor(centre - 2 / stretch) - 1, math.ceil(centre + 2 / stretch) + 2):
            mirrored = k % (2 * len(line))
            sample = line[min(mirrored, 2 * len(line) - 1 - mirrored)]
            weight = keys((centre - k) * stretch)
            total, weights = total + weight * sample, weights + weight
        result.append(total / weights)
    return result


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 0.7, 1, 1.5, 2, 3])
@pytest.mark.parametrize("length", [1, 3, 12, 25])
def test_imresize_is_the_documented_sum(rng, scale, length):
    line = rng.uniform(0, 255, length)
    result = imresize(np.stack([line, line]), scale)
    expected = resize_by_definition(line.tolist(), math.ceil(scale * length - 1e-6), scale)
    assert result[0] == pytest.approx(expected, abs=1e-9)
    assert imresize(np.stack([line, line]).T, scale) == pytest.approx(result.T, abs=1e-9)


def test_imresize_of_a_step_by_hand():
    # x2 of 0 0 1 1: Keys' kernel at the distances 0.25, 0.75, 1.25, 1.75 is a known fraction of 128.
    near, mid, far, edge = 111 / 128, 29 / 128, -9 / 128, -3 / 128
    assert near + mid + far + edge == 1
    result = imresize(np.array([[0.0, 0.0, 1.0, 1.0]]), 2)[0]
    assert result[3:5] == pytest.approx([mid + edge, near + far])


def test_imresize_keeps_constants_and_slopes():
    assert imresize(np.full((13, 9), 77, np.uint8), 1 / 3) == pytest.approx(77)
    ramp = np.tile(np.arange(60.0), (12, 1))
    assert imresize(ramp, 1 / 3)[2, 3:-3] == pytest.approx(np.arange(9, 51, 3) + 1)


def test_imresize_output_shape_and_range():
    image = np.zeros((255, 100, 3), np.uint8)
    assert imresize(image, 1 / 3).shape == (85, 34, 3)
    assert imresize(image, shape=(10, 20)).shape == (10, 20, 3)
    assert imresize(image, 0.001).shape == (1, 1, 3)
    assert imresize(image, 0.5).dtype == np.float64
    overshoot = imresize(np.array([[0, 255]], np.uint8).repeat(8, axis=1), 2)
    assert overshoot.min() < 0
    assert overshoot.max() > 255


def test_imresize_agrees_with_pillow_away_from_the_border(rng):
    from PIL import Image

    image = rng.uniform(0, 255, (48, 60)).astype(np.float32)
    for scale in (2, 3, 4):
        theirs = Image.fromarray(image).resize((60 // scale, 48 // scale), Image.Resampling.BICUBIC)
        ours = imresize(image, 1 / scale)
        assert ours[2:-2, 2:-2] == pytest.approx(np.asarray(theirs)[2:-2, 2:-2], abs=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale": 2, "shape": (4, 4)},
        {"scale": 0},
        {"scale": -1.0},
        {"scale": math.nan},
        {"shape": (0, 4)},
    ],
)
def test_imresize_refuses(arguments):
    with pytest.raises(ValueError, match=r"scale|shape"):
        imresize(np.zeros((4, 4)), **arguments)


def test_imresize_by_other_methods_than_bicubic():
    """A row of 4 to 2: by hand. Of two pixels equally near the right one is taken."""
    row = np.array([[0.0, 8.0, 16.0, 64.0]])
    expected = {
        "box": [4.0, 40.0],
        "nearest": [8.0, 64.0],
        # 1/8, 3/8, 3/8, 1/8, the border mirrored.
        "bilinear": [(0 + 0 + 3 * 8 + 16) / 8, (8 + 3 * 16 + 3 * 64 + 64) / 8],
    }
    for method, values in expected.items():
        assert imresize(row, shape=(1, 2), method=method)[0] == pytest.approx(values)
    # Larger: Lanczos passes through the pixels it has, where it has weights of whole distances.
    assert imresize(row, shape=(1, 12), method="lanczos3")[0, 1::3] == pytest.approx(row[0])
    with pytest.raises(ValueError, match="method='cubic': expected one of bicubic, bilinear"):
        imresize(row, 2, method="cubic")


def test_imresize_refuses_an_empty_picture():
    with pytest.raises(ValueError, match=r"\(0, 4\)"):
        imresize(np.zeros((0, 4)), 2)


def test_psnr_by_hand():
    a, b = np.full((6, 6), 100, np.uint8), np.full((6, 6), 101, np.uint8)
    assert psnr(a, b) == pytest.approx(48.1308, abs=1e-4)  # 20 log10 255
    assert psnr(a / 255, b / 255, peak=1) == pytest.approx(psnr(a, b))
    assert psnr(a, a) == math.inf
    b[0, 0] = 255
    assert psnr(a, b, shave=1) == pytest.approx(48.1308, abs=1e-4)


def test_psnr_of_uint8_does_not_wrap():
    assert psnr(np.array([[0]], np.uint8), np.array([[255]], np.uint8)) == 0


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_figures_refuse_what_does_not_compare(measure):
    with pytest.raises(ValueError, match="differ in shape"):
        measure(np.zeros((20, 20)), np.zeros((20, 21)))
    with pytest.raises(ValueError, match="10 leaves nothing"):
        measure(np.zeros((20, 20)), np.zeros((20, 20)), shave=10)


def test_ssim_of_constants_by_hand():
    # No variance: what is left is the luminance term.
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim(np.full((12, 15), 100.0), np.full((12, 15), 120.0)) == pytest.approx(expected)


def test_ssim_of_one_window_by_definition(rng):
    a, b = rng.uniform(0, 255, (2, 11, 11))
    y, x = np.mgrid[-5:6, -5:6]
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    window /= window.sum()
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
    covariance = (window * (a - mean_a) * (b - mean_b)).sum()
    c1, c2 = 6.5025, 58.5225
    expected = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    expected /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    assert ssim(a, b) == pytest.approx(expected)


def test_ssim_agrees_with_scikit_image(rng):
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    a = rng.integers(256, size=(40, 33), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    theirs = metrics.structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(a, b) == pytest.approx(theirs, abs=1e-9)
    assert ssim(a, a) == pytest.approx(1)


def test_ssim_needs_a_window():
    with pytest.raises(ValueError, match="at least 11x11 after shaving 2"):
        ssim(np.zeros((14, 20)), np.zeros((14, 20)), shave=2)


@pytest.fixture
def smooth(rng):
    """A picture of blobs and a little noise."""
    blobs = imresize(rng.uniform(0, 255, (20, 24)), shape=(80, 96))
    return np.clip(blobs + rng.normal(0, 4, blobs.shape), 0, 255)


def test_ifc_falls_with_blur_and_noise(smooth, rng):
    blurred = imresize(imresize(smooth, 1 / 2), 2)
    more_blurred = imresize(imresize(smooth, 1 / 4), 4)
    itself, half, quarter = (ifc(smooth, other) for other in (smooth, blurred, more_blurred))
    assert itself > 4 * half > 6 * quarter > 0
    noise = rng.normal(size=smooth.shape)
    values = [ifc(smooth, smooth + deviation * noise) for deviation in (1, 4, 16)]
    assert values == sorted(values, reverse=True)


def test_ifc_of_contrast_and_brightness(smooth):
    """Gain is no loss, nor is an offset; negation loses everything; the order matters."""
    blurred = imresize(imresize(smooth, 1 / 2), 2)
    for changed in (blurred + 10, 2 * blurred):
        assert ifc(smooth, changed) == pytest.approx(ifc(smooth, blurred), rel=1e-6)
    assert ifc(smooth, -blurred) < 0.1 * ifc(smooth, blurred)
    assert ifc(smooth, -smooth) == 0
    assert ifc(smooth, blurred) != pytest.approx(ifc(blurred, smooth), rel=0.01)


def test_ifc_of_flat_pictures_is_nothing(smooth):
    flat = np.full_like(smooth, 7)
    for pair in ((flat, flat), (flat, smooth), (smooth, flat)):
        assert ifc(*pair) == 0


def test_ifc_has_two_orientations_that_are_one_transposed(smooth, rng):
    other = smooth + rng.normal(0, 5, smooth.shape)
    assert ifc(smooth.T, other.T) == pytest.approx(ifc(smooth, other), rel=1e-6)


def test_ifc_refuses(smooth):
    with pytest.raises(ValueError, match="expected one shape"):
        ifc(smooth, smooth[1:])
    with pytest.raises(ValueError, match="at least 65x65"):
        ifc(smooth[:64], smooth[:64])
    assert ifc(smooth[:65, :65], smooth[:65, :65]) > 0


def test_channel_of_ifc_by_definition(rng):
    """Regression in the window around the middle of a block, the band mirrored about its edge."""

    def mirrored(middle, length):
        return [abs(k) if k < length else 2 * length - 2 - k for k in range(middle - 2, middle + 3)]

    x = rng.normal(0, 3, (12, 9))
    y = 0.5 * x + rng.normal(0, 1, x.shape)
    gain, noise = _channel(x, y, 5)
    assert gain.shape == noise.shape == (4, 3)
    for row in range(4):
        for column in range(3):
            index = [mirrored(3 * row + 1, 12), mirrored(3 * column + 1, 9)]
            a, b = (band[np.ix_(*index)].ravel() for band in (x, y))
            slope = np.cov(a, b, bias=True)[0, 1] / a.var()
            if slope < 0:
                continue
            rest = b - b.mean() - slope * (a - a.mean())
            assert gain[row, column] == pytest.approx(slope)
            assert noise[row, column] == pytest.approx(np.mean(rest**2))


def test_mixture_of_ifc_by_definition(rng):
    x = rng.normal(0, 3, (12, 9))
    scale, variances = _mixture(x)
    every = np.array([x[i : i + 3, j : j + 3].ravel() for i in range(10) for j in range(7)])
    covariance = (every - every.mean(axis=0)).T @ (every - every.mean(axis=0)) / len(every)
    assert variances == pytest.approx(np.sort(np.linalg.eigvals(covariance).real))
    block = x[3:6, 6:9].ravel()
    assert scale.shape == (4, 3)
    assert scale[1, 2] == pytest.approx(block @ np.linalg.inv(covariance) @ block / 9)


def test_correlation_of_ifc_by_definition(rng):
    x, kernel = rng.normal(size=(7, 6)), rng.normal(size=(5, 5))
    rows, columns = ([abs(k) if k < n else 2 * n - 2 - k for k in range(-2, n + 2)] for n in x.shape)
    padded = x[np.ix_(rows, columns)]
    expected = [[np.sum(padded[i : i + 5, j : j + 5] * kernel) for j in range(6)] for i in range(7)]
    assert _correlate(x, kernel, 1) == pytest.approx(np.array(expected))
    assert _correlate(x, kernel, 2) == pytest.approx(np.array(expected)[::2, ::2])


# The paper's table 3, Set5: scale -> bicubic, FSRCNN with the authors' weights.
IFC = {2: (6.10, 8.06), 3: (3.52, 4.88), 4: (2.35, 3.01)}


@pytest.mark.parametrize("scale", IFC)
def test_ifc_is_what_the_paper_prints(data_folder, scale):
    pytest.importorskip("scipy", reason="scipy filters pictures on its own: the extra 'dev'")
    file = data_folder.parent / "reference" / "FSRCNN-authors" / "FSRCNN" / f"x{scale}.mat"
    if not file.is_file():
        pytest.skip(f"the weights of the authors are not there: {file}")
    methods = {"bicubic": bicubic, "fsrcnn": Upscaler(convert(file)).upscale}
    results = evaluate({scale: methods}, list_images(data_folder / "Set5"), with_ifc=True)
    for method, expected in zip(methods, IFC[scale], strict=True):
        assert mean([r.figures for r in results if r.method == method]).ifc == pytest.approx(
            expected, abs=0.02
        )


# Bicubic by the protocol, as papers print it: this proves luma, imresize, crop and border.
BICUBIC = {
    "Set5": {2: Figures(33.66, 0.9299), 3: Figures(30.39, 0.8682), 4: Figures(28.42, 0.8104)},
    "Set14": {2: Figures(30.23, 0.8687), 3: Figures(27.54, 0.7736), 4: Figures(26.00, 0.7019)},
}


@pytest.mark.parametrize("dataset", BICUBIC)
def test_bicubic_scores_what_the_papers_print(data_folder, dataset):
    methods = {scale: {"bicubic": bicubic} for scale in (2, 3, 4)}
    results = evaluate(methods, list_images(data_folder / dataset))
    for scale, (expected_psnr, expected_ssim, _) in BICUBIC[dataset].items():
        figures = mean([r.figures for r in results if r.scale == scale])
        assert figures.psnr == pytest.approx(expected_psnr, abs=0.006)
        assert figures.ssim == pytest.approx(expected_ssim, abs=0.00006)
