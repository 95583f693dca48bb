"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_path(path: Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Give the name of a temporary file beside ``path``; it becomes ``path`` when the block succeeds.

    Leaving the block by an exception (Ctrl-C included) deletes it and leaves whatever ``path`` was.
    ``suffix``: that of the temporary, for those who tell a format by it.
    """
    # Not tempfile: its files are readable by their owner only, and would stay so after the rename.
    temporary = path.with_name(f".{path.name[:64]}.{os.urandom(4).hex()}{suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``, which becomes ``path`` as with :func:`atomic_path`.

    It may be written and read back. ``OSError`` if the folder is missing or cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("x+b") as file:
        yield file
