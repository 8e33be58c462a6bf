"""Errors of the data layer; each message is one line."""

from __future__ import annotations


class DataError(ValueError):
    """Data is missing, unreadable or unsuitable."""


class UnknownDataError(DataError):
    """A name is neither a named data set nor a folder."""
