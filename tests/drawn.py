"""Graphics drawn for the tests: lines, text, user interfaces, pixel art, scans, dithers, charts."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

TEXT = (
    "the quick brown fox jumps over a lazy dog while Quartz judges vow 0123456789 to pack my box, with "
    "(five) dozen liquor jugs; File Edit View Help Save as... 100% OK Cancel"
)
WORDS = TEXT.split()


def _colour(rng, dark=None):
    colour = rng.integers(0, 256, 3)
    if dark is not None:
        colour = colour // 3 if dark else 255 - colour // 4
    return tuple(map(int, colour))


def _pair(rng):
    """Paper and ink: black on white half of the time, else any of far apart brightness."""
    if rng.random() < 0.5:
        return (255, 255, 255), (0, 0, 0)
    dark = bool(rng.random() < 0.4)
    return _colour(rng, dark), _colour(rng, not dark)


def _supersampled(size, draw, paper, factor=4):
    large = Image.new("RGB", (size[0] * factor, size[1] * factor), paper)
    draw(ImageDraw.Draw(large), factor)
    return large.resize(size, Image.Resampling.BOX)


def _strokes(rng, size):
    strokes = []
    for _ in range(int(rng.integers(6, 30))):
        ends = rng.uniform(0, 1, 4) * [*size, *size]
        strokes.append((ends, int(rng.integers(1, 4)), rng.random()))
    return strokes


def lines(rng, size, smooth):
    """Lines at all angles, 1 to 3 pixels wide."""
    paper, ink = _pair(rng)
    strokes = _strokes(rng, size)

    def draw(pen, factor):
        for ends, width, _ in strokes:
            pen.line([float(v) * factor for v in ends], fill=ink, width=width * factor)

    if smooth:
        return _supersampled(size, draw, paper)
    image = Image.new("RGB", size, paper)
    draw(ImageDraw.Draw(image), 1)
    return image


def aliased_lines(rng, size):
    return lines(rng, size, False)


def smooth_lines(rng, size):
    return lines(rng, size, True)


def line_art(rng, size):
    """Curves, circles and filled shapes with outlines."""
    paper, ink = _pair(rng)
    curves = []
    for _ in range(int(rng.integers(3, 10))):
        t = np.linspace(0, 2 * np.pi, 60)
        centre, radius = rng.uniform(0, 1, 2) * size, rng.uniform(0.05, 0.35) * min(size)
        wobble = 1 + rng.uniform(0, 0.4) * np.sin(int(rng.integers(2, 6)) * t + rng.uniform(0, 6))
        curves.append((centre, radius, t, wobble, _colour(rng) if rng.random() < 0.4 else None))

    def draw(pen, factor):
        for centre, radius, t, wobble, fill in curves:
            x = (centre[0] + radius * wobble * np.cos(t)) * factor
            y = (centre[1] + radius * wobble * np.sin(t)) * factor
            points = list(zip(x.tolist(), y.tolist(), strict=True))
            if fill:
                pen.polygon(points, fill=fill)
            pen.line([*points, points[0]], fill=ink, width=2 * factor)

    return _supersampled(size, draw, paper)


def _write(pen, rng, box, ink, font, spacing):
    left, top, right, bottom = box
    y = top
    while y + spacing <= bottom:
        if rng.random() < 0.9:
            text = ""
            while pen.textlength(text, font=font) < rng.uniform(0.5, 1.0) * (right - left):
                text += str(rng.choice(WORDS)) + " "
            while text and pen.textlength(text, font=font) > right - left:
                text = text[:-1]
            pen.text((left, y), text, fill=ink, font=font)
        y += spacing


def text(rng, size, aliased=False):
    paper, ink = _pair(rng)
    points = int(rng.integers(6, 17))
    image = Image.new("RGB", size, paper)
    pen = ImageDraw.Draw(image)
    pen.fontmode = "1" if aliased else "L"
    _write(
        pen, rng, (4, 4, size[0] - 4, size[1] - 4), ink, ImageFont.load_default(points), round(points * 1.3)
    )
    return image


def smooth_text(rng, size):
    return text(rng, size)


def aliased_text(rng, size):
    return text(rng, size, True)


def bitmap_text(rng, size):
    paper, ink = _pair(rng)
    image = Image.new("RGB", size, paper)
    pen = ImageDraw.Draw(image)
    _write(pen, rng, (4, 4, size[0] - 4, size[1] - 4), ink, ImageFont.load_default_imagefont(), 13)
    return image


def _gradient(size, first, last, horizontal=False):
    """A gradient as toolkits draw it, rounded to 8 bits."""
    width, height = size
    steps = np.linspace(0, 1, width if horizontal else height)[:, None]
    row = np.rint(np.asarray(first) * (1 - steps) + np.asarray(last) * steps).astype(np.uint8)
    array = np.broadcast_to(row[None] if horizontal else row[:, None], (height, width, 3))
    return Image.fromarray(np.ascontiguousarray(array))


def interface(rng, size):
    """A window with a title bar, buttons, a list and text, on a background with a gradient."""
    image = _gradient(size, _colour(rng, True), _colour(rng, False), bool(rng.random() < 0.3))
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(int(rng.integers(9, 14)))
    for _ in range(int(rng.integers(1, 4))):
        left, top = (int(v) for v in rng.uniform(0, 0.5, 2) * size)
        width, height = (int(v) for v in rng.uniform(0.35, 0.8, 2) * size)
        paper, ink = _pair(rng)
        pen.rounded_rectangle((left, top, left + width, top + height), 4, fill=paper, outline=_colour(rng))
        bar = _gradient((width, 18), _colour(rng), _colour(rng))
        image.paste(bar, (left, top))
        pen.text((left + 5, top + 2), "Untitled - Window", fill=(255, 255, 255), font=font)
        _write(pen, rng, (left + 6, top + 24, left + width - 6, top + height - 30), ink, font, 15)
        for button in range(int(rng.integers(1, 4))):
            x, y = left + 8 + 62 * button, top + height - 24
            pen.rounded_rectangle((x, y, x + 54, y + 18), 3, fill=_colour(rng, False), outline=ink)
            pen.text((x + 8, y + 3), str(rng.choice(WORDS)), fill=(20, 20, 20), font=font)
    return image


def pixel_art(rng, size):
    """Tiles and sprites of a few colours, drawn at 1 to 4 times their size."""
    zoom = int(rng.integers(1, 5))
    colours = rng.integers(0, 256, (int(rng.integers(4, 33)), 3), np.uint8)
    width, height = -(-size[0] // zoom), -(-size[1] // zoom)
    field = np.zeros((height, width), np.intp)
    for _ in range(int(rng.integers(5, 25))):
        half = rng.integers(0, len(colours), (8, 4)) * (rng.random((8, 4)) < 0.6)
        sprite = np.concatenate([half, half[:, ::-1]], axis=1)
        for _ in range(int(rng.integers(1, 12))):
            y, x = int(rng.integers(0, max(1, height - 8))), int(rng.integers(0, max(1, width - 8)))
            part = field[y : y + 8, x : x + 8]
            cut = sprite[: part.shape[0], : part.shape[1]]
            part[cut > 0] = cut[cut > 0]
    return Image.fromarray(colours[field]).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)


def scan(rng, size):
    """A page as a fax has it: text and lines, 1 bit, with specks and ragged edges."""
    large = Image.new("L", size, 255)
    pen = ImageDraw.Draw(large)
    points = int(rng.integers(10, 17))
    _write(pen, rng, (6, 6, size[0] - 6, size[1] - 6), 0, ImageFont.load_default(points), round(points * 1.4))
    pen.rectangle((3, 3, size[0] - 4, size[1] - 4), outline=0)
    array = np.asarray(
        large.rotate(float(rng.uniform(-2, 2)), Image.Resampling.BICUBIC, fillcolor=255), float
    )
    noisy = array + rng.normal(0, 40, array.shape)
    return Image.fromarray(noisy > 128)


def chart(rng, size):
    """Bars, curves or slices with axes and labels."""
    image = Image.new("RGB", size, (255, 255, 255))
    font = ImageFont.load_default(int(rng.integers(8, 13)))
    width, height = size
    kind = int(rng.integers(0, 3))
    values = rng.uniform(0.1, 0.9, int(rng.integers(4, 12)))
    colours = [_colour(rng) for _ in values]

    def draw(pen, factor):
        base, left = (height - 20) * factor, 24 * factor
        pen.line((left, 8 * factor, left, base, (width - 8) * factor, base), fill=(0, 0, 0), width=factor)
        step = (width - 40) / len(values)
        if kind == 0:
            for i, value in enumerate(values):
                x = (28 + i * step) * factor
                top = base - value * (height - 40) * factor
                pen.rectangle((x, top, x + 0.7 * step * factor, base), fill=colours[i])
        elif kind == 1:
            for series in range(3):
                ys = base - (values * (series + 1) / 3) * (height - 40) * factor
                xs = (28 + np.arange(len(values)) * step) * factor
                points = list(zip(xs.tolist(), ys.tolist(), strict=True))
                pen.line(points, fill=colours[series], width=2 * factor)
        else:
            side = (min(size) - 40) * factor
            box = (40 * factor, 10 * factor, 40 * factor + side, 10 * factor + side)
            angles = np.concatenate([[0], np.cumsum(values) / values.sum() * 360])
            for i in range(len(values)):
                pen.pieslice(box, float(angles[i]), float(angles[i + 1]), fill=colours[i])

    image = _supersampled(size, draw, (255, 255, 255))
    pen = ImageDraw.Draw(image)
    for i in range(5):
        pen.text((2, 8 + i * (height - 36) // 5), f"{100 - 20 * i}", fill=(0, 0, 0), font=font)
        pen.text((30 + i * (width - 40) // 5, height - 16), str(rng.choice(WORDS)), fill=(0, 0, 0), font=font)
    return image


def shapes(rng, size):
    """A logo or an icon: large shapes of a few colours, with soft shadows now and then."""
    paper = _colour(rng)
    kinds = [
        (rng.uniform(0, 1, 4), _colour(rng), int(rng.integers(0, 3))) for _ in range(int(rng.integers(3, 9)))
    ]

    def draw(pen, factor):
        for corners, fill, kind in kinds:
            x0, x1 = sorted(corners[:2] * size[0] * factor)
            y0, y1 = sorted(corners[2:] * size[1] * factor)
            if kind == 0:
                pen.ellipse((x0, y0, x1, y1), fill=fill)
            elif kind == 1:
                pen.rounded_rectangle((x0, y0, x1 + 1, y1 + 1), 5, fill=fill)
            else:
                pen.polygon([(x0, y1), (x1, y1), ((x0 + x1) / 2, y0)], fill=fill)

    return _supersampled(size, draw, paper)


def picture(rng, size):
    """What stands for a photograph: smooth shapes, texture and the noise of a sensor."""
    height, width = size[1], size[0]
    array = np.zeros((height, width, 3))
    for octave in range(1, 6):
        cells = rng.random((2**octave + 1, 2**octave + 1, 3)) * 255
        layer = Image.fromarray(cells.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        array += np.asarray(layer, float) / 1.6**octave
    array = (array - array.min()) / (array.max() - array.min()) * 255
    array += rng.normal(0, 2, array.shape)
    return Image.fromarray(array.clip(0, 255).astype(np.uint8))


def screenshot(rng, size, photo=None):
    """A page with text and a photograph in it, of a tenth to a third of the page."""
    paper, ink = _pair(rng)
    image = Image.new("RGB", size, paper)
    part = rng.uniform(0.3, 0.58)
    shown = (int(size[0] * part), int(size[1] * part))
    image.paste((photo or picture(rng, shown)).convert("RGB").resize(shown), (6, 24))
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(int(rng.integers(9, 15)))
    pen.rectangle((0, 0, size[0], 18), fill=_colour(rng))
    _write(pen, rng, (4, 2, size[0] - 4, 18), (255, 255, 255), font, 16)
    _write(pen, rng, (shown[0] + 14, 24, size[0] - 4, 24 + shown[1]), ink, font, 16)
    _write(pen, rng, (6, shown[1] + 30, size[0] - 6, size[1] - 2), ink, font, 16)
    return image


def diffused(rng, size, photo=None):
    """A photograph as black and white dots, by error diffusion."""
    return (photo or picture(rng, size)).convert("1")


def ordered(rng, size, photo=None):
    """A photograph of 2 to 6 levels a channel, by an ordered dither."""
    array = np.asarray((photo or picture(rng, size)).convert("RGB" if rng.random() < 0.5 else "L"), float)
    cell = np.array([[0]])
    for _ in range(int(rng.integers(1, 4))):
        cell = np.block([[4 * cell, 4 * cell + 2], [4 * cell + 3, 4 * cell + 1]])
    threshold = (cell + 0.5) / cell.size
    height, width = array.shape[:2]
    tiled = np.tile(threshold, (-(-height // len(cell)), -(-width // len(cell))))[:height, :width]
    levels = int(rng.integers(1, 6))
    offset = tiled if array.ndim == 2 else tiled[..., None]
    return Image.fromarray(
        (np.floor(array / 255 * levels + offset).clip(0, levels) * 255 // levels).astype(np.uint8)
    )


def palette(rng, size, photo=None):
    """A photograph as an early GIF: 16 colours, by error diffusion."""
    return (photo or picture(rng, size)).convert("RGB").quantize(16)


KINDS = (
    aliased_lines,
    smooth_lines,
    line_art,
    smooth_text,
    aliased_text,
    bitmap_text,
    interface,
    pixel_art,
    scan,
    chart,
    shapes,
    screenshot,
    diffused,
    ordered,
    palette,
)

#: How pictures are made smaller; a dither is none any more after most of these, but a photograph.
FILTERS = {
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def smaller(image, factor, name):
    """Make a picture smaller; the modes of few colours become those of many, but for nearest."""
    if image.mode in ("1", "P") and name != "nearest":
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image.resize((image.width // factor, image.height // factor), FILTERS[name])


def blurred(image, radius):
    return image.filter(ImageFilter.GaussianBlur(radius))
