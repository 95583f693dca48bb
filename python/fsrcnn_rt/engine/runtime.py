"""How many threads and which kernels: the argument, else the environment, else what the machine allows."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from fsrcnn_rt import _core

MAX_THREADS = 1024


def available_isas() -> tuple[str, ...]:
    """Name the kernel sets that this processor runs, slowest first; "reference" is the scalar twin of all."""
    return tuple(_core.available_isas())


def resolve_isa(isa: str | None) -> str:
    """Choose ``isa``, else ``FSRCNN_RT_ISA``, else the fastest; ``ValueError`` if it cannot run here."""
    name, source = isa, "isa"
    if isa is None:
        name, source = os.environ.get("FSRCNN_RT_ISA") or None, "FSRCNN_RT_ISA"
    isas = available_isas()
    if name is None:
        return isas[-1]
    if name not in isas:
        raise ValueError(f"{source}={name!r} is not available on this processor, only {', '.join(isas)}")
    return name


def resolve_threads(threads: int | None) -> int:
    """Choose ``threads``, else ``FSRCNN_RT_THREADS``, else :func:`usable_cpus`.

    ``ValueError`` unless it is 1..1024, ``TypeError`` for an argument that is not an integer.
    """
    if threads is not None:
        if isinstance(threads, bool) or not hasattr(threads, "__index__"):
            raise TypeError(f"threads={threads!r} is not an integer, but {type(threads).__name__}")
        count, source = int(threads), f"threads={threads}"
    elif text := os.environ.get("FSRCNN_RT_THREADS"):
        source = f"FSRCNN_RT_THREADS={text!r}"
        try:
            count = int(text)
        except ValueError:
            raise ValueError(f"{source} is not an integer") from None
    else:
        return min(usable_cpus(), MAX_THREADS)
    if not 1 <= count <= MAX_THREADS:
        raise ValueError(f"{source} is not between 1 and {MAX_THREADS}")
    return count


def usable_cpus(root: Path = Path("/")) -> int:
    """Count the CPUs this process may use: its affinity and its control groups' quotas, rounded up."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cpus = os.cpu_count() or 1
    return max(1, math.ceil(min([cpus, *_cgroup_quotas(root)])))


def _cgroup_quotas(root: Path) -> Iterator[float]:
    """Find the quotas, in CPUs, of this process's control groups (version 1 and 2) and their ancestors."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # Inside a container the path may be the host's, of which only the mount root is there.
        folder = Path(os.path.normpath(group))
        for ancestor in (folder, *folder.parents):
            directory = base / str(ancestor).lstrip("/")
            try:
                if controllers:
                    quota = (directory / "cpu.cfs_quota_us").read_text()
                    period = (directory / "cpu.cfs_period_us").read_text()
                else:
                    quota, period = (directory / "cpu.max").read_text().split()
                if quota.strip() not in ("max", "-1"):
                    yield int(quota) / int(period)
            except (OSError, ValueError):
                continue
