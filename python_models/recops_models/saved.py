"""A trained model in one sealed file, ``model.safetensors``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models.examples.features import Categorical, FittedSchema, Sequence
from recops_models.models import MODELS, name_of
from recops_models.settings import from_json

_KIND = "recommender"
_SCHEMA = "schema."


def save_model(path: Path, model: Any) -> None:
    """Write weights, sizes and, of a click model, its schema with all vocabularies.

    Raises:
        OSError: no room; a file that was there stays.
    """
    tensors = model.state_dict()
    meta: dict[str, Any] = {"model": name_of(model)}
    if hasattr(model, "config"):
        meta["config"] = dataclasses.asdict(model.config)
    if hasattr(model, "schema"):
        learnt, meta["schema"] = model.schema.state()
        tensors |= {_SCHEMA + key: value for key, value in learnt.items()}
    save_tensors(path, tensors, kind=_KIND, meta=meta)


def load_model(path: Path) -> Any:
    """The model that :func:`save_model` wrote, ready to recommend or predict.

    Raises:
        CorruptFileError: damaged, truncated, or of a model that this recops does not know.
        FileNotFoundError: no such file.
    """
    tensors, meta = load_tensors(path, kind=_KIND)
    if meta["model"] not in MODELS:
        raise CorruptFileError(f"{path}: holds a {meta['model']}, which this recops does not know")
    entry = MODELS[meta["model"]]
    weights = {key: value for key, value in tensors.items() if not key.startswith(_SCHEMA)}
    learnt = {key.removeprefix(_SCHEMA): tensors[key] for key in tensors.keys() - weights.keys()}
    sizes = from_json(type(entry.defaults["sizes"]), meta["config"]) if "config" in meta else None
    schema = _schema(learnt, meta["schema"]) if "schema" in meta else None
    model: nn.Module = entry.restore(weights, sizes, schema)
    model.load_state_dict(weights)
    return model.eval()


def _schema(learnt: Mapping[str, Tensor], meta: Mapping[str, Any]) -> FittedSchema:
    """A model's schema; whatever vectors its tables began from, they are weights by now."""
    fitted = FittedSchema.from_state(learnt, meta)
    features = tuple(
        dataclasses.replace(feature, pretrained=None)
        if isinstance(feature, (Categorical, Sequence))
        else feature
        for feature in fitted.schema.features
    )
    return dataclasses.replace(fitted, schema=dataclasses.replace(fitted.schema, features=features))
