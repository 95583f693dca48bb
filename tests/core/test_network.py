"""The compiled core against the oracle, with every kernel set of this machine."""

import threading
from pathlib import Path

import numpy as np
import oracle
import pytest
from conversions import to_net
from fsrcnn_rt import Upscaler, _core, available_isas, load
from fsrcnn_rt.model import SHIPPED
from PIL import Image

# Rounding errors of float32 add up as the square root of the number of terms, of which there are a few
# thousand, and of epsilon, 1.2e-7; the values are of the order of 1, which is full scale.
TOLERANCE = 1e-5

SHAPES = [(56, 12, 4), (32, 5, 1), (1, 1, 1), (3, 1, 2), (5, 3, 1), (13, 5, 0), (57, 13, 2)]
SIZES = [(1, 1), (1, 9), (9, 1), (2, 2), (7, 5), (33, 47), (17, 130), (6, 1500), (700, 3)]


# Every kernel set with every algorithm it has; the reference is always direct.
KERNELS = [(isa, algorithm) for isa in _core.available_isas() for algorithm in ("direct", "winograd")]
KERNELS.remove(("reference", "winograd"))


@pytest.fixture(params=KERNELS, ids="-".join)
def kernels(request):
    return request.param


def build(net, kernels):
    isa, algorithm = kernels
    network = _core.Network(net.nodes, net.heads, net.padding, isa, algorithm=algorithm)
    assert network.isa == isa
    return network


def run(network, image, *scales, threads=1, **options):
    dst = {}
    for scale in scales:
        shape = (scale * image.shape[0], scale * image.shape[1], *image.shape[2:])
        dst[scale] = np.full(shape, 77, image.dtype)
    network.run(image, dst, threads, **options)
    return dst


def random_image(rng, shape, dtype):
    if np.dtype(dtype).kind == "u":
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    return rng.random(shape, dtype)


def assert_is_oracle(result, expected):
    """``expected`` is the exact result, of full scale 1."""
    dtype = result.dtype
    if dtype.kind == "u":
        top = oracle.full_scale(dtype)
        off = np.abs(result - np.clip(expected * top, 0, top))
        # The nearest code, or either where the exact result lies halfway between two as far as float32 can
        # tell.
        assert off.max() <= 0.5 + TOLERANCE * top * max(1, np.abs(expected).max())
    else:
        assert np.abs(result - expected).max() <= TOLERANCE * max(1, np.abs(expected).max())


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_channel_numbers(kernels, shape, padding):
    rng = np.random.default_rng(sum(shape))
    net = oracle.random_net(rng, *shape, padding=padding)
    plane = rng.random((18, 29), np.float32)
    for scale, result in run(build(net, kernels), plane, 2, 3, 4).items():
        assert_is_oracle(result, oracle.luma(net, plane, scale))


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("border", [-1, 0, 1, 2])
@pytest.mark.parametrize(("scale", "pad"), [(2, 4), (3, 3), (3, 4), (4, 3), (4, 4)])
def test_any_alignment(kernels, scale, pad, border, padding):
    rng = np.random.default_rng(pad)
    net = oracle.random_net(
        rng, 5, 3, 1, padding=padding, alignment={scale: pad}, border=border, scales=(scale,)
    )
    plane = rng.random((6, 11), np.float32)
    assert_is_oracle(run(build(net, kernels), plane, scale)[scale], oracle.luma(net, plane, scale))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size(kernels, size):
    rng = np.random.default_rng(3)
    net = oracle.random_net(rng, 12, 4, 2)
    network = build(net, kernels)
    for shape in (size, (*size, 4)):
        image = rng.random(shape, np.float32)
        for scale, result in run(network, image, 2, 3, 4).items():
            assert_is_oracle(result, oracle.upscale_samples(net, image, scale))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_any_samples(kernels, channels, dtype):
    rng = np.random.default_rng(channels)
    # Weak weights, so that integers land in range as well as outside.
    net = oracle.random_net(rng, 8, 3, 1)
    image = random_image(rng, (14, 21) if channels is None else (14, 21, channels), dtype)
    for scale, result in run(build(net, kernels), image, 2, 3, 4).items():
        assert_is_oracle(result, oracle.upscale_samples(net, image / oracle.full_scale(dtype), scale))


