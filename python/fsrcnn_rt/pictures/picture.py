"""What a picture file holds: a picture, the frames of an animation or the pages of a TIFF; and metadata."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fsrcnn_rt.engine.sizes import Box, Goal, Larger, Size, is_larger_already, result_size
from fsrcnn_rt.pictures import adjust, metadata
from fsrcnn_rt.pictures.adjust import Frame
from fsrcnn_rt.pictures.encoding import WriteOptions

if TYPE_CHECKING:
    from fsrcnn_rt.engine.upscaler import Upscaler


@dataclass(frozen=True)
class Picture:
    """What a file holds: ``frames``, of which an array is 16-bit colour, which Pillow has no mode for.

    ``durations``: of an animation, ms per frame, else empty. ``plays``: how often it is shown, 0 for ever.
    ``still_first``: the first frame is for viewers that show no animation, and no part of it.
    ``lossless``: nothing was lost when the file was written.
    """

    frames: Sequence[Frame]
    info: Mapping[str, Any]
    durations: Sequence[float] = ()
    plays: int = 0
    still_first: bool = False
    lossless: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return frame_size(self.frames[0])

    @property
    def nbytes(self) -> int:
        """Memory of the pixels, in bytes, as arrays."""
        width, height = self.size
        first = self.frames[0]
        samples = first.nbytes if isinstance(first, np.ndarray) else width * height * _pixel_bytes(first.mode)
        return samples * len(self.frames)


def adjusted(picture: Picture, options: WriteOptions) -> Picture:
    """Carry out what of ``options`` comes before the network: the background and the resolution."""
    if options.background is not None:
        flat = [adjust.flattened(frame, options.background) for frame in picture.frames]
        picture = replace(picture, frames=flat)
    if options.dpi is not None:
        dpi = {"dpi": (options.dpi, options.dpi)}
        for frame in picture.frames:
            if not isinstance(frame, np.ndarray):
                frame.info.update(dpi)
        picture = replace(picture, info={**picture.info, **dpi})
    return picture


def is_kept(picture: Picture, goal: Goal, larger: Larger) -> bool:
    """Whether :func:`upscale` leaves all frames as they are."""
    return all(result_size(goal, frame_size(frame), larger) == frame_size(frame) for frame in picture.frames)


def upscale(
    picture: Picture,
    upscaler: "Upscaler",
    goals: Sequence[Goal],
    *,
    larger: Larger = "refuse",
    progress: Callable[[float], object] | None = None,
) -> dict[Goal, Picture]:
    """Upscale every frame by each scale and to each size.

    ``larger``: what becomes of frames that a size makes no larger, as
    :func:`~fsrcnn_rt.engine.sizes.result_size` has it. ``progress``: told the part that is done.
    """
    scales = [goal for goal in goals if not isinstance(goal, Box)]
    boxes = [goal for goal in goals if isinstance(goal, Box)]
    frames: dict[Goal, list[Frame]] = {goal: [] for goal in goals}
    steps = len(picture.frames) * (bool(scales) + len(boxes))
    done = 0

    def tell(part: float) -> None:
        if progress:
            progress((done + part) / steps)

    frame: Any
    for frame in picture.frames:
        results: dict[Goal, Any] = upscaler.upscale(frame, scales, progress=tell) if scales else {}
        done += bool(scales)
        for box in boxes:
            if larger != "refuse" and is_larger_already(box, frame_size(frame)):
                results[box] = adjust.resized(frame, result_size(box, frame_size(frame), larger))
            else:
                results[box] = upscaler.upscale(frame, size=box, progress=tell)
            done += 1
        for goal in goals:
            result = results[goal]
            if not isinstance(frame, np.ndarray):
                result.info = metadata.resized(result.info, frame.size, result.size)
            frames[goal].append(result)
    size = picture.size
    return {
        goal: replace(picture, frames=large, info=metadata.resized(picture.info, size, frame_size(large[0])))
        for goal, large in frames.items()
    }


def left_out(picture: Picture, name: str) -> list[str]:
    """Name the metadata of a picture, by its keys, that a file of the format ``name`` has no place for."""
    held = metadata.held(picture.info, name)
    return [key for key in picture.info if key not in held and key not in ("icc_profile", "transparency")]


def frame_size(frame: Frame) -> Size:
    """(width, height) in pixels."""
    return (frame.shape[1], frame.shape[0]) if isinstance(frame, np.ndarray) else frame.size


def _pixel_bytes(mode: str) -> int:
    """Bytes of a pixel in the array that is upscaled."""
    return {"L": 1, "1": 1, "LA": 2, "La": 2, "I;16": 2, "I;16B": 2}.get(mode, 4)
