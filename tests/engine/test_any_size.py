"""Any factor up to 16 and any size: what the network makes too large is made smaller."""

import subprocess
import sys

import numpy as np
import oracle
import pytest
from fsrcnn_rt import ScaleError, Upscaler, upscale
from fsrcnn_rt.engine.sizes import Box, passes, size_of
from numpy.testing import assert_array_equal
from PIL import Image
from resized import filtered, luma_oracle, samples_oracle, yuv
from test_geometry import LARGEST_SHIFT, drawing, shift

# Factors of (width, height); the last ones stretch.
FACTORS = [(1.5, 1.5), (2.5, 2.5), (3.3, 3.3), (5, 5), (6, 6), (16, 16), (1.5, 3.3), (1, 2.5), (7, 1)]
SHAPES = [(1, 1), (1, 7), (2, 3), (13, 21)]


def target(shape, factors):
    """(width, height) of the result; never that of the picture."""
    height, width = shape
    size = [
        max(side, int(side * factor + 0.5)) for side, factor in zip((width, height), factors, strict=True)
    ]
    return tuple(size) if tuple(size) != (width, height) else (width + 1, height)


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=2)


@pytest.fixture(scope="module")
def floats(model):
    """What the oracle computes with."""
    return Upscaler(model, threads=2, precision="float32")


# ---- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factors", FACTORS)
def test_luma_against_oracle(net, model, isa, shape, factors):
    plane = np.random.default_rng(1).random(shape, np.float32) * 19 - 9  # floats are clipped nowhere
    size = target(shape, factors)
    result = Upscaler(model, threads=2, isa=isa).upscale(plane, size=size)
    assert result.dtype == np.float32 and result.shape == size[::-1]
    want = luma_oracle(net, plane.astype(float), size)
    np.testing.assert_allclose(result, want, atol=1e-5 * np.abs(want).max())
    if shape == SHAPES[-1]:
        assert want.max() > 1.01 and want.min() < -0.01


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_samples_against_oracle(net, floats, dtype, channels):
    """Rounded once, at the end, and never to 8 bits on the way."""
    rng = np.random.default_rng(channels)
    image = (rng.uniform(0.3, 0.7, (9, 14, channels)) * oracle.full_scale(dtype)).astype(dtype)
    for factors in FACTORS:
        size = target(image.shape[:2], factors)
        result = floats.upscale(image, size=size)
        assert result.dtype == image.dtype
        full = oracle.full_scale(dtype)
        want = samples_oracle(net, image.astype(float) / full, size) * full
        rounding = 0.5 if np.dtype(dtype).kind == "u" else 0
        error = np.abs(np.clip(want, 0, full) - result if rounding else want - result).max()
        assert error <= rounding + 2e-5 * full


@pytest.mark.parametrize("finish", [{"strength": 0.3}, {"strength": 1.4}, {"guided": False}], ids=str)
def test_any_finish(net, model, isa, finish):
    colour = "guided" if finish.get("guided", True) else "bicubic"
    upscaler = Upscaler(model, strength=finish.get("strength", 1.0), colour=colour, threads=2, isa=isa)
    image = np.random.default_rng(7).uniform(0.3, 0.7, (9, 14, 4)).astype(np.float32)
    for factors in FACTORS:
        size = target(image.shape[:2], factors)
        want = samples_oracle(net, image.astype(float), size, **finish)
        assert np.abs(upscaler.upscale(image, size=size) - want).max() <= 2e-5


def test_a_product_of_scales_is_pass_upon_pass(upscaler):
    plane = np.random.default_rng(2).random((11, 17), np.float32)
    for scale, chain in ((6, (2, 3)), (8, (2, 4)), (9, (3, 3)), (12, (3, 4)), (16, (4, 4))):
        want = plane
        for each in chain:
            want = upscaler.upscale(want, each)
        assert_array_equal(upscaler.upscale(plane, scale), want)


