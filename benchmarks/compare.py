"""One peer against us: in a process of its own, in turns, outputs compared before anything is timed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context

import numpy as np
from fsrcnn_rt import Model, Upscaler
from fsrcnn_rt.evaluation.metrics import psnr
from fsrcnn_rt.evaluation.protocol import to_8bit
from graphs import F32, Graph, forms, graph
from networks import alone, shipped
from ours import Precision, Size, fma_peak, gflops, picture, prepare
from photographs import set5
from report import Row
from runtimes import RUNTIMES, Prepared
from timing import alternate, ratios, spread

# On noise, of full scale, or of the largest value where the output goes beyond it, by what is computed with.
# It tells another network from rounding. int8 is calibrated on photographs, and makes little of noise.
_TOLERANCE = {"float32": 1e-5, "int16": 0.02, "bf16": 0.1, "int8": 1.0}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """What one child process measures: one runtime, all forms of every model, all that is ours."""

    runtime: str
    models: tuple[str, ...]
    size: Size
    scale: int
    threads: int
    isas: tuple[str, ...]
    precisions: tuple[Precision, ...]
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """Rows of a table, and what could not be measured, with the reason."""

    rows: list[Row]
    skipped: list[str]


def run(job: Job) -> Outcome:
    """Measure in a fresh process: OpenMP runtimes clash in one, and each keeps its threads to itself."""
    missing = [name for name in RUNTIMES[job.runtime].modules if find_spec(name) is None]
    if missing:
        return Outcome([], [f"{job.runtime}: {', '.join(missing)} not installed"])
    # They are read when a library is loaded, so it must be before the child starts.
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(job.threads)))
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_measure, job).result()
    except BrokenProcessPool:
        return Outcome([], [f"{job.runtime}: the process ended"])


def _measure(job: Job) -> Outcome:
    # A runtime that takes more threads than it was told still gets no more processors.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.threads])
    # What libraries print is not part of a table.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    outcome = Outcome([], [])
    for name in job.models:
        model = alone(shipped(name))
        upscalers = [
            Upscaler(model, guard=False, threads=job.threads, isa=isa, precision=precision)
            for isa, precision in product(job.isas, job.precisions)
            if precision == "float32" or model.architecture.is_chain
        ]
        plane: F32 = picture(job.size, "luma float32")
        outputs = [upscaler.upscale(plane, job.scale) for upscaler in upscalers]
        if model.enlarged:
            # The others are given the picture enlarged as by us, who do it every time.
            plane = Upscaler(model, strength=0, guard=False).upscale(plane, job.scale)
        ready: list[tuple[Graph, Prepared]] = []
        for form in forms(model):
            what = f"{job.runtime}, {name}, {form}"
            try:
                candidate = graph(model, job.scale, form)
                prepared = RUNTIMES[job.runtime].prepare(candidate, plane, job.threads)
                theirs = prepared.to_numpy(prepared.run())
                for upscaler, output in zip(upscalers, outputs, strict=True):
                    _check(theirs, output, {RUNTIMES[job.runtime].precision, _precision(upscaler)})
                ready.append((candidate, prepared))
            except Exception as error:  # whatever a runtime throws is no reason to lose the others
                print(f"{what}: {error}", file=sys.stderr)
                outcome.skipped.append(f"{what}: {_reason(error)}")
        if ready:
            outcome.rows.extend(_time(job, model, upscalers, ready))
    return outcome


class DifferentError(Exception):
    """The peer computes something else."""


def _reason(error: Exception) -> str:
    # Messages of libraries may name files of this machine.
    return str(error) if isinstance(error, DifferentError) else f"fails with {type(error).__name__}"


def _precision(upscaler: Upscaler) -> str:
    return upscaler.precision_for(np.float32)


def _check(theirs: F32, expected: F32, precisions: Iterable[str]) -> None:
    if theirs.shape != expected.shape:
        raise DifferentError(f"the output is {theirs.shape}, not {expected.shape}")
    error = float(np.abs(theirs - expected).max() / max(1, np.abs(expected).max()))
    if not error <= max(_TOLERANCE[precision] for precision in precisions):
        raise DifferentError(f"the output differs by {error:.1e} of full scale")


def _mean_psnr(upscale: Callable[[F32, int], F32], scale: int) -> float | None:
    """PSNR on Set5 of a network alone; None where the pictures are missing."""
    levels = [psnr(to_8bit(upscale(pair.lr, scale)), pair.hr, shave=scale) for pair in set5(scale)]
    return float(np.mean(levels)) if levels else None


def _lost(upscaler: Upscaler, scale: int, upscale: Callable[[F32, int], F32]) -> float | None:
    """What of PSNR is lost against our float32."""
    floats = Upscaler(upscaler.model, guard=False, threads=upscaler.threads, precision="float32")
    level, exact = _mean_psnr(upscale, scale), _mean_psnr(floats.upscale, scale)
    return None if level is None or exact is None else exact - level


def _time(
    job: Job, model: Model, upscalers: list[Upscaler], ready: list[tuple[Graph, Prepared]]
) -> list[Row]:
    """Ours with each kernel set, a graph, ours again, the next graph, and so on."""
    ours = [prepare(upscaler, job.size, job.scale) for upscaler in upscalers]
    peaks = {upscaler.isa: [fma_peak(upscaler.isa, job.threads)] for upscaler in upscalers}
    turn = len(ours) + 1
    times = alternate(
        [call for _, prepared in ready for call in (*ours, prepared.run)], job.seconds * turn * len(ready)
    )
    for upscaler in upscalers:
        peaks[upscaler.isa].append(fma_peak(upscaler.isa, job.threads))
    rows: list[Row] = []
    runtime = RUNTIMES[job.runtime]
    exact = runtime.precision == "float32"
    our_loss = {
        _precision(upscaler): _lost(upscaler, job.scale, upscaler.upscale)
        for upscaler in upscalers
        if _precision(upscaler) != "float32"
    }
    for i, (candidate, _) in enumerate(ready):

        def upscale(plane: F32, _: int, candidate: Graph = candidate) -> F32:
            prepared = runtime.prepare(candidate, plane, job.threads)
            return prepared.to_numpy(prepared.run())

        theirs = times[i * turn + turn - 1]
        their_time = spread(theirs).median
        row: Row = {
            "model": model.name,
            "runtime": job.runtime,
            "graph": candidate.form,
            "precision": runtime.precision,
            "its dB lost": None if exact else _lost(upscalers[0], job.scale, upscale),
            "threads": job.threads,
            "its ms": 1e3 * their_time,
            "its GFLOP/s": gflops(model, job.scale, job.size, their_time),
            "rounds": len(theirs),
        }
        rows += [
            row
            | _beside(upscaler, theirs, times[i * turn + j], peaks[upscaler.isa], job)
            | {"our dB lost": our_loss.get(_precision(upscaler))}
            for j, upscaler in enumerate(upscalers)
        ]
    return rows


def _beside(
    upscaler: Upscaler, theirs: list[float], mine: list[float], peaks: list[float | None], job: Job
) -> Row:
    """What a row tells of ours beside its peer."""
    ratio = spread(ratios(theirs, mine))
    time = spread(mine).median
    rate = gflops(upscaler.model, job.scale, job.size, time)
    peak = max(filter(None, peaks), default=None)
    return {
        "our isa": upscaler.isa,
        "our precision": _precision(upscaler),
        "our ms": 1e3 * time,
        "its ms / ours": ratio.median,
        "quartiles": f"{ratio.low:.2f} - {ratio.high:.2f}",
        "least / least": min(theirs) / min(mine),
        "our GFLOP/s": rate,
        "peak GFLOP/s": peak,
        "ours / peak": rate / peak if peak else None,
    }
