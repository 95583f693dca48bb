"""Networks of other formats, damaged or made at random: each is refused, or makes a model that works."""

import importlib.util
import os
import random
import tempfile
from pathlib import Path

import bombs
import conversions
import foreign
import fuzz
import numpy as np
import oracle
import pytest
from fsrcnn_rt import ModelError, Upscaler
from fsrcnn_rt.convert import convert
from fsrcnn_rt.convert.onnx_fold import ELEMENTWISE, OTHERS
from fsrcnn_rt.model import srcnn

# What writes the files of a format, where it is not written here.
WRITERS = {".mat": "scipy", ".onnx": "onnx"}


def use(path: Path) -> None:
    """Read a network, and have it make a picture larger."""
    try:
        model = convert(path)
    except ModelError:
        raise
    except ValueError as error:  # which is for arguments: here for one that is missing
        assert str(error).startswith(("colour", "scale"))
        return
    (scale,) = model.scales
    assert Upscaler(model, threads=1).upscale(np.ones((5, 7), np.float32), scale).shape == (
        5 * scale,
        7 * scale,
    )


def written(suffix, write):
    """What is written to a file of this suffix."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            write(f"x3{suffix}")
            return Path(f"x3{suffix}").read_bytes()
        finally:
            os.chdir(before)


def state_dicts():
    """The same network as files of both formats of PyTorch."""
    net = oracle.random_net(np.random.default_rng(0), 4, 2, 1)
    names = ["first_part.0", "mid_part.0", "mid_part.2", "mid_part.4"]
    tensors = {}
    for name, (weight, bias, slope) in zip(names, net.layers, strict=True):
        stage, _, number = name.partition(".")
        tensors |= {
            f"{name}.weight": weight,
            f"{name}.bias": bias,
            f"{stage}.{int(number) + 1}.weight": slope,
        }
    tensors |= {"last_part.weight": net.heads[3][0], "last_part.bias": net.heads[3][1]}
    program, storages = b"}(", {}
    for i, (key, array) in enumerate(tensors.items()):
        strides = tuple(step // 4 for step in array.strides)
        program += bombs.put(key) + bombs.tensor(str(i), "Float", array.size, 0, array.shape, strides)
        storages[str(i)] = array.tobytes()
    numbers = b"".join((len(data) // 4).to_bytes(8, "little") + data for data in storages.values())
    yield "x3.zip.pth", bombs.pth(program + b"u", storages)
    yield "x3.old.pth", bombs.old_pth(program + b"u", list(storages), numbers)


def mats():
    import scipy.io

    net, colour = foreign.mat_net(3), np.random.default_rng(0)
    yield "x3.mat", written(".mat", lambda path: foreign.save_mat(path, net, 3))
    contents = {f"biases_conv{i}": colour.normal(size=(n, 1)) for i, n in ((1, 3), (2, 2), (3, 3))}
    for i, shape in (1, (3, 25, 3)), (2, (3, 1, 2)), (3, (2, 9, 3)):
        contents[f"weights_conv{i}"] = colour.normal(size=shape)
    for compressed in False, True:
        yield (
            f"x3.srcnn{compressed}.mat",
            written(".mat", lambda path, c=compressed: scipy.io.savemat(path, contents, do_compression=c)),
        )


def computed_pads(graph):
    """As PyTorch's exporter writes the padding of a convolution: computed out of constants."""
    x = graph.newest
    zeros = graph.add("ConstantOfShape", source=graph.constant(np.array([4])))
    pads = graph.add("Concat", zeros, source=graph.constant(np.array([2, 2, 2, 2])), axis=0)
    pads = graph.add("Reshape", np.array([-1, 2]), source=pads)
    numbers = [np.array([value]) for value in (-1, -(1 << 60), 0, -1)]
    pads = graph.add("Slice", *numbers, source=pads)
    pads = graph.add("Transpose", source=pads, perm=[1, 0])
    pads = graph.add("Cast", source=graph.add("Reshape", np.array([-1]), source=pads), to=7)
    graph.add("Pad", pads, source=x, mode="edge")


def graphs():
    import onnx
    from fsrcnn_rt.convert.to_onnx import to_onnx
    from test_convert_onnx import prelu_by_abs, with_reshapes

    rng = np.random.default_rng(0)
    net = oracle.random_net(rng, 4, 2, 1)
    head = rng.normal(size=(9, 4, 3, 3)).astype(np.float32), np.zeros(1, np.float32)
    forms = {
        "attribute": foreign.build_graph(net, 3),
        "edge": foreign.build_graph(net, 3, mode="edge", border=1, activation=prelu_by_abs),
        "shuffle": foreign.build_graph(net, 3, head=head[:1]),
    }
    for name, graph in forms.items():
        yield f"x3.{name}.onnx", written(".onnx", graph.save)
    reshaped = with_reshapes(net, *head, 3)
    yield "x3.reshapes.onnx", written(".onnx", lambda path: reshaped.save(path, ("n", "h", "w", 1)))
    models = {
        "idn": conversions.to_model(oracle.random_idn(rng, features=4, kept=2, blocks=1, groups=1)),
        "srcnn": srcnn.architecture(srcnn.Shape((5, 1, 3), 3, 2, "ycbcr")).with_random_weights(rng),
    }
    for name, model in models.items():
        for subpixel in (False, True)[: 2 - model.enlarged]:
            proto = to_onnx(model, 3, subpixel=subpixel)
            yield f"x3.{name}{subpixel}.onnx", written(".onnx", lambda path, p=proto: onnx.save(p, path))
    folded = foreign.GraphBuilder()
    computed_pads(folded)
    weight = rng.normal(size=(4, 1, 5, 5)).astype(np.float32)
    folded.add("Conv", weight)
    folded.add(
        "ConvTranspose", rng.normal(size=(4, 1, 9, 9)).astype(np.float32), strides=[3, 3], pads=4 * [3]
    )
    yield "x3.folded.onnx", written(".onnx", folded.save)


