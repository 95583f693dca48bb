"""Constants of ONNX graphs: what is read and computed here is what the package onnx reads and computes."""

from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt.convert.bounded import Allowance
from fsrcnn_rt.convert.onnx_file import read_onnx
from fsrcnn_rt.convert.onnx_fold import fold
from fsrcnn_rt.errors import ModelError

onnx = pytest.importorskip("onnx", reason="onnx computes the other side: the extra 'export'")
pytestmark = pytest.mark.usefixtures("folder")

F4 = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
POSITIVE = np.abs(F4) + 1


def i8(*values):
    return np.array(values, np.int64)


# Kind, operands and attributes; None is an operand that is left out.
NODES = [
    *(
        (kind, [POSITIVE], {})
        for kind in ("Identity", "Abs", "Neg", "Floor", "Ceil", "Sqrt", "Reciprocal", "Exp")
    ),
    *(
        (kind, [F4, POSITIVE[:, :1]], {})
        for kind in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Equal")
    ),
    ("Add", [i8(1, 2), i8(5)], {}),
    ("Div", [i8(7, 8), i8(2)], {}),
    ("Max", [F4, F4[0], F4[1]], {}),
    ("Pow", [POSITIVE, i8(2)], {}),
    ("Where", [F4 > 0, F4, np.float32(7)], {}),
    ("Constant", [], {"value_float": 2.5}),
    ("Constant", [], {"value_floats": [2.5, 1]}),
    ("Constant", [], {"value_int": 3}),
    ("Constant", [], {"value_ints": [3, 4]}),
    ("ConstantOfShape", [i8(2, 3)], {}),
    ("Cast", [F4], {"to": 7}),
    ("Cast", [i8(1, 0)], {"to": 1}),
    ("Shape", [F4], {}),
    ("Shape", [F4], {"start": 1, "end": -1}),
    ("Reshape", [F4, i8(0, -1)], {}),
    ("Reshape", [F4[:0], i8(0, 7)], {"allowzero": 1}),
    ("Transpose", [F4], {}),
    ("Transpose", [F4], {"perm": [1, 2, 0]}),
    ("Squeeze", [F4[:1, :, :1]], {}),
    ("Squeeze", [F4[:1, :, :1], i8(-1)], {}),
    ("Unsqueeze", [F4, i8(0, -1)], {}),
    ("Concat", [F4, POSITIVE], {"axis": -2}),
    ("Gather", [F4, i8(2, 0)], {"axis": 1}),
    ("Gather", [F4, np.array(1)], {}),
    ("Slice", [F4, i8(1), i8(1 << 60), i8(2)], {}),
    ("Slice", [F4, i8(-1), i8(-(1 << 60)), i8(1), i8(-1)], {}),
    ("Slice", [F4, i8(0, 3), i8(1, 0), i8(1, 2), i8(1, -2)], {}),
    ("Slice", [F4, i8(0, 1), i8(2, 3)], {}),
    ("Slice", [F4, i8(1), i8(3), None, i8(2)], {}),
    ("Expand", [F4[:, :1], i8(3, 1)], {}),
    ("Tile", [F4, i8(1, 2, 3)], {}),
    ("Range", [i8(3)[0], i8(11)[0], i8(3)[0]], {}),
    ("Range", [i8(5)[0], i8(0)[0], i8(-2)[0]], {}),
    ("ReduceSum", [F4, i8(0, -1)], {"keepdims": 0}),
    ("ReduceMean", [F4], {}),
    ("ReduceL2", [F4, i8(1)], {}),
]


