"""What kinds of image go in and what comes out."""

import fsrcnn_rt
import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.engine.arrays import as_array, extend_colour, from_pil
from PIL import Image, ImageCms

SHAPE = (11, 14)


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=2)


def samples(dtype, *channels):
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "u":
        return rng.integers(1, np.iinfo(dtype).max, (*SHAPE, *channels), dtype, endpoint=True)
    return rng.uniform(0.1, 1, (*SHAPE, *channels)).astype(dtype)


@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_arrays_keep_dtype_and_rank(upscaler, dtype, channels):
    image = samples(dtype, *channels)
    result = upscaler.upscale(image, 2)
    assert result.dtype == image.dtype
    assert result.shape == (22, 28, *channels)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_computed_in_float32(upscaler, dtype):
    image = samples(dtype, 3)
    expected = upscaler.upscale(image.astype(np.float32), 3).astype(dtype)
    np.testing.assert_array_equal(upscaler.upscale(image, 3), expected)


def test_floats_beyond_the_computation_become_infinite_in_silence(upscaler):
    image = np.full(SHAPE, 1e300)
    assert not np.isfinite(upscaler.upscale(image, 2)).any()


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_foreign_byte_order(upscaler, dtype):
    image = samples(dtype, 3)
    swapped = image.astype(image.dtype.newbyteorder(">"))
    result = upscaler.upscale(swapped, 2)
    assert result.dtype == swapped.dtype
    np.testing.assert_array_equal(result, upscaler.upscale(image, 2))


def test_samples_that_are_not_aligned(upscaler):
    image = samples("uint16")
    records = np.zeros(SHAPE, [("tag", "u1"), ("value", "u2")])
    records["value"] = image
    assert not records["value"].flags.aligned
    np.testing.assert_array_equal(upscaler.upscale(records["value"], 2), upscaler.upscale(image, 2))
    out = np.zeros((2 * SHAPE[0], 2 * SHAPE[1], *SHAPE[2:]), records.dtype)["value"]
    assert upscaler.upscale(image, 2, out=out) is out
    np.testing.assert_array_equal(out, upscaler.upscale(image, 2))
    with pytest.raises(ValueError, match="src is not aligned"):  # the core relies on what was done for it
        network = upscaler._engine.network_for(image.dtype)
        network.run(records["value"], {2: upscaler.upscale(image, 2)}, 1)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "int64", "complex64", "O", "longdouble"])
def test_other_dtypes_are_refused_by_name(upscaler, dtype):
    with pytest.raises(TypeError, match=f"image has dtype {np.dtype(dtype)}"):
        upscaler.upscale(np.zeros(SHAPE, dtype))


@pytest.mark.parametrize("shape", [(), (5,), (5, 6, 0), (5, 6, 5), (2, 5, 6, 3), (0, 6), (5, 0, 3)])
def test_other_shapes_are_refused_by_shape(upscaler, shape):
    with pytest.raises(ValueError, match="image has shape") as caught:
        upscaler.upscale(np.zeros(shape, np.uint8))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("image", [None, "photo.png", [[1, 2], [3, 4]], np.uint8(3)])
def test_other_types_are_refused_by_type(upscaler, image):
    with pytest.raises(TypeError, match=type(image).__name__):
        upscaler.upscale(image)


def test_a_result_that_no_address_can_count(upscaler):
    image = np.broadcast_to(np.uint8(1), (2**30, 2**31))
    with pytest.raises(ValueError, match="image is too large"):
        upscaler.upscale(image, 4)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_colour_under_zero_alpha_has_no_influence(upscaler, dtype, channels):
    image = np.tile(samples(dtype, channels), (4, 4, 1))
    image[8:32, 20:50, -1] = 0
    image[20, 30, -1] = 1
    other = image.copy()
    hidden = other[..., -1] == 0
    other[hidden, :-1] = samples(dtype, 1).min()
    for scale in (2, 3, 4):
        np.testing.assert_array_equal(upscaler.upscale(image, scale), upscaler.upscale(other, scale))


