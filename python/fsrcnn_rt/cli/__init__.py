"""The command ``fsrcnn-rt``, which :mod:`fsrcnn_rt.cli.dispatch` describes."""

from fsrcnn_rt.cli.process import command, main

__all__ = ["command", "main"]
