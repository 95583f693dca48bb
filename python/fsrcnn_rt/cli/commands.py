"""The subcommands: where each is, and what it does in a line of help."""

import os
from difflib import get_close_matches
from typing import NamedTuple


class Command(NamedTuple):
    """A subcommand: a module with ``main(argv)``, which returns the exit code, and ``parser()``."""

    module: str
    help: str


COMMANDS = {
    "video": Command("fsrcnn_rt.cli.video", "upscale video (the word may be left out)"),
    "cluster": Command("fsrcnn_rt.cli.cluster", "upscale pictures or video on many machines, by Ray"),
    "compare": Command("fsrcnn_rt.cli.compare", "make a page with a divider between bicubic and the model"),
    "eval": Command("fsrcnn_rt.cli.eval", "measure PSNR and SSIM on folders of pictures"),
    "bench": Command("fsrcnn_rt.cli.bench", "measure frames per second here"),
    "info": Command("fsrcnn_rt.cli.info", "print what is installed and what this machine offers"),
    "web": Command("fsrcnn_rt.cli.web", "serve a page that upscales in the browser"),
    "convert": Command("fsrcnn_rt.cli.convert", "make a model file of a network in another format"),
    "export": Command("fsrcnn_rt.cli.export", "write a model as an ONNX graph"),
    "train": Command("fsrcnn_rt.cli.train", "train a model by a recipe"),
    "completion": Command("fsrcnn_rt.cli.completion", "print a script for completion in a shell"),
}


def misspelt(name: str) -> str | None:
    """Name the subcommand that an input must have been meant as; None where it is like none, or a file."""
    if name in COMMANDS or not name.isalpha() or os.path.lexists(name):
        return None
    return next(iter(get_close_matches(name, COMMANDS, 1, 0.6)), None)
