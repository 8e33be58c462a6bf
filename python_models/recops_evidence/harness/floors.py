"""What is reached without any model, on the data of every claim."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recops_evidence.harness.claim import Claim
from recops_evidence.harness.experiment import Metrics, Run
from recops_evidence.harness.plan import Plan
from recops_evidence.harness.run_store import RunStore
from recops_models.tokenizers.clustering.threads import one_thread
from recops_models.versions import versions


@dataclass(frozen=True)
class Floor:
    """A floor on a data set.

    Attributes:
        data: the data set's name.
        label: see :attr:`Experiment.label`.
        name: the floor's.
        metrics: its figures on test.
    """

    data: str
    label: str
    name: str
    metrics: Metrics


def floors_of(plan: Plan, store: RunStore, note: Callable[[str], None]) -> list[Floor]:
    """The floors of every data set of ``plan``, by the examples of the first arm of the first claim
    that has any there.

    Args:
        plan: whose claims.
        store: keeps them, so that they are counted once.
        note: is told what is being counted.
    """
    found: dict[tuple[str, str], list[Floor]] = {}
    for claim in plan.claims:
        for data in claim.data:
            place = (data, claim.experiment.label)
            if not found.get(place):  # An experiment without floors leaves the place to others.
                kept = _over_seeds(plan, store, note, claim, data)
                found[place] = [Floor(*place, name, metrics) for name, metrics in kept.items()]
    return [floor for of_place in found.values() for floor in of_place]


def _over_seeds(
    plan: Plan, store: RunStore, note: Callable[[str], None], claim: Claim, data: str
) -> dict[str, Metrics]:
    """The floors of one data set: their mean over seeds, where these draw other examples."""
    experiment, arm = claim.experiment, claim.arms[0]
    counted: dict[str, dict[str, Metrics]] = {}
    for seed in plan.seeds(claim):
        run = Run(experiment, arm.model, data, claim.trials(arm)[0], seed, True, plan.quick)
        config = experiment.floors_config(run)
        if config is None:
            return {}
        content = json.dumps([config, versions()], sort_keys=True)
        key = hashlib.sha256(content.encode()).hexdigest()[:12]
        kept = counted.get(key) or store.floors(key)
        if kept is None:
            note(f"floors on {data}, seed {seed}")
            with one_thread():  # As runs are: sums do not depend on threads.
                kept = experiment.floors(run, experiment.load(data))
            store.keep_floors(key, kept)
        counted[key] = kept
    first, *others = counted.values()
    return {
        name: {
            metric: _mean([value, *(other[name].get(metric) for other in others)])
            for metric, value in metrics.items()
        }
        for name, metrics in first.items()
    }


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if len(defined) == len(values) else None