FINISHES = [{"strength": 0.0}, {"strength": 0.4, "guided": False}, {"strength": 1.5}, {"guard": False}]


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("finish", FINISHES, ids=str)
def test_any_finish(kernels, finish, padding):
    rng = np.random.default_rng(9)
    net = oracle.random_net(rng, 8, 3, 1, padding=padding)
    for shape in ((14, 21), (5, 2, 4), (3, 30, 3)):
        image = random_image(rng, shape, np.float32)
        for scale, result in run(build(net, kernels), image, 2, 3, 4, **finish).items():
            assert_is_oracle(result, oracle.upscale_samples(net, image, scale, **finish))


def test_floats_outside_the_range_are_not_clipped(kernels, net):
    image = np.random.default_rng(8).normal(0, 3, (9, 12, 4)).astype(np.float32)
    result = run(build(net, kernels), image, 3)[3]
    expected = oracle.upscale_samples(net, image, 3)
    assert_is_oracle(result, expected)
    assert result.min() < -1
    assert result.max() > 2


def test_nan_spoils_what_it_reaches(kernels, net):
    plane = np.random.default_rng(8).random((30, 33), np.float32)
    plane[14, 17] = np.nan
    result = run(build(net, kernels), plane, 3, guard=False)[3]
    expected = oracle.forward(net, plane, 3)
    assert np.isnan(result[np.isnan(expected)]).all()
    # Kernels that compute several pixels from one transform may spoil the rest of their tiles, no more.
    assert np.isnan(result).sum() < result.size / 2
    sound = ~np.isnan(result)
    assert_is_oracle(result[sound], expected[sound])


def test_a_call_leaves_nothing_behind(kernels, net):
    image = random_image(np.random.default_rng(8), (20, 40, 4), np.float32)
    network = build(net, kernels)
    expected = run(network, image, 2, 3)
    run(network, np.full_like(image, np.nan), 2, 3)
    for scale, result in run(network, image, 2, 3).items():
        np.testing.assert_array_equal(result, expected[scale])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("value", [0, 1])
def test_constant_alpha_stays_exact(kernels, net, dtype, value):
    image = random_image(np.random.default_rng(1), (9, 10, 4), dtype)
    image[..., 3] = value * oracle.full_scale(dtype)
    for result in run(build(net, kernels), image, 2, 3, 4).values():
        assert (result[..., 3] == image[0, 0, 3]).all()


@pytest.mark.parametrize("channels", [None, 4])
def test_threads_and_strips_do_not_change_a_bit(kernels, channels):
    rng = np.random.default_rng(6)
    network = build(oracle.random_net(rng, 13, 5, 2), kernels)
    image = random_image(rng, (37, 53) if channels is None else (37, 53, channels), np.float32)
    expected = run(network, image, 2, 3)
    for threads, strip_width in [
        (2, 0),
        (3, 0),
        (4, 0),
        (1, 1),
        (1, 2),
        (1, 7),
        (1, 16),
        (1, 53),
        (3, 8),
        (4, 999),
    ]:
        results = run(network, image, 2, 3, threads=threads, strip_width=strip_width)
        for scale, result in results.items():
            np.testing.assert_array_equal(result, expected[scale], f"{threads=} {strip_width=} {scale=}")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("channels", [None, 4])
def test_parts_one_after_another_make_the_whole(kernels, channels, threads):
    rng = np.random.default_rng(6)
    network = build(oracle.random_net(rng, 13, 5, 2), kernels)
    image = random_image(rng, (38, 53) if channels is None else (38, 53, channels), np.float32)
    expected = run(network, image, 2, 3)
    result = {scale: np.full_like(whole, 77) for scale, whole in expected.items()}
    for top, bottom in [(0, 4), (4, 24), (24, 38)]:
        parts = [(0, top, 20, bottom), (16, top, 53, bottom)]
        network.run(image, result, threads, parts=parts)
        for scale in result:
            end = scale * bottom
            np.testing.assert_array_equal(result[scale][:end], expected[scale][:end])
            assert (result[scale][end:] == 77).all()


@pytest.mark.parametrize("rows", [(0, 0), (-4, 8), (0, 20), (2, 8), (0, 10), (8, 4)])
def test_parts_that_are_no_blocks(net, rows):
    network = _core.Network(net.nodes, net.heads, net.padding, "reference")
    with pytest.raises(ValueError, match=r"parts has \(0, .*no part of 5x19 in blocks of 4"):
        run(network, np.zeros((19, 5), np.uint8), 2, parts=[(0, 0, 5, 19), (0, rows[0], 5, rows[1])])


