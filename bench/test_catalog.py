"""Lower bounds on the speed-up of the catalogue's snapshots after a small change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recops.benchmarks import catalog as cases
from recops.benchmarks.trie import Workload

FEWER = replace(cases.ONE_REC, items=300_000)


# Target 20 ms for a change of 1,000 of 1.5 million items and a snapshot. Measured on one Zen 4
# core: 9.4 ms for insertions, 11.0 ms for removals, 15 ms on a busy core. The test of removals has
# only a fifth of the items, to save time.
@pytest.mark.parametrize(
    ("workload", "remove"),
    [(cases.ONE_REC, False), (FEWER, True)],
    ids=["inserted", "removed"],
)
def test_a_small_change_does_not_rebuild_the_trie(
    workload: Workload, remove: bool, outruns
) -> None:
    outruns(cases.snapshot_case(workload, 1000, remove=remove), "build", 5)
