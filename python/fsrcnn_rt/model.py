"""The network as data: layers, heads, and the model file that holds them.

An FSRCNN(d, s, m) (Dong, Loy and Tang, "Accelerating the Super-Resolution Convolutional Neural Network",
2016) is a trunk of convolutions at low resolution, ``5x5 1->d, 1x1 d->s, m times 3x3 s->s, 1x1 s->d``, and
one 9x9 transposed convolution ``d->1`` per scale, its head. The file format is safetensors with float32
tensors:

- ``trunk.<i>.weight`` (oc, ic, k, k), ``trunk.<i>.bias`` (oc,), ``trunk.<i>.slope`` (oc,) where there is a
  PReLU;
- ``head.x<scale>.weight`` (ic, 1, 9, 9) in the layout of PyTorch's ``ConvTranspose2d``,
  ``head.x<scale>.bias`` (1,);
- metadata, all strings: ``layers`` (a JSON list), ``heads`` (a JSON object keyed by scale), ``provenance`` (a
  JSON
  object), and the plain words listed in ``_FIXED`` plus ``padding`` and ``name``.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.errors import ModelError
from fsrcnn_rt.files import atomic_write

Array = npt.NDArray[np.float32]
Activation = Literal["prelu", "relu", "none"]
Padding = Literal["zeros", "replicate"]

#: Shipped networks: each has weights for clean photographs under its own name, and those of VARIANTS.
NETWORKS = ("fsrcnn", "fsrcnn-s")
VARIANTS = ("graphics", "denoise1", "denoise2", "denoise3")
SHIPPED = tuple(f"{network}{rest}" for network in NETWORKS for rest in ("", *(f"-{v}" for v in VARIANTS)))
SCALES = (2, 3, 4)
HEAD_KERNEL = 9
HEAD_REACH = 2  # in input pixels, at x2; at x3 and x4 it is no more

# What version 1 of the format leaves no choice about.
_FIXED = {
    "format_version": "1",
    "architecture": "fsrcnn",
    "in_channels": "1",
    "pre_upscale": "none",
    "residual": "none",
    "luma": "bt601-limited",
}


@dataclass(frozen=True, eq=False)
class Conv2d:
    """A convolution of stride 1 that keeps the size of the picture, and its activation.

    ``slope`` belongs to ``activation="prelu"``: ``max(x, 0) + slope * min(x, 0)``, any finite slope.
    """

    weight: Array  # (oc, ic, k, k), k odd
    bias: Array  # (oc,)
    slope: Array | None = None  # (oc,)
    activation: Activation = "prelu"

    @property
    def out_channels(self) -> int:
        """Channels written."""
        return int(self.weight.shape[0])

    @property
    def in_channels(self) -> int:
        """Channels read."""
        return int(self.weight.shape[1])

    @property
    def kernel(self) -> int:
        """Height and width of the filters."""
        return int(self.weight.shape[2])


@dataclass(frozen=True, eq=False)
class Head:
    """A 9x9 transposed convolution ``d->1`` whose stride is the scale, cropped to scale times the input.

    ``9 - 2 * pad + output_padding`` equals the scale. ``border`` is how many pixels its input is extended by
    the model's padding before zeros follow; "full" is as far as the kernel reaches.
    """

    weight: Array  # (ic, 1, 9, 9)
    bias: Array  # (1,)
    pad: int
    output_padding: int
    border: int | Literal["full"] = "full"


@dataclass(frozen=True, eq=False)
class Model:
    """A checked FSRCNN: building one raises :class:`ModelError` where anything does not fit.

    ``heads`` is keyed by scale. ``padding`` is what every convolution sees outside the picture, layer by
    layer. ``provenance`` is a JSON-like record of how the weights were made: data, recipe, seed, figures,
    terms.
    """

    layers: Sequence[Conv2d]
    heads: Mapping[int, Head]
    padding: Padding
    name: str
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "heads", MappingProxyType(dict(sorted(self.heads.items()))))
        _check(self)

    def __repr__(self) -> str:
        return f"<Model {self.name!r}: FSRCNN({self.d}, {self.s}, {self.m}), scales {self.scales}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.layers, dict(self.heads), self.padding, self.name, dict(self.provenance))

    @property
    def d(self) -> int:
        """Channels of the feature extraction and of the heads' input."""
        return self.layers[0].out_channels

    @property
    def s(self) -> int:
        """Channels of the mapping, after shrinking."""
        return self.layers[1].out_channels

    @property
    def m(self) -> int:
        """Number of 3x3 mapping layers."""
        return len(self.layers) - 3

    @property
    def scales(self) -> tuple[int, ...]:
        """Scales there is a head for, ascending."""
        return tuple(self.heads)

    @property
    def reach(self) -> int:
        """Input pixels on each side of its own that an output pixel depends on."""
        return sum(layer.kernel // 2 for layer in self.layers) + HEAD_REACH

    @property
    def macs_per_pixel(self) -> int:
        """Multiply-accumulates per input pixel for one output: the trunk and a head of any scale."""
        return sum(layer.weight.size for layer in self.layers) + HEAD_KERNEL * HEAD_KERNEL * self.d


def load(name_or_path: str | os.PathLike[str]) -> Model:
    """Load a model that ships with the package, by its name (one of ``SHIPPED``), or a model file.

    A ``str`` that is not a shipped name is a path; a ``PathLike`` always is. Raises :class:`ModelError` for
    an unknown name and for a file that is not a valid model, ``OSError`` for a file that cannot be read.
    """
    path = find(name_or_path)
    try:
        return _read(path)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error.__cause__


def save_model(model: Model, path: str | os.PathLike[str]) -> None:
    """Write ``model`` as a model file, which :func:`load` reads back bit for bit.

    The file appears whole or not at all; ``OSError`` if it cannot be written.
    """
    from safetensors.numpy import save

    tensors = {}
    layers = []
    for i, layer in enumerate(model.layers):
        tensors[f"trunk.{i}.weight"] = layer.weight
        tensors[f"trunk.{i}.bias"] = layer.bias
        if layer.slope is not None:
            tensors[f"trunk.{i}.slope"] = layer.slope
        layers.append(
            {
                "kind": "conv2d",
                "in": layer.in_channels,
                "out": layer.out_channels,
                "kernel": layer.kernel,
                "groups": 1,
                "activation": layer.activation,
            }
        )
    heads = {}
    for scale, head in model.heads.items():
        tensors[f"head.x{scale}.weight"] = head.weight
        tensors[f"head.x{scale}.bias"] = head.bias
        heads[str(scale)] = {
            "kind": "deconv2d",
            "stride": scale,
            "kernel": HEAD_KERNEL,
            "pad": head.pad,
            "output_padding": head.output_padding,
            "border": head.border,
        }
    metadata = _FIXED | {
        "name": model.name,
        "padding": model.padding,
        "layers": json.dumps(layers),
        "heads": json.dumps(heads),
        "provenance": json.dumps(dict(model.provenance), ensure_ascii=False),
    }
    # safetensors writes the memory as it lies, whatever the strides say.
    data = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, metadata)
    with atomic_write(Path(path)) as file:
        file.write(data)


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """Path of a shipped model or of an existing file; raises as :func:`load` does."""
    if isinstance(name_or_path, str) and name_or_path in SHIPPED:
        import fsrcnn_rt

        # An editable install has one entry for the sources and one for what CMake installed.
        for entry in fsrcnn_rt.__path__:
            path = Path(entry, "weights", f"{name_or_path}.safetensors")
            if path.is_file():
                return path
        raise ModelError(f"model={name_or_path!r} is missing from this installation of fsrcnn_rt")
    if not isinstance(name_or_path, str | os.PathLike):
        raise TypeError(
            f"model={name_or_path!r} is neither a name nor a path, but {type(name_or_path).__name__}"
        )
    path = Path(name_or_path)
    if not path.exists():
        if isinstance(name_or_path, str) and not os.path.dirname(name_or_path):  # noqa: PTH120
            shipped = f"{', '.join(NETWORKS)}, each also with -{', -'.join(VARIANTS)}"
            raise ModelError(f"model={name_or_path!r} is neither a shipped model ({shipped}) nor a file")
        raise FileNotFoundError(2, "No such model file", str(path))
    return path


