"""What follows the network: the guard, the strength and the colour, as users meet them."""

import io
import pickle

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from conversions import to_model
from fsrcnn_rt import Upscaler, _core, cli, upscale
from fsrcnn_rt.evaluation.metrics import imresize, psnr
from fsrcnn_rt.video.y4m import upscale_y4m
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

LUMA = np.array([65.481, 128.553, 24.966]) / 255


def bounds(plane, scale):
    """What no result may leave, by the definition of the guard."""
    return oracle.guarded(-np.inf, plane, scale), oracle.guarded(np.inf, plane, scale)


def assert_bounded(result, plane, scale):
    low, high = bounds(plane, scale)
    slack = 1e-6 * max(1, np.abs(plane).max())
    assert (result >= low - slack).all() and (result <= high + slack).all()


def wild_model(padding="replicate"):
    """Weights whose result is nowhere near the picture."""
    net = oracle.random_net(np.random.default_rng(1), 8, 3, 1, padding=padding)
    for head in net.heads.values():
        head[0][...] *= 50
    return to_model(net)


@pytest.fixture
def image():
    return np.random.default_rng(4).integers(0, 256, (19, 26, 4), np.uint8)


# ---- guard -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("strength", [0.5, 1, 1.5])
def test_no_weights_leave_the_range_of_the_pixels_around(isa, padding, strength, plane):
    upscaler = Upscaler(wild_model(padding), strength=strength, threads=2, isa=isa)
    without = Upscaler(wild_model(padding), strength=strength, guard=False, threads=2, isa=isa)
    for picture in (plane, 40 * plane - 20, np.full_like(plane, 0.7)):
        for scale, result in upscaler.upscale(picture, (2, 3, 4)).items():
            assert_bounded(result, picture, scale)
            free = without.upscale(picture, scale)
            assert (free < bounds(picture, scale)[0]).any() and (free > bounds(picture, scale)[1]).any()
            reached = np.isin(result, np.float32(bounds(picture, scale))).mean()
            assert reached > 0.1 or strength < 1  # it keeps what it can, and no less


@pytest.mark.parametrize("channels", [3, 4])
def test_the_guard_is_of_luma(channels):
    picture = np.random.default_rng(6).random((15, 22, channels), np.float32)
    for scale, result in Upscaler(wild_model()).upscale(picture, (2, 3, 4)).items():
        assert_bounded(result[..., :3] @ LUMA, picture[..., :3].astype(float) @ LUMA, scale)
    rgb = Upscaler(wild_model(), colour="rgb").upscale(picture, 3)
    for channel in range(3):
        assert_bounded(rgb[..., channel], picture[..., channel], 3)


def test_every_pass_is_guarded_by_what_goes_into_it(plane):
    upscaler = Upscaler(wild_model())
    result = upscaler.upscale(plane, 6)
    assert_bounded(result, upscaler.upscale(plane, 2), 3)
    assert np.abs(upscaler.upscale(plane, 5.5)).max() < 3  # where the network alone is at 10^4
    (luma,) = upscaler.upscale_planes([(255 * plane).astype(np.uint8)], 2)
    assert_array_equal(luma, upscaler.upscale((255 * plane).astype(np.uint8), 2))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_neither_hidden_nor_spread_by_the_guard(isa, value, plane):
    plane[9, 11] = value
    guarded = Upscaler(wild_model(), isa=isa).upscale(plane, (2, 3))
    free = Upscaler(wild_model(), isa=isa, guard=False).upscale(plane, (2, 3))
    for scale in (2, 3):
        assert_array_equal(np.isnan(guarded[scale]), np.isnan(free[scale]))
        window = np.s_[7 * scale : 12 * scale, 9 * scale : 14 * scale]  # of which that pixel is one
        if np.isinf(value):
            assert_array_equal(guarded[scale][window], free[scale][window])
        # Elsewhere infinity is out of range, as any value may be.
        away = np.ones(guarded[scale].shape, bool)
        away[window] = False
        assert not np.isinf(guarded[scale][away]).any()


