"""Encoding of a user's record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops_models.serving.errors import CorruptStateError
from recops_models.serving.ledger import Ledger
from recops_models.serving.record import UserRecord

NUMBERS = st.integers(0, 2**63 - 1)
GAPS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8).map(tuple)
RECORDS = st.builds(
    UserRecord,
    version=st.binary(min_size=16, max_size=16),
    state=st.binary(max_size=64),
    count=NUMBERS,
    seen=NUMBERS,
    liked=NUMBERS,
    ledger=st.builds(Ledger, last=NUMBERS, missing=NUMBERS, gaps=GAPS),
    floor=NUMBERS,
    timestamp=st.floats(allow_nan=False),
)


@given(record=RECORDS, user=st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_record_survives_a_round_trip(record: UserRecord, user: str) -> None:
    assert UserRecord.unpack(user, record.pack(user)) == record
    assert UserRecord.unpack(user, record.pack(user), len(record.state)) == record


def test_the_byte_layout_is_fixed() -> None:
    """Later versions must read the records of existing stores."""
    record = UserRecord(b"v" * 16, b"\1\2\3\4", 1, 2, 3, Ledger(9, 4, ((3, 6),)), 5, 1.5)
    assert record.pack("user").hex() == (
        "55494301" + "76" * 16 + "0100000000000000"
        "0200000000000000"
        "0300000000000000"
        "0900000000000000"
        "0400000000000000"
        "0500000000000000"
        "000000000000f83f"
        "01"
        "0300000000000000"
        "0600000000000000"
        "01020304"
        "cc52c5741947cbe6"
    )


@pytest.mark.parametrize("bit", range(8))
def test_any_flipped_bit_is_detected(bit: int) -> None:
    record = UserRecord(b"v" * 16, bytes(12), 1, 2, 3, Ledger(9, 4, ((3, 6),)), 5, 1.5)
    data = record.pack("user")
    for index in range(len(data)):
        damaged = bytearray(data)
        damaged[index] ^= 1 << bit
        with pytest.raises(CorruptStateError, match="damaged"):
            UserRecord.unpack("user", bytes(damaged))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptStateError, match="'user'"):
        UserRecord.unpack("user", data)


def test_a_record_of_another_size_or_user_is_refused() -> None:
    data = UserRecord(b"v" * 16, bytes(12)).pack("user")
    with pytest.raises(CorruptStateError, match="must be 16 bytes, got 12"):
        UserRecord.unpack("user", data, 16)
    with pytest.raises(CorruptStateError, match="'other'"):
        UserRecord.unpack("other", data)
