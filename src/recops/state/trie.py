"""The trie of a catalogue's semantic IDs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from recops._checks import (
    INDICES,
    check_device,
    check_flag,
    check_integer,
    check_sizes,
    check_tensor,
)
from recops._load import ops
from recops.files import CorruptFileError, open_tensors, seal_tensors, write_file
from recops.state._holder import register_holder, require_fit
from recops.state._tokens import refuse_bad_token
from recops.state._validate import problems
from recops.state.item_mask import ItemIds, ItemMask, pack_mask

MOST_LEVELS = 65_536

_KIND = "sid_trie"
_TENSORS = ("first_child", "tokens", "item_ids", "item_rows", "id_order", "stamp")


class Branching(TypedDict):
    """How many children the nodes of one level have."""

    level: int
    nodes: int
    mean: float
    p50: int
    p90: int
    p99: int
    max: int


@dataclass(frozen=True, eq=False)
class SidTrie:
    """The trie of a catalogue's semantic IDs: immutable, flat tensors in breadth-first order.

    Node 0 is the root. The nodes of a level follow one another, siblings in order of their tokens;
    leaves end their SIDs, and the items of a leaf follow one another in order of insertion. An item
    has a *position*: its place in order of leaves. Thus every node owns one interval of leaves and
    one of positions. The structure takes 6 bytes a node where no level has more than 65,536 tokens
    (8 beyond), the items 16 bytes each (id, row of the input, id index).

    A pytree whose context holds only ``vocab_sizes`` (and with it the depth): version and counts
    are tensors and their lengths, so that ``torch.compile`` and ``torch.export`` take a trie as an
    input and a newer one swaps in without recompiling.

    Attributes:
        first_child: ``[num_nodes + 1]`` int32. Children of node n: ``first_child[n]`` up to
            ``first_child[n + 1]``. A leaf's "children" are its items, position p as num_nodes + p.
        tokens: ``[num_nodes]`` uint16, or int32 for large vocabularies: of the edge into a node.
        item_ids: ``[num_items]`` int64, by position.
        item_rows: ``[num_items]`` int32, by position: which of the items given to
            :meth:`from_sids` it was.
        id_order: ``[num_items]`` int32: the positions in ascending order of ids.
        stamp: ``[]`` int64: the version.
        vocab_sizes: how many tokens each level may use.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: tensors of other shapes or layouts, or on several devices. What they contain is
            checked by :meth:`validate`.

    Examples:
        >>> sids = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 1]])
        >>> trie = recops.SidTrie.from_sids(sids, torch.tensor([10, 11, 12, 13]))
        >>> trie.num_nodes, trie.num_leaves, trie.num_items
        (6, 3, 4)
        >>> node = trie.find(torch.tensor([[1]]))  # whatever begins with 1
        >>> trie.items(node)[1].tolist()
        [11, 12, 13]
    """

    first_child: Tensor
    tokens: Tensor
    item_ids: Tensor
    item_rows: Tensor
    id_order: Tensor
    stamp: Tensor
    vocab_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        check_sizes("SidTrie", "vocab_sizes", self.vocab_sizes)
        if not self.vocab_sizes:
            raise ValueError("SidTrie: vocab_sizes must hold at least one level, got none")
        token = torch.int32 if max(self.vocab_sizes) > 65536 else torch.uint16
        require_fit(
            self,
            tokens=([token], "num_nodes"),
            first_child=([torch.int32], "num_nodes + 1"),
            item_ids=([torch.int64], "num_items"),
            item_rows=([torch.int32], "num_items"),
            id_order=([torch.int32], "num_items"),
            stamp=([torch.int64], ""),
        )
        if self.tokens.shape[0] == 0:
            raise ValueError("SidTrie: tokens must hold at least the root, got none")

    @staticmethod
    def from_sids(
        sids: Tensor,
        item_ids: Tensor | None = None,
        *,
        vocab_sizes: int | Sequence[int] | None = None,
    ) -> SidTrie:
        """Build the trie of ``sids``: a radix sort of the SIDs, then two walks; O(N · L).

        Args:
            sids: ``[N, L]`` int32 or int64, L from 1 to 65,536, in any order. Items may share a
                SID. N = 0 makes an empty trie.
            item_ids: ``[N]`` int64 or int32, each once; the rows' numbers by default.
            vocab_sizes: tokens of each level, one number for all, or (by default) the largest token
                of each level plus one.

        Returns:
            The trie, on the device of ``sids``. Its version is a fingerprint of its content.

        Raises:
            TypeError: a tensor of another dtype.
            ValueError: another shape, a token outside its vocabulary, a repeated id.
        """
        op = "SidTrie.from_sids"
        check_tensor(op, "sids", sids, ndim=2, dtypes=INDICES)
        for name, given in (("sids", sids), ("item_ids", item_ids)):
            if isinstance(given, Tensor) and given.is_meta:
                raise ValueError(f"{op}: {name} must hold data, got a tensor on meta")
        count, depth = sids.shape
        if depth == 0:
            raise ValueError(f"{op}: sids must have at least one level, got shape {(count, depth)}")
        if depth > MOST_LEVELS:
            raise ValueError(f"{op}: sids must have at most {MOST_LEVELS:,} levels, got {depth:,}")
        if item_ids is None:
            item_ids = torch.arange(count, device="cpu")
        check_tensor(op, "item_ids", item_ids, ndim=1, dtypes=INDICES)
        if len(item_ids) != count:
            raise ValueError(f"{op}: item_ids must have {count} entries, got {len(item_ids)}")
        if vocab_sizes is None:
            vocab_sizes = [max(1, size + 1) for size in sids.amax(0).tolist()] if count else 1
        if isinstance(vocab_sizes, int | np.integer):
            vocab_sizes = [int(vocab_sizes)] * depth
        sizes = check_sizes(op, "vocab_sizes", vocab_sizes)
        if len(sizes) != depth:
            raise ValueError(f"{op}: vocab_sizes must have {depth} entries, got {len(sizes)}")
        try:
            tensors = ops.trie_build(sids.cpu(), item_ids.to("cpu", torch.int64), sizes)
        except ValueError:
            refuse_bad_token(op, sids, sizes)
            raise
        return SidTrie(*tensors, vocab_sizes=tuple(sizes)).to(sids.device)

    @property
    def depth(self) -> int:
        """Tokens in a SID."""
        return len(self.vocab_sizes)

    @property
    def num_nodes(self) -> int:
        """Nodes, the root and the leaves among them."""
        return self.tokens.shape[0]

    @property
    def num_items(self) -> int:
        """Items."""
        return self.item_ids.shape[0]

    @property
    def num_leaves(self) -> int:
        """Distinct SIDs."""
        return self.num_nodes - self.level_starts()[self.depth]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together."""
        return sum(tensor.nbytes for tensor in _tensors(self).values())

    @property
    def version(self) -> int:
        """What tells this trie from others, masks are bound to it: of :meth:`from_sids` a
        fingerprint of its content, of a catalogue its count of changes. Two catalogues may be at
        the same count, and nothing tells their masks apart.
        """
        return int(self.stamp)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.tokens.device

    def to(self, device: torch.device | str) -> SidTrie:
        """The same trie on another device."""
        device = check_device("SidTrie.to", "device", device)
        moved = {name: tensor.to(device) for name, tensor in _tensors(self).items()}
        return SidTrie(**moved, vocab_sizes=self.vocab_sizes)

    def level_starts(self) -> list[int]:
        """The first node of each level 0 … depth, then ``num_nodes``."""
        starts = [0]
        for _ in range(self.depth):
            starts.append(int(self.first_child[starts[-1]]))
        return [*starts, self.num_nodes]

    def find(self, sids: Tensor) -> Tensor:
        """The node of each SID or prefix of one.

        Args:
            sids: ``[n, l]`` int32 or int64, l ≤ depth.

        Returns:
            ``[n]`` int32, −1 where no item's SID begins so. O(l · log of the branching) each.
        """
        check_tensor("SidTrie.find", "sids", sids, ndim=2, dtypes=INDICES, device=self.device)
        return ops.trie_find(self.first_child, self.tokens, self.depth, sids)

    def contains(self, sids: Tensor) -> Tensor:
        """Whether each of ``sids`` ``[n, depth]`` is an item's: ``[n]`` bool."""
        op = "SidTrie.contains"
        check_tensor(op, "sids", sids, ndim=2, dtypes=INDICES, device=self.device)
        if sids.shape[1] != self.depth:
            raise ValueError(f"{op}: sids must have {self.depth} tokens, got {sids.shape[1]}")
        return self.find(sids) >= 0

    def items(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The items below each node, in order of position.

        Args:
            nodes: ``[n]`` int32 or int64; −1 has no items.

        Returns:
            ``(offsets [n + 1] int64, item_ids [offsets[n]] int64)``: node i has the items
            ``offsets[i]`` up to ``offsets[i + 1]``.

        Raises:
            IndexError: no such node.
        """
        check_tensor("SidTrie.items", "nodes", nodes, ndim=1, dtypes=INDICES, device=self.device)
        return ops.trie_items(self.first_child, self.tokens, self.depth, self.item_ids, nodes)

    def allowed_tokens(self, nodes: Tensor, vocab_size: int) -> Tensor:
        """Which tokens may follow each node.

        Args:
            nodes: ``[n]`` int32 or int64; nothing follows a leaf or −1.
            vocab_size: columns of the result.

        Returns:
            ``[n, vocab_size]`` bool.

        Raises:
            IndexError: no such node.
            ValueError: a token that may follow is outside ``vocab_size``.
        """
        op = "SidTrie.allowed_tokens"
        check_tensor(op, "nodes", nodes, ndim=1, dtypes=INDICES, device=self.device)
        check_integer(op, "vocab_size", vocab_size)
        return ops.trie_allowed_tokens(self.first_child, self.tokens, self.depth, nodes, vocab_size)

    def branching(self) -> list[Branching]:
        """Mean and percentiles (nearest rank) of the number of children, for levels 0 … depth − 1.

        A step of beam search scans real children: these numbers predict what it costs.
        """
        starts = self.level_starts()
        counts = self.first_child.diff()
        levels = []
        for level in range(self.depth):
            children = counts[starts[level] : starts[level + 1]].sort().values
            nodes = len(children)
            p50, p90, p99, most = (
                int(children[max(0, -(-nodes * p // 100) - 1)]) if nodes else 0
                for p in (50, 90, 99, 100)
            )
            mean = float(children.double().mean()) if nodes else 0.0
            levels.append(
                Branching(level=level, nodes=nodes, mean=mean, p50=p50, p90=p90, p99=p99, max=most)
            )
        return levels

    def mask(
        self,
        *,
        keep: ItemIds | None = None,
        drop: ItemIds | None = None,
        missing_ok: bool = False,
    ) -> ItemMask:
        """The subset of items to recommend from. O(log num_items) an id, and num_items / 8 bytes.

        Args:
            keep: ids of the items that are allowed, as a tensor, an array or a list; or a list of B
                of these.
            drop: ids of those that are not, given as for ``keep``; exactly one of the two.
            missing_ok: skip ids that the trie does not hold.

        Returns:
            A mask for every row of a batch, or one that holds B rows.

        Raises:
            TypeError: neither or both of ``keep`` and ``drop``; ids that are no integers.
            ValueError: an id that the trie does not hold.
        """
        if keep is not None and drop is None:
            ids = keep
        elif drop is not None and keep is None:
            ids = drop
        else:
            given = "neither" if keep is None else "both"
            raise TypeError(f"SidTrie.mask: keep or drop must be given, and not both, got {given}")
        check_flag("SidTrie.mask", "missing_ok", missing_ok)
        words = pack_mask(
            ids, self.item_ids, self.id_order, keep=keep is not None, missing_ok=missing_ok
        )
        return ItemMask(words, self.stamp)

    def validate(self) -> None:
        """Check that the tensors make a trie: O(num_nodes + num_items), several temporaries.

        Raises:
            ValueError: they do not; the message says what is wrong.
        """
        for name, problem in problems(_tensors(self), self.vocab_sizes):
            raise ValueError(f"SidTrie.validate: {name} {problem}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trie to a sealed safetensors file, whole or not at all.

        Raises:
            OSError: the disk is full or the folder not writable; an older file at ``path`` stays.
        """
        write_file(path, self._sealed())

    @staticmethod
    def load(path: str | os.PathLike[str]) -> SidTrie:
        """Read what :meth:`save` wrote, to the CPU.

        Raises:
            CorruptFileError: the file is damaged, truncated, or holds something else.
            FileNotFoundError: no such file.
        """
        trie = _opened(Path(path).read_bytes(), str(path))
        try:
            trie.validate()
        except ValueError as error:
            raise CorruptFileError(f"{path}: holds no trie ({error})") from error
        return trie

    def _sealed(self) -> bytes:
        return seal_tensors(_tensors(self), kind=_KIND, meta={"vocab_sizes": self.vocab_sizes})

    def __reduce__(self) -> tuple[Callable[..., SidTrie], tuple[bytes, str]]:
        """Pickled, a trie is the bytes of its file: it travels to worker processes, and back."""
        return _unpickled, (self._sealed(), str(self.device))


def _opened(data: bytes, source: str) -> SidTrie:
    """The trie of a file's bytes, unvalidated.

    Raises:
        CorruptFileError: they are damaged, or hold something else.
    """
    tensors, meta = open_tensors(data, source, kind=_KIND)
    try:
        found = {name: tensors[name] for name in _TENSORS}
        return SidTrie(**found, vocab_sizes=tuple(meta["vocab_sizes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{source}: holds no trie ({error})") from error


def _unpickled(data: bytes, device: str) -> SidTrie:
    return _opened(data, "a pickled SidTrie").to(device)


# It opens sealed bytes alone, so that exported programs that hold a trie load without unpickling.
torch.serialization.add_safe_globals([_unpickled])


def _tensors(trie: SidTrie) -> dict[str, Tensor]:
    return {name: getattr(trie, name) for name in _TENSORS}


register_holder(
    SidTrie,
    _TENSORS,
    context="vocab_sizes",
    to_dumpable_context=list,
    from_dumpable_context=tuple,
)


def _fake_build(
    sids: Tensor, item_ids: Tensor, vocab_sizes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    nodes = torch.library.get_ctx().new_dynamic_size()
    items = item_ids.shape[0]
    token_dtype = torch.int32 if max(vocab_sizes) > 65536 else torch.uint16
    return (
        sids.new_empty(nodes + 1, dtype=torch.int32),
        sids.new_empty(nodes, dtype=token_dtype),
        sids.new_empty(items, dtype=torch.int64),
        sids.new_empty(items, dtype=torch.int32),
        sids.new_empty(items, dtype=torch.int32),
        sids.new_empty((), dtype=torch.int64),
    )


def _fake_find(first_child: Tensor, tokens: Tensor, depth: int, sids: Tensor) -> Tensor:
    return sids.new_empty(sids.shape[0], dtype=torch.int32)


def _fake_items(
    first_child: Tensor, tokens: Tensor, depth: int, item_ids: Tensor, nodes: Tensor
) -> tuple[Tensor, Tensor]:
    total = torch.library.get_ctx().new_dynamic_size()
    return item_ids.new_empty(nodes.shape[0] + 1), item_ids.new_empty(total)


def _fake_allowed_tokens(
    first_child: Tensor, tokens: Tensor, depth: int, nodes: Tensor, vocab_size: int
) -> Tensor:
    return nodes.new_empty((nodes.shape[0], vocab_size), dtype=torch.bool)


torch.library.register_fake("recops::trie_build", _fake_build)
torch.library.register_fake("recops::trie_find", _fake_find)
torch.library.register_fake("recops::trie_items", _fake_items)
torch.library.register_fake("recops::trie_allowed_tokens", _fake_allowed_tokens)
