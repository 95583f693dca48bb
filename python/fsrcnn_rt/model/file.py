"""The model file: safetensors with float32 tensors, and the network in its metadata. See docs/model-file.md.

Version 2, which is written, holds any :class:`~fsrcnn_rt.model.Architecture`. Version 1, in which the shipped
FSRCNNs are, goes on being read.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Set
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from fsrcnn_rt.errors import ModelError, brief
from fsrcnn_rt.files import atomic_write, open_regular
from fsrcnn_rt.model import fsrcnn
from fsrcnn_rt.model.network import (
    MAX_NODES,
    SCALES,
    Architecture,
    Array,
    Channels,
    HeadShape,
    Model,
    NodeShape,
    chain,
)

#: Shipped networks that have weights for clean photographs under their own name, and those of VARIANTS.
NETWORKS = ("fsrcnn", "fsrcnn-s")
VARIANTS = ("graphics", "denoise1", "denoise2", "denoise3")
#: Other networks of the papers, for clean photographs alone.
OTHERS = ("idn", "srcnn", "state1", "state2")
SHIPPED = (*(f"{name}{rest}" for name in NETWORKS for rest in ("", *(f"-{v}" for v in VARIANTS))), *OTHERS)

# Characters of JSON under one key. A network of MAX_NODES takes 30,000; what is longer is not even parsed.
MAX_METADATA = 1 << 20
# Bytes of the header, in which the names of the tensors and all JSON are.
MAX_HEADER = 1 << 23
MAX_DEPTH = 64  # of JSON; a provenance is nested five deep, and programs that walk through it are limited

# What the versions leave no choice about.
_FIXED = {
    "1": {
        "format_version": "1",
        "architecture": "fsrcnn",
        "in_channels": "1",
        "pre_upscale": "none",
        "residual": "none",
        "luma": "bt601-limited",
    },
    "2": {"format_version": "2", "luma": "bt601-limited"},
}
_KEYS = {"1": {"name", "padding", "layers", "heads", "provenance"}, "2": {"name", "network", "provenance"}}


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

    The file appears whole or not at all; ``OSError`` if it cannot be written, :class:`ModelError` for a
    provenance of more than a million characters.
    """
    from safetensors.numpy import save

    network = model.architecture
    described = {
        "padding": network.padding,
        "colour": network.colour,
        "enlarged": network.enlarged,
        "plus_bicubic": network.plus_bicubic,
        "nodes": [node._asdict() for node in network.nodes],
        "heads": {str(scale): head._asdict() for scale, head in network.heads.items()},
    }
    metadata = _FIXED["2"] | {
        "name": model.name,
        "network": json.dumps(described),
        "provenance": json.dumps(dict(model.provenance), ensure_ascii=False),
    }
    _json(metadata, "provenance", dict)  # what could not be read back is not written
    # safetensors writes the memory as it lies, whatever the strides say.
    data = save({name: np.ascontiguousarray(tensor) for name, tensor in model.tensors.items()}, metadata)
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

    with open_regular(path) as opened:  # folders and permissions: the operating system's own words
        length = int.from_bytes(opened.read(8), "little")
    if length > MAX_HEADER and path.stat().st_size > MAX_HEADER:  # else safetensors knows what is wrong
        raise ModelError(f"has a header of {length} bytes, more than {MAX_HEADER}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            version = metadata.get("format_version", "2")
            if version not in _FIXED:
                raise ModelError(
                    f"metadata format_version={brief(version)} is not supported, only '1' and '2'"
                )
            _check_keys("metadata key", metadata.keys(), _FIXED[version].keys() | _KEYS[version])
            for key, value in _FIXED[version].items():
                if metadata[key] != value:
                    raise ModelError(
                        f"metadata {key}={brief(metadata[key])} is not supported, only {value!r}"
                    )
            provenance = _json(metadata, "provenance", dict)
            if version == "1":
                network, names = _version1(metadata)
            else:
                network = _network(_json(metadata, "network", dict))
                names = {name: name for name in network.tensors}
            shapes = {names[name]: shape for name, shape in network.tensors.items() if name in names}
            _check_keys("tensor", set(file.keys()), shapes.keys())
            for name, shape in shapes.items():
                tensor = file.get_slice(name)
                if tensor.get_dtype() != "F32":
                    raise ModelError(f"tensor {name!r} has dtype {tensor.get_dtype()}, not F32")
                if tuple(tensor.get_shape()) != shape:
                    raise ModelError(
                        f"tensor {name!r} has shape {brief(tuple(tensor.get_shape()))}, not {shape}"
                    )
            tensors: dict[str, Array] = {name: file.get_tensor(names[name]) for name in names}
    except SafetensorError as error:
        raise ModelError(f"is not a safetensors file, or a damaged one ({error})") from error
    if version == "1":
        tensors |= _slopes_left_out(metadata)
    for tensor in tensors.values():
        tensor.flags.writeable = False
    return network.with_weights(tensors, metadata["name"], provenance)


def _check_keys(what: str, found: Set[str], expected: Set[str]) -> None:
    for problem, differing in ("missing", expected - found), ("unknown", found - expected):
        if differing:
            raise ModelError(f"{what} {brief(min(differing))} is {problem}")


def _json(metadata: Mapping[str, str], key: str, kind: type) -> Any:
    if len(metadata[key]) > MAX_METADATA:
        raise ModelError(f"metadata {key} has {len(metadata[key])} characters, more than {MAX_METADATA}")
    if _depth(metadata[key]) > MAX_DEPTH:
        raise ModelError(f"metadata {key} is nested {_depth(metadata[key])} deep, more than {MAX_DEPTH}")
    try:
        value = json.loads(metadata[key])
        json.dumps(value, ensure_ascii=False).encode()  # which half a character is not
    except ValueError as error:
        raise ModelError(f"metadata {key} is not JSON ({error})") from error
    if not isinstance(value, kind):
        raise ModelError(f"metadata {key} is a JSON {type(value).__name__}, not a {kind.__name__}")
    return value


def _depth(text: str) -> int:
    """How deep the lists and objects of a JSON text are nested, be they closed or not."""
    brackets = re.sub(r'"(?:[^"\\]|\\.)*"|[^][{}]', "", text)
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)