def test_the_guard_leaves_sound_results_alone():
    """The shipped weights on a photograph: all but a few samples keep their bits."""
    y, x = np.mgrid[:40, :50] / 8
    smooth = (0.5 + 0.2 * np.sin(x + y) * np.cos(y - x / 3)).astype(np.float32)
    for scale in (2, 3, 4):
        assert_array_equal(upscale(smooth, scale), upscale(smooth, scale, guard=False))


# ---- strength --------------------------------------------------------------------------------------------


def test_strength_1_is_the_network(image, model):
    assert_array_equal(
        Upscaler(model, strength=1).upscale(image, (2, 1.5))[2], Upscaler(model).upscale(image, 2)
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_strength_0_is_bicubic(isa, scale, image):
    """Of every channel, whatever the weights, and untouched by the guard."""
    samples = (image / 255).astype(np.float32)
    samples[..., 3] += 0.01  # not transparent
    for colour in ("guided", "bicubic", "rgb"):
        result = Upscaler(wild_model(), strength=0, colour=colour, isa=isa).upscale(samples, scale)
        want = np.stack([oracle.bicubic(samples[..., c].astype(float), scale) for c in range(4)], -1)
        assert_allclose(result, want, atol=2e-6)


@pytest.mark.parametrize("size", [(39, 29), (52, 38), (156, 114), (130, 95), (27, 200)])
def test_strength_0_is_bicubic_of_any_size(size, plane):
    result = Upscaler(wild_model(), strength=0).upscale(plane, size=size)
    # MATLAB's filter mirrors the edges and this one replicates them, which two pixels further in is the same.
    x, y = (3 * side // of + 1 for side, of in zip(size, (26, 19), strict=True))
    inner = np.s_[y:-y, x:-x]
    assert_allclose(result[inner], imresize(plane, shape=size[::-1])[inner], atol=2e-6)


@pytest.mark.parametrize("goal", [2, 3, 1.7, 6])
def test_strength_is_a_mixture(goal, plane, model):
    none, half, all_ = (Upscaler(model, strength=s, guard=False).upscale(plane, goal) for s in (0, 0.5, 1))
    assert_allclose(half, (none + all_) / 2, atol=1e-6)
    more = Upscaler(model, strength=1.5, guard=False).upscale(plane, goal)
    if goal in (2, 3):
        assert_allclose(more, none + 1.5 * (all_ - none), atol=1e-5)
    assert (more != all_).any()


# ---- colour ----------------------------------------------------------------------------------------------


def test_a_grey_picture_stays_grey(isa):
    """Stored as RGB, and with each way of colour."""
    grey = np.random.default_rng(3).integers(0, 256, (23, 31), np.uint8)
    for colour in ("guided", "bicubic", "rgb"):
        upscaler = Upscaler("fsrcnn-s", colour=colour, isa=isa)
        for goal in (2, 3, 4, 1.5):
            result = upscaler.upscale(np.repeat(grey[..., None], 3, 2), goal)
            assert_array_equal(result, result[..., :1].repeat(3, 2))
            assert_array_equal(upscaler.upscale(grey, goal), upscale(grey, goal, model="fsrcnn-s", isa=isa))


@pytest.mark.parametrize("goals", [(2, 3, 4), (1.5, 6)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_rgb_is_the_network_on_each_channel(goals, dtype, image, model):
    image = image.astype(dtype) / 255 if dtype.startswith("float") else image.astype(dtype)
    image[..., 3] = np.maximum(image[..., 3], 1 if image.dtype.kind == "u" else 0.1)
    upscaler = Upscaler(model, colour="rgb", threads=2)
    for order, channels in (("rgb", 3), ("rgb", 4), ("bgr", 3), ("bgr", 4)):
        results = upscaler.upscale(image[..., :channels], goals, channel_order=order)
        for goal, result in results.items():
            for channel in range(3):
                assert_array_equal(result[..., channel], upscaler.upscale(image[..., channel], goal))
            if channels == 4:
                alpha = Upscaler(model).upscale(image, goal)[..., 3]
                assert_allclose(result[..., 3], alpha, atol=1 if image.dtype.kind == "u" else 1e-6)


def disc(inside, outside):
    """A picture of two colours, and what it is when made three times as small."""
    y, x = np.mgrid[:90, :90] - 44.5
    large = np.where((np.hypot(x, y) < 30)[..., None], inside, outside)
    return large, imresize(large, 1 / 3).astype(np.float32)


def test_colour_becomes_sharp():
    """Guided chroma where it is a function of luma; where luma is flat, only the network on each channel."""
    large, small = disc((0.9, 0.3, 0.1), (0.1, 0.1, 0.2))
    guided, soft = (psnr(upscale(small, 3, colour=colour), large, peak=1) for colour in ("guided", "bicubic"))
    assert guided > soft + 1
    flat = (0, 0, LUMA @ (0.3, 0, 0.3) / LUMA[2])
    large, small = disc((0.3, 0, 0.3), flat)
    assert_allclose(upscale(small, 3), upscale(small, 3, colour="bicubic"), atol=1e-3)
    rgb, guided = (psnr(upscale(small, 3, colour=colour), large, peak=1) for colour in ("rgb", "guided"))
    assert rgb > guided + 1


@pytest.mark.parametrize("colour", ["guided", "rgb"])
@pytest.mark.parametrize("goal", [2, 3, 4, 2.5])
def test_constant_pictures_stay_constant(colour, goal):
    for value in (0, 255):
        image = np.full((9, 8, 4), value, np.uint8)
        image[..., 3] = 255
        result = upscale(image, goal, colour=colour)
        assert np.ptp(result[..., 0]) <= 2  # what the network makes of a flat plane
        assert_array_equal(result[..., :3], result[..., :1].repeat(3, 2))
        assert (result[..., 3] == 255).all()


@pytest.mark.parametrize("colour", ["guided", "rgb"])
@pytest.mark.parametrize("goal", [2, 4, 1.5, 6])
def test_colour_under_alpha_0_has_no_influence(colour, goal, image):
    image[4:12, 5:20, 3] = 0
    other = image.copy()
    other[image[..., 3] == 0, :3] = 99
    upscaler = Upscaler("fsrcnn-s", colour=colour)
    assert_array_equal(upscaler.upscale(image, goal), upscaler.upscale(other, goal))


def test_narrow_networks_take_what_guided_chroma_reads(image):
    """A trunk of 1x1 kernels reaches less far than what follows it."""
    net = oracle.random_net(np.random.default_rng(2), 4, 2, 0, scales=(4,))
    weight, *rest = net.nodes[0]
    net.nodes[0] = (np.ascontiguousarray(weight[..., 2:3, 2:3]), *rest)
    samples = image / np.float32(255)
    network = _core.Network(net.nodes, net.heads, net.padding, _core.available_isas()[-1])
    result = np.empty((76, 104, 4), np.float32)
    network.run(samples, {4: result}, 2, strip_width=8)
    assert_allclose(result, oracle.upscale_samples(net, samples, 4), atol=1e-5)


# ---- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [Upscaler, lambda **options: upscale(np.zeros((4, 4)), **options)])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"strength": -0.1}, ValueError, "strength=-0.1 is not 0 to 1.5"),
        ({"strength": 1.6}, ValueError, "strength=1.6 is not 0 to 1.5"),
        ({"strength": np.nan}, ValueError, "strength=nan is not 0 to 1.5"),
        ({"strength": "1"}, TypeError, "strength='1' is not a number"),
        ({"strength": True}, TypeError, "strength=True is not a number"),
        ({"strength": None}, TypeError, "strength=None is not a number"),
        ({"colour": "sharp"}, ValueError, "colour='sharp' is none of guided, bicubic, rgb"),
        ({"colour": None}, ValueError, "colour=None is none of guided, bicubic, rgb"),
        ({"guard": 1}, TypeError, "guard=1 is neither True nor False"),
        ({"guard": "no"}, TypeError, "guard='no' is neither True nor False"),
    ],
)
def test_refusals(call, options, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        call(**options)


def test_the_core_refuses_a_strength(model, plane):
    network = Upscaler(model)._engine.network_for(plane.dtype)
    for strength in (-1, 1.51, np.nan):
        with pytest.raises(ValueError, match="strength="):
            network.run(plane, {2: np.empty((38, 52), np.float32)}, 1, strength=strength)
        with pytest.raises(ValueError, match="strength="):
            network.resize(plane, np.empty((38, 52), np.float32), [2], 1, strength=strength)


def test_what_an_upscaler_says_of_itself(model):
    upscaler = Upscaler(model, strength=np.float32(0.5), colour="rgb", guard=False)
    assert (upscaler.strength, upscaler.colour, upscaler.guard) == (0.5, "rgb", False)
    default = Upscaler(model)
    assert (default.strength, default.colour, default.guard) == (1, "guided", True)


def test_a_copy_has_them(model, image):
    upscaler = Upscaler(model, strength=0.5, colour="rgb", guard=False)
    copy = pickle.loads(pickle.dumps(upscaler))
    assert (copy.strength, copy.colour, copy.guard) == (0.5, "rgb", False)
    assert_array_equal(copy.upscale(image, 2), upscaler.upscale(image, 2))


def test_upscale_takes_them(image, model):
    for options in ({"strength": 0.5}, {"colour": "rgb"}, {"colour": "bicubic"}, {"guard": False}):
        expected = Upscaler(model, **options).upscale(image, 2)
        assert_array_equal(upscale(image, 2, model=model, **options), expected)
        assert not np.array_equal(expected, upscale(image, 2, model=model))


# ---- the command line, and video -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 40])  # many pictures take another upscaler, on one thread
@pytest.mark.parametrize("options", [{"strength": 0.25}, {"colour": "rgb"}, {"colour": "bicubic"}])
def test_options_of_the_command(run, folder, model, image, options, count):
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    for i in range(count):
        Image.fromarray(image[..., :3]).save(folder / f"{i}.png")
    code, _, _ = run(folder, "-o", folder / "large", "-s", "2", "-j", "2", *given)
    assert code == 0
    expected = Upscaler(model, **options).upscale(image[..., :3], 2)
    for i in range(count):
        assert_array_equal(np.asarray(Image.open(folder / "large" / f"{i}_x2.png")), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.png", "--strength", "2"), "strength=2.0 is not 0 to 1.5"),
        (("a.png", "--strength", "nan"), "strength=nan is not 0 to 1.5"),
        (("a.png", "--strength", "much"), "--strength: invalid float value"),
        (("a.png", "--colour", "sharp"), "--colour: invalid choice: 'sharp'"),
        (("a.y4m", "--strength", "2"), "strength=2.0 is not 0 to 1.5"),
        (("a.y4m", "--colour", "rgb"), "unrecognized arguments: --colour"),
    ],
)
def test_wrong_usage_is_told_before_any_work(folder, capsys, arguments, message):
    for name in ("a.png", "a.y4m"):
        (folder / name).write_bytes(b"never read")
    assert cli.main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_strength_of_video(run, folder, model):
    luma = np.random.default_rng(5).integers(16, 236, (16, 24), np.uint8)
    chroma = np.full((8, 12), 128, np.uint8)
    stream = b"YUV4MPEG2 W24 H16 F25:1 C420\nFRAME\n" + luma.tobytes() + 2 * chroma.tobytes()
    (folder / "a.y4m").write_bytes(stream)
    assert run("a.y4m", "--strength", "0.5", "-q")[0] == 0
    written = (folder / "a_x2.y4m").read_bytes()
    sink = io.BytesIO()
    upscale_y4m(io.BytesIO(stream), sink, model=model, strength=0.5)
    assert written == sink.getvalue()
    large = np.frombuffer(written.split(b"FRAME\n")[1][: 32 * 48], np.uint8).reshape(32, 48)
    planes = Upscaler(model, strength=0.5).upscale_planes([luma, chroma, chroma], 2)
    assert_array_equal(large, planes[0])
    assert (planes[0] != fsrcnn_rt.Upscaler(model).upscale(luma, 2)).any()
