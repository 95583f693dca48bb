"""Calls with arguments drawn at random: each gives a result, or the error that it documents."""

import random
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import conversions
import fuzz
import numpy as np
import oracle
import pytest
from fsrcnn_rt import Box, ScaleError, Upscaler, available_isas, load
from numpy.lib.stride_tricks import as_strided
from PIL import Image

MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]
MODES += ["F", "I", "I;16", "I;16B"]
USUAL_DTYPES = ["u1", "u1", "u1", "u2", "f4", "f4", "f2", "f8", ">u2", ">f4"]
DTYPES = [*USUAL_DTYPES, "i1", "i4", "i8", "u4", "?", "c8", "O", "U2", "S3", "M8[s]", "m8[s]", "g", "V3"]
DTYPES += ["u1,f4"]
NUMBERS = [0, 1, 2, 3, 4, 5, 16, 17, -1, 2.5, 1.0, 3.0, 16.0, np.nan, np.inf, -np.inf, 1e300, 1 << 40]
NUMBERS += [np.int8(3), np.uint64(2), np.float32(2.5), np.float64(3), np.float16(1.5), np.bool_(1)]
NUMBERS += [1 << 70, 10**5000, Fraction(5, 2), Decimal(3)]
OTHERS = [None, True, False, "3", "", "photo", b"23", b"\2\3", bytearray(b"\2"), memoryview(b"\2\3")]
OTHERS += [[], (), {}, set(), object(), Ellipsis, 2j, np.array(2), np.array([2, 3]), [2, [3]], {2: 3}, int]
OTHERS += [range(2, 4), range(1 << 60), "\ud800", "a\0b", Path("x"), lambda: 2, float]
OTHERS += [[2, 2], (2, 3), [2, 3, 4], (1.5, 7.25), [True], [None]]


class Sub(np.ndarray):
    """An array of a class of its own."""


class Lender:
    """What lends memory by the array interface, or claims to."""

    def __init__(self, interface: object) -> None:
        self.__array_interface__ = interface


@lru_cache
def upscalers():
    rng = np.random.default_rng(0)
    nets = [oracle.random_net(rng, 4, 2, 1), oracle.random_srcnn(rng, (5, 1, 3), 3, 2, planes=3)]
    nets += [oracle.random_graph(rng) for _ in range(2)]
    models = [conversions.to_model(net) for net in nets]
    options = [{"colour": "rgb"}, {"strength": 0.5, "threads": 2}, {"precision": "float32"}, {"guard": False}]
    made = [Upscaler(model, threads=1) for model in models]
    return made + [Upscaler(models[0], **{"threads": 1} | option) for option in options]


class Draw(random.Random):
    """Arguments, as a file tells by its content."""

    def array(self):
        shape = [self.choice([1, 2, 3, 4, 5, 7, 11]) for _ in range(self.choice([2, 2, 3, 3, 3, 0, 1, 4, 5]))]
        if len(shape) == 3 and self.random() < 0.8:
            shape[2] = self.randrange(1, 5)
        if self.random() < 0.05 and shape:
            shape[self.randrange(len(shape))] = 0
        dtype = np.dtype(self.choice(USUAL_DTYPES if self.random() < 0.7 else DTYPES))
        count = int(np.prod(shape)) * dtype.itemsize
        data = np.frombuffer(self.randbytes(count + 9), np.uint8)[self.choice([0, 0, 0, 1]) :][:count].copy()
        array = np.zeros(shape, dtype) if dtype.hasobject else data.view(dtype).reshape(shape)
        return self.changed(array)

    def changed(self, array):
        """Another view of an array, or another class."""
        change = self.randrange(16)
        if change == 0 and array.ndim:
            return np.flip(array, self.randrange(array.ndim))
        if change == 1:
            return array.T
        if change == 2:
            return np.asfortranarray(array)
        if change == 3 and array.ndim:
            return array[:: self.choice([2, 3, -2])]
        if change == 4 and array.size:
            return as_strided(array, array.shape, [0] * array.ndim)
        if change == 5:
            array.flags.writeable = False
        elif change == 6:
            return array.view(Sub)
        elif change == 7:
            return np.ma.masked_array(array)
        elif change == 8 and array.ndim == 2 and array.dtype.kind in "uf":
            return np.asmatrix(array)
        elif change == 9:
            return array.tolist()
        elif change == 10 and array.size:
            return array.ravel()[0]
        elif change == 11:
            claims = {
                "shape": ["x", (1 << 62, 4), None, (-1,)],
                "data": [None, 5, b"abc"],
                "typestr": ["|O8", 5],
            }
            key = self.choice(list(claims))
            lender = Lender(array.__array_interface__ | {key: self.choice(claims[key])})
            lender.kept = array
            return lender
        elif change == 12:
            raw = np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:]  # not aligned
            return array if array.dtype.hasobject else raw.view(array.dtype).reshape(array.shape)
        return array

    def picture(self):
        size = self.choice([(1, 1), (3, 2), (7, 5), (0, 3), (9, 1)])
        image = Image.new(self.choice(MODES), size)
        if self.random() < 0.2:
            image.info["transparency"] = self.choice([0, (1, 2, 3), b"\0", "x", None])
        if self.random() < 0.2:
            image.info["icc_profile"] = self.choice([b"", b"no profile", None, 5])
        if self.random() < 0.1:
            image.putpalette(self.randbytes(12), "RGBA") if image.mode == "P" else image.info.clear()
        return image

    def image(self):
        return self.choice([self.array, self.array, self.array, self.picture, self.anything])()

    def anything(self):
        return self.choice(
            [self.choice(NUMBERS), self.choice(OTHERS), [self.choice(NUMBERS), self.choice(NUMBERS)]]
        )

    def scale(self):
        usual = [2, 3, 4, None, 2.5, [2, 3], (1.5, 2), np.int64(2), 16]
        return self.choice(usual) if self.random() < 0.6 else self.anything()

    def size(self):
        if self.random() < 0.6:
            return None
        if self.random() < 0.3:
            return self.anything()
        width, height = (self.choice([5, 7, 9, 15, 30, 1, None]) for _ in range(2))
        return self.choice([tuple, list])((width, height)) if self.random() < 0.5 else Box(width, height)

    def out(self, image):
        if self.random() < 0.7:
            return None
        if isinstance(image, np.ndarray) and image.ndim in (2, 3) and self.random() < 0.8:
            shape = (image.shape[0] * 2, image.shape[1] * 2, *image.shape[2:])
            try:
                array = self.changed(np.empty(shape, image.dtype))
            except (TypeError, ValueError):
                return None
            return self.choice([array, image, {2: array}, {2: array, 3: array}, [array]])
        return self.anything()


