"""The networks that are timed: the shipped ones, or random ones of their shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import fsrcnn_rt
import numpy as np
from fsrcnn_rt.model import SCALES, SHIPPED, Architecture, Model, fsrcnn, idn, srcnn

__all__ = ["NETWORKS", "SCALES", "alone", "random_model", "shipped", "shipped_name"]

NETWORKS: Mapping[str, Architecture] = MappingProxyType(
    {
        "fsrcnn": fsrcnn.architecture(fsrcnn.Shape(56, 12, 4)),
        "fsrcnn-s": fsrcnn.architecture(fsrcnn.Shape(32, 5, 1)),
        "fsrcnn-48-12-2": fsrcnn.architecture(fsrcnn.Shape(48, 12, 2)),
        "state-1": fsrcnn.architecture(fsrcnn.STATE1),
        "state-2": fsrcnn.architecture(fsrcnn.STATE2),
        "srcnn-9-1-5": srcnn.architecture(srcnn.Shape((9, 1, 5))),
        "srcnn-9-5-5": srcnn.architecture(srcnn.Shape((9, 5, 5))),
        "idn": idn.architecture(),
    }
)


def shipped_name(name: str) -> str | None:
    """Under which name a network ships, if it does."""
    other = {"srcnn-9-5-5": "srcnn", "state-1": "state1", "state-2": "state2"}.get(name, name)
    return other if other in SHIPPED else None


def shipped(name: str) -> Model:
    """Load the shipped model; what does not ship, or not with this installation, gets random weights."""
    if file := shipped_name(name):
        try:
            return fsrcnn_rt.load(file)
        except fsrcnn_rt.ModelError:
            pass
    return random_model(NETWORKS[name], f"{name} (random weights)")


def random_model(network: Architecture, name: str) -> Model:
    """Return a network random weights whose activations stay around 1, and the slopes of its family.

    These are PReLUs as in FSRCNN, ReLUs in SRCNN, LeakyReLUs in IDN, for which runtimes have faster ways.
    """
    model = network.with_random_weights(np.random.default_rng(0), name)
    if not (network.enlarged or network.plus_bicubic):
        return model
    slope = 0 if network.enlarged else idn.SLOPE
    return replace(
        model, nodes=[replace(node, slope=np.full_like(node.slope, slope)) for node in model.nodes]
    )


def alone(model: Model) -> Model:
    """Leave of a model what every runtime can do: zeros outside the picture, no bicubic picture to add."""
    return replace(model, padding="zeros", plus_bicubic=False)
