"""Floors for the catalogue's snapshots after a small change."""

from __future__ import annotations

import pytest

from recops.benchmarks import catalog as cases


# 1,000 items into 1.5 million, or out of them, and a snapshot: 14 to 15 ms each (one Zen 4 core);
# 20 are asked for.
@pytest.mark.parametrize("remove", [False, True], ids=["inserted", "removed"])
def test_a_small_change_does_not_rebuild_the_trie(remove: bool, outruns) -> None:
    outruns(cases.snapshot_case(cases.ONE_REC, 1000, remove=remove), "build", 5)
