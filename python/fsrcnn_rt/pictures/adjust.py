"""What is done to a frame beside enlarging it: laid on a background, rounded to 8 bits, made smaller.

A frame is a Pillow image, or 16-bit colour, which Pillow has no mode for, as an array.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fsrcnn_rt.engine.arrays import AnyArray, from_pil
from fsrcnn_rt.engine.sizes import Size

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

Frame: TypeAlias = "PilImage | AnyArray"

_FULL = 65535


def flattened(frame: Frame, colour: tuple[int, int, int]) -> Frame:
    """Lay what is transparent on ``colour``, (R, G, B) of 0..255; there is no alpha then.

    ``ValueError`` for more than 8 bits with a transparent colour, which is no alpha.
    """
    from PIL import Image

    grey = len(set(colour)) == 1
    if isinstance(frame, np.ndarray):
        if frame.shape[2] == 3:
            return frame
        if frame.shape[2] == 2 and not grey:
            frame = frame[..., [0, 0, 0, 1]]
        alpha = frame[..., -1:] / _FULL
        behind = np.array(colour[: frame.shape[2] - 1], np.float64) * 257
        flat: AnyArray = np.floor(frame[..., :-1] * alpha + behind * (1 - alpha) + 0.5).astype(np.uint16)
        return flat[..., [0, 0, 0]] if flat.shape[2] == 1 else flat
    if not frame.has_transparency_data:
        return frame
    if frame.mode[0] in "IF":
        raise ValueError(f"mode {frame.mode} with a transparent colour has no alpha to lay on a background")
    mode = "L" if grey and frame.mode in ("L", "LA", "La") else "RGB"
    below = Image.new("RGBA", frame.size, (*colour, 255))
    result = Image.alpha_composite(below, frame.convert("RGBA")).convert(mode)
    result.info = {key: value for key, value in frame.info.items() if key != "transparency"}
    return result


def flattened_mode(mode: str, colour: tuple[int, int, int]) -> str:
    """Mode of what :func:`flattened` makes of a frame that would become one of ``mode`` when enlarged."""
    if mode not in ("LA", "RGBA"):
        return mode
    return "L" if mode == "LA" and len(set(colour)) == 1 else "RGB"


def in_eight_bits(frame: Frame, info: Mapping[str, Any]) -> "PilImage":
    """Round a frame of more than 8 bits per channel to 8; floats are 0..1, values outside are clipped.

    ``info``: what an array has of metadata.
    """
    from PIL import Image

    if not isinstance(frame, np.ndarray):
        if frame.mode[0] not in "IF":
            return frame
        info = {**info, **{str(key): value for key, value in frame.info.items()}}
    samples = np.asarray(frame)
    if samples.dtype.kind == "f":
        rounded = np.floor(np.clip(np.nan_to_num(samples), 0, 1) * 255 + 0.5).astype(np.uint8)
    else:
        rounded = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 255 = 257
    result = Image.fromarray(rounded)
    result.info.update(info)
    return result


def resized(frame: Frame, size: Size) -> Frame:
    """Bring a frame to ``size`` by the bicubic filter, antialiased where that is smaller.

    Its mode becomes what that of an enlarged frame would be.
    """
    from PIL import Image

    if isinstance(frame, np.ndarray):
        return frame if size == (frame.shape[1], frame.shape[0]) else _resized(frame, size)
    array, restore = from_pil(frame)
    if size == frame.size:
        return restore(array)
    if array.dtype == np.uint16:
        return restore(_resized(array[..., None], size)[..., 0])
    computed = restore(array)
    result = computed.resize(size, Image.Resampling.BICUBIC)
    result.info = computed.info
    return result


def _resized(samples: AnyArray, size: Size) -> AnyArray:
    """Resize uint16 samples (H, W, 1 to 4) by way of floats."""
    from PIL import Image

    values = samples.astype(np.float32)
    with_alpha = samples.shape[2] in (2, 4)
    if with_alpha:  # the colour of what is transparent must not show
        values[..., :-1] *= values[..., -1:] / _FULL
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BICUBIC))
        for plane in np.moveaxis(values, 2, 0)
    ]
    result: AnyArray = np.stack(planes, 2)
    if with_alpha:
        result[..., :-1] /= np.maximum(result[..., -1:], 1) / _FULL
    rounded: AnyArray = np.floor(np.clip(result, 0, _FULL) + 0.5).astype(np.uint16)
    return rounded
