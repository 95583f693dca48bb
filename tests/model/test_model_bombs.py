"""Model files that ask for more than a network takes, and headers that lie."""

import json
import struct

import limits
import numpy as np
import pytest
from fsrcnn_rt import ModelError, load
from fsrcnn_rt.errors import brief
from fsrcnn_rt.model import Architecture, Channels, HeadShape, NodeShape, fsrcnn, save_model
from fsrcnn_rt.model.file import MAX_HEADER
from fsrcnn_rt.model.network import MAX_NAME, MAX_WEIGHTS, chain

MB = 1 << 20
SMALL = fsrcnn.architecture(fsrcnn.Shape(4, 2, 0))
# As many weights as there may be: nodes of 1024 channels, the last one of fewer.
LARGEST = Architecture(
    chain([(1024, 1), (1024, 1), *6 * [(1024, 1)], (996, 1)]), {2: HeadShape(3, 1, 1)}, "replicate"
)
PER_NODE = {"out": 1, "kernel": 1, "groups": 1, "source": [0, 0, 1], "adds": []}


def whole(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def small(change=lambda header: None, data=None, length=None):
    """A file of version 2 whose header has been changed."""
    at, header = 0, {}
    for name, shape in SMALL.tensors.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    described = {
        "padding": "replicate",
        "colour": "y",
        "enlarged": False,
        "plus_bicubic": False,
        "nodes": [node._asdict() for node in SMALL.nodes],
        "heads": {str(scale): head._asdict() for scale, head in SMALL.heads.items()},
    }
    header["__metadata__"] = {
        "format_version": "2",
        "luma": "bt601-limited",
        "name": "small",
        "network": json.dumps(described),
        "provenance": "{}",
    }
    change(header)
    return whole(header, bytes(at) if data is None else data, length)


def metadata(**changes):
    return small(lambda header: header["__metadata__"].update(changes))


def network(**changes):
    def change(header):
        described = json.loads(header["__metadata__"]["network"])
        header["__metadata__"]["network"] = json.dumps(described | changes)

    return small(change)


def entry(**changes):
    return small(lambda header: header["node.0.weight"].update(changes))


def many_tensors(count):
    def change(header):
        for i in range(count):
            header[f"node.{i}.more"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}

    return small(change)


def deep(depth):
    return depth * "[" + depth * "]"


BOMBS = {
    "300,000 layers": (many_tensors(300_000), "has a header of .* bytes, more than 8388608"),
    "60,000 tensors": (many_tensors(60_000), "tensor 'node.*' is unknown|not a safetensors file"),
    "300,000 nodes": (network(nodes=300_000 * [{}]), "more than 1048576"),
    "8,000 nodes": (network(nodes=8000 * [PER_NODE]), "there are 8000 nodes, not 1 to 256"),
    "90 MB of provenance": (metadata(provenance=90 * MB * "x"), "has a header of .* more than 8388608"),
    "2 MB of provenance": (metadata(provenance=2 * MB * "x"), "provenance has 2097152 characters"),
    "a network of a long text": (network(padding=MB // 2 * "x"), r"padding='x*\.\.\. is not supported"),
    "a name of a megabyte": (
        metadata(name=MB * "x"),
        r"name='x*\.\.\. is not a string of 1 to 256 printable",
    ),
    "a name of escapes": (metadata(name="\x1b[2J"), r"name='.x1b\[2J' is not a string of 1 to 256 printable"),
    "a version of a megabyte": (metadata(format_version=MB * "x"), r"format_version='x*\.\.\. is not supp"),
    "a key of a megabyte": (metadata(**{MB * "x": ""}), r"metadata key 'x*\.\.\. is unknown"),
    "deep provenance": (
        metadata(provenance=f'{{"a": {deep(200_000)}}}'),
        "is nested 200001 deep, more than 64",
    ),
    "half a character": (metadata(provenance='{"a": "\\ud800"}'), "provenance is not JSON .*surrogates"),
    "a number of 10,000 digits": (metadata(provenance=f'{{"a": {10_000 * "1"}}}'), "provenance is not JSON"),
    "a kernel of 4000 digits": (
        network(nodes=[PER_NODE | {"kernel": 10**4000}]),
        r"node.0: kernel=10*\.\.\. is not odd",
    ),
    "weights without end": (
        network(nodes=[node._asdict() for node in chain([*20 * [(1024, 9)]])]),
        r"there are \d+ weights, more than 8388608",
    ),
    "a shape of millions": (
        entry(shape=2_000_000 * [1]),
        r"node.0.weight' has shape \(1, .*\.\.\., not|not a safe",
    ),
    "a shape that overflows": (entry(shape=[1 << 62, 1 << 62]), "not a safetensors file"),
    "another shape": (entry(shape=[100]), r"has shape \(100,\), not"),
    "another type": (entry(dtype="F16", shape=[4, 50]), "dtype F16, not F32"),
    "offsets beyond the end": (entry(data_offsets=[0, 1 << 40]), "not a safetensors file"),
    "offsets backwards": (entry(data_offsets=[400, 0]), "not a safetensors file"),
    "offsets that overlap": (entry(data_offsets=[16, 416]), "not a safetensors file"),
    "a header that is no object": (whole([]), "not a safetensors file"),
    "a header of no JSON": (whole(b"{" * MB), "not a safetensors file"),
    "a header beyond the end": (small(length=1 << 63), "not a safetensors file"),
    "a header of the whole file": (small(length=MAX_HEADER), "not a safetensors file"),
    "a long header of nothing": (whole(b" " * 9 * MB), "has a header of 9437184 bytes, more than 8388608"),
    "no data": (small(data=b""), "not a safetensors file"),
    "more data": (small(data=bytes(MB)), "not a safetensors file"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What became of every file, read in one process."""
    folder = tmp_path_factory.mktemp("bombs")
    paths = []
    for i, (data, _) in enumerate(BOMBS.values()):
        paths.append(folder / f"{i}.safetensors")
        paths[-1].write_bytes(data)
    model = LARGEST.with_random_weights(np.random.default_rng(0))
    save_model(model, folder / "nan.safetensors")
    with (folder / "nan.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\0\xc0\x7f")
    return limits.read("load", [*paths, folder / "nan.safetensors"], folder)


@pytest.mark.parametrize("name", BOMBS)
def test_a_model_file_that_asks_for_too_much_is_refused(outcomes, name):
    limits.assert_refused(outcomes[f"{list(BOMBS).index(name)}.safetensors"], BOMBS[name][1])


def test_the_largest_model_with_a_weight_that_is_no_number_is_refused_in_little_memory(outcomes):
    weights = sum(int(np.prod(shape)) for shape in LARGEST.tensors.values())
    assert 0.99 * MAX_WEIGHTS < weights <= MAX_WEIGHTS
    limits.assert_refused(outcomes["nan.safetensors"], "has a value that is not finite: nan")


def test_the_small_file_is_sound(tmp_path):
    (tmp_path / "x").write_bytes(small())
    assert load(tmp_path / "x").name == "small"


def test_one_weight_too_many_is_refused():
    nodes = LARGEST.nodes
    with pytest.raises(ModelError, match=r"there are \d+ weights, more than 8388608"):
        Architecture((*nodes[:-1], nodes[-1]._replace(out=997)), LARGEST.heads)


def test_names_are_as_long_as_they_may_be(tmp_path):
    rng = np.random.default_rng(0)
    save_model(SMALL.with_random_weights(rng, MAX_NAME * "ö"), tmp_path / "x")
    assert load(tmp_path / "x").name == MAX_NAME * "ö"
    for name in (MAX_NAME + 1) * "ö", "a\nb", "\ud800":
        with pytest.raises(ModelError, match="printable characters"):
            SMALL.with_random_weights(rng, name)


def test_provenance_is_as_deep_as_it_may_be(tmp_path):
    # Brackets in a text are no lists.
    for text in f'{{"a": {deep(63)}}}', json.dumps({"a": 99 * '["'}):
        (tmp_path / "x").write_bytes(metadata(provenance=text))
        assert json.dumps(load(tmp_path / "x").provenance) == text
    (tmp_path / "x").write_bytes(metadata(provenance=f'{{"a": {deep(64)}}}'))
    with pytest.raises(ModelError, match="metadata provenance is nested 65 deep, more than 64"):
        load(tmp_path / "x")


def test_a_network_reads_a_result_of_its_own():
    """A channel range that is huge is refused by arithmetic alone."""
    with pytest.raises(ModelError, match="is not within the 1 channels"):
        Architecture((NodeShape(1, 1, 1, Channels(0, 1 << 80, 1 << 80)),), {2: HeadShape(3, 1, 1)})


def test_values_are_shown_in_brief():
    deep_list: list = []
    for _ in range(100_000):
        deep_list = [deep_list]
    shown = {
        "'a'": "a",
        "[1, 2]": [1, 2],
        "a list": deep_list,
        "a int": 10**5000,
        f"'{'x' * 199}...": 999 * "x",
    }
    assert {brief(value) for value in shown.values()} == shown.keys()
