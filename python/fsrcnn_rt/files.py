"""Files that appear whole or not at all, such as can be read at any place, and what files are called."""

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from fsrcnn_rt.errors import UsageError, one_line

try:
    import fcntl
except ImportError:  # Windows, where nobody can delete what somebody has open
    fcntl = None  # type: ignore[assignment]

#: As a name, stdin or stdout.
PIPE = "-"

Y4M_SUFFIX = ".y4m"

# Containers that take no codec of ours, or one that their players do not expect; a result becomes Matroska.
LEGACY_SUFFIXES = (".mpg", ".mpeg", ".vob", ".m2v", ".ogv", ".rm", ".rmvb", ".divx", ".dv", ".mxf")
VIDEO_SUFFIXES = (
    *(Y4M_SUFFIX, ".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".ts"),
    *(".mts", ".m2ts", ".m2t", ".flv", ".f4v", ".3gp", ".3g2", ".wmv", ".asf", ".nut"),
    *LEGACY_SUFFIXES,
)

# What a temporary is called: a part of the name of what it becomes, chance, and what no other program writes.
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}\.fsrcnn-rt\.\w+", re.DOTALL)
_SHOWN = 64  # bytes of that name

_ON_WINDOWS, _ON_LINUX = os.name == "nt", sys.platform == "linux"
# What names of Windows may not have in them, and those that are of devices, whatever suffix follows.
_NO_NAME = re.compile(r'[<>:"|?*\x00-\x1f]|[ .]$')
_DEVICE = re.compile(r"(?is)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9¹²³]) *(\..*)?")

# Temporaries of this process that are there, or about to be, and the folders that have been swept.
_temporaries: set[Path] = set()
_swept: set[Path] = set()
# A signal may end the process, and so discard its temporaries, within any line of its main thread.
_changing = threading.RLock()
_SETTLED = 60.0  # seconds since the last write, from which on no process is about to rename a temporary
_LAST_WAIT = 1.0  # seconds for a thread that begins a file then, of a file system that does not answer


def is_video(name: str) -> bool:
    """Whether an input or output of this name is video, and not a picture."""
    return name == PIPE or Path(name).suffix.lower() in VIDEO_SUFFIXES


