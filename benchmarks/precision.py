"""What fixed point loses against float32: PSNR and codes of 8 bits on photographs, codes on hostile pictures.

    python benchmarks/precision.py data/Set5 data/Set14 --markdown precision.md
    python benchmarks/precision.py --hostile 500 --model fsrcnn-graphics

Without ``--model`` all shipped networks that "auto" computes in fixed point. Nothing here is timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from fsrcnn_rt import ModelError, Upscaler
from fsrcnn_rt.evaluation.metrics import imresize, psnr, rgb_to_y
from fsrcnn_rt.evaluation.protocol import Pair, list_images, load_pixels, make_pair, to_8bit
from fsrcnn_rt.model import SCALES, SHIPPED
from machine import describe, versions
from report import Row, Table, as_markdown

U8: TypeAlias = npt.NDArray[np.uint8]
_SIDE = 48  # of hostile pictures
_BATCH = 8  # of which lie below each other in one


class Both:
    """A network in float32, and in fixed point."""

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self._floats = Upscaler(name, precision="float32", **options)
        self._fixed = Upscaler(name, precision="int16", **options)

    def __call__(self, image: npt.NDArray[Any], scale: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Upscale by both, float32 first."""
        return self._floats.upscale(image, scale), self._fixed.upscale(image, scale)

    def codes(self, image: U8, scale: int) -> npt.NDArray[np.int16]:
        """Return by how many codes each sample of the result differs."""
        floats, fixed = self(image, scale)
        return np.abs(fixed.astype(np.int16) - floats)


def photographs(networks: Sequence[Both], folders: Sequence[Path], scales: Sequence[int]) -> Table:
    """Every picture of the folders, made small for PSNR, and enlarged as it is."""
    table = Table(
        "Photographs",
        "PSNR by the papers' protocol, in dB: the mean, and what fixed point loses of it, in the mean and on "
        "the picture that loses most. Codes: the largest difference of a sample of 8 bits, of luma and of "
        "colour that was made small (rounded to 8 bits) and as it is; and how many samples in a million "
        "differ at all, and by more than one code.",
    )
    for both, folder, scale in product(networks, folders, scales):
        levels, worst = [], dict.fromkeys(("luma", "colour", "luma as it is", "colour as it is"), 0)
        samples = differing = beyond = 0
        for path in list_images(folder):
            pair, pictures = _prepared(path, scale)
            floats, fixed = (to_8bit(result) for result in both(pair.lr, scale))
            levels.append([psnr(result, pair.hr, shave=scale) for result in (floats, fixed)])
            for kind, picture in pictures.items():
                codes = both.codes(picture, scale)
                worst[kind] = max(worst[kind], int(codes.max()))
                samples += codes.size
                differing += np.count_nonzero(codes)
                beyond += np.count_nonzero(codes > 1)
        means, losses = np.mean(levels, 0), [one - other for one, other in levels]
        table.rows.append(
            {"model": both.name, "set": folder.name, "scale": scale}
            | {"float32 dB": f"{means[0]:.3f}", "loss": f"{means[0] - means[1]:+.4f}"}
            | {"largest loss": f"{max(losses):+.4f}"}
            | worst
            | {"differ per million": 1e6 * differing / samples, "by more than 1": 1e6 * beyond / samples}
        )
        print(*table.rows[-1].values(), file=sys.stderr, flush=True)
    return table


@cache
def _prepared(path: Path, scale: int) -> tuple[Pair, dict[str, U8]]:
    """Make a photograph small: for PSNR, and as pictures of 8 bits."""
    pixels = load_pixels(path)
    luma = rgb_to_y(pixels)
    pair = make_pair(luma, scale)
    colour = to_8bit(imresize(pixels, 1 / scale) / 255)
    pictures = {"luma": to_8bit(pair.lr), "colour": colour}
    return pair, pictures | {"luma as it is": luma, "colour as it is": pixels}


def hostile(networks: Sequence[Both], scales: Sequence[int], count: int) -> Table:
    """Random pictures of every kind, and the largest difference that any of them has."""
    table = Table(
        "Hostile pictures",
        f"The largest difference in codes of 8 bits on {count} random pictures of {_SIDE}x{_SIDE} of every "
        "kind.",
    )
    for both, scale in product(networks, scales):
        row: Row = {"model": both.name, "scale": scale}
        for seed, (kind, draw) in enumerate(KINDS.items()):
            rng = np.random.default_rng(seed)
            stacks = (
                np.vstack([draw(rng) for _ in range(_BATCH)]).astype(np.uint8)
                for _ in range(0, count, _BATCH)
            )
            row[kind] = max(int(both.codes(stack, scale).max()) for stack in stacks)
        table.rows.append(row)
        print(*row.values(), file=sys.stderr, flush=True)
    return table


# ---- hostile pictures --------------------------------------------------------------------------------------


