"""``fsrcnn-rt export``: one scale of a model as an ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from fsrcnn_rt.cli.arguments import MODEL_WORDS, ArgumentParser, check_output, tell
from fsrcnn_rt.convert.to_onnx import OPSET, TOLERANCE, Channels, compare, to_onnx
from fsrcnn_rt.errors import CommandError, what_is_missing
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.model import SCALES, load


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt export``; returns 0.

    Raises ``CommandError`` where the graph cannot be made, ``ValueError`` for wrong usage, ``OSError`` for a
    model that cannot be read or an output that cannot be written.
    """
    options = parser().parse_args(argv)
    check_output(options.output, options.overwrite, Path(options.model))
    if options.output.suffix.lower() != ".onnx":
        raise ValueError(f"{options.output}: {options.output.suffix or 'no suffix'!r} is not .onnx")
    model = load(options.model)
    try:
        proto = to_onnx(model, options.scale, subpixel=options.subpixel, channels=options.channels)
    except ModuleNotFoundError as error:
        raise CommandError(what_is_missing(error)) from error
    try:
        difference = compare(proto, model, options.scale)
        comparison = f"differs from the core by {difference:.1e} at most, on a random picture in onnxruntime"
        if not difference <= TOLERANCE:
            raise CommandError(
                f"{options.output} not written: it {comparison}, which is more than {TOLERANCE}"
            )
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        comparison = "not compared with the core: onnxruntime is not installed"
    with atomic_write(options.output) as file:
        file.write(proto.SerializeToString())
    channels = options.channels or ("luma" if model.colour == "y" else "rgb")
    head = "sub-pixel" if options.subpixel else "transposed convolution"
    form = f"{channels}, {'enlarged first' if model.enlarged else head}"
    tell(f"{options.output}: {model.name} x{options.scale}, {form}, opset {OPSET}; {comparison}")
    return 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt export``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt export",
        description="Write one scale of a model as an ONNX graph. Input and output are (N, C, H, W), "
        "float32, 0..1 for full scale; N, H and W are free.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", complete=MODEL_WORDS, help="fsrcnn, fsrcnn-s or a file")
    add("-s", "--scale", type=int, default=3, metavar="N", complete=SCALES, help="scale (default: 3)")
    add(
        "--channels",
        choices=get_args(Channels),
        help="what goes in and comes out: luma alone, or RGB, of a model of luma with bicubic chroma "
        "(default: what the model reads)",
    )
    add(
        "--subpixel",
        action="store_true",
        help="write the head as convolution and pixel shuffle: the same result, faster in most runtimes",
    )
    add("-o", "--output", metavar="FILE", type=Path, required=True, help="file to write (.onnx)")
    add("--overwrite", action="store_true", help="replace an output that exists")
    return parser
