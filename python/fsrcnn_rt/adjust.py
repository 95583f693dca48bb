"""What is done to the frames of a picture beside enlarging: laid on a background, rounded, made smaller."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fsrcnn_rt.image import AnyArray
from fsrcnn_rt.pictures import Frame, Picture
from fsrcnn_rt.sizes import Size

_RESOLUTION_TAGS = {282: None, 283: None, 296: 2}  # both as given, in inches


def flattened(picture: Picture, colour: tuple[int, int, int]) -> Picture:
    """Lay what is transparent on ``colour``, (R, G, B) of 0..255; nothing has alpha then."""
    return _each(picture, lambda frame: _flat(frame, colour))


def in_eight_bits(picture: Picture) -> Picture:
    """Round frames of more than 8 bits per channel to 8; floats are 0..1, values outside are clipped."""
    return _each(picture, _eight_bits)


def resized(picture: Picture, size: Size) -> Picture:
    """Bring frames to ``size`` by the bicubic filter, antialiased where that is smaller."""
    return _each(picture, lambda frame: _resized(frame, size))


def with_resolution(picture: Picture, dpi: float) -> Picture:
    """Give a picture this resolution, in dots per inch, in its EXIF data too where that has one."""
    from PIL import Image

    info = {**picture.info, "dpi": (dpi, dpi)}
    if "exif" in info:
        exif = Image.Exif()
        exif.load(info["exif"])
        for tag, value in _RESOLUTION_TAGS.items():
            if tag in exif:
                exif[tag] = value or dpi
        info["exif"] = exif.tobytes()
    for frame in picture.frames:
        if not isinstance(frame, np.ndarray):
            frame.info.update(info)
    return replace(picture, info=info)


def _each(picture: Picture, change: Callable[[Frame], Frame]) -> Picture:
    frames = []
    for frame in picture.frames:
        changed = change(frame)
        if changed is not frame and not isinstance(changed, np.ndarray):
            kept: dict[Any, Any] = dict(picture.info)
            if not isinstance(frame, np.ndarray) and changed.mode == frame.mode:
                kept = frame.info
            changed.info = kept
        frames.append(changed)
    return replace(picture, frames=frames)


def _flat(frame: Frame, colour: tuple[int, int, int]) -> Frame:
    from PIL import Image

    grey = len(set(colour)) == 1
    if isinstance(frame, np.ndarray):
        if frame.ndim < 3 or frame.shape[2] in (1, 3):
            return frame
        if frame.shape[2] == 2 and not grey:
            frame = frame[..., [0, 0, 0, 1]]
        alpha = frame[..., -1:] / 65535
        behind = np.array(colour[: frame.shape[2] - 1], np.float64) * 257
        flat: AnyArray = np.floor(frame[..., :-1] * alpha + behind * (1 - alpha) + 0.5).astype(np.uint16)
        return flat
    if not frame.has_transparency_data:
        return frame
    mode = "L" if grey and frame.mode in ("L", "LA", "La") else "RGB"
    if frame.mode[0] in "IF":
        raise ValueError(f"mode {frame.mode} with a transparent colour has no alpha to lay on a background")
    below = Image.new("RGBA", frame.size, (*colour, 255))
    return Image.alpha_composite(below, frame.convert("RGBA")).convert(mode)


def _eight_bits(frame: Frame) -> Frame:
    from PIL import Image

    if isinstance(frame, np.ndarray):
        samples = frame
    elif frame.mode[0] in "IF":
        samples = np.asarray(frame)
    else:
        return frame
    if samples.dtype.kind == "f":
        rounded = np.floor(np.clip(np.nan_to_num(samples), 0, 1) * 255 + 0.5).astype(np.uint8)
    else:  # 65535 / 255 = 257
        rounded = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return Image.fromarray(rounded.squeeze(2) if rounded.shape[2:] == (1,) else rounded)


def _resized(frame: Frame, size: Size) -> Frame:
    from PIL import Image

    bicubic = Image.Resampling.BICUBIC
    if not isinstance(frame, np.ndarray):
        if frame.mode.startswith("I;16") or frame.mode == "I":
            grey = np.asarray(frame).astype(np.float32)
            return Image.fromarray(_in_range(Image.fromarray(grey).resize(size, bicubic)))
        mode = {"P": "RGB", "1": "L", "PA": "RGBA"}.get(frame.mode, frame.mode)
        if frame.has_transparency_data:
            mode = "LA" if mode in ("L", "LA") else "RGBA"
        return frame.convert(mode).resize(size, bicubic)
    samples = frame.astype(np.float32)
    alpha = frame.shape[2] in (2, 4)
    if alpha:  # colour of what is transparent must not show
        samples[..., :-1] *= samples[..., -1:] / 65535
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, bicubic))
        for plane in np.moveaxis(samples, 2, 0)
    ]
    result = np.stack(planes, 2)
    if alpha:
        result[..., :-1] /= np.maximum(result[..., -1:] / 65535, 1 / 65535)
    return _in_range(result)


def _in_range(samples: Any) -> AnyArray:
    clipped: AnyArray = np.floor(np.clip(np.asarray(samples), 0, 65535) + 0.5).astype(np.uint16)
    return clipped