def test_a_logo_of_one_colour_gets_no_fringe(upscaler):
    colour = [200, 30, 90]
    flat = np.full((40, 46, 3), colour, np.uint8)
    logo = np.zeros((40, 46, 4), np.uint8)
    logo[12:19, 14:32] = [*colour, 255]
    logo[19:22, 14:20] = [*colour, 40]
    expected, result = upscaler.upscale(flat), upscaler.upscale(logo)
    visible = result[..., 3] > 0
    assert visible[36:57, 42:96].all()
    assert not visible.all()
    np.testing.assert_array_equal(result[visible][:, :3], expected[visible])


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("mode", ["RGBA", "P", "PA", "RGBa", "LA", "La"])
def test_a_logo_of_any_mode_gets_no_fringe(upscaler, mode, scale):
    colour = (90, 90, 90, 255) if mode in ("LA", "La", "PA") else (200, 30, 90, 255)
    logo = Image.new("RGBA", (30, 28), (0, 0, 0, 0))
    logo.paste(colour, (8, 7, 22, 20))
    flat = Image.new("RGB", logo.size, colour[:3])
    if mode == "P":
        logo = logo.quantize(4)
    elif mode == "PA":
        alpha = logo.getchannel("A")
        logo = logo.convert("RGB").quantize(4)
        logo.putalpha(alpha)
    else:
        between = "LA" if mode == "La" else "RGBA"
        logo = logo.convert(between).convert(mode)
    assert logo.mode == mode
    result = np.asarray(upscaler.upscale(logo, scale).convert("RGBA"))
    expected = np.asarray(upscaler.upscale(flat.convert("L") if "L" in mode else flat, scale).convert("RGB"))
    visible = result[..., 3] > 0
    assert visible.any()
    assert not visible.all()
    np.testing.assert_array_equal(result[visible][:, :3], expected[visible])


# Levels of 255: mere rounding. Where colour is stored times alpha, what is faint has two or three bits.
FRINGE = {"RGBa": 4, "La": 24}
BACKGROUNDS = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (0, 200, 60)]


def drawn_logo():
    """A disc with a rim whose colour changes along the edge, and soft edges; (colour, alpha) in 0..255.

    The colour goes on under alpha 0, where no file has it.
    """
    size, finer = (56, 60), 8
    y, x = (np.indices([side * finer for side in size]) + 0.5) / finer
    radius = np.hypot(y - 28, x - 30).reshape(size[0], finer, size[1], finer)
    alpha, inside = [(radius < limit).mean(axis=(1, 3)) for limit in (20, 15)]
    y, x = np.indices(size) + 0.5
    angle = np.arctan2(y - 28, x - 30)
    rim = [160 + 70 * np.cos(angle), 70 + 60 * np.sin(angle), 40 + 30 * np.cos(2 * angle)]
    colour = inside[..., None] * [30, 90, 200] + (1 - inside[..., None]) * np.stack(rim, axis=-1)
    return np.round(colour).astype(np.uint8), np.round(255 * alpha).astype(np.uint8)


def as_file_has_it(kind, hidden):
    """The logo with a colour under alpha 0, as an image of some kind."""
    colour, alpha = drawn_logo()
    if kind in ("LA", "La"):
        colour = np.repeat(colour[..., 1:2], 3, axis=-1)
        hidden = [hidden[1]] * 3
    if kind == "P":
        alpha = np.where(alpha < 128, 0, 255).astype(np.uint8)
    rgba = np.dstack([np.where(alpha[..., None] == 0, np.uint8(hidden), colour), alpha])
    if kind == "uint8":
        return rgba
    if kind == "uint16":
        return rgba * np.uint16(257)
    if kind == "float32":
        return rgba / np.float32(255)
    image = Image.fromarray(rgba)
    if kind == "P":
        result = image.convert("RGB").quantize(255)
        result.paste(255, mask=image.getchannel("A").point(lambda value: 255 - value))
        result.info["transparency"] = 255
        return result
    if kind == "PA":
        result = image.convert("RGB").quantize(256)
        result.putalpha(image.getchannel("A"))
        return result
    return image.convert({"La": "LA"}.get(kind, "RGBA")).convert(kind)


def as_rgba(image):
    """Any of these kinds, in 0..255."""
    if isinstance(image, Image.Image):
        image = image.convert("LA") if image.mode == "La" else image
        return np.asarray(image.convert("RGBA")).astype(float)
    top = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    return (image * (255.0 / top)).clip(0, 255)


