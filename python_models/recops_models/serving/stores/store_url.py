"""Store URLs: validation, and redaction in messages."""

from __future__ import annotations

from pathlib import Path


def check_store_url(url: str) -> str:
    """Return ``url`` if it is a store URL.

    Raises:
        ValueError: it is not a store URL.
    """
    scheme, _, address = url.partition(":")
    if (scheme == "lmdb" and address) or (scheme == "redis" and address.startswith("//")):
        return url
    raise ValueError(f"store must be lmdb:PATH or redis://HOST:PORT/DB, got {redact_url(url)!r}")


def lmdb_folder(url: str) -> Path:
    """Return the folder of ``lmdb:PATH``, with ``~`` expanded."""
    return Path(url.removeprefix("lmdb:").partition("?")[0]).expanduser()


def redact_url(url: str) -> str:
    """Return the URL without user name and password, for messages."""
    scheme, separator, address = url.partition("://")
    return scheme + separator + address.rpartition("@")[2] if separator else url
