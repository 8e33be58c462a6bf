"""Truncated SVD with unit rows; the result does not depend on the number of threads."""

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
    """Return the rows of U · S^power, scaled to unit length; a zero row stays zero.

    U S Vᵀ is the randomised SVD of ``matrix`` with the ``dim`` largest singular values (Halko,
    Martinsson, Tropp, 2011).
    """
    return svd_rows_and_directions(matrix, dim=dim, power=power, seed=seed)[0]


def svd_rows_and_directions(
    matrix: sparse.csr_matrix, *, dim: int, power: float = 1.0, seed: int = 0
) -> tuple[Float32Array, NDArray[np.float64]]:
    """Return :func:`svd_rows`, and Vᵀ ``[≤ dim, columns]``; a new row x is embedded as x V."""
    dim = min(dim, *matrix.shape)
    if not dim:
        return np.zeros((matrix.shape[0], 0), dtype=np.float32), np.zeros((0, matrix.shape[1]))
    with threadpool_limits(1):  # BLAS sums depend on the number of threads
        u, singular, directions = randomized_svd(matrix, dim, random_state=seed % 2**32)
    return unit_rows(u * singular**power), directions


def unit_rows(vectors: NDArray[np.floating]) -> Float32Array:
    """Return rows divided by their length, float32; a zero row stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.floating] = np.zeros_like(vectors)
    np.divide(vectors, length, out=unit, where=length > 0)
    return unit.astype(np.float32)
