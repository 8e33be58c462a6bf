"""Where what lies in a store.

Everything that a model's states are made of has its *generation*: a new model, or a snapshot that
is put back, fills a generation of its own, and the switch to it is one value.
"""

from __future__ import annotations

ACTIVE = b"active"
FORGOTTEN = b"forgotten/"
LEFT = b"left"
"""Of the generations that are served no longer and not yet removed."""
USERS, TOTALS = b"u/", b"n"
"""Behind a generation's prefix."""


def forgotten_key(user: str) -> bytes:
    """Of the tombstone of a user, which is of no generation."""
    return FORGOTTEN + user.encode()


def lock_key(name: str) -> bytes:
    """Of a lock."""
    return b"lock/" + name.encode()


def generation_prefix(generation: int) -> bytes:
    """Of all keys of a generation."""
    return b"%08x/" % generation


def users_prefix(generation: int) -> bytes:
    """Of all users of a generation."""
    return generation_prefix(generation) + USERS


def user_key(generation: int, user: str) -> bytes:
    """Of a user's record."""
    return users_prefix(generation) + user.encode()


def items_prefix(generation: int) -> bytes:
    """Of all items of a generation."""
    return generation_prefix(generation) + b"i/"


def item_key(generation: int, item: str) -> bytes:
    """Of how often an item was met and liked."""
    return items_prefix(generation) + item.encode()


def meta_key(generation: int) -> bytes:
    """Of whose states a generation is of, while it is being filled."""
    return generation_prefix(generation) + b"m"


def totals_key(generation: int) -> bytes:
    """Of how many events there were, and how many of them liked."""
    return generation_prefix(generation) + TOTALS
