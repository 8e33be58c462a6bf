"""Reproduction of a paper: from claims to ``results.json`` and ``results.md``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from recops_evidence.harness.claim import Claim
from recops_evidence.harness.finding import findings
from recops_evidence.harness.floors import floors_of
from recops_evidence.harness.plan import TUNING_SEED, Plan
from recops_evidence.harness.results import Results, results
from recops_evidence.harness.run_store import RunStore
from recops_evidence.harness.runner import run_ahead
from recops_evidence.harness.stored_results import write_results
from recops_models.callbacks import Callbacks
from recops_models.data import NAMED_SETS, DataError, Dataset
from recops_models.data.digest import dataset_digest
from recops_models.training.device import AUTO, auto_device


def reproduce(
    paper: str,
    claims: Sequence[Claim],
    out: Path,
    *,
    command: str,
    seeds: int | None = None,
    first_seed: int = 0,
    quick: bool = False,
    resume: bool = False,
    jobs: int = 1,
    callbacks: Callbacks,
    device: str | torch.device = AUTO,
) -> Results:
    """Measure claims and write ``results.json`` and ``results.md`` to ``out``.

    Args:
        paper: name of the paper.
        claims: one or more claims.
        out: a new or empty folder, or that of an earlier reproduction (:class:`RunStore`).
        command: command that repeats the reproduction; it is recorded.
        seeds: number of runs per arm, ≥ 2; None: as each claim specifies.
        first_seed: smallest seed.
        quick: measure :meth:`Claim.quick` with small runs.
        resume: continue the reproduction in ``out``; finished runs are not repeated.
        jobs: number of runs at the same time, one process each; the bits do not depend on it.
        callbacks: receive every run as a stage, its progress, and messages.
        device: where models are trained and tested; see
            :func:`~recops_models.training.device.resolve_device`.

    Returns:
        The content of ``results.json``.

    Raises:
        ValueError: too few seeds or jobs, missing device, or ``out`` holds other files or runs on
            other data.
        CorruptFileError: a file in ``out`` is damaged.
        DataError: none of the claims' data sets is available.
        KeyboardInterrupt: passed on; finished runs and epochs are kept.
    """
    if quick:
        claims = [claim.quick() for claim in claims]
    claims, skipped = _available(claims)
    if seeds is not None:
        claims = [dataclasses.replace(claim, seeds=seeds) for claim in claims]
    fewest = min(claim.seeds for claim in claims)
    if fewest < 2:
        raise ValueError(f"reproduce: seeds must be 2 or more, got {fewest}")
    if jobs < 1:
        raise ValueError(f"reproduce: jobs must be 1 or more, got {jobs}")
    if first_seed + max(claim.seeds for claim in claims) > TUNING_SEED:
        raise ValueError(
            f"reproduce: seeds must be below {TUNING_SEED:,}, the first seed of trials, got seeds "
            f"from {first_seed}"
        )
    plan = Plan(claims, first_seed, quick)
    store = RunStore(out, paper, resume=resume)
    store.begin(_digests(claims))
    if store.dropped is not None:
        callbacks.log_message(store.dropped)
    with auto_device(device):
        finished = run_ahead(plan, store, callbacks, jobs=jobs)
    content, values = results(
        paper,
        findings(plan, finished),
        floors_of(plan, store, callbacks.log_message),
        command=command,
        quick=quick,
        # By key, because a run that names a default setting equals the run that omits it.
        seconds=sum({run.key: record.seconds for run, record in finished.items()}.values()),
        skipped=skipped,
    )
    write_results(out, content, values)
    return content


def _digests(claims: Sequence[Claim]) -> dict[str, str]:
    """Return digests of the data sets by name; synthetic data has none."""
    digests: dict[str, str] = {}
    for experiment, name in dict.fromkeys((c.experiment, name) for c in claims for name in c.data):
        if name not in digests and isinstance(data := experiment.load(name), Dataset):
            digests[name] = dataset_digest(data)
    return digests


def _available(claims: Sequence[Claim]) -> tuple[list[Claim], list[str]]:
    """Return the claims on available data, and one line per missing data set."""
    names = dict.fromkeys(name for claim in claims for name in claim.data)
    missing = {
        name
        for name in names
        if name in NAMED_SETS and NAMED_SETS[name].available() == "set RECOPS_DATA"
    }
    restricted = [
        dataclasses.replace(claim, data=tuple(name for name in claim.data if name not in missing))
        for claim in claims
    ]
    available = [claim for claim in restricted if claim.data]
    if not available:
        raise DataError(f"set RECOPS_DATA to the folder that holds {', '.join(sorted(missing))}")
    return available, [f"{name}: the data is not available" for name in names if name in missing]