@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_scales_of_the_network_keep_their_bits(upscaler, scale, channels):
    image = np.random.default_rng(3).integers(0, 256, (10, 13, *channels), np.uint8)
    if channels and channels[0] != 3:
        image[2:6, 3:9, -1] = 0
    want = np.empty((10 * scale, 13 * scale, *channels), np.uint8)
    src = image
    if channels and channels[0] != 3:
        from fsrcnn_rt.engine.arrays import extend_colour
        from fsrcnn_rt.model.network import BICUBIC_REACH

        src = extend_colour(image, upscaler.model.reach + BICUBIC_REACH)
    upscaler._engine.network_for(image.dtype).run(src, {scale: want}, 1)
    for given in ({"scale": scale}, {"scale": float(scale)}, {"size": (13 * scale, 10 * scale)}):
        assert_array_equal(upscaler.upscale(image, **given), want)
    assert_array_equal(upscaler.upscale(image, scale - 0.001), want)  # the same size


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_threads_and_strips_change_no_bit(model, isa, dtype):
    rng = np.random.default_rng(4)
    image = (rng.uniform(0.1, 1, (37, 51, 4)) * oracle.full_scale(dtype)).astype(dtype)
    for factors in ((1.5, 1.5), (5, 5), (1, 3.3)):
        size = target((37, 51), factors)
        want = Upscaler(model, threads=1, isa=isa).upscale(image, size=size)
        network = Upscaler(model, isa=isa)._engine.network_for(image.dtype)
        for threads in (2, 5):
            assert_array_equal(Upscaler(model, threads=threads, isa=isa).upscale(image, size=size), want)
            for strip_width in (4, 40):
                result = np.zeros_like(want)
                chain = passes((51, 37), size, (2, 3, 4))
                network.resize(image, result, chain, threads, strip_width=strip_width)
                assert_array_equal(result, want)


def test_constant_planes_stay_constant(upscaler, isa):
    """To the bit for integers; of floats within a rounding, as the weights are floats themselves."""
    engine = Upscaler(upscaler.model, isa=isa)._engine
    for dtype, value in (("uint8", 0), ("uint8", 255), ("uint16", 65535), ("uint16", 12345), ("float32", 1)):
        network = engine.network_for(np.dtype(dtype))
        plane = np.full((7, 5), value, dtype)
        for width, height in ((8, 11), (80, 112), (5, 8)):
            result = np.zeros((height, width), dtype)
            network.bicubic_resize(plane, result, (5, 7), (width, height), 2)
            np.testing.assert_allclose(result, value, rtol=0 if dtype != "float32" else 3e-7)


@pytest.mark.parametrize("value", [0, 37, 128, 255])
@pytest.mark.parametrize("factors", FACTORS)
def test_flat_pictures_are_as_flat_as_from_the_network_alone(value, factors):
    """The shipped networks give their phases of a flat picture a little apart; nothing is added to that."""
    picture = np.full((12, 15, 4), value, np.uint8)
    result = upscale(picture, size=target((12, 15), factors)).astype(int)
    assert np.abs(result - value).max() <= 1
    assert (result[..., 3] == value).all()


# ---- where things are ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_name", ["fsrcnn", "fsrcnn-s"])
@pytest.mark.parametrize("factors", [*FACTORS, (1.1, 1.1), (4.5, 4.5), (2, 3)])
def test_nothing_moves(model_name, factors):
    plane = drawing().astype(np.float32)
    size = target(plane.shape, factors)
    reference = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
    result = upscale(plane, size=size, model=model_name)
    per_pixel = np.array([size[1] / plane.shape[0], size[0] / plane.shape[1]])
    assert np.abs(shift(result, reference) / per_pixel).max() < LARGEST_SHIFT


