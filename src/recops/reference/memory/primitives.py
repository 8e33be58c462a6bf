"""Reading and writing a memory, and what is measured of it; :mod:`recops.ops.memory` says more."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from recops._dtypes import widened, without_autocast


def cosine(key: Tensor, memory: Tensor) -> Tensor:
    """Of a key ``[B, D]`` and every slot ``[B or 1, m, D]``, with 1e-8 beside the norms."""
    dot = (key[:, None] * memory).sum(2)
    norms = torch.linalg.vector_norm(key, dim=1)[:, None] * torch.linalg.vector_norm(memory, dim=2)
    near: Tensor = dot / (norms + 1e-8)
    return near


def memory_address(key: Tensor, memory: Tensor, beta: Tensor) -> Tensor:
    """See :func:`recops.memory_address`."""
    key, memory, beta = widened(key), widened(memory), widened(beta)
    return torch.softmax(beta[:, None] * cosine(key, memory), 1)


def memory_read(weights: Tensor, memory: Tensor) -> Tensor:
    """See :func:`recops.memory_read`."""
    return (widened(weights)[:, :, None] * widened(memory)).sum(1)


def memory_write(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """See :func:`recops.memory_write`."""
    w, e, a = widened(weights)[:, :, None], widened(erase)[:, None], widened(add)[:, None]
    return widened(memory) * (1 - w * e) + w * a


def memory_utilization(usage: Tensor) -> Tensor:
    """See :func:`recops.memory_utilization`."""
    usage = widened(usage)
    return (usage - usage.mean(1, keepdim=True)).square().sum(1)


def memory_covariance(memory: Tensor, *, squared: bool = True) -> Tensor:
    """See :func:`recops.memory_covariance`."""
    memory = widened(memory)
    centred = memory - memory.mean(2, keepdim=True)
    with without_autocast(memory):
        covariance = centred @ centred.transpose(1, 2) / memory.shape[2]
    own = torch.eye(memory.shape[1], dtype=torch.bool, device=memory.device)
    off = covariance.masked_fill(own, 0)
    if squared:
        return off.square().sum((1, 2)) / 2
    norm: Tensor = torch.linalg.matrix_norm(off)
    return norm


def gru(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor) -> Tensor:
    """The GRU of memory networks: reset before the product, z on the old state, one bias."""
    (i_r, i_z, i_n), (w_r, w_z, w_n) = linear(x, w_ih, bias).chunk(3, -1), w_hh.chunk(3)
    r = torch.sigmoid(i_r + linear(h, w_r))
    z = torch.sigmoid(i_z + linear(h, w_z))
    n = torch.tanh(i_n + linear(r * h, w_n))
    return z * h + (1 - z) * n
