"""Masks and bans of a batch: numbers of allowed items in intervals of positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from recops.ops._data_checks import DataChecks
from recops.ops.trie.composite._ragged import is_rising, row_of_entry
from recops.ops.trie.composite._tries import FlatTries, grouped


class ItemFilter:
    """Items that each row of a batch allows.

    Counts come from prefix sums over the words of the masks and over the bans. They take memory in
    proportion to masks and bans, not to rows times items.
    """

    def __init__(
        self,
        op: str,
        tries: FlatTries,
        stamps: Sequence[Tensor],
        allowed: Sequence[Tensor] | None,
        bans: Sequence[Tensor] | None,
        checks: DataChecks,
    ) -> None:
        self._rows = len(tries.index)
        self._mask: tuple[Tensor, Tensor] | None = None
        if allowed:
            words = _mask_words(op, tries, stamps, allowed, checks)
            counts = _bit_counts(words)
            self._mask = words, counts.cumsum(1) - counts
        self._bans: tuple[Tensor, Tensor, Tensor] | None = None
        if bans:
            self._bans = self._ban_counts(*_checked_bans(op, tries, stamps, bans, checks))

    @property
    def allows_all(self) -> bool:
        """True if there are neither masks nor bans."""
        return self._mask is None and self._bans is None

    def before(self, positions: Tensor, row: Tensor) -> Tensor:
        """Return the number of allowed items of each row before each position.

        Args:
            positions: item positions, from 0 to the number of items of the row's trie.
            row: the row of each position, in a shape that broadcasts to that of ``positions``.
        """
        counts = positions
        if self._mask is not None:
            words, bits_before = self._mask
            owner = 0 if len(words) == 1 else row
            word = positions >> 6
            low_bits = (torch.ones_like(positions) << (positions & 63)) - 1
            counts = bits_before[owner, word] + _bit_counts(words[owner, word] & low_bits)
        if self._bans is not None:
            keys, bans_before, of_earlier_rows = self._bans
            entry = torch.searchsorted(keys, _ban_key(row, positions))
            counts = counts - (bans_before[entry] - of_earlier_rows[row])
        return counts

    def allows_any(self, begin: Tensor, end: Tensor) -> Tensor:
        """Return whether the intervals of positions ``[rows, …]`` have an allowed item."""
        row = self.row_like(begin)
        return self.before(end, row) > self.before(begin, row)

    def select(self, begin: Tensor, end: Tensor, rank: Tensor, most: int) -> Tensor:
        """Return the allowed position of a rank within each interval ``[rows, …]``.

        The result is ``end`` if the interval has too few allowed items. No interval is longer than
        ``most``.
        """
        if self.allows_all:
            return (begin + rank).minimum(end)
        row = self.row_like(begin)
        target = self.before(begin, row) + rank
        low, high = begin, end
        for _ in range(most.bit_length()):
            middle = (low + high) // 2
            is_open = low < high
            is_below = is_open & (self.before((middle + 1).minimum(end), row) <= target)
            low, high = (
                (middle + 1).where(is_below, low),
                middle.where(is_open & ~is_below, high),
            )
        return low

    def row_like(self, tensor: Tensor) -> Tensor:
        """Return row numbers in a shape that broadcasts to ``tensor [rows, …]``."""
        row = torch.arange(self._rows, device=tensor.device)
        return row.view(-1, *[1] * (tensor.ndim - 1))

    def _ban_counts(self, positions: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return keys of the bans, and the numbers of bans before each entry and each row.

        A repeated ban, and one of an item that the mask excludes, does not count.
        """
        is_repeated = (positions[1:] == positions[:-1]) & (row[1:] == row[:-1])
        counts = (positions >= 0) & ~_shifted(is_repeated, len(positions))
        if self._mask is not None:
            words, _ = self._mask
            owner = 0 if len(words) == 1 else row
            position = positions.clamp(min=0)
            counts &= (words[owner, position >> 6] >> (position & 63)) & 1 == 1
        keys = _ban_key(row, positions)
        before = pad(counts.cumsum(0, dtype=torch.int64), (1, 0))
        first = torch.searchsorted(keys, _ban_key(torch.arange(self._rows, device=row.device), -1))
        return keys, before, before[first]


