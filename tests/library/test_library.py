"""libfsrcnn by its C API: the conformance list, what Python gives, and what is refused."""

import ctypes
import hashlib
import json
import os
import struct
import sys
from pathlib import Path

import conformance
import fsrcnn_rt
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = Path(os.environ.get("FSRCNN_RT_LIBRARY", ROOT / "build" / "library" / "libfsrcnn.so"))
if not LIBRARY.exists():
    pytest.skip(f"the C API is tried on libfsrcnn: no {LIBRARY}", allow_module_level=True)

OK, BAD_ARGUMENT, BAD_MODEL = range(3)
PRECISIONS = ("auto", "float32", "int16")
COLOURS = ("guided", "bicubic", "rgb")
LOCATIONS = ("left", "center", "topleft")


class Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("precision", ctypes.c_int),
        ("colour", ctypes.c_int),
        ("strength", ctypes.c_float),
        ("guard", ctypes.c_int),
        ("threads", ctypes.c_int),
        ("isa", ctypes.c_char_p),
    ]


class Picture(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("width", "height", "channels", "bits")),
        ("stride", ctypes.c_ssize_t),
    ]


class Frame(ctypes.Structure):
    _fields_ = [
        ("planes", ctypes.c_void_p * 3),
        ("strides", ctypes.c_ssize_t * 3),
        *((name, ctypes.c_int32) for name in ("width", "height", "bits", "across", "down")),
        ("location", ctypes.c_int),
    ]


library = ctypes.CDLL(str(LIBRARY))
library.fsrcnn_error.restype = library.fsrcnn_version.restype = ctypes.c_char_p
library.fsrcnn_model_name.restype = ctypes.c_char_p


class RefusedError(Exception):
    def __init__(self, status):
        super().__init__(library.fsrcnn_error().decode())
        self.status = status


def check(status):
    if status != OK:
        raise RefusedError(status)


def address(array):
    return array.ctypes.data


