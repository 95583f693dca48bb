"""Camera raw through LibRaw (the package rawpy): developed as the camera would, to sRGB."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from fsrcnn_rt.image import AnyArray
from fsrcnn_rt.plugins import load

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

_SRGB = (2.4, 12.92)  # power and slope of its curve
_ORIENTATION = 0x0112


def read(path: Path, bits: int) -> AnyArray:
    """Develop a file to RGB of ``bits``, 8 or 16, (H, W, 3), upright: white balance of the camera, sRGB.

    ``ModuleNotFoundError`` without the extra ``raw``.
    """
    rawpy = load("rawpy")
    with rawpy.imread(str(path)) as raw:
        array: AnyArray = raw.postprocess(use_camera_wb=True, gamma=_SRGB, output_bps=bits)
    return array


def metadata(path: Path) -> "PilImage | None":
    """Open what in a raw file holds its EXIF data: the file itself where it is a TIFF, else its preview."""
    from PIL import Image, UnidentifiedImageError

    rawpy = load("rawpy")
    try:
        image: PilImage = Image.open(path)
    except UnidentifiedImageError:
        with rawpy.imread(str(path)) as raw:
            try:
                thumb = raw.extract_thumb()
            except rawpy.LibRawError:  # it has none
                return None
        if thumb.format != rawpy.ThumbFormat.JPEG:
            return None
        image = Image.open(io.BytesIO(thumb.data))
    image.getexif().pop(_ORIENTATION, None)
    return image
