import os
import signal
from pathlib import Path

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from conversions import to_model
from fsrcnn_rt import cli
from fsrcnn_rt.model import VARIANTS, save_model


@pytest.fixture(params=fsrcnn_rt.available_isas())
def isa(request):
    """Every kernel set that this machine runs, by turns."""
    return request.param


@pytest.fixture(scope="session")
def data_folder():
    """Pictures that are not part of the repository."""
    folder = Path(os.environ.get("FSRCNN_RT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test pictures: {folder} is not there (FSRCNN_RT_DATA names another folder)")
    return folder


# A shell that starts pytest in the background has it ignore SIGINT, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """What the caller has set must not decide whether a test passes."""
    monkeypatch.delenv("FSRCNN_RT_THREADS", raising=False)
    monkeypatch.delenv("FSRCNN_RT_ISA", raising=False)


@pytest.fixture(scope="session")
def net():
    """A small random network, FSRCNN(8, 3, 1)."""
    return oracle.random_net(np.random.default_rng(5), 8, 3, 1)


@pytest.fixture(scope="session")
def model(net):
    return to_model(net)


@pytest.fixture(scope="session")
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    save_model(model, path)
    return path


@pytest.fixture
def variants(monkeypatch, tmp_path):
    """All weights of fsrcnn, small and random, in place of the shipped ones; models by name."""
    models = {}
    (tmp_path / "package" / "weights").mkdir(parents=True)
    for seed, name in enumerate(["fsrcnn", *(f"fsrcnn-{variant}" for variant in VARIANTS)]):
        models[name] = to_model(oracle.random_net(np.random.default_rng(seed), 8, 3, 1), name)
        save_model(models[name], tmp_path / "package" / "weights" / f"{name}.safetensors")
    monkeypatch.setattr(fsrcnn_rt, "__path__", [str(tmp_path / "package"), *fsrcnn_rt.__path__])
    return models


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run_silent(model_file, capfd):
    """Call the command with the small model, stdout staying empty; gives exit code and lines on stderr."""

    def call(*arguments):
        code = cli.main(["-m", str(model_file), *map(str, arguments)])
        out, err = capfd.readouterr()
        assert out == ""
        return code, err.splitlines()

    return call


@pytest.fixture
def run_convert(capsys):
    """Call ``fsrcnn-rt convert``; gives the exit code and the lines on stderr."""

    def call(*arguments):
        code = cli.main(["convert", *map(str, arguments)])
        return code, capsys.readouterr().err.splitlines()

    return call


@pytest.fixture
def plane():
    """A small plane of noise."""
    return np.random.default_rng(2).random((19, 26), np.float32)


@pytest.fixture
def run(model_file, capsys):
    """Call the command with the small model; gives the exit code and the lines on stderr and stdout."""

    def call(*arguments):
        code = cli.main(["-m", str(model_file), *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.err.splitlines(), captured.out.splitlines()

    return call
