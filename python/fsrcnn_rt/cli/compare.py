"""``fsrcnn-rt compare``: a page in which a divider moves between bicubic and the model."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from fsrcnn_rt import pictures
from fsrcnn_rt.cli.arguments import ArgumentParser, add_engine_options, check_output, engine_of, tell
from fsrcnn_rt.engine.upscaler import check_scales
from fsrcnn_rt.errors import CommandError
from fsrcnn_rt.evaluation.page import Crop, PictureError, find_sources, read_pair, write_page
from fsrcnn_rt.files import atomic_write
from fsrcnn_rt.model import SCALES


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt compare``; returns 0.

    Raises ``CommandError`` where a picture fails, and then there is no page; ``ValueError`` for wrong usage;
    ``OSError`` for a model that cannot be read and for an output that cannot be written.
    """
    options = parser().parse_args(argv)
    output: Path = options.output
    check_output(output, options.overwrite, options.inputs[0])
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{output}: {output.suffix or 'no suffix'!r} is neither .html nor .htm")
    upscaler = engine_of(options)
    (scale,) = check_scales(options.scale, upscaler.model)
    sources = find_sources(options.inputs, options.hr, options.downscale)
    try:
        with pictures.large_pictures_allowed():
            for source in sources:  # whatever is wrong with one of them is told before the first is upscaled
                read_pair(source, scale, options.crop)
            with atomic_write(output) as file:
                for part in write_page(sources, scale, upscaler, options.crop):
                    file.write(part.encode("utf-8", "replace"))
    except PictureError as error:
        raise CommandError(str(error)) from error
    pictures_ = "1 picture" if len(sources) == 1 else f"{len(sources)} pictures"
    tell(f"{output}: {pictures_}, {output.stat().st_size / 1e6:.1f} MB")
    return 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt compare``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt compare",
        description="Make one HTML page, which needs no network, to compare bicubic and the model by eye.",
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", type=Path, help="picture, or folder of pictures")
    add("-o", "--output", metavar="FILE", type=Path, required=True, help="page to write (.html)")
    truth = parser.add_mutually_exclusive_group().add_argument
    truth(
        "--hr", metavar="PATH", type=Path, help="ground truth: a picture, or a folder with one of each name"
    )
    truth("--downscale", action="store_true", help="INPUT is the ground truth, and made smaller first")
    add(
        "--crop",
        type=_crop,
        metavar="WxH[+X+Y]",
        help="this part of each INPUT only (default place: the middle); a page holds three pictures or four "
        "of each, which browsers do not like much above 50 megapixels",
    )
    add("-s", "--scale", type=int, default=3, metavar="N", complete=SCALES, help="scale (default: 3)")
    add_engine_options(add)
    add("--overwrite", action="store_true", help="replace an output that exists")
    return parser


def _crop(text: str) -> Crop:
    found = re.fullmatch(r"(\d+)x(\d+)(?:\+(\d+)\+(\d+))?", text, re.ASCII)
    if found is None or "0" in (found[1].lstrip("0") or "0", found[2].lstrip("0") or "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 400x300 or a place, 400x300+10+20")
    return Crop(*(None if value is None else int(value) for value in found.groups()))  # type: ignore[arg-type]