OPERATIONS = [*ELEMENTWISE, *OTHERS, "Conv", "Conv", "ConvTranspose", "DepthToSpace", "Resize", "Pad", "Relu"]
OPERATIONS += ["LeakyRelu", "PRelu", "Split", "Clip", "Loop", "Slice", "Concat", "Add"]
ATTRIBUTES = ["axis", "axes", "perm", "to", "group", "pads", "strides", "dilations", "blocksize", "keepdims"]
ATTRIBUTES += [
    "starts",
    "ends",
    "split",
    "value_int",
    "value_ints",
    "kernel_shape",
    "output_padding",
    "start",
]
NUMBERS = [0, 1, 2, 3, 4, 8, 9, -1, -2, -3, 64, 1000, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63)]


def use_random_graph(path: Path) -> None:
    """Use a graph of operations that are drawn; the content of the file is the seed of the draw."""
    draw = random.Random(path.read_bytes())

    def number():
        return draw.choice(NUMBERS[:9] if draw.random() < 0.7 else NUMBERS)

    def array():
        shape = [draw.choice([0, 1, 1, 2, 3, 4, 9]) for _ in range(draw.choice([0, 1, 1, 2, 3, 4, 4, 5]))]
        if draw.random() < 0.1:
            shape = [draw.choice([1 << 10, 1 << 16])]
        count = int(np.prod(shape))
        if draw.random() < 0.5:
            return np.array(
                [number() for _ in range(count)] if count < 100 else np.zeros(count), "i8"
            ).reshape(shape)
        special = draw.choice([0, 1, -1, 0.5, np.nan, np.inf, 1e38])
        values = np.full(count, special) if draw.random() < 0.3 else np.arange(count) / max(1, count)
        return values.astype(draw.choice(["f4", "f4", "f4", "f8"])).reshape(shape)

    names = ["x", "x", "x"]
    parts = []
    for i in range(draw.randrange(12)):
        parts.append(bombs.onnx_tensor(f"c{i}", array()))
        names.append(f"c{i}")
    for i in range(draw.randrange(1, 14)):
        first = draw.choice(names[-4:]) if draw.random() < 0.6 else draw.choice(names)
        inputs = [first, *(draw.choice([*names, ""]) for _ in range(draw.choice([0, 1, 1, 1, 2, 3, 4])))]
        attributes = b""
        for _ in range(draw.choice([0, 0, 1, 2, 3])):
            values = [number() for _ in range(draw.choice([0, 1, 2, 4, 4]))]
            attributes += bombs.attribute(draw.choice(ATTRIBUTES), draw.choice([values, number()]))
        parts.append(bombs.onnx_node(draw.choice(OPERATIONS), inputs, f"t{i}", attributes))
        names.append(f"t{i}")
    parts.append(bombs.onnx_node("Identity", [names[-1]], "y"))
    path = path.with_name("x3.onnx")
    path.write_bytes(bombs.onnx_graph(*parts))
    use(path)


def targets():
    def use_named(path):
        """Use a file by the name that tells its scale."""
        use(path.rename(path.with_name(f"x3{path.suffix}")))

    formats = {
        ".pth": state_dicts,
        ".caffemodel": lambda: [("x3.caffemodel", written(".caffemodel", foreign.save_caffe))],
        ".mat": mats,
        ".onnx": graphs,
    }
    for suffix, seeds in formats.items():
        if importlib.util.find_spec(WRITERS.get(suffix, "numpy")):
            yield fuzz.Target(suffix, dict(seeds()), use_named, (ModelError,))
    seeds = {"a.seed": b"a network"}
    yield fuzz.Target("graphs at random", seeds, lambda path: _refused(use_random_graph, path), ())


def _refused(read, path):
    """A graph that is drawn is hardly ever a network."""
    try:
        read(path)
    except ModelError:
        return


@pytest.mark.parametrize("name", [".pth", ".caffemodel", ".mat", ".onnx", "graphs at random"])
def test_a_damaged_network_is_refused_or_works(name):
    pytest.importorskip(WRITERS.get(name, "numpy"), reason=f"it writes {name} files")
    fuzz.check(__file__, name)
