"""Picture files damaged at random: each becomes a larger picture or is refused, and no more."""

import functools
import importlib.util
import tempfile
import zlib
from io import BytesIO
from pathlib import Path

import fuzz
import numpy as np
import oracle
import pytest
from conversions import to_model
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.pictures import formats, plugins
from fsrcnn_rt.pictures.encoding import WriteOptions
from PIL import Image, ImageCms, PngImagePlugin
from test_plugins import write_dng

# Pixels that are read of a file, of all its frames.
MOST = 1 << 18

# The targets, and the packages that they need.
NEEDED = {
    **dict.fromkeys(("PNG", "APNG", "JPEG", "WEBP", "GIF", "TIFF", "JPEG2000", "others", "PSD"), ()),
    "AVIF": ("PIL._avif",),
    "deep": ("imagecodecs", "tifffile"),
    "HEIF": ("pillow_heif",),
    "JXL": ("pillow_jxl",),
    "raw": ("rawpy", "tifffile"),
}

GRADIENT = np.mgrid[:12, :16].sum(0).astype(np.uint8) * 9
COLOUR = np.stack([GRADIENT, GRADIENT.T.reshape(12, 16), 255 - GRADIENT], 2)


@functools.cache
def upscaler():
    return Upscaler(to_model(oracle.random_net(np.random.default_rng(5), 4, 2, 1)), threads=1)


def use(path):
    """Read a picture, upscale it, and write it in its own format where that can be, else as PNG or TIFF."""
    options = WriteOptions()
    with pictures.large_pictures_allowed(MOST):
        picture = pictures.read(path, max_pixels=MOST)
        several = isinstance(picture.frames, pictures.Frames) and not picture.durations
        format_ = pictures.content_format(path)
        if format_ in (None, "DIB", "ICNS") or not formats.is_writable(format_) or plugins.is_raw(path):
            format_ = "TIFF" if several else "PNG"
        picture = pictures.adjusted(picture, options)
        pictures.check(picture, {2: format_}, options)
        large = pictures.upscale(picture, upscaler(), [2])[2]
        pictures.encoded(large, format_, options)


def saved(suffix, mode="RGB", frames=1, **options):
    """A picture as a file; of several frames each has a box in another place."""
    options.setdefault("format", Image.registered_extensions()[f".{suffix}"])
    made = []
    for i in range(frames):
        image = Image.fromarray(COLOUR).convert(mode)
        image.paste(image.getpixel((15, 11)), (i, i, 4 + i, 4 + i))
        made.append(image)
    if frames > 1:
        options |= {"save_all": True, "append_images": made[1:]}
    with BytesIO() as file:
        made[0].save(file, **options)
        return file.getvalue()