def over(rgba, background):
    """Put a picture on a background."""
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + np.array(background) * (1 - alpha)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 255, 255), (0, 255, 0)], ids=["black", "white", "green"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "RGBA", "RGBa", "LA", "La", "P", "PA"])
def test_a_logo_has_no_fringe_on_any_background(kind, hidden, scale):
    """Against the ideal: the colour known everywhere, upscaled as if nothing were transparent.

    In floats, as fixed point may be some codes away from the ideal where saturated colours meet.
    """
    image = as_file_has_it(kind, hidden)
    result = as_rgba(fsrcnn_rt.upscale(image, scale, precision="float32"))
    shown = as_rgba(image)
    known = np.where(shown[..., 3:] > 0, shown[..., :3], drawn_logo()[0])
    if kind in ("LA", "La"):
        known = known[..., 1]
    ideal = (255 * fsrcnn_rt.upscale(known / 255, scale)).clip(0, 255)
    ideal = np.dstack([ideal] * (3 if ideal.ndim == 2 else 1) + [result[..., 3]])
    assert (result[..., 3].min(), result[..., 3].max()) == (0, 255)
    for background in BACKGROUNDS:
        fringe = np.abs(over(result, background) - over(ideal, background)).max()
        assert fringe <= FRINGE.get(kind, 1.5), background


def test_hidden_pixels_take_the_mean_of_visible_neighbours_step_by_step():
    image = np.zeros((1, 7, 2), np.uint8)
    image[0, :, 0] = [10, 99, 13, 99, 99, 99, 99]
    image[0, [0, 2], 1] = 1, 200
    assert extend_colour(image, 1)[0, :, 0].tolist() == [10, 12, 13, 13, 0, 0, 0]  # 11.5 is rounded up
    assert extend_colour(image, 3)[0, :, 0].tolist() == [10, 12, 13, 13, 13, 13, 0]
    np.testing.assert_array_equal(extend_colour(image, 3)[..., 1], image[..., 1])
    assert image[0, 1, 0] == 99


def test_bands_do_not_show(monkeypatch):
    image = np.tile(samples("uint16", 4), (6, 3, 1))
    image[np.random.default_rng(1).random(image.shape[:2]) < 0.97, 3] = 0
    whole = extend_colour(image, 5)
    assert (whole != image).any()
    monkeypatch.setattr("fsrcnn_rt.engine.arrays._SCRATCH_BYTES", 0)
    np.testing.assert_array_equal(extend_colour(image, 5), whole)


def test_pictures_without_an_edge_of_alpha_are_not_copied():
    for image in (
        samples("uint8", 4),
        samples("uint8", 3),
        samples("uint8"),
        np.zeros((*SHAPE, 4), np.uint8),
    ):
        assert extend_colour(image, 5) is image


