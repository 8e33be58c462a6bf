"""Text and attributes of items by TF-IDF and SVD (latent semantic analysis)."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer

from recops_models.data.dataset import ColumnRole, Dataset, is_list
from recops_models.item_vectors.svd import Float32Array, svd_rows_and_directions, unit_rows

_NOT_WORD = r"[^\p{L}\p{N}]+"


def content_vectors(dataset: Dataset, *, dim: int, seed: int) -> Float32Array:
    """``[N, ≤ dim]`` unit rows from the text, attribute and number columns of ``dataset.items``.

    An item's words make one TF-IDF row and its attribute values another, each of unit length, so
    that a long description does not drown the genre. Numbers enter as the decile they fall into.
    It is fitted on the whole catalogue, which is known before any event.
    """
    return ContentEncoder(dataset, dim=dim, seed=seed).vectors


class ContentEncoder:
    """:func:`content_vectors` of a data set, and of items that came since, in the same space.

    Args:
        dataset: its items are what words, deciles and directions are fitted on.
        dim: of the vectors.
        seed: of the randomised SVD.

    Attributes:
        vectors: ``[N, ≤ dim]``, of the data set's items.
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
        """``[n, ≤ dim]`` unit rows of items with the columns that the data set's have.

        A word or a value that the data set does not have says nothing; an item of which nothing is
        known is zero.
        """
        features = [
            group.encode(columns, items.num_rows)
            for group, columns in zip(self._groups, self._tokens(items), strict=True)
        ]
        return unit_rows(sparse.hstack(features, format="csr") @ self._directions.T)

    def _tokens(self, items: pa.Table) -> list[list[pa.ChunkedArray]]:
        """Lists of tokens, of each column of words, and of each of values."""
        words = [_words(items[name]) for name in self._columns["text"]]
        values = [_values(items[name]) for name in self._columns["attribute"]]
        values += [_deciles(items[name], self._edges[name]) for name in self._columns["number"]]
        return [words, values]


class _Group:
    """Columns whose tokens make one TF-IDF row: (1 + ln tf) · idf, of unit length."""

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
    """Attribute values as lists of strings, whatever they were."""
    if is_list(column.type):
        return column.cast(pa.list_(pa.string()))
    return _as_lists(column.cast(pa.string()))


def _edges(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Where the deciles of the numbers that are there meet; none where there are no numbers."""
    numbers = _numbers(column)
    present = numbers[np.isfinite(numbers)]
    if not len(present):
        return np.empty(0)
    edges: NDArray[np.float64] = np.unique(np.quantile(present, np.linspace(0.1, 0.9, 9)))
    return edges


def _deciles(column: pa.ChunkedArray, edges: NDArray[np.float64]) -> pa.ChunkedArray:
    """The decile of each number."""
    numbers = _numbers(column)
    if not len(edges):
        return pa.chunked_array([pa.nulls(len(numbers), pa.list_(pa.string()))])
    decile = pa.array(np.searchsorted(edges, numbers, side="right"), mask=~np.isfinite(numbers))
    return _as_lists(pa.chunked_array([decile.cast(pa.string())]))


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return numbers


def _as_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value as a list of one."""
    offsets = pa.array(np.arange(len(column) + 1, dtype=np.int32))
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, column.combine_chunks())])


def _flat(tokens: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """All tokens that are there, and the row of each."""
    tokens = tokens.combine_chunks()
    flat, row = pc.list_flatten(tokens), pc.list_parent_indices(tokens)
    present = pc.fill_null(pc.not_equal(flat, ""), False)
    return flat.filter(present), row.filter(present)


def _vocabulary(tokens: pa.ChunkedArray) -> pa.Array:
    """The different tokens of a column, sorted."""
    vocabulary = pc.unique(_flat(tokens)[0])
    return vocabulary.take(pc.array_sort_indices(vocabulary))


def _counts(tokens: pa.ChunkedArray, vocabulary: pa.Array) -> sparse.csr_matrix:
    """How often each token of a vocabulary (a column) stands in each row's list."""
    flat, row = _flat(tokens)
    column = pc.index_in(flat, value_set=vocabulary)
    known = pc.is_valid(column)
    column, row = column.filter(known).to_numpy(), row.filter(known).to_numpy()
    ones = np.ones(len(column), dtype=np.float64)
    shape = (len(tokens), len(vocabulary))
    return sparse.coo_matrix((ones, (row, column)), shape=shape).tocsr()
