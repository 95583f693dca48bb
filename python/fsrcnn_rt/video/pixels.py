"""Pixel formats: where samples lie in a frame, and in which format a result is. Needs PyAV.

What is interleaved is read in place; its result is planar, with the same samples. Nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from fsrcnn_rt.engine.content import is_graphics
from fsrcnn_rt.engine.planes import ChromaLocation, Layout
from fsrcnn_rt.engine.reuse import Before
from fsrcnn_rt.engine.upscaler import Upscaler

Planes = list[npt.NDArray[Any]]

# Of a component: its plane, its first sample there, and how far it is from there to the next.
_Place = tuple[int, int, int]

# Pixel formats whose name stands for full range, as the range tag of their frames does: those without the J.
_FULL_RANGE = {f"yuvj{kind}p": f"yuv{kind}p" for kind in ("411", "420", "422", "440", "444")}

_UV: tuple[_Place, ...] = ((0, 0, 1), (1, 0, 2), (1, 1, 2))
_VU: tuple[_Place, ...] = ((0, 0, 1), (1, 1, 2), (1, 0, 2))
_YUYV: tuple[_Place, ...] = ((0, 0, 2), (0, 1, 4), (0, 3, 4))


def _side_by_side(order: str, components: str) -> tuple[_Place, ...]:
    return tuple((0, order.index(component), len(order)) for component in components)


# What is interleaved: the planar format of the same samples, the places of the components, and how many bits
# without meaning are below a sample.
_INTERLEAVED: dict[str, tuple[str, tuple[_Place, ...], int]] = {
    **{"nv12": ("yuv420p", _UV, 0), "nv21": ("yuv420p", _VU, 0), "nv16": ("yuv422p", _UV, 0)},
    **{"nv24": ("yuv444p", _UV, 0), "nv42": ("yuv444p", _VU, 0)},
    **{f"p0{bits}le": (f"yuv420p{bits}le", _UV, 16 - bits) for bits in (10, 12, 16)},
    **{f"p2{bits}le": (f"yuv422p{bits}le", _UV, 16 - bits) for bits in (10, 12, 16)},
    **{f"p4{bits}le": (f"yuv444p{bits}le", _UV, 16 - bits) for bits in (10, 12, 16)},
    **{f"y2{bits}le": (f"yuv422p{bits}le", _YUYV, 16 - bits) for bits in (10, 12, 16)},
    "yuyv422": ("yuv422p", _YUYV, 0),
    "yvyu422": ("yuv422p", ((0, 0, 2), (0, 3, 4), (0, 1, 4)), 0),
    "uyvy422": ("yuv422p", ((0, 1, 2), (0, 0, 4), (0, 2, 4)), 0),
    "vuyx": ("yuv444p", _side_by_side("vuyx", "yuv"), 0),
    **{order: ("yuva444p", _side_by_side(order, "yuva"), 0) for order in ("ayuv", "vuya", "uyva")},
    **{order: ("gbrp", _side_by_side(order, "rgb"), 0) for order in ("rgb0", "bgr0", "0rgb", "0bgr")},
    **{order: ("gbrap", _side_by_side(order, "rgba"), 0) for order in ("rgba", "bgra", "argb", "abgr")},
    **{f"{order}24": ("gbrp", _side_by_side(order, "rgb"), 0) for order in ("rgb", "bgr")},
    **{f"{order}48le": ("gbrp16le", _side_by_side(order, "rgb"), 0) for order in ("rgb", "bgr")},
    **{f"{order}64le": ("gbrap16le", _side_by_side(order, "rgba"), 0) for order in ("rgba", "bgra")},
    "ya8": ("ya8", _side_by_side("ya", "ya"), 0),
    "ya16le": ("ya16le", _side_by_side("ya", "ya"), 0),
}

# For an encoder that does not take a planar format, those of the same samples, which it may take.
_SAME = {
    "gbrp": ("bgr0", "rgb24", "bgr24"),
    "gbrap": ("bgra", "rgba"),
    "gbrp16le": ("rgb48le",),
    "gbrap16le": ("rgba64le",),
}

_WITHOUT_ALPHA = {"ya8": "gray", "ya16le": "gray16le"}


class Pixels(NamedTuple):
    """A pixel format: ``result`` is that of what becomes of it, with the same components and depth."""

    result: str
    layout: Layout
    is_rgb: bool
    places: tuple[_Place, ...]
    shift: int

    @property
    def has_alpha(self) -> bool:
        """Whether there is a component beside grey or colour."""
        return len(self.places) in (2, 4)

    def views(self, frame: av.VideoFrame) -> Planes:
        """View the components of a frame as arrays, in place; where bits are below them, as copies."""
        shapes = self.layout.shapes((frame.height, frame.width), len(self.places))
        views = []
        for (number, first, step), (height, width) in zip(self.places, shapes, strict=True):
            plane = frame.planes[number]
            rows = np.frombuffer(plane, self.layout.dtype)  # type: ignore[call-overload]
            rows = rows.reshape(-1, abs(plane.line_size) // self.layout.dtype.itemsize)
            rows = rows[:height] if plane.line_size > 0 else rows[::-1][:height]
            views.append(rows[:, first::step][:, :width])
        return [view >> self.shift for view in views] if self.shift else views

    def colours(self, frame: av.VideoFrame) -> npt.NDArray[Any]:
        """Copy a frame of RGB as a picture (H, W, 3 or 4): of 8 or 16 bits as it is, else as 0..1."""
        picture = np.stack(self.views(frame), -1)
        if self.layout.bits in (8, 16):
            return picture
        scaled: npt.NDArray[np.float32] = picture / np.float32(self._full)
        return scaled

    def set_colours(self, frame: av.VideoFrame, picture: npt.NDArray[Any]) -> None:
        """Write what :meth:`colours` reads."""
        if picture.dtype.kind == "f":
            picture = np.rint(np.clip(picture, 0, 1) * np.float32(self._full))
        for number, view in enumerate(self.views(frame)):
            view[...] = picture[..., number]

    @property
    def _full(self) -> int:
        return (1 << self.layout.bits) - 1

    def is_graphics(self, frame: av.VideoFrame) -> bool:
        """Whether a frame is drawn, by its luma or colours."""
        if self.is_rgb:
            return is_graphics(self.colours(frame))
        return is_graphics(self.views(frame)[0], bits=self.layout.bits)

    def upscale(
        self,
        frame: av.VideoFrame,
        result: av.VideoFrame,
        upscaler: Upscaler,
        last: tuple[av.VideoFrame, Callable[[], av.VideoFrame]] | None = None,
    ) -> float:
        """Upscale a frame into one of ``result``, of whatever size that is.

        ``last``: the frame before, of the same format and size, and a function that waits for its result.
        What is as there is copied; of RGB only the whole of a frame. Returns which part, 0..1, that was.
        """
        target = pixels(self.result, self.layout.chroma_location)
        views, out = self.views(frame), target.views(result)
        before = Before(self.views(last[0]), lambda: target.views(last[1]())) if last else None
        if not self.is_rgb:
            return upscaler.upscale_frame(views, out, self.layout, before)
        if before and all(map(np.array_equal, views, before.planes)):
            for view, same in zip(out, before.result(), strict=True):
                view[...] = same
            return 1.0
        size = (result.width, result.height)
        target.set_colours(result, upscaler.upscale(self.colours(frame), size=size))
        return 0.0


@lru_cache
def pixels(name: str, chroma_location: ChromaLocation = "left") -> Pixels:
    """Describe a pixel format; ``ValueError`` unless it is YUV, RGB or grey of 8 to 16 bits."""
    result, places, shift = _INTERLEAVED.get(name, (_FULL_RANGE.get(name, name), (), 0))
    planar = av.VideoFormat(name, 64, 64)
    components = planar.components
    bits = components[0].bits if components else 0
    if not places:
        places = tuple((component.plane, 0, 1) for component in components)
        if (
            planar.is_bit_stream
            or planar.has_palette
            or (planar.is_big_endian and bits > 8)
            or sorted(places) != [(number, 0, 1) for number in range(len(places))]
            or len(places) not in (1, 3, 4)
            or not 8 <= bits <= 16
            or "f" in name.rpartition("p")[2]
        ):
            raise ValueError(f"has the pixel format {name}, which is not YUV, RGB or grey of 8 to 16 bits")
    x, y = (64 // components[1].width, 64 // components[1].height) if len(places) > 2 else (1, 1)
    return Pixels(result, Layout(bits, (x, y), chroma_location), planar.is_rgb, places, shift)


def equals(name: str) -> tuple[str, ...]:
    """Return pixel formats that hold the samples of a planar one, itself first."""
    return (name, *_SAME.get(name, ()))


def without_alpha(name: str) -> str:
    """Return the pixel format of the same samples but for those of alpha, or the same one."""
    return _WITHOUT_ALPHA.get(name, name.replace("yuva", "yuv").replace("gbrap", "gbrp"))
