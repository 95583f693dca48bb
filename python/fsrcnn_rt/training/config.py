"""Training recipe: a TOML file read into frozen dataclasses, checked before any work is done."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from fsrcnn_rt.errors import ModelError
from fsrcnn_rt.model import SCALES, Architecture, fsrcnn, idn, srcnn

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

__all__ = [
    "DRAWING_KINDS",
    "FILTERS",
    "KINDS",
    "ConfigError",
    "Damage",
    "Recipe",
    "Shape",
    "Stage",
    "lay_out",
    "parse_recipe",
    "read_recipe",
]

#: Ways to make a picture small. "bicubic" is that of the papers.
FILTERS = ("bicubic", "area", "bilinear", "lanczos", "nearest")
#: How a drawing and what is made from it come about (:mod:`fsrcnn_rt.training.drawings`).
DRAWING_KINDS = ("scene", "hard scene", "blocks")
#: What may happen to a small picture then. Noise comes before JPEG.
KINDS = ("clean", "noise", "jpeg", "noise jpeg", "h264")

#: What a recipe says of its network; the type is the family.
Shape = fsrcnn.Shape | fsrcnn.State1 | srcnn.Shape | idn.Shape


class ConfigError(ValueError):
    """A recipe that cannot be followed; the message names the key and the value."""


@dataclass(frozen=True)
class Damage:
    """What is done to the small pictures, as to those that people have."""

    shares: Mapping[str, float]
    """How often which of ``KINDS``."""
    quality: tuple[float, float]
    """Of JPEG, least and most."""
    crf: tuple[float, float]
    """Constant rate factor of H.264, least and most."""
    sigma: tuple[float, float]
    """Standard deviation of noise in codes of 8 bits, least and most."""


@dataclass(frozen=True)
class Stage:
    """One stretch of training with one learning-rate curve."""

    name: str
    """Shown in the log; unique."""
    datasets: tuple[str, ...]
    """Folders of images below the data folder."""
    scales: tuple[int, ...]
    """Taken in turn, one a step."""
    scale_weights: tuple[float, ...]
    """What the loss of each counts. Errors grow with the scale, and so does their part in the gradient."""
    trains: Literal["all", "heads"]
    """The trunk and the heads of ``scales``, or those heads alone with the trunk, slopes included, frozen."""
    steps: int
    """Updates of the weights."""
    least_squares: bool
    """Begin from the heads of least squared error over the training patches, solved in closed form."""
    patch: int
    """Side of a patch in LR pixels."""
    batch: int
    """Patches a step."""
    loss: Literal["l1", "mse"]
    learning_rate: tuple[float, float]
    """First and last, joined by half a cosine; equal for a constant rate."""
    drawn: float
    """Share of the patches that come from drawings."""
    overshoot: float
    """What going beyond the pixels around counts, relative to the loss."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training makes."""

    name: str
    seed: int
    network: Shape
    expansion: int
    """Inner width of the collapsible linear blocks; 0 trains the plain network."""
    augmentation: tuple[float, ...]
    """Sizes at which every training image is used."""
    exclude: tuple[str, ...]
    """Images that are left out, as dataset/name."""
    filters: Mapping[str, float]
    """How often which of ``FILTERS`` makes a photograph small."""
    drawing_filters: Mapping[str, float]
    """The same for drawings."""
    drawing_kinds: Mapping[str, float]
    """How often which of ``DRAWING_KINDS``; those that are damaged are all "scene"."""
    least_text: int
    """Height of the smallest letters drawn, in small pixels."""
    drawings: int
    """How many pictures are drawn, for each scale."""
    damage: Damage | None
    validation_dataset: str
    validation_images: int
    """Held out of training: evenly spread over the sorted names of ``validation_dataset``."""
    evaluate_every: int
    """Steps between two evaluations; each also writes a checkpoint."""
    precision: Literal["float32", "bfloat16"]
    """What the convolutions of a training step compute in; weights and optimiser are float32."""
    optimizer: Literal["adam", "soap", "sgd"]
    """Adam, SOAP (Vyas et al. 2024), or stochastic gradient descent with momentum 0.9."""
    average: float
    """Decay of the running average of the weights, which is evaluated and exported; 0: no average."""
    clip: float
    """Largest norm of the gradient."""
    head_rate: float
    """Learning rate of the heads relative to the convolutions'."""
    stages: tuple[Stage, ...]


