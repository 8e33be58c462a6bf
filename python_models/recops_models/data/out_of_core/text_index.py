"""Positions of strings in a sorted vocabulary on disk."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.out_of_core.distinct_text import SortedText

_ROWS = 1 << 14


class TextIndex:
    """Positions of the strings of a vocabulary, 16 bytes of memory per string.

    Memory holds 64-bit hashes of the strings. Two strings of the vocabulary never have the same
    hash: the constructor draws another hash function if two have.

    Args:
        vocabulary: V strings.
    """

    def __init__(self, vocabulary: SortedText) -> None:
        for self._seed in range(64):
            hashes = np.empty(len(vocabulary), dtype=np.uint64)
            start = 0
            for block in vocabulary.blocks():
                hashes[start : start + len(block)] = self._hash(block)
                start += len(block)
            self._positions = np.argsort(hashes, kind="stable")
            self._hashes = hashes[self._positions]
            if not (self._hashes[1:] == self._hashes[:-1]).any():
                return
        raise RuntimeError("TextIndex: no hash function separates the strings")

    def find(self, strings: pa.ChunkedArray) -> NDArray[np.int64]:
        """Return the positions ``[n]`` of strings of the vocabulary; others get any position."""
        if not len(self._hashes):
            return np.zeros(len(strings), dtype=np.int64)
        parts = [
            self._hash(chunk.slice(at, _ROWS))
            for chunk in strings.chunks
            for at in range(0, len(chunk), _ROWS)
        ]
        hashes = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
        # Sorted queries read the hashes in order, which is several times faster.
        queries, query = np.unique(hashes, return_inverse=True)
        rows = np.searchsorted(self._hashes, queries).clip(max=len(self._hashes) - 1)
        positions: NDArray[np.int64] = self._positions[rows][query]
        return positions

    def _hash(self, strings: pa.StringArray) -> NDArray[np.uint64]:
        """Return ``Σ_i (b_i + 1) · r_i`` mod 2^64 over the bytes b of each string.

        The factors r are random, so two different strings have the same hash with a probability
        below 2^-55.
        """
        _, offsets, data = strings.buffers()
        ends = np.frombuffer(offsets, dtype=np.int32)[strings.offset :][: len(strings) + 1]
        ends = ends.astype(np.int64)
        content = np.frombuffer(data or b"", dtype=np.uint8)[ends[0] : ends[-1]]
        starts = ends - ends[0]
        lengths = np.diff(starts)
        byte = np.arange(len(content)) - np.repeat(starts[:-1], lengths)
        factors = _factors(self._seed, int(lengths.max(initial=0)))
        sums = np.zeros(len(content) + 1, dtype=np.uint64)
        np.cumsum((content.astype(np.uint64) + np.uint64(1)) * factors[byte], out=sums[1:])
        hashes: NDArray[np.uint64] = sums[starts[1:]] - sums[starts[:-1]]
        return hashes


def _factors(seed: int, count: int) -> NDArray[np.uint64]:
    """Return the first ``count`` random factors of a seed."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.integers(2**64, size=max(count, 1), dtype=np.uint64)
