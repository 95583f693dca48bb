"""Planar YUV and streams of frames."""

import threading

import numpy as np
import oracle
import pytest
from fsrcnn_rt import ScaleError, Upscaler
from numpy.testing import assert_array_equal
from PIL import Image

SITINGS = {"left": (0, 0.5), "center": (0.5, 0.5), "topleft": (0, 0)}


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=2)


def frame(rng, height, width, bits, subsampling):
    dtype = np.uint8 if bits == 8 else np.uint16
    x, y = subsampling
    chroma = (-(-height // y), -(-width // x))
    return [rng.integers(0, 2**bits, shape).astype(dtype) for shape in ((height, width), chroma, chroma)]


def chroma_oracle(plane, scale, size, factor, inside, axis):
    """Bicubic along one axis; ``inside``: where chroma lies in its luma, 0 the first, 0.5 the middle."""
    n = plane.shape[axis]
    matrix = np.zeros((size, n))
    # In units of luma samples, a chroma sample lies at factor * i + offset, before and after.
    offset = inside * (factor - 1)
    for o in range(size):
        luma = (factor * o + offset + 0.5) / scale - 0.5
        centre = (luma - offset) / factor
        for i in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            matrix[o, min(max(i, 0), n - 1)] += oracle.keys(centre - i)
    return np.moveaxis(np.tensordot(matrix, plane, (1, axis)), 0, axis)


def odd(shape):
    """Samples of uint16 at odd addresses."""
    plane = np.zeros(2 * np.prod(shape) + 1, np.uint8)[1:].view(np.uint16).reshape(shape)
    assert not plane.flags.aligned
    return plane


def read_only(shape):
    plane = np.zeros(shape, np.uint8)
    plane.flags.writeable = False
    return plane


@pytest.mark.parametrize("location", SITINGS)
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 1)])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_frame_against_oracle(model, net, bits, subsampling, location):
    rng = np.random.default_rng(bits)
    height, width, scale = 13, 21, 2 + bits % 3
    planes = frame(rng, height, width, bits, subsampling)
    upscaler = Upscaler(model, threads=2, precision="float32")  # as the oracle
    result = upscaler.upscale_planes(
        planes, scale, bits=bits, subsampling=subsampling, chroma_location=location
    )

    full = 255 * 2 ** (bits - 8)
    luma = oracle.luma(net, planes[0] / full, scale) * full
    assert np.abs(np.clip(luma, 0, 2**bits - 1) - result[0]).max() <= 0.5 + 1e-5 * full

    (x, y), (inside_x, inside_y) = subsampling, SITINGS[location]
    for plane, got in zip(planes[1:], result[1:], strict=True):
        rows, columns = -(-scale * height // y), -(-scale * width // x)
        assert got.shape == (rows, columns) and got.dtype == plane.dtype
        want = chroma_oracle(plane.astype(float), scale, columns, x, inside_x, 1)
        want = chroma_oracle(want, scale, rows, y, inside_y, 0)
        assert np.abs(np.clip(want, 0, 2**bits - 1) - got).max() <= 0.5 + 1e-5 * full


def test_luma_of_8_bits_is_the_grey_picture(upscaler):
    plane = np.random.default_rng(1).integers(0, 256, (20, 30), np.uint8)
    (result,) = upscaler.upscale_planes([plane], 3)
    assert_array_equal(result, upscaler.upscale(plane, 3))


@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("height", [1, 2, 3])
def test_odd_sizes_of_420(upscaler, height, width):
    planes = frame(np.random.default_rng(2), height, width, 8, (2, 2))
    for scale in (2, 3, 4):
        result = upscaler.upscale_planes(planes, scale)
        chroma = (-(-scale * height // 2), -(-scale * width // 2))
        assert [plane.shape for plane in result] == [(scale * height, scale * width), chroma, chroma]


def test_out_and_strides_and_threads(model):
    planes = frame(np.random.default_rng(3), 50, 41, 10, (2, 2))
    want = Upscaler(model, threads=1).upscale_planes(planes, 3, bits=10)
    wide = [np.repeat(plane, 2, axis=1)[::-1, ::2][::-1] for plane in planes]
    out = [np.zeros_like(plane) for plane in want]
    got = Upscaler(model, threads=4).upscale_planes(wide, 3, bits=10, out=out)
    for a, b, c in zip(want, got, out, strict=True):
        assert_array_equal(a, b)
        assert b is c


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"bits": 7}, ValueError, "bits=7"),
        ({"bits": 10}, TypeError, "uint8"),
        ({"subsampling": (3, 1)}, ValueError, "subsampling=(3, 1)"),
        ({"subsampling": (1, 1)}, ValueError, "planes[1] has shape"),
        ({"chroma_location": "right"}, ValueError, "chroma_location='right'"),
        ({"scale": 17}, ScaleError, "scale=17"),
        ({"planes": []}, ValueError, "0 planes"),
        ({"planes": {2: np.zeros((6, 8), np.uint8)}}, TypeError, "planes is dict, not a sequence"),
        ({"planes": [[[1, 2], [3, 4]]]}, TypeError, "planes[0] is list, not a numpy array"),
        ({"planes": range(1 << 70)}, TypeError, "planes is range, not a sequence"),
        ({"out": {1, 2, 3}}, TypeError, "out is set, not a sequence"),
        ({"planes": [np.zeros((0, 4), np.uint8)]}, ValueError, "planes[0] has shape (0, 4)"),
        ({"out": []}, ValueError, "out has 0 planes"),
        ({"planes": [odd((6, 8))], "bits": 10}, ValueError, "planes[0] is not aligned: uint16 samples lie"),
        (
            {"planes": [np.zeros((6, 8), np.uint16)], "bits": 10, "out": [odd((12, 16))]},
            ValueError,
            "out[0] is not aligned",
        ),
        (
            {"out": [np.zeros(shape, np.uint8) for shape in ((12, 16), (6, 8))] + [read_only((6, 8))]},
            ValueError,
            "out[2] is read-only",
        ),
    ],
)
def test_refusals(upscaler, change, error, words):
    arguments = {"planes": frame(np.random.default_rng(0), 6, 8, 8, (2, 2)), **change}
    with pytest.raises(error) as caught:
        upscaler.upscale_planes(**arguments)
    assert words in str(caught.value)


