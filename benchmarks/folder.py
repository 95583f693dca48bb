"""A folder of JPEGs to PNGs: the command against loops of open, upscale, save; each is a whole process.

    python benchmarks/folder.py [--pictures 200] [--rounds 5]

One loop saves as Pillow does by default, the other with the setting that the command chooses for photographs:
what remains against that one is what overlapping alone brings. They take turns, and what counts is the ratio
within a turn. All must give the same pixels. The times of the stages, of one picture on one thread, tell what
bounds the rate: no command can have more images per second than threads by their sum. A loop has the network
alone on all threads, so that the other stages bound what overlapping can bring.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import fsrcnn_rt
import numpy as np
from fsrcnn_rt.engine.runtime import usable_cpus
from PIL import Image, ImageFilter

WANTED = 1.6
PILLOWS_CHOICE = -1

LOOP = """
import sys
from pathlib import Path
import fsrcnn_rt
from PIL import Image
source, target, scale, model, kind = sys.argv[1:]
for path in sorted(Path(source).iterdir()):
    image = Image.open(path)
    result = fsrcnn_rt.upscale(image, int(scale), model=model)
    result.save(Path(target, f"{path.stem}_x{scale}.png"), compress_type=int(kind))
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


class Taken(NamedTuple):
    """Seconds of a process, and of processors that it was given."""

    wall: float
    busy: float


def timed(command: list[str], target: Path) -> Taken:
    """Run a process that fills ``target``."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def stages(paths: list[Path], scale: int, model: str) -> dict[str, float]:
    """Milliseconds of one thread that each stage takes for a picture, whatever else the machine does."""
    upscaler = fsrcnn_rt.Upscaler(model, threads=1)
    total = dict.fromkeys(("decoding", "the network", "encoding", "encoding as Pillow does by default"), 0.0)

    def clocked(name: str, call: Callable[[], Image.Image]) -> Image.Image:
        start = time.thread_time()
        result = call()
        total[name] += 1e3 * (time.thread_time() - start) / len(paths)
        return result

    for path in paths:
        image = clocked("decoding", lambda path=path: Image.open(path).copy())
        large = clocked("the network", lambda image=image: upscaler.upscale(image, scale))
        for name, kind in ("encoding", zlib.Z_RLE), ("encoding as Pillow does by default", PILLOWS_CHOICE):
            options = {"format": "PNG", "compress_type": kind}
            clocked(name, lambda large=large, options=options: large.save(io.BytesIO(), **options) or large)
    return total


def digest(folder: Path, count: int) -> str:
    """Digest of the names and pixels of ``count`` pictures."""
    paths = sorted(folder.iterdir())
    assert len(paths) == count
    total = hashlib.sha256()
    for path in paths:
        with Image.open(path) as image:
            total.update(path.name.encode() + image.tobytes())
    return total.hexdigest()


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
        source, target = work / "small", work / "large"
        source.mkdir()
        make_pictures(source, options.pictures, tuple(options.size))
        scale, model = str(options.scale), options.model
        loop = [sys.executable, "-c", LOOP, str(source), str(target), scale, model]
        command = [sys.executable, "-m", "fsrcnn_rt", str(source), "-o", str(target), "-f", "png"]
        commands = {
            "the command": [*command, "-s", scale, "-m", model, "-q"],
            "the loop": [*loop, str(PILLOWS_CHOICE)],
            "the loop that saves as the command does": [*loop, str(zlib.Z_RLE)],
        }
        times: dict[str, list[Taken]] = {name: [] for name in commands}
        pixels: set[str] = set()
        for _ in range(options.rounds):
            for name, arguments in commands.items():
                times[name].append(timed(arguments, target))
                pixels.add(digest(target, options.pictures))
        assert len(pixels) == 1, "they differ"
        shares = stages(sorted(source.iterdir())[:10], options.scale, model)
    for name, taken in times.items():
        rate = options.pictures / statistics.median(wall for wall, _ in taken)
        busy = 1e3 * statistics.median(busy for _, busy in taken) / options.pictures
        print(f"{name}: {rate:.1f} images/s, {busy:.1f} ms of processors each")
    print(", ".join(f"{name}: {milliseconds:.1f} ms" for name, milliseconds in shares.items()))
    decoding, network, encoding, _ = shares.values()
    threads = usable_cpus()
    bound = (decoding + network / threads + encoding) / (decoding + network + encoding) * threads
    print(f"overlapping can bring no more than {bound:.2f} on {threads} threads")
    ours, *others = times
    for name in others:
        ratios = [one.wall / other.wall for one, other in zip(times[name], times[ours], strict=True)]
        turns = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(
            f"times as many as {name}: {statistics.median(ratios):.2f} (wanted: {WANTED}; by turns: {turns})"
        )


if __name__ == "__main__":
    main()
