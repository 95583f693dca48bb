"""Models of other formats made model files.

Reading takes none of the packages that write those formats, writing ONNX takes the extra ``export``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsrcnn_rt.convert.bounded import digest
from fsrcnn_rt.errors import ModelError, ScaleError, brief
from fsrcnn_rt.model import SCALES, Colour, Model, Padding

if TYPE_CHECKING:
    from fsrcnn_rt.convert.network import ForeignNetwork

__all__ = ["SUFFIXES", "convert"]

_READERS = {
    ".mat": "from_mat",
    ".caffemodel": "from_caffe",
    ".pth": "from_pytorch",
    ".pt": "from_pytorch",
    ".pth.tar": "from_pytorch",
    ".onnx": "from_onnx",
}
SUFFIXES = tuple(_READERS)
_MAX_REASON = 800  # characters


def convert(
    path: str | os.PathLike[str],
    *,
    scale: int | None = None,
    padding: Padding | None = None,
    pad: int | None = None,
    output_padding: int | None = None,
    border: int | Literal["full"] | None = None,
    colour: Colour | None = None,
    name: str | None = None,
) -> Model:
    """Read a network of another format: the authors' files, a PyTorch state dict or an ONNX graph.

    The authors' are ``.mat`` of FSRCNN and SRCNN, ``.caffemodel`` of IDN. Of the other two any network is
    read that :class:`~fsrcnn_rt.model.Architecture` can express.

    ``scale``: 2, 3 or 4; default what the file says, else x2, x3 or x4 in its name. ``padding``, ``pad``,
    ``output_padding`` and ``border`` replace what the file says, or what is assumed where it is silent: zeros
    and a pad of half the kernel for a state dict. ``colour``: "ycbcr" or "rgb" of three channels, where the
    file does not tell. ``name`` of the model; default the file's. A sub-pixel head becomes the transposed
    convolution that computes the same, of one more channel where its biases differ.

    Raises :class:`~fsrcnn_rt.ModelError` for a file that holds no such network, naming the layer that does
    not fit; :class:`~fsrcnn_rt.ScaleError` for a scale that is not the file's; ``ValueError`` and
    ``TypeError`` for other arguments; ``OSError`` for a file that cannot be read.
    """
    path = Path(path)
    suffix = next((suffix for suffix in _READERS if path.name.lower().endswith(suffix)), None)
    if path.suffix.lower() == ".pb":
        raise ValueError(
            f"{path}: TensorFlow's graphs are read as ONNX, which python -m tf2onnx.convert --graphdef writes"
        )
    if suffix is None:
        raise ValueError(f"{path}: {path.suffix or 'no suffix'!r} is none of {', '.join(_READERS)}")
    if scale is not None and scale not in SCALES:
        raise ScaleError(f"scale={scale} is none of {', '.join(map(str, SCALES))}")
    for key, value in ("pad", pad), ("output_padding", output_padding), ("border", border):
        if value is not None and type(value) is not int and (key, value) != ("border", "full"):
            raise TypeError(f"{key}={brief(value)} is not an integer")
    read: Callable[[Path, int | None], ForeignNetwork]
    read = import_module(f"fsrcnn_rt.convert.{_READERS[suffix]}").read
    try:
        likely = scale or _scale_in(path.name)
        network = read(path, likely)
        if scale and network.scale and scale != network.scale:
            raise ScaleError(f"scale={scale} is not that of {path}, which is {network.scale}")
        known = network.scale or likely
        if known is None:
            raise ValueError(f"scale: {path} does not tell it, and neither does x2, x3 or x4 in its name")
        if known not in SCALES:
            raise ModelError(f"expected a scale of {', '.join(map(str, SCALES))}, got {brief(known)}")
        from fsrcnn_rt.convert.network import to_model

        provenance: dict[str, Any] = {
            "converted_from": path.name,
            "sha256": digest(path),
            "terms": "those of the file that it was converted from",
        }
        if network.provenance:
            provenance["source"] = network.provenance
        return to_model(
            network,
            known,
            name or path.name[: -len(suffix)],
            provenance,
            padding=padding,
            pad=pad,
            output_padding=output_padding,
            border=border,
            colour=colour,
        )
    except ModelError as error:
        reason = str(error)
        reason = reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}..."
        raise ModelError(f"{path}: {reason}") from error


def _scale_in(name: str) -> int | None:
    """Scale that a file name tells, such as x3.mat or fsrcnn_x3.pth."""
    scales = {int(digit) for digit in re.findall(r"(?<![a-z0-9])x([234])(?![0-9])", name.lower())}
    return scales.pop() if len(scales) == 1 else None
