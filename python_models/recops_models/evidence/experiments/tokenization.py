"""Runs that are tokenizations: fit on items and their known pairs, diagnosed on held-out ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recops_models.data import load, named_split
from recops_models.evidence.experiments.item_runs import ItemRuns, fit_and_save
from recops_models.evidence.experiments.synthetic_items import Items, synthetic_items
from recops_models.evidence.harness.experiment import Metrics, Run
from recops_models.item_vectors.content import content_vectors
from recops_models.tokenizers import Tokenizer, diagnose, make_tokenizer
from recops_models.tokenizers.behaviour import behaviour_pairs
from recops_models.tokenizers.diagnosis.content import Diagnosis
from recops_models.tokenizers.diagnosis.inputs import held_out_pairs
from recops_models.tokenizers.methods.item_task import NetworkSettings

SYNTHETIC = "synthetic-items"
"""The data set that is drawn anew for every seed."""
RHOS = (0.1, 0.25, 0.5)
_LEVELS, _MANY_ITEMS = 3, 8000
_MANY = {"codes": 256, "batch": 512}
_FEW = {"codes": 64, "batch": 128}
_QUICK_STEPS = 100


@dataclass(frozen=True)
class Tokenization(ItemRuns[Items]):
    """Fits a tokenizer of three levels and diagnoses its codes.

    Where there are 8 000 items or more a level has 256 codes, and networks are trained on 512 items
    a step; else 64 codes and 128 items, so that as many steps make about as many passes. Real items
    are described by their content alone (text and attributes), as DRQ's are; the pairs that a
    tokenizer may learn from are items met near each other in training, the held-out ones each
    user's held-out event and the one before it.
    """

    synthetic = SYNTHETIC

    def config(self, run: Run) -> dict[str, object]:
        """The method with all its settings, the data and the seed."""
        tokenizer = _tokenizer(run, **_MANY)
        data = {"data": run.data, "seed": run.seed, "quick": run.quick}
        return {**data, "method": run.model, **tokenizer.config()}

    def _draw(self, seed: int) -> Items:
        return synthetic_items(seed)

    def _read(self, data: str) -> Items:
        return _content_items(data)

    def _measure(
        self, run: Run, items: Items, folder: Path, on_step: Callable[[float], None]
    ) -> Metrics:
        tokenizer = _tokenizer(run, **(_MANY if len(items.ids) >= _MANY_ITEMS else _FEW))
        vectors = torch.from_numpy(items.vectors)
        fit_and_save(
            tokenizer,
            vectors,
            torch.from_numpy(items.ids),
            folder,
            on_step,
            seed=run.seed,
            pairs=torch.from_numpy(items.ids[items.known]),
        )
        found = diagnose(
            tokenizer.encode(vectors),
            tokenizer,
            vectors=vectors,
            pairs=torch.from_numpy(items.held_out),
            rhos=RHOS,
            seed=run.seed,
        )
        return metrics_of(found)


def metrics_of(found: Diagnosis) -> Metrics:
    """The figures of DRQ's table, of what :func:`~recops_models.tokenizers.diagnose` found.

    ``nmse`` (unexplained variance), ``retention@20``, ``retention@200``, ``sid_auc``; of level 0
    ``active``, ``perplexity``, ``gini``, ``k_eff@ρ``, its logarithm ``ln_k_eff`` at ρ = ¼ and
    ``flips`` there; of the last level ``last_perplexity``; ``no_collision_rate``.
    """
    first, last, behaviour = found["levels"][0], found["levels"][-1], found["behaviour"]
    noise = {entry["rho"]: entry["k_eff"] for entry in first.get("noise", [])}
    flips = {entry["rho"]: entry["levels"][0] for entry in found.get("flips", [])}
    kept = {f"retention@{k}": rates["retention"] for k, rates in behaviour["hit_rate"].items()}
    return {
        "nmse": found["error_share"],
        **kept,
        "sid_auc": behaviour["sid_auc"],
        "active": float(first["active"]),
        "perplexity": first["perplexity"],
        "gini": first["gini"],
        **{f"k_eff@{rho}": capacity for rho, capacity in noise.items()},
        "ln_k_eff": float(np.log(noise[0.25])) if 0.25 in noise else None,
        "flips": flips.get(0.25),
        "last_perplexity": last["perplexity"],
        "no_collision_rate": found["paths"]["no_collision_rate"],
    }


def _tokenizer(run: Run, codes: int, batch: int) -> Tokenizer:
    tokenizer = make_tokenizer(run.model, _LEVELS, codes, dict(run.settings))
    if isinstance(tokenizer.settings, NetworkSettings):
        steps = _QUICK_STEPS if run.quick else tokenizer.settings.steps
        tokenizer.settings = dataclasses.replace(tokenizer.settings, batch=batch, steps=steps)
    return tokenizer


def _content_items(data: str) -> Items:
    dataset = load(data)
    _, split = named_split(dataset)
    ids = dataset.item_vocabulary.ids
    pairs = behaviour_pairs(split.histories(), ids).numpy()
    held_out = held_out_pairs(split).numpy()
    return Items(
        content_vectors(dataset, dim=64, seed=0),
        ids,
        np.searchsorted(ids, pairs),
        held_out[(held_out >= 0).all(axis=1)],
    )
