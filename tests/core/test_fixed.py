"""Fixed point: the same bits from every kernel set, and close to floats."""

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from conftest import to_model
from fsrcnn_rt import Upscaler
from fsrcnn_rt.evaluation.protocol import list_images, load_pixels

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


@pytest.mark.parametrize("name", ["fsrcnn", "fsrcnn-s"])
def test_photographs_differ_by_one_code(name, data_folder):
    upscalers = [Upscaler(name, precision=precision) for precision in ("int16", "float32")]
    for path in list_images(data_folder / "Set5"):
        pixels = load_pixels(path)[60:180, 60:180]
        for scale in (2, 3, 4):
            one, other = (upscaler.upscale(pixels, scale).astype(int) for upscaler in upscalers)
            assert np.abs(one - other).max() <= 1


def hostile():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:40, :40]
    line = (x == 20) * 255
    yield from (rng.integers(0, 2, (40, 40)) * 255, rng.integers(0, 256, (40, 40)), np.zeros((40, 40)))
    yield from ((x + y) // size % 2 * 255 for size in (1, 2, 3))
    yield from (line, 255 - line, line.T, np.full((40, 40), 255), x // 2 % 2 * 255)


@pytest.mark.parametrize("name", ["fsrcnn", "fsrcnn-s"])
def test_hostile_pictures_differ_by_two(name):
    upscalers = [Upscaler(name, precision=precision) for precision in ("int16", "float32")]
    for picture in hostile():
        for scale in (2, 3, 4):
            one, other = (u.upscale(picture.astype(np.uint8), scale).astype(int) for u in upscalers)
            assert np.abs(one - other).max() <= 2


def test_auto_takes_integers_for_8_bits_where_there_are():
    upscaler = Upscaler("fsrcnn-s", precision="auto")
    assert upscaler.precision == "auto"
    assert [upscaler.precision_for(t) for t in (np.uint8, np.uint16, np.float32)] == [
        "int16",
        "float32",
        "float32",
    ]
    image = np.random.default_rng(6).integers(0, 256, (12, 14), np.uint8)
    for dtype, precision in ((np.uint8, "int16"), (np.float32, "float32")):
        want = Upscaler("fsrcnn-s", precision=precision).upscale(image.astype(dtype), 2)
        np.testing.assert_array_equal(upscaler.upscale(image.astype(dtype), 2), want)
    assert fsrcnn_rt.measure_fps(upscaler, (8, 6), 2, seconds=0).precision == "int16"


def test_what_is_no_chain_has_floats(model_of_no_chain):
    assert Upscaler(model_of_no_chain, precision="auto").precision_for(np.uint8) == "float32"
    with pytest.raises(ValueError, match=r"precision=int16: nodes\[\d\] is not one of a chain"):
        Upscaler(model_of_no_chain, precision="int16")


@pytest.fixture
def model_of_no_chain():
    """Luma that is added again behind a layer."""
    from fsrcnn_rt.model import Architecture, Channels, HeadShape, NodeShape

    nodes = (
        NodeShape(2, 3, 1, Channels(0, 0, 1)),
        NodeShape(2, 3, 1, Channels(1, 0, 2), (Channels(1, 0, 2),)),
    )
    network = Architecture(nodes, {2: HeadShape(9, 4, 1)})
    return network.with_random_weights(np.random.default_rng(7))


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="precision='int8' is none of auto, float32, int16"):
        Upscaler("fsrcnn-s", precision="int8")