@contextmanager
def atomic_path(path: Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Make an empty temporary file beside ``path``; it becomes ``path`` when the block succeeds.

    Gives its name. Leaving the block by an exception (Ctrl-C included) deletes it and leaves whatever
    ``path`` was. A process that is killed leaves it, and the next one that writes to this folder deletes it:
    what a running process has is locked. ``suffix``: that of the temporary, for those who tell a format by
    it. ``OSError``, which names ``path``, if the folder is missing or cannot be written.
    """
    # Not tempfile: its files are readable by their owner only, and would stay so after the rename.
    shown = os.fsencode(path.name)[:_SHOWN].decode(errors="ignore")
    temporary = path.with_name(f".{shown}.{os.urandom(4).hex()}.fsrcnn-rt{suffix}")
    try:
        _sweep(path.parent)
        with _held(temporary, path):
            yield temporary
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    finally:
        _temporaries.discard(temporary)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``, which becomes ``path`` as with :func:`atomic_path`.

    It may be written and read back.
    """
    with atomic_path(path) as temporary, temporary.open("r+b") as file:
        yield file


@contextmanager
def copied(stream: BinaryIO) -> Iterator[Path]:
    """Have what a stream holds in a file within the block; it is gone whatever ends the process."""
    if _ON_LINUX:  # it needs no name, and can be opened by its number
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(stream, file)
            file.flush()
            yield Path(f"/dev/fd/{file.fileno()}")
        return
    with _changing:
        descriptor, name = tempfile.mkstemp(prefix="fsrcnn-rt-")
        path = Path(name)
        _temporaries.add(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(stream, file)
        yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        _temporaries.discard(path)


def discard_temporaries() -> None:
    """Delete the temporaries of all threads, and let no file be begun any more.

    It is for a process that then ends without waiting for its threads.
    """
    _changing.acquire(timeout=_LAST_WAIT)  # for good
    for temporary in tuple(_temporaries):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def open_regular(path: Path) -> BufferedReader:
    """Open a file of bytes to read; ``OSError`` for a pipe or a device, which might never answer."""
    check_regular(path)
    return path.open("rb")


def check_regular(path: Path) -> None:
    """``OSError`` for what :func:`open_regular` does not open, and for a file that is not there."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a folder the operating system has its own words
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def is_there(path: Path) -> bool:
    """Whether an output exists already; ``UsageError`` where it could not be written, whatever is asked for.

    A link that leads nowhere is there, too.
    """
    if _ON_WINDOWS:
        _check_name(path)
    if not path.is_symlink():
        _check_length(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return path.is_symlink()
    except OSError as error:
        raise UsageError(f"{path}: {one_line(error)}") from error
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path}: exists already, and is a folder")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path}: exists already, and is a pipe or a device")
    return True


def ignores_case(folder: str) -> bool:
    """Whether names in a folder are the same in upper and lower case, be it there or yet to be made.

    So it is on Windows, mostly on macOS, and on what these have formatted. Asked for are a file in the folder
    and, where there is none, the folder itself by such another name.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (other := entry.name.swapcase()) != entry.name:
                return _is_same(entry.path, os.path.join(folder, other))  # noqa: PTH118
    above, name = os.path.split(folder)
    if not name:  # the root
        return _ON_WINDOWS
    if not os.path.isdir(folder) or name.swapcase() == name:  # noqa: PTH112
        return ignores_case(above)
    return _is_same(folder, os.path.join(above, name.swapcase()))  # noqa: PTH118


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121
    except OSError:
        return False


def _check_name(path: Path) -> None:
    """``UsageError`` where Windows takes a name for something else, or for none."""
    for part in path.relative_to(path.anchor).parts:
        if part == "..":
            continue
        if found := _NO_NAME.search(part):
            raise UsageError(f"{path}: no name on Windows has {found[0]!r} in it there: {part}")
        if _DEVICE.fullmatch(part):
            raise UsageError(f"{path}: {part} is the name of a device on Windows")


def _check_length(path: Path) -> None:
    """``UsageError`` where a name, or that of a folder to be made, is longer than the file system takes."""
    there = next((parent for parent in path.parents if os.path.isdir(parent)), None)  # noqa: PTH112
    if there is None or not hasattr(os, "pathconf"):
        return
    most = os.pathconf(there, "PC_NAME_MAX")
    for part in path.relative_to(there).parts:
        if len(os.fsencode(part)) > most:
            raise UsageError(f"{path}: {part} has more than the {most} bytes that a name may have")


@contextmanager
def _held(temporary: Path, path: Path) -> Iterator[None]:
    """Create a temporary, which becomes ``path`` when the block succeeds.

    Until then it is held so that no other process takes it for one that was left.
    """
    with ExitStack() as held:
        held.callback(os.close, (_created if fcntl is None else _created_and_locked)(temporary, path))
        yield
        if fcntl is None:  # what is open is not renamed there
            held.close()
        _rename(temporary, path)


def _created_and_locked(temporary: Path, path: Path) -> int:
    while True:
        descriptor = _created(temporary, path)
        try:
            if _locked(descriptor, temporary):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # swept in the moment before


def _created(temporary: Path, path: Path) -> int:
    with _changing:
        _temporaries.add(temporary)
        try:
            with suppress(FileNotFoundError):
                path.lstat()  # which fails where the name is too long, and not after all the work
            return os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error


def _rename(temporary: Path, path: Path) -> None:
    try:
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _locked(descriptor: int, path: Path) -> bool:
    """Lock a file; False where it is gone by then. A file system without locks keeps what was left."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    return False


def _sweep(folder: Path) -> None:
    """Delete the temporaries of processes that were killed, once for each folder."""
    with _changing:
        if folder in _swept:
            return
        _swept.add(folder)
    sweep(folder)


def sweep(folder: Path) -> None:
    """Delete the temporaries in a folder of processes that were killed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]:
            with suppress(OSError):  # it is in use, gone by now, or another user's
                _sweep_one(folder / name)


def _sweep_one(path: Path) -> None:
    if fcntl is None:
        if time.time() - path.stat().st_mtime > _SETTLED:  # the moment before it is renamed, it is not open
            path.unlink()
        return
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    finally:
        os.close(descriptor)
