"""The options of an upscaler: the one list of them, with their defaults and checks.

An option is added here, to :class:`EngineOptions` and :class:`Options`, and to the docstring of
:class:`~fsrcnn_rt.Upscaler`; for the command line, to ``add_engine_options``. Whatever makes an upscaler for
its caller takes ``**options`` and hands them on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import numpy as np

from fsrcnn_rt.engine.runtime import resolve_isa, resolve_threads
from fsrcnn_rt.engine.variants import Content, Denoise

Colour: TypeAlias = Literal["guided", "bicubic", "rgb"]
Precision: TypeAlias = Literal["auto", "float32", "int16"]

MAX_STRENGTH = 1.5


class EngineOptions(TypedDict, total=False):
    """Types of the options, for signatures: ``**options: Unpack[EngineOptions]``."""

    content: Content
    denoise: Denoise
    strength: float
    colour: Colour
    guard: bool
    precision: Precision
    threads: int | None
    isa: str | None


@dataclass(frozen=True)
class Options:
    """Options as they were given, checked. ``content`` and ``denoise`` are checked with the model.

    Raises ``TypeError`` or ``ValueError`` for a value that an option does not take.
    """

    content: Content = "photo"
    denoise: Denoise = 0
    strength: float = 1.0
    colour: Colour = "guided"
    guard: bool = True
    precision: Precision = "auto"
    threads: int | None = None
    isa: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", check_strength(self.strength))
        for name, choices in ("colour", Colour), ("precision", Precision):
            value = getattr(self, name)
            if value not in get_args(choices):
                raise ValueError(f"{name}={value!r} is none of {', '.join(get_args(choices))}")
        if not isinstance(self.guard, bool):
            raise TypeError(f"guard={self.guard!r} is neither True nor False")
        if self.threads is not None:  # else the environment is asked, where the upscaler is made
            resolve_threads(self.threads)
        if self.isa is not None:
            resolve_isa(self.isa)

    def as_keywords(self) -> dict[str, Any]:
        """Return them as keyword arguments, those that were not asked for as None."""
        return asdict(self)


def check_strength(strength: float) -> float:
    """Return a strength as a float; ``TypeError`` or ``ValueError`` unless it is a number of 0..1.5."""
    if isinstance(strength, bool) or not isinstance(strength, int | float | np.integer | np.floating):
        raise TypeError(f"strength={strength!r} is not a number")
    if not 0 <= strength <= MAX_STRENGTH:
        raise ValueError(f"strength={strength!r} is not 0 to {MAX_STRENGTH}")
    return float(strength)
