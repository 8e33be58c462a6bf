"""Floors of the data sets on which at least one experiment counts them."""

from __future__ import annotations

from typing import cast

from recops_evidence.claims import claims_of
from recops_evidence.harness.experiment import Metrics
from recops_evidence.harness.floors import floors_of
from recops_evidence.harness.plan import Plan
from recops_evidence.harness.run_store import RunStore

COUNTED: dict[str, Metrics] = {"popularity": {"hr@10": 0.5}}


class CountedStore:
    """Run store in which the floors of every key are already counted."""

    def floors(self, key: str) -> dict[str, Metrics]:
        return COUNTED


def test_a_data_set_has_floors_if_any_of_its_claims_counts_them() -> None:
    claims = claims_of("unirec")
    assert claims[0].experiment.floors(None, None) == {}, "the first claim has none"  # type: ignore[arg-type]
    floors = floors_of(Plan(claims), cast(RunStore, CountedStore()), print)
    keys = {(floor.data, floor.label) for floor in floors}
    assert {("ml-100k", ""), ("beauty", ""), ("ml-100k", "20% of items held out")} <= keys
    assert all(floor.metrics == COUNTED["popularity"] for floor in floors)
