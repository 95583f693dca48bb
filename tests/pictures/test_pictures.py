"""Picture files: what is read from them, what is written, and what is kept on the way."""

import io
import os
import struct
import sys
import zlib

import numpy as np
import PIL
import pytest
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.pictures import deep, metadata
from fsrcnn_rt.pictures.encoding import WriteOptions
from PIL import Image, ImageCms, ImageSequence

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PILLOW = int(PIL.__version__.split(".")[0])
Image.init()
FORMATS = Image.SAVE.keys() & Image.OPEN.keys()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6" dc:rights="\xc3\x9cmit"/></x:xmpmeta>'


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=1)


@pytest.mark.parametrize(
    ("mode", "channels", "dtype"),
    [
        ("1", 1, "uint8"),
        ("L", 1, "uint8"),
        ("LA", 2, "uint8"),
        ("I;16", 1, "uint16"),
        ("F", 1, "float32"),
        ("RGBA", 4, "uint8"),
    ],
)
def test_memory_of_a_picture(mode, channels, dtype):
    """Of all its frames, as arrays: so much of it may be held at a time."""
    array = np.zeros((7, 5, channels), dtype)
    for count in (1, 3):
        assert pictures.Picture(count * [Image.new(mode, (5, 7))], {}).nbytes == count * array.nbytes
        assert pictures.Picture(count * [array], {}).nbytes == count * array.nbytes


@pytest.fixture
def convert(upscaler, tmp_path):
    """Read a picture, upscale it by 2 and write it; gives the path of the result."""

    def call(source, name, *, strip_metadata=False, **options):
        picture = pictures.read(source, strip_metadata=strip_metadata)
        pictures.write(pictures.upscale(picture, upscaler, [2])[2], tmp_path / name, WriteOptions(**options))
        return tmp_path / name

    return call


def samples(*shape, dtype=np.uint8):
    return np.random.default_rng(len(shape)).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def exif(orientation=6):
    data = Image.Exif()
    data[0x0112], data[0x010F], data[0x0132] = orientation, "a camera", "2020:02:02 02:02:02"
    data[0x8769] = {0x829A: 0.5}  # exposure time
    return data


def save(path, image=None, **options):
    image = Image.fromarray(samples(9, 12, 3)) if image is None else image
    image.save(path, **options)
    return path


def with_metadata(path):
    """A picture with everything that its format holds."""
    name = path.suffix[1:]
    options = {"exif": exif(), "icc_profile": PROFILE, "dpi": (300, 300)}
    if name == "png":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif name == "tiff":
        # So that the writer of TIFF sees the directories in it, too.
        options["exif"] = Image.Exif()
        options["exif"].load(exif().tobytes())
        options["exif"][700] = XMP
    else:
        options["xmp"] = XMP
    return save(path, **options)


