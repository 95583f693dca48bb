"""What a picture file holds: a picture, the frames of an animation or the pages of a TIFF; and metadata."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fsrcnn_rt.engine.arrays import result_mode
from fsrcnn_rt.engine.sizes import Box, Goal, Larger, Size, is_larger_already, result_size
from fsrcnn_rt.pictures import adjust, metadata
from fsrcnn_rt.pictures.adjust import Frame
from fsrcnn_rt.pictures.encoding import WriteOptions
from fsrcnn_rt.pictures.formats import DEEP_COLOUR, IN_EIGHT_BITS

if TYPE_CHECKING:
    from fsrcnn_rt.engine.upscaler import Upscaler


class Kind(NamedTuple):
    """What is known of a frame without its pixels.

    ``mode``: of what becomes of it when it is enlarged. ``profiled``: it has an ICC profile.
    """

    mode: str
    size: Size
    profiled: bool


class Frames(Sequence[Frame]):
    """Several frames, which are made one after the other each time they are gone through.

    So an animation takes the memory of one frame. ``kinds``: of the frames. ``make``: begins anew.
    """

    def __init__(self, kinds: Sequence[Kind], make: Callable[[], Iterator[Frame]]) -> None:
        self.kinds, self._make = kinds, make

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[Frame]:
        return self._make()

    def __getitem__(self, index: Any) -> Any:
        """Make the frames up to the one asked for, which costs so much time."""
        return next(islice(self, range(len(self))[index], None))


def kind_of(frame: Frame) -> Kind:
    """Describe a frame; ``ValueError`` for a mode that cannot be enlarged."""
    if isinstance(frame, np.ndarray):
        return Kind(DEEP_COLOUR[frame.shape[2] - 2], frame_size(frame), False)
    return Kind(result_mode(frame), frame.size, "icc_profile" in frame.info)


def kinds_of(frames: Sequence[Frame]) -> Sequence[Kind]:
    """Describe the frames of a picture."""
    return frames.kinds if isinstance(frames, Frames) else [kind_of(frame) for frame in frames]


@dataclass(frozen=True)
class Picture:
    """What a file holds: ``frames``, of which an array is 16-bit colour, which Pillow has no mode for.

    Several frames are :class:`Frames`. ``durations``: of an animation, ms per frame, else empty. ``plays``:
    how often it is shown, 0 for ever. ``still_first``: the first frame is for viewers that show no animation,
    and no part of it. ``lossless``: nothing was lost when the file was written.
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
        if isinstance(self.frames, Frames):
            return self.frames.kinds[0].size
        return frame_size(self.frames[0])

    @property
    def nbytes(self) -> int:
        """Memory of the pixels of all frames, in bytes, as arrays."""
        if isinstance(self.frames, Frames):
            return sum(kind.size[0] * kind.size[1] * _pixel_bytes(kind.mode) for kind in self.frames.kinds)
        return sum(_bytes(frame) for frame in self.frames)


def adjusted(picture: Picture, options: WriteOptions) -> Picture:
    """Carry out what of ``options`` comes before the network: the background and the resolution."""
    if options.background is not None:
        colour = options.background

        def flat(kind: Kind) -> Kind:
            return kind._replace(mode=adjust.flattened_mode(kind.mode, colour))

        picture = mapped(picture, lambda frame: adjust.flattened(frame, colour), flat)
    if options.dpi is not None:
        dpi = {"dpi": (options.dpi, options.dpi)}

        def with_dpi(frame: Frame) -> Frame:
            if not isinstance(frame, np.ndarray):
                frame.info.update(dpi)
            return frame

        picture = mapped(picture, with_dpi)
        picture = replace(picture, info={**picture.info, **dpi})
    return picture


def in_eight_bits(picture: Picture) -> Picture:
    """Round what has more than 8 bits per channel to 8."""
    return mapped(
        picture,
        lambda frame: adjust.in_eight_bits(frame, picture.info),
        lambda kind: kind._replace(mode=IN_EIGHT_BITS.get(kind.mode, kind.mode)),
    )


def mapped(
    picture: Picture, function: Callable[[Frame], Frame], kind: Callable[[Kind], Kind] = lambda kind: kind
) -> Picture:
    """Return a picture of what becomes of the frames by ``function``, and of their kinds by ``kind``."""
    frames = picture.frames
    if isinstance(frames, Frames):
        kinds = [kind(one) for one in frames.kinds]
        return replace(picture, frames=Frames(kinds, lambda: map(function, frames)))
    return replace(picture, frames=[function(frame) for frame in frames])


