"""PyTorch state dicts: each must compute here what its module computes in PyTorch."""

import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import bombs
import fsrcnn_rt
import numpy as np
import oracle
import pytest
from conversions import to_model
from foreign import (
    SCALES,
    assert_refused,
    assert_same,
    move,
    run_torch,
    save_state,
    state_file,
    torch_net,
    truncate,
)
from fsrcnn_rt.convert import convert
from fsrcnn_rt.convert.torch_file import TorchFile

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("one_slope", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_state_dict(run_convert, plane, scale, one_slope):
    net = torch_net(scale, one_slope=one_slope)
    save_state(f"fsrcnn_x{scale}.pth", net.state_dict())
    assert run_convert(f"fsrcnn_x{scale}.pth", "-o", "a.safetensors", "--name", "mine") == (0, [])
    model = fsrcnn_rt.load("./a.safetensors")
    assert (model.name, model.padding, model.family) == ("mine", "zeros", "FSRCNN(8, 3, 4)")
    assert_same(model, plane, run_torch(net, plane))


@pytest.mark.parametrize(("scale", "kernel"), [(2, 1), (2, 3), (3, 1), (3, 3), (4, 1)])
@pytest.mark.parametrize("mode", ["zeros", "replicate"])
@pytest.mark.parametrize("same_bias", [False, True])
def test_sub_pixel_head(plane, scale, kernel, mode, same_bias):
    net = torch_net(scale, sub_pixel=kernel, mode=mode)
    if same_bias:
        net.last_part.bias.data[:] = 0.25
    save_state("net.pt", net.state_dict())
    model = convert("net.pt", padding=mode)  # the number of channels tells the scale
    assert model.architecture.features == (8 if same_bias else 9)
    assert_same(model, plane, run_torch(net, plane))


def test_replicated_padding_of_a_state_dict(plane):
    net = torch_net(3, mode="replicate")
    save_state("x3.pth", net.state_dict())
    assert_same(convert("x3.pth", padding="replicate"), plane, run_torch(net, plane))


def test_wrapped_state_dicts(plane):
    net = torch_net(2)
    state = {
        f"module.{key}": value for key, value in sorted(net.state_dict().items())
    }  # mid_part.10 before .2
    for content in state, {"state_dict": state, "epoch": 3}, {"model": {"params": state}}:
        save_state("x2.pth.tar", content)
        assert_same(convert("x2.pth.tar"), plane, run_torch(net, plane))


def test_other_names_of_the_modules(plane):
    net = torch_net(2, m=2)
    names = {
        "first_part.": "feature_extraction.",
        "mid_part.0.": "shrink.0.",
        "mid_part.1.": "shrink.1.",
        **{f"mid_part.{i}.": f"map.{i - 2}." for i in range(2, 6)},
        "mid_part.6.": "expand.0.",
        "mid_part.7.": "expand.1.",
        "last_part.": "deconv.",
    }
    state = {}
    for key, value in net.state_dict().items():
        old = next(old for old in names if key.startswith(old))
        state[names[old] + key.removeprefix(old)] = value
    save_state("x2.pth", state)
    assert_same(convert("x2.pth"), plane, run_torch(net, plane))


def test_options_replace_what_is_assumed(run_convert):
    save_state("net.pth", torch_net(3).state_dict())
    options = ["-s", "3", "--padding", "replicate", "--pad", "3", "--output-padding", "0", "--border", "full"]
    assert run_convert("net.pth", "-o", "a.safetensors", *options) == (0, [])
    model = fsrcnn_rt.load("./a.safetensors")
    head = model.heads[3]
    assert (model.padding, head.pad, head.output_padding, head.border) == ("replicate", 3, 0, "full")
    assert convert("net.pth", scale=4, border=2).heads[4].border == 2


def test_srcnn(run_convert):
    net = oracle.random_srcnn(np.random.default_rng(0), (9, 5, 5), 6, 4, padding="zeros", scales=(2,))
    tensors = [layer[:2] for layer in net.layers] + [net.heads[2][:2]]
    save_state("srcnn.pth", named(("conv1", "conv2", "conv3"), tensors))
    assert run_convert("srcnn.pth", "-s", "2", "-o", "model.safetensors") == (0, [])
    assert_same_network(fsrcnn_rt.load("./model.safetensors"), to_model(net))


@pytest.mark.parametrize("scale", SCALES)
def test_idn(scale):
    net = oracle.random_idn(np.random.default_rng(0), blocks=2, scales=(scale,))
    tensors = [node[:2] for node in net.nodes] + [net.heads[scale][:2]]
    names = ["conv1", "conv2"]
    for b in (1, 2):
        names += [*(f"conv{b + 2}_{i}" for i in range(1, 7)), f"down{b}"]
    save_state(f"x{scale}.pth", named((*names, "upsample"), tensors))
    model = convert(f"x{scale}.pth", pad=9 - scale)
    assert_same_network(model, to_model(net))
    assert convert(f"x{scale}.pth").heads[scale].pad == 8


def every_kind_of_tensor():
    torch = pytest.importorskip("torch")
    rng = torch.Generator().manual_seed(0)

    def noise(*shape, **options):
        return torch.randn(*shape, generator=rng).to(**options)

    shared = noise(40)
    with_attributes, parameter = noise(2, 3), torch.nn.Parameter(noise(2, 3))
    with_attributes.told = parameter.told = "something"
    return {
        "transposed": noise(3, 4).t(),
        "part": shared[3:9],
        "every other": shared[10:22].view(3, 4)[:, ::2],
        "whole": shared,
        "half": noise(2, 3, dtype=torch.float16),
        "bfloat16": noise(4, 3, dtype=torch.bfloat16).t(),
        "double": noise(5, dtype=torch.float64),
        "too large for a float": torch.tensor([1e300, -1e300], dtype=torch.float64),
        "expanded": noise(3, 1).expand(3, 5),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(noise(4)),
        "parameter with attributes": parameter,
        "with attributes": with_attributes,
        "with a gradient": noise(3).requires_grad_(),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_kind_of_tensor_is_what_pytorch_reads(zipped, protocol):
    torch = pytest.importorskip("torch")
    content = {
        "state_dict": OrderedDict(every_kind_of_tensor()),
        "optimizer": {"state": {0: {"step": torch.ones(2, dtype=torch.int64)}}},
        "args": Path("anything"),  # as checkpoints hold; PyTorch's own reader refuses it
        "best": np.float64(3),
    }
    torch.save(content, "x.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    expected = torch.load("x.pth", weights_only=False)["state_dict"]
    with TorchFile(Path("x.pth")) as file:
        assert file.content.keys() == content.keys()
        assert file.content["args"].name.startswith("pathlib.")
        found = file.content["state_dict"]
        assert list(found) == list(expected)
        for key, tensor in expected.items():
            values = file.floats(key, found[key])
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, tensor.detach().float().numpy(), key)


@pytest.mark.parametrize("order", ["little", "big"])
def test_byte_orders(order):
    numbers = np.arange(4, dtype="<f4" if order == "little" else ">f4")
    with zipfile.ZipFile("x.pth", "w") as members:
        members.writestr("a/data.pkl", b"\x80\2" + bombs.state(bombs.tensor()) + b".")
        members.writestr("a/byteorder", order)
        members.writestr("a/data/0", numbers.tobytes())
    assert_floats("x.pth", [0, 1, 2, 3])


def test_parts_of_storages_in_old_files():
    whole = bombs.tensor(count=9)
    part = whole.replace(b"tQ", bombs.put(("0", 3, 5)) + b"tQ", 1)  # numbers 3 to 7 are a storage of its own
    numbers = struct.pack("<q9f", 9, *range(9))
    Path("x.pth").write_bytes(bombs.old_pth(bombs.state(part), ["0"], numbers))
    assert_floats("x.pth", [3, 4, 5, 6])


def test_old_files_of_the_other_byte_order():
    data = bombs.old_pth(bombs.state(bombs.tensor()), ["0"], struct.pack(">q4f", 4, *range(4)))
    little = pickle.dumps({"little_endian": True}, 2)
    assert little in data
    Path("x.pth").write_bytes(data.replace(little, pickle.dumps({"little_endian": False}, 2)))
    assert_floats("x.pth", [0, 1, 2, 3])


def test_a_network_without_biases(plane):
    net = torch_net(3, m=1)
    for name in "first_part.0", "mid_part.0", "last_part":
        net.get_submodule(name).bias = None
    save_state("x3.pth", net.state_dict())
    assert_same(convert("x3.pth"), plane, run_torch(net, plane))


def assert_floats(path, expected):
    with TorchFile(Path(path)) as file:
        ((key, tensor),) = file.content.items()
        assert file.floats(key, tensor).tolist() == expected


def named(names, tensors):
    torch = pytest.importorskip("torch")
    state = {}
    for name, (weight, bias) in zip(names, tensors, strict=True):
        state |= {f"{name}.weight": torch.from_numpy(weight), f"{name}.bias": torch.from_numpy(bias)}
    return state


def assert_same_network(one, other):
    assert one.architecture == other.architecture
    for key, tensor in other.tensors.items():
        np.testing.assert_array_equal(one.tensors[key], tensor)


def whole_module(path):
    save_state(path, torch_net(3).first_part)


# What is in the folder, the input, options, the exit code, and what the one line on stderr tells.
FAULTS = {
    "half a pth": (
        truncate(state_file, "x3.pth"),
        "x3.pth",
        [],
        1,
        "is not a state dict of torch.save(), or a damaged one",
    ),
    "a whole module": (
        lambda: whole_module("x3.pth"),
        "x3.pth",
        [],
        1,
        "expected a state dict (names and tensors), got torch.nn.modules.container.Sequential",
    ),
    "no state dict": (lambda: save_state("x3.pth", [1, 2]), "x3.pth", [], 1, "expected a state dict (names"),
    "another network": (
        lambda: save_state("x3.pth", {"conv1.weight": torch_net(3).last_part.weight.data}),
        "x3.pth",
        [],
        1,
        "conv1: expected the modules of an FSRCNN (first_part, mid_part, last_part), of an SRCNN (conv1 to",
    ),
    "a tensor twice": (
        lambda: state_file("x3.pth", lambda s: s.update({"module.last_part.bias": s["last_part.bias"]})),
        "x3.pth",
        [],
        1,
        "module.last_part.bias: expected each tensor once",
    ),
    "no slopes": (
        lambda: state_file("x3.pth", lambda state: state.pop("mid_part.3.weight")),
        "x3.pth",
        [],
        1,
        "mid_part.4: expected the PReLU of mid_part.2, got a weight of shape (8, 3, 1, 1)",
    ),
    "no head": (
        lambda: state_file("x3.pth", lambda s: [s.pop(f"last_part.{key}") for key in ("weight", "bias")]),
        "x3.pth",
        [],
        1,
        "mid_part.5: expected last_part or deconv to come last",
    ),
    "other filters": (
        lambda: state_file("x3.pth", lambda s: s.update({"mid_part.2.weight": s["mid_part.0.weight"]})),
        "x3.pth",
        [],
        1,
        "mid_part.2: expected weights of 3 channels, got shape (3, 8, 1, 1)",
    ),
    "a bias alone": (
        lambda: state_file("x3.pth", lambda s: move(s, "mid_part.4.weight", "last_part.weight")),
        "x3.pth",
        [],
        1,
        "mid_part.4: expected a weight, got a bias alone",
    ),
    "a sub-pixel head that does not fit": (
        lambda: state_file("x3.pth", sub_pixel=7),
        "x3.pth",
        [],
        1,
        "last_part: expected a head that fits 17x17 pixels of the output at x3, got one of 21x21",
    ),
    "a sub-pixel head and a pad": (
        lambda: state_file("x3.pth", sub_pixel=3),
        "x3.pth",
        ["--pad", "4"],
        1,
        "last_part: its pixel shuffle decides pad and output padding",
    ),
    "integers": (
        lambda: state_file("x3.pth", lambda s: s.update({"last_part.bias": s["last_part.bias"].int()})),
        "x3.pth",
        [],
        1,
        "last_part.bias: expected a tensor of floats, got one of Int",
    ),
}


@pytest.mark.parametrize(("prepare", "source", "options", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_converted_is_one_line_and_nothing_written(
    run_convert, folder, prepare, source, options, code, message
):
    assert_refused(run_convert, folder, prepare, source, options, code, message)
