"""Error of a training that diverges."""

from __future__ import annotations


class DivergedError(ValueError):
    """A loss or a weight is not finite. A lower learning rate may help."""
