"""Opening a store by its URL."""

from __future__ import annotations

from recops_models.serving.stores.store import Store
from recops_models.serving.stores.store_url import check_store_url


def open_store(url: str, *, allow_loss: bool = False, create: bool = True) -> Store:
    """Open the store at ``lmdb:PATH`` or ``redis://HOST:PORT/DB``.

    Args:
        url: URL of the store.
        allow_loss: accept a Redis server that may lose acknowledged writes.
        create: create the folder of ``lmdb:PATH`` if it does not exist.

    Raises:
        ValueError: ``url`` has another form.
        NotDurableError: the Redis server may lose acknowledged writes.
        StoreError: the store cannot be opened, or does not exist and ``create`` is False.
    """
    if check_store_url(url).startswith("lmdb:"):
        from recops_models.serving.stores.lmdb_store import LmdbStore

        return LmdbStore(url, create=create)
    from recops_models.serving.stores.redis_store import RedisStore

    return RedisStore(url, allow_loss=allow_loss)
