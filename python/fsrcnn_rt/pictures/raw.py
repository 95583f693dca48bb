"""Camera raw through LibRaw (the package rawpy), developed as the camera would, to sRGB."""

import io
from collections.abc import Callable
from pathlib import Path

from fsrcnn_rt.engine.arrays import AnyArray
from fsrcnn_rt.engine.sizes import Size
from fsrcnn_rt.pictures import metadata
from fsrcnn_rt.pictures.plugins import load

_SRGB = (2.4, 12.92)  # power and slope of its curve
_TIFF = (b"II*\0", b"MM\0*")


def read(path: Path, bits: int, check: Callable[[Size], object]) -> AnyArray:
    """Develop a file to RGB of ``bits``, 8 or 16, (H, W, 3), upright: the camera's white balance, sRGB.

    ``check`` is told the size before that. ``ModuleNotFoundError`` without the extra ``raw``.
    """
    with load("rawpy").imread(str(path)) as raw:
        check((raw.sizes.iwidth, raw.sizes.iheight))
        array: AnyArray = raw.postprocess(use_camera_wb=True, gamma=_SRGB, output_bps=bits)
    return array


def exif(path: Path) -> bytes | None:
    """Return the EXIF data of a file: its own where it is laid out as a TIFF, else that of its preview."""
    from PIL import Image

    source = Image.Exif()
    with path.open("rb") as file:
        if file.read(4) in _TIFF:
            file.seek(0)
            source.load_from_fp(file)
            return metadata.from_tags(source)
    rawpy = load("rawpy")
    with rawpy.imread(str(path)) as raw:
        try:
            preview = raw.extract_thumb()
        except rawpy.LibRawError:  # it has none
            return None
    if preview.format != rawpy.ThumbFormat.JPEG:
        return None
    with Image.open(io.BytesIO(preview.data)) as image:
        return metadata.from_tags(image.getexif())