class Engine:
    """A model opened from bytes, and an upscaler of it; the model is closed first, as it may be."""

    def __init__(
        self, file, precision="auto", colour="guided", strength=1.0, guard=True, threads=2, isa=None
    ):
        self.handle = ctypes.c_void_p()
        model = ctypes.c_void_p()
        check(library.fsrcnn_model_open(file, ctypes.c_size_t(len(file)), ctypes.byref(model)))
        self.name = library.fsrcnn_model_name(model).decode()
        options = Options()
        library.fsrcnn_options_init(ctypes.byref(options))
        options.precision, options.colour = PRECISIONS.index(precision), COLOURS.index(colour)
        options.strength, options.guard, options.threads = strength, guard, threads
        options.isa = isa and isa.encode()
        try:
            check(library.fsrcnn_upscaler_create(model, ctypes.byref(options), ctypes.byref(self.handle)))
        finally:
            library.fsrcnn_model_close(model)

    def __del__(self):
        library.fsrcnn_upscaler_close(self.handle)

    def upscale(self, image, width, height):
        result = np.full((height, width, *image.shape[2:]), 0x5A, image.dtype)
        check(library.fsrcnn_upscale(self.handle, *map(ctypes.byref, (picture(image), picture(result)))))
        return result

    def upscale_planes(self, planes, width, height, bits, subsampling, location):
        x, y = subsampling
        shapes = [(height, width), *2 * [(-(-height // y), -(-width // x))]]
        result = [np.zeros(shape, planes[0].dtype) for shape in shapes[: len(planes)]]
        frames = [frame(which, bits, subsampling, location) for which in (planes, result)]
        check(library.fsrcnn_upscale_frame(self.handle, *map(ctypes.byref, frames)))
        return result


def picture(image):
    height, width = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    return Picture(address(image), width, height, channels, 8 * image.itemsize, image.strides[0])


def frame(planes, bits, subsampling, location):
    addresses, strides = [address(plane) for plane in planes], [plane.strides[0] for plane in planes]
    return Frame(
        (ctypes.c_void_p * 3)(*addresses),
        (ctypes.c_ssize_t * 3)(*strides),
        *planes[0].shape[::-1],
        bits,
        *subsampling,
        LOCATIONS.index(location),
    )


def weights(name):
    return fsrcnn_rt.model.find(name).read_bytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Model files of the networks of the conformance list: the shipped ones, and those made of integers."""
    networks, _ = conformance.read_list()
    folder = tmp_path_factory.mktemp("networks")
    for name in networks:
        fsrcnn_rt.save_model(conformance.network(networks[name]), folder / name)
    return {name: (folder / name).read_bytes() for name in networks}


def test_every_case_of_the_conformance_list(files):
    engines = {}
    for case in conformance.read_list()[1]:
        options = dict(case.options)
        key = (case.network, *(options.get(name) for name in ("strength", "guard", "colour")))
        if key not in engines:
            engines[key] = Engine(
                files[case.network],
                precision="int16",
                strength=float(options.get("strength", 1)),
                guard=options.get("guard", "on") == "on",
                colour=options.get("colour", "guided"),
            )
        made = conformance.made(case, engines[key].upscale, engines[key].upscale_planes)
        assert hashlib.sha256(made).hexdigest() == case.checksum, case.line


@pytest.mark.parametrize("name", ["fsrcnn", "fsrcnn-s-graphics", "srcnn", "state2"])
@pytest.mark.parametrize("shape", [(23, 31), (17, 40, 2), (20, 26, 3), (33, 29, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_python_gives(name, shape, dtype):
    image = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    if len(shape) == 3 and shape[2] in (2, 4):  # holes, some of them wider than networks reach
        image[3:9, 5:7, -1] = image[12:, 8:, -1] = 0
    engine = Engine(weights(name))
    assert engine.name == name
    height, width = shape[:2]
    for size in (2 * width, 2 * height), (3 * width, 3 * height), (4 * width, 4 * height), (71, 90):
        expected = fsrcnn_rt.upscale(image, size=size, model=name)
        assert np.array_equal(engine.upscale(image, *size), expected), size


@pytest.mark.parametrize("subsampling", [(2, 2), (2, 1), (1, 1), (4, 2)])
@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("bits", [8, 10])
def test_planes_are_those_of_python(subsampling, location, bits):
    random = np.random.default_rng(4)
    x, y = subsampling
    shapes = [(21, 34), *2 * [(-(-21 // y), -(-34 // x))]]
    dtype = np.uint8 if bits == 8 else np.uint16
    planes = [random.integers(0, 1 << bits, shape, dtype) for shape in shapes]
    layout = {"bits": bits, "subsampling": subsampling}
    engine, upscaler = Engine(weights("fsrcnn-s")), fsrcnn_rt.Upscaler("fsrcnn-s")
    for size in (68, 42), (80, 60):
        expected = upscaler.upscale_planes(planes, size=size, chroma_location=location, **layout)
        made = engine.upscale_planes(planes, *size, **layout, location=location)
        assert all(map(np.array_equal, made, expected))


def test_options_mean_what_they_mean_to_python():
    image = np.random.default_rng(5).integers(0, 256, (30, 41, 4), np.uint8)
    for options in (
        {"precision": "float32"},
        {"colour": "rgb"},
        {"colour": "bicubic", "strength": 0.5, "guard": False},
        {"isa": "reference", "threads": 1},
    ):
        expected = fsrcnn_rt.upscale(image, 2, **options)
        assert np.array_equal(Engine(weights("fsrcnn"), **options).upscale(image, 82, 60), expected), options


def test_rows_may_lie_apart_or_upside_down():
    whole = np.random.default_rng(6).integers(0, 256, (20, 50, 3), np.uint8)
    engine = Engine(weights("fsrcnn-s"))
    for image in whole[::2, :30], whole[::-1, 7:]:
        expected = fsrcnn_rt.upscale(image, 2, model="fsrcnn-s")
        assert np.array_equal(engine.upscale(image, 2 * image.shape[1], 2 * len(image)), expected)


def refused(change, **of_result):
    """What is said of a picture of 10x8, of which something is changed, and of its result."""
    source, result = np.zeros((8, 10, 3), np.uint8), np.zeros((16, 20, 3), np.uint8)
    pictures = [picture(source), picture(result)]
    for which, changes in zip(pictures, (change, of_result), strict=True):
        for name, value in changes.items():
            setattr(which, name, value)
    engine = Engine(weights("fsrcnn-s"))
    with pytest.raises(RefusedError) as caught:
        check(library.fsrcnn_upscale(engine.handle, *map(ctypes.byref, pictures)))
    assert caught.value.status == BAD_ARGUMENT and not result.any()
    return str(caught.value)


def test_pictures_that_are_refused():
    assert refused({"data": None}) == "source.data is NULL"
    assert refused({}, data=None) == "result.data is NULL"
    assert refused({"width": 0}) == "source.width=0 is not 1 to 2^24"
    assert refused({"height": (1 << 24) + 1}) == "source.height=16777217 is not 1 to 2^24"
    assert refused({"channels": 5}) == "source.channels=5 is not 1 to 4"
    assert refused({"bits": 10}) == "source.bits=10 is neither 8 nor 16"
    assert refused({"stride": 29}) == "source.stride=29 is less than a row of 30 bytes"
    assert refused({"stride": -29}) == "source.stride=-29 is less than a row of 30 bytes"
    lowest = -(1 << 8 * struct.calcsize("n") - 1)
    assert refused({"stride": lowest}) == (
        f"source.stride={lowest} times height=8 is more than there are addresses"
    )
    assert refused({}, channels=1) == "result.channels=1 is not that of source, 3"
    assert refused({}, height=7, width=10) == "result of 10x7 is smaller than source of 10x8"
    assert refused({}, height=8, width=10) == "result of 10x8 is no larger than source"
    assert refused({"width": 1, "height": 1}) == (
        "result of 20x16 is more than 16 times as large as source of 1x1"
    )
    block = np.zeros(3000, np.uint8)
    at = address(block)
    assert refused({"data": at}, data=at + 230) == "result overlaps src"


def test_what_else_is_refused():
    handle = ctypes.c_void_p()
    assert library.fsrcnn_model_open(None, ctypes.c_size_t(0), ctypes.byref(handle)) == BAD_ARGUMENT
    assert library.fsrcnn_error() == b"bytes is NULL"
    assert library.fsrcnn_upscaler_create(None, None, ctypes.byref(handle)) == BAD_ARGUMENT
    assert library.fsrcnn_error() == b"model is NULL"
    for options, said in (
        ({"threads": 1025}, "options.threads=1025 is not 0 to 1024"),
        ({"strength": float("nan")}, "strength=nan is not 0 to 1.5"),
        ({"isa": "abacus"}, "isa='abacus' is not available on this processor"),
    ):
        with pytest.raises(RefusedError) as caught:
            Engine(weights("fsrcnn"), **options)
        assert str(caught.value).startswith(said) and caught.value.status == BAD_ARGUMENT
    with pytest.raises(RefusedError, match="precision=int16") as caught:
        Engine(weights("srcnn"), precision="int16")
    assert caught.value.status == BAD_MODEL
    library.fsrcnn_model_close(None)
    library.fsrcnn_upscaler_close(None)


def parts(file):
    length = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + length]), file[8 + length :]


def joined(header, data):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def damaged(file):
    """Yield ways to damage a model file, and what is said of it."""
    header, data = parts(file)
    yield b"", "it has 0 bytes"
    yield file[:1000], "no header"
    yield file[:-4], "tensors|data_offsets"
    yield file + b"1234", "more follows"
    yield (1 << 24).to_bytes(8, "little") + file[8:], "header of 16777216 bytes"
    yield joined({"many": [0] * (1 << 21)}, b""), "more than 262144 values"
    yield joined({**header, "extra": header["head.x2.bias"]}, data), "do not follow each other"
    yield joined({**header, "head.x2.bias": {"dtype": "F32"}}, data), "exactly the keys"
    name = "head.x2.weight"
    for key, value, said in (
        ("dtype", "F16", "dtype 'F16'"),
        ("shape", [56, 81], "shape"),
        ("shape", [1 << 40], "sides|more than"),
        ("shape", [-1], "whole numbers"),
        ("data_offsets", [0, 1 << 62], "data_offsets"),
        ("data_offsets", [8, 4], "data_offsets"),
    ):
        yield joined({**header, name: {**header[name], key: value}}, data), said
    yield (
        joined({key: header[key] for key in header if key != name}, data),
        "do not follow|missing|more follows",
    )
    for key, value, said in (
        ("format_version", "3", "format_version|not supported"),
        ("name", "", "printable"),
        ("provenance", "[]", "not a JSON object"),
        ("provenance", "{" * 70, "is not JSON"),
        ("provenance", '{"a":' * 70 + "1" + "}" * 70, "nested more than 64"),
        ("provenance", '{"a": 1' + " " * (1 << 20) + "}", "more than 1048576"),
        ("padding", "mirror", "neither 'zeros'"),
        ("heads", '{"5": {}}', "none of 2, 3, 4"),
        ("layers", "[]", "at least 3"),
        ("layers", '[1, 2, "\\ud800"]', "half a character"),
    ):
        metadata = {**header["__metadata__"], key: value}
        yield joined({**header, "__metadata__": metadata}, data), said
    begin = header[name]["data_offsets"][0]
    yield joined(header, data[:begin] + struct.pack("<f", float("nan")) + data[begin + 4 :]), "not finite"


def test_damaged_models_are_refused_as_python_refuses_them(tmp_path):
    for file, said in damaged(weights("fsrcnn")):
        with pytest.raises(RefusedError, match=said) as caught:
            Engine(file)
        assert caught.value.status == BAD_MODEL
        path = tmp_path / "damaged"
        path.write_bytes(file)
        with pytest.raises(fsrcnn_rt.ModelError):
            fsrcnn_rt.load(path)


def test_any_change_of_a_byte_is_refused_or_read_as_python_reads_it(tmp_path):
    random = np.random.default_rng(8)
    file = weights("fsrcnn-s")
    length = 8 + int.from_bytes(file[:8], "little")
    path = tmp_path / "changed"
    for _ in range(150):
        changed = bytearray(file)
        for _ in range(random.integers(1, 4)):
            changed[random.integers(0, length)] = random.choice(list(b'{}[]",:0159 eE\\u\x00\xff'))
        path.write_bytes(changed)
        try:
            expected = fsrcnn_rt.load(path)
        except fsrcnn_rt.ModelError:
            expected = None
        try:
            name = Engine(bytes(changed)).name
        except RefusedError as error:
            assert error.status == BAD_MODEL
            assert expected is None or "twice" in str(error), error
        else:
            assert expected is not None and name == expected.name


@pytest.mark.parametrize("name", fsrcnn_rt.model.SHIPPED)
def test_every_shipped_model_opens(name):
    assert Engine(weights(name)).name == name


def test_nothing_but_the_api_is_exported():
    if not sys.platform.startswith("linux"):
        pytest.skip("exported symbols are read by nm")
    import subprocess

    names = subprocess.run(
        ["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True
    )
    symbols = {line.split()[-1].partition("@")[0] for line in names.stdout.splitlines() if " A " not in line}
    declared = (ROOT / "src" / "fsrcnn_cpp" / "fsrcnn.h").read_text()
    assert symbols and all(name.startswith("fsrcnn_") and f"{name}(" in declared for name in symbols)
