"""Networks that read the picture enlarged (SRCNN): numbers, edges, colours, any size."""

import itertools
from dataclasses import dataclass

import numpy as np
import oracle
import pytest
from fsrcnn_rt import _core
from fsrcnn_rt.evaluation.metrics import imresize

PLANES = {"y": 1, "ycbcr": 3, "rgb": 3}


def matlab(plane, scale):
    """The picture that goes in: mirrored at the edges before it is enlarged."""
    return oracle.bicubic(plane.astype(np.float64), scale, "symmetric")


@dataclass(frozen=True)
class Srcnn:
    """Convolutions as (weight (oc, ic, k, k), bias (oc,)), ReLU between them; the last is the head."""

    layers: list[tuple[np.ndarray, np.ndarray]]
    padding: str = "replicate"
    colour: str = "y"

    def forward(self, plane, scale):
        """Of (planes, H, W), by definition, in float64."""
        x = np.stack([matlab(channel, scale) for channel in np.asarray(plane, np.float64)])
        for i, (weight, bias) in enumerate(self.layers):
            x = oracle.conv2d(x, weight, bias, self.padding)
            if i + 1 < len(self.layers):
                x = np.maximum(x, 0)
        return x

    def network(self, isa, scales=(2, 3, 4), **options):
        """The core's, with the same head for all scales."""
        *layers, (weight, bias) = self.layers
        nodes = oracle.chain([(w, b, np.zeros(len(b), np.float32)) for w, b in layers])
        heads = {scale: (weight, bias, 0, 0, -1) for scale in scales}
        colours = {"planes": PLANES[self.colour], "colour": self.colour}
        return _core.Network(nodes, heads, self.padding, isa, enlarged=True, **colours, **options)


def random_srcnn(n1, n2, kernels, *, padding="replicate", colour="y"):
    rng = np.random.default_rng(7)
    widths = (PLANES[colour], n1, n2, PLANES[colour])

    def layer(i, k):
        weight = rng.normal(size=(widths[i + 1], widths[i], k, k)) * np.sqrt(2 / (widths[i] * k * k))
        return weight.astype(np.float32), rng.normal(scale=0.1, size=widths[i + 1]).astype(np.float32)

    return Srcnn([layer(i, k) for i, k in enumerate(kernels)], padding, colour)


def run(network, picture, scale, **options):
    shape = (scale * picture.shape[0], scale * picture.shape[1], *picture.shape[2:])
    out = np.full(shape, 77, picture.dtype)
    network.run(picture, {scale: out}, options.pop("threads", 1), **{"guard": False, **options})
    return out


def noise(*shape):
    return np.random.default_rng(3).random(shape, np.float32)


@pytest.mark.parametrize("padding", ["replicate", "zeros"])
@pytest.mark.parametrize("kernels", [(9, 1, 5), (9, 3, 5), (9, 5, 5), (3, 7, 1)])
def test_numbers(isa, kernels, padding):
    srcnn = random_srcnn(12, 7, kernels, padding=padding)
    picture = noise(11, 14)
    for algorithm in ("winograd", "direct"):
        network = srcnn.network(isa, algorithm=algorithm)
        for scale in (2, 3, 4):
            expected = srcnn.forward(picture[None], scale)[0]
            np.testing.assert_allclose(run(network, picture, scale), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", list(itertools.product((1, 2, 3, 4, 5), repeat=2)), ids=str)
def test_the_smallest_pictures_are_mirrored_as_by_matlab(isa, size):
    """By a network that hands on what it reads, and by one that adds nothing to the picture."""
    reads = Srcnn([(np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32))] * 2).network(isa)
    nothing = [(np.zeros((1, 1, 1, 1), np.float32), np.zeros(1, np.float32), np.ones(1, np.float32))]
    heads = {
        s: (np.zeros((1, 1, 9, 9), np.float32), np.zeros(1, np.float32), 4, s - 1, -1) for s in (2, 3, 4)
    }
    adds = _core.Network(oracle.chain(nothing), heads, "zeros", isa, plus_bicubic=True)
    picture = 0.25 + 0.5 * noise(*size)  # negative numbers do not pass the layers of an SRCNN
    for scale in (2, 3, 4):
        for network in (reads, adds):
            for strip_width in (0, 4):
                result = run(network, picture, scale, strip_width=strip_width)
                np.testing.assert_allclose(result, imresize(picture, scale), rtol=0, atol=2e-6)


