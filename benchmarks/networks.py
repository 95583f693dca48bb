"""The networks that are timed: the shipped ones or random ones of their shape, and as graphs for peers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import fsrcnn_rt
import numpy as np
import numpy.typing as npt
from fsrcnn_rt.convert.network import sub_pixel_convolution
from fsrcnn_rt.model import Head, Model, Node, Padding, fsrcnn

F32: TypeAlias = npt.NDArray[np.float32]
GraphKind = Literal["deconvolution", "sub-pixel"]
GRAPH_KINDS: tuple[GraphKind, ...] = ("deconvolution", "sub-pixel")
SHAPES = {"fsrcnn": (56, 12, 4), "fsrcnn-s": (32, 5, 1)}
SCALES = (2, 3, 4)


@dataclass(frozen=True)
class Graph:
    """A network as a runtime is given it: convolutions that pad with zeros, then one way to enlarge.

    "deconvolution": ``head`` follows the convolutions. "sub-pixel": the last convolution gives ``scale**2``
    channels, which a pixel shuffle turns into the picture; the result is exactly the same.
    """

    kind: GraphKind
    scale: int
    convolutions: tuple[Node, ...]
    head: Head | None


def shipped(name: str) -> Model:
    """Load the shipped model; an installation without it gives random weights of the same shape."""
    try:
        return fsrcnn_rt.load(name)
    except fsrcnn_rt.ModelError:
        return random_model(*SHAPES[name], name=f"{name} (random weights)")


def zero_padded(model: Model) -> Model:
    """Change what lies outside the picture to zeros, which every runtime can do inside its convolutions."""
    return replace(model, padding="zeros")


def random_model(d: int, s: int, m: int, *, name: str, padding: Padding = "replicate") -> Model:
    """Make an FSRCNN(d, s, m) with random weights whose activations stay around 1."""
    network = fsrcnn.architecture(fsrcnn.Shape(d, s, m), SCALES, padding)
    return network.with_random_weights(np.random.default_rng(0), name)


def graph(model: Model, scale: int, kind: GraphKind) -> Graph:
    """Rewrite ``model``, which pads with zeros, for one scale."""
    if model.padding != "zeros":
        raise ValueError(f"padding={model.padding!r} is not 'zeros'")
    head = model.heads[scale]
    if kind == "deconvolution":
        return Graph(kind, scale, tuple(model.nodes), head)
    return Graph(kind, scale, (*model.nodes, sub_pixel_convolution(head, scale)), None)
