"""Metadata: what describes a picture goes with it, what tells of the file it came from does not."""

import io
import json
import struct

import numpy as np
import pytest
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.pictures import exif, metadata
from PIL import Image
from PIL.PngImagePlugin import PngInfo

Image.init()
SMALL, LARGE = (12, 9), (24, 18)
MAKER_NOTE = 0x927C


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=1)


@pytest.fixture
def convert(upscaler, tmp_path):
    """Upscale a file by 2; gives the path of the result."""

    def call(source, name):
        picture = pictures.upscale(pictures.read(source), upscaler, [2])[2]
        pictures.write(picture, tmp_path / name)
        return tmp_path / name

    return call


def samples(*shape, dtype=np.uint8):
    return np.random.default_rng(len(shape)).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def save(path, mode="RGB", **options):
    Image.fromarray(samples(9, 12, 3)).convert(mode).save(path, **options)
    return path


SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}


def directory(order, entries, start, behind=0):
    """A directory of (tag, type, bytes), as it stands at ``start``."""
    packed, data = struct.pack(order + "H", len(entries)), b""
    end = start + 2 + 12 * len(entries) + 4
    for tag, kind, value in sorted(entries):
        packed += struct.pack(order + "HHI", tag, kind, len(value) // SIZES[kind])
        if len(value) <= 4:
            packed += value.ljust(4, b"\0")
        else:
            packed += struct.pack(order + "I", end + len(data))
            data += value + bytes(len(value) % 2)
    return packed + struct.pack(order + "I", behind) + data


def camera(order="<"):
    """EXIF as a camera writes it: with a thumbnail, a maker note, and how the file is stored."""

    def short(*values):
        return struct.pack(f"{order}{len(values)}H", *values)

    def long(*values):
        return struct.pack(f"{order}{len(values)}I", *values)

    thumbnail = b"\xff\xd8 a small picture \xff\xd9"
    first = [
        *[(256, 4, long(4000)), (257, 4, long(3000)), (258, 3, short(8, 8, 8)), (259, 3, short(6))],
        *[(262, 3, short(6)), (273, 4, long(8)), (277, 3, short(3)), (278, 3, short(1)), (279, 4, long(5))],
        *[(254, 4, long(1)), (284, 3, short(2)), (317, 3, short(2)), (338, 3, short(1)), (339, 3, short(3))],
        *[(282, 5, long(300, 1)), (283, 5, long(300, 1)), (296, 3, short(2)), (274, 3, short(6))],
        *[(270, 2, b"a view\0"), (271, 2, b"a camera\0"), (315, 2, "Ümit".encode() + b"\0")],
        *[(530, 3, short(2, 1)), (531, 3, short(1)), (50706, 1, bytes([1, 4, 0, 0]))],
        *[(34665, 4, long(600)), (34853, 4, long(1000))],
    ]
    inner = [
        (0x829A, 5, long(1, 60)),
        (0x9000, 7, b"0230"),
        (0x9204, 10, struct.pack(order + "ii", -1, 3)),
        (0x9214, 3, short(100, 100, 20, 20)),
        (MAKER_NOTE, 7, b"made by its maker"),
        (0x9286, 7, b"ASCII\0\0\0a comment"),
        (0xA002, 3, short(SMALL[1])),
        (0xA003, 4, long(SMALL[0])),
        (0xA005, 4, long(1200)),
        (0xA20E, 5, long(4000, 3)),
        (0xA20F, 5, long(4000, 3)),
    ]
    place = [(0, 1, bytes([2, 3, 0, 0])), (1, 2, b"N\0"), (2, 5, long(41, 1, 30, 1, 99, 10))]
    block = {"<": b"II*\0", ">": b"MM\0*"}[order] + long(8)
    block += directory(order, first, 8, behind=1300)
    block = block.ljust(600, b"\0") + directory(order, inner, 600)
    block = block.ljust(1000, b"\0") + directory(order, place, 1000)
    block = block.ljust(1200, b"\0") + directory(order, [(1, 2, b"R98\0"), (2, 7, b"0100")], 1200)
    block = block.ljust(1300, b"\0")
    small = [(259, 3, short(6)), (513, 4, long(1400)), (514, 4, long(len(thumbnail)))]
    return b"Exif\0\0" + (block + directory(order, small, 1300)).ljust(1400, b"\0") + thumbnail


def entries(data, offset):
    """Entries of a directory as they stand: tag -> (type, number, four bytes)."""
    order = "<" if data[:2] == b"II" else ">"
    (count,) = struct.unpack_from(order + "H", data, offset)
    found = [struct.unpack_from(order + "HHI4s", data, offset + 2 + 12 * i) for i in range(count)]
    return {tag: rest for tag, *rest in found}, struct.unpack_from(
        order + "I", data, offset + 2 + 12 * count
    )[0]


def raw_exif(path):
    with Image.open(path) as image:
        image.load()
        return image.info["exif"].removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_tiff_takes_no_structure_from_exif(convert, upscaler, tmp_path, suffix, order):
    source = save(
        tmp_path / f"a.{suffix}", exif=camera(order), **({"lossless": True} if suffix == "webp" else {})
    )
    with Image.open(source) as image:
        upright = image.transpose(Image.Transpose.ROTATE_270)
        expected = np.asarray(upscaler.upscale(upright, 2))
    with Image.open(convert(source, "b.tiff")) as result:
        assert result.getexif().get_ifd(0xA005)[1] == "R98"
        result.load()
        np.testing.assert_array_equal(np.asarray(result), expected)
        tags = result.getexif()
        assert (tags[256], tags[257], tags[258], tags[262]) == (18, 24, (8, 8, 8), 2)
        assert tags.keys().isdisjoint({254, 274, 317, 338, 339, 530, 531, 50706, 513, 514})
        assert tags[271] == "a camera"
        assert tags[315].encode("latin-1").decode() == "Ümit"
        inner, place = tags.get_ifd(34665), tags.get_ifd(34853)
        assert inner[0x829A] == pytest.approx(1 / 60)
        assert (inner[0xA002], inner[0xA003]) == (18, 24)
        assert inner[MAKER_NOTE] == b"made by its maker"
        assert place[2] == (41.0, 30.0, 9.9)
        assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif"])
def test_exif_is_kept_to_the_byte(convert, tmp_path, suffix, order):
    """But for the size, what is of the old picture, and what is of the old file."""
    if suffix == "avif" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    source = save(tmp_path / "a.jpg", exif=camera(order))
    path = convert(source, f"b.{suffix}")
    data = raw_exif(path)
    assert data[:2] == {"<": b"II", ">": b"MM"}[order]
    first, behind = entries(data, struct.unpack_from(order + "I", data, 4)[0])
    assert behind == 0
    assert set(first) == {270, 271, 282, 283, 296, 315, 34665, 34853}
    assert b"a small picture" not in path.read_bytes()
    inner, _ = entries(data, 600)
    before, _ = entries(camera(order)[6:], 600)
    changed = {0x9214, 0xA002, 0xA003}
    assert {tag: inner[tag] for tag in before.keys() - changed} == {
        tag: before[tag] for tag in before.keys() - changed
    }
    assert 0x9214 not in inner
    assert inner[0xA002] == [4, 1, struct.pack(order + "I", 18)]
    assert inner[0xA003] == [4, 1, struct.pack(order + "I", 24)]
    assert data[(at := camera(order)[6:].index(b"made by")) : at + 17] == b"made by its maker"
    with Image.open(path) as result:
        assert result.getexif().get_ifd(34665)[0xA20E] == pytest.approx(8000 / 3, rel=1e-3)
        assert result.getexif().get_ifd(34853)[2] == (41.0, 30.0, 9.9)
        assert result.getexif().get_ifd(0xA005)[1] == "R98"
    (again,) = [convert(path, f"c.{suffix}")]
    assert entries(raw_exif(again), 600)[0][0xA003] == [4, 1, struct.pack(order + "I", 48)]


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0XX*\0" + bytes(20),
        b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(20),
        b"Exif\0\0II*\0\x08\0\0\0\x05\0" + bytes(20),
        camera()[:700],
        camera()[:1010],
    ],
    ids=["empty", "short", "no order", "beyond", "cut", "cut in exif", "cut in gps"],
)
def test_exif_that_makes_no_sense(block):
    assert exif.describing(block) is None


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tag", [exif.EXIF_DIRECTORY, exif.GPS_DIRECTORY])
def test_exif_whose_directories_lie_anywhere(tag, order):
    """In the header, in each other, in values: what is kept of them can be adapted, and can be placed."""
    block = camera(order)
    entry = block.index(struct.pack(order + "HHI", tag, 4, 1))
    kept = 0
    for place in range(len(block)):
        moved = block[: entry + 8] + struct.pack(order + "I", place) + block[entry + 12 :]
        if (described := exif.describing(moved)) is None:
            continue
        kept += 1
        adapted = exif.with_resolution(exif.resized(described, (12, 9), (24, 18)), (300, 300))
        for directory_tag in (exif.EXIF_DIRECTORY, exif.GPS_DIRECTORY):
            exif.placed(adapted, directory_tag, 1000, big=False)
    assert kept > 10


