"""A floor for the catalogue's snapshots after a small change."""

from __future__ import annotations

from recops.benchmarks import catalog as cases


def test_a_small_change_does_not_rebuild_the_trie(outruns) -> None:
    outruns(cases.snapshot_case(cases.ONE_REC, 1000), "build", 5)
