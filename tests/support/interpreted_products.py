"""Pytest plugin: float32 products of interpreted Triton kernels give equal columns equal sums.

A GPU sums every element of a product in the same order. The interpreter calls numpy, whose BLAS
sums in an order that depends on the column and on the processor, so that equal codewords had
different scores. Sums in float64 hide the order.
"""

from __future__ import annotations

import numpy as np
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle, _ir

_create_dot = InterpreterBuilder.create_dot


def _exact_dot(
    builder: InterpreterBuilder,
    a: TensorHandle,
    b: TensorHandle,
    d: TensorHandle,
    input_precision: object,
    max_num_imprecise_acc: int,
) -> TensorHandle:
    if input_precision != _ir.INPUT_PRECISION.IEEE or d.data.dtype != np.float32:
        return _create_dot(builder, a, b, d, input_precision, max_num_imprecise_acc)
    product = np.matmul(a.data, b.data, dtype=np.float64) + d.data
    return TensorHandle(product.astype(np.float32), d.dtype.scalar)


def pytest_configure() -> None:
    """Replace the product of matrices."""
    InterpreterBuilder.create_dot = _exact_dot
