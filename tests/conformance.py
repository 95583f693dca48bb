"""The conformance list: networks and pictures made of integers, and what fixed point makes of them.

docs/conformance.md defines what is done here; tests/cpp/conformance_check.cpp does the same without Python.
The checksums of the list are computed anew, by the scalar twins, by

    python tests/conformance.py
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import fsrcnn_rt
import numpy as np
from fsrcnn_rt.engine.sizes import passes
from fsrcnn_rt.model import Architecture, HeadShape
from fsrcnn_rt.model.network import SCALES, chain

LIST = Path(__file__).with_name("checksums.txt")

CHANNELS = {"grey": 1, "grey+alpha": 2, "rgb": 3, "rgba": 4}


@dataclass(frozen=True)
class Case:
    """A line of the list."""

    line: str
    network: str
    picture: str
    size: tuple[int, int]
    layout: str
    target: str
    options: tuple[tuple[str, str], ...]
    checksum: str


def read_list():
    """Cases, and descriptions of networks by name."""
    networks, cases = {}, []
    for line in LIST.read_text().splitlines():
        words = line.split()
        if not words or words[0] == "#":
            continue
        if words[0] == "network":
            networks[words[1]] = dict(word.split("=") for word in words[2:])
        else:
            network, picture, size, layout, target, *options, checksum = words
            pairs = tuple(tuple(option.split("=")) for option in options)
            cases.append(Case(line, network, picture, pair(size), layout, target, pairs, checksum))
    return networks, cases


def pair(size):
    """Two numbers with an x between them."""
    width, height = map(int, size.split("x"))
    return width, height


def integers(seed):
    """Numbers of 32 bits without end."""
    while True:
        seed = (seed * 1664525 + 1013904223) % 2**32
        yield seed


def network(description):
    """The model that a line of the list describes."""
    known = dict(description)
    if "weights" in known:
        return fsrcnn_rt.load(known["weights"])
    layers = [tuple(map(int, layer.split(":"))) for layer in known.pop("layers").split(",")]
    kernel, border = int(known.pop("head")), known.pop("border")
    pads = dict(zip(SCALES, map(int, known.pop("pads").split(",")), strict=True))
    heads = {
        scale: HeadShape(kernel, pad, scale - kernel + 2 * pad, border if border == "full" else int(border))
        for scale, pad in pads.items()
    }
    architecture = Architecture(chain((out, size) for size, out in layers), heads, known.pop("padding"))
    numbers = integers(int(known.pop("seed")))
    gain, slope = int(known.pop("gain")), int(known.pop("slope"))
    assert not known, known
    tensors = {}
    for name, shape in architecture.tensors.items():
        drawn = [(next(numbers) >> 16) - 32768 for _ in range(np.prod(shape))]
        if name.endswith("weight"):
            of_head = name.startswith("head")
            taps = shape[0] * kernel**2 // int(name[6]) ** 2 if of_head else np.prod(shape[1:])
            unit = (0.5 if of_head else gain) / 2 ** (15 + (int(taps).bit_length() - 1) // 2)
        else:
            unit = slope / 2**15 if name.endswith("slope") else 1 / 2**19
        middle = 0.5 if name.startswith("head") and name.endswith("bias") else 0
        tensors[name] = (np.array(drawn) * unit + middle).astype(np.float32).reshape(shape)
    return architecture.with_weights(tensors, "made of integers")


def picture(name, width, height, channels):
    """Samples of 8 bits, (height, width, channels)."""
    y, x, c = np.mgrid[:height, :width, :channels]
    if name == "noise":
        numbers = integers(1)
        return np.array([next(numbers) >> 24 for _ in range(x.size)], np.uint8).reshape(x.shape)
    samples = {
        "black": lambda: 0 * x,
        "white": lambda: 0 * x + 255,
        "checkerboard": lambda: (x + y + c) % 2 * 255,
        "lines": lambda: ((x % 7 == 3) | (y % 5 == 2) | ((x + 2 * y + c) % 11 == 0)) * 255,
        "edges": lambda: 3 * x + 2 * y + 85 * c + (x // 16 + y // 12) % 2 * 96,
        "photo": lambda: photo(x, y, c),
    }[name]()
    return (samples % 256).astype(np.uint8)


def photo(x, y, c):
    """Smooth noise of every size, the larger the stronger, of which the colours share what is large."""
    total = 0 * x
    for k in range(6):
        side, channel = 1 << k, c if k < 3 else 0
        i, j, u, v = x // side, y // side, x % side, y % side
        smooth = (
            lattice(i, j, k, channel) * (side - u) * (side - v)
            + lattice(i + 1, j, k, channel) * u * (side - v)
            + lattice(i, j + 1, k, channel) * (side - u) * v
            + lattice(i + 1, j + 1, k, channel) * u * v
        )
        total = total + (smooth >> 2 * k) * side
    return total // 63


def lattice(i, j, k, c):
    """A number of 8 bits for every point."""
    n = (i * 73856093 + j * 19349663 + k * 83492791 + c * 2654435761) % 2**32
    n = (n ^ n >> 13) * 1540483477 % 2**32
    return (n ^ n >> 15) % 256


@cache
def upscaler(name, isa, options):
    """The engine of a network; ``options`` as the list has them."""
    known = {key: value for key, value in options if key not in ("passes", "chroma")}
    strength, guard = float(known.pop("strength", 1)), known.pop("guard", "on")
    assert guard in ("on", "off")
    colour = known.pop("colour", "guided")
    assert not known, known
    return fsrcnn_rt.Upscaler(
        network(read_list()[0][name]),
        precision="int16",
        isa=isa,
        strength=strength,
        guard=guard == "on",
        colour=colour,
    )


def made(case, upscale, upscale_planes):
    """Samples that a case makes, as bytes.

    By ``upscale(image, width, height)`` and ``upscale_planes(planes, width, height, bits, subsampling,
    location)``.
    """
    width, height = case.size
    if case.target.startswith("x"):
        scale = int(case.target[1:])
        size = scale * width, scale * height
    else:
        size = pair(case.target)
    if case.layout == "yuv420":
        planes = [picture(case.picture, width, height, 3)[..., 0]]
        planes += [picture(case.picture, -(-width // 2), -(-height // 2), 3)[..., c] for c in (1, 2)]
        location = dict(case.options)["chroma"]
        results = upscale_planes(list(map(np.ascontiguousarray, planes)), *size, 8, (2, 2), location)
    else:
        results = [upscale(image_of(case), *size)]
    return b"".join(array.tobytes() for array in results)


def image_of(case):
    """What goes in, of all layouts but planes."""
    channels = CHANNELS[case.layout]
    image = picture(case.picture, *case.size, channels)
    if channels % 2 == 0:
        image[..., -1] = np.maximum(image[..., -1], 1)
    return image


def checksum(case, isa, threads):
    """SHA-256 of the samples that a case makes."""
    engine = upscaler(case.network, isa, case.options).with_threads(threads)
    if not case.target.startswith("x"):
        chosen = passes(case.size, pair(case.target), engine.scales)
        assert dict(case.options)["passes"] == ",".join(map(str, chosen)), case.line

    def upscale_planes(planes, width, height, bits, subsampling, location):
        layout = {"bits": bits, "subsampling": subsampling, "chroma_location": location}
        return engine.upscale_planes(planes, size=(width, height), **layout)

    samples = made(case, lambda image, *size: engine.upscale(image, size=size), upscale_planes)
    return hashlib.sha256(samples).hexdigest()


def main():
    """Compute the checksums of the list anew."""
    lines = LIST.read_text().splitlines()
    cases = iter(read_list()[1])
    for i, line in enumerate(lines):
        if line and not line.startswith(("#", "network ")):
            *_, old = line.split()
            lines[i] = line.removesuffix(old) + checksum(next(cases), "reference", 2)
    LIST.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
