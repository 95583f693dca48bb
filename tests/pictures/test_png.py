"""The PNG encoder: whole and valid for every decoder, the same from any number of threads."""

import io
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
from fsrcnn_rt.pictures import png
from PIL import Image, ImageDraw, PngImagePlugin

CHANNELS = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(3).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def photograph(width, height):
    """Smooth, with grain in the lower bits, as an enlarged photograph is."""
    y, x = np.mgrid[:height, :width][..., None]
    waves = (
        128
        + 90 * np.sin(x / 41 + y / 67 + np.arange(3))
        + np.random.default_rng(0).normal(0, 2, (height, width, 3))
    )
    return waves.clip(0, 255).astype(np.uint8)


def drawing(width, height):
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for y in range(4, height, 14):
        draw.text((5, y), "lorem ipsum dolor sit amet " * 20, fill="black")
    return np.asarray(image)


def encoded(image, chunks=b"", **options):
    file = io.BytesIO()
    png.write(file, image, chunks, **options)
    return file.getvalue()


def decoded(data):
    """Decode by the specification, with none of the code under test; (H, bytes of a row)."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, deflated, names = 8, b"", []
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + body)
        names.append(name)
        if name == b"IHDR":
            width, height, depth, colour, *others = struct.unpack(">IIBBBBB", body)
            assert others == [0, 0, 0]
        deflated += body if name == b"IDAT" else b""
        at += 12 + length
    assert (names[0], names[-1]) == (b"IHDR", b"IEND")
    pixel = {0: 1, 4: 2, 2: 3, 6: 4}[colour] * depth // 8
    rows = np.frombuffer(zlib.decompress(deflated), np.uint8).reshape(
        height, 1 + width * pixel
    )  # checks Adler-32
    result = np.zeros((height + 1, (width + 1) * pixel), np.int64)
    for y, row in enumerate(rows, 1):
        for x, value in enumerate(row[1:].tolist(), pixel):
            left, above, corner = result[y, x - pixel], result[y - 1, x], result[y - 1, x - pixel]
            distances = [abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)]
            nearest = (left, above, corner)[distances.index(min(distances))] if row[0] == 4 else 0
            result[y, x] = (value + nearest) % 256
    return result[1:, pixel:].astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize("effort", [None, 0, 6])
def test_every_kind_by_the_specification(monkeypatch, mode, dtype, effort):
    monkeypatch.setattr(png, "_STRIPE", 300)
    image = noise(19, 13, *CHANNELS[mode], dtype=dtype)
    for samples in (image, image[:, ::-1]):
        expected = np.ascontiguousarray(samples, image.dtype.newbyteorder(">")).view(np.uint8).reshape(19, -1)
        np.testing.assert_array_equal(decoded(encoded(samples, effort=effort)), expected)


@pytest.mark.parametrize("mode", [*CHANNELS, "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (333, 257)])
def test_pillow_images_by_pillow(mode, size):
    if mode == "I;16":
        image = Image.fromarray(noise(*size[::-1], dtype=np.uint16))
    else:
        image = Image.fromarray(noise(*size[::-1], *CHANNELS[mode]))
    for options in ({}, {"effort": 0}, {"effort": 10}):
        with Image.open(io.BytesIO(encoded(image, **options))) as result:
            assert result.size == size
            np.testing.assert_array_equal(np.asarray(result), np.asarray(image))


@pytest.mark.parametrize("make", [photograph, drawing])
def test_the_bytes_do_not_depend_on_threads(make):
    image = make(1500, 1200)
    one = encoded(image)
    assert one.count(b"IDAT") > 3
    for threads in (2, 7):
        assert encoded(image, threads=threads) == one
    with Image.open(io.BytesIO(one)) as result:
        np.testing.assert_array_equal(np.asarray(result), image)


def test_what_repeats_is_searched():
    assert png.repeats(drawing(600, 400))
    assert not png.repeats(photograph(600, 400))
    assert not png.repeats(noise(400, 600, 3))
    with io.BytesIO() as file:
        Image.fromarray(drawing(600, 400)).save(file, "PNG", compress_type=zlib.Z_RLE)
        assert len(encoded(drawing(600, 400))) < 0.7 * file.tell()
    with io.BytesIO() as file:
        Image.fromarray(photograph(600, 400)).save(file, "PNG")
        assert len(encoded(photograph(600, 400))) < 1.05 * file.tell()


def test_each_part_as_suits_it(monkeypatch):
    monkeypatch.setattr(png, "_STRIPE", 1 << 17)
    page = np.concatenate([drawing(700, 600), photograph(700, 600)])
    parts = len(encoded(page[:600])) + len(encoded(page[600:]))
    assert len(encoded(page)) < 1.05 * parts


def test_effort():
    image = drawing(500, 300)
    lengths = [len(encoded(image, effort=effort)) for effort in (0, 1, 6, 10)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < lengths[0]


def test_progress():
    told = []
    encoded(photograph(1500, 1200), progress=told.append)
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1] == 1


def test_what_progress_raises_ends_it():
    def stop(part):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoded(photograph(1500, 1200), threads=2, progress=stop)


def test_metadata_goes_before_the_pixels():
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a title")
    with io.BytesIO() as file:
        Image.new("L", (1, 1)).save(file, "PNG", pnginfo=text)
        data = file.getvalue()
    chunk = data[data.index(b"tEXt") - 4 : data.index(b"IDAT") - 4]
    with Image.open(io.BytesIO(encoded(noise(5, 6), chunk))) as result:
        assert result.info == {"Title": "a title"}


def test_pngcheck(tmp_path):
    if not shutil.which("pngcheck"):
        pytest.skip("pngcheck is not installed")
    for name, image in {"a": photograph(1500, 1200), "b": drawing(900, 700), "c": noise(40, 30, 4)}.items():
        (tmp_path / f"{name}.png").write_bytes(encoded(image, threads=2))
    subprocess.run(["pngcheck", "-v", *tmp_path.glob("*.png")], check=True, capture_output=True)
