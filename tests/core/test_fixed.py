"""Fixed point: the same bits from every kernel set, and close to floats."""

from dataclasses import replace

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from conversions import to_model
from fsrcnn_rt import Upscaler, cli
from fsrcnn_rt.evaluation.protocol import evaluate, list_images, load_luma, make_pair, mean, to_8bit
from fsrcnn_rt.model import Architecture, Channels, HeadShape, NodeShape
from PIL import Image

MODES = {1: (20, 31), 2: (20, 31, 2), 3: (20, 31, 3), 4: (20, 31, 4)}


def made(upscaler, image):
    """All that a picture becomes: whole scales together and alone, any size, in one pass and in two."""
    results = list(upscaler.upscale(image, (2, 3, 4)).values())
    return [*results, upscaler.upscale(image, 3), upscaler.upscale(image, 2.3), upscaler.upscale(image, 5)]


@pytest.fixture(scope="module")
def expected():
    """What the scalar twins make of a picture, by weights and channels."""
    known = {}

    def of(name, image):
        key = (name, image.shape, image.dtype)
        if key not in known:
            known[key] = made(Upscaler(name, precision="int16", isa="reference"), image)
        return known[key]

    return of


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("channels", MODES)
def test_every_kernel_set_gives_the_same_bits(isa, channels, threads, expected):
    image = np.random.default_rng(channels).integers(0, 256, MODES[channels], np.uint8)
    upscaler = Upscaler("fsrcnn-s", precision="int16", isa=isa, threads=threads)
    for result, want in zip(made(upscaler, image), expected("fsrcnn-s", image), strict=True):
        np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize(
    "options", [{"strength": 0.4}, {"strength": 1.4}, {"guard": False}, {"colour": "rgb"}]
)
def test_so_with_every_option(isa, options):
    image = np.random.default_rng(3).integers(0, 256, (17, 23, 3), np.uint8)
    results = [
        Upscaler("fsrcnn-s", precision="int16", isa=i, **options).upscale(image, 3)
        for i in (isa, "reference")
    ]
    np.testing.assert_array_equal(*results)


def test_so_with_planes_of_video(isa):
    rng = np.random.default_rng(4)
    planes = [rng.integers(0, 256, shape, np.uint8) for shape in ((18, 26), (9, 13), (9, 13))]
    results = [
        Upscaler("fsrcnn-s", precision="int16", isa=i).upscale_planes(planes, scale)
        for scale in (2, 2.5)
        for i in (isa, "reference")
    ]
    for one, other in (results[:2], results[2:]):
        for plane, want in zip(one, other, strict=True):
            np.testing.assert_array_equal(plane, want)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("shape", [(56, 12, 4), (1, 1, 1), (13, 5, 0)], ids=str)
def test_any_chain_comes_close_to_floats(isa, shape, padding):
    rng = np.random.default_rng(sum(shape))
    model = to_model(oracle.random_net(rng, *shape, padding=padding))
    image = rng.integers(0, 256, (18, 29), np.uint8)
    for scale in (2, 3, 4):
        one, other = (
            Upscaler(model, precision=precision, isa=isa).upscale(image, scale).astype(int)
            for precision in ("int16", "float32")
        )
        assert np.abs(one - other).max() <= 2


NAMES = ["fsrcnn", "fsrcnn-s"]


def both(name):
    return [Upscaler(name, precision=precision) for precision in ("int16", "float32")]


@pytest.mark.parametrize("name", NAMES)
def test_photographs_differ_by_one_code(name, data_folder):
    upscalers = both(name)
    for path in list_images(data_folder / "Set5"):
        luma = load_luma(path)
        for scale in (2, 3, 4):
            for picture in luma, to_8bit(make_pair(luma, scale).lr):
                one, other = (upscaler.upscale(picture, scale).astype(int) for upscaler in upscalers)
                assert np.abs(one - other).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_as_good_by_the_protocol(name, data_folder):
    images = list_images(data_folder / "Set5")
    fixed, floats = both(name)
    methods = {scale: {"fixed": fixed.upscale, "floats": floats.upscale} for scale in (2, 3, 4)}
    results = evaluate(methods, images)
    for scale in methods:
        levels = {
            method: mean([r.figures for r in results if (r.scale, r.method) == (scale, method)]).psnr
            for method in ("fixed", "floats")
        }
        assert levels["fixed"] >= levels["floats"] - 0.005
        assert levels["fixed"] != levels["floats"]


