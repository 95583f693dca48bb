"""A small recipe, and others that differ from it in some values."""

import sys

import pytest

toml = "tomllib" if sys.version_info >= (3, 11) else "tomli"
tomllib = pytest.importorskip(toml, reason=f"{toml} is not installed: the extra 'train'")

RECIPE = """
name = "tiny"
seed = 7

[network]
family = "fsrcnn"
d = 6
s = 3
m = 1
first = 5
expansion = 8

[data]
augmentation = [1.0, 0.8]
exclude = []
filters = { bicubic = 0.9, nearest = 0.1 }
drawing_filters = { area = 1.0 }
drawing_kinds = { scene = 0.6, "hard scene" = 0.2, blocks = 0.2 }
least_text = 6
drawings = 3
validation_dataset = "pictures"
validation_images = 2

[training]
evaluate_every = 4
precision = "float32"
optimizer = "adam"
average = 0.9
clip = 1.0
head_rate = 1.0

[[stage]]
name = "trunk"
datasets = ["pictures"]
scales = [3]
scale_weights = [1.0]
trains = "all"
steps = 10
least_squares = false
patch = 8
batch = 2
loss = "l1"
learning_rate = [2e-3, 1e-3]
drawn = 0.25
overshoot = 0.5

[[stage]]
name = "heads"
datasets = ["pictures"]
scales = [2, 4]
scale_weights = [1.0, 1.0]
trains = "heads"
steps = 5
least_squares = true
patch = 9
batch = 2
loss = "mse"
learning_rate = 1e-4
drawn = 0.0
overshoot = 0.0
"""


def changed(**changes):
    """The recipe as a document, with some values of its tables replaced."""
    document = tomllib.loads(RECIPE)
    for path, value in changes.items():
        *tables, key = path.split("__")
        target = document
        for table in tables:
            target = target[int(table[5:])] if table.startswith("stage") and table[5:] else target[table]
        if value is None:
            del target[key]
        else:
            target[key] = value
    return document


FSRCNN = tomllib.loads(RECIPE)["network"]
STATE1 = {"family": "state1", "n1": 5, "n2": 4, "kernels": [9, 5], "expansion": 8}
SRCNN = {"family": "srcnn", "n1": 5, "n2": 4, "kernels": [9, 3, 5], "expansion": 8}
IDN = {
    "family": "idn",
    "features": 8,
    "blocks": 2,
    "widths": [6, 4, 8, 8, 6, 10],
    "groups": 2,
    "expansion": 0,
}

DAMAGE = {"shares": {"jpeg": 0.5, "noise": 0.5}, "quality": [30, 60], "crf": [20, 30], "sigma": [2, 9]}


def change_stage(number, **changes):
    document = tomllib.loads(RECIPE)
    document["stage"][number] |= changes
    return document
