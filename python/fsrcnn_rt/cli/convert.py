"""``fsrcnn-rt convert``: a model file of a network in another format."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fsrcnn_rt.cli.arguments import ArgumentParser, check_output, tell
from fsrcnn_rt.convert import SUFFIXES, convert
from fsrcnn_rt.errors import CommandError, ModelError, one_line, what_is_missing
from fsrcnn_rt.model import SCALES, save_model


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt convert``; returns 0.

    Raises ``CommandError`` for a file that cannot be converted, ``ValueError`` for wrong usage,
    ``OSError`` where the output cannot be written.
    """
    options = parser().parse_args(argv)
    check_output(options.output, options.overwrite, options.input)
    try:
        model = convert(
            options.input,
            scale=options.scale,
            padding=options.padding,
            pad=options.pad,
            output_padding=options.output_padding,
            border=options.border,
            colour=options.colour,
            name=options.name or options.output.stem,
        )
    except ModelError as error:
        raise CommandError(one_line(error)) from error
    except OSError as error:
        raise CommandError(f"{options.input}: {one_line(error)}") from error
    except ModuleNotFoundError as error:
        raise CommandError(f"{options.input}: {what_is_missing(error)}") from error
    save_model(model, options.output)
    scale = model.scales[0]
    tell(f"{options.output}: {model.family}, x{scale}, padding {model.padding}")
    return 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt convert``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt convert",
        description="Make a model file of a network of the authors (.mat, .caffemodel), of PyTorch (.pth) or "
        "of ONNX (.onnx).",
    )
    add = parser.add_argument
    add("input", metavar="IN", type=Path, help=f"file to convert: {', '.join(SUFFIXES)}")
    add("-o", "--output", metavar="FILE", type=Path, required=True, help="model file to write (.safetensors)")
    add("-s", "--scale", type=int, choices=SCALES, help="default: what the file says, else its name")
    add("--name", metavar="NAME", help="of the model (default: as the output)")
    add("--overwrite", action="store_true", help="replace an output that exists")
    group = parser.add_argument_group("where the file is silent or wrong")
    add = group.add_argument
    add("--padding", choices=("zeros", "replicate"), help="what convolutions see outside the picture")
    add("--pad", type=int, metavar="N", help="pixels that the head cuts off its output at the top and left")
    add("--output-padding", type=int, metavar="N", help="as of PyTorch's ConvTranspose2d")
    add("--border", type=_border, metavar="full|N", help="pixels of repeated edge around the head's input")
    add("--colour", choices=("ycbcr", "rgb"), help="what three channels are")
    return parser


def _border(text: str) -> int | Literal["full"]:
    if text == "full":
        return "full"
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'full' nor an integer") from None