def call(path: Path) -> None:
    """Call something; the content of the file is the seed of the draw."""
    draw = Draw(path.read_bytes())
    upscaler = draw.choice(upscalers())
    image = draw.image()
    options = {}
    if draw.random() < 0.2:
        options["channel_order"] = draw.choice(["bgr", "rgb", draw.anything()])
    kind = draw.randrange(10)
    if kind < 5:
        out = draw.out(image)
        if out is not None:
            options["out"] = out
        if draw.random() < 0.1:
            options["progress"] = draw.choice([lambda done: None, None, 5])
        result = upscaler.upscale(image, 2 if out is not None else draw.scale(), size=draw.size(), **options)
        if isinstance(image, np.ndarray) and isinstance(result, np.ndarray):
            assert result.dtype == image.dtype and result.ndim == image.ndim
    elif kind == 5:
        for _ in upscaler.map([image, draw.image()], draw.scale(), size=draw.size(), **options):
            pass
    elif kind == 6:
        planes = [draw.array() for _ in range(draw.choice([0, 1, 1, 1, 2, 3, 3]))]
        if (
            len(planes) == 3
            and isinstance(planes[0], np.ndarray)
            and planes[0].ndim == 2
            and draw.random() < 0.7
        ):
            planes[1:] = [np.zeros([-(-side // 2) for side in planes[0].shape], planes[0].dtype)] * 2
        options = {"bits": draw.choice([8, 8, 10, 16, draw.anything()])}
        if draw.random() < 0.3:
            options["subsampling"] = draw.choice([(2, 2), (1, 1), draw.anything()])
        if draw.random() < 0.3:
            options["chroma_location"] = draw.choice(["left", draw.anything()])
        given = planes if draw.random() < 0.9 else draw.anything()
        upscaler.upscale_planes(given, draw.scale(), size=draw.size(), **options)
    elif kind == 7:
        names = ["content", "denoise", "strength", "colour", "guard", "precision", "threads", "isa"]
        usual = ["auto", "rgb", "int16", "graphics", 0.5, 1, True, *available_isas()]
        chosen = {draw.choice(names): draw.choice([draw.choice(usual), draw.anything()]) for _ in range(2)}
        Upscaler(upscalers()[0].model, **chosen).upscale(image, draw.scale())
    elif kind == 8:
        options = {"qp": draw.choice([None, 20, draw.anything()])}
        upscaler.choose(image, **options).upscale(image)
    else:
        load(draw.choice(["none", draw.anything()]))


def targets():
    seeds = {"a.seed": b"\x27", "b.seed": b"\x2b", "c.seed": b"\x31"}  # by which results are drawn
    yield fuzz.Target("calls", seeds, call, (TypeError, ValueError, OSError))


def test_a_call_gives_a_result_or_its_error():
    fuzz.check(__file__, count=600)


@pytest.mark.parametrize("length", [60, 70])
def test_ranges_without_end_are_refused_at_once(length):
    image = np.zeros((3, 4), np.uint8)
    with pytest.raises(ScaleError, match="scale=0 is not above 1"):
        upscalers()[0].upscale(image, range(1 << length))
    with pytest.raises(TypeError, match="in whole pixels"):
        upscalers()[0].upscale(image, size=range(1 << length))


@pytest.mark.parametrize("scale", [b"23", b"\2\3", bytearray(b"\2\3"), memoryview(b"\2\3")], ids=type)
def test_bytes_are_no_scales(scale):
    with pytest.raises(TypeError, match="is not a number or a sequence of numbers"):
        upscalers()[0].upscale(np.zeros((3, 4), np.uint8), scale)
    with pytest.raises(TypeError, match=r"is not \(width, height\) in whole pixels"):
        upscalers()[0].upscale(np.zeros((3, 4), np.uint8), size=scale)
