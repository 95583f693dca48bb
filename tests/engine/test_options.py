"""The options of an upscaler: one list of them, and every function and command takes all that it can use."""

import io
import json
from argparse import Namespace
from dataclasses import fields

import fsrcnn_rt
import numpy as np
import pytest
from fsrcnn_rt import Upscaler, cli, upscale
from fsrcnn_rt.cli import bench, compare, video
from fsrcnn_rt.cli import eval as evaluation
from fsrcnn_rt.cli import upscale as pictures
from fsrcnn_rt.cli.arguments import ENGINE_OPTIONS, ArgumentParser, add_engine_options, engine_of
from fsrcnn_rt.engine.options import EngineOptions, Options
from fsrcnn_rt.engine.upscaler import as_upscaler
from fsrcnn_rt.video.y4m import upscale_y4m
from PIL import Image

GREY = np.random.default_rng(0).random((12, 14), np.float32)
GIVEN = {"strength": 0.5, "guard": False, "threads": 1, "isa": "reference"}
Y4M = b"YUV4MPEG2 W6 H4 F25:1 C420mpeg2\nFRAME\n" + bytes(range(24 + 12))


def test_types_and_values_are_the_same_list():
    assert [*EngineOptions.__annotations__] == [field.name for field in fields(Options)]
    assert all(f"``{field.name}``" in Upscaler.__doc__ for field in fields(Options))


def test_the_parser_has_them_all():
    parser = ArgumentParser()
    add_engine_options(parser.add_argument)
    options = parser.parse_args([])
    assert {*vars(options)} == ENGINE_OPTIONS - {"guard"}
    upscaler = engine_of(options, model="fsrcnn-s", threads=3)
    assert (upscaler.threads, upscaler.weights) == (3, None)
    words = "-m fsrcnn-s --content photo --denoise 2 --strength 0.5 --colour rgb -j 2 --isa reference"
    options = parser.parse_args(words.split())
    upscaler = engine_of(options)
    assert upscaler.weights.name == "fsrcnn-s-denoise2"
    assert (upscaler.strength, upscaler.colour, upscaler.threads, upscaler.isa) == (
        0.5,
        "rgb",
        2,
        "reference",
    )


@pytest.mark.parametrize("module", [pictures, compare, bench, evaluation, video], ids=lambda m: m.__name__)
def test_every_command_has_what_it_can_use(module):
    there = {flag for argument in module.parser().arguments for flag in argument.action.option_strings}
    expected = {f"--{name}" for name in ENGINE_OPTIONS - {"guard"}}
    if module in (evaluation, video):  # of luma alone, and with bicubic chroma
        expected.remove("--colour")
    assert expected <= there


def test_an_upscaler_in_place_of_a_model(model):
    upscaler = Upscaler(model, **GIVEN)
    assert as_upscaler(upscaler) is upscaler
    expected = upscaler.upscale(GREY, 2)
    assert not np.array_equal(expected, upscale(GREY, 2, model=model))
    np.testing.assert_array_equal(upscale(GREY, 2, model=upscaler), expected)
    np.testing.assert_array_equal(upscale(GREY, 2, model=model, **GIVEN), expected)
    report = fsrcnn_rt.measure_fps(upscaler, (8, 6), 2, seconds=0)
    assert (report.isa, report.threads) == ("reference", 1)


def test_an_upscaler_in_place_of_a_model_of_y4m(model):
    results = []
    for given in ({"model": Upscaler(model, **GIVEN)}, {"model": model, **GIVEN}, {"model": model}):
        sink = io.BytesIO()
        upscale_y4m(io.BytesIO(Y4M), sink, 2, **given)
        results.append(sink.getvalue())
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize(
    "call",
    [
        lambda upscaler, **options: upscale(GREY, 2, model=upscaler, **options),
        lambda upscaler, **options: fsrcnn_rt.measure_fps(upscaler, seconds=0, **options),
        lambda upscaler, **options: upscale_y4m(io.BytesIO(Y4M), io.BytesIO(), model=upscaler, **options),
    ],
)
def test_options_beside_an_upscaler(model, call):
    with pytest.raises(TypeError, match=r"strength is for making an upscaler, and model=<Upscaler .* is one"):
        call(Upscaler(model), strength=0.5)
    with pytest.raises(TypeError, match="nothing"):
        call(model, nothing=1)


def test_the_command_gives_its_options_on(model_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray((255 * GREY).astype(np.uint8)).resize((40, 36)).save("a.png")
    pages = []
    for options in ([], ["--strength", "0"], ["--strength", "0", "--colour", "rgb"]):
        command = ["compare", "a.png", "-m", str(model_file), "-o", "a.html", "--overwrite", *options]
        assert cli.main(command) == 0
        pages.append((tmp_path / "a.html").read_text().split(" ms")[0])
    assert pages[0] != pages[1]
    assert cli.main(["compare", "a.png", "-o", "b.html", "--strength", "2"]) == 2
    assert capsys.readouterr().err == "fsrcnn-rt: compare: strength=2.0 is not 0 to 1.5\n"
    asked = []
    monkeypatch.setattr(bench, "engine_of", lambda o, **changed: asked.append(o) or engine_of(o, **changed))
    command = ["bench", "-m", str(model_file), "--input-size", "8x8", "--seconds", "0", "-j", "1", "--json"]
    assert cli.main([*command, "--strength", "0.25", "--colour", "bicubic", "--channels", "rgb"]) == 0
    assert [(o.strength, o.colour) for o in asked] == [(0.25, "bicubic")]
    assert json.loads(capsys.readouterr().out)[0]["input_size"] == [8, 8]


def test_what_is_no_option_of_an_upscaler_is_left_alone(model_file):
    options = Namespace(model=str(model_file), strength=0.5, verbose=True, output="a.png")
    assert engine_of(options).strength == 0.5
