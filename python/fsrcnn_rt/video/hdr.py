"""HDR10: what a video tells of the display it was made on, and how encoders are told the same. Needs PyAV."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import av

# AVMasteringDisplayMetadata: fractions of red, green, blue and white, each (x, y), of the darkest and the
# brightest luminance, and whether there are colours and luminances.
_MASTERING = struct.Struct("=20i2i")
_LIGHT = struct.Struct("=2I")

# What changes from frame to frame, and no encoder is told of here.
_DYNAMIC = {"DYNAMIC_HDR_PLUS": "HDR10+", "DOVI_METADATA": "Dolby Vision", "DYNAMIC_HDR_VIVID": "HDR Vivid"}

_COLOURS, _LUMINANCE = 50000, 10000  # units of H.264 and H.265, to one and to a candela per square metre

# For an encoder: the option that takes parameters, and the names of the two there.
_NAMES = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}


def _side_data(frame: av.VideoFrame) -> Iterator[Any]:
    return iter(frame.side_data)


class Hdr(NamedTuple):
    """What a frame tells: of the display, in the order of the struct, and of light, maximum and average."""

    display: tuple[Fraction, ...] | None
    light: tuple[int, ...] | None
    dynamic: tuple[str, ...]  # names of other metadata

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Hdr:
        """Read it from a frame."""
        found = {side.type.name: bytes(side) for side in _side_data(frame)}
        display = light = None
        if len(data := found.get("MASTERING_DISPLAY_METADATA", b"")) >= _MASTERING.size:
            *numbers, has_colours, has_luminance = _MASTERING.unpack_from(data)
            told = [has_colours] * 8 + [has_luminance] * 2
            pairs = zip(numbers[::2], numbers[1::2], told, strict=True)
            # 0 is what the codecs have for unknown.
            display = tuple(
                Fraction(over, under) if known and under else Fraction(0) for over, under, known in pairs
            )
        if len(data := found.get("CONTENT_LIGHT_LEVEL", b"")) >= _LIGHT.size:
            light = _LIGHT.unpack_from(data)
        return cls(display, light, tuple(name for key, name in _DYNAMIC.items() if key in found))

    def options(self, encoder: str) -> dict[str, str] | None:
        """Say what an encoder is to be told; None where it takes nothing of the kind."""
        if self.display is None and self.light is None:
            return {}
        if encoder not in _NAMES:
            return None
        option, of_display, of_light = _NAMES[encoder]
        parameters = []
        if self.display is not None:
            parameters.append(f"{of_display}={self._display(whole=encoder != 'libsvtav1')}")
        if self.light is not None:
            parameters.append(f"{of_light}={self.light[0]},{self.light[1]}")
        return {option: ":".join(parameters)}

    def _display(self, *, whole: bool) -> str:
        """Write it as x265 does, in whole units of the codec, or as SVT-AV1 does."""
        assert self.display is not None

        def number(value: Fraction, unit: int) -> str:
            return str(round(value * unit)) if whole else f"{float(value):.6f}"

        red, green, blue, white = (
            f"({number(x, _COLOURS)},{number(y, _COLOURS)})"
            for x, y in zip(self.display[:8:2], self.display[1:8:2], strict=True)
        )
        low, high = (number(value, _LUMINANCE) for value in self.display[8:])
        return f"G{green}B{blue}R{red}WP{white}L({high},{low})"
