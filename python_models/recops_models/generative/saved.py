"""A trained recommender in one sealed file, ``model.safetensors``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeAlias

from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models.generative.popularity import Popularity
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.unirec import UniRec, UniRecConfig

SavedModel: TypeAlias = Popularity | SASRec | UniRec

_KIND = "recommender"


def save_model(path: Path, model: SavedModel) -> None:
    """Write weights and sizes, whole or not at all."""
    if isinstance(model, Popularity):
        save_tensors(path, {"counts": model.counts}, kind=_KIND, meta={"model": "popularity"})
        return
    meta: dict[str, Any] = {
        "model": type(model).__name__.lower(),
        "config": dataclasses.asdict(model.config),
    }
    if isinstance(model, UniRec):
        meta["vocab_sizes"] = list(model.vocab_sizes)
    save_tensors(path, model.state_dict(), kind=_KIND, meta=meta)


def load_model(path: Path) -> SavedModel:
    """The model that :func:`save_model` wrote, ready to recommend.

    Raises:
        CorruptFileError: damaged, truncated, or no recommender.
        FileNotFoundError: no such file.
    """
    tensors, meta = load_tensors(path, kind=_KIND)
    if meta["model"] == "popularity":
        return Popularity(tensors["counts"])
    model: SASRec | UniRec
    if meta["model"] == "sasrec":
        model = SASRec(len(tensors["item_bias"]), SASRecConfig(**meta["config"]))
    elif meta["model"] == "unirec":
        paths = tensors["paths"][1:] - 1  # Inside, tokens count from 1 below a row of padding.
        config = UniRecConfig(**meta["config"])
        model = UniRec(paths, meta["vocab_sizes"], tensors["prior"], config)
    else:
        raise CorruptFileError(f"{path}: holds a {meta['model']}, which this recops does not know")
    model.load_state_dict(tensors)
    return model.eval()
