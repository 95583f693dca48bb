"""Files that appear whole or not at all, and such as can be read at any place."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

# Temporaries of this process that are there, or about to be.
_temporaries: set[Path] = set()
_changing = threading.Lock()


@contextmanager
def atomic_path(path: Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Return the name of a temporary file beside ``path``; it becomes ``path`` when the block succeeds.

    Leaving the block by an exception (Ctrl-C included) deletes it and leaves whatever ``path`` was.
    ``suffix``: that of the temporary, for those who tell a format by it.
    """
    # Not tempfile: its files are readable by their owner only, and would stay so after the rename.
    temporary = path.with_name(f".{path.name[:64]}.{os.urandom(4).hex()}{suffix}")
    with _changing:
        _temporaries.add(temporary)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        _temporaries.discard(temporary)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``, which becomes ``path`` as with :func:`atomic_path`.

    It may be written and read back. ``OSError`` if the folder is missing or cannot be written.
    """
    with atomic_path(path) as temporary:
        with _changing:
            file = temporary.open("x+b")
        with file:
            yield file


def discard_temporaries() -> None:
    """Delete the temporaries of all threads, and let no file be begun any more.

    It is for a process that then ends without waiting for its threads.
    """
    _changing.acquire()  # for good
    for temporary in tuple(_temporaries):
        temporary.unlink(missing_ok=True)


def open_regular(path: Path) -> BufferedReader:
    """Open a file of bytes to read; ``OSError`` for a pipe or a device, which might never answer."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a folder the operating system has its own words
        raise OSError(22, "Not a regular file", str(path))
    return path.open("rb")
