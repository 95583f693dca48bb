"""FSRCNN super-resolution in real time on an ordinary CPU.

>>> import fsrcnn_rt
>>> big = fsrcnn_rt.upscale(image, scale=3)  # a Pillow image, or an array of uint8, uint16 or floats

:func:`upscale` is all that most need; :class:`Upscaler` holds a model ready for many calls; :func:`load`
reads a model as data; :func:`measure_fps` tells how fast this machine is. With PyAV installed (the extra
``video``), :func:`upscale_video` makes a larger video file, and :func:`upscale_frames` gives its frames.
"""

from typing import TYPE_CHECKING, Any

from fsrcnn_rt.engine.runtime import available_isas
from fsrcnn_rt.engine.sizes import Box
from fsrcnn_rt.engine.upscaler import Upscaler, upscale
from fsrcnn_rt.errors import ModelError, ScaleError
from fsrcnn_rt.model import Model, load, save_model

if TYPE_CHECKING:
    from fsrcnn_rt.evaluation.speed import FpsReport as FpsReport
    from fsrcnn_rt.evaluation.speed import measure_fps as measure_fps
    from fsrcnn_rt.video.files import upscale_frames as upscale_frames
    from fsrcnn_rt.video.files import upscale_video as upscale_video

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        # Asking the installed metadata takes longer than the rest of the import, so only those who ask pay.
        if name == "__version__":
            from importlib.metadata import version

            return version("fsrcnn-rt")
        if name in ("FpsReport", "measure_fps"):
            from fsrcnn_rt.evaluation import speed as bench

            return getattr(bench, name)
        if name in ("upscale_frames", "upscale_video"):
            from fsrcnn_rt.video import files as video

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
