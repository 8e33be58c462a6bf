"""URLs of stores, and how messages tell them."""

from __future__ import annotations

from pathlib import Path


def check_store_url(url: str) -> str:
    """The URL itself, if it is one of a store.

    Raises:
        ValueError: it is not.
    """
    scheme, _, rest = url.partition(":")
    if (scheme == "lmdb" and rest) or (scheme == "redis" and rest.startswith("//")):
        return url
    raise ValueError(f"store must be lmdb:PATH or redis://HOST:PORT/DB, got {shown(url)!r}")


def lmdb_folder(url: str) -> Path:
    """The folder of ``lmdb:PATH``, where ``~`` is the user's own."""
    return Path(url.removeprefix("lmdb:").partition("?")[0]).expanduser()


def shown(url: str) -> str:
    """The URL without a name and a password, which no message is to tell."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2] if separator else url
