"""Log messages about a store that does not answer."""

from __future__ import annotations

import logging

import pytest

from recops_models.serving.errors import FieldError, StoreAwayError
from recops_models.serving.locks import HeldLockError
from recops_models.serving.store_availability import StoreAvailability


@pytest.fixture
def availability() -> StoreAvailability:
    return StoreAvailability("lmdb:states")


def fail(availability: StoreAvailability, error: Exception) -> None:
    with pytest.raises(type(error)), availability.watching():
        raise error


def test_an_outage_and_the_recovery_are_logged_once(
    availability: StoreAvailability, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        fail(availability, StoreAwayError("timeout"))
    for _ in range(3):
        with availability.watching():
            pass
    outage, recovery = caplog.messages
    assert outage == "lmdb:states does not answer, retrying: timeout"
    assert recovery.startswith("lmdb:states answers again after 0.")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize("error", [HeldLockError("held"), FieldError("seq", "missing")])
def test_other_errors_are_no_outage(
    availability: StoreAvailability, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    fail(availability, error)
    assert caplog.messages == []


def test_a_held_lock_ends_an_outage(
    availability: StoreAvailability, caplog: pytest.LogCaptureFixture
) -> None:
    fail(availability, StoreAwayError("timeout"))
    fail(availability, HeldLockError("held"))
    assert "answers again" in caplog.messages[-1]
