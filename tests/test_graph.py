"""Networks that are more than a chain: groups, channel ranges, added concatenations, heads of any kernel."""

import numpy as np
import oracle
import pytest
from fsrcnn_rt import _core
from test_network import assert_is_oracle, kernels, random_image, run  # noqa: F401

# What rounding makes of features larger than 1.
FINISHES = [{}, {"strength": 0.0}, {"strength": 1.4, "guided": False}, {"guard": False, "guided": False}]


def distilling_net(rng, *, padding="zeros", plus_bicubic=True):
    """The pattern of IDN, small: what a block distils is added to what comes later, beside its input."""
    nodes = []

    def conv(oc, kernel, source, groups=1, adds=()):
        ic = source[2]
        weight = rng.normal(size=(oc, ic // groups, kernel, kernel)) / np.sqrt(ic // groups * kernel**2)
        bias, slope = rng.normal(scale=0.1, size=oc), np.full(oc, 0.05)
        nodes.append((*(a.astype(np.float32) for a in (weight, bias, slope)), groups, source, list(adds)))
        return len(nodes)

    x = conv(16, 3, (0, 0, 1))
    for _ in range(2):
        a = conv(16, 3, (conv(8, 3, (x, 0, 16), groups=4), 0, 8))
        b = conv(20, 3, (conv(12, 3, (a, 4, 12), groups=4), 0, 12), adds=[(x, 0, 16), (a, 0, 4)])
        x = conv(16, 1, (b, 0, 20))
    heads = {}
    for scale in (2, 3, 4):
        weight = rng.normal(scale=scale / (4 * 17), size=(16, 1, 17, 17)).astype(np.float32)
        heads[scale] = (weight, np.full(1, 0.01, np.float32), 9 - scale, 1 - scale, -1)
    return oracle.Graph(nodes, heads, padding, plus_bicubic)


def build(net, isa="reference", algorithm="direct"):
    return _core.Network(
        net.nodes, net.heads, net.padding, isa, plus_bicubic=net.plus_bicubic, algorithm=algorithm
    )


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("finish", FINISHES, ids=str)
def test_any_finish(kernels, finish, padding):  # noqa: F811
    rng = np.random.default_rng(5)
    net = distilling_net(rng, padding=padding)
    network = build(net, *kernels)
    for shape in ((23, 31), (6, 9, 4), (1, 1, 3)):
        image = random_image(rng, shape, np.float32)
        for scale, result in run(network, image, 2, 3, 4, **finish).items():
            assert_is_oracle(result, oracle.upscale_samples(net, image, scale, **finish))


def test_the_bicubic_picture_is_added_once():
    rng = np.random.default_rng(6)
    plane = rng.random((9, 12), np.float32)
    alone = distilling_net(rng, plus_bicubic=False)
    both = oracle.Graph(alone.nodes, alone.heads, alone.padding, True)
    plain = {"guard": False, "guided": False}
    for scale, result in run(build(both), plane, 2, 3, 4, **plain).items():
        expected = run(build(alone), plane, scale, **plain)[scale] + oracle.bicubic(plane, scale)
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_rows_strips_threads_and_company_change_no_bit(kernels):  # noqa: F811
    rng = np.random.default_rng(7)
    network = build(distilling_net(rng), *kernels)
    image = random_image(rng, (50, 43, 3), np.uint8)
    expected = {scale: run(network, image, scale)[scale] for scale in (2, 3, 4)}
    for options in ({"strip_width": 8}, {"threads": 3}, {"threads": 2, "strip_width": 20}):
        for scale, result in run(network, image, 2, 3, 4, **options).items():
            np.testing.assert_array_equal(result, expected[scale])
    result = {3: np.zeros_like(expected[3])}
    for rows in ((0, 16), (16, 36), (36, 50)):
        network.run(image, result, 2, rows=rows)
    np.testing.assert_array_equal(result[3], expected[3])


def test_a_product_of_scales_is_pass_upon_pass(kernels):  # noqa: F811
    rng = np.random.default_rng(8)
    network = build(distilling_net(rng), *kernels)
    plane = rng.random((17, 22), np.float32)
    once = run(network, plane, 2)[2]
    result = np.zeros((17 * 6, 22 * 6), np.float32)
    network.resize(plane, result, [2, 3], 2, strip_width=12)
    np.testing.assert_array_equal(result, run(network, once, 3)[3])