def test_the_core_takes_no_odd_addresses(upscaler):
    plane, odd_plane = np.zeros((6, 8), np.uint16), odd((12, 16))
    network = upscaler._engine.network_for(plane.dtype)
    for call in (
        lambda: network.run(plane, {2: odd_plane}, 1),
        lambda: network.run(odd((6, 8)), {2: np.zeros((12, 16), np.uint16)}, 1),
        lambda: network.resize(plane, odd_plane, [2], 1),
        lambda: network.bicubic(plane, odd_plane, 2, 1),
        lambda: network.bicubic_resize(plane, odd_plane, (8, 6), (16, 12), 1),
    ):
        with pytest.raises(ValueError, match="is not aligned for its dtype"):
            call()


@pytest.mark.parametrize("other", [0, 1, 2])
@pytest.mark.parametrize("mine", [0, 1, 2])
def test_no_plane_of_out_overlaps_any_other(upscaler, mine, other):
    planes = frame(np.random.default_rng(5), 8, 8, 8, (1, 1))
    out = [np.zeros((16, 16), np.uint8) for _ in range(3)]
    upscaler.upscale_planes(planes, 2, subsampling=(1, 1), out=out)
    memory = np.zeros((20, 16), np.uint8)
    out[mine] = memory[:16]
    with pytest.raises(ValueError, match="out overlaps planes or itself"):
        within = [memory[12:, :8] if i == other else plane for i, plane in enumerate(planes)]
        upscaler.upscale_planes(within, 2, subsampling=(1, 1), out=out)
    if mine != other:
        out[other] = memory[4:]
        with pytest.raises(ValueError, match="out overlaps planes or itself"):
            upscaler.upscale_planes(planes, 2, subsampling=(1, 1), out=out)
    assert not memory.any()
    shared = [planes[0]] * 3  # what is only read may be the same
    upscaler.upscale_planes(shared, 2, subsampling=(1, 1))


