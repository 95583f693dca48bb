"""Formats of optional packages: HEIC, JPEG XL and camera raw."""

import subprocess
import sys

import numpy as np
import pytest
from fsrcnn_rt.pictures import jxl
from PIL import Image

pytestmark = pytest.mark.usefixtures("folder")


def exif(orientation=1):
    data = Image.Exif()
    data[0x0112], data[0x010F] = orientation, "a camera"
    return data.tobytes()


def smooth(width=40, height=30, top=255):
    """Ramps of RGB."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * top // width, y * top // height, top - x * top // width], 2)


def save(path, **options):
    Image.fromarray(smooth().astype(np.uint8)).save(path, **options)


@pytest.fixture
def heif():
    package = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    package.register_heif_opener()
    return package


@pytest.fixture
def jpeg_xl():
    return pytest.importorskip("pillow_jxl", reason="the extra jxl is not installed")


def write_dng(path):
    """A Bayer mosaic of a flat, reddish scene with EXIF data, of the tags that make a TIFF a DNG."""
    tifffile = pytest.importorskip("tifffile", reason="the extra deep is not installed")
    mosaic = np.empty((32, 48), np.uint16)
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = 40000, 10000
    mosaic[0::2, 1::2] = mosaic[1::2, 0::2] = 20000
    mosaic[:2], mosaic[-2:] = 1000, 65000
    xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    to_camera = [part for value in np.linalg.inv(xyz).ravel() for part in (round(value * 10000), 10000)]
    tags = [
        (271, "s", 0, "a camera", True),
        (274, "H", 1, 6, True),
        (33421, "H", 2, (2, 2), True),  # the mosaic: 2x2, red, green, green, blue
        (33422, "B", 4, bytes([0, 1, 1, 2]), True),
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),
        (50707, "B", 4, bytes([1, 1, 0, 0]), True),
        (50708, "s", 0, "a camera", True),
        (50717, "I", 1, 65535, True),
        (50721, 10, 9, to_camera, True),
        (50728, 5, 3, [1, 1, 1, 1, 1, 1], True),
        (50778, "H", 1, 21, True),
    ]
    tifffile.imwrite(path, mosaic, photometric=32803, extratags=tags, metadata=None, software=False)


@pytest.fixture
def raw(folder):
    pytest.importorskip("rawpy", reason="the extra raw is not installed")
    write_dng(folder / "a.dng")


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "named_otherwise.jpg"])
def test_heic(run_silent, folder, heif, name):
    save("a.heic", exif=exif(6), quality=95)
    (folder / "a.heic").rename(name)
    output = name.replace(".", "_x3.")
    assert run_silent(name) == (0, [])
    with Image.open(output) as result:
        assert result.format == ("JPEG" if name.endswith("jpg") else "HEIF")
        assert result.size == (90, 120)  # upright
        assert result.getexif()[0x010F] == "a camera"
        assert result.getexif().get(0x0112, 1) == 1


def test_heic_of_ten_bits_keeps_them(run_silent, folder, heif):
    samples = smooth(top=65535).astype(np.uint16)
    with (folder / "a.heic").open("wb") as file:
        heif.encode("RGB;16", (40, 30), samples.tobytes(), file, quality=100, chroma=444, exif=exif())
    assert run_silent("a.heic", "-s", "2") == (0, [])
    result = heif.open_heif("a_x2.heic", convert_hdr_to_8bit=False)
    assert result.info["bit_depth"] == 10
    assert len(np.unique(np.asarray(result))) > 300
    assert run_silent("a.heic", "-s", "2", "-f", "png") == (0, [])
    assert (folder / "a_x2.png").read_bytes()[24] == 16
    assert run_silent("a.heic", "-s", "2", "--depth", "8", "-f", "png", "--overwrite") == (0, [])
    assert (folder / "a_x2.png").read_bytes()[24] == 8
    with Image.open("a_x2.png") as rounded:
        deep = np.asarray(result).astype(int)
        assert abs(np.asarray(rounded) - deep / 257).max() < 12  # that was encoded with loss
        assert rounded.getexif()[0x010F] == "a camera"


def test_jpeg_xl(run, folder, jpeg_xl):
    save("a.jxl", exif=exif(6), lossless=True)
    code, _, out = run("a.jxl", "--json")
    assert code == 0
    assert '"lossless": true' in out[0]
    code, _, out = run("a.jxl", "--json", "--quality", "80", "--overwrite")
    assert '"lossless": false' in out[0]
    with Image.open("a_x3.jxl") as result:
        # The orientation of EXIF has no meaning in JPEG XL, whose decoder turns what is to be turned.
        assert result.size == (120, 90)
        assert result.getexif()[0x010F] == "a camera"
        assert result.getexif().get(0x0112, 1) == 1


def test_jpeg_xl_of_sixteen_bits_keeps_them(run_silent, folder, jpeg_xl):
    imagecodecs = pytest.importorskip("imagecodecs", reason="the extra deep is not installed")
    samples = smooth(top=65535).astype(np.uint16)
    (folder / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(samples, lossless=True))
    code, lines = run_silent("a.jxl")
    assert code == 1
    assert "cannot write 16 bits per channel as JXL" in lines[0]
    assert run_silent("a.jxl", "-f", "png") == (0, [])
    result = imagecodecs.png_decode((folder / "a_x3.png").read_bytes())
    assert result.dtype == np.uint16
    assert len(np.unique(result)) > 256
    assert run_silent("a.jxl", "--depth", "8") == (0, [])


@pytest.mark.parametrize("shape", [(16, 24, 3), (17, 25, 3), (300, 200), (300, 200, 4), (200, 100, 3)])
@pytest.mark.parametrize(("dtype", "expected"), [(np.uint8, 8), (np.uint16, 16), (np.float32, 32)])
@pytest.mark.parametrize("container", [False, True])
def test_bits_of_jpeg_xl(shape, dtype, expected, container):
    imagecodecs = pytest.importorskip("imagecodecs", reason="the extra deep is not installed")
    data = imagecodecs.jpegxl_encode(np.ones(shape, dtype), usecontainer=container)
    assert jxl.bits(data) == expected
    assert jxl.bits(data[:20] if container else data[:2]) == 8  # where it does not say
    assert jxl.bits(b"") == 8


def test_raw_becomes_tiff_of_sixteen_bits(run_silent, folder, raw):
    assert run_silent("a.dng", "-s", "2") == (0, [])
    import tifffile

    result = tifffile.imread("a_x2.tiff")
    assert (result.shape, result.dtype) == ((96, 64, 3), np.uint16)  # upright
    red, green, blue = result[40:60, 24:40].reshape(-1, 3).mean(0)
    assert red > green > blue
    with Image.open("a_x2.tiff") as image:
        assert image.getexif()[0x010F] == "a camera"
        assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(
    ("arguments", "mode"), [(["-f", "jpg"], "RGB"), (["-f", "png", "--depth", "8"], "RGB")]
)
def test_raw_becomes_what_is_asked_for(run_silent, raw, folder, arguments, mode):
    assert run_silent("a.dng", *arguments) == (0, [])
    (name,) = (path for path in folder.iterdir() if "_x3" in path.name)
    with Image.open(name) as result:
        assert (result.mode, result.size) == (mode, (96, 144))
        assert result.getexif()[0x010F] == "a camera"


def test_raw_is_found_in_folders_and_never_written(run_silent, raw, folder):
    assert run_silent(".", "-q")[0] == 0
    assert (folder / "a_x3.tiff").exists()
    assert run_silent("a.dng", "-f", "dng") == (
        2,
        ["fsrcnn-rt: a_x3.dng: '.dng' is not an image format that can be written"],
    )


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("a.heic", "pillow_heif", "heif"), ("a.jxl", "pillow_jxl", "jxl"), ("a.nef", "rawpy", "raw")],
)
@pytest.mark.parametrize("way", ["named", "found", "other format"])
def test_without_its_extra_a_file_fails_and_says_which(
    run_silent, folder, monkeypatch, name, package, extra, way
):
    (folder / name).write_bytes(b"something")
    save("b.png")
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(Image.EXTENSION, ".heic", raising=False)
    monkeypatch.delitem(Image.EXTENSION, ".jxl", raising=False)
    inputs = ["."] if way == "found" else [name, "b.png"]
    code, lines = run_silent(*inputs, *(["-f", "png"] if way == "other format" else []), "-q")
    assert code == 1
    assert lines == [
        f"fsrcnn-rt: {name}: needs {package}, which is not installed: pip install 'fsrcnn-rt[{extra}]'"
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted([name, "b.png", "b_x3.png"])


def test_without_its_extra_a_format_that_is_asked_for_is_refused(run_silent, folder, monkeypatch):
    save("b.png")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.EXTENSION, ".heic", raising=False)
    message = "needs pillow_heif, which is not installed: pip install 'fsrcnn-rt[heif]'"
    assert run_silent("b.png", "-f", "heic") == (2, [f"fsrcnn-rt: b_x3.heic: {message}"])


def test_without_its_extra_a_picture_under_another_name_says_which(run_silent, folder, monkeypatch):
    (folder / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    code, lines = run_silent("a.jpg")
    assert code == 1
    assert lines[0].endswith("pip install 'fsrcnn-rt[heif]'")


def test_no_package_is_loaded_before_its_format_is_met(model_file):
    save("a.png")
    code = "import sys; from fsrcnn_rt import cli; cli.main(sys.argv[1:]); print(*sys.modules)"
    command = [sys.executable, "-c", code, "-m", str(model_file), "."]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert not {"pillow_heif", "pillow_jxl", "rawpy", "tifffile", "imagecodecs"} & loaded