def test_a_thumbnail_that_makes_no_sense_costs_nothing_else():
    block = camera()[: 6 + 1305]
    assert b"a camera" in exif.describing(block)


@pytest.mark.parametrize("target", ["png", "tiff", "jpg", "webp"])
def test_bigtiff_with_a_description(convert, upscaler, tmp_path, target):
    tifffile = pytest.importorskip("tifffile", reason="Pillow writes no BigTIFF in all versions")
    array = samples(9, 12, 3)
    tifffile.imwrite(
        tmp_path / "a.tif",
        array,
        bigtiff=True,
        photometric="rgb",
        description="a view",
        metadata=None,
        software="me",
    )
    with Image.open(convert(tmp_path / "a.tif", f"b.{target}")) as result:
        result.load()
        assert result.size == LARGE
        assert result.getexif()[270] == "a view"
        if target != "jpg":
            np.testing.assert_array_equal(np.asarray(result), upscaler.upscale(array, 2))


@pytest.mark.parametrize(("description", "expected"), [({}, None), ({"who": "me"}, '{"who": "me"}')])
def test_the_shape_that_tifffile_writes_does_not_stay(convert, tmp_path, description, expected):
    tifffile = pytest.importorskip("tifffile", reason="this is about what it writes")
    tifffile.imwrite(tmp_path / "a.tif", samples(9, 12, 3), photometric="rgb", metadata=description)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert json.loads(file.pages[0].description)["shape"] == [9, 12, 3]
    path = convert(tmp_path / "a.tif", "b.tif")
    with tifffile.TiffFile(path) as file:
        assert (file.pages[0].description or None) == expected
        assert file.asarray().shape == (18, 24, 3)


