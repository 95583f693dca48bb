"""Reports while a batch runs: errors, a progress bar, lines of JSON, and a summary."""

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

from fsrcnn_rt.cli.arguments import complain, tell, tell_values
from fsrcnn_rt.engine.variants import Weights
from fsrcnn_rt.pictures.batch import Job, Outcome
from fsrcnn_rt.plan import Plan

_BAR = "{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}, {rate_fmt}]"


class Report:
    """Tells of a plan within a ``with`` block; errors and what else is for people goes to stderr.

    ``json_lines``: on stdout, {"input", "status": "done" | "skipped" | "failed" | "output", "outputs":
    {scale: path}}, where the scale may be a size as it was asked for, and "output" is what was found and is
    the output of another input; if done also "size": [width, height] of the input, "lossless": whether its
    outputs are, "weights", "content" and "denoise" (the last two null of a model without variants),
    "seconds", "left_out" with the metadata that the outputs have no place for, if there is some, and of video
    "unchanged", the part of luma, 0..1, that was copied from the frame before; if failed "error"; at the end
    {"done", "skipped", "failed", "seconds"} with the counts.
    ``summary``: the counts for people. ``name``: what a path of the plan is called. ``unit``: what a job is.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        quiet: bool,
        verbose: bool,
        json_lines: bool,
        summary: bool,
        name: Callable[[Path], str] = str,
        unit: str = "image",
    ) -> None:
        jobs, self._outputs = plan
        self._verbose, self._summary, self._json = verbose and not quiet, summary and not quiet, json_lines
        self._name, self._unit = name, unit
        self._start = perf_counter()
        self.done, self.failed = 0, 0
        self._skipped = [job for job in jobs if not job.outputs]
        self._total = len(jobs) - len(self._skipped)
        self._parts: dict[int, float] = {}  # of each job, by its identity, what is done
        self._changing = threading.Lock()
        self._bar = None
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(total=self._total, unit=unit, bar_format=_BAR, desc=f"0/{self._total}")

    def __enter__(self) -> "Report":
        for job in self._skipped:
            self._line(input=self._name(job.source), status="skipped", outputs={})
        for path in self._outputs:
            self._line(input=self._name(path), status="output", outputs={})
            if self._verbose:
                tell(f"{self._name(path)}: is an output of another input, and left out", file=sys.stderr)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        seconds = perf_counter() - self._start
        skipped = len(self._skipped)
        self._line(done=self.done, skipped=skipped, failed=self.failed, seconds=round(seconds, 3))
        if self._summary:
            counts = [f"{self.done} done", f"{skipped} skipped" if skipped else ""]
            counts.append(f"{len(self._outputs)} left out as outputs" if self._outputs else "")
            counts.append(f"{self.failed} failed" if self.failed else "")
            rate = f"{self.done / seconds:.1f} {self._unit}s/s"
            print(f"{', '.join(filter(None, counts))} in {seconds:.1f} s ({rate})", file=sys.stderr)

    def progress(self, job: Job, part: float) -> None:
        """Show what part of a job is done; may be called by any thread."""
        if self._bar is None:
            return
        with self._changing:
            self._parts[id(job)] = part
            done = sum(part == 1 for part in self._parts.values())
            self._bar.set_description_str(f"{done}/{self._total}", refresh=False)
            self._bar.update(sum(self._parts.values()) - self._bar.n)

    def add(self, outcome: Outcome) -> None:
        """Report what became of a job."""
        source = self._name(outcome.job.source)
        if outcome.error is not None:
            self.failed += 1
            with self._without_bar():
                complain(f"{source}: {outcome.error}")
            self._line(input=source, status="failed", outputs={}, error=outcome.error)
            return
        self.done += 1
        outputs = {str(goal): self._name(path) for goal, path in outcome.job.outputs.items()}
        seconds, weights = outcome.seconds, outcome.weights or Weights("")
        left_out = outcome.left_out
        if self._verbose:
            paths = ", ".join(outputs.values())
            without = f"; without {', '.join(left_out)}" if left_out else ""
            with self._without_bar():
                lossless = "lossless, " if outcome.lossless else ""
                details = f"{lossless}{seconds:.2f} s, weights {weights}{without}"
                tell(f"{source} -> {paths} ({details})", file=sys.stderr)
        values: dict[str, Any] = {"size": outcome.size, "lossless": outcome.lossless}
        values |= {"weights": weights.name, "content": weights.content, "denoise": weights.denoise}
        if left_out:
            values["left_out"] = list(left_out)
        if outcome.unchanged is not None:
            values["unchanged"] = round(outcome.unchanged, 4)
        self._line(input=source, status="done", outputs=outputs, **values, seconds=round(seconds, 3))

    def _without_bar(self) -> AbstractContextManager[object]:
        if self._bar is None:
            return nullcontext()
        bar: AbstractContextManager[object] = self._bar.external_write_mode(sys.stderr)
        return bar

    def _line(self, **values: Any) -> None:
        if self._json:
            tell_values(**values)
