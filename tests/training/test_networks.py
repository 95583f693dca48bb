"""Networks in PyTorch: what they compute, their loss, and what trains in them."""

from pathlib import Path

import numpy as np
import oracle
import pytest
from fsrcnn_rt import Upscaler
from fsrcnn_rt.engine import runtime
from fsrcnn_rt.evaluation.metrics import imresize
from fsrcnn_rt.model import fsrcnn, idn, srcnn
from fsrcnn_rt.model.network import head_reach, tap_reach

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'train'")

from fsrcnn_rt.training.config import lay_out  # noqa: E402
from fsrcnn_rt.training.export import to_model  # noqa: E402
from fsrcnn_rt.training.loss import Losses  # noqa: E402
from fsrcnn_rt.training.network import apply, enlarge, subpixel_weight  # noqa: E402
from fsrcnn_rt.training.trainable import Trainable  # noqa: E402

WEIGHTS = Path(__file__).parents[2] / "weights"

pytestmark = pytest.mark.usefixtures("_one_thread")


def apply_subpixel(x, weight, bias, stride, pad):
    before, after = tap_reach(weight.shape[-1], pad, stride)
    x = torch.nn.functional.pad(x, (before, after, before, after), mode="replicate")
    phases = torch.nn.functional.conv2d(x, subpixel_weight(weight, stride, pad), bias.expand(stride * stride))
    return torch.nn.functional.pixel_shuffle(phases, stride)


@pytest.mark.parametrize(("stride", "pad"), [(2, 4), (3, 3), (3, 4), (4, 3), (4, 4)])
def test_sub_pixel_head_is_the_transposed_convolution(stride, pad):
    random = torch.Generator().manual_seed(3)
    x = torch.randn(2, 5, 7, 6, generator=random)
    weight, bias = torch.randn(5, 1, 9, 9, generator=random), torch.randn(1, generator=random)
    reach = head_reach(9, pad, stride)
    padded = torch.nn.functional.pad(x, (reach,) * 4, mode="replicate")
    output_padding = stride - 9 + 2 * pad
    expected = torch.nn.functional.conv_transpose2d(padded, weight, bias, stride, pad, output_padding)
    crop = slice(stride * reach, -stride * reach)
    result = apply_subpixel(x, weight, bias, stride, pad)
    assert result.shape == (2, 1, 7 * stride, 6 * stride)
    torch.testing.assert_close(result, expected[..., crop, crop], rtol=1e-5, atol=1e-4)


def test_sub_pixel_head_has_the_gradient_of_the_transposed_convolution():
    random = torch.Generator().manual_seed(4)
    x = torch.randn(1, 3, 12, 12, generator=random)
    weights = [torch.randn(3, 1, 9, 9, generator=random).requires_grad_() for _ in range(2)]
    weights[1].data.copy_(weights[0].data)
    inner = (..., slice(8, -8), slice(8, -8))
    apply_subpixel(x, weights[0], torch.zeros(1), 2, 4)[inner].square().sum().backward()
    theirs = torch.nn.functional.conv_transpose2d(x, weights[1], None, 2, 4, 1)
    theirs[inner].square().sum().backward()
    torch.testing.assert_close(weights[0].grad, weights[1].grad, rtol=1e-4, atol=1e-2)


def expanded_by_definition(parameters, x, scale):
    """Every collapsible block as the two convolutions that it is, of an FSRCNN with one mapping layer."""
    convolve = torch.nn.functional.conv2d
    for index in range(4):
        get = {
            key.split("/")[2]: value for key, value in parameters.items() if key.startswith(f"node/{index}/")
        }
        outer, inner = (parameters[f"node/{index}/weight/{part}"] for part in ("outer", "inner"))
        reach = inner.shape[-1] // 2
        padded = torch.nn.functional.pad(x, (reach,) * 4, mode="replicate") if reach else x
        y = convolve(convolve(padded, inner), outer[:, :, None, None])
        y = y + get["bias"][:, None, None] + (x if reach == 1 else 0)
        x = torch.nn.functional.prelu(y, get["slope"])
    outer, inner = (parameters[f"head/x{scale}/weight/{part}"] for part in ("outer", "inner"))
    x = convolve(x, outer.T[:, :, None, None])
    x = torch.nn.functional.pad(x, (4,) * 4, mode="replicate")
    x = torch.nn.functional.conv_transpose2d(x, inner, parameters[f"head/x{scale}/bias"], 3, 3)
    return x[..., 12:-12, 12:-12]