def is_kept(picture: Picture, goal: Goal, larger: Larger) -> bool:
    """Whether :func:`upscale` leaves all frames as they are."""
    sizes = [kind.size for kind in kinds_of(picture.frames)]
    return all(result_size(goal, size, larger) == size for size in sizes)


def upscale(
    picture: Picture,
    upscaler: "Upscaler",
    goals: Sequence[Goal],
    *,
    larger: Larger = "refuse",
    progress: Callable[[float], object] | None = None,
) -> dict[Goal, Picture]:
    """Upscale every frame by each scale and to each size.

    Of several frames each is upscaled when the result is gone through. ``larger``: what becomes of frames
    that a size makes no larger, as :func:`~fsrcnn_rt.engine.sizes.result_size` has it. ``progress``: told the
    part that is done.
    """
    frames = picture.frames
    results: dict[Goal, Sequence[Frame]] = {}
    if not isinstance(frames, Frames):
        made = [_enlarged(frame, upscaler, goals, larger, progress) for frame in frames]
        results = {goal: [frame[goal] for frame in made] for goal in goals}
    else:
        done = dict.fromkeys(goals, 0.0)
        for goal in goals:
            results[goal] = _enlarged_in_turn(frames, upscaler, goal, larger, done, progress)
    size = picture.size
    return {
        goal: replace(
            picture, frames=large, info=metadata.resized(picture.info, size, result_size(goal, size, larger))
        )
        for goal, large in results.items()
    }


def _enlarged_in_turn(
    frames: Frames,
    upscaler: "Upscaler",
    goal: Goal,
    larger: Larger,
    done: dict[Goal, float],
    progress: Callable[[float], object] | None,
) -> Frames:
    def make() -> Iterator[Frame]:
        for i, frame in enumerate(frames):

            def tell(part: float, before: int = i) -> None:
                done[goal] = (before + part) / len(frames)
                if progress:
                    progress(sum(done.values()) / len(done))

            yield _enlarged(frame, upscaler, [goal], larger, tell)[goal]

    kinds = [kind._replace(size=result_size(goal, kind.size, larger)) for kind in frames.kinds]
    return Frames(kinds, make)


def _enlarged(
    frame: Any,
    upscaler: "Upscaler",
    goals: Sequence[Goal],
    larger: Larger,
    progress: Callable[[float], object] | None,
) -> dict[Goal, Frame]:
    """Enlarge a frame by each scale and to each size."""
    scales = [goal for goal in goals if not isinstance(goal, Box)]
    boxes = [goal for goal in goals if isinstance(goal, Box)]
    steps, done = bool(scales) + len(boxes), 0

    def tell(part: float) -> None:
        if progress:
            progress((done + part) / steps)

    results: dict[Goal, Any] = upscaler.upscale(frame, scales, progress=tell) if scales else {}
    done += bool(scales)
    for box in boxes:
        if larger != "refuse" and is_larger_already(box, frame_size(frame)):
            results[box] = adjust.resized(frame, result_size(box, frame_size(frame), larger))
        else:
            results[box] = upscaler.upscale(frame, size=box, progress=tell)
        done += 1
    for result in results.values():
        if not isinstance(result, np.ndarray):
            result.info = metadata.resized(result.info, frame.size, result.size)
    return results


def left_out(picture: Picture, name: str) -> list[str]:
    """Name the metadata of a picture, by its keys, that a file of the format ``name`` has no place for."""
    held = metadata.held(picture.info, name)
    return [key for key in picture.info if key not in held and key not in ("icc_profile", "transparency")]


def frame_size(frame: Frame) -> Size:
    """(width, height) in pixels."""
    return (frame.shape[1], frame.shape[0]) if isinstance(frame, np.ndarray) else frame.size


def _bytes(frame: Frame) -> int:
    return (
        frame.nbytes
        if isinstance(frame, np.ndarray)
        else frame.width * frame.height * _pixel_bytes(frame.mode)
    )


def _pixel_bytes(mode: str) -> int:
    """Bytes of a pixel in the array that is upscaled."""
    return {"L": 1, "1": 1, "LA": 2, "La": 2, "I;16": 2, "I;16B": 2}.get(mode, 4)
