"""Errors of events, requests and stores of user states."""

from __future__ import annotations


class FieldError(ValueError):
    """Missing or invalid field of an event or a request.

    Attributes:
        field: name of the field.
        error: what is wrong with it.
    """

    def __init__(self, field: str, error: str) -> None:
        super().__init__(f"{field} {error}")
        self.field, self.error = field, error


class StoreError(RuntimeError):
    """Failed operation on a store of user states."""


class StoreAwayError(StoreError):
    """Store that does not answer, or is locked by another operation; a retry may succeed."""


class StoreFullError(StoreError):
    """Store without free space. The failed write changed nothing."""


class NotDurableError(StoreError):
    """Server that may lose acknowledged writes."""


class CorruptStateError(StoreError):
    """Stored value that is damaged, belongs to another user, or has a newer format."""


class DamagedRecordError(CorruptStateError):
    """Wrong checksum of one user's or item's record; other records are not affected."""


class ModelVersionError(StoreError):
    """Store whose states were written by another model."""


class ConflictError(StoreError):
    """Commit that lost against a concurrent one: read again and retry."""
