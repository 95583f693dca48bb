"""FSRCNN super-resolution in real time on an ordinary CPU.

>>> import fsrcnn_rt
>>> big = fsrcnn_rt.upscale(image, scale=3)  # a Pillow image, or an array of uint8, uint16 or floats

:func:`upscale` is all that most need; :class:`Upscaler` holds a model ready for many calls; :func:`load`
reads a model as data; :func:`measure_fps` tells how fast this machine is. With PyAV installed (the extra
``video``), :func:`upscale_video` makes a larger video file, and :func:`upscale_frames` gives its frames.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsrcnn_rt.engine.runtime import available_isas as available_isas
    from fsrcnn_rt.engine.sizes import Box as Box
    from fsrcnn_rt.engine.upscaler import Upscaler as Upscaler
    from fsrcnn_rt.engine.upscaler import upscale as upscale
    from fsrcnn_rt.errors import ModelError as ModelError
    from fsrcnn_rt.errors import ScaleError as ScaleError
    from fsrcnn_rt.evaluation.speed import FpsReport as FpsReport
    from fsrcnn_rt.evaluation.speed import measure_fps as measure_fps
    from fsrcnn_rt.model import Model as Model
    from fsrcnn_rt.model import load as load
    from fsrcnn_rt.model import save_model as save_model
    from fsrcnn_rt.video.files import upscale_frames as upscale_frames
    from fsrcnn_rt.video.files import upscale_video as upscale_video

    __version__: str
else:
    # Imported when it is asked for: numpy alone takes longer than the command's handling of signals may wait.
    _HOMES = {
        "engine.runtime": ["available_isas"],
        "engine.sizes": ["Box"],
        "engine.upscaler": ["Upscaler", "upscale"],
        "errors": ["ModelError", "ScaleError"],
        "evaluation.speed": ["FpsReport", "measure_fps"],
        "model": ["Model", "load", "save_model"],
        "video.files": ["upscale_frames", "upscale_video"],
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            value: Any = version("fsrcnn-rt")
        elif name in _HOME_OF:
            value = getattr(import_module(f"fsrcnn_rt.{_HOME_OF[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

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
