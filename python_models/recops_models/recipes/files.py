"""Sealed file of a trained model, ``model.safetensors``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models.recipes.recipe import Recipe
from recops_models.recipes.registry import recipe_of
from recops_models.settings import JsonObject, from_json

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema

MODEL = "model.safetensors"

_KIND = "recommender"
_SCHEMA = "schema."


def save_model(path: Path, name: str, model: nn.Module) -> None:
    """Write the weights and sizes of a model; of a click model also its schema and vocabularies.

    Args:
        path: path of the file.
        name: name of the recipe that restores the model.
        model: the trained model.

    Raises:
        ValueError: unknown recipe.
        OSError: the file cannot be written; an existing file stays as it is.
    """
    from recops_models.click.model import ClickScorer  # Loading other models does not need it.

    tensors = model.state_dict()
    meta: dict[str, Any] = {"model": name}
    if recipe_of(name).sizes is not None:
        config: Any = model.config
        meta["config"] = dataclasses.asdict(config)
    if isinstance(model, ClickScorer):
        vocabularies, meta["schema"] = model.schema.state()
        tensors |= {_SCHEMA + key: value for key, value in vocabularies.items()}
    save_tensors(path, tensors, kind=_KIND, meta=meta)


def load_model(path: Path) -> nn.Module:
    """Load the model that :func:`save_model` wrote, in evaluation mode.

    This imports the model's recipe and its layers, but no training code.

    Raises:
        CorruptFileError: the file is damaged, or its model or settings are unknown to this version.
        FileNotFoundError: no such file.
    """
    tensors, meta = load_tensors(path, kind=_KIND)
    recipe = _recipe(path, meta["model"])
    weights = {key: value for key, value in tensors.items() if not key.startswith(_SCHEMA)}
    vocabularies = {
        key.removeprefix(_SCHEMA): tensors[key] for key in tensors.keys() - weights.keys()
    }
    schema = _schema(vocabularies, meta["schema"]) if "schema" in meta else None
    try:
        sizes = None if recipe.sizes is None else from_json(type(recipe.sizes), meta["config"])
        model = recipe.restore(weights, sizes, schema)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise other_version(path, f"a {meta['model']}", error) from error
    return model.eval()


def other_version(path: Path, content: str, error: Exception) -> CorruptFileError:
    """Return the error for a file that an incompatible version of recops wrote.

    Args:
        path: path of the file.
        content: what the file holds, such as ``a training``.
        error: the reason; its first line becomes part of the message.
    """
    reason = str(error).partition("\n")[0].rstrip(":")
    return CorruptFileError(
        f"{path}: holds {content} of another version of recops than {version('recops')} ({reason})"
    )


def _recipe(path: Path, name: str) -> Recipe:
    try:
        return recipe_of(name)
    except ValueError as error:
        raise CorruptFileError(
            f"{path}: holds a {name}, a model unknown to this version"
        ) from error


def _schema(vocabularies: Mapping[str, Tensor], meta: JsonObject) -> FittedSchema:
    """Return a model's schema, without the pretrained vectors that its tables started from."""
    from recops_models.examples.features import Categorical, FittedSchema, Sequence

    fitted = FittedSchema.from_state(vocabularies, meta)
    features = tuple(
        dataclasses.replace(feature, pretrained=None)
        if isinstance(feature, (Categorical, Sequence))
        else feature
        for feature in fitted.schema.features
    )
    return dataclasses.replace(fitted, schema=dataclasses.replace(fitted.schema, features=features))
