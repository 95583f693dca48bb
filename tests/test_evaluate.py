import math

import numpy as np
import pytest
from fsrcnn_rt import Upscaler, cli
from fsrcnn_rt.evaluate import (
    DatasetError,
    Figures,
    evaluate,
    list_images,
    load_luma,
    main,
    make_pair,
    mean,
    to_8bit,
)
from fsrcnn_rt.metrics import imresize, rgb_to_y
from fsrcnn_rt.model import Model, save_model
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


def test_perfect_and_bicubic_upscalers(folder):
    truth = {}
    for path in list_images(folder):
        for scale in (2, 3, 4):
            pair = make_pair(load_luma(path), scale)
            truth[pair.lr.shape] = pair.hr / np.float32(255)
    perfect = evaluate(lambda luma, scale: truth[luma.shape], list_images(folder), [2, 3, 4])
    assert [(r.image.name, r.scale) for r in perfect] == [
        (n, s) for n in ("a.bmp", "b.png") for s in (2, 3, 4)
    ]
    assert all(r.model == (math.inf, pytest.approx(1)) for r in perfect)
    for result in evaluate(imresize, list_images(folder), [3]):
        assert result.model == pytest.approx(result.bicubic)


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
    assert mean([Figures(30, 0.8), Figures(34, 0.9)]) == pytest.approx((32, 0.85))


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
    with pytest.raises(OSError, match=r"c\.png"):
        evaluate(imresize, list_images(folder), [2])
    failed = []
    results = evaluate(imresize, list_images(folder), [2], on_error=lambda path, _: failed.append(path.name))
    assert failed == ["c.png"]
    assert len(results) == 2


def test_command_prints_every_picture_and_the_mean(folder, model_file, model, capsys):
    assert main([str(folder), "-s", "2,3", "-m", str(model_file), "-j", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert len(lines) == 10
    assert lines[0].endswith("x2 on pictures")
    assert [line.split()[0] for line in lines[2:5]] == ["a.bmp", "b.png", "mean"]
    results = evaluate(Upscaler(model).upscale, list_images(folder), [2])
    expected = mean([r.model for r in results]) + mean([r.bicubic for r in results])
    assert [float(word) for word in lines[4].split()[1:]] == pytest.approx(expected, abs=0.006)


def test_command_goes_on_after_a_failed_picture(folder, model_file, capsys):
    (folder / "broken.png").write_bytes(b"no picture")
    Image.new("L", (8, 8)).save(folder / "tiny.png")
    assert cli.main(["eval", str(folder), "-m", str(model_file)]) == 1
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.splitlines()] == ["fsrcnn-rt eval"] * 2
    assert "broken.png" in err
    assert "tiny.png" in err
    assert "a.bmp" in out
    assert "broken" not in out


def test_command_refuses(folder, model_file, model, tmp_path, capsys):
    only_x2 = tmp_path / "x2.safetensors"
    save_model(Model(model.layers, {2: model.heads[2]}, model.padding, "x2"), only_x2)
    for arguments, message in [
        ([], "FOLDER"),
        ([str(folder), "-s", "5"], "'5' is not 2, 3 or 4"),
        ([str(folder), "-s", "2,2"], "'2,2' is not"),
        ([str(folder), "-m", "nothing"], "model='nothing'"),
        ([str(folder), "-m", str(tmp_path / "nothing.safetensors")], "nothing.safetensors"),
        ([str(tmp_path / "nowhere"), "-m", str(model_file)], "nowhere: no such folder"),
        ([str(folder), "-m", str(only_x2)], "scale=3 is not offered"),
        ([str(folder), "-m", str(model_file), "-j", "0"], "threads=0"),
        ([str(folder), "-m", str(model_file), "--isa", "mmx"], "mmx"),
    ]:
        assert cli.main(["eval", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
        assert err.count("\n") == 1


# What every release must reach on Set5: scale -> PSNR in dB, model by model.
REQUIRED = {"fsrcnn": {2: 36.5, 3: 32.6, 4: 30.2}, "fsrcnn-s": {2: 36.1, 3: 32.1, 4: 29.7}}


@pytest.mark.parametrize("name", REQUIRED)
def test_shipped_models_reach_their_quality(data_folder, name):
    results = evaluate(Upscaler(name).upscale, list_images(data_folder / "Set5"), [2, 3, 4])
    for scale, required in REQUIRED[name].items():
        assert mean([r.model for r in results if r.scale == scale]).psnr >= required
