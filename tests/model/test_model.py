"""Models and the files that hold them."""

import copy
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from conversions import to_model, to_net
from fsrcnn_rt import ModelError, load
from fsrcnn_rt.model import OTHERS, SCALES, SHIPPED, Head, Model, Node, fsrcnn, idn, save_model, srcnn
from fsrcnn_rt.model.families import described
from fsrcnn_rt.model.network import MAX_CHANNELS, MAX_NODES, Architecture, Channels, HeadShape, NodeShape
from oracle import random_net
from safetensors import safe_open
from safetensors.numpy import save_file

PAPER = {
    "FSRCNN(56, 12, 4)": fsrcnn.architecture(fsrcnn.Shape(56, 12, 4)),
    "FSRCNN(32, 5, 1)": fsrcnn.architecture(fsrcnn.Shape(32, 5, 1)),
    "FSRCNN(7, 3, 0)": fsrcnn.architecture(fsrcnn.Shape(7, 3, 0)),
    "FSRCNN's transition state 1 (64-32, 9-5-9)": fsrcnn.architecture(fsrcnn.STATE1),
    "FSRCNN(64, 12, 4) with 9x9 first": fsrcnn.architecture(fsrcnn.STATE2),
    "FSRCNN(8, 3, 2) with 3x3 first and 7x7 last": fsrcnn.architecture(fsrcnn.Shape(8, 3, 2, 3, 7)),
    "SRCNN 9-1-5 (64-32)": srcnn.architecture(srcnn.Shape((9, 1, 5))),
    "SRCNN 9-3-5 (64-32, RGB)": srcnn.architecture(srcnn.Shape((9, 3, 5), colour="rgb")),
    "SRCNN 9-5-5 (32-16, Y'CbCr)": srcnn.architecture(srcnn.Shape((9, 5, 5), 32, 16, "ycbcr")),
    "IDN(64, 4 blocks)": idn.architecture(),
    "IDN(8, 1 block of 6-4-8-8-6-10)": idn.architecture(idn.Shape(8, 1, (6, 4, 8, 8, 6, 10), 2)),
}


def assert_same(one, other):
    """Two models are the same to the bit."""
    assert one.architecture == other.architecture
    assert (one.name, one.provenance) == (other.name, other.provenance)
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(other.tensors[name], tensor, name)


@pytest.mark.parametrize("name", PAPER)
def test_networks_of_the_papers(name, tmp_path):
    """Each has its name, and a file gives it back to the bit."""
    model = PAPER[name].with_random_weights(np.random.default_rng(0), "größer")
    assert model.family == name
    assert repr(model) == f"<Model 'größer': {name}, scales (2, 3, 4)>"
    save_model(model, tmp_path / "größer.safetensors")
    loaded = load(tmp_path / "größer.safetensors")
    assert_same(model, loaded)
    assert not any(tensor.flags.writeable for tensor in loaded.tensors.values())
    assert [path.name for path in tmp_path.iterdir()] == ["größer.safetensors"]


@pytest.mark.parametrize("seed", range(20))
def test_any_graph_is_kept(seed, tmp_path):
    model = to_model(oracle.random_graph(np.random.default_rng(seed)))
    save_model(model, tmp_path / "x")
    assert_same(model, load(tmp_path / "x"))


def test_a_network_of_no_family_loads(tmp_path):
    net = oracle.random_net(np.random.default_rng(0), 7, 4, 2)
    nodes = [*net.nodes, (*oracle.random_node(np.random.default_rng(1), 7, 7, 3), 1, (5, 0, 7), [(1, 0, 7)])]
    save_model(to_model(oracle.Net(nodes, net.heads, net.padding)), tmp_path / "x")
    loaded = load(tmp_path / "x")
    assert loaded.family == "network of 6 convolutions"
    assert described(loaded.architecture) == (None, "network of 6 convolutions")


