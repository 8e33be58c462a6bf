"""Floors for the trie family, each a ratio of interleaved minima in one process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import recops
from recops.benchmarks import trie as cases
from recops.benchmarks.registry import Case
from recops.benchmarks.runner import thread_count
from recops.benchmarks.timing import interleave

Ratio = Callable[[Case, str], float]


@pytest.fixture
def ratio(benchmark) -> Ratio:
    """A peer's time over the case's, reported by pytest-benchmark."""

    def measure(case: Case, peer: str) -> float:
        with thread_count(case.threads):
            case.verify()
            ours, theirs = interleave(case.run, case.peers[peer], pairs=150, seconds=2.0)
            benchmark.pedantic(case.run, rounds=3)
        benchmark.extra_info.update(
            ratio=theirs / ours,
            isa=recops.cpu_isa(),
            threads=case.threads,
            torch=torch.__version__,
            shape=case.shape,
        )
        return theirs / ours

    return measure


@pytest.fixture(scope="module")
def one_rec() -> cases.Search:
    return cases.Search(cases.ONE_REC)


# At level 2 the children are few, and reading the logits is most of what there is to do.
@pytest.mark.parametrize(("level", "floor"), [(1, 30), (2, 8)])
def test_wide_steps_beat_padded_rows(
    one_rec: cases.Search, level: int, floor: float, ratio: Ratio
) -> None:
    assert ratio(cases.step_case(one_rec, level), "padded rows") >= floor


@pytest.mark.parametrize(
    ("workload", "floor"),
    [(cases.STATIC_ZIPF, 5), (cases.TIGER, 2.5), (cases.SMALL, 1.5)],
    ids=str,
)
def test_narrow_steps_beat_padded_rows(
    workload: cases.Workload, floor: float, ratio: Ratio
) -> None:
    assert ratio(cases.step_case(cases.Search(workload), 1), "padded rows") >= floor


def test_normalizing_over_children_spares_the_rows(one_rec: cases.Search, ratio: Ratio) -> None:
    assert ratio(cases.variant_case(one_rec, 1, normalize="children"), "plain") >= 1.3


def test_building_beats_sorting_in_numpy(ratio: Ratio) -> None:
    """1 M SIDs of 4 tokens: a whole trie in less time than np.lexsort takes to order them."""
    assert ratio(cases.build_case(cases.STATIC_ZIPF), "numpy lexsort alone") >= 1.2
