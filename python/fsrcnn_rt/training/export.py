"""Makes a model file of trained weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from fsrcnn_rt.model import SCALES, Model
from fsrcnn_rt.training.config import Recipe, lay_out
from fsrcnn_rt.training.network import Weights

__all__ = ["to_model"]

PUBLISHED = {"T91", "General100", "BSDS500-train", "DIV2K-crops"}
TERMS = (
    "Apache-2.0 as far as the authors of fsrcnn-rt hold rights. Trained on images that were published for "
    "research; see weights/README.md."
)
TERMS_OF_OTHERS = "Those of whoever trained it, of the images, and of the weights that it began with, if any."


def to_model(
    weights: Weights, recipe: Recipe, figures: Mapping[str, float], init: str | None = None
) -> Model:
    """Make the network a :class:`fsrcnn_rt.Model` that tells how it was made.

    ``weights`` are the collapsed ones, in the names of the model file, with heads of one scale or more;
    ``figures`` is the validation PSNR in dB by scale ("x3": 31.4); ``init`` names the model that the training
    began with.
    """
    arrays = {name: value.detach().contiguous().numpy().copy() for name, value in weights.items()}
    network = lay_out(recipe.network, [scale for scale in SCALES if f"head.x{scale}.weight" in arrays])
    return network.with_weights(arrays, recipe.name, _provenance(recipe, figures, init))


def _provenance(recipe: Recipe, figures: Mapping[str, float], init: str | None) -> dict[str, object]:
    settings = asdict(recipe)
    for key in ("name", "seed", "network"):  # said elsewhere in the file, and only there
        del settings[key]
    validation = f"validation PSNR in dB, {recipe.validation_images} images of {recipe.validation_dataset}"
    data = {dataset for stage in recipe.stages for dataset in stage.datasets}
    return {
        "data": sorted(data),
        "recipe": settings,
        "seed": recipe.seed,
        "figures": {validation: dict(figures)},
        "terms": TERMS if data <= PUBLISHED and init is None else TERMS_OF_OTHERS,
    } | ({} if init is None else {"init": init})
