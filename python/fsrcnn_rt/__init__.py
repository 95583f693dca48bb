"""FSRCNN super-resolution in real time on an ordinary CPU.

>>> import fsrcnn_rt
>>> big = fsrcnn_rt.upscale(image, scale=3)  # a Pillow image, or an array of uint8, uint16 or floats

:func:`upscale` is all that most need; :class:`Upscaler` holds a model ready for many calls; :func:`load`
reads a model as data; :func:`measure_fps` tells how fast this machine is. With PyAV installed (the extra
``video``), :func:`upscale_video` makes a larger video file, and :func:`upscale_frames` gives its frames.
"""

from typing import TYPE_CHECKING, Any

from fsrcnn_rt.api import Upscaler, upscale
from fsrcnn_rt.errors import ModelError, ScaleError
from fsrcnn_rt.model import Model, load, save_model
from fsrcnn_rt.runtime import available_isas
from fsrcnn_rt.sizes import Box

if TYPE_CHECKING:
    from fsrcnn_rt.bench import FpsReport as FpsReport
    from fsrcnn_rt.bench import measure_fps as measure_fps
    from fsrcnn_rt.video import upscale_frames as upscale_frames
    from fsrcnn_rt.video import upscale_video as upscale_video

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        # Asking the installed metadata takes longer than the rest of the import, so only those who ask pay.
        if name == "__version__":
            from importlib.metadata import version

            return version("fsrcnn-rt")
        if name in ("FpsReport", "measure_fps"):
            from fsrcnn_rt import bench

            return getattr(bench, name)
        if name in ("upscale_frames", "upscale_video"):
            from fsrcnn_rt import video

            return getattr(video, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Box",
    "FpsReport",
    "Model",
    "ModelError",
    "ScaleError",
    "Upscaler",
    "__version__",
    "available_isas",
    "load",
    "measure_fps",
    "save_model",
    "upscale",
    "upscale_frames",
    "upscale_video",
]
