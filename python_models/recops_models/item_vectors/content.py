"""Content vectors of items from text and attributes, by TF-IDF and SVD."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer

from recops_models.data.column_roles import ColumnRole, is_list
from recops_models.data.dataset import Dataset
from recops_models.item_vectors.svd import Float32Array, svd_rows_and_directions, unit_rows

_NOT_WORD = r"[^\p{L}\p{N}]+"


def content_vectors(dataset: Dataset, *, dim: int, seed: int) -> Float32Array:
    """Return unit rows ``[N, ≤ dim]`` from the text, attribute and number columns of the items.

    Words and attribute values form separate TF-IDF rows of unit length, so a long description does
    not outweigh the attributes. A number counts as an attribute, its decile. The encoder is fitted
    to the whole catalogue, which is known before any event.
    """
    return ContentEncoder(dataset, dim=dim, seed=seed).vectors


class ContentEncoder:
    """Encoder of item content, fitted to a data set, that can also encode new items.

    Args:
        dataset: its items determine the vocabularies, deciles and SVD directions.
        dim: width of the vectors.
        seed: seed of the randomised SVD.

    Attributes:
        vectors: ``[N, ≤ dim]``, :func:`content_vectors` of the data set.
    """

    def __init__(self, dataset: Dataset, *, dim: int, seed: int) -> None:
        self._columns = {role: dataset.item_columns(role) for role in get_args(ColumnRole)}
        self._edges = {name: _edges(dataset.items[name]) for name in self._columns["number"]}
        self._groups = [_Group(columns) for columns in self._tokens(dataset.items)]
        features = [
            group.fit(columns, dataset.items.num_rows)
            for group, columns in zip(self._groups, self._tokens(dataset.items), strict=True)
        ]
        matrix = sparse.hstack(features, format="csr")
        self.vectors, self._directions = svd_rows_and_directions(matrix, dim=dim, seed=seed)

    def encode(self, items: pa.Table) -> Float32Array:
        """Return unit rows ``[n, ≤ dim]`` of items with the columns of the data set.

        Words and values that the data set does not have are ignored; an item without known ones
        gets a zero row.
        """
        features = [
            group.encode(columns, items.num_rows)
            for group, columns in zip(self._groups, self._tokens(items), strict=True)
        ]
        return unit_rows(sparse.hstack(features, format="csr") @ self._directions.T)

    def _tokens(self, items: pa.Table) -> list[list[pa.ChunkedArray]]:
        """Return the token columns of words, and those of attribute values."""
        words = [_words(items[name]) for name in self._columns["text"]]
        values = [_values(items[name]) for name in self._columns["attribute"]]
        values += [_deciles(items[name], self._edges[name]) for name in self._columns["number"]]
        return [words, values]


class _Group:
    """Group of columns with a common TF-IDF row of unit length: (1 + ln tf) · idf."""

    def __init__(self, columns: list[pa.ChunkedArray]) -> None:
        self._vocabularies = [_vocabulary(tokens) for tokens in columns]
        self._idf: TfidfTransformer | None = None

    def fit(self, columns: list[pa.ChunkedArray], rows: int) -> sparse.csr_matrix:
        counts = self._counts(columns, rows)
        if not counts.nnz:
            return counts
        self._idf = TfidfTransformer(sublinear_tf=True)
        return self._idf.fit_transform(counts)

    def encode(self, columns: list[pa.ChunkedArray], rows: int) -> sparse.csr_matrix:
        counts = self._counts(columns, rows)
        return counts if self._idf is None else self._idf.transform(counts)

    def _counts(self, columns: list[pa.ChunkedArray], rows: int) -> sparse.csr_matrix:
        counts = [
            _counts(tokens, vocabulary)
            for tokens, vocabulary in zip(columns, self._vocabularies, strict=True)
        ]
        return sparse.hstack([sparse.csr_matrix((rows, 0)), *counts], format="csr")


def _words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.split_pattern_regex(pc.utf8_lower(pc.fill_null(column, "")), _NOT_WORD)


def _values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return attribute values as lists of strings."""
    if is_list(column.type):
        return column.cast(pa.list_(pa.string()))
    return _as_lists(column.cast(pa.string()))


def _edges(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return the boundaries between deciles; none if there are no finite numbers."""
    numbers = _numbers(column)
    present = numbers[np.isfinite(numbers)]
    if not len(present):
        return np.empty(0)
    edges: NDArray[np.float64] = np.unique(np.quantile(present, np.linspace(0.1, 0.9, 9)))
    return edges


def _deciles(column: pa.ChunkedArray, edges: NDArray[np.float64]) -> pa.ChunkedArray:
    """Return the decile of each number as a list of one token; null if it is not finite."""
    numbers = _numbers(column)
    if not len(edges):
        return pa.chunked_array([pa.nulls(len(numbers), pa.list_(pa.string()))])
    decile = pa.array(np.searchsorted(edges, numbers, side="right"), mask=~np.isfinite(numbers))
    return _as_lists(pa.chunked_array([decile.cast(pa.string())]))


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return numbers


def _as_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return each value as a list of one."""
    offsets = pa.array(np.arange(len(column) + 1, dtype=np.int32))
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, column.combine_chunks())])


def _flat(tokens: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Return all non-empty tokens, and the row of each."""
    tokens = tokens.combine_chunks()
    flat, row = pc.list_flatten(tokens), pc.list_parent_indices(tokens)
    present = pc.fill_null(pc.not_equal(flat, ""), False)
    return flat.filter(present), row.filter(present)


def _vocabulary(tokens: pa.ChunkedArray) -> pa.Array:
    """Return the distinct tokens of a column, sorted."""
    vocabulary = pc.unique(_flat(tokens)[0])
    return vocabulary.take(pc.array_sort_indices(vocabulary))


def _counts(tokens: pa.ChunkedArray, vocabulary: pa.Array) -> sparse.csr_matrix:
    """Return the count of each vocabulary token in each row, ``[rows, vocabulary]``."""
    flat, row = _flat(tokens)
    column = pc.index_in(flat, value_set=vocabulary)
    known = pc.is_valid(column)
    column, row = column.filter(known).to_numpy(), row.filter(known).to_numpy()
    ones = np.ones(len(column), dtype=np.float64)
    shape = (len(tokens), len(vocabulary))
    return sparse.coo_matrix((ones, (row, column)), shape=shape).tocsr()
