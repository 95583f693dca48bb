"""How much memory pictures may take: what several threads share, and what the machine has."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsrcnn_rt.engine.sizes import Size

# Bytes of a pixel while a picture is read and upscaled: as an array, and beside it as Pillow has it, where
# that is another.
_BYTES = {"1": 2, "L": 1, "LA": 6, "La": 6, "RGBA": 4, "I;16": 2, "I;16B": 4, "F": 4}
_MOST_BYTES = 7  # of RGB, and of what becomes that


class Budget:
    """An amount of memory that several threads share; a thread waits until what it needs is free."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._change = threading.Condition()

    @contextmanager
    def hold(self, needed: int) -> Iterator[None]:
        """Hold so many bytes within the block; more than the limit where nobody else holds any."""
        with self._change:
            self._change.wait_for(lambda: self._held == 0 or self._held + needed <= self._limit)
            self._held += needed
        try:
            yield
        finally:
            with self._change:
                self._held -= needed
                self._change.notify_all()


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of Windows; ``left``: what this process can get, in bytes, with what may be swapped."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("all_memory", ctypes.c_uint64),
        ("free_memory", ctypes.c_uint64),
        ("all_pages", ctypes.c_uint64),
        ("left", ctypes.c_uint64),
        ("addresses", ctypes.c_uint64 * 3),
    )


def memory_of(mode: str, size: Size) -> int:
    """Memory that a frame takes while it is read, or a result while it is made, in bytes."""
    return size[0] * size[1] * _BYTES.get(mode, _MOST_BYTES)


def available() -> int:
    """Memory that this process can get, in bytes: what the machine has left, and its control group allows.

    Where the system does not tell what is left, it is all that the machine has; where it tells neither, as
    much as can be counted.
    """
    limits = [1 << 62]
    with suppress(AttributeError, OSError, ValueError):  # Windows has none of it
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if kernel32 := getattr(getattr(ctypes, "windll", None), "kernel32", None):
        status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
        if kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            limits.append(status.left)
    with suppress(OSError, ValueError, KeyError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines}
        limits.append(free["MemAvailable"] + free["SwapFree"])
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # there is none, or it is "max"
            limits.append(int(Path("/sys/fs/cgroup", name).read_text()))
    return min(limits)
