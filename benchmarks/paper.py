"""Table 2 and Figures 5 to 8 of FSRCNN's paper, trained here alike by weights/table2.toml.

    python benchmarks/paper.py table2 --seeds 2 --page docs/networks.md
    python benchmarks/paper.py figure5 -o docs/designs.svg   SRCNN, transition states 1 and 2, FSRCNN
    python benchmarks/paper.py figure6 -o docs/transfer.svg  x2 upon convolutions of x3, and from scratch
    python benchmarks/paper.py figure7 -o lenna.png          part of a picture by bicubic, SRCNN and FSRCNN
    python benchmarks/paper.py figure8 -o butterfly.png

Pictures are looked for in FSRCNN_RT_DATA, else ./data. Trainings lie in --folder: what is done is not trained
again, and what was interrupted goes on.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from fsrcnn_rt import Upscaler, cli, load
from fsrcnn_rt.evaluation.protocol import evaluate, list_images
from fsrcnn_rt.evaluation.protocol import mean as mean_figures
from fsrcnn_rt.files import atomic_write
from photographs import default_images
from report import put_between_markers

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "weights" / "table2.toml"
MARKER = "paper.py table2"


class Cell(NamedTuple):
    """A network of the table."""

    d: int
    s: int
    m: int

    @property
    def weights(self) -> int:
        """Weights of the filters, as the paper counts them."""
        d, s, m = self
        return 25 * d + 2 * d * s + 9 * m * s * s + 81 * d


#: PSNR on Set5 at x3 as the paper prints it.
PAPER: Mapping[Cell, float] = {
    **{Cell(48, 12, 2): 32.87, Cell(48, 12, 3): 32.88, Cell(48, 12, 4): 33.08},
    **{Cell(56, 12, 2): 33.00, Cell(56, 12, 3): 32.97, Cell(56, 12, 4): 33.16},
    **{Cell(48, 16, 2): 32.95, Cell(48, 16, 3): 33.10, Cell(48, 16, 4): 33.18},
    **{Cell(56, 16, 2): 33.01, Cell(56, 16, 3): 33.12, Cell(56, 16, 4): 33.17},
}
CHANGES = {"m from 2 to 4": ("m", 2, 4), "s from 12 to 16": ("s", 12, 16), "d from 48 to 56": ("d", 48, 56)}

# What Figure 5 compares, by the recipe that names the network. SRCNN has 40 times the operations of FSRCNN.
SHORTER = ("stage.L1.steps=1400", "stage.MSE.steps=600", "training.evaluate_every=200")
DESIGNS = {
    "SRCNN 9-5-5": "srcnn",
    "transition state 1": "state1",
    "transition state 2": "state2",
    "FSRCNN(56, 12, 4)": "fsrcnn",
}
# What Figures 7 and 8 show, as --crop has it.
CROPS = {"figure7": ("Set14", "lenna:96x96+220+220"), "figure8": ("Set5", "butterfly:96x96+110+60")}


def train(output: Path, changes: Sequence[str] = (), recipe: Path = RECIPE, init: Path | None = None) -> None:
    """Train by the command line, or go on where that was interrupted; what is there stays."""
    if output.exists():
        return
    print(output.name, flush=True)
    arguments = ["train", str(recipe), "-o", str(output), *(f"--set={change}" for change in changes)]
    if output.with_suffix(".checkpoint").exists():
        arguments.append("--resume")
    elif init:
        arguments += ["--init", str(init)]
    if code := cli.main(arguments):
        raise SystemExit(code)


def train_cell(folder: Path, cell: Cell, seed: int) -> Path:
    """Train one network of the table; returns its model file."""
    output = folder / f"d{cell.d}-s{cell.s}-m{cell.m}-seed{seed}.safetensors"
    train(output, [f"network.d={cell.d}", f"network.s={cell.s}", f"network.m={cell.m}", f"seed={seed}"])
    return output


def psnr_on_set5(path: Path) -> float:
    """Mean PSNR in dB at x3 by the papers' protocol, of the network alone."""
    upscale = Upscaler(load(path), guard=False).upscale
    results = evaluate({3: {"": upscale}}, list_images(default_images("Set5")))
    return mean_figures([result.figures for result in results]).psnr


def table2(folder: Path, seeds: int) -> str:
    """Train the cells, seed after seed, and return the tables: PSNR, and what each change brings."""
    models = {(cell, seed): train_cell(folder, cell, seed) for seed in range(1, seeds + 1) for cell in PAPER}
    measured = {cell: [psnr_on_set5(models[cell, seed]) for seed in range(1, seeds + 1)] for cell in PAPER}
    return f"{as_grid(measured)}\n\n{as_trends(measured)}"


def as_grid(measured: Mapping[Cell, Sequence[float]]) -> str:
    """Write a line for each d and s, with PSNR here, its range over the seeds, and the paper's."""
    lines = ["| d, s | m = 2 | m = 3 | m = 4 |", "|---|---|---|---|"]
    for s, d in product((12, 16), (48, 56)):
        cells = []
        for m in (2, 3, 4):
            values = measured[cell := Cell(d, s, m)]
            spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
            cells.append(f"{mean(values):.2f}{spread}; paper {PAPER[cell]:.2f}; {cell.weights:,} weights")
        lines.append(f"| {d}, {s} | {' | '.join(cells)} |")
    return "\n".join(lines)