def _read(path: Path) -> Model:
    from safetensors import SafetensorError, safe_open

    path.open("rb").close()  # folders and permissions: the operating system's own words
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            layers, heads, expected = _read_layout(metadata)
            names = set(file.keys())
            for problem, differing in (
                ("missing", expected.keys() - names),
                ("unknown", names - expected.keys()),
            ):
                if differing:
                    raise ModelError(f"tensor {min(differing)!r} is {problem}")
            for name, shape in expected.items():
                tensor = file.get_slice(name)
                if tensor.get_dtype() != "F32":
                    raise ModelError(f"tensor {name!r} has dtype {tensor.get_dtype()}, not F32")
                if tuple(tensor.get_shape()) != shape:
                    raise ModelError(f"tensor {name!r} has shape {tuple(tensor.get_shape())}, not {shape}")
            tensors = {name: file.get_tensor(name) for name in expected}
    except SafetensorError as error:
        raise ModelError(f"is not a safetensors file, or a damaged one ({error})") from error
    for tensor in tensors.values():
        tensor.flags.writeable = False
    return Model(
        layers=[
            Conv2d(
                tensors[f"trunk.{i}.weight"],
                tensors[f"trunk.{i}.bias"],
                tensors.get(f"trunk.{i}.slope"),
                layer["activation"],
            )
            for i, layer in enumerate(layers)
        ],
        heads={
            int(scale): Head(
                tensors[f"head.x{scale}.weight"],
                tensors[f"head.x{scale}.bias"],
                head["pad"],
                head["output_padding"],
                head["border"],
            )
            for scale, head in heads.items()
        },
        padding=metadata["padding"],
        name=metadata["name"],
        provenance=_json(metadata, "provenance", dict),
    )