def read_recipe(path: Path, changes: Iterable[str] = ()) -> Recipe:
    """Read a recipe from a TOML file. Raises ``OSError``, or ``ConfigError`` naming the key and the value.

    ``changes`` replace values: "network.m=2", "training.optimizer='adam'", "stage.L1.steps=1000" of the stage
    of that name, "stage.steps=1000" of every one.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        for change in changes:
            _apply(document, change)
        return parse_recipe(document)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _apply(document: dict[str, Any], change: str) -> None:
    key, separator, value = change.partition("=")
    try:
        new = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        separator = ""
    if not separator:
        raise ConfigError(f"{change!r} is not KEY=VALUE with a value as TOML has it")
    *path, last = key.strip().split(".")
    tables: list[Any]
    if path[:1] == ["stage"]:
        stages = [stage for stage in document.get("stage", ()) if isinstance(stage, dict)]
        tables = [stage for stage in stages if not path[1:] or stage.get("name") == ".".join(path[1:])]
    else:
        tables = [document.get(".".join(path))] if path else [document]
    tables = [table for table in tables if isinstance(table, dict) and last in table]
    if not tables:
        raise ConfigError(f"{key.strip()} is not in the recipe")
    for table in tables:
        table[last] = new


def parse_recipe(document: Mapping[str, Any]) -> Recipe:
    """Check a parsed TOML document and make it a recipe. Every key is required, none may be added."""
    top = _Table(document, "")
    network, data, training = top.table("network"), top.table("data"), top.table("training")
    recipe = Recipe(
        name=top.text("name"),
        seed=top.integer("seed", 0),
        network=_shape(network),
        expansion=network.integer("expansion", 0),
        augmentation=data.numbers("augmentation", 0.1, 1.0),
        exclude=data.names("exclude"),
        filters=data.shares("filters", FILTERS),
        drawing_filters=data.shares("drawing_filters", FILTERS),
        drawing_kinds=data.shares("drawing_kinds", DRAWING_KINDS),
        least_text=data.integer("least_text", 1),
        drawings=data.integer("drawings", 0),
        damage=_damage(data.table("damage")) if "damage" in data else None,
        validation_dataset=data.folder("validation_dataset"),
        validation_images=data.integer("validation_images", 1),
        evaluate_every=training.integer("evaluate_every", 1),
        precision=training.choice("precision", ("float32", "bfloat16")),  # type: ignore[arg-type]
        optimizer=training.choice("optimizer", ("adam", "soap", "sgd")),  # type: ignore[arg-type]
        average=training.number("average", 0.0, 0.999999),
        clip=training.number("clip", 1e-9, math.inf),
        head_rate=training.number("head_rate", 1e-9, math.inf),
        stages=tuple(_stage(table) for table in top.tables("stage")),
    )
    for table in (network, data, training, top):
        table.finish()
    _check_order(recipe.stages)
    if recipe.precision != "float32" and not isinstance(recipe.network, idn.Shape):
        raise ConfigError(f"training.precision: {recipe.precision!r} is for family 'idn' alone")
    for stage in recipe.stages:
        if stage.least_squares and not isinstance(recipe.network, fsrcnn.Shape | fsrcnn.State1):
            raise ConfigError(f"stage {stage.name!r}: least_squares: true needs family 'fsrcnn' or 'state1'")
        if stage.drawn and not recipe.drawings:
            raise ConfigError(f"stage {stage.name!r}: drawn: {stage.drawn} of the patches need data.drawings")
    return recipe


def lay_out(shape: Shape, scales: Iterable[int] = SCALES) -> Architecture:
    """Make the network that a recipe names, with heads for ``scales``. Raises ``ModelError``."""
    if isinstance(shape, idn.Shape):
        return idn.architecture(shape, scales)
    if isinstance(shape, srcnn.Shape):
        return srcnn.architecture(shape, scales)
    return fsrcnn.architecture(shape, scales)


def _shape(table: _Table) -> Shape:
    family = table.choice("family", ("fsrcnn", "state1", "srcnn", "idn"))
    shape: Shape
    if family == "fsrcnn":
        shape = fsrcnn.Shape(*(table.integer(key, 1) for key in ("d", "s", "m", "first")))
    elif family == "state1":
        first, second = table.integers("kernels", 2)
        shape = fsrcnn.State1(
            table.integer("n1", 1), table.integer("n2", 1), (first, second, fsrcnn.HEAD_KERNEL)
        )
    elif family == "srcnn":
        first, second, last = table.integers("kernels", 3)
        shape = srcnn.Shape((first, second, last), table.integer("n1", 1), table.integer("n2", 1))
    else:
        features, blocks, groups = (table.integer(key, 1) for key in ("features", "blocks", "groups"))
        w1, w2, w3, w4, w5, w6 = table.integers("widths", 6)
        shape = idn.Shape(features, blocks, (w1, w2, w3, w4, w5, w6), groups)
    try:
        lay_out(shape)
    except ModelError as error:
        raise ConfigError(f"network: {error}") from error
    return shape


def _damage(table: _Table) -> Damage:
    damage = Damage(
        shares=table.shares("shares", KINDS),
        quality=table.span("quality", 1, 100),
        crf=table.span("crf", 0, 51),
        sigma=table.span("sigma", 0, 255),
    )
    table.finish()
    return damage


def _stage(table: _Table) -> Stage:
    stage = Stage(
        name=table.text("name"),
        datasets=table.folders("datasets"),
        scales=table.scales("scales"),
        scale_weights=table.numbers("scale_weights", 1e-3, 1e3),
        trains=table.choice("trains", ("all", "heads")),  # type: ignore[arg-type]
        steps=table.integer("steps", 0),
        least_squares=table.boolean("least_squares"),
        patch=table.integer("patch", 8),
        batch=table.integer("batch", 1),
        loss=table.choice("loss", ("l1", "mse")),  # type: ignore[arg-type]
        learning_rate=table.rate("learning_rate"),
        drawn=table.number("drawn", 0.0, 1.0),
        overshoot=table.number("overshoot", 0.0, 1e3),
    )
    table.finish()
    if len(stage.scale_weights) != len(stage.scales):
        raise ConfigError(f"{table.where}scale_weights: expected one for each of {len(stage.scales)} scales")
    if stage.least_squares and stage.trains != "heads":
        raise ConfigError(f"{table.where}least_squares: true needs trains = 'heads', got {stage.trains!r}")
    return stage


def _check_order(stages: tuple[Stage, ...]) -> None:
    names = [stage.name for stage in stages]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"stage.name: {name!r} is given to more than one stage")
    for before, after in pairwise(stages):
        if before.trains == "heads" and after.trains == "all":
            raise ConfigError(
                f"stage.trains: {after.name!r} would change the trunk that heads were fitted to"
            )


class _Table:
    """A TOML table whose keys are each asked for once, with a type and a range."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.where = where
        self._values = dict(values)

    def _take(self, key: str) -> Any:
        if key not in self._values:
            raise ConfigError(f"{self.where}{key} is missing")
        return self._values.pop(key)

    def _fail(self, key: str, expected: str, value: object) -> ConfigError:
        return ConfigError(f"{self.where}{key}: expected {expected}, got {value!r}")

    def finish(self) -> None:
        for key in self._values:
            raise ConfigError(f"{self.where}{key}: unknown key")

    def text(self, key: str) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not value.strip():
            raise self._fail(key, "a non-empty string", value)
        return value

    def boolean(self, key: str) -> bool:
        value = self._take(key)
        if not isinstance(value, bool):
            raise self._fail(key, "true or false", value)
        return value

    def integer(self, key: str, least: int) -> int:
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self._fail(key, f"an integer of at least {least}", value)
        return value

    def integers(self, key: str, count: int) -> tuple[int, ...]:
        value = self._take(key)
        items = value if isinstance(value, list) else []
        if len(items) != count or not all(type(item) is int and item >= 1 for item in items):
            raise self._fail(key, f"a list of {count} integers of at least 1", value)
        return tuple(items)

    def _is_number(self, value: object, least: float, most: float) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most

    def number(self, key: str, least: float, most: float) -> float:
        value = self._take(key)
        if not self._is_number(value, least, most):
            raise self._fail(key, f"a number from {least} to {most}", value)
        return float(value)

    def numbers(self, key: str, least: float, most: float) -> tuple[float, ...]:
        value = self._take(key)
        items = value if isinstance(value, list) else []
        if not items or not all(self._is_number(item, least, most) for item in items):
            raise self._fail(key, f"a list of numbers from {least} to {most}", value)
        return tuple(map(float, items))

    def rate(self, key: str) -> tuple[float, float]:
        value = self._take(key)
        pair = value if isinstance(value, list) else [value, value]
        if len(pair) != 2 or not all(self._is_number(v, 0.0, 1.0) for v in pair):
            raise self._fail(key, "a number or [first, last], each from 0 to 1", value)
        return float(pair[0]), float(pair[1])

    def span(self, key: str, least: float, most: float) -> tuple[float, float]:
        value = self._take(key)
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(self._is_number(v, least, most) for v in value)
            or value[0] > value[1]
        ):
            raise self._fail(key, f"[least, most], each from {least} to {most}", value)
        return float(value[0]), float(value[1])

    def shares(self, key: str, choices: tuple[str, ...]) -> dict[str, float]:
        value = self._take(key)
        items = value if isinstance(value, dict) else {}
        if any(name not in choices or not self._is_number(v, 0, 1) for name, v in items.items()):
            raise self._fail(key, f"shares of {', '.join(choices)}", value)
        if not math.isclose(sum(items.values()), 1):
            raise self._fail(key, "shares that add up to 1", value)
        return {name: float(share) for name, share in items.items()}

    def names(self, key: str) -> tuple[str, ...]:
        value = self._take(key)
        if not isinstance(value, list) or not all(isinstance(v, str) and v.count("/") == 1 for v in value):
            raise self._fail(key, "a list of dataset/name", value)
        return tuple(value)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self._take(key)
        if value not in choices:
            raise self._fail(key, " or ".join(map(repr, choices)), value)
        return str(value)

    def scales(self, key: str) -> tuple[int, ...]:
        value = self._take(key)
        items = value if isinstance(value, list) else []
        if not items or any(item not in SCALES for item in items) or len(set(items)) < len(items):
            raise self._fail(key, "a list of distinct scales among 2, 3, 4", value)
        return tuple(map(int, items))

    def folder(self, key: str) -> str:
        value = self.text(key)
        if Path(value).name != value:
            raise self._fail(key, "the name of a folder below the data folder", value)
        return value

    def folders(self, key: str) -> tuple[str, ...]:
        value = self._take(key)
        if not isinstance(value, list) or not value:
            raise self._fail(key, "a list of folders below the data folder", value)
        return tuple(_Table({key: v}, self.where).folder(key) for v in value)

    def table(self, key: str) -> _Table:
        value = self._take(key)
        if not isinstance(value, dict):
            raise self._fail(key, "a table", value)
        return _Table(value, f"{self.where}{key}.")

    def tables(self, key: str) -> list[_Table]:
        value = self._take(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
            raise self._fail(key, f"one or more [[{key}]] tables", value)
        return [_Table(v, f"{key} {v.get('name', number)!r}: ") for number, v in enumerate(value, 1)]