def test_collapsed_network_is_the_expanded_one(recipe, model_from_parameters):
    network, x = model_from_parameters
    with torch.no_grad():
        expected = expanded_by_definition(dict(network.values), x, 3)
        exported = Upscaler(to_model(network.weights(), recipe, {}), guard=False, threads=1)
        result = exported.upscale(x[0, 0].numpy(), 3)
    assert result == pytest.approx(expected[0, 0].numpy(), abs=1e-5)


@pytest.fixture
def model_from_parameters():
    """An expanded network with parameters of everyday size, and a picture."""
    network = Trainable(fsrcnn.Shape(6, 3, 1), [3], expansion=8, seed=1)
    random = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, value in network.values.items():
            if "head" in name:
                value.copy_(torch.randn(value.shape, generator=random) * 0.1)
            if "bias" in name or "slope" in name:
                value.copy_(torch.randn(value.shape, generator=random) * 0.3)
    return network, torch.rand(1, 1, 11, 13, generator=random)


def test_gradients_reach_what_the_weights_were_made_of(model_from_parameters):
    network, x = model_from_parameters
    lr = torch.cat([x[..., :11, :11], x[..., :11, 2:]])
    hr = torch.rand(2, 1, 33, 33, generator=torch.Generator().manual_seed(7))
    inner = (..., slice(6, -6), slice(6, -6))
    error = expanded_by_definition(dict(network.values), lr, 3) - hr
    expected = error[inner].square().mean()
    names, values = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(expected, values)
    losses = Losses(lay_out(fsrcnn.Shape(6, 3, 1)), runtime.resolve_isa(None))
    value = losses.backward(network.weights(), lr[:, 0].numpy(), hr[:, 0].numpy(), 3, "mse", 2, 0.5)
    assert value == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, parameter, gradient in zip(names, values, gradients, strict=True):
        scale = float(gradient.abs().max())
        torch.testing.assert_close(parameter.grad, 0.5 * gradient, rtol=0, atol=1e-4 * scale, msg=name)


SMALL = {
    "fsrcnn": fsrcnn.Shape(6, 3, 1),
    "state 1": fsrcnn.State1(5, 4),
    "state 2": fsrcnn.Shape(6, 3, 2, first=9),
    "srcnn": srcnn.Shape((9, 3, 5), 5, 4),
    "idn": idn.Shape(8, 2, (6, 4, 8, 8, 6, 10), groups=2),
}


@pytest.fixture(params=SMALL)
def shape(request):
    """The shape of a small network of every family."""
    return SMALL[request.param]


def randomised(network, deviation=0.3):
    """Move the parameters away from where they begin, so that every one of them counts."""
    random = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, value in network.values.items():
            share = 0.03 if name.startswith("head") and "weight" in name else deviation
            value.add_(torch.randn(value.shape, generator=random) * share)
    return network


def oracle_net(model):
    """The model as the oracle takes it."""
    heads = {
        scale: (head.weight, head.bias, head.pad, head.output_padding, -1)
        for scale, head in model.heads.items()
    }
    nodes = [(n.weight, n.bias, n.slope, n.groups, n.source, list(n.adds)) for n in model.nodes]
    return oracle.Net(nodes, heads, model.padding, model.planes, model.enlarged, model.plus_bicubic)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_network_is_that_of_the_oracle(shape, scale):
    network = lay_out(shape)
    model = network.with_random_weights(np.random.default_rng(5))
    weights = {name: torch.from_numpy(array) for name, array in model.tensors.items()}
    luma = np.random.default_rng(8).uniform(size=(9, 14)).astype(np.float32)
    result = apply(network, weights, torch.from_numpy(luma)[None, None], scale)[0, 0].numpy()
    assert result == pytest.approx(oracle.forward(oracle_net(model), luma, scale), abs=2e-5)


def test_bfloat16_is_near_float32():
    """The bicubic picture keeps its precision, what is added to it has 8 bits."""
    network = Trainable(SMALL["idn"], [3], expansion=0, seed=1)
    weights = randomised(network, 0.01).weights()
    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        exact, rough = (
            apply(lay_out(SMALL["idn"]), weights, x, 3, t) for t in (torch.float32, torch.bfloat16)
        )
    added = float((exact - enlarge(x, 3)).abs().max())
    assert rough.dtype == torch.float32
    assert 0 < float((exact - rough).abs().max()) < 0.05 * added


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("size", [(7, 12), (1, 3)])
def test_bicubic_picture_is_that_of_the_oracle(scale, size, rng):
    luma = rng.uniform(size=size)
    result = enlarge(torch.from_numpy(luma).float()[None, None], scale)[0, 0].numpy()
    assert result == pytest.approx(oracle.bicubic(luma, scale, "symmetric"), abs=1e-6)


