"""Makes a model file of trained weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from fsrcnn_rt.model import SCALES, Model
from fsrcnn_rt.training.config import Recipe, lay_out
from fsrcnn_rt.training.network import Weights

__all__ = ["to_model"]

TERMS = (
    "Apache-2.0 as far as the authors of fsrcnn-rt hold rights. Trained on images that were published for "
    "research; see weights/README.md."
)


def to_model(weights: Weights, recipe: Recipe, figures: Mapping[str, float]) -> Model:
    """Make the network a :class:`fsrcnn_rt.Model` that tells how it was made.

    ``weights`` are the collapsed ones, in the names of the model file, with heads of one scale or more;
    ``figures`` is the validation PSNR in dB by scale ("x3": 31.4).
    """
    arrays = {name: value.detach().contiguous().numpy().copy() for name, value in weights.items()}
    network = lay_out(recipe.network, [scale for scale in SCALES if f"head.x{scale}.weight" in arrays])
    return network.with_weights(arrays, recipe.name, _provenance(recipe, figures))


def _provenance(recipe: Recipe, figures: Mapping[str, float]) -> dict[str, object]:
    settings = asdict(recipe)
    for key in ("name", "seed", "network"):  # said elsewhere in the file, and only there
        del settings[key]
    validation = f"validation PSNR in dB, {recipe.validation_images} images of {recipe.validation_dataset}"
    return {
        "data": sorted({dataset for stage in recipe.stages for dataset in stage.datasets}),
        "recipe": settings,
        "seed": recipe.seed,
        "figures": {validation: dict(figures)},
        "terms": TERMS,
    }
