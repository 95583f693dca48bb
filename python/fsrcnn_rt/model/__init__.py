"""Networks as data: what they are, the families that they are of, and the files that hold them."""

from fsrcnn_rt.model.file import NETWORKS, OTHERS, SHIPPED, VARIANTS, find, load, save_model
from fsrcnn_rt.model.network import (
    SCALES,
    Architecture,
    Array,
    Channels,
    Colour,
    Head,
    HeadShape,
    Model,
    Node,
    NodeShape,
    Padding,
    chain,
)

__all__ = [
    "NETWORKS",
    "OTHERS",
    "SCALES",
    "SHIPPED",
    "VARIANTS",
    "Architecture",
    "Array",
    "Channels",
    "Colour",
    "Head",
    "HeadShape",
    "Model",
    "Node",
    "NodeShape",
    "Padding",
    "chain",
    "find",
    "load",
    "save_model",
]
