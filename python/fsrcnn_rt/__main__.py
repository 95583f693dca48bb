"""``python -m fsrcnn_rt`` is ``fsrcnn-rt``."""

from fsrcnn_rt.cli import command

command()
