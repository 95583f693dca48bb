"""Models as ONNX graphs for other runtimes, and ``fsrcnn-rt export``: the extra ``convert``.

Importing this needs neither onnx nor onnxruntime.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.api import Upscaler
from fsrcnn_rt.arguments import ArgumentParser, check_output, what_is_missing
from fsrcnn_rt.convert.network import head_reach
from fsrcnn_rt.errors import ScaleError
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.model import HEAD_KERNEL, Model, load

if TYPE_CHECKING:
    import onnx  # type: ignore[import-not-found, unused-ignore]

__all__ = ["compare", "main", "to_onnx"]

OPSET = 17
IR_VERSION = 8  # of the same time as the opset: runtimes refuse files from their future
TOLERANCE = 1e-5  # of full scale, or of the largest output where that is larger


def to_onnx(model: Model, scale: int) -> onnx.ModelProto:
    """Write one scale of ``model`` as a graph.

    "luma" (N, 1, H, W) goes in, "upscaled" (N, 1, scale * H, scale * W) comes out; both are float32 with 0..1
    for full scale, not clipped, and N, H and W are free. The initialisers have the names of the model file's
    tensors. Name and provenance go along as metadata.

    Raises :class:`~fsrcnn_rt.ScaleError` for a scale that the model does not have, ``ModuleNotFoundError``
    without the package onnx.
    """
    import onnx
    from onnx import TensorProto, helper

    if scale not in model.heads:
        offered = ", ".join(map(str, model.scales))
        raise ScaleError(f"scale={scale} is not offered by model {model.name!r}, only {offered}")
    chain = _Chain()
    for i, layer in enumerate(model.layers):
        name, reach = f"trunk.{i}", layer.kernel // 2
        if model.padding == "replicate":
            chain.repeat_edge(f"{name}.pad", reach)
        pads = 4 * [reach if model.padding == "zeros" else 0]
        weights = {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
        chain.add("Conv", name, weights, kernel_shape=2 * [layer.kernel], pads=pads)
        if layer.slope is not None:
            chain.add("PRelu", f"{name}.prelu", {f"{name}.slope": layer.slope[:, None, None]})
        elif layer.activation == "relu":
            chain.add("Relu", f"{name}.relu")
    head, name = model.heads[scale], f"head.x{scale}"
    border = 0
    if model.padding == "replicate":
        reach = head_reach(HEAD_KERNEL, head.pad, scale)
        border = reach if head.border == "full" else min(head.border, reach)
        chain.repeat_edge(f"{name}.pad", border)
    chain.add(
        "ConvTranspose",
        name,
        {f"{name}.weight": head.weight, f"{name}.bias": head.bias},
        output="upscaled",
        kernel_shape=2 * [HEAD_KERNEL],
        strides=2 * [scale],
        # Every pixel of border makes the output larger by scale pixels, which are cut off again here.
        pads=4 * [head.pad + scale * border],
        output_padding=2 * [head.output_padding],
    )

    def picture(name: str, times: str) -> onnx.ValueInfoProto:
        size: list[str | int | None] = ["batch", 1, f"{times}height", f"{times}width"]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, size)

    ends = [picture("luma", "")], [picture("upscaled", f"{scale}*")]
    proto = helper.make_model(
        helper.make_graph(chain.nodes, f"{model.name} x{scale}", *ends, chain.constants),
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
    luma = np.random.default_rng(0).random((23, 30), np.float32)
    theirs = session.run(["upscaled"], {"luma": luma[None, None]})[0][0, 0]
    ours = Upscaler(model, guard=False, threads=1).upscale(luma, scale)
    return float(np.abs(theirs - ours).max() / max(1, np.abs(ours).max()))


class _Chain:
    """Nodes one after another, from "luma" on."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._newest = "luma"

    def add(
        self,
        kind: str,
        name: str,
        constants: Mapping[str, npt.NDArray[Any]] = MappingProxyType({}),
        output: str | None = None,
        **attributes: Any,
    ) -> None:
        """Append a node that reads the newest tensor and ``constants``, and gives ``output`` or ``name``."""
        from onnx import helper, numpy_helper

        self.constants += [numpy_helper.from_array(array, key) for key, array in constants.items()]
        inputs = [self._newest, *constants]
        self._newest = output or name
        self.nodes.append(helper.make_node(kind, inputs, [self._newest], name, **attributes))

    def repeat_edge(self, name: str, pixels: int) -> None:
        """Append a padding of height and width, if there is something to pad."""
        if pixels:
            pads = np.array(2 * [0, 0, pixels, pixels], np.int64)
            self.add("Pad", name, {f"{name}.pads": pads}, mode="edge")


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt export``; returns 0, or 1 where the graph could not be made.

    Raises ``ValueError`` for wrong usage, ``OSError`` for a model that cannot be read or an output that
    cannot be written.
    """
    options = _parser().parse_args(argv)
    check_output(options.output, options.overwrite, Path(options.model))
    if options.output.suffix.lower() != ".onnx":
        raise ValueError(f"{options.output}: {options.output.suffix or 'no suffix'!r} is not .onnx")
    model = load(options.model)
    try:
        proto = to_onnx(model, options.scale)
    except ModuleNotFoundError as error:
        return _fail(what_is_missing(error))
    try:
        difference = compare(proto, model, options.scale)
        told = f"differs from the core by {difference:.1e} at most, on a random picture in onnxruntime"
        if not difference <= TOLERANCE:
            return _fail(f"{options.output} not written: it {told}, which is more than {TOLERANCE}")
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        told = "not compared with the core: onnxruntime is not installed"
    with atomic_write(options.output) as file:
        file.write(proto.SerializeToString())
    print(f"{options.output}: {model.name} x{options.scale}, opset {OPSET}; {told}")
    return 0


def _fail(message: str) -> int:
    print(f"fsrcnn-rt: export: {message}", file=sys.stderr)
    return 1


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="fsrcnn-rt export",
        description="Write one scale of a model as an ONNX graph: luma (N, 1, H, W), 0..1, float32.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="fsrcnn, fsrcnn-s or a file")
    add("-s", "--scale", type=int, default=3, metavar="N", help="scale (default: 3)")
    add("-o", "--output", metavar="FILE", type=Path, required=True, help="file to write (.onnx)")
    add("--overwrite", action="store_true", help="replace an output that exists")
    return parser
