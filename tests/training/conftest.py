import numpy as np
import pytest
from fsrcnn_rt.evaluation.metrics import imresize
from PIL import Image


@pytest.fixture(scope="module")
def _one_thread():
    """PyTorch computes on one thread; modules that use it ask for this."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _trainings_on_one_thread(_plain_environment, monkeypatch):
    monkeypatch.setenv("FSRCNN_RT_THREADS", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six smooth random pictures, one of them grey."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("data") / "pictures"
    folder.mkdir()
    for k in range(6):
        shape = (60 + k, 66) if k == 0 else (60 + k, 66, 3)
        picture = imresize(rng.uniform(20, 235, (12, 12, *shape[2:])), shape=shape[:2])
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{k}.png")
    return folder.parent


@pytest.fixture
def recipe():
    from fsrcnn_rt.training.config import parse_recipe
    from recipes import changed

    return parse_recipe(changed())


@pytest.fixture
def rng():
    return np.random.default_rng(2)