def hostile():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:40, :40]
    line = (x == 20) * 255
    yield from (rng.integers(0, 2, (40, 40)) * 255, rng.integers(0, 256, (40, 40)), np.zeros((40, 40)))
    yield from ((x + y) // size % 2 * 255 for size in (1, 2, 3))
    yield from (line, 255 - line, line.T, np.full((40, 40), 255), x // 2 % 2 * 255)


def large_and_hostile():
    """So much noise that some of it drives a channel as far as noise will."""
    rng = np.random.default_rng(9)
    for density in (0.3, 0.5, 0.6, 0.7):
        yield (rng.random((600, 600)) < density) * 255
    yield rng.normal(128, 150, (600, 600)).clip(0, 255)


@pytest.mark.parametrize("name", NAMES)
def test_hostile_pictures_differ_by_two(name):
    upscalers = both(name)
    for picture in (*hostile(), *large_and_hostile()):
        for scale in (2, 3, 4):
            one, other = (u.upscale(picture.astype(np.uint8), scale).astype(int) for u in upscalers)
            assert np.abs(one - other).max() <= 2


@pytest.fixture(scope="module")
def engines():
    """The default, and what it may be."""
    return {"default": Upscaler("fsrcnn-s")} | {
        precision: Upscaler("fsrcnn-s", precision=precision) for precision in ("int16", "float32")
    }


PLAIN = np.random.default_rng(6).integers(0, 256, (24, 28, 3), np.uint8)
# How a picture goes in, and what it is computed with by default.
WAYS = {
    "uint8": (lambda u: u.upscale(PLAIN, 3), "int16"),
    "uint8 luma": (lambda u: u.upscale(PLAIN[..., 0], 2.5), "int16"),
    "uint16": (lambda u: u.upscale(PLAIN * np.uint16(257), 3), "float32"),
    "floats": (lambda u: u.upscale(PLAIN / np.float32(255), 3), "float32"),
    "Pillow": (lambda u: np.asarray(u.upscale(Image.fromarray(PLAIN), 3)), "int16"),
    "Pillow, 16 bits": (
        lambda u: np.asarray(u.upscale(Image.fromarray(PLAIN[..., 0] * np.uint16(257)), 3)),
        "float32",
    ),
    "a stream": (lambda u: next(iter(u.map([PLAIN], 2))), "int16"),
    "planes of 8 bits": (lambda u: u.upscale_planes([PLAIN[..., 0]], 2)[0], "int16"),
    "planes of 10 bits": (
        lambda u: u.upscale_planes([PLAIN[..., 0].astype(np.uint16) * 4], 2, bits=10)[0],
        "float32",
    ),
    "upscale()": (lambda u: fsrcnn_rt.upscale(PLAIN, 3, model=u), "int16"),
}


@pytest.mark.parametrize("way", WAYS)
def test_8_bits_have_integers_by_default(engines, way):
    made, precision = WAYS[way]
    results = {name: made(upscaler) for name, upscaler in engines.items()}
    assert (results["int16"] != results["float32"]).any()
    np.testing.assert_array_equal(results["default"], results[precision])


def test_the_default_is_told(engines):
    upscaler = engines["default"]
    assert upscaler.precision == "auto"
    assert [upscaler.precision_for(t) for t in (np.uint8, np.uint16, np.float32)] == [
        "int16",
        "float32",
        "float32",
    ]
    assert fsrcnn_rt.measure_fps(upscaler, (8, 6), 2, seconds=0).precision == "int16"
    assert fsrcnn_rt.measure_fps(engines["float32"], (8, 6), 2, seconds=0).precision == "float32"


@pytest.mark.parametrize("asked", ["default", "float32"])
def test_the_command_line_has_the_same_default(engines, folder, asked):
    Image.fromarray(PLAIN).save("a.png")
    options = ["--content", "photo", *([] if asked == "default" else ["--precision", asked])]
    assert cli.main(["a.png", "-o", "out.png", "-m", "fsrcnn-s", *options]) == 0
    np.testing.assert_array_equal(Image.open("out.png"), engines[asked].upscale(PLAIN, 3))


def test_what_is_no_chain_has_floats(model_of_no_chain):
    assert Upscaler(model_of_no_chain).precision_for(np.uint8) == "float32"
    with pytest.raises(
        ValueError, match=r"^model 'random': precision=int16: nodes\[\d\] is not one of a chain"
    ):
        Upscaler(model_of_no_chain, precision="int16")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("srcnn", "the network does not enlarge luma at its end"), ("idn", r"nodes\[3\] is not one of a chain")],
)
def test_so_have_srcnn_and_idn(name, reason):
    assert Upscaler(name).precision_for(np.uint8) == "float32"
    with pytest.raises(ValueError, match=f"^model '{name}': precision=int16: {reason}"):
        Upscaler(name, precision="int16")


def test_what_does_not_fit_has_floats(net):
    """Weights so large that no unit keeps their sums within 32 bits."""
    model = to_model(net)
    first = model.nodes[1]
    model = replace(
        model, nodes=[model.nodes[0], replace(first, weight=first.weight * np.float32(1e9)), *model.nodes[2:]]
    )
    assert Upscaler(model).precision_for(np.uint8) == "float32"
    with pytest.raises(ValueError, match=r"precision=int16: .* does not fit 32 bits"):
        Upscaler(model, precision="int16")


def test_a_large_network_has_integers_where_they_are_asked_for():
    nodes = (
        NodeShape(64, 3, 1, Channels(0, 0, 1)),
        NodeShape(64, 5, 1, Channels(1, 0, 64)),
    )
    model = Architecture(nodes, {2: HeadShape(9, 4, 1)}).with_random_weights(np.random.default_rng(8))
    assert Upscaler(model).precision_for(np.uint8) == "float32"
    assert Upscaler(model, precision="int16").precision_for(np.float32) == "int16"


@pytest.fixture
def model_of_no_chain():
    """Luma that is added again behind a layer."""
    nodes = (
        NodeShape(2, 3, 1, Channels(0, 0, 1)),
        NodeShape(2, 3, 1, Channels(1, 0, 2), (Channels(1, 0, 2),)),
    )
    network = Architecture(nodes, {2: HeadShape(9, 4, 1)})
    return network.with_random_weights(np.random.default_rng(7))


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="precision='int8' is none of auto, float32, int16"):
        Upscaler("fsrcnn-s", precision="int8")
