"""``fsrcnn-rt info``: what a model is, or what is installed and what this machine offers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fsrcnn_rt.cli.arguments import ArgumentParser, tell
from fsrcnn_rt.model import Model

_COLOURS = {"y": "luma", "ycbcr": "Y'CbCr", "rgb": "RGB"}


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt info``; returns 0.

    Raises ``ModelError`` or ``OSError`` for a model that cannot be read, ``ValueError`` where the environment
    asks for what is not.
    """
    options = parser().parse_intermixed_args(argv)
    from fsrcnn_rt.model import load

    if not options.models:
        _tell_machine(options.json)
        return 0
    models = [load(name) for name in options.models]
    for i, model in enumerate(models):
        if options.json:
            print(json.dumps(described(model)))
        else:
            for line in ([""] if i else []) + _lines(model):
                tell(line)
    return 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt info``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt info",
        description="Print what a model is; without one, what is installed and what this machine offers.",
    )
    parser.add_argument("models", metavar="MODEL", nargs="*", help="a shipped name or a model file")
    parser.add_argument("--json", action="store_true", help="print JSON, an object for each model")
    return parser


def described(model: Model) -> dict[str, Any]:
    """Return what a model is, as JSON has it.

    ``operations``: multiply-accumulates for each input pixel, by scale; the bicubic filter is not counted.
    ``reach``: input pixels on each side of its own that an output pixel depends on. ``precision``: what
    pictures of 8 bits are computed with by default; others with float32.
    """
    from fsrcnn_rt.model.families import described as family_of

    family, shape = family_of(model.architecture)
    return {
        "name": model.name,
        "family": family,
        "shape": shape,
        "scales": list(model.scales),
        "convolutions": len(model.nodes),
        "weights": sum(tensor.size for name, tensor in model.tensors.items() if name.endswith(".weight")),
        "operations": {f"x{scale}": model.macs_per_pixel(scale) for scale in model.scales},
        "reach": model.reach,
        "precision": _precision(model),
        "padding": model.padding,
        "planes": model.planes,
        "colour": model.colour,
        "enlarged": model.enlarged,
        "plus_bicubic": model.plus_bicubic,
        "provenance": dict(model.provenance),
    }


def _lines(model: Model) -> list[str]:
    description = described(model)
    reads = "the picture enlarged by the bicubic filter" if model.enlarged else "the picture"
    gives = "what is added to the bicubic picture" if model.plus_bicubic else "the result"
    operations = ", ".join(f"{scale} {count:,}" for scale, count in description["operations"].items())
    heads = f"{len(model.heads)} head{'s' * (len(model.heads) > 1)}"
    first, *others = _provenance(model.provenance)
    return [
        f"{model.name}: {description['shape']}, {_scales(model)}",
        f"weights     {description['weights']:,} of {len(model.nodes)} convolutions and {heads}",
        f"operations  {operations} multiplications for each input pixel",
        f"reads       {reads}, {_COLOURS[model.colour]}, {model.reach} pixels around; gives {gives}",
        f"padding     {model.padding}",
        f"precision   {_of_8_bits(description['precision'])}",
        f"provenance  {first}",
        *(f"{'':12}{line}" for line in others),
    ]


def _precision(model: Model) -> str:
    from fsrcnn_rt.engine.upscaler import Upscaler

    return Upscaler(model).precision_for("uint8")


def _of_8_bits(precision: str) -> str:
    return precision if precision == "float32" else f"{precision} for 8 bits, else float32"


def _scales(model: Model) -> str:
    return ", ".join(f"x{scale}" for scale in model.scales)


def _provenance(provenance: Mapping[str, Any]) -> list[str]:
    """Return in short how weights were made, of whatever the record holds."""
    lines = []
    if isinstance(data := provenance.get("data"), list):
        seed = f", seed {provenance['seed']}" if "seed" in provenance else ""
        seed += f", begun with {provenance['init']}" if "init" in provenance else ""
        lines.append(f"trained on {', '.join(map(str, data))}{seed}")
    if "converted_from" in provenance:
        lines.append(f"converted from {provenance['converted_from']}")
    if isinstance(figures := provenance.get("figures"), dict):
        for what, values in figures.items():
            if isinstance(values, dict) and all(isinstance(value, int | float) for value in values.values()):
                shown = ", ".join(f"{scale} {value:.2f}" for scale, value in sorted(values.items()))
                lines.append(f"{what}: {shown}")
    return lines or ["unknown"]


def _tell_machine(as_json: bool) -> None:
    import fsrcnn_rt
    from fsrcnn_rt.engine.runtime import available_isas, resolve_isa, resolve_threads
    from fsrcnn_rt.errors import ModelError
    from fsrcnn_rt.model import NETWORKS, OTHERS, SHIPPED, load

    isa, threads = resolve_isa(None), resolve_threads(None)
    if as_json:
        machine = {"version": fsrcnn_rt.__version__, "isa": isa, "isas": available_isas(), "threads": threads}
        print(json.dumps({**machine, "models": list(SHIPPED)}))
        return
    print(f"fsrcnn-rt {fsrcnn_rt.__version__}")
    print(f"isa       {isa} (available: {', '.join(available_isas())})")
    print(f"threads   {threads}")
    for name in SHIPPED:
        try:
            model = load(name)
        except ModelError as error:
            print(f"model     {name}: {error}")
            continue
        details = _provenance(model.provenance)
        if name in (*NETWORKS, *OTHERS):
            print(f"model     {name}: {model.family}, {_scales(model)}; {_of_8_bits(_precision(model))}")
            print(*(f"{'':10}{line}" for line in details), sep="\n")
        else:
            print(f"{'':10}{name}: {'; '.join(details)}")
