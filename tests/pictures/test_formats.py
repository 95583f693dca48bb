"""What each format holds, by writing it: the tables of docs/formats.md, and limits before the work."""

import io
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.pictures import batch, formats, plugins
from fsrcnn_rt.pictures.batch import Job
from fsrcnn_rt.pictures.encoding import WriteOptions
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

Image.init()
for name in ("a.heic", "a.jxl"):
    with suppress(ModuleNotFoundError):  # their rows are those of an extra then, and not carried out
        plugins.register(Path(name))
PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
SIZE = (8, 8)  # x2 is an icon
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><d dc:rights='mine'/></x:xmpmeta>"
INKS = (40, 90, 160, 20)


def table(title):
    """Rows under this heading row, as dicts."""
    heads = [cell.strip() for cell in title.split("|")]
    lines = PAGE.split(f"\n| {title} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(heads, row, strict=True)) for row in rows]


TABLE = table(
    "format | largest side | alpha | grey of 16 bits | colour of 16 bits | ICC profile | EXIF | XMP | "
    "resolution | several"
)
ROWS = {re.findall("`(.*?)`", row["format"])[0]: row for row in TABLE}
WRITABLE = [name for name in ROWS if name in Image.SAVE]


def tag(kind, data):
    return kind + bytes(4) + data


def fixed(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(space, gamma=1.0, primaries=((0.79, 0.28, 0.0), (0.13, 0.71, 0.0), (0.04, 0.01, 0.82))):
    """An ICC profile, version 2, of one gamma; by default of primaries far from those of sRGB, linear."""
    curve = tag(b"curv", struct.pack(">IH", 1, round(gamma * 256)) + bytes(2))
    tags = {
        b"desc": tag(b"desc", struct.pack(">I", 2) + b"x\0" + bytes(78)),
        b"cprt": tag(b"text", b"none" + bytes(4)),
        b"wtpt": tag(b"XYZ ", fixed(0.9642, 1.0, 0.8249)),
    }
    if space == "GRAY":
        tags[b"kTRC"] = curve
    else:
        for colour, primary in zip(b"rgb", primaries, strict=True):
            tags[b"%cXYZ" % colour] = tag(b"XYZ ", fixed(*primary))
            tags[b"%cTRC" % colour] = curve
    directory, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        directory += name + struct.pack(">II", start + len(data), len(value))
        data += value
    header = struct.pack(
        ">I4sI4s4s4s", start + len(data), bytes(4), 0x02400000, b"mntr", space.encode().ljust(4), b"XYZ "
    )
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249) + bytes(48)
    return header + directory + data


WIDE, DARK = profile("RGB"), profile("GRAY")


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler("fsrcnn-s", threads=1)  # keeps flat colours


@pytest.fixture
def convert(upscaler, tmp_path):
    """Save a Pillow image, upscale its file by 2 into a format; gives the path of the result."""

    def call(image, name, *, source="small.png", **options):
        path = tmp_path / source
        if image is not None:
            image.save(path, **options)
        (outcome,) = batch.run(
            [Job(path, {2: tmp_path / f"large{suffix(name)}"})],
            upscaler,
            batch.Workers(1, 1, 1),
            WriteOptions(),
        )
        if outcome.error:
            raise ValueError(outcome.error)
        return tmp_path / f"large{suffix(name)}"

    call.folder = tmp_path
    return call


def suffix(name):
    return next(ending for ending, format_ in Image.EXTENSION.items() if format_ == name)


def opened(path):
    """The picture in a file; of PDF and EPS, which Pillow does not read, by what stands in them."""
    name = Image.EXTENSION[path.suffix]
    data = path.read_bytes()
    if name == "PDF":
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.S)
        found = [
            Image.open(io.BytesIO(one)) for one in streams if one[:2] == b"\xff\xd8" or one[4:8] == b"jP  "
        ]
        image = max(found, key=lambda one: len(one.getbands()))
    elif name == "EPS":
        pixels = bytes.fromhex(data.split(b"image\n")[-1].split(b"\n%%%%EndBinary")[0].decode())
        image = Image.frombytes("RGB", (16, 16), pixels[: 16 * 16 * 3])
    else:
        image = Image.open(io.BytesIO(data))
    image.load()
    return image


