"""More than 2**31 rows, bytes and strides, by files with holes: 64-bit sizes everywhere. And memory."""

import subprocess
import sys

import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from numpy.lib.stride_tricks import as_strided

HUGE = 2**31 + 4096


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=2)


@pytest.fixture
def sparse(tmp_path):
    """Make an array of zeros that takes room only where it is written to."""
    files = []

    def call(shape, dtype=np.uint8):
        path = tmp_path / f"{len(files)}"
        files.append(path)
        try:
            return np.memmap(path, dtype, "w+", shape=shape)
        except (OSError, ValueError, OverflowError) as error:
            pytest.skip(f"no file with holes of {np.prod(shape, dtype=np.int64)} bytes here: {error}")

    yield call
    for path in files:
        path.unlink(missing_ok=True)


def far_apart(sparse, shape, strides):
    """An array whose samples lie ``strides`` bytes apart, over more than 2**31 bytes."""
    size = 1 + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    assert size > HUGE
    return as_strided(sparse((size,)), shape, strides)


def samples(*shape):
    return np.random.default_rng(0).integers(1, 256, shape, np.uint8)


@pytest.mark.parametrize("strides", [(2**27 + 24, 3, 1), (3, 2**27 + 24, 1)], ids=["rows", "columns"])
def test_strides_beyond_32_bits(upscaler, sparse, strides):
    small = samples(20, 22, 3)
    expected = upscaler.upscale(small, (2, 3))
    image = far_apart(sparse, small.shape, strides)
    image[...] = small
    np.testing.assert_array_equal(upscaler.upscale(image, 3), expected[3])
    out = far_apart(sparse, (40, 44, 3), strides)
    assert upscaler.upscale(image, 2, out=out) is out
    np.testing.assert_array_equal(out, expected[2])


def test_planes_with_strides_beyond_32_bits(upscaler, sparse):
    planes = [samples(20, 22), samples(10, 11), samples(10, 11)]
    expected = upscaler.upscale_planes(planes, 2)
    images = [far_apart(sparse, plane.shape, (2**28 + 24, 1)) for plane in planes]
    for image, plane in zip(images, planes, strict=True):
        image[...] = plane
    out = [far_apart(sparse, plane.shape, (2**27 + 24, 1)) for plane in expected]
    upscaler.upscale_planes(images, 2, out=out)
    for result, plane in zip(out, expected, strict=True):
        np.testing.assert_array_equal(result, plane)


@pytest.mark.parametrize("where", ["middle", "end"])
def test_rows_beyond_32_bits(upscaler, sparse, where):
    """Rows around number 2**31 of a picture of yet more, which go through the core alone."""
    row = samples(9)
    height, width, scale = HUGE, len(row), 2
    small = upscaler.upscale(np.broadcast_to(row, (128, width)), scale)
    large = np.broadcast_to(row, (height, width))
    first = 2**31 - 8 if where == "middle" else height - 16
    out = sparse((scale * height, scale * width))
    parts = [(0, first, width, first + 16)]
    upscaler._engine.network_for(large.dtype).run(large, {scale: out}, 2, parts=parts)
    offset = 64 if where == "middle" else 128 - 16
    expected = small[scale * offset : scale * (offset + 16)]
    np.testing.assert_array_equal(out[scale * first : scale * (first + 16)], expected)
    assert not out[scale * first - 64 : scale * first].any()


@pytest.mark.parametrize("shape", [(300_000, 3), (3, 300_000)], ids=["tall", "wide"])
def test_the_far_end_of_long_pictures(upscaler, shape):
    image = samples(*shape)
    result = upscaler.upscale(image, 2)
    axis = int(np.argmax(shape))
    margin, length = 64, shape[axis]
    (end,) = np.split(image, [length - 256], axis)[1:]
    (expected,) = np.split(upscaler.upscale(end, 2), [2 * margin], axis)[1:]
    (far,) = np.split(result, [2 * (length - 256 + margin)], axis)[1:]
    np.testing.assert_array_equal(far, expected)


@pytest.mark.parametrize(("channels", "holes"), [(3, False), (4, False), (4, True)])
def test_memory_is_the_picture_its_result_and_little_else(channels, holes):
    """With holes there is a copy of the picture, whose hidden colour is another one."""
    code = f"""
import resource
import numpy as np
from fsrcnn_rt import Upscaler
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
upscaler = Upscaler("fsrcnn-s", threads=2)
image = np.full((1000, 2000, {channels}), 200, np.uint8)
if {holes}:
    image[::50, :, 3] = 0
upscaler.upscale(image[:10, :10], 3)
before = peak()
result = upscaler.upscale(image, 3)
print((peak() - before - result.nbytes - {holes} * image.nbytes) / 2**20)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(result.stdout) < (40 if holes else 16)
