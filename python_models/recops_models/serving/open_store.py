"""From a URL to a store."""

from __future__ import annotations

from recops_models.serving.stores.store import Store
from recops_models.serving.stores.store_url import check_store_url


def open_store(url: str, *, allow_loss: bool = False, make: bool = True) -> Store:
    """The store of this URL: ``lmdb:PATH`` or ``redis://HOST:PORT/DB``.

    Args:
        url: see above.
        allow_loss: take a Redis that is not durable.
        make: the folder of ``lmdb:PATH``, where there is none.

    Raises:
        ValueError: another URL.
        NotDurableError: a Redis that may lose what it said was written.
        StoreError: it cannot be opened, or is not there and not to be made.
    """
    if check_store_url(url).startswith("lmdb:"):
        from recops_models.serving.stores.lmdb_store import LmdbStore

        return LmdbStore(url, make=make)
    from recops_models.serving.stores.redis_store import RedisStore

    return RedisStore(url, allow_loss=allow_loss)
