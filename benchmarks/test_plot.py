"""The drawings of time against quality."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import plot
import pytest


def test_points_lie_where_they_should():
    points = [plot.Point(100.0, 31.0, name="slow"), plot.Point(2.0, 32.5, name="fast")]
    root = ElementTree.fromstring(plot.scatter(points, "title", "axis"))
    slow, fast = (e.attrib for e in root if e.tag.endswith("circle"))
    assert float(slow["cx"]) < float(fast["cx"])
    assert float(slow["cy"]) > float(fast["cy"])
    assert {"slow", "fast", "24 fps"} <= {element.text for element in root}


def test_runtimes_have_a_colour_and_forms_a_shape():
    row = {"threads": 2, "model": "fsrcnn", "our ms": 4.0, "our precision": "float32"}
    fixed = {"our ms": 2.0, "our precision": "int16", "our dB lost": 0.001}
    rows = [
        row | {"runtime": "ncnn", "graph": "sub-pixel", "its ms": 20.0},
        row | {"runtime": "ncnn", "graph": "deconvolution", "its ms": 40.0, "our ms": 5.0},
        row | {"runtime": "onnxruntime", "graph": "sub-pixel", "its ms": 15.0, "our ms": 4.5},
        row | {"runtime": "onnxruntime", "graph": "sub-pixel", "its ms": 15.0} | fixed,
        row | {"runtime": "openvino", "graph": "sub-pixel", "its ms": 1.0, "threads": 1},
        row | {"runtime": "openvino", "graph": "sub-pixel", "its ms": 1.0, "model": "idn"},
    ]
    root = ElementTree.fromstring(plot.draw_peers(rows, "240x240 x3", {"fsrcnn": 29.5}, "Set14", "a machine"))
    marks = [e.attrib for e in root if e.tag.endswith(("path", "circle")) and float(place(e)[0]) < 490]
    assert [mark["class"] for mark in marks] == ["s0", "s0", "s1", "good", "good"]
    shapes = [mark["d"] for mark in marks]
    assert shapes[0] == shapes[2]
    assert len(set(shapes)) == 3
    texts = {element.text for element in root}
    assert {"fsrcnn-rt", "ncnn", "onnxruntime", "sub-pixel", "deconvolution"} <= texts
    assert {"fsrcnn, float32", "fsrcnn, int16"} <= texts
    assert "openvino" not in texts
    with pytest.raises(ValueError, match="no time to draw"):
        plot.draw_peers(rows, "240x240 x3", {"fsrcnn-s": 29.1}, "Set14", "a machine")


def place(element):
    """(x, y) of a mark, as text."""
    found = re.match(r"translate\((\S+) (\S+)\)", element.get("transform", ""))
    return found.groups() if found else (element.get("cx"), element.get("cy"))
