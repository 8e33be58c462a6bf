"""Truncated SVD with unit rows, the same bits whatever the number of threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

Float32Array = NDArray[np.float32]


def svd_rows(
    matrix: sparse.csr_matrix, *, dim: int, power: float = 1.0, seed: int = 0
) -> Float32Array:
    """The rows of U · S^power, for matrix = U S Vᵀ cut to its ``dim`` largest singular values.

    Randomised SVD (Halko, Martinsson, Tropp, 2011). Rows come out with unit length; a zero row
    stays zero.
    """
    return svd_rows_and_directions(matrix, dim=dim, power=power, seed=seed)[0]


def svd_rows_and_directions(
    matrix: sparse.csr_matrix, *, dim: int, power: float = 1.0, seed: int = 0
) -> tuple[Float32Array, NDArray[np.float64]]:
    """:func:`svd_rows`, and Vᵀ ``[≤ dim, columns]``: a row that came since is at its product with
    V.
    """
    dim = min(dim, *matrix.shape)
    if not dim:
        return np.zeros((matrix.shape[0], 0), dtype=np.float32), np.zeros((0, matrix.shape[1]))
    with threadpool_limits(1):  # BLAS splits sums by thread.
        left, singular, directions = randomized_svd(matrix, dim, random_state=seed % 2**32)
    return unit_rows(left * singular**power), directions


def unit_rows(vectors: NDArray[np.floating]) -> Float32Array:
    """Each row divided by its length, float32; a zero row stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.floating] = np.zeros_like(vectors)
    np.divide(vectors, length, out=unit, where=length > 0)
    return unit.astype(np.float32)
