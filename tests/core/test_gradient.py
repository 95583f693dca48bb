"""Loss and gradients of the core, which training follows, against differences of the loss by definition."""

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from fsrcnn_rt import _core

SIDE = 9


def subpixel(head, scale):
    """A transposed convolution as a convolution to scale**2 channels, one a phase of the output."""
    weight, bias, pad, *_ = head
    reach = {2: 2, 3: 1, 4: 1}[scale]
    taps = range(-reach, reach + 1)
    phases = np.zeros((scale, scale, len(weight), len(taps), len(taps)), np.float32)
    for (y, x, i, j), _ in np.ndenumerate(phases[:, :, 0]):
        row, column = y + pad - scale * taps[i], x + pad - scale * taps[j]
        if 0 <= row < 9 and 0 <= column < 9:
            phases[y, x, :, i, j] = weight[:, 0, row, column]
    shape = (scale * scale, *phases.shape[2:])
    return phases.reshape(shape), np.repeat(bias, scale * scale), np.ones(scale * scale, np.float32)


def beyond(out, patch, scale):
    """How far an output is beyond the widened range of the 5x5 pixels around."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(patch, 2, mode="edge"), (5, 5))
    low, high = around.min((2, 3)), around.max((2, 3))
    more = 0.15 * (high - low)
    low, high = (np.kron(side, np.ones((scale, scale))) for side in (low - more, high + more))
    return np.minimum(out - low, 0) + np.maximum(out - high, 0)


def loss_of(layers, lr, hr, scale, kind, border, overshoot=0.0):
    """The mean loss, in float64."""
    errors = []
    for patch, truth in zip(lr, hr, strict=True):
        x = patch[None].astype(np.float64)
        for weight, bias, slope in layers:
            x = oracle.prelu(oracle.conv2d(x, weight, bias, "replicate"), slope)
        height, width = patch.shape
        out = x.reshape(scale, scale, height, width).transpose(2, 0, 3, 1).reshape(truth.shape)
        inner = slice(border * scale, -border * scale or None)
        errors.append([(out - truth)[inner, inner], beyond(out, patch, scale)[inner, inner]])
    size = np.abs if kind == "l1" else np.square
    error, excess = size(np.array(errors)).mean((0, 2, 3))
    return error + overshoot * excess


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def make_problem(rng, scale, count=3, d=5, s=3, m=1):
    net = oracle.random_net(rng, d, s, m, scales=(scale,))
    lr = rng.random((count, SIDE, SIDE), np.float32)
    hr = rng.random((count, scale * SIDE, scale * SIDE), np.float32)
    return [*net.layers, subpixel(net.heads[scale], scale)], lr, hr


@pytest.mark.parametrize("isa", fsrcnn_rt.available_isas())
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("kind", "border", "overshoot"),
    [("l1", 0, 0.0), ("mse", 0, 0.0), ("mse", 2, 0.0), ("l1", 1, 0.7), ("mse", 0, 3.0)],
)
def test_gradients_are_the_slopes_of_the_loss(rng, isa, scale, kind, border, overshoot):
    layers, lr, hr = make_problem(rng, scale)
    if overshoot:
        lr = lr * np.float32(0.2)  # so that a random network leaves its range, and stays in it elsewhere
    value, gradients = _core.Gradients(isa).run(layers, lr, hr, kind, border, 1, overshoot)
    expected = loss_of(layers, lr, hr, scale, kind, border, overshoot)
    assert value == pytest.approx(expected, rel=1e-5)
    assert (expected > 1.001 * loss_of(layers, lr, hr, scale, kind, border)) == bool(overshoot)
    for index, part in np.ndindex(len(layers), 3):
        if (index, part) == (len(layers) - 1, 2):
            continue  # the head has no PReLU
        step = rng.normal(size=layers[index][part].shape)
        step *= 1e-6 / np.linalg.norm(step)
        ahead, behind = (
            [
                tuple(a + sign * step if (i, p) == (index, part) else a for p, a in enumerate(layer))
                for i, layer in enumerate(layers)
            ]
            for sign in (1, -1)
        )
        rise = loss_of(ahead, lr, hr, scale, kind, border, overshoot)
        rise -= loss_of(behind, lr, hr, scale, kind, border, overshoot)
        gradient = gradients[index][part]
        assert gradient.shape == step.shape
        allowed = 2e-3 * np.linalg.norm(gradient) * np.linalg.norm(step) + 1e-12
        assert 2 * np.vdot(gradient, step) == pytest.approx(rise, abs=allowed), (index, part)


@pytest.mark.parametrize("isa", fsrcnn_rt.available_isas())
def test_threads_do_not_change_the_bits(rng, isa):
    layers, lr, hr = make_problem(rng, 3, count=11)
    engine = _core.Gradients(isa)
    value, gradients = engine.run(layers, lr, hr, "mse", 1, 1)
    # The memory of other sizes and threads must not show.
    engine.run(*make_problem(rng, 4, count=2, d=9, s=4, m=2), "l1", 0, 2)
    for threads in (1, 2, 3, 8):
        again, same = engine.run(layers, lr, hr, "mse", 1, threads)
        assert again == value
        assert all(
            np.array_equal(a, b)
            for x, y in zip(gradients, same, strict=True)
            for a, b in zip(x, y, strict=True)
        )


def test_network_of_the_shipped_size(rng):
    layers, lr, hr = make_problem(rng, 3, count=2, d=56, s=12, m=4)
    expected, of_reference = _core.Gradients("reference").run(layers, lr, hr, "mse", 2, 1)
    for isa in fsrcnn_rt.available_isas():
        value, gradients = _core.Gradients(isa).run(layers, lr, hr, "mse", 2, 1)
        assert value == pytest.approx(expected, rel=1e-5)
        for index, part in np.ndindex(len(layers) - 1, 3):
            a, b = gradients[index][part], of_reference[index][part]
            assert np.abs(a - b).max() < 1e-4 * np.abs(b).max(), (index, part)


def test_bad_arguments_are_named(rng):
    layers, lr, hr = make_problem(rng, 3)
    engine = _core.Gradients("baseline" if "baseline" in fsrcnn_rt.available_isas() else "reference")
    with pytest.raises(ValueError, match=r"loss='l2' is neither"):
        engine.run(layers, lr, hr, "l2", 0, 1)
    with pytest.raises(ValueError, match="border=5 leaves nothing"):
        engine.run(layers, lr, hr, "l1", 5, 1)
    with pytest.raises(ValueError, match="border=-1"):
        engine.run(layers, lr, hr, "l1", -1, 1)
    with pytest.raises(ValueError, match="threads=0"):
        engine.run(layers, lr, hr, "l1", 0, 0)
    with pytest.raises(ValueError, match=r"hr: shape \(2, 27, 27\)"):
        engine.run(layers, lr, hr[:2], "l1", 0, 1)
    with pytest.raises(ValueError, match="the last has 9 channels"):
        engine.run(layers, lr, hr[:, :18, :18], "l1", 0, 1)
    with pytest.raises(ValueError, match="does not fit"):
        engine.run(layers[1:], lr, hr, "l1", 0, 1)
    with pytest.raises(ValueError, match="not available"):
        _core.Gradients("pentium")