def flat(mode, colour):
    return Image.new(mode, SIZE, colour)


def middle(image):
    return np.asarray(image)[image.height // 2, image.width // 2].astype(int)


def near(one, other):
    return np.abs(np.asarray(one, int) - other).max() <= 4


def in_srgb(colour):
    """What a colour of the profile WIDE is in sRGB, by its definition and not by a library's transform."""
    matrix = np.array([[0.79, 0.13, 0.04], [0.28, 0.71, 0.01], [0.0, 0.0, 0.82]])
    d50_to_srgb = np.array([[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]])
    linear = np.clip(d50_to_srgb @ matrix @ (np.array(colour) / 255), 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def refused(reason):
    return pytest.raises(ValueError, match=reason)


def alpha(convert, name):
    image = flat("RGBA", (200, 100, 50, 255))
    image.paste((200, 100, 50, 90), (0, 0, 8, 4))
    try:
        result = opened(convert(image, name))
    except ValueError as error:
        assert "alpha" in str(error) or "fewer" in str(error) or "no colour" in str(error)
        return "refused"
    values = np.asarray(result.convert("RGBA"))[..., 3]
    top, bottom = int(values[2, 2]), int(values[-2, 2])
    assert bottom == 255
    return {90: "kept", 0: "all or nothing"}[top if abs(top - 90) > 2 else 90]


def deep_grey(convert, name):
    ramp = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1021) | 1
    try:
        result = opened(convert(Image.fromarray(ramp), name))
    except ValueError as error:
        assert "has fewer bits" in str(error)
        return "refused"
    assert len(np.unique(np.asarray(result).astype(int) % 257)) > 100
    return bits_of(result)


def bits_of(image):
    bits = image.info.get("bit_depth", 16)
    return "kept" if bits == 16 else f"{bits} bits"


def deep_colour(convert, name):
    imagecodecs = pytest.importorskip("imagecodecs", reason="16-bit colour needs the extra deep")
    tifffile = pytest.importorskip("tifffile", reason="16-bit colour needs the extra deep")
    rows = b"".join(b"\0" + bytes(range(48)) for _ in range(8))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    data = b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in parts
    )
    convert.folder.joinpath("deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    try:
        path = convert(None, name, source="deep.png")
    except ValueError as error:
        assert "16 bits per channel" in str(error)
        return "refused"
    if name == "HEIF":
        return bits_of(opened(path))
    array = tifffile.imread(path) if name == "TIFF" else imagecodecs.png_decode(path.read_bytes())
    assert array.dtype == np.uint16
    assert len(np.unique(array % 257)) > 20
    return "kept"


def icc_profile(convert, name):
    colour = (40, 180, 90)
    if "RGB" not in formats.FORMATS[name].modes:
        with refused("no colour"):
            convert(flat("RGB", colour), name)
        image, colour, icc = flat("L", 60), 60, DARK
        expected = in_srgb((0, 0, 0))[0] + 255 * (1.055 * (60 / 255) ** (1 / 2.4) - 0.055)
    else:
        image, icc, expected = flat("RGB", colour), WIDE, in_srgb(colour)
    result = opened(convert(image, name, icc_profile=icc))
    value = middle(result.convert("L" if image.mode == "L" and result.mode != "F" else result.mode))
    if result.info.get("icc_profile") == icc:
        assert near(value, colour)
        return "kept"
    value = middle(result.convert("RGB")) if image.mode == "RGB" else value
    assert near(value, expected)
    assert not near(value, colour)
    return "to sRGB"


def exif_of(convert, name):
    data = Image.Exif()
    data[0x010F], data[0x8769], data[0x8825] = "a camera", {0x829A: 0.5}, {1: "N", 2: (1.0, 2.0, 3.0)}
    image = flat("L", 90) if "RGB" not in formats.FORMATS[name].modes else flat("RGB", (9, 90, 200))
    found = opened(convert(image, name, exif=data)).getexif()
    if 0x010F not in found:
        assert not found
        return "–"
    assert found[0x010F] == "a camera"
    assert found.get_ifd(0x8769)[0x829A] == 0.5
    assert found.get_ifd(0x8825)[2] == (1.0, 2.0, 3.0)
    return "kept"


def xmp(convert, name):
    texts = PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    image = flat("L", 90) if "RGB" not in formats.FORMATS[name].modes else flat("RGB", (9, 90, 200))
    path = convert(image, name, pnginfo=texts)
    return "kept" if XMP in path.read_bytes() else "–"


def resolution(convert, name):
    image = flat("L", 90) if "RGB" not in formats.FORMATS[name].modes else flat("RGB", (9, 90, 200))
    path = convert(image, name, dpi=(144, 144))
    if name == "PDF":
        box = re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", path.read_bytes())
        return "kept" if tuple(map(float, box.groups())) == pytest.approx((8, 8), abs=0.01) else "–"
    result = opened(path)
    tags = result.getexif()
    dots = result.info.get("dpi", (tags.get(282, 0), tags.get(283, 0)))
    if dots == pytest.approx((144, 144), abs=0.1):
        assert tags.get(296, 2) == 2
        return "kept"
    return "–"


def several(convert, name):
    frames = [flat("L", 20 * i) for i in range(3)]
    more = {"save_all": True, "append_images": frames[1:]}
    held = []
    for kind, source in (("frames", "small.gif"), ("pages", "small.tiff")):
        try:
            path = convert(frames[0], name, source=source, **more)
        except ValueError as error:
            assert f"it has 3 {kind}, and {name} holds one" in str(error)
            continue
        count = path.read_bytes().count(b"/MediaBox") if name == "PDF" else opened(path).n_frames
        assert count == 3
        held.append(kind)
    return " ".join(held) or "–"


COLUMNS = {
    "alpha": alpha,
    "grey of 16 bits": deep_grey,
    "colour of 16 bits": deep_colour,
    "ICC profile": icc_profile,
    "EXIF": exif_of,
    "XMP": xmp,
    "resolution": resolution,
    "several": several,
}


@pytest.mark.filterwarnings("ignore:IM image format:DeprecationWarning")
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("name", WRITABLE)
def test_what_stays(convert, name, column):
    assert COLUMNS[column](convert, name) == ROWS[name][column]


def test_no_format_is_missing():
    """Each that Pillow writes is in the table, or among those that hold no picture of such modes."""
    others = re.search("No result goes into (.*?):", PAGE, re.S)[1]
    assert set(Image.SAVE) <= ROWS.keys() | set(re.findall("`(.*?)`", others))
    assert set(formats.FORMATS) == ROWS.keys()
    for name in re.findall("`(.*?)`", others):
        assert not formats.is_writable(name)


def modes_of(name):
    return formats.FORMATS[name].modes


@pytest.mark.filterwarnings("ignore:IM image format:DeprecationWarning")
@pytest.mark.parametrize("name", WRITABLE)
def test_inks_become_colours(convert, name):
    """CMYK with a profile of something else, which must not get onto the colours."""
    if "RGB" not in modes_of(name):
        pytest.skip("it holds no colour")
    expected = middle(flat("CMYK", INKS).convert("RGB"))
    result = opened(convert(flat("CMYK", INKS), name, source="small.tiff", icc_profile=WIDE))
    assert name == "JXL" or "icc_profile" not in result.info  # which has sRGB's, whatever it is given
    assert result.info.get("icc_profile") != WIDE
    assert near(middle(result.convert("RGB")), expected)


@pytest.mark.filterwarnings("ignore:IM image format:DeprecationWarning")
@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("used", [True, False])
def test_palettes_with_a_transparent_colour(convert, name, used):
    """Alpha is kept or refused; where no pixel has that colour, there is nothing to lose."""
    image = flat("P", 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    if used:
        image.paste(0, (0, 0, 8, 4))
    if used and ROWS[name]["alpha"] == "refused":
        with refused("which has no alpha"):
            convert(image, name, transparency=0)
        return
    result = opened(convert(image, name, transparency=0)).convert("RGBA")
    assert near(np.asarray(result)[-2, 2], (200, 100, 50, 255))
    assert not used or np.asarray(result)[2, 2, 3] == 0


class Idle:
    """An upscaler that must not be reached."""

    threads, isa, model, weights = 1, "reference", None, None

    def choose(self, image):
        return self

    def with_threads(self, threads):
        return self

    def upscale(self, *args, **options):
        raise AssertionError("upscaled in spite of it")


def refusal(path, name, size):
    """What a command says of a picture of this size that is to be twice as large."""
    Image.new("L", size).save(path / "wide.png")
    (outcome,) = batch.run(
        [Job(path / "wide.png", {2: path / f"large{suffix(name)}"})],
        Idle(),
        batch.Workers(1, 1, 1),
        WriteOptions(),
    )
    return outcome.error


LIMITED = [
    name
    for name in WRITABLE
    if ROWS[name]["largest side"][:1].isdigit() and "GB" not in ROWS[name]["largest side"]
]


@pytest.mark.parametrize("name", LIMITED)
def test_limits_are_told_before_the_work(tmp_path, name):
    limit = int(ROWS[name]["largest side"].split(",")[0])
    assert formats.FORMATS[name].side == limit
    formats.check_size((limit, 1), name)
    for size in ((limit // 2 + 1, 1), (1, limit // 2 + 1)):
        error = refusal(tmp_path, name, size)
        large = f"{2 * size[0]}x{2 * size[1]}"
        assert (
            error == f"{name} holds up to {limit} pixels a side, and the result has {large} (-f png holds it)"
        )
    assert [file.name for file in tmp_path.iterdir()] == ["wide.png"]


@pytest.mark.parametrize("name", LIMITED)
def test_limits_are_those_of_the_writers(tmp_path, name, capfd):
    """One pixel more, and Pillow does not write it, or not so that it can be read."""
    limit = formats.FORMATS[name].side
    mode = "RGB"

    def written(size):
        file = io.BytesIO()
        Image.new(mode, size).save(file, name, **({"sizes": [size]} if name == "ICO" else {}))
        if name not in ("PDF", "PCX"):  # not read by Pillow, and not by all versions
            with Image.open(io.BytesIO(file.getvalue())) as image:
                image.load()
                assert image.size == size

    for larger in (0, 1):
        for size in ((limit + larger, 1), (1, limit + larger)):
            if not larger or (name, size[0]) == ("PCX", 1):
                written(size)
            else:
                with pytest.raises((OSError, ValueError, OverflowError, struct.error)):
                    written(size)


def test_more_limits(tmp_path):
    assert "ICNS holds squares of 16, 32, 64, 128, 256, 512, 1024 pixels" in refusal(tmp_path, "ICNS", (9, 9))
    assert "ICNS holds squares" in refusal(tmp_path, "ICNS", (16, 8))

    def check(name, mode, size):
        formats.check([formats.Layer(mode, size, opaque=True, profiled=False)], name, animated=False)

    check("TIFF", "RGB", (37000, 37000))
    with refused("TIFF holds up to 4 GB of pixels, and the result has 38000x38000"):
        check("TIFF", "RGB", (38000, 38000))
    check("TIFF", "RGB;16", (38000, 38000))
    with refused("BMP holds up to 4 GB"):
        check("BMP", "RGB", (38000, 38000))
    check("AVIF", "RGB", (16384, 16384))
    with refused("AVIF holds up to 268435456 pixels"):
        check("AVIF", "RGB", (16385, 16384))


@pytest.mark.parametrize(
    ("name", "side"), [("ICO", 16), ("ICO", 100), ("ICO", 256), ("ICNS", 16), ("ICNS", 64), ("ICNS", 1024)]
)
def test_icons_have_the_size_asked_for(upscaler, tmp_path, name, side):
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (side // 2, side // 2, 4), np.uint8))
    small.save(tmp_path / "a.png")
    picture = pictures.upscale(pictures.read(tmp_path / "a.png"), upscaler, [2])[2]
    pictures.write(picture, tmp_path / f"a{suffix(name)}")
    with Image.open(tmp_path / f"a{suffix(name)}") as icon:
        assert icon.size == (side, side)
        assert len(icon.info["sizes"]) == 1
        np.testing.assert_array_equal(np.asarray(icon), np.asarray(picture.frames[0]))


@pytest.mark.parametrize("name", ["JPEG", "BMP", "PPM"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_that_hides_nothing_may_go(convert, name, mode):
    colour = (90, 255) if mode == "LA" else (200, 100, 50, 255)
    result = opened(convert(flat(mode, colour), name))
    assert result.mode == mode[:-1]
    assert near(middle(result), colour[:-1])


def test_a_profile_of_srgb_moves_no_colour(convert, upscaler):
    """Whoever's profile it is: the pixels are those without it."""
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = opened(convert(image, "BMP", icc_profile=icc))
    np.testing.assert_array_equal(np.asarray(result), np.asarray(upscaler.upscale(image, 2)))


@pytest.mark.parametrize("icc", [b"no profile", DARK], ids=["unsound", "of grey"])
def test_a_profile_that_says_nothing_of_the_colours(convert, icc):
    result = opened(convert(flat("RGB", (40, 180, 90)), "BMP", icc_profile=icc))
    assert near(middle(result), (40, 180, 90))


def test_alpha_stays_where_colours_are_converted(convert):
    result = opened(convert(flat("RGBA", (40, 180, 90, 77)), "TGA", icc_profile=WIDE))
    assert near(middle(result), (*in_srgb((40, 180, 90)), 77))
    result = opened(convert(flat("LA", (60, 77)), "TGA", icc_profile=DARK))
    assert result.mode == "LA"
    assert near(middle(result), (1.055 * 255 * (60 / 255) ** (1 / 2.4) - 0.055 * 255, 77))


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_profile_of_grey_does_not_get_onto_colours(convert, mode):
    """WebP has no grey."""
    result = opened(
        convert(flat(mode, (60, 255)[: len(mode)] if mode == "LA" else 60), "WEBP", icc_profile=DARK)
    )
    assert "icc_profile" not in result.info
    assert near(middle(result.convert("L")), 1.055 * 255 * (60 / 255) ** (1 / 2.4) - 0.055 * 255)


def test_deep_grey_with_a_profile_is_not_converted(convert):
    deep = Image.fromarray(np.full((8, 8), 30000, np.uint16))
    with refused("cannot write mode I;16 with an ICC profile as JPEG2000, which holds none"):
        convert(deep, "JPEG2000", icc_profile=DARK)


def test_what_a_format_has_no_place_for_is_told(upscaler, tmp_path):
    data = Image.Exif()
    data[0x010F] = "a camera"
    flat("RGB", (1, 2, 3)).save(tmp_path / "a.jpg", exif=data, dpi=(90, 90), comment=b"hello")
    jobs = [Job(tmp_path / "a.jpg", {2: tmp_path / f"b{ending}"}) for ending in (".png", ".bmp", ".jpg")]
    outcomes = list(batch.run(jobs, upscaler, batch.Workers(1, 1, 1), WriteOptions()))
    assert [list(outcome.left_out) for outcome in outcomes] == [["comment"], ["comment", "exif"], []]
