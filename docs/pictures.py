"""Makes the pictures of the README: ``python docs/pictures.py``, with fsrcnn-rt installed."""

from pathlib import Path

import fsrcnn_rt
import numpy as np
from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).parent
SCALE = 3

small = Image.open(DOCS / "cat.png")
size = (SCALE * small.width, SCALE * small.height)
small.resize(size, Image.Resampling.NEAREST).save(DOCS / "cat_nearest.png", optimize=True)
small.resize(size, Image.Resampling.BICUBIC).save(DOCS / "cat_bicubic.png", optimize=True)
fsrcnn_rt.upscale(small, SCALE).save(DOCS / "cat_x3.png", optimize=True)


def line() -> Image.Image:
    """Draw lines of one pixel, not antialiased."""
    picture = Image.new("L", (96, 64), 255)
    pen = ImageDraw.Draw(picture)
    pen.line((4, 6, 60, 34), fill=0)
    for angle in range(0, 180, 15):
        end = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) * 24
        pen.line((*(np.array([68, 36]) - end), *(np.array([68, 36]) + end)), fill=0)
    return picture


def text() -> Image.Image:
    """Print a piece of a page, small letters first."""
    picture = Image.new("L", (96, 64), 255)
    pen = ImageDraw.Draw(picture)
    for y, size, words in (
        (1, 9, "It is a truth universally"),
        (13, 11, "acknowledged,"),
        (28, 14, "that a single"),
    ):
        pen.text((3, y), words, fill=0, font=ImageFont.load_default(size))
    pen.text((3, 48), "man in possession", fill=0, font=ImageFont.load_default_imagefont())
    return picture


def dither() -> Image.Image:
    """Dither a photograph to black and white, as Floyd and Steinberg do."""
    return small.convert("L").resize((96, 64), Image.Resampling.BICUBIC).convert("1").convert("L")


# A row each: as it is, by the bicubic filter, by the weights that the command line takes.
engine = fsrcnn_rt.Upscaler(content="auto")
rows = []
for drawing in (line(), text(), dither()):
    large = (SCALE * drawing.width, SCALE * drawing.height)
    bicubic = drawing.resize(large, Image.Resampling.BICUBIC)
    columns = [drawing.resize(large, Image.Resampling.NEAREST), bicubic, engine.upscale(drawing, SCALE)]
    rows.append(np.concatenate([np.pad(np.asarray(column), 4, constant_values=128) for column in columns], 1))
Image.fromarray(np.concatenate(rows)).save(DOCS / "graphics.png", optimize=True)
