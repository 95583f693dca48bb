"""Files for the tests of the command line: pictures, and what is there."""

import numpy as np
from PIL import Image


def picture(path, mode="RGB", size=(12, 9), **options):
    """Save a random picture."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    samples = np.random.default_rng(0).integers(1, 256, (*size[::-1], *channels), np.uint8)
    image = Image.fromarray(samples)
    image.save(path, **options)
    return image


def names(folder):
    """Names of all files below a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
