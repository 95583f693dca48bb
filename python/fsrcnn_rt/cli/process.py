"""The command as a process of its own: what signals do to it, from before its large imports to its end."""

import atexit
import io
import os
import signal
import sys
import time
from _thread import start_new_thread
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

# What asks a process to end; not all systems have all.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]

#: What ``main`` returns where the last words have been said.
INTERRUPTED = 130

# How long last words may take, in seconds.
_PATIENCE = 2.0
# From then on a second signal is that of someone who does not want to wait: ``timeout`` sends two at once.
_AGAIN = 0.5

_received: int | None = None  # the signal that ends this process
_received_at = 0.0
_has_last_words = False
_patience = _PATIENCE
_is_noted = False
_MESSAGE = b"fsrcnn-rt: interrupted\n"
_console: object = None  # what Windows calls; it is gone with the last reference


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fsrcnn-rt`` with ``argv`` (default: the command line) and return its exit code."""
    from fsrcnn_rt.cli.dispatch import main

    return main(argv)


def command() -> NoReturn:
    """Run ``fsrcnn-rt`` as a process of its own, which SIGINT (Ctrl-C), SIGTERM and SIGHUP end at once.

    Nothing half-written is left then, and the exit code is 130, 143 or 129; of SIGBREAK (Ctrl-Break, and a
    window that is closed), on Windows, 149. An encoder may be busy for minutes, and nothing in Python stops
    it: threads are not waited for.
    """
    # A name of a file may have letters that stdout has no bytes for, as in the code pages of Windows.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it, and a shell in the background
            signal.signal(number, _stop)
    _listen_to_console()
    atexit.register(_ignore)
    code = main()
    if _received is not None:
        _end(_received, b"" if code == INTERRUPTED else _MESSAGE)
    sys.exit(code)


@contextmanager
def last_words() -> Iterator[None]:
    """Have a signal raise ``KeyboardInterrupt`` within the block, for those who have something left to say.

    Elsewhere it ends the process on the spot: an exception out of nowhere may be swallowed, as while modules
    are imported.
    """
    global _has_last_words
    before, _has_last_words = _has_last_words, True
    try:
        yield
    finally:
        _has_last_words = before


@contextmanager
def noted(patience: float) -> Iterator[Callable[[], bool]]:
    """Have a signal only be noted within the block, which asks for it and then comes to its own end.

    A second signal ends the process, and so do ``patience`` seconds.
    """
    global _is_noted, _patience
    _is_noted, _patience = True, patience
    try:
        yield lambda: _received is not None
    finally:
        _is_noted = False
        if _received is None:
            _patience = _PATIENCE


def _stop(number: int, frame: FrameType | None) -> None:
    """Handle a signal, in the main thread."""
    global _received, _received_at
    if _received is not None:  # it is ending
        if _is_noted and time.monotonic() - _received_at > _AGAIN:
            _end(number, _MESSAGE)
        return
    _received, _received_at = number, time.monotonic()
    with suppress(RuntimeError):  # the system refuses threads
        start_new_thread(_end_late, (number,))  # which takes no lock that this very thread may hold
    if _is_noted:
        return
    if _has_last_words:
        sys.unraisablehook = lambda _: None  # where it is swallowed after all
        raise KeyboardInterrupt
    _end(number, _MESSAGE)


def _listen_to_console() -> None:
    """Hear of Ctrl-C on Windows, too, while the main thread waits for a lock, which no signal ends there."""
    global _console
    if not hasattr(signal, "SIGBREAK"):
        return
    import ctypes

    def told(event: int) -> int:  # in a thread of its own
        number: int = signal.SIGINT if event == 0 else getattr(signal, "SIGBREAK")  # noqa: B009
        if signal.getsignal(number) is not _stop:
            return 0
        if event > 1:  # the window is closed, or the session: the process lives as long as this call
            _end(number, _MESSAGE)
        with suppress(RuntimeError):
            start_new_thread(_end_late, (number,))
        return 0  # so that the signal comes as well

    _console = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32)(told)
    ctypes.windll.kernel32.SetConsoleCtrlHandler(_console, 1)  # type: ignore[attr-defined]


def _ignore() -> None:
    """All is done, and no thread is left; from here on an interpreter handles no signal by Python."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end_late(number: int) -> None:
    time.sleep(_patience)
    _end(number, _MESSAGE)


def _end(number: int, message: bytes) -> NoReturn:
    try:
        # As long as this module is not imported, or not yet whole, nothing has been written.
        if discard := getattr(sys.modules.get("fsrcnn_rt.files"), "discard_temporaries", None):
            discard()
        # Not by sys.stderr, whose write may be what was interrupted; and not behind a bar, or ^C.
        os.write(2, b"\n" + message if message and os.isatty(2) else message)
    finally:
        os._exit(128 + number)
