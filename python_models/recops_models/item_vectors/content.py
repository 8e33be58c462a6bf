"""Text and attributes of items by TF-IDF and SVD (latent semantic analysis)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer

from recops_models.data.dataset import Dataset
from recops_models.item_vectors.svd import Float32Array, svd_rows

_NOT_WORD = r"[^\p{L}\p{N}]+"


def content_vectors(dataset: Dataset, *, dim: int, seed: int) -> Float32Array:
    """``[N, ≤ dim]`` unit rows from the text, attribute and number columns of ``dataset.items``.

    An item's words make one TF-IDF row and its attribute values another, each of unit length, so
    that a long description does not drown the genre. Numbers enter as the decile they fall into.
    It is fitted on the whole catalogue, which is known before any event.
    """
    items = dataset.items
    words = [_words(items[name]) for name in dataset.item_columns("text")]
    values = [_values(items[name]) for name in dataset.item_columns("attribute")]
    values += [_deciles(items[name]) for name in dataset.item_columns("number")]
    features = [
        _tfidf([_counts(tokens) for tokens in columns], len(items)) for columns in (words, values)
    ]
    return svd_rows(sparse.hstack(features, format="csr"), dim=dim, seed=seed)


def _words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.split_pattern_regex(pc.utf8_lower(pc.fill_null(column, "")), _NOT_WORD)


def _values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Attribute values as lists of strings, whatever they were."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return column.cast(pa.list_(pa.string()))
    return _as_lists(column.cast(pa.string()))


def _deciles(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The decile of each number, among those that are there."""
    numbers = column.cast(pa.float64(), safe=False).to_numpy()
    present = numbers[np.isfinite(numbers)]
    if not len(present):
        return pa.chunked_array([pa.nulls(len(numbers), pa.list_(pa.string()))])
    edges = np.unique(np.quantile(present, np.linspace(0.1, 0.9, 9)))
    decile = pa.array(np.searchsorted(edges, numbers, side="right"), mask=~np.isfinite(numbers))
    return _as_lists(pa.chunked_array([decile.cast(pa.string())]))


def _as_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value as a list of one."""
    offsets = pa.array(np.arange(len(column) + 1, dtype=np.int32))
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, column.combine_chunks())])


def _counts(tokens: pa.ChunkedArray) -> sparse.csr_matrix:
    """How often each token (a column, in sorted order) stands in each row's list."""
    tokens = tokens.combine_chunks()
    flat, row = pc.list_flatten(tokens), pc.list_parent_indices(tokens)
    present = pc.fill_null(pc.not_equal(flat, ""), False)
    flat, row = flat.filter(present), row.filter(present)
    vocabulary = pc.unique(flat)
    vocabulary = vocabulary.take(pc.array_sort_indices(vocabulary))
    column = pc.index_in(flat, value_set=vocabulary).to_numpy()
    ones = np.ones(len(flat), dtype=np.float64)
    shape = (len(tokens), len(vocabulary))
    return sparse.coo_matrix((ones, (row.to_numpy(), column)), shape=shape).tocsr()


def _tfidf(counts: list[sparse.csr_matrix], rows: int) -> sparse.csr_matrix:
    """(1 + ln tf) · idf of all columns together, with unit rows."""
    joined = sparse.hstack([sparse.csr_matrix((rows, 0)), *counts], format="csr")
    return TfidfTransformer(sublinear_tf=True).fit_transform(joined) if joined.nnz else joined
