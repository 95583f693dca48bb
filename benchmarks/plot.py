"""Time against quality, in the spirit of Figure 1 of the paper."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from fsrcnn_rt import Upscaler
from fsrcnn_rt.evaluation.speed import REAL_TIME_FPS
from graphs import FORMS
from networks import shipped
from report import Row

# One colour a runtime, distinct also to those who do not see red and green.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
_MARKERS = dict(zip(FORMS, "oDvsP", strict=True))


def read_psnr(file: Path) -> dict[str, float]:
    """Read ``{"fsrcnn": 29.4, "fsrcnn-s": 29.1}``: mean PSNR in dB by the name of the model."""
    return {str(name): float(value) for name, value in json.loads(file.read_text()).items()}


def measure_psnr(models: tuple[str, ...], scale: int, folder: Path) -> dict[str, float]:
    """Evaluate the models as they ship on the pictures of a folder."""
    from fsrcnn_rt.evaluation.protocol import evaluate, list_images, mean

    upscalers = {model.name: Upscaler(model).upscale for model in map(shipped, models)}
    results = evaluate({scale: upscalers}, list_images(folder))
    return {name: mean([r.figures for r in results if r.method == name]).psnr for name in upscalers}


def default_images() -> Path:
    """Name the paper's test set, where it is expected."""
    return Path(os.environ.get("FSRCNN_RT_DATA", "data")) / "Set14"


def draw(
    rows: list[Row], case: str, psnr: Mapping[str, float], test_set: str, machine: str, file: Path
) -> None:
    """Draw every runtime's time against the PSNR of the model that it ran, from the table of peers."""
    most = max((int(row["threads"] or 0) for row in rows), default=0)
    rows = [row for row in rows if row["threads"] == most and row["model"] in psnr]
    if not rows:
        raise ValueError("there is no time to draw for a model whose PSNR is known")
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    plt: Any = import_module("matplotlib.pyplot")
    # The same figures give the same file.
    with plt.rc_context({"svg.hashsalt": "fsrcnn-rt", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
        runtimes = list(dict.fromkeys(str(row["runtime"]) for row in rows))
        for runtime, colour in zip(runtimes, _COLOURS[1:], strict=False):
            for kind, marker in _MARKERS.items():
                chosen = [row for row in rows if (row["runtime"], row["graph"]) == (runtime, kind)]
                if not chosen:
                    continue
                times = [row["its ms"] for row in chosen]
                levels = [psnr[str(row["model"])] for row in chosen]
                axes.plot(
                    times, levels, marker, color=colour, markersize=7, alpha=0.8, label=f"{runtime}, {kind}"
                )
        for model, level in psnr.items():
            ours = sorted(
                float(row["our ms"] or 0) for row in rows if row["model"] == model and "our ms" in row
            )
            if not ours:
                continue
            time = ours[len(ours) // 2]
            axes.plot([time], [level], "*", color=_COLOURS[0], markersize=15)
            axes.annotate(model, (time, level), xytext=(0, 10), textcoords="offset points", ha="center")
        axes.plot([], [], "*", color=_COLOURS[0], markersize=12, label="fsrcnn-rt")
        axes.axvline(1e3 / REAL_TIME_FPS, color="#999999", linestyle="--", linewidth=1)
        axes.text(1e3 / REAL_TIME_FPS, 0.5, f" {REAL_TIME_FPS:g} fps", transform=axes.get_xaxis_transform())
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(plt.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.margins(0.1, 0.2)
        axes.set_xlabel(f"ms per frame, {case} luma, float32, {most} threads, {machine}")
        axes.set_ylabel(f"mean PSNR in dB, {test_set} {case.split()[-1]}")
        axes.grid(True, which="both", color="#eeeeee")
        axes.set_axisbelow(True)
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
        metadata = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, metadata=metadata, dpi=150)
        plt.close(figure)