def _mask_words(
    op: str,
    tries: FlatTries,
    stamps: Sequence[Tensor],
    allowed: Sequence[Tensor],
    checks: DataChecks,
) -> Tensor:
    """Return the mask words of each row and one word of zeros, or one row for all."""
    masks, rows = grouped(allowed, 2), len(tries.index)
    if len(masks) != len(stamps) or len(allowed) % 2:
        raise ValueError(
            f"{op}: allowed must have words and stamp of a mask for each of {len(stamps)} "
            f"tries, got {len(allowed)} tensors"
        )
    most = max(words.shape[-1] for words, _ in masks)
    rows_of_words = []
    for num_items, of_trie, (words, stamp) in zip(tries.num_items, stamps, masks, strict=True):
        _check_version(op, "allowed", stamp, of_trie, checks)
        _check_mask(op, words, num_items, rows)
        own = pad(words, (0, 1 + most - words.shape[-1]))
        rows_of_words.append(own if own.ndim == 2 else own[None])
    if len(masks) == 1:
        return rows_of_words[0]
    return tries.choose([words.expand(rows, -1) for words in rows_of_words])


def _check_mask(op: str, words: Tensor, num_items: int, rows: int) -> None:
    width = -(-num_items // 64)
    if words.ndim not in (1, 2) or words.shape[-1] != width:
        raise ValueError(
            f"{op}: allowed must hold {num_items} items, in {width} words, got {list(words.shape)}"
        )
    if words.ndim == 2 and len(words) != rows:
        raise ValueError(
            f"{op}: allowed must have a row for each of the batch's {rows}, got {len(words)}"
        )


def _check_version(op: str, name: str, stamp: Tensor, of_trie: Tensor, checks: DataChecks) -> None:
    checks.add(
        stamp != of_trie,
        lambda _: ValueError(
            f"{op}: {name} must be of trie version {int(of_trie)}, got version {int(stamp)}"
        ),
    )


def _checked_bans(
    op: str,
    tries: FlatTries,
    stamps: Sequence[Tensor],
    bans: Sequence[Tensor],
    checks: DataChecks,
) -> tuple[Tensor, Tensor]:
    """Return the position and the row of each ban, within the items and the rows."""
    positions, offsets, versions = bans
    rows, count = len(tries.index), len(positions)
    if len(offsets) != rows + 1:
        raise ValueError(
            f"{op}: banned must have the offsets of the batch's {rows} rows, "
            f"got {list(offsets.shape)}"
        )
    if versions.numel() < len(stamps):
        raise ValueError(
            f"{op}: banned must have the stamps of {len(stamps)} tries, got {versions.numel()}"
        )
    for version, of_trie in zip(versions.flatten(), stamps, strict=False):
        _check_version(op, "banned", version, of_trie, checks)
    checks.add(
        ~is_rising(offsets, count),
        lambda _: ValueError(
            f"{op}: banned must have offsets that rise from 0 to the number of positions, "
            f"{count}, got others"
        ),
    )
    if rows == 0:
        return positions[:0].long(), positions[:0].long()
    row = row_of_entry(offsets, count)
    items = tries.per_row(tries.num_items)
    position = positions.long()
    falls = (position[1:] < position[:-1]) & (row[1:] == row[:-1])
    checks.add(
        (position >= items[row]) | _shifted(falls, count),
        lambda wrong: ValueError(
            f"{op}: banned must hold ascending positions below {int(items[row[wrong[0]]])}, "
            f"got others in row {int(row[wrong[0]])}"
        ),
    )
    return position.clamp(min=-1).minimum(items[row] - 1), row


def _shifted(flags: Tensor, count: int) -> Tensor:
    """Return flags of entries after the first as flags of all ``count`` entries."""
    return pad(flags, (1, 0)) if count else flags


def _ban_key(row: Tensor, position: Tensor | int) -> Tensor:
    """Return keys that ascend by row, then by position from −1."""
    return (row << 32) + position + 1


def _bit_counts(words: Tensor) -> Tensor:
    """Return the number of ones of each int64."""
    words = words - ((words >> 1) & 0x5555555555555555)
    words = (words & 0x3333333333333333) + ((words >> 2) & 0x3333333333333333)
    words = (words + (words >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (words * 0x0101010101010101) >> 56  # the sums of bytes are below 128