def xmp_of(image):
    """XMP as Pillow finds it, or as it stands in a JPEG, where old versions do not look for it."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or image.getexif().get(700)
    xmp = xmp or next((data for _, data in getattr(image, "applist", []) if data.startswith(b"http")), b"")
    return xmp.encode() if isinstance(xmp, str) else xmp


@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("source", ["jpg", "png", "webp", "tiff"])
def test_metadata(convert, tmp_path, source, target):
    path = with_metadata(tmp_path / f"small.{source}")
    with Image.open(convert(path, f"large.{target}")) as result:
        result.load()
        assert result.size == (18, 24)
        tags = result.getexif()
        assert (tags[0x010F], tags[0x0132]) == ("a camera", "2020:02:02 02:02:02")
        assert tags.get(0x0112, 1) == 1
        assert tags.get_ifd(0x8769)[0x829A] == 0.5
        assert result.info["icc_profile"] == PROFILE
        if source != "jpg" or PILLOW >= 11:  # older ones do not write XMP in JPEG
            assert "Ümit" in xmp_of(result).decode()
            assert b'tiff:Orientation="6"' not in xmp_of(result)
        if "webp" not in (source, target):
            assert result.info["dpi"] == pytest.approx((300, 300), abs=0.5)
    with Image.open(convert(path, f"bare.{target}", strip_metadata=True)) as result:
        result.load()
        assert result.size == (18, 24)
        assert result.info["icc_profile"] == PROFILE
        assert not xmp_of(result)
        assert result.getexif().keys().isdisjoint({0x010F, 0x0132, 0x8769})
        assert tuple(result.info.get("dpi", (1, 1))) in ((1, 1), (72, 72))


@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(convert, upscaler, tmp_path, orientation, suffix):
    small = Image.fromarray(samples(9, 12, 3))
    path = save(tmp_path / f"small.{suffix}", small, exif=exif(orientation).tobytes())
    if suffix == "jpg":
        small = Image.open(path)
    turns = [None, 0, 3, 1, 5, 4, 6, 2]  # Image.Transpose
    turn = turns[orientation - 1]
    expected = upscaler.upscale(np.asarray(small if turn is None else small.transpose(turn)), 2)
    with Image.open(convert(path, "large.png")) as result:
        np.testing.assert_array_equal(np.asarray(result), expected)


def test_quality(convert, tmp_path):
    source = save(tmp_path / "small.jpg", quality=20)

    def size(name, **options):
        return convert(source, name, **options).stat().st_size

    for name in ("a.jpg", "a.webp", "a.avif"):
        if name == "a.avif" and "AVIF" not in FORMATS:
            continue
        assert size(name, quality=10) < size(name, quality=60) < size(name, quality=95) == size(name)
    with Image.open(convert(source, "a.jpg", quality=10)) as result, io.BytesIO() as file:
        assert [component[1:3] for component in result.layer] == [(1, 1)] * 3
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=10)
        with Image.open(file) as expected:
            assert result.quantization == expected.quantization


@pytest.mark.parametrize(
    ("name", "options", "quality", "exact"),
    [
        ("small.png", {}, None, True),
        ("small.webp", {"lossless": True}, None, True),
        ("small.webp", {"quality": 80}, None, False),
        ("small.jpg", {}, None, False),
        ("small.png", {}, 95, False),
    ],
)
def test_what_was_lossless_stays_so(convert, upscaler, tmp_path, name, options, quality, exact):
    source = save(tmp_path / name, **options)
    with Image.open(source) as image:
        expected = upscaler.upscale(np.asarray(image), 2)
    with Image.open(convert(source, "large.webp", quality=quality)) as result:
        assert np.array_equal(np.asarray(result), expected) == exact


def test_png_of_what_repeats_is_searched(convert, upscaler, tmp_path):
    path = save(tmp_path / "small.png", Image.fromarray(np.tile(samples(16, 8, 3), (4, 8, 1))))
    with Image.open(path) as image:
        expected = upscaler.upscale(image, 2)
    with Image.open(convert(path, "large.png")) as result:
        np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))
    with io.BytesIO() as file:
        expected.save(file, "PNG", compress_type=zlib.Z_RLE)
        assert (tmp_path / "large.png").stat().st_size < file.tell() / 2


def test_chunks_of_a_png_are_those_of_pillow(convert, upscaler, tmp_path):
    source = with_metadata(tmp_path / "small.png")

    def chunks(data):
        at, found = 33, []
        while data[at + 4 : at + 8] != b"IDAT":
            length = 12 + int.from_bytes(data[at : at + 4], "big")
            found.append(data[at : at + length])
            at += length
        return found

    picture = pictures.upscale(pictures.read(source), upscaler, [2])[2]
    with io.BytesIO() as file:
        picture.frames[0].save(file, "PNG", **metadata.options(picture.info, "PNG"))
        expected = chunks(file.getvalue())
    assert len(expected) >= 4
    assert chunks(convert(source, "large.png").read_bytes()) == expected


def frames_of(path):
    """Frames as a viewer shows them, with their durations, and how often it shows them all."""
    with Image.open(path) as image:
        shown = [
            (np.asarray(frame.convert("RGBA")).copy(), frame.info.get("duration"))
            for frame in ImageSequence.Iterator(image)
        ]
        return shown, image.info.get("loop")


def moving_gif(path, **options):
    """Frames that change a part each, with holes, and disposed of in several ways."""
    frames = []
    for i, colour in enumerate(["red", "blue", "lime"]):
        frame = Image.new("RGBA", (16, 12), (0, 0, 0, 0))
        frame.paste(colour, (2 + 3 * i, 2, 8 + 3 * i, 9))
        frames.append(frame)
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=[50, 120, 200],
        disposal=options.pop("disposal", [2, 1, 3]),
        **options,
    )
    return path


@pytest.mark.parametrize("disposal", [2, 1, [2, 1, 3], [1, 3, 2]])
def test_gif_keeps_its_frames(convert, upscaler, tmp_path, disposal):
    source = moving_gif(tmp_path / "small.gif", loop=0, disposal=disposal)
    result, loop = frames_of(convert(source, "large.gif"))
    shown, _ = frames_of(source)
    assert [duration for _, duration in result] == [50, 120, 200]
    assert loop == 0
    for (frame, _), (small, _) in zip(result, shown, strict=True):
        expected = upscaler.upscale(small, 2)
        visible = expected[..., 3] >= 128
        np.testing.assert_array_equal(frame[..., 3], 255 * visible)
        difference = np.abs(frame.astype(int) - expected)[visible][:, :3]
        assert difference.mean() < 4


@pytest.mark.parametrize("name", ["large.webp", "large.png"])
def test_animations_without_loss(convert, upscaler, tmp_path, name):
    source = moving_gif(tmp_path / "small.gif", loop=4)
    path = convert(source, name)
    result, loop = frames_of(path)
    shown, _ = frames_of(source)
    assert loop == 5  # GIF counts repetitions
    assert [duration for _, duration in result] == [50, 120, 200]
    for (frame, _), (small, _) in zip(result, shown, strict=True):
        expected = upscaler.upscale(small, 2)
        np.testing.assert_array_equal(frame[..., 3], expected[..., 3])
        seen = expected[..., 3] > 0
        np.testing.assert_array_equal(frame[seen], expected[seen])
    (again, loop), _ = frames_of(convert(path, "larger.gif")), None
    assert loop == 4
    assert [duration for _, duration in again] == [50, 120, 200]


@pytest.mark.parametrize(("suffix", "once"), [("gif", None), ("webp", 1), ("png", 1)])
def test_animations_that_play_once(convert, tmp_path, suffix, once):
    source = moving_gif(tmp_path / "small.gif")
    _, loop = frames_of(convert(source, f"large.{suffix}"))
    assert loop == once


def test_opaque_animations_stay_opaque(convert, tmp_path):
    frames = [Image.fromarray(samples(8, 9, 3) // (i + 1)) for i in range(3)]
    source = save(tmp_path / "small.png", frames[0], save_all=True, append_images=frames[1:], duration=40)
    with Image.open(convert(source, "large.png")) as result:
        assert (result.n_frames, result.mode) == (3, "RGB")


def test_the_still_of_an_animation(convert, tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    source = save(
        tmp_path / "small.png",
        frames[0],
        save_all=True,
        append_images=frames[1:],
        default_image=True,
        duration=[30, 40],
    )
    with Image.open(source) as image, Image.open(convert(source, "large.png")) as result:
        assert result.default_image == image.default_image is True
        assert result.n_frames == image.n_frames == 3
        shown = [frame.info.get("duration") for frame in ImageSequence.Iterator(result)]
        assert shown == [None, 30, 40]


@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow has no AVIF")
def test_avif_keeps_its_frames(convert, tmp_path):
    source = moving_gif(tmp_path / "small.gif", disposal=2)
    result, _ = frames_of(convert(source, "large.avif"))
    assert len(result) == 3
    larger, _ = frames_of(convert(tmp_path / "large.avif", "larger.avif"))
    assert len(larger) == 3
    assert larger[0][0].shape == (48, 64, 4)


def test_animations_that_the_format_cannot_hold(convert, tmp_path):
    source = moving_gif(tmp_path / "small.gif")
    with pytest.raises(OSError, match="it has 3 frames, and JPEG holds one"):
        convert(source, "large.jpg")
    with pytest.raises(OSError, match="it has 3 frames, and TIFF holds one"):
        convert(source, "large.tiff")
    assert not list(tmp_path.glob("*large*"))


def test_pages(convert, upscaler, tmp_path):
    pages = [
        Image.fromarray(samples(8, 9, 3)),
        Image.fromarray(samples(5, 4)),
        Image.fromarray(samples(6, 7, 4)),
    ]
    source = save(tmp_path / "small.tiff", pages[0], save_all=True, append_images=pages[1:])
    with Image.open(convert(source, "large.tiff")) as result:
        for page, small in zip(ImageSequence.Iterator(result), pages, strict=True):
            np.testing.assert_array_equal(np.asarray(page), upscaler.upscale(np.asarray(small), 2))
    with pytest.raises(OSError, match="it has 3 pages, and PNG holds one"):
        convert(source, "large.png")


@pytest.mark.parametrize(
    ("array", "good", "bad"),
    [
        (samples(5, 6, dtype=np.uint16), ["png", "tiff"], ["jpg", "webp", "gif", "bmp", "avif"]),
        (samples(5, 6, dtype=np.uint16).astype(np.int32), ["png", "tiff"], ["webp", "gif", "jpg"]),
        (np.float32(samples(5, 6) / 255), ["tiff"], ["png", "webp", "jpg"]),
    ],
    ids=["I;16", "I", "F"],
)
def test_bits_of_grey_are_kept_or_refused(convert, upscaler, tmp_path, array, good, bad):
    source = save(tmp_path / "small.tiff", Image.fromarray(array))
    expected = upscaler.upscale(array.astype(np.uint16) if array.dtype.kind == "i" else array, 2)
    for suffix in good:
        with Image.open(convert(source, f"large.{suffix}")) as result:
            np.testing.assert_array_equal(np.asarray(result), expected)
    for suffix in bad:
        if suffix == "avif" and "AVIF" not in FORMATS:
            continue
        with pytest.raises(OSError, match=r"cannot write mode .* has fewer bits"):
            convert(source, f"bad.{suffix}")
    assert not list(tmp_path.glob("*bad*"))


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def deep_png(path, array, *chunks):
    """Write 16 bits per channel without a library."""
    height, width, channels = array.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in array))
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.fixture
def codecs():
    return (
        pytest.importorskip("tifffile", reason="16-bit colour needs the extra deep"),
        pytest.importorskip("imagecodecs", reason="16-bit colour needs the extra deep"),
    )


def deep_samples(path, codecs):
    tifffile, imagecodecs = codecs
    return tifffile.imread(path) if path.suffix == ".tiff" else imagecodecs.png_decode(path.read_bytes())


@pytest.mark.parametrize("target", ["png", "tiff"])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_deep_colour(convert, upscaler, tmp_path, codecs, channels, target):
    array = samples(5, 6, channels, dtype=np.uint16)
    source = deep_png(tmp_path / "small.png", array)
    result = deep_samples(convert(source, f"large.{target}"), codecs)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, upscaler.upscale(array, 2))
    assert (result % 257 != 0).any()
    if channels > 2:
        again = deep_samples(convert(tmp_path / f"large.{target}", "larger.png"), codecs)
        np.testing.assert_array_equal(again, upscaler.upscale(result, 2))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_deep_tiff(convert, upscaler, tmp_path, codecs, planar, order):
    array = samples(5, 6, 3, dtype=np.uint16)
    stored = array if planar == "contig" else np.moveaxis(array, -1, 0)
    path = tmp_path / "small.tiff"
    codecs[0].imwrite(path, stored, photometric="rgb", planarconfig=planar, byteorder=order)
    np.testing.assert_array_equal(
        deep_samples(convert(path, "large.tiff"), codecs), upscaler.upscale(array, 2)
    )


@pytest.mark.parametrize(("kind", "channels"), [("assocalpha", 4), ("unassalpha", 4), ("unspecified", 3)])
def test_alpha_of_deep_tiff(convert, upscaler, tmp_path, codecs, kind, channels):
    array = samples(5, 6, 4, dtype=np.uint16)
    array[..., 3] |= 0x4000
    stored = array.copy()
    if kind == "assocalpha":
        stored[..., :3] = np.round(array[..., :3] * (array[..., 3:] / 65535))
    codecs[0].imwrite(tmp_path / "small.tiff", stored, photometric="rgb", extrasamples=[kind])
    result = deep_samples(convert(tmp_path / "small.tiff", "large.png"), codecs)
    expected = upscaler.upscale(array[..., :channels], 2)
    assert result.shape == expected.shape
    assert np.abs(result.astype(int) - expected).max() <= (8 if kind == "assocalpha" else 0)


@pytest.mark.parametrize("target", ["png", "tiff"])
@pytest.mark.parametrize("source", ["png", "tiff"])
def test_metadata_of_deep_colour(convert, tmp_path, codecs, source, target):
    array = samples(5, 6, 3, dtype=np.uint16)
    path = deep_png(
        tmp_path / "small.png",
        array,
        chunk(b"iCCP", b"p\0\0" + zlib.compress(PROFILE)),
        chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
        chunk(b"eXIf", exif().tobytes()[6:]),
        chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP),
    )
    if source == "tiff":
        path = convert(path, "small.tiff")
    with Image.open(convert(path, f"large.{target}")) as result:
        result.load()
        assert result.size == ((10, 12) if source == "png" else (20, 24))
        assert result.info["icc_profile"] == PROFILE
        assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert result.getexif()[0x010F] == "a camera"
        assert result.getexif().get(0x0112, 1) == 1
        assert "Ümit" in xmp_of(result).decode()
    with Image.open(convert(path, f"bare.{target}", strip_metadata=True)) as result:
        result.load()
        assert result.info["icc_profile"] == PROFILE
        assert not xmp_of(result)
        assert 0x010F not in result.getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_of_deep_colour(convert, upscaler, tmp_path, codecs, orientation):
    array = samples(5, 6, 3, dtype=np.uint16)
    path = deep_png(tmp_path / "small.png", array, chunk(b"eXIf", exif(orientation).tobytes()[6:]))
    grey = save(tmp_path / "grey.png", Image.fromarray(array[..., 0]), exif=exif(orientation))
    upright = pictures.read(path).frames[0]
    np.testing.assert_array_equal(upright[..., 0], np.asarray(pictures.read(grey).frames[0]))
    np.testing.assert_array_equal(
        deep_samples(convert(path, "large.png"), codecs), upscaler.upscale(upright, 2)
    )


def test_a_transparent_colour_of_deep_pictures(convert, tmp_path, codecs):
    array = np.full((5, 6, 3), 1000, np.uint16)
    array[:, 3:] = 30000
    path = deep_png(tmp_path / "a.png", array, chunk(b"tRNS", struct.pack(">HHH", 1000, 1000, 1000)))
    result = deep_samples(convert(path, "large.png"), codecs)
    assert result.shape == (10, 12, 4)
    assert (result[:, 0, 3] == 0).all()
    assert (result[:, -1, 3] == 65535).all()
    path = deep_png(tmp_path / "b.png", array[..., :1], chunk(b"tRNS", struct.pack(">H", 1000)))
    result = deep_samples(convert(path, "grey.png"), codecs)
    assert result.shape == (10, 12, 2)
    assert (result[:, 0, 1] == 0).all()


def test_deep_colour_that_the_format_cannot_hold(convert, tmp_path, codecs):
    source = deep_png(tmp_path / "small.png", samples(5, 6, 3, dtype=np.uint16))
    with pytest.raises(OSError, match="cannot write 16 bits per channel as JPEG"):
        convert(source, "large.jpg")
    assert not list(tmp_path.glob("*large*"))


def test_deep_colour_without_what_reads_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    source = deep_png(tmp_path / "small.png", samples(5, 6, 3, dtype=np.uint16))
    with pytest.raises(OSError, match=r"which Pillow cuts to 8 \(pip install 'fsrcnn-rt\[deep\]'"):
        pictures.read(source)


def test_deep_colour_in_other_formats_is_refused(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 65535\n" + bytes(12))
    save(tmp_path / "b.ppm")
    with pytest.raises(OSError, match="more than 8 bits per channel, which Pillow cuts to 8; of these"):
        pictures.read(tmp_path / "a.ppm")
    pictures.read(tmp_path / "b.ppm")


@pytest.mark.parametrize("name", ["JPEG2000", "AVIF"])
def test_bits_by_the_header(tmp_path, name):
    if name not in FORMATS:
        pytest.skip(f"this Pillow has no {name}")
    path = tmp_path / "small"
    save(path, format=name)
    assert pictures.read(path).size == (12, 9)
    data = path.read_bytes()
    marker, distance, deeper = (b"\xff\x4f\xff\x51", 42, 15) if name == "JPEG2000" else (b"pixi", 9, 10)
    position = data.index(marker) + distance
    path.write_bytes(data[:position] + bytes([deeper]) + data[position + 1 :])
    assert deep._bits(path, name) == (16 if name == "JPEG2000" else 10)


def test_nothing_of_a_failed_write_is_left(tmp_path):
    picture = pictures.Picture([Image.new("RGBA", (4, 4))], {})
    with pytest.raises(OSError, match=r"a\.jpg cannot be written: cannot write mode RGBA as JPEG"):
        pictures.write(picture, tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_a_pipe_or_a_device_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    for name in ("a.png", "b.png"):
        with pytest.raises(OSError, match="Not a regular file"):
            pictures.read(tmp_path / name)
    with pytest.raises(OSError, match=r"cannot be read: Is a directory"):
        pictures.read(tmp_path)


def test_what_a_frame_removes_does_not_show_in_the_next(convert, upscaler, tmp_path):
    """Frames that hide nothing within their box, or anywhere; and one of holes alone."""
    frames = []
    for box in [
        (2, 2, 18, 19),
        (7, 2, 9, 5),
        (0, 0, 40, 30),
        None,
        (0, 5, 40, 20),
        (0, 0, 10, 30),
        (30, 0, 40, 30),
    ]:
        frame = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
        if box:
            frame.paste("gold", box)
        frames.append(frame)
    options = {"save_all": True, "append_images": frames[1:], "duration": 50, "lossless": True}
    frames[0].save(tmp_path / "small.webp", **options)
    shown, _ = frames_of(convert(tmp_path / "small.webp", "large.gif"))
    for (frame, _), small in zip(shown, frames, strict=True):
        expected = np.asarray(upscaler.upscale(small, 2))[..., 3] >= 128
        np.testing.assert_array_equal(frame[..., 3], 255 * expected)


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_frames_that_are_the_same_are_one(convert, tmp_path, suffix):
    colours = ["red", "red", "blue", "blue", "red"]
    frames = [Image.new("RGB", (8, 8), colour) for colour in colours]
    frames[2].putpixel((3, 3), (255, 255, 255))
    frames[3].putpixel((3, 3), (255, 255, 255))
    options = {
        "save_all": True,
        "append_images": frames[1:],
        "duration": [30, 40, 50, 60, 70],
        "lossless": True,
    }
    frames[0].save(tmp_path / "small.webp", **options)
    shown, _ = frames_of(convert(tmp_path / "small.webp", f"large.{suffix}"))
    assert [duration for _, duration in shown] == [70, 110, 70]
    assert [frame[0, 0, :3].argmax() for frame, _ in shown] == [0, 2, 0]


def test_an_animation_of_one_frame_is_a_picture(tmp_path):
    still = Image.new("RGB", (8, 8), "red")
    picture = pictures.Picture([still, still.copy()], {}, [40, 50], 0)
    for suffix in ("png", "gif"):
        pictures.write(picture, tmp_path / f"a.{suffix}")
        with Image.open(tmp_path / f"a.{suffix}") as image:
            assert getattr(image, "n_frames", 1) == 1


def test_a_frame_that_png_cannot_show_for_so_long(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    picture = pictures.Picture(frames, {}, [40, 65536000], 0)
    with pytest.raises(OSError, match=r"PNG holds no frame that is shown for 6\.5536e\+07 ms"):
        pictures.write(picture, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