def test_out_must_not_overlap(upscaler):
    plane = np.zeros((8, 8), np.uint8)
    whole = np.zeros((16, 16), np.uint8)
    with pytest.raises(ValueError, match="overlaps"):
        upscaler.upscale_planes([whole[:8, :8]], 2, out=[whole])
    upscaler.upscale_planes([plane], 2, out=[whole])


def test_map_keeps_order_and_bits(upscaler):
    rng = np.random.default_rng(4)
    frames = [rng.integers(0, 256, (10 + i % 7, 40 - i, 3), np.uint8) for i in range(20)]
    for got, picture in zip(upscaler.map(iter(frames), 2), frames, strict=True):
        assert_array_equal(got, upscaler.upscale(picture, 2))


def test_map_reads_no_further_than_it_must(upscaler):
    taken = []

    def frames():
        for i in range(100):
            taken.append(i)
            yield np.zeros((8, 8), np.float32)

    for threads, ahead in ((1, 3), (3, 4)):
        taken.clear()
        results = Upscaler(upscaler.model, threads=threads).map(frames(), 2)
        next(results)
        assert len(taken) == ahead  # of one thread, too, one is computed while the caller has another
        results.close()
        assert len(taken) == ahead
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fsrcnn-rt")]


def test_map_raises_in_turn(upscaler):
    good = np.zeros((8, 8), np.float32)
    results = upscaler.map([good, np.zeros((8, 8), np.int64), good], 2)
    assert next(results).shape == (16, 16)
    with pytest.raises(TypeError, match="int64"):
        next(results)
    with pytest.raises(ScaleError):
        upscaler.map([good], 17)
    with pytest.raises(ValueError, match="channel_order='gbr' is neither"):
        upscaler.map([good], 2, channel_order="gbr")
    with pytest.raises(TypeError, match="channel_order is for arrays"):
        next(upscaler.map([Image.new("RGB", (4, 4))], 2, channel_order="bgr"))


@pytest.mark.parametrize("channels", [3, 4])
def test_map_of_blue_first(upscaler, channels):
    frames = list(np.random.default_rng(6).integers(1, 256, (5, 9, 12, channels), np.uint8))
    order = [2, 1, 0, 3][:channels]
    for goal in ({"scale": 2}, {"size": (15, 20)}):
        results = list(upscaler.map(frames, **goal, channel_order="bgr"))
        for got, picture in zip(results, frames, strict=True):
            assert_array_equal(got, upscaler.upscale(picture, **goal, channel_order="bgr"))
            assert_array_equal(got[..., order], upscaler.upscale(picture[..., order], **goal))
    grey = frames[0][..., 0]
    (got,) = upscaler.map([grey], 2, channel_order="bgr")
    assert_array_equal(got, upscaler.upscale(grey, 2))


@pytest.mark.parametrize("scale", [2, 1.5])
@pytest.mark.parametrize(("bits", "subsampling"), [(8, (2, 2)), (8, (1, 1)), (16, (2, 1)), (8, None)])
def test_alpha_is_that_of_a_picture(upscaler, bits, subsampling, scale):
    """Beside planes of any chroma, it is what the same alpha becomes beside grey."""
    rng = np.random.default_rng(9)
    planes = frame(rng, 18, 22, bits, subsampling or (2, 2))[: 3 if subsampling else 1]
    alpha = rng.integers(0, 1 << bits, planes[0].shape).astype(planes[0].dtype)
    options = {"bits": bits, "subsampling": subsampling or (2, 2)}
    *others, result = upscaler.upscale_planes([*planes, alpha], scale, **options)
    for one, other in zip(others, upscaler.upscale_planes(planes, scale, **options), strict=True):
        assert_array_equal(one, other)
    picture = upscaler.upscale(np.dstack([planes[0], alpha]), size=result.shape[::-1])
    np.testing.assert_allclose(result, picture[..., 1].astype(float), atol=bits > 8)  # floats round anew
