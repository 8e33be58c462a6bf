"""What can go wrong between a model and a store of states: one line each, by name."""

from __future__ import annotations


class FieldError(ValueError):
    """A field of an event or a request is missing or not what it must be.

    Attributes:
        field: its name.
    """

    def __init__(self, field: str, error: str) -> None:
        super().__init__(f"{field} {error}")
        self.field, self.error = field, error


class StoreError(RuntimeError):
    """A store of states cannot do what it was asked to."""


class StoreAwayError(StoreError):
    """The store does not answer now, or something else is going on in it; later it may."""


class StoreFullError(StoreError):
    """There is no room in the store: what was being written is not there, all else is."""


class NotDurableError(StoreError):
    """The store may lose what it said was written."""


class CorruptStateError(StoreError):
    """What the store holds is damaged, of another user, or written by a newer version."""


class DamagedRecordError(CorruptStateError):
    """What the store holds of one user or item does not fit its checksum; the others are whole."""


class ModelVersionError(StoreError):
    """The store's states are another model's."""


class ConflictError(StoreError):
    """Someone else wrote in between: look again, and try again."""
