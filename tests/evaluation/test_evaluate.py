import math

import numpy as np
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.evaluation.ifc import ifc
from fsrcnn_rt.evaluation.metrics import imresize, rgb_to_y
from fsrcnn_rt.evaluation.protocol import (
    DatasetError,
    Figures,
    bicubic,
    evaluate,
    list_images,
    load_luma,
    make_pair,
    mean,
    to_8bit,
)
from PIL import Image


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def folder(tmp_path, rng):
    """Two smooth pictures, one of colour and one grey, of sizes that no scale divides."""
    path = tmp_path / "pictures"
    path.mkdir()
    for name, shape in ("b.png", (41, 53, 3)), ("a.bmp", (47, 43)):
        picture = imresize(rng.uniform(40, 215, (8, 8, *shape[2:])), shape=shape[:2])
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path / name)
    (path / "notes.txt").write_text("not a picture")
    return path


@pytest.fixture
def perfect(folder):
    """An upscaler that knows the pictures of the folder."""
    truth = {}
    for path in list_images(folder):
        for scale in (2, 3, 4):
            pair = make_pair(load_luma(path), scale)
            truth[pair.lr.shape] = pair.hr / np.float32(255)
    return lambda luma, scale: truth[luma.shape]


def test_perfect_and_bicubic_upscalers(folder, perfect):
    methods = {scale: {"perfect": perfect, "imresize": imresize} for scale in (2, 3, 4)}
    methods[3]["bicubic"] = bicubic
    results = evaluate(methods, list_images(folder))
    assert [(r.image.name, r.scale, r.method) for r in results] == [
        (n, s, m) for n in ("a.bmp", "b.png") for s in (2, 3, 4) for m in methods[s]
    ]
    assert all(r.figures == (math.inf, pytest.approx(1), None) for r in results if r.method == "perfect")
    by_imresize, by_bicubic = (
        [r for r in results if r.scale == 3 and r.method == m] for m in ("imresize", "bicubic")
    )
    assert [r.figures for r in by_imresize] == [r.figures for r in by_bicubic]


def test_pictures_are_read_once_for_all(folder, monkeypatch):
    read, shrunk = [], []
    monkeypatch.setattr(
        "fsrcnn_rt.evaluation.protocol.load_luma", lambda path: read.append(path.name) or load_luma(path)
    )
    monkeypatch.setattr(
        "fsrcnn_rt.evaluation.protocol.make_pair", lambda *a: shrunk.append(a[1]) or make_pair(*a)
    )
    evaluate({s: {"a": bicubic, "b": bicubic, "c": bicubic} for s in (2, 3)}, list_images(folder))
    assert read == ["a.bmp", "b.png"]
    assert shrunk == [2, 3, 2, 3]


def test_ifc_leaves_out_a_border_of_one_pixel(tmp_path, rng):
    Image.fromarray(rng.integers(256, size=(72, 81), dtype=np.uint8)).save(tmp_path / "noise.png")
    (result,) = evaluate({3: {"bicubic": bicubic}}, [tmp_path / "noise.png"], with_ifc=True)
    hr, lr = make_pair(load_luma(tmp_path / "noise.png"), 3)
    assert result.figures.ifc == ifc(hr[1:-1, 1:-1], to_8bit(bicubic(lr, 3))[1:-1, 1:-1])


def test_time_is_that_of_the_second_call(folder, monkeypatch):
    """A clock that only the method moves: 100 s for a first call, 7 s for a second."""
    clock = [0.0]
    monkeypatch.setattr("fsrcnn_rt.evaluation.protocol.perf_counter", lambda: clock[0])
    calls = []

    def method(luma, scale):
        calls.append(luma.shape)
        clock[0] += 100 if len(calls) % 2 else 7
        return bicubic(luma, scale)

    results = evaluate({2: {"slow": method}}, list_images(folder))
    assert [r.seconds for r in results] == [7, 7]
    assert len(calls) == 4


def test_pair_follows_the_protocol(rng):
    luma = rng.integers(256, size=(20, 31), dtype=np.uint8)
    pair = make_pair(luma, 3)
    assert np.array_equal(pair.hr, luma[:18, :30])
    assert pair.lr.dtype == np.float32
    assert pair.lr == pytest.approx(imresize(luma[:18, :30], 1 / 3) / 255, abs=1e-6)
    assert np.any(pair.lr * 255 != np.round(pair.lr * 255))  # stays float


def test_rounding_is_half_up_and_clips():
    luma = np.array([-0.1, 0, 0.5 / 255, 1.5 / 255, 254.4 / 255, 1, 7.0])
    assert to_8bit(luma).tolist() == [0, 0, 1, 2, 254, 255, 255]


def test_mean_of_figures():
    assert mean([Figures(30, 0.8), Figures(34, 0.9)]) == (32, pytest.approx(0.85), None)
    assert mean([Figures(30, 0.8, 2), Figures(34, 0.9, 3)]) == (32, pytest.approx(0.85), 2.5)


def test_luma_of_a_file(tmp_path, rng):
    colour = rng.integers(256, size=(6, 5, 3), dtype=np.uint8)
    image = Image.fromarray(colour)
    image.save(tmp_path / "rgb.png")
    image.putalpha(100)
    image.save(tmp_path / "rgba.png")
    Image.fromarray(colour[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(load_luma(tmp_path / "rgb.png"), rgb_to_y(colour))
    assert np.array_equal(load_luma(tmp_path / "rgba.png"), rgb_to_y(colour))
    assert np.array_equal(load_luma(tmp_path / "grey.png"), colour[..., 0])
    Image.fromarray(colour[..., 0].astype(np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DatasetError, match=r"deep\.png: not an 8-bit picture"):
        load_luma(tmp_path / "deep.png")


def test_list_images_refuses(tmp_path):
    with pytest.raises(DatasetError, match="no images in it"):
        list_images(tmp_path)
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")


def test_failures_raise_unless_told_apart(folder):
    (folder / "c.png").write_bytes(b"no picture")
    methods = {2: {"bicubic": bicubic}}
    with pytest.raises(OSError, match=r"c\.png"):
        evaluate(methods, list_images(folder))
    failed = []
    results = evaluate(methods, list_images(folder), on_error=lambda path, _: failed.append(path.name))
    assert failed == ["c.png"]
    assert len(results) == 2


# What every release must reach on Set5: scale -> PSNR in dB, model by model.
REQUIRED = {"fsrcnn": {2: 36.5, 3: 32.6, 4: 30.2}, "fsrcnn-s": {2: 36.1, 3: 32.1, 4: 29.7}}


def test_shipped_models_reach_their_quality(data_folder):
    upscalers = {name: Upscaler(name).upscale for name in REQUIRED}
    results = evaluate(dict.fromkeys((2, 3, 4), upscalers), list_images(data_folder / "Set5"))
    for name, by_scale in REQUIRED.items():
        for scale, required in by_scale.items():
            chosen = [r.figures for r in results if (r.method, r.scale) == (name, scale)]
            assert mean(chosen).psnr >= required, (name, scale)
