"""fsrcnn-rt info: this machine, and what model files hold."""

import json
from dataclasses import replace

import fsrcnn_rt
import numpy as np
import pytest
from fsrcnn_rt import cli
from fsrcnn_rt.model import SHIPPED, idn, save_model, srcnn

pytestmark = pytest.mark.usefixtures("folder")


def test_info(capsys, monkeypatch):
    assert cli.main(["info"]) == 0
    output = capsys.readouterr().out
    assert f"fsrcnn-rt {fsrcnn_rt.__version__}\n" in output
    assert ", ".join(fsrcnn_rt.available_isas()) in output
    assert "fsrcnn: FSRCNN(56, 12, 4), x2, x3, x4" in output
    assert "fsrcnn-s: FSRCNN(32, 5, 1), x2, x3, x4; int16 for 8 bits, else float32" in output
    assert "srcnn: SRCNN 9-5-5 (64-32), x2, x3, x4; float32" in output
    monkeypatch.setenv("FSRCNN_RT_THREADS", "none")
    assert cli.main(["info"]) == 2
    assert capsys.readouterr().err == "fsrcnn-rt: info: FSRCNN_RT_THREADS='none' is not an integer\n"


def test_info_of_models(capsys, folder, model_file):
    network = idn.architecture(scales=[3])
    save_model(network.with_random_weights(np.random.default_rng(0), "größer"), "idn.safetensors")
    assert cli.main(["info", "fsrcnn-s", "idn.safetensors"]) == 0
    shipped, other = capsys.readouterr().out.split("\n\n")
    assert shipped.splitlines()[:2] == [
        "fsrcnn-s: FSRCNN(32, 5, 1), x2, x3, x4",
        "weights     9,121 of 4 convolutions and 3 heads",
    ]
    assert "precision   int16 for 8 bits, else float32" in shipped.splitlines()
    assert "trained on " in shipped
    assert other.splitlines() == [
        "größer: IDN(64, 4 blocks), x3",
        "weights     551,040 of 30 convolutions and 1 head",
        "operations  x3 551,040 multiplications for each input pixel",
        "reads       the picture, luma, 29 pixels around; gives what is added to the bicubic picture",
        "padding     zeros",
        "precision   float32",
        "provenance  unknown",
    ]


def test_info_as_json(capsys, folder, model_file):
    network = srcnn.architecture(srcnn.Shape((9, 1, 5), colour="rgb"), [2, 4])
    model = network.with_random_weights(np.random.default_rng(0), "größer")
    made = {"data": 5, "figures": {"what": {"x2": "high"}}}
    save_model(replace(model, provenance=made), "srcnn.safetensors")
    assert cli.main(["info", "./srcnn.safetensors", "--json", model_file.as_posix()]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    weights = 3 * 64 * 81 + 64 * 32
    head = 32 * 3 * 25
    assert told[0] == {
        "name": "größer",
        "family": "SRCNN",
        "shape": "SRCNN 9-1-5 (64-32, RGB)",
        "scales": [2, 4],
        "convolutions": 2,
        "weights": weights + 2 * head,
        "operations": {"x2": 4 * (weights + head), "x4": 16 * (weights + head)},
        "reach": 5,
        "precision": "float32",
        "padding": "replicate",
        "planes": 3,
        "colour": "rgb",
        "enlarged": True,
        "plus_bicubic": False,
        "provenance": made,
    }
    assert [told[1][key] for key in ("name", "shape", "precision")] == ["random", "FSRCNN(8, 3, 1)", "int16"]
    assert cli.main(["info", "srcnn.safetensors"]) == 0
    assert "provenance  unknown" in capsys.readouterr().out
    assert cli.main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == list(SHIPPED)


@pytest.mark.parametrize(
    ("name", "message"), [("nope", "neither a shipped model"), ("./nope", "No such model")]
)
def test_info_of_what_is_no_model(capsys, folder, name, message):
    assert cli.main(["info", "fsrcnn-s", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fsrcnn-rt: info: ") and message in err and err.count("\n") == 1
