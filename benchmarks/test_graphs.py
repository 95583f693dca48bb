"""The graphs that other runtimes are given: every form of every network computes what the network is."""

from __future__ import annotations

import os
import re
from itertools import product
from pathlib import Path

import numpy as np
import oracle
import peers
import pytest
from fsrcnn_rt.model import Model, fsrcnn, idn, srcnn
from graphs import FORMS, Concat, Slice, forms, graph
from networks import NETWORKS, alone, random_model
from runtimes import RUNTIMES

SIZE = (12, 8)  # height and width
SMALL = {
    "fsrcnn": fsrcnn.architecture(fsrcnn.Shape(6, 4, 2)),
    "srcnn": srcnn.architecture(srcnn.Shape((9, 5, 5), 6, 4)),
    "idn": idn.architecture(idn.Shape(8, 2, (6, 4, 8, 8, 6, 10), 2)),
}
MODELS = {name: alone(random_model(network, name)) for name, network in SMALL.items()}
# A compilation takes long.
CASES = [
    (runtime, name, scale, form)
    for runtime in RUNTIMES
    for name, model in MODELS.items()
    for form in forms(model)
    for scale in ((2, 3, 4) if runtime == "torch" else (3,))
    if runtime != "torch.compile" or "split" in form
]


def expected(model: Model, plane: np.ndarray, scale: int) -> np.ndarray:
    nodes = [
        (node.weight, node.bias, node.slope, node.groups, node.source, node.adds) for node in model.nodes
    ]
    head = model.heads[scale]
    heads = {scale: (head.weight, head.bias, head.pad, head.output_padding, -1)}
    net = oracle.Net(nodes, heads, model.padding, enlarged=model.enlarged)
    return oracle.forward(net, plane, scale)


@pytest.mark.parametrize(("runtime", "name", "scale", "form"), CASES)
@pytest.mark.filterwarnings("ignore")  # of other projects
def test_every_form_computes_the_network(runtime, name, scale, form):
    for module in RUNTIMES[runtime].modules:
        pytest.importorskip(module)
    model = MODELS[name]
    plane = np.random.default_rng(1).random(SIZE, np.float32)
    source = oracle.bicubic(plane, scale, "symmetric").astype(np.float32) if model.enlarged else plane
    prepared = RUNTIMES[runtime].prepare(graph(model, scale, form), source, 1)
    exact = expected(model, plane, scale)
    error = np.abs(prepared.to_numpy(prepared.run()) - exact).max()
    assert error <= 1e-5 * max(1, np.abs(exact).max())


def test_every_form_is_one_of_some_network():
    assert {form for model in MODELS.values() for form in forms(model)} == set(FORMS)


def test_what_is_split_is_never_sliced():
    plain, split = (graph(MODELS["idn"], 3, form).steps for form in ("sub-pixel", "sub-pixel, split"))
    assert sum(isinstance(step, Slice) for step in plain) == 2 * 2
    assert not any(isinstance(step, Slice) for step in split)
    assert any(isinstance(step, Concat) for step in split)


def test_graphs_are_of_bare_networks():
    model = random_model(SMALL["idn"], "idn")
    with pytest.raises(ValueError, match="more than a network from luma to luma"):
        graph(model, 3, "sub-pixel")
    with pytest.raises(ValueError, match="padding='replicate'"):
        graph(random_model(SMALL["srcnn"], "srcnn"), 3, "plain")
    with pytest.raises(ValueError, match="form='plain' is none of deconvolution, sub-pixel"):
        graph(MODELS["fsrcnn"], 3, "plain")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_command_measures_every_form(name: str, tmp_path: Path):
    for module in RUNTIMES["onnxruntime"].modules:
        pytest.importorskip(module)
    file = tmp_path / "table.md"
    # The command binds its children to processors by what this process may use.
    threads = str(min(2, len(os.sched_getaffinity(0))))
    options = ["--size", "12x12", "--seconds", "0.001", "--threads", threads, "--markdown", str(file)]
    assert peers.main(["peers", "--runtime", "onnxruntime", "--model", name, *options]) == 0
    text = file.read_text()
    measured = re.findall(r"^\| [^|]+ \| onnxruntime \| ([^|]+) \|.*\| (float32|int16) \|", text, re.M)
    ours = ("float32", "int16") if NETWORKS[name].is_chain else ("float32",)
    assert measured == list(product(forms(alone(random_model(NETWORKS[name], name))), ours))
    for precision in ours:
        assert re.search(f"fastest peer in float32 onnxruntime, .* as ours in {precision}", text)
    assert not [line for line in text.splitlines() if "Not measured: onnxruntime" in line]
