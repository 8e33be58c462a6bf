"""Digest of a data set's content."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa

from recops_models.data.dataset import BLOCK, Dataset


def dataset_digest(dataset: Dataset) -> str:
    """Return the SHA-256 of all interactions, in order, and of the items' and users' columns.

    The files of streamed histories count, too. O(events + items + users).
    """
    digest = hashlib.sha256()
    with pa.ipc.new_stream(_HashingSink(digest), dataset.event_schema.remove_metadata()) as stream:
        for block in dataset.event_blocks():
            for batch in block.combine_chunks().replace_schema_metadata(None).to_batches():
                stream.write_batch(batch)
    # JSON, because these columns have nulls, and the bytes under a null are undefined.
    for table in (dataset.items, dataset.users):
        for batch in table.combine_chunks().to_batches(max_chunksize=BLOCK):
            digest.update(json.dumps(batch.to_pydict(), default=str).encode())
    digest.update(dataset.streamed_digest.encode())
    return digest.hexdigest()


class _HashingSink:
    """Writable file object that only updates a digest."""

    closed = False

    def __init__(self, digest: hashlib._Hash) -> None:
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
