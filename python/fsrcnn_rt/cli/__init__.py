"""The command ``fsrcnn-rt``, which :mod:`fsrcnn_rt.cli.commands` describes."""

from fsrcnn_rt.cli.commands import command, main

__all__ = ["command", "main"]
