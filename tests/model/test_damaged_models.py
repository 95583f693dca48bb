"""Model files damaged at random: each is refused, or makes a model that works."""

import re
import struct
import tempfile
from pathlib import Path

import conversions
import fuzz
import numpy as np
import oracle
import pytest
from fsrcnn_rt import ModelError, Upscaler, load, save_model
from fsrcnn_rt.model import Model, srcnn
from fsrcnn_rt.model import find as shipped


def networks() -> dict[str, Model]:
    """Small ones, that hold all that a file can."""
    rng = np.random.default_rng(0)
    colour = srcnn.architecture(srcnn.Shape((5, 1, 3), 3, 2, "ycbcr")).with_random_weights(rng)
    return {
        "fsrcnn": conversions.to_model(oracle.random_net(rng, 4, 2, 1, border=1)),
        "srcnn": colour,
        "graph": conversions.to_model(oracle.random_graph(rng)),
    }


def use(path: Path) -> None:
    """Read a model, have it make pictures larger, and write it again."""
    model = load(path)
    upscaler = Upscaler(model, threads=1)
    for dtype in np.uint8, np.float32:
        for scale in model.scales:
            assert upscaler.upscale(np.ones((5, 7), dtype), scale).shape == (5 * scale, 7 * scale)
    assert model.family in repr(model)
    save_model(model, path.with_suffix(".again"))
    again = load(path.with_suffix(".again"))
    assert again.architecture == model.architecture
    assert again.provenance == model.provenance or "nan" in str(again.provenance).lower()


def targets():
    with tempfile.TemporaryDirectory() as folder:
        seeds = {}
        for name, model in networks().items():
            path = Path(folder, f"{name}.safetensors")
            save_model(model, path)
            seeds[path.name] = path.read_bytes()
    first = {"first.safetensors": shipped("fsrcnn-s").read_bytes()}
    for name, files in ("version 2", seeds), ("version 1", first):
        yield fuzz.Target(f"{name}, any byte", files, use, (ModelError,))
        headers = {key: header(data) for key, data in files.items()}
        yield fuzz.Target(f"{name}, header", headers, use_header, (ModelError,))


def header(data: bytes) -> bytes:
    return data[8 : 8 + struct.unpack("<Q", data[:8])[0]]


def use_header(path: Path) -> None:
    """Use a file of this header, with as many numbers behind it as its tensors take."""
    text = path.read_bytes()
    ends = re.findall(rb'"data_offsets":\s*\[\d+,\s*(\d{1,6})\]', text)
    numbers = np.full(max(map(int, ends), default=0) // 4 + 1, 0.01, np.float32).tobytes()
    numbers = numbers[: max(map(int, ends), default=0)]
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    use(path)


NAMES = [f"version {version}, {part}" for version in (1, 2) for part in ("any byte", "header")]


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_model_is_refused_or_works(name):
    fuzz.check(__file__, name)
