"""Outcomes of events by sequence number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recops_models.serving.ledger import MAX_GAPS, EventStatus, Ledger


def test_new_numbers_are_accepted_and_repeated_ones_are_duplicates() -> None:
    ledger = Ledger()
    assert [ledger.admit(seq) for seq in (1, 2, 3)] == [EventStatus.accepted] * 3
    assert [ledger.admit(seq) for seq in (3, 1)] == [EventStatus.duplicate] * 2
    assert (ledger.last, ledger.missing, ledger.gaps) == (3, 0, ())


def test_skipped_numbers_are_late() -> None:
    ledger = Ledger()
    assert [ledger.admit(seq) for seq in (1, 5)] == [EventStatus.accepted] * 2
    assert [ledger.admit(seq) for seq in (2, 4, 5, 1)] == [
        *(EventStatus.late, EventStatus.late),
        *(EventStatus.duplicate, EventStatus.duplicate),
    ]
    assert (ledger.last, ledger.missing, ledger.gaps) == (5, 3, ((2, 4),))


@given(st.lists(st.integers(1, 60), max_size=120))
def test_the_ledger_agrees_with_a_set_of_applied_numbers(seqs: list[int]) -> None:
    ledger, applied = Ledger(), set[int]()
    for seq in seqs:
        status = ledger.admit(seq)
        if seq > max(applied, default=0):
            assert status is EventStatus.accepted
            applied.add(seq)
        elif seq not in applied:
            assert status is EventStatus.late  # It must not count as applied.
        else:
            assert status in (EventStatus.duplicate, EventStatus.late)
        assert len(ledger.gaps) <= MAX_GAPS
        assert ledger.missing == ledger.last - len(applied)


def test_with_too_many_gaps_some_duplicates_are_late() -> None:
    ledger = Ledger()
    odd = range(1, 2 * MAX_GAPS + 4, 2)
    assert {ledger.admit(seq) for seq in odd} == {EventStatus.accepted}
    assert len(ledger.gaps) == MAX_GAPS
    assert ledger.admit(1) is EventStatus.duplicate  # Before the first gap.
    assert ledger.admit(3) is EventStatus.late  # Between two gaps that were merged.
    assert ledger.admit(odd[-1]) is EventStatus.duplicate
    assert ledger.admit(odd[-1] - 2) is EventStatus.duplicate