def palette(transparency=None):
    image = Image.fromarray(samples("uint8", 3)).quantize(8)
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pillow_modes_that_are_arrays(upscaler, mode):
    image = Image.fromarray(samples("uint8", *{"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}[mode]))
    assert image.mode == mode
    result = upscaler.upscale(image, 3)
    assert (result.mode, result.size) == (mode, (42, 33))
    np.testing.assert_array_equal(np.asarray(result), upscaler.upscale(np.asarray(image), 3))


@pytest.mark.parametrize(
    ("image", "converted"),
    [
        (Image.fromarray(samples("uint8")).convert("1"), "L"),
        (palette(), "RGB"),
        (palette(3), "RGBA"),
        (palette(bytes([0, 128, 255])), "RGBA"),
        (Image.fromarray(samples("uint8", 4)).quantize(8), "RGBA"),
        (Image.fromarray(samples("uint8", 2)).convert("PA"), "RGBA"),
        (Image.fromarray(samples("uint8", 2)).convert("La"), "LA"),
        (Image.fromarray(samples("uint8", 4)).convert("RGBa"), "RGBA"),
        (Image.fromarray(samples("uint8", 3)).convert("RGBX"), "RGB"),
        (Image.fromarray(samples("uint8", 3)).convert("CMYK"), "RGB"),
        (Image.fromarray(samples("uint8", 3)).convert("YCbCr"), "RGB"),
        (Image.fromarray(samples("uint8", 3)).convert("HSV"), "RGB"),
    ],
    ids=lambda value: getattr(value, "mode", value),
)
def test_pillow_modes_that_are_converted(upscaler, image, converted):
    result = upscaler.upscale(image, 2)
    assert result.mode == converted
    expected = upscaler.upscale(np.asarray(image.convert(converted)), 2)
    np.testing.assert_array_equal(np.asarray(result), expected)


def test_lab_keeps_its_colours(upscaler):
    flat = Image.new("RGB", (6, 5), (190, 60, 40))
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(flat, to_lab)
    difference = np.asarray(upscaler.upscale(lab, 2)).astype(int) - np.asarray(upscaler.upscale(flat, 2))
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize(
    ("mode", "transparency", "result_mode"), [("L", 200, "LA"), ("RGB", (1, 2, 3), "RGBA")]
)
def test_a_transparent_colour_becomes_alpha(upscaler, mode, transparency, result_mode):
    image = Image.new(mode, (9, 9), transparency)
    image.paste(Image.new(mode, (4, 9), 77 if mode == "L" else (77, 77, 77)))
    image.info["transparency"] = transparency
    result = upscaler.upscale(image, 2)
    assert result.mode == result_mode
    assert "transparency" not in result.info
    alpha = np.asarray(result)[..., -1]
    assert (alpha[:, :4] == 255).all()
    assert (alpha[:, 14:] == 0).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_sixteen_bits_stay_sixteen(upscaler, mode):
    values = samples("uint16")
    order = ">u2" if mode == "I;16B" else "=u2" if mode == "I;16N" else "<u2"
    image = Image.frombytes(mode, SHAPE[::-1], values.astype(order).tobytes())
    result = upscaler.upscale(image, 2)
    assert result.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(result), upscaler.upscale(values, 2))


def test_a_float_plane(upscaler):
    values = samples("float32") * 3 - 1
    result = upscaler.upscale(Image.fromarray(values), 2)
    assert result.mode == "F"
    np.testing.assert_array_equal(np.asarray(result), upscaler.upscale(values, 2))


def test_modes_without_a_meaning_are_refused(upscaler, monkeypatch):
    monkeypatch.delitem(fsrcnn_rt.engine.arrays._MODES, "YCbCr")
    with pytest.raises(ValueError, match="image has mode YCbCr, which is none of L, LA, RGB"):
        upscaler.upscale(Image.new("YCbCr", (4, 4)))
    sixteen = Image.new("I;16", (4, 4))
    sixteen.info["transparency"] = 0
    with pytest.raises(ValueError, match="mode I;16 with a transparent colour"):
        upscaler.upscale(sixteen)


def test_integers_are_sixteen_bit_grey(upscaler):
    values = samples("uint16")
    image = Image.fromarray(values.astype(np.int32))
    assert image.mode == "I"
    result = upscaler.upscale(image, 2)
    assert result.mode == "I"
    np.testing.assert_array_equal(np.asarray(result), upscaler.upscale(values, 2))
    image.format = "PNG"
    assert upscaler.upscale(image, 2).mode == "I;16"


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_of_more_bits_are_not_cut(upscaler, value):
    with pytest.raises(
        ValueError, match=rf"values {min(value, 0)}\.\.{max(value, 0)}, and 16-bit grey is 0..65535"
    ):
        upscaler.upscale(Image.fromarray(np.array([[0, value]], np.int32)))


def test_every_mode_of_pillow_has_a_result(upscaler):
    documented = from_pil.__doc__.replace(",", " ").replace(":", " ").split()
    for mode in Image.MODES:
        result = upscaler.upscale(Image.new(mode, (4, 3)), 2)
        assert result.size == (8, 6), mode
        assert mode in documented


@pytest.mark.parametrize("fault", ["no profile", "broken", "of a screen", "no LittleCMS"])
def test_inks_without_a_sound_profile(upscaler, fault, monkeypatch):
    image = Image.new("CMYK", (6, 5), (0, 200, 180, 10))
    expected = np.asarray(upscaler.upscale(image.convert("RGB"), 2))
    if fault == "broken":
        image.info["icc_profile"] = b"broken"
    elif fault != "no profile":
        image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if fault == "no LittleCMS":

        def missing(file):
            raise ImportError("the _imagingcms C module is not installed")

        monkeypatch.setattr(ImageCms, "ImageCmsProfile", missing)
    np.testing.assert_array_equal(np.asarray(upscaler.upscale(image, 2)), expected)


def test_inks_use_their_profile(upscaler, monkeypatch):
    image = Image.new("CMYK", (6, 5), (0, 200, 180, 10))
    image.info["icc_profile"] = b"of inks"
    monkeypatch.setattr(ImageCms, "ImageCmsProfile", lambda file: file.read())

    def convert(image, inks, srgb, outputMode):  # noqa: N803 - as Pillow calls it
        assert (image.mode, inks, outputMode) == ("CMYK", b"of inks", "RGB")
        return Image.new("RGB", image.size, (7, 8, 9))

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    expected = upscaler.upscale(Image.new("RGB", (6, 5), (7, 8, 9)), 2)
    np.testing.assert_array_equal(np.asarray(upscaler.upscale(image, 2)), np.asarray(expected))


class ByDLPack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class ByArrayInterface:
    def __init__(self, array):
        self.array = array

    @property
    def __array_interface__(self):
        return self.array.__array_interface__


class OnAnotherDevice(ByDLPack):
    def __dlpack__(self, **options):
        raise BufferError("its memory is not here")


@pytest.mark.parametrize("lend", [ByDLPack, ByArrayInterface])
def test_arrays_of_other_libraries_are_read_in_place(upscaler, lend):
    image = samples("uint8", 3)
    assert np.shares_memory(as_array(lend(image)), image)
    result = upscaler.upscale(lend(image), 2)
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, upscaler.upscale(image, 2))
    np.testing.assert_array_equal(fsrcnn_rt.upscale(lend(image), 2), fsrcnn_rt.upscale(image, 2))


def test_arrays_of_other_libraries_out_of_reach(upscaler):
    with pytest.raises(
        TypeError, match="image is OnAnotherDevice, which numpy cannot take: its memory is not"
    ):
        upscaler.upscale(OnAnotherDevice(samples("uint8")))


def test_tensors(upscaler):
    torch = pytest.importorskip("torch", reason="tensors need PyTorch")
    image = samples("float32", 3)
    tensor = torch.from_numpy(image)
    np.testing.assert_array_equal(upscaler.upscale(tensor, 2), upscaler.upscale(image, 2))
    planes = tensor.permute(2, 0, 1).contiguous()
    np.testing.assert_array_equal(upscaler.upscale(planes.permute(1, 2, 0), 2), upscaler.upscale(image, 2))
    with pytest.raises(TypeError, match="image is Tensor, which numpy cannot take"):
        upscaler.upscale(tensor.requires_grad_())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("channels", [3, 4])
def test_channel_order(upscaler, dtype, channels):
    swap = [2, 1, 0, 3][:channels]
    image = samples(dtype, channels)
    if channels == 4:
        image[2:7, 3:9, 3] = 0
    expected = upscaler.upscale(image, (2, 3))
    bgr = image[..., swap].copy()
    results = upscaler.upscale(bgr, (2, 3), channel_order="bgr")
    for scale, result in results.items():
        np.testing.assert_array_equal(result[..., swap], expected[scale])
        assert result.flags.c_contiguous
        out = np.zeros_like(result)
        assert upscaler.upscale(bgr, scale, out=out, channel_order="bgr") is out
        np.testing.assert_array_equal(out, result)
    np.testing.assert_array_equal(bgr[..., swap], image)
    np.testing.assert_array_equal(
        fsrcnn_rt.upscale(bgr, 2, channel_order="bgr")[..., swap], fsrcnn_rt.upscale(image, 2)
    )


def test_channel_order_of_what_has_no_colour(upscaler):
    for channels in ((), (1,), (2,)):
        image = samples("uint8", *channels)
        np.testing.assert_array_equal(
            upscaler.upscale(image, 2, channel_order="bgr"), upscaler.upscale(image, 2)
        )
    with pytest.raises(ValueError, match="channel_order='gbr' is neither 'rgb' nor 'bgr'"):
        upscaler.upscale(samples("uint8", 3), channel_order="gbr")
    with pytest.raises(TypeError, match="channel_order is for arrays, and image is a Pillow image"):
        upscaler.upscale(Image.new("RGB", (4, 4)), channel_order="bgr")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_first_is_refused_with_a_hint(upscaler, channels):
    with pytest.raises(ValueError, match=r"image\.transpose\(1, 2, 0\) is a view of it"):
        upscaler.upscale(np.zeros((channels, 20, 30), np.uint8))
    with pytest.raises(ValueError, match=r"whose last axis is not 1 to 4 channels$"):
        upscaler.upscale(np.zeros((20, 30, 5), np.uint8))


def test_an_empty_picture_is_refused(upscaler):
    with pytest.raises(ValueError, match=r"image has size \(0, 4\), which is empty"):
        upscaler.upscale(Image.new("RGB", (0, 4)))


def test_metadata_that_still_holds_is_kept(upscaler):
    image = Image.new("RGB", (5, 4))
    image.info = {"icc_profile": b"profile", "exif": b"Exif\0\0data", "dpi": (72, 72), "xmp": b"<x>"}
    image.info["comment"] = b"old"
    assert upscaler.upscale(image).info == {
        "icc_profile": b"profile",
        "exif": b"Exif\0\0data",
        "dpi": (72, 72),
        "xmp": b"<x>",
    }
    other = image.convert("CMYK")
    other.info = {"icc_profile": b"a profile of inks"}
    assert upscaler.upscale(other).info == {}


def test_several_scales_of_a_picture(upscaler):
    image = Image.fromarray(samples("uint8", 3))
    results = upscaler.upscale(image, (2, 4))
    assert {scale: result.size for scale, result in results.items()} == {2: (28, 22), 4: (56, 44)}