def loss_by_definition(network, weights, lr, hr, scale, loss, border, overshoot):
    """In float64, from what the network makes."""
    result = apply(network, weights, torch.from_numpy(lr)[:, None], scale)[:, 0].detach().numpy()
    step = 1 if network.enlarged else scale
    read = [oracle.bicubic(patch, scale, "symmetric") if network.enlarged else patch for patch in lr]
    total = count = 0
    for n in range(len(hr)):
        for y in range(scale * border, hr.shape[1] - scale * border):
            for x in range(scale * border, hr.shape[2] - scale * border):
                v, u = y // step, x // step
                near = read[n][max(0, v - 2) : v + 3, max(0, u - 2) : u + 3]
                more = 0.15 * (near.max() - near.min())
                beyond = max(0.0, result[n, y, x] - near.max() - more, near.min() - more - result[n, y, x])
                error = abs(result[n, y, x] - hr[n, y, x])
                power = 1 if loss == "l1" else 2
                total += error**power + overshoot * beyond**power
                count += 1
    return total / count


@pytest.mark.parametrize("loss", ["l1", "mse"])
def test_loss_and_gradients_of_every_family(shape, loss, rng):
    """The value against its definition, the gradients against differences of it, overshoot included."""
    network = lay_out(shape, [2])
    trained = randomised(Trainable(shape, [2], expansion=0, seed=1), 0.05)
    lr = rng.uniform(size=(2, 10, 10)).astype(np.float32)
    hr = rng.uniform(size=(2, 20, 20)).astype(np.float32)
    losses = Losses(network, runtime.resolve_isa(None))
    value = losses.backward(trained.weights(), lr, hr, 2, loss, 2, 0.5, 4.0)
    assert value == pytest.approx(
        loss_by_definition(network, trained.weights(), lr, hr, 2, loss, 2, 4.0), rel=1e-4
    )

    random = torch.Generator().manual_seed(9)
    directions = {
        n: torch.randn(v.shape, generator=random) * v.detach().abs().mean()
        for n, v in trained.named_parameters()
    }
    expected = sum(float((p.grad * directions[n]).sum()) for n, p in trained.named_parameters())
    step = 1e-3
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            for name, parameter in trained.named_parameters():
                parameter.add_(directions[name], alpha=sign * step)
        sides.append(loss_by_definition(network, trained.weights(), lr, hr, 2, loss, 2, 4.0))
        with torch.no_grad():
            for name, parameter in trained.named_parameters():
                parameter.add_(directions[name], alpha=-sign * step)
    assert 0.5 * (sides[0] - sides[1]) / (2 * step) == pytest.approx(expected, rel=0.02, abs=1e-3 * value)


def test_the_core_computes_what_pytorch_does(shape, rng):
    """Chains train by the core: value and gradients are those of the network in PyTorch."""
    network = lay_out(shape, [3])
    if shape is SMALL["idn"]:
        assert Losses(network, "reference")._engine is None
        return
    lr = rng.uniform(size=(2, 12, 12)).astype(np.float32)
    hr = rng.uniform(size=(2, 36, 36)).astype(np.float32)
    found = []
    for by_core in (True, False):
        trained = randomised(Trainable(shape, [3], expansion=8, seed=1), 0.05)
        losses = Losses(network, runtime.resolve_isa(None))
        assert losses._engine is not None
        if not by_core:
            losses._engine = None
        value = losses.backward(trained.weights(), lr, hr, 3, "mse", 2)
        found.append((value, {name: p.grad for name, p in trained.named_parameters()}))
    (ours, of_ours), (theirs, of_theirs) = found
    assert ours == pytest.approx(theirs, rel=1e-5)
    for name, gradient in of_theirs.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(of_ours[name], gradient, rtol=0, atol=1e-4 * scale, msg=name)


@pytest.mark.parametrize("expansion", [0, 8])
def test_networks_on_the_bicubic_picture_begin_with_it(expansion, rng):
    """PSNR starts at bicubic's: nothing is to be learned before it gets better."""
    x = torch.from_numpy(imresize(rng.uniform(size=(5, 6)), 3).astype(np.float32))[None, None]
    for name, deviation in ("idn", 0.01), ("srcnn", 0.05):
        weights = Trainable(SMALL[name], [2, 3, 4], expansion, seed=1).weights()
        for scale in (2, 3, 4):
            result = apply(lay_out(SMALL[name]), weights, x, scale).detach()
            assert float((result - enlarge(x, scale)).std()) < deviation, (name, scale)
