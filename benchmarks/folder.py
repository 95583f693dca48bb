"""A folder of JPEGs to PNGs: the command against a loop of open, upscale, save; both are whole processes.

    python benchmarks/folder.py [--pictures 200] [--rounds 5]

The two take turns, and what counts is the ratio within a turn. Both must give the same pixels.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

WANTED = 1.6

LOOP = """
import sys
from pathlib import Path
import fsrcnn_rt
from PIL import Image
source, target, scale, model = sys.argv[1:]
for path in sorted(Path(source).iterdir()):
    image = Image.open(path)
    fsrcnn_rt.upscale(image, int(scale), model=model).save(Path(target, f"{path.stem}_x{scale}.png"))
"""


def make_pictures(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write JPEGs with edges, texture and smooth parts, so that no codec has it too easy."""
    rng = np.random.default_rng(0)
    width, height = size
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (height // 40, width // 40, 3), np.uint8))
        smooth = coarse.resize(size, Image.Resampling.BICUBIC)
        edges = coarse.resize(size, Image.Resampling.NEAREST)
        texture = Image.fromarray(rng.integers(96, 160, (height, width, 3), np.uint8))
        texture = texture.filter(ImageFilter.GaussianBlur(1))
        mixed = Image.blend(Image.blend(smooth, edges, 0.3), texture, 0.2)
        mixed.save(folder / f"{i:04}.jpg", quality=90)


def timed(command: list[str], target: Path) -> float:
    """Seconds of a process that fills ``target``."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def check_same(one: Path, other: Path, count: int) -> None:
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert len(names) == count
    for name in names:
        with Image.open(one / name) as a, Image.open(other / name) as b:
            assert np.array_equal(np.asarray(a), np.asarray(b)), name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 240), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--scale", type=int, default=3)
    parser.add_argument("--model", default="fsrcnn")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        source, looped, batched = (work / part for part in ("small", "looped", "batched"))
        source.mkdir()
        make_pictures(source, options.pictures, tuple(options.size))
        scale, model = str(options.scale), options.model
        loop = [sys.executable, "-c", LOOP, str(source), str(looped), scale, model]
        batch = [sys.executable, "-m", "fsrcnn_rt", str(source), "-o", str(batched), "-f", "png"]
        batch += ["-s", scale, "-m", model, "-q"]
        ratios = []
        for turn in range(options.rounds):
            one, other = timed(loop, looped), timed(batch, batched)
            ratios.append(one / other)
            rates = f"{options.pictures / one:.1f} and {options.pictures / other:.1f} images/s"
            print(f"turn {turn + 1}: loop and command {rates}, ratio {ratios[-1]:.2f}", flush=True)
        check_same(looped, batched, options.pictures)
    verdict = "at least" if statistics.median(ratios) >= WANTED else "below"
    print(f"median ratio {statistics.median(ratios):.2f}, {verdict} the {WANTED} wanted")


if __name__ == "__main__":
    main()
