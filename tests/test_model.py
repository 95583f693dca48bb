"""Models and the files that hold them."""

import copy
import json
import pickle

import fsrcnn_rt
import numpy as np
import pytest
from conftest import to_model
from fsrcnn_rt import ModelError, load
from fsrcnn_rt.model import SHIPPED, Conv2d, Model, save_model
from oracle import random_net
from safetensors import safe_open
from safetensors.numpy import save_file


def arrays(model):
    for part in (*model.layers, *model.heads.values()):
        yield from (part.weight, part.bias)
        if getattr(part, "slope", None) is not None:
            yield part.slope


def test_what_is_saved_is_loaded(tmp_path):
    net = random_net(np.random.default_rng(0), 7, 4, 2, padding="zeros", border=1, scales=(2, 4))
    model = to_model(net, "größer")
    save_model(model, tmp_path / "größer.safetensors")
    loaded = load(tmp_path / "größer.safetensors")
    assert (loaded.d, loaded.s, loaded.m, loaded.scales) == (7, 4, 2, (2, 4))
    assert (loaded.name, loaded.padding, loaded.provenance) == (
        "größer",
        "zeros",
        {"recipe": "random weights"},
    )
    assert [(head.pad, head.output_padding, head.border) for head in loaded.heads.values()] == [
        (4, 1, 1),
        (4, 3, 1),
    ]
    for one, other in zip(arrays(model), arrays(loaded), strict=True):
        np.testing.assert_array_equal(one, other)
        assert not other.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["größer.safetensors"]


def test_every_activation_is_kept(model, tmp_path):
    layers = [Conv2d(layer.weight, layer.bias, None, "relu") for layer in model.layers]
    layers[1] = Conv2d(layers[1].weight, layers[1].bias, None, "none")
    layers[2] = model.layers[2]
    save_model(Model(layers, model.heads, "replicate", "x"), tmp_path / "x")
    assert [layer.activation for layer in load(tmp_path / "x").layers] == ["relu", "none", "prelu", "relu"]


def test_weights_of_any_strides_are_saved_by_value(model, tmp_path):
    layers = list(model.layers)
    layers[0] = Conv2d(np.asfortranarray(layers[0].weight), layers[0].bias, layers[0].slope)
    save_model(Model(layers, model.heads, "zeros", "x"), tmp_path / "x")
    np.testing.assert_array_equal(load(tmp_path / "x").layers[0].weight, layers[0].weight)


def test_multiply_accumulates_of_the_paper():
    """Table 1 of the paper counts the parameters of FSRCNN(56, 12, 4) without biases: 12464."""
    assert to_model(random_net(np.random.default_rng(0), 56, 12, 4)).macs_per_pixel == 12464


def test_reach():
    """2 for the first convolution, 1 for each of the mapping layers, 2 for the head."""
    assert to_model(random_net(np.random.default_rng(0), 8, 3, 4)).reach == 8


def test_a_model_survives_pickling(model):
    loaded = pickle.loads(pickle.dumps(model))
    assert (loaded.name, loaded.scales) == (model.name, model.scales)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models(name):
    model = load(name)
    assert model.name == name
    assert (model.d, model.s, model.m) == ((32, 5, 1) if name.startswith("fsrcnn-s") else (56, 12, 4))
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
    with pytest.raises(FileNotFoundError, match="nope"):
        load(kind(tmp_path / "nope"))


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


def layers(change):
    def apply(tensors, metadata):
        value = json.loads(metadata["layers"])
        change(value)
        metadata["layers"] = json.dumps(value)

    return apply


def heads(change):
    def apply(tensors, metadata):
        value = json.loads(metadata["heads"])
        change(value)
        metadata["heads"] = json.dumps(value)

    return apply


def tensor(name, change):
    return lambda tensors, metadata: tensors.update({name: change(tensors[name])})


def spoil(array, value):
    array = array.copy()
    array.flat[-1] = value
    return array