def as_trends(measured: Mapping[Cell, Sequence[float]]) -> str:
    """Write what a change brings in the mean of all cells that it can be seen in, and seed by seed."""
    lines = ["| dB for | here | seed by seed | paper |", "|---|---:|---|---:|"]
    for name, change in CHANGES.items():
        by_seed = [
            gain({cell: values[k] for cell, values in measured.items()}, *change) for k in _seeds(measured)
        ]
        told = ", ".join(f"{value:+.2f}" for value in by_seed)
        lines.append(f"| {name} | {mean(by_seed):+.2f} | {told} | {gain(PAPER, *change):+.2f} |")
    if len(_seeds(measured)) > 1:
        noise = mean(stdev(values) for values in measured.values())
        lines += ["", f"Standard deviation over seeds, mean of the cells: {noise:.3f} dB."]
    return "\n".join(lines)


def gain(psnr: Mapping[Cell, float], what: str, low: int, high: int) -> float:
    """Mean difference in dB between cells that differ in ``what`` alone."""
    pairs = [(cell, cell._replace(**{what: high})) for cell in psnr if getattr(cell, what) == low]
    return mean(psnr[large] - psnr[small] for small, large in pairs)


def _seeds(measured: Mapping[Cell, Sequence[float]]) -> range:
    return range(len(next(iter(measured.values()))))


def figure5(folder: Path, output: Path) -> None:
    """Draw the validation PSNR of four networks that train alike at x3."""
    logs = {}
    for title, name in DESIGNS.items():
        (network,) = re.findall(
            r"^\[network\].*?(?=^\[)", (ROOT / f"weights/{name}.toml").read_text(), re.M | re.S
        )
        recipe = folder / f"{name}.toml"
        text = re.sub(r"^\[network\].*?(?=^\[)", network, RECIPE.read_text(), count=1, flags=re.M | re.S)
        with atomic_write(recipe) as file:
            file.write(text.encode())
        train(folder / f"{name}.safetensors", SHORTER, recipe)
        logs[title] = folder / f"{name}.log.csv"
    draw(logs, output)


def figure6(folder: Path, output: Path) -> None:
    """Draw x2 twice: the head alone upon the convolutions of a network for x3, and all from scratch."""
    init = train_cell(folder, Cell(56, 12, 4), 1)
    train(folder / "x2-scratch.safetensors", ["stage.scales=[2]"])
    train(folder / "x2-transfer.safetensors", ["stage.scales=[2]", "stage.trains='heads'"], init=init)
    logs = {"from scratch": "x2-scratch", "deconvolution alone, convolutions of x3": "x2-transfer"}
    draw({title: folder / f"{name}.log.csv" for title, name in logs.items()}, output)


def draw(logs: Mapping[str, Path], output: Path) -> None:
    """Draw logs by weights/figures.py."""
    named = [f"{title}={path}" for title, path in logs.items()]
    subprocess.run(
        [sys.executable, ROOT / "weights" / "figures.py", "logs", *named, "-o", output], check=True
    )


def crops(name: str, output: Path) -> int:
    """Draw a part of a picture as it was, by bicubic and by three networks."""
    test_set, crop = CROPS[name]
    models = "srcnn,fsrcnn-s,fsrcnn"
    folder = str(default_images(test_set))
    return cli.main(
        ["eval", folder, "-s", "3", "-m", models, "--crop", crop, "-o", str(output), "--overwrite"]
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Table 2 and Figures 5 to 8 of FSRCNN's paper.")
    add = parser.add_argument
    add("what", choices=["table2", "figure5", "figure6", "figure7", "figure8"])
    add("--folder", type=Path, default=Path("runs/paper"), help="of the trainings (default: runs/paper)")
    add("--seeds", type=int, default=1, metavar="N", help="trainings of each cell of the table (default: 1)")
    add("--page", type=Path, metavar="FILE", help="Markdown to put the table into (default: print it)")
    add("-o", "--output", type=Path, metavar="FILE", help="figure: .svg of 5 and 6, .png of 7 and 8")
    options = parser.parse_args(argv)
    if options.seeds < 1:
        parser.error(f"--seeds: expected at least 1, got {options.seeds}")
    if (options.what == "table2") == (options.output is not None):
        parser.error("-o is for figures, --page for table2")
    try:
        page = options.page.read_text() if options.page else None
        if page is not None:
            put_between_markers(page, "", MARKER)
        options.folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if options.what in CROPS:
        return crops(options.what, options.output)
    if options.what != "table2":
        (figure5 if options.what == "figure5" else figure6)(options.folder, options.output)
        return 0
    text = table2(options.folder, options.seeds)
    if page is None:
        print(text)
    else:
        with atomic_write(options.page) as file:
            file.write(put_between_markers(page, text, MARKER).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