def test_one_pass_of_several_scales_is_the_same_as_several_passes(kernels, net):
    image = random_image(np.random.default_rng(4), (15, 22, 3), np.uint8)
    network = build(net, kernels)
    for scale, result in run(network, image, 4, 2, 3).items():
        np.testing.assert_array_equal(result, run(network, image, scale)[scale])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: a[..., ::-1],
        lambda a: a[::-2, 1::3],
        lambda a: a.swapaxes(0, 1),
        lambda a: np.asfortranarray(a),
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: np.broadcast_to(a[..., :1], a.shape),
    ],
    ids=["rows", "columns", "channels", "steps", "transposed", "fortran", "one row", "one channel"],
)
def test_any_strides_of_the_input(kernels, net, view, dtype):
    image = view(random_image(np.random.default_rng(7), (20, 26, 3), dtype))
    image.flags.writeable = False
    network = build(net, kernels)
    expected = run(network, np.ascontiguousarray(image), 3)[3]
    np.testing.assert_array_equal(run(network, image, 3)[3], expected)


def test_any_strides_of_the_output(kernels, net):
    image = random_image(np.random.default_rng(7), (10, 13, 3), np.uint8)
    network = build(net, kernels)
    expected = run(network, image, 2)[2]
    frame = np.full((50, 90, 3), 77, np.uint8)
    for view in (frame[3:23, 8:34], frame[40:20:-1, 60:8:-2, ::-1], frame[:, :20].swapaxes(0, 1)[:20, :26]):
        frame[...] = 77
        view[...] = 0
        around = frame.copy()
        network.run(image, {2: view}, 2)
        np.testing.assert_array_equal(view, expected)
        view[...] = 0
        np.testing.assert_array_equal(frame, around)