@pytest.mark.parametrize("factors", [*FACTORS, (1.1, 1.1)])
def test_chroma_and_alpha_do_not_move(factors):
    grey = (255 * drawing()).round().astype(np.uint8)
    image = np.stack([grey, 255 - grey, grey // 2, grey], axis=2)
    size = target(grey.shape, factors)
    result = upscale(image, size=size)
    per_pixel = np.array([size[1] / grey.shape[0], size[0] / grey.shape[1]])
    for plane, channel in zip(np.moveaxis(result, -1, 0), Image.fromarray(image).split(), strict=True):
        reference = np.asarray(channel.resize(size, Image.Resampling.BICUBIC)).astype(float)
        assert np.abs(shift(plane.astype(float), reference) / per_pixel).max() < LARGEST_SHIFT


def test_the_filter_does_not_alias(upscaler):
    """A sum of every row and column is kept when the plane is made smaller: no pixel is passed over."""
    image = np.zeros((20, 20), np.float32)
    network = upscaler._engine.network_for(image.dtype)
    image[7, 11] = 1
    large = np.empty((80, 80), np.float32)
    network.run(image, {4: large}, 1)
    flat = np.empty_like(large)
    network.run(np.zeros_like(image), {4: flat}, 1)
    small, small_flat = np.empty((21, 22), np.float32), np.empty((21, 22), np.float32)
    network.resize(image, small, (4,), 1)
    network.resize(np.zeros_like(image), small_flat, (4,), 1)
    mass = (large - flat).sum() / large.size
    assert abs(mass) > 1e-4
    assert (small - small_flat).sum() / small.size == pytest.approx(mass, rel=1e-2)


# ---- alpha -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("factors", [(1.1, 1.1), *FACTORS])
def test_colour_under_zero_alpha_has_no_influence(upscaler, channels, factors):
    rng = np.random.default_rng(7)
    image = rng.integers(1, 256, (48, 60, channels), np.uint8)
    image[4:44, 10:52, -1] = 0
    image[22, 30, -1] = 1
    other = image.copy()
    hidden = other[..., -1] == 0
    other[hidden, :-1] = 255 - other[hidden, :-1]
    size = target(image.shape[:2], factors)
    assert_array_equal(upscaler.upscale(image, size=size), upscaler.upscale(other, size=size))


@pytest.mark.parametrize("factors", FACTORS)
def test_a_logo_of_one_colour_gets_no_fringe(upscaler, factors):
    colour = [200, 30, 90]
    flat = np.full((40, 46, 3), colour, np.uint8)
    logo = np.zeros((40, 46, 4), np.uint8)
    logo[12:19, 14:32] = [*colour, 255]
    logo[19:22, 14:20] = [*colour, 40]
    size = target((40, 46), factors)
    expected, result = upscaler.upscale(flat, size=size), upscaler.upscale(logo, size=size)
    visible = result[..., 3] > 0
    assert visible.any() and not visible.all()
    assert_array_equal(result[visible][:, :3], expected[visible])


# ---- the calls -------------------------------------------------------------------------------------------

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)


def test_sizes_of_results(upscaler):
    assert upscaler.upscale(IMAGE, 1.5).shape == (14, 18, 3)  # 13.5 is rounded up
    assert upscaler.upscale(IMAGE, np.float32(2.5)).shape == (23, 30, 3)
    assert upscaler.upscale(IMAGE, size=(np.int64(13), 9)).shape == (9, 13, 3)
    assert upscaler.upscale(IMAGE, size=[100, 144]).shape == (144, 100, 3)
    assert upscaler.upscale(IMAGE, size=Box(100, 50)).shape == (50, 67, 3)
    picture = upscaler.upscale(Image.fromarray(IMAGE), size=(50, 40))
    assert (picture.mode, picture.size) == ("RGB", (50, 40))
    assert_array_equal(np.asarray(picture), upscaler.upscale(IMAGE, size=(50, 40)))
    assert_array_equal(upscale(IMAGE, size=(50, 40), model=upscaler.model), np.asarray(picture))
    assert upscale(Image.fromarray(IMAGE), 1.5, model=upscaler.model).size == (18, 14)


def test_several_factors_at_once(upscaler):
    results = upscaler.upscale(IMAGE, (2, 1.5, 5, 3, 2.999))
    assert list(results) == [2, 1.5, 5, 3, 2.999]
    for scale, result in results.items():
        assert_array_equal(result, upscaler.upscale(IMAGE, scale))
    assert [type(scale) for scale in upscaler.upscale(IMAGE, (2.0, 1.5))] == [int, float]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", ">u2"])
def test_out(upscaler, dtype, channels):
    image = np.random.default_rng(8).integers(1, 200, (9, 12, channels)).astype(dtype)
    want = upscaler.upscale(image, 1.5)
    out = np.full(want.shape, 7, dtype)
    assert upscaler.upscale(image, size=(18, 14), out=out) is out
    assert_array_equal(out, want)
    wide = np.zeros((28, 20, channels), dtype)[::-2, 1:19]
    assert upscaler.upscale(image, 1.5, out=wide) is wide
    assert_array_equal(wide, want)
    outs = {1.5: np.zeros_like(want), 2: np.zeros((18, 24, channels), dtype)}
    assert upscaler.upscale(image, (1.5, 2), out=outs)[1.5] is outs[1.5]
    assert_array_equal(outs[1.5], want)
    assert_array_equal(outs[2], upscaler.upscale(image, 2))
    with pytest.raises(ValueError, match=r"not \(14, 18, \d\) and .* as scale=1.5 needs"):
        upscaler.upscale(image, 1.5, out=np.zeros((13, 18, channels), dtype))
    with pytest.raises(ValueError, match="as size=18x14 needs"):
        upscaler.upscale(image, size=(18, 14), out=np.zeros((13, 18, channels), dtype))


@pytest.mark.parametrize("channels", [3, 4])
def test_blue_first(upscaler, channels):
    image = np.random.default_rng(9).integers(1, 256, (9, 12, channels), np.uint8)
    order = [2, 1, 0, 3][:channels]
    want = upscaler.upscale(image[..., order], 2.5)
    assert_array_equal(upscaler.upscale(image, 2.5, channel_order="bgr")[..., order], want)


def test_strides(upscaler):
    image = np.random.default_rng(10).integers(0, 256, (30, 40, 3), np.uint8)[::-3, 3:30:2]
    assert_array_equal(upscaler.upscale(image, 1.5), upscaler.upscale(image.copy(), 1.5))


def test_map(upscaler):
    rng = np.random.default_rng(11)
    frames = [rng.integers(0, 256, (10 + i % 3, 20, 3), np.uint8) for i in range(7)]
    for got, frame in zip(upscaler.map(iter(frames), 1.5), frames, strict=True):
        assert_array_equal(got, upscaler.upscale(frame, 1.5))
    for got, frame in zip(upscaler.map(iter(frames), size=(33, 44)), frames, strict=True):
        assert_array_equal(got, upscaler.upscale(frame, size=(33, 44)))
    with pytest.raises(ValueError, match="exclude each other"):
        upscaler.map(frames, 2, size=(33, 44))
    with pytest.raises(TypeError, match="is not a number"):
        upscaler.map(frames, (2, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scale": 2, "size": (30, 30)}, ValueError, r"scale=2 and size=\(30, 30\) exclude each other"),
        ({"scale": float("nan")}, ScaleError, "scale=nan is not above 1 and up to 16"),
        ({"scale": float("inf")}, ScaleError, "scale=inf is not above 1"),
        ({"scale": 1.0}, ScaleError, "scale=1.0 is not above 1"),
        ({"scale": 0.5}, ScaleError, "scale=0.5 is not above 1"),
        ({"scale": -3}, ScaleError, "scale=-3 is not above 1"),
        ({"scale": 16.01}, ScaleError, "scale=16.01 is not above 1 and up to 16"),
        ({"scale": (1920, 1080)}, ScaleError, r"scale=1920 is .* up to 16; size=\(1920, 1080\) asks for"),
        ({"scale": (2, 2.0)}, ScaleError, "names a scale twice"),
        ({"scale": "1.5"}, TypeError, "scale='1.5' is not a number"),
        ({"size": (11, 20)}, ValueError, "size=11x20 makes 12x9 to 11x20, which is smaller"),
        ({"size": (20, 8)}, ValueError, "size=20x8 makes 12x9 to 20x8, which is smaller"),
        ({"size": (12, 9)}, ValueError, "size=12x9 makes 12x9 to 12x9, which is no larger"),
        ({"size": (193, 9)}, ValueError, "which is more than 16 times as large"),
        ({"size": (12, 145)}, ValueError, "which is more than 16 times as large"),
        ({"size": Box(11, None)}, ValueError, "size=11w makes 12x9 to 11x8, which is smaller"),
        ({"size": (0, 20)}, ValueError, r"size=\(0, 20\) is not of positive sides"),
        ({"size": (20.0, 20)}, TypeError, r"size=\(20.0, 20\) is not \(width, height\)"),
        ({"size": 20}, TypeError, "size=20 is not"),
        ({"size": "20x20"}, TypeError, "size='20x20' is not"),
        ({"size": (20,)}, TypeError, r"size=\(20,\) is not"),
        ({"size": (True, 20)}, TypeError, r"size=\(True, 20\) is not"),
    ],
)
def test_refusals(upscaler, arguments, error, message):
    for picture in (IMAGE, Image.fromarray(IMAGE)):
        with pytest.raises(error, match=message):
            upscaler.upscale(picture, **arguments)
    if "makes" not in message and "times" not in message:  # what is wrong for any picture
        with pytest.raises(error, match=message):
            upscaler.map([], **arguments)


def test_the_core_trusts_nobody(upscaler):
    plane, good = np.zeros((8, 8), np.uint8), np.zeros((12, 12), np.uint8)
    network = upscaler._engine.network_for(plane.dtype)
    network.resize(plane, good, [2], 1)
    for scales, dst, message in (
        ([], good, "0 scales"),
        ([2] * 5, good, "5 scales"),
        ([5], good, "no head for 5"),
        ([2], np.zeros((17, 12), np.uint8), "does not fit"),
        ([2], np.zeros((7, 12), np.uint8), "does not fit"),
        ([4, 4, 4], good, "does not fit"),
    ):
        with pytest.raises(ValueError, match=message):
            network.resize(plane, dst, scales, 1)
    with pytest.raises(ValueError, match="no smaller"):
        network.bicubic_resize(plane, good, (3, 3), (2, 3), 1)
    with pytest.raises(ValueError, match="no smaller"):
        network.bicubic_resize(plane, good, (3, 3), (float("nan"), 3), 1)


# ---- planes ----------------------------------------------------------------------------------------------

SITINGS = {"left": (0, 0.5), "center": (0.5, 0.5), "topleft": (0, 0)}


@pytest.mark.parametrize("location", SITINGS)
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 1)])
@pytest.mark.parametrize(("bits", "size"), [(8, (33, 20)), (10, (48, 27)), (16, (21, 40)), (12, (105, 65))])
def test_planes_against_oracle(floats, net, bits, size, subsampling, location):
    """Chroma keeps its place on luma, whatever is rounded up."""
    planes = yuv(np.random.default_rng(bits), 21, 13, bits, subsampling)
    layout = {"bits": bits, "subsampling": subsampling, "chroma_location": location}
    result = floats.upscale_planes(planes, size=size, **layout)
    full, top = 255 * 2 ** (bits - 8), 2**bits - 1
    luma = luma_oracle(net, planes[0] / full, size) * full
    assert np.abs(np.clip(luma, 0, top) - result[0]).max() <= 0.5 + 1e-5 * full
    chroma_size = tuple(-(-side // factor) for side, factor in zip(size, subsampling, strict=True))
    # From where chroma lies in its luma samples, counted between their centres, to where in its cell.
    siting = [(inside * (f - 1) + 0.5) / f for inside, f in zip(SITINGS[location], subsampling, strict=True)]
    for plane, got in zip(planes[1:], result[1:], strict=True):
        assert got.shape == chroma_size[::-1] and got.dtype == plane.dtype
        want = filtered(plane.astype(float), chroma_size, ((21, 13), size), siting)
        assert np.abs(np.clip(want, 0, top) - got).max() <= 0.5 + 1e-5 * full


def test_planes_of_a_scale_of_the_network_keep_their_bits(upscaler):
    planes = yuv(np.random.default_rng(15), 15, 11, 8, (2, 2))
    for scale in (2, 3, 4):
        want = [np.empty((11 * scale, 15 * scale), np.uint8)]
        want += [np.empty((-(-11 * scale // 2), -(-15 * scale // 2)), np.uint8) for _ in range(2)]
        network = upscaler._engine.network_for(np.dtype(np.uint8))
        network.run(planes[0], {scale: want[0]}, 1)
        for plane, result in zip(planes[1:], want[1:], strict=True):
            network.bicubic(plane, result, scale, 1, siting=(0.25, 0.5))
        for given in ({"scale": scale}, {"size": (15 * scale, 11 * scale)}):
            for a, b in zip(upscaler.upscale_planes(planes, **given), want, strict=True):
                assert_array_equal(a, b)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (5, 1)])
def test_tiny_frames(upscaler, width, height):
    planes = yuv(np.random.default_rng(16), width, height, 8, (2, 2))
    for scale in (1.5, 2.5, 7, 16):
        w, h = size_of(scale, (width, height), (2, 2))
        assert [plane.shape for plane in upscaler.upscale_planes(planes, scale)] == [
            (h, w),
            *[(-(-h // 2), -(-w // 2))] * 2,
        ]


def test_planes_threads_and_out(model):
    planes = yuv(np.random.default_rng(17), 50, 41, 10, (2, 2))
    want = Upscaler(model, threads=1).upscale_planes(planes, 1.5, bits=10)
    assert [plane.shape for plane in want] == [(62, 76), (31, 38), (31, 38)]  # whole samples of chroma
    out = [np.zeros_like(plane) for plane in want]
    got = Upscaler(model, threads=4).upscale_planes(planes, size=(76, 62), bits=10, out=out)
    for a, b, c in zip(want, got, out, strict=True):
        assert_array_equal(a, b)
        assert b is c


# ---- memory ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.5, 5])
def test_nothing_between_the_passes_is_ever_whole(model_file, scale):
    """A plane of floats of what the network gives would take 40 MB or more."""
    code = f"""
import numpy as np
import fsrcnn_rt

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

upscaler = fsrcnn_rt.Upscaler({str(model_file)!r}, threads=2)
height, width = {(1500, 1800) if scale < 2 else (500, 600)}
image = np.ones((height, width, 3), np.uint8)
out = np.ones((int(height * {scale}), int(width * {scale}), 3), np.uint8)
before = peak()
upscaler.upscale(image, {scale}, out=out)
print(peak() - before)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 16 * 1024