# What must not have the name of a family although it has as many convolutions.
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("FSRCNN(56, 12, 4)", lambda n: replace(n, plus_bicubic=True)),
        ("FSRCNN(56, 12, 4)", lambda n: replace(n, heads={2: n.heads[2], 3: HeadShape(7, 2, 0)})),
        ("FSRCNN(56, 12, 4)", lambda n: change_node(n, 3, groups=4)),
        ("FSRCNN(56, 12, 4)", lambda n: change_node(n, 4, adds=(Channels(3, 0, 12),))),
        ("FSRCNN(56, 12, 4)", lambda n: change_node(n, 4, source=Channels(4, 1, 11))),
        ("SRCNN 9-1-5 (64-32)", lambda n: change_node(n, 1, groups=2)),
        ("IDN(64, 4 blocks)", lambda n: replace(n, plus_bicubic=False)),
        ("IDN(64, 4 blocks)", lambda n: change_node(n, 7, adds=(Channels(5, 0, 16), Channels(2, 0, 64)))),
        ("IDN(64, 4 blocks)", lambda n: change_node(n, 8, groups=2)),
    ],
)
def test_near_a_family_is_not_of_it(name, change):
    assert described(change(PAPER[name]))[0] is None


def change_node(network, i, **fields):
    nodes = list(network.nodes)
    nodes[i] = nodes[i]._replace(**fields)
    return replace(network, nodes=tuple(nodes))


def test_an_idn_computes_what_its_paper_says():
    """The oracle's IDN, with its concatenation, is that of the package, in which it is added."""
    net = oracle.random_idn(np.random.default_rng(0), features=12, kept=3, blocks=2, groups=3)
    assert to_model(net).family == "IDN(12, 2 blocks of 9-12-12-12-12-15)"


def test_weights_of_any_strides_are_saved_by_value(model, tmp_path):
    nodes = [replace(node, weight=np.asfortranarray(node.weight)) for node in model.nodes]
    save_model(Model(nodes, model.heads, "zeros", "x"), tmp_path / "x")
    assert_same(Model(nodes, model.heads, "zeros", "x"), load(tmp_path / "x"))


@pytest.mark.parametrize(
    ("network", "scale", "expected"),
    [
        # Table 1 of FSRCNN's paper counts parameters without biases, the pixels they are applied to apart.
        (fsrcnn.Shape(56, 12, 4), 3, 12464),
        (fsrcnn.STATE1, 3, 58976),
        (fsrcnn.STATE2, 3, 17088),
    ],
)
def test_multiply_accumulates_of_fsrcnn(network, scale, expected):
    assert fsrcnn.architecture(network).macs(scale) == expected


def test_multiply_accumulates_of_srcnn():
    """The paper's 8032, 24416 and 57184 parameters, each applied to every pixel of the result."""
    for kernels, weights in ((9, 1, 5), 8032), ((9, 3, 5), 24416), ((9, 5, 5), 57184):
        for scale in SCALES:
            assert srcnn.architecture(srcnn.Shape(kernels)).macs(scale) == weights * scale**2


def test_multiply_accumulates_of_idn():
    """Groups divide the products; 552,769 numbers with biases are 551,040 products."""
    network = idn.architecture()
    assert network.macs(4) == 551040
    biases = sum(node.out for node in network.nodes) + 1
    assert network.macs(4) + biases == 552769
    with pytest.raises(fsrcnn_rt.ScaleError, match="scale=5 is none of 2, 3, 4"):
        network.macs(5)