def _entry(what: str, entry: object, keys: Iterable[str], **fixed: object) -> dict[str, Any]:
    """Return a JSON object that has exactly these keys, and the values that are fixed."""
    if not isinstance(entry, dict) or entry.keys() != set(keys):
        raise ModelError(f"{what}={brief(entry)} does not have exactly the keys {', '.join(sorted(keys))}")
    for key, value in fixed.items():
        if type(entry[key]) is not type(value) or entry[key] != value:
            raise ModelError(f"{what}: {key}={brief(entry[key])} is not supported, only {value!r}")
    return entry


# Version 2

_NETWORK_KEYS = ("padding", "colour", "enlarged", "plus_bicubic", "nodes", "heads")


def _network(described: object) -> Architecture:
    network = _entry("metadata network", described, _NETWORK_KEYS)
    nodes, heads = network["nodes"], network["heads"]
    if not isinstance(nodes, list) or not isinstance(heads, dict):
        raise ModelError("metadata network: nodes and heads are not a JSON list and object")
    return Architecture(
        tuple(_node(f"node.{i}", node) for i, node in enumerate(nodes)),
        {_scale(key): _head(key, head, HeadShape._fields) for key, head in heads.items()},
        *(network[key] for key in _NETWORK_KEYS[:4]),
    )


def _node(name: str, described: object) -> NodeShape:
    node = _entry(name, described, NodeShape._fields)
    parts = [node["source"], *(node["adds"] if isinstance(node["adds"], list) else [None])]
    for part in parts:
        if not isinstance(part, list) or len(part) != 3:
            raise ModelError(f"{name}: {brief(part)} is not [result, first channel, count of channels]")
    source, *adds = (Channels(*part) for part in parts)
    return NodeShape(node["out"], node["kernel"], node["groups"], source, tuple(adds))


def _scale(key: str) -> int:
    if key not in map(str, SCALES):
        raise ModelError(f"heads[{brief(key)}]: the scale is none of {', '.join(map(str, SCALES))}")
    return int(key)


def _head(key: str, described: object, keys: Iterable[str], **fixed: object) -> HeadShape:
    head = _entry(f"heads[{brief(key)}]", described, keys, **fixed)
    return HeadShape(*(head[field] for field in HeadShape._fields))


# Version 1: an FSRCNN as a list of layers, whose slopes stand only where the activation is a PReLU

_SLOPES = {"relu": 0.0, "none": 1.0}  # of activations without a tensor
_LAYER_KEYS = {"kind", "in", "out", "kernel", "groups", "activation"}
_HEAD_KEYS = {"kind", "stride", "kernel", "pad", "output_padding", "border"}


def _version1(metadata: Mapping[str, str]) -> tuple[Architecture, dict[str, str]]:
    """Return the network, and how its tensors are called in the file."""
    layers = _json(metadata, "layers", list)
    if not 3 <= len(layers) <= MAX_NODES:
        raise ModelError(f"an FSRCNN has at least 3 convolutions, not {len(layers)}")
    channels = 1
    names: dict[str, str] = {}
    for i, layer in enumerate(layers):
        what = f"metadata layers[{i}]"
        _entry(what, layer, _LAYER_KEYS, kind="conv2d", groups=1, **{"in": channels})
        if type(layer["out"]) is not int:
            raise ModelError(f"{what}: out={brief(layer['out'])} is not an integer")
        if layer["activation"] not in ("prelu", *_SLOPES):
            raise ModelError(f"{what}: activation={brief(layer['activation'])} is not prelu, relu or none")
        channels = layer["out"]
        parts = ("weight", "bias", "slope") if layer["activation"] == "prelu" else ("weight", "bias")
        names |= {f"node.{i}.{part}": f"trunk.{i}.{part}" for part in parts}
    heads = {}
    for key, head in _json(metadata, "heads", dict).items():
        scale = _scale(key)
        heads[scale] = _head(key, head, _HEAD_KEYS, kind="deconv2d", stride=scale, kernel=fsrcnn.HEAD_KERNEL)
        names |= {f"head.x{scale}.{part}": f"head.x{scale}.{part}" for part in ("weight", "bias")}
    padding: Any = metadata["padding"]
    network = Architecture(chain((layer["out"], layer["kernel"]) for layer in layers), heads, padding)
    shape = fsrcnn.shape_of(network)
    if not isinstance(shape, fsrcnn.Shape) or shape.first != fsrcnn.FIRST_KERNEL:
        shapes = [node.weight for node in network.nodes]
        raise ModelError(f"metadata layers are not those of an FSRCNN, but have the shapes {shapes}")
    return network, names


def _slopes_left_out(metadata: Mapping[str, str]) -> dict[str, Array]:
    return {
        f"node.{i}.slope": np.full(layer["out"], _SLOPES[layer["activation"]], np.float32)
        for i, layer in enumerate(_json(metadata, "layers", list))
        if layer["activation"] in _SLOPES
    }
