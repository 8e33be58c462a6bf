"""Floors (baselines without a model): their test metrics on the data of every claim."""

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
    """Figures of a floor on a data set.

    Attributes:
        data: name of the data set.
        label: see :attr:`Experiment.label`.
        name: name of the floor.
        metrics: test metrics.
    """

    data: str
    label: str
    name: str
    metrics: Metrics


def floors_of(plan: Plan, store: RunStore, note: Callable[[str], None]) -> list[Floor]:
    """Return the floors of every data set of ``plan``.

    They use the examples of the first arm of the first claim whose experiment has floors.

    Args:
        plan: the claims.
        store: caches the floors.
        note: receives a message before floors are computed.
    """
    floors: dict[tuple[str, str], list[Floor]] = {}
    for claim in plan.claims:
        for data in claim.data:
            scope = (data, claim.experiment.label)
            if not floors.get(scope):
                metrics_of = _over_seeds(plan, store, note, claim, data)
                floors[scope] = [Floor(*scope, name, each) for name, each in metrics_of.items()]
    return [floor for scope_floors in floors.values() for floor in scope_floors]


def _over_seeds(
    plan: Plan, store: RunStore, note: Callable[[str], None], claim: Claim, data: str
) -> dict[str, Metrics]:
    """Return the floors of one data set; mean over seeds if seeds draw different examples."""
    experiment, arm = claim.experiment, claim.arms[0]
    counted: dict[str, dict[str, Metrics]] = {}
    for seed in plan.seeds(claim):
        run = Run(experiment, arm.model, data, claim.trials(arm)[0], seed, True, plan.quick)
        config = experiment.floors_config(run)
        if config is None:
            return {}
        content = json.dumps([config, versions()], sort_keys=True)
        key = hashlib.sha256(content.encode()).hexdigest()[:12]
        floors = counted.get(key) or store.floors(key)
        if floors is None:
            note(f"floors on {data}, seed {seed}")
            with one_thread():  # Sums then do not depend on the number of threads.
                floors = experiment.floors(run, experiment.load(data))
            store.keep_floors(key, floors)
        counted[key] = floors
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
