"""Every network of the papers on every instruction set: PyTorch's numbers, and bits that nothing changes."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import oracle
import pytest
from conversions import to_net
from fsrcnn_rt import _core
from fsrcnn_rt.convert import convert
from fsrcnn_rt.evaluation.protocol import load_luma
from fsrcnn_rt.model import fsrcnn, idn, srcnn
from test_network import TOLERANCE, run

SCALES = (2, 3, 4)
NETWORKS = {
    "fsrcnn": fsrcnn.architecture(fsrcnn.Shape(56, 12, 4)),
    "fsrcnn-s": fsrcnn.architecture(fsrcnn.Shape(32, 5, 1)),
    "state 1": fsrcnn.architecture(fsrcnn.STATE1),
    "state 2": fsrcnn.architecture(fsrcnn.STATE2),
    "idn": idn.architecture(),
} | {
    f"srcnn 9-{kernel}-5 {colour}": srcnn.architecture(srcnn.Shape((9, kernel, 5), colour=colour))
    for kernel in (1, 3, 5)
    for colour in ("y", "ycbcr", "rgb")
}
# What the authors have published, and whose network it is.
FILES = {
    "FSRCNN-authors/FSRCNN/x{}.mat": "fsrcnn",
    "FSRCNN-authors/FSRCNN-s/x{}.mat": "fsrcnn-s",
    "SRCNN-authors/9-1-5(91 images)/x{}.mat": "srcnn 9-1-5 y",
    "SRCNN-authors/9-5-5(ImageNet)/x{}.mat": "srcnn 9-5-5 y",
    "IDN-authors/IDN_x{}.caffemodel": "idn",
}
SLOPES = {"srcnn": 0, "state 1": 0, "idn": 0.05}  # by family; the others have PReLUs


@pytest.fixture
def size(isa):
    """Of a picture; the scalar kernels take their time, and have no vectors to fill."""
    return (10, 17) if isa == "reference" else (26, 70)


@lru_cache
def random_model(name):
    model = NETWORKS[name].with_random_weights(np.random.default_rng(0))
    slope = next((slope for family, slope in SLOPES.items() if name.startswith(family)), None)
    if slope is None:
        return model
    return replace(model, nodes=[replace(n, slope=np.full_like(n.slope, slope)) for n in model.nodes])


def core(model, isa):
    net = to_net(model)
    options = {"planes": net.planes, "colour": model.colour}
    options |= {"enlarged": net.enlarged, "plus_bicubic": net.plus_bicubic}
    return _core.Network(net.nodes, net.heads, net.padding, isa, **options)


def by_pytorch(model, planes, scale):
    """What the papers describe, of (planes, H, W), in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is the second oracle")
    functional = torch.nn.functional
    nodes, head = iter(model.nodes), model.heads[scale]

    def tensors(*arrays):
        return (torch.from_numpy(np.asarray(array, np.float64)) for array in arrays)

    def pad(x, pixels):
        return functional.pad(x, (pixels,) * 4, "replicate") if pixels else x

    def layer(x):
        node = next(nodes)
        weight, bias, slope = tensors(node.weight, node.bias, node.slope)
        return functional.prelu(functional.conv2d(pad(x, node.kernel // 2), weight, bias), slope)

    def leaky(x, groups=1):
        node = next(nodes)
        weight, bias = tensors(node.weight, node.bias)
        made = functional.conv2d(x, weight, bias, padding=node.kernel // 2, groups=groups)
        return functional.leaky_relu(made, 0.05)

    def enlarging(x, border):
        """The transposed convolution of an input whose edge is repeated before the zeros."""
        weight, bias = tensors(head.weight, head.bias)
        cut = head.pad + scale * border
        made = functional.conv_transpose2d(
            pad(x, border), weight, bias, scale, cut, output_padding=max(0, head.output_padding)
        )
        return made[..., : scale * x.shape[2], : scale * x.shape[3]]

    soft = np.stack([oracle.bicubic(plane.astype(np.float64), scale, "symmetric") for plane in planes])
    (x,) = tensors((soft if model.enlarged else planes)[None])
    with torch.no_grad():
        if model.enlarged:  # SRCNN
            weight, bias = tensors(head.weight, head.bias)
            made = functional.conv2d(pad(layer(layer(x)), 2), weight, bias)
        elif model.plus_bicubic:  # IDN
            x = leaky(leaky(x))
            for _ in range(4):
                upper = leaky(leaky(leaky(x), groups=4))
                kept = torch.cat([x, upper[:, :16]], 1)
                x = leaky(kept + leaky(leaky(leaky(upper[:, 16:]), groups=4)))
            made = enlarging(x, 0) + torch.from_numpy(soft)
        else:  # FSRCNN and its transition states
            for _ in model.nodes:
                x = layer(x)
            made = enlarging(x, head.kernel if head.border == "full" else head.border)
    return made[0].numpy()


def assert_near(result, expected):
    assert np.abs(result - expected).max() <= TOLERANCE * max(1, np.abs(expected).max())


@lru_cache
def random_case(name, size):
    """A picture of noise, and by scale what comes out."""
    model = random_model(name)
    picture = np.random.default_rng(1).random((*size, *(3,) * (model.planes > 1)), np.float32)
    if model.colour == "y":
        return picture, {scale: by_pytorch(model, picture[None], scale)[0] for scale in SCALES}
    rgb = np.moveaxis(picture, -1, 0)
    planes = rgb if model.colour == "rgb" else oracle.rgb_to_ycbcr(picture)
    made = {scale: by_pytorch(model, planes, scale) for scale in SCALES}
    to_rgb = {"rgb": lambda x: np.moveaxis(x, 0, -1), "ycbcr": oracle.ycbcr_to_rgb}[model.colour]
    return picture, {scale: to_rgb(x) for scale, x in made.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_random_weights_give_what_pytorch_gives(isa, name, size):
    picture, expected = random_case(name, size)
    for scale, result in run(core(random_model(name), isa), picture, *SCALES, guard=False).items():
        assert_near(result, expected[scale])


@pytest.fixture(scope="session")
def authors_case(data_folder):
    """By file, scale and size: the model, a picture, and what comes out."""
    pytest.importorskip("scipy", reason="scipy writes .mat files: the extra 'dev'")
    photograph = load_luma(data_folder / "Set5" / "butterfly.bmp").astype(np.float32) / 255

    @lru_cache
    def case(file, scale, size):
        path = data_folder.parent / "reference" / file.format(scale)
        if not path.is_file():
            pytest.skip(f"the authors' weights are not there: {path}")
        model, picture = convert(path), photograph[: size[0], : size[1]]
        return model, picture, by_pytorch(model, picture[None], scale)[0]

    return case


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("file", FILES)
def test_the_authors_weights_give_what_pytorch_gives(authors_case, isa, file, scale, size):
    model, picture, expected = authors_case(file, scale, size)
    assert model.architecture.nodes == NETWORKS[FILES[file]].nodes
    assert_near(run(core(model, isa), picture, scale, guard=False)[scale], expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_threads_strips_rows_and_company_change_no_bit(isa, name, size):
    network = core(random_model(name), isa)
    picture = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
    alone = {scale: run(network, picture, scale)[scale] for scale in SCALES}
    bands = {scale: np.zeros_like(result) for scale, result in alone.items()}
    for top, bottom in ((0, 8), (8, size[0])):
        network.run(picture, bands, 2, parts=[(0, top, size[1], bottom)], strip_width=24)
    for together in (
        bands,
        run(network, picture, *SCALES, threads=3),
        run(network, picture, *SCALES, threads=2, strip_width=12),
        run(network, picture, *reversed(SCALES), strip_width=8),
    ):
        for scale, result in together.items():
            np.testing.assert_array_equal(result, alone[scale])