_LAYER_KEYS = {"kind", "in", "out", "kernel", "groups", "activation"}
_HEAD_KEYS = {"kind", "stride", "kernel", "pad", "output_padding", "border"}


def _read_layout(
    metadata: Mapping[str, str],
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]], dict[str, tuple[int, ...]]]:
    """Layers, heads and the tensors (name -> shape) that they call for, as the metadata tells them."""
    keys = _FIXED.keys() | {"name", "padding", "layers", "heads", "provenance"}
    for problem, differing in ("missing", keys - metadata.keys()), ("unknown", metadata.keys() - keys):
        if differing:
            raise ModelError(f"metadata key {min(differing)!r} is {problem}")
    for key, value in _FIXED.items():
        if metadata[key] != value:
            raise ModelError(f"metadata {key}={metadata[key]!r} is not supported, only {value!r}")

    expected: dict[str, tuple[int, ...]] = {}
    layers = _json(metadata, "layers", list)
    for i, layer in enumerate(layers):
        what = f"metadata layers[{i}]"
        _check_entry(what, layer, _LAYER_KEYS, {"kind": "conv2d", "groups": 1})
        ic, oc, kernel = (_natural(what, layer, key) for key in ("in", "out", "kernel"))
        expected[f"trunk.{i}.weight"] = (oc, ic, kernel, kernel)
        expected[f"trunk.{i}.bias"] = (oc,)
        if layer["activation"] == "prelu":
            expected[f"trunk.{i}.slope"] = (oc,)
    heads = _json(metadata, "heads", dict)
    for scale, head in heads.items():
        what = f"metadata heads[{scale!r}]"
        if scale not in map(str, SCALES):
            raise ModelError(f"{what}: the scale is none of {', '.join(map(str, SCALES))}")
        _check_entry(
            what, head, _HEAD_KEYS, {"kind": "deconv2d", "stride": int(scale), "kernel": HEAD_KERNEL}
        )
        channels = layers[-1]["out"] if layers else 1
        expected[f"head.x{scale}.weight"] = (channels, 1, HEAD_KERNEL, HEAD_KERNEL)
        expected[f"head.x{scale}.bias"] = (1,)
    return layers, heads, expected


def _json(metadata: Mapping[str, str], key: str, kind: type) -> Any:
    try:
        value = json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise ModelError(f"metadata {key} is not JSON ({error})") from error
    if not isinstance(value, kind):
        raise ModelError(f"metadata {key} is a JSON {type(value).__name__}, not a {kind.__name__}")
    return value


def _check_entry(what: str, entry: object, keys: set[str], fixed: Mapping[str, object]) -> None:
    if not isinstance(entry, dict) or entry.keys() != keys:
        raise ModelError(f"{what}={entry!r} does not have exactly the keys {', '.join(sorted(keys))}")
    for key, value in fixed.items():
        if type(entry[key]) is not type(value) or entry[key] != value:
            raise ModelError(f"{what}: {key}={entry[key]!r} is not supported, only {value!r}")


def _natural(what: str, entry: Mapping[str, Any], key: str) -> int:
    value = entry[key]
    if type(value) is not int or value < 1:
        raise ModelError(f"{what}: {key}={value!r} is not an integer of at least 1")
    return value


