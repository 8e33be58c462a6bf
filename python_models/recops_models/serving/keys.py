"""Keys of the store.

The states of one model form a *generation* with its own key prefix. A new model, or a restored
snapshot, fills a new generation. Switching to it changes one value, :data:`ACTIVE`.
"""

from __future__ import annotations

ACTIVE = b"active"
"""Key of the generation that is served, and of its model."""
FORGOTTEN = b"forgotten/"
"""Prefix of all tombstones."""
RETIRED = b"left"
"""Key of the list of generations that are no longer served and not yet deleted."""
USERS = b"u/"
"""Prefix of user records within a generation."""
TOTALS = b"n"
"""Key of the event totals within a generation."""


def forgotten_key(user: str) -> bytes:
    """Return the key of a user's tombstone, which belongs to no generation."""
    return FORGOTTEN + user.encode()


def lock_key(name: str) -> bytes:
    """Return the key of a lock."""
    return b"lock/" + name.encode()


def generation_prefix(generation: int) -> bytes:
    """Return the prefix of all keys of a generation."""
    return b"%08x/" % generation


def users_prefix(generation: int) -> bytes:
    """Return the prefix of all user records of a generation."""
    return generation_prefix(generation) + USERS


def user_key(generation: int, user: str) -> bytes:
    """Return the key of a user's record."""
    return users_prefix(generation) + user.encode()


def items_prefix(generation: int) -> bytes:
    """Return the prefix of all item counts of a generation."""
    return generation_prefix(generation) + b"i/"


def item_key(generation: int, item: str) -> bytes:
    """Return the key of an item's counts: its events, and how many of them are likes."""
    return items_prefix(generation) + item.encode()


def meta_key(generation: int) -> bytes:
    """Return the key of the model of a generation that is being filled."""
    return generation_prefix(generation) + b"m"


def totals_key(generation: int) -> bytes:
    """Return the key of the totals of a generation: events, likes and users."""
    return generation_prefix(generation) + TOTALS
