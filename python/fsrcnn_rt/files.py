"""Files that appear whole or not at all."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``; it becomes ``path`` when the block succeeds.

    It may be written and read back. Leaving the block by an exception (Ctrl-C included) deletes it and leaves
    whatever ``path`` was. ``OSError`` if the folder is missing or cannot be written.
    """
    # Not tempfile: its files are readable by their owner only, and would stay so after the rename.
    temporary = path.with_name(f".{path.name[:64]}.{secrets.token_hex(4)}.tmp")
    file = temporary.open("x+b")
    try:
        with file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
