"""Networks that are more than a chain: groups, channel ranges, added concatenations, heads of any kernel."""

import dataclasses

import numpy as np
import oracle
import pytest
from fsrcnn_rt import _core
from test_network import assert_is_oracle, kernels, random_image, run  # noqa: F401

# What rounding makes of features larger than 1.
FINISHES = [{}, {"strength": 0.0}, {"strength": 1.4, "guided": False}, {"guard": False, "guided": False}]


def build(net, isa="reference", algorithm="direct"):
    return _core.Network(
        net.nodes, net.heads, net.padding, isa, plus_bicubic=net.plus_bicubic, algorithm=algorithm
    )


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("finish", FINISHES, ids=str)
def test_any_finish(kernels, finish, padding):  # noqa: F811
    rng = np.random.default_rng(5)
    net = oracle.random_idn(rng, padding=padding)
    network = build(net, *kernels)
    for shape in ((23, 31), (6, 9, 4), (1, 1, 3)):
        image = random_image(rng, shape, np.float32)
        for scale, result in run(network, image, 2, 3, 4, **finish).items():
            assert_is_oracle(result, oracle.upscale_samples(net, image, scale, **finish))


@pytest.mark.parametrize("seed", range(20))
def test_any_graph(kernels, seed):  # noqa: F811
    rng = np.random.default_rng(seed)
    net = oracle.random_graph(rng, padding=("zeros", "replicate")[seed % 2])
    plane = rng.random(tuple(rng.integers(1, 40, 2)), np.float32)
    for scale, result in run(build(net, *kernels), plane, 2, 3, 4).items():
        assert_is_oracle(result, oracle.luma(net, plane, scale))


def test_the_bicubic_picture_is_added_once():
    rng = np.random.default_rng(6)
    plane = rng.random((9, 12), np.float32)
    both = oracle.random_idn(rng)
    alone = dataclasses.replace(both, plus_bicubic=False)
    plain = {"guard": False, "guided": False}
    for scale, result in run(build(both), plane, 2, 3, 4, **plain).items():
        expected = run(build(alone), plane, scale, **plain)[scale] + both.soft(plane, scale)
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_a_product_of_scales_is_pass_upon_pass(kernels):  # noqa: F811
    rng = np.random.default_rng(8)
    network = build(oracle.random_idn(rng), *kernels)
    plane = rng.random((17, 22), np.float32)
    once = run(network, plane, 2)[2]
    result = np.zeros((17 * 6, 22 * 6), np.float32)
    network.resize(plane, result, [2, 3], 2, strip_width=12)
    np.testing.assert_array_equal(result, run(network, once, 3)[3])
