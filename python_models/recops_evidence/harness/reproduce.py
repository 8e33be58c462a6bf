"""A reproduction, from claims to ``results.json`` and ``results.md``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

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
) -> Results:
    """Measure ``claims`` and leave ``results.json`` and ``results.md`` in ``out``.

    Args:
        paper: whose claims.
        claims: one or more.
        out: see :class:`RunStore` for what may be in it.
        command: that gives the same again, for the record.
        seeds: runs of each arm, ≥ 2; None: as each claim says.
        first_seed: the seeds count up from here.
        quick: :meth:`Claim.quick`, with small runs.
        resume: go on with the reproduction that is there; nothing finished is repeated.
        jobs: runs at once, each in a process of its own; the same bits for any number.
        callbacks: receive every run as a stage, its progress, and messages.

    Returns:
        the content of ``results.json``.

    Raises:
        ValueError: too few seeds, no job; the folder holds something else, or runs on other data.
        CorruptFileError: it is damaged.
        DataError: none of the claims' data sets is at hand.
        KeyboardInterrupt: handed on; finished runs and epochs are kept.
    """
    if quick:
        claims = [claim.quick() for claim in claims]
    claims, skipped = _at_hand(claims)
    if seeds is not None:
        claims = [dataclasses.replace(claim, seeds=seeds) for claim in claims]
    fewest = min(claim.seeds for claim in claims)
    if fewest < 2:
        raise ValueError(f"reproduce: an interval needs two seeds or more, got {fewest}")
    if jobs < 1:
        raise ValueError(f"reproduce: jobs must be 1 or more, got {jobs}")
    if first_seed + max(claim.seeds for claim in claims) > TUNING_SEED:
        raise ValueError(
            f"reproduce: seeds must be below {TUNING_SEED:,}, from where trials draw, got "
            f"{first_seed} and on"
        )
    plan = Plan(claims, first_seed, quick)
    store = RunStore(out, paper, resume=resume)
    store.begin(_digests(claims))
    if store.dropped is not None:
        callbacks.log_message(store.dropped)
    done = run_ahead(plan, store, callbacks, jobs=jobs)
    content, values = results(
        paper,
        findings(plan, done),
        floors_of(plan, store, callbacks.log_message),
        command=command,
        quick=quick,
        # By key: what names a default is the run of what leaves it out.
        seconds=sum({run.key: record.seconds for run, record in done.items()}.values()),
        skipped=skipped,
    )
    write_results(out, content, values)
    return content


def _digests(claims: Sequence[Claim]) -> dict[str, str]:
    """Of the data sets that runs read, by name; nothing of data that are made up."""
    found: dict[str, str] = {}
    for experiment, name in dict.fromkeys((c.experiment, name) for c in claims for name in c.data):
        if name not in found and isinstance(data := experiment.load(name), Dataset):
            found[name] = dataset_digest(data)
    return found


def _at_hand(claims: Sequence[Claim]) -> tuple[list[Claim], list[str]]:
    """The claims on the data that is there, and a line for each that isn't."""
    names = dict.fromkeys(name for claim in claims for name in claim.data)
    missing = {
        name
        for name in names
        if name in NAMED_SETS and NAMED_SETS[name].available() == "set RECOPS_DATA"
    }
    there = [
        dataclasses.replace(claim, data=tuple(name for name in claim.data if name not in missing))
        for claim in claims
    ]
    kept = [claim for claim in there if claim.data]
    if not kept:
        raise DataError(f"set RECOPS_DATA to the folder that holds {', '.join(sorted(missing))}")
    return kept, [f"{name}: its data is not at hand" for name in names if name in missing]
