"""The oracle's networks as the package's, and back."""

import oracle
from fsrcnn_rt.model import Head, Model, Node


def to_model(net, name="random", colour=None):
    """The oracle's network as the package's."""
    return Model(
        nodes=[Node(*node) for node in net.nodes],
        heads={
            scale: Head(weight, bias, pad, output_padding, "full" if border == -1 else border)
            for scale, (weight, bias, pad, output_padding, border) in net.heads.items()
        },
        padding=net.padding,
        name=name,
        provenance={"recipe": "random weights"},
        colour=colour or {1: "y", 3: "rgb"}[net.planes],
        enlarged=net.enlarged,
        plus_bicubic=net.plus_bicubic,
    )


def to_net(model):
    """The package's network as the oracle's."""
    return oracle.Net(
        [
            (node.weight, node.bias, node.slope, node.groups, tuple(node.source), list(node.adds))
            for node in model.nodes
        ],
        {
            scale: (
                head.weight,
                head.bias,
                head.pad,
                head.output_padding,
                -1 if head.border == "full" else head.border,
            )
            for scale, head in model.heads.items()
        },
        model.padding,
        {"y": 1, "ycbcr": 3, "rgb": 3}[model.colour],
        model.enlarged,
        model.plus_bicubic,
    )
