"""Models as ONNX graphs for other runtimes: the extra ``export``.

Importing this needs neither onnx nor onnxruntime.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.convert.bicubic import TO_YCBCR, YCBCR_OFFSET, bicubic_phases
from fsrcnn_rt.convert.network import sub_pixel_convolution
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.errors import ScaleError
from fsrcnn_rt.model import Channels as Range
from fsrcnn_rt.model import Model
from fsrcnn_rt.model.network import BICUBIC_REACH, head_reach

if TYPE_CHECKING:
    import onnx  # type: ignore[import-not-found, unused-ignore]

__all__ = ["OPSET", "TOLERANCE", "Channels", "compare", "to_onnx"]

Channels = Literal["luma", "rgb"]
_F64 = npt.NDArray[np.float64]

OPSET = 17
IR_VERSION = 8  # of the same time as the opset: runtimes refuse files from their future
TOLERANCE = 1e-5  # of full scale, or of the largest output where that is larger


def to_onnx(
    model: Model, scale: int, *, subpixel: bool = False, channels: Channels | None = None
) -> onnx.ModelProto:
    """Write one scale of ``model`` as a graph.

    ``channels``: "luma" or "rgb", which is also the name of the input; default what the model reads. With
    "luma", (N, 1, H, W) goes in and "upscaled" (N, 1, scale * H, scale * W) comes out. With "rgb", both have
    3 channels; of a model of luma, BT.601 luma goes through the network and chroma through the bicubic
    filter, as by ``Upscaler(colour="bicubic")``. All are float32 with 0..1 for full scale, not clipped and
    without a guard, and N, H and W are free.

    ``subpixel``: the head is a convolution and a pixel shuffle (DepthToSpace) that compute the same. OpenVINO
    and OpenCV are several times faster at these than at a transposed convolution; ONNX Runtime is not.

    The initialisers of the network have the names of the model file's tensors, those of a sub-pixel head
    "head.x<scale>.subpixel" before them. Name and provenance go along as metadata.

    Raises :class:`~fsrcnn_rt.ScaleError` for a scale that the model does not have, ``ValueError`` for
    channels that it has not, and for ``subpixel`` of one that reads an enlarged picture and so has no head to
    write otherwise; ``ModuleNotFoundError`` without the package onnx.
    """
    import onnx
    from onnx import TensorProto, helper

    if scale not in model.heads:
        offered = ", ".join(map(str, model.scales))
        raise ScaleError(f"scale={scale} is not offered by model {model.name!r}, only {offered}")
    channels = channels or ("luma" if model.colour == "y" else "rgb")
    if channels not in get_args(Channels):
        raise ValueError(f"channels={channels!r} is neither 'luma' nor 'rgb'")
    if channels == "luma" and model.colour != "y":
        raise ValueError(f"channels='luma' is not what model {model.name!r} reads, only 'rgb'")
    if subpixel and model.enlarged:
        raise ValueError(f"subpixel=True is not for model {model.name!r}, which reads an enlarged picture")
    graph = _Graph(channels)
    if channels == "rgb" and model.colour == "y":
        graph.add("Conv", "rgb_to_luma", _pointwise("rgb_to_luma", TO_YCBCR[:1], YCBCR_OFFSET[:1]))
    elif model.colour == "ycbcr":
        graph.add("Conv", "rgb_to_ycbcr", _pointwise("rgb_to_ycbcr", TO_YCBCR, YCBCR_OFFSET))
    picture_in = graph.newest
    if model.enlarged:
        _enlarge(graph, "bicubic", picture_in, model.planes, scale)
    _add_nodes(graph, model)
    if model.enlarged:
        _convolve(graph, f"head.x{scale}", model, model.heads[scale].weight, model.heads[scale].bias)
    else:
        (_add_subpixel_head if subpixel else _add_head)(graph, model, scale)
    if model.plus_bicubic:
        made = graph.newest
        _enlarge(graph, "bicubic", picture_in, 1, scale)
        graph.add("Add", "plus_bicubic", sources=[made, graph.newest])
    if channels == "rgb" and model.colour == "y":
        _add_chroma(graph, scale)
    elif model.colour == "ycbcr":
        _add_rgb(graph)
    graph.nodes[-1].output[0] = "upscaled"

    def picture(name: str, times: str) -> onnx.ValueInfoProto:
        count = 1 if channels == "luma" else 3
        size: list[str | int | None] = ["batch", count, f"{times}height", f"{times}width"]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, size)

    ends = [picture(channels, "")], [picture("upscaled", f"{scale}*")]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, f"{model.name} x{scale}", *ends, graph.constants),
        producer_name="fsrcnn-rt",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    told = {"name": model.name, "provenance": json.dumps(dict(model.provenance), ensure_ascii=False)}
    helper.set_model_props(proto, told)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def compare(proto: onnx.ModelProto, model: Model, scale: int) -> float:
    """Run a random picture through the graph, in onnxruntime, and through the core; tell how far they differ.

    The result is the largest difference, with 1 for the larger of full scale and the largest output. Raises
    ``ModuleNotFoundError`` without the package onnxruntime.
    """
    import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    entry = session.get_inputs()[0]
    image = np.random.default_rng(0).random((23, 30, entry.shape[1]), np.float32)
    theirs = session.run(["upscaled"], {entry.name: image.transpose(2, 0, 1)[None]})[0][0].transpose(1, 2, 0)
    upscaler = Upscaler(model, colour="bicubic", guard=False, precision="float32", threads=1)
    ours = upscaler.upscale(image, scale)
    return float(np.abs(theirs - ours).max() / max(1, np.abs(ours).max()))


class _Graph:
    """Nodes, each of which reads the one before it if nothing else is said; the first reads the input."""

    def __init__(self, picture: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.newest = picture

    def add(
        self,
        kind: str,
        name: str,
        constants: Mapping[str, npt.NDArray[Any]] = MappingProxyType({}),
        sources: Sequence[str] | None = None,
        **attributes: Any,
    ) -> None:
        """Append a node that reads ``sources``, default the newest tensor, and ``constants``."""
        from onnx import helper, numpy_helper

        self.constants += [numpy_helper.from_array(array, key) for key, array in constants.items()]
        inputs = [*(sources or [self.newest]), *constants]
        self.newest = name
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))

    def repeat_edge(self, name: str, pixels: int) -> None:
        """Append a padding of height and width, if there is something to pad."""
        if pixels:
            pads = np.array(2 * [0, 0, pixels, pixels], np.int64)
            self.add("Pad", name, {f"{name}.pads": pads}, mode="edge")

    def mirror_edge(self, name: str) -> None:
        """Append a padding of height and width by two pixels that mirrors the picture, its edge included.

        Pad has no such mode. The next pixel is the edge once more; the one after that is then the third from
        the end, in a picture of a single pixel, too.
        """
        self.repeat_edge(f"{name}.edge", 1)
        for axis, lines in ((2, "rows"), (3, "columns")):
            whole = self.newest
            first = self.take(f"{name}.first_{lines}", whole, axis, 2, 3)
            last = self.take(f"{name}.last_{lines}", whole, axis, -3, -2)
            self.add("Concat", f"{name}.{lines}", sources=[first, whole, last], axis=axis)

    def take(self, name: str, source: str, axis: int, start: int, end: int) -> str:
        """Append a range along an axis, and give its name."""
        values = {"starts": start, "ends": end, "axes": axis}
        constants = {f"{name}.{key}": np.array([value], np.int64) for key, value in values.items()}
        self.add("Slice", name, constants, [source])
        return name


def _add_nodes(graph: _Graph, model: Model) -> None:
    results = [graph.newest]
    for i, node in enumerate(model.nodes):
        name = f"node.{i}"
        counts = [model.planes, *(made.out_channels for made in model.nodes[:i])]
        graph.newest = _range(graph, f"{name}.source", node.source, results, counts)
        _convolve(graph, name, model, node.weight, node.bias, node.groups)
        activation = node.activation
        if activation == "relu":
            graph.add("Relu", f"{name}.relu")
        elif activation == "leaky":
            graph.add("LeakyRelu", f"{name}.leaky", alpha=float(node.slope[0]))
        elif activation == "prelu":
            graph.add("PRelu", f"{name}.prelu", {f"{name}.slope": node.slope[:, None, None]})
        if node.adds:
            made = graph.newest
            parts = [
                _range(graph, f"{name}.add{j}", part, results, counts) for j, part in enumerate(node.adds)
            ]
            if len(parts) > 1:
                graph.add("Concat", f"{name}.adds", sources=parts, axis=1)
                parts = [graph.newest]
            graph.add("Add", f"{name}.sum", sources=[made, *parts])
        results.append(graph.newest)


def _range(graph: _Graph, name: str, part: Range, results: Sequence[str], counts: Sequence[int]) -> str:
    """Name a range of channels, which is a node of its own unless it is all of a result."""
    if part == (part.of, 0, counts[part.of]):
        return results[part.of]
    return graph.take(name, results[part.of], 1, part.first, part.first + part.count)


def _convolve(
    graph: _Graph,
    name: str,
    model: Model,
    weight: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    groups: int = 1,
) -> None:
    """Append a convolution of the newest tensor, which the model's padding surrounds."""
    kernel = weight.shape[2]
    if model.padding == "replicate":
        graph.repeat_edge(f"{name}.pad", kernel // 2)
    pads = 4 * [kernel // 2 if model.padding == "zeros" else 0]
    weights = {f"{name}.weight": weight, f"{name}.bias": bias}
    graph.add("Conv", name, weights, kernel_shape=2 * [kernel], pads=pads, group=groups)


def _add_head(graph: _Graph, model: Model, scale: int) -> None:
    head, name = model.heads[scale], f"head.x{scale}"
    border = _repeated(model, scale)
    graph.repeat_edge(f"{name}.pad", border)
    begin = head.pad + scale * border
    graph.add(
        "ConvTranspose",
        name,
        {f"{name}.weight": head.weight, f"{name}.bias": head.bias},
        kernel_shape=2 * [head.kernel],
        strides=2 * [scale],
        # Every pixel of border makes the output larger by scale pixels, which are cut off again here. So is
        # what a negative output padding stands for, which ONNX has not.
        pads=2 * [begin] + 2 * [begin - min(0, head.output_padding)],
        output_padding=2 * [max(0, head.output_padding)],
    )


def _add_subpixel_head(graph: _Graph, model: Model, scale: int) -> None:
    conv, name = sub_pixel_convolution(model.heads[scale], scale), f"head.x{scale}.subpixel"
    border = _repeated(model, scale)
    graph.repeat_edge(f"{name}.pad", border)
    weights = {f"{name}.weight": conv.weight, f"{name}.bias": conv.bias}
    pads = 4 * [conv.kernel // 2 - border]  # zeros beyond the repeated edge
    graph.add("Conv", name, weights, kernel_shape=2 * [conv.kernel], pads=pads)
    graph.add("DepthToSpace", f"{name}.shuffle", blocksize=scale, mode="CRD")


def _repeated(model: Model, scale: int) -> int:
    """Pixels by which the edge of the head's input is repeated."""
    if model.padding == "zeros":
        return 0
    head = model.heads[scale]
    reach = head_reach(head.kernel, head.pad, scale)
    return reach if head.border == "full" else min(head.border, reach)


def _enlarge(graph: _Graph, name: str, source: str, planes: int, scale: int, *, mirror: bool = True) -> None:
    """Append the bicubic filter: not every runtime has a cubic Resize with this kernel.

    That of ONNX Runtime is slower and less exact than a convolution and a pixel shuffle. ``mirror``: at the
    edges, as MATLAB does; else they are repeated.
    """
    graph.newest = source
    if mirror:
        graph.mirror_edge(f"{name}.pad")
    else:
        graph.repeat_edge(f"{name}.pad", BICUBIC_REACH)
    weights = {f"{name}.weight": np.tile(bicubic_phases(scale), (planes, 1, 1, 1))}
    graph.add("Conv", name, weights, kernel_shape=2 * [2 * BICUBIC_REACH + 1], group=planes)
    graph.add("DepthToSpace", f"{name}.shuffle", blocksize=scale, mode="CRD")


def _add_chroma(graph: _Graph, scale: int) -> None:
    """Append chroma of the input "rgb" by the bicubic filter, and with the newest tensor as luma RGB."""
    luma = graph.newest
    weights = _pointwise("rgb_to_chroma", TO_YCBCR[1:], YCBCR_OFFSET[1:])
    graph.add("Conv", "rgb_to_chroma", weights, ["rgb"])
    _enlarge(graph, "chroma", graph.newest, 2, scale, mirror=False)
    graph.add("Concat", "ycbcr", sources=[luma, graph.newest], axis=1)
    _add_rgb(graph)


def _add_rgb(graph: _Graph) -> None:
    """Append the way back from Y'CbCr."""
    inverse = np.linalg.inv(TO_YCBCR).astype(np.float64)
    graph.add("Conv", "ycbcr_to_rgb", _pointwise("ycbcr_to_rgb", inverse, -inverse @ YCBCR_OFFSET))


def _pointwise(name: str, matrix: _F64, offset: _F64) -> dict[str, npt.NDArray[np.float32]]:
    """Weight and bias of a 1x1 convolution."""
    weight, bias = matrix[:, :, None, None].astype(np.float32), offset.astype(np.float32)
    return {f"{name}.weight": weight, f"{name}.bias": bias}
