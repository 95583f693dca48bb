"""What the figures were measured on, in words that may be published."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fsrcnn_rt
from fsrcnn_rt.engine.runtime import usable_cpus

# The instruction sets that decide the speed of a network; a full list is long and says little.
_FLAGS = (
    "sse4_2", "avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512dq", "avx512bw", "avx512vl",
    "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8",
    "asimd", "asimdhp", "asimddp", "sve", "sve2", "bf16", "i8mm",
)  # fmt: skip
_PACKAGES = (
    "fsrcnn-rt", "numpy", "onnxruntime", "openvino", "ncnn", "MNN", "torch", "opencv-contrib-python-headless",
    "opencv-contrib-python", "opencv-python-headless", "opencv-python",
)  # fmt: skip


def describe() -> dict[str, str]:
    """Name the processor, how much of it this process may use, and the system."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return {
        "processor": info.get("model name") or info.get("Hardware") or platform.machine(),
        "family, model, stepping": ", ".join(
            info.get(key, "?") for key in ("cpu family", "model", "stepping")
        ),
        "cores used": str(usable_cpus()),
        "instruction sets": " ".join(flag for flag in _FLAGS if flag in flags),
        "kernel sets": " ".join(fsrcnn_rt.available_isas()),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def versions(*packages: str) -> dict[str, str]:
    """List the versions of packages that are installed, by default of this one and all peers."""
    found = {}
    for package in packages or _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


class Others:
    """What other processes, and the host of a virtual machine, have taken of the processors since then.

    They slow some runtimes more than others: two threads that wait for each other at every layer wait for
    the one that was interrupted.
    """

    def __init__(self) -> None:
        self._total, self._busy = _ticks()
        self._own = _own_ticks()

    def percent(self) -> float | None:
        """Return the share of all processors' time; None where the system does not tell."""
        total, busy = _ticks()
        if total <= self._total:
            return None
        others = busy - self._busy - (_own_ticks() - self._own)
        return 100 * max(0.0, others / (total - self._total))


def _ticks() -> tuple[float, float]:
    """Count the ticks of all processors since the start: all, and those that were not idle."""
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return 0, 0
    # user, nice, system, idle, iowait, irq, softirq, steal; what follows is contained in the first two
    ticks = [int(word) for word in line.split()[1:9]]
    return sum(ticks), sum(ticks) - ticks[3] - ticks[4]


def _own_ticks() -> float:
    """Count the ticks that this process and its children that have ended were busy."""
    return sum(os.times()[:4]) * os.sysconf("SC_CLK_TCK")


def _cpuinfo() -> dict[str, str]:
    """Read the first processor's entry."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = text.split("\n\n", 1)[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