def test_one_network_serves_several_threads_at_once(kernels, net):
    network = build(net, kernels)
    rng = np.random.default_rng(9)
    images = [random_image(rng, shape, np.uint8) for shape in [(40, 50, 3), (9, 7), (64, 20), (31, 33, 4)]]
    expected = [run(network, image, 2, 3) for image in images]
    faults = []

    def work(i):
        for _ in range(10):
            for scale, result in run(network, images[i], 2, 3, threads=2).items():
                if not np.array_equal(result, expected[i][scale]):
                    faults.append((i, scale))

    workers = [threading.Thread(target=work, args=(i % len(images),)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert faults == []


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("kernel", [1, 3, 5, 9])
@pytest.mark.parametrize("height", [1, 2, 7])
def test_gather_rows(height, kernel, padding):
    inside = np.arange(height)
    reach = kernel // 2
    rows = (
        np.pad(inside, reach, "edge") if padding == "replicate" else np.pad(inside, reach, constant_values=-1)
    )
    for row in range(height):
        assert list(_core.gather_rows(row, kernel, height, padding)) == list(rows[row : row + kernel])


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_against_pytorch(kernels, padding):
    torch = pytest.importorskip("torch", reason="PyTorch is the second oracle")
    functional = torch.nn.functional
    rng = np.random.default_rng(10)
    net = oracle.random_net(rng, 32, 5, 1, padding=padding, border=2)
    plane = rng.random((12, 19), np.float32)

    def pad(x, n):
        return functional.pad(x, (n, n, n, n), mode="constant" if padding == "zeros" else "replicate")

    with torch.no_grad():
        x = torch.from_numpy(plane).double()[None, None]
        for layer in net.layers:
            weight, bias, slope = (torch.from_numpy(array).double() for array in layer)
            x = functional.conv2d(pad(x, weight.shape[2] // 2), weight, bias)
            x = functional.prelu(x, slope)
        for scale, result in run(build(net, kernels), plane, 2, 3, 4, guard=False).items():
            weight, bias, pad_, output_padding, border = net.heads[scale]
            y = functional.conv_transpose2d(
                pad(x, border),
                torch.from_numpy(weight).double(),
                torch.from_numpy(bias).double(),
                stride=scale,
                padding=pad_,
                output_padding=output_padding,
            )
            cut = border * scale
            assert_is_oracle(result, y[0, 0, cut:-cut, cut:-cut].numpy())


def fault(change):
    """Arguments of ``Network`` and ``run`` with one thing wrong."""
    rng = np.random.default_rng(0)
    net = oracle.random_net(rng, 4, 2, 1)
    arguments = {
        "nodes": [list(node) for node in net.nodes],
        "heads": dict(net.heads),
        "padding": "zeros",
        "isa": "reference",
        "algorithm": "direct",
        "src": np.zeros((4, 5), np.float32),
        "dst": {2: np.zeros((8, 10), np.float32)},
        "threads": 1,
    }
    change(arguments)
    network = _core.Network(
        *(arguments[key] for key in ("nodes", "heads", "padding", "isa")), algorithm=arguments["algorithm"]
    )
    network.run(*(arguments[key] for key in ("src", "dst", "threads")))


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "change",
    {
        "no nodes": lambda a: a.update(nodes=[]),
        "channels do not chain": lambda a: a["nodes"].pop(1),
        "even kernel": lambda a: a["nodes"][0].__setitem__(0, np.ones((4, 1, 4, 4), "f4")),
        "float64 weights": lambda a: a["nodes"][0].__setitem__(0, a["nodes"][0][0].astype("f8")),
        "short bias": lambda a: a["nodes"][0].__setitem__(1, a["nodes"][0][1][:3]),
        "a source that is not made yet": lambda a: a["nodes"][1].__setitem__(4, (2, 0, 4)),
        "a source before the first": lambda a: a["nodes"][1].__setitem__(4, (-1, 0, 4)),
        "channels that are not there": lambda a: a["nodes"][1].__setitem__(4, (1, 1, 4)),
        "channels before the first": lambda a: a["nodes"][1].__setitem__(4, (1, -1, 4)),
        "no groups": lambda a: a["nodes"][1].__setitem__(3, 0),
        "groups that are too wide": lambda a: a["nodes"][1].__setitem__(3, 2),
        "adds that are too narrow": lambda a: a["nodes"][1].__setitem__(5, [(1, 0, 1)]),
        "adds that are too wide": lambda a: a["nodes"][1].__setitem__(5, [(1, 0, 2), (1, 0, 1)]),
        "adds of what is not made yet": lambda a: a["nodes"][1].__setitem__(5, [(2, 0, 2)]),
        "no heads": lambda a: a["heads"].clear(),
        "head that gives another size": lambda a: a["heads"].update({2: (*a["heads"][2][:2], 3, 1, 0)}),
        "head of even kernel": lambda a: a["heads"].update(
            {2: (np.ones((4, 1, 8, 8), "f4"), *a["heads"][2][1:])}
        ),
        "head of two planes": lambda a: a["heads"].update(
            {2: (np.ones((4, 2, 9, 9), "f4"), *a["heads"][2][1:])}
        ),
        "unknown padding": lambda a: a.update(padding="reflect"),
        "unknown isa": lambda a: a.update(isa="mmx"),
        "unknown algorithm": lambda a: a.update(algorithm="fft"),
        "src of float64": lambda a: a.update(src=a["src"].astype("f8")),
        "src of rank 1": lambda a: a.update(src=a["src"][0]),
        "src of 5 channels": lambda a: a.update(src=np.zeros((4, 5, 5), "f4")),
        "empty src": lambda a: a.update(src=a["src"][:0], dst={2: np.zeros((0, 10), "f4")}),
        "no dst": lambda a: a["dst"].clear(),
        "dst of a scale without head": lambda a: a.update(dst={5: np.zeros((20, 25), "f4")}),
        "dst of another size": lambda a: a.update(dst={2: np.zeros((8, 11), "f4")}),
        "dst of another rank": lambda a: a.update(dst={2: np.zeros((8, 10, 1), "f4")}),
        "dst of another dtype": lambda a: a.update(dst={2: np.zeros((8, 10), "u1")}),
        "dst read-only": lambda a: read_only(a["dst"][2]),
        "no threads": lambda a: a.update(threads=0),
    }.items(),
    ids=lambda item: item[0],
)
def test_the_core_checks_what_it_is_given(change):
    with pytest.raises((ValueError, TypeError)):
        fault(change[1])


def test_the_arguments_of_the_fault_test_are_right_before_the_change():
    fault(lambda arguments: None)


def check_against_float64(name, image, allowed):
    """Every kernel set is within ``allowed``."""
    model = load(name)
    net = to_net(model)
    options = {"guard": False, "precision": "float32", "threads": 2}
    upscalers = {isa: Upscaler(model, isa=isa, **options) for isa in available_isas()}
    for scale in model.scales:
        want = oracle.forward(net, image, scale)
        errors = {isa: np.abs(each.upscale(image, scale) - want).max() for isa, each in upscalers.items()}
        assert max(errors.values()) <= allowed, (scale, errors)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_on_a_picture(name):
    picture = Image.open(Path(__file__).parents[2] / "docs" / "cat.png").convert("L")
    eyes = picture.crop((40, 10, 100, 50))
    check_against_float64(name, np.asarray(eyes, np.float32) / 255, 5e-6)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 47), (10, 240)], ids=str)
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_on_noise(name, size):
    """On the input that is hardest to get right: features cancel there."""
    noise = np.random.default_rng(1).random(size).astype(np.float32)
    check_against_float64(name, noise, TOLERANCE)