def test_the_sizes_in_ome_xml(convert, tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="this is about what it writes")
    physical = {"PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", samples(9, 12), metadata={"axes": "YX", **physical})
    path = convert(tmp_path / "a.ome.tif", "b.ome.tif")
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        text = file.pages[0].description
        assert file.series[0].shape == (18, 24)
    for part in ('SizeX="24"', 'SizeY="18"', 'PhysicalSizeX="0.15"', 'PhysicalSizeY="0.25"', 'Unit="µm"'):
        assert part in text


XMP = b"""<x:xmpmeta xmlns:x='adobe:ns:meta/'><d exif:PixelXDimension="12" tiff:ImageLength='9'
 GPano:FullPanoWidthPixels="100" GPano:CroppedAreaTopPixels="7"><exif:PixelYDimension>9</exif:PixelYDimension>
<GPano:CroppedAreaImageHeightPixels>9</GPano:CroppedAreaImageHeightPixels></d></x:xmpmeta>"""


def test_the_sizes_in_xmp():
    adapted = metadata.resized({"xmp": XMP}, SMALL, (24, 27))["xmp"].decode()
    for part in (
        *('exif:PixelXDimension="24"', "tiff:ImageLength='27'", "<exif:PixelYDimension>27<"),
        *('GPano:FullPanoWidthPixels="200"', 'GPano:CroppedAreaTopPixels="21"', "HeightPixels>27</"),
    ):
        assert part in adapted