def to_planes(rgb, colour):
    if colour == "rgb":
        return np.moveaxis(rgb.astype(np.float64), -1, 0)
    return oracle.rgb_to_ycbcr(rgb)


def to_rgb(planes, colour):
    return np.moveaxis(planes, 0, -1) if colour == "rgb" else oracle.ycbcr_to_rgb(planes)


@pytest.mark.parametrize("colour", ["ycbcr", "rgb"])
def test_three_channels(isa, colour):
    srcnn = random_srcnn(9, 6, (9, 1, 5), colour=colour)
    rgba = noise(9, 13, 4)
    network = srcnn.network(isa)
    for scale in (2, 3):
        expected = to_rgb(srcnn.forward(to_planes(rgba[..., :3], colour), scale), colour)
        for channels in (3, 4):
            got = run(network, np.ascontiguousarray(rgba[..., :channels]), scale)
            np.testing.assert_allclose(got[..., :3], expected, rtol=0, atol=1e-5)
        alpha = oracle.bicubic(rgba[..., 3].astype(np.float64), scale)
        np.testing.assert_allclose(got[..., 3], alpha, rtol=0, atol=1e-6)


@pytest.mark.parametrize("colour", ["ycbcr", "rgb"])
def test_grey_to_a_network_of_colours(colour):
    """Grey is a picture without colour, and what comes out is grey."""
    srcnn = random_srcnn(9, 6, (9, 1, 5), colour=colour)
    grey = noise(9, 13)
    neutral = np.full(grey.shape, 128 / 255)
    planes = [grey, neutral, neutral] if colour == "ycbcr" else [grey] * 3
    expected = srcnn.forward(np.stack(planes), 2)
    expected = expected[0] if colour == "ycbcr" else expected.mean(0)
    np.testing.assert_allclose(run(srcnn.network("reference"), grey, 2), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("colour", ["y", "ycbcr", "rgb"])
def test_strength_0_is_bicubic_and_the_guard_bounds(isa, colour):
    network = random_srcnn(12, 7, (9, 5, 5), colour=colour).network(isa)
    picture = noise(17, 19, 3)
    planes = to_planes(picture, "rgb" if colour == "rgb" else "ycbcr")
    # What goes past the network has its edges replicated.
    made = [
        oracle.bicubic(plane, 3) if colour == "y" and i else matlab(plane, 3)
        for i, plane in enumerate(planes)
    ]
    got = run(network, picture, 3, strength=0.0, guided=False)
    np.testing.assert_allclose(got, to_rgb(np.stack(made), colour), rtol=0, atol=3e-6)
    if colour == "y":
        return  # what chroma does beside guarded luma is another matter
    even = np.full((8, 8, 3), 0.5, np.float32)
    assert np.abs(run(network, even, 2) - 0.5).max() > 0.1, "the network alone leaves an even picture"
    assert np.abs(run(network, even, 2, guard=True) - 0.5).max() < 0.03


@pytest.mark.parametrize("colour", ["y", "rgb"])
def test_any_size(isa, colour):
    """A size is a pass, and a bicubic filter down from what that gives."""
    network = random_srcnn(12, 7, (9, 1, 5), colour=colour).network(isa)
    picture = noise(20, 31, 3)
    whole = run(network, picture, 2, guided=False)
    for threads, strip_width in ((1, 0), (3, 8)):
        out = np.zeros((30, 50, 3), np.float32)
        network.resize(picture, out, [2], threads, strip_width=strip_width, guard=False, guided=False)
        if threads == 1:
            first = out
        np.testing.assert_array_equal(out, first)
    if colour == "rgb":
        expected = imresize(whole.astype(np.float64), shape=(30, 50))
        inner = (slice(3, -3), slice(3, -3))  # MATLAB mirrors at the edge
        np.testing.assert_allclose(first[inner], expected[inner], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"planes": 3}, "colour='y' with planes=3"),
        ({"planes": 3, "colour": "lab"}, "colour='lab'"),
        ({"planes": 3, "colour": "rgb"}, "bias has 1 values"),
        ({"plus_bicubic": True}, "plus_bicubic"),
        ({"enlarged": False}, "ic, 1, k, k"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    srcnn = random_srcnn(4, 3, (3, 1, 3))
    *layers, head = srcnn.layers
    nodes = oracle.chain([(w, b, np.zeros(len(b), np.float32)) for w, b in layers])
    options = {"enlarged": True} | change
    with pytest.raises(ValueError, match=message):
        _core.Network(nodes, {2: (*head, 0, 0, -1)}, "zeros", "reference", **options)
