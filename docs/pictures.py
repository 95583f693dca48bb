"""Makes the pictures of the README: ``python docs/pictures.py``, with fsrcnn-rt installed."""

from pathlib import Path

import fsrcnn_rt
from PIL import Image

DOCS = Path(__file__).parent
SCALE = 3

small = Image.open(DOCS / "cat.png")
size = (SCALE * small.width, SCALE * small.height)
small.resize(size, Image.Resampling.NEAREST).save(DOCS / "cat_nearest.png", optimize=True)
small.resize(size, Image.Resampling.BICUBIC).save(DOCS / "cat_bicubic.png", optimize=True)
fsrcnn_rt.upscale(small, SCALE).save(DOCS / "cat_x3.png", optimize=True)