@pytest.fixture
def tifffile():
    pytest.importorskip("imagecodecs", reason="16-bit colour needs the extra deep")
    return pytest.importorskip("tifffile", reason="16-bit colour needs the extra deep")


def deep_tiff(path, tifffile, order="<"):
    """16-bit colour with EXIF: written by the package from a PNG, whose EXIF is the camera's."""
    import zlib

    array = samples(9, 12, 3, dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, part in (
        (b"IHDR", struct.pack(">IIBBBBB", 12, 9, 16, 2, 0, 0, 0)),
        (b"eXIf", camera(order)[6:]),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        data += struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_deep_tiff_keeps_exif_and_gps(convert, tmp_path, tifffile, monkeypatch, order, big):
    if big:  # as it is above 4 GB
        write = tifffile.imwrite
        monkeypatch.setattr(
            tifffile, "imwrite", lambda *args, **options: write(*args, bigtiff=True, **options)
        )
    path = convert(deep_tiff(tmp_path / "a.png", tifffile, order), "b.tiff")
    for _ in range(2):
        with tifffile.TiffFile(path) as file:
            assert file.is_bigtiff == big
            tags = file.pages[0].tags
            assert tags[34665].value["ExposureTime"] == (1, 60)
            assert tags[34665].value["MakerNote"] == b"made by its maker"
            assert tags[34665].value["ExifVersion"] in (b"0230", "0230")
            assert tags[34853].value["GPSLatitude"] == (41, 1, 30, 1, 99, 10)
            assert tags[315].value in ("Ümit", "Ümit".encode())
            assert tags[271].value == "a camera"
            assert tags[282].value[0] / tags[282].value[1] == pytest.approx(300)
            assert tags[296].value == 2
            codes = [tag.code for tag in tags]
            assert codes == sorted(codes)
            assert not {34664, 34852, 274} & set(codes)
            sides = tags[34665].value["PixelXDimension"], tags[34665].value["PixelYDimension"]
            assert sides == file.pages[0].shape[1::-1]
        with Image.open(path) as image:
            found = image.getexif()
            assert found.get_ifd(34853)[2] == (41.0, 30.0, 9.9)
            assert found.get_ifd(0xA005)[1] == "R98"
        path = convert(path, "c.tiff")


def test_pages_keep_their_own(convert, tmp_path):
    """Descriptions, EXIF, profiles and resolutions of pages that differ in them."""
    tifffile = pytest.importorskip("tifffile", reason="Pillow writes the same tags into all pages")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for i, dots in ((1, 100), (2, 200), (3, None)):
            resolution = {"resolution": (dots, dots), "resolutionunit": "INCH"} if dots else {}
            about = {"description": f"page {i}", "iccprofile": b"profile %d" % i} if i < 3 else {}
            file.write(samples(9, 12 + i), metadata=None, software=False, **about, **resolution)
    path = convert(tmp_path / "a.tif", "b.tif")
    for i, dots in ((1, 100), (2, 200), (3, None)):
        with Image.open(path) as result:
            result.seek(i - 1)
            result.load()
            assert result.size == (24 + 2 * i, 18)
            assert result.tag_v2.get(270) == (f"page {i}" if i < 3 else None)
            assert result.tag_v2.get(34675) == (b"profile %d" % i if i < 3 else None)
            assert result.tag_v2.get(282) == dots


def test_exif_of_pages(convert, tmp_path):
    first, *others = (Image.fromarray(samples(9, 12, 3)) for _ in range(3))
    data = Image.Exif()
    data[271], data[34665] = "a camera", {0x829A: 0.5}
    first.save(tmp_path / "a.tif", save_all=True, append_images=others, exif=data.tobytes())
    with Image.open(convert(tmp_path / "a.tif", "b.tif")) as result:
        assert result.n_frames == 3
        result.load()
        assert result.getexif()[271] == "a camera"
        assert result.getexif().get_ifd(34665)[0x829A] == 0.5
        for i in range(3):
            result.seek(i)
            result.load()
            assert result.size == LARGE
            if 34665 in result.tag_v2:
                assert result.getexif().get_ifd(34665)[0x829A] == 0.5


TEXTS = {"parameters": "a cat, 20 steps", "Title": "Übergröße", "Łódź": "latin-1 has no such keyword"}


def test_texts_of_png(convert, tmp_path):
    texts = PngInfo()
    texts.add_text("parameters", "a cat, 20 steps")
    texts.add_itxt("Title", "Übergröße", lang="de", tkey="Titel")
    texts.add_text("exif:PixelXDimension", "12")
    with Image.open(convert(save(tmp_path / "a.png", pnginfo=texts), "b.png")) as result:
        assert result.text == {"parameters": "a cat, 20 steps", "Title": "Übergröße"}
        assert (result.text["Title"].lang, result.text["Title"].tkey) == ("de", "Titel")


@pytest.mark.parametrize("target", ["jpg", "gif"])
@pytest.mark.parametrize("source", ["jpg", "gif"])
def test_comments(convert, tmp_path, source, target):
    path = save(tmp_path / f"a.{source}", comment=b"for you")
    with Image.open(convert(path, f"b.{target}")) as result:
        assert result.info["comment"] == b"for you"


def test_what_is_too_much_for_a_marker_of_jpeg(convert, tmp_path):
    data = Image.Exif()
    data[270] = "a" * 70000
    texts = PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "<x>" + "b" * 70000 + "</x>")
    path = save(tmp_path / "a.png", exif=data, pnginfo=texts)
    assert pictures.left_out(pictures.read(path), "JPEG") == ["exif", "xmp"]
    with Image.open(convert(path, "b.jpg")) as result:
        assert "exif" not in result.info
    with Image.open(convert(path, "b.tiff")) as result:
        assert len(result.getexif()[270]) == 70000


@pytest.mark.parametrize("target", ["webp", "avif"])
def test_resolution_without_a_place_of_its_own(convert, tmp_path, target):
    if target == "avif" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    path = convert(save(tmp_path / "a.jpg", dpi=(300, 150)), f"b.{target}")
    with Image.open(path) as result:
        tags = result.getexif()
        assert (tags[282], tags[283], tags[296]) == (300.0, 150.0, 2)
    with Image.open(convert(path, "c.png")) as result:
        assert result.info["dpi"] == pytest.approx((300, 150), abs=0.1)


@pytest.mark.parametrize(
    ("options", "lossless"),
    [
        ({"lossless": True}, True),
        ({"quality": 80}, False),
        ({"lossless": True, "xmp": b"<x>VP8 </x>"}, True),
        ({"quality": 80, "xmp": b"<x>VP8L</x>"}, False),
        ({"lossless": True, "xmp": b"<x>VP8 , of odd length</x>"[:-1]}, True),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("frames", [1, 3])
def test_lossless_webp(tmp_path, options, lossless, mode, frames):
    pixels = [Image.fromarray(samples(9, 12, len(mode)) // (i + 1)) for i in range(frames)]
    several = {"save_all": True, "append_images": pixels[1:]} if frames > 1 else {}
    pixels[0].save(tmp_path / "a.webp", **several, **options)
    assert pictures.read(tmp_path / "a.webp").lossless == lossless


def test_pages_become_pages_of_a_pdf(convert, tmp_path):
    first, *others = (Image.fromarray(samples(9, 12 + i, 3)) for i in range(3))
    first.save(tmp_path / "a.tif", save_all=True, append_images=others, dpi=(72, 72))
    data = convert(tmp_path / "a.tif", "b.pdf").read_bytes()
    assert data.count(b"/Type /Page\n") == 3
    start = data.index(b"\xff\xd8")
    with Image.open(io.BytesIO(data[start:])) as page:
        assert page.size == LARGE
        assert [component[1:3] for component in page.layer] == [(1, 1)] * 3


def psd(path, array, layers):
    """A Photoshop file: the picture as it looks, and layers of one colour."""
    height, width = array.shape[:2]
    records, pixels = struct.pack(">h", layers), b""
    for i in range(layers):
        records += struct.pack(">iiiiH", 0, 0, height, width, 3)
        records += b"".join(struct.pack(">hI", channel, 2 + height * width) for channel in range(3))
        records += b"8BIMnorm" + bytes([255, 0, 0, 0]) + struct.pack(">I", 12) + bytes(8) + b"\1a\0\0"
        pixels += (bytes(2) + bytes([50 * i]) * (height * width)) * 3
    layer_info = struct.pack(">I", len(records) + len(pixels)) + records + pixels
    data = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3) + bytes(8)
    data += struct.pack(">I", len(layer_info)) + layer_info + bytes(2) + array.transpose(2, 0, 1).tobytes()
    path.write_bytes(data)
    return path


def test_layers_are_one_picture(tmp_path):
    array = samples(9, 12, 3)
    path = psd(tmp_path / "a.psd", array, 2)
    with Image.open(path) as image:
        assert image.n_frames == 2
    picture = pictures.read(path)
    np.testing.assert_array_equal(np.asarray(picture.frames[0]), array)
    assert len(picture.frames) == 1


@pytest.mark.parametrize("target", ["jpg", "tiff"])
@pytest.mark.parametrize("source", ["jpg", "tiff"])
def test_iptc(convert, tmp_path, source, target):
    iptc = b"\x1c\x02\x78\x00\x09a caption"  # of odd length
    if source == "jpg":
        resources = b"Photoshop 3.0\x00" + b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"old!"
        resources += b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0"
        segment = b"\xff\xed" + struct.pack(">H", len(resources) + 2) + resources
        path = save(tmp_path / "a.jpg", extra=segment)
    else:
        path = save(tmp_path / "a.tiff", tiffinfo={33723: iptc})
    path = convert(path, f"b.{target}")
    with Image.open(path) as result:
        result.load()
        found = result.tag_v2[33723] if target == "tiff" else result.info["photoshop"][0x0404]
        assert found == iptc
    assert b"old!" not in path.read_bytes()


@pytest.mark.parametrize(("gamma", "kept"), [(1.0, True), (0.45455, False), (0.556, True)])
@pytest.mark.parametrize("strip", [False, True])
def test_gamma_of_png(convert, tmp_path, upscaler, gamma, kept, strip):
    chunks = PngInfo()
    chunks.add(b"gAMA", struct.pack(">I", round(gamma * 100000)))
    path = save(tmp_path / "a.png", pnginfo=chunks)
    picture = pictures.upscale(pictures.read(path, strip_metadata=strip), upscaler, [2])[2]
    pictures.write(picture, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as result:
        assert result.info.get("gamma") == (pytest.approx(gamma) if kept else None)
    assert pictures.left_out(picture, "JPEG") == ["gamma"] * kept


@pytest.mark.parametrize(
    ("dots", "kept", "left_out"), [(254000, 254000, ["dpi"]), (10**7, None, []), (300, 300, [])]
)
def test_resolutions_of_microscopes(convert, tmp_path, dots, kept, left_out):
    path = save(tmp_path / "a.png", dpi=(dots, dots))
    picture = pictures.read(path)
    assert picture.info.get("dpi", (None,))[0] == (kept and pytest.approx(kept, rel=1e-4))
    assert pictures.left_out(picture, "JPEG") == left_out
    with Image.open(convert(path, "b.jpg")) as result:
        assert result.info.get("dpi", (None,))[0] == (300 if dots == 300 else None)
    with Image.open(convert(path, "b.tiff")) as result:
        assert result.info["dpi"][0] == (pytest.approx(kept, rel=1e-4) if kept else 1)
