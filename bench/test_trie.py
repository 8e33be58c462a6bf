"""Floors for the trie family, each a ratio of interleaved minima in one process."""

from __future__ import annotations

import pytest

from recops.benchmarks import trie as cases


@pytest.fixture(scope="module")
def one_rec() -> cases.Search:
    return cases.Search(cases.ONE_REC)


# At level 2 the children are few, and reading the 16 MB of logits is most of what there is to do:
# 1.6 ms, where the peer takes 25 to 130 (one Zen 3 core at AVX2, beside other work, from which the
# peer suffers most). Level 1 has many children, which the peer pads and sorts.
@pytest.mark.parametrize(("level", "floor"), [(1, 30), (2, 15)])
def test_wide_steps_beat_padded_rows(
    one_rec: cases.Search, level: int, floor: float, outruns
) -> None:
    outruns(cases.step_case(one_rec, level), "padded rows", floor)


@pytest.mark.parametrize(
    ("workload", "floor"),
    [(cases.STATIC_ZIPF, 5), (cases.TIGER, 2.5), (cases.SMALL, 1.5)],
    ids=str,
)
def test_narrow_steps_beat_padded_rows(workload: cases.Workload, floor: float, outruns) -> None:
    outruns(cases.step_case(cases.Search(workload), 1), "padded rows", floor)


def test_normalizing_over_children_spares_the_rows(one_rec: cases.Search, outruns) -> None:
    outruns(cases.variant_case(one_rec, 1, normalize="children"), "plain", 1.3)


def test_building_beats_sorting_in_numpy(outruns) -> None:
    """1 M SIDs of 4 tokens: a whole trie in less time than np.lexsort takes to order them."""
    outruns(cases.build_case(cases.STATIC_ZIPF), "numpy lexsort alone", 1.2)
