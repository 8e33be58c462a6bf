"""A trained model in one sealed file, ``model.safetensors``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models.click.model import ClickModel
from recops_models.examples.features import Categorical, FittedSchema, Sequence
from recops_models.recipes.recipe import Recipe
from recops_models.recipes.registry import recipe_of
from recops_models.settings import JsonObject, from_json

_KIND = "recommender"
_SCHEMA = "schema."


def save_model(path: Path, name: str, model: nn.Module) -> None:
    """Write weights, sizes and, of a click model, its schema with all vocabularies.

    Args:
        path: of the file.
        name: of the recipe that restores it.
        model: trained.

    Raises:
        ValueError: no such recipe.
        OSError: no room; a file that was there stays.
    """
    tensors = model.state_dict()
    meta: dict[str, Any] = {"model": name}
    if recipe_of(name).sizes is not None:
        config: Any = model.config  # Whose recipe has sizes, has been made of them.
        meta["config"] = dataclasses.asdict(config)
    if isinstance(model, ClickModel):
        learnt, meta["schema"] = model.schema.state()
        tensors |= {_SCHEMA + key: value for key, value in learnt.items()}
    save_tensors(path, tensors, kind=_KIND, meta=meta)


def load_model(path: Path) -> nn.Module:
    """The model that :func:`save_model` wrote, ready to recommend or predict.

    Imports its recipe and its own layers, and nothing that trains.

    Raises:
        CorruptFileError: damaged, truncated, or of a model, or with settings, that this recops does
            not know.
        FileNotFoundError: no such file.
    """
    tensors, meta = load_tensors(path, kind=_KIND)
    recipe = _recipe(path, meta["model"])
    weights = {key: value for key, value in tensors.items() if not key.startswith(_SCHEMA)}
    learnt = {key.removeprefix(_SCHEMA): tensors[key] for key in tensors.keys() - weights.keys()}
    schema = _schema(learnt, meta["schema"]) if "schema" in meta else None
    try:
        sizes = None if recipe.sizes is None else from_json(type(recipe.sizes), meta["config"])
        model = recipe.restore(weights, sizes, schema)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise other_version(path, f"a {meta['model']}", error) from error
    return model.eval()


def other_version(path: Path, what: str, error: Exception) -> CorruptFileError:
    """One line on a file that was written by a version of recops that knew other names."""
    reason = str(error).partition("\n")[0].rstrip(":")
    return CorruptFileError(
        f"{path}: holds {what} of another version of recops than {version('recops')} ({reason})"
    )


def _recipe(path: Path, name: str) -> Recipe:
    try:
        return recipe_of(name)
    except ValueError as error:
        raise CorruptFileError(
            f"{path}: holds a {name}, which this recops does not know"
        ) from error


def _schema(learnt: Mapping[str, Tensor], meta: JsonObject) -> FittedSchema:
    """A model's schema; whatever vectors its tables began from, they are weights by now."""
    fitted = FittedSchema.from_state(learnt, meta)
    features = tuple(
        dataclasses.replace(feature, pretrained=None)
        if isinstance(feature, (Categorical, Sequence))
        else feature
        for feature in fitted.schema.features
    )
    return dataclasses.replace(fitted, schema=dataclasses.replace(fitted.schema, features=features))
