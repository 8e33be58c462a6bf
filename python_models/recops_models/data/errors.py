"""The errors of the data layer: one line that says what was wrong and what to do."""

from __future__ import annotations


class DataError(ValueError):
    """Data that is missing, unreadable or unfit."""


class UnknownDataError(DataError):
    """A name that is neither a named data set nor a folder."""
