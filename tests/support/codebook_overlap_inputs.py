"""Kernels and usage for the tests of codebook overlap."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recops.ops.codebook_overlap.codebook_overlap import OverlapKernel

KERNELS: list[OverlapKernel] = ["bhattacharyya", "product", "minimum"]
every_kernel = pytest.mark.parametrize("kernel", KERNELS)


def shares(size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    usage = torch.rand(size, dtype=torch.float64) ** 3
    return (usage / usage.sum()).to(dtype)