def _grid() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    y, x = np.mgrid[:_SIDE, :_SIDE]
    return y, x


def _two_levels(rng: np.random.Generator, mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Give a mask two levels, black and white in half of all pictures."""
    low, high = (0, 255) if rng.random() < 0.5 else rng.integers(0, 256, 2)
    return np.where(mask, high, low)


def _noise(rng: np.random.Generator) -> npt.NDArray[Any]:
    low, high = sorted(rng.integers(0, 256, 2))
    return rng.integers(low, high + 1, (_SIDE, _SIDE))


def _gaussian(rng: np.random.Generator) -> npt.NDArray[Any]:
    return rng.normal(rng.uniform(0, 255), rng.uniform(1, 200), (_SIDE, _SIDE)).clip(0, 255)


def _binary(rng: np.random.Generator) -> npt.NDArray[Any]:
    return _two_levels(rng, rng.random((_SIDE, _SIDE)) < rng.uniform(0.02, 0.98))


def _blocks(rng: np.random.Generator) -> npt.NDArray[Any]:
    size = rng.integers(2, 9)
    coarse = rng.random((_SIDE, _SIDE)) < rng.uniform(0.1, 0.9)
    y, x = _grid()
    return _two_levels(rng, coarse[y // size, x // size])


def _checkerboard(rng: np.random.Generator) -> npt.NDArray[Any]:
    (height, width), (top, left) = rng.integers(1, 5, 2), rng.integers(0, 8, 2)
    y, x = _grid()
    return _two_levels(rng, ((y + top) // height + (x + left) // width) % 2 == 0)


def _lines(rng: np.random.Generator) -> npt.NDArray[Any]:
    """Draw parallel lines of any direction, of 0.5 to 2 pixels, at any phase."""
    y, x = _grid()
    angle = rng.choice([0, np.pi / 4, np.pi / 2, rng.uniform(0, np.pi)])
    distance = (np.cos(angle) * x + np.sin(angle) * y + rng.uniform(0, 9)) % rng.uniform(2, 20)
    return _two_levels(rng, distance < rng.uniform(0.5, 2))


def _gradient(rng: np.random.Generator) -> npt.NDArray[Any]:
    """Draw a saw tooth of any direction and slope."""
    y, x = _grid()
    return (rng.uniform(-128, 128) * x + rng.uniform(-128, 128) * y + rng.uniform(0, 256)) % 256


def _points(rng: np.random.Generator) -> npt.NDArray[Any]:
    return _two_levels(rng, rng.random((_SIDE, _SIDE)) < 0.01)


def _constant(rng: np.random.Generator) -> npt.NDArray[Any]:
    return np.full((_SIDE, _SIDE), rng.choice([0, 255, rng.integers(0, 256)]))


KINDS: dict[str, Callable[[np.random.Generator], npt.NDArray[Any]]] = {
    "noise": _noise,
    "Gaussian noise": _gaussian,
    "black and white": _binary,
    "blocks": _blocks,
    "checkerboards": _checkerboard,
    "lines": _lines,
    "saw teeth": _gradient,
    "points": _points,
    "constant": _constant,
}


def in_fixed_point() -> Iterator[str]:
    """List the shipped networks that "auto" computes in fixed point."""
    for name in SHIPPED:
        try:
            if Upscaler(name).precision_for(np.uint8) == "int16":
                yield name
        except ModelError:  # it is not installed
            print(f"not measured: {name}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure what fixed point loses.", allow_abbrev=False)
    add = parser.add_argument
    add("folders", nargs="*", type=Path, metavar="FOLDER", help="photographs")
    add("--model", action="append", metavar="NAME", help="repeatable (default: all that ship)")
    add("--scale", type=int, action="append", choices=SCALES, help="repeatable (default: all)")
    add("--hostile", type=int, default=0, metavar="N", help="random pictures of every kind (default: 0)")
    add("--threads", type=int, metavar="N", help="threads (default: all)")
    add("--isa", metavar="NAME", help="kernel set (default: the fastest)")
    add("--markdown", type=Path, metavar="FILE", help="tables (default: print them)")
    options = parser.parse_args(argv)
    if not options.folders and options.hostile < 1:
        parser.error("FOLDER: needs one at least, or --hostile")
    scales = options.scale or SCALES
    names = options.model or list(in_fixed_point())
    networks = [Both(name, threads=options.threads, isa=options.isa) for name in names]
    tables = {}
    if options.folders:
        tables["photographs"] = photographs(networks, options.folders, scales)
    if options.hostile > 0:
        tables["hostile"] = hostile(networks, scales, options.hostile)
    markdown = as_markdown(describe(), versions("fsrcnn-rt", "numpy"), tables)
    if options.markdown:
        options.markdown.write_text(markdown)
    else:
        print(markdown, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