def _check(model: Model) -> None:
    """Everything a model must satisfy, whether it was read from a file or built in memory."""
    if not isinstance(model.name, str) or not model.name:
        raise ModelError(f"name={model.name!r} is not a non-empty string")
    if model.padding not in get_args(Padding):
        raise ModelError(f"padding={model.padding!r} is not supported, only {', '.join(get_args(Padding))}")
    if len(model.layers) < 3:
        raise ModelError(f"an FSRCNN has at least 3 convolutions, not {len(model.layers)}")
    for i, layer in enumerate(model.layers):
        _check_conv2d(f"trunk.{i}", layer)

    d, s, m = model.d, model.s, model.m
    pattern = [(5, 1, d), (1, d, s)] + m * [(3, s, s)] + [(1, s, d)]
    for i, (layer, (kernel, ic, oc)) in enumerate(zip(model.layers, pattern, strict=True)):
        if (layer.kernel, layer.in_channels, layer.out_channels) != (kernel, ic, oc):
            raise ModelError(
                f"tensor 'trunk.{i}.weight' has shape {layer.weight.shape}, "
                f"an FSRCNN({d}, {s}, {m}) has {(oc, ic, kernel, kernel)} there"
            )

    if not model.heads:
        raise ModelError("there is no head, so there is no scale to offer")
    for scale, head in model.heads.items():
        if type(scale) is not int or scale not in SCALES:
            raise ModelError(f"head scale {scale!r} is none of {', '.join(map(str, SCALES))}")
        _check_head(f"head.x{scale}", head, scale, d)


def _check_conv2d(name: str, layer: Conv2d) -> None:
    if layer.activation not in get_args(Activation):
        known = ", ".join(get_args(Activation))
        raise ModelError(f"{name}: activation={layer.activation!r} is not supported, only {known}")
    weight = layer.weight
    _check_tensor(f"{name}.weight", weight, None)
    if (
        weight.ndim != 4
        or 0 in weight.shape
        or weight.shape[2] != weight.shape[3]
        or weight.shape[2] % 2 == 0
    ):
        raise ModelError(
            f"tensor '{name}.weight' has shape {weight.shape}, not (out, in, k, k) with an odd k"
        )
    _check_tensor(f"{name}.bias", layer.bias, weight.shape[:1])
    if (layer.slope is not None) != (layer.activation == "prelu"):
        state = "is missing" if layer.slope is None else "is there"
        raise ModelError(f"tensor '{name}.slope' {state}, and the activation is {layer.activation!r}")
    if layer.slope is not None:
        _check_tensor(f"{name}.slope", layer.slope, weight.shape[:1])


def _check_head(name: str, head: Head, scale: int, channels: int) -> None:
    _check_tensor(f"{name}.weight", head.weight, (channels, 1, HEAD_KERNEL, HEAD_KERNEL))
    _check_tensor(f"{name}.bias", head.bias, (1,))
    for key, value in ("pad", head.pad), ("output_padding", head.output_padding):
        if type(value) is not int or value < 0:
            raise ModelError(f"{name}: {key}={value!r} is not an integer of at least 0")
    if head.output_padding >= scale or HEAD_KERNEL - 2 * head.pad + head.output_padding != scale:
        raise ModelError(
            f"{name}: pad={head.pad} and output_padding={head.output_padding} do not satisfy "
            f"{HEAD_KERNEL} - 2 * pad + output_padding == {scale} with output_padding < {scale}"
        )
    if head.border != "full" and (type(head.border) is not int or head.border < 0):
        raise ModelError(f"{name}: border={head.border!r} is neither 'full' nor an integer of at least 0")


def _check_tensor(name: str, tensor: object, shape: tuple[int, ...] | None) -> None:
    if not isinstance(tensor, np.ndarray) or tensor.dtype != np.float32:
        dtype = tensor.dtype if isinstance(tensor, np.ndarray) else type(tensor).__name__
        raise ModelError(f"tensor {name!r} is {dtype}, not a float32 array")
    if shape is not None and tensor.shape != shape:
        raise ModelError(f"tensor {name!r} has shape {tensor.shape}, not {shape}")
    finite = np.isfinite(tensor)
    if not finite.all():
        raise ModelError(f"tensor {name!r} has a value that is not finite: {tensor[~finite][0]}")
