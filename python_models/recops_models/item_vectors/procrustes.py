"""Rotation of one vector space onto another, from vectors that both have."""

from __future__ import annotations

import numpy as np

from recops_models.item_vectors.svd import Float32Array


def procrustes(source: Float32Array, target: Float32Array) -> Float32Array:
    """Return the orthogonal R ``[d, d]`` that minimises ``‖source R − target‖_F``.

    With ``sourceᵀ target = U S Vᵀ``, R is ``U Vᵀ`` (Schönemann, A Generalized Solution of the
    Orthogonal Procrustes Problem, 1966). Without rows, R is the identity.

    Args:
        source: ``[n, d]``.
        target: ``[n, d]``, the same objects in the same order.

    Complexity:
        O(n d² + d³).

    Example:
        >>> import numpy as np
        >>> from recops_models.item_vectors.procrustes import procrustes
        >>> x = np.array([[1.0, 0.0], [0.0, 2.0]], dtype=np.float32)
        >>> turned = x @ np.array([[0.0, 1.0], [-1.0, 0.0]], dtype=np.float32)
        >>> np.allclose(x @ procrustes(x, turned), turned, atol=1e-6)
        True
    """
    if not len(source):
        return np.eye(source.shape[1], dtype=np.float32)
    u, _, v = np.linalg.svd(source.astype(np.float64).T @ target.astype(np.float64))
    rotation: Float32Array = (u @ v).astype(np.float32)
    return rotation
