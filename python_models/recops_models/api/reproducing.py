"""Reproduction of papers from Python."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from recops_models.api.temporary_folder import output_folder
from recops_models.callbacks import Callbacks
from recops_models.out_folder import out_folder
from recops_models.settings import JsonObject


def reproduce(
    paper: str,
    claims: Sequence[str] = (),
    *,
    data: Sequence[str] = (),
    seeds: int | None = None,
    seed: int = 0,
    quick: bool = False,
    resume: bool = False,
    jobs: int = 1,
    out: str | Path | None = None,
    callbacks: Callbacks | None = None,
) -> JsonObject:
    """Measure a paper's claims, each as a paired experiment, as ``recops reproduce`` does.

    Args:
        paper: ``"dien"``, ``"rocket"``, ``"can"``, ``"mimn"``, ``"hpmn"``, ``"res-embedding"``,
            ``"keep"``, ``"age"``, ``"drq"``, ``"tiger"`` or ``"unirec"``.
        claims: names of claims or of groups of claims; empty: the default ones.
        data: names of data sets; only claims about them are measured. Empty: all.
        seeds: runs per arm; None: as each claim specifies.
        seed: the first seed.
        quick: small version, which is no evidence.
        resume: continue from the finished runs in ``out``.
        jobs: runs at the same time, one process each.
        out: folder for ``results.json`` and the runs; None: a temporary one.
        callbacks: receive runs and progress.

    Returns:
        The content of ``results.json``: ``claims``, ``floors``, ``tables``, ``command`` and
        ``seconds``.

    Raises:
        ValueError: unknown paper or claim, or none of the claims can be measured on ``data``.
        DataError: data is missing.
    """
    # The experiments are a separate package, which nothing of this one may depend on.
    evidence = importlib.import_module("recops_evidence")
    catalogue = importlib.import_module("recops_evidence.claims")
    chosen = catalogue.chosen_claims(paper, claims, data=data, quick=quick)
    folder, _owner = output_folder(out)
    with out_folder(folder, kind="results"):
        results: JsonObject = evidence.reproduce(
            paper,
            chosen,
            folder,
            command=f"recops_models.reproduce({paper!r})",
            seeds=seeds,
            first_seed=seed,
            quick=quick,
            resume=resume,
            jobs=jobs,
            callbacks=callbacks or Callbacks(),
        )
    return results
