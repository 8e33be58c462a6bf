"""Triton kernels of sums by row, which gradients of tables and codebooks need."""

from recops.ops.embedding.triton.row_sums import SortedRows, sort_rows, sum_by_row, sum_sorted

__all__ = ["SortedRows", "sort_rows", "sum_by_row", "sum_sorted"]
