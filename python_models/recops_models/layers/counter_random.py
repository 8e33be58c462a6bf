"""Counter-based random numbers: functions of keys, without state or order."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import widest_dtype

_GOLDEN = -7046029254386353131  # 2^64 / φ, odd, as a signed integer.
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685
LANES = 4
"""16-bit numbers per 64-bit word."""
_SIXTEEN = 1 << 16


def keys_of(seed: int, *ids: Tensor) -> Tensor:
    """Return a key ``[B]`` i64 for each row of integer ids ``[B]``.

    Rows with equal ids have equal keys under one seed. Keys are chained:
    ``k ← mix(k + φ · (id + 1))``, starting from the seed. ``mix`` is the finalizer of SplitMix64
    (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014) with the constants
    of Stafford's variant 13. All arithmetic is on integers that wrap, so keys are the same on every
    device.

    Raises:
        ValueError: no ids, ids of different lengths, or ids that are not integers.

    Example:
        >>> import torch
        >>> from recops_models.layers.counter_random import keys_of
        >>> users, items = torch.tensor([1, 1, 2]), torch.tensor([5, 5, 5])
        >>> keys = keys_of(7, users, items)
        >>> (keys == keys[0]).tolist()
        [True, True, False]
    """
    if not ids or any(column.ndim != 1 or len(column) != len(ids[0]) for column in ids):
        shapes = ", ".join(str(list(column.shape)) for column in ids) or "none"
        raise ValueError(f"keys_of: ids must have the same shape [B], got {shapes}")
    for column in ids:
        if column.is_floating_point() or column.is_complex():
            raise ValueError(f"keys_of: ids must be integers, got {column.dtype}")
    start = torch.tensor(_signed(seed), device=ids[0].device)
    key = _mix(start + _GOLDEN).expand(len(ids[0]))
    for column in ids:
        key = _mix(key + (column.to(torch.int64) + 1) * _GOLDEN)
    return key


def drops(keys: Tensor, units: int, p: float, *, stream: int = 0) -> Tensor:
    """Return a dropout mask ``[B, units]``: True, with probability p, where a unit is dropped.

    The mask of a row depends only on its key and on ``stream``. p is rounded by
    :func:`sixteenth_bits`. O(B · units / 4) words.

    Args:
        keys: ``[B]``, of :func:`keys_of`.
        units: number of units per row.
        p: probability that a unit is dropped, in [0, 1).
        stream: different streams give independent masks.

    Raises:
        ValueError: p is out of range.

    Example:
        >>> import torch
        >>> from recops_models.layers.counter_random import drops, keys_of
        >>> mask = drops(keys_of(7, torch.tensor([1, 1, 2])), units=6, p=0.5)
        >>> mask.shape, bool((mask[0] == mask[1]).all())  # equal keys, equal masks
        (torch.Size([3, 6]), True)
    """
    threshold = lane_threshold(p)
    words = -(-units // LANES)
    lanes = _words(keys, words, stream).view(torch.int16).view(len(keys), words * LANES)
    return lanes[:, :units] < threshold


def lane_threshold(p: float) -> int:
    """Return the bound below which a random signed 16-bit integer lies with probability p.

    p is rounded by :func:`sixteenth_bits`.

    Raises:
        ValueError: p is outside [0, 1).

    Example:
        >>> from recops_models.layers.counter_random import lane_threshold
        >>> lane_threshold(0.5), lane_threshold(0.25)
        (0, -16384)
    """
    return round(sixteenth_bits(p) * _SIXTEEN) - (_SIXTEEN >> 1)


def sixteenth_bits(p: float) -> float:
    """Round p to a multiple of 2⁻¹⁶, the precision of :func:`drops`; a positive p stays positive.

    Raises:
        ValueError: p is outside [0, 1).

    Example:
        >>> from recops_models.layers.counter_random import sixteenth_bits
        >>> sixteenth_bits(0.25), sixteenth_bits(1e-9) == 2**-16
        (0.25, True)
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must lie within [0, 1), got {p}")
    rounded = min(max(round(p * _SIXTEEN), 1), _SIXTEEN - 1)
    return rounded / _SIXTEEN if p else 0.0


def uniform(keys: Tensor, count: int, *, stream: int = 0) -> Tensor:
    """Return ``[B, count]``, uniform on (0, 1); arguments as in :func:`drops`.

    The numbers are f64 with 52 random bits, or f32 with 23 on a device without float64.

    Example:
        >>> import torch
        >>> from recops_models.layers.counter_random import keys_of, uniform
        >>> numbers = uniform(keys_of(7, torch.arange(2)), count=3)
        >>> numbers.shape, bool(((numbers > 0) & (numbers < 1)).all())
        (torch.Size([2, 3]), True)
    """
    dtype = widest_dtype(keys.device)
    digits = 52 if dtype == torch.float64 else 23
    bits = (_words(keys, count, stream) >> (64 - digits)) & ((1 << digits) - 1)
    return (bits.to(dtype) + 0.5) * 2.0**-digits


def normal(keys: Tensor, count: int, *, stream: int = 0) -> Tensor:
    """Return ``[B, count]``, standard normal, of the dtype of :func:`uniform`.

    Example:
        >>> import torch
        >>> from recops_models.layers.counter_random import keys_of, normal
        >>> keys = keys_of(7, torch.arange(2))
        >>> normal(keys, count=3).shape
        torch.Size([2, 3])
        >>> torch.equal(normal(keys, count=3), normal(keys, count=3))  # no state
        True
    """
    numbers: Tensor = torch.special.ndtri(uniform(keys, count, stream=stream))
    return numbers


def _words(keys: Tensor, count: int, stream: int) -> Tensor:
    """Return ``[B, count]`` i64 random words."""
    counter = torch.arange(1, count + 1, device=keys.device) * _GOLDEN
    key = _mix(keys + _signed(stream * _FIRST))
    return _mix(key[:, None] + counter)


def _signed(number: int) -> int:
    """Return the lowest 64 bits of a Python integer as a signed integer."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _mix(word: Tensor) -> Tensor:
    """Return SplitMix64's finalizer of 64-bit words; masks make the signed shifts logical."""
    word = word ^ ((word >> 30) & ((1 << 34) - 1))
    word = word * _FIRST
    word ^= (word >> 27) & ((1 << 37) - 1)
    word *= _SECOND
    word ^= (word >> 31) & ((1 << 33) - 1)
    return word
