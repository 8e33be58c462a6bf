"""Reference of reading, writing and regularizing a memory; see :mod:`recops.ops.memory`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from recops._dtypes import widened, without_autocast


def cosine(key: Tensor, memory: Tensor) -> Tensor:
    """Return the cosine of a key ``[B, D]`` with every slot ``[B or 1, m, D]``.

    1e-8 is added to the product of norms.
    """
    dot = (key[:, None] * memory).sum(2)
    norms = torch.linalg.vector_norm(key, dim=1)[:, None] * torch.linalg.vector_norm(memory, dim=2)
    cosines: Tensor = dot / (norms + 1e-8)
    return cosines


def memory_address(key: Tensor, memory: Tensor, beta: Tensor) -> Tensor:
    """Compute :func:`recops.memory_address` in PyTorch."""
    key, memory, beta = widened(key), widened(memory), widened(beta)
    return torch.softmax(beta[:, None] * cosine(key, memory), 1)


def memory_read(weights: Tensor, memory: Tensor) -> Tensor:
    """Compute :func:`recops.memory_read` in PyTorch."""
    return (widened(weights)[:, :, None] * widened(memory)).sum(1)


def memory_write(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """Compute :func:`recops.memory_write` in PyTorch."""
    w, e, a = widened(weights)[:, :, None], widened(erase)[:, None], widened(add)[:, None]
    return widened(memory) * (1 - w * e) + w * a


def memory_utilization(usage: Tensor) -> Tensor:
    """Compute :func:`recops.memory_utilization` in PyTorch."""
    usage = widened(usage)
    return (usage - usage.mean(1, keepdim=True)).square().sum(1)


def memory_covariance(memory: Tensor, *, squared: bool = True) -> Tensor:
    """Compute :func:`recops.memory_covariance` in PyTorch."""
    memory = widened(memory)
    centred = memory - memory.mean(2, keepdim=True)
    with without_autocast(memory):
        covariance = centred @ centred.transpose(1, 2) / memory.shape[2]
    diagonal = torch.eye(memory.shape[1], dtype=torch.bool, device=memory.device)
    off_diagonal = covariance.masked_fill(diagonal, 0)
    if squared:
        return off_diagonal.square().sum((1, 2)) / 2
    norm: Tensor = torch.linalg.matrix_norm(off_diagonal)
    return norm


def gru(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor) -> Tensor:
    """Update a state by a GRU with reset before the product, z on the old state and one bias."""
    (i_r, i_z, i_n), (w_r, w_z, w_n) = linear(x, w_ih, bias).chunk(3, -1), w_hh.chunk(3)
    r = torch.sigmoid(i_r + linear(h, w_r))
    z = torch.sigmoid(i_z + linear(h, w_z))
    n = torch.tanh(i_n + linear(r * h, w_n))
    return z * h + (1 - z) * n