def described():
    """Metadata of each kind, as Pillow's writers take it."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F], tags[0x010E] = 6, "a camera", "what is seen"
    tags[0x8769] = {0x829A: 0.5, 0xA002: 16, 0xA003: 12}
    tags[0x8825] = {2: (1.0, 2.0, 3.0)}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6" exif:PixelXDimension="16"/></x:xmpmeta>'
    )
    return {"exif": tags.tobytes(), "icc_profile": profile, "xmp": xmp, "dpi": (300, 300)}


def mended_png(data):
    """A PNG whose chunks have the right sums."""
    at, result = 8, bytearray(data[:8])
    while at + 12 <= len(data):
        length = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        chunk = data[at + 4 : at + 8 + length]
        result += data[at : at + 4] + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        at += 12 + length
    return bytes(result + data[at:])


def photoshop():
    """The least that is a PSD: no layers, three planes as they are."""
    header = b"8BPS" + bytes([0, 1]) + bytes(6) + bytes([0, 3, 0, 0, 0, 12, 0, 0, 0, 16, 0, 8, 0, 3])
    return header + bytes(12) + bytes(2) + np.moveaxis(COLOUR, 2, 0).tobytes()


def deep():
    """PNG and TIFF of 16 bits per channel."""
    import imagecodecs
    import tifffile

    samples = COLOUR.astype(np.uint16) * 257
    yield "colour.png", bytes(imagecodecs.png_encode(samples))
    for name, options in {
        "plain.tiff": {},
        "zip.tiff": {"compression": "deflate", "predictor": True},
        "tiles.tiff": {"tile": (16, 16), "compression": "lzw"},
    }.items():
        with BytesIO() as file:
            tifffile.imwrite(file, samples, photometric="rgb", **options)
            yield name, file.getvalue()


def dng():
    with tempfile.TemporaryDirectory() as folder:
        write_dng(Path(folder, "a.dng"))
        return Path(folder, "a.dng").read_bytes()


def png_seeds():
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "what is seen", zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    with BytesIO() as grey:
        Image.fromarray(GRADIENT.astype(np.uint16) * 257).save(grey, "PNG")
        yield "grey16.png", grey.getvalue()
    yield "rgb.png", saved("png", pnginfo=text, **described())
    yield "palette.png", saved("png", "P", transparency=3)
    yield "bits.png", saved("png", "1")
    yield "alpha.png", saved("png", "RGBA")


def seeds(name):
    """Sound files for a target."""
    several = {"frames": 3, "duration": [50, 60, 70]}
    if name == "PNG":
        return dict(png_seeds())
    if name == "APNG":
        return {
            "a.png": saved("png", **several, loop=2),
            "p.png": saved("png", "RGBA", **several, disposal=1),
        }
    if name == "JPEG":
        plain = saved("jpg", **described(), comment=b"what is seen")
        return {"a.jpg": plain, "p.jpg": saved("jpg", progressive=True), "k.jpg": saved("jpg", "CMYK")}
    if name == "WEBP":
        meta = {key: value for key, value in described().items() if key != "dpi"}
        return {
            "a.webp": saved("webp", **meta),
            "l.webp": saved("webp", "RGBA", lossless=True),
            "m.webp": saved("webp", **several, lossless=True),
        }
    if name == "GIF":
        return {"a.gif": saved("gif", "P", comment=b"what is seen"), "m.gif": saved("gif", **several, loop=0)}
    if name == "TIFF":
        kinds = ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"]
        files = {f"{kind}.tiff": saved("tiff", compression=kind) for kind in kinds}
        pages = saved("tiff", frames=3, icc_profile=described()["icc_profile"], exif=described()["exif"])
        return {**files, "pages.tiff": pages, "fax.tiff": saved("tiff", "1", compression="group4")}
    if name == "AVIF":
        meta = {key: value for key, value in described().items() if key != "dpi"}
        return {"a.avif": saved("avif", speed=10, **meta), "m.avif": saved("avif", speed=10, **several)}
    if name == "JPEG2000":
        return {"a.jp2": saved("jp2"), "a.j2k": saved("j2k", irreversible=True)}
    if name == "PSD":
        return {"a.psd": photoshop()}
    if name == "deep":
        return dict(deep())
    if name == "HEIF":
        plugins.register(Path("a.heic"))
        return {"a.heic": saved("heic", exif=described()["exif"]), "m.heic": saved("heic", frames=2)}
    if name == "JXL":
        plugins.register(Path("a.jxl"))
        return {"a.jxl": saved("jxl", lossless=True), "b.jxl": saved("jxl", exif=described()["exif"])}
    if name == "raw":
        return {"a.dng": dng()}
    suffixes = ["bmp", "dib", "ppm", "tga", "sgi", "pcx", "ico", "im", "dds", "qoi", "xbm", "msp"]
    known = Image.registered_extensions()
    modes = {"xbm": "1", "msp": "1"}
    return {
        f"a.{suffix}": saved(suffix, modes.get(suffix, "RGB"))
        for suffix in suffixes
        if known[f".{suffix}"] in Image.SAVE
    }


def is_there(name):
    return all(importlib.util.find_spec(package) for package in NEEDED[name])


def targets():
    for name in filter(is_there, NEEDED):
        mend = mended_png if name in ("PNG", "APNG") else bytes
        yield fuzz.Target(name, seeds(name), use, (OSError, ValueError), mend)


@pytest.mark.parametrize("name", NEEDED)
def test_damaged_pictures(name):
    if not is_there(name):
        pytest.skip(f"{', '.join(NEEDED[name])} is not installed")
    fuzz.check(__file__, name, count=60)
