"""Several frames written one at a time, where Pillow would hold all of them until the last.

GIF and PNG are put together here, of frames that Pillow or this package's own encoder of PNG has compressed.
The encoders of the other formats take frames as they come, and are given something that looks like a file of
frames.
"""

import io
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from fsrcnn_rt.engine.arrays import AnyArray
from fsrcnn_rt.engine.sizes import Size

# Left, upper, right, lower.
_Box = tuple[int, int, int, int]


_Mask = npt.NDArray[np.bool_]


class Step(NamedTuple):
    """A frame that differs from the one before: the box in which it does, and the ms that it is shown.

    ``changed``: of each pixel whether it differs; None for the first frame.
    """

    image: Image.Image
    box: _Box
    duration: float
    changed: _Mask | None = None

    def cut(self) -> Image.Image:
        """Cut out the box."""
        return self.image if self.box == (0, 0, *self.image.size) else self.image.crop(self.box)


class Reel(Image.Image):
    """Frames as Pillow has those of an open file: one is there at a time, and the next comes by ``seek``.

    ``kinds``: mode and size of each. Frames are taken from ``frames`` when their pixels are asked for, and
    only forward.
    """

    def __init__(self, frames: Iterable[Image.Image], kinds: Sequence[tuple[str, Size]]) -> None:
        super().__init__()
        self.n_frames, self.is_animated = len(kinds), len(kinds) > 1
        self._frames, self._kinds = iter(frames), kinds
        self._loaded = -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Go to a frame; ``EOFError`` behind the last."""
        if frame >= self.n_frames:
            raise EOFError
        self._position = frame
        self._mode, self._size = self._kinds[frame]

    def tell(self) -> int:
        """Return the number of the frame."""
        return self._position

    def load(self) -> Any:
        """Take the frame, and those before it."""
        if self._position < self._loaded:
            raise ValueError(f"frame {self._position} is gone: frame {self._loaded} was taken")
        while self._loaded < self._position:
            self.im = next(self._frames).im
            self._loaded += 1
        return super().load()


def steps(frames: Iterable[Image.Image], durations: Iterable[float]) -> Iterator[Step]:
    """Compare each frame with the one before; those that are the same are one, which is shown for longer."""
    waiting: Step | None = None
    before: AnyArray | None = None
    for frame, duration in zip(frames, durations, strict=True):
        colours = _colours(frame)
        if waiting is None or before is None:
            waiting, before = Step(frame, (0, 0, *frame.size), duration), colours
            continue
        differs = np.not_equal(before, colours)
        changed: _Mask = differs if differs.ndim == 2 else np.any(differs, axis=2)
        box = _box(changed)
        if box is None:
            waiting = waiting._replace(duration=waiting.duration + duration)
        else:
            yield waiting
            waiting, before = Step(frame, box, duration, changed), colours
    if waiting is not None:
        yield waiting


def write_gif(
    file: BinaryIO,
    frames: Iterable[Image.Image],
    durations: Iterable[float],
    options: Mapping[str, Any],
    *,
    transparent: bool,
) -> None:
    """Write a GIF of frames of modes L and P, or RGB, which get a palette each.

    ``options``: of Pillow for the whole file: comment, loop. ``transparent``: some frames have holes; each is
    removed before the next then, which must not show through the holes.
    """
    for step in steps(map(_in_palette, frames), durations):
        if step.changed is None:
            first = _one_gif(step, options, transparent)
            file.write(_GIF_VERSION + first[len(_GIF_VERSION) : -1])
            continue
        if transparent:
            part = step._replace(box=_visible(step.image))
        else:
            part = step._replace(image=_unchanged_left_out(step.image, step.changed))
        file.write(_placed(_one_gif(part, {}, transparent), part.box))
    file.write(b";")


_GIF_VERSION = b"GIF89a"
_SCREEN = 7  # bytes of the description of the screen, the fifth of which says whether a palette follows
_EXTENSION, _CONTROL, _IMAGE, _DESCRIPTOR = 0x21, 0xF9, 0x2C, 10
_HAS_PALETTE, _PALETTE_SIZE = 0x80, 0x07
_TO_BACKGROUND = 2  # what is done to a frame before the next


def _in_palette(frame: Image.Image) -> Image.Image:
    return frame.convert("P", palette=Image.Palette.ADAPTIVE) if frame.mode == "RGB" else frame


def _one_gif(step: Step, options: Mapping[str, Any], transparent: bool) -> bytes:
    """Return a GIF of one frame, by Pillow."""
    image, disposal = step.cut(), _TO_BACKGROUND if transparent else 0
    own = {key: step.image.info[key] for key in ("transparency",) if key in step.image.info}
    with io.BytesIO() as file:
        image.save(file, "GIF", **options, **own, duration=step.duration, disposal=disposal, interlace=False)
        return file.getvalue()


def _placed(gif: bytes, box: _Box) -> bytes:
    """Turn a GIF of one frame into a frame, with its palette, at the corner of ``box``."""
    at = len(_GIF_VERSION) + _SCREEN
    flags = gif[at - 3]
    colours = 3 << (flags & _PALETTE_SIZE) + 1 if flags & _HAS_PALETTE else 0
    palette = gif[at : at + colours]
    at += colours
    control = b""
    while gif[at] == _EXTENSION:
        end = at + 2
        while gif[end]:
            end += 1 + gif[end]
        end += 1
        if gif[at + 1] == _CONTROL:
            control = gif[at:end]
        at = end
    size = gif[at + 5 : at + _DESCRIPTOR - 1]
    place = struct.pack("<BHH", _IMAGE, *box[:2])
    own = bytes([_HAS_PALETTE | flags & _PALETTE_SIZE if colours else 0])
    return control + place + size + own + palette + gif[at + _DESCRIPTOR : -1]


def _colours(frame: Image.Image) -> AnyArray:
    """Return the samples of a frame, the colours of its palette as a number each where it has one."""
    samples = np.asarray(frame)
    if frame.mode != "P":
        return samples
    # Not by Pillow's convert(), which leaves alpha in the palette that it reads.
    colours = np.zeros((256, 4), np.uint8)
    palette = np.reshape(frame.getpalette() or [], (-1, 3))
    colours[: len(palette), :3] = palette
    colours[:, 3] = 255
    colours[frame.info.get("transparency", []), :] = 0
    seen: AnyArray = colours.view(np.uint32)[:, 0].take(samples)
    return seen


def _visible(frame: Image.Image) -> _Box:
    """Find the box of what is no hole, and with it a hole beside, if there is one.

    A frame that has none is filled with the background by some viewers, where it is to be removed.
    """
    hole = frame.info.get("transparency")
    box = _box(np.asarray(frame) != hole) if hole is not None else (0, 0, *frame.size)
    if box is None:
        return 0, 0, 1, 1
    left, upper, right, lower = box
    if right - left < frame.width:
        return (left, upper, right + 1, lower) if right < frame.width else (left - 1, upper, right, lower)
    return left, max(0, upper - 1), right, min(frame.height, lower + 1)


def _box(mask: _Mask) -> _Box | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _unchanged_left_out(frame: Image.Image, changed: _Mask) -> Image.Image:
    """Make a hole of what is as before, which takes next to no bytes, where a colour is left for that."""
    indices = np.asarray(frame)
    free = np.flatnonzero(np.asarray(frame.histogram()) == 0)
    if not len(free):
        return frame
    result = Image.fromarray(np.where(changed, indices, np.uint8(free[0])))
    palette = frame.getpalette() if frame.mode == "P" else None
    palette = palette or [value for value in range(256) for _ in "RGB"]
    result.putpalette(palette + (3 * (int(free[0]) + 1) - len(palette)) * [0])
    result.info["transparency"] = int(free[0])
    return result