# What is done to the tensors and the metadata of a good file, and what the error must name.
FAULTS = [
    (lambda t, m: t.pop("trunk.2.bias"), "tensor 'trunk.2.bias' is missing"),
    (lambda t, m: t.update(extra=t["trunk.0.bias"]), "tensor 'extra' is unknown"),
    (tensor("trunk.0.weight", lambda a: a.astype("f8")), "'trunk.0.weight' has dtype F64"),
    (
        tensor("trunk.1.weight", lambda a: a[:, :, 0]),
        r"'trunk.1.weight' has shape \(3, 8, 1\), not \(3, 8, 1, 1\)",
    ),
    (tensor("trunk.1.slope", lambda a: a[:2]), r"'trunk.1.slope' has shape \(2,\), not \(3,\)"),
    (tensor("head.x3.weight", lambda a: a[:, :, :7, :7]), r"'head.x3.weight' has shape \(8, 1, 7, 7\)"),
    (
        tensor("head.x3.bias", lambda a: spoil(a, np.nan)),
        "'head.x3.bias' has a value that is not finite: nan",
    ),
    (
        tensor("trunk.3.weight", lambda a: spoil(a, -np.inf)),
        "'trunk.3.weight' has a value that is not finite: -inf",
    ),
    (lambda t, m: m.clear(), "metadata key 'architecture' is missing"),
    (lambda t, m: m.pop("luma"), "metadata key 'luma' is missing"),
    (lambda t, m: m.update(gamma="2.2"), "metadata key 'gamma' is unknown"),
    (lambda t, m: m.update(format_version="2"), "format_version='2' is not supported, only '1'"),
    (lambda t, m: m.update(architecture="srcnn"), "architecture='srcnn'"),
    (lambda t, m: m.update(in_channels="3"), "in_channels='3'"),
    (lambda t, m: m.update(pre_upscale="bicubic"), "pre_upscale='bicubic'"),
    (lambda t, m: m.update(residual="bicubic"), "residual='bicubic'"),
    (lambda t, m: m.update(luma="bt709"), "luma='bt709'"),
    (lambda t, m: m.update(padding="reflect"), "padding='reflect' is not supported, only zeros, replicate"),
    (lambda t, m: m.update(name=""), "name=''"),
    (lambda t, m: m.update(layers="[{"), "metadata layers is not JSON"),
    (lambda t, m: m.update(heads="[]"), "metadata heads is a JSON list, not a dict"),
    (lambda t, m: m.update(provenance='"by hand"'), "metadata provenance is a JSON str"),
    (layers(lambda v: v[0].update(kind="conv3d")), r"layers\[0\]: kind='conv3d'"),
    (layers(lambda v: v[2].update(groups=3)), r"layers\[2\]: groups=3 is not supported, only 1"),
    (layers(lambda v: v[2].update(groups=True)), r"layers\[2\]: groups=True"),
    (layers(lambda v: v[1].update({"in": 0})), r"layers\[1\]: in=0 is not an integer of at least 1"),
    (layers(lambda v: v[1].update(out=2.0)), r"layers\[1\]: out=2.0"),
    (layers(lambda v: v[1].pop("kernel")), r"layers\[1\]=.*exactly the keys"),
    (layers(lambda v: v.insert(0, None)), r"layers\[0\]=None"),
    (layers(lambda v: v[0].update(activation="relu")), "tensor 'trunk.0.slope' is unknown"),
    (layers(lambda v: v[3].update(kernel=3)), r"'trunk.3.weight' has shape .*, not \(8, 3, 3, 3\)"),
    (heads(lambda v: v["2"].update(stride=3)), r"heads\['2'\]: stride=3 is not supported, only 2"),
    (heads(lambda v: v.update({"8": v["2"]})), r"heads\['8'\]: the scale is none of 2, 3, 4"),
    (heads(lambda v: v["3"].update(kernel=7)), r"heads\['3'\]: kernel=7"),
    (heads(lambda v: v["3"].update(pad=4)), "head.x3: pad=4 and output_padding=0 do not satisfy"),
    (heads(lambda v: v["2"].update(pad=5, output_padding=3)), "head.x2: pad=5 and output_padding=3"),
    (heads(lambda v: v["2"].update(pad=-1)), "head.x2: pad=-1 is not an integer of at least 0"),
    (heads(lambda v: v["2"].update(pad=4.0)), "head.x2: pad=4.0 is not an integer of at least 0"),
    (heads(lambda v: v["4"].update(border=-1)), "head.x4: border=-1 is neither 'full' nor"),
    (heads(lambda v: v["4"].update(border="some")), "head.x4: border='some'"),
    (heads(lambda v: v["4"].update(border=1.0)), "head.x4: border=1.0"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_file_with_one_fault(change, message, model_file, tmp_path):
    with safe_open(model_file, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    path = tmp_path / "bad.safetensors"
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, metadata)
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def conv(oc, ic, kernel, activation="prelu"):
    zeros = np.zeros(oc, np.float32)
    return Conv2d(np.zeros((oc, ic, kernel, kernel), np.float32), zeros, zeros, activation)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"layers": [conv(8, 1, 5), conv(8, 8, 1)]}, "at least 3 convolutions, not 2"),
        (
            {"layers": [conv(8, 1, 5), conv(3, 7, 1), conv(8, 3, 1)]},
            r"'trunk.1.weight' has shape \(3, 7, 1, 1\)",
        ),
        (
            {"layers": [conv(8, 1, 3), conv(3, 8, 1), conv(8, 3, 1)]},
            r"'trunk.0.weight' has shape \(8, 1, 3, 3\)",
        ),
        (
            {"layers": [conv(8, 3, 5), conv(3, 8, 1), conv(8, 3, 1)]},
            r"'trunk.0.weight' has shape \(8, 3, 5, 5\)",
        ),
        (
            {"layers": [conv(8, 1, 5), conv(3, 8, 1), conv(9, 3, 1)]},
            r"'trunk.2.weight' has shape \(9, 3, 1, 1\)",
        ),
        ({"layers": [conv(8, 1, 4), conv(3, 8, 1), conv(8, 3, 1)]}, "with an odd k"),
        ({"layers": [conv(8, 1, 5, "leaky_relu")] * 3}, "activation='leaky_relu' is not supported"),
        ({"layers": [conv(8, 1, 5, "relu")] * 3}, "'trunk.0.slope' is there, and the activation is 'relu'"),
        ({"heads": {}}, "there is no head"),
        ({"heads": {5: None}}, "head scale 5 is none of 2, 3, 4"),
        ({"name": None}, "name=None"),
    ],
    ids=str,
)
def test_a_model_built_wrong(parts, message, model):
    whole = {"layers": model.layers, "heads": model.heads, "padding": "zeros", "name": "x"}
    with pytest.raises(ModelError, match=message):
        Model(**whole | parts)


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
    with pytest.raises(FileNotFoundError):
        save_model(model, tmp_path / "no folder" / "x.safetensors")
    assert target.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [target]
