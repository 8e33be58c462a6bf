"""Random numbers that are a function of keys: no state, so no order of rows to depend on."""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / φ, odd, as a signed integer.
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685
LANES = 4
"""Numbers of 16 bits in a word of 64."""
_SIXTEEN = 1 << 16


def keys_of(seed: int, *ids: Tensor) -> Tensor:
    """``[B]`` i64: a key for each row of the ids ``[B]``, integers.

    Equal ids have equal keys under one seed, wherever they stand. Keys are chained:
    ``k ← mix(k + φ · (id + 1))`` from the seed on, mix the finalizer of SplitMix64 (Steele, Lea and
    Flood, Fast Splittable Pseudorandom Number Generators, 2014; constants of Stafford's variant
    13). Integers alone, which wrap: the same keys on every device.

    Raises:
        ValueError: no ids, ids of different lengths, or ids that are no integers.
    """
    if not ids or any(each.ndim != 1 or len(each) != len(ids[0]) for each in ids):
        shapes = ", ".join(str(list(each.shape)) for each in ids) or "none"
        raise ValueError(f"keys_of: ids must be equal [B], got {shapes}")
    for each in ids:
        if each.is_floating_point() or each.is_complex():
            raise ValueError(f"keys_of: ids must be integers, got {each.dtype}")
    start = torch.tensor(_signed(seed), device=ids[0].device)
    key = _mix(start + _GOLDEN).expand(len(ids[0]))
    for each in ids:
        key = _mix(key + (each.to(torch.int64) + 1) * _GOLDEN)
    return key


def drops(keys: Tensor, units: int, p: float, *, stream: int = 0) -> Tensor:
    """``[B, units]`` bool, true with probability :func:`sixteenth_bits` of p: what dropout drops.

    A row's numbers follow from its key and ``stream`` alone. O(B · units / 4) words.

    Args:
        keys: ``[B]``, of :func:`keys_of`.
        units: how many each row has.
        p: within [0, 1).
        stream: another one gives independent numbers.

    Raises:
        ValueError: p is out of range.
    """
    threshold = lane_threshold(p)
    words = -(-units // LANES)
    lanes = _words(keys, words, stream).view(torch.int16).view(len(keys), words * LANES)
    return lanes[:, :units] < threshold


def lane_threshold(p: float) -> int:
    """What a random 16-bit integer, signed, is below with probability :func:`sixteenth_bits` of p.

    Raises:
        ValueError: p is out of [0, 1).
    """
    return round(sixteenth_bits(p) * _SIXTEEN) - (_SIXTEEN >> 1)


def sixteenth_bits(p: float) -> float:
    """The nearest multiple of 2⁻¹⁶, by which :func:`drops` drops; not 0 where p is not.

    Raises:
        ValueError: p is out of [0, 1).
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must lie within [0, 1), got {p}")
    rounded = min(max(round(p * _SIXTEEN), 1), _SIXTEEN - 1)
    return rounded / _SIXTEEN if p else 0.0


def uniform(keys: Tensor, count: int, *, stream: int = 0) -> Tensor:
    """``[B, count]`` f64, uniform on (0, 1), of 52 bits; see :func:`drops` for the arguments."""
    bits = (_words(keys, count, stream) >> 12) & ((1 << 52) - 1)
    return (bits.double() + 0.5) * 2.0**-52


def normal(keys: Tensor, count: int, *, stream: int = 0) -> Tensor:
    """``[B, count]`` f64, standard normal; see :func:`drops` for the arguments."""
    numbers: Tensor = torch.special.ndtri(uniform(keys, count, stream=stream))
    return numbers


def _words(keys: Tensor, count: int, stream: int) -> Tensor:
    """``[B, count]`` i64, all bits random."""
    place = torch.arange(1, count + 1, device=keys.device) * _GOLDEN
    of_stream = _mix(keys + _signed(stream * _FIRST))
    return _mix(of_stream[:, None] + place)


def _signed(number: int) -> int:
    """The 64 bits of a Python integer, which does not wrap by itself."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _mix(word: Tensor) -> Tensor:
    """The shifts are those of unsigned words: what a signed one drags along is masked."""
    word = word ^ ((word >> 30) & ((1 << 34) - 1))
    word = word * _FIRST
    word ^= (word >> 27) & ((1 << 37) - 1)
    word *= _SECOND
    word ^= (word >> 31) & ((1 << 33) - 1)
    return word