@pytest.mark.parametrize(
    ("kind", "operands", "attributes"), NODES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_operations_on_constants(kind, operands, attributes):
    from onnx.reference import ReferenceEvaluator

    operands = [None if operand is None else np.asarray(operand) for operand in operands]
    names = ["" if operand is None else f"x{i}" for i, operand in enumerate(operands)]
    node = onnx.helper.make_node(kind, names, ["y"], **attributes)
    (expected,) = ReferenceEvaluator(node).run(
        None, {f"x{i}": x for i, x in enumerate(operands) if x is not None}
    )
    result = fold(kind, operands, attributes, Allowance())
    expected = np.asarray(expected)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "operands", "attributes"),
    [
        ("Loop", [i8(1 << 62)], {}),
        ("Constant", [], {"value_string": b"x"}),
        ("Constant", [], {"value_int": 1, "value_float": 2.0}),
        ("Cast", [F4], {"to": 8}),
        ("Unsqueeze", [F4, i8(*range(6))], {}),
        ("Reshape", [F4, np.zeros(2000, np.int64)], {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_operations_that_are_refused(kind, operands, attributes):
    with pytest.raises(ModelError, match="expected"):
        fold(kind, operands, attributes, Allowance())


def test_slices_and_axes_of_old_graphs():
    np.testing.assert_array_equal(
        fold("Slice", [F4], {"starts": [1], "ends": [3], "axes": [1]}, Allowance()), F4[:, 1:3]
    )
    assert fold("Unsqueeze", [F4], {"axes": [0]}, Allowance()).shape == (1, 2, 3, 4)
    assert fold("Squeeze", [F4[:1]], {"axes": [0]}, Allowance()).shape == (3, 4)
    with pytest.raises(ModelError, match="expected a few axes, got none"):
        fold("Unsqueeze", [F4], {}, Allowance())


TYPES = ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "BOOL"]
TYPES += [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_tensors_of_every_type(kind, raw):
    type_ = getattr(onnx.TensorProto, kind)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(type_)
    values = np.array([[0, 1, 2], [3, 100, 90]]).astype(dtype)
    if dtype.kind in "if":
        values[0, 1] = -5
    tensor = onnx.helper.make_tensor(
        "w", type_, values.shape, values.tobytes() if raw else values.ravel(), raw
    )
    save([tensor])
    found = read_onnx(Path("x.onnx")).constants["w"]
    np.testing.assert_array_equal(found, values.astype(np.float32) if kind == "BFLOAT16" else values)
    assert found.dtype.kind == ("f" if kind == "BFLOAT16" else dtype.kind)


def save(tensors, nodes=(), **options):
    graph = onnx.helper.make_graph(nodes, "graph", [], [], tensors)
    onnx.save(onnx.helper.make_model(graph), "x.onnx", **options)


def test_tensors_in_a_file_beside():
    tensors = [onnx.numpy_helper.from_array(F4 * i, f"w{i}") for i in range(3)]
    save(tensors, save_as_external_data=True, size_threshold=0, location="numbers.bin")
    assert Path("numbers.bin").stat().st_size >= 3 * F4.nbytes
    for i in range(3):
        np.testing.assert_array_equal(read_onnx(Path("x.onnx")).constants[f"w{i}"], F4 * i)
    Path("numbers.bin").unlink()
    with pytest.raises(FileNotFoundError):
        read_onnx(Path("x.onnx"))


def test_attributes_of_every_type():
    given = {
        "i": -3,
        "f": 0.5,
        "s": "text",
        "is_": [1, -2],
        "fs": [0.5, 2.0],
        "t": onnx.numpy_helper.from_array(F4),
    }
    save([], [onnx.helper.make_node("Made", ["a", ""], ["b", "c"], name="n", **given)])
    (node,) = read_onnx(Path("x.onnx")).nodes
    assert node[:4] == ("Made", "n", ["a", ""], ["b", "c"])
    tensor = node.attributes.pop("t")
    np.testing.assert_array_equal(tensor, F4)
    assert node.attributes == {"i": -3, "f": 0.5, "s": b"text", "is_": [1, -2], "fs": [0.5, 2.0]}


def test_a_graph_within_a_graph_is_not_read():
    inner = onnx.helper.make_graph([], "inner", [], [])
    save([], [onnx.helper.make_node("If", ["a"], ["b"], then_branch=inner, else_branch=inner)])
    (node,) = read_onnx(Path("x.onnx")).nodes
    assert node.attributes == {"then_branch": None, "else_branch": None}
