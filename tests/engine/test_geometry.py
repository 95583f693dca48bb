"""Nothing moves: an upscaled picture lies where bicubic interpolation puts it."""

import fsrcnn_rt
import numpy as np
import pytest
from PIL import Image, ImageCms

# In pixels of the small picture. What a kernel is off by when it is off by one is 0.25 to 0.5.
LARGEST_SHIFT = 0.05


def drawing():
    """Smooth blobs of several sizes, none of which touches the edge; values in 0..1."""
    y, x = np.mgrid[:64, :72]
    blobs = ((20, 22, 5), (40, 50, 7), (44, 18, 4), (18, 54, 3))
    return 0.15 + 0.7 * sum(np.exp(-((y - i) ** 2 + (x - j) ** 2) / (2 * r**2)) for i, j, r in blobs)


def shift(moved, reference, scale=1):
    """Explain ``moved`` as ``reference`` shifted by (y, x) pixels of the small picture, by least squares."""
    inside = (slice(12, -12), slice(12, -12))
    slopes = [-slope[inside].ravel() for slope in np.gradient(reference)]
    difference = (moved - reference)[inside].ravel()
    terms = np.stack([*slopes, reference[inside].ravel(), np.ones(difference.size)], axis=1)
    return np.linalg.lstsq(terms, difference, rcond=None)[0][:2] / scale


def of_mode(mode):
    """The drawing as a Pillow image: every channel of it, and opaque."""
    if mode == "F":
        return Image.fromarray(drawing().astype(np.float32))
    if mode[0] == "I":
        deep = np.round(65535 * drawing()).astype(
            {"I": "i4", "I;16B": ">u2", "I;16N": "=u2"}.get(mode, "<u2")
        )
        return Image.frombytes(mode, deep.shape[::-1], deep.tobytes())
    grey = Image.fromarray(np.round(255 * drawing()).astype(np.uint8))
    if mode == "LAB":
        profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        return ImageCms.profileToProfile(grey.convert("RGB"), *profiles, outputMode="LAB")
    between = {"La": "LA", "PA": "LA", "RGBa": "RGBA"}.get(mode, mode)
    return grey.convert(between).convert(mode)


def planes_of(image):
    """Channels of a Pillow image that show the drawing, as floats."""
    array = np.asarray(image).astype(float)
    array = array[..., None] if array.ndim == 2 else array
    return [plane for plane in np.moveaxis(array, -1, 0) if np.ptp(plane) > 0]


def bicubic(image, scale):
    size = (scale * image.width, scale * image.height)
    channels = image.split() if image.mode[:2] not in ("I", "I;") else [image]
    return [np.asarray(channel.resize(size, Image.Resampling.BICUBIC)).astype(float) for channel in channels]


def test_the_measure_itself():
    y, x = np.mgrid[:64, :72].astype(float)
    reference = np.exp(-((y - 30) ** 2 + (x - 35) ** 2) / 50)
    moved = np.exp(-((y - 30.2) ** 2 + (x - 34.9) ** 2) / 50)
    np.testing.assert_allclose(shift(moved + 0.1, reference), [0.2, -0.1], atol=0.01)


def assert_in_place(planes, scale):
    (reference,) = bicubic(Image.fromarray(drawing().astype(np.float32)), scale)
    assert planes
    for plane in planes:
        # As high as the reference: full range differs from mode to mode.
        plane = plane / np.ptp(plane) * np.ptp(reference)
        assert np.abs(shift(plane, reference, scale)).max() < LARGEST_SHIFT


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("mode", [mode for mode in Image.MODES if mode != "1"])
def test_modes_stay_in_place(mode, scale):
    image = of_mode(mode)
    assert image.mode == mode
    assert_in_place(planes_of(fsrcnn_rt.upscale(image, scale)), scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("form", ["index", "bytes", "RGBA"])
def test_palettes_with_alpha_stay_in_place(form, scale):
    """A transparent index, an alpha for each, a palette of four channels."""
    grey = of_mode("L")
    image = grey.convert("P")
    if form == "RGBA":
        image = Image.merge("RGBA", [grey] * 3 + [Image.new("L", grey.size, 255)]).quantize(256)
    else:
        image.info["transparency"] = 255 if form == "index" else bytes(range(1, 256))
    result = fsrcnn_rt.upscale(image, scale)
    assert result.mode == "RGBA"
    assert_in_place(planes_of(result.convert("RGB")), scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_arrays_stay_in_place(dtype, channels, scale):
    top = np.iinfo(dtype).max if dtype[0] == "u" else 1
    plane = (top * drawing()).astype(dtype)
    image = np.stack([plane] * channels, axis=-1) if channels else plane
    result = fsrcnn_rt.upscale(image, scale).astype(float)
    assert_in_place(list(np.moveaxis(result, -1, 0)) if channels else [result], scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_alpha_and_colour_stay_in_place(scale):
    grey = of_mode("L")
    image = Image.merge("RGBA", [grey, grey.point(lambda v: 255 - v), grey.point(lambda v: v // 2), grey])
    result = fsrcnn_rt.upscale(image, scale)
    for plane, reference in zip(planes_of(result), bicubic(image, scale), strict=True):
        assert np.abs(shift(plane, reference, scale)).max() < LARGEST_SHIFT


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_black_and_white_stays_in_place(scale):
    image = Image.fromarray(drawing() > 0.5)
    assert image.mode == "1"
    result = fsrcnn_rt.upscale(image, scale)
    np.testing.assert_array_equal(
        np.asarray(result), np.asarray(fsrcnn_rt.upscale(image.convert("L"), scale))
    )
    (plane,) = planes_of(result)
    (reference,) = bicubic(image.convert("L"), scale)
    # The steps of full contrast are none that a photograph has, and a trained network does not move each side
    # of a shape by quite the same; the geometry is that of L, which gives the same bits.
    assert np.abs(shift(plane, reference, scale)).max() < 1.5 * LARGEST_SHIFT