def seen(network, scale):
    """How far around its own an output pixel is changed by an input pixel, by trying it."""
    rng = np.random.default_rng(1)
    positive = {  # nothing that is changed by a positive number can cancel out
        name: np.abs(rng.normal(size=shape)).astype(np.float32) + np.float32(0.01)
        for name, shape in network.tensors.items()
    }
    model = network.with_weights(positive, "x")
    net = to_net(model)
    size = 2 * network.reach(scale) + 5
    middle = size // 2
    far = 0
    changed = np.zeros((size, size))
    changed[middle, middle] = 1
    difference = oracle.forward(net, changed, scale) - oracle.forward(net, np.zeros((size, size)), scale)
    rows, columns = np.nonzero(np.abs(difference) > 1e-12)
    far = max(np.abs(rows // scale - middle).max(), np.abs(columns // scale - middle).max())
    return far


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    "network",
    [
        fsrcnn.architecture(fsrcnn.Shape(3, 2, 2)),
        fsrcnn.architecture(fsrcnn.State1(2, 2)),
        srcnn.architecture(srcnn.Shape((5, 1, 3), 2, 2)),
        idn.architecture(idn.Shape(4, 1, (2, 2, 4, 4, 2, 5), 1)),
        to_model(oracle.random_graph(np.random.default_rng(8), padding="zeros")).architecture,
    ],
    ids=lambda network: described(network)[1] if isinstance(network, Architecture) else None,
)
def test_reach_is_how_far_a_network_sees(network, scale):
    assert seen(network, scale) == network.reach(scale)


def test_the_reach_of_a_model_is_that_of_its_farthest_head():
    """2 for the first convolution, 1 for each of the mapping layers, 2 for the head at x2, else 1."""
    assert to_model(random_net(np.random.default_rng(0), 8, 3, 4)).reach == 8
    assert to_model(random_net(np.random.default_rng(0), 8, 3, 4, scales=(3, 4))).reach == 7


def test_a_model_survives_pickling(model):
    loaded = pickle.loads(pickle.dumps(model))
    assert_same(model, loaded)


FAMILIES = {
    "fsrcnn": "FSRCNN(56, 12, 4)",
    "fsrcnn-s": "FSRCNN(32, 5, 1)",
    "srcnn": "SRCNN 9-5-5 (64-32)",
    "state1": "FSRCNN's transition state 1 (64-32, 9-5-9)",
    "state2": "FSRCNN(64, 12, 4) with 9x9 first",
    "idn": "IDN(64, 4 blocks)",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models(name):
    model = load(name)
    assert model.name == name
    assert model.family == FAMILIES[name if name in OTHERS else "fsrcnn-s" if "-s" in name else "fsrcnn"]
    assert model.scales == (2, 3, 4)


def test_the_shipped_names_are_not_paths(monkeypatch, tmp_path):
    (tmp_path / "fsrcnn").write_bytes(b"a file of that name")
    monkeypatch.chdir(tmp_path)
    assert load("fsrcnn").name == "fsrcnn"
    with pytest.raises(ModelError, match="not a safetensors file"):
        load(tmp_path / "fsrcnn")


def test_every_entry_of_the_package_path_is_searched(monkeypatch, model_file, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "fsrcnn-s.safetensors").write_bytes(model_file.read_bytes())
    monkeypatch.setattr(fsrcnn_rt, "__path__", [str(tmp_path / "nowhere"), str(tmp_path)])
    assert load("fsrcnn-s").name == "random"
    with pytest.raises(ModelError, match="model='fsrcnn' is missing"):
        load("fsrcnn")


def test_a_name_that_is_nothing():
    with pytest.raises(
        ModelError,
        match=r"model='nope' is neither a shipped model \(fsrcnn, fsrcnn-s, each also with -g.*\) nor a",
    ):
        load("nope")


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_path_that_is_not_there(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such model file: .*nope"):
        load(kind(tmp_path / "nope"))


@pytest.mark.parametrize("what", [None, 3, b"fsrcnn", ["fsrcnn"]])
def test_what_is_neither_a_name_nor_a_path(what):
    with pytest.raises(TypeError, match="is neither a name nor a path, but"):
        load(what)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(OSError, match="Not a regular file"):
        load(tmp_path / "x")


def test_a_folder_is_not_a_model(tmp_path):
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


@pytest.mark.parametrize("size", [0, 5, 200, -1])
def test_a_truncated_file(size, model_file, tmp_path):
    path = tmp_path / "short.safetensors"
    path.write_bytes(model_file.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"short\.safetensors: is not a safetensors file, or a damaged one"):
        load(path)


def test_a_file_that_is_something_else(tmp_path):
    path = tmp_path / "noise.safetensors"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(ModelError, match="not a safetensors file"):
        load(path)


def in_json(key):
    """Change what is in the JSON of a metadata key."""

    def changing(change):
        def apply(tensors, metadata):
            value = json.loads(metadata[key])
            change(value)
            metadata[key] = json.dumps(value)

        return apply

    return changing


network = in_json("network")


def node(i, **fields):
    return network(lambda v: v["nodes"][i].update(fields))


def head(scale, **fields):
    return network(lambda v: v["heads"][scale].update(fields))


def tensor(name, change):
    return lambda tensors, metadata: tensors.update({name: change(tensors[name])})


def spoil(array, value):
    array = array.copy()
    array.flat[-1] = value
    return array


# What is done to the tensors and the metadata of a good file, and what the error must name.
FAULTS = [
    (lambda t, m: t.pop("node.2.bias"), "tensor 'node.2.bias' is missing"),
    (lambda t, m: t.update(extra=t["node.0.bias"]), "tensor 'extra' is unknown"),
    (tensor("node.0.weight", lambda a: a.astype("f8")), "'node.0.weight' has dtype F64"),
    (
        tensor("node.1.weight", lambda a: a[:, :, 0]),
        r"'node.1.weight' has shape \(3, 8, 1\), not \(3, 8, 1, 1\)",
    ),
    (tensor("node.1.slope", lambda a: a[:2]), r"'node.1.slope' has shape \(2,\), not \(3,\)"),
    (tensor("head.x3.weight", lambda a: a[:, :, :7, :7]), r"'head.x3.weight' has shape \(8, 1, 7, 7\)"),
    (
        tensor("head.x3.bias", lambda a: spoil(a, np.nan)),
        "'head.x3.bias' has a value that is not finite: nan",
    ),
    (
        tensor("node.3.weight", lambda a: spoil(a, -np.inf)),
        "'node.3.weight' has a value that is not finite: -inf",
    ),
    (lambda t, m: m.clear(), "metadata key 'format_version' is missing"),
    (lambda t, m: m.pop("luma"), "metadata key 'luma' is missing"),
    (lambda t, m: m.update(gamma="2.2"), "metadata key 'gamma' is unknown"),
    (lambda t, m: m.update(format_version="3"), "format_version='3' is not supported, only '1' and '2'"),
    (lambda t, m: m.update(format_version="1"), "metadata key 'architecture' is missing"),
    (lambda t, m: m.update(luma="bt709"), "luma='bt709'"),
    (lambda t, m: m.update(name=""), "name=''"),
    (lambda t, m: m.update(network="[{"), "metadata network is not JSON"),
    (lambda t, m: m.update(network="[" * 10**5), "metadata network is nested 100000 deep, more than 64"),
    (lambda t, m: m.update(network=" " * (2**20 + 1)), "network has 1048577 characters, more than 1048576"),
    (lambda t, m: m.update(network="[]"), "metadata network is a JSON list, not a dict"),
    (lambda t, m: m.update(provenance='"by hand"'), "metadata provenance is a JSON str"),
    (network(lambda v: v.pop("heads")), "metadata network=.*exactly the keys colour, enlarged, heads"),
    (network(lambda v: v.update(padding="reflect")), "padding='reflect' is not supported, only zeros, repl"),
    (network(lambda v: v.update(padding=[])), r"padding=\[\] is not supported"),
    (network(lambda v: v.update(colour="cmyk")), "colour='cmyk' is not supported, only y, ycbcr, rgb"),
    (network(lambda v: v.update(colour="rgb")), "colour='rgb' takes a network that reads an enlarged"),
    (network(lambda v: v.update(enlarged=1)), "enlarged=1 is neither True nor False"),
    (
        network(lambda v: v.update(enlarged=True)),
        "head.x2: pad=4, output_padding=1 and border='full' are not",
    ),
    (network(lambda v: v.update(enlarged=True, plus_bicubic=True)), "plus_bicubic=True is for networks that"),
    (network(lambda v: v.update(nodes={})), "nodes and heads are not a JSON list and object"),
    (network(lambda v: v.update(nodes=[])), f"there are 0 nodes, not 1 to {MAX_NODES}"),
    (network(lambda v: v.update(nodes=300 * v["nodes"])), f"there are 1200 nodes, not 1 to {MAX_NODES}"),
    (
        network(lambda v: v["nodes"].insert(0, None)),
        r"node.0=None does not have exactly the keys adds, groups",
    ),
    (network(lambda v: v["nodes"].insert(0, "x" * 999)), r"node.0='x{199}\.\.\. does not have"),
    (network(lambda v: v["nodes"][1].pop("kernel")), r"node.1=.*exactly the keys"),
    (node(1, out=0), f"node.1: out=0 is not 1 to {MAX_CHANNELS}"),
    (node(1, out=2.0), r"node.1: out=2.0 is not 1 to"),
    (node(1, out=True), r"node.1: out=True is not 1 to"),
    (node(1, out=10**9), r"node.1: out=1000000000 is not 1 to"),
    (node(2, out=4), r"'node.2.weight' has shape \(3, 3, 3, 3\), not \(4, 3, 3, 3\)"),
    (node(3, kernel=3), r"'node.3.weight' has shape .*, not \(8, 3, 3, 3\)"),
    (node(3, kernel=2), r"node.3: kernel=2 is not odd and at most 9"),
    (node(3, kernel=11), r"node.3: kernel=11 is not odd and at most 9"),
    (node(3, kernel="3"), r"node.3: kernel='3' is not odd and at most 9"),
    (node(2, groups=2), r"node.2: groups=2 does not divide 3 channels to 3"),
    (node(2, groups=3), r"'node.2.weight' has shape \(3, 3, 3, 3\), not \(3, 1, 3, 3\)"),
    (node(2, groups=0), r"node.2: groups=0 does not divide"),
    (node(2, groups=True), r"node.2: groups=True does not divide"),
    (node(2, source=[2, 0]), r"node.2: \[2, 0\] is not \[result, first channel, count of channels\]"),
    (node(2, source=2), r"node.2: 2 is not \[result"),
    (node(2, source=[3, 0, 3]), r"node.2: source=\[3, 0, 3\] is of a result that is not made before it"),
    (node(2, source=[-1, 0, 3]), r"node.2: source=\[-1, 0, 3\] is not \(result, first channel"),
    (node(2, source=[2, 0, 0]), r"node.2: source=\[2, 0, 0\] is not \(result, first channel"),
    (node(2, source=[2, 0.0, 3]), r"node.2: source=\[2, 0.0, 3\] is not \(result, first channel"),
    (node(2, source=[2, 1, 3]), r"node.2: source=\[2, 1, 3\] is not within the 3 channels of that result"),
    (node(2, source=[1, 0, 3]), r"node.1: nothing reads what it makes"),
    (node(2, adds=None), r"node.2: None is not \[result"),
    (node(2, adds=[[2, 0, 2]]), r"node.2: adds=\[\[2, 0, 2\]\] are 2 channels, and it makes 3"),
    (node(2, adds=[[3, 0, 3]]), r"node.2: adds=\[3, 0, 3\] is of a result that is not made before it"),
    (node(2, adds=[[1, 6, 3]]), r"node.2: adds=\[1, 6, 3\] is not within the 8 channels of that result"),
    (network(lambda v: v.update(heads={})), "there is no head"),
    (
        network(lambda v: v["heads"].update({"8": v["heads"]["2"]})),
        r"heads\['8'\]: the scale is none of 2, 3",
    ),
    (network(lambda v: v["heads"].update({"2": []})), r"heads\['2'\]=\[\] does not have exactly the keys"),
    (head("3", kernel=7), "head.x3: pad=3 and output_padding=0 do not satisfy 7 - 2"),
    (head("3", kernel=8), "head.x3: kernel=8 is not odd and at most 17"),
    (head("3", kernel=19), "head.x3: kernel=19 is not odd and at most 17"),
    (head("3", pad=4), "head.x3: pad=4 and output_padding=0 do not satisfy"),
    (head("2", pad=5, output_padding=3), "head.x2: pad=5 and output_padding=3"),
    (head("2", pad=2, output_padding=-3), "head.x2: pad=2 and output_padding=-3"),
    (head("2", pad=-1), "head.x2: pad=-1 is not an integer of at least 0"),
    (head("2", pad=4.0), "head.x2: pad=4.0 is not an integer of at least 0"),
    (head("2", output_padding=1.0), "head.x2: output_padding=1.0 is not an integer"),
    (head("4", border=-1), "head.x4: border=-1 is neither 'full' nor"),
    (head("4", border="some"), "head.x4: border='some'"),
    (head("4", border=1.0), "head.x4: border=1.0"),
]


def content(path):
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def assert_refused(tensors, metadata, message, path):
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, metadata)
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(("change", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_file_with_one_fault(change, message, model_file, tmp_path):
    tensors, metadata = content(model_file)
    change(tensors, metadata)
    assert_refused(tensors, metadata, message, tmp_path / "bad.safetensors")


# Version 1


def version1(model, activations):
    """What a file of version 1 holds of an FSRCNN."""
    tensors, layers, heads = {}, [], {}
    for i, (layer, activation) in enumerate(zip(model.nodes, activations, strict=True)):
        tensors |= {f"trunk.{i}.weight": layer.weight, f"trunk.{i}.bias": layer.bias}
        if activation == "prelu":
            tensors[f"trunk.{i}.slope"] = layer.slope
        told = {"in": layer.in_channels, "out": layer.out_channels, "kernel": layer.kernel}
        layers.append(told | {"kind": "conv2d", "groups": 1, "activation": activation})
    for scale, part in model.heads.items():
        tensors |= {f"head.x{scale}.weight": part.weight, f"head.x{scale}.bias": part.bias}
        told = {"pad": part.pad, "output_padding": part.output_padding, "border": part.border}
        heads[str(scale)] = told | {"kind": "deconv2d", "stride": scale, "kernel": 9}
    metadata = {
        "format_version": "1",
        "architecture": "fsrcnn",
        "in_channels": "1",
        "pre_upscale": "none",
        "residual": "none",
        "luma": "bt601-limited",
        "name": model.name,
        "padding": model.padding,
        "layers": json.dumps(layers),
        "heads": json.dumps(heads),
        "provenance": json.dumps(dict(model.provenance)),
    }
    return tensors, metadata


def test_version_1_is_read(model, tmp_path):
    activations = ["relu", "none", "prelu", "relu"]
    tensors, metadata = version1(model, activations)
    save_file(tensors, tmp_path / "x", metadata)
    slopes = {"relu": 0, "none": 1}
    nodes = [
        replace(node, slope=np.full_like(node.slope, slopes[kind]) if kind in slopes else node.slope)
        for node, kind in zip(model.nodes, activations, strict=True)
    ]
    loaded = load(tmp_path / "x")
    assert_same(Model(nodes, model.heads, model.padding, model.name, model.provenance), loaded)
    save_model(loaded, tmp_path / "y")
    assert_same(loaded, load(tmp_path / "y"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_are_read_to_the_bit(name):
    entries = [Path(entry, "weights", f"{name}.safetensors") for entry in fsrcnn_rt.__path__]
    tensors, metadata = content(next(path for path in entries if path.is_file()))
    assert metadata["format_version"] == ("2" if name in OTHERS else "1")
    loaded = load(name).tensors
    for key, expected in tensors.items():
        np.testing.assert_array_equal(loaded.pop(key.replace("trunk.", "node.")), expected)
    assert not loaded


def test_shipped_models_survive_version_2(tmp_path):
    model = load("fsrcnn-s")
    save_model(model, tmp_path / "x")
    assert_same(model, load(tmp_path / "x"))


layers, heads = in_json("layers"), in_json("heads")
FAULTS_OF_VERSION_1 = [
    (lambda t, m: t.pop("trunk.2.bias"), "tensor 'trunk.2.bias' is missing"),
    (lambda t, m: t.update(extra=t["trunk.0.bias"]), "tensor 'extra' is unknown"),
    (tensor("trunk.1.slope", lambda a: a[:2]), r"'trunk.1.slope' has shape \(2,\), not \(3,\)"),
    (tensor("head.x3.bias", lambda a: spoil(a, np.nan)), "'head.x3.bias' has a value that is not finite"),
    (tensor("trunk.3.weight", lambda a: spoil(a, -np.inf)), "weight' has a value that is not finite: -inf"),
    (lambda t, m: m.pop("luma"), "metadata key 'luma' is missing"),
    (lambda t, m: m.update(gamma="2.2"), "metadata key 'gamma' is unknown"),
    (lambda t, m: m.update(architecture="srcnn"), "architecture='srcnn'"),
    (lambda t, m: m.update(in_channels="3"), "in_channels='3'"),
    (lambda t, m: m.update(pre_upscale="bicubic"), "pre_upscale='bicubic'"),
    (lambda t, m: m.update(residual="bicubic"), "residual='bicubic'"),
    (lambda t, m: m.update(padding="reflect"), "padding='reflect' is not supported, only zeros, replicate"),
    (lambda t, m: m.update(layers="[{"), "metadata layers is not JSON"),
    (lambda t, m: m.update(heads="[]"), "metadata heads is a JSON list, not a dict"),
    (layers(lambda v: v[0].update(kind="conv3d")), r"layers\[0\]: kind='conv3d'"),
    (layers(lambda v: v[2].update(groups=3)), r"layers\[2\]: groups=3 is not supported, only 1"),
    (layers(lambda v: v[2].update(groups=True)), r"layers\[2\]: groups=True"),
    (layers(lambda v: v[1].update({"in": 0})), r"layers\[1\]: in=0 is not supported, only 8"),
    (layers(lambda v: v[1].update(out=2.0)), r"layers\[1\]: out=2.0 is not an integer"),
    (layers(lambda v: v[1].update(kernel="1")), r"kernel='1' is not odd"),
    (layers(lambda v: v[1].pop("kernel")), r"layers\[1\]=.*exactly the keys"),
    (layers(lambda v: v.insert(0, None)), r"layers\[0\]=None"),
    (layers(lambda v: v.pop()), r"metadata layers are not those of an FSRCNN|heads"),
    (layers(lambda v: v.clear()), r"an FSRCNN has at least 3 convolutions, not 0"),
    (layers(lambda v: v[0].update(activation="relu")), "tensor 'trunk.0.slope' is unknown"),
    (
        layers(lambda v: v[0].update(activation=[])),
        r"layers\[0\]: activation=\[\] is not prelu, relu or none",
    ),
    (layers(lambda v: v[3].update(kernel=3)), r"metadata layers are not those of an FSRCNN"),
    (layers(lambda v: v[0].update(kernel=9)), r"metadata layers are not those of an FSRCNN"),
    (heads(lambda v: v["2"].update(stride=3)), r"heads\['2'\]: stride=3 is not supported, only 2"),
    (heads(lambda v: v.update({"8": v["2"]})), r"heads\['8'\]: the scale is none of 2, 3, 4"),
    (heads(lambda v: v["3"].update(kernel=7)), r"heads\['3'\]: kernel=7"),
    (heads(lambda v: v["3"].update(pad=4)), "head.x3: pad=4 and output_padding=0 do not satisfy"),
    (heads(lambda v: v["4"].update(border=1.0)), "head.x4: border=1.0"),
]


@pytest.mark.parametrize(
    ("change", "message"), FAULTS_OF_VERSION_1, ids=[message for _, message in FAULTS_OF_VERSION_1]
)
def test_a_file_of_version_1_with_one_fault(change, message, model, tmp_path):
    tensors, metadata = version1(model, 4 * ["prelu"])
    change(tensors, metadata)
    assert_refused(tensors, metadata, message, tmp_path / "bad.safetensors")


# In memory


def conv(oc, ic, kernel, result=0, groups=1, **fields):
    zeros = np.zeros(oc, np.float32)
    weight = np.zeros((oc, ic // groups, kernel, kernel), np.float32)
    return Node(weight, zeros, zeros, groups, (result, 0, ic), **fields)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"nodes": []}, "there are 0 nodes"),
        ({"nodes": [conv(8, 2, 5)]}, r"node.0: source=\[0, 0, 2\] is not within the 1 channels"),
        ({"nodes": [conv(8, 1, 4)]}, "node.0: kernel=4 is not odd and at most 9"),
        (
            {"nodes": [conv(8, 1, 5), conv(8, 8, 3)]},
            r"node.1: source=\[0, 0, 8\] is not within the 1 channels",
        ),
        ({"nodes": [conv(8, 1, 5), conv(8, 8, 3, 1, 3)]}, r"groups=3 does not divide 8"),
        ({"nodes": [conv(9, 1, 5)]}, r"tensor 'head.x2.weight' has shape \(8, 1, 9, 9\), not \(9, 1, 9, 9\)"),
        ({"nodes": [replace(conv(8, 1, 5), slope=None)]}, "tensor 'node.0.slope' is NoneType, not a float32"),
        ({"nodes": [replace(conv(8, 1, 5), bias=np.zeros(8))]}, "tensor 'node.0.bias' is float64, not a fl"),
        ({"nodes": [replace(conv(8, 1, 5), bias=np.zeros(7, "f4"))]}, r"'node.0.bias' has shape \(7,\), not"),
        (
            {"nodes": [replace(conv(8, 1, 5), weight=np.zeros(8, "f4"))]},
            r"'node.0.weight' has shape \(8,\), not",
        ),
        ({"heads": {}}, "there is no head"),
        ({"heads": {5: None}}, "head scale 5 is none of 2, 3, 4"),
        ({"heads": {True: None}}, "head scale True is none of 2, 3, 4"),
        ({"heads": {3: Head(np.zeros((8, 1, 9, 7), "f4"), np.zeros(1, "f4"), 3)}}, "not .out, in, k, k."),
        ({"name": None}, "name=None"),
        ({"enlarged": True}, "head.x2: pad=4"),
        ({"colour": "rgb"}, "colour='rgb'"),
    ],
    ids=str,
)
def test_a_model_built_wrong(parts, message, model):
    whole = {"nodes": [conv(8, 1, 5)], "heads": model.heads, "padding": "zeros", "name": "x"}
    assert Model(**whole).family == "network of 1 convolution"
    with pytest.raises(ModelError, match=message):
        Model(**whole | parts)


def test_many_blocks_are_refused_before_anything_is_made():
    with pytest.raises(ModelError, match=f"not 1 to {MAX_NODES}"):
        idn.architecture(idn.Shape(blocks=100))
    with pytest.raises(ModelError, match=r"node\.0: kernel=0"):
        Architecture((NodeShape(1, 0, 1, Channels(0, 0, 1)),), {2: HeadShape(9, 4, 1)})


def test_a_head_that_needs_no_padding(model):
    head = HeadShape(kernel=3, pad=0, output_padding=0, border=0)
    assert Architecture((NodeShape(1, 1, 1, Channels(0, 0, 1)),), {3: head}).heads[3] == head


def test_the_largest_kernel_of_a_plain_head():
    def architecture(kernel):
        nodes = (NodeShape(1, 1, 1, Channels(0, 0, 1)),)
        return Architecture(nodes, {2: HeadShape(kernel, 0, 0)}, enlarged=True)

    assert architecture(9).heads[2].kernel == 9
    with pytest.raises(ModelError, match=r"head\.x2: kernel=11 is not odd and at most 9"):
        architecture(11)


def test_the_most_layers_of_version_1(tmp_path):
    model = to_model(oracle.random_net(np.random.default_rng(0), 2, 1, MAX_NODES - 3))
    tensors, metadata = version1(model, MAX_NODES * ["prelu"])
    path = tmp_path / "x.safetensors"
    save_file(tensors, path, metadata)
    assert len(load(path).nodes) == MAX_NODES
    metadata["layers"] = json.dumps([*json.loads(metadata["layers"]), None])
    assert_refused(tensors, metadata, "not 257", path)


def test_a_model_cannot_be_changed(model):
    with pytest.raises(AttributeError):
        model.name = "other"
    with pytest.raises(TypeError):
        model.heads[5] = model.heads[2]


def test_saving_fails_without_a_trace(model, tmp_path):
    target = tmp_path / "kept.safetensors"
    target.write_bytes(b"as it was")
    broken = copy.copy(model)
    object.__setattr__(broken, "provenance", {"recipe": object()})
    with pytest.raises(TypeError):
        save_model(broken, target)
    object.__setattr__(broken, "provenance", {"recipe": "x" * 2**20})
    with pytest.raises(ModelError, match="metadata provenance has 1048590 characters"):
        save_model(broken, target)
    with pytest.raises(FileNotFoundError):
        save_model(model, tmp_path / "no folder" / "x.safetensors")
    assert target.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [target]
