"""Floors: every data set that any experiment counts some on has them."""

from __future__ import annotations

from typing import cast

from recops_evidence.claims import claims_of
from recops_evidence.harness.experiment import Metrics
from recops_evidence.harness.floors import floors_of
from recops_evidence.harness.plan import Plan
from recops_evidence.harness.run_store import RunStore

COUNTED: dict[str, Metrics] = {"popularity": {"hr@10": 0.5}}


class Kept:
    """A store in which all floors are counted already."""

    def floors(self, key: str) -> dict[str, Metrics]:
        return COUNTED


def test_claims_without_floors_leave_the_data_to_others() -> None:
    claims = claims_of("unirec")
    assert claims[0].experiment.floors(None, None) == {}, "the first ones have none"  # type: ignore[arg-type]
    found = floors_of(Plan(claims), cast(RunStore, Kept()), print)
    places = {(floor.data, floor.label) for floor in found}
    assert {("ml-100k", ""), ("beauty", ""), ("ml-100k", "20% of items held out")} <= places
    assert all(floor.metrics == COUNTED["popularity"] for floor in found)
